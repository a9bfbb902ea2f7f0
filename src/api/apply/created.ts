// The `fieldsV1` of whoever makes an object: what `compare` finds between nothing and the object, written down on the way. Creates are
// the most frequent writes, and sets of paths in between cost more than the rest of the request.
import { equalJson, getField, isObject, type Json, type JsonObject, setField } from '../json/value.js'
import type { ObjectSchema, Schema } from '../schema/schema.js'
import { serverOwned } from './managers.js'
import { childOf, emptyObject, granular, itemsByStep, keyedList } from './typed.js'

/** Most paths end in this; nobody changes what is in managedFields. */
const LEAF: JsonObject = {}

const byStep = ([a]: readonly [string, Json], [b]: readonly [string, Json]): number => (a < b ? -1 : 1)

const namesOf = (value: JsonObject): string[] =>
  Object.keys(value)
    .filter((name) => value[name] !== undefined)
    .sort()

const fieldOf = (schema: Schema, name: string): Schema =>
  (schema.type === 'object' && schema.fields.get(name)?.schema) || childOf(schema, name).schema

/** All of a new value, the paths to its inner parts too. */
function whole(schema: Schema, value: Json): JsonObject {
  if (schema.type === 'scalar') return LEAF
  if (keyedList(schema)) {
    const items = Array.isArray(value) ? [...itemsByStep(schema, value)].sort(byStep) : []
    if (items.length === 0) return LEAF
    const result: JsonObject = { '.': LEAF }
    for (const [step, item] of items) result[step] = whole(schema.item, item)
    return result
  }
  if (!granular(schema, value)) return LEAF
  const names = namesOf(value)
  if (names.length === 0) return LEAF
  const result: JsonObject = { '.': LEAF }
  for (const name of names) result[`f:${name}`] = whole(fieldOf(schema, name), value[name] as Json)
  return result
}

/** What differs from what every object of the kind holds before anybody wrote to it. */
function beyond(schema: Schema, before: Json | undefined, value: Json): JsonObject | undefined {
  if (before === undefined) return whole(schema, value)
  if (value === null) return isObject(before) && Object.keys(before).length === 0 ? LEAF : undefined
  const result: JsonObject = {}
  if (keyedList(schema) && Array.isArray(value)) {
    for (const [step, item] of [...itemsByStep(schema, value)].sort(byStep)) result[step] = whole(schema.item, item)
  } else if (granular(schema, value)) {
    const names = namesOf(value)
    if (names.length === 0) return before === null ? LEAF : undefined
    for (const name of names) {
      const empty = isObject(before) ? getField(before, name) : undefined
      const fields = beyond(fieldOf(schema, name), empty, value[name] as Json)
      if (fields) result[`f:${name}`] = fields
    }
  } else return equalJson(before, value) ? undefined : LEAF
  return Object.keys(result).length > 0 ? result : undefined
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
