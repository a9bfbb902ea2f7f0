// What controllers ask about pods, and in which order they give pods up. Pure.
import type { Pod, PodCondition } from '../../api/index.js'
import { isDeleting, millis } from './objects.js'

export const podCondition = (pod: Pod, type: string): PodCondition | undefined =>
  pod.status?.conditions?.find((condition) => condition.type === type)

export const isFinished = (pod: Pod): boolean => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'

/** Neither finished nor on its way out. */
export const isActive = (pod: Pod): boolean => !isFinished(pod) && !isDeleting(pod)

export const isReady = (pod: Pod): boolean => podCondition(pod, 'Ready')?.status === 'True'

/** When a ready pod becomes (or became) available; undefined for one that is not ready. */
export function availableAt(pod: Pod, minReadySeconds: number): number | undefined {
  const ready = podCondition(pod, 'Ready')
  if (ready?.status !== 'True') return undefined
  if (minReadySeconds === 0) return 0
  return ready.lastTransitionTime ? millis(ready.lastTransitionTime) + minReadySeconds * 1000 : undefined
}

export function isAvailable(pod: Pod, minReadySeconds: number, now: number): boolean {
  const at = availableAt(pod, minReadySeconds)
  return at !== undefined && at <= now
}

/** How long until the next of these pods becomes available by its age alone; undefined when none will. */
export function nextAvailability(pods: readonly Pod[], minReadySeconds: number, now: number): number | undefined {
  let wait: number | undefined
  for (const pod of pods) {
    const at = availableAt(pod, minReadySeconds)
    if (at !== undefined && at > now && (wait === undefined || at - now < wait)) wait = at - now
  }
  return wait
}

const restarts = (pod: Pod): number => Math.max(0, ...(pod.status?.containerStatuses ?? []).map((container) => container.restartCount))

const phaseRank = (pod: Pod): number => (pod.status?.phase === 'Running' ? 2 : pod.status?.phase === 'Unknown' ? 1 : 0)

const deletionCost = (pod: Pod): number => {
  const cost = Number(pod.metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'] ?? 0)
  return Number.isInteger(cost) ? cost : 0
}

/** Ages are compared in powers of two: which of two old pods is a little older says nothing. */
const ageBucket = (since: number, now: number): number => Math.floor(Math.log2(Math.max(1, (now - since) / 1000)))

/**
 * The order in which a ReplicaSet gives pods up: unscheduled, pending, not ready, cheap, crowded, young pods first.
 * `related` are the pods of all sets of the same owner: a node with many of them can spare one.
 */
export function deletionOrder(pods: readonly Pod[], related: readonly Pod[], now: number): Pod[] {
  const crowd = new Map<string, number>()
  for (const pod of related) {
    const node = pod.spec?.nodeName
    if (node && isActive(pod)) crowd.set(node, (crowd.get(node) ?? 0) + 1)
  }
  const crowded = (pod: Pod): number => crowd.get(pod.spec?.nodeName ?? '') ?? 0
  const rank = (a: Pod, b: Pod): number => {
    const assigned = Number(Boolean(a.spec?.nodeName)) - Number(Boolean(b.spec?.nodeName))
    if (assigned) return assigned
    const phase = phaseRank(a) - phaseRank(b)
    if (phase) return phase
    const ready = Number(isReady(a)) - Number(isReady(b))
    if (ready) return ready
    const cost = deletionCost(a) - deletionCost(b)
    if (cost) return cost
    const crowding = crowded(b) - crowded(a)
    if (crowding) return crowding
    const readySince = (pod: Pod): number => millis(podCondition(pod, 'Ready')?.lastTransitionTime)
    if (isReady(a) && isReady(b)) {
      const ready = ageBucket(readySince(a), now) - ageBucket(readySince(b), now)
      if (ready) return ready
    }
    const restarted = restarts(b) - restarts(a)
    if (restarted) return restarted
    const age = ageBucket(millis(a.metadata.creationTimestamp), now) - ageBucket(millis(b.metadata.creationTimestamp), now)
    if (age) return age
    return (a.metadata.uid ?? '') < (b.metadata.uid ?? '') ? -1 : 1
  }
  return [...pods].sort(rank)
}
