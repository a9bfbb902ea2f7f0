// nodeSelector and node affinity.
import { type Pod, termMatches, wantsNode } from '../../../api/index.js'
import { normalizeByMax, type Plugin, rejection } from '../plugin.js'

const name = 'NodeAffinity'
/** Nodes that a pod made for one node never asks about. */
const unnamed = rejection(name, `node(s) didn't satisfy plugin(s) [${name}]`, true)
const unwanted = rejection(name, "node(s) didn't match Pod's node affinity/selector", true)

/** The nodes that each of the pod's terms names, when all of them do (as those of daemons). */
function namedNodes(pod: Pod): ReadonlySet<string> | undefined {
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? []
  const names = new Set<string>()
  for (const { matchFields = [] } of terms) {
    const fields = matchFields.filter(({ key, operator }) => key === 'metadata.name' && operator === 'In')
    if (fields.length === 0) return undefined
    for (const value of fields[0]?.values ?? []) if (fields.every((each) => each.values?.includes(value))) names.add(value)
  }
  return names.size > 0 ? names : undefined
}

const hint: Plugin['hint'] = (pod, event) =>
  (event.type === 'node added' || event.type === 'node updated') && wantsNode(pod.spec, event.node)

/** Before all other filters: a pod that is made for some nodes by name asks no others, and says so. */
export const namedNode: Plugin = {
  name,
  local: true,
  signature: ({ pod }) => [...(namedNodes(pod) ?? [])],
  prepare({ pod: { pod } }) {
    const names = namedNodes(pod)
    return names && { filter: (_, node) => (names.has(node.name) ? undefined : unnamed) }
  },
  hint,
}

export const nodeAffinity: Plugin = {
  name,
  local: true,
  signature: ({ pod }) => [pod.spec?.nodeSelector, pod.spec?.affinity?.nodeAffinity],
  prepare({ pod: { pod } }) {
    const affinity = pod.spec?.affinity?.nodeAffinity
    const preferred = (affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).filter((term) => term.weight > 0)
    const required = pod.spec?.nodeSelector !== undefined || affinity?.requiredDuringSchedulingIgnoredDuringExecution !== undefined
    if (!required && preferred.length === 0) return undefined
    return {
      ...(required ? { filter: (_, { node }) => (node && wantsNode(pod.spec, node) ? undefined : unwanted) } : {}),
      ...(preferred.length > 0
        ? {
            score: (_, { node }) =>
              preferred.reduce((sum, term) => (node && termMatches(term.preference, node) ? sum + term.weight : sum), 0),
            normalize: (raw, slots) => normalizeByMax(raw, slots),
          }
        : {}),
    }
  },
  hint,
}
