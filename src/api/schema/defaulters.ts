// Defaults of the built-in types, by the name of the type: they hold wherever the type occurs (a container in a Deployment's template too).
import { isObject, type Json, type JsonObject } from '../json/value.js'

type Defaulter = (object: JsonObject) => void

/** Sets fields that are absent or empty strings. */
const fill = (values: Readonly<Record<string, Json>>): Defaulter => {
  const entries = Object.entries(values)
  return (object) => {
    for (const [name, value] of entries)
      if (object[name] === undefined || object[name] === '') object[name] = isObject(value) ? { ...value } : value
  }
}

/** Sets fields that are absent; zero and '' are values. */
function set(object: JsonObject, values: Readonly<Record<string, Json>>): void {
  for (const [name, value] of Object.entries(values)) object[name] ??= value
}

const objectAt = (object: JsonObject, name: string): JsonObject | undefined => {
  const value = object[name]
  return isObject(value) ? value : undefined
}
/** The object at this field, made when it is missing. */
function ensure(object: JsonObject, name: string): JsonObject {
  const known = objectAt(object, name)
  if (known) return known
  const made: JsonObject = {}
  object[name] = made
  return made
}
const objectsIn = (object: JsonObject, name: string): JsonObject[] => {
  const value = object[name]
  return Array.isArray(value) ? value.filter(isObject) : []
}

/** `latest` and untagged images are pulled always, others when they are missing. */
function imagePullPolicy(image: Json | undefined): string {
  if (typeof image !== 'string') return 'IfNotPresent'
  const name = image.slice(image.lastIndexOf('/') + 1)
  if (name.includes('@')) return /:latest@/.test(name) ? 'Always' : 'IfNotPresent'
  return !name.includes(':') || name.endsWith(':latest') ? 'Always' : 'IfNotPresent'
}

const fillContainer = fill({ terminationMessagePath: '/dev/termination-log', terminationMessagePolicy: 'File' })

function container(object: JsonObject): void {
  if (!object.imagePullPolicy) object.imagePullPolicy = imagePullPolicy(object.image)
  fillContainer(object)
}

/** The first of `podCIDRs` under its older name; who sets the older one alone means both. */
function nodeSpec(spec: JsonObject): void {
  const all = Array.isArray(spec.podCIDRs) ? spec.podCIDRs : []
  if (spec.podCIDR && spec.podCIDR !== all[0]) spec.podCIDRs = [spec.podCIDR]
  else if (all[0] !== undefined) spec.podCIDR = all[0]
}

/** A limit without a request requests as much. */
export function requestsFromLimits(resources: JsonObject | undefined): void {
  const limits = resources && objectAt(resources, 'limits')
  if (!resources || !limits) return
  const requests = objectAt(resources, 'requests') ?? {}
  for (const [name, value] of Object.entries(limits)) if (value !== undefined) requests[name] ??= value
  if (Object.keys(requests).length > 0) resources.requests = requests
}

const fillPodSpec = fill({ dnsPolicy: 'ClusterFirst', restartPolicy: 'Always', schedulerName: 'default-scheduler' })

function podSpec(spec: JsonObject): void {
  fillPodSpec(spec)
  set(spec, { terminationGracePeriodSeconds: 30, securityContext: {} })
  // The old name of the field is kept in step with the new one, as the conversion of v1 does.
  if (typeof spec.serviceAccountName === 'string') spec.serviceAccount = spec.serviceAccountName
  else if (typeof spec.serviceAccount === 'string') spec.serviceAccountName = spec.serviceAccount
  if (spec.hostNetwork === true)
    for (const list of ['containers', 'initContainers'])
      for (const c of objectsIn(spec, list)) for (const port of objectsIn(c, 'ports')) port.hostPort ??= port.containerPort
}

/** Pods only, not templates. */
export function podDefaults(pod: JsonObject): void {
  const spec = objectAt(pod, 'spec')
  if (!spec) return
  set(spec, { enableServiceLinks: true })
  for (const list of ['containers', 'initContainers']) for (const c of objectsIn(spec, list)) requestsFromLimits(objectAt(c, 'resources'))
  requestsFromLimits(objectAt(spec, 'resources'))
}

function servicePorts(spec: JsonObject): void {
  for (const port of objectsIn(spec, 'ports')) {
    if (port.protocol === undefined || port.protocol === '') port.protocol = 'TCP'
    if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === '') port.targetPort = port.port ?? 0
  }
}

