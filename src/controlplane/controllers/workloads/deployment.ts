// Deployments: brings pods from one template to the next through ReplicaSets.
import { Deployment, type DeploymentStatus, isEmptySelector, Pod, ReplicaSet, selects } from '../../../api/index.js'
import { explain, isStatus } from '../../../lib/index.js'
import { byAge, compact, controllerReference, isDeleting, keyOf, nameOf, sameJson, uidOf } from '../objects.js'
import { isActive, isFinished } from '../pods.js'
import { canonical, templateHash } from '../template-hash.js'
import type { Cache, Context, Controller, ObjectKey, Outcome } from '../types.js'
import { watch } from '../types.js'
import { claim } from './claim.js'
import { byRevision, HASH_LABEL, newSetAnnotations, nextRevision, REVISION, sizes } from './deployment-annotations.js'
import { bounds, isScaling, newSetReplicas, type Occupancy, planRolling, planScale, replicasOf, type Scale } from './deployment-scaling.js'
import { deadlineAt, deploymentCondition, isComplete, plainStatus, rolloutStatus, withCondition } from './deployment-status.js'
import { adopters } from './replicas.js'

/** The template without the label that we add ourselves. */
function templateText(object: Deployment | ReplicaSet): string {
  const template = object.spec?.template
  const { [HASH_LABEL]: _, ...labels } = template?.metadata?.labels ?? {}
  return canonical({ ...template, metadata: { ...template?.metadata, creationTimestamp: undefined, labels } })
}

export interface Sets {
  readonly newSet: ReplicaSet | undefined
  readonly old: readonly ReplicaSet[]
}

/** Which of the sets has the Deployment's template; the oldest, should there be two. */
export function splitSets(deployment: Deployment, sets: readonly ReplicaSet[]): Sets {
  const wanted = templateText(deployment)
  const newSet = [...sets].sort(byAge).find((set) => templateText(set) === wanted)
  return { newSet, old: sets.filter((set) => set !== newSet) }
}

/** The set for a template that has none yet. */
export function planNewSet(deployment: Deployment, old: readonly ReplicaSet[], occupancy: Occupancy = replicasOf): ReplicaSet {
  const hash = templateHash(templateText(deployment), deployment.status?.collisionCount ?? 0)
  const { spec } = deployment
  const labels = { ...spec?.template.metadata?.labels, [HASH_LABEL]: hash }
  const draft: ReplicaSet = {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      namespace: deployment.metadata.namespace,
      labels,
      ownerReferences: [controllerReference(Deployment, deployment)],
      annotations: {
        ...newSetAnnotations(deployment, {}, nextRevision(old)),
        ...sizes(replicasOf(deployment), replicasOf(deployment) + bounds(deployment).surge),
      },
    },
    spec: {
      replicas: newSetReplicas(deployment, old, 0, occupancy),
      ...(spec?.minReadySeconds ? { minReadySeconds: spec.minReadySeconds } : {}),
      selector: { ...spec?.selector, matchLabels: { ...spec?.selector.matchLabels, [HASH_LABEL]: hash } },
      template: { ...spec?.template, metadata: { ...spec?.template.metadata, labels } },
    },
  }
  return draft
}

/** Old sets beyond the history limit that nothing runs in any more, oldest revisions first. */
export function planCleanup(deployment: Deployment, old: readonly ReplicaSet[]): readonly ReplicaSet[] {
  const limit = deployment.spec?.revisionHistoryLimit
  if (limit === undefined || limit >= 2 ** 31 - 1) return []
  const alive = old.filter((set) => !isDeleting(set))
  const surplus = alive.length - limit
  if (surplus <= 0) return []
  const empty = (set: ReplicaSet): boolean =>
    replicasOf(set) === 0 &&
    (set.status?.replicas ?? 0) === 0 &&
    (set.metadata.generation ?? 0) <= (set.status?.observedGeneration ?? Number.MAX_SAFE_INTEGER)
  return [...alive]
    .sort((a, b) => byRevision(a, b) || byAge(a, b))
    .slice(0, surplus)
    .filter(empty)
}

