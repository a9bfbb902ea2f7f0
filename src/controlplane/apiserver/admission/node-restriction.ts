// What a kubelet may write: about its own node, its own pods, and what belongs to them.
import {
  type CertificateSigningRequest,
  type Eviction,
  equalJson,
  forbiddenError,
  type JsonObject,
  Node,
  notFoundError,
  type PersistentVolumeClaim,
  Pod,
  type Resource,
  type ResourceSlice,
  type TokenRequest,
} from '../../../api/index.js'
import { nodeNameOf, referencesOf } from '../authorization/node.js'
import type { Reader } from '../registry/backend.js'
import type { AdmissionPlugin, AdmissionRequest } from './plugin.js'

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

/** Says what is wrong; undefined when nothing is. Throws NotFound for what the answer hangs on. */
type Check = (request: AdmissionRequest, node: string, reader: Reader) => Promise<string | undefined> | string | undefined

const quoted = JSON.stringify
const nameIn = (request: AdmissionRequest): string =>
  ((request.object?.metadata as JsonObject | undefined)?.name as string | undefined) ?? request.name

const checkNode: Check = (request, node) => {
  const { operation, object, old } = request
  const name = operation === 'CREATE' ? nameIn(request) : request.name
  if (name !== node) return `node ${quoted(node)} is not allowed to modify node ${quoted(name)}`
  const next = object as unknown as Node | undefined
  if (!next) return undefined
  const before = old as Node | undefined
  const labels = forbiddenLabels(next, before)
  if (operation === 'CREATE')
    return labels.length > 0 ? `node ${quoted(node)} is not allowed to set the following labels: ${labels.join(', ')}` : undefined
  if (!equalJson(next.spec?.taints ?? [], before?.spec?.taints ?? [])) return `node ${quoted(node)} is not allowed to modify taints`
  if (labels.length > 0) return `is not allowed to modify labels: ${labels.join(', ')}`
  const owners = (of: Node | undefined) => of?.metadata.ownerReferences ?? []
  return equalJson(owners(next), owners(before)) ? undefined : `node ${quoted(node)} is not allowed to modify ownerReferences`
}

const checkMirror: Check = async ({ object }, node, reader) => {
  const { metadata, spec } = object as unknown as Pod
  const who = `node ${quoted(node)}`
  if (metadata.annotations?.[MIRROR] === undefined)
    return `pod does not have ${quoted(MIRROR)} annotation, ${who} can only create mirror pods`
  if (spec?.nodeName !== node) return `${who} can only create pods with spec.nodeName set to itself`
  const [owner, ...others] = metadata.ownerReferences ?? []
  if (others.length > 0) return `${who} can only create pods with a single owner reference set to itself`
  if (owner?.apiVersion !== 'v1' || owner.kind !== 'Node' || owner.name !== node)
    return `${who} can only create pods with an owner reference set to itself`
  if (!owner.controller) return `${who} can only create pods with a controller owner reference set to itself`
  if (owner.blockOwnerDeletion) return `${who} must not set blockOwnerDeletion on an owner reference`
  const found = await reader.find(Node, '', node)
  if (!found) throw notFoundError(Node, node)
  if (owner.uid !== found.metadata.uid) return `node ${node} UID mismatch: expected ${owner.uid} got ${found.metadata.uid}`
  if (spec.serviceAccountName) return `${who} can not create pods that reference a service account`
  const refers = (resource: string): boolean => referencesOf(spec, resource, metadata.name).size > 0
  for (const resource of ['secrets', 'configmaps']) if (refers(resource)) return `${who} can not create pods that reference ${resource}`
  if (spec.volumes?.some(({ projected }) => projected?.sources?.some((source) => source.clusterTrustBundle)))
    return `${who} can not create pods that reference clustertrustbundles`
  if (refers('persistentvolumeclaims')) return `${who} can not create pods that reference persistentvolumeclaims`
  return spec.resourceClaims?.length ? `${who} can not create pods that reference resourceclaims` : undefined
}

const MIRROR = 'kubernetes.io/config.mirror'

const checkPodStatus: Check = ({ operation, object, old }, node) => {
  if (operation !== 'UPDATE') return `unexpected operation ${quoted(operation)}`
  const [before, next] = [old as Pod, object as unknown as Pod]
  if (before.spec?.nodeName !== node) return `node ${quoted(node)} can only update pod status for pods with spec.nodeName set to itself`
  if (!equalJson(next.metadata.labels ?? {}, before.metadata.labels ?? {}))
    return `node ${quoted(node)} cannot update labels through pod status`
  const claims = (pod: Pod) => pod.status?.resourceClaimStatuses ?? []
  return equalJson(claims(next), claims(before)) ? undefined : `node ${quoted(node)} cannot update resource claim statues`
}

const checkPod: Check = (request, node, reader) => {
  const { operation, old } = request
  if (operation === 'CREATE') return checkMirror(request, node, reader)
  if (operation !== 'DELETE')
    return `unexpected operation ${quoted(operation)}, node ${quoted(node)} can only create and delete mirror pods`
  return (old as Pod).spec?.nodeName === node ? undefined : `node ${quoted(node)} can only delete pods with spec.nodeName set to itself`
}

