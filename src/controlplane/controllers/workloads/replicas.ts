// Keeps as many pods alive as `spec.replicas` asks for: the decision and the loop shared by ReplicaSet and ReplicationController.
import {
  type Kind,
  type LabelSelector,
  Pod,
  type PodTemplateSpec,
  type ReplicaSetStatus,
  type Resource,
  selects,
} from '../../../api/index.js'
import { explain, isStatus, rfc3339 } from '../../../lib/index.js'
import { compact, controllerOf, isControlledBy, isDeleting, keyOf, nameOf, sameJson, uidOf } from '../objects.js'
import { deletionOrder, isActive, isAvailable, isFinished, isReady, nextAvailability } from '../pods.js'
import type { Cache, Context, Controller, ObjectKey, Outcome } from '../types.js'
import { watch } from '../types.js'
import { claim } from './claim.js'
import { podFromTemplate } from './pod-from-template.js'
import { slowStart } from './slow-start.js'

export interface ReplicaOwner extends Resource {
  readonly spec?:
    | {
        readonly replicas?: number | undefined
        readonly minReadySeconds?: number | undefined
        readonly selector?: unknown
        readonly template?: PodTemplateSpec | undefined
      }
    | undefined
  readonly status?: ReplicaSetStatus | undefined
}

/** Most pods made or removed in one go; the rest follows at once in the next. */
const BURST = 500

export interface ReplicaPlan {
  /** How many pods to make. */
  readonly create: number
  readonly remove: readonly Pod[]
}

/** `related` are the pods of all sets of the same owner: they say which nodes are crowded. */
export function planReplicas(owner: ReplicaOwner, pods: readonly Pod[], related: () => readonly Pod[], now: number): ReplicaPlan {
  const active = pods.filter(isActive)
  if (isDeleting(owner)) return { create: 0, remove: [] }
  const missing = Math.max(0, owner.spec?.replicas ?? 1) - active.length
  if (missing >= 0) return { create: Math.min(missing, BURST), remove: [] }
  return { create: 0, remove: deletionOrder(active, related(), now).slice(0, Math.min(-missing, BURST)) }
}

export interface Failure {
  readonly reason: 'FailedCreate' | 'FailedDelete'
  readonly message: string
}

export function planReplicaStatus(owner: ReplicaOwner, pods: readonly Pod[], now: number, failure: Failure | undefined): ReplicaSetStatus {
  const active = pods.filter(isActive)
  const minReadySeconds = owner.spec?.minReadySeconds ?? 0
  const labels = owner.spec?.template?.metadata?.labels ?? {}
  const before = owner.status?.conditions ?? []
  const old = before.find((condition) => condition.type === 'ReplicaFailure')
  const others = before.filter((condition) => condition.type !== 'ReplicaFailure')
  const failed = failure && {
    type: 'ReplicaFailure',
    status: 'True',
    reason: failure.reason,
    message: failure.message,
    lastTransitionTime: old?.lastTransitionTime ?? rfc3339(now),
  }
  const conditions = failed ? [...others, failed] : others
  return compact({
    replicas: active.length,
    fullyLabeledReplicas: active.filter((pod) => selects({ matchLabels: labels }, pod.metadata.labels)).length || undefined,
    readyReplicas: active.filter(isReady).length || undefined,
    availableReplicas: active.filter((pod) => isAvailable(pod, minReadySeconds, now)).length || undefined,
    // A ReplicationController's status has no such field.
    terminatingReplicas: owner.kind === 'ReplicaSet' ? pods.filter((pod) => isDeleting(pod) && !isFinished(pod)).length : undefined,
    observedGeneration: owner.metadata.generation,
    conditions: conditions.length > 0 ? conditions : undefined,
  })
}

export interface ReplicaController<T extends ReplicaOwner> {
  readonly name: string
  readonly kind: Kind<T>
  readonly selector: (owner: T) => LabelSelector | undefined
}