async function scaleSets({ client, events }: Context, deployment: Deployment, scales: readonly Scale[]): Promise<boolean> {
  const size = sizes(replicasOf(deployment), replicasOf(deployment) + bounds(deployment).surge)
  let wrote = false
  for (const { set, replicas } of scales) {
    const from = replicasOf(set)
    const annotations = { ...set.metadata.annotations, ...size }
    if (from === replicas && sameJson(annotations, set.metadata.annotations)) continue
    await client.update(ReplicaSet, {
      ...set,
      metadata: { ...set.metadata, annotations },
      spec: { selector: {}, ...set.spec, replicas },
    })
    wrote = true
    if (from === replicas) continue
    const direction = replicas > from ? 'up' : 'down'
    events.normal(deployment, 'ScalingReplicaSet', `Scaled ${direction} replica set ${set.metadata.name} from ${from} to ${replicas}`)
  }
  return wrote
}

async function writeStatus({ client }: Context, deployment: Deployment, status: DeploymentStatus): Promise<Deployment> {
  if (sameJson(status, deployment.status)) return deployment
  return client.updateStatus(Deployment, { ...deployment, status })
}

/** Note that the newest set was found or made, once per rollout. One that was just made has no pods: its first will be progress. */
function noteSet(deployment: Deployment, set: ReplicaSet, made: boolean, now: number): DeploymentStatus {
  const reason = made ? 'NewReplicaSetCreated' : 'FoundNewReplicaSet'
  const message = `${made ? 'Created' : 'Found'} new replica set "${set.metadata.name}"`
  const conditions = withCondition(deployment.status?.conditions ?? [], { type: 'Progressing', status: 'True', reason, message }, now)
  return compact({ ...deployment.status, ...(made ? { updatedReplicas: undefined } : {}), conditions })
}

const judgesProgress = (deployment: Deployment): boolean => (deployment.spec?.progressDeadlineSeconds ?? 2 ** 31 - 1) < 2 ** 31 - 1

/** Puts revision, history, change-cause and minReadySeconds of the newest set right. */
async function refreshNewSet(context: Context, deployment: Deployment, { newSet, old }: Sets): Promise<boolean> {
  if (!newSet) return false
  const annotations = newSetAnnotations(deployment, newSet.metadata.annotations ?? {}, nextRevision(old))
  const minReadySeconds = deployment.spec?.minReadySeconds ?? 0
  if (!sameJson(annotations, newSet.metadata.annotations) || minReadySeconds !== (newSet.spec?.minReadySeconds ?? 0)) {
    await context.client.update(ReplicaSet, {
      ...newSet,
      metadata: { ...newSet.metadata, annotations },
      spec: { selector: {}, ...newSet.spec, minReadySeconds },
    })
    return true
  }
  const revision = annotations[REVISION]
  if (revision && deployment.metadata.annotations?.[REVISION] !== revision) {
    const metadata = { annotations: { [REVISION]: revision } }
    await context.client.patch(Deployment, nameOf(deployment), { metadata }, { type: 'merge' })
    return true
  }
  if (judgesProgress(deployment) && !deploymentCondition(deployment.status?.conditions, 'Progressing')) {
    await writeStatus(context, deployment, noteSet(deployment, newSet, false, context.clock.now()))
    return true
  }
  return false
}

