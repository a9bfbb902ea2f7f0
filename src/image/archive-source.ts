// Archives as sources of named files: a folder, or a tar whose entries are found once and then read in place.
import { closeSync, createReadStream, createWriteStream, existsSync, openSync, readSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { decompressor } from './decompress.js'
import { compressionOf } from './manifest.js'
import { tarReader } from './tar-read.js'

export interface ArchiveSource {
  has(path: string): boolean
  /** A small file; throws when it is missing or longer than `limit`. */
  read(path: string, limit: number): Buffer
  /** Copies a file out. Returns its size. */
  copy(path: string, to: string, signal?: AbortSignal): Promise<number>
}

const missing = (path: string): never => {
  throw new Error(`the archive has no ${path}`)
}

function slice(file: string, offset: number, size: number): Buffer {
  const bytes = Buffer.alloc(size)
  const fd = openSync(file, 'r')
  try {
    if (readSync(fd, bytes, 0, size, offset) !== size) throw new Error('the archive is cut off')
    return bytes
  } finally {
    closeSync(fd)
  }
}

async function copyRange(from: string, offset: number, size: number, to: string, signal?: AbortSignal): Promise<number> {
  const output = createWriteStream(to, { mode: 0o600 })
  if (size === 0) output.end()
  else
    await pipeline(
      createReadStream(from, { start: offset, end: offset + size - 1, highWaterMark: 1 << 20 }),
      output,
      signal ? { signal } : {},
    )
  return size
}

export function folderSource(folder: string): ArchiveSource {
  // Names come from manifests: they must not lead out.
  const at = (path: string): string => (posix.normalize(`/${path}`) === `/${path}` ? join(folder, path) : missing(path))
  return {
    has: (path) => existsSync(at(path)),
    read(path, limit) {
      const size = statSync(at(path), { throwIfNoEntry: false })?.size ?? missing(path)
      if (size > limit) throw new Error(`${path} in the archive is larger than ${limit} bytes`)
      return slice(at(path), 0, size)
    },
    async copy(path, to, signal) {
      const size = statSync(at(path), { throwIfNoEntry: false })?.size ?? missing(path)
      return copyRange(at(path), 0, size, to, signal)
    },
  }
}

interface Place {
  readonly offset: number
  readonly size: number
}

/** The first bytes of a file, as many as there are. */
export function headOf(file: string, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  const fd = openSync(file, 'r')
  try {
    return bytes.subarray(0, readSync(fd, bytes, 0, length, 0))
  } finally {
    closeSync(fd)
  }
}

/** Unpacks the compression of `file` into `to`. */
export async function inflateFile(
  file: string,
  to: string,
  options: { readonly zstdProgram: boolean; readonly signal?: AbortSignal },
): Promise<void> {
  const input = createReadStream(file, { highWaterMark: 1 << 20 })
  const step = decompressor(compressionOf(headOf(file, 4)), options)
  await pipeline(input, step, createWriteStream(to, { flags: 'wx', mode: 0o600 }), options.signal ? { signal: options.signal } : {})
}

const clean = (path: string): string => posix.normalize(path).replace(/^\/+/, '').replace(/\/$/, '')

/** Where the files of an uncompressed tar lie. Links count as what they point to; a later entry replaces an earlier one. */
export async function tarSource(file: string): Promise<ArchiveSource> {
  const places = new Map<string, Place>()
  const links = new Map<string, string>()
  const reader = tarReader({
    entry(entry) {
      const path = clean(entry.path)
      if (entry.type === 'file' && !entry.sparse) places.set(path, { offset: entry.dataOffset, size: entry.size })
      else if (entry.type === 'hardlink') links.set(path, clean(entry.linkPath))
      else if (entry.type === 'symlink') links.set(path, clean(posix.join(posix.dirname(path), entry.linkPath)))
      if (places.size + links.size > 1_000_000) throw new Error('the archive has too many entries')
    },
    data() {},
    end() {},
  })
  const handle = await open(file, 'r')
  try {
    for (const piece = Buffer.alloc(1 << 20); ; ) {
      const { bytesRead } = await handle.read(piece, 0, piece.length, null)
      if (bytesRead === 0) break
      // The parser keeps what it has not used yet.
      reader.push(Buffer.from(piece.subarray(0, bytesRead)))
    }
    reader.end()
  } finally {
    await handle.close()
  }
  const find = (path: string, depth = 0): Place | undefined => {
    const name = clean(path)
    const next = links.get(name)
    return places.get(name) ?? (next !== undefined && depth < 10 ? find(next, depth + 1) : undefined)
  }
  return {
    has: (path) => find(path) !== undefined,
    read(path, limit) {
      const place = find(path) ?? missing(path)
      if (place.size > limit) throw new Error(`${path} in the archive is larger than ${limit} bytes`)
      return slice(file, place.offset, place.size)
    },
    async copy(path, to, signal) {
      const place = find(path) ?? missing(path)
      return copyRange(file, place.offset, place.size, to, signal)
    },
  }
}
