// What a node's silence and conditions mean: conditions, taints. Pure.
import type { Node, NodeCondition, Taint } from '../../../api/index.js'
import { rfc3339 } from '../../../lib/index.js'

export const NOT_READY = 'node.kubernetes.io/not-ready'
export const UNREACHABLE = 'node.kubernetes.io/unreachable'
export const UNSCHEDULABLE = 'node.kubernetes.io/unschedulable'

const PRESSURES = ['MemoryPressure', 'DiskPressure', 'PIDPressure'] as const

export const nodeCondition = (node: Node, type: string): NodeCondition | undefined =>
  node.status?.conditions?.find((condition) => condition.type === type)

export const isNodeReady = (node: Node): boolean => nodeCondition(node, 'Ready')?.status === 'True'

/** Conditions of a node that has not been heard of for too long: nobody knows any more. Undefined when they say so already. */
export function silentConditions(node: Node, now: number): readonly NodeCondition[] | undefined {
  const before = node.status?.conditions ?? []
  const time = rfc3339(now)
  let changed = false
  const conditions = [...before]
  for (const type of ['Ready', ...PRESSURES]) {
    const index = conditions.findIndex((condition) => condition.type === type)
    const old = conditions[index]
    if (!old) {
      conditions.push({
        type,
        status: 'Unknown',
        reason: 'NodeStatusNeverUpdated',
        message: 'Kubelet never posted node status.',
        lastHeartbeatTime: node.metadata.creationTimestamp,
        lastTransitionTime: time,
      })
      changed = true
    } else if (old.status !== 'Unknown') {
      conditions[index] = {
        ...old,
        status: 'Unknown',
        reason: 'NodeStatusUnknown',
        message: 'Kubelet stopped posting node status.',
        lastTransitionTime: time,
      }
      changed = true
    }
  }
  return changed ? conditions : undefined
}

/** Taints by which the scheduler avoids a node, as its conditions ask. `evict` adds those that make pods leave. */
function wantedTaints(node: Node, evict: boolean): Taint[] {
  const status = (type: string): string | undefined => nodeCondition(node, type)?.status
  const taints: Taint[] = []
  const ready = status('Ready')
  if (ready === 'False') taints.push({ key: NOT_READY, effect: 'NoSchedule' })
  // A node without conditions has just been made: its kubelet has not said anything yet.
  if (ready === 'Unknown') taints.push({ key: UNREACHABLE, effect: 'NoSchedule' })
  if (evict && ready === 'False') taints.push({ key: NOT_READY, effect: 'NoExecute' })
  if (evict && ready === 'Unknown') taints.push({ key: UNREACHABLE, effect: 'NoExecute' })
  if (status('MemoryPressure') === 'True') taints.push({ key: 'node.kubernetes.io/memory-pressure', effect: 'NoSchedule' })
  if (status('DiskPressure') === 'True') taints.push({ key: 'node.kubernetes.io/disk-pressure', effect: 'NoSchedule' })
  if (status('PIDPressure') === 'True') taints.push({ key: 'node.kubernetes.io/pid-pressure', effect: 'NoSchedule' })
  if (status('NetworkUnavailable') === 'True') taints.push({ key: 'node.kubernetes.io/network-unavailable', effect: 'NoSchedule' })
  if (node.spec?.unschedulable) taints.push({ key: UNSCHEDULABLE, effect: 'NoSchedule' })
  return taints
}

const MANAGED: ReadonlySet<string> = new Set([
  `${NOT_READY} NoSchedule`,
  `${NOT_READY} NoExecute`,
  `${UNREACHABLE} NoSchedule`,
  `${UNREACHABLE} NoExecute`,
  'node.kubernetes.io/memory-pressure NoSchedule',
  'node.kubernetes.io/disk-pressure NoSchedule',
  'node.kubernetes.io/pid-pressure NoSchedule',
  'node.kubernetes.io/network-unavailable NoSchedule',
  `${UNSCHEDULABLE} NoSchedule`,
])

const idOf = (taint: Taint): string => `${taint.key} ${taint.effect}`

/** Whether pods were told already to leave the node for its silence or sickness. */
export const isEmptied = (node: Node): boolean =>
  node.spec?.taints?.some(({ key, effect }) => effect === 'NoExecute' && (key === NOT_READY || key === UNREACHABLE)) ?? false

/** All taints of the node as they should be; undefined when they are. Those of other authors stay. */
export function planTaints(node: Node, { evict, now }: { readonly evict: boolean; readonly now: number }): readonly Taint[] | undefined {
  const before = node.spec?.taints ?? []
  const wanted = wantedTaints(node, evict)
  const wantedIds = new Set(wanted.map(idOf))
  // A node without a Ready condition keeps the taint that its kubelet or the admission gave it.
  const undecided = nodeCondition(node, 'Ready') === undefined
  const kept = before.filter((taint) => !MANAGED.has(idOf(taint)) || wantedIds.has(idOf(taint)) || (undecided && taint.key === NOT_READY))
  const have = new Set(kept.map(idOf))
  const added = wanted.filter((taint) => !have.has(idOf(taint))).map((taint) => ({ ...taint, timeAdded: rfc3339(now) }))
  return added.length === 0 && kept.length === before.length ? undefined : [...kept, ...added]
}
