// The words of a mount's options as bits: for mount(2), for mount_setattr(2), and what is left for the file system. Pure.

export const MS = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  SYNCHRONOUS: 16,
  REMOUNT: 32,
  MANDLOCK: 64,
  DIRSYNC: 128,
  NOSYMFOLLOW: 256,
  NOATIME: 1024,
  NODIRATIME: 2048,
  BIND: 4096,
  MOVE: 8192,
  REC: 16384,
  SILENT: 32768,
  UNBINDABLE: 1 << 17,
  PRIVATE: 1 << 18,
  SLAVE: 1 << 19,
  SHARED: 1 << 20,
  RELATIME: 1 << 21,
  I_VERSION: 1 << 23,
  STRICTATIME: 1 << 24,
  LAZYTIME: 1 << 25,
} as const

export const MOUNT_ATTR = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  ATIME: 0x70,
  RELATIME: 0,
  NOATIME: 0x10,
  STRICTATIME: 0x20,
  NODIRATIME: 0x80,
  IDMAP: 0x100000,
  NOSYMFOLLOW: 0x200000,
} as const

/** Words that set or clear bits of one mount: `[set, clear]`. */
const flagWords: Readonly<Record<string, readonly [set: number, clear: number]>> = {
  ro: [MS.RDONLY, 0],
  rw: [0, MS.RDONLY],
  nosuid: [MS.NOSUID, 0],
  suid: [0, MS.NOSUID],
  nodev: [MS.NODEV, 0],
  dev: [0, MS.NODEV],
  noexec: [MS.NOEXEC, 0],
  exec: [0, MS.NOEXEC],
  sync: [MS.SYNCHRONOUS, 0],
  async: [0, MS.SYNCHRONOUS],
  dirsync: [MS.DIRSYNC, 0],
  mand: [MS.MANDLOCK, 0],
  nomand: [0, MS.MANDLOCK],
  nosymfollow: [MS.NOSYMFOLLOW, 0],
  symfollow: [0, MS.NOSYMFOLLOW],
  noatime: [MS.NOATIME, 0],
  atime: [0, MS.NOATIME],
  nodiratime: [MS.NODIRATIME, 0],
  diratime: [0, MS.NODIRATIME],
  relatime: [MS.RELATIME, 0],
  norelatime: [0, MS.RELATIME],
  strictatime: [MS.STRICTATIME, 0],
  nostrictatime: [0, MS.STRICTATIME],
  lazytime: [MS.LAZYTIME, 0],
  nolazytime: [0, MS.LAZYTIME],
  iversion: [MS.I_VERSION, 0],
  noiversion: [0, MS.I_VERSION],
  silent: [MS.SILENT, 0],
  loud: [0, MS.SILENT],
  remount: [MS.REMOUNT, 0],
  bind: [MS.BIND, 0],
  rbind: [MS.BIND | MS.REC, 0],
  defaults: [0, 0],
}

const propagationWords: Readonly<Record<string, number>> = {
  shared: MS.SHARED,
  slave: MS.SLAVE,
  private: MS.PRIVATE,
  unbindable: MS.UNBINDABLE,
  rshared: MS.SHARED | MS.REC,
  rslave: MS.SLAVE | MS.REC,
  rprivate: MS.PRIVATE | MS.REC,
  runbindable: MS.UNBINDABLE | MS.REC,
}

