// The store in etcd: the same keys as Kubernetes, so that several API servers share it.
import { asError, type Clock, deferred, exponentialBackoff, type Random, sleep } from '../../lib/index.js'
import { prefixEnd } from '../record.js'
import {
  CompactedError,
  FutureRevisionError,
  type KeyValue,
  type Store,
  StoreUnavailableError,
  type TxnOperation,
  type WatchBatch,
  type WatchOptions,
} from '../store.js'
import { type Connection, codeOf, connectEtcd, type EtcdTls, GRPC } from './connection.js'
import {
  compareMod,
  deleteRequest,
  headerRevision,
  operation,
  ProtoWriter,
  putRequest,
  rangeRequest,
  readFields,
  readPrevious,
  readRange,
  readTxn,
  readWatch,
  txnRequest,
  watchCreate,
} from './messages.js'

export interface EtcdStoreOptions {
  readonly endpoints: readonly string[]
  readonly tls?: EtcdTls
  readonly clock: Clock
  readonly random: Random
}

const KV = '/etcdserverpb.KV'

/**
 * Written below a watched prefix to learn how far the watch is: this event comes behind all earlier ones. etcd's own progress reports
 * overtake events before 3.4.25 and 3.5.8, and are left out while a watch lags. The name is none that an object can have.
 */
const MARK = '.progress'

export async function openEtcdStore({ endpoints, tls, clock, random }: EtcdStoreOptions): Promise<Store> {
  if (endpoints.length === 0) throw new Error('etcd: name at least one endpoint')
  const connection = await connectEtcd(endpoints, tls, clock)
  try {
    // Whether it answers is known now, not at the first request.
    await connection.call(`${KV}/Range`, rangeRequest({ key: '\0', countOnly: true }), { readOnly: true })
  } catch (error) {
    connection.close()
    throw new StoreUnavailableError(`etcd at ${endpoints.join(', ')} does not answer`, { cause: error })
  }
  return createEtcdStore(connection, { clock, random })
}

const lastRevision = (text: string): boolean => text.includes('required revision has been compacted')

