// The one door to libc: a raw syscall with six arguments, and memory at addresses. Synchronous only: errno, namespaces and capabilities belong to a thread.
import koffi from 'koffi'
import { SysError } from '../../lib/index.js'

const libc = koffi.load(null)
const raw = libc.func('intptr_t syscall(intptr_t number, intptr_t a, intptr_t b, intptr_t c, intptr_t d, intptr_t e, intptr_t f)')
const memcpyTo = libc.func('void *memcpy(uintptr_t to, const void *from, uintptr_t length)')

/** A number, the address of a buffer's first byte, or a string as a NUL-terminated copy that lives as long as the call. */
export type SyscallArgument = number | bigint | Buffer | string

/** The address of a buffer's first byte. The buffer must stay reachable while the address is in use. */
export const addressOf = (bytes: Uint8Array): bigint => BigInt(koffi.address(bytes))

/** One system call by number; the result, or minus errno. */
export function rawSyscall(number: number, ...args: readonly SyscallArgument[]): number {
  const kept: Buffer[] = []
  const words = [0, 0, 0, 0, 0, 0].map((zero, i) => {
    const arg = args[i] ?? zero
    if (typeof arg === 'number' || typeof arg === 'bigint') return arg
    const bytes = typeof arg === 'string' ? Buffer.from(`${arg}\0`) : arg
    kept.push(bytes)
    return addressOf(bytes)
  })
  const result = Number(raw(number, ...words))
  // errno is only meaningful after -1, and only until the next call.
  return result === -1 ? -koffi.errno() : result
}

/** As rawSyscall, but a failure throws SysError with these words. */
export function checked(call: string, subject: string, number: number, ...args: readonly SyscallArgument[]): number {
  const result = rawSyscall(number, ...args)
  if (result < 0) throw new SysError(call, -result, subject)
  return result
}

/** Copies bytes to an address that is ours. */
export function writeMemory(address: bigint, bytes: Uint8Array): void {
  memcpyTo(address, bytes, bytes.length)
}

/** A view of memory that is ours: stays valid as long as it is mapped. */
export const memoryView = (address: bigint, length: number): Buffer => Buffer.from(koffi.view(address, length))

/** A function at an address that takes two pointers and returns a word. */
export function nativeFunction(address: bigint): (first: bigint, second: bigint) => bigint {
  const proto = koffi.proto('int64_t (uintptr_t first, uintptr_t second)')
  return (first, second) => BigInt(koffi.call(address, proto, first, second))
}

/** A descriptor that the event loop watches. */
export interface ReadableWatch {
  stop(): void
  /** Whether the watch alone keeps the process alive; at first it does not. */
  keepAlive(yes: boolean): void
}

interface Poll {
  close(): void
  ref(): void
  unref(): void
}

/** Collected objects would end their watch, and one that fires while Node is ending would crash it. */
const polls = new Set<Poll>()
let atExit = false
let exited = false

/** Calls back whenever the descriptor is readable, until stopped. */
export function watchReadable(fd: number, ready: () => void): ReadableWatch {
  if (!atExit) {
    atExit = true
    process.once('exit', () => {
      exited = true
      for (const poll of polls) poll.close()
    })
  }
  if (exited) return { stop: () => {}, keepAlive: () => {} }
  const poll: Poll = koffi.node.poll(fd, { readable: true }, () => ready())
  polls.add(poll)
  poll.unref()
  return {
    stop: () => {
      if (polls.delete(poll)) poll.close()
    },
    keepAlive: (yes) => {
      if (!polls.has(poll)) return
      if (yes) poll.ref()
      else poll.unref()
    },
  }
}

/** As watchReadable, for those who only stop. */
export const onReadable = (fd: number, ready: () => void): (() => void) => watchReadable(fd, ready).stop

/** The same for a descriptor that can be written to. */
export function onWritable(fd: number, ready: () => void): () => void {
  if (exited) return () => {}
  const poll: Poll = koffi.node.poll(fd, { writable: true }, () => ready())
  polls.add(poll)
  poll.unref()
  return () => {
    if (polls.delete(poll)) poll.close()
  }
}
