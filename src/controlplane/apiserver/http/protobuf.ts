// Bodies in Kubernetes' protobuf form, read into JSON values. Answers are JSON: clients that send protobuf accept it.
import { type Body, type Json, type JsonObject, parseJson } from '../../../api/index.js'
import { ApiError, ByteReader, rfc3339, rfc3339Micro } from '../../../lib/index.js'
import { messageLines } from './generated/messages.js'

export const PROTOBUF = 'application/vnd.kubernetes.protobuf'

interface Field {
  readonly name: string
  readonly type: string
  readonly repeated: boolean
  readonly map: boolean
  /** Its fields lie in the parent in JSON. */
  readonly inline: boolean
}

type Message = ReadonlyMap<number, Field>

let messages: Map<string, string> | undefined
const parsed = new Map<string, Message>()

/** A message by its name; read from its line when first needed. */
function messageOf(name: string): Message | undefined {
  const known = parsed.get(name)
  if (known) return known
  messages ??= new Map(
    messageLines
      .trim()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf('|')), line]),
  )
  const line = messages.get(name)
  if (line === undefined) return undefined
  const fields = line
    .split('|')
    .slice(1)
    .filter(Boolean)
    .map((text): [number, Field] => {
      const [number = '', field = '', type = ''] = text.split(' ')
      const mark = type[0] ?? ''
      const marked = mark === '[' || mark === '{' || mark === '^'
      return [
        Number(number),
        { name: field, type: marked ? type.slice(1) : type, repeated: mark === '[', map: mark === '{', inline: mark === '^' },
      ]
    })
  const message = new Map(fields)
  parsed.set(name, message)
  return message
}

const invalid = (detail: string): ApiError => new ApiError('BadRequest', `the body is not valid protobuf: ${detail}`)

const MOST_DEPTH = 100

function varint(reader: ByteReader): bigint {
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = reader.u8()
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return BigInt.asUintN(64, value)
  }
  throw invalid('a number has too many bytes')
}

const signed = (value: bigint): number | bigint => {
  const whole = BigInt.asIntN(64, value)
  return whole >= -9007199254740991n && whole <= 9007199254740991n ? Number(whole) : whole
}

const length = (reader: ByteReader): number => {
  const value = varint(reader)
  if (value > BigInt(reader.remaining)) throw invalid('a length reaches past the end')
  return Number(value)
}

function skip(reader: ByteReader, wire: number): void {
  if (wire === 0) varint(reader)
  else if (wire === 1) reader.skip(8)
  else if (wire === 2) reader.skip(length(reader))
  else if (wire === 5) reader.skip(4)
  else throw invalid(`wire type ${wire}`)
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function scalar(reader: ByteReader, wire: number, type: string): Json {
  if (type === 's' || type === 'y') {
    if (wire !== 2) throw invalid(`wire type ${wire} of a string`)
    const bytes = reader.take(length(reader))
    return type === 'y' ? bytes.toString('base64') : utf8.decode(bytes)
  }
  if (type === 'd') {
    if (wire !== 1) throw invalid(`wire type ${wire} of a number`)
    return reader.take(8).readDoubleLE(0)
  }
  if (wire !== 0) throw invalid(`wire type ${wire} of a number`)
  const value = varint(reader)
  return type === 'b' ? value !== 0n : signed(value)
}

/** Messages that are something else in JSON. */
const SPECIAL: Readonly<Record<string, (fields: JsonObject) => Json | undefined>> = {
  'meta.Time': (fields) => instant(fields, rfc3339),
  'meta.MicroTime': (fields) => instant(fields, rfc3339Micro),
  'resource.Quantity': (fields) => fields.string ?? '0',
  'intstr.IntOrString': ({ type, intVal, strVal }) => (type === 1 ? (strVal ?? '') : (intVal ?? 0)),
  'runtime.RawExtension': ({ raw }) => embedded(raw),
  'meta.FieldsV1': ({ Raw }) => embedded(Raw),
  'authentication.v1.ExtraValue': ({ items }) => items ?? [],
  'authorization.v1.ExtraValue': ({ items }) => items ?? [],
  'certificates.v1.ExtraValue': ({ items }) => items ?? [],
}

/** The first second of the year 1, where Go's time begins, and the last of those that RFC 3339 can write. */
const FIRST_SECOND = -62_135_596_800
const LAST_SECOND = 253_402_300_799

/** The zero instant of Go (an empty message, or the beginning of the year 1) is no time at all. */
function instant({ seconds = 0, nanos = 0 }: JsonObject, format: (ms: number) => string): Json | undefined {
  const at = Number(seconds)
  if ((at === 0 || at === FIRST_SECOND) && nanos === 0) return undefined
  if (at < FIRST_SECOND || at > LAST_SECOND) throw invalid(`a time of ${at} seconds`)
  return format(at * 1000 + Number(nanos) / 1e6)
}

function embedded(base64: Json | undefined): Json | undefined {
  if (typeof base64 !== 'string' || base64 === '') return undefined
  return parseJson(Buffer.from(base64, 'base64'))
}

function fieldValue(reader: ByteReader, wire: number, type: string, depth: number): Json | undefined {
  if (type.length === 1) return scalar(reader, wire, type)
  if (wire !== 2) throw invalid(`wire type ${wire} of a message`)
  const message = messageOf(type)
  if (!message) throw invalid(`the message ${type} is not known`)
  return decodeMessage(reader.take(length(reader)), message, type, depth + 1)
}

function mapEntry(bytes: Uint8Array, valueType: string, depth: number): readonly [string, Json | undefined] {
  const reader = new ByteReader(bytes, { littleEndian: true })
  let key = ''
  let value: Json | undefined = valueType === 's' || valueType === 'y' ? '' : undefined
  while (reader.remaining > 0) {
    const tag = Number(varint(reader))
    if (tag >> 3 === 1) key = scalar(reader, tag & 7, 's') as string
    else if (tag >> 3 === 2) value = fieldValue(reader, tag & 7, valueType, depth)
    else skip(reader, tag & 7)
  }
  return [key, value]
}

function set(object: JsonObject, name: string, value: Json): void {
  if (name === '__proto__') Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true })
  else object[name] = value
}

