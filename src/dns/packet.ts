// The wire format of DNS messages (RFC 1035 section 4, RFC 6891): strict when reading, compressing when writing.
import { ByteReader, ByteWriter } from '../lib/index.js'
import { type DnsRecord, type Edns, type Query, type Question, RCODES, type Rcode, type RecordData, type Reply, TYPES } from './types.js'

/** The message cannot be understood; `id` is set when at least that could be read. */
export class PacketError extends Error {
  override readonly name = 'PacketError'
  readonly id: number | undefined
  constructor(message: string, id?: number) {
    super(message)
    this.id = id
  }
}

const MAX_NAME = 255
const HEADER = 12

/** Bytes that stand for themselves in the text of a name. */
const DOT = 0x2e
const isPlain = (byte: number): boolean => byte > 0x20 && byte < 0x7f && byte !== DOT && byte !== 0x5c

/** Where the text of a name is put together: the longest one with every byte escaped, and its dots. */
const nameText = Buffer.alloc(4 * MAX_NAME + 128)

/** Appends a label's bytes as text; returns where the text ends. */
function labelText(bytes: Buffer, from: number, to: number, start: number): number {
  let end = start
  for (let i = from; i < to; i++) {
    const byte = bytes[i] as number
    if (isPlain(byte)) nameText[end++] = byte
    else end += nameText.write(byte === DOT || byte === 0x5c ? `\\${String.fromCharCode(byte)}` : `\\${String(byte).padStart(3, '0')}`, end)
  }
  return end
}

/** The labels of a name as bytes; throws RangeError for one that cannot be written. */
export function labelsOf(name: string): Buffer[] {
  if (name === '' || name === '.') return []
  const labels: Buffer[] = []
  let bytes: number[] = []
  const text = name.endsWith('.') && !name.endsWith('\\.') ? name.slice(0, -1) : name
  if (!text.includes('\\'))
    return checked(
      text.split('.').map((label) => Buffer.from(label, 'latin1')),
      name,
    )
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string
    if (char === '.') {
      labels.push(Buffer.from(bytes))
      bytes = []
    } else if (char === '\\') {
      const digits = /^\d{3}/.exec(text.slice(i + 1))?.[0]
      bytes.push(digits ? Number(digits) : text.charCodeAt(i + 1) & 0xff)
      i += digits ? 3 : 1
    } else bytes.push(text.charCodeAt(i) & 0xff)
  }
  labels.push(Buffer.from(bytes))
  return checked(labels, name)
}

function checked(labels: Buffer[], name: string): Buffer[] {
  let length = 1
  for (const label of labels) {
    if (label.length === 0 || label.length > 63) throw new RangeError(`not a domain name: ${name}`)
    length += label.length + 1
  }
  if (length > MAX_NAME) throw new RangeError(`domain name is too long: ${name}`)
  return labels
}

/** Where the endings of the name at the beginning of the message stand. */
function suffixes(question: string): Map<string, number> {
  const labels = labelsOf(question).map((label) => label.toString('latin1'))
  const found = new Map<string, number>()
  let at = HEADER
  for (const [i, label] of labels.entries()) {
    found.set(labels.slice(i).join('\0'), at)
    at += label.length + 1
  }
  return found
}

/** Follows compression pointers backwards only, so that a loop cannot be. */
function readName(reader: ByteReader): string {
  let text = 0
  let length = 1
  let at = reader.offset
  let lowest = at
  let end: number | undefined
  for (;;) {
    const size = reader.bytes[at]
    if (size === undefined) throw new RangeError('name is cut short')
    if (size === 0) {
      end ??= at + 1
      break
    }
    if ((size & 0xc0) === 0xc0) {
      const low = reader.bytes[at + 1]
      if (low === undefined) throw new RangeError('name is cut short')
      end ??= at + 2
      at = ((size & 0x3f) << 8) | low
      if (at >= lowest || at < HEADER) throw new RangeError('compression pointer does not point backwards')
      lowest = at
      continue
    }
    if (size & 0xc0) throw new RangeError('unknown label type')
    if (at + 1 + size > reader.bytes.length) throw new RangeError('name is cut short')
    length += size + 1
    if (length > MAX_NAME) throw new RangeError('name is too long')
    if (text > 0) nameText[text++] = DOT
    text = labelText(reader.bytes, at + 1, at + 1 + size, text)
    at += size + 1
  }
  reader.offset = end
  return nameText.toString('latin1', 0, text)
}

