// Every built-in kind, in the order of discovery: the one list that routes, discovery and OpenAPI follow.
import type { Kind, Resource } from '../kind.js'
import type { ResourceType } from '../resource-type.js'
import { certificateRequestResource, clusterTrustBundleResource, podCertificateRequestResource, reviewResources } from './auth.js'
import { cronJobResource, hpaResource, hpaV1Resource, jobResource, podDisruptionBudgetResource } from './batch.js'
import {
  bindingResource,
  componentStatusResource,
  configMapResource,
  limitRangeResource,
  namespaceResource,
  persistentVolumeClaimResource,
  persistentVolumeResource,
  resourceQuotaResource,
  secretResource,
  serviceAccountResource,
} from './core.js'
import { eventResource, eventsV1Resource } from './event.js'
import {
  apiServiceResource,
  crdResource,
  deviceClassResource,
  deviceTaintRuleResource,
  resourceClaimResource,
  resourceClaimTemplateResource,
  resourceSliceResource,
} from './extensions.js'
import {
  endpointSliceResource,
  endpointsResource,
  ingressClassResource,
  ingressResource,
  ipAddressResource,
  networkPolicyResource,
  serviceCidrResource,
  serviceResource,
} from './network.js'
import { nodeResource } from './node.js'
import { podResource } from './pod.js'
import {
  flowSchemaResource,
  leaseResource,
  mutatingPolicyBindingResource,
  mutatingPolicyResource,
  mutatingWebhookResource,
  priorityClassResource,
  priorityLevelResource,
  runtimeClassResource,
  validatingPolicyBindingResource,
  validatingPolicyResource,
  validatingWebhookResource,
} from './policy.js'
import { clusterRoleBindingResource, clusterRoleResource, roleBindingResource, roleResource } from './rbac.js'
import {
  csiDriverResource,
  csiNodeResource,
  csiStorageCapacityResource,
  storageClassResource,
  storageVersionMigrationResource,
  volumeAttachmentResource,
  volumeAttributesClassResource,
} from './storage.js'
import {
  controllerRevisionResource,
  daemonSetResource,
  deploymentResource,
  podTemplateResource,
  replicaSetResource,
  replicationControllerResource,
  statefulSetResource,
} from './workloads.js'

const typed = [
  bindingResource,
  componentStatusResource,
  configMapResource,
  endpointsResource,
  eventResource,
  limitRangeResource,
  namespaceResource,
  nodeResource,
  persistentVolumeClaimResource,
  persistentVolumeResource,
  podResource,
  podTemplateResource,
  replicationControllerResource,
  resourceQuotaResource,
  secretResource,
  serviceAccountResource,
  serviceResource,
  apiServiceResource,
  controllerRevisionResource,
  daemonSetResource,
  deploymentResource,
  replicaSetResource,
  statefulSetResource,
  eventsV1Resource,
  ...reviewResources,
  hpaResource,
  hpaV1Resource,
  cronJobResource,
  jobResource,
  certificateRequestResource,
  clusterTrustBundleResource,
  podCertificateRequestResource,
  ingressClassResource,
  ingressResource,
  ipAddressResource,
  networkPolicyResource,
  serviceCidrResource,
  podDisruptionBudgetResource,
  clusterRoleBindingResource,
  clusterRoleResource,
  roleBindingResource,
  roleResource,
  csiDriverResource,
  csiNodeResource,
  csiStorageCapacityResource,
  storageClassResource,
  volumeAttachmentResource,
  volumeAttributesClassResource,
  storageVersionMigrationResource,
  mutatingPolicyBindingResource,
  mutatingPolicyResource,
  mutatingWebhookResource,
  validatingPolicyBindingResource,
  validatingPolicyResource,
  validatingWebhookResource,
  crdResource,
  priorityClassResource,
  leaseResource,
  runtimeClassResource,
  endpointSliceResource,
  flowSchemaResource,
  priorityLevelResource,
  deviceClassResource,
  deviceTaintRuleResource,
  resourceClaimResource,
  resourceClaimTemplateResource,
  resourceSliceResource,
] as const

export const resourceTypes = typed as unknown as readonly ResourceType[]

const byPath = new Map(resourceTypes.map((type) => [`${type.group}/${type.version}/${type.plural}`, type]))
const byKind = new Map(resourceTypes.map((type) => [`${type.group}/${type.version}/${type.kind}`, type]))

/** As in a URL: `apps`, `v1`, `deployments`. */
export const findResource = (group: string, version: string, plural: string): ResourceType | undefined =>
  byPath.get(`${group}/${version}/${plural}`)

/** As in an object: `apps`, `v1`, `Deployment`. */
export const findKind = (group: string, version: string, name: string): ResourceType | undefined =>
  byKind.get(`${group}/${version}/${name}`)

/** The resource of a descriptor. */
export function resourceOf<T extends Resource>(kind: Kind<T>): ResourceType<T> {
  const type = findResource(kind.group, kind.version, kind.plural)
  if (!type) throw new Error(`no resource ${kind.plural}.${kind.version}.${kind.group}`)
  return type as unknown as ResourceType<T>
}
