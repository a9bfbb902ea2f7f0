// What an informer knows: the newest version of each object, findable by key and by index.
import type { Resource } from '../api/index.js'
import { keyOf } from './path.js'

/** Values under which an object is found; an object may have none or several. */
export type Indexer<T> = (object: T) => readonly string[]

export interface CacheListener<T> {
  added?(object: T): void
  updated?(object: T, previous: T): void
  deleted?(object: T): void
}

/** Objects are shared: read, never change. */
export interface Cache<T extends Resource> {
  get(key: string): T | undefined
  list(namespace?: string): T[]
  /** Objects that the index `name` files under `value`. */
  byIndex(name: string, value: string): T[]
  readonly size: number
}

/** Namespaces are an index that every cache has. */
const NAMESPACE = 'namespace'

const version = (object: Resource): number => Number(object.metadata.resourceVersion ?? 0)

/** How many of our own deletes are remembered against late events. */
const GRAVES = 10_000

export class ObjectCache<T extends Resource> implements Cache<T> {
  private readonly objects = new Map<string, T>()
  private readonly indexers: Readonly<Record<string, Indexer<T>>>
  private readonly indexes = new Map<string, Map<string, Map<string, T>>>()
  private readonly graves = new Map<string, string>()
  private readonly listeners = new Set<CacheListener<T>>()

  constructor(indexers: Readonly<Record<string, Indexer<T>>> = {}) {
    this.indexers = { ...indexers, [NAMESPACE]: (object) => [object.metadata.namespace ?? ''] }
    for (const name of Object.keys(this.indexers)) this.indexes.set(name, new Map())
  }

  get size(): number {
    return this.objects.size
  }

  get(key: string): T | undefined {
    return this.objects.get(key)
  }

  list(namespace?: string): T[] {
    return namespace === undefined ? [...this.objects.values()] : this.byIndex(NAMESPACE, namespace)
  }

  byIndex(name: string, value: string): T[] {
    const index = this.indexes.get(name)
    if (!index) throw new Error(`no index ${name}`)
    return [...(index.get(value)?.values() ?? [])]
  }

  /** Calls `listener` for what comes, after telling it of everything that is there. Returns how to stop. */
  subscribe(listener: CacheListener<T>): () => void {
    for (const object of this.objects.values()) listener.added?.(object)
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Takes a version in, unless a newer one is known: events and answers to our own writes may overtake each other. */
  put(object: T): void {
    const key = keyOf(object)
    const previous = this.objects.get(key)
    if (previous) {
      if (previous.metadata.uid === object.metadata.uid && version(previous) >= version(object)) return
      this.unfile(key, previous)
    } else if (object.metadata.uid !== undefined && this.graves.get(key) === object.metadata.uid) return
    this.file(key, object)
    for (const listener of this.listeners) {
      if (!previous) listener.added?.(object)
      else if (previous.metadata.uid === object.metadata.uid) listener.updated?.(object, previous)
      else {
        listener.deleted?.(previous)
        listener.added?.(object)
      }
    }
  }

  /** Forgets an object that is gone; events about it that come late are ignored. */
  remove(object: T): void {
    const key = keyOf(object)
    const previous = this.objects.get(key)
    if (object.metadata.uid !== undefined) {
      this.graves.set(key, object.metadata.uid)
      if (this.graves.size > GRAVES) this.graves.delete(this.graves.keys().next().value as string)
    }
    if (!previous || previous.metadata.uid !== object.metadata.uid) return
    this.unfile(key, previous)
    this.objects.delete(key)
    const last = version(object) >= version(previous) ? object : previous
    for (const listener of this.listeners) listener.deleted?.(last)
  }

  /** Makes the cache hold what a list as of `listed` holds. What is younger than the list (a write of our own) stays. */
  replace(objects: readonly T[], listed: string): void {
    const alive = new Set(objects.map(keyOf))
    for (const [key, object] of [...this.objects]) if (!alive.has(key) && !(version(object) > Number(listed))) this.remove(object)
    for (const object of objects) this.put(object)
  }

  private file(key: string, object: T): void {
    this.objects.set(key, object)
    for (const [name, indexer] of Object.entries(this.indexers)) {
      const index = this.indexes.get(name)
      for (const value of indexer(object)) {
        let bucket = index?.get(value)
        if (!bucket) {
          bucket = new Map()
          index?.set(value, bucket)
        }
        bucket.set(key, object)
      }
    }
  }

  private unfile(key: string, object: T): void {
    for (const [name, indexer] of Object.entries(this.indexers)) {
      const index = this.indexes.get(name)
      for (const value of indexer(object)) {
        const bucket = index?.get(value)
        bucket?.delete(key)
        if (bucket?.size === 0) index?.delete(value)
      }
    }
  }
}
