// An object as it lies in the cache: its serialized form with its resourceVersion in it, parsed only when somebody must look inside.
import type { Resource } from '../../../api/index.js'

const MARK = Buffer.from('"metadata":{')
const VERSION = Buffer.from('"resourceVersion":"')

/** What a request may be decided by without reading the object. */
export interface Attributes {
  readonly labels: Readonly<Record<string, string>>
  readonly fields: ReadonlyMap<string, string>
}

export interface Entry {
  readonly key: string
  readonly namespace: string
  readonly name: string
  /** The object's resourceVersion. */
  readonly revision: number
  /** JSON with `metadata.resourceVersion` first in its metadata. */
  readonly bytes: Buffer
  attributes?: Attributes
}

/**
 * The stored form with `resourceVersion` written (again) into it. Stored objects carry apiVersion and kind, whose values hold no
 * braces, and then metadata: the first `"metadata":{` is the object's own.
 */
export function stampRevision(stored: Uint8Array, revision: number): Buffer {
  const source = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength)
  const at = source.indexOf(MARK)
  if (at < 0) throw new Error('stored object has no metadata')
  const head = at + MARK.length
  let rest = head
  if (source.compare(VERSION, 0, VERSION.length, head, head + VERSION.length) === 0) {
    const end = source.indexOf(0x22, head + VERSION.length) + 1
    rest = source[end] === 0x2c ? end + 1 : end
  }
  const stamp = source[rest] === 0x7d ? `"resourceVersion":"${revision}"` : `"resourceVersion":"${revision}",`
  const result = Buffer.allocUnsafeSlow(head + stamp.length + source.length - rest)
  source.copy(result, 0, 0, head)
  result.write(stamp, head, 'latin1')
  source.copy(result, head + stamp.length, rest)
  return result
}

/** `namespace` and `name` out of what follows a resource's prefix in a key. */
export function splitKey(prefix: string, key: string): { readonly namespace: string; readonly name: string } {
  const rest = key.slice(prefix.length)
  const slash = rest.indexOf('/')
  return slash < 0 ? { namespace: '', name: rest } : { namespace: rest.slice(0, slash), name: rest.slice(slash + 1) }
}

/** What this process knows about the bytes that it writes before they come back from the store, and the entry that they became. */
const known = new WeakMap<Uint8Array, { readonly attributes: Attributes; entry?: Entry }>()

export const noteAttributes = (stored: Uint8Array, attributes: Attributes): void => void known.set(stored, { attributes })

/** undefined for bytes that are no object: damaged, or encrypted with a key that is not in the ring. */
export function tryEntry(prefix: string, key: string, stored: Uint8Array, revision: number): Entry | undefined {
  try {
    return makeEntry(prefix, key, stored, revision)
  } catch {
    return undefined
  }
}

export function makeEntry(prefix: string, key: string, stored: Uint8Array, revision: number): Entry {
  const note = known.get(stored)
  if (note?.entry?.revision === revision) return note.entry
  const { namespace, name } = splitKey(prefix, key)
  const entry: Entry = { key, namespace, name, revision, bytes: stampRevision(stored, revision) }
  if (!note) return entry
  entry.attributes = note.attributes
  note.entry = entry
  return entry
}

/** The same object as it is reported when it goes: at the revision of its deletion. */
export const atRevision = (entry: Entry, revision: number): Entry => ({ ...entry, revision, bytes: stampRevision(entry.bytes, revision) })

/** For objects that are decoded anyway. */
export type Stored = Resource
