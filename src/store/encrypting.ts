// Values of some keys are encrypted before they reach the store: AES-256-GCM, a ring of keys, bound to the key they lie under.
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { Random } from '../lib/index.js'
import type { KeyValue, Store, StoreEvent, WatchBatch } from './store.js'

export interface RingKey {
  readonly name: string
  /** 32 bytes. */
  readonly key: Uint8Array
}

export interface EncryptionOptions {
  /** The first writes, all read. */
  readonly keys: readonly RingKey[]
  readonly random: Random
  /** What is encrypted; default: Secrets. */
  readonly prefixes?: readonly string[]
}

const MARK = 'k8s:enc:aesgcm:v1:'
const NONCE = 12
const TAG = 16

/** A value that no key of the ring opens. */
export class DecryptionError extends Error {
  override readonly name = 'DecryptionError'
}

export interface EncryptingStore extends Store {
  /** Writes everything under the prefixes again, with the first key. Returns how many values. */
  rewrite(): Promise<number>
}

export function encryptingStore(store: Store, { keys, random, prefixes = ['/registry/secrets/'] }: EncryptionOptions): EncryptingStore {
  const [first] = keys
  if (!first) throw new Error('encryption: the ring holds no key')
  for (const { name, key } of keys) if (key.length !== 32) throw new Error(`encryption: key ${name} has ${key.length} bytes, 32 are needed`)
  const byName = new Map(keys.map((one) => [one.name, one.key]))
  const concerns = (key: string): boolean => prefixes.some((prefix) => key.startsWith(prefix))

  const seal = (key: string, value: Uint8Array): Uint8Array => {
    if (!concerns(key)) return value
    const nonce = random.bytes(NONCE)
    const cipher = createCipheriv('aes-256-gcm', first.key, nonce)
    cipher.setAAD(Buffer.from(key))
    return Buffer.concat([Buffer.from(`${MARK}${first.name}:`), nonce, cipher.update(value), cipher.final(), cipher.getAuthTag()])
  }

  const open = (key: string, value: Uint8Array): Uint8Array => {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    // Written before encryption was turned on: `identity`.
    if (bytes.length < MARK.length || bytes.toString('latin1', 0, MARK.length) !== MARK) return value
    const nameEnd = bytes.indexOf(0x3a, MARK.length)
    const name = bytes.toString('utf8', MARK.length, nameEnd)
    const ringKey = byName.get(name)
    if (!ringKey) throw new DecryptionError(`${key} is encrypted with key ${name}, which is not in the ring`)
    const nonce = bytes.subarray(nameEnd + 1, nameEnd + 1 + NONCE)
    const decipher = createDecipheriv('aes-256-gcm', ringKey, nonce)
    decipher.setAAD(Buffer.from(key))
    decipher.setAuthTag(bytes.subarray(bytes.length - TAG))
    try {
      return Buffer.concat([decipher.update(bytes.subarray(nameEnd + 1 + NONCE, bytes.length - TAG)), decipher.final()])
    } catch (error) {
      throw new DecryptionError(`${key} cannot be decrypted with key ${name}`, { cause: error })
    }
  }

  const plain = (kv: KeyValue): KeyValue => (concerns(kv.key) && kv.value.length > 0 ? { ...kv, value: open(kv.key, kv.value) } : kv)
  /** Among many, one value that cannot be opened stays closed: it must not hide the others. */
  const plainIfPossible = (kv: KeyValue): KeyValue => {
    try {
      return plain(kv)
    } catch (error) {
      if (error instanceof DecryptionError) return kv
      throw error
    }
  }
  const plainEvent = (event: StoreEvent): StoreEvent =>
    concerns(event.kv.key)
      ? { ...event, kv: plainIfPossible(event.kv), ...(event.previous && { previous: plainIfPossible(event.previous) }) }
      : event

  async function* plainBatches(batches: AsyncIterable<WatchBatch>): AsyncGenerator<WatchBatch> {
    for await (const batch of batches) yield { ...batch, events: batch.events.map(plainEvent) }
  }

  return {
    ...store,
    async get(key, options) {
      const result = await store.get(key, options)
      return result.kv ? { ...result, kv: plain(result.kv) } : result
    },
    async range(prefix, options) {
      const result = await store.range(prefix, options)
      return { ...result, items: result.items.map(plainIfPossible) }
    },
    async put(key, value, options) {
      const result = await store.put(key, seal(key, value), options)
      if (result.ok) return result.previous ? { ...result, previous: plain(result.previous) } : result
      return result.current ? { ...result, current: plain(result.current) } : result
    },
    async delete(key, options) {
      const result = await store.delete(key, options)
      if (result.ok) return result.previous ? { ...result, previous: plain(result.previous) } : result
      return result.current ? { ...result, current: plain(result.current) } : result
    },
    txn: ({ compare, operations }) =>
      store.txn({
        compare,
        operations: operations.map((operation) =>
          operation.type === 'put' ? { ...operation, value: seal(operation.key, operation.value) } : operation,
        ),
      }),
    watch: (prefix, options) => plainBatches(store.watch(prefix, options)),
    async rewrite() {
      let count = 0
      for (const prefix of prefixes) {
        for (const { key, value, modRevision, lease } of (await store.range(prefix)).items) {
          const wanted = `${MARK}${first.name}:`
          if (Buffer.from(value.subarray(0, wanted.length)).toString('latin1') === wanted) continue
          // Somebody who writes meanwhile writes with the first key as well.
          const { ok } = await store.put(key, seal(key, open(key, value)), { expect: modRevision, ...(lease && { lease }) })
          if (ok) count++
        }
      }
      return count
    },
  }
}