const ipv6Text = (bytes: Uint8Array): string =>
  new URL(
    `http://[${Array.from({ length: 8 }, (_, i) => (((bytes[i * 2] ?? 0) << 8) | (bytes[i * 2 + 1] ?? 0)).toString(16)).join(':')}]`,
  ).hostname.slice(1, -1)

/** The bytes of an IPv6 address that is known to be one. */
function addressBytes(address: string): Buffer {
  const plain = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [head = '', tail] = plain.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => '0'), ...right]
  return Buffer.from(groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]))
}

function readData(reader: ByteReader, type: number, length: number): RecordData {
  const end = reader.offset + length
  const data = ((): RecordData => {
    switch (type) {
      case TYPES.A:
        if (length !== 4) throw new RangeError('A record is not 4 bytes long')
        return { type: 'A', address: [...reader.take(4)].join('.') }
      case TYPES.AAAA:
        if (length !== 16) throw new RangeError('AAAA record is not 16 bytes long')
        return { type: 'AAAA', address: ipv6Text(reader.take(16)) }
      case TYPES.CNAME:
        return { type: 'CNAME', target: readName(reader) }
      case TYPES.NS:
        return { type: 'NS', target: readName(reader) }
      case TYPES.PTR:
        return { type: 'PTR', target: readName(reader) }
      case TYPES.MX:
        return { type: 'MX', preference: reader.u16(), target: readName(reader) }
      case TYPES.SRV:
        return { type: 'SRV', priority: reader.u16(), weight: reader.u16(), port: reader.u16(), target: readName(reader) }
      case TYPES.TXT: {
        const texts: string[] = []
        while (reader.offset < end) texts.push(reader.take(reader.u8()).toString('latin1'))
        return { type: 'TXT', texts }
      }
      case TYPES.SOA:
        return {
          type: 'SOA',
          primary: readName(reader),
          mailbox: readName(reader),
          serial: reader.u32(),
          refresh: reader.u32(),
          retry: reader.u32(),
          expire: reader.u32(),
          minimum: reader.u32(),
        }
      default:
        return { type: 'raw', number: type, bytes: Buffer.from(reader.take(length)) }
    }
  })()
  if (reader.offset !== end) throw new RangeError('record data has the wrong length')
  return data
}

export interface Message {
  readonly id: number
  readonly isReply: boolean
  readonly opcode: number
  readonly authoritative: boolean
  readonly truncated: boolean
  readonly recursionDesired: boolean
  readonly recursionAvailable: boolean
  readonly checkingDisabled: boolean
  readonly rcode: number
  readonly questions: readonly Question[]
  readonly answers: readonly DnsRecord[]
  readonly authority: readonly DnsRecord[]
  readonly additional: readonly DnsRecord[]
  readonly edns?: Edns
}

