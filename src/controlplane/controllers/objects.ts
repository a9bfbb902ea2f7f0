// Names, owners and small facts of any object. Pure.
import type { Kind, ObjectMeta, OwnerReference, Resource } from '../../api/index.js'
import type { ObjectKey, ObjectName } from './types.js'

export const keyOf = (object: { readonly metadata: ObjectMeta }): ObjectKey =>
  object.metadata.namespace ? `${object.metadata.namespace}/${object.metadata.name}` : (object.metadata.name ?? '')

export const nameOf = (object: { readonly metadata: ObjectMeta }): ObjectName => ({
  name: object.metadata.name ?? '',
  ...(object.metadata.namespace ? { namespace: object.metadata.namespace } : {}),
})

export function splitKey(key: ObjectKey): ObjectName {
  const slash = key.indexOf('/')
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) }
}

export const uidOf = (object: { readonly metadata: ObjectMeta }): string => object.metadata.uid ?? ''

/** The owner that is in charge of the object, if any. */
export const controllerOf = (object: { readonly metadata: ObjectMeta }): OwnerReference | undefined =>
  object.metadata.ownerReferences?.find((owner) => owner.controller === true)

export const isControlledBy = (object: { readonly metadata: ObjectMeta }, owner: { readonly metadata: ObjectMeta }): boolean =>
  controllerOf(object)?.uid === uidOf(owner)

/** The reference that makes `owner` the one in charge. */
export function controllerReference(kind: Kind, owner: { readonly metadata: ObjectMeta }): OwnerReference {
  return {
    apiVersion: kind.apiVersion,
    kind: kind.kind,
    name: owner.metadata.name ?? '',
    uid: uidOf(owner),
    controller: true,
    blockOwnerDeletion: true,
  }
}

export const groupOf = (apiVersion: string): string => (apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '')

/** True when the reference names an object of this kind, in any version. */
export const refersTo = (
  reference: { readonly apiVersion?: string | undefined; readonly kind?: string | undefined },
  kind: Kind,
): boolean => reference.kind === kind.kind && groupOf(reference.apiVersion ?? '') === kind.group

export const isDeleting = (object: { readonly metadata: ObjectMeta }): boolean => object.metadata.deletionTimestamp !== undefined

export const millis = (time: string | undefined): number => (time ? Date.parse(time) : 0)

/** Oldest first; equal ages by name, so that every replica of a controller decides alike. */
export function byAge(a: Resource, b: Resource): number {
  const difference = millis(a.metadata.creationTimestamp) - millis(b.metadata.creationTimestamp)
  return difference || (a.metadata.name < b.metadata.name ? -1 : a.metadata.name > b.metadata.name ? 1 : 0)
}

/** Deep equality of JSON values; an absent field equals undefined. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, index) => sameJson(item, b[index]))
  const left = a as Record<string, unknown>
  const right = b as Record<string, unknown>
  for (const key of Object.keys(left)) if (!sameJson(left[key], right[key])) return false
  for (const key of Object.keys(right)) if (right[key] !== undefined && left[key] === undefined) return false
  return true
}

/** A number, or a percentage of `total` (`25%`); undefined for anything else. */
export function scaled(value: number | string | undefined, total: number, round: 'up' | 'down'): number | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'number') return value
  const match = /^(\d+)%$/.exec(value)
  if (!match) return undefined
  const exact = (Number(match[1]) * total) / 100
  return round === 'up' ? Math.ceil(exact) : Math.floor(exact)
}

/** Drops entries that are undefined, so that objects compare and serialize alike. */
export function compact<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T
}
