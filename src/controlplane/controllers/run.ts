// The loop around the controllers: caches, queues, workers, the lease. Decides nothing.
import { setMaxListeners } from 'node:events'
import type { Kind, Resource } from '../../api/index.js'
import { type Client, eventRecorder, leaderElection, type WorkQueue, workQueue } from '../../client/index.js'
import { type Clock, isStatus, type Logger, type Random, sleep } from '../../lib/index.js'
import { type CachedClient, type ClusterCache, cachedClient, clusterCache, kindId } from './cluster-cache.js'
import { controllers as allControllers } from './list.js'
import { controllerOf, keyOf, refersTo } from './objects.js'
import type { Context, Controller, ControllerOptions, Events } from './types.js'

export interface RunControllersOptions {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly signal: AbortSignal
  readonly options?: ControllerOptions
  /** Candidate's name for the lease `kube-controller-manager`; without one there is no election. */
  readonly identity?: string
  /** Which of the controllers to run; default all. */
  readonly controllers?: readonly Controller[]
  /** Called whenever this process has begun to lead and every cache is in. */
  readonly onReady?: () => void
}

/** Keeps the cluster as it was asked to be, until the signal is aborted. */
export async function runControllers(run: RunControllersOptions): Promise<void> {
  const { client, clock, log, signal, identity } = run
  if (identity === undefined) return lead(run, signal)
  const lease = { namespace: 'kube-system', name: 'kube-controller-manager' }
  await leaderElection({ client, clock, log, lease, identity }, signal, (leading) => lead(run, leading))
}

async function lead(run: RunControllersOptions, signal: AbortSignal): Promise<void> {
  const { client, clock, log, controllers = allControllers() } = run
  // Every cache, queue and timer listens to it.
  setMaxListeners(0, signal)
  const cache = clusterCache({ client, clock, log })
  const writer = cachedClient(client, cache)
  const recorders: { flush(): Promise<void> }[] = []
  const stopped = new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
  const kinds = new Map<string, Kind>()
  for (const controller of controllers) for (const kind of kindsOf(controller)) kinds.set(kindId(kind), kind)
  await Promise.race([Promise.all([...kinds.values()].map((kind) => cache.add(kind, signal))), stopped])
  if (signal.aborted) return

  const work = controllers.map((controller) => {
    const recorder = eventRecorder({ ...run, component: controller.component ?? `${controller.name}-controller` })
    recorders.push(recorder)
    const events: Events = {
      normal: (about, reason, message) => recorder.record(about, 'Normal', reason, message),
      warning: (about, reason, message) => recorder.record(about, 'Warning', reason, message),
    }
    const context: Omit<Context, 'wake'> = {
      cache,
      client: writer,
      clock,
      random: run.random,
      log: log.child({ controller: controller.name }),
      events,
      options: run.options ?? {},
    }
    return runOne(controller, context, { cache, client: writer }, signal)
  })
  run.onReady?.()
  await Promise.all(work)
  await Promise.race([Promise.all(recorders.map((recorder) => recorder.flush())), sleep(clock, 1000)])
}

const kindsOf = (controller: Controller): Kind[] => [
  controller.for,
  ...(controller.owns ?? []),
  ...(controller.watches ?? []).map((watched) => watched.kind),
  ...(controller.reads ?? []),
]

/** Tells the queue whom a change concerns. */
function listen(controller: Controller, cache: ClusterCache, queue: WorkQueue): (() => void)[] {
  const wakeOwner = (object: Resource): void => {
    const owner = controllerOf(object)
    if (!owner || !refersTo(owner, controller.for)) return
    queue.add(controller.for.namespaced && object.metadata.namespace ? `${object.metadata.namespace}/${owner.name}` : owner.name)
  }
  const own = cache.informer(controller.for).subscribe({
    added: (object) => queue.add(keyOf(object)),
    updated: (object) => queue.add(keyOf(object)),
    deleted: (object) => queue.add(keyOf(object)),
  })
  const owned = (controller.owns ?? []).map((kind) =>
    cache.informer(kind).subscribe({
      added: wakeOwner,
      updated(object, previous) {
        wakeOwner(object)
        if (controllerOf(previous)?.uid !== controllerOf(object)?.uid) wakeOwner(previous)
      },
      deleted: wakeOwner,
    }),
  )
  const watched = (controller.watches ?? []).map(({ kind, wakes }) => {
    const wake = (object: Resource, previous?: Resource): void => {
      for (const key of wakes(object, cache, previous)) queue.add(key)
    }
    return cache.informer(kind).subscribe({ added: (object) => wake(object), updated: wake, deleted: (object) => wake(object) })
  })
  return [own, ...owned, ...watched]
}

async function runOne(
  controller: Controller,
  given: Omit<Context, 'wake'>,
  { cache, client }: { cache: ClusterCache; client: CachedClient },
  signal: AbortSignal,
): Promise<void> {
  const queue = workQueue({ clock: given.clock, maxMs: 60_000 })
  const context: Context = { ...given, wake: (key, afterMs) => queue.addAfter(key, afterMs ?? 0) }
  const unsubscribe = listen(controller, cache, queue)
  const stop = (): void => {
    for (const end of unsubscribe) end()
    queue.stop()
  }
  if (signal.aborted) stop()
  else signal.addEventListener('abort', stop, { once: true })

  async function work(): Promise<void> {
    for (let key = await queue.next(); key !== undefined; key = await queue.next()) {
      try {
        await client.settle()
        const outcome = await controller.reconcile(key, context)
        queue.forget(key)
        if (outcome?.requeueAfterMs !== undefined) queue.addAfter(key, outcome.requeueAfterMs)
      } catch (error) {
        if (!signal.aborted) {
          // A conflict only says that the cache was behind: the next look is due as soon as it has caught up.
          if (isStatus(error, 'Conflict', 'NotFound')) context.log.debug('reconcile has to look again', { key, err: error })
          else context.log.warn('reconcile failed', { key, err: error })
          queue.retry(key)
        }
      } finally {
        queue.done(key)
      }
    }
  }
  const loops = Array.from({ length: controller.workers ?? 4 }, work)
  if (controller.background) loops.push(controller.background(context, signal))
  await Promise.all(loops)
}
