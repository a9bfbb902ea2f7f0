// A small valid object of every kind that is stored, by `group/plural`: what is particular to it, without its metadata.
const template = { metadata: { labels: { app: 'x' } }, spec: { containers: [{ name: 'c', image: 'i' }] } }
const jobTemplate = { spec: { template: { ...template, spec: { ...template.spec, restartPolicy: 'Never' } } } }
const selector = { matchLabels: { app: 'x' } }
const scaled = { replicas: 1, selector, template }
const subjects = [{ kind: 'User', name: 'u', apiGroup: 'rbac.authorization.k8s.io' }]
const webhook = {
  name: 'w.example.com',
  admissionReviewVersions: ['v1'],
  sideEffects: 'None',
  clientConfig: { url: 'https://example.com/w' },
  rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
}
const matchConstraints = { resourceRules: webhook.rules }
const deviceRequest = { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'd.example.com' } }] } }

export interface Sample {
  /** Its name, where any will not do. */
  readonly name?: string
  readonly body: Readonly<Record<string, unknown>>
}

export interface Keys {
  /** A certificate in PEM. */
  readonly pem: string
  /** A request for one, in base64. */
  readonly csr: string
  /** A public key, and the pod's uid signed with it; both in base64. */
  readonly publicKey: string
  readonly proof: string
}
export const POD_UID = '6f2d1c5e-3a1b-4c5d-8e9f-000000000001'

