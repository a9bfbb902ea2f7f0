// Reads a container's log in CRI format: the end of it, from a time on, and what is still to come.
import { closeSync, constants, fstatSync, openSync, read, statSync, watch } from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { hasErrno } from '../../lib/index.js'

export interface LogOptions {
  readonly follow: boolean
  readonly tailLines: number | undefined
  /** Milliseconds since 1970. */
  readonly since: number | undefined
  readonly timestamps: boolean
  readonly limitBytes: number | undefined
  readonly stream: 'All' | 'Stdout' | 'Stderr'
}

export interface LogSource {
  readonly path: string
  /** False once nothing more will be written. */
  readonly alive: () => boolean
  /** Calls back when `alive` may have changed. */
  readonly onChange: (listener: () => void) => () => void
  readonly signal: AbortSignal
}

const readAt = promisify(read)

const CHUNK = 64 * 1024
const NEWLINE = 0x0a

/** Where the last `lines` lines begin. */
async function tailOffset(fd: number, size: number, lines: number): Promise<number> {
  if (lines <= 0) return size
  const buffer = Buffer.alloc(CHUNK)
  let found = 0
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - CHUNK)
    const { bytesRead } = await readAt(fd, buffer, 0, end - start, start)
    for (let i = bytesRead - 1; i >= 0; i--) {
      // The newline that ends the file does not begin a line.
      if (buffer[i] !== NEWLINE || start + i === size - 1) continue
      if (++found === lines) return start + i + 1
    }
    end = start
  }
  return 0
}

/** One line of the file as the client gets it; undefined when it is not wanted. `TIME STREAM TAG CONTENT`. */
export function renderLine(line: Buffer, options: LogOptions): Buffer | undefined {
  const first = line.indexOf(0x20)
  const second = line.indexOf(0x20, first + 1)
  const third = line.indexOf(0x20, second + 1)
  if (first < 0 || second < 0 || third < 0) return undefined
  const time = line.toString('latin1', 0, first)
  if (options.since !== undefined && Date.parse(time) < options.since) return undefined
  const stream = line.toString('latin1', first + 1, second)
  if (options.stream !== 'All' && stream !== options.stream.toLowerCase()) return undefined
  const partial = line[second + 1] === 0x50
  // A line that was cut goes on without its newline.
  const content = partial ? line.subarray(third + 1, line.length - 1) : line.subarray(third + 1)
  return options.timestamps ? Buffer.concat([line.subarray(0, first + 1), content]) : content
}

interface Reading {
  readonly fd: number
  readonly inode: number
  offset: number
  rest: Buffer
}

function openAt(path: string): Reading | undefined {
  try {
    const fd = openSync(path, constants.O_RDONLY)
    return { fd, inode: fstatSync(fd).ino, offset: 0, rest: Buffer.alloc(0) }
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined
    throw error
  }
}

/** What the file holds beyond what was read, as rendered lines. */
async function* drain(reading: Reading, options: LogOptions): AsyncGenerator<Buffer> {
  const buffer = Buffer.alloc(CHUNK)
  for (;;) {
    const { bytesRead } = await readAt(reading.fd, buffer, 0, CHUNK, reading.offset)
    if (bytesRead === 0) return
    reading.offset += bytesRead
    const data = Buffer.concat([reading.rest, buffer.subarray(0, bytesRead)])
    const out: Buffer[] = []
    let from = 0
    for (let at = data.indexOf(NEWLINE); at >= 0; at = data.indexOf(NEWLINE, from)) {
      const rendered = renderLine(data.subarray(from, at + 1), options)
      if (rendered && rendered.length > 0) out.push(rendered)
      from = at + 1
    }
    reading.rest = Buffer.from(data.subarray(from))
    if (out.length > 0) yield Buffer.concat(out)
  }
}

/** Files that a reader may be behind: one that reads no more shall not keep the disk full. */
const MOST_AHEAD = 5

/**
 * Wakes when the folder of the log changes, the source does, or the reader goes away. Rotation moves the log aside, compresses
 * and removes it, however far its reader has come: so each file is opened as soon as it comes to be at the log's path.
 */
function follow(source: LogSource, inode: number) {
  const ahead: Reading[] = []
  let newest = inode
  let wake: (() => void) | undefined
  let pending = false
  const look = (): void => {
    if (statSync(source.path, { throwIfNoEntry: false })?.ino === newest) return
    const found = openAt(source.path)
    if (!found) return
    newest = found.inode
    ahead.push(found)
    if (ahead.length > MOST_AHEAD) closeSync(ahead.shift()?.fd ?? -1)
  }
  const notify = (): void => {
    look()
    pending = true
    wake?.()
  }
  const watcher = watch(dirname(source.path), notify)
  watcher.on('error', notify)
  const forget = source.onChange(notify)
  source.signal.addEventListener('abort', notify)
  return {
    /** The file after the one that is being read, if there is one: then nothing more is written to that. */
    successor(): Reading | undefined {
      look()
      return ahead.shift()
    },
    async next(): Promise<void> {
      if (!pending)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      pending = false
      wake = undefined
    },
    close(): void {
      watcher.close()
      forget()
      source.signal.removeEventListener('abort', notify)
      for (const { fd } of ahead) closeSync(fd)
    },
  }
}

async function* lines(source: LogSource, options: LogOptions): AsyncGenerator<Buffer> {
  let reading = openAt(source.path)
  if (!reading) return
  const news = options.follow ? follow(source, reading.inode) : undefined
  try {
    if (options.tailLines !== undefined) reading.offset = await tailOffset(reading.fd, fstatSync(reading.fd).size, options.tailLines)
    for (;;) {
      const wasAlive = source.alive()
      const next = news?.successor()
      yield* drain(reading, options)
      if (!news || source.signal.aborted) {
        if (next) closeSync(next.fd)
        return
      }
      if (next) {
        closeSync(reading.fd)
        reading = next
      } else if (!wasAlive) return
      else await news.next()
    }
  } finally {
    news?.close()
    closeSync(reading.fd)
  }
}

/** The log as a client asked for it. */
export async function* readLog(source: LogSource, options: LogOptions): AsyncGenerator<Uint8Array> {
  let left = options.limitBytes ?? Number.POSITIVE_INFINITY
  for await (const chunk of lines(source, options)) {
    if (left <= 0) return
    const part = chunk.length <= left ? chunk : chunk.subarray(0, left)
    left -= part.length
    yield part
    if (left <= 0) return
  }
}
