// CronJobs: a Job at each time that a schedule names.
import { CronJob, type CronJobStatus, Job, type ObjectReference } from '../../../api/index.js'
import { explain, isStatus, rfc3339 } from '../../../lib/index.js'
import { byAge, compact, controllerReference, isDeleting, millis, nameOf, sameJson, uidOf } from '../objects.js'
import type { Context, Controller, ObjectKey, Outcome } from '../types.js'
import { isTimeZone, nextTime, parseSchedule, type Schedule, zonedTime } from './cron-schedule.js'
import { isJobFinished, jobCondition } from './job-plan.js'
import { isTerminatingNamespace } from './replicas.js'

const SCHEDULED = 'batch.kubernetes.io/cronjob-scheduled-timestamp'
/** More missed times than this say that something is wrong with the clock or the schedule. */
const TOO_MANY = 100

/** What Kubernetes says of the 31st of February. */
const NEVER = 'time difference between two schedules is less than 1 second'

export interface Due {
  /** The latest time that has passed and for which there is no Job yet. */
  readonly time: number | undefined
  /** How many were missed, at most one more than TOO_MANY. */
  readonly missed: number
  readonly next: number | undefined
  /** When nothing is due: the latest time that has passed and for which it is too late now. */
  readonly late: number | undefined
}

/** The latest time of the schedule after `since` and not after `until`, how many there are, and the one that follows. */
function passed(schedule: Schedule, zone: string, since: number, until: number): Omit<Due, 'late'> {
  let time: number | undefined
  let missed = 0
  let next = nextTime(schedule, since, zone)
  while (next !== undefined && next <= until) {
    time = next
    missed++
    // Far behind: the latest time is what matters, so begin near the present.
    if (missed === TOO_MANY + 1) {
      const near = nextTime(schedule, Math.max(next, until - Math.max(schedule.everyMs ?? 60_000, 3_600_000) - 1), zone)
      next = near !== undefined && near <= until ? near : nextTime(schedule, next, zone)
    } else next = nextTime(schedule, next, zone)
  }
  return { time, missed: Math.min(missed, TOO_MANY + 1), next }
}

/** Which times have passed since the last Job (or since the CronJob was made). */
export function planDue(cron: CronJob, schedule: Schedule, now: number): Due {
  const zone = cron.spec?.timeZone ?? 'UTC'
  const since = millis(cron.status?.lastScheduleTime) || millis(cron.metadata.creationTimestamp)
  const deadline = cron.spec?.startingDeadlineSeconds
  const window = deadline === undefined ? since : Math.max(since, now - deadline * 1000)
  const due = passed(schedule, zone, window, now)
  return { ...due, late: due.time === undefined && window > since ? passed(schedule, zone, since, window).time : undefined }
}

export function planCronJobJob(cron: CronJob, time: number): Job {
  const template = cron.spec?.jobTemplate
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: compact({
      // The name says the time: two controllers cannot make it twice.
      name: `${cron.metadata.name}-${Math.floor(time / 60_000)}`,
      namespace: cron.metadata.namespace,
      labels: template?.metadata?.labels,
      annotations: { ...template?.metadata?.annotations, [SCHEDULED]: zonedTime(time, cron.spec?.timeZone) },
      ownerReferences: [controllerReference(CronJob, cron)],
    }),
    ...(template?.spec ? { spec: template.spec } : {}),
  }
}

const startOf = (job: Job): number => millis(job.status?.startTime) || millis(job.metadata.creationTimestamp)

/** Finished Jobs beyond the limits, oldest first. */
export function planHistory(cron: CronJob, jobs: readonly Job[]): readonly Job[] {
  const over = (type: 'Complete' | 'Failed', limit: number | undefined): Job[] => {
    if (limit === undefined) return []
    const ended = jobs.filter((job) => jobCondition(job, type)?.status === 'True').sort((a, b) => startOf(a) - startOf(b) || byAge(a, b))
    return ended.slice(0, Math.max(0, ended.length - limit))
  }
  return [...over('Complete', cron.spec?.successfulJobsHistoryLimit), ...over('Failed', cron.spec?.failedJobsHistoryLimit)]
}

const referenceTo = (job: Job): ObjectReference => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  namespace: job.metadata.namespace,
  name: job.metadata.name,
  uid: job.metadata.uid,
  resourceVersion: job.metadata.resourceVersion,
})

function scheduleOf({ events }: Context, cron: CronJob): Schedule | undefined {
  const zone = cron.spec?.timeZone
  if (zone !== undefined && !isTimeZone(zone)) {
    events.warning(cron, 'UnknownTimeZone', `invalid timeZone: "${zone}": unknown time zone ${zone}`)
    return undefined
  }
  try {
    return parseSchedule(cron.spec?.schedule ?? '')
  } catch (error) {
    events.warning(cron, 'UnparseableSchedule', `unparseable schedule: "${cron.spec?.schedule}" : ${explain(error)}`)
    return undefined
  }
}

async function remove({ client, events }: Context, cron: CronJob, job: Job): Promise<void> {
  try {
    await client.delete(Job, nameOf(job), { propagationPolicy: 'Background', preconditions: { uid: uidOf(job) } })
  } catch (error) {
    events.warning(cron, 'FailedDelete', `Deleted job: ${explain(error)}`)
    throw error
  }
  events.normal(cron, 'SuccessfulDelete', `Deleted job ${job.metadata.name}`)
}

