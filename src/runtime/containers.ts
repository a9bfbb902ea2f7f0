// The runtime as the daemon uses it: containers by id, whoever started them.
import { closeSync, readFileSync } from 'node:fs'
import { abortable, type Clock, deferred, explain, hasErrno, keyedLock, systemClock } from '../lib/index.js'
import {
  descriptorOf,
  openCgroup,
  openPidfd,
  reap,
  receiveDescriptor,
  StepError,
  setWindowSize,
  signalNumber,
  watchReadable,
} from '../sys/index.js'
import { type CreateContext, createContainer, hookState } from './create.js'
import { execInContainer } from './exec.js'
import { failedStep } from './failed-step.js'
import { filterOf } from './filters.js'
import { runHooks } from './hooks.js'
import { checkLabels } from './labels.js'
import { KEEPER_FD } from './plan/container.js'
import { REPORT } from './plan/facts.js'
import { ReportReader } from './report.js'
import { OCI_VERSION, type OciStatus, type Resources, type Spec } from './spec.js'
import { type StateFile, StateFiles } from './state-files.js'
import type { ContainerState, ContainerStats, CreateOptions, ExecOptions, ExecProcess, ExitStatus, Runtime, RuntimeEvent } from './types.js'
import { RuntimeError } from './types.js'
import { problemText, validateProcess } from './validate.js'

export interface RuntimeOptions {
  /** Folder of the containers' state. Default `/run/knarr/runtime`. */
  readonly root?: string
  readonly clock?: Clock
  /** Name of the user in `list`. */
  readonly owner?: string
  readonly systemdCgroup?: boolean
  /** Lift oom_score_adj to the daemon's own where the machine does not let it be lowered. */
  readonly restrictOomScoreAdj?: boolean
  /** Told of what went wrong without consequence. */
  readonly warn?: (message: string) => void
}

/** What this process holds open for a container. */
interface Watched {
  /** Written once, so that what was read is as good as what is on disk. */
  readonly state: StateFile
  /** Resolves when the monitor wrote the exit status down and ended, or died. */
  readonly ended: Promise<void>
  report?: ReportReader
  /** How many callers wait: only they keep this process alive. */
  waiters: number
  keepAlive(yes: boolean): void
  stop(): void
}

export function createRuntime(options: RuntimeOptions = {}): Runtime {
  return new Containers(options)
}

/** The runtime with what only the command needs on top. */
export class Containers implements Runtime {
  readonly files: StateFiles
  private readonly clock: Clock
  private readonly options: RuntimeOptions
  private readonly watched = new Map<string, Watched>()
  private readonly exits = new Map<string, ExitStatus>()
  private readonly listeners = new Set<(event: RuntimeEvent) => void>()
  private readonly lock = keyedLock()

  constructor(options: RuntimeOptions) {
    this.options = options
    this.files = new StateFiles(options.root ?? '/run/knarr/runtime')
    this.files.removeDrafts()
    this.clock = options.clock ?? systemClock
  }

  /** What a creation by this runtime depends on; the command changes some of it. */
  context(): CreateContext {
    return {
      files: this.files,
      clock: this.clock,
      owner: this.options.owner ?? 'root',
      parent: 'monitor',
      systemdCgroup: this.options.systemdCgroup ?? false,
      noPivot: false,
      noNewKeyring: false,
      preserveFds: 0,
      consoleSocket: undefined,
      restrictOomScoreAdj: this.options.restrictOomScoreAdj ? ownOomScoreAdj() : undefined,
      note: (level, message) => {
        if (level === 'warning') this.options.warn?.(message)
      },
      edit: (planned) => planned,
    }
  }

  create(options: CreateOptions): Promise<ContainerState> {
    return this.lock(options.id, async () => {
      const { state, launched, report, keeper } = await createContainer(options, this.context())
      // The monitor has its own.
      if (keeper !== undefined) closeSync(keeper)
      this.watch(state, launched.pidfd, launched.pid, report)
      this.emit({ type: 'created', id: options.id, at: this.clock.now() })
      return this.stateOf(state)
    })
  }

