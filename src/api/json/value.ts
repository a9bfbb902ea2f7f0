// JSON values as the API handles them.

/** Anything JSON can say. Integers beyond 2^53 are bigint; `encodeJson` writes them back as they came. */
export type Json = null | boolean | number | bigint | string | JsonArray | JsonObject
export type JsonArray = Json[]
export interface JsonObject {
  [field: string]: Json | undefined
}

/** True for `{…}`: not null, not a list. */
export const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Sets a field without ever reaching a setter of Object.prototype: `__proto__` is a name like any other. */
export function setField(object: JsonObject, name: string, value: Json): void {
  if (name === '__proto__') Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true })
  else object[name] = value
}

/** An own field; `constructor` and friends are not found on the prototype. */
export const getField = (object: JsonObject, name: string): Json | undefined => (Object.hasOwn(object, name) ? object[name] : undefined)

/** A deep copy. */
export function cloneJson<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(cloneJson) as T
  const copy: JsonObject = {}
  for (const [name, field] of Object.entries(value as JsonObject)) if (field !== undefined) setField(copy, name, cloneJson(field))
  return copy as T
}

/** Equal as JSON: order of fields does not matter, absent and undefined are one. */
export function equalJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false
    return a.every((item, index) => equalJson(item, b[index]))
  }
  const left = a as JsonObject
  const right = b as JsonObject
  let count = 0
  for (const name of Object.keys(left)) {
    if (left[name] === undefined) continue
    count++
    if (!Object.hasOwn(right, name) || !equalJson(left[name], right[name])) return false
  }
  for (const name of Object.keys(right)) if (right[name] !== undefined) count--
  return count === 0
}
