// Writes a layer's entries into a folder in overlayfs form: whiteouts become 0:0 devices, opaque folders an attribute.
// https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs'
import { hasErrno, SysError } from '../lib/index.js'
import { makeNode, S_IFBLK, S_IFCHR, S_IFIFO, setXattr } from '../sys/index.js'
import { componentsOf, diskPath, HostilePath, layerPaths, removeTree, shownPath } from './layer-paths.js'
import type { TarEntry, TarSink } from './tar-read.js'

export interface UnpackLimits {
  /** Bytes that one layer may unpack to. */
  readonly bytes: number
  readonly entries: number
}

export const defaultLimits: UnpackLimits = { bytes: 100 * 2 ** 30, entries: 10_000_000 }

export const tooLarge = ({ bytes }: UnpackLimits): Error => new Error(`it unpacks to more than the allowed ${bytes} bytes`)

/** What can only be settled with the layers below at hand (settle.ts). */
export interface OpenEnds {
  /** Folders made because their entries came without them: the layers below know their owner and mode, or that they are links. */
  readonly implied: readonly string[]
  /** Hard links whose target is not in this layer. */
  readonly links: readonly { readonly path: string; readonly target: string }[]
}

export interface UnpackResult {
  readonly bytes: number
  readonly inodes: number
  readonly open: OpenEnds
  /** The layer says what the root folder itself is like. */
  readonly hasRoot: boolean
}

const WHITEOUT = '.wh.'
const OPAQUE = '.wh..wh..opq'

const text = (path: string): string => Buffer.from(path, 'latin1').toString('utf8')

/** The error of a step, naming the entry and not our own folders. */
function explainStep(entry: TarEntry, error: unknown): Error {
  if (error instanceof HostilePath) return error
  const name = shownPath(entry.path)
  if (error instanceof SysError) return new SysError(error.call, error.errno, name)
  const { syscall, errno } = error as NodeJS.ErrnoException
  return syscall === undefined ? (error as Error) : new SysError(syscall, Math.abs(errno ?? 0), name)
}

