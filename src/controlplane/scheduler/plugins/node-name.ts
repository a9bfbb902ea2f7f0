// A pod that names its node goes there or nowhere.
import { type Plugin, rejection } from '../plugin.js'

const name = 'NodeName'
const elsewhere = rejection(name, "node(s) didn't match the requested node name", true)

export const nodeName: Plugin = {
  name,
  local: true,
  signature: ({ pod }) => pod.spec?.nodeName,
  prepare({ pod: { pod } }) {
    const wanted = pod.spec?.nodeName
    return wanted ? { filter: (_, node) => (node.name === wanted ? undefined : elsewhere) } : undefined
  },
  hint: (_, event) => event.type === 'node added',
}