async function reconcile(key: ObjectKey, context: Context): Promise<Outcome | undefined> {
  const { cache, client, clock, events } = context
  const cron = cache.get(CronJob, key)
  if (!cron || isDeleting(cron)) return undefined
  const jobs = cache.ownedBy(Job, uidOf(cron))
  const status = follow(context, cron, jobs)
  const write = async (next: CronJobStatus): Promise<void> => {
    const wanted = compact({ ...next, active: next.active && next.active.length > 0 ? next.active : undefined })
    if (!sameJson(wanted, cron.status)) await client.updateStatus(CronJob, { ...cron, status: wanted })
  }
  for (const old of planHistory(cron, jobs)) {
    await remove(context, cron, old)
  }
  const schedule = cron.spec?.suspend ? undefined : scheduleOf(context, cron)
  if (!schedule) {
    await write(status)
    return undefined
  }
  const due = planDue(cron, schedule, clock.now())
  const after: Outcome | undefined = due.next === undefined ? undefined : { requeueAfterMs: Math.max(100, due.next - clock.now() + 100) }
  if (due.missed > TOO_MANY) {
    events.warning(
      cron,
      'TooManyMissedTimes',
      'too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew',
    )
  }
  if (due.late !== undefined) {
    events.warning(
      cron,
      'MissSchedule',
      `Missed scheduled time to start a job: ${new Date(due.late).toUTCString().replace('GMT', '+0000')}`,
    )
  }
  if (due.time === undefined) {
    if (due.next === undefined) events.warning(cron, 'InvalidSchedule', `invalid schedule: ${cron.spec?.schedule} : ${NEVER}`)
    await write(status)
    return after
  }
  await write(await start(context, cron, jobs, status, due.time))
  return after
}

/** Which Jobs are running still, and which have ended since. */
function follow({ events }: Context, cron: CronJob, jobs: readonly Job[]): CronJobStatus {
  const byUid = new Map(jobs.map((job) => [uidOf(job), job]))
  let lastSuccessfulTime = cron.status?.lastSuccessfulTime
  const active: ObjectReference[] = []
  for (const reference of cron.status?.active ?? []) {
    const job = byUid.get(reference.uid ?? '')
    if (!job) {
      events.normal(cron, 'MissingJob', `Active job went missing: ${reference.name}`)
      continue
    }
    if (!isJobFinished(job)) active.push(reference)
    else {
      const condition = jobCondition(job, 'Complete')?.status === 'True' ? 'Complete' : 'Failed'
      events.normal(cron, 'SawCompletedJob', `Saw completed job: ${job.metadata.name}, condition: ${condition}`)
    }
  }
  for (const job of jobs) {
    if (!isJobFinished(job) && !active.some((reference) => reference.uid === uidOf(job))) {
      // Ours, made just before we were stopped: the status did not get to know it.
      if (job.metadata.annotations?.[SCHEDULED] !== undefined) active.push(referenceTo(job))
      else events.warning(cron, 'UnexpectedJob', `Saw a job that the controller did not create or forgot: ${job.metadata.name}`)
    }
    const ended = jobCondition(job, 'Complete')?.status === 'True' ? job.status?.completionTime : undefined
    if (ended && millis(ended) > millis(lastSuccessfulTime)) lastSuccessfulTime = ended
  }
  return { ...cron.status, active, lastSuccessfulTime }
}

/** Makes the Job of `time`, as far as the others that run allow it. */
async function start(context: Context, cron: CronJob, jobs: readonly Job[], status: CronJobStatus, time: number): Promise<CronJobStatus> {
  const { client, events } = context
  const wanted = planCronJobJob(cron, time)
  const scheduled = { ...status, lastScheduleTime: rfc3339(time) }
  const existing = jobs.find((job) => job.metadata.name === wanted.metadata.name)
  if (existing) return scheduled
  const running = jobs.filter((job) => status.active?.some((reference) => reference.uid === uidOf(job)))
  if (running.length > 0 && cron.spec?.concurrencyPolicy === 'Forbid') {
    events.normal(cron, 'JobAlreadyActive', 'Not starting job because prior execution is running and concurrency policy is Forbid')
    return status
  }
  let active = status.active ?? []
  if (cron.spec?.concurrencyPolicy === 'Replace') {
    for (const job of running) {
      await remove(context, cron, job)
      active = active.filter((reference) => reference.uid !== uidOf(job))
    }
  }
  try {
    const made = await client.create(Job, wanted)
    events.normal(cron, 'SuccessfulCreate', `Created job ${made.metadata.name}`)
    return { ...scheduled, active: [...active, referenceTo(made)] }
  } catch (error) {
    if (isStatus(error, 'AlreadyExists') || isTerminatingNamespace(error)) return { ...scheduled, active }
    events.warning(cron, 'FailedCreate', `Error creating job: ${explain(error)}`)
    throw error
  }
}

export const cronJob: Controller = {
  name: 'cronjob',
  for: CronJob,
  owns: [Job],
  reconcile,
}
