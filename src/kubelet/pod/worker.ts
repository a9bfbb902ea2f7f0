// Looks after one pod from its first sight to its last trace: one loop, woken by events, never by a period.
import type { Pod, PodStatus } from '../../api/index.js'
import { Pod as PodKind } from '../../api/index.js'
import type { ContainerEvent } from '../../cri/index.js'
import { deferred, exponentialBackoff, isStatus, type Timer } from '../../lib/index.js'
import { messageFileOf } from '../container/mounts.js'
import { createProber } from '../probe/prober.js'
import { cleanUp, removeTraces } from './clean-up.js'
import { containersOf, podKey } from './containers.js'
import { containerEvent, podEvent } from './events.js'
import { observedContainer, observedSandbox } from './observe.js'
import { latest, type ObservedPod, running, withContainer, withList, withoutContainer, withSandbox } from './observed.js'
import { computeStatus, newRecord, type PodRecord, podIpsOf, type Verdict } from './record.js'
import type { PodServices } from './services.js'
import { stopContainers } from './stop.js'
import { failureDelays, syncPod } from './sync.js'

/** `sync`: it should run. `stopping`: it should not. `stopped`: nothing runs; its record waits for the API. `gone`: no trace left. */
export type Stage = 'sync' | 'stopping' | 'stopped' | 'gone'

export interface PodWorker {
  readonly pod: Pod
  readonly stage: Stage
  readonly observed: ObservedPod
  readonly status: PodStatus | undefined
  /** A newer version of the pod from its source. */
  update(pod: Pod): void
  /** The source has it no more; `last` is how it was at the end. Nobody waits for it any longer: the grace is short. */
  remove(last?: Pod, graceSeconds?: number): void
  observe(event: ContainerEvent): void
  /** All that the runtime has of it, after events may have been missed; `before`: what was known when the runtime was asked. */
  observeAll(found: ObservedPod, before: ObservedPod): void
  /** Calls back when something about it may have changed. */
  onChange(listener: () => void): () => void
  /** Tells the API its status once more. */
  publish(): void
  /** Something that its volumes or variables are made of has changed. */
  refresh(): void
  /** Ends it though the API wants it to run: shutdown, eviction. */
  evict(verdict: Verdict, options: { readonly graceSeconds: number; readonly disruption?: Verdict }): void
  /** Resolves when nothing of it runs. */
  readonly stopped: Promise<void>
  readonly gone: Promise<void>
  /** The daemon ends; the pod goes on. Resolves when no step is under way. */
  close(): Promise<void>
}

const CLOSE_PATIENCE_MS = 2_000

const isTerminal = (status: PodStatus | undefined): boolean => status?.phase === 'Succeeded' || status?.phase === 'Failed'

/** What of a pod concerns its worker; its status is the worker's own word coming back. */
const relevant = ({ metadata, spec, status }: Pod): string =>
  JSON.stringify([
    metadata.generation,
    metadata.deletionTimestamp,
    metadata.deletionGracePeriodSeconds,
    metadata.labels,
    metadata.annotations,
    // A server that counts generations says by them when the spec has changed.
    metadata.generation ? undefined : spec,
    spec?.readinessGates ? status?.conditions?.map(({ type, status: of }) => [type, of]) : undefined,
  ])

export interface WorkerOptions {
  readonly services: PodServices
  readonly pod: Pod
  /** What ran of it before this daemon. */
  readonly observed?: ObservedPod
  /** The pod whose status is written: the mirror of a static pod. */
  readonly inApi?: () => Pod | undefined
}

