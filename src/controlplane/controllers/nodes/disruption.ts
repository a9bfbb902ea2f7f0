// The condition by which a pod says that it did not end by its own fault. Pure.
import type { Pod, PodStatus } from '../../../api/index.js'
import { rfc3339 } from '../../../lib/index.js'

/** The pod's status with DisruptionTarget in it. */
export function disrupted(pod: Pod, reason: string, message: string, now: number): PodStatus {
  const conditions = pod.status?.conditions ?? []
  const old = conditions.find((condition) => condition.type === 'DisruptionTarget')
  if (old?.status === 'True' && old.reason === reason) return pod.status ?? {}
  const condition = {
    type: 'DisruptionTarget',
    status: 'True',
    reason,
    message,
    lastTransitionTime: rfc3339(now),
    ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
  }
  return { ...pod.status, conditions: [...conditions.filter((each) => each.type !== 'DisruptionTarget'), condition] }
}
