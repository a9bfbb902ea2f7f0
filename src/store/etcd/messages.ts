// The few messages of etcd's v3 API that we speak, as protobuf (field numbers from etcd's rpc.proto and kv.proto).
import type { KeyValue, StoreEvent } from '../store.js'

/** Writes fields in any order; empty values are left out, as proto3 does. */
export class ProtoWriter {
  readonly #parts: Uint8Array[] = []

  #varint(value: number): void {
    const bytes: number[] = []
    let rest = value
    while (rest >= 0x80) {
      bytes.push((rest % 0x80) | 0x80)
      rest = Math.floor(rest / 0x80)
    }
    bytes.push(rest)
    this.#parts.push(Uint8Array.from(bytes))
  }

  /** Unsigned and below 2^53. */
  number(field: number, value: number): this {
    if (value === 0) return this
    this.#varint(field * 8)
    this.#varint(value)
    return this
  }

  flag(field: number, value: boolean): this {
    return this.number(field, value ? 1 : 0)
  }

  bytes(field: number, value: Uint8Array | string): this {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value
    if (bytes.length === 0) return this
    return this.message(field, bytes)
  }

  /** As `bytes`, but written even when empty. */
  message(field: number, value: Uint8Array): this {
    this.#varint(field * 8 + 2)
    this.#varint(value.length)
    this.#parts.push(value)
    return this
  }

  done(): Buffer {
    return Buffer.concat(this.#parts)
  }
}

export interface ProtoField {
  readonly field: number
  readonly number: number
  readonly bytes: Buffer
}

const NONE = Buffer.alloc(0)

/** The fields of a message, in order. */
export function* readFields(buffer: Buffer): Generator<ProtoField> {
  let at = 0
  const varint = (): number => {
    let value = 0
    let factor = 1
    for (;;) {
      const byte = buffer[at++]
      if (byte === undefined) throw new RangeError('etcd: a message ends too early')
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
      factor *= 0x80
    }
  }
  while (at < buffer.length) {
    const tag = varint()
    const field = Math.floor(tag / 8)
    switch (tag & 7) {
      case 0:
        yield { field, number: varint(), bytes: NONE }
        break
      case 1:
        at += 8
        break
      case 2: {
        const length = varint()
        yield { field, number: 0, bytes: buffer.subarray(at, at + length) }
        at += length
        break
      }
      case 5:
        at += 4
        break
      default:
        throw new RangeError(`etcd: wire type ${tag & 7}`)
    }
  }
}

export function readKeyValue(buffer: Buffer): KeyValue {
  const kv = { key: '', value: NONE as Uint8Array, createRevision: 0, modRevision: 0, version: 0, lease: 0 }
  for (const { field, number, bytes } of readFields(buffer)) {
    if (field === 1) kv.key = bytes.toString('utf8')
    else if (field === 2) kv.createRevision = number
    else if (field === 3) kv.modRevision = number
    else if (field === 4) kv.version = number
    else if (field === 5) kv.value = bytes
    else if (field === 6) kv.lease = number
  }
  return kv
}

/** The revision in a response's header (field 1 of every response; field 3 of the header). */
export function headerRevision(response: Buffer): number {
  for (const { field, bytes } of readFields(response)) {
    if (field !== 1) continue
    for (const inner of readFields(bytes)) if (inner.field === 3) return inner.number
  }
  return 0
}

export interface RangeRequest {
  readonly key: string
  readonly end?: string
  readonly limit?: number
  readonly revision?: number
  readonly countOnly?: boolean
}

export const rangeRequest = ({ key, end = '', limit = 0, revision = 0, countOnly = false }: RangeRequest): Buffer =>
  new ProtoWriter().bytes(1, key).bytes(2, end).number(3, limit).number(4, revision).flag(9, countOnly).done()

export function readRange(response: Buffer): { readonly items: KeyValue[]; readonly more: boolean; readonly count: number } {
  const items: KeyValue[] = []
  let more = false
  let count = 0
  for (const { field, number, bytes } of readFields(response)) {
    if (field === 2) items.push(readKeyValue(bytes))
    else if (field === 3) more = number !== 0
    else if (field === 4) count = number
  }
  return { items, more, count }
}

