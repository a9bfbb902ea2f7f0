// Which plugins run, in which order, with which weight. Order is visible here and nowhere else.
import type { PodInfo } from './cluster-state.js'
import type { Plugin } from './plugin.js'
import { defaultBinder } from './plugins/default-binder.js'
import { imageLocality } from './plugins/image-locality.js'
import { interPodAffinity } from './plugins/inter-pod-affinity.js'
import { namedNode, nodeAffinity } from './plugins/node-affinity.js'
import { nodeName } from './plugins/node-name.js'
import { nodePorts } from './plugins/node-ports.js'
import { nodeResourcesBalanced, nodeResourcesFit, type ScoringStrategy } from './plugins/node-resources.js'
import { nodeUnschedulable } from './plugins/node-unschedulable.js'
import { podTopologySpread } from './plugins/pod-topology-spread.js'
import { schedulingGates } from './plugins/scheduling-gates.js'
import { taintToleration } from './plugins/taint-toleration.js'
import { volumeBinding } from './plugins/volume-binding.js'
import { nodeVolumeLimits, volumeRestrictions } from './plugins/volume-restrictions.js'
import { volumeZone } from './plugins/volume-zone.js'

export interface Weighted {
  readonly plugin: Plugin
  readonly weight: number
}

export interface QueueOrder {
  readonly priority: number
  /** When the pod began to wait. */
  readonly since: number
  readonly pod: PodInfo
}

export interface Profile {
  /** Pods whose `schedulerName` this is. */
  readonly schedulerName: string
  /** Below zero: `a` before `b`. */
  readonly queueSort: (a: QueueOrder, b: QueueOrder) => number
  readonly preEnqueue: readonly Plugin[]
  readonly filter: readonly Plugin[]
  /** What to do for a pod that fits nowhere. */
  readonly postFilter: readonly 'DefaultPreemption'[]
  readonly score: readonly Weighted[]
  readonly reserve: readonly Plugin[]
  readonly permit: readonly Plugin[]
  readonly preBind: readonly Plugin[]
  readonly bind: readonly Plugin[]
}

/** More important first, then who has waited longer. */
const prioritySort: Profile['queueSort'] = (a, b) => b.priority - a.priority || a.since - b.since

export const profile = (schedulerName: string, strategy: ScoringStrategy = 'LeastAllocated'): Profile => {
  const fit = nodeResourcesFit(strategy)
  return {
    schedulerName,
    queueSort: prioritySort,
    preEnqueue: [schedulingGates],
    // Pre-filter and filter: cheap and final first.
    filter: [
      namedNode,
      nodeUnschedulable,
      nodeName,
      taintToleration,
      nodeAffinity,
      nodePorts,
      fit,
      volumeRestrictions,
      nodeVolumeLimits,
      volumeBinding,
      volumeZone,
      podTopologySpread,
      interPodAffinity,
    ],
    postFilter: ['DefaultPreemption'],
    // Pre-score and score.
    score: [
      { plugin: taintToleration, weight: 3 },
      { plugin: nodeAffinity, weight: 2 },
      { plugin: podTopologySpread, weight: 2 },
      { plugin: interPodAffinity, weight: 2 },
      { plugin: fit, weight: 1 },
      { plugin: nodeResourcesBalanced, weight: 1 },
      { plugin: imageLocality, weight: 1 },
    ],
    reserve: [volumeBinding],
    permit: [],
    preBind: [volumeBinding],
    bind: [defaultBinder],
  }
}

/** The profile that every cluster has. */
export const defaultProfiles: readonly Profile[] = [profile('default-scheduler')]
