// Cursors over bytes, for wire formats that are not JSON.

/** Reads forward; throws RangeError past the end. `littleEndian` is fixed per cursor. */
export class ByteReader {
  readonly bytes: Buffer
  readonly littleEndian: boolean
  offset = 0

  constructor(bytes: Uint8Array, options: { littleEndian?: boolean } = {}) {
    this.bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.littleEndian = options.littleEndian ?? false
  }

  get remaining(): number {
    return this.bytes.length - this.offset
  }

  private advance(length: number): number {
    const at = this.offset
    if (length < 0 || at + length > this.bytes.length) throw new RangeError(`read of ${length} bytes at ${at} of ${this.bytes.length}`)
    this.offset = at + length
    return at
  }

  u8(): number {
    return this.bytes.readUInt8(this.advance(1))
  }

  u16(): number {
    const at = this.advance(2)
    return this.littleEndian ? this.bytes.readUInt16LE(at) : this.bytes.readUInt16BE(at)
  }

  u32(): number {
    const at = this.advance(4)
    return this.littleEndian ? this.bytes.readUInt32LE(at) : this.bytes.readUInt32BE(at)
  }

  i32(): number {
    return this.u32() | 0
  }

  u64(): bigint {
    const at = this.advance(8)
    return this.littleEndian ? this.bytes.readBigUInt64LE(at) : this.bytes.readBigUInt64BE(at)
  }

  /** A view, not a copy. */
  take(length: number): Buffer {
    const at = this.advance(length)
    return this.bytes.subarray(at, at + length)
  }

  skip(length: number): void {
    this.advance(length)
  }
}

/** Writes forward into a buffer that grows. */
export class ByteWriter {
  readonly littleEndian: boolean
  private buffer: Buffer
  private used = 0

  constructor(options: { littleEndian?: boolean; capacity?: number } = {}) {
    this.littleEndian = options.littleEndian ?? false
    // What is handed out was written over: nobody sees what was there before.
    this.buffer = Buffer.allocUnsafe(options.capacity ?? 256)
  }

  get length(): number {
    return this.used
  }

  private reserve(length: number): number {
    const at = this.used
    if (at + length > this.buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, at + length))
      this.buffer.copy(grown, 0, 0, at)
      this.buffer = grown
    }
    this.used = at + length
    return at
  }

  u8(value: number): this {
    const at = this.reserve(1)
    this.buffer.writeUInt8(value, at)
    return this
  }

  u16(value: number): this {
    const at = this.reserve(2)
    if (this.littleEndian) this.buffer.writeUInt16LE(value, at)
    else this.buffer.writeUInt16BE(value, at)
    return this
  }

  /** Negative numbers are written as two's complement. */
  u32(value: number): this {
    const at = this.reserve(4)
    if (this.littleEndian) this.buffer.writeUInt32LE(value >>> 0, at)
    else this.buffer.writeUInt32BE(value >>> 0, at)
    return this
  }

  u64(value: bigint): this {
    const at = this.reserve(8)
    const bits = BigInt.asUintN(64, value)
    if (this.littleEndian) this.buffer.writeBigUInt64LE(bits, at)
    else this.buffer.writeBigUInt64BE(bits, at)
    return this
  }

  raw(bytes: Uint8Array): this {
    const at = this.reserve(bytes.length)
    this.buffer.set(bytes, at)
    return this
  }

  /** One byte a character. */
  latin1(text: string): this {
    const at = this.reserve(text.length)
    this.buffer.write(text, at, 'latin1')
    return this
  }

  /** Zeroes until the length is a multiple of `alignment`. */
  align(alignment: number): this {
    const at = this.reserve((alignment - (this.used % alignment)) % alignment)
    this.buffer.fill(0, at, this.used)
    return this
  }

  /** Writes over what is already there, for lengths known late. */
  patchU8(at: number, value: number): void {
    this.buffer.writeUInt8(value, at)
  }

  patchU16(at: number, value: number): void {
    if (this.littleEndian) this.buffer.writeUInt16LE(value, at)
    else this.buffer.writeUInt16BE(value, at)
  }

  patchU32(at: number, value: number): void {
    if (this.littleEndian) this.buffer.writeUInt32LE(value >>> 0, at)
    else this.buffer.writeUInt32BE(value >>> 0, at)
  }

  /** What was written: a view that later writes may outgrow. */
  done(): Buffer {
    return this.buffer.subarray(0, this.used)
  }
}
