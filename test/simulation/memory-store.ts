// A store in memory, without any I/O: what a run does depends on nothing but its seed.
import {
  CompactedError,
  FutureRevisionError,
  type KeyValue,
  type Lease,
  type Store,
  type StoreEvent,
  type Txn,
  type TxnResult,
  type WatchBatch,
  type WatchOptions,
  type WriteResult,
} from '../../src/store/index.js'

interface Logged {
  readonly revision: number
  readonly events: readonly StoreEvent[]
}

export interface MemoryStore extends Store {
  /** Called at once, in order, for every change. */
  onEvent: ((event: StoreEvent) => void) | undefined
}

const nothing = new Uint8Array(0)

export function memoryStore(): MemoryStore {
  const current = new Map<string, KeyValue>()
  const log: Logged[] = []
  const wakers = new Set<() => void>()
  let revision = 1
  let compacted = 0
  let leases = 0
  let closed = false
  /** Sorted keys, made anew after keys came or went. */
  let sorted: string[] | undefined

  function commit(operations: Txn['operations']): void {
    const events: StoreEvent[] = []
    const next = revision + 1
    for (const operation of operations) {
      const previous = current.get(operation.key)
      const before = previous ? { previous } : {}
      if (operation.type === 'put') {
        const kv: KeyValue = {
          key: operation.key,
          value: operation.value,
          createRevision: previous?.createRevision ?? next,
          modRevision: next,
          version: (previous?.version ?? 0) + 1,
          lease: operation.lease ?? 0,
        }
        if (!previous) sorted = undefined
        current.set(operation.key, kv)
        events.push({ type: 'put', kv, ...before })
      } else if (previous) {
        current.delete(operation.key)
        sorted = undefined
        const kv = { key: operation.key, value: nothing, createRevision: 0, modRevision: next, version: 0, lease: 0 }
        events.push({ type: 'delete', kv, previous })
      }
    }
    if (events.length === 0) return
    revision = next
    log.push({ revision, events })
    for (const event of events) store.onEvent?.(event)
    for (const wake of wakers) wake()
  }

  /** The newest version of a key at `at`, found backwards in the log. */
  function stateAt(at: number): Map<string, KeyValue> {
    if (at >= revision) return current
    if (at < compacted) throw new CompactedError(compacted)
    const state = new Map(current)
    for (let index = log.length - 1; index >= 0 && (log[index] as Logged).revision > at; index--) {
      for (const { kv, previous } of (log[index] as Logged).events) {
        if (previous) state.set(kv.key, previous)
        else state.delete(kv.key)
      }
    }
    return state
  }

  const check = (wanted: number | undefined): number => {
    if (wanted === undefined || wanted === 0) return revision
    if (wanted > revision) throw new FutureRevisionError(revision)
    return wanted
  }

  const store: MemoryStore = {
    onEvent: undefined,
    revision: async () => revision,
    async get(key, options) {
      const kv = stateAt(check(options?.revision)).get(key)
      return { revision, ...(kv ? { kv } : {}) }
    },
    async range(prefix, options = {}) {
      const at = check(options.revision)
      const state = stateAt(at)
      if (state === current) sorted ??= [...current.keys()].sort()
      const keys = state === current ? (sorted as string[]) : [...state.keys()].sort()
      const after = options.startAfter
      const matching = keys.filter((key) => key.startsWith(prefix) && (after === undefined || key > after))
      const limit = options.limit || matching.length
      const items = options.countOnly ? [] : matching.slice(0, limit).map((key) => state.get(key) as KeyValue)
      return { revision: at, items, count: matching.length, more: matching.length > limit }
    },
    async put(key, value, options = {}): Promise<WriteResult> {
      const previous = current.get(key)
      if (options.expect !== undefined && (previous?.modRevision ?? 0) !== options.expect) {
        return { ok: false, revision, ...(previous ? { current: previous } : {}) }
      }
      commit([{ type: 'put', key, value, ...(options.lease ? { lease: options.lease } : {}) }])
      return { ok: true, revision, ...(previous ? { previous } : {}) }
    },
    async delete(key, options = {}): Promise<WriteResult> {
      const previous = current.get(key)
      if (options.expect !== undefined && (previous?.modRevision ?? 0) !== options.expect) {
        return { ok: false, revision, ...(previous ? { current: previous } : {}) }
      }
      commit([{ type: 'delete', key }])
      return { ok: true, revision, ...(previous ? { previous } : {}) }
    },
    async txn({ compare, operations }): Promise<TxnResult> {
      if (compare.some(({ key, modRevision }) => (current.get(key)?.modRevision ?? 0) !== modRevision)) return { ok: false, revision }
      commit(operations)
      return { ok: true, revision }
    },
    async *watch(prefix: string, { fromRevision, signal }: WatchOptions = {}): AsyncIterable<WatchBatch> {
      let next = fromRevision ?? revision + 1
      if (next <= compacted) throw new CompactedError(compacted)
      // Where in the log the first revision not yet reported is.
      let index = log.length
      while (index > 0 && (log[index - 1] as Logged).revision >= next) index--
      while (!closed && !signal?.aborted) {
        while (index < log.length) {
          const entry = log[index++] as Logged
          next = entry.revision + 1
          yield { revision: entry.revision, events: entry.events.filter((event) => event.kv.key.startsWith(prefix)) }
        }
        await new Promise<void>((resolve) => {
          const wake = (): void => {
            wakers.delete(wake)
            signal?.removeEventListener('abort', wake)
            resolve()
          }
          wakers.add(wake)
          signal?.addEventListener('abort', wake, { once: true })
        })
      }
    },
    requestProgress: () => {},
    async compact(at) {
      compacted = Math.max(compacted, at)
    },
    compactRevision: async () => compacted,
    grantLease: async (ttlSeconds): Promise<Lease> => ({ id: ++leases, ttlSeconds }),
    keepAlive: async () => {},
    revokeLease: async () => {},
    size: async () => 0,
    async close() {
      closed = true
      for (const wake of [...wakers]) wake()
    },
  }
  return store
}
