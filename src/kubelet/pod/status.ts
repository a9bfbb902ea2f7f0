// The status of a pod, computed from what is observed. Pure.
import type { ContainerState, ContainerStatus, Pod, PodCondition, PodStatus } from '../../api/index.js'
import { conditionsOf } from './conditions.js'
import { containerStatus, type StatusInput, withScheme } from './container-status.js'
import { ephemeralContainersOf, initContainersOf, mainContainersOf } from './containers.js'
import { hasInitialized } from './plan.js'
import { qosClassOf } from './resources.js'

export interface PodStatusInput extends Omit<StatusInput, 'initialized'> {
  readonly hostIps: readonly string[]
  /** The scheme of container ids: `containerd`. */
  readonly runtime: string
  readonly now: string
  readonly startTime: string
  /** A verdict of the kubelet itself (rejected, deadline, shutdown): the pod has failed whatever its containers say. */
  readonly verdict?: { readonly reason: string; readonly message: string } | undefined
  readonly disruption?: { readonly reason: string; readonly message: string } | undefined
  /** Nothing of the pod was ever made, and nothing will be. */
  readonly refused?: boolean
}

const exitOf = (status: ContainerStatus | undefined): number | undefined => status?.state?.terminated?.exitCode
const lastExitOf = (status: ContainerStatus | undefined): number | undefined => status?.lastState?.terminated?.exitCode

/** Where init containers stand: still to come, or failed for good. */
function initProgress(pod: Pod, statuses: readonly ContainerStatus[]): { pending: number; pendingSidecars: number; failed: number } {
  const progress = { pending: 0, pendingSidecars: 0, failed: 0 }
  for (const { spec, role } of initContainersOf(pod)) {
    const status = statuses.find(({ name }) => name === spec.name)
    if (role === 'sidecar') {
      if (status?.state?.running ? !status.started : status?.state?.waiting && lastExitOf(status) === undefined) progress.pendingSidecars++
    } else if (!status || status.state?.running) progress.pending++
    else if (status.state?.terminated) {
      if (exitOf(status) !== 0) progress.failed++
    } else if (lastExitOf(status)) progress.failed++
    else progress.pending++
  }
  return progress
}

/** https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase */
export function phaseOf(pod: Pod, init: readonly ContainerStatus[], main: readonly ContainerStatus[], terminal: boolean): string {
  const policy = pod.spec?.restartPolicy ?? 'Always'
  const progress = initProgress(pod, init)
  let runs = 0
  let waits = 0
  let stopped = 0
  let succeeded = 0
  let started = false
  for (const { spec } of mainContainersOf(pod)) {
    const status = main.find(({ name }) => name === spec.name)
    if (status?.state?.running) runs++
    else if (status?.state?.terminated) {
      stopped++
      if (exitOf(status) === 0) succeeded++
    } else if (status && lastExitOf(status) !== undefined) stopped++
    else waits++
    started ||= status?.state?.running !== undefined || exitOf(status) !== undefined || lastExitOf(status) !== undefined
  }
  if (progress.failed > 0 && policy === 'Never') return 'Failed'
  if (terminal && runs === 0) {
    if (waits > 0 || progress.failed > 0 || progress.pending > 0) return 'Failed'
    return stopped === succeeded ? 'Succeeded' : 'Failed'
  }
  if (progress.pending > 0 || progress.failed > 0 || (progress.pendingSidecars > 0 && !started)) return 'Pending'
  if (waits > 0) return 'Pending'
  if (runs > 0) return 'Running'
  if (policy === 'Always') return 'Running'
  if (stopped === succeeded) return 'Succeeded'
  return policy === 'Never' ? 'Failed' : 'Running'
}

/** All last words of a pod together fit in this. */
const MESSAGES_LIMIT = 12 * 1024

function shortened(status: ContainerStatus, limit: number): ContainerStatus {
  const cut = (state: ContainerState | undefined): ContainerState | undefined => {
    const { message } = state?.terminated ?? {}
    if (!state?.terminated || !message || Buffer.byteLength(message) <= limit) return state
    return { terminated: { ...state.terminated, message: Buffer.from(message).toString('utf8', 0, limit) } }
  }
  return { ...status, state: cut(status.state), lastState: cut(status.lastState) }
}

/** A pod that was turned away: clients show the reason as long as no container has one of its own. */
const refusedStatus = ({ pod, known, verdict, startTime }: PodStatusInput): PodStatus => ({
  ...(pod.metadata.generation ? { observedGeneration: pod.metadata.generation } : {}),
  phase: 'Failed',
  ...(verdict ?? { reason: known?.reason, message: known?.message }),
  startTime: known?.startTime ?? startTime,
  qosClass: qosClassOf(pod),
})

export function podStatus(input: PodStatusInput): PodStatus {
  const { pod, observed, known } = input
  if (input.refused) return refusedStatus(input)
  const [sandbox] = observed.sandboxes
  const initialized = hasInitialized(pod, observed, sandbox?.id)
  const limit = Math.floor(MESSAGES_LIMIT / Math.max(1, initContainersOf(pod).length + mainContainersOf(pod).length))
  const of = (list: ReturnType<typeof mainContainersOf>): readonly ContainerStatus[] =>
    list.map((container) => shortened(withScheme(containerStatus({ ...input, initialized }, container), input.runtime), limit))
  const init = of(initContainersOf(pod))
  const main = of(mainContainersOf(pod))
  const ephemeral = of(ephemeralContainersOf(pod)).filter((status) => status.containerID || status.state?.waiting)
  const settled = known?.phase === 'Succeeded' || known?.phase === 'Failed' ? known.phase : undefined
  const phase = settled ?? (input.verdict ? 'Failed' : phaseOf(pod, init, main, input.terminal))
  const hostNetwork = pod.spec?.hostNetwork === true
  const ips = hostNetwork ? input.hostIps.slice(0, 2) : (sandbox?.ips ?? [])
  const shown = ips.length > 0 ? ips : (known?.podIPs ?? []).map(({ ip }) => ip ?? '')
  const disruption: readonly Pick<PodCondition, 'type' | 'status'>[] = input.disruption
    ? [{ type: 'DisruptionTarget', status: 'True', ...input.disruption }]
    : []
  const lists = { init, main, phase, initialized, sandboxReady: sandbox?.ready === true && phase !== 'Succeeded' && phase !== 'Failed' }
  return {
    ...(pod.metadata.generation ? { observedGeneration: pod.metadata.generation } : {}),
    phase,
    conditions: conditionsOf(pod, lists, { now: input.now, known: known?.conditions, extra: disruption }),
    ...(input.verdict ?? (settled && known?.reason ? { reason: known.reason, message: known.message } : {})),
    ...(pod.status?.nominatedNodeName ? { nominatedNodeName: pod.status.nominatedNodeName } : {}),
    hostIP: input.hostIps[0],
    hostIPs: input.hostIps.slice(0, 2).map((ip) => ({ ip })),
    ...(shown.length > 0 ? { podIP: shown[0], podIPs: shown.map((ip) => ({ ip })) } : {}),
    startTime: known?.startTime ?? input.startTime,
    ...(init.length > 0 ? { initContainerStatuses: init } : {}),
    containerStatuses: main,
    ...(ephemeral.length > 0 ? { ephemeralContainerStatuses: ephemeral } : {}),
    qosClass: qosClassOf(pod),
  }
}
