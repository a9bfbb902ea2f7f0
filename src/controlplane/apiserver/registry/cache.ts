// One resource's objects in memory, in the order of their keys, and the events that led here.
import { type Deferred, deferred } from '../../../lib/index.js'
import type { StoreEvent } from '../../../store/index.js'
import { atRevision, type Entry, tryEntry } from './entry.js'

/** A change as watchers learn of it. Frames are encoded once and shared. */
export interface CacheEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly revision: number
  /** The new state; of a deletion the last state, at the deletion's revision. */
  readonly entry: Entry
  readonly previous: Entry | undefined
  /** Encoded forms, filled by those who send them. */
  readonly frames: Map<string, Buffer>
}

export type Subscriber = (events: readonly CacheEvent[], revision: number) => void

/** Events kept for watchers that resume; older ones come from the store. */
const KEPT_EVENTS = 1024

/** A resource's change, from the store's. */
export function toCacheEvent(prefix: string, { type, kv, previous }: StoreEvent, before?: Entry): CacheEvent | undefined {
  const last = before ?? (previous && tryEntry(prefix, previous.key, previous.value, previous.modRevision))
  if (type === 'put') {
    const entry = tryEntry(prefix, kv.key, kv.value, kv.modRevision)
    if (!entry) return undefined
    return { type: last ? 'MODIFIED' : 'ADDED', revision: kv.modRevision, entry, previous: last, frames: new Map() }
  }
  if (!last) return undefined
  return { type: 'DELETED', revision: kv.modRevision, entry: atRevision(last, kv.modRevision), previous: last, frames: new Map() }
}

export class ResourceCache {
  readonly prefix: string
  /** Everything up to here is in. */
  revision = 0
  /** The newest revision that changed this resource. */
  changed = 0
  readonly #entries = new Map<string, Entry>()
  #keys: string[] = []
  readonly #subscribers = new Set<Subscriber>()
  #events: CacheEvent[] = []
  /** Events behind this revision are in `#events`. */
  #floor = 0
  #waiting: { readonly revision: number; readonly arrived: Deferred<void> }[] = []

  constructor(prefix: string) {
    this.prefix = prefix
  }

  /** First contents: all there is at `revision`, in the order of keys. */
  load(entries: readonly Entry[], revision: number): void {
    for (const entry of entries) this.#entries.set(entry.key, entry)
    this.#keys = entries.map(({ key }) => key)
    this.revision = revision
    this.changed = revision
    this.#floor = revision
  }

  get size(): number {
    return this.#keys.length
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key)
  }

  #search(key: string): number {
    let low = 0
    let high = this.#keys.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#keys[middle] as string) < key) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Entries whose keys begin with `prefix` and come behind `startAfter`, in order. */
  *range(prefix = this.prefix, startAfter = ''): Generator<Entry> {
    let at = startAfter > prefix ? this.#search(startAfter) : this.#search(prefix)
    if (this.#keys[at] === startAfter) at++
    for (; at < this.#keys.length; at++) {
      const key = this.#keys[at] as string
      if (!key.startsWith(prefix)) return
      yield this.#entries.get(key) as Entry
    }
  }

  /** All entries of a range at once. */
  slice(prefix = this.prefix): Entry[] {
    if (prefix === this.prefix) return this.#keys.map((key) => this.#entries.get(key) as Entry)
    return [...this.range(prefix)]
  }

  apply(changes: readonly StoreEvent[], revision: number): void {
    const events: CacheEvent[] = []
    for (const change of changes) {
      if (change.kv.modRevision <= this.#floor) continue
      const { key } = change.kv
      const event = toCacheEvent(this.prefix, change, this.#entries.get(key))
      if (!event) continue
      if (event.type === 'DELETED') {
        this.#entries.delete(key)
        this.#keys.splice(this.#search(key), 1)
      } else {
        if (!this.#entries.has(key)) this.#keys.splice(this.#search(key), 0, key)
        this.#entries.set(key, event.entry)
      }
      this.changed = event.revision
      events.push(event)
    }
    this.#events.push(...events)
    if (this.#events.length > 2 * KEPT_EVENTS) {
      this.#floor = this.#events[this.#events.length - KEPT_EVENTS - 1]?.revision ?? this.#floor
      this.#events = this.#events.slice(-KEPT_EVENTS)
    }
    this.progress(revision, events)
  }

  /** Nothing (more) happened to this resource up to `revision`. */
  progress(revision: number, events: readonly CacheEvent[] = []): void {
    if (revision > this.revision) this.revision = revision
    if (this.#waiting.length > 0) {
      for (const { revision: wanted, arrived } of this.#waiting) if (wanted <= this.revision) arrived.resolve()
      this.#waiting = this.#waiting.filter(({ revision: wanted }) => wanted > this.revision)
    }
    if (events.length > 0) for (const subscriber of this.#subscribers) subscriber(events, this.revision)
  }

  /** Resolves once everything up to `revision` is in. */
  async reached(revision: number): Promise<void> {
    if (revision <= this.revision) return
    const arrived = deferred()
    this.#waiting.push({ revision, arrived })
    await arrived.promise
  }

  /** Events behind `revision`; undefined when they are not all here any more. */
  since(revision: number): readonly CacheEvent[] | undefined {
    if (revision < this.#floor) return undefined
    return this.#events.filter((event) => event.revision > revision)
  }

  subscribe(subscriber: Subscriber): () => void {
    this.#subscribers.add(subscriber)
    return () => this.#subscribers.delete(subscriber)
  }

  get subscribers(): number {
    return this.#subscribers.size
  }
}
