// StatefulSets: pods with names that stay, claims that stay with them, one after the other.
import { ControllerRevision, PersistentVolumeClaim, Pod, StatefulSet, selects } from '../../../api/index.js'
import { explain, isStatus } from '../../../lib/index.js'
import { isDeleting, keyOf, nameOf, sameJson, uidOf } from '../objects.js'
import { nextAvailability } from '../pods.js'
import type { Context, Controller, ObjectKey, Outcome } from '../types.js'
import { watch } from '../types.js'
import { claim } from './claim.js'
import { adopters, isTerminatingNamespace } from './replicas.js'
import { byRevision, currentRevision, planTruncation, revisionsOf } from './revisions.js'
import { all } from './slow-start.js'
import {
  ordinalOf,
  planClaims,
  planPod,
  podName,
  repairClaimOwners,
  repairIdentity,
  retention,
  revisionOfPod,
} from './stateful-set-identity.js'
import { planStateful, planStatefulStatus, type StatefulStep, slotsOf } from './stateful-set-plan.js'

const HASH_LABEL = 'controller.kubernetes.io/hash'

/** The spec as it was in a revision. */
function specOf(set: StatefulSet, revision: ControllerRevision | undefined): NonNullable<StatefulSet['spec']> {
  const spec = set.spec ?? { selector: {}, template: {} }
  const template = (revision?.data as { spec?: { template?: Record<string, unknown> } } | undefined)?.spec?.template
  if (!template) return spec
  const { $patch: _, ...rest } = template
  return { ...spec, template: rest as typeof spec.template }
}

async function createPod(context: Context, set: StatefulSet, ordinal: number, revision: ControllerRevision | undefined): Promise<void> {
  const { client, events, cache } = context
  const name = podName(set, ordinal)
  try {
    for (const wanted of planClaims(set, ordinal)) {
      const existing = cache.get(PersistentVolumeClaim, keyOf(wanted))
      if (existing?.metadata.deletionTimestamp) throw new Error(`persistentvolumeclaim "${wanted.metadata.name}" is being deleted`)
      if (existing) continue
      try {
        await client.create(PersistentVolumeClaim, wanted)
        events.normal(
          set,
          'SuccessfulCreate',
          `create Claim ${wanted.metadata.name} Pod ${name} in StatefulSet ${set.metadata.name} success`,
        )
      } catch (error) {
        if (!isStatus(error, 'AlreadyExists')) throw error
      }
    }
    await client.create(Pod, planPod(set, specOf(set, revision), ordinal, revision?.metadata.name ?? ''))
    events.normal(set, 'SuccessfulCreate', `create Pod ${name} in StatefulSet ${set.metadata.name} successful`)
  } catch (error) {
    if (isTerminatingNamespace(error)) return
    if (!isStatus(error, 'AlreadyExists')) {
      const message = `create Pod ${name} in StatefulSet ${set.metadata.name} failed error: ${explain(error)}`
      events.warning(set, 'FailedCreate', message)
    }
    throw error
  }
}

async function deletePod({ client, events }: Context, set: StatefulSet, step: StatefulStep & { do: 'delete' }): Promise<void> {
  const { name, namespace } = step.pod.metadata
  if (step.why === 'failed') {
    events.warning(set, 'RecreatingFailedPod', `StatefulSet ${namespace}/${set.metadata.name} is recreating failed Pod ${name}`)
  } else if (step.why === 'succeeded') {
    events.normal(set, 'RecreatingTerminatedPod', `StatefulSet ${namespace}/${set.metadata.name} is recreating terminated Pod ${name}`)
  }
  await client.delete(Pod, nameOf(step.pod), { preconditions: { uid: uidOf(step.pod) } })
  events.normal(set, 'SuccessfulDelete', `delete Pod ${name} in StatefulSet ${set.metadata.name} successful`)
}

