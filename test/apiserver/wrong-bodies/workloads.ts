// Bodies that Kubernetes refuses, and what it says: workloads and the network. A change of a sample (`path=value`, more of them behind `;`; `undefined`
// takes away), and the refusal without the object's name. `<label>` and the like are rules that are told in full beside the test.
export const WRONG: Readonly<Record<string, readonly (readonly [change: string, refusal: string])[]>> = {
  'apps/controllerrevisions': [
    ['revision=-1', 'revision: Invalid value: -1: must be greater than or equal to 0'],
    ['data=undefined', 'data: Required value: data is mandatory'],
    [
      'revision="x"',
      '400 ControllerRevision in version "v1" cannot be handled as a ControllerRevision: json: cannot unmarshal string into Go struct field ControllerRevision.revision of type int64',
    ],
    ['metadata.name="A"', 'metadata.name: Invalid value: "A": <subdomain>'],
    ['metadata.namespace="other"', '400 the namespace of the provided object does not match the namespace sent on the request'],
  ],
  'apps/daemonsets': [
    [
      'spec.selector={"matchLabels":{"app":"y"}}',
      'spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`',
    ],
    ['spec.selector={}', 'spec.selector: Invalid value: {}: empty selector is invalid for daemonset'],
    [
      'spec.template.spec.restartPolicy="Never"',
      'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ],
    ['spec.updateStrategy={"type":"X"}', 'spec.updateStrategy.type: Unsupported value: "X": supported values: "OnDelete", "RollingUpdate"'],
    [
      'spec.updateStrategy={"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":0,"maxSurge":0}}',
      'spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0',
    ],
    ['spec.minReadySeconds=-1', 'spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0'],
    ['spec.revisionHistoryLimit=-1', 'spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0'],
    [
      'spec.template.spec.activeDeadlineSeconds=5',
      'spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported',
    ],
    [
      'spec.updateStrategy={"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":"150%"}}',
      'spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "150%": must not be greater than 100%',
    ],
    [
      'spec.updateStrategy={"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":1,"maxSurge":1}}',
      'spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero',
    ],
  ],
  'apps/deployments': [
    ['spec.replicas=-1', 'spec.replicas: Invalid value: -1: must be greater than or equal to 0'],
    ['spec.selector=undefined', 'spec.selector: Required value'],
    [
      'spec.selector={"matchLabels":{"app":"y"}}',
      'spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`',
    ],
    ['spec.strategy={"type":"X"}', 'spec.strategy.type: Unsupported value: "X": supported values: "Recreate", "RollingUpdate"'],
    [
      'spec.strategy={"type":"Recreate","rollingUpdate":{"maxSurge":1}}',
      "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
    ],
    [
      'spec.strategy={"type":"RollingUpdate","rollingUpdate":{"maxSurge":0,"maxUnavailable":0}}',
      'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0',
    ],
    [
      'spec.strategy={"type":"RollingUpdate","rollingUpdate":{"maxSurge":"x"}}',
      `spec.strategy.rollingUpdate.maxSurge: Invalid value: "x": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')`,
    ],
    [
      'spec.strategy={"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":"101%"}}',
      'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
    ],
    [
      'spec.progressDeadlineSeconds=5;spec.minReadySeconds=10',
      'spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds',
    ],
    ['spec.revisionHistoryLimit=-1', 'spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0'],
    [
      'spec.template.spec.restartPolicy="OnFailure"',
      'spec.template.spec.restartPolicy: Unsupported value: "OnFailure": supported values: "Always"',
    ],
    ['spec.template.spec.containers=[]', 'spec.template.spec.containers: Required value'],
    [
      'spec.selector={"matchExpressions":[{"key":"a","operator":"In"}]}',
      '[spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is \'In\' or \'NotIn\', spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`]',
    ],
    [
      'spec.selector={"matchLabels":{"a b":"c"}}',
      '[spec.selector.matchLabels: Invalid value: "a b": <qualified>, spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`]',
    ],
  ],
  'apps/replicasets': [
    ['spec.replicas=-1', 'spec.replicas: Invalid value: -1: must be greater than or equal to 0'],
    [
      'spec.selector={"matchLabels":{"app":"y"}}',
      'spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`',
    ],
    ['spec.selector={}', 'spec.selector: Invalid value: {}: empty selector is invalid for replica set'],
    [
      'spec.template.spec.restartPolicy="Never"',
      'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ],
    ['spec.minReadySeconds=-1', 'spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0'],
    [
      'spec.template={}',
      '[spec.template.metadata.labels: Invalid value: {}: `selector` does not match template `labels`, spec.template.spec.containers: Required value]',
    ],
  ],
  'apps/statefulsets': [
    ['spec.replicas=-1', 'spec.replicas: Invalid value: -1: must be greater than or equal to 0'],
    [
      'spec.selector={"matchLabels":{"app":"y"}}',
      'spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`',
    ],
    ['spec.podManagementPolicy="X"', 'spec.podManagementPolicy: Unsupported value: "X": supported values: "OrderedReady", "Parallel"'],
    ['spec.updateStrategy={"type":"X"}', `spec.updateStrategy: Invalid value: {"type":"X"}: must be 'RollingUpdate' or 'OnDelete'`],
    [
      'spec.updateStrategy={"type":"RollingUpdate","rollingUpdate":{"partition":-1}}',
      'spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0',
    ],
    [
      'spec.template.spec.restartPolicy="Never"',
      'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ],
    [
      'spec.persistentVolumeClaimRetentionPolicy={"whenDeleted":"X"}',
      'spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "X": supported values: "Delete", "Retain"',
    ],
    ['spec.ordinals={"start":-1}', 'spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0'],
    ['spec.minReadySeconds=-1', 'spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0'],
    [
      'spec.volumeClaimTemplates=[{"metadata":{"name":"A"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1"}}}}]',
      'spec.template.spec.volumes[0].name: Invalid value: "A": <label>',
    ],
    ['spec.serviceName="A_b"', 'spec.serviceName: Invalid value: "A_b": <label>'],
    [
      'spec.updateStrategy={"type":"OnDelete","rollingUpdate":{"partition":1}}',
      `spec.updateStrategy.rollingUpdate: Invalid value: {"partition":1}: only allowed for updateStrategy 'RollingUpdate'`,
    ],
  ],
  'autoscaling/horizontalpodautoscalers': [
    [
      'spec.maxReplicas=0',
      '[spec.maxReplicas: Invalid value: 0: must be greater than 0, spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`]',
    ],
    ['spec.minReplicas=3', 'spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`'],
    ['spec.scaleTargetRef.name=""', 'spec.scaleTargetRef.name: Required value'],
    ['spec.scaleTargetRef.kind=""', 'spec.scaleTargetRef.kind: Required value'],
    ['spec.minReplicas=0', 'spec.minReplicas: Invalid value: 0: must be greater than or equal to 1'],
    [
      'spec.metrics=[{"type":"X"}]',
      'spec.metrics[0].type: Unsupported value: "X": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"',
    ],
    [
      'spec.metrics=[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization"}}}]',
      'spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization',
    ],
    [
      'spec.behavior={"scaleUp":{"stabilizationWindowSeconds":4000}}',
      'spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 4000: must be less than or equal to 3600',
    ],
    ['spec.behavior={"scaleUp":{"policies":[]}}', 'spec.behavior.scaleUp.policies: Required value: must specify at least one Policy'],
    [
      'spec.behavior={"scaleDown":{"policies":[{"type":"X","value":0,"periodSeconds":0}]}}',
      '[spec.behavior.scaleDown.policies[0].type: Unsupported value: "X": supported values: "Percent", "Pods", spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero, spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 0: must be greater than zero]',
    ],
    [
      'spec.targetCPUUtilizationPercentage=0',
      '400 HorizontalPodAutoscaler in version "v2" cannot be handled as a HorizontalPodAutoscaler: strict decoding error: unknown field "spec.targetCPUUtilizationPercentage"',
    ],
    [
      'spec.metrics=[{"type":"Resource"}]',
      'spec.metrics[0].resource: Required value: must populate information for the given metric source',
    ],
  ],
  'batch/cronjobs': [
    ['spec.schedule="x"', 'spec.schedule: Invalid value: "x": expected exactly 5 fields, found 1: [x]'],
    ['spec.schedule=""', 'spec.schedule: Required value'],
    ['spec.concurrencyPolicy="X"', 'spec.concurrencyPolicy: Unsupported value: "X": supported values: "Allow", "Forbid", "Replace"'],
    ['spec.timeZone="X/Y"', 'spec.timeZone: Invalid value: "X/Y": unknown time zone X/Y'],
    ['spec.timeZone=""', 'spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string'],
    ['spec.startingDeadlineSeconds=-1', 'spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0'],
    ['spec.successfulJobsHistoryLimit=-1', 'spec.successfulJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0'],
    [
      'spec.jobTemplate.spec.template.spec.restartPolicy="Always"',
      'spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ],
    [
      'metadata.name="aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"',
      'metadata.name: Invalid value: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": must be no more than 52 characters',
    ],
    [
      'spec.schedule="TZ=UTC * * * * *"',
      'spec.schedule: Invalid value: "TZ=UTC * * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
    ],
    [
      'spec.jobTemplate.spec.manualSelector=true',
      'spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"',
    ],
    ['spec.timeZone="Local"', 'spec.timeZone: Invalid value: "Local": unknown time zone Local'],
    ['spec.jobTemplate.spec.parallelism=-1', 'spec.jobTemplate.spec.parallelism: Invalid value: -1: must be greater than or equal to 0'],
  ],
  'batch/jobs': [
    ['spec.parallelism=-1', 'spec.parallelism: Invalid value: -1: must be greater than or equal to 0'],
    ['spec.completions=-1', 'spec.completions: Invalid value: -1: must be greater than or equal to 0'],
    ['spec.template.spec.restartPolicy="Always"', 'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
    ['spec.backoffLimit=-1', 'spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0'],
    ['spec.activeDeadlineSeconds=-1', 'spec.activeDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0'],
    ['spec.ttlSecondsAfterFinished=-1', 'spec.ttlSecondsAfterFinished: Invalid value: -1: must be greater than or equal to 0'],
    ['spec.completionMode="X"', 'spec.completionMode: Unsupported value: "X": supported values: "Indexed", "NonIndexed"'],
    ['spec.manualSelector=true', 'spec.selector: Required value'],
    [
      'spec.podFailurePolicy={"rules":[{"action":"X"}]}',
      '[spec.podFailurePolicy.rules[0].action: Unsupported value: "X": supported values: "Count", "FailIndex", "FailJob", "Ignore", spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required]',
    ],
    [
      'spec.template.spec.restartPolicy="OnFailure";spec.podFailurePolicy={"rules":[{"action":"Ignore","onExitCodes":{"operator":"In","values":[1]}}]}',
      'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified',
    ],
    ['spec.backoffLimitPerIndex=1', 'spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode'],
    [
      'spec.successPolicy={"rules":[{"succeededCount":1}]}',
      'spec.successPolicy: Invalid value: {"rules":[{"succeededCount":1}]}: requires indexed completion mode',
    ],
    [
      'spec.podReplacementPolicy="X"',
      'spec.podReplacementPolicy: Unsupported value: "X": supported values: "Failed", "TerminatingOrFailed"',
    ],
    [
      'spec.completionMode="Indexed";spec.completions=1000000;spec.parallelism=1000000',
      'spec.parallelism: Invalid value: 1000000: must be less than or equal to 100000 when completion mode is Indexed',
    ],
    ['spec.managedBy="x"', 'spec.managedBy: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")'],
    [
      'spec.podFailurePolicy={"rules":[{"action":"FailJob","onExitCodes":{"operator":"In","values":[0]}}]}',
      'spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator',
    ],
    [
      'spec.suspend="x"',
      '400 Job in version "v1" cannot be handled as a Job: json: cannot unmarshal string into Go struct field JobSpec.spec.suspend of type bool',
    ],
    ['spec.template.spec.restartPolicy=undefined', 'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
  ],
  'discovery.k8s.io/endpointslices': [
    ['addressType="X"', 'addressType: Unsupported value: "X": supported values: "FQDN", "IPv4", "IPv6"'],
    ['addressType=undefined', 'addressType: Required value'],
    ['endpoints[0].addresses=[]', 'endpoints[0].addresses: Required value: must contain at least 1 address'],
    ['endpoints[0].addresses=["x"]', 'endpoints[0].addresses[0]: Invalid value: "x": must be an IPv4 address'],
    ['endpoints[0].addresses=["::1"]', 'endpoints[0].addresses[0]: Invalid value: "::1": must be an IPv4 address'],
    ['ports[0].port=0', 'ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive'],
    ['ports[0].protocol="X"', 'ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"'],
    ['ports[0].name="A"', 'ports[0].name: Invalid value: "A": <label>'],
    ['ports=[{"name":"a","port":1},{"name":"a","port":2}]', 'ports[1].name: Duplicate value: "a"'],
    ['endpoints[0].hostname="A"', 'endpoints[0].hostname: Invalid value: "A": <label>'],
    ['endpoints[0].nodeName="A_b"', 'endpoints[0].nodeName: Invalid value: "A_b": <subdomain>'],
    ['endpoints[0].hints={"forZones":[{"name":"a b"}]}', 'endpoints[0].hints.forZones[0].name: Invalid value: "a b": <labelValue>'],
    [
      'endpoints[0].addresses=["127.0.0.1"]',
      'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    ],
    ['endpoints[0].deprecatedTopology={"a b":"c"}', 'endpoints[0].deprecatedTopology: Invalid value: "a b": <qualified>'],
    ['ports[0].appProtocol="a b"', 'ports[0].appProtocol: Invalid value: "a b": <qualified>'],
  ],
  'events.k8s.io/events': [
    [
      'reportingController=""',
      '[reportingController: Required value, reportingController: Invalid value: "": name part must be non-empty, reportingController: Invalid value: "": <qualified>]',
    ],
    ['reportingInstance=""', 'reportingInstance: Required value'],
    ['action=""', 'action: Required value'],
    ['reason=""', 'reason: Required value'],
    ['type="X"', 'type: Invalid value: "": has invalid value: X'],
    ['eventTime=undefined', 'eventTime: Required value'],
    ['regarding.namespace="other"', 'involvedObject.namespace: Invalid value: "other": does not match event.namespace'],
    ['deprecatedCount=1', 'count: Invalid value: "": needs to be unset'],
    ['reportingController="a b"', 'reportingController: Invalid value: "a b": <qualified>'],
    ['series={"count":1,"lastObservedTime":"2020-01-01T00:00:00.000000Z"}', 'series.count: Invalid value: "": should be at least 2'],
  ],
  'networking.k8s.io/ingressclasses': [
    ['spec.controller="x"', 'spec.controller: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")'],
    ['spec.controller=""', 'spec.controller: Required value'],
    ['spec.parameters={"kind":"","name":""}', '[spec.parameters.kind: Required value, spec.parameters.name: Required value]'],
    [
      'spec.parameters={"kind":"a","name":"b","scope":"X"}',
      'spec.parameters.scope: Unsupported value: "X": supported values: "Cluster", "Namespace"',
    ],
    [
      'spec.parameters={"kind":"a","name":"b","scope":"Namespace"}',
      "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
    ],
    ['spec.controller="A_b/x"', 'spec.controller: Invalid value: "A_b": <subdomain>'],
    [
      'spec.parameters={"kind":"a","name":"b","namespace":"c"}',
      "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'",
    ],
  ],
  'networking.k8s.io/ingresses': [
    ['spec={}', 'spec: Invalid value: []: either `defaultBackend` or `rules` must be specified'],
    ['spec.defaultBackend={}', 'spec.defaultBackend: Required value: backend must have a service or resource'],
    ['spec.defaultBackend={"service":{"name":"s"}}', 'spec.defaultBackend: Required value: port name or number is required'],
    [
      'spec.defaultBackend.service.port={"number":80,"name":"a"}',
      'spec.defaultBackend: Invalid value: "": cannot set both port name & port number',
    ],
    ['spec.rules=[{"host":"A b"}]', 'spec.rules[0].host: Invalid value: "A b": <subdomain>'],
    ['spec.rules=[{"host":"1.2.3.4"}]', 'spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address'],
    [
      'spec.rules=[{"host":"*.*.com"}]',
      `spec.rules[0].host: Invalid value: "*.*.com": a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
    ],
    ['spec.rules=[{"http":{"paths":[]}}]', 'spec.rules[0].http.paths: Required value'],
    [
      'spec.rules=[{"http":{"paths":[{"path":"x","pathType":"Exact","backend":{"service":{"name":"s","port":{"number":80}}}}]}}]',
      'spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path',
    ],
    [
      'spec.rules=[{"http":{"paths":[{"path":"/x","backend":{"service":{"name":"s","port":{"number":80}}}}]}}]',
      'spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified',
    ],
    [
      'spec.rules=[{"http":{"paths":[{"path":"/x","pathType":"X","backend":{"service":{"name":"s","port":{"number":80}}}}]}}]',
      'spec.rules[0].http.paths[0].pathType: Unsupported value: "X": supported values: "Exact", "ImplementationSpecific", "Prefix"',
    ],
    [
      'spec.rules=[{"http":{"paths":[{"path":"/x//y","pathType":"Prefix","backend":{"service":{"name":"s","port":{"number":80}}}}]}}]',
      `spec.rules[0].http.paths[0].path: Invalid value: "/x//y": must not contain '//'`,
    ],
    ['spec.ingressClassName="A_b"', 'spec.ingressClassName: Invalid value: "A_b": <subdomain>'],
    ['spec.tls=[{"hosts":["a b"]}]', 'spec.tls[0].hosts[0]: Invalid value: "a b": <subdomain>'],
    ['spec.tls=[{"secretName":"A_b"}]', 'spec.tls[0].secretName: Invalid value: "A_b": <subdomain>'],
    ['spec.defaultBackend.service.port={"number":0}', 'spec.defaultBackend: Required value: port name or number is required'],
    [
      'spec.defaultBackend={"service":{"name":"s","port":{"number":80}},"resource":{"kind":"a","name":"b"}}',
      'spec.defaultBackend: Invalid value: "": cannot set both resource and service backends',
    ],
    [
      'metadata.annotations={"kubernetes.io/ingress.class":"a"};spec.ingressClassName="b"',
      'annotations.kubernetes.io/ingress.class: Invalid value: "a": must match `ingressClassName` when both are specified',
    ],
  ],
  'networking.k8s.io/ipaddresses': [
    ['metadata.name="x"', 'metadata.name: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
    ['spec.parentRef=undefined', 'spec.parentRef: Required value'],
    ['spec.parentRef.name=""', 'spec.parentRef.name: Required value'],
    ['spec.parentRef.resource=""', 'spec.parentRef.resource: Required value'],
    [
      'metadata.name="10.96.0.01"',
      'metadata.name: Invalid value: "10.96.0.01": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    ],
  ],
  'networking.k8s.io/networkpolicies': [
    ['spec.policyTypes=["X"]', 'spec.policyTypes[0]: Unsupported value: "X": supported values: "Egress", "Ingress"'],
    [
      'spec.ingress=[{"ports":[{"protocol":"X"}]}]',
      'spec.ingress[0].ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
    ],
    ['spec.ingress=[{"ports":[{"port":0}]}]', 'spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive'],
    ['spec.ingress=[{"from":[{}]}]', 'spec.ingress[0].from[0]: Required value: must specify a peer'],
    [
      'spec.ingress=[{"from":[{"ipBlock":{"cidr":"x"}}]}]',
      'spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
    ],
    [
      'spec.ingress=[{"from":[{"ipBlock":{"cidr":"10.0.0.0/8","except":["11.0.0.0/8"]}}]}]',
      'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/8": must be a strict subset of `cidr`',
    ],
    ['spec.podSelector={"matchLabels":{"a b":"c"}}', 'spec.podSelector.matchLabels: Invalid value: "a b": <qualified>'],
    [
      'spec.egress=[{"ports":[{"port":80,"endPort":70}]}]',
      'spec.egress[0].ports[0].endPort: Invalid value: 70: must be greater than or equal to `port`',
    ],
    [
      'spec.egress=[{"ports":[{"port":"a","endPort":70}]}]',
      'spec.egress[0].ports[0].endPort: Invalid value: 70: may not be specified when `port` is non-numeric',
    ],
    [
      'spec.ingress=[{"from":[{"ipBlock":{"cidr":"10.0.0.0/8"},"podSelector":{}}]}]',
      'spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer',
    ],
    [
      'spec.policyTypes=["Ingress","Egress","X"]',
      '[spec.policyTypes: Invalid value: ["Ingress","Egress","X"]: may not specify more than two policyTypes, spec.policyTypes[2]: Unsupported value: "X": supported values: "Egress", "Ingress"]',
    ],
  ],
  'networking.k8s.io/servicecidrs': [
    ['spec.cidrs=[]', 'spec.cidrs: Required value: at least one CIDR required'],
    ['spec.cidrs=["x"]', 'spec.cidrs[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'],
    [
      'spec.cidrs=["10.0.0.0/16","10.1.0.0/16"]',
      'spec.cidrs: Invalid value: {"cidrs":["10.0.0.0/16","10.1.0.0/16"]}: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64',
    ],
    ['spec.cidrs=["10.0.0.1/16"]', 'spec.cidrs[0]: Invalid value: "10.0.0.1/16": must not have bits set beyond the prefix length'],
    [
      'spec.cidrs=["10.0.0.0/16","fd00::/112","10.3.0.0/16"]',
      'spec.cidrs: Invalid value: {"cidrs":["10.0.0.0/16","fd00::/112","10.3.0.0/16"]}: may only hold up to 2 values',
    ],
  ],
  'node.k8s.io/runtimeclasses': [
    ['handler=""', 'handler: Required value'],
    ['handler="A"', 'handler: Invalid value: "A": <label>'],
    ['overhead={"podFixed":{"cpu":"-1"}}', 'overhead.podFixed.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'],
    ['scheduling={"nodeSelector":{"a b":"c"}}', 'scheduling.nodeSelector: Invalid value: "a b": <qualified>'],
    [
      'scheduling={"tolerations":[{"operator":"X"}]}',
      '[scheduling.tolerations[0].operator: Invalid value: "X": operator must be Exists when `key` is empty, which means "match all values and all keys", scheduling.tolerations[0].operator: Unsupported value: "X": supported values: "Equal", "Exists"]',
    ],
    ['handler="a.b"', 'handler: Invalid value: "a.b": <label>'],
    [
      'scheduling={"tolerations":[{"key":"a","operator":"Exists"},{"key":"a","operator":"Exists"}]}',
      'scheduling.tolerations[1]: Duplicate value: {"key":"a","operator":"Exists"}',
    ],
  ],
  'policy/poddisruptionbudgets': [
    [
      'spec.maxUnavailable=1',
      'spec: Invalid value: {"minAvailable":1,"selector":{"matchLabels":{"app":"x"}},"maxUnavailable":1}: minAvailable and maxUnavailable cannot be both set',
    ],
    ['spec.minAvailable=-1', 'spec.minAvailable: Invalid value: -1: must be greater than or equal to 0'],
    ['spec.minAvailable="101%"', 'spec.minAvailable: Invalid value: "101%": must not be greater than 100%'],
    [
      'spec.minAvailable="x"',
      `spec.minAvailable: Invalid value: "x": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')`,
    ],
    [
      'spec.unhealthyPodEvictionPolicy="X"',
      'spec.unhealthyPodEvictionPolicy: Unsupported value: "X": supported values: "AlwaysAllow", "IfHealthyBudget"',
    ],
    ['spec.selector={"matchLabels":{"a b":"c"}}', 'spec.selector.matchLabels: Invalid value: "a b": <qualified>'],
    [
      'spec.minAvailable="-5%"',
      `spec.minAvailable: Invalid value: "-5%": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')`,
    ],
  ],
}
