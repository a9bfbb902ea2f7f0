// Removes finished Jobs after their `ttlSecondsAfterFinished`.
import { Job } from '../../../api/index.js'
import { isDeleting, millis, nameOf, uidOf } from '../objects.js'
import type { Controller } from '../types.js'
import { isJobFinished, jobCondition } from './job-plan.js'

/** When the Job may go; undefined when it stays. */
export function expiresAt(job: Job): number | undefined {
  const ttl = job.spec?.ttlSecondsAfterFinished
  if (ttl === undefined || !isJobFinished(job) || isDeleting(job)) return undefined
  const end = ['Complete', 'Failed'].flatMap((type) => {
    const condition = jobCondition(job, type)
    return condition?.status === 'True' ? [millis(condition.lastTransitionTime)] : []
  })
  return Math.max(...end) + ttl * 1000
}

export const ttlAfterFinished: Controller = {
  name: 'ttl-after-finished',
  component: 'ttl-after-finished-controller',
  for: Job,
  async reconcile(key, { cache, client, clock }) {
    const job = cache.get(Job, key)
    const at = job && expiresAt(job)
    if (!job || at === undefined) return undefined
    if (at > clock.now()) return { requeueAfterMs: at - clock.now() }
    // The ttl may have been raised a moment ago.
    const live = await client.find(Job, nameOf(job))
    const due = live && uidOf(live) === uidOf(job) ? expiresAt(live) : undefined
    if (!live || due === undefined) return undefined
    if (due > clock.now()) return { requeueAfterMs: due - clock.now() }
    const { uid, resourceVersion } = live.metadata
    const preconditions = { ...(uid ? { uid } : {}), ...(resourceVersion ? { resourceVersion } : {}) }
    await client.delete(Job, nameOf(job), { propagationPolicy: 'Foreground', preconditions })
    return undefined
  },
}