/** Keys of the owners of `kind` that would adopt this stray. */
export function adopters<T extends Resource>(kind: Kind<T>, selector: (owner: T) => LabelSelector | undefined) {
  return (object: Resource, cache: Cache, previous?: Resource): ObjectKey[] => {
    if (controllerOf(object) || isDeleting(object)) return []
    if (previous && !controllerOf(previous) && sameJson(previous.metadata.labels, object.metadata.labels)) return []
    return cache
      .list(kind, object.metadata.namespace)
      .filter((owner) => selects(selector(owner), object.metadata.labels))
      .map(keyOf)
  }
}

export function replicaController<T extends ReplicaOwner>({ name, kind, selector }: ReplicaController<T>): Controller {
  async function reconcile(key: ObjectKey, context: Context): Promise<Outcome | undefined> {
    const { cache, clock } = context
    const owner = cache.get(kind, key)
    if (!owner) return undefined // deleted: the garbage collector removes its pods
    const matching = selector(owner)
    const pods = await claim(context, {
      kind: Pod,
      ownerKind: kind,
      owner,
      matches: (pod) => selects(matching, pod.metadata.labels),
      adoptable: isActive,
    })
    const failure = await apply(
      context,
      kind,
      owner,
      planReplicas(owner, pods, () => related(cache, kind, owner, pods), clock.now()),
    )
    // Read again: what apply wrote is in the cache already.
    const current = cache.ownedBy(Pod, uidOf(owner))
    const status = planReplicaStatus(owner, current, clock.now(), failure && describe(failure))
    if (!sameJson(status, owner.status)) await context.client.updateStatus(kind, { ...owner, status })
    if (failure) throw failure.error
    const wait = nextAvailability(current, owner.spec?.minReadySeconds ?? 0, clock.now())
    return wait === undefined ? undefined : { requeueAfterMs: wait }
  }
  return { name, for: kind, owns: [Pod], watches: [watch(Pod, adopters(kind, selector))], reconcile }
}

const describe = ({ reason, error }: ApplyFailure): Failure => ({ reason, message: explain(error) })

/** Pods of all sets that have the same owner as this one (the sets of a Deployment). */
function related<T extends ReplicaOwner>(cache: Cache, kind: Kind<T>, owner: T, own: readonly Pod[]): readonly Pod[] {
  const above = controllerOf(owner)
  if (!above) return own
  return cache.ownedBy(kind, above.uid).flatMap((set) => cache.ownedBy(Pod, uidOf(set)))
}

interface ApplyFailure {
  readonly reason: Failure['reason']
  readonly error: unknown
}

async function apply<T extends ReplicaOwner>(
  { client, events, cache }: Context,
  kind: Kind<T>,
  owner: T,
  plan: ReplicaPlan,
): Promise<ApplyFailure | undefined> {
  if (plan.create > 0) {
    const pod = podFromTemplate(owner.spec?.template, kind, owner)
    const { error } = await slowStart(plan.create, async () => {
      const made = await client.create(Pod, pod)
      events.normal(owner, 'SuccessfulCreate', `Created pod: ${made.metadata.name}`)
    })
    if (error !== undefined) {
      // A namespace on its way out refuses new pods: nothing to tell, nothing to try again.
      if (isStatus(error, 'Forbidden') && isTerminatingNamespace(error)) return undefined
      events.warning(owner, 'FailedCreate', `Error creating: ${explain(error)}`)
      return { reason: 'FailedCreate', error }
    }
  }
  const results = await Promise.allSettled(
    plan.remove.map(async (pod) => {
      // The cache may lag: never delete a pod that has meanwhile become someone else's.
      const seen = cache.get(Pod, keyOf(pod))
      if (seen && !isControlledBy(seen, owner)) return
      await client.delete(Pod, nameOf(pod), { preconditions: { uid: uidOf(pod) } })
      events.normal(owner, 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`)
    }),
  )
  const failed = results.find((result) => result.status === 'rejected')
  if (!failed) return undefined
  events.warning(owner, 'FailedDelete', `Error deleting: ${explain(failed.reason)}`)
  return { reason: 'FailedDelete', error: failed.reason }
}

export const isTerminatingNamespace = (error: unknown): boolean =>
  isStatus(error, 'Forbidden') &&
  (error.message.includes('because it is being terminated') ||
    (error.details?.causes ?? []).some((cause) => cause.reason === 'NamespaceTerminating'))
