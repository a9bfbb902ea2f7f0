// Conditions of a pod, computed from its container statuses.
import type { ContainerStatus, Pod, PodCondition } from '../../api/index.js'
import { initContainersOf } from './containers.js'

type Verdict = Pick<PodCondition, 'type' | 'status'> & { readonly reason?: string; readonly message?: string }

const verdict = (type: string, ok: boolean, reason?: string, message?: string): Verdict => ({
  type,
  status: ok ? 'True' : 'False',
  ...(reason ? { reason } : {}),
  ...(message ? { message } : {}),
})

const listed = (names: readonly string[]): string => `[${names.join(' ')}]`

/** Names without a status, and names whose status is not good. */
function sortOut(
  names: readonly string[],
  statuses: readonly ContainerStatus[] | undefined,
  good: (status: ContainerStatus) => boolean,
): { unknown: string[]; bad: string[] } {
  const unknown: string[] = []
  const bad: string[] = []
  for (const name of names) {
    const status = statuses?.find((each) => each.name === name)
    if (!status) unknown.push(name)
    else if (!good(status)) bad.push(name)
  }
  return { unknown, bad }
}

const notGood = (unknown: readonly string[], bad: readonly string[], word: string): string =>
  [
    unknown.length > 0 ? `containers with unknown status: ${listed(unknown)}` : '',
    bad.length > 0 ? `containers with ${word} status: ${listed(bad)}` : '',
  ]
    .filter(Boolean)
    .join(', ')

export interface StatusLists {
  readonly init: readonly ContainerStatus[]
  readonly main: readonly ContainerStatus[]
  readonly phase: string
  /** A container of the main list has been started. */
  readonly initialized: boolean
  readonly sandboxReady: boolean
}

export function initializedCondition(pod: Pod, lists: StatusLists): Verdict {
  const type = 'Initialized'
  const list = initContainersOf(pod)
  const names = list.map(({ spec }) => spec.name)
  const { unknown, bad } = sortOut(names, lists.init, (status) => {
    const sidecar = list.find(({ spec }) => spec.name === status.name)?.role === 'sidecar'
    return sidecar ? status.started === true : status.state?.terminated?.exitCode === 0 || status.ready
  })
  if (lists.phase === 'Succeeded' && unknown.length === 0) return verdict(type, true, 'PodCompleted')
  if (unknown.length + bad.length > 0 && !lists.initialized)
    return verdict(type, false, 'ContainersNotInitialized', notGood(unknown, bad, 'incomplete'))
  return verdict(type, true)
}

export function containersReadyCondition(pod: Pod, lists: StatusLists): Verdict {
  const type = 'ContainersReady'
  const sidecars = initContainersOf(pod)
    .filter(({ role }) => role === 'sidecar')
    .map(({ spec }) => spec.name)
  const names = (pod.spec?.containers ?? []).map(({ name }) => name)
  const ready = (status: ContainerStatus): boolean => status.ready
  const ofSidecars = sortOut(sidecars, lists.init, ready)
  const ofMains = sortOut(names, lists.main, ready)
  if (lists.phase === 'Succeeded') return verdict(type, false, 'PodCompleted')
  if (lists.phase === 'Failed') return verdict(type, false, 'PodFailed')
  const unknown = [...ofSidecars.unknown, ...ofMains.unknown]
  const bad = [...ofSidecars.bad, ...ofMains.bad]
  if (unknown.length + bad.length > 0) return verdict(type, false, 'ContainersNotReady', notGood(unknown, bad, 'unready'))
  return verdict(type, true)
}

export function readyCondition(pod: Pod, containersReady: Verdict): Verdict {
  const type = 'Ready'
  if (containersReady.status !== 'True') return { ...containersReady, type }
  const unmet: string[] = []
  for (const { conditionType } of pod.spec?.readinessGates ?? []) {
    const condition = pod.status?.conditions?.find((each) => each.type === conditionType)
    if (!condition) unmet.push(`corresponding condition of pod readiness gate "${conditionType}" does not exist.`)
    else if (condition.status !== 'True')
      unmet.push(`the status of pod readiness gate "${conditionType}" is not "True", but ${condition.status}`)
  }
  return unmet.length > 0 ? verdict(type, false, 'ReadinessGatesNotReady', unmet.join(', ')) : verdict(type, true)
}

/** The kubelet's conditions of the pod in the order in which Kubernetes writes them; times move only when the status does. */
export function conditionsOf(
  pod: Pod,
  lists: StatusLists,
  { now, known = [], extra = [] }: { now: string; known?: readonly PodCondition[] | undefined; extra?: readonly Verdict[] },
): readonly PodCondition[] {
  // What was last written here is newer than what the API has sent back.
  const inApi = pod.status?.conditions ?? []
  const before = [...known, ...inApi.filter(({ type }) => !known.some((each) => each.type === type))]
  const containersReady = containersReadyCondition(pod, lists)
  const own: readonly Verdict[] = [
    ...extra,
    verdict('PodReadyToStartContainers', lists.sandboxReady),
    initializedCondition(pod, lists),
    readyCondition(pod, containersReady),
    containersReady,
    verdict('PodScheduled', true),
  ]
  const observedGeneration = pod.metadata.generation
  // Conditions of others stay in the API as they are: a status write merges by type.
  return own.map((each): PodCondition => {
    const old = before.find(({ type }) => type === each.type)
    const { type, status, reason, message } = each
    return {
      type,
      status,
      ...(observedGeneration ? { observedGeneration } : {}),
      lastProbeTime: undefined,
      lastTransitionTime: old?.status === status ? (old.lastTransitionTime ?? now) : now,
      reason,
      message,
    }
  })
}
