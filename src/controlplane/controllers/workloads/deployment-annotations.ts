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

const parsed = (revision = ''): bigint => (/^\d{1,18}$|^[0-8]\d{18}$/.test(revision) ? BigInt(revision) : 0n)

/** 64 bits, as others write and read it. */
export const revisionOf = (set: ReplicaSet | Deployment): bigint => parsed(set.metadata.annotations?.[REVISION])

export const byRevision = (a: ReplicaSet, b: ReplicaSet): number =>
  Number(revisionOf(a) > revisionOf(b)) - Number(revisionOf(a) < revisionOf(b))

/** The revision the current template should carry: one more than any other's. */
export function nextRevision(old: readonly ReplicaSet[]): bigint {
  const last = [...old].sort(byRevision).at(-1)
  return (last ? revisionOf(last) : 0n) + 1n
}

export const sizes = (desired: number, max: number): Annotations => ({ [DESIRED]: String(desired), [MAX]: String(max) })

/** Annotations of the newest set: the Deployment's (change-cause above all), its revision and the revisions it had before. */
export function newSetAnnotations(deployment: Deployment, existing: Annotations, revision: bigint): Annotations {
  const copied = Object.entries(deployment.metadata.annotations ?? {}).filter(([key]) => !OWN.has(key))
  const annotations: Record<string, string> = { ...existing, ...Object.fromEntries(copied) }
  const before = existing[REVISION]
  if (parsed(before) >= revision) return annotations
  annotations[REVISION] = String(revision)
  if (before !== undefined) {
    const history = existing[HISTORY] ? existing[HISTORY].split(',') : []
    annotations[HISTORY] = [...history.filter((entry) => entry !== before), before].join(',')
  }
  return annotations
}
