// Spreads pods evenly over zones, hosts, or whatever a node label says.
import { type LabelSelector, type Pod, selects, type TopologySpreadConstraint, untolerated, wantsNode } from '../../../api/index.js'
import type { ClusterState, PodInfo, Tally } from '../cluster-state.js'
import { type CycleInput, type Plugin, type Prepared, rejection } from '../plugin.js'

const name = 'PodTopologySpread'
const uneven = rejection(name, "node(s) didn't match pod topology spread constraints")
const unlabelled = rejection(name, "node(s) didn't match pod topology spread constraints (missing required label)", true)

/** The constraint's selector, with the labels that `matchLabelKeys` takes from the pod. */
export function spreadSelector(constraint: TopologySpreadConstraint, pod: Pod): LabelSelector | undefined {
  const labels = pod.metadata.labels ?? {}
  const extra = (constraint.matchLabelKeys ?? []).flatMap((key) =>
    labels[key] === undefined ? [] : [{ key, operator: 'In', values: [labels[key] as string] }],
  )
  if (!constraint.labelSelector || extra.length === 0) return constraint.labelSelector
  return { ...constraint.labelSelector, matchExpressions: [...(constraint.labelSelector.matchExpressions ?? []), ...extra] }
}

interface Constraint {
  readonly maxSkew: number
  readonly minDomains: number
  readonly topologyKey: string
  readonly tally: Tally
  /** 1 when the pod itself is one of those it counts. */
  readonly self: number
}

function resolve(constraint: TopologySpreadConstraint, { pod }: PodInfo, state: ClusterState): Constraint {
  const selector = spreadSelector(constraint, pod)
  const { topologyKey } = constraint
  const { namespace } = pod.metadata
  const honorAffinity = constraint.nodeAffinityPolicy !== 'Ignore'
  const honorTaints = constraint.nodeTaintsPolicy === 'Honor'
  const wants = honorAffinity && (pod.spec?.nodeSelector || pod.spec?.affinity?.nodeAffinity)
  const eligibility = [
    wants ? [pod.spec?.nodeSelector, pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution] : null,
    honorTaints ? (pod.spec?.tolerations ?? []) : null,
  ]
  const id = JSON.stringify(['spread', topologyKey, namespace, selector ?? null, eligibility])
  const tally = state.tally(id, () => ({
    topologyKey,
    weigh: (other) =>
      other.metadata.namespace === namespace && !other.metadata.deletionTimestamp && selects(selector, other.metadata.labels) ? 1 : 0,
    eligible:
      wants || honorTaints
        ? (node) =>
            (!wants || wantsNode(pod.spec, node)) &&
            (!honorTaints || untolerated(node.spec?.taints, pod.spec?.tolerations, ['NoSchedule', 'NoExecute']) === undefined)
        : undefined,
  }))
  const self = selects(selector, pod.metadata.labels) ? 1 : 0
  return { maxSkew: constraint.maxSkew, minDomains: constraint.minDomains ?? 1, topologyKey, tally, self }
}

function hardFilter(constraints: readonly Constraint[]): NonNullable<Prepared['filter']> {
  const bounds = constraints.map(({ tally, minDomains, maxSkew, self }) => {
    const { count, domains } = tally.smallest()
    // Fewer domains than asked for: the missing ones are empty.
    return { of: tally.domains.of, counts: tally.counts, limit: (domains < minDomains ? 0 : count) + maxSkew - self }
  })
  return (slot) => {
    for (let index = 0; index < bounds.length; index++) {
      const { of, counts, limit } = bounds[index] as (typeof bounds)[number]
      const domain = of[slot] as number
      if (domain < 0) return unlabelled
      if ((counts[domain] ?? 0) > limit) return uneven
    }
    return undefined
  }
}

const HOST = 'kubernetes.io/hostname'

function softScore(constraints: readonly Constraint[], requireAll: boolean, state: ClusterState): Prepared {
  const weights = constraints.map(({ tally, topologyKey }) => Math.log((topologyKey === HOST ? state.slots.size : tally.domains.size) + 2))
  const UNLABELLED = -1
  return {
    score(slot) {
      let score = 0
      for (const [index, { tally, maxSkew }] of constraints.entries()) {
        const count = tally.at(slot)
        if (count === undefined) {
          if (requireAll) return UNLABELLED
        } else score += count * (weights[index] ?? 1) + (maxSkew - 1)
      }
      return Math.round(score)
    },
    normalize(raw, slots) {
      let min = Number.POSITIVE_INFINITY
      let max = 0
      for (const slot of slots) {
        const score = raw[slot] ?? 0
        if (score === UNLABELLED) continue
        if (score < min) min = score
        if (score > max) max = score
      }
      for (const slot of slots) {
        const score = raw[slot] ?? 0
        raw[slot] = score === UNLABELLED ? 0 : max === 0 ? 100 : Math.floor((100 * (max + min - score)) / max)
      }
    },
  }
}

/** Without constraints of its own, a pod is kept apart from its siblings: softly, by host and by zone. */
function siblings({ pod }: PodInfo, state: ClusterState): Constraint[] {
  const owner = pod.metadata.ownerReferences?.find((reference) => reference.controller)
  if (!owner) return []
  const { uid } = owner
  const by = (topologyKey: string, maxSkew: number): Constraint => {
    const tally = state.tally(`siblings ${topologyKey} ${uid}`, () => ({
      topologyKey,
      weigh: (other) =>
        !other.metadata.deletionTimestamp &&
        other.metadata.ownerReferences?.some((reference) => reference.controller && reference.uid === uid)
          ? 1
          : 0,
    }))
    return { maxSkew, minDomains: 1, topologyKey, tally, self: 1 }
  }
  return [by(HOST, 3), by('topology.kubernetes.io/zone', 5)]
}

function prepare({ pod, state }: CycleInput): Prepared | undefined {
  const constraints = pod.pod.spec?.topologySpreadConstraints ?? []
  const hard = constraints.filter((each) => each.whenUnsatisfiable !== 'ScheduleAnyway').map((each) => resolve(each, pod, state))
  const soft = constraints.filter((each) => each.whenUnsatisfiable === 'ScheduleAnyway').map((each) => resolve(each, pod, state))
  const scored = constraints.length === 0 ? siblings(pod, state) : soft
  if (hard.length === 0 && scored.length === 0) return undefined
  return {
    ...(hard.length > 0 ? { filter: hardFilter(hard) } : {}),
    ...(scored.length > 0 ? softScore(scored, constraints.length > 0, state) : {}),
  }
}

export const podTopologySpread: Plugin = {
  name,
  local: false,
  prepare,
  hint(pod, event) {
    if (event.type === 'node added' || event.type === 'node updated') {
      return (pod.spec?.topologySpreadConstraints ?? []).every(({ topologyKey }) => event.node.metadata.labels?.[topologyKey] !== undefined)
    }
    if (event.type !== 'pod added' && event.type !== 'pod removed' && event.type !== 'pod updated') return false
    return (
      event.pod.metadata.namespace === pod.metadata.namespace &&
      (pod.spec?.topologySpreadConstraints ?? []).some((each) => selects(spreadSelector(each, pod), event.pod.metadata.labels))
    )
  },
}
