// File system calls that Node does not have: device nodes, extended attributes, advisory locks, syncfs. Synchronous, never logged.
import { ERRNO, SysError } from '../lib/index.js'
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_PATH, RESOLVE_IN_ROOT } from './libc/constants.js'
import { checked, rawSyscall } from './libc/libc.js'
import { sysNumber } from './libc/syscalls.js'

const LOCK_SH = 1
const LOCK_EX = 2
const LOCK_NB = 4
const LOCK_UN = 8

/** A path as the kernel wants it; bytes are taken as they are, because file names need not be UTF-8. */
const cPath = (path: string | Buffer): Buffer =>
  Buffer.isBuffer(path) ? Buffer.concat([path, Buffer.of(0)]) : Buffer.from(`${path}\0`, 'utf8')

export const S_IFREG = 0o100000
export const S_IFIFO = 0o010000
export const S_IFCHR = 0o020000
export const S_IFBLK = 0o060000

export interface NodeOptions {
  /** File type and permissions: `S_IFCHR | 0o600`. */
  readonly mode: number
  readonly major?: number
  readonly minor?: number
}

/** mknod(2): a device node or a FIFO. A character device 0:0 is overlayfs's whiteout. */
export function makeNode(path: string | Buffer, { mode, major = 0, minor = 0 }: NodeOptions): void {
  const device = ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0
  checked('mknod', String(path), sysNumber('mknodat'), AT_FDCWD, cPath(path), mode, device)
}

/** Opens a path as if `root` were /: no link in it leads out (openat2). Undefined when there is no such thing. The caller closes it. */
export function openBeneath(root: string, path: string, flags: number): number | undefined {
  const folder = rawSyscall(sysNumber('openat'), AT_FDCWD, root, O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
  if (folder < 0) return undefined
  const how = Buffer.alloc(24)
  how.writeUInt32LE(flags | O_CLOEXEC, 0)
  how.writeUInt32LE(RESOLVE_IN_ROOT, 16)
  try {
    for (let left = 100; ; left--) {
      const fd = rawSyscall(sysNumber('openat2'), folder, path.replace(/^\/+/, '') || '.', how, how.length)
      if (fd >= 0) return fd
      // EAGAIN: something was renamed meanwhile, and the kernel cannot tell whether the walk stayed inside.
      if (fd === -ERRNO.EAGAIN && left > 0) continue
      if ([ERRNO.ENOENT, ERRNO.ENOTDIR, ERRNO.ELOOP, ERRNO.EACCES].some((errno) => fd === -errno)) return undefined
      throw new SysError('openat2', -fd, path)
    }
  } finally {
    rawSyscall(sysNumber('close'), folder)
  }
}

/** Does synchronous `work` on files as another user: what it makes belongs to that one. Ids of a thread, so only of this one. */
export function asFileSystemUser<T>({ uid, gid }: { readonly uid: number; readonly gid: number }, work: () => T): T {
  if (uid === 0 && gid === 0) return work()
  const groupBefore = rawSyscall(sysNumber('setfsgid'), gid)
  const userBefore = rawSyscall(sysNumber('setfsuid'), uid)
  try {
    return work()
  } finally {
    rawSyscall(sysNumber('setfsuid'), userBefore)
    rawSyscall(sysNumber('setfsgid'), groupBefore)
  }
}

/** lsetxattr(2): does not follow a symbolic link. */
export function setXattr(path: string | Buffer, name: string, value: Uint8Array): void {
  // An empty Buffer has no address.
  const bytes = value.length > 0 ? Buffer.from(value) : Buffer.alloc(1)
  checked(`setxattr ${name}`, String(path), sysNumber('lsetxattr'), cPath(path), name, bytes, value.length, 0)
}

/** lgetxattr(2); undefined when the attribute is not there or the file system has none. */
export function getXattr(path: string | Buffer, name: string): Buffer | undefined {
  for (let size = 256; ; size *= 4) {
    const value = Buffer.alloc(size)
    const length = rawSyscall(sysNumber('lgetxattr'), cPath(path), name, value, size)
    if (length >= 0) return value.subarray(0, length)
    const errno = -length
    if (errno === ERRNO.ENODATA || errno === ERRNO.EOPNOTSUPP) return undefined
    if (errno !== ERRNO.ERANGE) throw new SysError(`getxattr ${name}`, errno, String(path))
  }
}

/** llistxattr(2): names of the attributes that we may see. */
export function listXattrs(path: string | Buffer): readonly string[] {
  for (let size = 256; ; size *= 4) {
    const list = Buffer.alloc(size)
    const length = rawSyscall(sysNumber('llistxattr'), cPath(path), list, size)
    if (length >= 0) return list.toString('latin1', 0, length).split('\0').slice(0, -1)
    const errno = -length
    if (errno === ERRNO.EOPNOTSUPP) return []
    if (errno !== ERRNO.ERANGE) throw new SysError('listxattr', errno, String(path))
  }
}

/** flock(2) without waiting; false when somebody else holds it. It ends with the open file, also at kill -9. */
export function lockFile(fd: number, mode: 'shared' | 'exclusive'): boolean {
  const result = rawSyscall(sysNumber('flock'), fd, (mode === 'shared' ? LOCK_SH : LOCK_EX) | LOCK_NB)
  if (result >= 0) return true
  if (result === -ERRNO.EAGAIN) return false
  throw new SysError('flock', -result)
}

export function unlockFile(fd: number): void {
  checked('flock', '', sysNumber('flock'), fd, LOCK_UN)
}

/** syncfs(2): everything written to the descriptor's file system is on the disk when it returns. */
export function syncFileSystem(fd: number): void {
  checked('syncfs', '', sysNumber('syncfs'), fd)
}
