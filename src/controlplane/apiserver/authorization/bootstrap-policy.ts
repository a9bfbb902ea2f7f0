// The roles and bindings that every cluster has. A rule is `verbs | groups | resources [| names]` or `verbs | paths`; core is the group without a name.
import type { PolicyRule } from '../../../api/index.js'

export interface RoleDefinition {
  readonly name: string
  readonly namespace?: string
  readonly rules: readonly string[]
  readonly labels?: Readonly<Record<string, string>>
  /** Rules come from all roles with this label. */
  readonly aggregate?: string
}

export interface BindingDefinition {
  readonly name: string
  readonly namespace?: string
  readonly role: string
  readonly roleKind?: 'ClusterRole' | 'Role'
  /** `Group:name`, `User:name`, `ServiceAccount:namespace/name`. */
  readonly subjects: readonly string[]
}

const split = (text: string): string[] => text.trim().split(/\s+/)

export function parseRule(text: string): PolicyRule {
  const [verbs = '', second = '', resources, names] = text.split('|').map((part) => part.trim())
  if (resources === undefined) return { verbs: split(verbs), nonResourceURLs: split(second) }
  return {
    verbs: split(verbs),
    apiGroups: split(second).map((group) => (group === 'core' ? '' : group)),
    resources: split(resources),
    ...(names && { resourceNames: split(names) }),
  }
}

const READ = 'get list watch'
const WRITE = 'create delete deletecollection patch update'
const ALL = `${WRITE} get list watch`
const EVENTS = 'create patch update | core events.k8s.io | events'
const aggregateTo = (name: string): Record<string, string> => ({ [`rbac.authorization.k8s.io/aggregate-to-${name}`]: 'true' })

const VIEW = [
  `${READ} | core | configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status`,
  `${READ} | core | bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas resourcequotas/status`,
  `${READ} | core | namespaces`,
  `${READ} | discovery.k8s.io | endpointslices`,
  `${READ} | apps | controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status`,
  `${READ} | autoscaling | horizontalpodautoscalers horizontalpodautoscalers/status`,
  `${READ} | batch | cronjobs cronjobs/status jobs jobs/status`,
  `${READ} | policy | poddisruptionbudgets poddisruptionbudgets/status`,
  `${READ} | networking.k8s.io | ingresses ingresses/status networkpolicies`,
  `${READ} | resource.k8s.io | resourceclaims resourceclaims/status resourceclaimtemplates`,
]
const EDIT = [
  `${READ} | core | pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy`,
  'impersonate | core | serviceaccounts',
  `${WRITE} | core | pods pods/attach pods/exec pods/portforward pods/proxy`,
  'create | core | pods/eviction',
  `${WRITE} | core | configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy`,
  'create | core | serviceaccounts/token',
  `${WRITE} | apps | daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale`,
  `${WRITE} | autoscaling | horizontalpodautoscalers`,
  `${WRITE} | batch | cronjobs jobs`,
  `${WRITE} | policy | poddisruptionbudgets`,
  `${WRITE} | networking.k8s.io | ingresses networkpolicies`,
  `${ALL} | coordination.k8s.io | leases`,
  `${WRITE} | resource.k8s.io | resourceclaims resourceclaimtemplates`,
]
const ADMIN = ['create | authorization.k8s.io | localsubjectaccessreviews', `${ALL} | rbac.authorization.k8s.io | roles rolebindings`]

/** What each kubelet may do; the Node authorizer narrows it to the node's own objects. */
export const NODE_RULES = [
  'create | authentication.k8s.io | tokenreviews',
  'create | authorization.k8s.io | subjectaccessreviews localsubjectaccessreviews',
  `${READ} | core | services`,
  'create get list watch | core | nodes',
  'patch update | core | nodes/status',
  'patch update | core | nodes',
  `${READ} | core | pods`,
  'create delete | core | pods',
  'patch update | core | pods/status',
  'create | core | pods/eviction',
  'get list watch | core | configmaps secrets',
  'get | core | persistentvolumeclaims persistentvolumes',
  'get | core | endpoints',
  'create get list watch | certificates.k8s.io | certificatesigningrequests',
  'create delete get patch update | coordination.k8s.io | leases',
  'get | storage.k8s.io | volumeattachments',
  'create | core | serviceaccounts/token',
  'get patch update | core | persistentvolumeclaims/status',
  `${READ} | storage.k8s.io | csidrivers`,
  'create delete get patch update | storage.k8s.io | csinodes',
  `${READ} | node.k8s.io | runtimeclasses`,
  EVENTS,
  'get | resource.k8s.io | resourceclaims',
  'create delete deletecollection get list patch update watch | resource.k8s.io | resourceslices',
  `${READ} | certificates.k8s.io | clustertrustbundles`,
  'create get list watch | certificates.k8s.io | podcertificaterequests',
  'get | core | nodes/configz nodes/healthz nodes/pods',
]

