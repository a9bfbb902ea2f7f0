// The schema of a custom resource in the form that everything else walks; pruning and defaulting by it.
import { childPath } from '../json/parse.js'
import { cloneJson, getField, isObject, type Json, type JsonObject, setField } from '../json/value.js'
import type { FieldSchema, ListSchema, ObjectSchema, Schema } from '../schema/schema.js'
import { namedSchema } from '../schema/table.js'

const flag = (schema: JsonObject, name: string): boolean => schema[name] === true
const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '')

function fieldOf(json: Json | undefined, required: boolean): FieldSchema {
  const schema = isObject(json) ? json : {}
  return {
    schema: toSchema(schema),
    required,
    omitZero: false,
    defaultValue: schema.default,
    patchStrategy: '',
    nullable: flag(schema, 'nullable'),
  }
}

function toObject(json: JsonObject): ObjectSchema {
  const required = new Set(Array.isArray(json.required) ? json.required.map(String) : [])
  const properties = isObject(json.properties) ? json.properties : {}
  let fields: Map<string, FieldSchema> | undefined
  const keep = flag(json, 'x-kubernetes-preserve-unknown-fields') || json.additionalProperties === true
  return {
    type: 'object',
    name: '',
    get fields() {
      fields ??= new Map(Object.entries(properties).map(([name, property]) => [name, fieldOf(property, required.has(name))]))
      return fields
    },
    additional: isObject(json.additionalProperties) ? toSchema(json.additionalProperties) : keep ? 'keep' : undefined,
    atomic: json['x-kubernetes-map-type'] === 'atomic',
    embedded: flag(json, 'x-kubernetes-embedded-resource'),
  }
}

function toList(json: JsonObject): ListSchema {
  const listType = text(json['x-kubernetes-list-type'])
  const keys = Array.isArray(json['x-kubernetes-list-map-keys']) ? json['x-kubernetes-list-map-keys'].map(String) : []
  const items = isObject(json.items) ? json.items : {}
  const properties = isObject(items.properties) ? items.properties : {}
  const keyDefaults: Record<string, Json> = {}
  for (const key of keys) {
    const property = properties[key]
    if (isObject(property) && property.default !== undefined) keyDefaults[key] = property.default
  }
  return {
    type: 'list',
    item: toSchema(items),
    listType: listType === 'map' || listType === 'set' ? listType : 'atomic',
    keys,
    keyDefaults,
    patchMerge: false,
    mergeKey: '',
  }
}

/** `openAPIV3Schema` as a Schema. */
export function toSchema(json: JsonObject): Schema {
  if (flag(json, 'x-kubernetes-int-or-string')) return { type: 'scalar', scalar: 'intOrString' }
  switch (json.type) {
    case 'object':
      if (json.properties === undefined && isObject(json.additionalProperties) && !flag(json, 'x-kubernetes-embedded-resource'))
        return { type: 'map', value: toSchema(json.additionalProperties), atomic: json['x-kubernetes-map-type'] === 'atomic' }
      return toObject(json)
    case 'array':
      return toList(json)
    case 'string':
      return { type: 'scalar', scalar: 'string' }
    case 'boolean':
      return { type: 'scalar', scalar: 'boolean' }
    case 'integer':
      return { type: 'scalar', scalar: 'int64' }
    case 'number':
      return { type: 'scalar', scalar: 'number' }
    default:
      return isObject(json.properties) ? toObject(json) : { type: 'any' }
  }
}

/** A whole custom object: apiVersion, kind and metadata are known whatever the schema says. */
export function rootSchema(json: JsonObject): ObjectSchema {
  const { properties, ...rest } = json
  const { apiVersion: _a, kind: _k, metadata: _m, ...own } = isObject(properties) ? properties : {}
  const schema = toObject({ ...rest, properties: own, 'x-kubernetes-embedded-resource': true } as JsonObject)
  const scalar: FieldSchema = {
    schema: { type: 'scalar', scalar: 'string' },
    required: false,
    omitZero: false,
    defaultValue: undefined,
    patchStrategy: '',
    nullable: false,
  }
  let fields: ReadonlyMap<string, FieldSchema> | undefined
  return {
    ...schema,
    get fields() {
      fields ??= new Map<string, FieldSchema>([
        ['apiVersion', scalar],
        ['kind', scalar],
        ['metadata', { ...scalar, schema: namedSchema('ObjectMeta') }],
        ...schema.fields,
      ])
      return fields
    },
  }
}

/** A copy without what the schema does not know; the paths of what went are added to `unknown`. */
export function prune(schema: Schema, value: Json, unknown: string[], path = ''): Json {
  if (schema.type === 'list')
    return Array.isArray(value) ? value.map((item, index) => prune(schema.item, item, unknown, `${path}[${index}]`)) : value
  if (!isObject(value) || schema.type === 'any' || schema.type === 'scalar') return value
  const result: JsonObject = {}
  for (const [name, field] of Object.entries(value)) {
    if (field === undefined) continue
    const at = childPath(path, name)
    if (schema.type === 'map') setField(result, name, prune(schema.value, field, unknown, at))
    else {
      const known = schema.fields.get(name)
      if (known) setField(result, name, prune(known.schema, field, unknown, at))
      else if (schema.embedded && name === 'metadata') setField(result, name, prune(namedSchema('ObjectMeta'), field, unknown, at))
      else if (schema.embedded && (name === 'apiVersion' || name === 'kind')) setField(result, name, field)
      else if (schema.additional === 'keep') setField(result, name, field)
      else if (schema.additional) setField(result, name, prune(schema.additional, field, unknown, at))
      else unknown.push(at)
    }
  }
  return result
}

/** Fills defaults in place. Nulls where null is not allowed and a default is known count as absent. */
export function setStructuralDefaults(schema: Schema, value: Json): void {
  if (schema.type === 'list') {
    if (Array.isArray(value)) for (const item of value) setStructuralDefaults(schema.item, item)
    return
  }
  if (!isObject(value)) return
  if (schema.type === 'map') {
    for (const field of Object.values(value)) if (field !== undefined) setStructuralDefaults(schema.value, field)
    return
  }
  if (schema.type !== 'object') return
  for (const [name, field] of schema.fields) {
    const current = getField(value, name)
    if (field.defaultValue !== undefined && (current === undefined || (current === null && !field.nullable)))
      setField(value, name, cloneJson(field.defaultValue))
    const now = getField(value, name)
    if (now !== undefined && now !== null) setStructuralDefaults(field.schema, now)
  }
  if (typeof schema.additional === 'object')
    for (const [name, field] of Object.entries(value))
      if (field !== undefined && !schema.fields.has(name)) setStructuralDefaults(schema.additional, field)
}
