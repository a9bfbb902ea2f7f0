// Room on the node: whether there is enough, and how much would be left, or used, or balanced.
import type { ClusterState, PodInfo } from '../cluster-state.js'
import { type Plugin, type Prepared, type Rejection, rejection } from '../plugin.js'
import { podRequests, units } from '../requests.js'

const name = 'NodeResourcesFit'
const tooMany = rejection(name, 'Too many pods')[0] as Rejection

const insufficient = new Map<string, Rejection>()
const lacking = (resource: string, final: boolean): Rejection => {
  const key = `${resource} ${final}`
  let found = insufficient.get(key)
  if (!found) {
    found = { plugin: name, reason: `Insufficient ${resource}`, final }
    insufficient.set(key, found)
  }
  return found
}

function fits(pod: PodInfo, state: ClusterState): NonNullable<Prepared['filter']> {
  const wanted = Object.entries(pod.requests).map(([resource, amount]) => ({
    resource,
    amount,
    has: state.column(state.allocatable, resource),
    used: state.column(state.requested, resource),
  }))
  return (slot) => {
    let rejections: Rejection[] | undefined
    if ((state.podCount[slot] ?? 0) + 1 > (state.podLimit[slot] ?? 0)) rejections = [tooMany]
    for (const { resource, amount, has, used } of wanted) {
      const room = (has[slot] ?? 0) - (used[slot] ?? 0)
      // More than the node has at all: no pod that left would change it.
      if (amount > room) {
        rejections = rejections ?? []
        rejections.push(lacking(resource, amount > (has[slot] ?? 0)))
      }
    }
    return rejections
  }
}

/** Free or used share of cpu and memory after the pod, in percent. */
function share(pod: PodInfo, state: ClusterState, most: boolean): NonNullable<Prepared['score']> {
  const cpu = state.column(state.allocatable, 'cpu')
  const memory = state.column(state.allocatable, 'memory')
  const one = (has: number, used: number): number => {
    if (has === 0 || used > has) return 0
    return Math.floor(((most ? used : has - used) * 100) / has)
  }
  return (slot) => {
    const byCpu = one(cpu[slot] ?? 0, (state.scoredCpu[slot] ?? 0) + pod.scored.cpu)
    const byMemory = one(memory[slot] ?? 0, (state.scoredMemory[slot] ?? 0) + pod.scored.memory)
    return Math.floor((byCpu + byMemory) / 2)
  }
}

export type ScoringStrategy = 'LeastAllocated' | 'MostAllocated'

export const nodeResourcesFit = (strategy: ScoringStrategy = 'LeastAllocated'): Plugin => ({
  name,
  local: true,
  signature: ({ requests, scored }) => [requests, scored],
  prepare: ({ pod, state }) => ({ filter: fits(pod, state), score: share(pod, state, strategy === 'MostAllocated') }),
  hint(pod, event) {
    if (event.type === 'pod removed' || event.type === 'pod updated') return true
    if (event.type !== 'node added' && event.type !== 'node updated') return false
    const allocatable = event.node.status?.allocatable ?? {}
    return Object.entries(podRequests(pod)).every(([resource, amount]) => units(resource, allocatable[resource]) >= amount)
  },
})

/** Likes nodes on which cpu and memory are used alike: one without the other is of no use. */
export const nodeResourcesBalanced: Plugin = {
  name: 'NodeResourcesBalancedAllocation',
  local: true,
  signature: ({ requests }) => requests,
  prepare({ pod, state }) {
    if (!pod.requests.cpu && !pod.requests.memory) return undefined
    const cpu = state.column(state.allocatable, 'cpu')
    const memory = state.column(state.allocatable, 'memory')
    const usedCpu = state.column(state.requested, 'cpu')
    const usedMemory = state.column(state.requested, 'memory')
    return {
      score(slot) {
        const byCpu = Math.min(1, ((usedCpu[slot] ?? 0) + (pod.requests.cpu ?? 0)) / (cpu[slot] || 1))
        const byMemory = Math.min(1, ((usedMemory[slot] ?? 0) + (pod.requests.memory ?? 0)) / (memory[slot] || 1))
        return Math.floor((1 - Math.abs(byCpu - byMemory) / 2) * 100)
      },
    }
  },
}
