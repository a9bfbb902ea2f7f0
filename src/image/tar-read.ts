// Reads a tar stream synchronously: tar-stream's parser with its gaps closed (README, "tar-stream").
import tar from 'tar-stream'

export type TarType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo'

/** One entry. Names are bytes in latin1, because tar does not say their encoding; `Buffer.from(path, 'latin1')` is the name on disk. */
export interface TarEntry {
  readonly type: TarType
  readonly path: string
  readonly linkPath: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Seconds since 1970 with fraction. */
  readonly mtime: number
  /** Length of the file on disk; with `sparse`, more than what follows as data. */
  readonly size: number
  readonly major: number
  readonly minor: number
  readonly xattrs: ReadonlyMap<string, Buffer>
  /** Where the data belongs: pairs of offset and length, ascending. */
  readonly sparse?: readonly (readonly [offset: number, length: number])[]
  /** Where the entry's data begins in the tar stream. */
  readonly dataOffset: number
}

/** Receives `entry`, then for files any number of `data` and one `end`. May throw to stop. */
export interface TarSink {
  entry(entry: TarEntry): void
  data(chunk: Buffer): void
  end(): void
}

export interface TarReader {
  push(chunk: Buffer): void
  /** No more comes; throws when the archive is cut off. */
  end(): void
}

interface Header {
  name: string
  linkname: string | null
  type: string | null
  size: number
  mode: number
  uid: number
  gid: number
  mtime: Date
  devmajor: number
  devminor: number
  byteOffset: number
  pax: Pax | null
}

type Pax = Record<string, string>

/** The parts of tar-stream 3.2.2's Extract that we hold; the version is pinned, and tar-read.test.ts fails when they move. */
interface ExtractInternals {
  _buffer: { shift(size: number): Buffer; shiftFirst(size: number): Buffer | null; buffered: number; shifted: number }
  _header: Header
  _stream: unknown
  readonly _longHeader: boolean
  _missing: number
  _locked: boolean
  _pax: Pax | null
  _paxGlobal: Pax | null
  _consumeHeader(): boolean
  _consumeStream(): boolean
  _createStream(): unknown
  _decodeLongHeader(bytes: Buffer): void
  _write(chunk: Buffer, done: (error: Error | null) => void): void
  on(event: 'entry', listener: (header: Header) => void): unknown
}

const BLOCK = 512
const GNU_SPARSE = 0x53 // 'S'

const types: Readonly<Record<string, TarType>> = {
  file: 'file',
  'contiguous-file': 'file',
  directory: 'directory',
  symlink: 'symlink',
  link: 'hardlink',
  'character-device': 'char',
  'block-device': 'block',
  fifo: 'fifo',
}

/** Records of a pax header, values as latin1 so that no byte is lost. Repeated sparse records are collected with commas. */
export function parsePax(bytes: Buffer): Pax {
  const pax: Pax = Object.create(null) as Pax
  for (let at = 0; at < bytes.length; ) {
    if (bytes[at] === 0) break // padding that some writers count in
    const space = bytes.indexOf(0x20, at)
    const length = space < 0 ? Number.NaN : Number(bytes.toString('latin1', at, space))
    const record = Number.isSafeInteger(length) && length > 0 ? bytes.subarray(space + 1, at + length) : undefined
    const equals = record?.indexOf(0x3d) ?? -1
    if (!record || equals < 1 || at + length > bytes.length || record[record.length - 1] !== 0x0a) throw new Error('malformed pax header')
    const key = record.toString('latin1', 0, equals)
    const value = record.toString('latin1', equals + 1, record.length - 1)
    const collected = key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes'
    pax[key] = collected && pax[key] !== undefined ? `${pax[key]},${value}` : value
    at += length
  }
  return pax
}

/** A number field of a header block: octal text or GNU's base-256. */
function readNumber(block: Buffer, at: number, length: number): number {
  if ((block[at] ?? 0) & 0x80) {
    let value = (block[at] ?? 0) & 0x7f
    for (let i = at + 1; i < at + length; i++) value = value * 256 + (block[i] ?? 0)
    return value
  }
  const text = block
    .toString('latin1', at, at + length)
    .replace(/\0.*$/s, '')
    .trim()
  return text === '' ? 0 : /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN
}

function sparsePairs(block: Buffer, at: number, count: number): [number, number][] {
  const pairs: [number, number][] = []
  for (let i = 0; i < count && block[at + i * 24] !== 0; i++)
    pairs.push([readNumber(block, at + i * 24, 12), readNumber(block, at + i * 24 + 12, 12)])
  return pairs
}

const pairUp = (numbers: readonly number[]): [number, number][] =>
  Array.from({ length: numbers.length >> 1 }, (_, i) => [numbers[2 * i] ?? Number.NaN, numbers[2 * i + 1] ?? Number.NaN])

