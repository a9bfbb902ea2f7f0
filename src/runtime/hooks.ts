// Hooks: programs of the user's that run at fixed points of a container's life, with its state on their standard input.
import { closeSync, openSync } from 'node:fs'
import { type Clock, deferred } from '../lib/index.js'
import {
  CLONE_PARENT,
  elfProgram,
  launch,
  memoryFile,
  openPidfd,
  ProgramWriter,
  pipe,
  program,
  reap,
  StepError,
  thisArchitecture,
  watchReadable,
} from '../sys/index.js'
import { environmentOf } from './environment.js'
import { filterOf } from './filters.js'
import { namespaceFlags } from './plan/container.js'
import { REPORT } from './plan/facts.js'
import { CLOSE_RANGE_CLOEXEC, cleanSignals, loadFilter } from './plan/process.js'
import { namesIn, ReportReader } from './report.js'
import type { Hook, HookKind, OciState, Spec } from './spec.js'
import { RuntimeError } from './types.js'

const { address, strings, text, value } = program

const SIGSYS = 31

export interface HookContext {
  readonly spec: Spec
  /** Of the container, on the host. */
  readonly rootfs: string
  readonly state: OciState
  readonly clock: Clock
}

/** Those that run with the container's own view of the system. */
const INSIDE: readonly HookKind[] = ['createContainer', 'startContainer']

/** Runs the hooks of a kind in their order; the first that fails ends it. */
export async function runHooks(kind: HookKind, context: HookContext): Promise<void> {
  for (const [i, hook] of (context.spec.hooks?.[kind] ?? []).entries()) {
    const name = `${kind} hook #${i}: ${hook.path}`
    try {
      await (INSIDE.includes(kind) ? runInside(hook, kind, context) : runOutside(hook, context))
    } catch (error) {
      throw new RuntimeError('Failed', `error running ${name}`, { cause: error })
    }
  }
}

export const hasHooks = (spec: Spec, ...kinds: readonly HookKind[]): boolean => kinds.some((kind) => (spec.hooks?.[kind] ?? []).length > 0)

function judge(code: number, output: string): void {
  if (code !== 0) throw new Error(`exit status ${code}${output.trim() ? `, stderr: ${output.trim()}` : ''}`)
}

