// What a Job does next: which pods are counted, whether it is over, which pods to make and to stop. Pure.
import type { Job, JobCondition, JobStatus, Pod } from '../../../api/index.js'
import { rfc3339 } from '../../../lib/index.js'
import { compact, isDeleting, millis } from '../objects.js'
import { deletionOrder, isFinished, isReady } from '../pods.js'
import { formatIndexes, parseIndexes } from './job-indexes.js'
import {
  failureAction,
  finishedAt,
  hasFailed,
  indexFailures,
  indexIgnored,
  indexOf,
  isIndexed,
  isPerIndex,
  isTracked,
  jobBackoff,
  type NewPod,
} from './job-pods.js'

export interface JobInput {
  readonly job: Job
  readonly pods: readonly Pod[]
  readonly now: number
  /** When pods failed that may be gone by now, by uid. */
  readonly failures?: ReadonlyMap<string, number>
}

export interface JobPlan {
  readonly status: JobStatus
  /** Counted pods: they may go once the status that counts them is written. */
  readonly release: readonly Pod[]
  readonly create: readonly NewPod[]
  readonly remove: readonly Pod[]
  /** Whether removed pods count as failed: those of a decided Job do, those of one that shrinks or is suspended do not. */
  readonly countRemoved: boolean
  readonly events: readonly { readonly type: 'normal' | 'warning'; readonly reason: string; readonly message: string }[]
  readonly requeueAfterMs: number | undefined
}

export const jobCondition = (job: Job, type: string): JobCondition | undefined =>
  job.status?.conditions?.find((condition) => condition.type === type)

const isTrue = (job: Job, type: string): boolean => jobCondition(job, type)?.status === 'True'
export const isJobFinished = (job: Job): boolean => isTrue(job, 'Complete') || isTrue(job, 'Failed')

/** What ended pods say, together with what was counted before. */
interface Counts {
  readonly succeeded: number
  readonly failed: number
  readonly completed: ReadonlySet<number>
  readonly failedIndexes: ReadonlySet<number>
  readonly failJob: string | undefined
  readonly release: readonly Pod[]
  /** Uids that are counted and whose pods still carry the finalizer. */
  readonly uncounted: { readonly succeeded: readonly string[]; readonly failed: readonly string[] }
}

const MOST_INDEXES = 100_000

/**
 * A pod is counted in three steps, each safe to stop after: its uid goes into the status, its finalizer goes, its uid moves into the number.
 * Here: uids whose pod has lost the finalizer (or is gone) become numbers, newly ended pods become uids.
 */
function count({ job, pods }: JobInput): Counts {
  const before = job.status?.uncountedTerminatedPods ?? {}
  const tracked = new Map(pods.filter(isTracked).map((pod) => [pod.metadata.uid ?? '', pod]))
  const limit = isIndexed(job) ? Math.min(job.spec?.completions ?? 0, MOST_INDEXES) : 0
  const completed = parseIndexes(job.status?.completedIndexes, limit)
  const failedIndexes = parseIndexes(job.status?.failedIndexes, limit)
  const succeededUids = (before.succeeded ?? []).filter((uid) => tracked.has(uid))
  const failedUids = (before.failed ?? []).filter((uid) => tracked.has(uid))
  let succeeded = (job.status?.succeeded ?? 0) + (before.succeeded ?? []).length - succeededUids.length
  const failed = (job.status?.failed ?? 0) + (before.failed ?? []).length - failedUids.length
  const release = [...succeededUids, ...failedUids].flatMap((uid) => tracked.get(uid) ?? [])
  let failJob: string | undefined
  for (const [uid, pod] of tracked) {
    if (succeededUids.includes(uid) || failedUids.includes(uid)) continue
    if (pod.status?.phase === 'Succeeded') {
      if (!isIndexed(job)) succeededUids.push(uid)
      else {
        // The index says enough: counting it twice is not possible.
        const index = indexOf(pod)
        if (index !== undefined && index < limit) completed.add(index)
      }
      release.push(pod)
    } else if (hasFailed(job, pod)) {
      const verdict = pod.status?.phase === 'Failed' ? failureAction(job, pod) : ({ action: 'Count' } as const)
      if (verdict.action === 'FailJob') failJob ??= verdict.message
      if (verdict.action !== 'Ignore') failedUids.push(uid)
      const index = indexOf(pod)
      if (isPerIndex(job) && index !== undefined && index < limit && verdict.action !== 'Ignore') {
        const used = indexFailures(pod)
        if (verdict.action === 'FailIndex' || used >= (job.spec?.backoffLimitPerIndex ?? 0)) failedIndexes.add(index)
      }
      release.push(pod)
    }
  }
  for (const index of completed) failedIndexes.delete(index)
  if (isIndexed(job)) succeeded = completed.size
  return { succeeded, failed, completed, failedIndexes, failJob, release, uncounted: { succeeded: succeededUids, failed: failedUids } }
}

