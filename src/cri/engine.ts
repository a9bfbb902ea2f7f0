// What the parts of the CRI share: what was passed in, what is known, and the questions all of them ask of it.
import { setMaxListeners } from 'node:events'
import { join } from 'node:path'
import type { ImageStore } from '../image/index.js'
import { type Clock, keyedLock, type Logger, type Random } from '../lib/index.js'
import type { Device, Runtime } from '../runtime/index.js'
import { CriError, notFound } from './errors.js'
import { createEvents, type Events } from './events.js'
import type { LogPump } from './log-pump.js'
import { type ContainerRecord, openRecords, type RecordStore, type SandboxRecord } from './records.js'
import type { SELinuxPolicy } from './spec/selinux.js'
import type { PodSandboxConfig, StringMap } from './types.js'

/** How pods get their network. The consumer's view of CNI. */
export interface PodNetwork {
  /** Connects the namespace at `netns`; addresses without prefix length, the first one is the pod's. */
  setUp(pod: NetworkPod): Promise<{ readonly ips: readonly string[] }>
  /** Disconnects and gives addresses back. May be called twice, and after a half set-up. */
  tearDown(pod: NetworkPod): Promise<void>
  status(): Promise<{ readonly ready: boolean; readonly reason: string; readonly message: string }>
}

export interface NetworkPod {
  readonly id: string
  readonly netns: string
  readonly config: PodSandboxConfig
}

/** Facts about the machine that specs depend on. */
export interface Machine {
  readonly cgroupVersion: 1 | 2
  readonly bootId: string
  readonly hostname: string
  readonly arch: string
  /** Names of the capabilities that may be given. */
  readonly capabilities: readonly string[]
  readonly seccomp: boolean
  readonly apparmor: boolean
  /** What the policy of SELinux has for containers; undefined where the kernel has none. */
  readonly selinux: SELinuxPolicy | undefined
  /** All device nodes, for privileged containers. */
  hostDevices(): readonly Device[]
}

export interface CriOptions {
  /** Survives reboots: records, logs' positions, volumes. */
  readonly root: string
  /** Does not need to survive reboots: files, FIFOs and mounts of sandboxes. */
  readonly runDir: string
  readonly runtime: Runtime
  readonly images: ImageStore
  /** Undefined: pods of the host's network only. */
  readonly network?: PodNetwork
  readonly machine: Machine
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly version: string
  /** Names of runtime handlers beside `''`; all of them are ours. */
  readonly handlers?: readonly string[]
  /** Folders of Container Device Interface files. Default /etc/cdi and /var/run/cdi. */
  readonly cdiDirs?: readonly string[]
}

/** What a running daemon knows of a container beside its record. */
export interface LiveContainer {
  pump?: LogPump
  pid: number
  /** Settles when the container has ended and its end is recorded. */
  ended: Promise<void>
  /** Set when the machine's memory ran out for it. */
  abandon: AbortController
}

export interface Engine extends CriOptions {
  readonly sandboxes: RecordStore<SandboxRecord>
  readonly containers: RecordStore<ContainerRecord>
  readonly live: Map<string, LiveContainer>
  /** Sandboxes whose pause process runs. */
  readonly pausing: Set<string>
  readonly events: Events
  readonly lock: ReturnType<typeof keyedLock>
  /** Containers being made, by sandbox: its removal waits for them. */
  readonly making: Map<string, Set<Promise<unknown>>>
  readonly stopping: AbortController
}

export function createEngine(options: CriOptions): Engine {
  const stopping = new AbortController()
  // Every sandbox and container listens.
  setMaxListeners(0, stopping.signal)
  return {
    ...options,
    sandboxes: openRecords<SandboxRecord>(join(options.root, 'sandboxes'), options.log),
    containers: openRecords<ContainerRecord>(join(options.root, 'containers'), options.log),
    live: new Map(),
    pausing: new Set(),
    events: createEvents(),
    lock: keyedLock(),
    making: new Map(),
    stopping,
  }
}

export const newId = (random: Random): string => Buffer.from(random.bytes(32)).toString('hex')

/** Not in `runDir`: nothing can be executed below the `/run` of many machines. */
export const pauseRoot = (engine: Pick<CriOptions, 'root'>): string => join(engine.root, 'pause')

export const sandboxDir = (engine: Pick<CriOptions, 'runDir'>, id: string): string => join(engine.runDir, 'sandboxes', id)
/** Of one container: FIFOs, rootfs, volumes. */
export const containerDir = (engine: Pick<CriOptions, 'runDir'>, id: string): string => join(engine.runDir, 'containers', id)
/** Kept over reboots, with the container's record. */
export const spoolDir = (engine: Pick<CriOptions, 'root'>, id: string): string => join(engine.root, 'spools', id)

/** What is written to the volumes that the image of a container declares: more than a folder in memory may hold. */
export const volumesDir = (engine: Pick<CriOptions, 'root'>, id: string): string => join(engine.root, 'volumes', id)

/** By id or by the beginning of one, as crictl's users type it. */
export function find<T extends { readonly id: string }>(store: RecordStore<T>, id: string): T | undefined {
  const exact = store.get(id)
  if (exact || id === '') return exact
  let found: T | undefined
  for (const record of store.all.values()) {
    if (!record.id.startsWith(id)) continue
    if (found) throw new CriError('INVALID_ARGUMENT', `id ${JSON.stringify(id)} is the beginning of more than one: give more of it`)
    found = record
  }
  return found
}

export function sandboxOf(engine: Engine, id: string): SandboxRecord {
  const record = find(engine.sandboxes, id)
  if (!record || record.phase === 'creating') throw notFound('pod sandbox', id)
  return record
}

export function containerOf(engine: Engine, id: string): ContainerRecord {
  const record = find(engine.containers, id)
  if (!record || record.phase === 'creating') throw notFound('container', id)
  return record
}

export const matches = (labels: StringMap | undefined, selector: StringMap | undefined): boolean =>
  Object.entries(selector ?? {}).every(([key, value]) => labels?.[key] === value)

export const containersOf = (engine: Engine, sandboxId: string): ContainerRecord[] =>
  [...engine.containers.all.values()].filter((record) => record.sandboxId === sandboxId)

/** Steps to be undone when a later one fails, last first. Failures of undoing are logged: the first error is what counts. */
export class Undo {
  private readonly steps: { readonly what: string; readonly run: () => unknown }[] = []
  private readonly log: Logger

  constructor(log: Logger) {
    this.log = log
  }

  add(what: string, run: () => unknown): void {
    this.steps.push({ what, run })
  }

  async run(): Promise<void> {
    for (const { what, run } of this.steps.reverse()) {
      try {
        await run()
      } catch (err) {
        this.log.warn('undoing a failed creation', { what, err })
      }
    }
  }
}
