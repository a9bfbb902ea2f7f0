// Protocol buffers (proto3 wire format) between bytes and the values of types.ts. What the types say otherwise than the wire is
// settled here: times are milliseconds, wrapped values are plain and may be absent, enums are names.
import type { Field, Schema } from './schema.js'

export type Message = Readonly<Record<string, unknown>>

/** Messages that only wrap one value so that it may be absent. */
const WRAPPERS = new Set(['Int64Value', 'UInt64Value', 'ContainerStateValue', 'PodSandboxStateValue'])
/** int64 fields that hold nanoseconds since 1970. */
const TIMES = new Set(['createdAt', 'startedAt', 'finishedAt', 'timestamp'])

const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

const SCALARS = new Set(['string', 'bytes', 'bool', 'double', 'int32', 'uint32', 'int64', 'uint64'])

class Writer {
  readonly chunks: Buffer[] = []

  varint(value: bigint): void {
    let rest = BigInt.asUintN(64, value)
    const bytes: number[] = []
    while (rest > 0x7fn) {
      bytes.push(Number(rest & 0x7fn) | 0x80)
      rest >>= 7n
    }
    bytes.push(Number(rest))
    this.chunks.push(Buffer.from(bytes))
  }

  tag(number: number, wire: number): void {
    this.varint(BigInt(number * 8 + wire))
  }

  bytes(value: Uint8Array): void {
    this.varint(BigInt(value.length))
    this.chunks.push(Buffer.from(value))
  }

  done(): Buffer {
    return Buffer.concat(this.chunks)
  }
}

class Reader {
  at = 0
  readonly input: Buffer

  constructor(input: Buffer) {
    this.input = input
  }

  varint(): bigint {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.input[this.at++]
      if (byte === undefined) throw new RangeError('protobuf: message ends within a number')
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    throw new RangeError('protobuf: number of more than 64 bits')
  }

  take(length: number): Buffer {
    if (length < 0 || this.at + length > this.input.length) throw new RangeError('protobuf: message ends within a field')
    this.at += length
    return this.input.subarray(this.at - length, this.at)
  }

  bytes(): Buffer {
    return this.take(Number(this.varint()))
  }

  skip(wire: number): void {
    if (wire === VARINT) this.varint()
    else if (wire === FIXED64) this.take(8)
    else if (wire === BYTES) this.bytes()
    else if (wire === FIXED32) this.take(4)
    else throw new RangeError(`protobuf: wire type ${wire} is not in use`)
  }
}

const nanoseconds = (ms: number): bigint => BigInt(Math.floor(ms)) * 1_000_000n + BigInt(Math.round((ms % 1) * 1e6))

export interface Codec {
  encode(message: string, value: Message): Buffer
  /** Absent scalars, lists and maps come out as `''`, 0, false, [] and {}; absent messages are left out. */
  decode(message: string, bytes: Buffer): Message
}

