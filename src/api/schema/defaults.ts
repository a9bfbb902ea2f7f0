// Brings a decoded object into the form Kubernetes stores: empty values that say nothing are dropped, what is required is there, and
// defaults are filled in type by type (outer types first).
import { isObject, type Json, type JsonObject } from '../json/value.js'
import { defaulters } from './defaulters.js'
import type { FieldSchema, ObjectSchema, Schema } from './schema.js'
import { namedSchema } from './table.js'

function isZero(value: Json): boolean {
  if (value === '' || value === 0 || value === false) return true
  if (Array.isArray(value)) return value.length === 0
  return false
}

const isEmptyMap = (schema: Schema, value: Json): boolean => schema.type === 'map' && isObject(value) && Object.keys(value).length === 0

/** What a required field holds when the client sent nothing; undefined where Go would write null. */
function zeroOf(schema: Schema): Json | undefined {
  if (schema.type === 'list') return []
  if (schema.type !== 'scalar') return undefined
  switch (schema.scalar) {
    case 'string':
    case 'bytes':
      return ''
    case 'boolean':
      return false
    case 'int32':
    case 'int64':
    case 'number':
    case 'intOrString':
      return 0
    default:
      return undefined
  }
}

interface Shape {
  readonly required: readonly (readonly [string, Json])[]
  readonly always: readonly string[]
  readonly omit: ReadonlyMap<string, FieldSchema>
}
const shapes = new WeakMap<ObjectSchema, Shape>()

/** Looked up once a type: most objects have few of these fields. */
function shapeOf(schema: ObjectSchema): Shape {
  const known = shapes.get(schema)
  if (known) return known
  const required: [string, Json][] = []
  const omit = new Map<string, FieldSchema>()
  for (const [name, field] of schema.fields) {
    const zero = field.required ? zeroOf(field.schema) : undefined
    if (zero !== undefined) required.push([name, zero])
    if (field.omitZero) omit.set(name, field)
  }
  const shape = { required, omit, always: schema.name ? namedSchema(schema.name).alwaysWritten : [] }
  shapes.set(schema, shape)
  return shape
}

function normalizeValue(schema: Schema, value: Json): void {
  if (schema.type === 'object') {
    if (isObject(value)) normalizeObject(schema, value)
  } else if (schema.type === 'list') {
    if (schema.item.type !== 'scalar' && Array.isArray(value)) for (const item of value) normalizeValue(schema.item, item)
  } else if (schema.type === 'map') {
    if (schema.value.type !== 'scalar' && isObject(value))
      for (const item of Object.values(value)) if (item !== undefined) normalizeValue(schema.value, item)
  }
}

/** In place. */
export function normalizeObject(schema: ObjectSchema, object: JsonObject): void {
  const { required, omit, always } = shapeOf(schema)
  for (const name of Object.keys(object)) {
    const value = object[name]
    const field = omit.get(name)
    if (value === undefined || value === null) delete object[name]
    else if (field && (isZero(value) || isEmptyMap(field.schema, value))) delete object[name]
  }
  for (const [name, zero] of required) object[name] ??= Array.isArray(zero) ? [] : zero
  for (const name of always) object[name] ??= {}
  if (schema.name) defaulters[schema.name]?.(object)
  for (const name of Object.keys(object)) {
    const value = object[name]
    if (typeof value !== 'object' || value === null) continue
    const field = schema.fields.get(name)
    if (field) normalizeValue(field.schema, value)
  }
}