/** Makes the set of a new template. Its name says what is in it, so a second attempt finds the first. */
async function makeNewSet(context: Context, deployment: Deployment, old: readonly ReplicaSet[]): Promise<void> {
  const { cache, client, events, clock } = context
  const wanted = planNewSet(deployment, old, occupancyIn(cache))
  let made: ReplicaSet
  try {
    made = await client.create(ReplicaSet, wanted)
  } catch (error) {
    if (isStatus(error, 'AlreadyExists')) {
      const existing = await client.find(ReplicaSet, nameOf(wanted))
      if (!existing || (isOurs(existing, deployment) && templateText(existing) === templateText(wanted))) throw error
      // Another template has taken the name: the next attempt hashes differently.
      const collisionCount = (deployment.status?.collisionCount ?? 0) + 1
      await client.updateStatus(Deployment, { ...deployment, status: { ...deployment.status, collisionCount } })
      return
    }
    if (judgesProgress(deployment) && !isStatus(error, 'Conflict')) {
      const news = {
        type: 'Progressing',
        status: 'False',
        reason: 'FailedCreate',
        message: `Failed to create new replica set "${wanted.metadata.name}": ${explain(error)}`,
      } as const
      const conditions = withCondition(deployment.status?.conditions ?? [], news, clock.now())
      await writeStatus(context, deployment, { ...deployment.status, conditions })
    }
    throw error
  }
  const replicas = replicasOf(made)
  if (replicas > 0) events.normal(deployment, 'ScalingReplicaSet', `Scaled up replica set ${made.metadata.name} from 0 to ${replicas}`)
  const patch = { metadata: { annotations: { [REVISION]: made.metadata.annotations?.[REVISION] } } }
  const current = await client.patch(Deployment, nameOf(deployment), patch, { type: 'merge' })
  if (judgesProgress(deployment)) await writeStatus(context, current, noteSet(current, made, true, clock.now()))
}

const isOurs = (set: ReplicaSet, deployment: Deployment): boolean =>
  (set.metadata.ownerReferences ?? []).some((owner) => owner.controller && owner.uid === uidOf(deployment))

/** DeploymentPaused and DeploymentResumed, so that waiting is not taken for standing still. */
function pauseStatus(deployment: Deployment, now: number): DeploymentStatus | undefined {
  if (!judgesProgress(deployment)) return undefined
  const current = deploymentCondition(deployment.status?.conditions, 'Progressing')
  if (current?.reason === 'ProgressDeadlineExceeded') return undefined
  const noted = current?.reason === 'DeploymentPaused'
  const paused = deployment.spec?.paused === true
  if (paused === noted) return undefined
  const news = paused
    ? ({ reason: 'DeploymentPaused', message: 'Deployment is paused' } as const)
    : ({ reason: 'DeploymentResumed', message: 'Deployment is resumed' } as const)
  const conditions = withCondition(deployment.status?.conditions ?? [], { type: 'Progressing', status: 'Unknown', ...news }, now)
  return { ...deployment.status, conditions }
}

/**
 * Counted in pods, because a set that was told to shrink does so a little later. Until its controller has seen its newest size, pods of
 * the size before may still be on their way: nobody can say how many there will be.
 */
const occupancyIn =
  (cache: Cache): Occupancy =>
  (set) => {
    if ((set.status?.observedGeneration ?? 0) < (set.metadata.generation ?? 0)) return Number.POSITIVE_INFINITY
    return Math.max(replicasOf(set), cache.ownedBy(Pod, uidOf(set)).filter(isActive).length)
  }

/** Recreate: nothing of the old may run when the new begins. A set that has not seen its new size yet may be making pods just now. */
export const oldPodsRun = (cache: Cache, old: readonly ReplicaSet[]): boolean =>
  old.some(
    (set) =>
      (set.status?.observedGeneration ?? 0) < (set.metadata.generation ?? 0) ||
      cache.ownedBy(Pod, uidOf(set)).some((pod) => !isFinished(pod)),
  )

