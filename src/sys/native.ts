// Kernel sockets, locks, event descriptors and bpf(2) over the one door to libc. Synchronous: errno and namespaces belong to a thread.
import { ERRNO, SysError } from '../lib/index.js'
import { checked, rawSyscall } from './libc/libc.js'

/** System call numbers: x86-64, arm64. */
const NUMBERS = {
  sendto: [44, 206],
  recvfrom: [45, 207],
  socket: [41, 198],
  bind: [49, 200],
  setsockopt: [54, 208],
  flock: [73, 32],
  eventfd2: [290, 19],
  setns: [308, 268],
  bpf: [321, 280],
} as const

const nr = (name: keyof typeof NUMBERS): number => NUMBERS[name][process.arch === 'arm64' ? 1 : 0]

const SOCK_CLOEXEC = 0o2000000

export const socket = (domain: number, type: number, protocol: number): number =>
  checked('socket', '', nr('socket'), domain, type | SOCK_CLOEXEC, protocol)

export const bind = (fd: number, address: Buffer, subject: string): void => {
  checked('bind', subject, nr('bind'), fd, address, address.length)
}

export function setSocketOption(fd: number, level: number, name: number, value: number): void {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  checked('setsockopt', String(name), nr('setsockopt'), fd, level, name, bytes, 4)
}

export const send = (fd: number, bytes: Buffer): number => checked('sendto', '', nr('sendto'), fd, bytes, bytes.length, 0, 0, 0)

/** Bytes received, or undefined when nothing is there (with MSG_DONTWAIT) or a signal came. */
export function receive(fd: number, into: Buffer, flags = 0): number | undefined {
  const got = rawSyscall(nr('recvfrom'), fd, into, into.length, flags, 0, 0)
  if (got >= 0) return got
  if (got === -ERRNO.EAGAIN || got === -ERRNO.EINTR) return undefined
  throw new SysError('recvfrom', -got)
}

export const setNamespace = (fd: number, type: number, subject: string): void => {
  checked('setns', subject, nr('setns'), fd, type)
}

/** A counter that the kernel adds to: non-blocking and closed on exec. */
export const eventFd = (): number => checked('eventfd2', '', nr('eventfd2'), 0, 0o2004000)

/** An exclusive lock without waiting; false when somebody else holds it. Ends with the descriptor, also at kill -9. */
export function tryLock(fd: number, subject: string): boolean {
  const LOCK_EX_NB = 2 | 4
  const result = rawSyscall(nr('flock'), fd, LOCK_EX_NB)
  if (result === -ERRNO.EAGAIN) return false
  if (result < 0) throw new SysError('flock', -result, subject)
  return true
}

/** bpf(2): a descriptor or 0. */
export const bpf = (command: number, attributes: Buffer, subject: string): number =>
  checked('bpf', subject, nr('bpf'), command, attributes, attributes.length)
