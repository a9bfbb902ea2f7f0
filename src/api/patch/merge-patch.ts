// JSON Merge Patch (RFC 7386).
import { cloneJson, getField, isObject, type Json, type JsonObject, setField } from '../json/value.js'

/** A new value; null in the patch removes. */
export function applyMergePatch(document: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return cloneJson(patch)
  const result: JsonObject = isObject(document) ? { ...document } : {}
  for (const [name, change] of Object.entries(patch)) {
    if (change === undefined) continue
    if (change === null) delete result[name]
    else setField(result, name, applyMergePatch(getField(result, name), change))
  }
  return result
}
