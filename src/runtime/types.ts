// What the runtime offers to the daemon: containers by id, values in, values out.
import type { CgroupStats } from '../sys/index.js'
import type { OciState, OciStatus, Process, Resources, Spec } from './spec.js'

/**
 * Where one of the three standard streams goes. A path is opened by the monitor, FIFOs for reading and writing, so that
 * the container sees neither EPIPE nor end of file while the daemon is away. A descriptor is duplicated; the caller keeps and closes its own.
 * What an ended container left unread in an output FIFO is moved to the file `tail` before its exit status is known.
 */
export type StdioTarget = 'null' | { readonly path: string; readonly tail?: string } | { readonly fd: number }

export interface Stdio {
  /** Default `null`: /dev/null. Ignored when the process has a terminal. */
  readonly stdin?: StdioTarget
  readonly stdout?: StdioTarget
  readonly stderr?: StdioTarget
}

export interface CreateOptions {
  readonly id: string
  /** Folder of the bundle: relative `root.path` starts here, hooks run here. */
  readonly bundle: string
  /** Read from `<bundle>/config.json` when it is not given. */
  readonly spec?: Spec
  readonly stdio?: Stdio
}

export interface ContainerState extends OciState {
  readonly status: OciStatus
  /** Milliseconds since 1970. */
  readonly createdAt: number
  readonly startedAt?: number
  /** Set once stopped. */
  readonly exit?: ExitStatus
  readonly rootfs: string
  readonly owner: string
}

export interface ExitStatus {
  /** As a shell counts: 128 + signal for one that was killed. */
  readonly exitCode: number
  readonly signal?: number
  readonly oomKilled: boolean
  /** Milliseconds since 1970; 0 for a container that never started. */
  readonly startedAt: number
  readonly finishedAt: number
}

export interface ExecOptions {
  readonly process: Process
  readonly stdio?: Stdio
  /** Join this path below the container's own cgroup, by controller; `''` stands for all that are not named. */
  readonly subCgroups?: Readonly<Record<string, string>>
  /** Descriptors from 3 on that the process inherits: 3 + this many. */
  readonly preserveFds?: number
}

export interface ExecProcess {
  readonly pid: number
  /** The terminal's master when `process.terminal`; the caller owns and closes it. */
  readonly terminal?: number
  wait(): Promise<ExitStatus>
  /** Signals the process itself; false when it is gone. */
  kill(signal: number): boolean
}

/** What the container used so far, with the time of the look (milliseconds since 1970). */
export type ContainerStats = CgroupStats & { readonly at: number }

/** Refusals that callers branch on. */
export type RuntimeErrorCode = 'Exists' | 'NotFound' | 'InvalidId' | 'InvalidSpec' | 'WrongStatus' | 'NotExecutable' | 'Failed'

/** A request that was refused, or a machine's failure (`Failed`, whose cause or message names step, object and errno). */
export class RuntimeError extends Error {
  override readonly name = 'RuntimeError'
  readonly code: RuntimeErrorCode

  constructor(code: RuntimeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

export interface Runtime {
  /** Resolves when the container stands ready: namespaces, mounts and cgroup made, its process waits for `start`. Leaves nothing behind when it rejects. */
  create(options: CreateOptions): Promise<ContainerState>
  /** Resolves when the user's program was executed. Rejects when it could not be (`NotExecutable`); the container is then stopped. */
  start(id: string): Promise<void>
  exec(id: string, options: ExecOptions): Promise<ExecProcess>
  /** Signals the first process, or with `all` every process of the container. */
  kill(id: string, signal: number | string, options?: { readonly all?: boolean }): Promise<void>
  /** Resolves when the container has stopped, also one that stopped while no daemon was there. No polling. */
  wait(id: string, options?: { readonly signal?: AbortSignal }): Promise<ExitStatus>
  state(id: string): Promise<ContainerState>
  list(): Promise<readonly ContainerState[]>
  stats(id: string): Promise<ContainerStats>
  update(id: string, resources: Resources): Promise<void>
  pause(id: string): Promise<void>
  resume(id: string): Promise<void>
  /** Removes a stopped container's cgroup and state; with `force` kills it first. Unknown ids with `force` are fine. */
  delete(id: string, options?: { readonly force?: boolean }): Promise<void>
  /** Process ids inside the container, as the host numbers them. */
  pids(id: string): Promise<readonly number[]>
  /** A new descriptor of the container's terminal master, also after a restart of the daemon. The caller closes it. */
  openTerminal(id: string): Promise<number>
  /** Changes the size of the container's terminal. */
  resizeTerminal(id: string, size: { readonly width: number; readonly height: number }): Promise<void>
  /** The spec the container was created from. */
  spec(id: string): Promise<Spec>
  /** Called after each change of status that this process learns of: created, started, stopped, paused, resumed, deleted, oom. Returns the unsubscriber. */
  subscribe(listener: (event: RuntimeEvent) => void): () => void
  /** Forgets watchers; containers go on. */
  close(): void
}

export interface RuntimeEvent {
  readonly type: 'created' | 'started' | 'stopped' | 'paused' | 'resumed' | 'deleted' | 'oom'
  readonly id: string
  readonly at: number
  readonly exit?: ExitStatus
}
