// What a StatefulSet does next: one ordinal after the other, unless it may do them all at once. Pure.
import type { Pod, StatefulSet, StatefulSetStatus } from '../../../api/index.js'
import { compact, isDeleting, scaled } from '../objects.js'
import { isAvailable, isFinished, isReady } from '../pods.js'
import { ordinalOf, revisionOfPod, startOrdinal } from './stateful-set-identity.js'

export interface StatefulInput {
  readonly set: StatefulSet
  readonly pods: readonly Pod[]
  /** Names of ControllerRevisions. */
  readonly currentRevision: string
  readonly updateRevision: string
  readonly now: number
}

export type StatefulStep =
  | { readonly do: 'create'; readonly ordinal: number; readonly revision: string }
  | { readonly do: 'delete'; readonly pod: Pod; readonly why: 'scale' | 'update' | 'failed' | 'succeeded' }

interface Slots {
  /** By ordinal, in order. */
  readonly wanted: readonly { readonly ordinal: number; readonly pod: Pod | undefined }[]
  /** Pods with ordinals that are not wanted, highest first. */
  readonly condemned: readonly Pod[]
}

export function slotsOf(set: StatefulSet, pods: readonly Pod[]): Slots {
  const start = startOrdinal(set)
  const end = start + Math.max(0, set.spec?.replicas ?? 1)
  const byOrdinal = new Map<number, Pod>()
  for (const pod of pods) {
    const ordinal = ordinalOf(set, pod)
    if (ordinal !== undefined) byOrdinal.set(ordinal, pod)
  }
  const wanted = Array.from({ length: end - start }, (_, index) => ({ ordinal: start + index, pod: byOrdinal.get(start + index) }))
  const condemned = [...byOrdinal.entries()]
    .filter(([ordinal]) => ordinal < start || ordinal >= end)
    .sort(([a], [b]) => b - a)
    .map(([, pod]) => pod)
  return { wanted, condemned }
}

export const isRunningAndReady = (pod: Pod): boolean => pod.status?.phase === 'Running' && isReady(pod)

const isParallel = (set: StatefulSet): boolean => set.spec?.podManagementPolicy === 'Parallel'
const isRolling = (set: StatefulSet): boolean => set.spec?.updateStrategy?.type !== 'OnDelete'
const partition = (set: StatefulSet): number => set.spec?.updateStrategy?.rollingUpdate?.partition ?? 0

/** Below the partition a pod that is made anew keeps the old template. */
function revisionFor({ set, currentRevision, updateRevision }: StatefulInput, ordinal: number): string {
  return isRolling(set) && ordinal - startOrdinal(set) < partition(set) ? currentRevision : updateRevision
}

/** The steps to take now; with ordered pods never more than one. */
export function planStateful(input: StatefulInput): readonly StatefulStep[] {
  const { set, pods, now } = input
  if (isDeleting(set)) return []
  const { wanted, condemned } = slotsOf(set, pods)
  const minReady = set.spec?.minReadySeconds ?? 0
  const healthy = (pod: Pod): boolean => isRunningAndReady(pod) && !isDeleting(pod)
  const steps: StatefulStep[] = []
  const ordered = !isParallel(set)

  for (const { ordinal, pod } of wanted) {
    if (!pod) {
      steps.push({ do: 'create', ordinal, revision: revisionFor(input, ordinal) })
      if (ordered) return steps
      continue
    }
    if (isFinished(pod)) {
      if (!isDeleting(pod)) steps.push({ do: 'delete', pod, why: pod.status?.phase === 'Failed' ? 'failed' : 'succeeded' })
      if (ordered) return steps
      continue
    }
    if (ordered && (!healthy(pod) || !isAvailable(pod, minReady, now))) return steps
  }

  const unhealthy = [...wanted.flatMap(({ pod }) => pod ?? []), ...condemned].find((pod) => !healthy(pod))
  for (const pod of condemned) {
    if (isDeleting(pod)) {
      if (ordered) return steps
      continue
    }
    // A sick pod elsewhere in the set: wait, unless it is this one.
    if (ordered && !isRunningAndReady(pod) && pod !== unhealthy) return steps
    steps.push({ do: 'delete', pod, why: 'scale' })
    if (ordered) return steps
  }
  if (steps.length > 0 && ordered) return steps
  return [...steps, ...planUpdate(input, wanted)]
}

/** Pods of an older template go, highest ordinal first, as many at once as may be missing. */
function planUpdate({ set, updateRevision, now }: StatefulInput, wanted: Slots['wanted']): StatefulStep[] {
  if (!isRolling(set)) return []
  const minReady = set.spec?.minReadySeconds ?? 0
  const replicas = wanted.length
  const limit = Math.max(1, scaled(set.spec?.updateStrategy?.rollingUpdate?.maxUnavailable, replicas, 'up') ?? 1)
  const usable = (pod: Pod | undefined): boolean =>
    pod !== undefined && isRunningAndReady(pod) && !isDeleting(pod) && isAvailable(pod, minReady, now)
  let unavailable = wanted.filter(({ pod }) => !usable(pod)).length
  const steps: StatefulStep[] = []
  for (const { ordinal, pod } of [...wanted].reverse()) {
    if (ordinal - startOrdinal(set) < partition(set)) break
    if (!pod || isDeleting(pod)) {
      if (unavailable >= limit) break
      continue
    }
    if (revisionOfPod(pod) === updateRevision) {
      // An updated pod that is not up yet halts the rollout.
      if (!usable(pod) && unavailable >= limit) break
      continue
    }
    if (usable(pod)) {
      if (unavailable >= limit) break
      unavailable++
    } else if (unavailable > limit) break
    steps.push({ do: 'delete', pod, why: 'update' })
    if (steps.length >= limit) break
  }
  return steps
}

export function planStatefulStatus(input: StatefulInput, collisionCount: number | undefined): StatefulSetStatus {
  const { set, pods, currentRevision, updateRevision, now } = input
  const minReady = set.spec?.minReadySeconds ?? 0
  const mine = pods.filter((pod) => ordinalOf(set, pod) !== undefined)
  const ready = mine.filter((pod) => isRunningAndReady(pod) && !isDeleting(pod))
  const of = (revision: string): number =>
    mine.filter((pod) => !isDeleting(pod) && !isFinished(pod) && revisionOfPod(pod) === revision).length
  const updated = of(updateRevision)
  const replicas = mine.length
  const status = {
    replicas,
    readyReplicas: ready.length || undefined,
    availableReplicas: ready.filter((pod) => isAvailable(pod, minReady, now)).length,
    currentReplicas: of(currentRevision) || undefined,
    updatedReplicas: updated || undefined,
    currentRevision,
    updateRevision,
    observedGeneration: set.metadata.generation,
    collisionCount: collisionCount ?? 0,
  }
  // The rollout is over: what was new is now simply what there is.
  const complete =
    isRolling(set) && partition(set) === 0 && updated === replicas && ready.length === replicas && replicas === (set.spec?.replicas ?? 1)
  return compact(complete ? { ...status, currentRevision: updateRevision, currentReplicas: updated || undefined } : status)
}
