// Rules for the metadata of every object.
import { type FieldError, forbidden, invalid, required, tooLong } from './field-error.js'
import type { ObjectMeta, OwnerReference } from './generated/kinds.js'
import { dnsLabelErrors, generateNameErrors, type NameRule, qualifiedNameErrors } from './names.js'
import { labelErrors } from './selector/labels.js'

const MOST_ANNOTATION_BYTES = 256 * 1024

export function annotationErrors(annotations: ObjectMeta['annotations'], path: string): FieldError[] {
  const errors: FieldError[] = []
  let size = 0
  for (const [key, value] of Object.entries(annotations ?? {})) {
    for (const detail of qualifiedNameErrors(key.toLowerCase())) errors.push(invalid(path, key, detail))
    size += Buffer.byteLength(key) + Buffer.byteLength(value)
  }
  if (size > MOST_ANNOTATION_BYTES) errors.push(tooLong(path, MOST_ANNOTATION_BYTES))
  return errors
}

function ownerErrors(owners: readonly OwnerReference[], path: string): FieldError[] {
  const errors: FieldError[] = []
  let controllerName = ''
  owners.forEach((owner, index) => {
    const at = `${path}[${index}]`
    const [first = '', second] = (owner.apiVersion ?? '').split('/')
    const version = second ?? first
    if (version === '') errors.push(invalid(`${at}.apiVersion`, owner.apiVersion, 'version must not be empty'))
    if (!owner.kind) errors.push(invalid(`${at}.kind`, owner.kind, 'must not be empty'))
    if (!owner.name) errors.push(invalid(`${at}.name`, owner.name, 'must not be empty'))
    if (!owner.uid) errors.push(invalid(`${at}.uid`, owner.uid, 'must not be empty'))
    if (owner.kind === 'Event' && (owner.apiVersion === 'v1' || owner.apiVersion === 'events.k8s.io/v1'))
      errors.push(invalid(at, owner, `${owner.apiVersion}, Kind=Event is disallowed from being an owner`))
    if (owner.controller !== true) return
    if (controllerName)
      errors.push(
        invalid(
          path,
          owners,
          `Only one reference can have Controller set to true. Found "true" in references for ${controllerName} and ${owner.name}`,
        ),
      )
    else controllerName = owner.name
  })
  return errors
}

/** A domain and a name, or one of Kubernetes' own words; `bare`: any qualified name. */
export function finalizerErrors(finalizer: string, path: string, { bare = false } = {}): FieldError[] {
  const errors = qualifiedNameErrors(finalizer).map((detail) => invalid(path, finalizer, detail))
  if (!bare && !finalizer.includes('/') && !['kubernetes', 'orphan', 'foregroundDeletion'].includes(finalizer))
    errors.push(invalid(path, finalizer, 'name is neither a standard finalizer name nor is it fully qualified'))
  return errors
}

function finalizersErrors(finalizers: readonly string[], path: string, bare: boolean): FieldError[] {
  const errors = finalizers.flatMap((finalizer, index) => finalizerErrors(finalizer, `${path}[${index}]`, { bare }))
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion'))
    errors.push(invalid(path, finalizers, 'finalizer orphan and foregroundDeletion cannot be both set'))
  return errors
}

export interface MetadataRules {
  readonly namespaced: boolean
  readonly name: NameRule
  /** Finalizers need no path behind their domain: custom resources and their definitions. */
  readonly bareFinalizers?: boolean
}

export function metadataErrors(meta: ObjectMeta, rules: MetadataRules, path = 'metadata'): FieldError[] {
  const errors: FieldError[] = []
  if (meta.generateName)
    for (const detail of generateNameErrors(meta.generateName, rules.name))
      errors.push(invalid(`${path}.generateName`, meta.generateName, detail))
  if (!meta.name) errors.push(required(`${path}.name`, 'name or generateName is required'))
  else for (const detail of rules.name(meta.name)) errors.push(invalid(`${path}.name`, meta.name, detail))
  if (rules.namespaced) {
    if (!meta.namespace) errors.push(required(`${path}.namespace`))
    else for (const detail of dnsLabelErrors(meta.namespace)) errors.push(invalid(`${path}.namespace`, meta.namespace, detail))
  } else if (meta.namespace) errors.push(forbidden(`${path}.namespace`, 'not allowed on this type'))
  if ((meta.generation ?? 0) < 0) errors.push(invalid(`${path}.generation`, meta.generation, 'must be greater than or equal to 0'))
  errors.push(...labelErrors(meta.labels, `${path}.labels`))
  errors.push(...annotationErrors(meta.annotations, `${path}.annotations`))
  errors.push(...ownerErrors(meta.ownerReferences ?? [], `${path}.ownerReferences`))
  errors.push(...finalizersErrors(meta.finalizers ?? [], `${path}.finalizers`, rules.bareFinalizers ?? false))
  return errors
}

const immutable = 'field is immutable'

/** Beside `metadataErrors` of the new object. */
export function metadataUpdateErrors(next: ObjectMeta, previous: ObjectMeta, path = 'metadata'): FieldError[] {
  const errors: FieldError[] = []
  if (!next.resourceVersion)
    errors.push({
      ...invalid(`${path}.resourceVersion`, 0, 'must be specified for an update'),
      message: 'Invalid value: 0x0: must be specified for an update',
    })
  if (next.name !== previous.name) errors.push(invalid(`${path}.name`, next.name, immutable))
  if ((next.namespace ?? '') !== (previous.namespace ?? '')) errors.push(invalid(`${path}.namespace`, next.namespace, immutable))
  if (next.uid !== previous.uid) errors.push(invalid(`${path}.uid`, next.uid, immutable))
  if (next.creationTimestamp !== previous.creationTimestamp)
    errors.push(invalid(`${path}.creationTimestamp`, next.creationTimestamp, immutable))
  if (next.deletionTimestamp !== previous.deletionTimestamp)
    errors.push(invalid(`${path}.deletionTimestamp`, next.deletionTimestamp, immutable))
  if (next.deletionGracePeriodSeconds !== previous.deletionGracePeriodSeconds)
    errors.push(invalid(`${path}.deletionGracePeriodSeconds`, next.deletionGracePeriodSeconds, immutable))
  if (previous.deletionTimestamp) {
    const added = (next.finalizers ?? []).filter((finalizer) => !previous.finalizers?.includes(finalizer))
    if (added.length > 0)
      errors.push(
        forbidden(
          `${path}.finalizers`,
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((f) => JSON.stringify(f)).join(', ')}}`,
        ),
      )
  }
  return errors
}