const DISCOVERY_PATHS = '/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/'
const INFO_PATHS = '/healthz /livez /readyz /version /version/'

const CONTROLLERS: Readonly<Record<string, readonly string[]>> = {
  'attachdetach-controller': [
    `${READ} | core | persistentvolumes persistentvolumeclaims nodes pods`,
    'patch update | core | nodes/status',
    'create delete get list patch update watch | storage.k8s.io | volumeattachments',
    `${READ} | storage.k8s.io | csidrivers csinodes`,
    EVENTS,
  ],
  'clusterrole-aggregation-controller': ['escalate get list patch update watch | rbac.authorization.k8s.io | clusterroles'],
  'cronjob-controller': [
    'get list update watch | batch | cronjobs',
    'create delete get list patch update watch | batch | jobs',
    'update | batch | cronjobs/status cronjobs/finalizers',
    'delete list | core | pods',
    EVENTS,
  ],
  'daemon-set-controller': [
    'get list watch | apps | daemonsets',
    'update | apps | daemonsets/status daemonsets/finalizers',
    `${READ} | core | nodes`,
    'create delete get list patch update watch | core | pods',
    'create | core | pods/binding',
    'create delete get list patch update watch | apps | controllerrevisions',
    EVENTS,
  ],
  'deployment-controller': [
    'get list update watch | apps | deployments',
    'update | apps | deployments/status deployments/finalizers',
    'create delete get list patch update watch | apps | replicasets',
    'get list update watch | core | pods',
    EVENTS,
  ],
  'disruption-controller': [
    `${READ} | apps | deployments replicasets statefulsets`,
    `${READ} | core | replicationcontrollers pods`,
    `${READ} | policy | poddisruptionbudgets`,
    'update | policy | poddisruptionbudgets/status',
    'patch update | core | pods/status',
    'get | * | */scale',
    EVENTS,
  ],
  'endpoint-controller': [
    `${READ} | core | services pods`,
    'create delete get list update | core | endpoints',
    'create | core | endpoints/restricted',
    EVENTS,
  ],
  'endpointslice-controller': [
    `${READ} | core | services pods nodes`,
    'update | core | services/finalizers',
    'create delete get list update | discovery.k8s.io | endpointslices',
    'create | discovery.k8s.io | endpointslices/restricted',
    EVENTS,
  ],
  'endpointslicemirroring-controller': [
    `${READ} | core | services endpoints`,
    'update | core | services/finalizers endpoints/finalizers',
    'create delete get list update | discovery.k8s.io | endpointslices',
    'create | discovery.k8s.io | endpointslices/restricted',
    EVENTS,
  ],
  'ephemeral-volume-controller': [
    'update | core | pods/finalizers',
    `${READ} | core | pods`,
    'create get list watch | core | persistentvolumeclaims',
    EVENTS,
  ],
  'expand-controller': [
    'get list patch update watch | core | persistentvolumes',
    'patch update | core | persistentvolumeclaims/status',
    `${READ} | core | persistentvolumeclaims`,
    `${READ} | storage.k8s.io | storageclasses`,
    EVENTS,
  ],
  'generic-garbage-collector': ['delete get list patch update watch | * | *', EVENTS],
  'horizontal-pod-autoscaler': [
    `${READ} | autoscaling | horizontalpodautoscalers`,
    'update | autoscaling | horizontalpodautoscalers/status',
    'get update | * | */scale',
    'list | core | pods',
    `${READ} | metrics.k8s.io | pods`,
    EVENTS,
  ],
  'job-controller': [
    'get list patch update watch | batch | jobs',
    'update | batch | jobs/status jobs/finalizers',
    'create delete get list patch update watch | core | pods',
    EVENTS,
  ],
  'namespace-controller': [
    'delete get list watch | core | namespaces',
    'update | core | namespaces/finalize namespaces/status',
    'delete deletecollection get list | * | *',
  ],
  'node-controller': [
    'delete get list patch update watch | core | nodes',
    'patch update | core | nodes/status',
    'patch update | core | pods/status',
    'delete get list watch | core | pods',
    EVENTS,
  ],
  'persistent-volume-binder': [
    'create delete get list update watch | core | persistentvolumes',
    'update | core | persistentvolumes/status persistentvolumeclaims/status',
    'get list update watch | core | persistentvolumeclaims',
    'create delete get list watch | core | pods',
    `${READ} | storage.k8s.io | storageclasses`,
    EVENTS,
  ],
  'pod-garbage-collector': ['delete get list watch | core | pods', `${READ} | core | nodes`, 'patch update | core | pods/status'],
  'pv-protection-controller': ['get list update watch | core | persistentvolumes', EVENTS],
  'pvc-protection-controller': ['get list update watch | core | persistentvolumeclaims', `${READ} | core | pods`, EVENTS],
  'replicaset-controller': [
    'get list update watch | apps | replicasets',
    'update | apps | replicasets/status replicasets/finalizers',
    'create delete get list patch update watch | core | pods',
    EVENTS,
  ],
  'replication-controller': [
    'get list update watch | core | replicationcontrollers',
    'update | core | replicationcontrollers/status replicationcontrollers/finalizers',
    'create delete get list patch update watch | core | pods',
    EVENTS,
  ],
  'resourcequota-controller': ['list watch | * | *', 'update | core | resourcequotas/status', EVENTS],
  'root-ca-cert-publisher': ['create get list update watch | core | configmaps', EVENTS],
  'route-controller': [`${READ} | core | nodes`, 'patch | core | nodes/status', EVENTS],
  'service-account-controller': ['create | core | serviceaccounts', EVENTS],
  'service-controller': [`${READ} | core | services`, 'patch update | core | services/status', `${READ} | core | nodes`, EVENTS],
  'statefulset-controller': [
    `${READ} | core | pods`,
    `${READ} | apps | statefulsets`,
    'update | apps | statefulsets/status statefulsets/finalizers',
    'create delete get patch update | core | pods',
    'create delete get list patch update watch | apps | controllerrevisions',
    'create get delete update | core | persistentvolumeclaims',
    EVENTS,
  ],
  'ttl-after-finished-controller': ['delete get list watch | batch | jobs', EVENTS],
  'ttl-controller': ['list patch update watch | core | nodes', EVENTS],
  'certificate-controller': [
    'delete get list watch | certificates.k8s.io | certificatesigningrequests',
    'update | certificates.k8s.io | certificatesigningrequests/approval certificatesigningrequests/status',
    'approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client-kubelet',
    'sign | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown',
    'create | authorization.k8s.io | subjectaccessreviews',
    EVENTS,
  ],
}

