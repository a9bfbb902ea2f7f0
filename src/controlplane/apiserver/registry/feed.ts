// One watch on the whole store feeds the caches of all resources; a cache comes to be when it is first asked for.
import { type Clock, exponentialBackoff, type Logger, sleep } from '../../../lib/index.js'
import type { Store, StoreEvent } from '../../../store/index.js'
import { ResourceCache } from './cache.js'
import { tryEntry } from './entry.js'

export const ROOT = '/registry/'

export interface Feed {
  /** The cache of the resource stored under `/registry/<storagePrefix>/`. */
  cache(storagePrefix: string): Promise<ResourceCache>
  /** The cache, with everything in it that was acknowledged before this call. */
  fresh(storagePrefix: string): Promise<ResourceCache>
  /** The cache, if it is there already. */
  loaded(storagePrefix: string): ResourceCache | undefined
  close(): Promise<void>
}

interface Slot {
  readonly cache: ResourceCache
  /** Until its first contents are there, events wait here. */
  pending: { readonly events: readonly StoreEvent[]; readonly revision: number }[] | undefined
  readonly ready: Promise<ResourceCache>
}

const PAGE = 5000

export async function createFeed({
  store,
  log,
  clock,
  onReset,
}: {
  store: Store
  log: Logger
  clock: Clock
  onReset: () => void
}): Promise<Feed> {
  const slots = new Map<string, Slot>()
  const abort = new AbortController()
  let position = await store.revision()

  const slotOf = (key: string): Slot | undefined => {
    const first = key.indexOf('/', ROOT.length)
    const found = first < 0 ? undefined : slots.get(key.slice(ROOT.length, first))
    if (found) return found
    const second = first < 0 ? -1 : key.indexOf('/', first + 1)
    return second < 0 ? undefined : slots.get(key.slice(ROOT.length, second))
  }

  const deliver = (slot: Slot, events: readonly StoreEvent[], revision: number): void => {
    if (slot.pending) slot.pending.push({ events, revision })
    else if (events.length > 0) slot.cache.apply(events, revision)
    else slot.cache.progress(revision)
  }

  const dispatch = (events: readonly StoreEvent[], revision: number): void => {
    position = revision
    const bySlot = new Map<Slot, StoreEvent[]>()
    for (const event of events) {
      const slot = slotOf(event.kv.key)
      if (!slot) continue
      const list = bySlot.get(slot)
      if (list) list.push(event)
      else bySlot.set(slot, [event])
    }
    for (const slot of slots.values()) deliver(slot, bySlot.get(slot) ?? [], revision)
  }

  const load = async (slot: Slot): Promise<ResourceCache> => {
    const { cache } = slot
    const entries = []
    let page = await store.range(cache.prefix, { limit: PAGE })
    const { revision } = page
    for (;;) {
      for (const { key, value, modRevision } of page.items) {
        const entry = tryEntry(cache.prefix, key, value, modRevision)
        if (entry) entries.push(entry)
        else log.error('a stored object cannot be read', { key, revision: modRevision })
      }
      const last = page.items.at(-1)
      if (!page.more || !last) break
      page = await store.range(cache.prefix, { limit: PAGE, revision, startAfter: last.key })
    }
    cache.load(entries, revision)
    for (const { events, revision: at } of slot.pending ?? []) {
      cache.apply(
        events.filter(({ kv }) => kv.modRevision > revision),
        at,
      )
    }
    slot.pending = undefined
    return cache
  }

  const cache = (storagePrefix: string): Promise<ResourceCache> => {
    const found = slots.get(storagePrefix)
    if (found) return found.ready
    const slot = { cache: new ResourceCache(`${ROOT}${storagePrefix}/`), pending: [] } as unknown as Slot
    const ready = load(slot)
    slots.set(storagePrefix, Object.assign(slot, { ready }))
    ready.catch(() => slots.delete(storagePrefix))
    return ready
  }

  const run = async (): Promise<void> => {
    const backoff = exponentialBackoff({ initialMs: 100, maxMs: 5000 })
    while (!abort.signal.aborted) {
      try {
        for await (const { events, revision } of store.watch(ROOT, { fromRevision: position + 1, signal: abort.signal })) {
          dispatch(events, revision)
          backoff.reset()
        }
        if (!abort.signal.aborted) throw new Error('the watch of the store ended')
      } catch (error) {
        if (abort.signal.aborted) return
        // What was missed is unknown: caches are made anew, and watchers start over.
        log.warn('watch of the store failed; caches are loaded again', { err: error })
        slots.clear()
        onReset()
        await sleep(clock, backoff.next(), abort.signal).catch(() => {})
        position = await store.revision().catch(() => position)
      }
    }
  }
  const running = run()

  return {
    cache,
    loaded(storagePrefix) {
      const slot = slots.get(storagePrefix)
      return slot?.pending ? undefined : slot?.cache
    },
    async fresh(storagePrefix) {
      const revision = await store.revision()
      const found = await cache(storagePrefix)
      if (found.revision < revision) {
        if (position < revision) store.requestProgress(revision)
        await found.reached(revision)
      }
      return found
    },
    async close() {
      abort.abort()
      await running
    },
  }
}
