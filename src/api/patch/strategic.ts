// Strategic merge patch: lists are merged by the keys of the schema, and the directives `$patch`, `$setElementOrder/…`,
// `$deleteFromPrimitiveList/…` and `$retainKeys` say the rest.
import { ApiError } from '../../lib/index.js'
import { cloneJson, equalJson, getField, isObject, type Json, type JsonObject, setField } from '../json/value.js'
import type { FieldSchema, ListSchema, ObjectSchema, Schema } from '../schema/schema.js'

const DELETE_FROM = '$deleteFromPrimitiveList/'
const ORDER = '$setElementOrder/'
const RETAIN = '$retainKeys'

const bad = (detail: string): ApiError => new ApiError('BadRequest', detail)

interface Rules {
  readonly schema: Schema | undefined
  readonly strategy: FieldSchema['patchStrategy']
}
const noRules: Rules = { schema: undefined, strategy: '' }

function rulesOf(schema: Schema | undefined, name: string): Rules {
  if (schema?.type === 'map') return { schema: schema.value, strategy: '' }
  if (schema?.type !== 'object') return noRules
  const field = schema.fields.get(name)
  return field ? { schema: field.schema, strategy: field.patchStrategy } : noRules
}

/** Patches an object of this shape. Nothing given is changed. */
export function applyStrategicPatch(document: JsonObject, patch: JsonObject, schema: ObjectSchema): JsonObject {
  return mergeObjects(document, patch, schema)
}

function mergeObjects(original: JsonObject, patch: JsonObject, schema: Schema | undefined): JsonObject {
  const directive = patch.$patch
  if (directive !== undefined) {
    if (directive === 'delete') return {}
    if (directive === 'replace') {
      return withoutDirectives(patch) as JsonObject
    }
    throw bad(`unknown patch type: ${String(directive)} in map`)
  }
  const result: JsonObject = {}
  const retained = patch[RETAIN]
  if (retained !== undefined && (!Array.isArray(retained) || !retained.every((key) => typeof key === 'string')))
    throw bad('$retainKeys must be a list of strings')
  // What is kept must name everything that the patch sets.
  const set = Object.entries(patch).filter(([name, change]) => change !== null && change !== undefined && !isDirective(name))
  if (retained && set.some(([name]) => !(retained as string[]).includes(name))) throw bad('invalid patch format of retainKeys')
  for (const [name, value] of Object.entries(original))
    if (value !== undefined && (!retained || (retained as string[]).includes(name))) setField(result, name, value)
  for (const [name, change] of Object.entries(patch)) {
    if (change === undefined || isDirective(name)) continue
    if (change === null) {
      delete result[name]
      continue
    }
    setField(result, name, mergeField(getField(result, name), change, { patch, name, rules: rulesOf(schema, name) }))
  }
  deleteFromLists(result, patch)
  reorderLists(result, original, patch, schema)
  return result
}

const isDirective = (name: string): boolean =>
  name === '$patch' || name === RETAIN || name.startsWith(DELETE_FROM) || name.startsWith(ORDER)

/** A copy that says what is, not what to do. */
function withoutDirectives(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutDirectives)
  if (!isObject(value)) return value
  const copy: JsonObject = {}
  for (const [name, field] of Object.entries(value))
    if (field !== undefined && !isDirective(name)) setField(copy, name, withoutDirectives(field))
  return copy
}

/** Deletions and orders may come without the list itself in the patch. */
function deleteFromLists(result: JsonObject, patch: JsonObject): void {
  for (const [name, values] of Object.entries(patch)) {
    if (!name.startsWith(DELETE_FROM)) continue
    const field = name.slice(DELETE_FROM.length)
    const list = getField(result, field)
    if (!Array.isArray(values)) throw bad(`${name} must be a list`)
    if (Array.isArray(list))
      setField(
        result,
        field,
        list.filter((item) => !values.some((gone) => equalJson(gone, item))),
      )
  }
}

function reorderLists(result: JsonObject, original: JsonObject, patch: JsonObject, schema: Schema | undefined): void {
  for (const [name, order] of Object.entries(patch)) {
    if (!name.startsWith(ORDER)) continue
    const field = name.slice(ORDER.length)
    if (!Array.isArray(order)) throw bad(`${name} must be a list`)
    const list = getField(result, field)
    if (!Array.isArray(list)) continue
    const { schema: fieldSchema } = rulesOf(schema, field)
    const mergeKey = fieldSchema?.type === 'list' ? fieldSchema.mergeKey : ''
    const before = getField(original, field)
    checkOrder(getField(patch, field), order, mergeKey, name)
    setField(result, field, inOrder(list, order, Array.isArray(before) ? before : [], mergeKey))
  }
}

/** The patch's own items must come in the order that it asks for. */
function checkOrder(change: Json | undefined, order: readonly Json[], mergeKey: string, name: string): void {
  if (!Array.isArray(change) || order.length === 0) return
  const wanted = change.filter((item) => !(isObject(item) && item.$patch !== undefined))
  let next = 0
  for (const item of order) if (next < wanted.length && identity(item, mergeKey) === identity(wanted[next] as Json, mergeKey)) next++
  if (next < wanted.length)
    throw bad(
      `The order in patch list:\n${JSON.stringify(wanted)}\n doesn't match ${ORDER.slice(0, -1)} list:\n${JSON.stringify(order)}\n (${name})`,
    )
}

