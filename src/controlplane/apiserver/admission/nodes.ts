// That a new node starts without pods.
import type { JsonObject } from '../../../api/index.js'
import type { AdmissionPlugin } from './plugin.js'

const NOT_READY = 'node.kubernetes.io/not-ready'

/** A node is not ready until it says so: without this, pods land on it before its network is there. */
export const taintNodesByCondition: AdmissionPlugin = {
  name: 'TaintNodesByCondition',
  admit({ operation, type, subresource, object }) {
    if (operation !== 'CREATE' || type.group !== '' || type.plural !== 'nodes' || subresource !== '' || !object) return
    object.spec ??= {}
    const spec = object.spec as JsonObject
    const taints = (spec.taints ?? []) as JsonObject[]
    if (taints.some(({ key, effect }) => key === NOT_READY && effect === 'NoSchedule')) return
    spec.taints = [...taints, { key: NOT_READY, effect: 'NoSchedule' }]
  },
}
