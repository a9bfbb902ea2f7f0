// Values against the schemas of CustomResourceDefinitions, in the words of Kubernetes' validator.
import { duplicate, type FieldError, invalid, notSupported, required } from '../field-error.js'
import { isCidr, isIP, isIPv4, isIPv6 } from '../ip.js'
import { equalJson, getField, isObject, type Json, type JsonObject } from '../json/value.js'

const child = (path: string, name: string): string => (path ? `${path}.${name}` : name)
const number = (value: Json | undefined): number | undefined =>
  typeof value === 'number' ? value : typeof value === 'bigint' ? Number(value) : undefined

function typeOf(value: Json): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'bigint') return 'integer'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return typeof value
}

function typeError(schema: JsonObject, value: Json, path: string): FieldError | undefined {
  const found = typeOf(value)
  const either = schema['x-kubernetes-int-or-string'] === true
  const wanted = either ? ['integer', 'string'] : typeof schema.type === 'string' && schema.type ? [schema.type] : []
  if (value === null && schema.nullable === true) return undefined
  if (wanted.length === 0 || wanted.includes(found) || (wanted.includes('number') && found === 'integer')) return undefined
  const shown = either ? 'integer,string' : wanted[0]
  return {
    reason: 'FieldValueTypeInvalid',
    field: path,
    message: `Invalid value: ${JSON.stringify(found)}: ${inBody(path)} must be of type ${shown}: ${JSON.stringify(found)}`,
  }
}

const inBody = (path: string): string => (path ? `${path} in body` : ' in body')

const formats: Readonly<Record<string, (text: string) => boolean>> = {
  'date-time': (t) => /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(t) && !Number.isNaN(Date.parse(t)),
  date: (t) => /^\d{4}-\d\d-\d\d$/.test(t) && !Number.isNaN(Date.parse(t)),
  duration: (t) => /^[-+]?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d|w|\s*(days?|weeks?|hours?|minutes?|seconds?)))+$/.test(t),
  email: (t) => /^[^\s@]+@[^\s@]+$/.test(t),
  hostname: (t) => t.length <= 255 && /^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*$/.test(t),
  ipv4: isIPv4,
  ipv6: isIPv6,
  ip: isIP,
  cidr: isCidr,
  uri: (t) => URL.canParse(t),
  uuid: (t) => /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(t),
  uuid3: (t) => /^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(t),
  uuid4: (t) => /^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/i.test(t),
  uuid5: (t) => /^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/i.test(t),
  byte: (t) => /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(t),
  mac: (t) => /^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(t),
}

function stringErrors(schema: JsonObject, value: string, path: string): FieldError[] {
  const errors: FieldError[] = []
  const length = [...value].length
  const most = number(schema.maxLength)
  const least = number(schema.minLength)
  if (most !== undefined && length > most)
    errors.push({ reason: 'FieldValueTooLong', field: path, message: `Too long: may not be more than ${most} bytes` })
  if (least !== undefined && length < least) errors.push(invalid(path, value, `${inBody(path)} should be at least ${least} chars long`))
  if (typeof schema.pattern === 'string') {
    const pattern = compiled(schema.pattern)
    if (pattern && !pattern.test(value)) errors.push(invalid(path, value, `${inBody(path)} should match '${schema.pattern}'`))
  }
  const format = typeof schema.format === 'string' ? formats[schema.format] : undefined
  if (format && !format(value))
    errors.push(invalid(path, value, `${inBody(path)} must be of type ${String(schema.format)}: ${JSON.stringify(value)}`))
  return errors
}

const patterns = new Map<string, RegExp | undefined>()
function compiled(pattern: string): RegExp | undefined {
  if (patterns.has(pattern)) return patterns.get(pattern)
  let regex: RegExp | undefined
  try {
    regex = new RegExp(pattern, 'u')
  } catch {
    regex = undefined
  }
  if (patterns.size > 2000) patterns.clear()
  patterns.set(pattern, regex)
  return regex
}

