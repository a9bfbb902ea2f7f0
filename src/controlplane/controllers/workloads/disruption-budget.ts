// PodDisruptionBudgets: how many of the selected pods may be evicted now. The eviction subresource reads the answer.
import {
  type Condition,
  Deployment,
  formatLabelSelector,
  type Kind,
  type OwnerReference,
  Pod,
  PodDisruptionBudget,
  type PodDisruptionBudgetStatus,
  ReplicaSet,
  ReplicationController,
  type Resource,
  StatefulSet,
  selects,
} from '../../../api/index.js'
import { rfc3339 } from '../../../lib/index.js'
import { compact, controllerOf, isDeleting, keyOf, millis, refersTo, sameJson, scaled, uidOf } from '../objects.js'
import { isFinished, isReady, podCondition } from '../pods.js'
import type { Cache, Controller, Writer } from '../types.js'
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

/** How long until owners whose scale could not be read are asked again. */
const UNKNOWN_SCALE_MS = 30_000

/** An eviction that was granted and whose pod is still there after this time has not happened. */
const DELETION_TIMEOUT_MS = 120_000

export type Expected = { readonly count: number; readonly unmanaged: boolean } | { readonly error: string }

/** Whether the budget says a share of what there should be, and not simply a number of pods. */
const isRelative = ({ spec }: PodDisruptionBudget): boolean => spec?.maxUnavailable !== undefined || typeof spec?.minAvailable === 'string'

/** The object in charge of a pod and its scale, as far as the caches hold it: a name alone may be another object's by now. */
function heldScale(owner: OwnerReference, namespace: string, cache: Cache): { readonly uid: string; readonly count: number } | undefined {
  const held = <T extends Resource>(kind: Kind<T>, reference: OwnerReference): T | undefined => {
    const object = refersTo(reference, kind) ? cache.get(kind, `${namespace}/${reference.name}`) : undefined
    return object?.metadata.uid === reference.uid ? object : undefined
  }
  const set = held(ReplicaSet, owner)
  const above = set && controllerOf(set)
  const found = (above && held(Deployment, above)) ?? set ?? held(StatefulSet, owner) ?? held(ReplicationController, owner)
  return found && { uid: uidOf(found), count: found.spec?.replicas ?? 1 }
}

/** How many pods there should be: those of the scale of every owner of a selected pod. Pods without an owner do not count. */
export async function expectedCount(pods: readonly Pod[], cache: Cache, scaleOf: Writer['scaleOf']): Promise<Expected> {
  const scales = new Map<string, number>()
  const asked = new Set<string>()
  let unmanaged = false
  for (const pod of pods) {
    const owner = controllerOf(pod)
    if (!owner) unmanaged = true
    if (!owner || asked.has(owner.uid)) continue
    asked.add(owner.uid)
    const namespace = pod.metadata.namespace ?? ''
    const held = heldScale(owner, namespace, cache)
    const answer = held?.count ?? (await scaleOf(owner, namespace))
    if (answer === undefined) return { error: `found no controllers for pod "${pod.metadata.name}"` }
    if (typeof answer !== 'number') return answer
    scales.set(held?.uid ?? owner.uid, answer)
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
  const { generation: observedGeneration } = budget.metadata
  if ('error' in expected) {
    const { currentHealthy = 0, desiredHealthy = 0, expectedPods = 0, ...before } = budget.status ?? {}
    const conditions = withCondition(budget, 0, expected.error, now)
    return compact({ ...before, conditions, currentHealthy, desiredHealthy, expectedPods, disruptionsAllowed: 0, observedGeneration })
  }
  const expectedPods = isRelative(budget) ? expected.count : counted.length
  let desiredHealthy = 1
  if (maxUnavailable !== undefined) desiredHealthy = Math.max(0, expectedPods - (scaled(maxUnavailable, expectedPods, 'up') ?? 0))
  else if (minAvailable !== undefined) desiredHealthy = scaled(minAvailable, expectedPods, 'up') ?? expectedPods
  const currentHealthy = counted.filter((pod) => isReady(pod) && !isDeleting(pod) && disruptedPods[pod.metadata.name] === undefined).length
  const allowed = expectedPods > 0 ? Math.max(0, currentHealthy - desiredHealthy) : 0
  return compact({
    conditions: withCondition(budget, allowed, undefined, now),
    currentHealthy,
    desiredHealthy,
    disruptedPods: Object.keys(disruptedPods).length > 0 ? disruptedPods : undefined,
    disruptionsAllowed: allowed,
    expectedPods,
    observedGeneration,
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
    const relative = isRelative(budget)
    const counted = pods.filter((pod) => !isFinished(pod))
    const expected = relative ? await expectedCount(counted, cache, client.scaleOf) : { count: counted.length, unmanaged: false }
    const status = planBudget({ budget, pods, expected, now: clock.now() })
    if ('error' in expected) {
      events.warning(budget, 'CalculateExpectedPodCountFailed', `Failed to calculate the number of expected pods: ${expected.error}`)
    } else if (expected.unmanaged) events.warning(budget, 'UnmanagedPods', unmanagedMessage(budget))
    if (!sameJson(status, budget.status)) await client.updateStatus(PodDisruptionBudget, { ...budget, status })
    // Nothing tells us when a kind gets a scale, or another owner comes.
    if ('error' in expected) return { requeueAfterMs: UNKNOWN_SCALE_MS }
    const times = Object.values(status.disruptedPods ?? {}).map((time) => millis(time) + DELETION_TIMEOUT_MS - clock.now())
    return times.length > 0 ? { requeueAfterMs: Math.max(1000, Math.min(...times)) } : undefined
  },
}