async function runOutside(hook: Hook, { state, clock }: HookContext): Promise<void> {
  // Loaded here: it takes longer than a start without hooks.
  const { spawn } = await import('node:child_process')
  const [argv0, ...args] = hook.args ?? [hook.path]
  const environment = Object.fromEntries(
    (hook.env ?? []).map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
  )
  const child = spawn(hook.path, args, {
    argv0: argv0 ?? hook.path,
    env: environment,
    cwd: state.bundle,
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  const { promise, resolve, reject } = deferred<number>()
  let output = ''
  child.stderr.on('data', (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-4096)
  })
  // A hook need not read its input.
  child.stdin.on('error', () => {})
  child.stdin.end(JSON.stringify(state))
  child.on('error', reject)
  child.on('close', (code, signal) => resolve(signal ? 128 : (code ?? 255)))
  const timer =
    hook.timeout === undefined
      ? undefined
      : clock.after(hook.timeout * 1000, () => {
          child.kill('SIGKILL')
          reject(new Error(`took longer than ${hook.timeout} s`))
        })
  try {
    judge(await promise, output)
  } finally {
    timer?.cancel()
  }
}

/** `createContainer`: the root is not changed yet. `startContainer`: as the process that waits for its start, that is with its environment and its filter. */
function insideProgram(hook: Hook, kind: HookKind, { spec, rootfs, state }: HookContext): program.Program {
  const w = new ProgramWriter()
  const flags = (spec.linux?.namespaces ?? []).reduce((bits, { type }) => bits | namespaceFlags[type], 0)
  w.block('launcher')
  cleanSignals(w)
  w.step('close the rest at exec', 'close_range', [3, 0xffffffff, CLOSE_RANGE_CLOEXEC])
  if (flags) w.step('enter the namespaces', 'setns', [value('given-pidfd'), flags])
  // A pid namespace is for those who are born into it: the hook is another process, and a child of whoever launched this one.
  w.region('clone-args', [CLONE_PARENT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
  w.region('record', [REPORT.pid, 0])
  w.step('clone the hook', 'clone3', [address('clone-args'), 88], { into: 'record[1]', onZero: 'hook' })
  w.step('report', 'write', [value('given-report'), address('record'), 16])
  w.step('done', 'exit_group', [0])
  w.block('hook')
  if (kind === 'createContainer') w.step(`enter ${rootfs}`, 'chdir', [text(rootfs)])
  const { process } = spec
  const inherited = kind === 'startContainer' && process ? environmentOf(process, { root: `/proc/${state.pid}/root` }) : []
  const filter = kind === 'startContainer' ? filterOf(spec.linux?.seccomp) : undefined
  // A filter that asks belongs to its listener, and that one is gone.
  if (filter && !filter.notify) loadFilter(w, filter)
  w.step('SIGPIPE as usual', 'rt_sigaction', [13, program.words(0, 0, 0, 0), 0, 8])
  w.step(`execute ${hook.path}`, 'execve', [text(hook.path), strings(hook.args ?? [hook.path]), strings(hook.env ?? inherited)])
  w.block('fail')
  w.step('report the failure', 'write', [value('given-report'), address('failure'), 16], { onError: 'ignore' })
  w.step('exit', 'exit_group', [255], { onError: 'ignore' })
  return w.program('launcher')
}

async function runInside(hook: Hook, kind: HookKind, context: HookContext): Promise<void> {
  const { state, clock } = context
  const container = state.pid === undefined ? undefined : openPidfd(state.pid)
  if (container === undefined) throw new Error('the container has ended')
  const toClose = [container]
  const toReap: number[] = []
  const open = <T extends number>(fd: T): T => {
    toClose.push(fd)
    return fd
  }
  try {
    const elf = elfProgram(insideProgram(hook, kind, context), thisArchitecture)
    const ends = pipe({ nonBlocking: true })
    const reader = new ReportReader(ends.read, namesIn(elf.image))
    open(ends.write)
    elf.setWord('given-report', ends.write)
    elf.setWord('given-pidfd', container)
    // Opened again: the position of the first descriptor is behind what was written.
    const input = open(openSync(`/proc/self/fd/${open(memoryFile('state', Buffer.from(JSON.stringify(state)), { seal: false }))}`, 'r'))
    const sink = open(openSync('/dev/null', 'w'))
    const executable = open(memoryFile('knarr-hook', elf.file))
    const launched = launch({ executable, argv: ['knarr-hook'], stdio: [input, sink, 2], keep: [ends.write, container] })
    closeSync(ends.write)
    toClose.splice(toClose.indexOf(ends.write), 1)
    closeSync(launched.pidfd)
    toReap.push(launched.pid)
    try {
      const record = await reader.next().catch(async (error: unknown) => {
        // The launcher's record may come behind that of the hook's failure.
        const later = await reader.next().catch(() => 'end' as const)
        if (later !== 'end') reap(later.value)
        throw error
      })
      if (record === 'end') throw new Error('it ended before it was executed')
      const pidfd = openPidfd(record.value)
      if (pidfd === undefined) throw new Error('it was reaped by somebody else')
      const code = await exitCode({ pid: record.value, pidfd }, hook, clock)
      await reader.next()
      judge(code, '')
    } finally {
      reader.close()
    }
  } catch (error) {
    throw error instanceof StepError ? new Error(error.message, { cause: error }) : error
  } finally {
    for (const fd of toClose) closeSync(fd)
    for (const pid of toReap) reap(pid)
  }
}

async function exitCode({ pid, pidfd }: { pid: number; pidfd: number }, hook: Hook, clock: Clock): Promise<number> {
  const { promise, resolve } = deferred()
  const watch = watchReadable(pidfd, resolve)
  watch.keepAlive(true)
  let late = false
  const timer =
    hook.timeout === undefined
      ? undefined
      : clock.after(hook.timeout * 1000, () => {
          late = true
          process.kill(pid, 'SIGKILL')
        })
  await promise
  timer?.cancel()
  watch.stop()
  closeSync(pidfd)
  const status = reap(pid) ?? 255 << 8
  if (late) throw new Error(`took longer than ${hook.timeout} s`)
  const signal = status & 0x7f
  if (signal === SIGSYS) throw new Error('killed by SIGSYS: bad system call')
  return signal ? 128 + signal : (status >> 8) & 0xff
}
