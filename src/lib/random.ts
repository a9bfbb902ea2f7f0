// Randomness as a value that is passed in.

export interface Random {
  /** Uniform in [0, 1). */
  next(): number
  bytes(length: number): Uint8Array
}

/** Loaded at its first use: a command that needs none starts sooner. */
const cryptography = (): typeof import('node:crypto') => process.getBuiltinModule('node:crypto')

/** Unpredictable: for keys, tokens and names alike. */
export const systemRandom: Random = {
  next: () => cryptography().randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
  bytes: (length) => cryptography().randomBytes(length),
}

/** Repeatable from `seed` (mulberry32): for tests and the simulator, never for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return { next, bytes: (length) => Uint8Array.from({ length }, () => Math.floor(next() * 256)) }
}

/** An integer in [0, below). */
export const randomInt = (random: Random, below: number): number => Math.floor(random.next() * below)

/** A version 4 UUID (RFC 9562). */
export function uuid(random: Random): string {
  const b = random.bytes(16)
  b[6] = ((b[6] ?? 0) & 0x0f) | 0x40
  b[8] = ((b[8] ?? 0) & 0x3f) | 0x80
  const hex = Buffer.from(b).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** The letters and digits Kubernetes puts behind generated names: no vowels, nothing that looks like another. */
const NAME_ALPHABET = 'bcdfghjklmnpqrstvwxz2456789'

/** `length` characters as Kubernetes appends them to `generateName`. */
export const nameSuffix = (random: Random, length = 5): string =>
  Array.from({ length }, () => NAME_ALPHABET[randomInt(random, NAME_ALPHABET.length)]).join('')
