// The store as the API server sees it: etcd's semantics over keys and bytes. Knows no kinds.

/** One version of one key. */
export interface KeyValue {
  readonly key: string
  readonly value: Uint8Array
  /** Revision at which the key came to be. */
  readonly createRevision: number
  /** Revision of this version. */
  readonly modRevision: number
  /** 1 for the first version since the key came to be. */
  readonly version: number
  /** Lease the key lives by; 0 for none. */
  readonly lease: number
}

export interface GetOptions {
  /** State at this revision; the newest when left out. */
  readonly revision?: number
}

export interface GetResult {
  /** The store's revision at the time of the answer. */
  readonly revision: number
  readonly kv?: KeyValue
}

export interface RangeOptions {
  /** State at this revision; the newest when left out. */
  readonly revision?: number
  /** At most so many items; 0 or nothing means all. */
  readonly limit?: number
  /** Only keys that sort behind this one. */
  readonly startAfter?: string
  /** Count, but return no items. */
  readonly countOnly?: boolean
}

export interface RangeResult {
  /** The revision whose state this is. */
  readonly revision: number
  /** In the order of their keys (by bytes). */
  readonly items: readonly KeyValue[]
  /** How many there are behind `startAfter`, also those that `limit` cut off. */
  readonly count: number
  readonly more: boolean
}

export interface WriteOptions {
  /** Write only if the key's last-modified revision is this; 0: only if the key does not exist. */
  readonly expect?: number
  /** Lease the key lives by. */
  readonly lease?: number
}

export type WriteResult =
  /** Done and durable at `revision`. `previous` is what was there before. */
  | { readonly ok: true; readonly revision: number; readonly previous?: KeyValue }
  /** Not done, because the key's revision was another; `current` is what is there. */
  | { readonly ok: false; readonly revision: number; readonly current?: KeyValue }

export type TxnOperation =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array; readonly lease?: number }
  | { readonly type: 'delete'; readonly key: string }

export interface Txn {
  /** All must hold: the key's last-modified revision equals `modRevision` (0: it does not exist). */
  readonly compare: readonly { readonly key: string; readonly modRevision: number }[]
  /** Done together, at one revision; each key at most once. */
  readonly operations: readonly TxnOperation[]
}

export interface TxnResult {
  readonly ok: boolean
  readonly revision: number
}

export interface StoreEvent {
  readonly type: 'put' | 'delete'
  /** The new version; for a deletion an empty value with the deletion's revision. */
  readonly kv: KeyValue
  readonly previous?: KeyValue
}

/** Events of one or more revisions, complete up to `revision`. No events: only progress is reported. */
export interface WatchBatch {
  readonly revision: number
  readonly events: readonly StoreEvent[]
}

export interface WatchOptions {
  /** The first revision to report; the next one when left out. */
  readonly fromRevision?: number
  readonly signal?: AbortSignal
}

export interface Lease {
  readonly id: number
  readonly ttlSeconds: number
}

/** The revision asked for has been compacted away (or lies in the future). */
export class CompactedError extends Error {
  override readonly name = 'CompactedError'
  readonly compactRevision: number

  constructor(compactRevision: number) {
    super(`required revision has been compacted; the oldest is ${compactRevision}`)
    this.compactRevision = compactRevision
  }
}

/** A revision that the store has not reached. */
export class FutureRevisionError extends Error {
  override readonly name = 'FutureRevisionError'
  readonly revision: number

  constructor(revision: number) {
    super(`required revision is a future revision; the newest is ${revision}`)
    this.revision = revision
  }
}

/** The store cannot serve: closed, or its disk or its servers failed. Nothing that was acknowledged is lost. */
export class StoreUnavailableError extends Error {
  override readonly name = 'StoreUnavailableError'
}

/** Every write raises one counter, the revision, and is durable when it is acknowledged. */
export interface Store {
  /** The newest revision. */
  revision(): Promise<number>
  get(key: string, options?: GetOptions): Promise<GetResult>
  /** Keys that begin with `prefix`. */
  range(prefix: string, options?: RangeOptions): Promise<RangeResult>
  put(key: string, value: Uint8Array, options?: WriteOptions): Promise<WriteResult>
  /** Deleting what is not there succeeds and raises no revision. */
  delete(key: string, options?: Pick<WriteOptions, 'expect'>): Promise<WriteResult>
  txn(txn: Txn): Promise<TxnResult>
  /** Every change under `prefix` in order, from `fromRevision` on. Throws CompactedError when that is gone. Ends at close or abort. */
  watch(prefix: string, options?: WatchOptions): AsyncIterable<WatchBatch>
  /** Asks every watch to report as soon as it has told all up to `revision`, also when nothing else happens. */
  requestProgress(revision: number): void
  /** Forgets versions that were replaced at or before `revision`. */
  compact(revision: number): Promise<void>
  /** The oldest revision that can be read: 0 until something was compacted. */
  compactRevision(): Promise<number>
  grantLease(ttlSeconds: number): Promise<Lease>
  /** Throws when the lease is gone. */
  keepAlive(id: number): Promise<void>
  /** Deletes the lease and every key that lives by it. */
  revokeLease(id: number): Promise<void>
  /** Bytes used on disk, as far as the store knows. */
  size(): Promise<number>
  close(): Promise<void>
}