/** Reads a message; throws PacketError when it is malformed. */
export function decodeMessage(bytes: Uint8Array): Message {
  const reader = new ByteReader(bytes)
  if (bytes.length < HEADER) throw new PacketError('message is shorter than its header')
  const id = reader.u16()
  try {
    const flags = reader.u16()
    const counts = [reader.u16(), reader.u16(), reader.u16(), reader.u16()] as const
    const questions = Array.from(
      { length: Math.min(counts[0], 16) },
      (): Question => ({ name: readName(reader), type: reader.u16(), class: reader.u16() }),
    )
    let edns: Edns | undefined
    const section = (count: number): DnsRecord[] => {
      const records: DnsRecord[] = []
      for (let i = 0; i < count; i++) {
        const name = readName(reader)
        const type = reader.u16()
        const recordClass = reader.u16()
        const ttl = reader.u32()
        const length = reader.u16()
        if (length > reader.remaining) throw new RangeError('record data is cut short')
        if (type === TYPES.OPT) {
          if (edns || name !== '') throw new RangeError('more than one OPT record')
          edns = { udpSize: recordClass, version: (ttl >> 16) & 0xff, dnssecOk: (ttl & 0x8000) !== 0 }
          reader.skip(length)
        } else records.push({ name, ttl, data: readData(reader, type, length) })
      }
      return records
    }
    const [answers, authority, additional] = [section(counts[1]), section(counts[2]), section(counts[3])]
    const has = (bit: number): boolean => (flags & bit) !== 0
    return {
      id,
      isReply: has(0x8000),
      opcode: (flags >> 11) & 15,
      authoritative: has(0x0400),
      truncated: has(0x0200),
      recursionDesired: has(0x0100),
      recursionAvailable: has(0x0080),
      checkingDisabled: has(0x0010),
      rcode: flags & 15,
      questions,
      answers,
      authority,
      additional,
      ...(edns ? { edns } : {}),
    }
  } catch (error) {
    throw new PacketError(error instanceof Error ? error.message : String(error), id)
  }
}

/** Writes names with pointers to earlier ones; letter case as given. */
class MessageWriter {
  readonly out = new ByteWriter({ capacity: 512 })
  /** The first name, which most records belong to. */
  private question: string | undefined
  /** Where names begin, and what follows each of their dots; made when a name is not the question's. */
  private seen: Map<string, number> | undefined

  name(name: string): void {
    if (this.question === undefined) {
      this.question = name
      this.whole(name)
    } else if (name === this.question && name !== '') this.out.u16(0xc000 | HEADER)
    else {
      this.seen ??= suffixes(this.question)
      this.write(name, this.seen)
    }
  }

  /** Without pointers. */
  private whole(name: string): void {
    const plain = name !== '' && name.length < MAX_NAME - 1 && !name.includes('\\') && !name.endsWith('.')
    if (!plain) {
      for (const label of labelsOf(name)) this.out.u8(label.length).raw(label)
      this.out.u8(0)
      return
    }
    // The text in one piece; then the dots become lengths.
    const start = this.out.length
    this.out.u8(0).latin1(name).u8(0)
    let label = 0
    for (let i = 0; i <= name.length; i++) {
      if (i < name.length && name.charCodeAt(i) !== DOT) continue
      if (i === label || i - label > 63) throw new RangeError(`not a domain name: ${name}`)
      this.out.patchU8(start + label, i - label)
      label = i + 1
    }
  }

  private write(name: string, seen: Map<string, number>): void {
    const labels = labelsOf(name)
    const texts = labels.map((label) => label.toString('latin1'))
    for (const [i, label] of labels.entries()) {
      const rest = texts.slice(i).join('\0')
      const known = seen.get(rest)
      if (known !== undefined) {
        this.out.u16(0xc000 | known)
        return
      }
      if (this.out.length < 0x4000) seen.set(rest, this.out.length)
      this.out.u8(label.length).raw(label)
    }
    this.out.u8(0)
  }

  record({ name, ttl, data }: DnsRecord): void {
    this.name(name)
    this.out
      .u16(data.type === 'raw' ? data.number : TYPES[data.type])
      .u16(1)
      .u32(ttl)
    const lengthAt = this.out.length
    this.out.u16(0)
    this.data(data)
    this.out.patchU16(lengthAt, this.out.length - lengthAt - 2)
  }

