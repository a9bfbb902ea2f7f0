// From `kubectl apply` to `kubectl apply --server-side`: what the client once noted in an annotation is its own, whoever is recorded for it.
import { jsonText, parseJson } from '../json/parse.js'
import { getField, isObject, type JsonObject } from '../json/value.js'
import type { ResourceType } from '../resource-type.js'
import { difference, emptySet, type FieldSet, union } from './field-set.js'
import { applyErrors, compare, fieldSetOf } from './typed.js'

/** The manager that kubectl applies as; another name opts out of all this. */
export const KUBECTL = 'kubectl'
const ANNOTATION = 'kubectl.kubernetes.io/last-applied-configuration'

const annotationsOf = (object: JsonObject): JsonObject | undefined =>
  isObject(object.metadata) && isObject(object.metadata.annotations) ? object.metadata.annotations : undefined

/** Fields that still are as they were last applied on the client's side. */
export function lastAppliedFields(type: ResourceType, live: JsonObject): FieldSet {
  const text = getField(annotationsOf(live) ?? {}, ANNOTATION)
  if (typeof text !== 'string') return emptySet
  let applied: JsonObject
  try {
    applied = parseJson(text)
  } catch {
    return emptySet
  }
  const schema = type.schema()
  if (!isObject(applied) || applied.apiVersion !== type.apiVersion || applyErrors(schema, applied).length > 0) return emptySet
  const { added, modified, removed } = compare(schema, applied, live)
  return difference(fieldSetOf(schema, applied), union(added, union(modified, removed)))
}

/** The annotation follows what is applied on the server's side, so that the client's side can be taken up again. In place. */
export function renewLastApplied(object: JsonObject, config: JsonObject): void {
  const annotations = annotationsOf(object)
  if (!annotations || getField(annotations, ANNOTATION) === undefined || !isObject(object.metadata)) return
  const metadata: JsonObject = isObject(config.metadata) ? { ...config.metadata } : {}
  delete metadata.managedFields
  if (isObject(metadata.annotations)) {
    const { [ANNOTATION]: _, ...others } = metadata.annotations
    metadata.annotations = others
  } else metadata.annotations = {}
  object.metadata.annotations = { ...annotations, [ANNOTATION]: `${jsonText({ ...config, metadata })}\n` }
}
