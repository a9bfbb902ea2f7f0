// Nodes.
import { ageOf, column } from '../columns.js'
import { defineResource } from '../define-resource.js'
import { Node } from '../generated/kinds.js'
import { nodeErrors, nodeUpdateErrors } from '../validation/node.js'

function status(node: Node): string {
  const ready = node.status?.conditions?.find((c) => c.type === 'Ready')
  const parts = [ready ? (ready.status === 'True' ? 'Ready' : 'NotReady') : 'Unknown']
  if (node.spec?.unschedulable) parts.push('SchedulingDisabled')
  return parts.join(',')
}

const ROLE = 'node-role.kubernetes.io/'

function roles(node: Node): string {
  const found = new Set<string>()
  for (const [key, value] of Object.entries(node.metadata.labels ?? {})) {
    if (key.startsWith(ROLE) && key.length > ROLE.length) found.add(key.slice(ROLE.length))
    else if (key === 'kubernetes.io/role' && value) found.add(value)
  }
  return found.size === 0 ? '<none>' : [...found].sort().join(',')
}

const address = (node: Node, type: string): string => node.status?.addresses?.find((a) => a.type === type)?.address ?? '<none>'
const info = (node: Node) => node.status?.nodeInfo

export const nodeResource = defineResource<Node>({
  of: Node,
  shortNames: ['no'],
  storagePrefix: 'minions',
  // A kubelet says all it knows when it registers.
  createsStatus: true,
  columns: [
    column('Status', status, { description: 'Whether the node takes and runs pods.' }),
    column('Roles', roles, { description: 'From labels that begin with node-role.kubernetes.io/.' }),
    ageOf(),
    column('Version', (node) => info(node)?.kubeletVersion ?? '', { description: "The kubelet's version." }),
    column('Internal-IP', (node) => address(node, 'InternalIP'), { wide: true }),
    column('External-IP', (node) => address(node, 'ExternalIP'), { wide: true }),
    column('OS-Image', (node) => info(node)?.osImage || '<unknown>', { wide: true }),
    column('Kernel-Version', (node) => info(node)?.kernelVersion || '<unknown>', { wide: true }),
    column('Container-Runtime', (node) => info(node)?.containerRuntimeVersion || '<unknown>', { wide: true }),
  ],
  selectableFields: { 'spec.unschedulable': (node) => String(node.spec?.unschedulable ?? false) },
  validate: nodeErrors,
  validateUpdate: nodeUpdateErrors,
})
