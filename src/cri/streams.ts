// Exec, attach and port-forward: the near ends of processes' streams.
import { closeSync } from 'node:fs'
import { type Duplex, PassThrough, type Readable, type Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { hasErrno, sleep } from '../lib/index.js'
import { connectLoopback, type ExecProcess, type Process, pipe, type StdioTarget, setTerminalSize } from '../runtime/index.js'
import { pipeReader, pipeWriter, terminalStream } from './descriptor-streams.js'
import { containerOf, type Engine, sandboxOf } from './engine.js'
import { CriError, criError, invalid } from './errors.js'
import { endInput, openInput } from './output.js'
import type { ContainerRecord } from './records.js'
import type { AttachRequest, AttachSession, ExecRequest, ExecSession, ExecSyncResponse, RuntimeService } from './types.js'
import { containerState } from './views.js'

/** The most that execSync keeps of each stream, as the kubelet's clients expect. */
const EXEC_SYNC_LIMIT = 16 * 1024 * 1024
const SIGKILL = 9
/** A process that is gone may leave children that hold its output open; they are not waited for longer. */
const LINGER_MS = 250

function running(engine: Engine, containerId: string): ContainerRecord {
  const record = containerOf(engine, containerId)
  const state = containerState(engine, record)
  if (state !== 'CONTAINER_RUNNING') throw new CriError('FAILED_PRECONDITION', `container ${record.id} is not running: it is ${state}`)
  return record
}

/** What is executed in a container runs as the container does: user, capabilities, environment, folder, filters. */
async function processOf(engine: Engine, record: ContainerRecord, cmd: readonly string[], tty: boolean): Promise<Process> {
  if (cmd.length === 0) throw invalid('exec: no command')
  const { process } = await engine.runtime.spec(record.id)
  if (!process) throw invalid(`container ${record.id} has no process`)
  const env = (process.env ?? []).filter((pair) => !tty || !pair.startsWith('TERM='))
  const { terminal: _, ...rest } = process
  return { ...rest, args: cmd, env: tty ? [...env, 'TERM=xterm'] : env, ...(tty ? { terminal: true } : {}) }
}

interface Wires {
  readonly stdin?: Writable
  readonly stdout?: Readable
  readonly stderr?: Readable
  readonly stdio: { readonly stdin: StdioTarget; readonly stdout: StdioTarget; readonly stderr: StdioTarget }
  /** The far ends, which the process has inherited. */
  handOver(): void
  destroy(): void
}

function wire({ stdin, stdout, stderr }: { stdin: boolean; stdout: boolean; stderr: boolean }): Wires {
  const far: number[] = []
  const input = (): { near: Writable; far: StdioTarget } => {
    const ends = pipe()
    far.push(ends.read)
    return { near: pipeWriter(ends.write), far: { fd: ends.read } }
  }
  const output = (): { near: Readable; far: StdioTarget } => {
    const ends = pipe()
    far.push(ends.write)
    return { near: pipeReader(ends.read), far: { fd: ends.write } }
  }
  const inward = stdin ? input() : undefined
  const out = stdout ? output() : undefined
  const err = stderr ? output() : undefined
  // A process that ended no longer reads: that is no failure of ours.
  inward?.near.on('error', () => {})
  const handOver = (): void => {
    for (const fd of far.splice(0)) closeSync(fd)
  }
  return {
    ...(inward ? { stdin: inward.near } : {}),
    ...(out ? { stdout: out.near } : {}),
    ...(err ? { stderr: err.near } : {}),
    stdio: { stdin: inward?.far ?? 'null', stdout: out?.far ?? 'null', stderr: err?.far ?? 'null' },
    handOver,
    destroy() {
      handOver()
      for (const stream of [inward?.near, out?.near, err?.near]) stream?.destroy()
    },
  }
}

async function exec(engine: Engine, request: ExecRequest): Promise<ExecSession> {
  const record = running(engine, request.containerId)
  const { tty = false, stdin = false, stdout = true, stderr = true } = request
  const process = await processOf(engine, record, request.cmd, tty)
  if (tty) return terminalExec(engine, record, process, stdin)
  const wires = wire({ stdin, stdout, stderr })
  let child: ExecProcess
  try {
    child = await engine.runtime.exec(record.id, { process, stdio: wires.stdio })
  } catch (error) {
    wires.destroy()
    throw criError(`exec in container ${record.id}`, error)
  }
  wires.handOver()
  let over = false
  const exit = child.wait().then(async ({ exitCode }) => {
    over = true
    return { exitCode }
  })
  exit.catch(() => {})
  const { stdin: near, stdout: out, stderr: err } = wires
  return {
    ...(near ? { stdin: near } : {}),
    ...(out ? { stdout: out } : {}),
    ...(err ? { stderr: err } : {}),
    exit,
    resize() {},
    close() {
      if (!over) child.kill(SIGKILL)
      wires.destroy()
    },
  }
}

async function terminalExec(engine: Engine, record: ContainerRecord, process: Process, stdin: boolean): Promise<ExecSession> {
  let child: ExecProcess
  try {
    child = await engine.runtime.exec(record.id, { process })
  } catch (error) {
    throw criError(`exec in container ${record.id}`, error)
  }
  if (child.terminal === undefined) throw new CriError('INTERNAL', 'exec: the runtime gave no terminal')
  const master = child.terminal
  const terminal = terminalStream(master, engine.clock)
  let over = false
  const exit = child.wait().then(({ exitCode }) => {
    over = true
    return { exitCode }
  })
  exit.catch(() => {})
  return {
    ...(stdin ? { stdin: terminalInput(terminal) } : {}),
    stdout: terminal,
    exit,
    resize(size) {
      if (!terminal.destroyed) setTerminalSize(master, size)
    },
    close() {
      if (!over) child.kill(SIGKILL)
      terminal.destroy()
    },
  }
}

const END_OF_INPUT = Buffer.from([4])

/** A terminal's input has no end of its own: what ends it is the character for that (termios(3), VEOF). */
function terminalInput(terminal: Duplex): Writable {
  const input = new PassThrough()
  input.on('data', (chunk: Buffer) => {
    if (!terminal.write(chunk)) {
      input.pause()
      terminal.once('drain', () => input.resume())
    }
  })
  input.on('end', () => terminal.write(END_OF_INPUT))
  terminal.on('error', () => {})
  return input
}

function collect(stream: Readable | undefined): { readonly done: Promise<void>; bytes(): Buffer } {
  const chunks: Buffer[] = []
  let size = 0
  if (!stream) return { done: Promise.resolve(), bytes: () => Buffer.alloc(0) }
  stream.on('data', (chunk: Buffer) => {
    if (size < EXEC_SYNC_LIMIT) chunks.push(chunk.subarray(0, EXEC_SYNC_LIMIT - size))
    size += chunk.length
  })
  return { done: finished(stream).catch(() => {}), bytes: () => Buffer.concat(chunks) }
}

async function execSync(
  engine: Engine,
  containerId: string,
  cmd: readonly string[],
  { timeout, signal }: { readonly timeout: number; readonly signal?: AbortSignal | undefined },
): Promise<ExecSyncResponse> {
  const session = await exec(engine, { containerId, cmd })
  const stdout = collect(session.stdout)
  const stderr = collect(session.stderr)
  const giveUp = new AbortController()
  const abort = (): void => giveUp.abort()
  signal?.addEventListener('abort', abort, { once: true })
  try {
    const late = timeout > 0 ? sleep(engine.clock, timeout * 1000, giveUp.signal) : new Promise<void>(() => {})
    const aborted = new Promise<'aborted'>((resolve) => giveUp.signal.addEventListener('abort', () => resolve('aborted'), { once: true }))
    const outcome = await Promise.race([session.exit, late.then(() => 'late' as const).catch(() => 'aborted' as const), aborted])
    if (outcome === 'late') {
      session.close()
      // Whoever looks now finds it gone.
      await session.exit
      throw new CriError('DEADLINE_EXCEEDED', `exec: ${JSON.stringify(cmd[0])} did not end within ${timeout} s`)
    }
    if (outcome === 'aborted') throw new CriError('CANCELLED', 'exec: the caller went away')
    await Promise.race([Promise.all([stdout.done, stderr.done]), sleep(engine.clock, LINGER_MS, giveUp.signal).catch(() => {})])
    return { stdout: stdout.bytes(), stderr: stderr.bytes(), exitCode: outcome.exitCode }
  } finally {
    signal?.removeEventListener('abort', abort)
    giveUp.abort()
    session.close()
  }
}

/** The most that waits for a slow reader of an attached stream before the container has to wait. */
const ATTACH_BUFFER = 1024 * 1024

async function attach(engine: Engine, request: AttachRequest): Promise<AttachSession> {
  const record = running(engine, request.containerId)
  const live = engine.live.get(record.id)
  if (!live?.pump) throw new CriError('FAILED_PRECONDITION', `container ${record.id} has no output to attach to`)
  const { pump } = live
  const { tty = false, stdin: hasInput } = record.config
  const master = tty ? await engine.runtime.openTerminal(record.id) : undefined
  const terminal = master === undefined ? undefined : terminalStream(master, engine.clock)
  const stdout = request.stdout === false ? undefined : new PassThrough({ readableHighWaterMark: ATTACH_BUFFER })
  const stderr = tty || request.stderr === false ? undefined : new PassThrough({ readableHighWaterMark: ATTACH_BUFFER })
  for (const stream of [stdout, stderr]) stream?.on('drain', () => pump.resume())
  const unsubscribe = pump.subscribe((stream, chunk) => {
    const to = stream === 'stdout' ? stdout : stderr
    return to === undefined || to.destroyed || to.write(chunk)
  })
  const stdin = request.stdin && hasInput ? (terminal ? terminalInput(terminal) : pipeInput(engine, record)) : undefined
  let finish: () => void = () => {}
  const closed = new Promise<void>((resolve) => {
    finish = resolve
  })
  const end = (): void => {
    unsubscribe()
    for (const stream of [stdout, stderr]) stream?.end()
    stdin?.destroy()
    terminal?.destroy()
    finish()
  }
  void live.ended.then(end, end)
  return {
    ...(stdin ? { stdin } : {}),
    ...(stdout ? { stdout } : {}),
    ...(stderr ? { stderr } : {}),
    done: closed,
    resize(size) {
      if (master !== undefined && !terminal?.destroyed) setTerminalSize(master, size)
    },
    close: end,
  }
}

function pipeInput(engine: Engine, record: ContainerRecord): Writable | undefined {
  const fd = openInput(engine, record)
  if (fd === undefined) return undefined
  // The first to attach is then the only one to write, and its end is the end.
  if (record.config.stdinOnce) endInput(engine, record.id)
  return pipeWriter(fd).on('error', () => {})
}

async function portForward(engine: Engine, podSandboxId: string, port: number): Promise<Duplex> {
  const record = sandboxOf(engine, podSandboxId)
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw invalid(`port ${port} is not a port: want 1 to 65535`)
  if (record.phase !== 'ready') throw new CriError('FAILED_PRECONDITION', `pod sandbox ${record.id} is not running`)
  try {
    return await connectLoopback(record.netns, port)
  } catch (error) {
    try {
      if (hasErrno(error, 'ECONNREFUSED')) return await connectLoopback(record.netns, port, 6)
    } catch {
      // The first answer is the one that people know how to read.
    }
    throw criError(`port-forward to port ${port}`, error, 'UNAVAILABLE')
  }
}

export function streamService(engine: Engine): Pick<RuntimeService, 'exec' | 'execSync' | 'attach' | 'portForward'> {
  return {
    exec: (request) => exec(engine, request),
    execSync: (id, cmd, timeout = 0, { signal } = {}) => execSync(engine, id, cmd, { timeout, signal }),
    attach: (request) => attach(engine, request),
    portForward: (id, port) => portForward(engine, id, port),
  }
}
