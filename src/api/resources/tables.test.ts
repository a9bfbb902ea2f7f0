import t from 'tap'
import { humanDuration } from '../columns.js'
import { tableOf } from '../render.js'
import { findResource, resourceTypes } from './table.js'

const now = Date.UTC(2026, 0, 1, 12)
const metadata = { name: 'x', creationTimestamp: '2026-01-01T11:55:00Z' }

/** Column names (wide ones marked) and the cells of one object. */
function shown(path: string, object: object): { readonly names: string; readonly cells: unknown[] } {
  const [group = '', version = '', plural = ''] = path.split(' ')
  const type = findResource(group === 'core' ? '' : group, version, plural)
  if (!type) throw new Error(`no ${path}`)
  const table = tableOf(type, [{ apiVersion: type.apiVersion, kind: type.kind, metadata, ...object } as never], { now }) as unknown as {
    rows: { cells: unknown[] }[]
  }
  return { names: type.columns.map((c) => `${c.name}${c.priority > 0 ? '*' : ''}`).join('|'), cells: table.rows[0]?.cells ?? [] }
}

const containers = [
  { name: 'a', image: 'i:1' },
  { name: 'b', image: 'j' },
]
const running = (name: string, restartCount = 0) => ({ name, ready: true, restartCount, state: { running: {} } })

t.test('pods', async (t) => {
  const names = 'Name|Ready|Status|Restarts|Age|IP*|Node*|Nominated Node*|Readiness Gates*'
  const pod = (status: object, spec: object = {}, meta: object = {}) =>
    shown('core v1 pods', { metadata: { ...metadata, ...meta }, spec: { containers, nodeName: 'n', ...spec }, status })
  const up = pod({ phase: 'Running', podIP: '10.0.0.1', containerStatuses: [running('a'), running('b', 3)] })
  t.equal(up.names, names)
  t.same(up.cells, ['x', '2/2', 'Running', '3', '5m', '10.0.0.1', 'n', '<none>', '<none>'])
  const status = (...args: Parameters<typeof pod>): unknown => pod(...args).cells[2]
  t.equal(status({ phase: 'Pending' }), 'Pending')
  t.equal(
    status({ phase: 'Pending', containerStatuses: [{ name: 'a', state: { waiting: { reason: 'ImagePullBackOff' } } }] }),
    'ImagePullBackOff',
  )
  t.equal(status({ phase: 'Failed', containerStatuses: [{ name: 'a', state: { terminated: { exitCode: 3 } } }] }), 'ExitCode:3')
  t.equal(status({ phase: 'Failed', containerStatuses: [{ name: 'a', state: { terminated: { signal: 9, exitCode: 137 } } }] }), 'Signal:9')
  t.equal(status({ phase: 'Running' }, {}, { deletionTimestamp: '2026-01-01T12:00:00Z' }), 'Terminating')
  t.equal(
    status(
      { phase: 'Pending', initContainerStatuses: [{ name: 'i', state: { running: {} } }] },
      { initContainers: [{ name: 'i' }, { name: 'k' }] },
    ),
    'Init:0/2',
  )
  t.equal(
    status({ phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }] }),
    'SchedulingGated',
  )
  t.equal(status({ phase: 'Failed', reason: 'Evicted' }), 'Evicted')
  const again = { ...running('a', 2), lastState: { terminated: { exitCode: 1, finishedAt: '2026-01-01T11:59:30Z' } } }
  t.equal(pod({ phase: 'Running', containerStatuses: [again] }).cells[3], '2 (30s ago)')
})