export function createPodWorker({ services, pod: first, observed, inApi }: WorkerOptions): PodWorker {
  const { clock, recorder } = services
  const log = services.log.child({ pod: podKey(first) })
  const stopped = deferred()
  const gone = deferred()
  const failures = failureDelays()
  const retries = exponentialBackoff({ initialMs: 200, maxMs: 30_000 })
  const closing = new AbortController()
  const listeners = new Set<() => void>()
  let stage: Stage = 'sync'
  let dirty = false
  let loop: Promise<void> | undefined
  let timer: Timer | undefined
  /** Ends what is being started. */
  let starting = new AbortController()
  /** Ends the patience with what is being stopped. */
  const hurrying = new AbortController()
  /** Set when the node itself ends the pod. */
  let graceSeconds: number | undefined
  let stoppingGrace = 0

  const record: PodRecord = newRecord(
    first,
    clock.now(),
    createProber({
      cri: services.cri,
      clock,
      podIp: () => podIpsOf(record, services)[0] ?? '',
      changed: () => {
        publish()
        poke()
      },
      event: (container, type, reason, message) => containerEvent(recorder, record.pod, container, { type, reason, message }),
      answered: ({ spec }, kind, outcome) => services.probeCounts.add(record.pod, spec.name, kind, outcome),
    }),
  )
  if (observed) adopt(observed)

  function adopt(found: ObservedPod): void {
    record.observed = found
    record.known = first.status?.startTime ? first.status : record.known
    const statuses = [...(first.status?.initContainerStatuses ?? []), ...(first.status?.containerStatuses ?? [])]
    for (const { id, phase } of found.containers) {
      const status = statuses.find(({ containerID }) => containerID?.endsWith(id))
      if (phase === 'running' && status) record.prober.adopt(id, { ready: status.ready, started: status.started === true })
    }
  }

  function publish(): void {
    record.prober.sync(record.pod, record.observed)
    const status = computeStatus(record, services)
    for (const listener of listeners) listener()
    const target = inApi ? inApi() : record.pod
    if (record.removed || !target) return
    const quiet = status.phase === 'Pending' && record.waiting.size === 0
    services.status.set(target, status, { soon: quiet })
  }

  function poke(): void {
    dirty = true
    // A turn later: `loop` is set before the first step can ask for another one.
    loop ??= Promise.resolve()
      .then(run)
      .finally(() => {
        loop = undefined
        if (dirty && !closing.signal.aborted && stage !== 'gone') poke()
      })
  }

  function wake(at: number | undefined): void {
    timer?.cancel()
    const limit = record.pod.spec?.activeDeadlineSeconds
    const began = Date.parse(record.known?.startTime ?? record.startTime)
    const deadline = limit === undefined || stage !== 'sync' ? undefined : began + limit * 1000
    const times = [at, deadline].filter((time) => time !== undefined)
    if (times.length > 0 && !closing.signal.aborted) timer = clock.after(Math.max(0, Math.min(...times) - clock.now()), poke)
  }

  async function run(): Promise<void> {
    while (dirty && !closing.signal.aborted && stage !== 'gone') {
      dirty = false
      timer?.cancel()
      try {
        await step()
        retries.reset()
      } catch (error) {
        if (closing.signal.aborted) return
        log.warn('pod not in order, trying again', { stage, err: error })
        wake(clock.now() + retries.next())
      }
    }
  }

  function checkDeadline(): void {
    const limit = record.pod.spec?.activeDeadlineSeconds
    if (limit === undefined || record.verdict) return
    if (clock.now() < Date.parse(record.known?.startTime ?? record.startTime) + limit * 1000) return
    record.verdict = { reason: 'DeadlineExceeded', message: 'Pod was active on the node longer than the specified deadline' }
    podEvent(recorder, record.pod, 'Normal', 'DeadlineExceeded', record.verdict.message)
  }

  const mustStop = (): boolean =>
    record.removed || record.verdict !== undefined || record.pod.metadata.deletionTimestamp !== undefined || isTerminal(record.known)

  async function step(): Promise<void> {
    if (stage === 'sync') {
      checkDeadline()
      if (mustStop()) return enter('stopping')
      if (starting.signal.aborted) starting = new AbortController()
      const outcome = await syncPod(record, services, { signal: starting.signal, publish, failures })
      if (outcome.kind === 'finished') enter('stopping')
      else if (outcome.kind === 'again') dirty = true
      else wake(outcome.wakeAt)
    } else if (stage === 'stopping') await stop()
    else if (stage === 'stopped' && (record.removed || record.pod.metadata.deletionTimestamp)) await finish()
  }

  function enter(next: Stage): void {
    stage = next
    dirty = true
  }

  const graceOf = (): number =>
    graceSeconds ?? record.pod.metadata.deletionGracePeriodSeconds ?? record.pod.spec?.terminationGracePeriodSeconds ?? 30

  async function stop(): Promise<void> {
    record.prober.terminating()
    stoppingGrace = graceOf()
    await stopContainers(record, services, { graceSeconds: stoppingGrace, signal: hurrying.signal, changed: publish })
    for (const sandbox of record.observed.sandboxes) {
      if (sandbox.ready) await services.cri.stopPodSandbox(sandbox.id)
      record.observed = withSandbox(record.observed, { ...sandbox, ready: false })
    }
    record.terminal = true
    record.prober.close()
    await cleanUp(record, services)
    publish()
    stopped.resolve()
    enter('stopped')
  }

  async function finish(): Promise<void> {
    const { uid = '', name, namespace, deletionTimestamp } = record.pod.metadata
    await services.status.flush(uid)
    if (!record.removed && deletionTimestamp && !inApi) {
      try {
        await services.client.delete(PodKind, { name, namespace }, { gracePeriodSeconds: 0, preconditions: { uid } })
      } catch (error) {
        if (!isStatus(error, 'NotFound', 'Conflict')) throw error
      }
    }
    await removeTraces(record, services)
    services.status.forget(uid)
    services.probeCounts.forget(uid)
    stage = 'gone'
    timer?.cancel()
    gone.resolve()
  }

  /** Something ends the pod: what is being started is given up, and a shorter grace holds at once. */
  function interrupt(): void {
    if (!mustStop()) return
    if (stage === 'sync') starting.abort(new Error('the pod is to stop'))
    else if (stage === 'stopping' && graceOf() < stoppingGrace && !hurrying.signal.aborted) {
      hurrying.abort(new Error('the pod is to stop sooner'))
      for (const { id } of running(record.observed)) void services.cri.stopContainer(id, Math.max(2, graceOf())).catch(() => {})
    }
  }

  const worker: PodWorker = {
    get pod() {
      return record.pod
    },
    get stage() {
      return stage
    },
    get observed() {
      return record.observed
    },
    get status() {
      return record.known
    },
    update(pod) {
      const before = record.pod
      record.pod = pod
      services.status.seen(pod)
      if (stage === 'gone' || relevant(before) === relevant(pod)) return
      record.volumesStale = true
      record.volumesRetryAt = undefined
      record.retryAt.clear()
      interrupt()
      publish()
      poke()
    },
    remove(last, grace = 0) {
      if (record.removed) return
      record.removed = true
      if (last) record.pod = last
      graceSeconds = grace
      interrupt()
      poke()
    },
    observe({ podSandboxStatus, containersStatuses, containerEventType, containerId }) {
      const before = record.observed
      const sandboxId = podSandboxStatus?.id ?? before.sandboxes[0]?.id ?? ''
      if (podSandboxStatus) record.observed = withSandbox(record.observed, observedSandbox(podSandboxStatus))
      const folder = services.volumes.podFolder(record.pod.metadata.uid ?? '')
      for (const status of containersStatuses) {
        const known = record.observed.containers.find(({ id }) => id === status.id)
        // The last words are read once, when it ends.
        if (known?.phase === 'exited') continue
        const file = messageFileOf(folder, status.metadata.name, status.metadata.attempt ?? 0)
        record.observed = withContainer(record.observed, observedContainer(status, known?.sandboxId ?? sandboxId, file))
      }
      if (containerEventType === 'CONTAINER_DELETED_EVENT') record.observed = withoutContainer(record.observed, containerId)
      for (const { spec } of containersOf(record.pod))
        if (latest(record.observed, spec.name)?.phase === 'running') record.waiting.delete(spec.name)
      if (stage === 'gone') return
      publish()
      poke()
    },
    observeAll(found, before) {
      if (stage === 'gone') return
      record.observed = withList(record.observed, found, before)
      publish()
      poke()
    },
    onChange(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    publish,
    refresh() {
      record.volumesStale = true
      record.volumesRetryAt = undefined
      record.retryAt.clear()
      poke()
    },
    evict(verdict, { graceSeconds: grace, disruption }) {
      if (record.verdict || stage !== 'sync') return
      record.verdict = verdict
      record.disruption = disruption
      graceSeconds = grace
      interrupt()
      publish()
      poke()
    },
    stopped: stopped.promise,
    gone: gone.promise,
    async close() {
      closing.abort()
      timer?.cancel()
      record.prober.close()
      // A container that is being started is seen through; only a long pull or hook is left.
      const patience = clock.after(CLOSE_PATIENCE_MS, () => starting.abort(new Error('the daemon ends')))
      await loop
      patience.cancel()
    },
  }
  const refused = observed ? undefined : services.admit(first)
  // An earlier daemon may have turned it away.
  record.refused = refused !== undefined || (!observed && isTerminal(first.status) && !first.status?.containerStatuses)
  if (refused) {
    record.verdict = refused
    podEvent(recorder, first, 'Warning', refused.reason, refused.message)
  }
  publish()
  poke()
  return worker
}
