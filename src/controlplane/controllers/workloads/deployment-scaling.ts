// How many pods each ReplicaSet of a Deployment should have next. Pure.
import type { Deployment, ReplicaSet } from '../../../api/index.js'
import { byAge, scaled } from '../objects.js'
import { DESIRED, MAX } from './deployment-annotations.js'

export interface Scale {
  readonly set: ReplicaSet
  readonly replicas: number
}

export const replicasOf = (object: { readonly spec?: { readonly replicas?: number | undefined } | undefined }): number =>
  object.spec?.replicas ?? 1

export const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0)

/** Available pods of a set that it is meant to keep: its status may lag behind a scale-down that we asked for. */
const available = (set: ReplicaSet): number => Math.min(replicasOf(set), set.status?.availableReplicas ?? 0)

export interface Bounds {
  readonly surge: number
  readonly unavailable: number
}

/** maxSurge and maxUnavailable as numbers. Both zero would forbid every step, so then one pod may be missing. */
export function bounds(deployment: Deployment): Bounds {
  if (deployment.spec?.strategy?.type === 'Recreate') return { surge: 0, unavailable: 0 }
  const replicas = replicasOf(deployment)
  const rolling = deployment.spec?.strategy?.rollingUpdate
  const surge = scaled(rolling?.maxSurge ?? '25%', replicas, 'up') ?? 0
  const unavailable = scaled(rolling?.maxUnavailable ?? '25%', replicas, 'down') ?? 0
  return { surge, unavailable: Math.min(replicas, surge === 0 && unavailable === 0 ? 1 : unavailable) }
}

/** How many pods a set has or is to have: one that was told to shrink still has what its controller has not taken away. */
export type Occupancy = (set: ReplicaSet) => number

/** The size of the newest set: as large as the surge allows. */
export function newSetReplicas(
  deployment: Deployment,
  all: readonly ReplicaSet[],
  current: number,
  occupancy: Occupancy = replicasOf,
): number {
  const replicas = replicasOf(deployment)
  if (deployment.spec?.strategy?.type === 'Recreate') return replicas
  const room = replicas + bounds(deployment).surge - sum(all.map(occupancy))
  return room <= 0 ? current : current + Math.min(room, Math.max(0, replicas - current))
}

/** One step of a rolling update: the new set up, or the old ones down. Empty when there is nothing to do now. */
export function planRolling(
  deployment: Deployment,
  newSet: ReplicaSet,
  old: readonly ReplicaSet[],
  occupancy: Occupancy = replicasOf,
): readonly Scale[] {
  const replicas = replicasOf(deployment)
  const current = replicasOf(newSet)
  if (current > replicas) return [{ set: newSet, replicas }]
  if (current < replicas) {
    const next = newSetReplicas(deployment, [newSet, ...old], current, occupancy)
    if (next !== current) return [{ set: newSet, replicas: next }]
  }
  return planOldDown(deployment, newSet, old)
}

/** Old sets shrink as far as availability allows: pods that do not work go first, they cost nothing. */
function planOldDown(deployment: Deployment, newSet: ReplicaSet, old: readonly ReplicaSet[]): readonly Scale[] {
  const sets = old.filter((set) => replicasOf(set) > 0).sort(byAge)
  if (sets.length === 0) return []
  const all = [newSet, ...sets]
  const minAvailable = replicasOf(deployment) - bounds(deployment).unavailable
  const newUnavailable = replicasOf(newSet) - available(newSet)
  let spare = sum(all.map(replicasOf)) - minAvailable - newUnavailable
  if (spare <= 0) return []
  const size = new Map(sets.map((set) => [set, replicasOf(set)]))
  const shrink = (set: ReplicaSet, by: number): void => {
    size.set(set, (size.get(set) ?? 0) - by)
  }
  for (const set of sets) {
    const broken = Math.min(spare, replicasOf(set) - available(set))
    shrink(set, broken)
    spare -= broken
  }
  let removable = sum(all.map(available)) - minAvailable
  for (const set of sets) {
    if (removable <= 0) break
    const healthy = Math.min(removable, size.get(set) ?? 0, available(set))
    shrink(set, healthy)
    removable -= healthy
  }
  return sets.flatMap((set) => (size.get(set) === replicasOf(set) ? [] : [{ set, replicas: size.get(set) ?? 0 }]))
}