t.test('the columns of kubectl, for every kind', async (t) => {
  const names: Readonly<Record<string, string>> = {
    'core v1 componentstatuses': 'Name|Status|Message|Error',
    'core v1 configmaps': 'Name|Data|Age',
    'core v1 endpoints': 'Name|Endpoints|Age',
    'core v1 events': 'Last Seen|Type|Reason|Object|Subobject*|Source*|Message|First Seen*|Count*|Name*',
    'core v1 limitranges': 'Name|Created At',
    'core v1 namespaces': 'Name|Status|Age',
    'core v1 nodes': 'Name|Status|Roles|Age|Version|Internal-IP*|External-IP*|OS-Image*|Kernel-Version*|Container-Runtime*',
    'core v1 persistentvolumeclaims': 'Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|VolumeMode*',
    'core v1 persistentvolumes':
      'Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|Reason|Age|VolumeMode*',
    'core v1 pods': 'Name|Ready|Status|Restarts|Age|IP*|Node*|Nominated Node*|Readiness Gates*',
    'core v1 podtemplates': 'Name|Containers|Images|Pod Labels',
    'core v1 replicationcontrollers': 'Name|Desired|Current|Ready|Age|Containers*|Images*|Selector*',
    'core v1 resourcequotas': 'Name|Request|Limit|Age',
    'core v1 secrets': 'Name|Type|Data|Age',
    'core v1 serviceaccounts': 'Name|Secrets|Age',
    'core v1 services': 'Name|Type|Cluster-IP|External-IP|Port(s)|Age|Selector*',
    'apiregistration.k8s.io v1 apiservices': 'Name|Service|Available|Age',
    'apps v1 controllerrevisions': 'Name|Controller|Revision|Age',
    'apps v1 daemonsets': 'Name|Desired|Current|Ready|Up-to-date|Available|Node Selector|Age|Containers*|Images*|Selector*',
    'apps v1 deployments': 'Name|Ready|Up-to-date|Available|Age|Containers*|Images*|Selector*',
    'apps v1 replicasets': 'Name|Desired|Current|Ready|Age|Containers*|Images*|Selector*',
    'apps v1 statefulsets': 'Name|Ready|Age|Containers*|Images*',
    'events.k8s.io v1 events': 'Last Seen|Type|Reason|Object|Subobject*|Source*|Message|First Seen*|Count*|Name*',
    'autoscaling v1 horizontalpodautoscalers': 'Name|Reference|Targets|MinPods|MaxPods|Replicas|Age',
    'autoscaling v2 horizontalpodautoscalers': 'Name|Reference|Targets|MinPods|MaxPods|Replicas|Age',
    'batch v1 cronjobs': 'Name|Schedule|Timezone|Suspend|Active|Last Schedule|Age|Containers*|Images*|Selector*',
    'batch v1 jobs': 'Name|Status|Completions|Duration|Age|Containers*|Images*|Selector*',
    'certificates.k8s.io v1 certificatesigningrequests': 'Name|Age|SignerName|Requestor|RequestedDuration|Condition',
    'certificates.k8s.io v1 clustertrustbundles': 'Name|SignerName',
    'certificates.k8s.io v1 podcertificaterequests': 'Name|PodName|ServiceAccountName|NodeName|SignerName|State|Age',
    'networking.k8s.io v1 ingressclasses': 'Name|Controller|Parameters|Age',
    'networking.k8s.io v1 ingresses': 'Name|Class|Hosts|Address|Ports|Age',
    'networking.k8s.io v1 ipaddresses': 'Name|ParentRef',
    'networking.k8s.io v1 networkpolicies': 'Name|Pod-Selector|Age',
    'networking.k8s.io v1 servicecidrs': 'Name|CIDRs|Age',
    'policy v1 poddisruptionbudgets': 'Name|Min Available|Max Unavailable|Allowed Disruptions|Age',
    'rbac.authorization.k8s.io v1 clusterrolebindings': 'Name|Role|Age|Users*|Groups*|ServiceAccounts*',
    'rbac.authorization.k8s.io v1 clusterroles': 'Name|Created At',
    'rbac.authorization.k8s.io v1 rolebindings': 'Name|Role|Age|Users*|Groups*|ServiceAccounts*',
    'rbac.authorization.k8s.io v1 roles': 'Name|Created At',
    'storage.k8s.io v1 csidrivers': 'Name|AttachRequired|PodInfoOnMount|StorageCapacity|TokenRequests|RequiresRepublish|Modes|Age',
    'storage.k8s.io v1 csinodes': 'Name|Drivers|Age',
    'storage.k8s.io v1 csistoragecapacities': 'Name|StorageClassName|Capacity',
    'storage.k8s.io v1 storageclasses': 'Name|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age',
    'storage.k8s.io v1 volumeattachments': 'Name|Attacher|PV|Node|Attached|Age',
    'storage.k8s.io v1 volumeattributesclasses': 'Name|DriverName|Age',
    'storagemigration.k8s.io v1 storageversionmigrations': 'Name|Resource',
    'admissionregistration.k8s.io v1 mutatingadmissionpolicies': 'Name|Mutations|ParamKind|Age',
    'admissionregistration.k8s.io v1 mutatingadmissionpolicybindings': 'Name|PolicyName|ParamRef|Age',
    'admissionregistration.k8s.io v1 mutatingwebhookconfigurations': 'Name|Webhooks|Age',
    'admissionregistration.k8s.io v1 validatingadmissionpolicies': 'Name|Validations|ParamKind|Age',
    'admissionregistration.k8s.io v1 validatingadmissionpolicybindings': 'Name|PolicyName|ParamRef|Age',
    'admissionregistration.k8s.io v1 validatingwebhookconfigurations': 'Name|Webhooks|Age',
    'apiextensions.k8s.io v1 customresourcedefinitions': 'Name|Created At',
    'scheduling.k8s.io v1 priorityclasses': 'Name|Value|Global-Default|Age|PreemptionPolicy',
    'coordination.k8s.io v1 leases': 'Name|Holder|Age',
    'node.k8s.io v1 runtimeclasses': 'Name|Handler|Age',
    'discovery.k8s.io v1 endpointslices': 'Name|AddressType|Ports|Endpoints|Age',
    'flowcontrol.apiserver.k8s.io v1 flowschemas': 'Name|PriorityLevel|MatchingPrecedence|DistinguisherMethod|Age|MissingPL',
    'flowcontrol.apiserver.k8s.io v1 prioritylevelconfigurations':
      'Name|Type|NominalConcurrencyShares|Queues|HandSize|QueueLengthLimit|Age',
    'resource.k8s.io v1 deviceclasses': 'Name|Age',
    'resource.k8s.io v1 devicetaintrules': 'Name|Age',
    'resource.k8s.io v1 resourceclaims': 'Name|State|Age',
    'resource.k8s.io v1 resourceclaimtemplates': 'Name|Age',
    'resource.k8s.io v1 resourceslices': 'Name|Node|Driver|Pool|Age',
  }
  const listed = resourceTypes.filter(({ verbs }) => verbs.includes('list'))
  const paths = listed.map(({ group, version, plural }) => `${group || 'core'} ${version} ${plural}`)
  t.same(Object.fromEntries(paths.map((path) => [path, shown(path, {}).names])), names)
})