interface Verdict {
  readonly type: 'FailureTarget' | 'SuccessCriteriaMet'
  readonly reason: string
  readonly message: string
}

const restartsOf = (pods: readonly Pod[]): number =>
  pods
    .filter((pod) => pod.status?.phase === 'Running' || pod.status?.phase === 'Pending')
    .flatMap((pod) => [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])])
    .reduce((sum, container) => sum + container.restartCount, 0)

/** Whether the Job is decided, and how. Failure is looked for first. */
function judge({ job, pods, now }: JobInput, counts: Counts, active: number): Verdict | undefined {
  const { spec, status } = job
  const failed = (reason: string, message: string): Verdict => ({ type: 'FailureTarget', reason, message })
  const limit = spec?.backoffLimit ?? (isPerIndex(job) ? 2 ** 31 - 1 : 6)
  if (counts.failJob) return failed('PodFailurePolicy', counts.failJob)
  const failures = counts.failed + counts.uncounted.failed.length
  const restarts = spec?.template.spec?.restartPolicy === 'OnFailure' ? restartsOf(pods) : 0
  if (failures > limit || (restarts > 0 && restarts > limit - (limit === 0 ? 0 : 1))) {
    return failed('BackoffLimitExceeded', 'Job has reached the specified backoff limit')
  }
  const deadline = spec?.activeDeadlineSeconds
  if (deadline !== undefined && !spec?.suspend && status?.startTime && now - millis(status.startTime) >= deadline * 1000) {
    return failed('DeadlineExceeded', 'Job was active longer than specified deadline')
  }
  if (isPerIndex(job)) {
    const most = spec?.maxFailedIndexes
    if (most !== undefined && counts.failedIndexes.size > most) {
      return failed('MaxFailedIndexesExceeded', 'Job has exceeded the specified maximal number of failed indexes')
    }
    if (counts.failedIndexes.size > 0 && counts.failedIndexes.size + counts.completed.size >= (spec?.completions ?? 0)) {
      return failed('FailedIndexes', 'Job has failed indexes')
    }
  }
  const matched = isIndexed(job) ? matchedSuccessRule(job, counts.completed) : undefined
  if (matched !== undefined) return { type: 'SuccessCriteriaMet', reason: 'SuccessPolicy', message: `Matched rules at index ${matched}` }
  const succeeded = counts.succeeded + (isIndexed(job) ? 0 : counts.uncounted.succeeded.length)
  const enough = spec?.completions === undefined ? succeeded > 0 && active === 0 : succeeded >= spec.completions && !spec.suspend
  if (!enough) return undefined
  return { type: 'SuccessCriteriaMet', reason: 'CompletionsReached', message: 'Reached expected number of succeeded pods' }
}

function matchedSuccessRule(job: Job, completed: ReadonlySet<number>): number | undefined {
  const limit = job.spec?.completions ?? 0
  const position = (job.spec?.successPolicy?.rules ?? []).findIndex((rule) => {
    const wanted = rule.succeededIndexes === undefined ? undefined : parseIndexes(rule.succeededIndexes, limit)
    const have = wanted ? [...wanted].filter((index) => completed.has(index)).length : completed.size
    return have >= (rule.succeededCount ?? wanted?.size ?? limit)
  })
  return position < 0 ? undefined : position
}

function withCondition(conditions: readonly JobCondition[], news: Omit<JobCondition, 'lastProbeTime' | 'lastTransitionTime'>, now: number) {
  const old = conditions.find((condition) => condition.type === news.type)
  if (old?.status === news.status && old.reason === news.reason) return [...conditions]
  const time = rfc3339(now)
  return [...conditions.filter((condition) => condition !== old), { ...news, lastProbeTime: time, lastTransitionTime: time }]
}

