// Keeps a cache equal to the server: one list, then a watch, again from the start when the server has forgotten.
import type { Kind, Resource } from '../api/index.js'
import { abortable, type Clock, deferred, exponentialBackoff, isStatus, type Logger, sleep } from '../lib/index.js'
import { type Cache, type CacheListener, type Indexer, ObjectCache } from './cache.js'
import type { Client, Selectors } from './client.js'

export interface InformerOptions<T extends Resource> extends Selectors {
  readonly clock: Clock
  readonly log: Logger
  readonly indexes?: Readonly<Record<string, Indexer<T>>>
}

export interface Informer<T extends Resource> extends Cache<T> {
  /** Resolves when the first list is in. */
  readonly synced: Promise<void>
  readonly hasSynced: boolean
  subscribe(listener: CacheListener<T>): () => void
  /** Puts the answer to a write of our own into the cache at once; the watch may bring it later. */
  observe(object: T): void
  /** Likewise for an object that our own delete has removed for good. */
  forget(object: T): void
  /** Lists and watches until aborted. Never throws: it tries again. */
  run(signal: AbortSignal): Promise<void>
}

/** Objects in one answer of the initial list. */
const PAGE = 500

export function informer<T extends Resource>(client: Client, kind: Kind<T>, options: InformerOptions<T>): Informer<T> {
  const { clock, indexes, namespace, labelSelector, fieldSelector } = options
  const log = options.log.child({ resource: kind.plural })
  const selectors = { namespace, labelSelector, fieldSelector }
  const cache = new ObjectCache<T>(indexes)
  const firstList = deferred()
  let hasSynced = false

  async function relist(signal: AbortSignal): Promise<string> {
    const items: T[] = []
    let resourceVersion = ''
    let more: string | undefined
    do {
      const page = await client.list(kind, { ...selectors, limit: PAGE, continue: more, signal })
      items.push(...page.items)
      resourceVersion = page.resourceVersion
      more = page.continue
    } while (more)
    cache.replace(items, resourceVersion)
    if (!hasSynced) {
      hasSynced = true
      firstList.resolve()
    }
    return resourceVersion
  }

  /** Follows changes; resolves with the version to go on from when the server ends the watch. */
  async function follow(from: string, signal: AbortSignal, progress: (version: string) => void): Promise<void> {
    const events = client.watch(kind, { ...selectors, resourceVersion: from, allowWatchBookmarks: true, signal })
    for await (const { type, object } of events) {
      if (type === 'DELETED') cache.remove(object)
      else if (type !== 'BOOKMARK') cache.put(object)
      if (object.metadata.resourceVersion) progress(object.metadata.resourceVersion)
    }
  }

  async function run(signal: AbortSignal): Promise<void> {
    const backoff = exponentialBackoff({ initialMs: 100, maxMs: 10_000 })
    let version: string | undefined
    while (!signal.aborted) {
      const startedAt = clock.monotonic()
      try {
        version ??= await relist(signal)
        await follow(version, signal, (newer) => {
          version = newer
        })
      } catch (error) {
        if (signal.aborted) return
        if (isStatus(error, 'Expired', 'Gone')) {
          version = undefined
          continue
        }
        log.warn('watch failed, trying again', { err: error })
      }
      // A watch that lived for a while ended as watches do; one that dies at once must not spin.
      if (clock.monotonic() - startedAt > 5_000) backoff.reset()
      else await sleep(clock, backoff.next(), signal).catch(() => {})
    }
  }

  return {
    get: (key) => cache.get(key),
    list: (inNamespace) => cache.list(inNamespace),
    byIndex: (name, value) => cache.byIndex(name, value),
    get size() {
      return cache.size
    },
    synced: firstList.promise,
    get hasSynced() {
      return hasSynced
    },
    subscribe: (listener) => cache.subscribe(listener),
    observe: (object) => cache.put(object),
    forget: (object) => cache.remove(object),
    run: (signal) => abortable(run(signal), signal).catch(() => {}),
  }
}
