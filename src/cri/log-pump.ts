// Carries a container's output from its FIFOs into its CRI log, each line once, whatever happens to the daemon.
//
//   FIFO --splice--> spool file --format--> log file
//                        |                     |
//                        +---- log state ------+      (one small write after each step)
//
// splice(2) moves bytes from a pipe to a file within one system call that SIGKILL cannot cut in two, so every byte is either
// still in the FIFO or in the spool. The log state says how much of the spool the log accounts for and how long the log is
// then; what stands behind that length after a crash was not accounted for: it is cut off and written again.
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { type Clock, sleep, type Timer } from '../lib/index.js'
import { makeFolders } from './folders.js'
import { formatLog, type LogStream } from './log-format.js'
import { type LogState, openLogState, type SpoolPosition } from './log-state.js'

/** What the kernel has to give; the runtime has it. */
export interface PipeTools {
  /** Moves bytes from a pipe to a file at `offset` without waiting: how many, 0 when there are none now, -1 when none will come. */
  splice(pipe: number, file: number, offset: number, length: number): number
  /** Calls back whenever `fd` has something to read; the answer stops that. */
  onReadable(fd: number, callback: () => void): () => void
}

export interface LogPumpOptions {
  /** For spools and state; it outlives the daemon. */
  readonly dir: string
  /** Absolute; undefined when the container has no log. */
  readonly logPath: string | undefined
  /** Read ends, without O_NONBLOCK being needed. The pump closes them. */
  readonly pipes: Readonly<Partial<Record<LogStream, number>>>
  readonly tools: PipeTools
  readonly clock: Clock
  /** A log that cannot be written (disk full, folder gone) makes the container wait, and is tried again. */
  readonly onError: (error: unknown) => void
}

/** Takes a chunk of output; answers false when it wants no more until `resume` of the pump is called. */
export type OutputListener = (stream: LogStream, chunk: Buffer) => boolean

export interface LogPump {
  /** Output from now on. */
  subscribe(listener: OutputListener): () => void
  /** A listener that had said no can take more. */
  resume(): void
  /** Opens a new file at the log's path, when that is not the file in use. */
  reopen(): void
  /** Writes all there is, the unfinished last lines too, and closes. A log that cannot be written is tried again for a while. */
  finish(): Promise<void>
  /** Lets go of everything; a later pump on the same folder goes on from here. */
  close(): void
}

const CHUNK = 256 * 1024
/** A spool that has grown beyond this is left for its twin. */
const SPOOL_LIMIT = 1024 * 1024
/** Bytes of one stream in a row before others get their turn. */
const TURN = 1024 * 1024
const RETRY_MS = 500
const FINISH_TRIES = 60

interface Spool {
  readonly stream: LogStream
  readonly pipe: number
  readonly files: readonly [number, number]
  position: SpoolPosition
  /** Length of the file in use. */
  end: number
  stop: () => void
}

/** The log file with this inode beside `path`: rotation renames logs within their folder. */
function findLog(path: string, inode: number): string | undefined {
  const folder = dirname(path)
  for (const name of readdirSync(folder)) {
    if (name.startsWith(basename(path)) && statSync(join(folder, name), { throwIfNoEntry: false })?.ino === inode) return join(folder, name)
  }
  return undefined
}

/** Where a monitor puts what was left in a stream's pipe. */
export const tailPath = (dir: string, stream: LogStream): string => join(dir, `${stream}.tail`)

