// How far a container's output has come: the one record that makes its log exact. Written in one small write, which a killed
// daemon either made or did not make.
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import type { LogStream } from './log-format.js'

export interface SpoolPosition {
  /** Which of the two spool files is in use. */
  readonly file: 0 | 1
  /** Bytes of it that are in the log already. */
  readonly at: number
  /** What the monitor saved when the container ended has been put behind the rest. */
  readonly tail: boolean
}

export interface LogState {
  readonly streams: Readonly<Record<LogStream, SpoolPosition>>
  /** The log file, by inode: it may have been renamed. 0 before the first. */
  readonly inode: number
  /** Length of the log file that goes with the positions above. */
  readonly length: number
}

export const newLogState: LogState = {
  streams: { stdout: { file: 0, at: 0, tail: false }, stderr: { file: 0, at: 0, tail: false } },
  inode: 0,
  length: 0,
}

const MAGIC = 0x4b4e4c47
const SIZE = 40
const TAIL = 2

export function encodeLogState(state: LogState): Buffer {
  const bytes = Buffer.alloc(SIZE)
  bytes.writeUInt32LE(MAGIC, 0)
  for (const [i, { file, tail }] of [state.streams.stdout, state.streams.stderr].entries())
    bytes.writeUInt8(file | (tail ? TAIL : 0), 4 + i)
  for (const [i, value] of [state.streams.stdout.at, state.streams.stderr.at, state.inode, state.length].entries())
    bytes.writeBigUInt64LE(BigInt(value), 8 + 8 * i)
  return bytes
}

/** Undefined when the bytes are not a state. */
export function decodeLogState(bytes: Buffer): LogState | undefined {
  if (bytes.length < SIZE || bytes.readUInt32LE(0) !== MAGIC) return undefined
  const u64 = (i: number): number => Number(bytes.readBigUInt64LE(8 + 8 * i))
  const position = (i: number): SpoolPosition => {
    const flags = bytes.readUInt8(4 + i)
    return { file: flags & 1 ? 1 : 0, at: u64(i), tail: (flags & TAIL) !== 0 }
  }
  return { streams: { stdout: position(0), stderr: position(1) }, inode: u64(2), length: u64(3) }
}

export interface LogStateFile {
  readonly initial: LogState
  write(state: LogState): void
  close(): void
}

export function openLogState(path: string): LogStateFile {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
  const bytes = Buffer.alloc(SIZE)
  const read = readSync(fd, bytes, 0, SIZE, 0)
  return {
    initial: decodeLogState(bytes.subarray(0, read)) ?? newLogState,
    write: (state) => void writeSync(fd, encodeLogState(state), 0, SIZE, 0),
    close: () => closeSync(fd),
  }
}