export const putRequest = (key: string, value: Uint8Array, lease: number): Buffer =>
  new ProtoWriter().bytes(1, key).bytes(2, value).number(3, lease).flag(4, true).done()

export const deleteRequest = (key: string): Buffer => new ProtoWriter().bytes(1, key).flag(3, true).done()

const EQUAL = 0
const TARGET_MOD = 2

/** `mod(key) == revision`; 0 means that the key does not exist. */
export const compareMod = (key: string, revision: number): Buffer => {
  const writer = new ProtoWriter().number(1, EQUAL).number(2, TARGET_MOD).bytes(3, key)
  // A member of a oneof is written even when it is zero.
  return revision === 0 ? Buffer.concat([writer.done(), Buffer.from([6 * 8, 0])]) : writer.number(6, revision).done()
}

export const OPERATION = { range: 1, put: 2, delete: 3 } as const

export const operation = (kind: keyof typeof OPERATION, request: Buffer): Buffer =>
  new ProtoWriter().message(OPERATION[kind], request).done()

export function txnRequest(compare: readonly Buffer[], success: readonly Buffer[], failure: readonly Buffer[]): Buffer {
  const writer = new ProtoWriter()
  for (const one of compare) writer.message(1, one)
  for (const one of success) writer.message(2, one)
  for (const one of failure) writer.message(3, one)
  return writer.done()
}

export interface TxnResponse {
  readonly succeeded: boolean
  /** Each the response of one operation, without its wrapping. */
  readonly responses: readonly Buffer[]
}

export function readTxn(response: Buffer): TxnResponse {
  let succeeded = false
  const responses: Buffer[] = []
  for (const { field, number, bytes } of readFields(response)) {
    if (field === 2) succeeded = number !== 0
    if (field === 3) for (const inner of readFields(bytes)) responses.push(inner.bytes)
  }
  return { succeeded, responses }
}

/** The previous version in the answer to a put (field 2) or a delete (field 3). */
export function readPrevious(response: Buffer, field: 2 | 3): KeyValue | undefined {
  for (const one of readFields(response)) if (one.field === field && one.bytes.length > 0) return readKeyValue(one.bytes)
  return undefined
}

export const watchCreate = (key: string, end: string, startRevision: number): Buffer =>
  new ProtoWriter()
    .message(1, new ProtoWriter().bytes(1, key).bytes(2, end).number(3, startRevision).flag(4, true).flag(6, true).flag(8, true).done())
    .done()

export interface WatchResponse {
  readonly revision: number
  readonly created: boolean
  readonly canceled: boolean
  readonly compactRevision: number
  readonly cancelReason: string
  /** More of the same revision follows. */
  readonly fragment: boolean
  readonly events: readonly StoreEvent[]
}

function readEvent(buffer: Buffer): StoreEvent {
  let type: StoreEvent['type'] = 'put'
  let kv: KeyValue | undefined
  let previous: KeyValue | undefined
  for (const { field, number, bytes } of readFields(buffer)) {
    if (field === 1) type = number === 1 ? 'delete' : 'put'
    else if (field === 2) kv = readKeyValue(bytes)
    else if (field === 3) previous = readKeyValue(bytes)
  }
  if (!kv) throw new RangeError('etcd: an event without a key')
  return { type, kv, ...(previous && { previous }) }
}

export function readWatch(response: Buffer): WatchResponse {
  const result = {
    revision: headerRevision(response),
    created: false,
    canceled: false,
    compactRevision: 0,
    cancelReason: '',
    fragment: false,
  }
  const events: StoreEvent[] = []
  for (const { field, number, bytes } of readFields(response)) {
    if (field === 3) result.created = number !== 0
    else if (field === 4) result.canceled = number !== 0
    else if (field === 5) result.compactRevision = number
    else if (field === 6) result.cancelReason = bytes.toString('utf8')
    else if (field === 7) result.fragment = number !== 0
    else if (field === 11) events.push(readEvent(bytes))
  }
  return { ...result, events }
}
