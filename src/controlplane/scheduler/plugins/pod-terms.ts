// Affinity terms of pods, and which of the pods on the nodes carry which: equal terms are one.
import { type LabelSelector, type Pod, type PodAffinityTerm, selects } from '../../../api/index.js'
import type { ClusterState, PodInfo } from '../cluster-state.js'

export interface Term {
  readonly id: string
  readonly topologyKey: string
  readonly selector: LabelSelector | undefined
  readonly namespaces: readonly string[]
  readonly namespaceSelector: LabelSelector | undefined
}

export interface WeightedTerm extends Term {
  readonly weight: number
}

/** A term of this pod, with what it leaves to be taken from the pod filled in. */
export function termOf(term: PodAffinityTerm, pod: Pod): Term {
  const labels = pod.metadata.labels ?? {}
  const keyed = (keys: readonly string[] | undefined, operator: string) =>
    (keys ?? []).flatMap((key) => (labels[key] === undefined ? [] : [{ key, operator, values: [labels[key] as string] }]))
  const extra = [...keyed(term.matchLabelKeys, 'In'), ...keyed(term.mismatchLabelKeys, 'NotIn')]
  const selector =
    term.labelSelector && extra.length > 0
      ? { ...term.labelSelector, matchExpressions: [...(term.labelSelector.matchExpressions ?? []), ...extra] }
      : term.labelSelector
  const own = (term.namespaces ?? []).length === 0 && !term.namespaceSelector
  const namespaces = own ? [pod.metadata.namespace ?? ''] : (term.namespaces ?? [])
  const { topologyKey, namespaceSelector } = term
  const id = JSON.stringify({ topologyKey, selector, namespaces, namespaceSelector })
  return { id, topologyKey, selector, namespaces, namespaceSelector }
}

export function termSelects(term: Term, pod: Pod, state: ClusterState): boolean {
  const namespace = pod.metadata.namespace ?? ''
  const inNamespace =
    term.namespaces.includes(namespace) ||
    (term.namespaceSelector !== undefined && selects(term.namespaceSelector, state.namespaces.get(namespace) ?? {}))
  return inNamespace && selects(term.selector, pod.metadata.labels)
}

export interface PodTerms {
  readonly affinity: readonly Term[]
  readonly antiAffinity: readonly Term[]
  /** Preferred ones; those of anti-affinity weigh below zero. */
  readonly preferred: readonly WeightedTerm[]
}

const noTerms: PodTerms = { affinity: [], antiAffinity: [], preferred: [] }
const parsed = new WeakMap<Pod, PodTerms>()

export function termsOf(pod: Pod): PodTerms {
  const { podAffinity, podAntiAffinity } = pod.spec?.affinity ?? {}
  if (!podAffinity && !podAntiAffinity) return noTerms
  let terms = parsed.get(pod)
  if (!terms) {
    const required = (list: readonly PodAffinityTerm[] | undefined): Term[] => (list ?? []).map((term) => termOf(term, pod))
    terms = {
      affinity: required(podAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
      antiAffinity: required(podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
      preferred: [
        ...(podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ weight, podAffinityTerm }) => ({
          ...termOf(podAffinityTerm, pod),
          weight,
        })),
        ...(podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ weight, podAffinityTerm }) => ({
          ...termOf(podAffinityTerm, pod),
          weight: -weight,
        })),
      ],
    }
    parsed.set(pod, terms)
  }
  return terms
}

interface Carried {
  readonly term: Term
  pods: number
}

/** The distinct terms that pods on nodes carry. */
export interface TermIndex {
  readonly antiAffinity: ReadonlyMap<string, Carried>
  /** Preferred terms, and required affinity, which draws others a little. */
  readonly preferred: ReadonlyMap<string, Carried>
}

const indexes = new WeakMap<ClusterState, TermIndex>()

export function termIndex(state: ClusterState): TermIndex {
  const known = indexes.get(state)
  if (known) return known
  const index = { antiAffinity: new Map<string, Carried>(), preferred: new Map<string, Carried>() }
  const count = (map: Map<string, Carried>, term: Term, sign: 1 | -1): void => {
    const carried = map.get(term.id) ?? { term, pods: 0 }
    carried.pods += sign
    if (carried.pods > 0) map.set(term.id, carried)
    else map.delete(term.id)
  }
  const onPod = ({ pod }: PodInfo, sign: 1 | -1): void => {
    if (!pod.spec?.affinity) return
    const terms = termsOf(pod)
    for (const term of terms.antiAffinity) count(index.antiAffinity, term, sign)
    for (const term of [...terms.preferred, ...terms.affinity]) count(index.preferred, term, sign)
  }
  for (const { info } of state.pods.values()) onPod(info, 1)
  state.podListeners.push(onPod)
  indexes.set(state, index)
  return index
}
