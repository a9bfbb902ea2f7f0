// Everything known about one pod while a worker looks after it. Mutable, and owned by that worker alone.
import type { Pod, PodStatus } from '../../api/index.js'
import { explain, rfc3339 } from '../../lib/index.js'
import { messageFileOf } from '../container/mounts.js'
import type { Prober } from '../probe/prober.js'
import type { ReadyVolume } from '../volume/volumes.js'
import type { Waiting } from './container-status.js'
import { observedContainer, observedSandbox } from './observe.js'
import { latest, nothingObserved, type ObservedPod, withContainer, withSandbox } from './observed.js'
import type { PodServices } from './services.js'
import { podStatus } from './status.js'

export interface Verdict {
  readonly reason: string
  readonly message: string
}

export interface PodRecord {
  pod: Pod
  observed: ObservedPod
  /** Why containers wait, by name, and when they are tried again. */
  readonly waiting: Map<string, Waiting>
  readonly retryAt: Map<string, number>
  /** What was last computed for the API, or found in it. */
  known: PodStatus | undefined
  verdict: Verdict | undefined
  disruption: Verdict | undefined
  /** It was turned away before anything of it was made: what it would have consisted of is not shown. */
  refused: boolean
  /** The sources have no such pod any more. */
  removed: boolean
  /** Nothing of it runs and nothing will. */
  terminal: boolean
  volumes: ReadonlyMap<string, ReadyVolume> | undefined
  /** Something that volumes are made of may have changed. */
  volumesStale: boolean
  /** When they failed: not tried again before. */
  volumesRetryAt: number | undefined
  readonly startTime: string
  readonly prober: Prober
}

export const newRecord = (pod: Pod, startTime: number, prober: Prober): PodRecord => ({
  pod,
  observed: nothingObserved,
  waiting: new Map(),
  retryAt: new Map(),
  known: pod.status?.startTime ? pod.status : undefined,
  verdict: undefined,
  disruption: undefined,
  refused: false,
  removed: false,
  terminal: false,
  volumes: undefined,
  volumesStale: true,
  volumesRetryAt: undefined,
  startTime: rfc3339(startTime),
  prober,
})

export const podIpsOf = (record: PodRecord, services: PodServices): readonly string[] =>
  record.pod.spec?.hostNetwork ? services.node.hostIps() : (record.observed.sandboxes[0]?.ips ?? [])

/** Asks the runtime about one container. */
export async function refreshContainer(record: PodRecord, services: PodServices, id: string, sandboxId: string): Promise<void> {
  try {
    const { status } = await services.cri.containerStatus(id)
    const folder = services.volumes.podFolder(record.pod.metadata.uid ?? '')
    const message = messageFileOf(folder, status.metadata.name, status.metadata.attempt ?? 0)
    record.observed = withContainer(record.observed, observedContainer(status, sandboxId, message))
  } catch (error) {
    services.log.debug('container status not known', { container: id, err: explain(error) })
  }
}

export async function refreshSandbox(record: PodRecord, services: PodServices, id: string): Promise<void> {
  const { status } = await services.cri.podSandboxStatus(id)
  record.observed = withSandbox(record.observed, observedSandbox(status))
}

/** The status as of now; remembers it, so that times move only with changes. */
export function computeStatus(record: PodRecord, services: PodServices): PodStatus {
  const status = podStatus({
    pod: record.pod,
    observed: record.observed,
    probes: record.prober,
    waiting: record.waiting,
    known: record.known,
    terminal: record.terminal,
    hostIps: services.node.hostIps(),
    runtime: services.node.runtime(),
    recursiveReadOnly: services.node.recursiveReadOnly(),
    now: rfc3339(services.clock.now()),
    startTime: record.startTime,
    verdict: record.verdict,
    disruption: record.disruption,
    refused: record.refused,
  })
  record.known = status
  return status
}

/** Restarts that the API remembers of a container, for when its record in the runtime is gone. */
export function restartsKnown(record: PodRecord, name: string): number | undefined {
  if (latest(record.observed, name)) return undefined
  const all = [...(record.known?.initContainerStatuses ?? []), ...(record.known?.containerStatuses ?? [])]
  const status = all.find((each) => each.name === name)
  return status?.containerID ? status.restartCount : undefined
}