const wanted = (set: ReplicaSet, annotation: string): number | undefined => {
  const text = set.metadata.annotations?.[annotation]
  const value = Number(text)
  return text === undefined || !Number.isInteger(value) ? undefined : value
}

/** True when someone changed `spec.replicas` since the sets were sized. */
export const isScaling = (deployment: Deployment, sets: readonly ReplicaSet[]): boolean =>
  sets.some((set) => replicasOf(set) > 0 && wanted(set, DESIRED) !== undefined && wanted(set, DESIRED) !== replicasOf(deployment))

const isSaturated = (deployment: Deployment, set: ReplicaSet | undefined): boolean =>
  set !== undefined &&
  replicasOf(set) === replicasOf(deployment) &&
  wanted(set, DESIRED) === replicasOf(deployment) &&
  (set.status?.availableReplicas ?? 0) === replicasOf(deployment)

/** Sizes after `spec.replicas` changed, in the middle of a rollout or while paused: every set keeps its share. */
export function planScale(
  deployment: Deployment,
  newSet: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  occupancy: Occupancy = replicasOf,
): readonly Scale[] {
  const replicas = replicasOf(deployment)
  const all = newSet ? [newSet, ...old] : [...old]
  const active = all.filter((set) => replicasOf(set) > 0)
  if (active.length <= 1) {
    const set = active[0] ?? newSet ?? [...old].sort(byAge).at(-1)
    // Also without a change of size the set takes note of the new wish.
    return set && (replicasOf(set) !== replicas || wanted(set, DESIRED) !== replicas) ? [{ set, replicas }] : []
  }
  if (isSaturated(deployment, newSet) || deployment.spec?.strategy?.type === 'Recreate')
    return old.filter((set) => replicasOf(set) > 0).map((set) => ({ set, replicas: 0 }))
  return planProportions(deployment, active, occupancy)
}

function planProportions(deployment: Deployment, active: readonly ReplicaSet[], occupancy: Occupancy): readonly Scale[] {
  const replicas = replicasOf(deployment)
  const allowed = replicas > 0 ? replicas + bounds(deployment).surge : 0
  const missing = allowed - sum(active.map(replicasOf))
  const occupied = sum(active.map(occupancy))
  if (missing > 0 && !Number.isFinite(occupied)) return []
  const toAdd = missing > 0 ? Math.max(0, allowed - occupied) : missing
  // Large sets first; among equals grow the newest and shrink the oldest.
  const ordered = [...active].sort((a, b) => replicasOf(b) - replicasOf(a) || (toAdd > 0 ? byAge(b, a) : byAge(a, b)))
  let added = 0
  const next = ordered.map((set) => {
    const share = toAdd === 0 ? 0 : shareOf(deployment, set, allowed)
    const left = toAdd - added
    const change = toAdd > 0 ? Math.max(0, Math.min(share, left)) : Math.min(0, Math.max(share, left))
    added += change
    return { set, replicas: replicasOf(set) + change }
  })
  // Rounding leaves a rest: the largest takes it.
  const first = next[0]
  if (first && toAdd !== added) next[0] = { set: first.set, replicas: Math.max(0, first.replicas + toAdd - added) }
  return next
}

function shareOf(deployment: Deployment, set: ReplicaSet, allowed: number): number {
  if (replicasOf(deployment) === 0) return -replicasOf(set)
  const before = wanted(set, MAX) || (deployment.status?.replicas ?? 0)
  if (before === 0) return 0
  return Math.round((replicasOf(set) * allowed) / before) - replicasOf(set)
}