  private data(data: RecordData): void {
    switch (data.type) {
      case 'A':
        for (const part of data.address.split('.')) this.out.u8(Number(part))
        return
      case 'AAAA':
        this.out.raw(addressBytes(data.address))
        return
      case 'CNAME':
      case 'NS':
      case 'PTR':
        this.name(data.target)
        return
      case 'MX':
        this.out.u16(data.preference)
        this.name(data.target)
        return
      case 'SRV': {
        // RFC 2782: the target is not compressed.
        this.out.u16(data.priority).u16(data.weight).u16(data.port)
        this.whole(data.target)
        return
      }
      case 'TXT':
        for (const text of data.texts) {
          const bytes = Buffer.from(text, 'latin1').subarray(0, 255)
          this.out.u8(bytes.length).raw(bytes)
        }
        return
      case 'SOA':
        this.name(data.primary)
        this.name(data.mailbox)
        this.out.u32(data.serial).u32(data.refresh).u32(data.retry).u32(data.expire).u32(data.minimum)
        return
      case 'raw':
        this.out.raw(data.bytes)
    }
  }
}

/** What we announce as the size of UDP messages we take. */
const OUR_UDP_SIZE = 1232

function opt(writer: MessageWriter, edns: { readonly dnssecOk: boolean }, extendedRcode: number): void {
  writer.out.u8(0).u16(TYPES.OPT).u16(OUR_UDP_SIZE)
  writer.out.u32(((extendedRcode & 0xff) << 24) | (edns.dnssecOk ? 0x8000 : 0)).u16(0)
}

/** The bytes of an answer; when it is longer than `limit`, records are left out from the end and TC is set, as with `truncate`. */
export function encodeReply(query: Query, reply: Reply, limit = 65_535, truncate = false): Buffer {
  const rcode: number = RCODES[reply.rcode]
  const flags =
    0x8000 |
    (query.opcode << 11) |
    (reply.authoritative ? 0x0400 : 0) |
    (query.recursionDesired ? 0x0100 : 0) |
    0x0080 |
    (query.checkingDisabled ? 0x0010 : 0) |
    (rcode & 15)
  const write = (sections: readonly (readonly DnsRecord[])[], truncated: boolean): Buffer => {
    const writer = new MessageWriter()
    writer.out
      .u16(query.id)
      .u16(flags | (truncated ? 0x0200 : 0))
      .u16(1)
    for (const [i, section] of sections.entries()) writer.out.u16(section.length + (i === 2 && query.edns ? 1 : 0))
    writer.name(query.question.name)
    writer.out.u16(query.question.type).u16(query.question.class)
    for (const section of sections) for (const record of section) writer.record(record)
    if (query.edns) opt(writer, query.edns, rcode >> 4)
    return writer.out.done()
  }
  const { answers = [], authority = [], additional = [] } = reply
  const whole = write([answers, authority, additional], truncate)
  if (whole.length <= limit) return whole
  const withoutExtra = write([answers, authority, []], false)
  if (withoutExtra.length <= limit) return withoutExtra
  // As many answers as fit: resolvers that do not fall back to TCP use what they get.
  let [fits, tooMany] = [0, answers.length]
  while (tooMany - fits > 1) {
    const middle = (fits + tooMany) >> 1
    if (write([answers.slice(0, middle), [], []], true).length <= limit) fits = middle
    else tooMany = middle
  }
  return write([answers.slice(0, fits), [], []], true)
}

/** The bytes of a question to an upstream server. */
export function encodeQuery(query: Query): Buffer {
  const writer = new MessageWriter()
  writer.out
    .u16(query.id)
    .u16((query.recursionDesired ? 0x0100 : 0) | (query.checkingDisabled ? 0x0010 : 0))
    .u16(1)
    .u16(0)
    .u16(0)
    .u16(1)
  writer.name(query.question.name)
  writer.out.u16(query.question.type).u16(query.question.class)
  opt(writer, { dnssecOk: query.edns?.dnssecOk ?? false }, 0)
  return writer.out.done()
}

const rcodeNames = new Map<number, Rcode>(Object.entries(RCODES).map(([name, number]) => [number, name as Rcode]))

/** An upstream's answer as a reply of our own. */
export const replyOf = (message: Message): Reply => ({
  rcode: rcodeNames.get(message.rcode) ?? 'SERVFAIL',
  authoritative: message.authoritative,
  answers: message.answers,
  authority: message.authority,
  additional: message.additional,
})
