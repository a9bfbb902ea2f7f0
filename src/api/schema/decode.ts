// From parsed JSON to an object of a known shape: types are checked, unknown fields are dropped and named, quantities and times take their
// canonical form. Nothing is filled in here (see defaults.ts).
import { childPath } from '../json/parse.js'
import { isObject, type Json, type JsonObject, setField } from '../json/value.js'
import { formatQuantity, parseQuantity, quantityRule } from '../quantity.js'
import type { ListSchema, ObjectSchema, Scalar, ScalarSchema, Schema } from './schema.js'
import { namedSchema } from './table.js'

/** A value of the wrong type; the message is Kubernetes'. */
export class DecodeError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'DecodeError'
  }
}

export interface Decoded {
  readonly value: JsonObject
  /** Paths of fields that the shape does not have: `spec.foo` */
  readonly unknown: readonly string[]
}

const MOST_UNKNOWN = 100

interface Walk {
  readonly unknown: string[]
  /** Where we are: names and places in lists. */
  readonly steps: (string | number)[]
  structName: string
}

function pathOf({ steps }: Walk, name?: string): string {
  let path = ''
  for (const step of steps) path = typeof step === 'number' ? `${path}[${step}]` : childPath(path, step)
  return name === undefined ? path : childPath(path, name)
}

const goTypes: Readonly<Record<Scalar, string>> = {
  string: 'string',
  boolean: 'bool',
  int32: 'int32',
  int64: 'int64',
  number: 'float64',
  bytes: '[]uint8',
  time: 'v1.Time',
  microTime: 'v1.MicroTime',
  quantity: 'resource.Quantity',
  intOrString: 'intstr.IntOrString',
}

function goType(schema: Schema): string {
  if (schema.type === 'scalar') return goTypes[schema.scalar]
  if (schema.type === 'list') return `[]${goType(schema.item)}`
  if (schema.type === 'map') return `map[string]${goType(schema.value)}`
  return schema.type === 'object' ? `v1.${schema.name || 'Object'}` : 'interface {}'
}

function jsonKind(value: Json): string {
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'bigint') return 'number'
  if (typeof value === 'number') return Number.isInteger(value) ? 'number' : `number ${value}`
  return typeof value
}

function mismatch(schema: Schema, value: Json, walk: Walk, shown = jsonKind(value)): never {
  const dotted = pathOf(walk).replace(/\[\d+\]/g, '')
  throw new DecodeError(
    `json: cannot unmarshal ${shown} into Go struct field ${walk.structName}${dotted ? `.${dotted}` : ''} of type ${goType(schema)}`,
  )
}

const RFC3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/

function decodeTime(text: string, micro: boolean): string {
  const ms = RFC3339.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(ms)) {
    const layout = micro ? '2006-01-02T15:04:05.000000Z07:00' : '2006-01-02T15:04:05Z07:00'
    throw new DecodeError(
      `parsing time ${JSON.stringify(text)} as ${JSON.stringify(layout)}: cannot parse ${JSON.stringify(text)} as "2006"`,
    )
  }
  const seconds = new Date(ms).toISOString().slice(0, 19)
  if (!micro) return `${seconds}Z`
  const fraction = (/\.(\d+)/.exec(text)?.[1] ?? '').padEnd(6, '0').slice(0, 6)
  return `${seconds}.${fraction}Z`
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

function decodeBytes(text: string): string {
  const clean = text.replace(/[\r\n]/g, '')
  if (!BASE64.test(clean)) {
    const bad = clean.search(/[^A-Za-z0-9+/]/)
    throw new DecodeError(`illegal base64 data at input byte ${bad < 0 ? clean.length - (clean.length % 4) : bad}`)
  }
  return clean
}

const inRange = (value: number | bigint, bits: 32 | 64): boolean => {
  const limit = 2n ** BigInt(bits - 1)
  const exact = BigInt(value)
  return exact >= -limit && exact < limit
}