function numberErrors(schema: JsonObject, value: number | bigint, path: string): FieldError[] {
  const errors: FieldError[] = []
  const least = number(schema.minimum)
  const most = number(schema.maximum)
  const multiple = number(schema.multipleOf)
  if (least !== undefined && (schema.exclusiveMinimum === true ? value <= least : value < least))
    errors.push(
      invalid(path, value, `${inBody(path)} should be greater than ${schema.exclusiveMinimum === true ? '' : 'or equal to '}${least}`),
    )
  if (most !== undefined && (schema.exclusiveMaximum === true ? value >= most : value > most))
    errors.push(
      invalid(path, value, `${inBody(path)} should be less than ${schema.exclusiveMaximum === true ? '' : 'or equal to '}${most}`),
    )
  if (multiple && Number(value) % multiple !== 0) errors.push(invalid(path, value, `${inBody(path)} should be a multiple of ${multiple}`))
  const bits = schema.format === 'int32' ? 31n : schema.format === 'int64' ? 63n : undefined
  if (bits !== undefined && (typeof value === 'bigint' || Number.isInteger(value))) {
    const exact = BigInt(value)
    if (exact >= 2n ** bits || exact < -(2n ** bits))
      errors.push(invalid(path, value, `${inBody(path)} must be of type ${String(schema.format)}: ${JSON.stringify(String(value))}`))
  }
  return errors
}

function listErrors(schema: JsonObject, value: readonly Json[], path: string): FieldError[] {
  const errors: FieldError[] = []
  const most = number(schema.maxItems)
  const least = number(schema.minItems)
  if (most !== undefined && value.length > most)
    errors.push({
      reason: 'FieldValueTooMany',
      field: path,
      message: `Too many: ${value.length}: must have at most ${most} ${most === 1 ? 'item' : 'items'}`,
    })
  if (least !== undefined && value.length < least)
    errors.push(invalid(path, value.length, `${inBody(path)} should have at least ${least} items`))
  const listType = schema['x-kubernetes-list-type']
  const keys = Array.isArray(schema['x-kubernetes-list-map-keys']) ? schema['x-kubernetes-list-map-keys'].map(String) : []
  if (listType === 'set' || listType === 'map') {
    const seen = new Set<string>()
    value.forEach((item, index) => {
      const identity =
        listType === 'set' ? item : Object.fromEntries(keys.map((key) => [key, isObject(item) ? (getField(item, key) ?? null) : null]))
      const shown = JSON.stringify(identity, (_, v: unknown) => (typeof v === 'bigint' ? v.toString() : v))
      if (seen.has(shown)) errors.push(duplicate(`${path}[${index}]`, identity))
      seen.add(shown)
    })
  }
  if (isObject(schema.items))
    for (const [index, item] of value.entries()) errors.push(...schemaValueErrors(schema.items, item, `${path}[${index}]`))
  return errors
}

function objectErrors(schema: JsonObject, value: JsonObject, path: string): FieldError[] {
  const errors: FieldError[] = []
  const names = Object.keys(value).filter((name) => value[name] !== undefined)
  const most = number(schema.maxProperties)
  const least = number(schema.minProperties)
  if (most !== undefined && names.length > most)
    errors.push({ reason: 'FieldValueTooMany', field: path, message: `Too many: ${names.length}: must have at most ${most} items` })
  if (least !== undefined && names.length < least)
    errors.push(invalid(path, names.length, `${inBody(path)} should have at least ${least} properties`))
  for (const name of Array.isArray(schema.required) ? schema.required.map(String) : [])
    if (getField(value, name) === undefined) errors.push(required(child(path, name)))
  const properties = isObject(schema.properties) ? schema.properties : {}
  for (const name of names) {
    const property = getField(properties, name)
    const field = value[name] as Json
    if (isObject(property)) errors.push(...schemaValueErrors(property, field, child(path, name)))
    else if (isObject(schema.additionalProperties)) errors.push(...schemaValueErrors(schema.additionalProperties, field, child(path, name)))
  }
  if (schema['x-kubernetes-embedded-resource'] === true) {
    for (const name of ['apiVersion', 'kind']) if (!value[name]) errors.push(required(child(path, name), 'must not be empty'))
  }
  return errors
}

