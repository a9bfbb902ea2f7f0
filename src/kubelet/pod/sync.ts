// One pass over a pod that should run: volumes, sandbox, and what the plan says of its containers.
import { explain } from '../../lib/index.js'
import { specHash } from '../container/config.js'
import { startContainer } from '../container/start.js'
import { backOffTable, goSeconds } from './back-off.js'
import { describePod } from './containers.js'
import { containerEvent, podEvent } from './events.js'
import { latest, withoutContainer } from './observed.js'
import { type ContainerStart, type PodPlan, planPod } from './plan.js'
import { type PodRecord, podIpsOf, refreshContainer, restartsKnown } from './record.js'
import { currentSandboxConfig, makeSandbox, NetworkNotReady, reportSandboxFailure } from './sandbox.js'
import type { PodServices } from './services.js'
import { stopContainer } from './stop.js'

export interface SyncContext {
  /** Aborted when the pod is to stop. */
  readonly signal: AbortSignal
  /** Something changed that the API should hear of. */
  readonly publish: () => void
  readonly failures: ReturnType<typeof failureDelays>
}

/** A network that comes is found as soon as that. */
const NETWORK_RETRY_MS = 1_000

/** How long to wait after a step of the whole pod has failed: volumes or sandbox. */
export function failureDelays() {
  const table = backOffTable({ initialMs: 500, maxMs: 122_000 })
  return {
    failed(step: string, now: number): number {
      table.next(step, now, now)
      return now + table.delay(step)
    },
    succeeded: (step: string): void => table.forget(step),
  }
}

export type SyncOutcome =
  | { readonly kind: 'finished' }
  /** Plan again at once. */
  | { readonly kind: 'again' }
  | { readonly kind: 'idle'; readonly wakeAt: number | undefined }

const earliest = (...times: readonly (number | undefined)[]): number | undefined => {
  const set = times.filter((time) => time !== undefined)
  return set.length > 0 ? Math.min(...set) : undefined
}

export const planOf = (record: PodRecord): PodPlan =>
  planPod({
    pod: record.pod,
    observed: record.observed,
    probes: record.prober,
    restartsKnown: (name) => restartsKnown(record, name),
    hashOf: specHash,
  })

/** Makes or refreshes the volumes. What fails is tried again at `volumesRetryAt`; a pod that has its volumes goes on with them. */
async function prepareVolumes(record: PodRecord, services: PodServices, { failures }: SyncContext): Promise<void> {
  const now = services.clock.now()
  const renewAt = services.volumes.renewAt(record.pod)
  const stale = !record.volumes || record.volumesStale || (renewAt !== undefined && renewAt <= now)
  if (!stale || (record.volumesRetryAt ?? 0) > now) return
  record.volumesStale = false
  record.volumesRetryAt = undefined
  const failed = (error: unknown): void => {
    const message = error instanceof Error ? error.message : explain(error)
    podEvent(services.recorder, record.pod, 'Warning', 'FailedMount', message)
    record.volumesStale = true
    record.volumesRetryAt = failures.failed('volumes', services.clock.now())
  }
  try {
    const { volumes, outdated } = await services.volumes.setUp(record.pod)
    record.volumes = volumes
    if (outdated) failed(outdated)
    else failures.succeeded('volumes')
  } catch (error) {
    failed(error)
  }
}

async function stopPlanned(record: PodRecord, services: PodServices, plan: PodPlan, { signal, publish }: SyncContext): Promise<void> {
  await Promise.all(
    plan.stop.map(async ({ target, container, cause, message }) => {
      const probe = cause === 'livenessProbe' ? container.spec.livenessProbe : container.spec.startupProbe
      const ofProbe = cause === 'changed' ? undefined : probe?.terminationGracePeriodSeconds
      const graceSeconds = ofProbe ?? record.pod.spec?.terminationGracePeriodSeconds ?? 30
      await stopContainer(record, services, { target, container, graceSeconds, message, signal })
      publish()
    }),
  )
}

/** Of ended runs only the newest is kept: it is `lastState`, and its log is what `--previous` shows. */
async function forgetOldRuns(record: PodRecord, services: PodServices, name: string): Promise<void> {
  const runs = record.observed.containers.filter((container) => container.name === name)
  const ended = runs.filter(({ phase }) => phase === 'exited').slice(1)
  for (const { id } of [...ended, ...runs.filter(({ phase }) => phase === 'created')]) {
    await services.cri.removeContainer(id).catch(() => {})
    record.observed = withoutContainer(record.observed, id)
  }
}