const identity = (item: Json, mergeKey: string): string => JSON.stringify(mergeKey && isObject(item) ? (item[mergeKey] ?? null) : item)

/**
 * Items that the order names stand in that order; the others, which only the server has, keep their places relative to the items that
 * surrounded them before.
 */
function inOrder(list: readonly Json[], order: readonly Json[], before: readonly Json[], mergeKey: string): Json[] {
  const rank = new Map(order.map((item, index) => [identity(item, mergeKey), index]))
  const place = new Map(before.map((item, index) => [identity(item, mergeKey), index]))
  const named = list.filter((item) => rank.has(identity(item, mergeKey)))
  const others = list.filter((item) => !rank.has(identity(item, mergeKey)))
  const rankOf = (item: Json): number => rank.get(identity(item, mergeKey)) ?? 0
  const placeOf = (item: Json): number | undefined => place.get(identity(item, mergeKey))
  named.sort((a, b) => rankOf(a) - rankOf(b))
  others.sort((a, b) => (placeOf(a) ?? before.length) - (placeOf(b) ?? before.length))
  const result: Json[] = []
  let i = 0
  let j = 0
  while (i < named.length && j < others.length) {
    const left = placeOf(named[i] as Json)
    const right = placeOf(others[j] as Json)
    // What the server had before an item of the patch stays before it.
    if (left !== undefined && right !== undefined && right < left) result.push(others[j++] as Json)
    else result.push(named[i++] as Json)
  }
  return [...result, ...named.slice(i), ...others.slice(j)]
}

interface FieldPlace {
  readonly patch: JsonObject
  readonly name: string
  readonly rules: Rules
}

function mergeField(original: Json | undefined, change: Json, place: FieldPlace): Json {
  const { schema, strategy } = place.rules
  if (isObject(change)) {
    const replace = strategy.includes('replace')
    if (!isObject(original) || replace) return stripDirectives(change, schema)
    return mergeObjects(original, change, schema)
  }
  if (Array.isArray(change)) {
    const list = schema?.type === 'list' ? schema : undefined
    if (!list?.patchMerge) return replaceList(original, change, list)
    return mergeLists(Array.isArray(original) ? original : [], change, list)
  }
  return change
}

/** An object that is new: directives in it have nothing to act on. */
function stripDirectives(value: JsonObject, schema: Schema | undefined): JsonObject {
  return value.$patch === undefined ? mergeObjects({}, value, schema) : (withoutDirectives(value) as JsonObject)
}

function replaceList(original: Json | undefined, change: readonly Json[], list: ListSchema | undefined): Json[] {
  const whole = change.find((item) => isObject(item) && item.$patch !== undefined)
  if (whole && isObject(whole) && whole.$patch === 'delete' && list === undefined) return Array.isArray(original) ? original : []
  return change
    .filter((item) => !(isObject(item) && item.$patch !== undefined && Object.keys(item).length === 1))
    .map((item) => (isObject(item) ? stripDirectives(item, list?.item) : cloneJson(item)))
}

function mergeLists(original: readonly Json[], change: readonly Json[], list: ListSchema): Json[] {
  const { mergeKey, item: itemSchema } = list
  if (!mergeKey) {
    const result = [...original]
    for (const item of change) if (!result.some((known) => equalJson(known, item))) result.push(cloneJson(item))
    return inOrder(result, change, original, '')
  }
  if (change.some((item) => isObject(item) && item.$patch === 'replace')) {
    return change
      .filter((item) => !(isObject(item) && item.$patch === 'replace'))
      .map((item) => (isObject(item) ? stripDirectives(item, itemSchema) : item))
  }
  const keyOf = (item: Json, where: string): string => {
    const key = isObject(item) ? item[mergeKey] : undefined
    if (key === undefined || key === null)
      throw bad(`map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}${where}`)
    return JSON.stringify(key)
  }
  const deleted = new Set<string>()
  for (const item of change) if (isObject(item) && item.$patch === 'delete') deleted.add(keyOf(item, ''))
  const result = original.filter((item) => !(isObject(item) && item[mergeKey] !== undefined && deleted.has(JSON.stringify(item[mergeKey]))))
  for (const item of change) {
    if (!isObject(item)) throw bad(`expected an object with the merge key ${mergeKey}`)
    if (item.$patch === 'delete') continue
    const key = keyOf(item, '')
    const at = result.findIndex((known) => isObject(known) && JSON.stringify(known[mergeKey]) === key)
    const known = result[at]
    if (known !== undefined && isObject(known)) result[at] = mergeObjects(known, item, itemSchema)
    else result.push(stripDirectives(item, itemSchema))
  }
  const order = change.filter((item) => !(isObject(item) && item.$patch === 'delete'))
  return inOrder(result, order, original, mergeKey)
}
