// Rules for the schemas inside CustomResourceDefinitions: they must be structural.
import { type FieldError, forbidden, invalid, notSupported, required } from '../field-error.js'
import { isObject, type Json, type JsonObject } from '../json/value.js'
import { schemaValueErrors } from './validate.js'

const types = ['array', 'boolean', 'integer', 'number', 'object', 'string']
const junctors = ['allOf', 'anyOf', 'oneOf'] as const
/** What may only be said outside of `allOf`, `anyOf`, `oneOf` and `not`. */
const structural = [
  'title',
  'description',
  'type',
  'default',
  'nullable',
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-embedded-resource',
  'x-kubernetes-int-or-string',
] as const

const flag = (schema: JsonObject, name: string): boolean => schema[name] === true

function patternErrors(schema: JsonObject, path: string): FieldError[] {
  if (typeof schema.pattern !== 'string') return []
  try {
    new RegExp(schema.pattern, 'u')
    return []
  } catch {
    return [invalid(`${path}.pattern`, schema.pattern, "must be a valid regular expression, but isn't")]
  }
}

/** What is filled in must itself be good. */
function defaultErrors(schema: JsonObject, path: string): FieldError[] {
  if (schema.default === undefined) return []
  const at = `${path}.default`
  return schemaValueErrors(schema, schema.default, '').map((error) => ({ ...error, field: error.field ? `${at}.${error.field}` : at }))
}

function listErrors(schema: JsonObject, path: string): FieldError[] {
  const errors: FieldError[] = []
  const listType = schema['x-kubernetes-list-type']
  const keys = schema['x-kubernetes-list-map-keys']
  if (listType !== undefined) {
    if (schema.type !== 'array')
      errors.push(invalid(`${path}.type`, schema.type ?? '', 'must be array if x-kubernetes-list-type is specified'))
    if (!['atomic', 'set', 'map'].includes(String(listType)))
      errors.push(notSupported(`${path}.x-kubernetes-list-type`, listType, ['atomic', 'map', 'set']))
  }
  if (listType === 'map') {
    if (!Array.isArray(keys) || keys.length === 0)
      errors.push(required(`${path}.x-kubernetes-list-map-keys`, 'must not be empty if x-kubernetes-list-type is map'))
    const item = isObject(schema.items) ? schema.items : {}
    const properties = isObject(item.properties) ? item.properties : {}
    if (item.type !== 'object')
      errors.push(invalid(`${path}.items.type`, item.type ?? '', "must be object if parent array's x-kubernetes-list-type is map"))
    const wanted = Array.isArray(item.required) ? item.required : []
    for (const key of Array.isArray(keys) ? keys : []) {
      const property = properties[String(key)]
      if (!isObject(property)) errors.push(invalid(`${path}.items.properties`, key, `entries must all be names of item properties`))
      else if (!wanted.includes(key) && property.default === undefined)
        errors.push(
          required(
            `${path}.items.properties[${String(key)}].default`,
            'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
          ),
        )
    }
  } else if (keys !== undefined)
    errors.push(forbidden(`${path}.x-kubernetes-list-map-keys`, `may only be set if x-kubernetes-list-type is map`))
  const mapType = schema['x-kubernetes-map-type']
  if (mapType !== undefined && !['atomic', 'granular'].includes(String(mapType)))
    errors.push(notSupported(`${path}.x-kubernetes-map-type`, mapType, ['atomic', 'granular']))
  return errors
}

interface Where {
  /** Below a junctor: only value rules. */
  readonly inJunctor: boolean
  readonly root: boolean
}

