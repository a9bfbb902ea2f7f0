// What a scheduling plugin is. The lists that say which run, and in which order, are in profile.ts.
import type { Pod } from '../../api/index.js'
import type { Client } from '../../client/index.js'
import type { Clock } from '../../lib/index.js'
import type { ClusterState, NodeInfo, PodInfo } from './cluster-state.js'
import type { VolumeView } from './volumes.js'

/** Why a node, or every node, will not do. */
export interface Rejection {
  readonly plugin: string
  /** As it is counted in FailedScheduling: `Insufficient cpu`. */
  readonly reason: string
  /** Removing pods from the node would not help. */
  readonly final: boolean
}

/** What a plugin has worked out about one pod before it looks at nodes. */
export interface Prepared {
  /** Undefined: the node will do as far as this plugin is concerned. */
  readonly filter?: (slot: number, node: NodeInfo) => readonly Rejection[] | undefined
  /** 0 to 100, unless `normalize` brings raw scores there. */
  readonly score?: (slot: number, node: NodeInfo) => number
  readonly normalize?: (raw: Float64Array, slots: readonly number[]) => void
}

export interface CycleInput {
  readonly pod: PodInfo
  readonly state: ClusterState
  readonly volumes: VolumeView
}

/** What happened in the cluster that may help a pod that fitted nowhere. */
export type ClusterEvent =
  | { readonly type: 'pod added' | 'pod removed' | 'pod updated'; readonly pod: Pod; readonly previous?: Pod }
  | { readonly type: 'node added' | 'node updated'; readonly node: NodeInfo['node'] & object; readonly previous?: NodeInfo['node'] }
  | { readonly type: 'volumes changed' }
  | { readonly type: 'namespace changed' }

export interface BindInput extends CycleInput {
  readonly client: Client
  readonly clock: Clock
  readonly nodeName: string
  readonly signal: AbortSignal
}

export interface Plugin {
  readonly name: string
  /** Filters and scores depend on one node and on what `signature` says of the pod: equal pods share the work. */
  readonly local: boolean
  /** What of the pod this plugin looks at; only for local plugins. */
  readonly signature?: (pod: PodInfo) => unknown
  /** A pod that must not be tried yet, and why. */
  readonly preEnqueue?: (pod: Pod) => string | undefined
  /** PreFilter and PreScore in one: a rejection of all nodes, what to ask of each, or undefined for nothing to do. */
  readonly prepare?: (input: CycleInput) => Prepared | { readonly reject: Rejection } | undefined
  /** Takes what the pod needs beside the node; the function gives it back. */
  readonly reserve?: (input: CycleInput & { readonly nodeName: string }) => (() => void) | undefined
  /** Holds a placed pod back, with a reason, before it is bound. */
  readonly permit?: (input: CycleInput & { readonly nodeName: string }) => string | undefined
  /** Work that has to be done before the pod is bound; throwing gives the place back. */
  readonly preBind?: (input: BindInput) => Promise<void>
  readonly bind?: (input: BindInput) => Promise<void>
  /** Queueing hint: whether a pod that this plugin turned away should be tried again after the event. */
  readonly hint?: (pod: Pod, event: ClusterEvent) => boolean
}

export const rejection = (plugin: string, reason: string, final = false): readonly Rejection[] => [{ plugin, reason, final }]

/** 0 to 100 by the largest; `reverse` makes the largest 0. */
export function normalizeByMax(raw: Float64Array, slots: readonly number[], reverse = false): void {
  let max = 0
  for (const slot of slots) if ((raw[slot] ?? 0) > max) max = raw[slot] ?? 0
  for (const slot of slots) {
    const score = max === 0 ? 0 : Math.floor(((raw[slot] ?? 0) * 100) / max)
    raw[slot] = reverse ? 100 - score : score
  }
}
