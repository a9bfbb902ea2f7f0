// Netlink messages as bytes: headers, attributes, nesting (kernel documentation: userspace-api/netlink). Pure.

export const NLM_F_REQUEST = 1
export const NLM_F_MULTI = 2
export const NLM_F_ACK = 4
export const NLM_F_DUMP_INTR = 0x10
export const NLM_F_ROOT = 0x100
export const NLM_F_MATCH = 0x200
export const NLM_F_DUMP = NLM_F_ROOT | NLM_F_MATCH
export const NLM_F_REPLACE = 0x100
export const NLM_F_EXCL = 0x200
export const NLM_F_CREATE = 0x400
export const NLM_F_APPEND = 0x800

export const NLMSG_ERROR = 2
export const NLMSG_DONE = 3

const NESTED = 0x8000
const TYPE_MASK = 0x3fff
const align = (length: number): number => (length + 3) & ~3

/** Writes messages one after the other into a buffer that grows. Header fields are in host order, which is little-endian on both architectures. */
export class MessageWriter {
  private buffer: Buffer
  private at = 0
  private messageStart = 0

  constructor(capacity = 4096) {
    this.buffer = Buffer.allocUnsafe(capacity)
  }

  get length(): number {
    return this.at
  }

  /** May move the buffer: ask for the place first, then name the buffer. */
  private reserve(length: number): number {
    const at = this.at
    const end = at + align(length)
    if (end > this.buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, end))
      this.buffer.copy(grown, 0, 0, at)
      this.buffer = grown
    }
    // Padding bytes go to the kernel: never memory of ours.
    if (length & 3) this.buffer.writeUInt32LE(0, end - 4)
    this.at = end
    return at
  }

  begin(type: number, flags: number, sequence: number): this {
    this.messageStart = this.reserve(16)
    this.buffer.writeUInt32LE(0, this.messageStart)
    this.buffer.writeUInt16LE(type, this.messageStart + 4)
    this.buffer.writeUInt16LE(flags, this.messageStart + 6)
    this.buffer.writeUInt32LE(sequence, this.messageStart + 8)
    this.buffer.writeUInt32LE(0, this.messageStart + 12)
    return this
  }

  end(): this {
    this.buffer.writeUInt32LE(this.at - this.messageStart, this.messageStart)
    return this
  }

  /** A fixed header behind the netlink header. */
  raw(bytes: Uint8Array): this {
    const at = this.reserve(bytes.length)
    this.buffer.set(bytes, at)
    return this
  }

  private attribute(type: number, length: number): number {
    const at = this.reserve(4 + length)
    this.buffer.writeUInt16LE(4 + length, at)
    this.buffer.writeUInt16LE(type, at + 2)
    return at + 4
  }

  flag(type: number): this {
    this.attribute(type, 0)
    return this
  }

  u8(type: number, value: number): this {
    const at = this.attribute(type, 1)
    this.buffer.writeUInt8(value, at)
    return this
  }

  u16(type: number, value: number): this {
    const at = this.attribute(type, 2)
    this.buffer.writeUInt16LE(value, at)
    return this
  }

  u32(type: number, value: number): this {
    const at = this.attribute(type, 4)
    this.buffer.writeUInt32LE(value >>> 0, at)
    return this
  }

  /** Network order, as ports and all of nftables are. */
  be16(type: number, value: number): this {
    const at = this.attribute(type, 2)
    this.buffer.writeUInt16BE(value, at)
    return this
  }

  be32(type: number, value: number): this {
    const at = this.attribute(type, 4)
    this.buffer.writeUInt32BE(value >>> 0, at)
    return this
  }

  be64(type: number, value: number | bigint): this {
    const at = this.attribute(type, 8)
    this.buffer.writeBigUInt64BE(BigInt(value), at)
    return this
  }

  /** With its final NUL. */
  text(type: number, value: string): this {
    const length = Buffer.byteLength(value)
    const at = this.attribute(type, length + 1)
    this.buffer.write(value, at)
    this.buffer.writeUInt8(0, at + length)
    return this
  }

  bytes(type: number, value: Uint8Array): this {
    const at = this.attribute(type, value.length)
    this.buffer.set(value, at)
    return this
  }

  /** Makes room for the value of an attribute, to be written at the returned place of `target`. */
  room(type: number, length: number): number {
    return this.attribute(type, length)
  }

  /** Moves when it grows: take it after making room. */
  get target(): Buffer {
    return this.buffer
  }

  nest(type: number, fill: (writer: this) => void): this {
    const at = this.openNest(type)
    fill(this)
    return this.closeNest(at)
  }

  /** For hot loops that want no closure: closeNest gets what openNest gave. */
  openNest(type: number): number {
    return this.attribute(type | NESTED, 0) - 4
  }

  closeNest(at: number): this {
    this.buffer.writeUInt16LE(this.at - at, at)
    return this
  }

  /** What was written: a view that later writes may outgrow. */
  done(): Buffer {
    return this.buffer.subarray(0, this.at)
  }

  reset(): void {
    this.at = 0
  }
}

