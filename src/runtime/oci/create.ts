// `create`, `start` and `run`.
import { closeSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Flags, parseFlags, UsageError } from '../../lib/index.js'
import { connectUnix, openPidfd, reap, receiveDescriptor, sendDescriptors, signalNumber, watchReadable } from '../../sys/index.js'
import { type Created, createContainer, readSpec } from '../create.js'
import { RuntimeError } from '../types.js'
import { createFlags, runFlags } from './flags.js'
import { blockingStdio, type Session, writePidFile } from './session.js'
import { pumpTerminal } from './terminal-pump.js'

export function onlyArgument(args: readonly string[], what = 'container id'): string {
  const [id, ...rest] = args
  if (id === undefined || rest.length > 0) throw new UsageError(`want exactly one argument, the ${what}`)
  return id
}

interface MakeOptions {
  readonly id: string
  readonly flags: Flags<typeof createFlags>
  /** The caller stays and keeps the terminal itself. */
  readonly ownTerminal: boolean
}

async function make(session: Session, { id, flags, ownTerminal }: MakeOptions): Promise<Created> {
  const bundle = resolve(flags.bundle)
  const spec = readSpec(bundle)
  const socketPath = flags['console-socket']
  if (spec.process?.terminal) {
    if (!socketPath && !ownTerminal)
      throw new RuntimeError('InvalidSpec', 'cannot allocate tty if runc will detach without setting console socket')
  } else if (socketPath) throw new RuntimeError('InvalidSpec', 'cannot use console socket if runc will not detach or allocate tty')
  const consoleSocket = socketPath ? connectUnix(socketPath) : undefined
  blockingStdio()
  try {
    const created = await createContainer(
      { id, bundle, spec, stdio: { stdin: { fd: 0 }, stdout: { fd: 1 }, stderr: { fd: 2 } } },
      session.context({
        consoleSocket,
        noPivot: flags['no-pivot'],
        noNewKeyring: flags['no-new-keyring'],
        preserveFds: flags['preserve-fds'],
      }),
    )
    reap(created.launched.pid)
    closeSync(created.launched.pidfd)
    session.containers.files.noteFirst(id, created.firstPid)
    session.note('debug', `container ${id}: process ${created.firstPid} in cgroup ${created.state.cgroupPath}`)
    sendPidfd(flags['pidfd-socket'], created.firstPid)
    writePidFile(flags['pid-file'], created.firstPid)
    return created
  } finally {
    if (consoleSocket !== undefined) closeSync(consoleSocket)
  }
}

export function sendPidfd(path: string | undefined, pid: number): void {
  if (!path) return
  const pidfd = openPidfd(pid)
  if (pidfd === undefined) throw new RuntimeError('Failed', `process ${pid} has ended`)
  const socket = connectUnix(path)
  sendDescriptors(socket, Buffer.from('pidfd'), [pidfd])
  closeSync(socket)
  closeSync(pidfd)
}

export async function create(session: Session, argv: readonly string[]): Promise<number> {
  const { flags, args } = parseFlags(createFlags, argv)
  const created = await make(session, { id: onlyArgument(args), flags, ownTerminal: false })
  created.report.close()
  return 0
}

export async function start(session: Session, argv: readonly string[]): Promise<number> {
  const { args } = parseFlags({}, argv)
  await session.containers.start(onlyArgument(args))
  return 0
}

export async function run(session: Session, argv: readonly string[]): Promise<number> {
  const { flags, args } = parseFlags(runFlags, argv)
  const id = onlyArgument(args)
  const created = await make(session, { id, flags, ownTerminal: !flags.detach })
  created.report.close()
  let restore: () => void = () => {}
  try {
    const exit = exitOf(created.firstPid)
    if (created.keeper !== undefined) {
      const master = receiveDescriptor(created.keeper)
      closeSync(created.keeper)
      if (master !== undefined) restore = pumpTerminal(master, session.io)
    }
    try {
      await session.containers.start(id)
    } catch (error) {
      await session.containers.delete(id, { force: true })
      if (!(error instanceof RuntimeError && error.code === 'NotExecutable')) throw error
      // As if the first process had said it: it was on its way to become the program.
      session.io.stderr.write(`${error.message}\n`)
      return 1
    }
    if (flags.detach) return 0
    const forward = forwardSignals(created.firstPid)
    const code = await exit
    forward()
    if (!flags.keep) await session.containers.delete(id, { force: true })
    return code
  } finally {
    restore()
  }
}

/** The exit code of a child of ours, as a shell counts. */
export function exitOf(pid: number): Promise<number> {
  const pidfd = openPidfd(pid)
  if (pidfd === undefined) throw new RuntimeError('Failed', `process ${pid} has ended`)
  return new Promise((done) => {
    const watch = watchReadable(pidfd, () => {
      watch.stop()
      closeSync(pidfd)
      const status = reap(pid) ?? 255 << 8
      done(status & 0x7f ? 128 + (status & 0x7f) : (status >> 8) & 0xff)
    })
  })
}

const FORWARDED = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGCONT',
  'SIGTSTP',
  'SIGTTIN',
  'SIGTTOU',
] as const

/** Passes signals on to the container. */
export function forwardSignals(pid: number): () => void {
  const forward = (signal: NodeJS.Signals): void => {
    try {
      process.kill(pid, signalNumber(signal) ?? signal)
    } catch {
      // It has ended: its exit is on the way to us.
    }
  }
  for (const signal of FORWARDED) process.on(signal, forward)
  return () => {
    for (const signal of FORWARDED) process.off(signal, forward)
  }
}