  start(id: string): Promise<void> {
    return this.lock(id, async () => {
      const state = this.read(id)
      const { status, pid } = this.stateOf(state)
      if (status !== 'created') throw new RuntimeError('WrongStatus', `cannot start a container in the ${status} state: ${id}`)
      const watched = this.watched.get(id)
      const report = watched?.report ?? new ReportReader(this.files.openReport(id), (address) => state.lateSteps[address])
      // Ours from here on: the container may end, and its watch with it, while we still read.
      if (watched) delete watched.report
      try {
        const context = { spec: state.spec, rootfs: state.rootfs, clock: this.clock }
        await runHooks('startContainer', { ...context, state: hookState(state, 'created', pid) }).catch((error: unknown) => {
          if (pid !== undefined) process.kill(pid, 'SIGKILL')
          throw error
        })
        if (!this.files.release(id)) throw new RuntimeError('WrongStatus', `cannot start a container that has stopped: ${id}`)
        for (;;) {
          const record = await report.next()
          if (record === 'end') break
          if (record.tag !== REPORT.pid && record.tag !== REPORT.created)
            throw new RuntimeError('Failed', `unexpected record ${record.tag} at start`)
        }
      } catch (error) {
        if (error instanceof StepError) throw failedStep(error, 'start')
        throw error
      } finally {
        report.close()
      }
      await this.poststart(state, pid)
      this.emit({ type: 'started', id, at: this.clock.now() })
    })
  }

  exec(id: string, options: ExecOptions): Promise<ExecProcess> {
    return this.execWith(id, options, {})
  }

  async execWith(
    id: string,
    options: ExecOptions,
    more: { readonly consoleSocket?: number; readonly ignorePaused?: boolean },
  ): Promise<ExecProcess> {
    const problems = validateProcess(options.process)
    if (problems.length > 0) throw new RuntimeError('InvalidSpec', problemText(problems))
    checkLabels(options.process)
    const state = this.read(id)
    const { status, pid } = this.stateOf(state)
    if (status === 'stopped' || status === 'creating' || pid === undefined) {
      throw new RuntimeError('WrongStatus', `cannot exec in a ${status} container: ${id}`)
    }
    if (status === 'paused' && !more.ignorePaused) throw new RuntimeError('WrongStatus', `cannot exec in a paused container: ${id}`)
    const cgroup = openCgroup(state.cgroupPath)
    return execInContainer({
      id,
      process: options.process,
      spec: state.spec,
      state: hookState(state, status, pid),
      pid,
      cgroup: options.subCgroups ? cgroup.joinPlan(options.subCgroups) : cgroup.joinPlanBeside(pid),
      stdio: options.stdio,
      preserveFds: options.preserveFds ?? 0,
      consoleSocket: more.consoleSocket,
      restrictOomScoreAdj: this.options.restrictOomScoreAdj ? ownOomScoreAdj() : undefined,
      seccomp: filterOf(state.spec.linux?.seccomp),
      clock: this.clock,
    })
  }

  async kill(id: string, signal: number | string, options: { readonly all?: boolean } = {}): Promise<void> {
    const number = signalNumber(signal)
    if (number === undefined) throw new RuntimeError('Failed', `unknown signal "${signal}"`)
    const state = this.files.read(id)
    const cgroup = openCgroup(state.cgroupPath)
    // Without a pid namespace of its own the first process takes nobody with it.
    if (options.all || (number === SIGKILL && !ownPidNamespace(state.spec) && cgroup.exists())) {
      if (number === SIGKILL) await cgroup.kill()
      else cgroup.signal(number)
      return
    }
    // A frozen process of a v1 freezer dies when it is thawed.
    if (number === SIGKILL && cgroup.frozen) await cgroup.thaw()
    const { status, pid } = this.stateOf(state)
    if (status === 'stopped' || pid === undefined) throw new RuntimeError('WrongStatus', `container not running: ${id}`)
    try {
      process.kill(pid, number)
    } catch (error) {
      if (hasErrno(error, 'ESRCH')) throw new RuntimeError('WrongStatus', `container not running: ${id}`)
      throw error
    }
  }

  async wait(id: string, options: { readonly signal?: AbortSignal } = {}): Promise<ExitStatus> {
    const state = this.read(id)
    for (;;) {
      const exit = this.exitOf(state)
      if (exit) return exit
      const watched = this.watched.get(id) ?? this.adopt(state)
      if (!watched) {
        const now = this.exitOf(state)
        if (now) return now
        throw new RuntimeError('Failed', `container ${id} has neither a monitor nor an exit status`)
      }
      await this.untilEnded(watched, options.signal)
    }
  }

  async state(id: string): Promise<ContainerState> {
    return this.stateOf(this.files.read(id))
  }

  async list(): Promise<readonly ContainerState[]> {
    const states: ContainerState[] = []
    for (const id of this.files.ids()) {
      try {
        states.push(this.stateOf(this.files.read(id)))
      } catch (error) {
        // Deleted meanwhile.
        if (!(error instanceof RuntimeError && error.code === 'NotFound')) throw error
      }
    }
    return states
  }

  async stats(id: string): Promise<ContainerStats> {
    const { cgroupPath } = this.read(id)
    return { at: this.clock.now(), ...openCgroup(cgroupPath).stats() }
  }

  async update(id: string, resources: Resources): Promise<void> {
    const { cgroupPath } = this.files.read(id)
    openCgroup(cgroupPath).limit(resources)
  }

