// `tmpcopyup`: a new tmpfs begins with what it hides. Done from outside while the first process waits, folder by folder through descriptors.
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  type Stats,
  symlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs'
import { asFileSystemUser, makeNode, openBeneath, splitOptions } from '../sys/index.js'
import type { IdMapping, MountSpec, Spec } from './spec.js'
import { RuntimeError } from './types.js'

const wantsCopy = ({ type, options = [] }: MountSpec): boolean => type === 'tmpfs' && splitOptions(options).tmpcopyup

export const hasCopyUp = (spec: Spec): boolean => (spec.mounts ?? []).some(wantsCopy)

/** `rootfs` as the host names it, also within the mount namespace of `pid`, whose root is not changed yet. */
export function copyUp(spec: Spec, rootfs: string, pid: number): void {
  for (const { destination } of (spec.mounts ?? []).filter(wantsCopy)) {
    const from = openBeneath(rootfs, destination, constants.O_RDONLY | constants.O_DIRECTORY)
    if (from === undefined) continue
    const to = openBeneath(`/proc/${pid}/root${rootfs}`, destination, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      if (to === undefined) throw new RuntimeError('Failed', `tmpcopyup ${destination}: the mount is not there`)
      new Copy(spec.linux?.uidMappings, spec.linux?.gidMappings).folder(from, to)
    } catch (error) {
      throw new RuntimeError('Failed', `tmpcopyup ${destination}`, { cause: error })
    } finally {
      closeSync(from)
      if (to !== undefined) closeSync(to)
    }
  }
}

const hostRoot = (mappings: readonly IdMapping[] = []): number => mappings.find(({ containerID }) => containerID === 0)?.hostID ?? 0

class Copy {
  /** Whoever makes a file in the tmpfs of a user namespace must have an id there. */
  private readonly owner: { readonly uid: number; readonly gid: number }
  private readonly chunk = Buffer.alloc(1 << 16)

  constructor(uids: readonly IdMapping[] | undefined, gids: readonly IdMapping[] | undefined) {
    this.owner = { uid: hostRoot(uids), gid: hostRoot(gids) }
  }

  /** Only one name at a time is looked up, and never through a link. */
  folder(from: number, to: number): void {
    for (const name of readdirSync(`/proc/self/fd/${from}`)) this.entry(`/proc/self/fd/${from}/${name}`, `/proc/self/fd/${to}/${name}`)
  }

  private entry(from: string, to: string): void {
    const found = lstatSync(from)
    if (found.isDirectory())
      this.make(
        to,
        found,
        () => mkdirSync(to, 0o700),
        () => this.inside(from, to),
      )
    else if (found.isSymbolicLink()) {
      const target = readlinkSync(from)
      asFileSystemUser(this.owner, () => symlinkSync(target, to))
      lchownSync(to, found.uid, found.gid)
    } else if (found.isFile()) this.file(from, to)
    else if (found.isFIFO()) this.make(to, found, () => makeNode(to, { mode: constants.S_IFIFO | 0o600 }))
  }

  private make(to: string, { uid, gid, mode, atime, mtime }: Stats, create: () => void, fill: () => void = () => {}): void {
    asFileSystemUser(this.owner, create)
    fill()
    lchownSync(to, uid, gid)
    chmodSync(to, mode & 0o7777)
    utimesSync(to, atime, mtime)
  }

  private inside(from: string, to: string): void {
    const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
    const source = openSync(from, flags)
    try {
      const target = openSync(to, flags)
      try {
        this.folder(source, target)
      } finally {
        closeSync(target)
      }
    } finally {
      closeSync(source)
    }
  }

  private file(from: string, to: string): void {
    const source = openSync(from, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      const found = fstatSync(source)
      if (!found.isFile()) return
      let target = -1
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL
      this.make(
        to,
        found,
        () => {
          target = openSync(to, flags, 0o600)
        },
        () => {
          try {
            for (let got = readSync(source, this.chunk); got > 0; got = readSync(source, this.chunk)) writeSync(target, this.chunk, 0, got)
          } finally {
            closeSync(target)
          }
        },
      )
    } finally {
      closeSync(source)
    }
  }
}
