// Types and fields: how long they are, how they are written, how the kernel loads them into registers.
import { addToIp, formatIp, formatMac, ipBytes, lastOf, macBytes, networkOf, prefixOf } from '../netlink/ip.js'
import type { NftField, NftType, NftValue } from './vocabulary.js'

interface TypeFacts {
  /** Number that nft(8) knows it by, to list it. */
  readonly id: number
  readonly length: number
  readonly hostOrder?: boolean
}

export const TYPES: Readonly<Record<NftType, TypeFacts>> = {
  nf_proto: { id: 2, length: 1 },
  ipv4_addr: { id: 7, length: 4 },
  ipv6_addr: { id: 8, length: 16 },
  ether_addr: { id: 9, length: 6 },
  inet_proto: { id: 12, length: 1 },
  inet_service: { id: 13, length: 2 },
  mark: { id: 19, length: 4, hostOrder: true },
  ifname: { id: 41, length: 16, hostOrder: true },
}

/** Registers are of 4 bytes: fields of a concatenation are padded to that. */
export const padded = (length: number): number => (length + 3) & ~3

export const lengthOf = (types: readonly NftType[]): number =>
  types.length === 1 ? TYPES[types[0] as NftType].length : types.reduce((sum, type) => sum + padded(TYPES[type].length), 0)

/** nft(8) writes a concatenation as its types' numbers, six bits each. */
export const typeId = (types: readonly NftType[]): number => types.reduce((id, type) => (id << 6) | TYPES[type].id, 0)

const PROTOCOLS: Readonly<Record<string, number>> = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 }
const NF_PROTOCOLS: Readonly<Record<string, number>> = { ipv4: 2, ipv6: 10 }

const wrong = (value: unknown, type: string): Error => new Error(`nftables: ${JSON.stringify(value)} is no ${type}`)

function number(value: string | number, most: number, type: string): number {
  const parsed = typeof value === 'number' ? value : /^\d+$/.test(value) ? Number(value) : Number.NaN
  if (!Number.isInteger(parsed) || parsed < 0 || parsed > most) throw wrong(value, type)
  return parsed
}

/** One value of a type into `into` at `at`. */
export function writeValue(into: Buffer, at: number, type: NftType, value: string | number): void {
  switch (type) {
    case 'ipv4_addr':
    case 'ipv6_addr': {
      const bytes = typeof value === 'string' ? ipBytes(value) : undefined
      if (bytes?.length !== TYPES[type].length) throw wrong(value, type)
      into.set(bytes, at)
      return
    }
    case 'ether_addr':
      into.set(macBytes(String(value)), at)
      return
    case 'inet_proto':
      into.writeUInt8(PROTOCOLS[value] ?? number(value, 255, type), at)
      return
    case 'nf_proto':
      into.writeUInt8(NF_PROTOCOLS[value] ?? number(value, 255, type), at)
      return
    case 'inet_service':
      into.writeUInt16BE(number(value, 65_535, type), at)
      return
    case 'mark':
      into.writeUInt32LE(number(value, 0xffff_ffff, type), at)
      return
    case 'ifname': {
      const name = Buffer.from(String(value))
      if (name.length === 0 || name.length > 15) throw wrong(value, 'link name')
      into.set(name, at)
      return
    }
  }
}

export function readValue(bytes: Buffer, at: number, type: NftType): string | number {
  const part = bytes.subarray(at, at + TYPES[type].length)
  switch (type) {
    case 'ipv4_addr':
    case 'ipv6_addr':
      return formatIp(part)
    case 'ether_addr':
      return formatMac(part)
    case 'inet_proto': {
      const value = part.readUInt8(0)
      return Object.keys(PROTOCOLS).find((name) => PROTOCOLS[name] === value) ?? value
    }
    case 'nf_proto':
      return part.readUInt8(0)
    case 'inet_service':
      return part.readUInt16BE(0)
    case 'mark':
      return part.readUInt32LE(0)
    case 'ifname':
      return part.toString('utf8', 0, part.indexOf(0) < 0 ? part.length : part.indexOf(0))
  }
}

/** Values of a concatenation in one piece, over `lengthOf(types)` zeroes. */
export function writeValues(into: Buffer, start: number, types: readonly NftType[], values: readonly (string | number)[]): void {
  if (types.length !== values.length) throw new Error(`nftables: ${values.length} values for the types ${types.join(' . ')}`)
  let at = start
  for (let i = 0; i < types.length; i++) {
    const type = types[i] as NftType
    writeValue(into, at, type, values[i] as string | number)
    at += padded(TYPES[type].length)
  }
}

export function encodeValues(types: readonly NftType[], values: readonly (string | number)[]): Buffer {
  const bytes = Buffer.alloc(lengthOf(types))
  writeValues(bytes, 0, types, values)
  return bytes
}