function junctorErrors(schema: JsonObject, value: Json, path: string): FieldError[] {
  const errors: FieldError[] = []
  const passes = (s: Json): boolean => isObject(s) && schemaValueErrors(s, value, path).length === 0
  const list = (name: string): Json[] => (Array.isArray(schema[name]) ? (schema[name] as Json[]) : [])
  const shown = typeof value === 'object' ? (value as JsonObject) : value
  for (const part of list('allOf')) if (isObject(part)) errors.push(...schemaValueErrors(part, value, path))
  const any = list('anyOf')
  if (any.length > 0 && !any.some(passes))
    errors.push(invalid(path, shown, `${inBody(path)} must validate at least one schema (anyOf)`), ...firstErrors(any, value, path))
  const one = list('oneOf')
  const matching = one.filter(passes).length
  if (one.length > 0 && matching !== 1)
    errors.push(
      invalid(
        path,
        shown,
        `${inBody(path)} must validate one and only one schema (oneOf). Found ${matching === 0 ? 'none valid' : `${matching} valid alternatives`}`,
      ),
      ...(matching === 0 ? firstErrors(one, value, path) : []),
    )
  if (isObject(schema.not) && passes(schema.not)) errors.push(invalid(path, shown, `${inBody(path)} must not validate the schema (not)`))
  return errors
}

/** What the alternative that came closest misses. */
function firstErrors(alternatives: readonly Json[], value: Json, path: string): FieldError[] {
  const all = alternatives.filter(isObject).map((s) => schemaValueErrors(s, value, path))
  return all.sort((a, b) => a.length - b.length)[0] ?? []
}

/** What is wrong with a value by a schema. */
export function schemaValueErrors(schema: JsonObject, value: Json, path: string): FieldError[] {
  const wrong = typeError(schema, value, path)
  if (wrong) return [wrong]
  if (value === null) return []
  const errors: FieldError[] = []
  if (Array.isArray(schema.enum) && !schema.enum.some((allowed) => equalJson(allowed, value))) {
    const allowed = schema.enum.map((v) => (typeof v === 'string' ? v : JSON.stringify(v)))
    errors.push({
      ...notSupported(path, value, []),
      message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${allowed.map((a) => JSON.stringify(a)).join(', ')}`,
    })
  }
  if (typeof value === 'string') errors.push(...stringErrors(schema, value, path))
  else if (typeof value === 'number' || typeof value === 'bigint') errors.push(...numberErrors(schema, value, path))
  else if (Array.isArray(value)) errors.push(...listErrors(schema, value, path))
  else if (isObject(value)) errors.push(...objectErrors(schema, value, path))
  return [...errors, ...junctorErrors(schema, value, path)]
}

/** A whole custom object: its identity is checked elsewhere, the rest by the schema. */
export function customObjectErrors(schema: JsonObject, object: JsonObject): FieldError[] {
  const { properties, ...rest } = schema
  const { apiVersion: _a, kind: _k, metadata, ...own } = isObject(properties) ? properties : {}
  const { apiVersion: _v, kind: _n, metadata: objectMetadata, ...fields } = object
  const names = Array.isArray(rest.required)
    ? rest.required.filter((name) => !['apiVersion', 'kind', 'metadata'].includes(String(name)))
    : []
  const errors = schemaValueErrors({ ...rest, required: names, properties: own } as JsonObject, fields as JsonObject, '')
  if (isObject(metadata) && isObject(objectMetadata)) errors.push(...schemaValueErrors(metadata, objectMetadata, 'metadata'))
  return errors
}
