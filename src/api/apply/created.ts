// The `fieldsV1` of whoever makes an object: what `compare` finds between nothing and the object, written down on the way. Creates are
// the most frequent writes, and sets of paths in between cost more than the rest of the request.
import { equalJson, getField, isObject, type Json, type JsonObject, setField } from '../json/value.js'
import type { ObjectSchema, Schema } from '../schema/schema.js'
import { serverOwned } from './managers.js'
import { childOf, emptyObject, granular, itemsByStep, keyedList } from './typed.js'

type Part = readonly [step: string, schema: Schema, value: Json]

const byStep = ([a]: Part, [b]: Part): number => (a < b ? -1 : 1)

/** The parts of a value under their steps, or nothing when the value is one whole. */
function partsOf(schema: Schema, value: Json): readonly Part[] | undefined {
  const parts: Part[] = []
  if (keyedList(schema) && Array.isArray(value)) {
    for (const [step, item] of itemsByStep(schema, value)) parts.push([step, schema.item, item])
  } else if (granular(schema, value)) {
    for (const name of Object.keys(value)) {
      const field = value[name]
      if (field !== undefined) parts.push([`f:${name}`, childOf(schema, name).schema, field])
    }
  } else return undefined
  return parts.sort(byStep)
}

/** All of a new value, the paths to its inner parts too. */
function whole(schema: Schema, value: Json): JsonObject {
  const parts = partsOf(schema, value)
  const result: JsonObject = {}
  if (!parts || parts.length === 0) return result
  result['.'] = {}
  for (const [step, of, part] of parts) setField(result, step, whole(of, part))
  return result
}

/** What differs from what every object of the kind holds before anybody wrote to it. */
function beyond(schema: Schema, before: Json | undefined, value: Json): JsonObject | undefined {
  if (before === undefined) return whole(schema, value)
  if (value === null) return isObject(before) && Object.keys(before).length === 0 ? {} : undefined
  const parts = partsOf(schema, value)
  if (!parts) return equalJson(before, value) ? undefined : {}
  if (parts.length === 0) return before === null && isObject(value) ? {} : undefined
  const result: JsonObject = {}
  for (const [step, of, part] of parts) {
    const empty = isObject(before) ? getField(before, step.slice(2)) : undefined
    const fields = beyond(of, empty, part)
    if (fields) setField(result, step, fields)
  }
  return Object.keys(result).length > 0 ? result : undefined
}

/** undefined when nothing of it can be owned. */
export function fieldsOfCreated(schema: ObjectSchema, object: JsonObject): JsonObject | undefined {
  const { apiVersion: _, kind: __, metadata, ...rest } = object
  const known: JsonObject = { ...rest }
  if (isObject(metadata)) {
    const owned: JsonObject = {}
    for (const name of Object.keys(metadata)) if (!serverOwned.has(name)) setField(owned, name, metadata[name] as Json)
    known.metadata = owned
  }
  return beyond(schema, emptyObject(schema), known)
}
