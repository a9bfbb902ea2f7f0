// Pods that want to be near some pods and far from others.
import type { Pod } from '../../../api/index.js'
import type { ClusterState, PodInfo, Tally } from '../cluster-state.js'
import { type CycleInput, type Plugin, type Prepared, rejection } from '../plugin.js'
import { type Term, type TermIndex, termIndex, termSelects, termsOf } from './pod-terms.js'

const name = 'InterPodAffinity'
const noFriend = rejection(name, "node(s) didn't match pod affinity rules", true)
const foe = rejection(name, "node(s) didn't match pod anti-affinity rules")
const unwelcome = rejection(name, "node(s) didn't satisfy existing pods anti-affinity rules")

/** Pods that the term selects. */
const selected = (term: Term, state: ClusterState): Tally =>
  state.tally(`selected ${term.id}`, () => ({
    topologyKey: term.topologyKey,
    weigh: (pod) => (termSelects(term, pod, state) ? 1 : 0),
  }))

/** Pods that carry the term as required anti-affinity. */
const carriers = (term: Term, state: ClusterState): Tally =>
  state.tally(`carries ${term.id}`, () => ({
    topologyKey: term.topologyKey,
    weigh: (pod) => (pod.spec?.affinity?.podAntiAffinity ? termsOf(pod).antiAffinity.filter((each) => each.id === term.id).length : 0),
  }))

/** Required affinity of pods that are already there counts a little for those they want near. */
const HARD_WEIGHT = 1

const attraction = (term: Term, state: ClusterState): Tally =>
  state.tally(`attracts ${term.id}`, () => ({
    topologyKey: term.topologyKey,
    weigh(pod) {
      if (!pod.spec?.affinity) return 0
      const terms = termsOf(pod)
      const preferred = terms.preferred.reduce((sum, each) => (each.id === term.id ? sum + each.weight : sum), 0)
      return preferred + HARD_WEIGHT * terms.affinity.filter((each) => each.id === term.id).length
    },
  }))

function affinityFilter(terms: readonly Term[], { pod }: PodInfo, state: ClusterState): NonNullable<Prepared['filter']> | undefined {
  if (terms.length === 0) return undefined
  // A node has to satisfy all terms by pods that match all of them.
  const id = terms.map((term) => term.id).join(' & ')
  const matchesAll = (other: Pod): boolean => terms.every((term) => termSelects(term, other, state))
  const tallies = terms.map((term) =>
    state.tally(`together ${term.topologyKey} ${id}`, () => ({
      topologyKey: term.topologyKey,
      weigh: (other) => (matchesAll(other) ? 1 : 0),
    })),
  )
  // The first of a group that wants to be together has nobody to join.
  const first = tallies.every((tally) => tally.total === 0) && matchesAll(pod)
  return (slot) => {
    for (const tally of tallies) {
      const count = tally.at(slot)
      if (count === undefined || (!first && count === 0)) return noFriend
    }
    return undefined
  }
}

function filterOf(pod: PodInfo, state: ClusterState, index: TermIndex): Prepared['filter'] | undefined {
  const terms = termsOf(pod.pod)
  const friends = affinityFilter(terms.affinity, pod, state)
  const foes = terms.antiAffinity.map((term) => selected(term, state))
  const hosts: Tally[] = []
  for (const { term } of index.antiAffinity.values()) if (termSelects(term, pod.pod, state)) hosts.push(carriers(term, state))
  if (!friends && foes.length === 0 && hosts.length === 0) return undefined
  return (slot, node) => {
    const lonely = friends?.(slot, node)
    if (lonely) return lonely
    for (const tally of foes) if ((tally.at(slot) ?? 0) > 0) return foe
    for (const tally of hosts) if ((tally.at(slot) ?? 0) > 0) return unwelcome
    return undefined
  }
}

function scoreOf(pod: PodInfo, state: ClusterState, index: TermIndex): Pick<Prepared, 'score' | 'normalize'> {
  const parts: { tally: Tally; weight: number }[] = termsOf(pod.pod).preferred.map((term) => ({
    tally: selected(term, state),
    weight: term.weight,
  }))
  for (const { term } of index.preferred.values()) {
    if (termSelects(term, pod.pod, state)) parts.push({ tally: attraction(term, state), weight: 1 })
  }
  if (parts.every(({ tally }) => tally.total === 0)) return {}
  return {
    score: (slot) => parts.reduce((sum, { tally, weight }) => sum + (tally.at(slot) ?? 0) * weight, 0),
    normalize(raw, slots) {
      let min = Number.POSITIVE_INFINITY
      let max = Number.NEGATIVE_INFINITY
      for (const slot of slots) {
        min = Math.min(min, raw[slot] ?? 0)
        max = Math.max(max, raw[slot] ?? 0)
      }
      for (const slot of slots) raw[slot] = max > min ? Math.floor((100 * ((raw[slot] ?? 0) - min)) / (max - min)) : 0
    },
  }
}

export const interPodAffinity: Plugin = {
  name,
  local: false,
  prepare({ pod, state }: CycleInput) {
    const index = termIndex(state)
    const filter = filterOf(pod, state, index)
    const score = scoreOf(pod, state, index)
    return filter || score.score ? { ...(filter ? { filter } : {}), ...score } : undefined
  },
  hint(pod, event) {
    if (event.type === 'node added' || event.type === 'node updated' || event.type === 'namespace changed') return true
    if (event.type !== 'pod added' && event.type !== 'pod removed' && event.type !== 'pod updated') return false
    const mine = termsOf(pod)
    const namespace = (term: Term): boolean =>
      term.namespaceSelector !== undefined || term.namespaces.includes(event.pod.metadata.namespace ?? '')
    if (event.type !== 'pod removed' && mine.affinity.some(namespace)) return true
    return event.type !== 'pod added' && (mine.antiAffinity.some(namespace) || termsOf(event.pod).antiAffinity.length > 0)
  },
}
