// nodeSelector and node affinity.
import { normalizeByMax, type Plugin, rejection } from '../plugin.js'
import { termMatches, wantsNode } from '../selectors.js'

const name = 'NodeAffinity'
const unwanted = rejection(name, "node(s) didn't match Pod's node affinity/selector", true)

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
      ...(required ? { filter: (_, { node }) => (node && wantsNode(pod, node) ? undefined : unwanted) } : {}),
      ...(preferred.length > 0
        ? {
            score: (_, { node }) =>
              preferred.reduce((sum, term) => (node && termMatches(term.preference, node) ? sum + term.weight : sum), 0),
            normalize: (raw, slots) => normalizeByMax(raw, slots),
          }
        : {}),
    }
  },
  hint: (pod, event) => (event.type === 'node added' || event.type === 'node updated') && wantsNode(pod, event.node),
}