function service(object: JsonObject): void {
  const spec = objectAt(object, 'spec')
  if (!spec) return
  fill({ sessionAffinity: 'None', type: 'ClusterIP' })(spec)
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig
  if (spec.sessionAffinity === 'ClientIP') {
    const config = objectAt(spec, 'sessionAffinityConfig') ?? {}
    const clientIP = objectAt(config, 'clientIP') ?? {}
    set(clientIP, { timeoutSeconds: 10800 })
    spec.sessionAffinityConfig = { ...config, clientIP }
  }
  servicePorts(spec)
  if (spec.type === 'NodePort' || spec.type === 'LoadBalancer') fill({ externalTrafficPolicy: 'Cluster' })(spec)
  if (spec.type !== 'ExternalName') set(spec, { internalTrafficPolicy: 'Cluster' })
  if (spec.type === 'LoadBalancer') set(spec, { allocateLoadBalancerNodePorts: true })
  for (const ingress of objectsIn(objectAt(objectAt(object, 'status') ?? {}, 'loadBalancer') ?? {}, 'ingress'))
    if (ingress.ip !== undefined && spec.type === 'LoadBalancer') set(ingress, { ipMode: 'VIP' })
}

/** Labels of the template stand in for labels that the object leaves out. */
function templateLabels(object: JsonObject): JsonObject | undefined {
  const template = objectAt(objectAt(object, 'spec') ?? {}, 'template')
  return objectAt(objectAt(template ?? {}, 'metadata') ?? {}, 'labels')
}

function replicationController(object: JsonObject): void {
  const spec = objectAt(object, 'spec')
  const labels = templateLabels(object)
  if (!spec) return
  if (labels) {
    if (Object.keys(objectAt(spec, 'selector') ?? {}).length === 0) spec.selector = { ...labels }
    const metadata = objectAt(object, 'metadata')
    if (metadata && Object.keys(objectAt(metadata, 'labels') ?? {}).length === 0) metadata.labels = { ...labels }
  }
  set(spec, { replicas: 1 })
}

function deployment(object: JsonObject): void {
  const spec = objectAt(object, 'spec')
  if (!spec) return
  set(spec, { replicas: 1, revisionHistoryLimit: 10, progressDeadlineSeconds: 600 })
  const strategy = ensure(spec, 'strategy')
  fill({ type: 'RollingUpdate' })(strategy)
  if (strategy.type === 'RollingUpdate') {
    const rolling = ensure(strategy, 'rollingUpdate')
    set(rolling, { maxUnavailable: '25%', maxSurge: '25%' })
  }
}

function daemonSet(object: JsonObject): void {
  const spec = objectAt(object, 'spec')
  if (!spec) return
  set(spec, { revisionHistoryLimit: 10 })
  const strategy = ensure(spec, 'updateStrategy')
  fill({ type: 'RollingUpdate' })(strategy)
  if (strategy.type === 'RollingUpdate') {
    const rolling = ensure(strategy, 'rollingUpdate')
    set(rolling, { maxUnavailable: 1, maxSurge: 0 })
  }
}

function statefulSet(object: JsonObject): void {
  const spec = objectAt(object, 'spec')
  if (!spec) return
  fill({ podManagementPolicy: 'OrderedReady' })(spec)
  set(spec, { replicas: 1, revisionHistoryLimit: 10 })
  const strategy = ensure(spec, 'updateStrategy')
  if (strategy.type === undefined || strategy.type === '') {
    strategy.type = 'RollingUpdate'
    set(ensure(strategy, 'rollingUpdate'), { partition: 0 })
  } else if (strategy.type === 'RollingUpdate') {
    const rolling = objectAt(strategy, 'rollingUpdate')
    if (rolling) set(rolling, { partition: 0 })
  }
  const retention = ensure(spec, 'persistentVolumeClaimRetentionPolicy')
  fill({ whenDeleted: 'Retain', whenScaled: 'Retain' })(retention)
  for (const claim of objectsIn(spec, 'volumeClaimTemplates')) {
    fill({ apiVersion: 'v1', kind: 'PersistentVolumeClaim' })(claim)
    const status = ensure(claim, 'status')
    fill({ phase: 'Pending' })(status)
  }
}