type StartOutcome = { readonly kind: 'started' } | { readonly kind: 'later'; readonly at: number }

async function startPlanned(record: PodRecord, services: PodServices, start: ContainerStart, context: SyncContext): Promise<StartOutcome> {
  const { pod } = record
  const { clock, crashes, recorder } = services
  const { container, after, attempt } = start
  const { name, image } = container.spec
  const key = `${pod.metadata.uid}/${name}/${image}`
  const now = clock.now()
  const retry = record.retryAt.get(name)
  if (retry !== undefined && retry > now) return { kind: 'later', at: retry }
  if (after?.phase === 'exited') {
    const left = crashes.remaining(key, after.finishedAt, now)
    if (left > 0) {
      const message = `back-off ${goSeconds(crashes.delay(key))} restarting failed container=${name} pod=${describePod(pod)}`
      if (record.waiting.get(name)?.message !== message) {
        record.waiting.set(name, { reason: 'CrashLoopBackOff', message })
        const words = `Back-off restarting failed container ${name} in pod ${describePod(pod)}`
        containerEvent(recorder, pod, container, { type: 'Warning', reason: 'BackOff', message: words })
        context.publish()
      }
      return { kind: 'later', at: now + left }
    }
    crashes.next(key, after.finishedAt, now)
  }
  await forgetOldRuns(record, services, name)
  const sandboxId = record.observed.sandboxes[0]?.id ?? ''
  const result = await startContainer({
    services,
    pod,
    start: { container, after, attempt },
    sandboxId,
    sandboxConfig: currentSandboxConfig(record, services),
    volumes: record.volumes ?? new Map(),
    observed: record.observed,
    podIps: podIpsOf(record, services),
    signal: context.signal,
    async running(id) {
      await refreshContainer(record, services, id, sandboxId)
      if (latest(record.observed, name)?.phase === 'running') record.waiting.delete(name)
      record.prober.sync(record.pod, record.observed)
      context.publish()
    },
  })
  if (result.kind === 'started') {
    record.retryAt.delete(name)
    return { kind: 'started' }
  }
  const { reason, message, retryAfter, id } = result
  record.waiting.set(name, { reason, message: message || undefined })
  if (id) {
    await refreshContainer(record, services, id, sandboxId)
    record.retryAt.delete(name)
    context.publish()
    // The container exists and has ended: its back-off decides, at the next look.
    return { kind: 'started' }
  }
  const at = clock.now() + retryAfter
  record.retryAt.set(name, at)
  context.publish()
  return { kind: 'later', at }
}

export async function syncPod(record: PodRecord, services: PodServices, context: SyncContext): Promise<SyncOutcome> {
  const { signal, publish, failures } = context
  await prepareVolumes(record, services, context)
  if (!record.volumes) return { kind: 'idle', wakeAt: record.volumesRetryAt }
  if (signal.aborted) return { kind: 'again' }
  record.prober.sync(record.pod, record.observed)
  const plan = planOf(record)
  if (plan.finished) return { kind: 'finished' }
  if (plan.sandbox) {
    try {
      await makeSandbox(record, services, plan.sandbox.attempt, signal)
      failures.succeeded('sandbox')
    } catch (error) {
      if (signal.aborted) return { kind: 'again' }
      reportSandboxFailure(record, services, error)
      const now = services.clock.now()
      return { kind: 'idle', wakeAt: error instanceof NetworkNotReady ? now + NETWORK_RETRY_MS : failures.failed('sandbox', now) }
    }
    publish()
    return { kind: 'again' }
  }
  await stopPlanned(record, services, plan, context)
  let wakeAt: number | undefined
  let started = plan.stop.length > 0
  for (const start of plan.start) {
    if (signal.aborted) return { kind: 'again' }
    const outcome = await startPlanned(record, services, start, context)
    if (outcome.kind === 'started') started = true
    else wakeAt = earliest(wakeAt, outcome.at)
  }
  if (started) return { kind: 'again' }
  return { kind: 'idle', wakeAt: earliest(wakeAt, record.volumesRetryAt ?? services.volumes.renewAt(record.pod)) }
}
