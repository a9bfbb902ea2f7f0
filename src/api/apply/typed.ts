// Values seen through their schema: which paths they hold, how two of them differ, what a merge of them is, what remains when paths go.
import { equalJson, getField, isObject, type Json, type JsonObject, setField } from '../json/value.js'
import type { FieldSchema, ListSchema, ObjectSchema, Schema } from '../schema/schema.js'
import { namedSchema } from '../schema/table.js'
import { emptySet, type FieldSet, isEmptySet, leafSet, makeSet, pathText } from './field-set.js'

/** What fields without a schema are: objects merge by field, lists are wholes. */
const untyped: Schema = { type: 'any' }

interface Child {
  readonly schema: Schema
  /** Named by the schema, not a key of a map. */
  readonly named: boolean
}

const metadataChild: Child = {
  get schema() {
    return namedSchema('ObjectMeta')
  },
  named: true,
}

export function childOf(schema: Schema, name: string): Child {
  if (schema.type === 'map') return { schema: schema.value, named: false }
  if (schema.type !== 'object') return { schema: untyped, named: false }
  const field: FieldSchema | undefined = schema.fields.get(name)
  if (field) return { schema: field.schema, named: true }
  if (schema.embedded && name === 'metadata') return metadataChild
  return { schema: typeof schema.additional === 'object' ? schema.additional : untyped, named: false }
}

const isAtomic = (schema: Schema): boolean => (schema.type === 'object' || schema.type === 'map') && schema.atomic

/** A list whose items have owners of their own. */
export const keyedList = (schema: Schema): schema is ListSchema => schema.type === 'list' && schema.listType !== 'atomic'

/** Objects that are merged field by field. */
export const granular = (schema: Schema, value: Json | undefined): value is JsonObject =>
  isObject(value) && !isAtomic(schema) && schema.type !== 'scalar'

/** The step that names an item: its keys in order, or the value itself. Undefined when a key is missing. */
export function itemStep(list: ListSchema, item: Json): string | undefined {
  if (list.listType === 'set') return typeof item === 'object' && item !== null ? undefined : `v:${JSON.stringify(item)}`
  if (!isObject(item)) return undefined
  const [only, more] = list.keys
  if (only !== undefined && more === undefined) {
    const value = getField(item, only) ?? list.keyDefaults[only]
    return value === undefined || value === null ? undefined : `k:{${JSON.stringify(only)}:${JSON.stringify(value)}}`
  }
  const keys: JsonObject = {}
  for (const key of [...list.keys].sort()) {
    const value = getField(item, key) ?? list.keyDefaults[key]
    if (value === undefined || value === null) continue
    keys[key] = value
  }
  return Object.keys(keys).length === 0 ? undefined : `k:${JSON.stringify(keys)}`
}

/** Items by their steps; later ones with the same step are left out. */
export function itemsByStep(list: ListSchema, items: Json | undefined): Map<string, Json> {
  const found = new Map<string, Json>()
  if (!Array.isArray(items)) return found
  for (const item of items) {
    const step = itemStep(list, item)
    if (step !== undefined && !found.has(step)) found.set(step, item)
  }
  return found
}

/** Every path that a configuration speaks of. */
export function fieldSetOf(schema: Schema, value: Json): FieldSet {
  if (value === null) return emptySet
  if (keyedList(schema) && Array.isArray(value)) {
    const children = [...itemsByStep(schema, value)].map(([step, item]) => [step, { ...fieldSetOf(schema.item, item), own: true }] as const)
    return makeSet(false, children)
  }
  if (!granular(schema, value)) return leafSet
  const children = Object.entries(value).flatMap(([name, field]): [string, FieldSet][] => {
    if (field === undefined) return []
    const child = childOf(schema, name)
    const set = fieldSetOf(child.schema, field)
    const whole = field === null || (isObject(field) && Object.keys(field).length === 0) || !child.named
    return [[`f:${name}`, whole ? { ...set, own: true } : set]]
  })
  return makeSet(false, children)
}

export interface Comparison {
  readonly added: FieldSet
  readonly modified: FieldSet
  readonly removed: FieldSet
}

