// Writes tar: headers in the pax format, so that no name, id, attribute or time is lost.
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs'
import { getXattr, listXattrs } from '../sys/index.js'
import { isOpaque, isWhiteout } from './tree.js'

const BLOCK = 512

export type TarKind = '0' | '1' | '2' | '3' | '4' | '5' | '6'

export interface TarHeader {
  /** Names are bytes in latin1, as the reader gives them. */
  readonly path: string
  readonly kind: TarKind
  readonly mode: number
  readonly uid?: number
  readonly gid?: number
  readonly size?: number
  readonly mtime?: number
  readonly linkPath?: string
  readonly major?: number
  readonly minor?: number
  readonly xattrs?: ReadonlyMap<string, Buffer>
}

const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0')

function block(header: TarHeader, kind: string, size: number, path: string): Buffer {
  const bytes = Buffer.alloc(BLOCK)
  const clip = (value: number, digits: number): number => (value >= 0 && value < 8 ** digits ? Math.floor(value) : 0)
  bytes.write(path.slice(0, 100), 0, 'latin1')
  bytes.write(octal(header.mode & 0o7777, 7), 100)
  bytes.write(octal(clip(header.uid ?? 0, 7), 7), 108)
  bytes.write(octal(clip(header.gid ?? 0, 7), 7), 116)
  bytes.write(octal(clip(size, 11), 11), 124)
  bytes.write(octal(clip(header.mtime ?? 0, 11), 11), 136)
  bytes.write('        ', 148)
  bytes.write(kind, 156)
  bytes.write((header.linkPath ?? '').slice(0, 100), 157, 'latin1')
  bytes.write('ustar\u000000', 257, 'latin1')
  bytes.write(octal(clip(header.major ?? 0, 7), 7), 329)
  bytes.write(octal(clip(header.minor ?? 0, 7), 7), 337)
  let sum = 0
  for (const byte of bytes) sum += byte
  bytes.write(`${octal(sum, 6)}\0 `, 148, 'latin1')
  return bytes
}

function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), value, Buffer.from('\n')])
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return Buffer.concat([Buffer.from(String(length)), rest])
}

export const padding = (size: number): Buffer => Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK)

export const endOfTar = (): Buffer => Buffer.alloc(2 * BLOCK)

/** The header blocks of an entry; `size` bytes of data and their padding follow. */
export function tarHeader(header: TarHeader): Buffer {
  const records: Buffer[] = []
  const latin = (text: string): Buffer => Buffer.from(text, 'latin1')
  const plain = (text: string): boolean => text.length <= 100 && /^[\x20-\x7e]*$/.test(text)
  if (!plain(header.path)) records.push(paxRecord('path', latin(header.path)))
  if (header.linkPath !== undefined && !plain(header.linkPath)) records.push(paxRecord('linkpath', latin(header.linkPath)))
  for (const [key, value, digits] of [
    ['uid', header.uid ?? 0, 7],
    ['gid', header.gid ?? 0, 7],
    ['size', header.size ?? 0, 11],
  ] as const)
    if (value >= 8 ** digits) records.push(paxRecord(key, latin(String(value))))
  const mtime = header.mtime ?? 0
  if (!Number.isInteger(mtime) || mtime < 0) records.push(paxRecord('mtime', latin(mtime.toFixed(6))))
  for (const [name, value] of header.xattrs ?? []) records.push(paxRecord(`SCHILY.xattr.${name}`, value))
  const own = block(header, header.kind, header.size ?? 0, header.path)
  if (records.length === 0) return own
  const body = Buffer.concat(records)
  const pax = block(
    { path: '', kind: '0', mode: 0o644 },
    'x',
    body.length,
    `PaxHeaders/${header.path.split('/').at(-1) ?? ''}`.slice(0, 100),
  )
  return Buffer.concat([pax, body, padding(body.length), own])
}

/** A whole entry in memory: for the small files of archives. */
export const tarFile = (path: string, data: Uint8Array, mtime = 0): Buffer =>
  Buffer.concat([tarHeader({ path, kind: '0', mode: 0o644, size: data.length, mtime }), data, padding(data.length)])