function job(object: JsonObject): void {
  const spec = objectAt(object, 'spec')
  if (!spec) return
  if (spec.completions === undefined && spec.parallelism === undefined) set(spec, { completions: 1, parallelism: 1 })
  set(spec, { parallelism: 1 })
  set(spec, { backoffLimit: spec.backoffLimitPerIndex === undefined ? 6 : 2147483647, completionMode: 'NonIndexed', suspend: false })
  if (spec.podReplacementPolicy === undefined)
    spec.podReplacementPolicy = objectAt(spec, 'podFailurePolicy') ? 'Failed' : 'TerminatingOrFailed'
  for (const rule of objectsIn(objectAt(spec, 'podFailurePolicy') ?? {}, 'rules'))
    for (const pattern of objectsIn(rule, 'onPodConditions')) fill({ status: 'True' })(pattern)
}

const horizontal = (object: JsonObject): void => {
  const spec = objectAt(object, 'spec')
  if (!spec) return
  set(spec, { minReplicas: 1 })
  if (object.apiVersion === 'autoscaling/v1') return
  if (objectsIn(spec, 'metrics').length === 0)
    spec.metrics = [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } }]
  const behavior = objectAt(spec, 'behavior')
  if (!behavior) return
  const percent: Json = { type: 'Percent', value: 100, periodSeconds: 15 }
  const rules = (name: string, policies: Json[], window: number | undefined): void => {
    const rule = ensure(behavior, name)
    set(rule, { selectPolicy: 'Max', policies })
    if (window !== undefined) set(rule, { stabilizationWindowSeconds: window })
  }
  rules('scaleUp', [{ type: 'Pods', value: 4, periodSeconds: 15 }, percent], 0)
  rules('scaleDown', [{ ...(percent as JsonObject) }], undefined)
}

function roleRef(object: JsonObject): void {
  const reference = objectAt(object, 'roleRef')
  if (reference) fill({ apiGroup: 'rbac.authorization.k8s.io' })(reference)
  for (const subject of objectsIn(object, 'subjects')) {
    if (subject.kind === 'ServiceAccount') fill({ apiGroup: '' })(subject)
    else if (subject.kind === 'User' || subject.kind === 'Group') fill({ apiGroup: 'rbac.authorization.k8s.io' })(subject)
    if (subject.apiGroup === '') delete subject.apiGroup
  }
}

const webhook =
  (extra: Readonly<Record<string, Json>>): Defaulter =>
  (hook) => {
    set(hook, { failurePolicy: 'Fail', matchPolicy: 'Equivalent', namespaceSelector: {}, objectSelector: {}, timeoutSeconds: 10, ...extra })
  }

const policyMatch = (spec: JsonObject): void => {
  set(spec, { failurePolicy: 'Fail' })
}

function persistentVolumeClaim(object: JsonObject): void {
  const spec = objectAt(object, 'spec')
  if (spec) {
    set(spec, { volumeMode: 'Filesystem' })
    // Old and new form of the same thing follow each other.
    const source = objectAt(spec, 'dataSource')
    const reference = objectAt(spec, 'dataSourceRef')
    if (source && !reference) spec.dataSourceRef = { ...source }
    else if (reference && !source && reference.namespace === undefined) spec.dataSource = { ...reference }
  }
  const status = objectAt(object, 'status')
  if (status) fill({ phase: 'Pending' })(status)
}

function customResourceDefinition(object: JsonObject): void {
  const spec = objectAt(object, 'spec')
  if (!spec) return
  const names = objectAt(spec, 'names')
  if (names) {
    if (typeof names.kind === 'string' && names.kind !== '') {
      if (names.singular === undefined || names.singular === '') names.singular = names.kind.toLowerCase()
      if (names.listKind === undefined || names.listKind === '') names.listKind = `${names.kind}List`
    }
  }
  set(spec, { conversion: { strategy: 'None' } })
  const service = objectAt(objectAt(objectAt(objectAt(spec, 'conversion') ?? {}, 'webhook') ?? {}, 'clientConfig') ?? {}, 'service')
  if (service) set(service, { port: 443 })
}

