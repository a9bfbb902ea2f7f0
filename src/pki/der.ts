// DER (ITU-T X.690), as much as certificates need: tag-length-value trees, written and read.

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** Context-specific tag [n]; constructed when it holds other elements. */
export const context = (n: number, constructed: boolean): number => 0x80 | (constructed ? 0x20 : 0) | n

function lengthBytes(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  const hex = length.toString(16)
  const bytes = Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex')
  return Buffer.concat([Buffer.from([0x80 | bytes.length]), bytes])
}

/** One element. */
export function tlv(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content)
  return Buffer.concat([Buffer.from([tag]), lengthBytes(body.length), body])
}

export const sequence = (...content: readonly Uint8Array[]): Buffer => tlv(TAG.sequence, ...content)
export const set = (...content: readonly Uint8Array[]): Buffer => tlv(TAG.set, ...content)
export const boolean = (value: boolean): Buffer => tlv(TAG.boolean, Buffer.from([value ? 0xff : 0]))
export const octetString = (bytes: Uint8Array): Buffer => tlv(TAG.octetString, bytes)
export const bitString = (bytes: Uint8Array, unusedBits = 0): Buffer => tlv(TAG.bitString, Buffer.from([unusedBits]), bytes)
export const utf8String = (text: string): Buffer => tlv(TAG.utf8String, Buffer.from(text, 'utf8'))

/** An unsigned big-endian integer of any length. */
export function integer(magnitude: Uint8Array): Buffer {
  let start = 0
  while (start < magnitude.length - 1 && magnitude[start] === 0) start++
  const bytes = magnitude.subarray(start)
  return (bytes[0] ?? 0) & 0x80 ? tlv(TAG.integer, Buffer.from([0]), bytes) : tlv(TAG.integer, bytes)
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const arc of rest) {
    const groups = [arc & 0x7f]
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) groups.unshift((left & 0x7f) | 0x80)
    bytes.push(...groups)
  }
  return tlv(TAG.oid, Buffer.from(bytes))
}

/** UTCTime until 2049, GeneralizedTime after (RFC 5280 section 4.1.2.5). */
export function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replace(/[-:T]/g, '').slice(0, 14)
  return Number(text.slice(0, 4)) < 2050
    ? tlv(TAG.utcTime, Buffer.from(`${text.slice(2)}Z`))
    : tlv(TAG.generalizedTime, Buffer.from(`${text}Z`))
}

/** One element that was read: its tag, its content, and the whole of its bytes. */
export interface Element {
  readonly tag: number
  readonly content: Buffer
  readonly raw: Buffer
}

/** The first element of `bytes`; RangeError when it is cut short or not DER. */
export function readElement(bytes: Uint8Array): Element {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const tag = buffer[0]
  const first = buffer[1]
  if (tag === undefined || first === undefined) throw new RangeError('DER: no element here')
  if ((tag & 0x1f) === 0x1f) throw new RangeError('DER: long tags are not used in certificates')
  let length = first
  let header = 2
  if (first & 0x80) {
    const count = first & 0x7f
    if (count === 0 || count > 4 || buffer.length < 2 + count) throw new RangeError('DER: bad length')
    length = buffer.readUIntBE(2, count)
    header += count
  }
  if (header + length > buffer.length) throw new RangeError('DER: element is cut short')
  return { tag, content: buffer.subarray(header, header + length), raw: buffer.subarray(0, header + length) }
}

/** The elements inside a constructed element. */
export function children(parent: Element): Element[] {
  const found: Element[] = []
  for (let rest = parent.content; rest.length > 0; ) {
    const element = readElement(rest)
    found.push(element)
    rest = rest.subarray(element.raw.length)
  }
  return found
}

export function oidText(element: Element): string {
  const [first = 0] = element.content
  const arcs = [Math.min(2, Math.floor(first / 40))]
  arcs.push(first - (arcs[0] ?? 0) * 40)
  let value = 0
  for (const byte of element.content.subarray(1)) {
    value = value * 128 + (byte & 0x7f)
    if (!(byte & 0x80)) {
      arcs.push(value)
      value = 0
    }
  }
  return arcs.join('.')
}

export const toPem = (label: string, der: Uint8Array): string =>
  `-----BEGIN ${label}-----\n${(
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  ).join('\n')}\n-----END ${label}-----\n`

/** The bytes of every block with this label. */
export function fromPem(label: string, text: string): Buffer[] {
  const blocks = text.matchAll(new RegExp(`-----BEGIN ${label}-----([A-Za-z0-9+/=\\s]*)-----END ${label}-----`, 'g'))
  return [...blocks].map((block) => Buffer.from(block[1] ?? '', 'base64'))
}
