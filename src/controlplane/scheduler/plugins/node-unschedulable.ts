// Cordoned nodes take no new pods, unless the pod tolerates the taint that cordoning sets.
import { tolerates } from '../../../api/index.js'
import { type Plugin, rejection } from '../plugin.js'

const name = 'NodeUnschedulable'
const cordoned = rejection(name, 'node(s) were unschedulable', true)
const taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }

export const nodeUnschedulable: Plugin = {
  name,
  local: true,
  signature: ({ pod }) => pod.spec?.tolerations,
  prepare({ pod: { pod } }) {
    if ((pod.spec?.tolerations ?? []).some((toleration) => tolerates(toleration, taint))) return undefined
    return { filter: (_, { node }) => (node?.spec?.unschedulable ? cordoned : undefined) }
  },
  hint: (_, event) => event.type === 'node added' || (event.type === 'node updated' && !event.node.spec?.unschedulable),
}
