// One container as the API shows it.
import type { ContainerState, ContainerStatus, Pod } from '../../api/index.js'
import { rfc3339 } from '../../lib/index.js'
import type { PodContainer } from './containers.js'
import { latest, type ObservedContainer, type ObservedPod, previous } from './observed.js'
import { mayRestart, type ProbeFindings } from './plan.js'

export interface Waiting {
  readonly reason: string
  readonly message?: string | undefined
}

export interface StatusInput {
  readonly pod: Pod
  readonly observed: ObservedPod
  readonly probes: ProbeFindings
  /** Why the last try to start a container failed, by name. */
  readonly waiting: ReadonlyMap<string, Waiting>
  /** What the kubelet itself has last written, or found in the API when it started. */
  readonly known: Pod['status']
  /** The pod runs no more and nothing in it will be started again. */
  readonly terminal: boolean
  readonly initialized: boolean
  /** The runtime can make mounts read-only with all that is mounted below them. */
  readonly recursiveReadOnly: boolean
}

const time = (ms: number): string | undefined => (ms > 0 ? rfc3339(ms) : undefined)

const terminated = (container: ObservedContainer): ContainerState => ({
  terminated: {
    exitCode: container.exitCode,
    ...(container.signal ? { signal: container.signal } : {}),
    reason: container.reason || (container.exitCode === 0 ? 'Completed' : 'Error'),
    message: container.message || undefined,
    // Go writes the zero time as null; clients want a string for a container that has ended.
    startedAt: rfc3339(container.startedAt),
    finishedAt: rfc3339(container.finishedAt),
    containerID: `knarr://${container.id}`,
  },
})

function stateOf(container: ObservedContainer, otherwise: ContainerState): ContainerState {
  if (container.phase === 'running') return { running: { startedAt: time(container.startedAt) } }
  if (container.phase === 'exited') return terminated(container)
  return otherwise
}

/** A container whose runtime record is gone though it was running: nobody knows how it ended. */
const lost: ContainerState = {
  terminated: {
    exitCode: 137,
    reason: 'ContainerStatusUnknown',
    message: 'The container could not be located when the pod was terminated',
    startedAt: undefined,
    finishedAt: undefined,
  },
}

const knownStatus = (input: StatusInput, name: string): ContainerStatus | undefined =>
  [
    ...(input.known?.initContainerStatuses ?? []),
    ...(input.known?.containerStatuses ?? []),
    ...(input.known?.ephemeralContainerStatuses ?? []),
  ].find((status) => status.name === name)

function withoutRecord(input: StatusInput, container: PodContainer, otherwise: ContainerState): ContainerStatus {
  const { name, image = '' } = container.spec
  const old = knownStatus(input, name)
  if (old?.state?.terminated) return { ...old, ready: container.role === 'init' && old.state.terminated.exitCode === 0 }
  // A pod that is over has no waiting containers, unless its initialisation never came to them.
  const due = container.role === 'main' && (input.initialized || (input.pod.spec?.initContainers ?? []).length === 0)
  const state = input.terminal && (due || old?.state?.running) ? lost : otherwise
  return {
    name,
    image,
    imageID: '',
    ready: false,
    started: false,
    restartCount: old?.restartCount ?? 0,
    state,
    lastState: old?.state?.running && !input.terminal ? lost : (old?.lastState ?? {}),
  }
}

/** The runtime's scheme in `containerID`: clients only want it to be there. */
export const withScheme = (status: ContainerStatus, scheme: string): ContainerStatus => {
  const rename = (id: string | undefined): string | undefined => id?.replace(/^knarr:\/\//, `${scheme}://`)
  const state = (of: ContainerState | undefined): ContainerState | undefined =>
    of?.terminated ? { terminated: { ...of.terminated, containerID: rename(of.terminated.containerID) } } : of
  return { ...status, containerID: rename(status.containerID), state: state(status.state), lastState: state(status.lastState) }
}

export function containerStatus(input: StatusInput, container: PodContainer): ContainerStatus {
  const { pod, observed, probes, waiting } = input
  const { name, image = '' } = container.spec
  const hasInit = (pod.spec?.initContainers ?? []).length > 0
  const initializing = hasInit && container.role !== 'ephemeral' && !(container.role === 'main' && input.initialized)
  const otherwise: ContainerState = { waiting: { reason: initializing ? 'PodInitializing' : 'ContainerCreating' } }
  const current = latest(observed, name)
  const before = previous(observed, name)
  const old = knownStatus(input, name)
  let status: ContainerStatus
  if (!current) status = withoutRecord(input, container, otherwise)
  else {
    const isRunning = current.phase === 'running'
    const done = container.role === 'init' && current.phase === 'exited' && current.exitCode === 0
    status = {
      name,
      image: current.image || image,
      imageID: current.imageRef,
      containerID: `knarr://${current.id}`,
      restartCount: Math.max(current.attempt, 0),
      state: stateOf(current, otherwise),
      lastState: before ? stateOf(before, {}) : old?.containerID?.endsWith(current.id) ? (old.lastState ?? {}) : {},
      ready: done || (isRunning && container.role !== 'init' && container.role !== 'ephemeral' && probes.readinessHolds(current.id)),
      started: isRunning && container.role !== 'ephemeral' ? probes.started(current.id) : false,
      ...(current.user && isRunning ? { user: { linux: current.user } } : {}),
    }
  }
  const failed = waiting.get(name)
  const succeeded = container.role === 'init' && current?.phase === 'exited' && current.exitCode === 0
  if (failed && current?.phase !== 'running' && !succeeded && !input.terminal && mayRestart(pod, container, current)) {
    const { terminated: ended } = status.state ?? {}
    status = { ...status, ready: false, lastState: ended ? { terminated: ended } : status.lastState, state: { waiting: failed } }
  }
  return withSpec(status, container, input.recursiveReadOnly)
}

/** `IfPossible` is as much as the runtime can. */
export const isRecursive = (wanted: string | undefined, supported: boolean): boolean =>
  wanted === 'Enabled' || (wanted === 'IfPossible' && supported)

/** What only the spec tells: amounts and mounts. */
function withSpec(status: ContainerStatus, { spec }: PodContainer, supported: boolean): ContainerStatus {
  const { resources, volumeMounts } = spec
  const has = resources && (resources.requests || resources.limits)
  return {
    ...status,
    ...(has && status.containerID ? { resources, allocatedResources: resources.requests } : {}),
    ...(volumeMounts && status.containerID
      ? {
          volumeMounts: volumeMounts.map(({ name, mountPath, readOnly, recursiveReadOnly }) => ({
            name,
            mountPath,
            ...(readOnly ? { readOnly, recursiveReadOnly: isRecursive(recursiveReadOnly, supported) ? 'Enabled' : 'Disabled' } : {}),
          })),
        }
      : {}),
  }
}