t.test('cells', async (t) => {
  t.same(
    shown('apps v1 deployments', {
      spec: { replicas: 3, selector: { matchLabels: { app: 'a' } }, template: { spec: { containers } } },
      status: { readyReplicas: 2, updatedReplicas: 1, availableReplicas: 2 },
    }).cells,
    ['x', '2/3', 1, 2, '5m', 'a,b', 'i:1,j', 'app=a'],
  )
  t.same(
    shown('core v1 nodes', {
      metadata: { ...metadata, labels: { 'node-role.kubernetes.io/control-plane': '' } },
      spec: { unschedulable: true },
      status: {
        conditions: [{ type: 'Ready', status: 'True' }],
        nodeInfo: { kubeletVersion: 'v1.37.0' },
        addresses: [{ type: 'InternalIP', address: '10.0.0.2' }],
      },
    }).cells,
    ['x', 'Ready,SchedulingDisabled', 'control-plane', '5m', 'v1.37.0', '10.0.0.2', '<none>', '<unknown>', '<unknown>', '<unknown>'],
  )
  t.same(
    shown('core v1 services', {
      spec: { type: 'NodePort', clusterIP: '10.1.0.1', ports: [{ port: 80, nodePort: 30080, protocol: 'TCP' }], selector: { app: 'a' } },
    }).cells,
    ['x', 'NodePort', '10.1.0.1', '<none>', '80:30080/TCP', '5m', 'app=a'],
  )
  t.same(
    shown('batch v1 jobs', {
      spec: { completions: 2, template: { spec: { containers } } },
      status: { succeeded: 1, startTime: '2026-01-01T11:59:00Z' },
    }).cells.slice(0, 5),
    ['x', 'Running', '1/2', '60s', '5m'],
  )
  t.same(
    shown('core v1 events', {
      involvedObject: { kind: 'Pod', name: 'p' },
      type: 'Normal',
      reason: 'Pulled',
      message: 'done',
      lastTimestamp: '2026-01-01T11:59:58Z',
      count: 2,
    }).cells.slice(0, 4),
    ['2s', 'Normal', 'Pulled', 'pod/p'],
  )
})

t.test('durations as kubectl writes them', async (t) => {
  const cases: Readonly<Record<string, number>> = {
    '0s': 0,
    '119s': 119,
    '2m': 120,
    '3m20s': 200,
    '10m': 600,
    '179m': 10799,
    '3h': 10800,
    '3h5m': 11100,
    '8h': 28800,
    '47h': 47 * 3600,
    '2d': 48 * 3600,
    '2d1h': 49 * 3600,
    '8d': 8 * 86400,
    '729d': 729 * 86400,
    '2y': 730 * 86400,
    '2y5d': 735 * 86400,
    '9y': 9 * 365 * 86400,
  }
  for (const [text, seconds] of Object.entries(cases)) t.equal(humanDuration(seconds * 1000), text)
})