export function schemaErrors(schema: JsonObject, path: string, where: Where = { inJunctor: false, root: true }): FieldError[] {
  const errors: FieldError[] = []
  const type = schema.type
  const either = flag(schema, 'x-kubernetes-int-or-string')
  const keep = flag(schema, 'x-kubernetes-preserve-unknown-fields')
  if (where.inJunctor) {
    for (const name of structural) {
      // Kubernetes lets int-or-string be spelled out as its two types.
      if (schema[name] === undefined || (name === 'type' && (type === 'integer' || type === 'string') && Object.keys(schema).length === 1))
        continue
      errors.push(forbidden(`${path}.${name}`, 'must be undefined to be structural'))
    }
  } else if (type === undefined || type === '') {
    if (!either && !(keep && !where.root))
      errors.push(
        required(
          `${path}.type`,
          where.root
            ? 'must not be empty at the root'
            : `must not be empty for specified ${path.endsWith('.items') ? 'array items' : 'object fields'}`,
        ),
      )
  } else if (!types.includes(String(type))) errors.push(notSupported(`${path}.type`, type, types))
  if (where.root && type !== undefined && type !== 'object') errors.push(invalid(`${path}.type`, type, 'must be object at the root'))
  if (either && type !== undefined && type !== '')
    errors.push(invalid(`${path}.type`, type, 'must be empty if x-kubernetes-int-or-string is true'))
  if (flag(schema, 'x-kubernetes-embedded-resource') && type !== 'object')
    errors.push(invalid(`${path}.type`, type ?? '', 'must be object if x-kubernetes-embedded-resource is true'))
  if (keep && type !== undefined && type !== 'object' && type !== '')
    errors.push(invalid(`${path}.type`, type, 'must be object if x-kubernetes-preserve-unknown-fields is true'))
  if (schema.uniqueItems === true)
    errors.push(forbidden(`${path}.uniqueItems`, 'uniqueItems cannot be set to true since the runtime complexity becomes quadratic'))
  for (const name of ['$ref', 'definitions', 'dependencies', 'patternProperties', 'additionalItems', 'id', 'deprecated'])
    if (schema[name] !== undefined) errors.push(forbidden(`${path}.${name}`, `${name} is not supported`))
  if (schema.properties !== undefined && isObject(schema.additionalProperties))
    errors.push(forbidden(`${path}.additionalProperties`, 'additionalProperties and properties are mutual exclusive'))
  if (schema.additionalProperties === false)
    errors.push(forbidden(`${path}.additionalProperties`, 'additionalProperties cannot be set to false'))
  if (type === 'array' && !where.inJunctor && schema.items === undefined) errors.push(required(`${path}.items`, 'must be specified'))
  if (Array.isArray(schema.items)) errors.push(forbidden(`${path}.items`, 'items must be a schema object and not an array'))
  errors.push(...patternErrors(schema, path), ...listErrors(schema, path))
  if (!where.inJunctor) errors.push(...defaultErrors(schema, path))
  return [...errors, ...childErrors(schema, path, where)]
}

function childErrors(schema: JsonObject, path: string, where: Where): FieldError[] {
  const errors: FieldError[] = []
  const child = (value: Json | undefined, at: string, inJunctor: boolean): void => {
    if (isObject(value)) errors.push(...schemaErrors(value, at, { inJunctor, root: false }))
  }
  if (isObject(schema.properties))
    for (const [name, property] of Object.entries(schema.properties)) {
      const at = `${path}.properties[${name}]`
      // Metadata of the object itself may only restrict its name.
      if (where.root && name === 'metadata' && isObject(property)) {
        const inside = isObject(property.properties) ? Object.keys(property.properties) : []
        if (inside.some((field) => field !== 'name' && field !== 'generateName'))
          errors.push(forbidden(at, 'must not specify anything other than name and generateName, but metadata is implicitly specified'))
        continue
      }
      child(property, at, where.inJunctor)
    }
  child(schema.items, `${path}.items`, where.inJunctor)
  child(isObject(schema.additionalProperties) ? schema.additionalProperties : undefined, `${path}.additionalProperties`, where.inJunctor)
  child(schema.not, `${path}.not`, true)
  for (const name of junctors) {
    const list = schema[name]
    if (Array.isArray(list)) for (const [index, item] of list.entries()) child(item, `${path}.${name}[${index}]`, true)
  }
  return errors
}
