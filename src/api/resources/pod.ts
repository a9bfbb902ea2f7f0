// Pods.
import { column, since } from '../columns.js'
import { defineResource } from '../define-resource.js'
import { type ContainerStatus, Pod } from '../generated/kinds.js'
import type { JsonObject } from '../json/value.js'
import { qosClass } from '../qos.js'
import { podCreateErrors, podErrors, podUpdateErrors } from '../validation/pod.js'
import { preparePodUpdate } from '../validation/pod-update.js'

const isSidecar = (pod: Pod, name: string): boolean =>
  pod.spec?.initContainers?.some((c) => c.name === name && c.restartPolicy === 'Always') ?? false

interface Summary {
  readonly ready: string
  readonly status: string
  readonly restarts: string
}

const ended = (status: ContainerStatus): string | undefined => {
  const state = status.state?.terminated
  if (!state) return undefined
  if (state.reason) return state.reason
  return state.signal ? `Signal:${state.signal}` : `ExitCode:${state.exitCode}`
}

/** What init containers still have to do; undefined when they are done. */
function initReason(pod: Pod): string | undefined {
  const total = pod.spec?.initContainers?.length ?? 0
  const statuses = pod.status?.initContainerStatuses ?? []
  for (const [index, status] of statuses.entries()) {
    const terminated = status.state?.terminated
    if (terminated?.exitCode === 0 && terminated) continue
    if (isSidecar(pod, status.name) && status.started) continue
    if (terminated) return `Init:${ended(status)}`
    const waiting = status.state?.waiting?.reason
    if (waiting && waiting !== 'PodInitializing') return `Init:${waiting}`
    return `Init:${index}/${total}`
  }
  return undefined
}

function containersReason(pod: Pod, reason: string): { reason: string; running: boolean } {
  let current = reason
  let running = false
  for (const status of [...(pod.status?.containerStatuses ?? [])].reverse()) {
    if (status.state?.waiting?.reason) current = status.state.waiting.reason
    else if (status.state?.terminated) current = ended(status) ?? current
    else if (status.ready && status.state?.running) running = true
  }
  return { reason: current, running }
}

const podReady = (pod: Pod): boolean => pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false

function statusText(pod: Pod): string {
  let reason = pod.status?.reason || pod.status?.phase || ''
  const scheduled = pod.status?.conditions?.find((c) => c.type === 'PodScheduled')
  if (scheduled?.reason === 'SchedulingGated') reason = 'SchedulingGated'
  const init = initReason(pod)
  const initialized = pod.status?.conditions?.some((c) => c.type === 'Initialized' && c.status === 'True')
  if (init !== undefined) reason = init
  if (init === undefined || initialized) {
    const found = containersReason(pod, reason)
    reason = found.reason
    if (reason === 'Completed' && found.running) reason = podReady(pod) ? 'Running' : 'NotReady'
  }
  const finished = pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded'
  if (pod.metadata.deletionTimestamp && pod.status?.reason === 'NodeLost') return 'Unknown'
  return pod.metadata.deletionTimestamp && !finished ? 'Terminating' : reason
}

function summary(pod: Pod, now: number): Summary {
  const sidecars = (pod.spec?.initContainers ?? []).filter((c) => c.restartPolicy === 'Always').length
  const total = (pod.spec?.containers?.length ?? 0) + sidecars
  const init = (pod.status?.initContainerStatuses ?? []).filter((s) => isSidecar(pod, s.name))
  const main = pod.status?.containerStatuses ?? []
  const initializing = initReason(pod) !== undefined
  const ready = [...main.filter((s) => s.ready && s.state?.running), ...init.filter((s) => s.ready && s.started)].length
  const counted = initializing && main.every((s) => s.restartCount === 0) ? (pod.status?.initContainerStatuses ?? []) : [...main, ...init]
  const restarts = counted.reduce((sum, s) => sum + (s.restartCount ?? 0), 0)
  const last = counted
    .map((s) => s.lastState?.terminated?.finishedAt)
    .filter((at) => at !== undefined)
    .sort()
    .at(-1)
  return {
    ready: `${ready}/${total}`,
    status: statusText(pod),
    restarts: restarts > 0 && last ? `${restarts} (${since(last, now)} ago)` : String(restarts),
  }
}

function readinessGates(pod: Pod): string {
  const gates = pod.spec?.readinessGates ?? []
  if (gates.length === 0) return '<none>'
  const met = gates.filter((gate) => pod.status?.conditions?.some((c) => c.type === gate.conditionType && c.status === 'True'))
  return `${met.length}/${gates.length}`
}

function prepareForCreate(pod: JsonObject): void {
  pod.status = { phase: 'Pending', qosClass: qosClass(pod as unknown as Pod) }
}

export const podResource = defineResource<Pod>({
  of: Pod,
  statusKeeps: ['ownerReferences'],
  shortNames: ['po'],
  categories: ['all'],
  generation: 'spec',
  columns: [
    column('Ready', (pod, now) => summary(pod, now).ready, { description: 'Containers that are ready, of all that should be.' }),
    column('Status', statusText, { description: 'Where the pod is in its life, or what keeps it from going on.' }),
    column('Restarts', (pod, now) => summary(pod, now).restarts, {
      description: 'How often containers were started again, and when last.',
    }),
    column('Age', (pod, now) => since(pod.metadata.creationTimestamp, now), { description: 'How long ago the object was made.' }),
    column('IP', (pod) => pod.status?.podIPs?.[0]?.ip || pod.status?.podIP || '<none>', { wide: true }),
    column('Node', (pod) => pod.spec?.nodeName || '<none>', { wide: true }),
    column('Nominated Node', (pod) => pod.status?.nominatedNodeName || '<none>', { wide: true }),
    column('Readiness Gates', readinessGates, { wide: true }),
  ],
  selectableFields: {
    'spec.nodeName': (pod) => pod.spec?.nodeName,
    'spec.restartPolicy': (pod) => pod.spec?.restartPolicy,
    'spec.schedulerName': (pod) => pod.spec?.schedulerName,
    'spec.serviceAccountName': (pod) => pod.spec?.serviceAccountName,
    'spec.hostNetwork': (pod) => String(pod.spec?.hostNetwork ?? false),
    'status.phase': (pod) => pod.status?.phase,
    'status.podIP': (pod) => pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP,
    'status.nominatedNodeName': (pod) => pod.status?.nominatedNodeName,
  },
  prepareForCreate,
  prepareForUpdate: preparePodUpdate,
  validate: podErrors,
  validateCreate: podCreateErrors,
  validateUpdate: (next, previous) => podUpdateErrors(next, previous, ''),
  validateSubresource: (next, previous, door) => [
    ...(door === 'resize' || door === 'ephemeralcontainers' ? podErrors(next) : []),
    ...podUpdateErrors(next, previous, door),
  ],
})
