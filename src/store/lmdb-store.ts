// The default store: etcd's semantics on LMDB, in this process.
//
// Every version of every key lies in `data` under its position in time; `index` says which version of a key is the newest.
// Writes are decided at once against what is committed plus what is under way, and LMDB's writer thread commits all that
// came in meanwhile with one flush. Nobody sees or is told anything before it is on disk.
import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Database, RootDatabase } from 'lmdb'
import { asError, type Clock, type Deferred, deferred } from '../lib/index.js'
import { createLeases } from './leases.js'
import {
  decodeRecord,
  type Position,
  positionOf,
  prefixEnd,
  recordEncoder,
  revisionOf,
  SLOTS,
  toKeyValue,
  type VersionRecord,
} from './record.js'
import {
  CompactedError,
  FutureRevisionError,
  type KeyValue,
  type RangeOptions,
  type RangeResult,
  type Store,
  type StoreEvent,
  StoreUnavailableError,
  type Txn,
  type WatchBatch,
  type WriteResult,
} from './store.js'
import { createWatchers } from './watchers.js'

export interface LmdbStore extends Store {
  /** Writes a consistent copy into the folder `path` while the store runs. */
  backup(path: string): Promise<void>
  /** Reads everything; throws at the first record that is not what was written. Returns how many keys there are. */
  verify(): number
}

/** How every database of the file is opened. */
export const RESOURCE = { encoding: 'binary', cache: false } as const

export async function copyDatabase(root: RootDatabase, target: string): Promise<void> {
  if (existsSync(target)) throw new Error(`backup: ${target} is there already; name a folder that is not`)
  if (!existsSync(dirname(target))) throw new Error(`backup: ${dirname(target)} is not there`)
  mkdirSync(target, { mode: 0o700 })
  await root.backup(`${target}/data.mdb`, true)
}

/** A version of which we know where it lies. */
interface Head {
  readonly position: Position
  readonly record: VersionRecord
}

interface Pending {
  readonly revision: number
  readonly events: readonly StoreEvent[]
  readonly heads: readonly { readonly key: string; readonly head: Head }[]
  readonly acknowledged: Deferred<void>
  durable: boolean
}

const NOTHING = new Uint8Array(0)
/** Records checked at every start: more than one commit ever holds. */
const TAIL = 4096
const COMPACTION_STEP = 512

