// What a DaemonSet does next: one pod on each node that should have one. Pure.
import { type DaemonSet, type DaemonSetStatus, type Node, type Pod, type Toleration, untolerated, wantsNode } from '../../../api/index.js'
import { byAge, compact, isDeleting, scaled } from '../objects.js'
import { isAvailable, isFinished, isReady } from '../pods.js'

export const HASH_LABEL = 'controller-revision-hash'
export const GENERATION_LABEL = 'pod-template-generation'

/** Daemons run where others must not: on sick, full and cordoned nodes. */
const ALWAYS: readonly Toleration[] = [
  { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/disk-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/memory-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/pid-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
]
const HOST_NETWORK: Toleration = { key: 'node.kubernetes.io/network-unavailable', operator: 'Exists', effect: 'NoSchedule' }

export function daemonTolerations(set: DaemonSet): readonly Toleration[] {
  const own = set.spec?.template.spec?.tolerations ?? []
  const added = set.spec?.template.spec?.hostNetwork ? [...ALWAYS, HOST_NETWORK] : ALWAYS
  const same = (a: Toleration, b: Toleration): boolean =>
    a.key === b.key && a.operator === b.operator && a.effect === b.effect && a.value === b.value
  return [...own, ...added.filter((each) => !own.some((mine) => same(mine, each)))]
}

export interface Fitness {
  readonly shouldRun: boolean
  /** A pod that is there may stay although a new one would not be put there. */
  readonly mayStay: boolean
}

export function fitness(set: DaemonSet, node: Node): Fitness {
  const spec = set.spec?.template.spec ?? { containers: [] }
  if ((spec.nodeName && spec.nodeName !== node.metadata.name) || !wantsNode(spec, node)) return { shouldRun: false, mayStay: false }
  const tolerations = daemonTolerations(set)
  if (!untolerated(node.spec?.taints, tolerations, ['NoSchedule', 'NoExecute'])) return { shouldRun: true, mayStay: true }
  return { shouldRun: false, mayStay: !untolerated(node.spec?.taints, tolerations, ['NoExecute']) }
}

/** The node a daemon pod is on, or is meant for. */
export function targetNode(pod: Pod): string {
  if (pod.spec?.nodeName) return pod.spec.nodeName
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? []
  for (const term of terms) {
    const field = term.matchFields?.find((each) => each.key === 'metadata.name' && each.operator === 'In')
    if (field?.values?.[0]) return field.values[0]
  }
  return ''
}

export interface DaemonInput {
  readonly set: DaemonSet
  readonly nodes: readonly Node[]
  readonly pods: readonly Pod[]
  /** Hash of the template that is wanted. */
  readonly hash: string
  readonly now: number
  /** Nodes on which a failed pod was replaced a moment ago. */
  readonly backingOff: (node: string) => boolean
}

export interface DaemonPlan {
  /** Names of nodes. */
  readonly create: readonly string[]
  readonly remove: readonly Pod[]
  readonly failed: readonly { readonly pod: Pod; readonly node: string }[]
}

export function byNode(pods: readonly Pod[]): Map<string, Pod[]> {
  const map = new Map<string, Pod[]>()
  for (const pod of pods) {
    const node = targetNode(pod)
    const list = map.get(node)
    if (list) list.push(pod)
    else map.set(node, [pod])
  }
  return map
}

const isUpdated = (pod: Pod, { set, hash }: DaemonInput): boolean => {
  const generation = set.metadata.annotations?.['deprecated.daemonset.template.generation']
  return (
    pod.metadata.labels?.[HASH_LABEL] === hash ||
    (generation !== undefined && pod.metadata.labels?.[GENERATION_LABEL] === generation && hash === '')
  )
}

const surgeOf = (set: DaemonSet, desired: number): number =>
  set.spec?.updateStrategy?.type === 'OnDelete' ? 0 : (scaled(set.spec?.updateStrategy?.rollingUpdate?.maxSurge, desired, 'up') ?? 0)

/** Pods to make and to take away so that each node has what it should; updates come later. */
export function planDaemons(input: DaemonInput): DaemonPlan {
  const { set, nodes, pods, now } = input
  const create: string[] = []
  const remove: Pod[] = []
  const failed: { pod: Pod; node: string }[] = []
  const perNode = byNode(pods)
  const minReady = set.spec?.minReadySeconds ?? 0
  const desired = nodes.filter((node) => fitness(set, node).shouldRun).length
  const surge = surgeOf(set, desired)
  for (const node of nodes) {
    const name = node.metadata.name
    const { shouldRun, mayStay } = fitness(set, node)
    const here = perNode.get(name) ?? []
    if (!mayStay) {
      remove.push(...here.filter((pod) => !isDeleting(pod)))
      continue
    }
    const alive: Pod[] = []
    for (const pod of here) {
      if (isDeleting(pod)) continue
      if (!isFinished(pod)) alive.push(pod)
      else if (!input.backingOff(name)) failed.push({ pod, node: name })
    }
    if (shouldRun && here.length === 0) create.push(name)
    else if (shouldRun && alive.length === 0 && here.every(isDeleting) && surge > 0) create.push(name)
    else if (alive.length > 1) remove.push(...duplicates(alive, input, surge > 0, minReady, now))
  }
  // Pods that were meant for nodes that are gone, or for none.
  const known = new Set(nodes.map((node) => node.metadata.name))
  for (const [name, list] of perNode) if (!known.has(name)) remove.push(...list.filter((pod) => !isDeleting(pod) && !pod.spec?.nodeName))
  return { create, remove, failed }
}

/** Of several pods on a node the oldest stays; during a surge also one new beside one old, until the new one is up. */
function duplicates(alive: readonly Pod[], input: DaemonInput, surging: boolean, minReady: number, now: number): Pod[] {
  const sorted = [...alive].sort((a, b) => Number(Boolean(b.spec?.nodeName)) - Number(Boolean(a.spec?.nodeName)) || byAge(a, b))
  if (!surging) return sorted.slice(1)
  const updated = sorted.filter((pod) => isUpdated(pod, input))
  // Clocks may have been set back since: that one which works stays, whatever its age is said to be.
  const old = sorted.filter((pod) => !isUpdated(pod, input)).sort((a, b) => Number(isReady(b)) - Number(isReady(a)))
  const remove = [...updated.slice(1), ...old.slice(1)]
  const fresh = updated[0]
  const stale = old[0]
  if (fresh && stale && (isAvailable(fresh, minReady, now) || !isReady(stale))) remove.push(stale)
  return remove
}

/** Pods of an older template to take away now, and nodes to surge on. */
export function planDaemonUpdate(input: DaemonInput): { readonly remove: readonly Pod[]; readonly create: readonly string[] } {
  const { set, nodes, pods, now } = input
  const nothing = { remove: [], create: [] }
  if (set.spec?.updateStrategy?.type === 'OnDelete') return nothing
  const targets = nodes.filter((node) => fitness(set, node).shouldRun)
  const rolling = set.spec?.updateStrategy?.rollingUpdate
  const surge = surgeOf(set, targets.length)
  const allowed = scaled(rolling?.maxUnavailable ?? 1, targets.length, 'up') ?? 1
  const maxUnavailable = surge === 0 ? Math.max(1, allowed) : allowed
  const minReady = set.spec?.minReadySeconds ?? 0
  const perNode = byNode(pods.filter((pod) => !isFinished(pod)))
  let unavailable = 0
  let surging = 0
  const broken: Pod[] = []
  const candidates: Pod[] = []
  const create: string[] = []
  const surgeable: string[] = []
  for (const node of targets) {
    const here = perNode.get(node.metadata.name) ?? []
    const fresh = here.find((pod) => isUpdated(pod, input) && !isDeleting(pod))
    const stale = here.find((pod) => !isUpdated(pod, input) && !isDeleting(pod))
    const up = (pod: Pod): boolean => isAvailable(pod, minReady, now)
    if (surge > 0) {
      if (fresh && stale) {
        surging++
        if (!up(stale)) unavailable++
      } else if (stale) {
        if (!up(stale))
          unavailable++
          // A new one beside one that does not work is no surge.
        ;(up(stale) ? surgeable : create).push(node.metadata.name)
      } else if (!fresh || !up(fresh)) unavailable++
      continue
    }
    if (fresh ? !up(fresh) : !stale || !up(stale)) unavailable++
    if (!fresh && stale) (up(stale) ? candidates : broken).push(stale)
  }
  create.push(...surgeable.slice(0, Math.max(0, surge - surging)))
  // What does not work anyway costs nothing to replace.
  const room = Math.max(0, maxUnavailable - unavailable)
  return { remove: surge > 0 ? [] : [...broken, ...candidates.slice(0, room)], create }
}

export function planDaemonStatus(input: DaemonInput): DaemonSetStatus {
  const { set, nodes, pods, now } = input
  const perNode = byNode(pods)
  const minReady = set.spec?.minReadySeconds ?? 0
  let desired = 0
  let current = 0
  let misscheduled = 0
  let ready = 0
  let available = 0
  let updated = 0
  for (const node of nodes) {
    const here = (perNode.get(node.metadata.name) ?? []).filter((pod) => pod.spec?.nodeName)
    if (!fitness(set, node).shouldRun) {
      if (here.length > 0) misscheduled++
      continue
    }
    desired++
    // The oldest speaks for the node; while surging, the one that is ready.
    const pod = [...here].sort((a, b) => Number(isReady(b)) - Number(isReady(a)) || byAge(a, b))[0]
    if (!pod) continue
    current++
    if (isReady(pod)) ready++
    if (isReady(pod) && isAvailable(pod, minReady, now)) available++
    if (here.some((each) => isUpdated(each, input))) updated++
  }
  return compact({
    currentNumberScheduled: current,
    desiredNumberScheduled: desired,
    numberMisscheduled: misscheduled,
    numberReady: ready,
    numberAvailable: available || undefined,
    numberUnavailable: desired - available || undefined,
    updatedNumberScheduled: updated || undefined,
    observedGeneration: set.metadata.generation,
    collisionCount: set.status?.collisionCount,
    conditions: set.status?.conditions,
  })
}