async function reconcile(key: ObjectKey, context: Context): Promise<Outcome | undefined> {
  const { cache, clock, events } = context
  const deployment = cache.get(Deployment, key)
  if (!deployment) return undefined
  const { selector } = deployment.spec ?? {}
  if (isEmptySelector(selector)) {
    events.warning(deployment, 'SelectingAll', 'This deployment is selecting all pods. A non-empty selector is required.')
    return undefined
  }
  const matches = (set: ReplicaSet): boolean => selects(selector, set.metadata.labels)
  const sets = await claim(context, { kind: ReplicaSet, ownerKind: Deployment, owner: deployment, matches })
  const split = splitSets(deployment, sets)
  const observed = { deployment, ...split, now: clock.now() }
  if (isDeleting(deployment)) {
    await writeStatus(context, deployment, plainStatus(observed))
    return undefined
  }
  const paused = pauseStatus(deployment, clock.now())
  if (paused) {
    await writeStatus(context, deployment, paused)
    return undefined // our own write wakes us again
  }
  if (deployment.spec?.paused || isScaling(deployment, sets)) {
    if (split.newSet && (await refreshNewSet(context, deployment, split))) return undefined
    if (await scaleSets(context, deployment, planScale(deployment, split.newSet, split.old, occupancyIn(cache)))) return undefined
    if (deployment.spec?.paused) await cleanUp(context, deployment, split.old)
    await writeStatus(context, deployment, plainStatus(observed))
    return undefined
  }
  if (await rollOut(context, deployment, split)) {
    // Each step is reported, so that the next can be seen as progress.
    const current = cache.get(Deployment, key)
    if (!current || uidOf(current) !== uidOf(deployment)) return undefined
    const seen = splitSets(current, cache.ownedBy(ReplicaSet, uidOf(current)).filter(matches))
    await writeStatus(context, current, rolloutStatus({ deployment: current, ...seen, now: clock.now() }))
    return undefined
  }
  const status = rolloutStatus(observed)
  await writeStatus(context, deployment, status)
  if (isComplete(deployment, status)) await cleanUp(context, deployment, split.old)
  const deadline = deadlineAt(deployment, status)
  return deadline === undefined ? undefined : { requeueAfterMs: Math.max(1000, deadline + 1 - clock.now()) }
}

async function cleanUp({ client }: Context, deployment: Deployment, old: readonly ReplicaSet[]): Promise<void> {
  for (const set of planCleanup(deployment, old)) {
    await client.delete(ReplicaSet, nameOf(set), { preconditions: { uid: uidOf(set) } })
  }
}

/** One step towards the newest template. True when something was written: the answer wakes us for the next. */
async function rollOut(context: Context, deployment: Deployment, sets: Sets): Promise<boolean> {
  const { newSet, old } = sets
  if (deployment.spec?.strategy?.type === 'Recreate') {
    const running = old.filter((set) => replicasOf(set) > 0).map((set) => ({ set, replicas: 0 }))
    if (await scaleSets(context, deployment, running)) return true
    if (oldPodsRun(context.cache, old)) return false
  }
  if (!newSet) {
    await makeNewSet(context, deployment, old)
    return true
  }
  if (await refreshNewSet(context, deployment, sets)) return true
  if (deployment.spec?.strategy?.type === 'Recreate') {
    const replicas = replicasOf(deployment)
    return replicasOf(newSet) !== replicas && scaleSets(context, deployment, [{ set: newSet, replicas }])
  }
  return scaleSets(context, deployment, planRolling(deployment, newSet, old, occupancyIn(context.cache)))
}

export const deployment: Controller = {
  name: 'deployment',
  for: Deployment,
  owns: [ReplicaSet],
  watches: [
    watch(
      ReplicaSet,
      adopters(Deployment, (owner) => owner.spec?.selector),
    ),
    // Recreate waits for the end of the last old pod.
    watch(Pod, (pod, cache) => {
      const owner = pod.metadata.ownerReferences?.find((reference) => reference.controller && reference.kind === 'ReplicaSet')
      const set = owner && cache.get(ReplicaSet, `${pod.metadata.namespace}/${owner.name}`)
      const above = set?.metadata.ownerReferences?.find((reference) => reference.controller && reference.kind === 'Deployment')
      const found = above && cache.get(Deployment, `${pod.metadata.namespace}/${above.name}`)
      return found?.spec?.strategy?.type === 'Recreate' && (isFinished(pod) || cache.get(Pod, keyOf(pod)) === undefined)
        ? [keyOf(found)]
        : []
    }),
  ],
  reconcile,
}