/** A sink that writes below `root`, which must exist and be empty. `finish` sets the folders' times and returns the sums. */
export function layerWriter(root: string, limits: UnpackLimits = defaultLimits): TarSink & { finish(): UnpackResult; abandon(): void } {
  const paths = layerPaths(root)
  const folderTimes = new Map<string, number>()
  const links: { path: string; target: string }[] = []
  const me = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, umask: process.umask() }
  let bytes = 0
  let inodes = 0
  let entries = 0
  /** A set-group-id folder hands its group down, so then every file's owner is set. */
  let anySetgid = false
  let file: { readonly fd: number; readonly entry: TarEntry; readonly at: string; written: number; part: number } | undefined

  const onDisk = (relative: string): string | Buffer => diskPath(paths.absolute(relative))

  /** Makes room for a new entry: an earlier one of the same name goes. */
  const clear = (relative: string): void => {
    if (removeTree(onDisk(relative))) {
      paths.forget(relative)
      folderTimes.delete(relative)
    }
  }
  const make = (relative: string, create: () => void): void => {
    try {
      create()
    } catch (error) {
      if (!hasErrno(error, 'EEXIST')) throw error
      clear(relative)
      create()
    }
    inodes++
  }
  const setAttributes = (relative: string, entry: TarEntry): void => {
    for (const [name, value] of entry.xattrs) {
      // What only overlayfs may say about a folder does not come from a registry.
      if (/^(trusted|user)\.overlay\./.test(name)) continue
      try {
        setXattr(onDisk(relative), name, value)
      } catch (error) {
        if (!hasErrno(error, 'EOPNOTSUPP')) throw error
      }
    }
  }
  const own = (relative: string, entry: TarEntry): void => lchownSync(onDisk(relative), entry.uid, entry.gid)

  const whiteout = (relative: string, base: string): void => {
    const slash = relative.lastIndexOf('/')
    const parent = slash < 0 ? '' : relative.slice(0, slash)
    if (base === OPAQUE) {
      setXattr(onDisk(parent), 'trusted.overlay.opaque', Buffer.from('y'))
      return
    }
    if (base.startsWith(`${WHITEOUT}${WHITEOUT}`)) return // aufs's own books
    const hidden = base.slice(WHITEOUT.length)
    if (hidden === '' || hidden === '.' || hidden === '..') throw new HostilePath(`${shownPath(relative)} is a malformed whiteout`)
    const target = parent === '' ? hidden : `${parent}/${hidden}`
    // A whiteout speaks of the layers below only: what this layer itself brings stays.
    if (lstatSync(onDisk(target), { throwIfNoEntry: false })) return
    makeNode(onDisk(target), { mode: S_IFCHR })
    inodes++
  }

  const folder = (relative: string, entry: TarEntry): void => {
    const path = onDisk(relative)
    if (relative !== '' && !(paths.isFolder(relative) && lstatSync(path, { throwIfNoEntry: false })?.isDirectory()))
      make(relative, () => mkdirSync(path, { mode: entry.mode & 0o777 }))
    paths.remember(relative)
    if (entry.mode & 0o2000) anySetgid = true
    own(relative, entry)
    chmodSync(path, entry.mode)
    setAttributes(relative, entry)
    folderTimes.set(relative, entry.mtime)
  }

  const openFile = (relative: string, entry: TarEntry): void => {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
    let fd = -1
    make(relative, () => {
      fd = openSync(onDisk(relative), flags, entry.mode & 0o777)
    })
    file = { fd, entry, at: relative, written: 0, part: 0 }
  }

  const hardLink = (relative: string, entry: TarEntry): void => {
    const target = paths.find(entry.linkPath)
    const stat = target === undefined ? undefined : lstatSync(onDisk(target), { throwIfNoEntry: false })
    if (target === relative) return
    if (!stat || target === undefined) {
      links.push({ path: relative, target: componentsOf(entry.linkPath).join('/') })
      return
    }
    if (stat.isDirectory()) throw new HostilePath(`${shownPath(entry.path)} is a hard link to the folder ${shownPath(entry.linkPath)}`)
    make(relative, () => linkSync(onDisk(target), onDisk(relative)))
    inodes--
  }

  const special = (relative: string, entry: TarEntry): void => {
    const kind = entry.type === 'fifo' ? S_IFIFO : entry.type === 'char' ? S_IFCHR : S_IFBLK
    // 0:0 is how overlayfs says "deleted"; a tar says that with .wh.
    if (entry.type === 'char' && entry.major === 0 && entry.minor === 0) throw new HostilePath(`${shownPath(entry.path)} is a device 0:0`)
    make(relative, () => makeNode(onDisk(relative), { mode: kind | (entry.mode & 0o777), major: entry.major, minor: entry.minor }))
    own(relative, entry)
    chmodSync(onDisk(relative), entry.mode)
    setAttributes(relative, entry)
    utimesSync(onDisk(relative), entry.mtime, entry.mtime)
  }

  const link = (relative: string, entry: TarEntry): void => {
    if (entry.linkPath === '' || entry.linkPath.includes('\0')) throw new HostilePath(`${shownPath(entry.path)} is a link to nowhere`)
    make(relative, () => symlinkSync(diskPath(entry.linkPath), onDisk(relative)))
    own(relative, entry)
    setAttributes(relative, entry)
    lutimesSync(onDisk(relative), entry.mtime, entry.mtime)
  }

  const place = (entry: TarEntry): void => {
    const relative = paths.locate(entry.path)
    const base = relative.slice(relative.lastIndexOf('/') + 1)
    if (base.startsWith(WHITEOUT) && entry.type !== 'directory') whiteout(relative, base)
    else if (entry.type === 'directory') folder(relative, entry)
    else if (relative === '') throw new HostilePath(`${shownPath(entry.path)} would replace the layer's root`)
    else if (entry.type === 'file') openFile(relative, entry)
    else if (entry.type === 'hardlink') hardLink(relative, entry)
    else if (entry.type === 'symlink') link(relative, entry)
    else special(relative, entry)
  }

  const writeAt = (chunk: Buffer, position: number | null): void => {
    for (let done = 0; done < chunk.length; ) {
      done += writeSync(file?.fd ?? -1, chunk, done, chunk.length - done, position === null ? null : position + done)
    }
  }

  /** Data of a sparse file goes to the places that its map names. */
  const writeSparse = (map: NonNullable<TarEntry['sparse']>, chunk: Buffer): void => {
    let rest = chunk
    while (file && rest.length > 0) {
      const [offset, length] = map[file.part] ?? [0, 0]
      const take = Math.min(rest.length, length - file.written)
      if (take > 0) writeAt(rest.subarray(0, take), offset + file.written)
      rest = rest.subarray(take)
      file.written += take
      if (file.written === length) {
        file.part++
        file.written = 0
      }
    }
  }

  const closeFile = (entry: TarEntry, fd: number, relative: string): void => {
    if (entry.sparse) ftruncateSync(fd, entry.size)
    if (anySetgid || entry.uid !== me.uid || entry.gid !== me.gid) fchownSync(fd, entry.uid, entry.gid)
    // After chown, which takes set-id bits away.
    if (entry.mode > 0o777 || entry.mode & me.umask) fchmodSync(fd, entry.mode)
    if (entry.xattrs.size > 0) setAttributes(relative, entry)
    futimesSync(fd, entry.mtime, entry.mtime)
  }

  return {
    entry(entry) {
      if (++entries > limits.entries) throw new Error(`it has more than ${limits.entries} entries`)
      if (!entry.sparse) bytes += entry.size
      else for (const [, length] of entry.sparse) bytes += length
      if (bytes > limits.bytes) throw tooLarge(limits)
      try {
        place(entry)
      } catch (error) {
        throw explainStep(entry, error)
      }
    },
    data(chunk) {
      if (!file) return // the body of a whiteout
      try {
        if (file.entry.sparse) writeSparse(file.entry.sparse, chunk)
        else writeAt(chunk, null)
      } catch (error) {
        throw explainStep(file.entry, error)
      }
    },
    end() {
      if (!file) return
      const { fd, entry, at } = file
      file = undefined
      try {
        closeFile(entry, fd, at)
      } catch (error) {
        throw explainStep(entry, error)
      } finally {
        closeSync(fd)
      }
    },
    finish() {
      // Last, because every file made inside a folder changes the folder's time.
      for (const [relative, mtime] of folderTimes) utimesSync(onDisk(relative), mtime, mtime)
      inodes += paths.implied.size
      const open = {
        implied: [...paths.implied].sort().map(text),
        links: links.map((link) => ({ path: text(link.path), target: text(link.target) })),
      }
      return { bytes, inodes, open, hasRoot: folderTimes.has('') }
    },
    abandon() {
      if (file) closeSync(file.fd)
      file = undefined
    },
  }
}
