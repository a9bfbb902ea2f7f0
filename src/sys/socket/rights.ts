// Descriptors that travel through unix sockets, and out of other processes.
import { hasErrno, SysError } from '../../lib/index.js'
import { O_CLOEXEC } from '../libc/constants.js'
import { addressOf, checked, rawSyscall } from '../libc/libc.js'
import { sysNumber } from '../libc/syscalls.js'

const AF_UNIX = 1
const SOCK_STREAM = 1
const SOL_SOCKET = 1
const SCM_RIGHTS = 1
const MSG_PEEK = 2
const MSG_NOSIGNAL = 0x4000
const MSG_CMSG_CLOEXEC = 0x40000000

/** Two connected sockets, closed at exec. */
export function socketPair(): readonly [number, number] {
  const pair = Buffer.alloc(8)
  checked('socketpair', '', sysNumber('socketpair'), AF_UNIX, SOCK_STREAM | O_CLOEXEC, 0, pair)
  return [pair.readInt32LE(0), pair.readInt32LE(4)]
}

/** A stream socket connected to a path. The path may be as long as a file's: it is reached through its folder's descriptor if need be. */
export function connectUnix(path: string): number {
  const name = Buffer.from(path)
  if (name.length > 107) throw new Error(`socket path is longer than 107 bytes: ${path}`)
  const socketAddress = Buffer.alloc(2 + name.length + 1)
  socketAddress.writeUInt16LE(AF_UNIX, 0)
  name.copy(socketAddress, 2)
  const fd = checked('socket', path, sysNumber('socket'), AF_UNIX, SOCK_STREAM | O_CLOEXEC, 0)
  try {
    checked('connect', path, sysNumber('connect'), fd, socketAddress, socketAddress.length)
    return fd
  } catch (error) {
    rawSyscall(sysNumber('close'), fd)
    throw error
  }
}

interface Message {
  readonly header: Buffer
  readonly data: Buffer
  readonly control: Buffer
  /** Buffers that the header points to. */
  readonly kept: readonly Buffer[]
}

/** struct msghdr for one piece of data and room for control messages. */
function message(data: Buffer, control: Buffer): Message {
  const vector = Buffer.alloc(16)
  vector.writeBigUInt64LE(addressOf(data), 0)
  vector.writeBigUInt64LE(BigInt(data.length), 8)
  const header = Buffer.alloc(56)
  header.writeBigUInt64LE(addressOf(vector), 16)
  header.writeBigUInt64LE(1n, 24)
  header.writeBigUInt64LE(addressOf(control), 32)
  header.writeBigUInt64LE(BigInt(control.length), 40)
  return { header, data, control, kept: [vector] }
}

/** Sends bytes with descriptors. */
export function sendDescriptors(socket: number, data: Buffer, fds: readonly number[]): void {
  const control = Buffer.alloc(16 + Math.ceil((4 * fds.length) / 8) * 8)
  control.writeBigUInt64LE(BigInt(16 + 4 * fds.length), 0)
  control.writeUInt32LE(SOL_SOCKET, 8)
  control.writeUInt32LE(SCM_RIGHTS, 12)
  for (const [i, fd] of fds.entries()) control.writeInt32LE(fd, 16 + 4 * i)
  const { header } = message(data, control)
  checked('sendmsg', 'descriptors', sysNumber('sendmsg'), socket, header, MSG_NOSIGNAL)
}

/** Receives one descriptor. `peek` leaves the message, and the descriptor in it, for the next one who asks. Undefined when the peer closed. */
export function receiveDescriptor(socket: number, options: { readonly peek?: boolean } = {}): number | undefined {
  const { header, control } = message(Buffer.alloc(256), Buffer.alloc(64))
  const flags = MSG_CMSG_CLOEXEC | (options.peek ? MSG_PEEK : 0)
  const length = checked('recvmsg', 'descriptor', sysNumber('recvmsg'), socket, header, flags)
  if (length === 0) return undefined
  if (header.readBigUInt64LE(40) < 20n || control.readUInt32LE(12) !== SCM_RIGHTS) throw new SysError('recvmsg', 71, 'no descriptor came')
  return control.readInt32LE(16)
}

/** A descriptor for a process; undefined when it is gone. */
export function openPidfd(pid: number): number | undefined {
  try {
    return checked('pidfd_open', String(pid), sysNumber('pidfd_open'), pid, 0)
  } catch (error) {
    if (hasErrno(error, 'ESRCH', 'EINVAL')) return undefined
    throw error
  }
}

/** A copy of another process's descriptor. */
export const descriptorOf = (pidfd: number, fd: number): number =>
  checked('pidfd_getfd', String(fd), sysNumber('pidfd_getfd'), pidfd, fd, 0)

/** A terminal's output stays as it is written: no carriage return before each line feed. For those who show it on a terminal of their own. */
export function keepLineFeeds(fd: number): void {
  const ONLCR = 4
  // struct termios of the kernel; the second word holds the flags of output.
  const settings = Buffer.alloc(36)
  checked('ioctl', 'TCGETS', sysNumber('ioctl'), fd, 0x5401, settings)
  settings.writeUInt32LE((settings.readUInt32LE(4) & ~ONLCR) >>> 0, 4)
  checked('ioctl', 'TCSETS', sysNumber('ioctl'), fd, 0x5402, settings)
}

/** Sets a terminal's size. */
export function setWindowSize(fd: number, { width, height }: { readonly width: number; readonly height: number }): void {
  const size = Buffer.alloc(8)
  size.writeUInt16LE(height, 0)
  size.writeUInt16LE(width, 2)
  checked('ioctl', 'TIOCSWINSZ', sysNumber('ioctl'), fd, 0x5414, size)
}