export interface NetlinkMessage {
  readonly type: number
  readonly flags: number
  readonly sequence: number
  readonly port: number
  readonly payload: Buffer
}

/** Splits what one recv gave. */
export function parseMessages(bytes: Buffer): readonly NetlinkMessage[] {
  const messages: NetlinkMessage[] = []
  for (let at = 0; at + 16 <= bytes.length; ) {
    const length = bytes.readUInt32LE(at)
    if (length < 16 || at + length > bytes.length) throw new Error(`netlink message of ${length} bytes at ${at} of ${bytes.length}`)
    messages.push({
      type: bytes.readUInt16LE(at + 4),
      flags: bytes.readUInt16LE(at + 6),
      sequence: bytes.readUInt32LE(at + 8),
      port: bytes.readUInt32LE(at + 12),
      payload: bytes.subarray(at + 16, at + length),
    })
    at += align(length)
  }
  return messages
}

/** Attributes by type; of a repeated one the last. Lists are read with attributeList. */
export class Attributes {
  private readonly values: ReadonlyMap<number, Buffer>

  constructor(bytes: Buffer) {
    this.values = new Map(attributeList(bytes))
  }

  has(type: number): boolean {
    return this.values.has(type)
  }

  bytes(type: number): Buffer | undefined {
    return this.values.get(type)
  }

  u8(type: number): number | undefined {
    return this.values.get(type)?.readUInt8(0)
  }

  u16(type: number): number | undefined {
    return this.values.get(type)?.readUInt16LE(0)
  }

  u32(type: number): number | undefined {
    return this.values.get(type)?.readUInt32LE(0)
  }

  be16(type: number): number | undefined {
    return this.values.get(type)?.readUInt16BE(0)
  }

  be32(type: number): number | undefined {
    return this.values.get(type)?.readUInt32BE(0)
  }

  be64(type: number): bigint | undefined {
    return this.values.get(type)?.readBigUInt64BE(0)
  }

  text(type: number): string | undefined {
    const value = this.values.get(type)
    if (!value) return undefined
    const end = value.indexOf(0)
    return value.toString('utf8', 0, end < 0 ? value.length : end)
  }

  nested(type: number): Attributes {
    return new Attributes(this.values.get(type) ?? Buffer.alloc(0))
  }

  list(type: number): readonly (readonly [type: number, value: Buffer])[] {
    return attributeList(this.values.get(type) ?? Buffer.alloc(0))
  }
}

export function attributeList(bytes: Buffer): readonly (readonly [type: number, value: Buffer])[] {
  const list: (readonly [number, Buffer])[] = []
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at)
    if (length < 4 || at + length > bytes.length) break
    list.push([bytes.readUInt16LE(at + 2) & TYPE_MASK, bytes.subarray(at + 4, at + length)])
    at += align(length)
  }
  return list
}