const LEASES = (name: string): string[] => ['create | coordination.k8s.io | leases', `get update | coordination.k8s.io | leases | ${name}`]

const CONTROLLER_MANAGER = [
  EVENTS,
  ...LEASES('kube-controller-manager'),
  'create | core | secrets serviceaccounts',
  'delete | core | secrets',
  'get | core | configmaps namespaces secrets serviceaccounts',
  'update | core | secrets serviceaccounts',
  'create | authentication.k8s.io | tokenreviews',
  'create | authorization.k8s.io | subjectaccessreviews',
  'list watch | * | *',
  'create | core | serviceaccounts/token',
]

const SCHEDULER = [
  EVENTS,
  ...LEASES('kube-scheduler'),
  `${READ} | core | nodes namespaces`,
  'delete get list watch | core | pods',
  'create | core | bindings pods/binding',
  'patch update | core | pods/status',
  `${READ} | core | replicationcontrollers services persistentvolumes persistentvolumeclaims`,
  `${READ} | apps | replicasets statefulsets`,
  `${READ} | policy | poddisruptionbudgets`,
  'patch update | core | persistentvolumes persistentvolumeclaims',
  'create | authentication.k8s.io | tokenreviews',
  'create | authorization.k8s.io | subjectaccessreviews',
  `${READ} | storage.k8s.io | csinodes csidrivers csistoragecapacities storageclasses volumeattachments`,
  `${READ} | resource.k8s.io | deviceclasses resourceslices`,
  'get list watch patch update | resource.k8s.io | resourceclaims resourceclaims/status',
]

const signer = (verb: string, name: string): string => `${verb} | certificates.k8s.io | signers | ${name}`

