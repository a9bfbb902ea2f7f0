// Jobs: runs pods until enough of them have succeeded.
import { Job, Pod, selects } from '../../../api/index.js'
import { explain } from '../../../lib/index.js'
import { controllerOf, isDeleting, nameOf, sameJson, splitKey, uidOf } from '../objects.js'
import type { Context, Controller, ObjectKey, Outcome } from '../types.js'
import { watch } from '../types.js'
import { claim } from './claim.js'
import { isJobFinished, planJob } from './job-plan.js'
import { finishedAt, hasFailed, isTracked, planJobPod, TRACKING } from './job-pods.js'
import { adopters, isTerminatingNamespace } from './replicas.js'
import { all, slowStart } from './slow-start.js'

/** A counted pod may go. */
async function release({ client }: Context, pod: Pod): Promise<void> {
  const { uid, resourceVersion, finalizers = [] } = pod.metadata
  const metadata = { uid, resourceVersion, finalizers: finalizers.filter((name) => name !== TRACKING) }
  await client.patch(Pod, nameOf(pod), { metadata }, { type: 'merge' })
}

/** Pods whose Job is gone: nobody will count them. */
async function releaseStrays(context: Context, key: ObjectKey): Promise<void> {
  const { name, namespace = '' } = splitKey(key)
  const job = context.cache.get(Job, key)
  const strays = context.cache.list(Pod, namespace).filter((pod) => {
    const owner = controllerOf(pod)
    return isTracked(pod) && owner?.kind === 'Job' && owner.name === name && owner.uid !== (job ? uidOf(job) : '')
  })
  if (strays.length === 0) return
  const live = await context.client.find(Job, { name, namespace })
  await all(
    strays.filter((pod) => controllerOf(pod)?.uid !== (live ? uidOf(live) : '')),
    (pod) => release(context, pod),
  )
}

function jobs(): Controller {
  /** By Job: when pods that are gone by now failed. */
  const failures = new Map<string, Map<string, number>>()

  async function reconcile(key: ObjectKey, context: Context): Promise<Outcome | undefined> {
    const { cache, client, clock, events } = context
    await releaseStrays(context, key)
    const job = cache.get(Job, key)
    if (!job || isDeleting(job) || isJobFinished(job)) failures.delete(key)
    if (!job || (job.spec?.managedBy && job.spec.managedBy !== 'kubernetes.io/job-controller')) return undefined
    if (isDeleting(job)) {
      await all(
        cache.ownedBy(Pod, uidOf(job)).filter((pod) => isTracked(pod)),
        (pod) => release(context, pod),
      )
      return undefined
    }
    if (isJobFinished(job)) return undefined
    const pods = await claim(context, {
      kind: Pod,
      ownerKind: Job,
      owner: job,
      matches: (pod) => selects(job.spec?.selector, pod.metadata.labels),
      finalizer: TRACKING,
    })
    const failed = failures.get(key) ?? new Map<string, number>()
    failures.set(key, failed)
    for (const pod of pods) if (isTracked(pod) && hasFailed(job, pod)) failed.set(uidOf(pod), finishedAt(pod, clock.now()))
    const plan = planJob({ job, pods, now: clock.now(), failures: failed })
    if (!sameJson(plan.status, job.status)) await client.updateStatus(Job, { ...job, status: plan.status })
    for (const { type, reason, message } of plan.events) events[type](job, reason, message)
    // Only now: were we stopped here, the uids in the status would still be counted once.
    await all(plan.release, (pod) => release(context, pod))
    await all(plan.remove, async (pod) => {
      if (!plan.countRemoved && isTracked(pod)) await release(context, pod)
      await client.delete(Pod, nameOf(pod), { preconditions: { uid: uidOf(pod) } })
      events.normal(job, 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`)
    })
    const { error } = await slowStart(plan.create.length, async (index) => {
      const made = await client.create(Pod, planJobPod(job, plan.create[index] ?? {}))
      events.normal(job, 'SuccessfulCreate', `Created pod: ${made.metadata.name}`)
    })
    if (error !== undefined && !isTerminatingNamespace(error)) {
      events.warning(job, 'FailedCreate', `Error creating: ${explain(error)}`)
      throw error
    }
    return plan.requeueAfterMs === undefined ? undefined : { requeueAfterMs: Math.max(1, plan.requeueAfterMs) }
  }

  return {
    name: 'job',
    for: Job,
    owns: [Pod],
    watches: [
      watch(
        Pod,
        adopters(Job, (owner) => (isJobFinished(owner) ? undefined : owner.spec?.selector)),
      ),
    ],
    reconcile,
  }
}

/** A new one for each run: it remembers failures. */
export const makeJobs = jobs
