// What our own processes may do beyond the roles that every Kubernetes has.
import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from '../api/index.js'
import { COREFILE_CONFIGMAP, CUSTOM_CONFIGMAP } from '../dns/index.js'
import { CONFIGURATION_CONFIGMAP } from './cluster-configuration.js'

const group = 'rbac.authorization.k8s.io'
const apiVersion = 'rbac.authorization.k8s.io/v1'
const nodes = { apiGroup: group, kind: 'Group', name: 'system:nodes' } as const
const look = ['get', 'list', 'watch']

/** The service proxy and DNS of a node read what they serve. */
export const agentRole: ClusterRole = {
  apiVersion,
  kind: 'ClusterRole',
  metadata: { name: 'knarr:agent' },
  rules: [
    { apiGroups: [''], resources: ['services', 'namespaces'], verbs: look },
    { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: look },
  ],
}

const ownBindings: readonly ClusterRoleBinding[] = [
  {
    apiVersion,
    kind: 'ClusterRoleBinding',
    metadata: { name: 'knarr:agent' },
    roleRef: { apiGroup: group, kind: 'ClusterRole', name: agentRole.metadata.name },
    subjects: [nodes],
  },
  {
    apiVersion,
    kind: 'ClusterRoleBinding',
    metadata: { name: 'knarr:apiserver-kubelet-client' },
    roleRef: { apiGroup: group, kind: 'ClusterRole', name: 'system:kubelet-api-admin' },
    subjects: [{ apiGroup: group, kind: 'User', name: 'kube-apiserver-kubelet-client' }],
  },
]

/** What lets a machine with a bootstrap token become a node, and a node renew its certificate: kubeadm's names. */
const bootstrapBindings: readonly ClusterRoleBinding[] = [
  ['kubeadm:kubelet-bootstrap', 'system:node-bootstrapper', 'system:bootstrappers:kubeadm:default-node-token'],
  [
    'kubeadm:node-autoapprove-bootstrap',
    'system:certificates.k8s.io:certificatesigningrequests:nodeclient',
    'system:bootstrappers:kubeadm:default-node-token',
  ],
  ['kubeadm:node-autoapprove-certificate-rotation', 'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient', 'system:nodes'],
].map(([name = '', role = '', subject = '']) => ({
  apiVersion,
  kind: 'ClusterRoleBinding',
  metadata: { name },
  roleRef: { apiGroup: group, kind: 'ClusterRole', name: role },
  subjects: [{ apiGroup: group, kind: 'Group', name: subject }],
}))

const corefileRole: Role = {
  apiVersion,
  kind: 'Role',
  metadata: { name: 'knarr:dns-configuration', namespace: COREFILE_CONFIGMAP.namespace },
  rules: [{ apiGroups: [''], resources: ['configmaps'], resourceNames: [COREFILE_CONFIGMAP.name, CUSTOM_CONFIGMAP], verbs: look }],
}

const corefileBinding: RoleBinding = {
  apiVersion,
  kind: 'RoleBinding',
  metadata: { name: corefileRole.metadata.name, namespace: COREFILE_CONFIGMAP.namespace },
  roleRef: { apiGroup: group, kind: 'Role', name: corefileRole.metadata.name },
  subjects: [nodes],
}

/** Who joins asks how the cluster is made: kubeadm's names. */
const configurationRole: Role = {
  apiVersion,
  kind: 'Role',
  metadata: { name: 'kubeadm:nodes-kubeadm-config', namespace: CONFIGURATION_CONFIGMAP.namespace },
  rules: [{ apiGroups: [''], resources: ['configmaps'], resourceNames: [CONFIGURATION_CONFIGMAP.name], verbs: ['get'] }],
}

const configurationBinding: RoleBinding = {
  apiVersion,
  kind: 'RoleBinding',
  metadata: configurationRole.metadata,
  roleRef: { apiGroup: group, kind: 'Role', name: configurationRole.metadata.name },
  subjects: [{ apiGroup: group, kind: 'Group', name: 'system:bootstrappers:kubeadm:default-node-token' }, nodes],
}

export const namespaceRoles: readonly Role[] = [corefileRole, configurationRole]
export const namespaceBindings: readonly RoleBinding[] = [corefileBinding, configurationBinding]
export const bindings: readonly ClusterRoleBinding[] = [...ownBindings, ...bootstrapBindings]