function decodeMessage(bytes: Uint8Array, message: Message, name: string, depth: number): Json | undefined {
  if (depth > MOST_DEPTH) throw invalid('it nests too deeply')
  const reader = new ByteReader(bytes, { littleEndian: true })
  const object: JsonObject = {}
  while (reader.remaining > 0) {
    const tag = Number(varint(reader))
    const field = message.get(Math.floor(tag / 8))
    const wire = tag & 7
    if (!field) {
      skip(reader, wire)
      continue
    }
    if (field.map) {
      if (wire !== 2) throw invalid(`wire type ${wire} of a map`)
      const [key, value] = mapEntry(reader.take(length(reader)), field.type, depth)
      const map = (object[field.name] ?? {}) as JsonObject
      object[field.name] = map
      if (value !== undefined) set(map, key, value)
      continue
    }
    const value = fieldValue(reader, wire, field.type, depth)
    if (value === undefined) continue
    if (field.inline) Object.assign(object, value)
    else if (field.repeated) {
      const list = (object[field.name] ?? []) as Json[]
      list.push(value)
      object[field.name] = list
    } else object[field.name] = value
  }
  const special = SPECIAL[name]
  return special ? special(object) : object
}

const MAGIC = Buffer.from('k8s\0')

/** Packages of groups whose name's first word is not the package's. */
const PACKAGES: Readonly<Record<string, string>> = {
  '': 'core',
  'rbac.authorization.k8s.io': 'rbac',
  'flowcontrol.apiserver.k8s.io': 'flowcontrol',
}

/** `v1` `Pod` becomes `core.v1.Pod`; options of requests are of the meta group whatever they say. */
function messageName(apiVersion: string, kind: string): string {
  if (kind.endsWith('Options') && messageOf(`meta.${kind}`)) return `meta.${kind}`
  const [group, version] = apiVersion.includes('/') ? (apiVersion.split('/') as [string, string]) : ['', apiVersion]
  return `${PACKAGES[group] ?? group.split('.')[0]}.${version}.${kind}`
}

/** Reads the envelope and what it holds; throws BadRequest, or UnsupportedMediaType for kinds that have no such form here. */
export function decodeProtobuf(bytes: Uint8Array): Body {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (!buffer.subarray(0, 4).equals(MAGIC)) throw invalid('it does not begin with k8s\\0')
  try {
    const envelope = decodeMessage(buffer.subarray(4), messageOf('runtime.Unknown') as Message, 'runtime.Unknown', 0) as JsonObject
    const { apiVersion = '', kind = '' } = (envelope.typeMeta ?? {}) as { apiVersion?: string; kind?: string }
    const name = messageName(apiVersion, kind)
    const message = messageOf(name)
    if (!message)
      throw new ApiError('UnsupportedMediaType', `${kind} of ${apiVersion} cannot be read from ${PROTOBUF}; send application/json`)
    const value = decodeMessage(Buffer.from((envelope.raw ?? '') as string, 'base64'), message, name, 0) as JsonObject
    return { value: { apiVersion, kind, ...value }, duplicates: [] }
  } catch (error) {
    if (error instanceof RangeError) throw invalid('it ends too early')
    if (error instanceof TypeError) throw invalid('a text is not UTF-8')
    throw error
  }
}
