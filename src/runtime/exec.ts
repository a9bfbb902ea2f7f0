// Starts another process in a running container and follows it.
import { closeSync, writeSync } from 'node:fs'
import { type Clock, deferred } from '../lib/index.js'
import {
  type CgroupJoinPlan,
  elfProgram,
  launch,
  memoryFile,
  openPidfd,
  pipe,
  reap,
  receiveDescriptor,
  StepError,
  socketPair,
  thisArchitecture,
  watchReadable,
} from '../sys/index.js'
import { environmentOf } from './environment.js'
import { failedStep } from './failed-step.js'
import { execProgram } from './plan/exec.js'
import { type ContainerFacts, REPORT } from './plan/facts.js'
import { namesIn, ReportReader } from './report.js'
import { passListener } from './seccomp-listener.js'
import type { OciState, Process, Spec } from './spec.js'
import { openStdio } from './stdio.js'
import { type ExecProcess, type ExitStatus, RuntimeError, type Stdio } from './types.js'

export interface ExecRequest {
  readonly id: string
  readonly process: Process
  readonly spec: Spec
  /** Of the container, for a seccomp supervisor. */
  readonly state: OciState
  /** Of the container's first process. */
  readonly pid: number
  readonly cgroup: CgroupJoinPlan
  readonly stdio: Stdio | undefined
  readonly preserveFds: number
  /** A connected socket for the terminal's master; without it the master is part of the result. */
  readonly consoleSocket: number | undefined
  readonly restrictOomScoreAdj: number | undefined
  readonly seccomp: ContainerFacts['seccomp']
  readonly clock: Clock
}

/** Resolves when the program was executed. The process is a child of this one. */
export async function execInContainer(request: ExecRequest): Promise<ExecProcess> {
  const { process: wanted, clock } = request
  const container = openPidfd(request.pid)
  if (container === undefined) throw new RuntimeError('WrongStatus', `cannot exec in a stopped container: ${request.id}`)
  const toClose = [container]
  let keeper: number | undefined
  try {
    const elf = elfProgram(
      execProgram({
        ...request,
        consoleSocket: wanted.terminal ?? false,
        env: environmentOf(wanted, { root: `/proc/${request.pid}/root` }),
      }),
      thisArchitecture,
    )
    const ends = pipe({ nonBlocking: true })
    const reader = new ReportReader(ends.read, namesIn(elf.image))
    const go = request.seccomp?.notify ? pipe() : undefined
    if (go) toClose.push(go.read, go.write)
    const stdio = openStdio(request.stdio)
    let launcher: number
    try {
      elf.setWord('given-report', ends.write)
      elf.setWord('given-pidfd', container)
      const keep = [...Array.from({ length: request.preserveFds }, (_, i) => 3 + i), ends.write, container]
      if (go) {
        elf.setWord('given-go', go.read)
        keep.push(go.read)
      }
      if (wanted.terminal) {
        let socket = request.consoleSocket
        if (socket === undefined) {
          const pair = socketPair()
          socket = pair[0]
          keeper = pair[1]
          toClose.push(socket)
        }
        elf.setWord('given-console', socket)
        keep.push(socket)
      }
      const executable = memoryFile('knarr-exec', elf.file)
      toClose.push(executable)
      const launched = launch({ executable, argv: ['knarr-exec', request.id], stdio: stdio.fds, keep })
      closeSync(launched.pidfd)
      launcher = launched.pid
    } catch (error) {
      reader.close()
      throw error
    } finally {
      stdio.close()
      closeSync(ends.write)
    }
    const listener = (pid: number, fd: number): void => {
      passListener({ pid, fd, seccomp: request.spec.linux?.seccomp, state: request.state })
      if (go) writeSync(go.write, Buffer.from([1]))
    }
    const pid = await untilExecuted(reader, launcher, listener).finally(() => reader.close())
    const terminal = keeper === undefined ? undefined : receiveDescriptor(keeper)
    return follow(pid, clock, terminal)
  } finally {
    if (keeper !== undefined) closeSync(keeper)
    for (const fd of toClose) closeSync(fd)
  }
}

/** The process id, once the program runs. A failed one is reaped. */
async function untilExecuted(reader: ReportReader, launcher: number, pass: (pid: number, fd: number) => void): Promise<number> {
  let pid: number | undefined
  let listener: number | undefined
  try {
    for (;;) {
      const record = await reader.next()
      if (record === 'end') break
      if (record.tag === REPORT.pid) pid = record.value
      else if (record.tag === REPORT.seccomp) listener = record.value
      if (pid !== undefined && listener !== undefined) {
        pass(pid, listener)
        listener = undefined
      }
    }
  } catch (error) {
    // The launcher's record may still be on its way: it is the launcher that knows the process id.
    const next = pid === undefined ? await reader.next().catch(() => 'end' as const) : 'end'
    if (next !== 'end' && next.tag === REPORT.pid) pid = next.value
    if (pid !== undefined) {
      // One that failed is on its way out; one whose listener nobody took waits.
      if (!(error instanceof StepError)) process.kill(pid, 'SIGKILL')
      reap(pid)
    }
    throw error instanceof StepError ? failedStep(error, 'exec') : error
  } finally {
    reap(launcher)
  }
  if (pid === undefined) throw new RuntimeError('Failed', 'exec: the process ended before it was set up')
  return pid
}

function follow(pid: number, clock: Clock, terminal: number | undefined): ExecProcess {
  const startedAt = clock.now()
  const { promise, resolve } = deferred<ExitStatus>()
  const pidfd = openPidfd(pid)
  if (pidfd === undefined) throw new RuntimeError('Failed', `exec: process ${pid} was reaped by somebody else`)
  let alive = true
  const watch = watchReadable(pidfd, () => {
    watch.stop()
    closeSync(pidfd)
    alive = false
    const status = reap(pid) ?? 255 << 8
    const signal = status & 0x7f
    resolve({
      exitCode: signal ? 128 + signal : (status >> 8) & 0xff,
      ...(signal ? { signal } : {}),
      oomKilled: false,
      startedAt,
      finishedAt: clock.now(),
    })
  })
  let waiters = 0
  return {
    pid,
    ...(terminal === undefined ? {} : { terminal }),
    wait: () => {
      watch.keepAlive(++waiters > 0)
      return promise.finally(() => watch.keepAlive(--waiters > 0))
    },
    kill: (signal) => {
      // Until we have reaped it, its id belongs to nobody else.
      if (alive) process.kill(pid, signal)
      return alive
    },
  }
}
