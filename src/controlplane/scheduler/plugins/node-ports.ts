// Two pods cannot have one port of the host.
import { type Plugin, rejection } from '../plugin.js'
import { hostPorts, portsClash } from '../requests.js'

const name = 'NodePorts'
const taken = rejection(name, "node(s) didn't have free ports for the requested pod ports")

export const nodePorts: Plugin = {
  name,
  local: true,
  signature: (pod) => pod.ports,
  prepare({ pod: { ports } }) {
    if (ports.length === 0) return undefined
    return {
      filter(_, node) {
        for (const other of node.pods.values()) {
          if (other.ports.some((theirs) => ports.some((mine) => portsClash(mine, theirs)))) return taken
        }
        return undefined
      },
    }
  },
  hint: (pod, event) =>
    event.type === 'node added' ||
    event.type === 'node updated' ||
    (event.type === 'pod removed' && hostPorts(event.pod).some((theirs) => hostPorts(pod).some((mine) => portsClash(mine, theirs)))),
}
