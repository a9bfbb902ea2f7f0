// Objects to keys and back: the only place that writes to the store.
import { encodeJson, type JsonObject, type Resource, type ResourceType } from '../../../api/index.js'
import type { Store } from '../../../store/index.js'
import { type Backend, decodeEntry, keyFor, readAttributes } from './backend.js'
import { type Entry, makeEntry, noteAttributes } from './entry.js'
import { ROOT } from './feed.js'
import type { Companions } from './hooks.js'

/** What a client may not find in stored bytes: the revision is the store's. */
export function encodeStored(type: ResourceType, object: JsonObject): Uint8Array {
  const { kind, apiVersion, metadata, ...rest } = type.conversion ? type.conversion.toStored(object) : object
  const { resourceVersion: _, ...meta } = metadata as JsonObject
  const bytes = encodeJson({ kind, apiVersion, metadata: meta, ...rest })
  if (!type.conversion) noteAttributes(bytes, readAttributes(type, object as unknown as Resource))
  return bytes
}

export interface StoredObject {
  readonly entry: Entry
  readonly object: Resource
}

export interface WriteOutcome {
  readonly ok: boolean
  readonly revision: number
}

/** The object straight from the store, when the cache may be behind a write that just beat us. */
export async function readStored(store: Store, type: ResourceType, namespace: string, name: string): Promise<StoredObject | undefined> {
  const key = keyFor(type, namespace, name)
  const { kv } = await store.get(key)
  if (!kv) return undefined
  const entry = makeEntry(`${ROOT}${type.storagePrefix}/`, key, kv.value, kv.modRevision)
  return { entry, object: decodeEntry(type, entry) }
}

export async function readCached(backend: Backend, type: ResourceType, namespace: string, name: string): Promise<StoredObject | undefined> {
  const cache = await backend.feed.fresh(type.storagePrefix)
  const entry = cache.get(keyFor(type, namespace, name))
  return entry && { entry, object: decodeEntry(type, entry) }
}

/** Writes `value` (or deletes, if undefined) when the key is at `expect`, together with its companions. */
export async function commit(
  store: Store,
  key: string,
  value: Uint8Array | undefined,
  options: { readonly expect: number; readonly lease?: number | undefined; readonly companions?: Companions | undefined },
): Promise<WriteOutcome> {
  const { expect, lease, companions } = options
  if (!companions) return value ? store.put(key, value, { expect, ...(lease && { lease }) }) : store.delete(key, { expect })
  return store.txn({
    compare: [{ key, modRevision: expect }, ...companions.compare],
    operations: [value ? { type: 'put', key, value, ...(lease && { lease }) } : { type: 'delete', key }, ...companions.operations],
  })
}
