// PodDisruptionBudgets: how many of the selected pods may be evicted now. The eviction subresource reads the answer.
import {
  type Condition,
  Deployment,
  Pod,
  PodDisruptionBudget,
  type PodDisruptionBudgetStatus,
  ReplicaSet,
  ReplicationController,
  StatefulSet,
} from '../../../api/index.js'
import { rfc3339 } from '../../../lib/index.js'
import { compact, controllerOf, isDeleting, keyOf, millis, sameJson, scaled } from '../objects.js'
import { isFinished, isReady } from '../pods.js'
import { selects } from '../selector.js'
import type { Cache, Controller } from '../types.js'
import { watch } from '../types.js'

/** An eviction that was granted and whose pod is still there after this time has not happened. */
const DELETION_TIMEOUT_MS = 120_000

export type Expected = { readonly count: number } | { readonly error: string }

/** How many pods there should be: those of the scale of every owner of a selected pod. */
export function expectedCount(pods: readonly Pod[], cache: Cache): Expected {
  const scales = new Map<string, number>()
  for (const pod of pods) {
    const owner = controllerOf(pod)
    const name = `${pod.metadata.namespace}/${pod.metadata.name}`
    if (!owner) return { error: `found no controller ref for pod ${JSON.stringify(name)}` }
    const key = `${pod.metadata.namespace}/${owner.name}`
    if (owner.kind === 'ReplicaSet') {
      const set = cache.get(ReplicaSet, key)
      const above = set && controllerOf(set)
      const deployment = above?.kind === 'Deployment' ? cache.get(Deployment, `${pod.metadata.namespace}/${above.name}`) : undefined
      if (deployment) scales.set(deployment.metadata.uid ?? '', deployment.spec?.replicas ?? 1)
      else if (set) scales.set(owner.uid, set.spec?.replicas ?? 1)
    } else if (owner.kind === 'StatefulSet') scales.set(owner.uid, cache.get(StatefulSet, key)?.spec?.replicas ?? 0)
    else if (owner.kind === 'ReplicationController') scales.set(owner.uid, cache.get(ReplicationController, key)?.spec?.replicas ?? 0)
    else return { error: `${owner.kind} does not implement the scale subresource` }
  }
  return { count: [...scales.values()].reduce((sum, each) => sum + each, 0) }
}

export interface BudgetInput {
  readonly budget: PodDisruptionBudget
  /** All pods that the selector matches. */
  readonly pods: readonly Pod[]
  readonly expected: Expected
  readonly now: number
}

export function planBudget({ budget, pods, expected, now }: BudgetInput): PodDisruptionBudgetStatus {
  const { minAvailable, maxUnavailable } = budget.spec ?? {}
  const counted = pods.filter((pod) => !isFinished(pod))
  const byName = new Map(pods.map((pod) => [pod.metadata.name, pod]))
  const disruptedPods = Object.fromEntries(
    Object.entries(budget.status?.disruptedPods ?? {}).filter(([name, time]) => {
      const pod = byName.get(name)
      return pod && !isDeleting(pod) && millis(time) + DELETION_TIMEOUT_MS > now
    }),
  )
  let expectedPods = counted.length
  let desiredHealthy = 0
  let error: string | undefined
  if (maxUnavailable !== undefined) {
    if ('error' in expected) error = expected.error
    else {
      expectedPods = expected.count
      desiredHealthy = Math.max(0, expectedPods - (scaled(maxUnavailable, expectedPods, 'up') ?? 0))
    }
  } else if (typeof minAvailable === 'string') {
    if ('error' in expected) error = expected.error
    else {
      expectedPods = expected.count
      desiredHealthy = scaled(minAvailable, expectedPods, 'up') ?? expectedPods
    }
  } else desiredHealthy = minAvailable ?? 1
  const currentHealthy = counted.filter((pod) => isReady(pod) && !isDeleting(pod) && disruptedPods[pod.metadata.name] === undefined).length
  const allowed = error === undefined && expectedPods > 0 ? Math.max(0, currentHealthy - desiredHealthy) : 0
  return compact({
    conditions: withCondition(budget, allowed, error, now),
    currentHealthy,
    desiredHealthy: error === undefined ? desiredHealthy : (budget.status?.desiredHealthy ?? 0),
    disruptedPods: Object.keys(disruptedPods).length > 0 ? disruptedPods : undefined,
    disruptionsAllowed: allowed,
    expectedPods,
    observedGeneration: budget.metadata.generation,
  })
}

function withCondition(budget: PodDisruptionBudget, allowed: number, error: string | undefined, now: number): readonly Condition[] {
  const before = budget.status?.conditions ?? []
  const old = before.find((condition) => condition.type === 'DisruptionAllowed')
  const status = allowed > 0 ? 'True' : 'False'
  const reason = error !== undefined ? 'SyncFailed' : allowed > 0 ? 'SufficientPods' : 'InsufficientPods'
  const condition = {
    type: 'DisruptionAllowed',
    status,
    reason,
    message: error ?? '',
    lastTransitionTime: old?.status === status ? old.lastTransitionTime : rfc3339(now),
    ...(budget.metadata.generation === undefined ? {} : { observedGeneration: budget.metadata.generation }),
  }
  return [...before.filter((each) => each !== old), condition]
}

export const disruptionBudget: Controller = {
  name: 'disruption',
  component: 'controllermanager',
  for: PodDisruptionBudget,
  reads: [ReplicaSet, Deployment, StatefulSet, ReplicationController],
  watches: [
    watch(Pod, (pod, cache, previous) =>
      cache
        .list(PodDisruptionBudget, pod.metadata.namespace)
        .filter(
          ({ spec }) => selects(spec?.selector, pod.metadata.labels) || (previous && selects(spec?.selector, previous.metadata.labels)),
        )
        .map(keyOf),
    ),
    ...[Deployment, ReplicaSet, StatefulSet, ReplicationController].map((kind) =>
      watch(kind as typeof Deployment, (object, cache, previous) =>
        previous?.spec?.replicas === object.spec?.replicas ? [] : cache.list(PodDisruptionBudget, object.metadata.namespace).map(keyOf),
      ),
    ),
  ],
  async reconcile(key, { cache, client, clock, events }) {
    const budget = cache.get(PodDisruptionBudget, key)
    if (!budget || isDeleting(budget)) return undefined
    const pods = cache.list(Pod, budget.metadata.namespace).filter((pod) => selects(budget.spec?.selector, pod.metadata.labels))
    if (pods.length === 0) events.normal(budget, 'NoPods', 'No matching pods found')
    const expected = expectedCount(
      pods.filter((pod) => !isFinished(pod)),
      cache,
    )
    const status = planBudget({ budget, pods, expected, now: clock.now() })
    if ('error' in expected && status.conditions?.some((condition) => condition.reason === 'SyncFailed')) {
      events.warning(budget, 'CalculateExpectedPodCountFailed', `Failed to calculate the number of expected pods: ${expected.error}`)
    }
    if (!sameJson(status, budget.status)) await client.updateStatus(PodDisruptionBudget, { ...budget, status })
    const times = Object.values(status.disruptedPods ?? {}).map((time) => millis(time) + DELETION_TIMEOUT_MS - clock.now())
    return times.length > 0 ? { requeueAfterMs: Math.max(1000, Math.min(...times)) } : undefined
  },
}