/** Type name to what it fills in. */
export const defaulters: Readonly<Record<string, Defaulter>> = {
  Pod: podDefaults,
  PodSpec: podSpec,
  NodeSpec: nodeSpec,
  Container: container,
  EphemeralContainer: container,
  ContainerPort: fill({ protocol: 'TCP' }),
  Probe: (probe) => {
    for (const [name, value] of Object.entries({ timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 }))
      if (probe[name] === undefined || probe[name] === 0) probe[name] = value
  },
  HTTPGetAction: fill({ path: '/', scheme: 'HTTP' }),
  GRPCAction: (action) => set(action, { service: '' }),
  ObjectFieldSelector: fill({ apiVersion: 'v1' }),
  SecretVolumeSource: (source) => set(source, { defaultMode: 0o644 }),
  ConfigMapVolumeSource: (source) => set(source, { defaultMode: 0o644 }),
  DownwardAPIVolumeSource: (source) => set(source, { defaultMode: 0o644 }),
  ProjectedVolumeSource: (source) => set(source, { defaultMode: 0o644 }),
  ServiceAccountTokenProjection: (source) => set(source, { expirationSeconds: 3600 }),
  PodCertificateProjection: (source) => set(source, { maxExpirationSeconds: 86400 }),
  HostPathVolumeSource: (source) => set(source, { type: '' }),
  Volume: (volume) => {
    // A volume that names no source is an empty directory.
    if (Object.keys(volume).every((name) => name === 'name')) volume.emptyDir = {}
    const image = objectAt(volume, 'image')
    if (image && image.pullPolicy === undefined) image.pullPolicy = imagePullPolicy(image.reference)
  },
  ISCSIVolumeSource: fill({ iscsiInterface: 'default' }),
  ISCSIPersistentVolumeSource: fill({ iscsiInterface: 'default' }),
  RBDVolumeSource: fill({ pool: 'rbd', user: 'admin', keyring: '/etc/ceph/keyring' }),
  RBDPersistentVolumeSource: fill({ pool: 'rbd', user: 'admin', keyring: '/etc/ceph/keyring' }),
  AzureDiskVolumeSource: (source) => set(source, { cachingMode: 'ReadWrite', kind: 'Shared', fsType: 'ext4', readOnly: false }),
  ScaleIOVolumeSource: fill({ storageMode: 'ThinProvisioned', fsType: 'xfs' }),
  ScaleIOPersistentVolumeSource: fill({ storageMode: 'ThinProvisioned', fsType: 'xfs' }),
  PersistentVolumeClaimTemplate: (template) => {
    const spec = objectAt(template, 'spec')
    if (spec) set(spec, { volumeMode: 'Filesystem' })
  },
  Service: service,
  ReplicationController: replicationController,
  Deployment: deployment,
  ReplicaSet: (object) => {
    const spec = objectAt(object, 'spec')
    if (spec) set(spec, { replicas: 1 })
  },
  DaemonSet: daemonSet,
  StatefulSet: statefulSet,
  Job: job,
  JobTemplateSpec: job,
  CronJob: (object) => {
    const spec = objectAt(object, 'spec')
    if (!spec) return
    fill({ concurrencyPolicy: 'Allow' })(spec)
    set(spec, { suspend: false, successfulJobsHistoryLimit: 3, failedJobsHistoryLimit: 1 })
  },
  HorizontalPodAutoscaler: horizontal,
  HorizontalPodAutoscalerV1: horizontal,
  Namespace: (object) => {
    const metadata = objectAt(object, 'metadata')
    if (!metadata || typeof metadata.name !== 'string' || metadata.name === '') return
    metadata.labels = { ...objectAt(metadata, 'labels'), 'kubernetes.io/metadata.name': metadata.name }
  },
  NamespaceStatus: fill({ phase: 'Active' }),
  Secret: fill({ type: 'Opaque' }),
  Endpoints: (object) => {
    for (const subset of objectsIn(object, 'subsets')) for (const port of objectsIn(subset, 'ports')) fill({ protocol: 'TCP' })(port)
  },
  EndpointSlice: (object) => {
    for (const port of objectsIn(object, 'ports')) set(port, { name: '', protocol: 'TCP' })
  },
  PersistentVolume: (object) => {
    const spec = objectAt(object, 'spec')
    if (spec) {
      fill({ persistentVolumeReclaimPolicy: 'Retain' })(spec)
      set(spec, { volumeMode: 'Filesystem' })
    }
    const status = objectAt(object, 'status')
    if (status) fill({ phase: 'Pending' })(status)
  },
  PersistentVolumeClaim: persistentVolumeClaim,
  NodeStatus: (status) => {
    const capacity = objectAt(status, 'capacity')
    if (capacity) set(status, { allocatable: { ...capacity } })
  },
  LimitRangeItem: (item) => {
    if (item.type !== 'Container') return
    const copy = (name: string): JsonObject => ({ ...objectAt(item, name) })
    const limits = copy('default')
    for (const [name, value] of Object.entries(copy('max'))) limits[name] ??= value as Json
    const requests = copy('defaultRequest')
    for (const [name, value] of Object.entries(limits)) requests[name] ??= value as Json
    for (const [name, value] of Object.entries(copy('min'))) requests[name] ??= value as Json
    if (Object.keys(limits).length > 0) item.default = limits
    if (Object.keys(requests).length > 0) item.defaultRequest = requests
  },
  ClusterRoleBinding: roleRef,
  RoleBinding: roleRef,
  NetworkPolicy: (object) => {
    const spec = objectAt(object, 'spec')
    if (!spec) return
    const types = Array.isArray(spec.policyTypes) ? spec.policyTypes : []
    if (types.length === 0) spec.policyTypes = Array.isArray(spec.egress) && spec.egress.length > 0 ? ['Ingress', 'Egress'] : ['Ingress']
  },
  NetworkPolicyPort: fill({ protocol: 'TCP' }),
  IngressClass: (object) => {
    const parameters = objectAt(objectAt(object, 'spec') ?? {}, 'parameters')
    if (parameters) set(parameters, { scope: 'Cluster' })
  },
  StorageClass: (object) => set(object, { reclaimPolicy: 'Delete', volumeBindingMode: 'Immediate' }),
  CSIDriverSpec: (spec) => {
    set(spec, {
      attachRequired: true,
      podInfoOnMount: false,
      storageCapacity: false,
      fsGroupPolicy: 'ReadWriteOnceWithFSType',
      volumeLifecycleModes: ['Persistent'],
      requiresRepublish: false,
      seLinuxMount: false,
    })
  },
  PriorityClass: (object) => set(object, { preemptionPolicy: 'PreemptLowerPriority' }),
  PodCertificateRequestSpec: (spec) => set(spec, { maxExpirationSeconds: 86400 }),
  MutatingWebhook: webhook({ reinvocationPolicy: 'Never' }),
  ValidatingWebhook: webhook({}),
  RuleWithOperations: (rule) => set(rule, { scope: '*' }),
  NamedRuleWithOperations: (rule) => set(rule, { scope: '*' }),
  AdmissionregistrationV1ServiceReference: (reference) => set(reference, { port: 443 }),
  ApiregistrationV1ServiceReference: (reference) => set(reference, { port: 443 }),
  MatchResources: (match) => set(match, { matchPolicy: 'Equivalent', namespaceSelector: {}, objectSelector: {} }),
  ValidatingAdmissionPolicySpec: policyMatch,
  MutatingAdmissionPolicySpec: policyMatch,
  TokenRequestSpec: (spec) => set(spec, { expirationSeconds: 3600 }),
  LimitedPriorityLevelConfiguration: (limited) => {
    set(limited, { nominalConcurrencyShares: 30, lendablePercent: 0 })
    const response = objectAt(limited, 'limitResponse')
    const queuing = response && response.type === 'Queue' ? ensure(response, 'queuing') : undefined
    if (queuing)
      for (const [name, value] of Object.entries({ handSize: 8, queues: 64, queueLengthLimit: 50 }))
        if (queuing[name] === undefined || queuing[name] === 0) queuing[name] = value
  },
  ExemptPriorityLevelConfiguration: (exempt) => set(exempt, { nominalConcurrencyShares: 0, lendablePercent: 0 }),
  FlowSchemaSpec: (spec) => {
    if (spec.matchingPrecedence === undefined || spec.matchingPrecedence === 0) spec.matchingPrecedence = 1000
  },
  CustomResourceDefinition: customResourceDefinition,
  ExactDeviceRequest: (request) => {
    fill({ allocationMode: 'ExactCount' })(request)
    if (request.allocationMode === 'ExactCount' && (request.count === undefined || request.count === 0)) request.count = 1
  },
  DeviceSubRequest: (request) => {
    fill({ allocationMode: 'ExactCount' })(request)
    if (request.allocationMode === 'ExactCount' && (request.count === undefined || request.count === 0)) request.count = 1
  },
  DeviceToleration: fill({ operator: 'Equal' }),
}