/** The OCI words that change a whole tree of mounts with mount_setattr(2): `[set, clear]` of MOUNT_ATTR. */
const recursiveWords: Readonly<Record<string, readonly [set: number, clear: number]>> = {
  rro: [MOUNT_ATTR.RDONLY, 0],
  rrw: [0, MOUNT_ATTR.RDONLY],
  rnosuid: [MOUNT_ATTR.NOSUID, 0],
  rsuid: [0, MOUNT_ATTR.NOSUID],
  rnodev: [MOUNT_ATTR.NODEV, 0],
  rdev: [0, MOUNT_ATTR.NODEV],
  rnoexec: [MOUNT_ATTR.NOEXEC, 0],
  rexec: [0, MOUNT_ATTR.NOEXEC],
  rnodiratime: [MOUNT_ATTR.NODIRATIME, 0],
  rdiratime: [0, MOUNT_ATTR.NODIRATIME],
  rrelatime: [MOUNT_ATTR.RELATIME, MOUNT_ATTR.ATIME],
  // What the kernel does without a word for it, and runc with this one.
  rnorelatime: [MOUNT_ATTR.RELATIME, MOUNT_ATTR.ATIME],
  rnoatime: [MOUNT_ATTR.NOATIME, MOUNT_ATTR.ATIME],
  ratime: [MOUNT_ATTR.RELATIME, MOUNT_ATTR.ATIME],
  rstrictatime: [MOUNT_ATTR.STRICTATIME, MOUNT_ATTR.ATIME],
  rnostrictatime: [MOUNT_ATTR.RELATIME, MOUNT_ATTR.ATIME],
  rnosymfollow: [MOUNT_ATTR.NOSYMFOLLOW, 0],
  rsymfollow: [0, MOUNT_ATTR.NOSYMFOLLOW],
}

export interface SplitOptions {
  /** MS_* bits without propagation. */
  readonly flags: number
  /** Bits that words such as `rw` or `suid` ask to be absent. */
  readonly cleared: number
  /** One MS_* word per propagation option, in order. */
  readonly propagation: readonly number[]
  /** mount_setattr over the whole tree. */
  readonly recursive: { readonly set: number; readonly clear: number }
  /** `idmap` or `ridmap`. */
  readonly idmap?: 'idmap' | 'ridmap'
  readonly tmpcopyup: boolean
  /** What is left: the file system's own words. */
  readonly own: readonly string[]
  /** `own` joined with commas. */
  readonly data: string
}

/** Splits fstab words. Later words win over earlier ones. */
export function splitOptions(options: readonly string[]): SplitOptions {
  let flags = 0
  let cleared = 0
  let set = 0
  let clear = 0
  let idmap: 'idmap' | 'ridmap' | undefined
  let tmpcopyup = false
  const propagation: number[] = []
  const own: string[] = []
  for (const word of options) {
    const flag = flagWords[word]
    const recursive = recursiveWords[word]
    const propagate = propagationWords[word]
    if (flag) {
      flags = (flags & ~flag[1]) | flag[0]
      cleared = (cleared & ~flag[0]) | flag[1]
    } else if (recursive) {
      set = (set & ~recursive[1]) | recursive[0]
      clear = (clear & ~recursive[0]) | recursive[1]
    } else if (propagate !== undefined) propagation.push(propagate)
    else if (word === 'idmap' || word === 'ridmap') idmap = word
    else if (word === 'tmpcopyup') tmpcopyup = true
    else if (word !== '') own.push(word)
  }
  return {
    flags,
    cleared,
    propagation,
    recursive: { set, clear },
    ...(idmap ? { idmap } : {}),
    tmpcopyup,
    own,
    data: own.join(','),
  }
}

/** MS_* bits of one mount as MOUNT_ATTR_* bits. */
export function mountAttributes(flags: number): number {
  let bits = flags & (MS.RDONLY | MS.NOSUID | MS.NODEV | MS.NOEXEC)
  if (flags & MS.NODIRATIME) bits |= MOUNT_ATTR.NODIRATIME
  if (flags & MS.NOSYMFOLLOW) bits |= MOUNT_ATTR.NOSYMFOLLOW
  if (flags & MS.STRICTATIME) bits |= MOUNT_ATTR.STRICTATIME
  else if (flags & MS.NOATIME) bits |= MOUNT_ATTR.NOATIME
  return bits
}

export const mountOptionWords: readonly string[] = [
  ...Object.keys(flagWords),
  ...Object.keys(propagationWords),
  ...Object.keys(recursiveWords),
  'idmap',
  'ridmap',
  'tmpcopyup',
].sort()
