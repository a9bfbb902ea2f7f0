// Names of zones as people write them.
import { isIP } from 'node:net'

/** Folded, without the final dot; '' is the root. */
export const zoneName = (word: string): string => word.toLowerCase().replace(/\.$/, '')

/** The 16 groups of four bits of each group of an IPv6 address, most significant first. */
function nibbles(address: string): readonly string[] {
  const [head = '', tail] = address.split('::')
  const groups = (text: string | undefined): string[] => (text ? text.split(':') : [])
  const missing = 8 - groups(head).length - groups(tail).length
  const all = [...groups(head), ...(tail === undefined ? [] : Array<string>(missing).fill('0')), ...groups(tail)]
  return [...all.map((group) => group.padStart(4, '0')).join('')]
}

/** Zones of `example.org`, and of a network (`10.0.0.0/8`, `2001:db8::/32`) those that its addresses are looked up in, backwards. */
export function zonesOf(word: string): readonly string[] {
  const [, address = '', length = ''] = /^(.+)\/(\d+)$/.exec(word) ?? []
  const version = isIP(address)
  const bits = Number(length)
  if (version === 0 || address.includes('.') !== (version === 4) || bits > (version === 4 ? 32 : 128)) return [zoneName(word)]
  const [labels, width, base, top] =
    version === 4 ? [address.split('.'), 8, 10, 'in-addr.arpa'] : ([nibbles(address), 4, 16, 'ip6.arpa'] as const)
  const whole = labels.slice(0, Math.floor(bits / width))
  const rest = bits % width
  const zone = (...more: readonly string[]): string => [...[...whole, ...more].reverse(), top].join('.')
  if (rest === 0) return [zone()]
  const span = 2 ** (width - rest)
  const first = Math.floor(Number.parseInt(labels[whole.length] ?? '0', base) / span) * span
  return Array.from({ length: span }, (_, i) => zone((first + i).toString(base)))
}
