// What a Deployment writes on itself and its ReplicaSets: revisions, history, sizes. Pure.
import type { Deployment, ReplicaSet } from '../../../api/index.js'

export const REVISION = 'deployment.kubernetes.io/revision'
export const HISTORY = 'deployment.kubernetes.io/revision-history'
export const DESIRED = 'deployment.kubernetes.io/desired-replicas'
export const MAX = 'deployment.kubernetes.io/max-replicas'
export const HASH_LABEL = 'pod-template-hash'

/** What describes the Deployment itself and would mean something else on a ReplicaSet. */
const OWN = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  REVISION,
  HISTORY,
  DESIRED,
  MAX,
  'deprecated.deployment.rollback.to',
])

type Annotations = Readonly<Record<string, string>>

export const revisionOf = (set: ReplicaSet | Deployment): number => Number(set.metadata.annotations?.[REVISION] ?? 0) || 0

/** The revision the current template should carry: one more than any other's. */
export const nextRevision = (old: readonly ReplicaSet[]): number => Math.max(0, ...old.map(revisionOf)) + 1

export const sizes = (desired: number, max: number): Annotations => ({ [DESIRED]: String(desired), [MAX]: String(max) })

/** Annotations of the newest set: the Deployment's (change-cause above all), its revision and the revisions it had before. */
export function newSetAnnotations(deployment: Deployment, existing: Annotations, revision: number): Annotations {
  const copied = Object.entries(deployment.metadata.annotations ?? {}).filter(([key]) => !OWN.has(key))
  const annotations: Record<string, string> = { ...existing, ...Object.fromEntries(copied) }
  const before = existing[REVISION]
  const old = Number(before ?? 0) || 0
  if (old >= revision) return annotations
  annotations[REVISION] = String(revision)
  if (before !== undefined) {
    const history = existing[HISTORY] ? existing[HISTORY].split(',') : []
    annotations[HISTORY] = [...history.filter((entry) => entry !== before), before].join(',')
  }
  return annotations
}