function decodeScalar(schema: ScalarSchema, value: Json, walk: Walk): Json {
  switch (schema.scalar) {
    case 'string':
      return typeof value === 'string' ? value : mismatch(schema, value, walk)
    case 'boolean':
      return typeof value === 'boolean' ? value : mismatch(schema, value, walk)
    case 'number':
      return typeof value === 'number' || typeof value === 'bigint' ? value : mismatch(schema, value, walk)
    case 'int32':
    case 'int64': {
      if (typeof value !== 'number' && typeof value !== 'bigint') return mismatch(schema, value, walk)
      if (typeof value === 'number' && !Number.isInteger(value)) return mismatch(schema, value, walk, `number ${value}`)
      if (!inRange(value, schema.scalar === 'int32' ? 32 : 64)) return mismatch(schema, value, walk, `number ${value}`)
      return value
    }
    case 'intOrString':
      if (typeof value === 'string') return value
      return typeof value === 'number' && Number.isInteger(value) && inRange(value, 32) ? value : mismatch(schema, value, walk)
    case 'quantity': {
      if (typeof value !== 'string' && typeof value !== 'number') return mismatch(schema, value, walk)
      const quantity = parseQuantity(value)
      if (!quantity) throw new DecodeError(quantityRule)
      return formatQuantity(quantity)
    }
    case 'time':
    case 'microTime':
      return typeof value === 'string' ? decodeTime(value, schema.scalar === 'microTime') : mismatch(schema, value, walk)
    case 'bytes':
      return typeof value === 'string' ? decodeBytes(value) : mismatch(schema, value, walk)
  }
}

/** What Go's zero value is, for nulls inside lists and maps. */
function zeroOf(schema: Schema): Json {
  if (schema.type === 'list') return []
  if (schema.type !== 'scalar') return schema.type === 'any' ? null : {}
  if (schema.scalar === 'boolean') return false
  if (schema.scalar === 'quantity') return '0'
  return ['int32', 'int64', 'number', 'intOrString'].includes(schema.scalar) ? 0 : ''
}

function decodeAt(schema: Schema, value: Json, step: string | number, walk: Walk): Json {
  if (schema.type === 'scalar' && schema.scalar === 'string' && typeof value === 'string') return value
  walk.steps.push(step)
  const result = decodeValue(schema, value, walk)
  walk.steps.pop()
  return result
}

function decodeList(schema: ListSchema, value: Json, walk: Walk): Json[] {
  if (!Array.isArray(value)) return mismatch(schema, value, walk)
  const result: Json[] = []
  for (const [index, item] of value.entries()) result.push(item === null ? zeroOf(schema.item) : decodeAt(schema.item, item, index, walk))
  return result
}

function decodeObjectFields(schema: ObjectSchema, value: Json, walk: Walk): JsonObject {
  if (!isObject(value)) return mismatch(schema, value, walk)
  const outside = walk.structName
  if (schema.name) walk.structName = schema.name
  const result: JsonObject = {}
  for (const name of Object.keys(value)) {
    const field = value[name]
    if (field === undefined) continue
    const known = schema.fields.get(name)
    if (known) {
      if (field !== null) result[name] = decodeAt(known.schema, field, name, walk)
      else if (known.nullable) result[name] = null
    } else if (schema.embedded && name === 'metadata') {
      if (field !== null) result[name] = decodeAt(namedSchema('ObjectMeta'), field, name, walk)
    } else if (schema.embedded && (name === 'apiVersion' || name === 'kind')) result[name] = field
    else if (schema.additional === 'keep') setField(result, name, field)
    else if (schema.additional) setField(result, name, decodeAt(schema.additional, field, name, walk))
    else if (walk.unknown.length < MOST_UNKNOWN) walk.unknown.push(pathOf(walk, name))
  }
  walk.structName = outside
  return result
}

function decodeValue(schema: Schema, value: Json, walk: Walk): Json {
  switch (schema.type) {
    case 'any':
      return value
    case 'scalar':
      return decodeScalar(schema, value, walk)
    case 'list':
      return decodeList(schema, value, walk)
    case 'map': {
      if (!isObject(value)) return mismatch(schema, value, walk)
      const result: JsonObject = {}
      for (const name of Object.keys(value)) {
        const field = value[name]
        if (field === undefined) continue
        setField(result, name, field === null ? zeroOf(schema.value) : decodeValue(schema.value, field, walk))
      }
      return result
    }
    case 'object':
      return decodeObjectFields(schema, value, walk)
  }
}

/** Throws DecodeError for a value of the wrong type. */
export function decode(schema: ObjectSchema, value: Json, path = ''): Decoded {
  const unknown: string[] = []
  const walk = { unknown, steps: path === '' ? [] : [path], structName: schema.name }
  return { value: decodeObjectFields(schema, value, walk), unknown }
}
