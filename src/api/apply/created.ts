// The `fieldsV1` of whoever makes an object: what `compare` finds between nothing and the object, written down on the way. Creates are
// the most frequent writes, and sets of paths in between cost more than the rest of the request.
import { equalJson, getField, isObject, type Json, type JsonObject, setField } from '../json/value.js'
import type { ListSchema, ObjectSchema, Schema } from '../schema/schema.js'
import { serverOwned } from './managers.js'
import { childOf, emptyObject, granular, itemStep, itemsByStep, keyedList } from './typed.js'

/** Most paths end in this; nobody changes what is in managedFields. */
const LEAF: JsonObject = {}

/** Few names are sorted faster by hand than by the engine. */
function sort<T>(items: T[], isBefore: (a: T, b: T) => boolean): T[] {
  if (items.length > 16) return items.sort((a, b) => (isBefore(a, b) ? -1 : 1))
  for (let i = 1; i < items.length; i++) {
    const item = items[i] as T
    let at = i
    while (at > 0 && isBefore(item, items[at - 1] as T)) {
      items[at] = items[at - 1] as T
      at--
    }
    items[at] = item
  }
  return items
}

type Item = readonly [step: string, value: Json]

const isSmaller = (a: string, b: string): boolean => a < b
const isEarlier = ([a]: Item, [b]: Item): boolean => a < b

function namesOf(value: JsonObject): string[] {
  const names: string[] = []
  for (const name of Object.keys(value)) if (value[name] !== undefined) names.push(name)
  return sort(names, isSmaller)
}

function itemsOf(schema: ListSchema, list: readonly Json[]): Item[] {
  const [only, more] = list
  if (more !== undefined) return sort([...itemsByStep(schema, list as Json[])], isEarlier)
  const step = only === undefined ? undefined : itemStep(schema, only)
  return step === undefined ? [] : [[step, only as Json]]
}

interface Field {
  readonly step: string
  readonly schema: Schema
}
const fieldsOf = new WeakMap<Schema, Map<string, Field>>()

function fieldOf(schema: Schema, name: string): Field {
  const known = fieldsOf.get(schema)?.get(name)
  if (known) return known
  const field: Field = { step: `f:${name}`, schema: childOf(schema, name).schema }
  // Names that the schema knows are few; those of maps are anybody's.
  if (schema.type === 'object' && schema.fields.has(name)) {
    const fields = fieldsOf.get(schema) ?? new Map<string, Field>()
    fieldsOf.set(schema, fields.set(name, field))
  }
  return field
}

/** All of a new value, the paths to its inner parts too. */
function whole(schema: Schema, value: Json): JsonObject {
  if (schema.type === 'scalar') return LEAF
  if (keyedList(schema)) {
    const items = Array.isArray(value) ? itemsOf(schema, value) : []
    if (items.length === 0) return LEAF
    const result: JsonObject = { '.': LEAF }
    for (const [step, item] of items) result[step] = whole(schema.item, item)
    return result
  }
  if (!granular(schema, value)) return LEAF
  const names = namesOf(value)
  if (names.length === 0) return LEAF
  const result: JsonObject = { '.': LEAF }
  for (const name of names) {
    const field = fieldOf(schema, name)
    result[field.step] = whole(field.schema, value[name] as Json)
  }
  return result
}

/** What differs from what every object of the kind holds before anybody wrote to it. */
function beyond(schema: Schema, before: Json | undefined, value: Json): JsonObject | undefined {
  if (before === undefined) return whole(schema, value)
  if (value === null) return isObject(before) && Object.keys(before).length === 0 ? LEAF : undefined
  const result: JsonObject = {}
  let some = false
  if (keyedList(schema) && Array.isArray(value)) {
    for (const [step, item] of itemsOf(schema, value)) {
      result[step] = whole(schema.item, item)
      some = true
    }
  } else if (granular(schema, value)) {
    const names = namesOf(value)
    if (names.length === 0) return before === null ? LEAF : undefined
    for (const name of names) {
      const field = fieldOf(schema, name)
      const empty = isObject(before) ? getField(before, name) : undefined
      const fields = beyond(field.schema, empty, value[name] as Json)
      if (!fields) continue
      result[field.step] = fields
      some = true
    }
  } else return equalJson(before, value) ? undefined : LEAF
  return some ? result : undefined
}

/** Without `ignored`, which is another door's. undefined when nothing of it can be owned. */
export function fieldsOfCreated(schema: ObjectSchema, object: JsonObject, ignored?: string): JsonObject | undefined {
  const { apiVersion: _, kind: __, metadata, ...rest } = object
  const known: JsonObject = { ...rest }
  if (ignored) delete known[ignored]
  if (isObject(metadata)) {
    const owned: JsonObject = {}
    for (const name of Object.keys(metadata)) if (!serverOwned.has(name)) setField(owned, name, metadata[name] as Json)
    known.metadata = owned
  }
  return beyond(schema, emptyObject(schema), known)
}
