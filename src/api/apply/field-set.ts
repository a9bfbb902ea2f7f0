// Sets of field paths, as managedFields keep them (fieldsV1). A path is made of steps: `f:name` a field, `k:{…}` a list item by its keys,
// `v:…` an item of a set. Immutable: every operation makes a new set.
import { isObject, type Json, type JsonObject, setField } from '../json/value.js'

export interface FieldSet {
  /** The path to here is itself in the set. */
  readonly own: boolean
  readonly children: ReadonlyMap<string, FieldSet>
}

export const emptySet: FieldSet = { own: false, children: new Map() }
export const leafSet: FieldSet = { own: true, children: new Map() }

export const isEmptySet = (set: FieldSet): boolean => !set.own && set.children.size === 0

/** Drops what holds nothing. */
export function makeSet(own: boolean, children: Iterable<readonly [string, FieldSet]>): FieldSet {
  const kept = new Map<string, FieldSet>()
  for (const [step, child] of children) if (!isEmptySet(child)) kept.set(step, child)
  return { own, children: kept }
}

type Combine = (a: FieldSet, b: FieldSet) => FieldSet

function combineChildren(a: FieldSet, b: FieldSet, combine: Combine): [string, FieldSet][] {
  const steps = new Set([...a.children.keys(), ...b.children.keys()])
  return [...steps].map((step) => [step, combine(a.children.get(step) ?? emptySet, b.children.get(step) ?? emptySet)])
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a)) return b
  if (isEmptySet(b)) return a
  return makeSet(a.own || b.own, combineChildren(a, b, union))
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a) || isEmptySet(b)) return emptySet
  return makeSet(a.own && b.own, combineChildren(a, b, intersection))
}

/** Paths of `a` that are not paths of `b`. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a) || isEmptySet(b)) return a
  return makeSet(a.own && !b.own, combineChildren(a, b, difference))
}

/** As `difference`, and what lies below a path of `b` goes with it. */
export function recursiveDifference(a: FieldSet, b: FieldSet): FieldSet {
  if (b.own) return emptySet
  if (isEmptySet(a) || isEmptySet(b)) return a
  return makeSet(a.own, combineChildren(a, b, recursiveDifference))
}

export function equalSets(a: FieldSet, b: FieldSet): boolean {
  if (a.own !== b.own || a.children.size !== b.children.size) return false
  for (const [step, child] of a.children) {
    const other = b.children.get(step)
    if (!other || !equalSets(child, other)) return false
  }
  return true
}

/** Every path, as lists of steps. */
export function pathsOf(set: FieldSet, prefix: readonly string[] = []): string[][] {
  const found: string[][] = set.own && prefix.length > 0 ? [[...prefix]] : []
  for (const [step, child] of set.children) found.push(...pathsOf(child, [...prefix, step]))
  return found
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** The `fieldsV1` of a managed fields entry. */
export function encodeFieldSet(set: FieldSet): JsonObject {
  const result: JsonObject = {}
  if (set.own && set.children.size > 0) result['.'] = {}
  for (const [step, child] of [...set.children].sort(([a], [b]) => order(a, b))) setField(result, step, encodeFieldSet(child))
  return result
}

/** The other way; what cannot be read is left out. */
export function decodeFieldSet(value: Json | undefined): FieldSet {
  if (!isObject(value)) return emptySet
  const read = (object: JsonObject): FieldSet => {
    const names = Object.keys(object)
    if (names.length === 0) return leafSet
    const children: [string, FieldSet][] = []
    for (const name of names) {
      const child = object[name]
      if (name !== '.' && /^[fkvi]:/.test(name) && isObject(child)) children.push([name, read(child)])
    }
    return makeSet(Object.hasOwn(object, '.'), children)
  }
  return Object.keys(value).length === 0 ? emptySet : { ...read(value), own: false }
}

function stepText(step: string): string {
  const rest = step.slice(2)
  if (step.startsWith('f:')) return `.${rest}`
  if (step.startsWith('k:')) {
    const keys = JSON.parse(rest) as Record<string, unknown>
    return `[${Object.entries(keys)
      .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
      .join(',')}]`
  }
  return step.startsWith('v:') ? `[=${rest}]` : `[${rest}]`
}

/** `.spec.template.spec.containers[name="c"].image` */
export const pathText = (steps: readonly string[]): string => steps.map(stepText).join('')