export const CLUSTER_ROLES: readonly RoleDefinition[] = [
  { name: 'cluster-admin', rules: ['* | * | *', '* | *'] },
  { name: 'admin', rules: [], aggregate: 'rbac.authorization.k8s.io/aggregate-to-admin' },
  { name: 'edit', rules: [], aggregate: 'rbac.authorization.k8s.io/aggregate-to-edit', labels: aggregateTo('admin') },
  { name: 'view', rules: [], aggregate: 'rbac.authorization.k8s.io/aggregate-to-view', labels: aggregateTo('edit') },
  { name: 'system:aggregate-to-admin', rules: ADMIN, labels: aggregateTo('admin') },
  { name: 'system:aggregate-to-edit', rules: EDIT, labels: aggregateTo('edit') },
  { name: 'system:aggregate-to-view', rules: VIEW, labels: aggregateTo('view') },
  { name: 'system:discovery', rules: [`get | ${DISCOVERY_PATHS}`] },
  { name: 'system:public-info-viewer', rules: [`get | ${INFO_PATHS}`] },
  {
    name: 'system:basic-user',
    rules: [
      'create | authorization.k8s.io | selfsubjectaccessreviews selfsubjectrulesreviews',
      'create | authentication.k8s.io | selfsubjectreviews',
    ],
  },
  { name: 'system:monitoring', rules: ['get | /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*'] },
  {
    name: 'system:service-account-issuer-discovery',
    rules: ['get | /.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/'],
  },
  {
    name: 'system:auth-delegator',
    rules: ['create | authentication.k8s.io | tokenreviews', 'create | authorization.k8s.io | subjectaccessreviews'],
  },
  { name: 'system:heapster', rules: [`${READ} | core | events namespaces nodes pods`, `${READ} | extensions | deployments`] },
  {
    name: 'system:kubelet-api-admin',
    rules: [
      `${READ} | core | nodes`,
      'proxy | core | nodes',
      '* | core | nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/spec nodes/stats',
    ],
  },
  { name: 'system:kube-aggregator', rules: [`${READ} | core | services endpoints`] },
  { name: 'system:kube-controller-manager', rules: CONTROLLER_MANAGER },
  { name: 'system:kube-dns', rules: ['list watch | core | endpoints services'] },
  { name: 'system:kube-scheduler', rules: SCHEDULER },
  { name: 'system:node', rules: NODE_RULES },
  { name: 'system:node-bootstrapper', rules: ['create get list watch | certificates.k8s.io | certificatesigningrequests'] },
  { name: 'system:node-problem-detector', rules: ['get | core | nodes', 'patch | core | nodes/status', EVENTS] },
  {
    name: 'system:node-proxier',
    rules: [
      'list watch | core | services endpoints',
      `${READ} | core | nodes`,
      'list watch | discovery.k8s.io | endpointslices',
      'list watch | networking.k8s.io | servicecidrs',
      EVENTS,
    ],
  },
  {
    name: 'system:persistent-volume-provisioner',
    rules: [
      'create delete get list watch | core | persistentvolumes',
      'get list update watch | core | persistentvolumeclaims',
      `${READ} | storage.k8s.io | storageclasses`,
      EVENTS,
    ],
  },
  {
    name: 'system:volume-scheduler',
    rules: [
      'get list patch update watch | core | persistentvolumes',
      `${READ} | storage.k8s.io | storageclasses`,
      'get list patch update watch | core | persistentvolumeclaims',
    ],
  },
  {
    name: 'system:certificates.k8s.io:certificatesigningrequests:nodeclient',
    rules: ['create | certificates.k8s.io | certificatesigningrequests/nodeclient'],
  },
  {
    name: 'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient',
    rules: ['create | certificates.k8s.io | certificatesigningrequests/selfnodeclient'],
  },
  { name: 'system:certificates.k8s.io:kube-apiserver-client-approver', rules: [signer('approve', 'kubernetes.io/kube-apiserver-client')] },
  {
    name: 'system:certificates.k8s.io:kube-apiserver-client-kubelet-approver',
    rules: [signer('approve', 'kubernetes.io/kube-apiserver-client-kubelet')],
  },
  { name: 'system:certificates.k8s.io:kubelet-serving-approver', rules: [signer('approve', 'kubernetes.io/kubelet-serving')] },
  { name: 'system:certificates.k8s.io:legacy-unknown-approver', rules: [signer('approve', 'kubernetes.io/legacy-unknown')] },
  ...Object.entries(CONTROLLERS).map(([name, rules]): RoleDefinition => ({ name: `system:controller:${name}`, rules })),
]

const EVERYBODY = ['Group:system:authenticated']

