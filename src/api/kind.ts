// What a resource is called: the descriptor that clients, caches and the server's table share.
import type { ObjectMeta } from './generated/kinds.js'

/** Metadata of a stored object. `name` is '' only in a create request that carries `generateName`. */
export interface ResourceMeta extends ObjectMeta {
  readonly name: string
}

/** Any object of the API. */
export interface Resource {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ResourceMeta
}

/** Names a resource type. `T` is the shape of its objects; it exists only in the types. */
export interface Kind<T extends Resource = Resource> {
  /** '' for the core group. */
  readonly group: string
  readonly version: string
  readonly kind: T['kind']
  /** As in the URL: `pods`. */
  readonly plural: string
  readonly namespaced: boolean
  readonly subresources: readonly string[]
  /** `group/version`, or only the version in the core group. */
  readonly apiVersion: T['apiVersion']
  /** Never present: carries `T`. */
  readonly shape?: T
}

/** Makes a descriptor. Pure. */
export function kind<T extends Resource>(names: Omit<Kind<T>, 'apiVersion' | 'shape'>): Kind<T> {
  return { ...names, apiVersion: names.group ? `${names.group}/${names.version}` : names.version }
}
