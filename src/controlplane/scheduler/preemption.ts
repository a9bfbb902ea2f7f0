// Makes room for a more important pod: which node, and which pods have to leave it.
import { type PodDisruptionBudget, selects } from '../../api/index.js'
import { type Random, randomInt } from '../../lib/index.js'
import type { ClusterState, PodInfo } from './cluster-state.js'
import { preemptionMessage } from './message.js'
import type { Diagnosis, Placer } from './placement.js'

export interface Victims {
  readonly nodeName: string
  readonly slot: number
  readonly pods: readonly PodInfo[]
  /** How many of them a disruption budget would protect. */
  readonly violations: number
}

export type Preemption = { readonly victims: Victims } | { readonly message: string }

export interface PreemptionInput {
  readonly pod: PodInfo
  readonly state: ClusterState
  readonly placer: Placer
  readonly diagnosis: Diagnosis
  readonly budgets: readonly PodDisruptionBudget[]
  readonly random: Random
  /** The node where room is being made for this pod already. */
  readonly nominatedNode: string | undefined
}

const startOf = (info: PodInfo): number => Date.parse(info.pod.status?.startTime ?? info.pod.metadata.creationTimestamp ?? '') || 0

/** Most important first; among equals those that run longer. */
const byImportance = (a: PodInfo, b: PodInfo): number => b.priority - a.priority || startOf(a) - startOf(b)

/** Splits victims into those whose budget is used up and the rest. Each victim uses its budgets. */
export function splitByBudget(
  pods: readonly PodInfo[],
  budgets: readonly PodDisruptionBudget[],
): { readonly violating: PodInfo[]; readonly free: PodInfo[] } {
  const left = new Map(budgets.map((budget) => [budget, budget.status?.disruptionsAllowed ?? 0]))
  const violating: PodInfo[] = []
  const free: PodInfo[] = []
  for (const info of pods) {
    let violates = false
    for (const budget of budgets) {
      if (budget.metadata.namespace !== info.pod.metadata.namespace) continue
      if (!selects(budget.spec?.selector, info.pod.metadata.labels)) continue
      if (budget.status?.disruptedPods?.[info.pod.metadata.name] !== undefined) continue
      const allowed = (left.get(budget) ?? 0) - 1
      left.set(budget, allowed)
      if (allowed < 0) violates = true
    }
    if (violates) violating.push(info)
    else free.push(info)
  }
  return { violating, free }
}

/** Who has to leave this node; undefined when that would not help. The state is as before afterwards. */
function victimsOn(slot: number, { pod, state, budgets }: PreemptionInput, check: ReturnType<Placer['checker']>): Victims | undefined {
  const node = state.infos[slot]
  if (!node?.node) return undefined
  const lower = [...node.pods.values()].filter((other) => other.priority < pod.priority)
  if (lower.length === 0) return undefined
  for (const other of lower) state.removePod(other.key)
  const stay: PodInfo[] = []
  const leave: PodInfo[] = []
  let violations = 0
  const fits = !check(slot)
  if (fits) {
    const { violating, free } = splitByBudget([...lower].sort(byImportance), budgets)
    // Back in, most important first, as long as the pod still fits.
    for (const [group, counts] of [
      [violating, 1],
      [free, 0],
    ] as const) {
      for (const other of group) {
        state.addPod(other, node.name)
        if (!check(slot)) stay.push(other)
        else {
          state.removePod(other.key)
          leave.push(other)
          violations += counts
        }
      }
    }
  }
  for (const other of lower) if (!state.pods.has(other.key)) state.addPod(other, node.name)
  return fits && leave.length > 0 ? { nodeName: node.name, slot, pods: leave, violations } : undefined
}

/** Fewest broken budgets, then least important highest victim, smallest sum, fewest, and the latest started. */
export function betterVictims(a: Victims, b: Victims): number {
  if (a.violations !== b.violations) return a.violations - b.violations
  const highest = (victims: Victims): number => Math.max(...victims.pods.map((info) => info.priority))
  if (highest(a) !== highest(b)) return highest(a) - highest(b)
  // Each counts, also those of negative priority.
  const sum = (victims: Victims): number => victims.pods.reduce((total, info) => total + info.priority + 2 ** 31, 0)
  if (sum(a) !== sum(b)) return sum(a) - sum(b)
  if (a.pods.length !== b.pods.length) return a.pods.length - b.pods.length
  const earliest = (victims: Victims): number => Math.min(...victims.pods.filter((info) => info.priority === highest(victims)).map(startOf))
  return earliest(b) - earliest(a)
}

/** Nodes among which the best is chosen; more would cost more than they gain. */
const CANDIDATES = 100

export function planPreemption(input: PreemptionInput): Preemption {
  const { pod, state, diagnosis, random, nominatedNode } = input
  if (pod.pod.spec?.preemptionPolicy === 'Never') return { message: 'preemption: not eligible due to preemptionPolicy=Never.' }
  const nominated = nominatedNode === undefined ? undefined : state.infos[state.slots.get(nominatedNode) ?? -1]
  const leaving = [...(nominated?.pods.values() ?? [])].some(
    (other) => other.priority < pod.priority && other.pod.metadata.deletionTimestamp,
  )
  if (leaving) return { message: 'preemption: not eligible due to a terminating pod on the nominated node.' }
  const { helpable } = diagnosis
  const start = helpable.length > 0 ? randomInt(random, helpable.length) : 0
  const check = input.placer.checker(pod)
  let best: Victims | undefined
  let found = 0
  for (let offset = 0; offset < helpable.length && found < CANDIDATES; offset++) {
    const slot = helpable[(start + offset) % helpable.length] as number
    const victims = victimsOn(slot, input, check)
    if (!victims) continue
    found++
    if (!best || betterVictims(victims, best) < 0) best = victims
  }
  return best ? { victims: best } : { message: preemptionMessage(diagnosis.nodes, helpable.length) }
}
