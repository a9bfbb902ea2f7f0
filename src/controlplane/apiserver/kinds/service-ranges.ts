// Ranges of service addresses, as numbers and as text.
import { addressBits } from '../../../api/index.js'

export interface ServiceRanges {
  /** One range, or one of each family with a comma between them: the first is the cluster's own family. */
  readonly cidr: string
  readonly nodePorts: { readonly first: number; readonly last: number }
}

export interface Range {
  readonly cidr: string
  readonly family: string
  readonly base: bigint
  readonly size: bigint
  /** The band that static addresses are chosen from is left for them while there is room elsewhere. */
  readonly band: number
}

export const familyOf = (ip: string): string => (ip.includes(':') ? 'IPv6' : 'IPv4')

export function rangeOf(cidr: string): Range {
  const [network = '', bits = '0'] = cidr.split('/')
  const size = 1n << BigInt((network.includes(':') ? 128 : 32) - Number(bits))
  const band = Number(size > 65536n ? 256n : size > 256n ? 16n + size / 256n : size / 16n)
  return { cidr, family: familyOf(network), base: addressBits(network) ?? 0n, size, band }
}

const dotted = (value: bigint): string => [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.')

export function addressText(value: bigint, v6: boolean): string {
  if (!v6) return dotted(value)
  const groups = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}