export const CLUSTER_ROLE_BINDINGS: readonly BindingDefinition[] = [
  { name: 'cluster-admin', role: 'cluster-admin', subjects: ['Group:system:masters'] },
  { name: 'system:discovery', role: 'system:discovery', subjects: EVERYBODY },
  { name: 'system:basic-user', role: 'system:basic-user', subjects: EVERYBODY },
  { name: 'system:public-info-viewer', role: 'system:public-info-viewer', subjects: [...EVERYBODY, 'Group:system:unauthenticated'] },
  { name: 'system:monitoring', role: 'system:monitoring', subjects: ['Group:system:monitoring'] },
  {
    name: 'system:service-account-issuer-discovery',
    role: 'system:service-account-issuer-discovery',
    subjects: ['Group:system:serviceaccounts'],
  },
  { name: 'system:node', role: 'system:node', subjects: [] },
  { name: 'system:node-proxier', role: 'system:node-proxier', subjects: ['User:system:kube-proxy'] },
  { name: 'system:kube-controller-manager', role: 'system:kube-controller-manager', subjects: ['User:system:kube-controller-manager'] },
  { name: 'system:kube-scheduler', role: 'system:kube-scheduler', subjects: ['User:system:kube-scheduler'] },
  { name: 'system:volume-scheduler', role: 'system:volume-scheduler', subjects: ['User:system:kube-scheduler'] },
  { name: 'system:kube-dns', role: 'system:kube-dns', subjects: ['ServiceAccount:kube-system/kube-dns'] },
  ...Object.keys(CONTROLLERS).map(
    (name): BindingDefinition => ({
      name: `system:controller:${name}`,
      role: `system:controller:${name}`,
      subjects: [`ServiceAccount:kube-system/${name}`],
    }),
  ),
]

export const ROLES: readonly RoleDefinition[] = [
  {
    name: 'extension-apiserver-authentication-reader',
    namespace: 'kube-system',
    rules: [`${READ} | core | configmaps | extension-apiserver-authentication`],
  },
  {
    name: 'system::leader-locking-kube-controller-manager',
    namespace: 'kube-system',
    rules: ['watch | core | configmaps', 'get update | core | configmaps | kube-controller-manager'],
  },
  {
    name: 'system::leader-locking-kube-scheduler',
    namespace: 'kube-system',
    rules: ['watch | core | configmaps', 'get update | core | configmaps | kube-scheduler'],
  },
  { name: 'system:controller:bootstrap-signer', namespace: 'kube-system', rules: [`${READ} | core | secrets`] },
  { name: 'system:controller:token-cleaner', namespace: 'kube-system', rules: ['delete get list watch | core | secrets', EVENTS] },
  {
    name: 'system:controller:bootstrap-signer',
    namespace: 'kube-public',
    rules: [`${READ} | core | configmaps`, 'update | core | configmaps | cluster-info', EVENTS],
  },
]

export const ROLE_BINDINGS: readonly BindingDefinition[] = [
  {
    name: 'system::extension-apiserver-authentication-reader',
    namespace: 'kube-system',
    role: 'extension-apiserver-authentication-reader',
    roleKind: 'Role',
    subjects: ['User:system:kube-controller-manager', 'User:system:kube-scheduler'],
  },
  {
    name: 'system::leader-locking-kube-controller-manager',
    namespace: 'kube-system',
    role: 'system::leader-locking-kube-controller-manager',
    roleKind: 'Role',
    subjects: ['User:system:kube-controller-manager'],
  },
  {
    name: 'system::leader-locking-kube-scheduler',
    namespace: 'kube-system',
    role: 'system::leader-locking-kube-scheduler',
    roleKind: 'Role',
    subjects: ['User:system:kube-scheduler'],
  },
  {
    name: 'system:controller:bootstrap-signer',
    namespace: 'kube-system',
    role: 'system:controller:bootstrap-signer',
    roleKind: 'Role',
    subjects: ['ServiceAccount:kube-system/bootstrap-signer'],
  },
  {
    name: 'system:controller:token-cleaner',
    namespace: 'kube-system',
    role: 'system:controller:token-cleaner',
    roleKind: 'Role',
    subjects: ['ServiceAccount:kube-system/token-cleaner'],
  },
  {
    name: 'system:controller:bootstrap-signer',
    namespace: 'kube-public',
    role: 'system:controller:bootstrap-signer',
    roleKind: 'Role',
    subjects: ['ServiceAccount:kube-system/bootstrap-signer'],
  },
]
