// What a Deployment reports: counts, Available, Progressing. Pure.
import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from '../../../api/index.js'
import { rfc3339 } from '../../../lib/index.js'
import { compact, millis } from '../objects.js'
import { bounds, replicasOf, sum } from './deployment-scaling.js'

type Conditions = readonly DeploymentCondition[]

export const deploymentCondition = (conditions: Conditions | undefined, type: string): DeploymentCondition | undefined =>
  conditions?.find((condition) => condition.type === type)

interface News {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
}

/** The conditions with this one in it; the time of transition moves only when the status does. */
export function withCondition(conditions: Conditions, news: News, now: number): Conditions {
  const before = deploymentCondition(conditions, news.type)
  if (before && before.status === news.status && before.reason === news.reason && before.message === news.message) return conditions
  const time = rfc3339(now)
  const transition = before?.status === news.status ? (before.lastTransitionTime ?? time) : time
  return [...without(conditions, news.type), { ...news, lastUpdateTime: time, lastTransitionTime: transition }]
}

const without = (conditions: Conditions, type: string): Conditions => conditions.filter((condition) => condition.type !== type)

export interface Observed {
  readonly deployment: Deployment
  readonly newSet: ReplicaSet | undefined
  readonly old: readonly ReplicaSet[]
  readonly now: number
}

function counts({ deployment, newSet, old, now }: Observed): DeploymentStatus {
  const all = newSet ? [newSet, ...old] : old
  const available = sum(all.map((set) => set.status?.availableReplicas ?? 0))
  const minimum = replicasOf(deployment) - bounds(deployment).unavailable
  const enough = available >= minimum
  const conditions = withCondition(
    deployment.status?.conditions ?? [],
    {
      type: 'Available',
      status: enough ? 'True' : 'False',
      reason: enough ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
      message: enough ? 'Deployment has minimum availability.' : 'Deployment does not have minimum availability.',
    },
    now,
  )
  const some = (count: number): number | undefined => count || undefined
  return compact({
    observedGeneration: deployment.metadata.generation,
    replicas: some(sum(all.map((set) => set.status?.replicas ?? 0))),
    updatedReplicas: some(newSet?.status?.replicas ?? 0),
    readyReplicas: some(sum(all.map((set) => set.status?.readyReplicas ?? 0))),
    availableReplicas: some(available),
    unavailableReplicas: some(Math.max(0, sum(all.map(replicasOf)) - available)),
    terminatingReplicas: sum(all.map((set) => set.status?.terminatingReplicas ?? 0)),
    collisionCount: deployment.status?.collisionCount,
    conditions,
  })
}

/** Every pod is of the newest template, and available. */
export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const replicas = replicasOf(deployment)
  return (
    (status.updatedReplicas ?? 0) === replicas &&
    (status.replicas ?? 0) === replicas &&
    (status.availableReplicas ?? 0) === replicas &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  )
}

function isProgressing(before: DeploymentStatus | undefined, status: DeploymentStatus): boolean {
  const old = (from: DeploymentStatus | undefined): number => (from?.replicas ?? 0) - (from?.updatedReplicas ?? 0)
  return (
    (status.updatedReplicas ?? 0) > (before?.updatedReplicas ?? 0) ||
    old(status) < old(before) ||
    (status.readyReplicas ?? 0) > (before?.readyReplicas ?? 0) ||
    (status.availableReplicas ?? 0) > (before?.availableReplicas ?? 0)
  )
}

const hasDeadline = (deployment: Deployment): boolean => (deployment.spec?.progressDeadlineSeconds ?? 2 ** 31 - 1) < 2 ** 31 - 1

/** When a rollout that stands still is given up; undefined when it is not standing or has no deadline. */
export function deadlineAt(deployment: Deployment, status: DeploymentStatus): number | undefined {
  const progressing = deploymentCondition(status.conditions, 'Progressing')
  if (!hasDeadline(deployment) || deployment.spec?.paused || !progressing) return undefined
  if (progressing.reason === 'NewReplicaSetAvailable' || progressing.reason === 'ProgressDeadlineExceeded') return undefined
  return millis(progressing.lastUpdateTime) + (deployment.spec?.progressDeadlineSeconds ?? 600) * 1000
}

/** The Progressing condition for what is seen now. */
function progress({ deployment, newSet, now }: Observed, status: DeploymentStatus): Conditions {
  let conditions = status.conditions ?? []
  if (!hasDeadline(deployment)) return without(conditions, 'Progressing')
  const current = deploymentCondition(conditions, 'Progressing')
  const name = newSet ? `ReplicaSet "${newSet.metadata.name}"` : `Deployment "${deployment.metadata.name}"`
  const type = 'Progressing'
  const wasComplete = status.replicas === status.updatedReplicas && current?.reason === 'NewReplicaSetAvailable'
  if (wasComplete) return conditions
  if (isComplete(deployment, status)) {
    const message = `${name} has successfully progressed.`
    return withCondition(conditions, { type, status: 'True', reason: 'NewReplicaSetAvailable', message }, now)
  }
  if (isProgressing(deployment.status, status)) {
    // Each step counts as news: the deadline runs from the last one.
    const transition = current?.status === 'True' ? current.lastTransitionTime : undefined
    conditions = without(conditions, type)
    const message = `${name} is progressing.`
    const time = rfc3339(now)
    const news = {
      type,
      status: 'True',
      reason: 'ReplicaSetUpdated',
      message,
      lastUpdateTime: time,
      lastTransitionTime: transition ?? time,
    }
    return [...conditions, news]
  }
  const deadline = deadlineAt(deployment, status)
  if (deadline === undefined || now <= deadline) return conditions
  const message = `${name} has timed out progressing.`
  return withCondition(conditions, { type, status: 'False', reason: 'ProgressDeadlineExceeded', message }, now)
}

/** A ReplicaSet's own failure to create pods shows on the Deployment. */
function failure({ newSet, old }: Observed, conditions: Conditions): Conditions {
  const failed = (set: ReplicaSet): DeploymentCondition | undefined => {
    const found = set.status?.conditions?.find((condition) => condition.type === 'ReplicaFailure')
    return found && { ...found, lastUpdateTime: found.lastTransitionTime }
  }
  const found = newSet ? failed(newSet) : old.map(failed).find((condition) => condition !== undefined)
  return found ? [...without(conditions, 'ReplicaFailure'), found] : without(conditions, 'ReplicaFailure')
}

/** Status during and after a rollout. */
export function rolloutStatus(observed: Observed): DeploymentStatus {
  const status = counts(observed)
  const conditions = failure(observed, progress(observed, status))
  return { ...status, conditions }
}

/** Status while paused, scaling or being deleted: progress is not judged. */
export const plainStatus = (observed: Observed): DeploymentStatus => counts(observed)
