// What every verb needs: the table of kinds, the objects, the facts of the world.
import { findKind, findResource, type Kind, parseJson, type Resource, type ResourceType } from '../../../api/index.js'
import type { Clock, Logger, Random } from '../../../lib/index.js'
import type { Store } from '../../../store/index.js'
import type { Attributes, Entry } from './entry.js'
import type { Feed } from './feed.js'
import { ROOT } from './feed.js'

/** Kinds that are served now: the built-in ones, and those that CustomResourceDefinitions add and take away. */
export interface TypeRegistry {
  find(group: string, version: string, plural: string): ResourceType | undefined
  all(): readonly ResourceType[]
  /** Counts changes: documents made from the table are good as long as it stays. */
  readonly generation: number
}

export interface Backend {
  readonly store: Store
  readonly feed: Feed
  readonly types: TypeRegistry
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

export const keyFor = (type: Pick<ResourceType, 'storagePrefix'>, namespace: string, name: string): string =>
  namespace ? `${ROOT}${type.storagePrefix}/${namespace}/${name}` : `${ROOT}${type.storagePrefix}/${name}`

/** The stored object in the version of `type`. */
export function decodeEntry(type: ResourceType, entry: Pick<Entry, 'bytes'>): Resource {
  const stored = parseJson(entry.bytes) as never
  const object = type.conversion ? type.conversion.fromStored(stored) : stored
  if (type.custom) type.setDefaults(object)
  return object as unknown as Resource
}

const decoded = new WeakMap<Entry, Resource>()

/** As `decodeEntry` in the stored version, kept as long as the entry is: for small kinds that many requests look at. */
export function rememberedObject(entry: Entry): Resource {
  const known = decoded.get(entry)
  if (known) return known
  const object = parseJson(entry.bytes) as unknown as Resource
  decoded.set(entry, object)
  return object
}

export function readAttributes(type: ResourceType, object: Resource): Attributes {
  const fields = new Map<string, string>()
  for (const [path, read] of type.selectableFields) fields.set(path, read(object))
  return { labels: object.metadata.labels ?? {}, fields }
}

/** What selectors look at, without keeping the object. */
export function attributesOf(type: ResourceType, entry: Entry): Attributes {
  if (entry.attributes) return entry.attributes
  entry.attributes = readAttributes(type, decodeEntry(type, entry))
  return entry.attributes
}

/** Reads of other objects while a request is at work: admission, authorization, subresources. */
export interface Reader {
  find<T extends Resource>(kind: Kind<T>, namespace: string, name: string): Promise<T | undefined>
  list<T extends Resource>(kind: Kind<T>, namespace?: string): Promise<readonly T[]>
}

function builtIn(kind: Kind): ResourceType {
  const type = findResource(kind.group, kind.version, kind.plural) ?? findKind(kind.group, kind.version, kind.kind)
  if (!type) throw new Error(`${kind.apiVersion} ${kind.kind} is not in the table`)
  return type
}

/** Only for kinds whose stored version is the one asked for. The objects are shared: never change them. */
export function createReader(feed: Feed): Reader {
  return {
    async find<T extends Resource>(kind: Kind<T>, namespace: string, name: string) {
      const type = builtIn(kind)
      const cache = await feed.fresh(type.storagePrefix)
      const entry = cache.get(keyFor(type, namespace, name))
      return entry && (rememberedObject(entry) as T)
    },
    async list<T extends Resource>(kind: Kind<T>, namespace = '') {
      const type = builtIn(kind)
      const cache = await feed.fresh(type.storagePrefix)
      return cache.slice(namespace ? `${cache.prefix}${namespace}/` : cache.prefix).map((entry) => rememberedObject(entry) as T)
    },
  }
}