export function planJob(input: JobInput): JobPlan {
  const { job, pods, now } = input
  const events: JobPlan['events'][number][] = []
  const counts = count(input)
  const active = pods.filter((pod) => !isFinished(pod) && !isDeleting(pod))
  const terminating = pods.filter((pod) => isDeleting(pod) && !isFinished(pod))
  let conditions: readonly JobCondition[] = job.status?.conditions ?? []
  let startTime = job.status?.startTime
  const known = conditions.find((each) => (each.type === 'FailureTarget' || each.type === 'SuccessCriteriaMet') && each.status === 'True')
  const verdict: Verdict | undefined = known
    ? { type: known.type as Verdict['type'], reason: known.reason ?? '', message: known.message ?? '' }
    : judge(input, counts, active.length)
  const suspended = job.spec?.suspend === true && !verdict

  if (suspended) {
    if (!isTrue(job, 'Suspended')) {
      conditions = withCondition(conditions, { type: 'Suspended', status: 'True', reason: 'JobSuspended', message: 'Job suspended' }, now)
      events.push({ type: 'normal', reason: 'Suspended', message: 'Job suspended' })
    }
    startTime = undefined
  } else if (!verdict && isTrue(job, 'Suspended')) {
    conditions = withCondition(conditions, { type: 'Suspended', status: 'False', reason: 'JobResumed', message: 'Job resumed' }, now)
    events.push({ type: 'normal', reason: 'Resumed', message: 'Job resumed' })
    startTime = rfc3339(now)
  }
  if (!suspended) startTime ??= rfc3339(now)

  const podPlan = planPods(input, counts, { active, terminating, stop: verdict !== undefined || suspended })
  let completionTime = job.status?.completionTime
  if (verdict) {
    conditions = withCondition(conditions, { ...verdict, status: 'True' }, now)
    // The end is only said when nothing runs any more and every ended pod is counted.
    const over = active.length === 0 && terminating.length === 0 && counts.release.length === 0
    if (over) {
      const failed = verdict.type === 'FailureTarget'
      conditions = withCondition(conditions, { ...verdict, type: failed ? 'Failed' : 'Complete', status: 'True' }, now)
      if (!failed) completionTime = rfc3339(now)
      events.push(
        failed
          ? { type: 'warning', reason: verdict.reason, message: verdict.message }
          : { type: 'normal', reason: 'Completed', message: 'Job completed' },
      )
    }
  }
  const uncounted = compact({
    succeeded: counts.uncounted.succeeded.length > 0 ? counts.uncounted.succeeded : undefined,
    failed: counts.uncounted.failed.length > 0 ? counts.uncounted.failed : undefined,
  })
  const leaving = new Set(podPlan.remove)
  const left = active.filter((pod) => !leaving.has(pod))
  const status: JobStatus = compact({
    active: left.length || undefined,
    ready: left.filter(isReady).length,
    terminating: terminating.length + leaving.size,
    succeeded: counts.succeeded || undefined,
    failed: counts.failed || undefined,
    startTime,
    completionTime,
    completedIndexes: isIndexed(job) && counts.completed.size > 0 ? formatIndexes(counts.completed) : undefined,
    failedIndexes: isPerIndex(job) ? formatIndexes(counts.failedIndexes) : undefined,
    uncountedTerminatedPods: uncounted,
    conditions: conditions.length > 0 ? conditions : undefined,
  })
  const deadline = job.spec?.activeDeadlineSeconds
  const waits = [podPlan.wait]
  if (deadline !== undefined && startTime && !verdict) waits.push(Math.max(0, millis(startTime) + deadline * 1000 - now))
  const wait = Math.min(...waits.flatMap((each) => each ?? []))
  return {
    status,
    release: counts.release,
    create: podPlan.create,
    remove: podPlan.remove,
    countRemoved: verdict !== undefined,
    events,
    requeueAfterMs: Number.isFinite(wait) ? wait : undefined,
  }
}

interface Running {
  readonly active: readonly Pod[]
  readonly terminating: readonly Pod[]
  /** No pod should run any more. */
  readonly stop: boolean
}

interface PodPlan {
  readonly create: readonly NewPod[]
  readonly remove: readonly Pod[]
  /** Until pods may be made again, after failures. */
  readonly wait: number | undefined
}