const nothing: Comparison = { added: emptySet, modified: emptySet, removed: emptySet }

/** Every path of a value that is new, the inner ones too. */
function wholeSet(schema: Schema, value: Json): FieldSet {
  const children = new Map<string, FieldSet>()
  if (keyedList(schema) && Array.isArray(value))
    for (const [step, item] of itemsByStep(schema, value)) children.set(step, wholeSet(schema.item, item))
  else if (granular(schema, value))
    for (const [name, field] of Object.entries(value))
      if (field !== undefined) children.set(`f:${name}`, wholeSet(childOf(schema, name).schema, field))
  return children.size === 0 ? leafSet : { own: true, children }
}

/** How `after` differs from `before`. `undefined` is absent; null is there and empty. */
export function compare(schema: Schema, before: Json | undefined, after: Json | undefined): Comparison {
  if (before === undefined) return after === undefined ? nothing : { ...nothing, added: wholeSet(schema, after) }
  if (keyedList(schema) && (Array.isArray(before) || Array.isArray(after))) {
    const left = itemsByStep(schema, before)
    const right = itemsByStep(schema, after)
    const steps = new Set([...left.keys(), ...right.keys()])
    return gather(
      [...steps].map((step) => [step, compare(schema.item, left.get(step), right.get(step))]),
      before,
      after,
    )
  }
  const left = granular(schema, before) ? before : undefined
  const right = granular(schema, after) ? after : undefined
  const bothEmpty = Object.keys(left ?? {}).length === 0 && Object.keys(right ?? {}).length === 0
  if (
    (left || before === undefined || before === null) &&
    (right || after === undefined || after === null) &&
    (left || right) &&
    !bothEmpty
  ) {
    const children: [string, Comparison][] = []
    for (const name of new Set([...Object.keys(left ?? {}), ...Object.keys(right ?? {})])) {
      const was = left && getField(left, name)
      const is = right && getField(right, name)
      // Most of an object stays as it is.
      if (!equalJson(was, is)) children.push([`f:${name}`, compare(childOf(schema, name).schema, was, is)])
    }
    return gather(children, before, after)
  }
  if (after === undefined) return { ...nothing, removed: leafSet }
  return equalJson(before, after) ? nothing : { ...nothing, modified: leafSet }
}

function gather(children: readonly (readonly [string, Comparison])[], before: Json | undefined, after: Json | undefined): Comparison {
  const part = (name: keyof Comparison, own: boolean): FieldSet =>
    makeSet(
      own,
      children.map(([step, c]) => [step, c[name]] as const),
    )
  return { added: part('added', before === undefined), modified: part('modified', false), removed: part('removed', after === undefined) }
}

/** `config` over `live`: what it says wins, what it does not say stays. */
export function mergeValues(schema: Schema, live: Json | undefined, config: Json): Json {
  if (live === undefined || live === null || config === null) return config
  if (keyedList(schema) && Array.isArray(live) && Array.isArray(config)) return mergeLists(schema, live, config)
  if (!granular(schema, live) || !granular(schema, config)) return config
  const result: JsonObject = { ...live }
  for (const [name, field] of Object.entries(config))
    if (field !== undefined) setField(result, name, mergeValues(childOf(schema, name).schema, getField(live, name), field))
  return result
}

/** Items that only live has keep their places; the others follow the order of the configuration. */
function mergeLists(schema: ListSchema, live: readonly Json[], config: readonly Json[]): Json[] {
  const wanted = config.map((item) => ({ item, step: itemStep(schema, item) }))
  const steps = new Set(wanted.map(({ step }) => step))
  const known = itemsByStep(schema, live as Json[])
  const result: Json[] = []
  const taken = new Set<string | undefined>()
  let next = 0
  const takeNext = (): void => {
    const { item, step } = wanted[next++] as { item: Json; step: string | undefined }
    taken.add(step)
    result.push(step !== undefined && known.has(step) ? mergeValues(schema.item, known.get(step), item) : item)
  }
  for (const item of live) {
    const step = itemStep(schema, item)
    if (step === undefined || !steps.has(step)) result.push(item)
    else if (!taken.has(step) && next < wanted.length) takeNext()
  }
  while (next < wanted.length) takeNext()
  return result
}