export const samples = ({ pem, csr, publicKey, proof }: Keys): Readonly<Record<string, Sample>> => ({
  '/configmaps': { body: { data: { a: 'b' } } },
  '/endpoints': { body: { subsets: [{ addresses: [{ ip: '10.1.1.1' }], ports: [{ port: 80 }] }] } },
  '/events': { body: { involvedObject: { kind: 'Pod', namespace: 'default', name: 'p' }, reason: 'R', message: 'm', type: 'Normal' } },
  '/limitranges': { body: { spec: { limits: [{ type: 'Container', default: { cpu: '1' } }] } } },
  '/namespaces': { body: {} },
  '/nodes': { body: {} },
  '/persistentvolumeclaims': { body: { spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } } },
  '/persistentvolumes': {
    body: { spec: { accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, hostPath: { path: '/tmp/x' } } },
  },
  '/pods': { body: { spec: template.spec } },
  '/podtemplates': { body: { template } },
  '/replicationcontrollers': { body: { spec: { replicas: 1, selector: { app: 'x' }, template } } },
  '/resourcequotas': { body: { spec: { hard: { pods: '1' } } } },
  '/secrets': { body: { data: { a: 'Yg==' } } },
  '/serviceaccounts': { body: {} },
  '/services': { body: { spec: { ports: [{ port: 80 }], selector: { app: 'x' } } } },
  'admissionregistration.k8s.io/mutatingadmissionpolicies': {
    body: {
      spec: {
        matchConstraints,
        reinvocationPolicy: 'Never',
        mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression: 'Object{}' } }],
      },
    },
  },
  'admissionregistration.k8s.io/mutatingadmissionpolicybindings': { body: { spec: { policyName: 'p' } } },
  'admissionregistration.k8s.io/mutatingwebhookconfigurations': { body: { webhooks: [webhook] } },
  'admissionregistration.k8s.io/validatingadmissionpolicies': {
    body: { spec: { matchConstraints, validations: [{ expression: 'true' }] } },
  },
  'admissionregistration.k8s.io/validatingadmissionpolicybindings': {
    body: { spec: { policyName: 'p', validationActions: ['Deny'] } },
  },
  'admissionregistration.k8s.io/validatingwebhookconfigurations': { body: { webhooks: [webhook] } },
  'apiextensions.k8s.io/customresourcedefinitions': {
    name: 'things.every.example.com',
    body: {
      spec: {
        group: 'every.example.com',
        scope: 'Cluster',
        names: { plural: 'things', kind: 'Thing' },
        versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
      },
    },
  },
  'apiregistration.k8s.io/apiservices': {
    name: 'v1.every-other.example.com',
    body: {
      spec: {
        group: 'every-other.example.com',
        version: 'v1',
        groupPriorityMinimum: 100,
        versionPriority: 100,
        insecureSkipTLSVerify: true,
        service: { name: 's', namespace: 'default' },
      },
    },
  },
  'apps/controllerrevisions': { body: { revision: 1, data: { a: 1 } } },
  'apps/daemonsets': { body: { spec: { selector, template } } },
  'apps/deployments': { body: { spec: scaled } },
  'apps/replicasets': { body: { spec: scaled } },
  'apps/statefulsets': { body: { spec: { ...scaled, serviceName: 's' } } },
  'autoscaling/horizontalpodautoscalers': {
    body: { spec: { maxReplicas: 2, scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' } } },
  },
  'batch/cronjobs': { body: { spec: { schedule: '* * * * *', jobTemplate } } },
  'batch/jobs': { body: jobTemplate },
  'certificates.k8s.io/certificatesigningrequests': {
    body: { spec: { request: csr, signerName: 'example.com/s', usages: ['client auth'] } },
  },
  'certificates.k8s.io/clustertrustbundles': { body: { spec: { trustBundle: pem } } },
  'certificates.k8s.io/podcertificaterequests': {
    body: {
      spec: {
        signerName: 'example.com/s',
        podName: 'p',
        podUID: POD_UID,
        serviceAccountName: 'default',
        serviceAccountUID: POD_UID,
        nodeName: 'n',
        nodeUID: POD_UID,
        maxExpirationSeconds: 3600,
        pkixPublicKey: publicKey,
        proofOfPossession: proof,
      },
    },
  },
  'coordination.k8s.io/leases': { body: { spec: { holderIdentity: 'h', leaseDurationSeconds: 15 } } },
  'discovery.k8s.io/endpointslices': {
    body: { addressType: 'IPv4', endpoints: [{ addresses: ['10.1.1.1'] }], ports: [{ name: 'p', port: 80, protocol: 'TCP' }] },
  },
  'events.k8s.io/events': {
    body: {
      eventTime: '2026-01-01T00:00:00.000000Z',
      reportingController: 'example.com/c',
      reportingInstance: 'i',
      action: 'A',
      reason: 'R',
      type: 'Normal',
      note: 'n',
      regarding: { kind: 'Pod', namespace: 'default', name: 'p' },
    },
  },
  'flowcontrol.apiserver.k8s.io/flowschemas': {
    body: {
      spec: {
        priorityLevelConfiguration: { name: 'global-default' },
        matchingPrecedence: 9000,
        rules: [
          {
            subjects: [{ kind: 'User', user: { name: 'u' } }],
            resourceRules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'], namespaces: ['*'] }],
          },
        ],
      },
    },
  },
  'flowcontrol.apiserver.k8s.io/prioritylevelconfigurations': {
    body: { spec: { type: 'Limited', limited: { nominalConcurrencyShares: 2, limitResponse: { type: 'Reject' } } } },
  },
  'networking.k8s.io/ingressclasses': { body: { spec: { controller: 'example.com/c' } } },
  'networking.k8s.io/ingresses': { body: { spec: { defaultBackend: { service: { name: 's', port: { number: 80 } } } } } },
  'networking.k8s.io/ipaddresses': {
    name: '10.96.200.200',
    body: { spec: { parentRef: { resource: 'services', namespace: 'default', name: 's' } } },
  },
  'networking.k8s.io/networkpolicies': { body: { spec: { podSelector: {} } } },
  'networking.k8s.io/servicecidrs': { body: { spec: { cidrs: ['10.120.0.0/16'] } } },
  'node.k8s.io/runtimeclasses': { body: { handler: 'h' } },
  'policy/poddisruptionbudgets': { body: { spec: { minAvailable: 1, selector } } },
  'rbac.authorization.k8s.io/clusterrolebindings': {
    body: { subjects, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' } },
  },
  'rbac.authorization.k8s.io/clusterroles': { body: { rules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }] } },
  'rbac.authorization.k8s.io/rolebindings': {
    body: { subjects, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' } },
  },
  'rbac.authorization.k8s.io/roles': { body: { rules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }] } },
  'resource.k8s.io/deviceclasses': { body: { spec: { selectors: [{ cel: { expression: 'true' } }] } } },
  'resource.k8s.io/devicetaintrules': { body: { spec: { taint: { key: 'example.com/k', effect: 'NoSchedule' } } } },
  'resource.k8s.io/resourceclaims': { body: { spec: deviceRequest } },
  'resource.k8s.io/resourceclaimtemplates': { body: { spec: { spec: deviceRequest } } },
  'resource.k8s.io/resourceslices': {
    body: { spec: { driver: 'd.example.com', pool: { name: 'p', generation: 1, resourceSliceCount: 1 }, nodeName: 'n' } },
  },
  'scheduling.k8s.io/priorityclasses': { body: { value: 7 } },
  'storage.k8s.io/csidrivers': { body: { spec: { attachRequired: false } } },
  'storage.k8s.io/csinodes': { body: { spec: { drivers: [] } } },
  'storage.k8s.io/csistoragecapacities': { body: { storageClassName: 's' } },
  'storage.k8s.io/storageclasses': { body: { provisioner: 'example.com/p' } },
  'storage.k8s.io/volumeattachments': {
    body: { spec: { attacher: 'a', nodeName: 'n', source: { persistentVolumeName: 'v' } } },
  },
  'storage.k8s.io/volumeattributesclasses': { body: { driverName: 'd.example.com', parameters: { a: 'b' } } },
  'storagemigration.k8s.io/storageversionmigrations': { body: { spec: { resource: { group: 'apps', resource: 'deployments' } } } },
})