  async pause(id: string): Promise<void> {
    const state = this.files.read(id)
    const { status } = this.stateOf(state)
    if (status !== 'running' && status !== 'created') throw new RuntimeError('WrongStatus', `container not running or created: ${status}`)
    await openCgroup(state.cgroupPath).freeze()
    this.emit({ type: 'paused', id, at: this.clock.now() })
  }

  async resume(id: string): Promise<void> {
    const state = this.files.read(id)
    if (this.stateOf(state).status !== 'paused') throw new RuntimeError('WrongStatus', `container not paused: ${id}`)
    await openCgroup(state.cgroupPath).thaw()
    this.emit({ type: 'resumed', id, at: this.clock.now() })
  }

  delete(id: string, options: { readonly force?: boolean } = {}): Promise<void> {
    return this.lock(id, async () => {
      let state: StateFile
      try {
        state = this.files.read(id)
      } catch (error) {
        if (options.force && error instanceof RuntimeError && error.code === 'NotFound') return
        throw error
      }
      const { status } = this.stateOf(state)
      // runc deletes one that was never started, too.
      if (status !== 'stopped' && status !== 'created' && !options.force) {
        throw new RuntimeError('WrongStatus', `cannot delete container ${id} that is not stopped: ${status}`)
      }
      const cgroup = openCgroup(state.cgroupPath)
      if (cgroup.exists() && (status !== 'stopped' || cgroup.processes().length > 0)) await cgroup.kill()
      const watched = this.watched.get(id) ?? this.adopt(state)
      if (watched) await this.untilEnded(watched)
      await cgroup.delete()
      this.forget(id)
      this.files.remove(id)
      await this.poststop(state)
      this.emit({ type: 'deleted', id, at: this.clock.now() })
    })
  }

  /** Calls back at each kill for want of memory. */
  onOom(id: string, report: (kills: number) => void): () => void {
    return openCgroup(this.read(id).cgroupPath).onOom(report)
  }

  /** Resolves when the first process has ended, whoever its parent is. */
  async untilFirstEnds(id: string, signal?: AbortSignal): Promise<void> {
    const pids = this.files.pids(id)
    const pidfd = pids && openPidfd(pids.first)
    if (pidfd === undefined) return
    const { promise, resolve } = deferred()
    const watch = watchReadable(pidfd, resolve)
    watch.keepAlive(true)
    await (signal ? abortable(promise, signal) : promise).finally(() => {
      watch.stop()
      closeSync(pidfd)
    })
  }

  async pids(id: string): Promise<readonly number[]> {
    return openCgroup(this.read(id).cgroupPath).processes()
  }

  async openTerminal(id: string): Promise<number> {
    const state = this.read(id)
    const pids = this.files.pids(id)
    if (!state.spec.process?.terminal) throw new RuntimeError('WrongStatus', `container ${id} has no terminal`)
    const monitor = pids && isMonitor(pids.monitor, id) ? openPidfd(pids.monitor) : undefined
    if (monitor === undefined) throw new RuntimeError('WrongStatus', `container ${id} has stopped: its terminal is gone`)
    try {
      const keeper = descriptorOf(monitor, KEEPER_FD)
      try {
        const master = receiveDescriptor(keeper, { peek: true })
        if (master === undefined) throw new RuntimeError('Failed', `container ${id} sent no terminal`)
        return master
      } finally {
        closeSync(keeper)
      }
    } finally {
      closeSync(monitor)
    }
  }

  async resizeTerminal(id: string, size: { readonly width: number; readonly height: number }): Promise<void> {
    const master = await this.openTerminal(id)
    try {
      setWindowSize(master, size)
    } finally {
      closeSync(master)
    }
  }

  async spec(id: string): Promise<Spec> {
    return this.read(id).spec
  }