const MOST_AT_ONCE = 500

function planPods(input: JobInput, counts: Counts, { active, terminating, stop }: Running): PodPlan {
  const { job, now } = input
  if (stop) return { create: [], remove: active, wait: undefined }
  const parallelism = Math.max(0, job.spec?.parallelism ?? 1)
  const { completions } = job.spec ?? {}
  const succeeded = counts.succeeded + (isIndexed(job) ? 0 : counts.uncounted.succeeded.length)
  const onHold = job.spec?.podReplacementPolicy === 'Failed' || job.spec?.podFailurePolicy ? terminating.length : 0
  let wanted: number
  if (completions === undefined) wanted = succeeded > 0 ? active.length : parallelism
  else wanted = Math.min(parallelism, Math.max(0, completions - succeeded - (isPerIndex(job) ? counts.failedIndexes.size : 0)))
  const remove = duplicateIndexes(job, active, counts)
  const staying = active.filter((pod) => !remove.includes(pod))
  if (staying.length > wanted) {
    return { create: [], remove: [...remove, ...deletionOrder(staying, staying, now).slice(0, staying.length - wanted)], wait: undefined }
  }
  const missing = Math.min(MOST_AT_ONCE, wanted - staying.length - onHold)
  if (missing <= 0) return { create: [], remove, wait: undefined }
  if (isIndexed(job)) return { remove, ...planIndexes(input, counts, staying, onHold > 0 ? terminating : [], missing) }
  const wait = backoffLeft(input)
  if (wait > 0) return { create: [], remove, wait }
  return { create: Array.from({ length: missing }, () => ({})), remove, wait: undefined }
}

/** Consecutive failures since the last success make the next pod wait. */
function backoffLeft({ job, pods, now, failures = new Map() }: JobInput): number {
  const succeeded = pods.filter((pod) => pod.status?.phase === 'Succeeded').map((pod) => finishedAt(pod, now))
  const failed = new Map(failures)
  // A pod that runs and was let go was taken away by us: no failure.
  for (const pod of pods)
    if (hasFailed(job, pod) && (isFinished(pod) || isTracked(pod))) failed.set(pod.metadata.uid ?? '', finishedAt(pod, now))
  const since = [...failed.values()].filter((at) => at > Math.max(0, ...succeeded))
  return since.length === 0 ? 0 : Math.max(...since) + jobBackoff(since.length) - now
}

function duplicateIndexes(job: Job, active: readonly Pod[], counts: Counts): Pod[] {
  if (!isIndexed(job)) return []
  const seen = new Set<number>()
  return active.filter((pod) => {
    const index = indexOf(pod)
    if (index === undefined || index >= (job.spec?.completions ?? 0) || seen.has(index) || counts.failedIndexes.has(index)) return true
    seen.add(index)
    return false
  })
}

/** The lowest indexes that are neither done nor running, each after its own back-off. */
function planIndexes(input: JobInput, counts: Counts, staying: readonly Pod[], held: readonly Pod[], missing: number) {
  const { job, pods, now } = input
  const busy = new Set([...staying, ...held].flatMap((pod) => indexOf(pod) ?? []))
  const create: NewPod[] = []
  let wait: number | undefined
  const shared = isPerIndex(job) ? 0 : backoffLeft(input)
  if (shared > 0) return { create, wait: shared }
  for (let index = 0; index < (job.spec?.completions ?? 0) && create.length < missing; index++) {
    if (counts.completed.has(index) || counts.failedIndexes.has(index) || busy.has(index)) continue
    if (!isPerIndex(job)) {
      create.push({ index })
      continue
    }
    const failed = pods.filter((pod) => indexOf(pod) === index && hasFailed(job, pod))
    const last = failed.sort((a, b) => indexFailures(b) + indexIgnored(b) - indexFailures(a) - indexIgnored(a))[0]
    const ignored = last !== undefined && failureAction(job, last).action === 'Ignore'
    const failures = last ? indexFailures(last) + (ignored ? 0 : 1) : 0
    const ignores = last ? indexIgnored(last) + (ignored ? 1 : 0) : 0
    const left = last ? finishedAt(last, now) + jobBackoff(failures + ignores) - now : 0
    if (left > 0) wait = Math.min(wait ?? left, left)
    else create.push({ index, failures, ignored: ignores })
  }
  return { create, wait }
}