export function createCodec(schema: Schema): Codec {
  const names = new Map<string, ReadonlyMap<number, string>>()
  for (const [name, values] of schema.enums) names.set(name, new Map([...values].map(([value, number]) => [number, value])))

  const fieldsOf = (message: string): readonly Field[] => {
    const fields = schema.messages.get(message)
    if (!fields) throw new Error(`protobuf: no message ${message}`)
    return fields
  }

  const wireOf = (type: string): number =>
    type === 'double' ? FIXED64 : type === 'string' || type === 'bytes' || schema.messages.has(type) ? BYTES : VARINT

  const writeValue = (writer: Writer, field: Field, type: string, value: unknown): void => {
    if (type === 'string') writer.bytes(Buffer.from(String(value)))
    else if (type === 'bytes') writer.bytes(value as Uint8Array)
    else if (type === 'bool') writer.varint(value ? 1n : 0n)
    else if (type === 'double') {
      const bytes = Buffer.alloc(8)
      bytes.writeDoubleLE(Number(value))
      writer.chunks.push(bytes)
    } else if (SCALARS.has(type)) {
      writer.varint(TIMES.has(field.name) ? nanoseconds(Number(value)) : BigInt(Math.trunc(Number(value))))
    } else if (schema.enums.has(type)) {
      const number = schema.enums.get(type)?.get(String(value))
      if (number === undefined) throw new RangeError(`${field.name}: ${JSON.stringify(value)} is no ${type}`)
      writer.varint(BigInt(number))
    } else writer.bytes(WRAPPERS.has(type) ? encodeWrapped(type, value) : encode(type, value as Message))
  }

  const encodeWrapped = (type: string, value: unknown): Buffer => {
    const [field] = fieldsOf(type)
    return encode(type, { [field?.name ?? 'value']: value })
  }

  const isDefault = (type: string, value: unknown): boolean =>
    value === '' ||
    value === 0 ||
    value === false ||
    (value instanceof Uint8Array && value.length === 0) ||
    (schema.enums.has(type) && schema.enums.get(type)?.get(String(value)) === 0)

  const encodeField = (writer: Writer, field: Field, value: unknown): void => {
    if (field.mapOf !== undefined) {
      for (const [key, item] of Object.entries(value as Record<string, unknown>)) {
        const entry = new Writer()
        entry.tag(1, BYTES)
        entry.bytes(Buffer.from(key))
        entry.tag(2, wireOf(field.mapOf))
        writeValue(entry, field, field.mapOf, item)
        writer.tag(field.number, BYTES)
        writer.bytes(entry.done())
      }
      return
    }
    const wire = wireOf(field.type)
    if (field.repeated && wire !== BYTES) {
      const packed = new Writer()
      for (const item of value as readonly unknown[]) writeValue(packed, field, field.type, item)
      if (packed.chunks.length === 0) return
      writer.tag(field.number, BYTES)
      writer.bytes(packed.done())
      return
    }
    for (const item of field.repeated ? (value as readonly unknown[]) : [value]) {
      if (!field.repeated && !schema.messages.has(field.type) && isDefault(field.type, item)) continue
      writer.tag(field.number, wire)
      writeValue(writer, field, field.type, item)
    }
  }

  const encode = (message: string, value: Message): Buffer => {
    const writer = new Writer()
    for (const field of fieldsOf(message)) {
      const item = value[field.name]
      if (item !== undefined && item !== null) encodeField(writer, field, item)
    }
    return writer.done()
  }

  const readValue = (reader: Reader, field: Field, type: string): unknown => {
    if (type === 'string') return reader.bytes().toString('utf8')
    if (type === 'bytes') return Buffer.from(reader.bytes())
    if (type === 'bool') return reader.varint() !== 0n
    if (type === 'double') return reader.take(8).readDoubleLE()
    if (type === 'int32' || type === 'uint32') return Number(type === 'int32' ? BigInt.asIntN(32, reader.varint()) : reader.varint())
    if (type === 'int64' || type === 'uint64') {
      const value = type === 'int64' ? BigInt.asIntN(64, reader.varint()) : BigInt.asUintN(64, reader.varint())
      return TIMES.has(field.name) ? Number(value / 1_000_000n) + Number(value % 1_000_000n) / 1e6 : Number(value)
    }
    const enumNames = names.get(type)
    // A name for a number that we do not know would be a lie: the caller's check refuses this one.
    if (enumNames) {
      const number = Number(BigInt.asIntN(32, reader.varint()))
      return enumNames.get(number) ?? `${type} ${number}`
    }
    const value = decode(type, reader.bytes())
    return WRAPPERS.has(type) ? value[fieldsOf(type)[0]?.name ?? 'value'] : value
  }

  const initial = (field: Field): unknown => {
    if (field.mapOf !== undefined) return {}
    if (field.repeated) return []
    if (field.type === 'string') return ''
    if (field.type === 'bytes') return Buffer.alloc(0)
    if (field.type === 'bool') return false
    if (SCALARS.has(field.type)) return 0
    return names.get(field.type)?.get(0)
  }

  const decodeEntry = (field: Field, bytes: Buffer, into: Record<string, unknown>): void => {
    const reader = new Reader(bytes)
    let key = ''
    let value: unknown = field.mapOf === 'string' ? '' : undefined
    while (reader.at < bytes.length) {
      const tag = Number(reader.varint())
      if (tag >> 3 === 1) key = reader.bytes().toString('utf8')
      else if (tag >> 3 === 2) value = readValue(reader, field, field.mapOf ?? 'string')
      else reader.skip(tag & 7)
    }
    // Not an assignment: `__proto__` is a key like any other.
    Object.defineProperty(into, key, { value, enumerable: true, configurable: true, writable: true })
  }

  const decode = (message: string, bytes: Buffer): Message => {
    const fields = fieldsOf(message)
    const result: Record<string, unknown> = {}
    for (const field of fields) {
      const value = initial(field)
      if (value !== undefined) result[field.name] = value
    }
    const reader = new Reader(bytes)
    while (reader.at < bytes.length) {
      const tag = Number(reader.varint())
      const wire = tag & 7
      const field = fields.find(({ number }) => number === tag >>> 3)
      if (!field) reader.skip(wire)
      else if (field.mapOf !== undefined) decodeEntry(field, reader.bytes(), result[field.name] as Record<string, unknown>)
      else if (!field.repeated) {
        if (wire !== wireOf(field.type)) throw new RangeError(`protobuf: ${message}.${field.name} has wire type ${wire}`)
        result[field.name] = readValue(reader, field, field.type)
      } else if (wire === BYTES && wireOf(field.type) !== BYTES) {
        const packed = new Reader(reader.bytes())
        while (packed.at < packed.input.length) (result[field.name] as unknown[]).push(readValue(packed, field, field.type))
      } else (result[field.name] as unknown[]).push(readValue(reader, field, field.type))
    }
    return result
  }

  return { encode, decode }
}
