// Folders of layers as trees: cloning one, laying one over another without overlayfs, and counting.
import {
  chmodSync,
  constants,
  copyFileSync,
  type Dirent,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  type Stats,
  symlinkSync,
  utimesSync,
} from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { hasErrno } from '../lib/index.js'
import { getXattr, listXattrs, makeNode, S_IFBLK, S_IFCHR, S_IFIFO, setXattr } from '../sys/index.js'
import { removeTree } from './layer-paths.js'
import type { Usage } from './types.js'

export const OPAQUE_XATTR = 'trusted.overlay.opaque'

/** Overlayfs's mark of something deleted. */
export const isWhiteout = (stat: Stats): boolean => stat.isCharacterDevice() && stat.rdev === 0

export const isOpaque = (folder: string | Buffer): boolean => getXattr(folder, OPAQUE_XATTR)?.toString() === 'y'

/** Paths as Buffers, because names in images need not be UTF-8. */
export const below = (folder: Buffer, name: Buffer): Buffer => Buffer.concat([folder, Buffer.from('/'), name])

const entriesOf = (folder: Buffer): Dirent<Buffer>[] =>
  readdirSync(folder, { withFileTypes: true, encoding: 'buffer' }) as unknown as Dirent<Buffer>[]

/** Owner, mode, attributes and time from one place to another of the same kind. */
export function copyAttributes(from: Buffer, to: Buffer, stat: Stats, options: { readonly dropOpaque?: boolean } = {}): void {
  lchownSync(to, stat.uid, stat.gid)
  if (!stat.isSymbolicLink()) chmodSync(to, stat.mode & 0o7777)
  for (const name of listXattrs(from)) {
    if (options.dropOpaque && name === OPAQUE_XATTR) continue
    const value = getXattr(from, name)
    if (value === undefined) continue
    try {
      setXattr(to, name, value)
    } catch (error) {
      if (!hasErrno(error, 'EOPNOTSUPP')) throw error
    }
  }
  if (stat.isSymbolicLink()) lutimesSync(to, stat.atime, stat.mtime)
  else utimesSync(to, stat.atime, stat.mtime)
}

export interface TreeOptions {
  /** `link`: files are hard links, for trees that nobody writes to. `copy`: files of their own. */
  readonly files: 'link' | 'copy'
  /** `keep` overlayfs's marks as they are, or `apply` them to what is already in the target. */
  readonly marks: 'keep' | 'apply'
}

function placeFile(from: Buffer, to: Buffer, stat: Stats, files: TreeOptions['files'], seen: Map<string, Buffer>): void {
  if (files === 'link' && (stat.isFile() || stat.isSymbolicLink())) {
    try {
      linkSync(from, to)
      return
    } catch (error) {
      if (!hasErrno(error, 'EMLINK', 'EPERM', 'EXDEV')) throw error
    }
  }
  const key = stat.nlink > 1 ? `${stat.dev}:${stat.ino}` : undefined
  const twin = key === undefined ? undefined : seen.get(key)
  if (twin) {
    linkSync(twin, to)
    return
  }
  if (stat.isFile()) copyFileSync(from, to, constants.COPYFILE_FICLONE)
  else if (stat.isSymbolicLink()) symlinkSync(readlinkSync(from, 'buffer'), to)
  else {
    const kind = stat.isFIFO() ? S_IFIFO : stat.isBlockDevice() ? S_IFBLK : S_IFCHR
    const major = Number((BigInt(stat.rdev) >> 8n) & 0xfffn)
    const minor = Number((BigInt(stat.rdev) & 0xffn) | ((BigInt(stat.rdev) >> 12n) & 0xfff00n))
    makeNode(to, { mode: kind | (stat.mode & 0o7777), major, minor })
  }
  copyAttributes(from, to, stat)
  if (key !== undefined) seen.set(key, to)
}

/** Lays the tree `from` over what is in `to`, which exists. */
export function layOver(from: Buffer, to: Buffer, options: TreeOptions, seen = new Map<string, Buffer>()): void {
  const apply = options.marks === 'apply'
  const stat = lstatSync(from)
  if (apply && isOpaque(from)) for (const entry of entriesOf(to)) removeTree(below(to, entry.name))
  for (const entry of entriesOf(from)) {
    const source = below(from, entry.name)
    const target = below(to, entry.name)
    const info = lstatSync(source)
    const there = lstatSync(target, { throwIfNoEntry: false })
    if (apply && isWhiteout(info)) {
      removeTree(target)
    } else if (info.isDirectory()) {
      if (there && !there.isDirectory()) removeTree(target)
      if (!there?.isDirectory()) mkdirSync(target, { mode: 0o700 })
      layOver(source, target, options, seen)
    } else {
      if (there) removeTree(target)
      placeFile(source, target, info, options.files, seen)
    }
  }
  copyAttributes(from, to, stat, { dropOpaque: apply })
}

/** Copies what is in a folder, its own owner and mode too. */
export const copyTree = (from: string, to: string): void => layOver(Buffer.from(from), Buffer.from(to), { files: 'copy', marks: 'keep' })

/** How many files one turn of the event loop may go to. */
const A_TURN = 200

/** Calls back for each entry below `folder`, a folder after what is in it; others get their turn between them. */
async function walkInTurns(folder: Buffer, visit: (path: Buffer, isFolder: boolean) => void): Promise<void> {
  let left = A_TURN
  const walk = async (at: Buffer): Promise<void> => {
    for (const entry of entriesThere(at)) {
      const path = below(at, entry.name)
      if (entry.isDirectory()) await walk(path)
      visit(path, entry.isDirectory())
      if (--left > 0) continue
      left = A_TURN
      await setImmediate()
    }
  }
  await walk(folder)
}

/** What is in a folder that may have gone meanwhile. */
function entriesThere(folder: Buffer): Dirent<Buffer>[] {
  try {
    return entriesOf(folder)
  } catch (error) {
    if (!hasErrno(error, 'ENOENT', 'ENOTDIR')) throw error
    return []
  }
}

/** Removes a folder that nobody uses any more, however much is in it, without keeping everybody else waiting. */
export async function removeInTurns(folder: string): Promise<void> {
  await walkInTurns(Buffer.from(folder), removeTree)
  removeTree(folder)
}

/** Bytes on disk and inodes below `folder`, each inode once, the folder itself not counted. */
export async function treeUsage(folder: Buffer): Promise<Usage> {
  const seen = new Set<number>()
  let bytes = 0
  let inodes = 0
  await walkInTurns(folder, (path, isFolder) => {
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (!stat || seen.has(stat.ino)) return
    if (stat.nlink > 1 && !isFolder) seen.add(stat.ino)
    bytes += stat.blocks * 512
    inodes++
  })
  return { bytes, inodes }
}