/** Sparse maps must ascend, stay inside the file and describe exactly the data that follows. */
function checkSparse(pairs: readonly (readonly [number, number])[], size: number, stored: number): void {
  let end = 0
  let data = 0
  for (const [offset, length] of pairs) {
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || length < 0 || offset < end || offset + length > size)
      throw new Error('malformed sparse map')
    end = offset + length
    data += length
  }
  if (data !== stored) throw new Error('malformed sparse map')
}

const checkId = (value: number, what: string): number => {
  if (Number.isInteger(value) && value >= 0 && value <= 0xffffffff) return value
  throw new Error(`malformed tar header: ${what} is out of range`)
}

function xattrsOf(pax: Pax): ReadonlyMap<string, Buffer> {
  const xattrs = new Map<string, Buffer>()
  for (const [key, value] of Object.entries(pax)) {
    if (key.startsWith('SCHILY.xattr.')) xattrs.set(key.slice('SCHILY.xattr.'.length), Buffer.from(value, 'latin1'))
    else if (key.startsWith('LIBARCHIVE.xattr.')) {
      const name = decodeURIComponent(key.slice('LIBARCHIVE.xattr.'.length))
      if (!xattrs.has(name)) xattrs.set(name, Buffer.from(value, 'base64'))
    }
  }
  return xattrs
}

const noXattrs: ReadonlyMap<string, Buffer> = new Map()

function toEntry(header: Header, type: TarType): TarEntry {
  const pax = header.pax
  const numberOf = (key: string, otherwise: number): number => (pax?.[key] === undefined ? otherwise : Number(pax[key]))
  const mtime = numberOf('mtime', header.mtime.getTime() / 1000)
  return {
    type,
    path: pax?.['GNU.sparse.name'] ?? header.name,
    linkPath: header.linkname ?? '',
    mode: header.mode & 0o7777,
    uid: checkId(numberOf('uid', header.uid), 'uid'),
    gid: checkId(numberOf('gid', header.gid), 'gid'),
    mtime: Number.isFinite(mtime) ? mtime : 0,
    size: type === 'file' ? header.size : 0,
    major: type === 'char' || type === 'block' ? checkId(header.devmajor, 'major') : 0,
    minor: type === 'char' || type === 'block' ? checkId(header.devminor, 'minor') : 0,
    xattrs: pax ? xattrsOf(pax) : noXattrs,
    dataOffset: header.byteOffset,
  }
}

/** Sparse files of the pax kinds 0.0 and 0.1, whose map stands in the header. */
function paxSparse(entry: TarEntry, pax: Pax): TarEntry {
  const flat = pax['GNU.sparse.map']?.split(',').map(Number)
  const offsets = pax['GNU.sparse.offset']?.split(',').map(Number)
  const lengths = pax['GNU.sparse.numbytes']?.split(',').map(Number)
  if (!flat && !offsets) return entry
  const size = Number(pax['GNU.sparse.realsize'] ?? pax['GNU.sparse.size'])
  if (!Number.isSafeInteger(size) || size < 0) throw new Error('malformed sparse map')
  const sparse = flat ? pairUp(flat) : (offsets ?? []).map((offset, i): [number, number] => [offset, lengths?.[i] ?? Number.NaN])
  checkSparse(sparse, size, entry.size)
  return { ...entry, size, sparse }
}

/** Gathers the map of a pax 1.0 sparse file from the beginning of its data; undefined while more is needed. */
function sparseHead(bytes: Buffer): { readonly pairs: [number, number][]; readonly length: number } | undefined {
  let at = 0
  const next = (): number | undefined => {
    const end = bytes.indexOf(0x0a, at)
    if (end < 0) return undefined
    const text = bytes.toString('latin1', at, end)
    if (!/^[0-9]{1,16}$/.test(text)) throw new Error('malformed sparse map')
    at = end + 1
    return Number(text)
  }
  const count = next()
  if (count === undefined) return undefined
  if (count > 1_000_000) throw new Error('malformed sparse map')
  const numbers: number[] = []
  for (let i = 0; i < 2 * count; i++) {
    const number = next()
    if (number === undefined) return undefined
    numbers.push(number)
  }
  const length = Math.ceil(at / BLOCK) * BLOCK
  return bytes.length < length ? undefined : { pairs: pairUp(numbers), length }
}

const MAX_SPARSE_HEAD = 16 * 1024 * 1024

