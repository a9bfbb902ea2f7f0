// What happens to an object on its way into the store, in order: `prepareCreate`/`prepareUpdate`, (admission), `validateCreate`/
// `validateUpdate`. Metadata for every kind is here; the rest is asked of the kind itself.
import { ApiError, rfc3339 } from '../lib/index.js'
import { type FieldError, throwIfInvalid } from './field-error.js'
import { isObject, type JsonObject } from './json/value.js'
import type { Resource } from './kind.js'
import { type MetadataRules, metadataErrors, metadataUpdateErrors } from './metadata.js'
import { dnsSubdomainErrors, type NameRule } from './names.js'
import type { ResourceType, WriteContext } from './resource-type.js'

const MOST_GENERATED = 63 - 5

/** `metadata` of an object that is being written; made when missing. */
export function metadataOf(object: JsonObject): JsonObject {
  if (isObject(object.metadata)) return object.metadata
  const metadata: JsonObject = {}
  object.metadata = metadata
  return metadata
}

function checkNamespace(type: ResourceType, metadata: JsonObject, namespace: string | undefined): void {
  if (!type.namespaced) {
    if (metadata.namespace === '') delete metadata.namespace
    return
  }
  if (metadata.namespace === undefined || metadata.namespace === '') metadata.namespace = namespace
  else if (namespace !== undefined && metadata.namespace !== namespace)
    throw new ApiError('BadRequest', 'the namespace of the provided object does not match the namespace sent on the request')
}

/** In place: name, namespace, uid, creationTimestamp, generation, status as the kind wants them. Throws BadRequest for another namespace. */
export function prepareCreate(
  type: ResourceType,
  object: JsonObject,
  context: WriteContext & { readonly namespace?: string | undefined },
): void {
  const metadata = metadataOf(object)
  checkNamespace(type, metadata, context.namespace)
  for (const field of ['deletionTimestamp', 'deletionGracePeriodSeconds', 'selfLink', 'resourceVersion', 'generation'])
    if (metadata[field] !== undefined) delete metadata[field]
  if ((metadata.name === undefined || metadata.name === '') && typeof metadata.generateName === 'string' && metadata.generateName !== '')
    metadata.name = `${metadata.generateName.slice(0, MOST_GENERATED)}${context.suffix()}`
  metadata.uid = context.uid()
  metadata.creationTimestamp = rfc3339(context.now)
  type.prepareForCreate(object)
}

/** In place on `next`: what this door may not change comes from `previous`; generation goes up when the kind says so. */
export function prepareUpdate(type: ResourceType, next: JsonObject, previous: JsonObject, subresource = ''): void {
  const metadata = metadataOf(next)
  const before = metadataOf(previous)
  if (type.namespaced) metadata.namespace ??= before.namespace
  for (const field of ['uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'name'])
    if ((metadata[field] === undefined || metadata[field] === '') && before[field] !== undefined) metadata[field] = before[field]
  delete metadata.selfLink
  if (before.generation === undefined) delete metadata.generation
  else metadata.generation = before.generation
  type.prepareForUpdate(next, previous, subresource)
}

/** The rule for names of a kind; set by its definition. */
const nameRules = new WeakMap<object, NameRule>()
export function setNameRule(type: ResourceType, rule: NameRule): void {
  nameRules.set(type, rule)
}
const rulesOf = (type: ResourceType): MetadataRules => ({
  namespaced: type.namespaced,
  name: nameRules.get(type) ?? dnsSubdomainErrors,
  bareFinalizers: type.custom || type.group === 'apiextensions.k8s.io' || type.group === 'apiregistration.k8s.io',
})

const subject = (type: ResourceType, object: Resource) => ({ group: type.group, kind: type.kind, name: object.metadata?.name ?? '' })

export function createErrors(type: ResourceType, object: JsonObject): readonly FieldError[] {
  const typed = object as unknown as Resource
  return [...metadataErrors(typed.metadata ?? {}, rulesOf(type)), ...type.validate(typed), ...type.validateCreate(typed)]
}

/** Throws the 422 answer with every cause. */
export function validateCreate(type: ResourceType, object: JsonObject): void {
  throwIfInvalid(subject(type, object as unknown as Resource), createErrors(type, object))
}

export function updateErrors(type: ResourceType, next: JsonObject, previous: JsonObject, subresource = ''): readonly FieldError[] {
  const object = next as unknown as Resource
  const before = previous as unknown as Resource
  const errors = [
    ...metadataErrors(object.metadata ?? {}, rulesOf(type)),
    ...metadataUpdateErrors(object.metadata ?? {}, before.metadata ?? {}),
  ]
  if (subresource === '') errors.push(...type.validate(object))
  errors.push(...type.validateUpdate(object, before, subresource))
  // The rules of the object and those of its change may say the same thing twice.
  const seen = new Set<string>()
  return errors.filter(({ field, message }) => !seen.has(`${field} ${message}`) && seen.add(`${field} ${message}`))
}

/** `next` must carry the resourceVersion that it was made from. */
export function validateUpdate(type: ResourceType, next: JsonObject, previous: JsonObject, subresource = ''): void {
  throwIfInvalid(subject(type, next as unknown as Resource), updateErrors(type, next, previous, subresource))
}
