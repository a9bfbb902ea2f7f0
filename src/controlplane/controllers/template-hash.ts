// Short names for the contents of a template: equal templates, equal names, in every process and release. Pure.

const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789'

/** JSON with sorted keys and without empty members: fields that were never set do not change a hash. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null'
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined && member !== null)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`)
  return `{${members.join(',')}}`
}

/** FNV-1a, 32 bits (draft-eastlake-fnv). */
export function fnv32a(text: string): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash
}

/** A hash as Kubernetes writes it behind names: no vowels, nothing that looks like another. */
export const safeHash = (text: string): string =>
  [...String(fnv32a(text))].map((digit) => ALPHABET[digit.charCodeAt(0) % ALPHABET.length]).join('')

/** `pod-template-hash` and `controller-revision-hash`; `collisions` makes another name for equal contents. */
export const templateHash = (template: unknown, collisions = 0): string =>
  safeHash(canonical(template) + (collisions > 0 ? `#${collisions}` : ''))