/** A parser that calls `sink` while bytes are pushed. Its errors, and those of `sink`, come out of `push` and `end`. */
export function tarReader(sink: TarSink): TarReader {
  const extract = tar.extract({ filenameEncoding: 'latin1', allowUnknownFormat: true } as never) as unknown as ExtractInternals
  let block: Buffer = Buffer.alloc(0)
  /** An old GNU sparse header whose map goes on in the following blocks. */
  let open: { readonly block: Buffer; readonly pairs: [number, number][] } | undefined
  let pairs: [number, number][] = []
  /** Data of a pax 1.0 sparse file, until its map is whole. */
  let head: { readonly entry: TarEntry; readonly pax: Pax; bytes: Buffer } | undefined
  let skipping = false

  // The header block goes through our hands: type `S` and its map are unknown to tar-stream.
  const shift = extract._buffer.shift.bind(extract._buffer)
  let lent: Buffer | undefined
  extract._buffer.shift = (size) => {
    const held = lent
    lent = undefined
    return held ?? shift(size)
  }
  const consumeHeader = extract._consumeHeader.bind(extract)
  extract._consumeHeader = () => {
    if (extract._locked) return false
    const next = shift(BLOCK)
    if (open) {
      open.pairs.push(...sparsePairs(next, 0, 21))
      if (next[504] === 1) return true
      block = open.block
      pairs = open.pairs
      open = undefined
    } else {
      block = next
      if (block[156] === GNU_SPARSE) {
        pairs = sparsePairs(block, 386, 4)
        if (block[482] === 1) {
          open = { block, pairs }
          return true
        }
      }
    }
    lent = block
    return consumeHeader()
  }

  // tar-stream reads pax values as UTF-8, which breaks xattrs such as security.capability.
  const decodeLongHeader = extract._decodeLongHeader.bind(extract)
  extract._decodeLongHeader = (bytes) => {
    if (extract._header.type === 'pax-global-header') extract._paxGlobal = parsePax(bytes)
    else if (extract._header.type === 'pax-header')
      extract._pax = Object.assign(Object.create(null), extract._paxGlobal, parsePax(bytes)) as Pax
    else decodeLongHeader(bytes)
  }

  // No stream object per entry: data goes straight to the sink.
  extract._createStream = () => ({ destroy() {} })
  const deliver = (bytes: Buffer): void => {
    if (skipping) return
    if (!head) {
      sink.data(bytes)
      return
    }
    head.bytes = Buffer.concat([head.bytes, bytes])
    const map = sparseHead(head.bytes)
    if (!map) {
      if (head.bytes.length > MAX_SPARSE_HEAD) throw new Error('malformed sparse map')
      return
    }
    const size = Number(head.pax['GNU.sparse.realsize'])
    if (!Number.isSafeInteger(size)) throw new Error('malformed sparse map')
    checkSparse(map.pairs, size, head.entry.size - map.length)
    const rest = head.bytes.subarray(map.length)
    const entry = { ...head.entry, size, sparse: map.pairs }
    head = undefined
    sink.entry(entry)
    if (rest.length > 0) sink.data(rest)
  }
  const finish = (): void => {
    if (head) throw new Error('malformed sparse map')
    if (!skipping) sink.end()
    extract._stream = null
    extract._missing = (BLOCK - (extract._header.size % BLOCK)) % BLOCK
    extract._locked = false
  }
  extract._consumeStream = () => {
    const bytes = extract._buffer.shiftFirst(extract._missing)
    if (bytes === null) return false
    extract._missing -= bytes.length
    deliver(bytes)
    if (extract._missing === 0) finish()
    return true
  }
  extract.on('entry', (header) => {
    const isSparse = block[156] === GNU_SPARSE
    const type = isSparse ? 'file' : types[header.type ?? '']
    // What follows a hard link or a device is skipped; only files have data that matters.
    skipping = type !== 'file'
    const pax = header.pax
    if (type) {
      let entry = toEntry(header, type)
      if (isSparse) {
        const size = readNumber(block, 483, 12)
        checkSparse(pairs, size, header.size)
        entry = { ...entry, size, sparse: pairs }
      } else if (type === 'file' && pax?.['GNU.sparse.major'] === '1') head = { entry, pax, bytes: Buffer.alloc(0) }
      else if (type === 'file' && pax) entry = paxSparse(entry, pax)
      if (!head) sink.entry(entry)
      if (type === 'file' && header.size === 0) finish()
    }
    if (header.size === 0 || header.type === 'directory') extract._locked = false
  })

  const run = (act: (done: (error: Error | null) => void) => void): void => {
    let failed: Error | null = null
    act((error) => {
      failed ??= error
    })
    if (failed) throw failed
  }
  return {
    push: (chunk) => run((done) => extract._write(chunk, done)),
    end: () => {
      // Some builders leave out the padding after the last entry and the blocks that end a tar; what is left of a header or of data is a break.
      const between = !extract._longHeader && extract._stream === null && extract._buffer.buffered === 0
      if (open || !between) throw new Error('unexpected end of the tar')
    },
  }
}
