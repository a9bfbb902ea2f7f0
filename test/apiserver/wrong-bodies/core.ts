// Bodies that Kubernetes refuses, and what it says: the core group. A change of a sample (`path=value`, more of them behind `;`; `undefined`
// takes away), and the refusal without the object's name. `<label>` and the like are rules that are told in full beside the test.
export const WRONG: Readonly<Record<string, readonly (readonly [change: string, refusal: string])[]>> = {
  '/configmaps': [
    ['data={"a/b":"x"}', 'data[a/b]: Invalid value: "a/b": <configKey>'],
    ['data={"..":"x"};', `data[..]: Invalid value: "..": must not be '..'`],
    ['binaryData={"a":"Yg=="}', 'data[a]: Invalid value: "a": duplicate of key present in binaryData'],
    ['metadata.labels={"a b":"c"}', 'metadata.labels: Invalid value: "a b": <qualified>'],
    ['metadata.annotations={"-a":"c"}', 'metadata.annotations: Invalid value: "-a": <qualified>'],
    ['metadata.labels={"a":"-"}', 'metadata.labels: Invalid value: "-": <labelValue>'],
    [
      'metadata.finalizers=["x"]',
      'metadata.finalizers[0]: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified',
    ],
    ['metadata.finalizers=["a b/c"]', 'metadata.finalizers[0]: Invalid value: "a b/c": prefix part <subdomain>'],
    [
      'metadata.ownerReferences=[{"apiVersion":"v1","kind":"Pod","name":"a"}]',
      'metadata.ownerReferences[0].uid: Invalid value: "": must not be empty',
    ],
    [
      'metadata.ownerReferences=[{"apiVersion":"v1","kind":"Pod","name":"a","uid":"1","controller":true},{"apiVersion":"v1","kind":"Pod","name":"b","uid":"2","controller":true}]',
      'metadata.ownerReferences: Invalid value: [{"apiVersion":"v1","kind":"Pod","name":"a","uid":"1","controller":true},{"apiVersion":"v1","kind":"Pod","name":"b","uid":"2","controller":true}]: Only one reference can have Controller set to true. Found "true" in references for a and b',
    ],
    [
      'metadata.ownerReferences=[{"apiVersion":"v1","kind":"Event","name":"a","uid":"1"}]',
      'metadata.ownerReferences[0]: Invalid value: {"apiVersion":"v1","kind":"Event","name":"a","uid":"1"}: v1, Kind=Event is disallowed from being an owner',
    ],
    [
      'metadata.ownerReferences=[{"apiVersion":"","kind":"","name":"","uid":""}]',
      '[metadata.ownerReferences[0].apiVersion: Invalid value: "": version must not be empty, metadata.ownerReferences[0].kind: Invalid value: "": must not be empty, metadata.ownerReferences[0].name: Invalid value: "": must not be empty, metadata.ownerReferences[0].uid: Invalid value: "": must not be empty]',
    ],
  ],
  '/endpoints': [
    [
      'subsets[0].addresses[0].ip="x"',
      'subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    ],
    [
      'subsets[0].addresses[0].ip="127.0.0.1"',
      'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    ],
    ['subsets[0].ports[0].port=0', 'subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive'],
    ['subsets[0].ports=[{"port":1},{"port":2}]', '[subsets[0].ports[0].name: Required value, subsets[0].ports[1].name: Required value]'],
    ['subsets[0].ports[0].protocol="X"', 'subsets[0].ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"'],
    ['subsets=[{}]', 'subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`'],
    ['subsets[0].addresses[0].hostname="A_b"', 'subsets[0].addresses[0].hostname: Invalid value: "A_b": <label>'],
    ['subsets[0].addresses[0].nodeName="A_b"', 'subsets[0].addresses[0].nodeName: Invalid value: "A_b": <subdomain>'],
    ['subsets[0].ports[0].name="-"', 'subsets[0].ports[0].name: Invalid value: "-": <label>'],
    [
      'subsets[0].addresses[0].ip="169.254.1.1"',
      'subsets[0].addresses[0].ip: Invalid value: "169.254.1.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)',
    ],
    [
      'subsets[0].addresses[0].ip="224.0.0.1"',
      'subsets[0].addresses[0].ip: Invalid value: "224.0.0.1": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)',
    ],
  ],
  '/events': [
    ['involvedObject.namespace="other"', 'involvedObject.namespace: Invalid value: "other": does not match event.namespace'],
    [
      'eventTime="2020-01-01T00:00:00.000000Z"',
      '[reportingComponent: Required value, reportingComponent: Invalid value: "": name part must be non-empty, reportingComponent: Invalid value: "": <qualified>, reportingInstance: Required value, action: Required value]',
    ],
    ['metadata.name="A b"', 'metadata.name: Invalid value: "A b": <subdomain>'],
  ],
  '/limitranges': [
    ['spec.limits[0].type="x y"', 'spec.limits[0].type: Invalid value: "x y": <qualified>'],
    [
      'spec.limits[0].min={"cpu":"2"};spec.limits[0].max={"cpu":"1"}',
      '[spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1, spec.limits[0].defaultRequest[cpu]: Invalid value: "1": min value 2 is greater than default request value 1, spec.limits[0].default[cpu]: Invalid value: "2": min value 2 is greater than default value 1]',
    ],
    ['spec.limits=[{"type":"Pod","default":{"cpu":"1"}}]', "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
    [
      'spec.limits=[{"type":"PersistentVolumeClaim"}]',
      'spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided',
    ],
    ['spec.limits=[{"type":"Container"},{"type":"Container"}]', 'spec.limits[1].type: Duplicate value: "Container"'],
    [
      'spec.limits[0].defaultRequest={"cpu":"2"}',
      'spec.limits[0].defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than default limit value 1',
    ],
    [
      'spec.limits[0].maxLimitRequestRatio={"cpu":"500m"}',
      'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1',
    ],
  ],
  '/namespaces': [
    ['metadata.name="A"', 'metadata.name: Invalid value: "A": <label>'],
    [
      'metadata.name="aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"',
      '[metadata.name: Invalid value: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": must be no more than 63 bytes, metadata.labels: Invalid value: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": must be no more than 63 bytes]',
    ],
    [
      'spec={"finalizers":["x"]}',
      'spec.finalizers: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified',
    ],
    ['metadata.name="a.b"', 'metadata.name: Invalid value: "a.b": <label>'],
    [
      'metadata.labels={"pod-security.kubernetes.io/enforce":"x"}',
      'metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "x": must be one of privileged, baseline, restricted',
    ],
  ],
  '/nodes': [
    ['spec.podCIDR="x"', 'spec.podCIDRs[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'],
    [
      'spec.podCIDRs=["10.0.0.0/24","10.1.0.0/24"]',
      'spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.1.0.0/24"]: may specify no more than one CIDR for each IP family',
    ],
    ['spec.taints=[{"key":"a b","effect":"NoSchedule"}]', 'spec.taints[0].key: Invalid value: "a b": <qualified>'],
    [
      'spec.taints=[{"key":"a","effect":"X"}]',
      'spec.taints[0].effect: Unsupported value: "X": supported values: "NoExecute", "NoSchedule", "PreferNoSchedule"',
    ],
    [
      'spec.taints=[{"key":"a","effect":"NoSchedule"},{"key":"a","effect":"NoSchedule"}]',
      'spec.taints[1]: Duplicate value: {"key":"a","effect":"NoSchedule"}: taints must be unique by key and effect pair',
    ],
    ['metadata.name="A_b"', 'metadata.name: Invalid value: "A_b": <subdomain>'],
    [
      'status={"capacity":{"cpu":"-1"}};',
      '[status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0, status.allocatable.cpu: Invalid value: "-1": must be greater than or equal to 0]',
    ],
    [
      'spec.taints=[{"key":"","effect":"NoSchedule"}]',
      '[spec.taints[0].key: Invalid value: "": name part must be non-empty, spec.taints[0].key: Invalid value: "": <qualified>]',
    ],
  ],
  '/persistentvolumeclaims': [
    ['spec.accessModes=[]', 'spec.accessModes: Required value: at least 1 access mode is required'],
    [
      'spec.accessModes=["X"]',
      'spec.accessModes: Unsupported value: "X": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"',
    ],
    ['spec.resources={}', 'spec.resources[storage]: Required value'],
    ['spec.resources.requests.storage="-1Gi"', 'spec.resources[storage]: Invalid value: "-1Gi": must be greater than zero'],
    ['spec.volumeMode="X"', 'spec.volumeMode: Unsupported value: "X": supported values: "Block", "Filesystem"'],
    ['spec.storageClassName="A_b"', 'spec.storageClassName: Invalid value: "A_b": <subdomain>'],
    [
      'spec.dataSource={"kind":"X","name":"y"}',
      `[spec.dataSource: Invalid value: "X": must be 'PersistentVolumeClaim' when referencing the default apiGroup, spec.dataSourceRef: Invalid value: "X": must be 'PersistentVolumeClaim' when referencing the default apiGroup]`,
    ],
    [
      'spec.accessModes=["ReadWriteOncePod","ReadWriteOnce"]',
      'spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes',
    ],
    ['spec.resources.requests.storage="0"', 'spec.resources[storage]: Invalid value: "0": must be greater than zero'],
    [
      'spec.selector={"matchExpressions":[{"key":"a","operator":"X"}]}',
      'spec.selector.matchExpressions[0].operator: Invalid value: "X": not a valid selector operator',
    ],
    ['spec.volumeAttributesClassName="A_b"', 'spec.volumeAttributesClassName: Invalid value: "A_b": <subdomain>'],
    [
      'spec.dataSourceRef={"kind":"","name":""}',
      '[spec.dataSource.name: Required value, spec.dataSource.kind: Required value, spec.dataSourceRef.name: Required value, spec.dataSourceRef.kind: Required value]',
    ],
  ],
  '/persistentvolumes': [
    ['spec.capacity={}', '[spec.capacity: Required value, spec.capacity: Unsupported value: null: supported values: "storage"]'],
    ['spec.capacity={"storage":"0"}', 'spec.capacity[storage]: Invalid value: "0": must be greater than zero'],
    ['spec.accessModes=[]', 'spec.accessModes: Required value: at least 1 access mode is required'],
    [
      'spec.accessModes=["X"]',
      'spec.accessModes: Unsupported value: "X": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"',
    ],
    ['spec.hostPath=undefined', 'spec: Required value: must specify a volume type'],
    ['spec.nfs={"server":"a","path":"/b"}', 'spec.nfs: Forbidden: may not specify more than 1 volume type'],
    [
      'spec.persistentVolumeReclaimPolicy="X"',
      'spec.persistentVolumeReclaimPolicy: Unsupported value: "X": supported values: "Delete", "Recycle", "Retain"',
    ],
    ['spec.volumeMode="X"', 'spec.volumeMode: Unsupported value: "X": supported values: "Block", "Filesystem"'],
    ['spec.hostPath.path="/a/../b"', `spec.hostPath.path: Invalid value: "/a/../b": must not contain '..'`],
    ['spec.storageClassName="A_b"', 'spec.storageClassName: Invalid value: "A_b": <subdomain>'],
    ['spec.hostPath.path=""', 'spec.hostPath.path: Required value'],
    ['spec.nodeAffinity={}', 'spec.nodeAffinity.required: Required value: must specify required node constraints'],
    [
      'spec.capacity={"storage":"1Gi","cpu":"1"}',
      'spec.capacity: Unsupported value: {"storage":"1Gi","cpu":"1"}: supported values: "storage"',
    ],
    [
      'spec.persistentVolumeReclaimPolicy="Recycle";spec.hostPath.path="/"',
      `spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'`,
    ],
    ['spec.hostPath=undefined;spec.csi={"driver":"a b","volumeHandle":""}', 'spec.csi.volumeHandle: Required value'],
    [
      'spec.hostPath=undefined;spec.local={"path":""}',
      '[spec.local.path: Required value, spec.nodeAffinity: Required value: Local volume requires node affinity]',
    ],
    ['spec.hostPath=undefined;spec.local={"path":"/x"}', 'spec.nodeAffinity: Required value: Local volume requires node affinity'],
    ['spec.hostPath=undefined;spec.nfs={"server":"","path":"x"}', 'spec.nfs.server: Required value'],
  ],
  '/pods': [
    ['spec.containers=[]', 'spec.containers: Required value'],
    ['spec.containers[0].name="A"', 'spec.containers[0].name: Invalid value: "A": <label>'],
    ['spec.containers[0].image=""', 'spec.containers[0].image: Required value'],
    ['spec.restartPolicy="X"', 'spec.restartPolicy: Unsupported value: "X": supported values: "Always", "Never", "OnFailure"'],
    ['spec.containers=[{"name":"a","image":"i"},{"name":"a","image":"i"}]', 'spec.containers[1].name: Duplicate value: "a"'],
    ['spec.containers[0].ports=[{"containerPort":0}]', 'spec.containers[0].ports[0].containerPort: Required value'],
    [
      'spec.containers[0].ports=[{"containerPort":80,"protocol":"X"}]',
      'spec.containers[0].ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
    ],
    [
      'spec.containers[0].ports=[{"containerPort":80,"name":"a"},{"containerPort":81,"name":"a"}]',
      'spec.containers[0].ports[1].name: Duplicate value: "a"',
    ],
    [
      'spec.containers[0].env=[{"name":"a=b"}]',
      `spec.containers[0].env[0].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than '='`,
    ],
    [
      'spec.containers[0].env=[{"name":"A","value":"x","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}]',
      'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
    ],
    [
      'spec.containers[0].env=[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"spec.x"}}}]',
      'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "spec.x": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"',
    ],
    [
      'spec.containers[0].resources={"requests":{"cpu":"2"},"limits":{"cpu":"1"}}',
      'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    ],
    [
      'spec.containers[0].resources={"limits":{"x":"1"}}',
      '[spec.containers[0].resources.limits[x]: Invalid value: "x": must be a standard resource for containers, spec.containers[0].resources.requests[x]: Invalid value: "x": must be a standard resource for containers]',
    ],
    ['spec.volumes=[{"name":"v"},{"name":"v"}]', 'spec.volumes[1].name: Duplicate value: "v"'],
    ['spec.volumes=[{"name":"A","emptyDir":{}}]', 'spec.volumes[0].name: Invalid value: "A": <label>'],
    [
      'spec.volumes=[{"name":"v","emptyDir":{},"hostPath":{"path":"/x"}}]',
      'spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type',
    ],
    ['spec.containers[0].volumeMounts=[{"name":"none","mountPath":"/x"}]', 'spec.containers[0].volumeMounts[0].name: Not found: "none"'],
    [
      'spec.containers[0].volumeMounts=[{"name":"v","mountPath":"/x"},{"name":"v","mountPath":"/x"}];spec.volumes=[{"name":"v","emptyDir":{}}]',
      'spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/x": must be unique',
    ],
    ['spec.terminationGracePeriodSeconds=-1', 'spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0'],
    ['spec.activeDeadlineSeconds=0', 'spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive'],
    [
      'spec.dnsPolicy="X"',
      'spec.dnsPolicy: Unsupported value: "X": supported values: "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"',
    ],
    ['spec.dnsPolicy="None"', 'spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None'],
    ['spec.nodeName="A_b"', 'spec.nodeName: Invalid value: "A_b": <subdomain>'],
    ['spec.hostname="A_b"', 'spec.hostname: Invalid value: "A_b": <label>'],
    ['spec.subdomain="A_b"', 'spec.subdomain: Invalid value: "A_b": <label>'],
    [
      'spec.tolerations=[{"operator":"X"}]',
      '[spec.tolerations[0].operator: Invalid value: "X": operator must be Exists when `key` is empty, which means "match all values and all keys", spec.tolerations[0].operator: Unsupported value: "X": supported values: "Equal", "Exists"]',
    ],
    [
      'spec.tolerations=[{"key":"a","operator":"Exists","value":"b"}]',
      'spec.tolerations[0].operator: Invalid value: {"key":"a","operator":"Exists","value":"b"}: value must be empty when `operator` is \'Exists\'',
    ],
    [
      'spec.tolerations=[{"key":"a","operator":"Equal","effect":"NoSchedule","tolerationSeconds":3}]',
      'spec.tolerations[0].effect: Invalid value: "NoSchedule": effect must be \'NoExecute\' when `tolerationSeconds` is set',
    ],
    [
      'spec.affinity={"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[]}}}',
      'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term',
    ],
    [
      'spec.affinity={"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":""}]}}',
      '[spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty, spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: "": name part must be non-empty, spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: "": <qualified>]',
    ],
    [
      'spec.topologySpreadConstraints=[{"maxSkew":0,"topologyKey":"","whenUnsatisfiable":"X"}]',
      '[spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero, spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty, spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "X": supported values: "DoNotSchedule", "ScheduleAnyway"]',
    ],
    [
      'spec.containers[0].livenessProbe={"httpGet":{"port":0}}',
      'spec.containers[0].livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive',
    ],
    ['spec.containers[0].livenessProbe={}', 'spec.containers[0].livenessProbe: Required value: must specify a handler type'],
    [
      'spec.containers[0].livenessProbe={"exec":{"command":["a"]},"successThreshold":2}',
      'spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1',
    ],
    [
      'spec.containers[0].securityContext={"privileged":true,"allowPrivilegeEscalation":false}',
      'spec.containers[0].securityContext: Invalid value: {"privileged":true,"allowPrivilegeEscalation":false}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true',
    ],
    [
      'spec.containers[0].securityContext={"runAsUser":-1}',
      'spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive',
    ],
    [
      'spec.securityContext={"sysctls":[{"name":"a b"}]}',
      'spec.securityContext.sysctls[0].name: Invalid value: "a b": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$',
    ],
    [
      'spec.hostAliases=[{"ip":"x"}]',
      'spec.hostAliases[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    ],
    ['spec.priority=5;spec.priorityClassName="no"', '403 no PriorityClass with name no was found'],
    ['spec.runtimeClassName="A_b"', '403 pod rejected: RuntimeClass "A_b" not found'],
    [
      'spec.schedulingGates=[{"name":""}]',
      '[spec.schedulingGates[0]: Invalid value: "": name part must be non-empty, spec.schedulingGates[0]: Invalid value: "": <qualified>]',
    ],
    ['spec.initContainers=[{"name":"c","image":"i"}]', 'spec.initContainers[0].name: Duplicate value: "c"'],
    [
      'spec.initContainers=[{"name":"d","image":"i","livenessProbe":{"exec":{"command":["a"]}}}]',
      'spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
    ],
    ['spec.ephemeralContainers=[{"name":"e","image":"i"}]', 'spec.ephemeralContainers: Forbidden: cannot be set on create'],
    [
      'spec.containers[0].imagePullPolicy="X"',
      'spec.containers[0].imagePullPolicy: Unsupported value: "X": supported values: "Always", "IfNotPresent", "Never"',
    ],
    [
      'spec.containers[0].terminationMessagePolicy="X"',
      'spec.containers[0].terminationMessagePolicy: Unsupported value: "X": supported values: "FallbackToLogsOnError", "File"',
    ],
    [
      'spec.hostNetwork=true;spec.containers[0].ports=[{"containerPort":80,"hostPort":81}]',
      'spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true',
    ],
    ['spec.volumes=[{"name":"v","configMap":{}}]', 'spec.volumes[0].configMap.name: Required value'],
    [
      'spec.volumes=[{"name":"v","secret":{"secretName":"s","defaultMode":1000}}]',
      'spec.volumes[0].secret.defaultMode: Invalid value: 1000: must be a number between 0 and 0777 (octal), both inclusive',
    ],
    [
      'spec.volumes=[{"name":"v","projected":{"sources":[{}]}}]',
      'spec.volumes[0].projected.sources[0]: Required value: at least one of secret, configMap, downwardAPI, serviceAccountToken, clusterTrustBundle or podCertificate must be specified',
    ],
    [
      'spec.volumes=[{"name":"v","hostPath":{"path":"/a/.."}}]',
      `spec.volumes[0].hostPath.path: Invalid value: "/a/..": must not contain '..'`,
    ],
    [
      'spec.volumes=[{"name":"v","emptyDir":{"sizeLimit":"-1"}}]',
      'spec.volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity',
    ],
    [
      'spec.volumes=[{"name":"v","downwardAPI":{"items":[{"path":"../x","fieldRef":{"fieldPath":"metadata.name"}}]}}]',
      `spec.volumes[0].downwardAPI.items[0].path: Invalid value: "../x": must not contain '..'`,
    ],
    ['spec.readinessGates=[{"conditionType":"a b"}]', 'spec.readinessGates[0].conditionType: Invalid value: "a b": <qualified>'],
    ['spec.os={"name":"x"}', 'spec.os.name: Unsupported value: "x": supported values: "linux", "windows"'],
    [
      'spec.preemptionPolicy="X"',
      '403 the string value of PreemptionPolicy (X) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name',
    ],
    [
      'spec.shareProcessNamespace=true;spec.hostPID=true',
      'spec.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled',
    ],
    ['spec.containers[0].lifecycle={"preStop":{}}', 'spec.containers[0].lifecycle.preStop: Required value: must specify a handler type'],
    ['spec.serviceAccountName="A_b"', '403 error looking up service account default/A_b: serviceaccount "A_b" not found'],
    [
      'spec.containers[0].resizePolicy=[{"resourceName":"x","restartPolicy":"y"}]',
      '[spec.containers[0].resizePolicy[0].resourceName: Unsupported value: "x": supported values: "cpu", "memory", spec.containers[0].resizePolicy[0].restartPolicy: Unsupported value: "y": supported values: "NotRequired", "RestartContainer"]',
    ],
    ['spec.volumes=[{"name":"v","image":{"reference":""}}]', 'spec.volumes[0].image.reference: Required value'],
    [
      'spec.containers[0].envFrom=[{}]',
      'spec.containers[0].envFrom[0]: Invalid value: "": must specify one of: `configMapRef` or `secretRef`',
    ],
    [
      'spec.containers[0].workingDir=5',
      '400 Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field Container.spec.containers.workingDir of type string',
    ],
    ['spec.overhead={"cpu":"-1"}', '403 pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead'],
    [
      'spec.resourceClaims=[{"name":"a"}]',
      'spec.resourceClaims[0]: Invalid value: {"name":"a"}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`',
    ],
    [
      'spec.volumes=[{"name":"v","persistentVolumeClaim":{"claimName":""}}]',
      'spec.volumes[0].persistentVolumeClaim.claimName: Required value',
    ],
    ['spec.volumes=[{"name":"v","ephemeral":{}}]', 'spec.volumes[0].ephemeral.volumeClaimTemplate: Required value'],
    [
      'spec.containers[0].volumeMounts=[{"name":"v","mountPath":"/x","subPath":"/y"}];spec.volumes=[{"name":"v","emptyDir":{}}]',
      'spec.containers[0].volumeMounts[0].subPath: Invalid value: "/y": must be a relative path',
    ],
    [
      'spec.containers[0].volumeMounts=[{"name":"v","mountPath":"/x","subPath":"y","subPathExpr":"z"}];spec.volumes=[{"name":"v","emptyDir":{}}]',
      'spec.containers[0].volumeMounts[0].subPathExpr: Invalid value: "z": subPathExpr and subPath are mutually exclusive',
    ],
    [
      'spec.containers[0].volumeMounts=[{"name":"v","mountPath":"/x","mountPropagation":"X"}];spec.volumes=[{"name":"v","emptyDir":{}}]',
      'spec.containers[0].volumeMounts[0].mountPropagation: Unsupported value: "X": supported values: "Bidirectional", "HostToContainer", "None"',
    ],
    [
      'spec.containers[0].volumeMounts=[{"name":"v","mountPath":"/x","recursiveReadOnly":"Enabled"}];spec.volumes=[{"name":"v","emptyDir":{}}]',
      'spec.containers[0].volumeMounts[0].recursiveReadOnly: Forbidden: may only be specified when readOnly is true',
    ],
    [
      'spec.securityContext={"seccompProfile":{"type":"Localhost"}}',
      'spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost',
    ],
    [
      'spec.securityContext={"fsGroupChangePolicy":"X"}',
      'spec.securityContext.fsGroupChangePolicy: Unsupported value: "X": supported values: "Always", "OnRootMismatch"',
    ],
    [
      'spec.securityContext={"appArmorProfile":{"type":"X"}}',
      'spec.securityContext.appArmorProfile.type: Unsupported value: "X": supported values: "Localhost", "RuntimeDefault", "Unconfined"',
    ],
    [
      'spec.dnsConfig={"nameservers":["x"]}',
      'spec.dnsConfig.nameservers[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    ],
    [
      'spec.dnsConfig={"nameservers":["1.1.1.1","1.1.1.2","1.1.1.3","1.1.1.4"]}',
      'spec.dnsConfig.nameservers: Invalid value: ["1.1.1.1","1.1.1.2","1.1.1.3","1.1.1.4"]: must not have more than 3 nameservers',
    ],
    ['spec.dnsConfig={"searches":["a b"]}', 'spec.dnsConfig.searches[0]: Invalid value: "a b": <subdomain>'],
    ['spec.nodeSelector={"a b":"c"}', 'spec.nodeSelector: Invalid value: "a b": <qualified>'],
    [
      'spec.setHostnameAsFQDN=true;spec.hostname="aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"',
      'spec.hostname: Invalid value: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": must be no more than 63 bytes',
    ],
    ['spec.hostUsers=false;spec.hostNetwork=true', 'spec.hostNetwork: Forbidden: when `hostUsers` is false'],
    [
      'spec.containers[0].stdin="x"',
      '400 Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field Container.spec.containers.stdin of type bool',
    ],
  ],
  '/podtemplates': [
    ['template.spec.containers=[]', 'template.spec.containers: Required value'],
    ['template.spec.containers[0].image=""', 'template.spec.containers[0].image: Required value'],
    ['template.metadata.labels={"a b":"c"}', 'template.labels: Invalid value: "a b": <qualified>'],
    [
      'template.spec.restartPolicy="X"',
      'template.spec.restartPolicy: Unsupported value: "X": supported values: "Always", "Never", "OnFailure"',
    ],
    [
      'template.spec.dnsPolicy="X"',
      'template.spec.dnsPolicy: Unsupported value: "X": supported values: "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"',
    ],
  ],
  '/replicationcontrollers': [
    ['spec.replicas=-1', 'spec.replicas: Invalid value: -1: must be greater than or equal to 0'],
    ['spec.selector={"app":"y"}', 'spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`'],
    ['spec.template=undefined', 'spec.template: Required value'],
    [
      'spec.template.spec.restartPolicy="Never"',
      'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ],
    ['spec.minReadySeconds=-1', 'spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0'],
    ['spec.selector={};spec.template.metadata.labels={}', 'spec.selector: Required value'],
    [
      'spec.template.spec.activeDeadlineSeconds=5',
      'spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not Supported',
    ],
  ],
  '/resourcequotas': [
    [
      'spec.hard={"a b":"1"}',
      '[spec.hard[a b]: Invalid value: "a b": <qualified>, spec.hard[a b]: Invalid value: "a b": must be a standard resource for quota]',
    ],
    ['spec.hard={"pods":"-1"}', 'spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'],
    ['spec.hard={"pods":"1.5"}', 'spec.hard[pods]: Invalid value: "1500m": must be an integer'],
    ['spec.scopes=["X"]', 'spec.scopes: Invalid value: ["X"]: unsupported scope'],
    ['spec.scopes=["BestEffort","NotBestEffort"]', 'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes'],
    [
      'spec.scopes=["BestEffort"];spec.hard={"cpu":"1"}',
      'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource',
    ],
    [
      'spec.scopeSelector={"matchExpressions":[{"scopeName":"PriorityClass","operator":"In"}]}',
      "spec.scopeSelector.matchExpressions[0].values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
    ],
    [
      'spec.scopeSelector={"matchExpressions":[{"scopeName":"X","operator":"Exists"}]}',
      'spec.scopeSelector.matchExpressions[0].scopeName: Invalid value: "X": unsupported scope',
    ],
    ['spec.hard={"nonsense":"1"}', 'spec.hard[nonsense]: Invalid value: "nonsense": must be a standard resource for quota'],
  ],
  '/secrets': [
    ['data={"a b":"Yg=="}', 'data[a b]: Invalid value: "a b": <configKey>'],
    ['type="kubernetes.io/tls"', '[data[tls.crt]: Required value, data[tls.key]: Required value]'],
    ['type="kubernetes.io/dockerconfigjson"', 'data[.dockerconfigjson]: Required value'],
    [
      'type="kubernetes.io/dockerconfigjson";data={".dockerconfigjson":"YQ=="}',
      'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": invalid character in JSON',
    ],
    ['type="kubernetes.io/service-account-token"', 'metadata.annotations[kubernetes.io/service-account.name]: Required value'],
    ['type="kubernetes.io/basic-auth"', '[data[username]: Required value, data[password]: Required value]'],
    ['type="kubernetes.io/ssh-auth"', 'data[ssh-privatekey]: Required value'],
    ['data={"a":"%"}', '400 Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 0'],
    ['type="kubernetes.io/dockercfg"', 'data[.dockercfg]: Required value'],
  ],
  '/serviceaccounts': [
    ['metadata.name="A"', 'metadata.name: Invalid value: "A": <subdomain>'],
    [
      'secrets="x"',
      '400 ServiceAccount in version "v1" cannot be handled as a ServiceAccount: json: cannot unmarshal string into Go struct field ServiceAccount.secrets of type []v1.ObjectReference',
    ],
    [
      'imagePullSecrets=[5]',
      '400 ServiceAccount in version "v1" cannot be handled as a ServiceAccount: json: cannot unmarshal number into Go struct field ServiceAccount.imagePullSecrets of type v1.LocalObjectReference',
    ],
    [
      'automountServiceAccountToken="x"',
      '400 ServiceAccount in version "v1" cannot be handled as a ServiceAccount: json: cannot unmarshal string into Go struct field ServiceAccount.automountServiceAccountToken of type bool',
    ],
  ],
  '/services': [
    ['metadata.name="1a"', 'metadata.name: Invalid value: "1a": <label1035>'],
    ['spec.ports=[]', 'spec.ports: Required value'],
    [
      'spec.ports[0].port=0',
      '[spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive, spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive]',
    ],
    ['spec.ports=[{"port":1},{"port":2}]', '[spec.ports[0].name: Required value, spec.ports[1].name: Required value]'],
    ['spec.ports[0].protocol="X"', 'spec.ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"'],
    ['spec.ports[0].targetPort=70000', 'spec.ports[0].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive'],
    ['spec.type="X"', 'spec.type: Unsupported value: "X": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'],
    ['spec.sessionAffinity="X"', 'spec.sessionAffinity: Unsupported value: "X": supported values: "ClientIP", "None"'],
    ['spec.clusterIP="x"', 'spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
    [
      'spec.externalIPs=["127.0.0.1"]',
      'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    ],
    ['spec.externalIPs=["x"]', 'spec.externalIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
    ['spec.type="ExternalName"', 'spec.externalName: Required value'],
    ['spec.type="ExternalName";spec.externalName="a b"', 'spec.externalName: Invalid value: "a b": <subdomain>'],
    ['spec.selector={"a b":"c"}', 'spec.selector: Invalid value: "a b": <qualified>'],
    [
      'spec.externalTrafficPolicy="X"',
      'spec.externalTrafficPolicy: Invalid value: "X": may only be set for externally-accessible services',
    ],
    [
      'spec.type="NodePort";spec.externalTrafficPolicy="X"',
      'spec.externalTrafficPolicy: Unsupported value: "X": supported values: "Cluster", "Local"',
    ],
    ['spec.internalTrafficPolicy="X"', 'spec.internalTrafficPolicy: Unsupported value: "X": supported values: "Cluster", "Local"'],
    [
      'spec.ports=[{"port":1,"name":"a"},{"port":1,"name":"b"}]',
      'spec.ports[1]: Duplicate value: {"name":"b","protocol":"TCP","port":1,"targetPort":1}',
    ],
    ['spec.ports=[{"port":1,"name":"a"},{"port":2,"name":"a"}]', 'spec.ports[1].name: Duplicate value: "a"'],
    [
      'spec.loadBalancerSourceRanges=["10.0.0.0/8"]',
      "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
    ],
    [
      'spec.type="LoadBalancer";spec.loadBalancerSourceRanges=["x"]',
      'spec.loadBalancerSourceRanges[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
    ],
    [
      'spec.healthCheckNodePort=30001',
      "spec.healthCheckNodePort: Invalid value: 30001: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
    ],
    [
      'spec.sessionAffinityConfig={"clientIP":{"timeoutSeconds":0}};spec.sessionAffinity="ClientIP"',
      'spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400',
    ],
    [
      'spec.allocateLoadBalancerNodePorts=true',
      "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'",
    ],
    ['spec.loadBalancerClass="a/b"', "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
    ['spec.ports[0].nodePort=30000', "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ['spec.ipFamilies=["X"]', 'spec.ipFamilies[0]: Unsupported value: "X": supported values: "IPv4", "IPv6"'],
    [
      'spec.ipFamilyPolicy="X"',
      'spec.ipFamilyPolicy: Unsupported value: "X": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"',
    ],
    ['spec.ipFamilies=["IPv4","IPv4"]', 'spec.ipFamilies[1]: Duplicate value: "IPv4"'],
    [
      'spec.clusterIPs=["10.96.0.5"];spec.clusterIP="10.96.0.6"',
      'spec.clusterIPs: Invalid value: ["10.96.0.5"]: first value must match `clusterIP`',
    ],
    [
      'spec.type="NodePort";spec.clusterIP="None"',
      `spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services`,
    ],
    ['spec.ports[0].appProtocol="a b"', 'spec.ports[0].appProtocol: Invalid value: "a b": <qualified>'],
    [
      'spec.trafficDistribution="X"',
      'spec.trafficDistribution: Unsupported value: "X": supported values: "PreferClose", "PreferSameNode", "PreferSameZone"',
    ],
    [
      'spec.type="NodePort";spec.ports=[{"name":"a","port":80,"nodePort":30100},{"name":"b","port":81,"nodePort":30100}]',
      'spec.ports[1].nodePort: Duplicate value: 30100',
    ],
  ],
}