/** The value without what is at these paths. Undefined when nothing remains of an item. */
export function removePaths(schema: Schema, value: Json, paths: FieldSet): Json {
  if (isEmptySet(paths)) return value
  if (keyedList(schema) && Array.isArray(value)) {
    return value.flatMap((item) => {
      const step = itemStep(schema, item)
      const below = step === undefined ? undefined : paths.children.get(step)
      if (!below) return [item]
      return below.own ? [] : [removePaths(schema.item, item, below)]
    })
  }
  if (!granular(schema, value)) return value
  const result: JsonObject = {}
  for (const [name, field] of Object.entries(value)) {
    if (field === undefined) continue
    const below = paths.children.get(`f:${name}`)
    if (!below) setField(result, name, field)
    else if (!below.own) {
      const rest = removePaths(childOf(schema, name).schema, field, below)
      // A list that lost its last item is gone, not empty.
      if (!(Array.isArray(rest) && rest.length === 0)) setField(result, name, rest)
    }
  }
  return result
}

/** Adds to a set the named fields that its paths go through. */
export function withNamedFields(schema: Schema, set: FieldSet): FieldSet {
  if (isEmptySet(set)) return set
  const children = [...set.children].map(([step, child]) => {
    if (step.startsWith('f:')) {
      const at = childOf(schema, step.slice(2))
      const inner = withNamedFields(at.schema, child)
      return [step, at.named ? { ...inner, own: true } : inner] as const
    }
    return [step, schema.type === 'list' ? withNamedFields(schema.item, child) : child] as const
  })
  return makeSet(set.own, children)
}

/** A field that the schema speaks of in one way or another. */
const isDeclared = (schema: Schema, name: string): boolean =>
  schema.type !== 'object' ||
  schema.fields.has(name) ||
  schema.additional !== undefined ||
  (schema.embedded && (name === 'metadata' || name === 'apiVersion' || name === 'kind'))

/** Why a configuration cannot be applied: fields that nobody declared, items of a list that have no name or the same one. */
export function applyErrors(schema: Schema, value: Json, steps: readonly string[] = []): string[] {
  const at = pathText(steps)
  if (schema.type === 'list' && Array.isArray(value)) {
    const seen = new Set<string>()
    return value.flatMap((item, index) => {
      const step = keyedList(schema) ? itemStep(schema, item) : `i:${index}`
      if (step === undefined)
        return schema.listType === 'map'
          ? [
              `${at}: element ${index}: associative list with keys has an element that omits key field ${JSON.stringify(schema.keys[0])} (and doesn't have default value)`,
            ]
          : []
      const twice = seen.has(step) ? [`${at}: duplicate entries for key ${pathText([step])}`] : []
      seen.add(step)
      return [...twice, ...applyErrors(schema.item, item, [...steps, step])]
    })
  }
  if (!isObject(value) || schema.type === 'scalar' || schema.type === 'any') return []
  return Object.keys(value).flatMap((name) => {
    const inner = [...steps, `f:${name}`]
    if (!isDeclared(schema, name)) return [`${pathText(inner)}: field not declared in schema`]
    const field = value[name]
    return field === undefined || field === null ? [] : applyErrors(childOf(schema, name).schema, field, inner)
  })
}

const empties = new WeakMap<ObjectSchema, JsonObject>()

/** What an object of this shape holds before anybody wrote to it: parts that are always there, lists that are null. Not to be changed. */
export function emptyObject(schema: ObjectSchema): JsonObject {
  const known = empties.get(schema)
  if (known) return known
  const result: JsonObject = {}
  empties.set(schema, result)
  for (const [name, field] of schema.fields) {
    if (field.schema.type === 'object' && schema.name && namedSchema(schema.name).alwaysWritten.includes(name))
      result[name] = emptyObject(field.schema)
    else if (field.required && field.schema.type !== 'scalar') result[name] = null
  }
  if (schema.fields.has('metadata') || schema.embedded) result.metadata = {}
  return result
}