  subscribe(listener: (event: RuntimeEvent) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  close(): void {
    // Monitors that are our children must still be reaped; watching them keeps nobody alive.
    for (const { report } of this.watched.values()) report?.close()
    this.listeners.clear()
  }

  /** Their failure stops the container (runtime-spec, lifecycle). */
  private async poststart(state: StateFile, pid: number | undefined): Promise<void> {
    const hook = hookState(state, 'running', pid)
    try {
      await runHooks('poststart', { spec: state.spec, rootfs: state.rootfs, state: hook, clock: this.clock })
    } catch (error) {
      await openCgroup(state.cgroupPath).kill()
      throw error
    }
  }

  /** Their failure changes nothing any more: it is told and that is all. */
  private async poststop(state: StateFile): Promise<void> {
    const hook = hookState(state, 'stopped')
    try {
      await runHooks('poststop', { spec: state.spec, rootfs: state.rootfs, state: hook, clock: this.clock })
    } catch (error) {
      this.options.warn?.(explain(error))
    }
  }

  private read(id: string): StateFile {
    return this.watched.get(id)?.state ?? this.files.read(id)
  }

  private emit(event: RuntimeEvent): void {
    for (const listener of this.listeners) listener(event)
  }

  /** Follows a monitor: our own child, or one that an earlier daemon left. */
  private watch(state: StateFile, pidfd: number, monitor: number, report?: ReportReader): Watched {
    const { promise: ended, resolve } = deferred()
    let open = true
    const readable = watchReadable(pidfd, () => {
      stop()
      // One that an earlier daemon left is nobody's child of ours: that is fine too.
      reap(monitor)
      this.stopped(state)
      resolve()
    })
    const stop = (): void => {
      if (!open) return
      open = false
      readable.stop()
      closeSync(pidfd)
      watched.report?.close()
    }
    const watched: Watched = { state, ended, waiters: 0, keepAlive: readable.keepAlive, stop, ...(report ? { report } : {}) }
    this.watched.set(state.id, watched)
    return watched
  }

  private stopped(state: StateFile): void {
    const { id } = state
    this.watched.delete(id)
    const exit = this.exitOf(state)
    if (exit?.oomKilled) this.emit({ type: 'oom', id, at: this.clock.now() })
    this.emit({ type: 'stopped', id, at: this.clock.now(), ...(exit ? { exit } : {}) })
  }

  /** A monitor that this process did not launch. Undefined when it is gone. */
  private adopt(state: StateFile): Watched | undefined {
    const { id } = state
    const pids = this.files.pids(id)
    if (!pids || !isMonitor(pids.monitor, id)) return undefined
    const pidfd = openPidfd(pids.monitor)
    if (pidfd === undefined) return undefined
    if (!isMonitor(pids.monitor, id)) {
      closeSync(pidfd)
      return undefined
    }
    return this.watch(state, pidfd, pids.monitor)
  }

  private async untilEnded(watched: Watched, signal?: AbortSignal): Promise<void> {
    watched.keepAlive(++watched.waiters > 0)
    await (signal ? abortable(watched.ended, signal) : watched.ended).finally(() => watched.keepAlive(--watched.waiters > 0))
  }

  private forget(id: string): void {
    this.watched.get(id)?.stop()
    this.watched.delete(id)
    this.exits.delete(id)
  }

  private exitOf(state: StateFile): ExitStatus | undefined {
    const known = this.exits.get(state.id)
    if (known) return known
    const record = this.files.exit(state.id)
    if (!record) return undefined
    const { started = 0 } = this.files.times(state.id)
    const killed = record.code === 'killed'
    const exit: ExitStatus = {
      exitCode: killed ? 128 + record.status : record.status,
      ...(killed ? { signal: record.status } : {}),
      oomKilled: openCgroup(state.cgroupPath).oomKills() > 0,
      startedAt: started,
      finishedAt: record.at,
    }
    this.exits.set(state.id, exit)
    return exit
  }

  private stateOf(state: StateFile): ContainerState {
    const { id } = state
    const exit = this.exitOf(state)
    const times = this.files.times(id)
    const pids = this.files.pids(id)
    const status = exit ? 'stopped' : this.liveStatus(state, times, pids)
    return {
      ociVersion: OCI_VERSION,
      id,
      status,
      ...(pids && status !== 'stopped' ? { pid: pids.first } : {}),
      bundle: state.bundle,
      ...(state.spec.annotations ? { annotations: state.spec.annotations } : {}),
      createdAt: state.createdAt,
      ...(times.started !== undefined ? { startedAt: times.started } : {}),
      ...(exit ? { exit } : {}),
      rootfs: state.rootfs,
      owner: state.owner,
    }
  }

  private liveStatus(state: StateFile, times: ReturnType<StateFiles['times']>, pids: ReturnType<StateFiles['pids']>): OciStatus {
    if (!pids || times.created === undefined) return 'creating'
    const alive =
      state.parent === 'child' ? this.files.isFirst(state.id, pids.first) : this.watched.has(state.id) || isMonitor(pids.monitor, state.id)
    if (!alive) return 'stopped'
    if (openCgroup(state.cgroupPath).frozen) return 'paused'
    return times.started === undefined ? 'created' : 'running'
  }
}

const SIGKILL = 9

const ownPidNamespace = (spec: Spec): boolean => (spec.linux?.namespaces ?? []).some(({ type, path }) => type === 'pid' && !path)

/** Whether this process id is the monitor of that container: it carries the id as its argument. */
function isMonitor(pid: number, id: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8') === `knarr-monitor\0${id}\0`
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ESRCH')) return false
    throw error
  }
}

const ownOomScoreAdj = (): number => Number(readFileSync('/proc/self/oom_score_adj', 'utf8'))