const PIECE = 256 * 1024

/** A folder as the tar of a layer, in a fixed order. `layer`: overlayfs's marks become whiteouts. Sockets are left out. */
export function* packFolder(root: string, options: { readonly layer?: boolean } = {}): Generator<Buffer> {
  const seen = new Map<number, string>()
  const device = lstatSync(root).dev
  const walk = function* (folder: Buffer, inside: string): Generator<Buffer> {
    const names = (readdirSync(folder, { encoding: 'buffer' }) as unknown as Buffer[]).map((name) => name.toString('latin1')).sort()
    if (options.layer && isOpaque(folder)) yield tarHeader({ path: `${inside}.wh..wh..opq`, kind: '0', mode: 0o600 })
    for (const name of names) yield* one(Buffer.concat([folder, Buffer.from(`/${name}`, 'latin1')]), `${inside}${name}`)
  }
  const one = function* (path: Buffer, inside: string): Generator<Buffer> {
    const stat = lstatSync(path)
    if (stat.isSocket()) return
    if (options.layer && isWhiteout(stat)) {
      const slash = inside.lastIndexOf('/') + 1
      yield tarHeader({ path: `${inside.slice(0, slash)}.wh.${inside.slice(slash)}`, kind: '0', mode: 0o600 })
      return
    }
    const xattrs = new Map<string, Buffer>()
    for (const name of listXattrs(path)) {
      const value = name.startsWith('trusted.') || name.startsWith('system.') ? undefined : getXattr(path, name)
      if (value) xattrs.set(name, value)
    }
    const common = { mode: stat.mode, uid: stat.uid, gid: stat.gid, mtime: Math.floor(stat.mtimeMs / 1000), xattrs }
    const twin = stat.nlink > 1 && !stat.isDirectory() ? seen.get(stat.ino) : undefined
    if (twin !== undefined) {
      yield tarHeader({ ...common, path: inside, kind: '1', linkPath: twin, xattrs: new Map() })
      return
    }
    if (stat.nlink > 1 && !stat.isDirectory()) seen.set(stat.ino, inside)
    if (stat.isDirectory()) {
      yield tarHeader({ ...common, path: `${inside}/`, kind: '5' })
      // What is mounted inside (proc, sys) is not part of the root.
      if (stat.dev === device) yield* walk(path, `${inside}/`)
    } else if (stat.isSymbolicLink()) yield tarHeader({ ...common, path: inside, kind: '2', linkPath: readlinkSync(path, 'latin1') })
    else if (stat.isFile()) yield* file(path, inside, common, stat.size)
    else {
      const kind = stat.isFIFO() ? '6' : stat.isBlockDevice() ? '4' : '3'
      const major = Number((BigInt(stat.rdev) >> 8n) & 0xfffn)
      const minor = Number((BigInt(stat.rdev) & 0xffn) | ((BigInt(stat.rdev) >> 12n) & 0xfff00n))
      yield tarHeader({ ...common, path: inside, kind, major, minor })
    }
  }
  const file = function* (path: Buffer, inside: string, common: Omit<TarHeader, 'path' | 'kind'>, size: number): Generator<Buffer> {
    yield tarHeader({ ...common, path: inside, kind: '0', size })
    const fd = openSync(path, 'r')
    try {
      for (let left = size; left > 0; ) {
        const piece = Buffer.allocUnsafeSlow(Math.min(PIECE, left))
        const got = readSync(fd, piece)
        // A file that shrank while it was read: the header has promised the length.
        if (got === 0) piece.fill(0)
        yield got === 0 || got === piece.length ? piece : piece.subarray(0, got)
        left -= got === 0 ? piece.length : got
      }
    } finally {
      closeSync(fd)
    }
    yield padding(size)
  }
  const top = lstatSync(root)
  yield tarHeader({ path: './', kind: '5', mode: top.mode, uid: top.uid, gid: top.gid, mtime: Math.floor(top.mtimeMs / 1000) })
  yield* walk(Buffer.from(root), '')
  yield endOfTar()
}