const checkEviction: Check = async ({ operation, name, namespace, object }, node, reader) => {
  if (operation !== 'CREATE') return `unexpected operation ${operation}`
  const podName = name || (object as unknown as Eviction).metadata?.name || ''
  if (podName === '') return 'could not determine pod from request data'
  const pod = await reader.find(Pod, namespace, podName)
  if (!pod) throw notFoundError(Pod, podName)
  return pod.spec?.nodeName === node ? undefined : `node ${node} can only evict pods with spec.nodeName set to itself`
}

const checkPodDoor: Check = (request, node, reader) => {
  switch (request.subresource) {
    case '':
      return checkPod(request, node, reader)
    case 'status':
      return checkPodStatus(request, node, reader)
    case 'eviction':
      return checkEviction(request, node, reader)
    default:
      return `unexpected pod subresource ${quoted(request.subresource)}, only 'status' and 'eviction' are allowed`
  }
}

const checkClaim: Check = ({ operation, subresource, object, old }, node) => {
  if (subresource !== 'status') return 'may only update PVC status'
  if (operation !== 'UPDATE') return `unexpected operation ${quoted(operation)}`
  const rest = (claim: PersistentVolumeClaim): unknown => {
    const { resourceVersion: _r, managedFields: _m, ...metadata } = claim.metadata
    const { capacity: _c, conditions: _d, allocatedResourceStatuses: _s, allocatedResources: _a, ...status } = claim.status ?? {}
    return { ...claim, metadata, status }
  }
  return equalJson(rest(object as unknown as PersistentVolumeClaim), rest(old as PersistentVolumeClaim))
    ? undefined
    : `node ${quoted(node)} is not allowed to update fields other than status.quantity and status.conditions`
}

/** A kubelet asks for tokens for the pods that run on its node, and each ends with its pod. */
const checkToken: Check = async ({ operation, subresource, namespace, object }, node, reader) => {
  if (operation !== 'CREATE' || subresource !== 'token') return undefined
  const reference = (object as unknown as TokenRequest).spec?.boundObjectRef
  if (reference?.apiVersion !== 'v1' || reference.kind !== 'Pod' || !reference.name) return 'node requested token not bound to a pod'
  if (!reference.uid) return 'node requested token with a pod binding without a uid'
  const pod = await reader.find(Pod, namespace, reference.name)
  if (!pod) throw notFoundError(Pod, reference.name)
  if (reference.uid !== pod.metadata.uid)
    return `the UID in the bound object reference (${reference.uid}) does not match the UID in record. The object might have been deleted and then recreated`
  return pod.spec?.nodeName === node ? undefined : 'node requested token bound to a pod scheduled on a different node'
}

const checkLease: Check = (request, node) => {
  if (request.namespace !== 'kube-node-lease') return 'can only access leases in the "kube-node-lease" system namespace'
  return nameIn(request) === node ? undefined : 'can only access node lease with the same name as the requesting node'
}

const checkCsiNode: Check = (request, node) =>
  nameIn(request) === node ? undefined : 'can only access CSINode with the same name as the requesting node'

const checkSlice: Check = ({ operation, object, old }, node) => {
  const slice = (operation === 'CREATE' ? object : old) as unknown as ResourceSlice | undefined
  if ((operation !== 'CREATE' && operation !== 'DELETE') || slice?.spec?.nodeName === node) return undefined
  return `can only ${operation.toLowerCase()} ResourceSlice with the same NodeName as the requesting node`
}

const NODE_SIGNERS = ['kubernetes.io/kubelet-serving', 'kubernetes.io/kube-apiserver-client-kubelet']

const checkCertificateRequest: Check = async ({ operation, object }, node) => {
  const spec = (object as unknown as CertificateSigningRequest | undefined)?.spec
  if (operation !== 'CREATE' || !spec || !NODE_SIGNERS.includes(spec.signerName)) return undefined
  const { parseCsr } = await import('../../../pki/index.js')
  let name: string | undefined
  try {
    name = parseCsr(Buffer.from(spec.request, 'base64').toString('utf8')).subject.commonName
  } catch (error) {
    return `unable to parse csr: ${(error as Error).message}`
  }
  return name === `system:node:${node}` ? undefined : `can only create a node CSR with CN=system:node:${node}`
}

const CHECKS: Readonly<Record<string, Check>> = {
  '/nodes': checkNode,
  '/pods': checkPodDoor,
  '/persistentvolumeclaims': checkClaim,
  '/serviceaccounts': checkToken,
  'coordination.k8s.io/leases': checkLease,
  'storage.k8s.io/csinodes': checkCsiNode,
  'resource.k8s.io/resourceslices': checkSlice,
  'certificates.k8s.io/certificatesigningrequests': checkCertificateRequest,
}

export function nodeRestriction(reader: Reader): AdmissionPlugin {
  return {
    name: 'NodeRestriction',
    async validate(request) {
      const { user, type } = request
      const node = nodeNameOf(user)
      if (node === undefined) return
      const name = request.name || (request.old as Resource | undefined)?.metadata.name || ''
      const problem =
        node === ''
          ? `could not determine node from user ${quoted(user.name)}`
          : await CHECKS[`${type.group}/${type.plural}`]?.(request, node, reader)
      if (problem !== undefined) throw forbiddenError(type, name, problem)
    },
  }
}
