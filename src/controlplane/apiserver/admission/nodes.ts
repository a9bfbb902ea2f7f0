// Plugins about nodes: what a kubelet may write, and that a new node starts without pods.
import { forbiddenError, type JsonObject, type Node, type Pod, Pod as PodKind } from '../../../api/index.js'
import { nodeNameOf, referencesOf } from '../authorization/node.js'
import type { Reader } from '../registry/backend.js'
import type { AdmissionPlugin, AdmissionRequest } from './plugin.js'

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

/** Labels that a kubelet may set on its own node though their domain is reserved. */
const OWN_LABELS = new Set([
  'kubernetes.io/hostname',
  'kubernetes.io/os',
  'kubernetes.io/arch',
  'beta.kubernetes.io/os',
  'beta.kubernetes.io/arch',
  'beta.kubernetes.io/instance-type',
  'node.kubernetes.io/instance-type',
  'node.kubernetes.io/windows-build',
  'topology.kubernetes.io/zone',
  'topology.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region',
])

function mayLabel(key: string): boolean {
  const domain = key.includes('/') ? key.slice(0, key.indexOf('/')) : ''
  if (domain !== 'kubernetes.io' && domain !== 'k8s.io' && !domain.endsWith('.kubernetes.io') && !domain.endsWith('.k8s.io')) return true
  if (OWN_LABELS.has(key)) return true
  return (
    domain === 'kubelet.kubernetes.io' ||
    domain.endsWith('.kubelet.kubernetes.io') ||
    domain === 'node.kubernetes.io' ||
    domain.endsWith('.node.kubernetes.io')
  )
}

function forbiddenLabels(next: Node, previous: Node | undefined): string[] {
  const after = next.metadata.labels ?? {}
  const before = previous?.metadata.labels ?? {}
  const changed = [...new Set([...Object.keys(after), ...Object.keys(before)])].filter((key) => after[key] !== before[key])
  return changed.filter((key) => !mayLabel(key)).sort()
}

function checkNode(request: AdmissionRequest, node: string): void {
  const { operation, type, name, object, old } = request
  const refuse = (detail: string): never => {
    throw forbiddenError(type, name, detail)
  }
  const next = object as unknown as Node | undefined
  if (operation === 'DELETE') refuse(`node ${JSON.stringify(node)} is not allowed to delete nodes`)
  if ((next?.metadata.name ?? name) !== node) refuse(`node ${JSON.stringify(node)} is not allowed to modify node ${JSON.stringify(name)}`)
  if (!next) return
  const labels = forbiddenLabels(next, old as Node | undefined)
  if (labels.length > 0) refuse(`is not allowed to ${operation === 'CREATE' ? 'set' : 'modify'} the following labels: ${labels.join(', ')}`)
  if (operation !== 'UPDATE') return
  const before = old as Node
  if (JSON.stringify(next.spec?.taints ?? []) !== JSON.stringify(before.spec?.taints ?? []))
    refuse(`node ${JSON.stringify(node)} is not allowed to modify taints`)
  if (JSON.stringify(next.metadata.ownerReferences ?? []) !== JSON.stringify(before.metadata.ownerReferences ?? [])) {
    refuse(`node ${JSON.stringify(node)} is not allowed to modify ownerReferences`)
  }
}

async function checkPod(request: AdmissionRequest, node: string, reader: Reader): Promise<void> {
  const { operation, type, name, object, old, subresource, namespace } = request
  const refuse = (detail: string): never => {
    throw forbiddenError(type, name, detail)
  }
  const own = (pod: Pod | undefined): boolean => pod?.spec?.nodeName === node
  if (subresource === 'eviction') {
    if (!own(await reader.find(PodKind, namespace, name)))
      refuse(`node ${JSON.stringify(node)} can only evict pods with spec.nodeName set to itself`)
    return
  }
  if (operation === 'CREATE' && subresource === '') {
    const pod = object as unknown as Pod
    if (pod.metadata.annotations?.['kubernetes.io/config.mirror'] === undefined)
      refuse(`pod does not have "kubernetes.io/config.mirror" annotation, node ${JSON.stringify(node)} can only create mirror pods`)
    if (!own(pod)) refuse(`node ${JSON.stringify(node)} can only create pods with spec.nodeName set to itself`)
    const [owner, second] = pod.metadata.ownerReferences ?? []
    if (second || (owner && (owner.kind !== 'Node' || owner.name !== node)))
      refuse(`node ${JSON.stringify(node)} can only create pods with an owner reference set to itself`)
    const spec = pod.spec
    const reads =
      spec &&
      ['secrets', 'configmaps', 'persistentvolumeclaims'].some((resource) => referencesOf(spec, resource, pod.metadata.name).size > 0)
    if (spec?.serviceAccountName || reads)
      refuse(`node ${JSON.stringify(node)} can not create pods that reference service accounts, secrets, configmaps or claims`)
  }
  if (operation === 'UPDATE') {
    if (subresource !== 'status') refuse(`node ${JSON.stringify(node)} can only update pod status`)
    if (!own(old as Pod)) refuse(`node ${JSON.stringify(node)} can only update pod status for pods with spec.nodeName set to itself`)
    if (JSON.stringify((object as unknown as Pod).metadata.labels ?? {}) !== JSON.stringify(old?.metadata.labels ?? {}))
      refuse(`node ${JSON.stringify(node)} cannot update labels through pod status`)
  }
  if (operation === 'DELETE' && !own(old as Pod))
    refuse(`node ${JSON.stringify(node)} can only delete pods with spec.nodeName set to itself`)
}

/** A kubelet writes about its own node and its own pods. */
export function nodeRestriction(reader: Reader): AdmissionPlugin {
  return {
    name: 'NodeRestriction',
    async validate(request) {
      const node = nodeNameOf(request.user)
      if (!node) return
      const { type, name, operation, namespace } = request
      const where = `${type.group}/${type.plural}`
      if (where === '/nodes') checkNode(request, node)
      else if (where === '/pods') await checkPod(request, node, reader)
      else if (where === 'coordination.k8s.io/leases') {
        const wanted = (request.object?.metadata as JsonObject | undefined)?.name ?? name
        if (namespace !== 'kube-node-lease' || wanted !== node)
          throw forbiddenError(type, name, `can only access node lease with the same name as the requesting node`)
      } else if (where === 'storage.k8s.io/csinodes') {
        const wanted = (request.object?.metadata as JsonObject | undefined)?.name ?? name
        if (wanted !== node) throw forbiddenError(type, name, `can only access CSINode with the same name as the requesting node`)
      } else if (where === 'resource.k8s.io/resourceslices' && operation !== 'DELETE') {
        if (((request.object?.spec as JsonObject | undefined)?.nodeName ?? '') !== node)
          throw forbiddenError(type, name, 'can only create or update ResourceSlice with the same NodeName as the requesting node')
      }
    },
  }
}
