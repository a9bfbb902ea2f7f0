// Descriptors as Node streams: ends of pipes, and masters of terminals.
import { closeSync, readSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { Duplex, type Readable, type Writable } from 'node:stream'
import { type Clock, hasErrno } from '../lib/index.js'
import { onReadable } from '../runtime/index.js'

/** The reading end of a pipe or FIFO; closed with the stream. */
export const pipeReader = (fd: number): Readable => new Socket({ fd, readable: true, writable: false })

/** The writing end of a pipe or FIFO; ending the stream closes it. */
export const pipeWriter = (fd: number): Writable => new Socket({ fd, readable: false, writable: true })

const CHUNK = 64 * 1024
/** A program that reads nothing fills its terminal's input; we look again after this. */
const FULL_MS = 10

/** A terminal's master. Its end is the end of the last process that had the terminal open. The descriptor is closed with the stream. */
export function terminalStream(fd: number, clock: Clock): Duplex {
  const buffer = Buffer.allocUnsafe(CHUNK)
  let stop: (() => void) | undefined
  const pause = (): void => {
    stop?.()
    stop = undefined
  }
  const read = (stream: Duplex): void => {
    let got = 0
    try {
      got = readSync(fd, buffer, 0, CHUNK, null)
    } catch (error) {
      if (hasErrno(error, 'EAGAIN')) return
      // EIO is how a terminal says that nobody is left on the other side.
      if (!hasErrno(error, 'EIO')) {
        stream.destroy(error as Error)
        return
      }
    }
    if (got === 0) {
      pause()
      stream.push(null)
    } else if (!stream.push(Buffer.from(buffer.subarray(0, got)))) pause()
  }
  return new Duplex({
    allowHalfOpen: true,
    read() {
      stop ??= onReadable(fd, () => read(this))
    },
    write(chunk: Buffer, _, done) {
      const rest = (from: number): void => {
        if (this.destroyed) {
          done()
          return
        }
        try {
          const count = writeSync(fd, chunk, from)
          if (from + count < chunk.length) clock.after(FULL_MS, () => rest(from + count))
          else done()
        } catch (error) {
          if (hasErrno(error, 'EAGAIN')) clock.after(FULL_MS, () => rest(from))
          else done(hasErrno(error, 'EIO') ? null : (error as Error))
        }
      }
      rest(0)
    },
    destroy(error, done) {
      pause()
      closeSync(fd)
      done(error)
    },
  })
}