export function createLogPump(options: LogPumpOptions): LogPump {
  const { dir, logPath, tools, clock } = options
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const stateFile = openLogState(join(dir, 'state'))
  let { inode, length } = stateFile.initial
  let log = -1
  let closed = false
  let blocked = false
  let retry: Timer | undefined
  const listeners = new Set<OutputListener>()
  const spools: Spool[] = []
  const positions: Record<LogStream, SpoolPosition> = { ...stateFile.initial.streams }

  const save = (): void => {
    for (const spool of spools) positions[spool.stream] = spool.position
    stateFile.write({ streams: { ...positions }, inode, length } satisfies LogState)
  }

  const openLog = (): void => {
    if (!logPath) return
    makeFolders(dirname(logPath))
    const fd = openSync(logPath, constants.O_RDWR | constants.O_CREAT, 0o640)
    if (log >= 0) closeSync(log)
    log = fd
    const { ino, size } = fstatSync(fd)
    if (ino !== inode) {
      inode = ino
      length = size
      save()
    }
  }

  /** Cuts off what a killed daemon wrote without accounting for it, in the file it wrote to. */
  const repair = (): void => {
    if (!logPath || inode === 0) return
    const path = statSync(logPath, { throwIfNoEntry: false })?.ino === inode ? logPath : findLog(logPath, inode)
    if (!path) return
    const fd = openSync(path, constants.O_RDWR)
    try {
      if (fstatSync(fd).size > length) ftruncateSync(fd, length)
    } finally {
      closeSync(fd)
    }
  }

  const append = (text: Buffer): void => {
    if (log < 0 || text.length === 0) return
    for (let done = 0; done < text.length; ) done += writeSync(log, text, done, text.length - done, length + done)
    length += text.length
  }

  /** Writes what is in the spool and not yet in the log. */
  const settle = (spool: Spool, final: boolean): void => {
    const fd = spool.files[spool.position.file]
    while (spool.position.at < spool.end) {
      const wanted = Math.min(spool.end - spool.position.at, 2 * CHUNK)
      const input = Buffer.allocUnsafe(wanted)
      const got = readSync(fd, input, 0, wanted, spool.position.at)
      const last = final && spool.position.at + got === spool.end
      const { text, consumed } = formatLog(input.subarray(0, got), { stream: spool.stream, time: clock.now(), final: last })
      if (consumed === 0) break
      append(text)
      spool.position = { ...spool.position, at: spool.position.at + consumed }
      save()
    }
  }

  /** Goes over to the other spool file with the unfinished line and `more`. */
  const swap = (spool: Spool, more: Buffer = Buffer.alloc(0)): void => {
    const { file: old, at, tail } = spool.position
    const rest = Buffer.alloc(spool.end - at)
    readSync(spool.files[old], rest, 0, rest.length, at)
    const next = old === 0 ? 1 : 0
    const content = Buffer.concat([rest, more])
    ftruncateSync(spool.files[next])
    writeSync(spool.files[next], content, 0, content.length, 0)
    spool.position = { file: next, at: 0, tail: tail || more.length > 0 }
    spool.end = content.length
    save()
    ftruncateSync(spool.files[old])
  }

  /** What was in the pipe when the container ended, if its monitor saved it: nobody else can have it. */
  const takeTail = (spool: Spool): void => {
    const path = tailPath(dir, spool.stream)
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
    if (spool.position.tail || size === 0) return
    const from = spool.end - spool.position.at
    swap(spool, readFileSync(path))
    tell(spool, from)
  }

  const tell = (spool: Spool, from: number): void => {
    if (listeners.size === 0) return
    const chunk = Buffer.allocUnsafe(spool.end - from)
    readSync(spool.files[spool.position.file], chunk, 0, chunk.length, from)
    for (const listener of listeners) if (!listener(spool.stream, chunk)) blocked = true
  }

  /** True when the pipe is empty; false when it is somebody else's turn. */
  const drain = (spool: Spool, limit: number): boolean => {
    for (let moved = 0; moved < limit; ) {
      const from = spool.end
      const count = tools.splice(spool.pipe, spool.files[spool.position.file], from, CHUNK)
      if (count < 0) spool.stop()
      if (count <= 0) return true
      spool.end += count
      moved += count
      tell(spool, from)
      settle(spool, false)
      if (spool.end > SPOOL_LIMIT) swap(spool)
      if (blocked) return false
    }
    return false
  }

  const pause = (): void => {
    for (const spool of spools) spool.stop()
  }

  const watch = (): void => {
    for (const spool of spools) {
      spool.stop()
      spool.stop = tools.onReadable(spool.pipe, () => turn(spool))
    }
  }

  const begin = (): void => {
    if (log < 0) {
      repair()
      openLog()
    }
    for (const spool of spools) settle(spool, false)
    if (!blocked) watch()
  }

  const attempt = (run: () => void): void => {
    try {
      run()
    } catch (error) {
      options.onError(error)
      pause()
      retry ??= clock.after(RETRY_MS, () => {
        retry = undefined
        if (!closed) attempt(begin)
      })
    }
  }

  const turn = (spool: Spool): void => {
    if (closed || blocked || retry) return
    attempt(() => {
      drain(spool, TURN)
      if (blocked) pause()
    })
  }

  const close = (): void => {
    if (closed) return
    closed = true
    retry?.cancel()
    pause()
    listeners.clear()
    for (const spool of spools) for (const fd of [spool.pipe, ...spool.files]) closeSync(fd)
    if (log >= 0) closeSync(log)
    stateFile.close()
  }

  for (const stream of ['stdout', 'stderr'] as const) {
    const pipe = options.pipes[stream]
    if (pipe === undefined) continue
    const open = (name: string): number => openSync(join(dir, `${stream}.${name}`), constants.O_RDWR | constants.O_CREAT, 0o600)
    const files = [open('a'), open('b')] as const
    const position = positions[stream]
    spools.push({ stream, pipe, files, position, end: fstatSync(files[position.file]).size, stop: () => {} })
  }
  attempt(begin)

  const finishNow = (): void => {
    if (log < 0) {
      repair()
      openLog()
    }
    for (const spool of spools) {
      while (!drain(spool, Number.POSITIVE_INFINITY)) blocked = false
      takeTail(spool)
      settle(spool, true)
    }
  }

  const resume = (): void => {
    if (!blocked || closed) return
    blocked = false
    if (!retry) watch()
  }

  return {
    subscribe(listener) {
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
        resume()
      }
    },
    resume,
    reopen() {
      if (logPath && statSync(logPath, { throwIfNoEntry: false })?.ino !== inode) openLog()
    },
    async finish() {
      for (let tries = 1; !closed; tries++) {
        blocked = false
        try {
          finishNow()
          close()
        } catch (error) {
          options.onError(error)
          if (tries === FINISH_TRIES) close()
          else await sleep(clock, RETRY_MS)
        }
      }
    },
    close,
  }
}
