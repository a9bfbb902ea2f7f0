// How one version of a key lies in the database: a header of fixed size, the key, the value. Pure.
import { crc32 } from 'node:zlib'
import type { KeyValue } from './store.js'

/** Where a version lies: `revision * SLOTS + place in its transaction`. Orders all versions by time. */
export type Position = number

/** Most operations that one transaction may carry. */
export const SLOTS = 1024

export const positionOf = (revision: number, slot: number): Position => revision * SLOTS + slot
export const revisionOf = (position: Position): number => Math.floor(position / SLOTS)

export interface VersionRecord {
  readonly key: string
  readonly value: Uint8Array
  readonly deleted: boolean
  readonly createRevision: number
  readonly version: number
  readonly lease: number
  /** The version that this one replaced; 0 if there was none. */
  readonly previous: Position
}

// crc32 of all that follows | flags u8, unused u8, key length u16 | create f64 | version f64 | lease f64 | previous f64 | key | value
const HEADER = 40
const DELETED = 1

const sizeOf = ({ key, value }: VersionRecord): number => HEADER + Buffer.byteLength(key) + value.length

/** Encodes these records into one piece of memory. */
export function recordEncoder(records: readonly VersionRecord[]): (record: VersionRecord) => Buffer {
  let size = 0
  for (const record of records) size += sizeOf(record)
  const memory = Buffer.allocUnsafeSlow(size)
  let at = 0
  return (record) => {
    const start = at
    at += sizeOf(record)
    return encodeInto(memory.subarray(start, at), record)
  }
}

function encodeInto(bytes: Buffer, record: VersionRecord): Buffer {
  const keyLength = bytes.length - HEADER - record.value.length
  bytes.writeUInt8(record.deleted ? DELETED : 0, 4)
  bytes.writeUInt8(0, 5)
  bytes.writeUInt16LE(keyLength, 6)
  bytes.writeDoubleLE(record.createRevision, 8)
  bytes.writeDoubleLE(record.version, 16)
  bytes.writeDoubleLE(record.lease, 24)
  bytes.writeDoubleLE(record.previous, 32)
  bytes.write(record.key, HEADER)
  bytes.set(record.value, HEADER + keyLength)
  bytes.writeUInt32LE(crc32(bytes.subarray(4)), 0)
  return bytes
}

/** Throws when the bytes are not what was written. */
export function decodeRecord(bytes: Buffer, position: Position): VersionRecord {
  if (bytes.length < HEADER || crc32(bytes.subarray(4)) !== bytes.readUInt32LE(0)) {
    throw new Error(`store: record at revision ${revisionOf(position)} is damaged (checksum)`)
  }
  const keyEnd = HEADER + bytes.readUInt16LE(6)
  return {
    key: bytes.toString('utf8', HEADER, keyEnd),
    value: bytes.subarray(keyEnd),
    deleted: (bytes.readUInt8(4) & DELETED) !== 0,
    createRevision: bytes.readDoubleLE(8),
    version: bytes.readDoubleLE(16),
    lease: bytes.readDoubleLE(24),
    previous: bytes.readDoubleLE(32),
  }
}

export const toKeyValue = (record: VersionRecord, position: Position): KeyValue => ({
  key: record.key,
  value: record.value,
  createRevision: record.createRevision,
  modRevision: revisionOf(position),
  version: record.version,
  lease: record.lease,
})

/** The first key behind all that begin with `prefix`; undefined when there is no such bound. */
export function prefixEnd(prefix: string): string | undefined {
  for (let length = prefix.length; length > 0; length--) {
    const code = prefix.charCodeAt(length - 1)
    if (code < 0xd7ff) return prefix.slice(0, length - 1) + String.fromCharCode(code + 1)
  }
  return undefined
}
