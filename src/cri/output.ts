// A container's standard streams: FIFOs that its monitor keeps open, or its terminal; and the pump that empties them into the log.
import { closeSync, constants, mkdirSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { hasErrno } from '../lib/index.js'
import { endKeeper, makeFifo, onReadable, type Stdio, setNonBlocking, spliceToFile, startKeeper } from '../runtime/index.js'
import { containerDir, type Engine, spoolDir } from './engine.js'
import type { LogStream } from './log-format.js'
import { createLogPump, type LogPump, type LogPumpOptions, tailPath } from './log-pump.js'
import type { ContainerRecord } from './records.js'

const fifo = (engine: Engine, id: string, name: string): string => join(containerDir(engine, id), name)

const KEEPER = 'knarr-stdin'

export interface PreparedStdio {
  readonly stdio: Stdio
  readonly record: ContainerRecord
  /** After the container has its own descriptors. */
  release(): void
}

/** Makes the FIFOs. */
export function prepareStdio(engine: Engine, record: ContainerRecord): PreparedStdio {
  const { id, config } = record
  if (config.tty) return { stdio: {}, record, release() {} }
  mkdirSync(spoolDir(engine, id), { recursive: true, mode: 0o700 })
  const output = (stream: LogStream): { readonly path: string; readonly tail: string } => {
    const path = fifo(engine, id, stream)
    makeFifo(path)
    return { path, tail: tailPath(spoolDir(engine, id), stream) }
  }
  const outputs = { stdout: output('stdout'), stderr: output('stderr') }
  if (!config.stdin) return { stdio: { stdin: 'null', ...outputs }, record, release() {} }
  const input = prepareInput(engine, record)
  return { stdio: { stdin: { fd: input.fd }, ...outputs }, record: input.record, release: () => closeSync(input.fd) }
}

/**
 * Standard input that can end: the container has a reading end only, and a process of its own keeps a writing end, so that
 * neither a daemon's death nor the end of an attached session looks like the end of input.
 */
function prepareInput(engine: Engine, record: ContainerRecord): { readonly fd: number; readonly record: ContainerRecord } {
  const path = fifo(engine, record.id, 'stdin')
  makeFifo(path)
  const both = openSync(path, constants.O_RDWR)
  try {
    const fd = openSync(path, constants.O_RDONLY)
    const writer = openSync(path, constants.O_WRONLY)
    try {
      const { pid } = startKeeper(writer, KEEPER, record.id)
      return { fd, record: engine.containers.save({ ...record, stdinKeeper: pid }) }
    } catch (error) {
      closeSync(fd)
      throw error
    } finally {
      closeSync(writer)
    }
  } finally {
    closeSync(both)
  }
}

/** The container's standard input ends as soon as those who are attached to it are gone. */
export function endInput(engine: Engine, id: string): void {
  const record = engine.containers.get(id)
  if (record?.stdinKeeper === undefined) return
  endKeeper(record.stdinKeeper, KEEPER, id)
  const { stdinKeeper: _, ...rest } = record
  engine.containers.note(rest)
}

/** A writing end of the container's standard input; undefined when it has ended. */
export function openInput(engine: Engine, record: ContainerRecord): number | undefined {
  if (engine.containers.get(record.id)?.stdinKeeper === undefined) return undefined
  try {
    return openSync(fifo(engine, record.id, 'stdin'), constants.O_WRONLY | constants.O_NONBLOCK)
  } catch (error) {
    if (hasErrno(error, 'ENXIO', 'ENOENT')) return undefined
    throw error
  }
}

const buffer = Buffer.allocUnsafe(64 * 1024)

/** For terminals, which splice(2) cannot empty into a file. */
function copyFromTerminal(terminal: number, file: number, offset: number): number {
  try {
    const got = readSync(terminal, buffer, 0, buffer.length, null)
    for (let done = 0; done < got; ) done += writeSync(file, buffer, done, got - done, offset + done)
    return got === 0 ? -1 : got
  } catch (error) {
    if (hasErrno(error, 'EAGAIN')) return 0
    // Nobody has the other end open.
    if (hasErrno(error, 'EIO')) return -1
    throw error
  }
}

/** Starts, or takes up again, the carrying of output. */
export async function openOutput(engine: Engine, record: ContainerRecord): Promise<LogPump> {
  const { id, config, logPath } = record
  const reader = (name: string): number => openSync(fifo(engine, id, name), constants.O_RDONLY | constants.O_NONBLOCK)
  let lastProblem = ''
  const source: Pick<LogPumpOptions, 'pipes' | 'tools'> = config.tty
    ? { pipes: await terminal(engine, id), tools: { splice: copyFromTerminal, onReadable } }
    : { pipes: { stdout: reader('stdout'), stderr: reader('stderr') }, tools: { splice: spliceToFile, onReadable } }
  return createLogPump({
    ...source,
    dir: spoolDir(engine, id),
    logPath: logPath || undefined,
    clock: engine.clock,
    onError(err) {
      if (String(err) === lastProblem) return
      lastProblem = String(err)
      engine.log.warn('writing a container log: its output waits', { container: id, path: logPath, err })
    },
  })
}

/** The terminal's master; none when the container ended while nobody looked. */
async function terminal(engine: Engine, id: string): Promise<{ readonly stdout?: number }> {
  try {
    const fd = await engine.runtime.openTerminal(id)
    setNonBlocking(fd)
    return { stdout: fd }
  } catch (err) {
    engine.log.debug('opening a terminal', { container: id, err })
    return {}
  }
}