export function createLmdbStore(root: RootDatabase, clock: Clock, lock: { release(): Promise<void> }): LmdbStore {
  const data = root.openDB('data', { ...RESOURCE }) as Database<Buffer, number>
  const index = root.openDB('index', { ...RESOURCE }) as Database<Buffer, string>
  const meta = root.openDB('meta', { ...RESOURCE }) as Database<Buffer, string>
  const watchers = createWatchers()

  const number = (value: number): Buffer => {
    const bytes = Buffer.alloc(8)
    bytes.writeDoubleLE(value)
    return bytes
  }
  let compacted = meta.get('compacted')?.readDoubleLE(0) ?? 0
  const lastPosition = (): number => {
    for (const position of data.getKeys({ reverse: true, limit: 1 })) return position
    return 0
  }
  /** The newest revision on disk, the newest given out, and what lies between them. */
  let committed = Math.max(1, compacted, revisionOf(lastPosition()))
  let next = committed
  const queue: Pending[] = []
  const underway = new Map<string, Head>()
  let failure: Error | undefined

  const read = (position: Position): VersionRecord | undefined => {
    const bytes = data.get(position)
    return bytes && decodeRecord(bytes, position)
  }
  const committedHead = (key: string): Head | undefined => {
    const position = index.get(key)?.readDoubleLE(0)
    const record = position === undefined ? undefined : read(position)
    if (position !== undefined && !record) throw new Error(`store: ${key} points to revision ${revisionOf(position)}, which is not there`)
    return record && position !== undefined ? { position, record } : undefined
  }
  const head = (key: string): Head | undefined => underway.get(key) ?? committedHead(key)
  const live = (found: Head | undefined): KeyValue | undefined =>
    found && !found.record.deleted ? toKeyValue(found.record, found.position) : undefined

  /** The version of a key that was the newest at `revision`. */
  const headAt = (found: Head | undefined, revision: number): Head | undefined => {
    let at = found
    while (at && revisionOf(at.position) > revision) {
      const position = at.record.previous
      const record = position === 0 ? undefined : read(position)
      at = record && { position, record }
    }
    return at
  }

  const checkOpen = (): void => {
    if (failure) throw failure
  }
  const fail = (error: Error): void => {
    if (failure) return
    failure = new StoreUnavailableError('store: a commit failed; what was not acknowledged may be lost', { cause: error })
    for (const { acknowledged } of queue.splice(0)) acknowledged.reject(failure)
    watchers.end(failure)
  }

  /** Acknowledges in the order of revisions, however the promises of one commit resolve. */
  const settle = (): void => {
    const events: StoreEvent[] = []
    const done: Pending[] = []
    while (queue[0]?.durable) {
      const pending = queue.shift() as Pending
      committed = pending.revision
      for (const { key, head: mine } of pending.heads) if (underway.get(key) === mine) underway.delete(key)
      events.push(...pending.events)
      done.push(pending)
    }
    if (done.length === 0) return
    watchers.dispatch(committed, events)
    for (const { acknowledged } of done) acknowledged.resolve()
  }

  /** What was given out since the last hand-over: all of one turn goes to the writer thread as one batch. */
  let batch: Pending[] = []
  const handOver = (): void => {
    const pending = batch
    batch = []
    const records = pending.flatMap(({ heads }) => heads.map(({ head: mine }) => mine.record))
    const encode = recordEncoder(records)
    root
      .batch(() => {
        for (const { heads } of pending) {
          for (const { key, head: mine } of heads) {
            void data.put(mine.position, encode(mine.record))
            void index.put(key, number(mine.position))
          }
        }
      })
      .then(
        () => {
          for (const one of pending) one.durable = true
          settle()
        },
        (error) => fail(asError(error)),
      )
  }

  /** Everything given out so far is durable when this resolves: a refusal must not rest on what a crash could undo. */
  const drained = async (): Promise<void> => {
    await queue.at(-1)?.acknowledged.promise
  }

  const write = async (operations: Txn['operations']): Promise<number> => {
    if (operations.length > SLOTS) throw new RangeError(`store: ${operations.length} operations in one transaction, at most ${SLOTS}`)
    const revision = next + 1
    const events: StoreEvent[] = []
    const heads: { key: string; head: Head }[] = []
    for (const [slot, operation] of operations.entries()) {
      const before = head(operation.key)
      const previous = live(before)
      if (operation.type === 'delete' && !previous) continue
      const position = positionOf(revision, slot)
      const record: VersionRecord = {
        key: operation.key,
        value: operation.type === 'put' ? operation.value : NOTHING,
        deleted: operation.type === 'delete',
        createRevision: operation.type === 'delete' ? 0 : (previous?.createRevision ?? revision),
        version: operation.type === 'delete' ? 0 : (previous?.version ?? 0) + 1,
        lease: operation.type === 'put' ? (operation.lease ?? 0) : 0,
        previous: before?.position ?? 0,
      }
      heads.push({ key: operation.key, head: { position, record } })
      events.push({ type: operation.type, kv: toKeyValue(record, position), ...(previous && { previous }) })
    }
    if (heads.length === 0) return next
    next = revision
    const pending: Pending = { revision, events, heads, acknowledged: deferred(), durable: false }
    queue.push(pending)
    for (const entry of heads) underway.set(entry.key, entry.head)
    leases.note(events)
    if (batch.push(pending) === 1) process.nextTick(handOver)
    await pending.acknowledged.promise
    return revision
  }

  const writeOne = async (operation: Txn['operations'][number], expect: number | undefined): Promise<WriteResult> => {
    checkOpen()
    const current = live(head(operation.key))
    if (expect !== undefined && expect !== (current?.modRevision ?? 0)) {
      await drained()
      return { ok: false, revision: committed, ...(current && { current }) }
    }
    if (operation.type === 'put' && operation.lease) leases.require(operation.lease)
    const revision = await write([operation])
    return { ok: true, revision, ...(current && { previous: current }) }
  }

  const leases = createLeases({
    clock,
    load: () => {
      const stored = new Map<number, number>()
      for (const { key, value } of meta.getRange({ start: 'lease/', end: 'lease0' }))
        stored.set(Number(key.slice(6)), value.readDoubleLE(0))
      return stored
    },
    save: async (id, ttl) => {
      await (ttl === undefined ? meta.remove(`lease/${id}`) : meta.put(`lease/${id}`, number(ttl)))
    },
    keys: function* () {
      for (const { value } of index.getRange({})) {
        const record = read(value.readDoubleLE(0))
        if (record && !record.deleted && record.lease) yield [record.key, record.lease] as const
      }
    },
    remove: async (keys) => {
      for (let at = 0; at < keys.length; at += SLOTS) {
        checkOpen()
        await write(keys.slice(at, at + SLOTS).map((key) => ({ type: 'delete', key }) as const))
      }
    },
    leaseOf: (key) => live(head(key))?.lease ?? 0,
  })

  const checkReadable = (revision: number): void => {
    if (revision < compacted) throw new CompactedError(compacted)
    if (revision > committed) throw new FutureRevisionError(committed)
  }

  /** Committed keys in order. A writer may have committed more than was acknowledged: those are skipped by their revision. */
  const range = (prefix: string, { revision, limit = 0, startAfter, countOnly = false }: RangeOptions): RangeResult => {
    const at = revision || committed
    checkReadable(at)
    const items: KeyValue[] = []
    let count = 0
    const end = prefixEnd(prefix)
    const start = startAfter !== undefined && startAfter >= prefix ? startAfter : prefix
    for (const { key, value } of index.getRange({ start, ...(end !== undefined && { end }) })) {
      if (key === startAfter) continue
      const position = value.readDoubleLE(0)
      const record = read(position)
      if (!record) throw new Error(`store: ${key} points to revision ${revisionOf(position)}, which is not there`)
      const kv = live(headAt({ position, record }, at))
      if (!kv) continue
      count++
      if (!countOnly && (limit === 0 || items.length < limit)) items.push(kv)
    }
    return { revision: at, items, count, more: !countOnly && count > items.length }
  }

  function* history(prefix: string, from: number, upTo: number): Generator<WatchBatch> {
    let events: StoreEvent[] = []
    for (const { key: position, value } of data.getRange({ start: positionOf(from, 0), end: positionOf(upTo + 1, 0) })) {
      const record = decodeRecord(value, position)
      if (!record.key.startsWith(prefix)) continue
      const revision = revisionOf(position)
      const last = events.at(-1)
      if (last && events.length >= 500 && last.kv.modRevision < revision) {
        yield { revision: last.kv.modRevision, events }
        events = []
      }
      const before = record.previous ? read(record.previous) : undefined
      const previous = before && !before.deleted ? toKeyValue(before, record.previous) : undefined
      events.push({ type: record.deleted ? 'delete' : 'put', kv: toKeyValue(record, position), ...(previous && { previous }) })
    }
    if (events.length > 0) yield { revision: upTo, events }
  }

  const compact = async (revision: number): Promise<void> => {
    checkOpen()
    if (revision > committed) throw new FutureRevisionError(committed)
    if (revision <= compacted) throw new CompactedError(compacted)
    const first = compacted + 1
    compacted = revision
    await meta.put('compacted', number(revision))
    let from = positionOf(first, 0)
    const end = positionOf(revision + 1, 0)
    while (from < end) {
      const step = [...data.getRange({ start: from, end, limit: COMPACTION_STEP })]
      if (step.length === 0) break
      await root.batch(() => {
        for (const { key: position, value } of step) {
          const record = decodeRecord(value, position)
          if (record.previous) void data.remove(record.previous)
          if (!record.deleted) continue
          void data.remove(position)
          if (head(record.key)?.position === position) void index.remove(record.key)
        }
      })
      from = (step.at(-1)?.key ?? end) + 1
    }
  }

  /** What the last run committed is whole: each of its newest records is what its key points to, or an older version. */
  const checkTail = (): void => {
    for (const { key: position, value } of data.getRange({ reverse: true, limit: TAIL })) {
      const record = decodeRecord(value, position)
      const newest = index.get(record.key)?.readDoubleLE(0)
      if (newest === undefined || newest < position)
        throw new Error(`store: ${record.key} at revision ${revisionOf(position)} is not in the index`)
    }
  }
  const verify = (): number => {
    let keys = 0
    for (const { value } of index.getRange({})) {
      const position = value.readDoubleLE(0)
      const bytes = data.get(position)
      if (!bytes) throw new Error(`store: revision ${revisionOf(position)} is not there`)
      if (!decodeRecord(bytes, position).deleted) keys++
    }
    for (const { key, value } of data.getRange({})) decodeRecord(value, key)
    return keys
  }

  checkTail()
  leases.start()
  let closed = false
  return {
    revision: async () => committed,
    async get(key, { revision } = {}) {
      const at = revision || committed
      checkReadable(at)
      const kv = live(headAt(committedHead(key), at))
      return { revision: committed, ...(kv && { kv }) }
    },
    range: async (prefix, options = {}) => range(prefix, options),
    put: (key, value, { expect, lease } = {}) => writeOne({ type: 'put', key, value, ...(lease && { lease }) }, expect),
    delete: (key, { expect } = {}) => writeOne({ type: 'delete', key }, expect),
    async txn({ compare, operations }) {
      checkOpen()
      if (!compare.every(({ key, modRevision }) => (live(head(key))?.modRevision ?? 0) === modRevision)) {
        await drained()
        return { ok: false, revision: committed }
      }
      for (const operation of operations) if (operation.type === 'put' && operation.lease) leases.require(operation.lease)
      return { ok: true, revision: await write(operations) }
    },
    watch(prefix, { fromRevision, signal } = {}) {
      checkOpen()
      const from = fromRevision || committed + 1
      if (from <= compacted) throw new CompactedError(compacted)
      const upTo = committed
      return watchers.watch({
        prefix,
        from: Math.max(from, upTo + 1),
        upTo,
        history: () => (from > upTo ? [] : history(prefix, from, upTo)),
        signal,
      })
    },
    requestProgress: () => watchers.progress(committed),
    compact,
    compactRevision: async () => compacted,
    grantLease: (ttlSeconds) => leases.grant(ttlSeconds),
    keepAlive: async (id) => leases.keepAlive(id),
    revokeLease: (id) => leases.revoke(id),
    async size() {
      const { root: statistics } = { root: root.getStats() as { mapSize?: number; lastPageNumber?: number; pageSize?: number } }
      return (statistics.lastPageNumber ?? 0) * (statistics.pageSize ?? 4096)
    },
    verify,
    backup: (target) => copyDatabase(root, target),
    async close() {
      if (closed) return
      closed = true
      leases.stop()
      await drained().catch(() => {})
      failure ??= new StoreUnavailableError('store: closed')
      watchers.end()
      await root.close()
      await lock.release()
    },
  }
}
