// PodDisruptionBudgets: how many of the selected pods may be evicted now. The eviction subresource reads the answer.
import {
  type Condition,
  Deployment,
  formatLabelSelector,
  Pod,
  PodDisruptionBudget,
  type PodDisruptionBudgetStatus,
  ReplicaSet,
  ReplicationController,
  StatefulSet,
  selects,
} from '../../../api/index.js'
import { rfc3339 } from '../../../lib/index.js'
import { compact, controllerOf, groupOf, isDeleting, keyOf, millis, sameJson, scaled } from '../objects.js'
import { isFinished, isReady, podCondition } from '../pods.js'
import type { Cache, Controller } from '../types.js'
import { watch } from '../types.js'

/** A pod that was to be disrupted and still lives after this time was spared. */
const SPARED_MS = 120_000

/** When a pod's DisruptionTarget has lost its meaning; undefined when it has (or may yet have) one. */
export function sparedAt(pod: Pod): number | undefined {
  const condition = podCondition(pod, 'DisruptionTarget')
  if (condition?.status !== 'True' || condition.reason === 'TerminationByKubelet' || isDeleting(pod) || isFinished(pod)) return undefined
  return millis(condition.lastTransitionTime) + SPARED_MS
}

/** Takes the DisruptionTarget back from pods that were spared: it would make their Jobs look away when they fail by themselves. */
export const staleDisruption: Controller = {
  name: 'stale-pod-disruption',
  component: 'controllermanager',
  for: Pod,
  async reconcile(key, { cache, client, clock }) {
    const pod = cache.get(Pod, key)
    const at = pod && sparedAt(pod)
    if (!pod || at === undefined) return undefined
    if (at > clock.now()) return { requeueAfterMs: at - clock.now() }
    const conditions = (pod.status?.conditions ?? []).map((each) =>
      each.type === 'DisruptionTarget' ? { type: each.type, status: 'False', lastTransitionTime: rfc3339(clock.now()) } : each,
    )
    await client.updateStatus(Pod, { ...pod, status: { ...pod.status, conditions } })
    return undefined
  },
}

/** An eviction that was granted and whose pod is still there after this time has not happened. */
const DELETION_TIMEOUT_MS = 120_000

export type Expected = { readonly count: number; readonly unmanaged: boolean } | { readonly error: string }

/** How many pods there should be: those of the scale of every owner of a selected pod. Pods without an owner do not count. */
export function expectedCount(pods: readonly Pod[], cache: Cache): Expected {
  const scales = new Map<string, number>()
  let unmanaged = false
  for (const pod of pods) {
    const owner = controllerOf(pod)
    if (!owner) {
      unmanaged = true
      continue
    }
    const key = `${pod.metadata.namespace}/${owner.name}`
    if (owner.kind === 'ReplicaSet') {
      const set = cache.get(ReplicaSet, key)
      const above = set && controllerOf(set)
      const deployment = above?.kind === 'Deployment' ? cache.get(Deployment, `${pod.metadata.namespace}/${above.name}`) : undefined
      if (deployment) scales.set(deployment.metadata.uid ?? '', deployment.spec?.replicas ?? 1)
      else if (set) scales.set(owner.uid, set.spec?.replicas ?? 1)
    } else if (owner.kind === 'StatefulSet') scales.set(owner.uid, cache.get(StatefulSet, key)?.spec?.replicas ?? 0)
    else if (owner.kind === 'ReplicationController') scales.set(owner.uid, cache.get(ReplicationController, key)?.spec?.replicas ?? 0)
    else return { error: `${owner.kind.toLowerCase()}s.${groupOf(owner.apiVersion)} does not implement the scale subresource` }
  }
  return { count: [...scales.values()].reduce((sum, each) => sum + each, 0), unmanaged }
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

const unmanagedMessage = ({ spec }: PodDisruptionBudget): string =>
  `Pods selected by this PodDisruptionBudget (selector: ${formatLabelSelector(spec?.selector)}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.`

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
    const counts = budget.spec?.maxUnavailable !== undefined || typeof budget.spec?.minAvailable === 'string'
    if (counts && 'count' in expected && expected.unmanaged) events.warning(budget, 'UnmanagedPods', unmanagedMessage(budget))
    if (!sameJson(status, budget.status)) await client.updateStatus(PodDisruptionBudget, { ...budget, status })
    const times = Object.values(status.disruptedPods ?? {}).map((time) => millis(time) + DELETION_TIMEOUT_MS - clock.now())
    return times.length > 0 ? { requeueAfterMs: Math.max(1000, Math.min(...times)) } : undefined
  },
}