export function decodeValues(types: readonly NftType[], bytes: Buffer): readonly (string | number)[] {
  let at = 0
  return types.map((type) => {
    const value = readValue(bytes, at, type)
    at += padded(TYPES[type].length)
    return value
  })
}

/** The first and last value that a key covers. */
export function bounds(type: NftType, value: NftValue): readonly [string | number, string | number] {
  if (typeof value === 'object') return [value.from, value.to]
  if (typeof value === 'string' && value.includes('/') && (type === 'ipv4_addr' || type === 'ipv6_addr')) {
    const prefix = networkOf(prefixOf(value))
    return [formatIp(prefix.ip), formatIp(lastOf(prefix))]
  }
  return [value, value]
}

/** The bytes behind the last of an interval; undefined when there are none: the interval is open. */
export function behind(last: Buffer): Buffer | undefined {
  if (last.every((byte) => byte === 255)) return undefined
  if (last.length === 4 || last.length === 16) return Buffer.from(addToIp(last, 1))
  const next = Buffer.from(last)
  for (let i = next.length - 1; i >= 0; i--) {
    const byte = next.readUInt8(i)
    next.writeUInt8((byte + 1) & 255, i)
    if (byte !== 255) break
  }
  return next
}

/** How the kernel gets at a field. */
export type FieldSource =
  | { readonly load: 'meta'; readonly key: number }
  | { readonly load: 'payload'; readonly base: number; readonly offset: number; readonly length: number }
  | { readonly load: 'ct'; readonly key: number; readonly direction?: number }
  | { readonly load: 'fib'; readonly flags: number; readonly result: number }

interface FieldFacts {
  readonly type: NftType
  readonly source: FieldSource
  /** Only packets of this family have it. */
  readonly family?: 'ipv4' | 'ipv6'
}

const NETWORK = 1
const TRANSPORT = 2
const ORIGINAL = 0
const payload = (base: number, offset: number, length: number): FieldSource => ({ load: 'payload', base, offset, length })

/** linux/netfilter/nf_tables.h. */
export const FIELDS: Readonly<Record<Extract<NftField, string>, FieldFacts>> = {
  'meta l4proto': { type: 'inet_proto', source: { load: 'meta', key: 16 } },
  'meta nfproto': { type: 'nf_proto', source: { load: 'meta', key: 15 } },
  'meta mark': { type: 'mark', source: { load: 'meta', key: 3 } },
  'meta iifname': { type: 'ifname', source: { load: 'meta', key: 6 } },
  'meta oifname': { type: 'ifname', source: { load: 'meta', key: 7 } },
  'ip saddr': { type: 'ipv4_addr', source: payload(NETWORK, 12, 4), family: 'ipv4' },
  'ip daddr': { type: 'ipv4_addr', source: payload(NETWORK, 16, 4), family: 'ipv4' },
  'ip6 saddr': { type: 'ipv6_addr', source: payload(NETWORK, 8, 16), family: 'ipv6' },
  'ip6 daddr': { type: 'ipv6_addr', source: payload(NETWORK, 24, 16), family: 'ipv6' },
  'th sport': { type: 'inet_service', source: payload(TRANSPORT, 0, 2) },
  'th dport': { type: 'inet_service', source: payload(TRANSPORT, 2, 2) },
  'ct state': { type: 'mark', source: { load: 'ct', key: 0 } },
  'ct status': { type: 'mark', source: { load: 'ct', key: 2 } },
  'ct mark': { type: 'mark', source: { load: 'ct', key: 3 } },
  'ct direction': { type: 'nf_proto', source: { load: 'ct', key: 1 } },
  'ct original ip saddr': { type: 'ipv4_addr', source: { load: 'ct', key: 19, direction: ORIGINAL }, family: 'ipv4' },
  'ct original ip daddr': { type: 'ipv4_addr', source: { load: 'ct', key: 20, direction: ORIGINAL }, family: 'ipv4' },
  'ct original ip6 saddr': { type: 'ipv6_addr', source: { load: 'ct', key: 21, direction: ORIGINAL }, family: 'ipv6' },
  'ct original ip6 daddr': { type: 'ipv6_addr', source: { load: 'ct', key: 22, direction: ORIGINAL }, family: 'ipv6' },
  'ct original proto-dst': { type: 'inet_service', source: { load: 'ct', key: 12, direction: ORIGINAL } },
  'fib daddr type': { type: 'mark', source: { load: 'fib', flags: 2, result: 3 } },
  'fib saddr type': { type: 'mark', source: { load: 'fib', flags: 1, result: 3 } },
}

export const fieldType = (field: NftField): NftType => (typeof field === 'string' ? FIELDS[field].type : 'mark')
