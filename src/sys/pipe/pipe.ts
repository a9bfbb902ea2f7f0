// Pipes and FIFOs: making them, and moving bytes between them and files within the kernel.
import { ERRNO, SysError } from '../../lib/index.js'
import { AT_FDCWD, O_CLOEXEC, O_NONBLOCK } from '../libc/constants.js'
import { checked, rawSyscall } from '../libc/libc.js'
import { sysNumber } from '../libc/syscalls.js'

const SPLICE_F_MOVE = 1
const SPLICE_F_NONBLOCK = 2
const S_IFIFO = 0o010000

export interface Pipe {
  readonly read: number
  readonly write: number
}

/** pipe2(2): both ends closed on exec; with `nonBlocking` neither of them waits. */
export function pipe(options: { readonly nonBlocking?: boolean } = {}): Pipe {
  const ends = Buffer.alloc(8)
  checked('pipe2', '', sysNumber('pipe2'), ends, O_CLOEXEC | (options.nonBlocking ? O_NONBLOCK : 0))
  return { read: ends.readInt32LE(0), write: ends.readInt32LE(4) }
}

/** mkfifo(3). One that is there already is fine. */
export function makeFifo(path: string, mode = 0o600): void {
  const result = rawSyscall(sysNumber('mknodat'), AT_FDCWD, path, S_IFIFO | mode, 0)
  if (result < 0 && result !== -ERRNO.EEXIST) throw new SysError('mkfifo', -result, path)
}

/**
 * splice(2) from a pipe to a file at `offset`, without waiting: bytes moved, 0 when there are none now. To a fatal signal the
 * call is whole: bytes are in the pipe or in the file.
 */
export function spliceToFile(from: number, file: number, offset: number, length: number): number {
  const at = Buffer.alloc(8)
  at.writeBigInt64LE(BigInt(offset))
  const moved = rawSyscall(sysNumber('splice'), from, 0, file, at, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
  if (moved >= 0) return moved
  if (moved === -ERRNO.EAGAIN || moved === -ERRNO.EINTR) return 0
  throw new SysError('splice', -moved)
}
