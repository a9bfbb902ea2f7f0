// IP addresses and prefixes as bytes. Text in, bytes out, and back; nothing is guessed.

export type IpFamily = 4 | 6

/** An address in network order: 4 or 16 bytes. */
export type IpBytes = Uint8Array

export const familyOf = (bytes: IpBytes): IpFamily => (bytes.length === 4 ? 4 : 6)

const DOT = 0x2e

function parseV4(text: string): IpBytes | undefined {
  // By hand: tens of thousands of addresses go into one transaction.
  const bytes = new Uint8Array(4)
  let [part, digits, value] = [0, 0, 0]
  for (let i = 0; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : DOT
    if (code === DOT) {
      if (digits === 0 || part > 3) return undefined
      bytes[part++] = value
      digits = value = 0
    } else {
      const isDigit = code >= 0x30 && code <= 0x39
      if (!isDigit || (digits > 0 && value === 0)) return undefined
      value = value * 10 + code - 0x30
      if (value > 255) return undefined
      digits++
    }
  }
  return part === 4 ? bytes : undefined
}

function parseV6(text: string): IpBytes | undefined {
  let source = text
  const tail: number[] = []
  if (text.includes('.')) {
    const colon = text.lastIndexOf(':')
    const v4 = parseV4(text.slice(colon + 1))
    if (!v4 || colon < 0) return undefined
    tail.push(((v4[0] ?? 0) << 8) | (v4[1] ?? 0), ((v4[2] ?? 0) << 8) | (v4[3] ?? 0))
    // Keep one colon of "::" but not the one before the dotted part.
    source = text[colon - 1] === ':' ? text.slice(0, colon + 1) : text.slice(0, colon)
  }
  const halves = source.split('::')
  if (halves.length > 2) return undefined
  const groups = (part: string | undefined): number[] | undefined => {
    if (part === undefined || part === '') return []
    const words = part.split(':').map((word) => (/^[0-9a-f]{1,4}$/i.test(word) ? Number.parseInt(word, 16) : -1))
    return words.includes(-1) ? undefined : words
  }
  const head = groups(halves[0])
  const end = groups(halves[1])
  if (!head || !end) return undefined
  const missing = 8 - head.length - end.length - tail.length
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined
  const words = [...head, ...Array<number>(halves.length === 1 ? 0 : missing).fill(0), ...end, ...tail]
  return Uint8Array.from(words.flatMap((word) => [word >> 8, word & 255]))
}

/** The bytes of an address, or undefined when the text is none. Zones (`%eth0`) and leading zeroes are refused. */
export const parseIp = (text: string): IpBytes | undefined => (text.includes(':') ? parseV6(text) : parseV4(text))

/** As parseIp, but a wrong text throws. */
export function ipBytes(text: string): IpBytes {
  const bytes = parseIp(text)
  if (!bytes) throw new Error(`"${text}" is not an IP address`)
  return bytes
}

/** RFC 5952 for IPv6: lower case, the longest run of zeroes shortened. */
export function formatIp(bytes: IpBytes): string {
  if (bytes.length === 4) return bytes.join('.')
  const words = Array.from({ length: 8 }, (_, i) => ((bytes[i * 2] ?? 0) << 8) | (bytes[i * 2 + 1] ?? 0))
  let best = { at: -1, length: 1 }
  for (let at = 0; at < 8; at++) {
    let length = 0
    while (at + length < 8 && words[at + length] === 0) length++
    if (length > best.length) best = { at, length }
    at += length
  }
  const hex = (list: number[]): string => list.map((word) => word.toString(16)).join(':')
  const mapped = words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff
  if (mapped) return `::ffff:${bytes.slice(12).join('.')}`
  return best.at < 0 ? hex(words) : `${hex(words.slice(0, best.at))}::${hex(words.slice(best.at + best.length))}`
}

export interface Prefix {
  /** The address as written, host bits kept. */
  readonly ip: IpBytes
  readonly length: number
}

/** `10.0.0.1/24`; without a length it is the single address. Undefined when the text is neither. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/')
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash))
  if (!ip) return undefined
  const bits = ip.length * 8
  if (slash < 0) return { ip, length: bits }
  const length = text.slice(slash + 1)
  return /^(0|[1-9]\d{0,2})$/.test(length) && Number(length) <= bits ? { ip, length: Number(length) } : undefined
}

export function prefixOf(text: string): Prefix {
  const prefix = parsePrefix(text)
  if (!prefix) throw new Error(`"${text}" is not an address with a prefix length, such as 10.0.0.0/24 or fd00::/64`)
  return prefix
}

export const formatPrefix = ({ ip, length }: Prefix): string => `${formatIp(ip)}/${length}`

/** Host bits cleared. */
export const networkOf = ({ ip, length }: Prefix): Prefix => ({ ip: ip.map((byte, i) => byte & maskByte(length, i)), length })

/** Host bits set: the last address of the prefix. */
export const lastOf = ({ ip, length }: Prefix): IpBytes => ip.map((byte, i) => (byte & maskByte(length, i)) | (~maskByte(length, i) & 255))

const maskByte = (length: number, index: number): number => {
  const bits = Math.max(0, Math.min(8, length - index * 8))
  return (0xff << (8 - bits)) & 0xff
}

export const prefixContains = (prefix: Prefix, ip: IpBytes): boolean =>
  prefix.ip.length === ip.length &&
  ip.every((byte, i) => (byte & maskByte(prefix.length, i)) === ((prefix.ip[i] ?? 0) & maskByte(prefix.length, i)))

/** -1, 0, 1 as the addresses are ordered; IPv4 before IPv6. */
export function compareIp(a: IpBytes, b: IpBytes): number {
  if (a.length !== b.length) return a.length - b.length
  return Math.sign(Buffer.compare(a, b))
}

/** The address `by` further on; throws past the end of the family. */
export function addToIp(ip: IpBytes, by: number | bigint): IpBytes {
  const value = BigInt(`0x${Buffer.from(ip).toString('hex')}`) + BigInt(by)
  const hex = value.toString(16)
  if (value < 0n || hex.length > ip.length * 2) throw new RangeError(`${formatIp(ip)} + ${by} is no address`)
  return Uint8Array.from(Buffer.from(hex.padStart(ip.length * 2, '0'), 'hex'))
}

/** `aa:bb:cc:dd:ee:ff` as six bytes. */
export function macBytes(text: string): Uint8Array {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) throw new Error(`"${text}" is not a MAC address such as 02:00:00:00:00:01`)
  return Uint8Array.from(text.split(':').map((part) => Number.parseInt(part, 16)))
}

export const formatMac = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':')