function createEtcdStore(connection: Connection, { clock, random }: { clock: Clock; random: Random }): Store {
  const closing = new AbortController()
  /** Callers want to know of all watches when they have told everything up to here. */
  let wished = 0
  const wishes = new Set<() => void>()

  /** etcd tells apart "gone" and "not yet" by text alone. */
  const translated = async (error: unknown): Promise<Error> => {
    if (codeOf(error) !== GRPC.outOfRange) return asError(error)
    if (lastRevision(asError(error).message)) return new CompactedError(await compactRevision())
    return new FutureRevisionError(await revision())
  }
  const read = async (path: string, request: Buffer): Promise<Buffer> => {
    try {
      return await connection.call(path, request, { readOnly: true })
    } catch (error) {
      throw await translated(error)
    }
  }

  const revision = async (): Promise<number> =>
    headerRevision(await connection.call(`${KV}/Range`, rangeRequest({ key: '\0', countOnly: true }), { readOnly: true }))

  /** Whether there was a compaction, a read of the first revision tells; up to where, only a watch that comes too late. */
  const compactRevision = async (): Promise<number> => {
    try {
      await connection.call(`${KV}/Range`, rangeRequest({ key: '\0', revision: 1, countOnly: true }), { readOnly: true })
      return 0
    } catch (error) {
      if (codeOf(error) !== GRPC.outOfRange) throw error
    }
    return new Promise((resolve, reject) => {
      const stream = connection.stream('/etcdserverpb.Watch/Watch')
      stream.on('error', (error) => (codeOf(error) === GRPC.cancelled ? undefined : reject(error)))
      stream.on('data', (bytes: Buffer) => {
        const { canceled, compactRevision: oldest } = readWatch(bytes)
        if (!canceled) return
        stream.cancel()
        resolve(oldest)
      })
      stream.write(watchCreate('\0', '', 1))
    })
  }

  const encodeOperation = (one: TxnOperation): Buffer =>
    one.type === 'put' ? operation('put', putRequest(one.key, one.value, one.lease ?? 0)) : operation('delete', deleteRequest(one.key))

  const writeOne = async (one: TxnOperation, expect: number | undefined) => {
    const compare = expect === undefined ? [] : [compareMod(one.key, expect)]
    const response = await connection.call(
      `${KV}/Txn`,
      txnRequest(compare, [encodeOperation(one)], [operation('range', rangeRequest({ key: one.key }))]),
    )
    const { succeeded, responses } = readTxn(response)
    const at = headerRevision(response)
    const [first] = responses
    if (succeeded) {
      const previous = first && readPrevious(first, one.type === 'put' ? 2 : 3)
      return { ok: true, revision: at, ...(previous && { previous }) } as const
    }
    const current: KeyValue | undefined = first && readRange(first).items[0]
    return { ok: false, revision: at, ...(current && { current }) } as const
  }

  /** One stream; ends with the stream. Throws CompactedError, or what broke the stream. */
  async function* watchOnce(prefix: string, from: number, signal: AbortSignal): AsyncGenerator<WatchBatch> {
    const stream = connection.stream('/etcdserverpb.Watch/Watch')
    const queue: Buffer[] = []
    let wake = deferred()
    let ended: { error?: Error } | undefined
    const end = (error?: Error): void => {
      ended ??= error ? { error } : {}
      wake.resolve()
    }
    const onAbort = (): void => end()
    stream.on('data', (bytes: Buffer) => {
      queue.push(bytes)
      wake.resolve()
    })
    stream.on('error', (error) => end(error))
    stream.on('end', () => end(new Error('etcd: the watch ended')))
    signal.addEventListener('abort', onAbort, { once: true })
    stream.write(watchCreate(prefix, prefixEnd(prefix) ?? '\0', from))
    let pending: WatchBatch['events'][number][] = []
    try {
      for (;;) {
        for (let bytes = queue.shift(); bytes; bytes = queue.shift()) {
          const response = readWatch(bytes)
          if (response.canceled) {
            if (response.compactRevision > 0) throw new CompactedError(response.compactRevision)
            throw new Error(`etcd: the watch was cancelled: ${response.cancelReason}`)
          }
          if (response.created) continue
          pending.push(...response.events)
          if (response.fragment) continue
          // The header's revision may be ahead of the events of this watch.
          const last = pending.at(-1)?.kv
          if (last) yield { revision: last.modRevision, events: pending.filter(({ kv }) => kv.key !== prefix + MARK) }
          pending = []
        }
        if (signal.aborted) return
        if (ended) throw ended.error ?? new Error('etcd: the watch ended')
        wake = deferred()
        if (queue.length === 0) await wake.promise
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
      stream.removeAllListeners()
      stream.on('error', () => {})
      stream.cancel()
    }
  }

  async function* watch(prefix: string, from: Promise<number>, signal: AbortSignal): AsyncGenerator<WatchBatch> {
    let next = await from
    let told = 0
    let marking = false
    const mark = async (): Promise<void> => {
      marking = true
      const backoff = exponentialBackoff({ initialMs: 20, maxMs: 1000 })
      const pause = (): Promise<void> => sleep(clock, backoff.next(), signal).catch(() => {})
      // Most often what is waited for is on its way.
      for (await pause(); told < wished && wishes.has(wish) && !signal.aborted; await pause())
        await writeOne({ type: 'put', key: prefix + MARK, value: Buffer.alloc(0) }, undefined).catch(() => {})
      marking = false
    }
    const wish = (): void => {
      if (!marking && told < wished) void mark()
    }
    const backoff = exponentialBackoff({ initialMs: 50, maxMs: 2000 })
    wishes.add(wish)
    wish()
    try {
      while (!signal.aborted) {
        try {
          for await (const batch of watchOnce(prefix, next, signal)) {
            backoff.reset()
            told = Math.max(told, batch.revision)
            next = Math.max(next, told + 1)
            yield batch
          }
        } catch (error) {
          if (error instanceof CompactedError) throw error
          if (signal.aborted) return
          // The endpoint is away: go on elsewhere, where we stopped.
          connection.next()
          await sleep(clock, backoff.next(), signal).catch(() => {})
        }
      }
    } finally {
      wishes.delete(wish)
    }
  }

  const lease = async (path: string, id: number): Promise<Buffer> => {
    try {
      return await connection.call(path, new ProtoWriter().number(1, id).done())
    } catch (error) {
      if (codeOf(error) === GRPC.notFound) throw new Error(`lease ${id} is not there`, { cause: error })
      throw error
    }
  }

  return {
    revision,
    async get(key, { revision: at = 0 } = {}) {
      const response = await read(`${KV}/Range`, rangeRequest({ key, revision: at }))
      const [kv] = readRange(response).items
      return { revision: headerRevision(response), ...(kv && { kv }) }
    },
    async range(prefix, { revision: at = 0, limit = 0, startAfter, countOnly = false } = {}) {
      // The next key after `startAfter` is that key with a zero byte behind it.
      const key = startAfter !== undefined && startAfter >= prefix ? `${startAfter}\0` : prefix
      const response = await read(`${KV}/Range`, rangeRequest({ key, end: prefixEnd(prefix) ?? '\0', limit, revision: at, countOnly }))
      const { items, more, count } = readRange(response)
      const marks = items[0]?.key === prefix + MARK ? 1 : 0
      return { revision: at || headerRevision(response), items: items.slice(marks), count: count - marks, more: more && !countOnly }
    },
    put: (key, value, { expect, lease: id } = {}) => writeOne({ type: 'put', key, value, ...(id && { lease: id }) }, expect),
    delete: (key, { expect } = {}) => writeOne({ type: 'delete', key }, expect),
    async txn({ compare, operations }) {
      const request = txnRequest(
        compare.map(({ key, modRevision }) => compareMod(key, modRevision)),
        operations.map(encodeOperation),
        [],
      )
      const response = await connection.call(`${KV}/Txn`, request)
      return { ok: readTxn(response).succeeded, revision: headerRevision(response) }
    },
    watch(prefix, { fromRevision, signal }: WatchOptions = {}) {
      const both = signal ? AbortSignal.any([signal, closing.signal]) : closing.signal
      // "From now on" is this moment, whenever the caller begins to read.
      const from = fromRevision ? Promise.resolve(fromRevision) : revision().then((now) => now + 1)
      from.catch(() => {})
      return watch(prefix, from, both)
    },
    requestProgress(revision) {
      wished = Math.max(wished, revision)
      for (const wish of wishes) wish()
    },
    async compact(at) {
      try {
        await connection.call(`${KV}/Compact`, new ProtoWriter().number(1, at).done())
      } catch (error) {
        throw await translated(error)
      }
    },
    compactRevision,
    async grantLease(ttlSeconds) {
      const id = Math.floor(random.next() * 2 ** 52) + 1
      await connection.call('/etcdserverpb.Lease/LeaseGrant', new ProtoWriter().number(1, ttlSeconds).number(2, id).done())
      return { id, ttlSeconds }
    },
    keepAlive: (id) =>
      new Promise((resolve, reject) => {
        const stream = connection.stream('/etcdserverpb.Lease/LeaseKeepAlive')
        stream.on('error', (error) => reject(asError(error)))
        stream.on('data', (bytes: Buffer) => {
          let ttl = 0
          for (const { field, number } of readFields(bytes)) if (field === 3) ttl = number
          stream.removeAllListeners()
          stream.on('error', () => {})
          stream.cancel()
          if (ttl > 0) resolve()
          else reject(new Error(`lease ${id} is not there`))
        })
        stream.write(new ProtoWriter().number(1, id).done())
      }),
    async revokeLease(id) {
      await lease('/etcdserverpb.Lease/LeaseRevoke', id)
    },
    async size() {
      const response = await connection.call('/etcdserverpb.Maintenance/Status', Buffer.alloc(0), { readOnly: true })
      for (const { field, number } of readFields(response)) if (field === 3) return number
      return 0
    },
    async close() {
      closing.abort()
      connection.close()
    },
  }
}
