// Stopping containers: hooks, order, grace.
import { deferred, explain, sleep } from '../../lib/index.js'
import { runHook } from '../container/hooks.js'
import type { PodContainer } from './containers.js'
import { containerEvent } from './events.js'
import { type ObservedContainer, running } from './observed.js'
import { stopOrder } from './plan.js'
import { type PodRecord, podIpsOf, refreshContainer } from './record.js'
import type { PodServices } from './services.js'

/** However short the grace, a container gets this long to end by itself. */
const MINIMUM_SECONDS = 2

export interface StopRequest {
  readonly target: ObservedContainer
  readonly container: PodContainer | undefined
  readonly graceSeconds: number
  readonly message: string
  readonly signal: AbortSignal
  /** Settles when those have ended that go before this one. */
  readonly turn?: Promise<unknown>
}

async function preStop(record: PodRecord, services: PodServices, request: StopRequest): Promise<void> {
  const { target, container, graceSeconds, signal } = request
  const hook = container?.spec.lifecycle?.preStop
  if (!hook || !container || graceSeconds <= 0 || target.phase !== 'running') return
  const late = new AbortController()
  const timer = services.clock.after(graceSeconds * 1000, () => late.abort(new Error('the grace period is over')))
  const stop = AbortSignal.any([signal, late.signal])
  const podIp = podIpsOf(record, services)[0] ?? ''
  const { cri, clock } = services
  const over = deferred()
  stop.addEventListener('abort', () => over.resolve(), { once: true })
  try {
    // A hook that does not hear the signal is left to itself: it dies with its container.
    await Promise.race([
      runHook(hook, { cri, clock, container: container.spec, containerId: target.id, podIp, signal: stop }),
      over.promise,
    ])
  } catch (error) {
    if (!stop.aborted)
      containerEvent(services.recorder, record.pod, container, {
        type: 'Warning',
        reason: 'FailedPreStopHook',
        message: `PreStopHook failed: ${explain(error)}`,
      })
  } finally {
    timer.cancel()
  }
}

/** Returns when the container has ended. */
export async function stopContainer(record: PodRecord, services: PodServices, request: StopRequest): Promise<void> {
  const { target, container, graceSeconds, signal } = request
  const { clock, cri } = services
  const deadline = clock.monotonic() + graceSeconds * 1000
  if (container && request.message)
    containerEvent(services.recorder, record.pod, container, { type: 'Normal', reason: 'Killing', message: request.message })
  await preStop(record, services, request)
  if (request.turn && !signal.aborted) {
    const cut = new AbortController()
    const waits = sleep(clock, Math.max(0, deadline - clock.monotonic()), AbortSignal.any([signal, cut.signal])).catch(() => {})
    await Promise.race([request.turn, waits])
    cut.abort()
  }
  const left = signal.aborted ? MINIMUM_SECONDS : Math.max(MINIMUM_SECONDS, Math.floor((deadline - clock.monotonic()) / 1000))
  await cri.stopContainer(target.id, graceSeconds <= 0 ? MINIMUM_SECONDS : left)
  await refreshContainer(record, services, target.id, target.sandboxId)
}

export interface StopPodOptions {
  readonly graceSeconds: number
  /** Aborted when the pod is to be gone sooner. */
  readonly signal: AbortSignal
  readonly changed: () => void
}

/** Stops all containers of the pod in their order. */
export async function stopContainers(record: PodRecord, services: PodServices, options: StopPodOptions): Promise<void> {
  const { graceSeconds, signal, changed } = options
  const ended = new Map<string, ReturnType<typeof deferred<void>>>()
  const order = stopOrder(record.pod, running(record.observed))
  for (const { target } of order) ended.set(target.name, deferred())
  const results = await Promise.allSettled(
    order.map(async ({ target, container, waitsFor }) => {
      try {
        const turn = waitsFor.length > 0 ? Promise.all(waitsFor.map((name) => ended.get(name)?.promise)) : undefined
        const message = `Stopping container ${target.name}`
        await stopContainer(record, services, { target, container, graceSeconds, message, signal, ...(turn ? { turn } : {}) })
        changed()
      } finally {
        ended.get(target.name)?.resolve()
      }
    }),
  )
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
}
