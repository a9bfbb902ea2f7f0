// Records as the CRI shows them.
import { containersOf, type Engine } from './engine.js'
import type { ContainerRecord, SandboxRecord } from './records.js'
import { signalToCri } from './signals.js'
import type {
  Container,
  ContainerEventType,
  ContainerState,
  ContainerStatus,
  NamespaceOption,
  PodSandbox,
  PodSandboxState,
  PodSandboxStatus,
} from './types.js'

export const sandboxState = (engine: Engine, record: SandboxRecord): PodSandboxState =>
  record.phase === 'ready' && engine.pausing.has(record.id) ? 'SANDBOX_READY' : 'SANDBOX_NOTREADY'

export function podSandbox(engine: Engine, record: SandboxRecord): PodSandbox {
  return {
    id: record.id,
    metadata: record.config.metadata,
    state: sandboxState(engine, record),
    createdAt: record.createdAt,
    labels: record.config.labels ?? {},
    annotations: record.config.annotations ?? {},
    runtimeHandler: record.runtimeHandler,
  }
}

export function podSandboxStatus(engine: Engine, record: SandboxRecord): PodSandboxStatus {
  const [ip = '', ...more] = record.phase === 'ready' ? record.ips : []
  const given = record.config.linux?.securityContext?.namespaceOptions
  const options: NamespaceOption = { network: 'POD', pid: 'POD', ipc: 'POD', ...given }
  return {
    ...podSandbox(engine, record),
    network: { ip, additionalIps: more.map((address) => ({ ip: address })) },
    linux: { namespaces: { options } },
  }
}

export function containerState(engine: Engine, record: ContainerRecord): ContainerState {
  if (record.exit) return 'CONTAINER_EXITED'
  if (record.unstartable !== undefined) return 'CONTAINER_CREATED'
  if (!engine.live.has(record.id)) return 'CONTAINER_UNKNOWN'
  return record.startedAt > 0 ? 'CONTAINER_RUNNING' : 'CONTAINER_CREATED'
}

export function container(engine: Engine, record: ContainerRecord): Container {
  return {
    id: record.id,
    podSandboxId: record.sandboxId,
    metadata: record.config.metadata,
    image: record.config.image,
    imageRef: record.imageRef,
    imageId: record.imageId,
    state: containerState(engine, record),
    createdAt: record.createdAt,
    labels: record.config.labels ?? {},
    annotations: record.config.annotations ?? {},
  }
}

export function containerStatus(engine: Engine, record: ContainerRecord): ContainerStatus {
  const { exit } = record
  return {
    id: record.id,
    metadata: record.config.metadata,
    state: containerState(engine, record),
    createdAt: record.createdAt,
    startedAt: record.startedAt,
    finishedAt: exit?.finishedAt ?? 0,
    exitCode: exit?.exitCode ?? 0,
    image: record.config.image,
    imageRef: record.imageRef,
    imageId: record.imageId,
    reason: exit?.reason ?? '',
    message: exit?.message ?? '',
    labels: record.config.labels ?? {},
    annotations: record.config.annotations ?? {},
    mounts: record.config.mounts ?? [],
    logPath: record.logPath,
    resources: { linux: record.resources },
    user: { linux: record.user },
    stopSignal: signalToCri(record.stopSignal),
  }
}

/** Tells listeners of a change; the state they see is that after it. */
export function announce(engine: Engine, type: ContainerEventType, containerId: string, sandbox: SandboxRecord | undefined): void {
  if (!engine.events.wanted) return
  engine.events.emit({
    containerId,
    containerEventType: type,
    createdAt: engine.clock.now(),
    ...(sandbox ? { podSandboxStatus: podSandboxStatus(engine, sandbox) } : {}),
    containersStatuses: sandbox ? containersOf(engine, sandbox.id).map((record) => containerStatus(engine, record)) : [],
  })
}