/** Claims follow the retention policy, also when it is changed later. */
async function keepClaims({ cache, client }: Context, set: StatefulSet, pods: readonly Pod[]): Promise<void> {
  const { whenDeleted, whenScaled } = retention(set)
  const condemned = new Set(slotsOf(set, pods).condemned)
  for (const pod of pods) {
    const ordinal = ordinalOf(set, pod)
    if (ordinal === undefined) continue
    for (const wanted of planClaims(set, ordinal)) {
      const existing = cache.get(PersistentVolumeClaim, keyOf(wanted))
      if (!existing || isDeleting(existing)) continue
      if (whenDeleted === 'Retain' && whenScaled === 'Retain' && !existing.metadata.ownerReferences?.length) continue
      const repaired = repairClaimOwners(set, existing, pod, condemned.has(pod))
      if (repaired) await client.update(PersistentVolumeClaim, repaired)
    }
  }
}

async function reconcile(key: ObjectKey, context: Context): Promise<Outcome | undefined> {
  const { cache, client, clock } = context
  const set = cache.get(StatefulSet, key)
  if (!set) return undefined
  const matches = (object: Pod | ControllerRevision): boolean => selects(set.spec?.selector, object.metadata.labels)
  const ownerKind = StatefulSet
  const revisions = await claim(context, { kind: ControllerRevision, ownerKind, owner: set, matches })
  const pods = await claim(context, {
    kind: Pod,
    ownerKind,
    owner: set,
    matches: (pod) => matches(pod) && ordinalOf(set, pod) !== undefined,
  })
  if (isDeleting(set)) return undefined
  const made = await currentRevision(context, { ownerKind, owner: set, hashLabel: HASH_LABEL }, revisions)
  if ('collision' in made) {
    const status = { replicas: 0, ...set.status, collisionCount: (set.status?.collisionCount ?? 0) + 1 }
    await client.updateStatus(StatefulSet, { ...set, status })
    return undefined
  }
  const update = made.revision
  const known = revisionsOf(cache, set)
  const current = known.find((each) => each.metadata.name === set.status?.currentRevision) ?? update
  const input = { set, currentRevision: current.metadata.name, updateRevision: update.metadata.name }
  const steps = planStateful({ ...input, pods, now: clock.now() })
  await keepClaims(context, set, pods)
  let failure: { readonly error: unknown } | undefined
  try {
    await all(steps, async (step) => {
      if (step.do === 'delete') await deletePod(context, set, step)
      else await createPod(context, set, step.ordinal, step.revision === update.metadata.name ? update : current)
    })
    for (const pod of pods) {
      const ordinal = ordinalOf(set, pod)
      const repaired = ordinal === undefined || isDeleting(pod) ? undefined : repairIdentity(set, pod, ordinal)
      if (repaired) await client.update(Pod, repaired)
    }
  } catch (error) {
    failure = { error }
  }
  const now = cache.ownedBy(Pod, uidOf(set))
  const status = planStatefulStatus({ ...input, pods: now, now: clock.now() }, set.status?.collisionCount)
  if (!sameJson(status, set.status)) await client.updateStatus(StatefulSet, { ...set, status })
  if (failure) throw failure.error
  const live = new Set([status.currentRevision ?? '', status.updateRevision ?? '', ...now.map(revisionOfPod)])
  for (const old of planTruncation([...known].sort(byRevision), live, set.spec?.revisionHistoryLimit ?? 10)) {
    await client.delete(ControllerRevision, nameOf(old))
  }
  const wait = nextAvailability(now, set.spec?.minReadySeconds ?? 0, clock.now())
  return wait === undefined ? undefined : { requeueAfterMs: wait }
}

export const statefulSet: Controller = {
  name: 'statefulset',
  for: StatefulSet,
  owns: [Pod, ControllerRevision],
  watches: [
    watch(
      Pod,
      adopters(StatefulSet, (set) => set.spec?.selector),
    ),
    // A claim that was in the way of a new pod is gone.
    watch(PersistentVolumeClaim, (object, cache) =>
      cache.get(PersistentVolumeClaim, keyOf(object))
        ? []
        : cache
            .list(StatefulSet, object.metadata.namespace)
            .filter((set) =>
              (set.spec?.volumeClaimTemplates ?? []).some((each) =>
                object.metadata.name.startsWith(`${each.metadata.name}-${set.metadata.name}-`),
              ),
            )
            .map(keyOf),
    ),
  ],
  reconcile,
}
