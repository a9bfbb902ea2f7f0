// Taints keep pods away (NoSchedule, NoExecute) or make a node less liked (PreferNoSchedule).
import { tolerates, untolerated } from '../../../api/index.js'
import { normalizeByMax, type Plugin, rejection } from '../plugin.js'

const name = 'TaintToleration'
const tainted = rejection(name, 'node(s) had untolerated taint(s)', true)

export const taintToleration: Plugin = {
  name,
  local: true,
  signature: ({ pod }) => pod.spec?.tolerations,
  prepare({ pod: { pod }, state }) {
    const tolerations = pod.spec?.tolerations ?? []
    const preferring = state.preferringNodes > 0
    return {
      filter: (_, { node }) =>
        node?.spec?.taints && untolerated(node.spec.taints, tolerations, ['NoSchedule', 'NoExecute']) ? tainted : undefined,
      ...(preferring
        ? {
            score: (_, { node }) =>
              (node?.spec?.taints ?? []).filter(
                (taint) =>
                  taint.effect === 'PreferNoSchedule' &&
                  !tolerations.some((each) => (!each.effect || each.effect === 'PreferNoSchedule') && tolerates(each, taint)),
              ).length,
            normalize: (raw, slots) => normalizeByMax(raw, slots, true),
          }
        : {}),
    }
  },
  hint: (pod, event) =>
    event.type === 'node added' || event.type === 'node updated'
      ? untolerated(event.node.spec?.taints, pod.spec?.tolerations, ['NoSchedule', 'NoExecute']) === undefined
      : false,
}
