// Reads a container's log in CRI format: the end of it, from a time on, and what is still to come.
import { constants, promises as fs, watch } from 'node:fs'
import { dirname } from 'node:path'
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

const CHUNK = 64 * 1024
const NEWLINE = 0x0a

/** Where the last `lines` lines begin. */
async function tailOffset(file: fs.FileHandle, size: number, lines: number): Promise<number> {
  if (lines <= 0) return size
  const buffer = Buffer.alloc(CHUNK)
  let found = 0
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - CHUNK)
    const { bytesRead } = await file.read(buffer, 0, end - start, start)
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
  file: fs.FileHandle
  inode: number
  offset: number
  rest: Buffer
}

async function openAt(path: string): Promise<Reading | undefined> {
  try {
    const file = await fs.open(path, constants.O_RDONLY)
    return { file, inode: (await file.stat()).ino, offset: 0, rest: Buffer.alloc(0) }
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined
    throw error
  }
}

/** What the file holds beyond what was read, as rendered lines. */
async function* drain(reading: Reading, options: LogOptions): AsyncGenerator<Buffer> {
  const buffer = Buffer.alloc(CHUNK)
  for (;;) {
    const { bytesRead } = await reading.file.read(buffer, 0, CHUNK, reading.offset)
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

/** Wakes when the folder of the log changes, the source does, or the reader goes away. */
function changes(source: LogSource) {
  let wake: (() => void) | undefined
  let pending = false
  const notify = (): void => {
    pending = true
    wake?.()
  }
  const watcher = watch(dirname(source.path), notify)
  watcher.on('error', notify)
  const forget = source.onChange(notify)
  source.signal.addEventListener('abort', notify)
  return {
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
    },
  }
}

async function* lines(source: LogSource, options: LogOptions): AsyncGenerator<Buffer> {
  let reading = await openAt(source.path)
  if (!reading) return
  const news = options.follow ? changes(source) : undefined
  try {
    const { size } = await reading.file.stat()
    if (options.tailLines !== undefined) reading.offset = await tailOffset(reading.file, size, options.tailLines)
    for (;;) {
      const wasAlive = source.alive()
      yield* drain(reading, options)
      if (!news || source.signal.aborted) return
      const now = await fs.stat(source.path).catch(() => undefined)
      if (now && now.ino !== reading.inode) {
        // Rotated: what was written before the move has just been read once more to its end.
        yield* drain(reading, options)
        const next = await openAt(source.path)
        if (next) {
          await reading.file.close()
          reading = next
          continue
        }
      }
      if (!wasAlive) return
      await news.next()
    }
  } finally {
    news?.close()
    await reading.file.close()
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
