// Bodies that Kubernetes refuses, and what it says: access, admission, storage, devices. A change of a sample (`path=value`, more of them behind `;`; `undefined`
// takes away), and the refusal without the object's name. `<label>` and the like are rules that are told in full beside the test.
export const WRONG: Readonly<Record<string, readonly (readonly [change: string, refusal: string])[]>> = {
  'admissionregistration.k8s.io/mutatingwebhookconfigurations': [
    ['webhooks[0].name="w"', 'webhooks[0].name: Invalid value: "w": should be a domain with at least three segments separated by dots'],
    ['webhooks[0].sideEffects="Some"', 'webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'],
    [
      'webhooks[0].admissionReviewVersions=["v9"]',
      'webhooks[0].admissionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, v1beta1',
    ],
    ['webhooks[0].clientConfig={}', 'webhooks[0].clientConfig: Required value: exactly one of url or service is required'],
    [
      'webhooks[0].clientConfig={"url":"http://x"}',
      `webhooks[0].clientConfig.url: Invalid value: "http://x": 'https' is the only allowed URL scheme; desired format: https://host[/path]`,
    ],
    ['webhooks[0].failurePolicy="X"', 'webhooks[0].failurePolicy: Unsupported value: "X": supported values: "Fail", "Ignore"'],
    ['webhooks[0].timeoutSeconds=31', 'webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds'],
    [
      'webhooks[0].rules[0].operations=["X"]',
      'webhooks[0].rules[0].operations[0]: Unsupported value: "X": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"',
    ],
    [
      'webhooks[0].rules[0].resources=["pods","*"]',
      `webhooks[0].rules[0].resources: Invalid value: ["pods","*"]: if '*' is present, must not specify other resources without subresources`,
    ],
    ['webhooks[0].matchPolicy="X"', 'webhooks[0].matchPolicy: Unsupported value: "X": supported values: "Equivalent", "Exact"'],
    ['webhooks[0].reinvocationPolicy="X"', 'webhooks[0].reinvocationPolicy: Unsupported value: "X": supported values: "IfNeeded", "Never"'],
    ['webhooks[0].matchConditions=[{"name":"a","expression":""}]', 'webhooks[0].matchConditions[0].expression: Required value'],
    [
      'webhooks[0].namespaceSelector={"matchExpressions":[{"key":"a","operator":"X"}]}',
      'webhooks[0].namespaceSelector.matchExpressions[0].operator: Invalid value: "X": not a valid selector operator',
    ],
    [
      'webhooks[0].rules[0].scope="X"',
      'webhooks[0].rules[0].scope: Unsupported value: "X": supported values: "*", "Cluster", "Namespaced"',
    ],
    ['webhooks[0].rules[0].apiGroups=[]', 'webhooks[0].rules[0].apiGroups: Required value'],
    [
      'webhooks[0].clientConfig={"service":{"name":"","namespace":""}}',
      '[webhooks[0].clientConfig.service.name: Required value: service name is required, webhooks[0].clientConfig.service.namespace: Required value: service namespace is required]',
    ],
    [
      'webhooks[0].clientConfig={"service":{"name":"a","namespace":"b","port":0}}',
      'webhooks[0].clientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive',
    ],
  ],
  'admissionregistration.k8s.io/validatingwebhookconfigurations': [
    ['webhooks[0].name="w"', 'webhooks[0].name: Invalid value: "w": should be a domain with at least three segments separated by dots'],
    [
      'webhooks[0].sideEffects="Unknown"',
      'webhooks[0].sideEffects: Unsupported value: "Unknown": supported values: "None", "NoneOnDryRun"',
    ],
    ['webhooks[0].admissionReviewVersions=[]', 'webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1'],
    [
      'webhooks[0].clientConfig={"url":"https://u:p@x"}',
      'webhooks[0].clientConfig.url: Invalid value: "https://u:p@x": user information is not permitted in the URL',
    ],
    [
      'webhooks[0].clientConfig={"url":"https://x?y"}',
      'webhooks[0].clientConfig.url: Invalid value: "https://x?y": query parameters are not permitted in the URL',
    ],
    ['webhooks[0].failurePolicy="X"', 'webhooks[0].failurePolicy: Unsupported value: "X": supported values: "Fail", "Ignore"'],
  ],
  'admissionregistration.k8s.io/validatingadmissionpolicies': [
    ['spec.validations=[]', 'spec.validations: Required value: validations or auditAnnotations must contain at least one item'],
    ['spec.matchConstraints=undefined', 'spec.matchConstraints: Required value'],
    ['spec.validations=[{"expression":""}]', 'spec.validations[0].expression: Required value: expression is not specified'],
    ['spec.failurePolicy="X"', 'spec.failurePolicy: Unsupported value: "X": supported values: "Fail", "Ignore"'],
    ['spec.matchConstraints={}', 'spec.matchConstraints.resourceRules: Required value'],
    ['spec.paramKind={"apiVersion":"","kind":""}', '[spec.paramKind.apiVersion: Required value, spec.paramKind.kind: Required value]'],
    [
      'spec.variables=[{"name":"","expression":""}]',
      '[spec.variables[0].name: Required value: name is not specified, spec.variables[0].expression: Required value: expression is not specified]',
    ],
    ['spec.auditAnnotations=[{"key":"a b","valueExpression":"x"}]', 'spec.auditAnnotations[0]: Invalid value: "x/a b": <qualified>'],
    [
      'spec.validations=[{"expression":"true","reason":"X"}]',
      'spec.validations[0].reason: Unsupported value: "X": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"',
    ],
  ],
  'admissionregistration.k8s.io/validatingadmissionpolicybindings': [
    ['spec.policyName=""', 'spec.policyName: Required value'],
    ['spec.validationActions=[]', 'spec.validationActions: Required value: at least one validation action is required'],
    ['spec.validationActions=["X"]', 'spec.validationActions[0]: Unsupported value: "X": supported values: "Audit", "Deny", "Warn"'],
    [
      'spec.validationActions=["Deny","Warn"]',
      'spec.validationActions: Invalid value: ["Deny","Warn"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
    ],
    [
      'spec.paramRef={}',
      '[spec.paramRef: Required value: one of name or selector must be specified, spec.paramRef.parameterNotFoundAction: Required value]',
    ],
    ['spec.validationActions=["Deny","Deny"]', 'spec.validationActions[1]: Duplicate value: "Deny"'],
    ['spec.paramRef={"name":"a"}', 'spec.paramRef.parameterNotFoundAction: Required value'],
  ],
  'admissionregistration.k8s.io/mutatingadmissionpolicies': [
    ['spec.mutations=[]', 'spec.mutations: Required value: mutations must contain at least one item'],
    ['spec.reinvocationPolicy="X"', 'spec.reinvocationPolicy: Unsupported value: "X": supported values: "IfNeeded", "Never"'],
    [
      'spec.mutations=[{"patchType":"X"}]',
      'spec.mutations[0].patchType: Unsupported value: "X": supported values: "ApplyConfiguration", "JSONPatch"',
    ],
    [
      'spec.mutations=[{"patchType":"JSONPatch"}]',
      'spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch',
    ],
    ['spec.matchConstraints=undefined', 'spec.matchConstraints: Required value'],
  ],
  'admissionregistration.k8s.io/mutatingadmissionpolicybindings': [
    ['spec.policyName=""', 'spec.policyName: Required value'],
    ['spec.policyName="A b"', 'spec.policyName: Invalid value: "A b": <subdomain>'],
    [
      'spec.paramRef={}',
      '[spec.paramRef: Required value: one of name or selector must be specified, spec.paramRef.parameterNotFoundAction: Required value]',
    ],
    [
      'spec.matchResources={"matchPolicy":"X"}',
      'spec.matchResources.matchPolicy: Unsupported value: "X": supported values: "Equivalent", "Exact"',
    ],
    [
      'spec.paramRef={"name":"a","selector":{}}',
      '[spec.paramRef.name: Forbidden: name and selector are mutually exclusive, spec.paramRef.parameterNotFoundAction: Required value]',
    ],
  ],
  'apiextensions.k8s.io/customresourcedefinitions': [
    ['metadata.name="x"', 'metadata.name: Invalid value: "x": must be spec.names.plural+"."+spec.group'],
    ['spec.scope="X"', 'spec.scope: Unsupported value: "X": supported values: "Cluster", "Namespaced"'],
    [
      'spec.group=""',
      '[metadata.name: Invalid value: "things.every.example.com": must be spec.names.plural+"."+spec.group, spec.group: Required value]',
    ],
    [
      'spec.group="a"',
      '[metadata.name: Invalid value: "things.every.example.com": must be spec.names.plural+"."+spec.group, spec.group: Invalid value: "a": should be a domain with at least one dot]',
    ],
    [
      'spec.names.kind="a b"',
      '[spec.names.singular: Invalid value: "a b": <label1035>, spec.names.kind: Invalid value: "a b": may have mixed case, but should otherwise match: <label1035>]',
    ],
    [
      'spec.names.plural="A"',
      '[metadata.name: Invalid value: "things.every.example.com": must be spec.names.plural+"."+spec.group, spec.names.plural: Invalid value: "A": <label1035>]',
    ],
    [
      'spec.versions=[]',
      '[spec.versions: Required value, spec.versions: Invalid value: []: must have exactly one version marked as storage version]',
    ],
    [
      'spec.versions[0].storage=false',
      'spec.versions: Invalid value: [{"name":"v1","served":true,"storage":false,"schema":{"openAPIV3Schema":{"type":"object"}}}]: must have exactly one version marked as storage version',
    ],
    ['spec.versions[0].schema=undefined', 'spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required'],
    [
      'spec.versions[0].schema.openAPIV3Schema={}',
      'spec.versions[0].schema.openAPIV3Schema.type: Required value: must not be empty at the root',
    ],
    [
      'spec.versions[0].schema.openAPIV3Schema={"type":"object","properties":{"a":{}}}',
      'spec.versions[0].schema.openAPIV3Schema.properties[a].type: Required value: must not be empty for specified object fields',
    ],
    ['spec.versions[0].name="X"', 'spec.versions[0].name: Invalid value: "X": <label1035>'],
    ['spec.conversion={"strategy":"X"}', 'spec.conversion.strategy: Unsupported value: "X": supported values: "None", "Webhook"'],
    [
      'spec.conversion={"strategy":"Webhook"}',
      'spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook',
    ],
    [
      'spec.versions[0].schema.openAPIV3Schema={"type":"object","properties":{"metadata":{"type":"object","properties":{"labels":{"type":"object"}}}}}',
      'spec.versions[0].schema.openAPIV3Schema.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified',
    ],
    [
      'spec.versions[0].additionalPrinterColumns=[{"name":"a","type":"x","jsonPath":".a"}]',
      'spec.versions[0].additionalPrinterColumns[0].type: Invalid value: "x": must be one of integer,number,string,boolean,date',
    ],
    [
      'spec.versions[0].selectableFields=[{"jsonPath":".spec.none"}]',
      'spec.versions[0].selectableFields[0].jsonPath: Invalid value: ".spec.none": is an invalid path: does not refer to a valid field',
    ],
    [
      'spec.versions[0].subresources={"scale":{}}',
      '[spec.versions[0].subresources.scale.specReplicasPath: Required value, spec.versions[0].subresources.scale.statusReplicasPath: Required value]',
    ],
    [
      'spec.versions=[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}},{"name":"v1","served":true,"storage":false,"schema":{"openAPIV3Schema":{"type":"object"}}}]',
      'spec.versions: Invalid value: [{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}},{"name":"v1","served":true,"storage":false,"schema":{"openAPIV3Schema":{"type":"object"}}}]: must contain unique version names',
    ],
    [
      'spec.group="a.k8s.io";metadata.name="things.a.k8s.io"',
      'metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111',
    ],
    [
      'spec.preserveUnknownFields=true',
      'spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead',
    ],
    [
      'spec.versions[0].schema.openAPIV3Schema={"type":"object","properties":{"a":{"type":"array","items":{"type":"string"},"x-kubernetes-list-type":"map"}}}',
      `[spec.versions[0].schema.openAPIV3Schema.properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map, spec.versions[0].schema.openAPIV3Schema.properties[a].items.type: Invalid value: "string": must be object if parent array's x-kubernetes-list-type is map]`,
    ],
    [
      'spec.versions[0].schema.openAPIV3Schema={"type":"object","properties":{"a":{"type":"string","default":5}}}',
      'spec.versions[0].schema.openAPIV3Schema.properties[a].default: Invalid value: "integer":  in body must be of type string: "integer"',
    ],
    [
      'spec.versions[0].schema.openAPIV3Schema={"type":"object","properties":{"a":{"type":"string","pattern":"("}}}',
      `spec.versions[0].schema.openAPIV3Schema.properties[a].pattern: Invalid value: "(": must be a valid regular expression, but isn't`,
    ],
    ['spec.names.shortNames=["A"]', 'spec.names.shortNames[0]: Invalid value: "A": <label1035>'],
    ['spec.names.categories=["A"]', 'spec.names.categories[0]: Invalid value: "A": <label1035>'],
  ],
  'apiregistration.k8s.io/apiservices': [
    ['metadata.name="x"', 'metadata.name: Invalid value: "x": must be `spec.version+"."+spec.group`: "v1.every-other.example.com"'],
    [
      'spec.version=""',
      '[metadata.name: Invalid value: "v1.every-other.example.com": must be `spec.version+"."+spec.group`: ".every-other.example.com", spec.version: Required value]',
    ],
    ['spec.groupPriorityMinimum=0', 'spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000'],
    ['spec.versionPriority=0', 'spec.versionPriority: Invalid value: 0: must be positive and less than 1000'],
    ['spec.service=undefined', 'spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify'],
    ['spec.caBundle="YQ=="', 'spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present'],
    ['spec.service.port=0', 'spec.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive'],
    ['spec.service.name=""', 'spec.service.name: Required value'],
    ['spec.groupPriorityMinimum=20001', 'spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000'],
  ],
  'certificates.k8s.io/certificatesigningrequests': [
    ['spec.request="eA=="', 'spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST'],
    ['spec.signerName=""', 'spec.signerName: Required value'],
    [
      'spec.signerName="x"',
      `spec.signerName: Invalid value: "x": must be a fully qualified domain and path of the form 'example.com/signer-name'`,
    ],
    ['spec.usages=[]', 'spec.usages: Required value'],
    [
      'spec.usages=["x"]',
      'spec.usages[0]: Unsupported value: "x": supported values: "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment", "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing", "timestamping"',
    ],
    ['spec.expirationSeconds=5', 'spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)'],
    [
      'spec.signerName="kubernetes.io/legacy-unknown"',
      'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API version',
    ],
    ['spec.usages=["client auth","client auth"]', 'spec.usages[1]: Duplicate value: "client auth"'],
  ],
  'certificates.k8s.io/clustertrustbundles': [
    ['spec.trustBundle=""', 'spec.trustBundle: Invalid value: "<value omitted>": at least one trust anchor must be provided'],
    ['spec.trustBundle="x"', 'spec.trustBundle: Invalid value: "<value omitted>": at least one trust anchor must be provided'],
    [
      'spec.signerName="a.b/c"',
      'metadata.name: Invalid value: "x": ClusterTrustBundle for signerName a.b/c must be named with prefix a.b:c:',
    ],
    ['metadata.name="a:b"', 'metadata.name: Invalid value: "a:b": ClusterTrustBundle without signer name must not have ":" in its name'],
    [
      'spec.signerName="x"',
      `[spec.signerName: Invalid value: "x": must be a fully qualified domain and path of the form 'example.com/signer-name', metadata.name: Invalid value: "x": ClusterTrustBundle for signerName x must be named with prefix x:]`,
    ],
  ],
  'certificates.k8s.io/podcertificaterequests': [
    ['spec.maxExpirationSeconds=5', 'spec.maxExpirationSeconds: Invalid value: 5: must be in the range [3600, 7862400]'],
    [
      'spec.signerName="x"',
      `spec.signerName: Invalid value: "x": must be a fully qualified domain and path of the form 'example.com/signer-name'`,
    ],
    ['spec.podName="A"', 'spec.podName: Invalid value: "A": <subdomain>'],
    ['spec.podUID=""', 'spec.podUID: Invalid value: "": must not be empty'],
    ['spec.nodeName=""', 'spec.nodeName: Invalid value: "": <subdomain>'],
    ['spec.maxExpirationSeconds=86400000', 'spec.maxExpirationSeconds: Invalid value: 86400000: must be in the range [3600, 7862400]'],
    ['spec.serviceAccountName="A"', 'spec.serviceAccountName: Invalid value: "A": <subdomain>'],
  ],
  'coordination.k8s.io/leases': [
    ['spec.leaseDurationSeconds=0', 'spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0'],
    ['spec.leaseTransitions=-1', 'spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0'],
    ['metadata.name="A"', 'metadata.name: Invalid value: "A": <subdomain>'],
    ['spec.strategy="X"', 'spec.strategy: Unsupported value: "X": supported values: "OldestEmulationVersion"'],
  ],
  'flowcontrol.apiserver.k8s.io/flowschemas': [
    ['spec.matchingPrecedence=10001', 'spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000'],
    ['spec.priorityLevelConfiguration.name=""', 'spec.priorityLevelConfiguration.name: Required value: must reference a priority level'],
    [
      'spec.distinguisherMethod={"type":"X"}',
      'spec.distinguisherMethod.type: Unsupported value: "X": supported values: "ByNamespace", "ByUser"',
    ],
    ['spec.rules[0].subjects=[]', 'spec.rules[0].subjects: Required value: subjects must contain at least one value'],
    [
      'spec.rules[0].subjects=[{"kind":"X"}]',
      'spec.rules[0].subjects[0].kind: Unsupported value: "X": supported values: "Group", "ServiceAccount", "User"',
    ],
    [
      'spec.rules[0].resourceRules[0].verbs=[]',
      'spec.rules[0].resourceRules[0].verbs: Required value: verbs must contain at least one value',
    ],
    [
      'spec.rules[0].resourceRules[0].namespaces=[]',
      'spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace',
    ],
    [
      'spec.rules[0].resourceRules=[]',
      'spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty',
    ],
    [
      'spec.rules[0].resourceRules[0].verbs=["x"]',
      'spec.rules[0].resourceRules[0].verbs: Unsupported value: ["x"]: supported values: "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"',
    ],
    ['spec.priorityLevelConfiguration.name="A"', 'spec.priorityLevelConfiguration.name: Invalid value: "A": <subdomain>'],
  ],
  'flowcontrol.apiserver.k8s.io/prioritylevelconfigurations': [
    ['spec.type="X"', 'spec.type: Unsupported value: "X": supported values: "Exempt", "Limited"'],
    ['spec.limited=undefined', 'spec.limited: Required value: must not be empty when type is Limited'],
    ['spec.type="Exempt"', 'spec.limited: Forbidden: must be nil if the type is not Limited'],
    [
      'spec.limited.nominalConcurrencyShares=-1',
      'spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer',
    ],
    [
      'spec.limited.limitResponse={"type":"X"}',
      'spec.limited.limitResponse.type: Unsupported value: "X": supported values: "Queue", "Reject"',
    ],
    ['spec.limited.lendablePercent=101', 'spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive'],
    [
      'spec.limited.borrowingLimitPercent=-1',
      'spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer',
    ],
    [
      'spec.limited.limitResponse={"type":"Queue","queuing":{"queues":4,"handSize":8,"queueLengthLimit":1}}',
      'spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (4)',
    ],
  ],
  'rbac.authorization.k8s.io/clusterrolebindings': [
    ['roleRef.kind="Role"', 'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"'],
    ['roleRef.name=""', 'roleRef.name: Required value'],
    ['roleRef.apiGroup="x"', 'roleRef.apiGroup: Unsupported value: "x": supported values: "rbac.authorization.k8s.io"'],
    ['subjects[0].kind="X"', 'subjects[0].kind: Unsupported value: "X": supported values: "Group", "ServiceAccount", "User"'],
    ['subjects[0].name=""', 'subjects[0].name: Required value'],
    ['subjects=[{"kind":"ServiceAccount","name":"a"}]', 'subjects[0].namespace: Required value'],
    ['subjects[0].apiGroup="x"', 'subjects[0].apiGroup: Unsupported value: "x": supported values: "rbac.authorization.k8s.io"'],
    ['subjects=[{"kind":"ServiceAccount","name":"A","namespace":"b"}]', 'subjects[0].name: Invalid value: "A": <subdomain>'],
  ],
  'rbac.authorization.k8s.io/clusterroles': [
    ['rules[0].verbs=[]', 'rules[0].verbs: Required value: verbs must contain at least one value'],
    ['rules[0].resources=[]', 'rules[0].resources: Required value: resource rules must supply at least one resource'],
    [
      'rules[0].nonResourceURLs=["/x"]',
      'rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs',
    ],
    [
      'rules=[{"verbs":["get"],"nonResourceURLs":["/x"],"resources":["pods"],"apiGroups":[""]}]',
      'rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs',
    ],
    ['rules[0].apiGroups=[]', 'rules[0].apiGroups: Required value: resource rules must supply at least one api group'],
    [
      'aggregationRule={"clusterRoleSelectors":[]}',
      'aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil',
    ],
    [
      'aggregationRule={"clusterRoleSelectors":[{"matchLabels":{"a b":"c"}}]}',
      'aggregationRule.clusterRoleSelectors[0].matchLabels: Invalid value: "a b": <qualified>',
    ],
    ['metadata.name="a/b"', `metadata.name: Invalid value: "a/b": may not contain '/'`],
  ],
  'rbac.authorization.k8s.io/rolebindings': [
    ['roleRef.kind="X"', 'roleRef.kind: Unsupported value: "X": supported values: "ClusterRole", "Role"'],
    ['roleRef.name=""', 'roleRef.name: Required value'],
    ['subjects[0].kind="X"', 'subjects[0].kind: Unsupported value: "X": supported values: "Group", "ServiceAccount", "User"'],
    ['subjects[0].name=""', 'subjects[0].name: Required value'],
    ['subjects=[{"kind":"ServiceAccount","name":""}]', 'subjects[0].name: Required value'],
    ['metadata.name="a%b"', `metadata.name: Invalid value: "a%b": may not contain '%'`],
  ],
  'rbac.authorization.k8s.io/roles': [
    ['rules[0].verbs=[]', 'rules[0].verbs: Required value: verbs must contain at least one value'],
    ['rules[0].resources=[]', 'rules[0].resources: Required value: resource rules must supply at least one resource'],
    ['rules[0].apiGroups=[]', 'rules[0].apiGroups: Required value: resource rules must supply at least one api group'],
    [
      'rules=[{"verbs":["get"],"nonResourceURLs":["/x"]}]',
      'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
    ],
    ['metadata.name=".."', `metadata.name: Invalid value: "..": may not be '..'`],
  ],
  'resource.k8s.io/deviceclasses': [
    ['spec.selectors=[{}]', 'spec.selectors[0].cel: Required value'],
    ['spec.selectors=[{"cel":{"expression":""}}]', 'spec.selectors[0].cel: Required value'],
    ['spec.config=[{}]', 'spec.config[0].opaque: Required value'],
    ['spec.config=[{"opaque":{"driver":"A_b","parameters":{}}}]', 'spec.config[0].opaque.driver: Invalid value: "A_b": <subdomain>'],
    [
      'spec.config=[{"opaque":{"driver":"a.b","parameters":5}}]',
      'spec.config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object',
    ],
    ['spec.extendedResourceName="x"', 'spec.extendedResourceName: Invalid value: "x": must be a valid extended resource name'],
  ],
  'resource.k8s.io/devicetaintrules': [
    [
      'spec.taint.key=""',
      '[spec.taint.key: Invalid value: "": name part must be non-empty, spec.taint.key: Invalid value: "": <qualified>]',
    ],
    ['spec.taint.effect="X"', 'spec.taint.effect: Unsupported value: "X": supported values: "NoExecute", "NoSchedule", "None"'],
    ['spec.taint.value="a b"', 'spec.taint.value: Invalid value: "a b": <labelValue>'],
    ['spec.deviceSelector={"driver":"A_b"}', 'spec.deviceSelector.driver: Invalid value: "A_b": <subdomain>'],
    ['spec.taint.effect=undefined', 'spec.taint.effect: Required value'],
  ],
  'resource.k8s.io/resourceclaims': [
    ['spec.devices.requests[0].name="A"', 'spec.devices.requests[0].name: Invalid value: "A": <label>'],
    ['spec.devices.requests[0].exactly.deviceClassName=""', 'spec.devices.requests[0].exactly.deviceClassName: Required value'],
    [
      'spec.devices.requests[0].exactly=undefined',
      'spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required',
    ],
    [
      'spec.devices.requests[0].exactly.allocationMode="X"',
      'spec.devices.requests[0].exactly.allocationMode: Unsupported value: "X": supported values: "All", "ExactCount"',
    ],
    ['spec.devices.requests[0].exactly.count=-1', 'spec.devices.requests[0].exactly.count: Invalid value: -1: must be greater than zero'],
    [
      'spec.devices.constraints=[{"requests":["no"],"matchAttribute":"a.b/c"}]',
      `spec.devices.constraints[0].requests[0]: Invalid value: "no": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'`,
    ],
    [
      'spec.devices.requests=[{"name":"r","exactly":{"deviceClassName":"a"}},{"name":"r","exactly":{"deviceClassName":"a"}}]',
      'spec.devices.requests[1].name: Duplicate value: "r"',
    ],
    ['spec.devices.requests[0].exactly.selectors=[{}]', 'spec.devices.requests[0].exactly.selectors[0].cel: Required value'],
    ['spec.devices.config=[{}]', 'spec.devices.config[0].opaque: Required value'],
    [
      'spec.devices.requests[0].exactly.allocationMode="All";spec.devices.requests[0].exactly.count=2',
      `spec.devices.requests[0].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'`,
    ],
  ],
  'resource.k8s.io/resourceclaimtemplates': [
    ['spec.spec.devices.requests[0].name="A"', 'spec.spec.devices.requests[0].name: Invalid value: "A": <label>'],
    ['spec.spec.devices.requests[0].exactly.deviceClassName=""', 'spec.spec.devices.requests[0].exactly.deviceClassName: Required value'],
    ['spec.metadata={"labels":{"a b":"c"}}', 'spec.metadata.labels: Invalid value: "a b": <qualified>'],
    [
      'spec.spec.devices.requests[0].exactly=undefined',
      'spec.spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required',
    ],
    [
      'spec.spec.devices.requests[0].exactly.allocationMode="X"',
      'spec.spec.devices.requests[0].exactly.allocationMode: Unsupported value: "X": supported values: "All", "ExactCount"',
    ],
  ],
  'resource.k8s.io/resourceslices': [
    ['spec.driver="A_b"', 'spec.driver: Invalid value: "A_b": <subdomain>'],
    ['spec.pool.name=""', 'spec.pool.name: Required value'],
    ['spec.pool.resourceSliceCount=0', 'spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero'],
    [
      'spec.nodeName=undefined',
      'spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required',
    ],
    [
      'spec.allNodes=true',
      'spec: Invalid value: null: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set',
    ],
    ['spec.devices=[{"name":"A"}]', 'spec.devices[0].name: Invalid value: "A": <label>'],
    ['spec.devices=[{"name":"a"},{"name":"a"}]', 'spec.devices[1].name: Duplicate value: "a"'],
    ['spec.pool.generation=-1', 'spec.pool.generation: Invalid value: -1: must be greater than or equal to zero'],
    [
      'spec.devices=[{"name":"a","attributes":{"a b":{"string":"x"}}}]',
      `spec.devices[0].attributes[a b]: Invalid value: "a b": a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')`,
    ],
    [
      'spec.devices=[{"name":"a","attributes":{"a":{}}}]',
      'spec.devices[0].attributes[a]: Required value: exactly one value must be specified',
    ],
  ],
  'scheduling.k8s.io/priorityclasses': [
    ['value=1000000001', '403 maximum allowed value of a user defined priority is 1000000000'],
    [
      'metadata.name="system-x"',
      `metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class`,
    ],
    ['preemptionPolicy="X"', 'preemptionPolicy: Unsupported value: "X": supported values: "Never", "PreemptLowerPriority"'],
    [
      'value="x"',
      '400 PriorityClass in version "v1" cannot be handled as a PriorityClass: json: cannot unmarshal string into Go struct field PriorityClass.value of type int32',
    ],
    ['metadata.name="A"', 'metadata.name: Invalid value: "A": <subdomain>'],
    [
      'metadata.name="system-node-critical"',
      `metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: value of system-node-critical PriorityClass must be 2000001000`,
    ],
  ],
  'storage.k8s.io/csidrivers': [
    ['metadata.name="A b"', '[metadata.name: Invalid value: "A b": <subdomain>, name: Invalid value: "A b": <subdomain>]'],
    ['spec.fsGroupPolicy="X"', 'spec.fsGroupPolicy: Unsupported value: "X": supported values: "File", "None", "ReadWriteOnceWithFSType"'],
    [
      'spec.volumeLifecycleModes=["X"]',
      'spec.volumeLifecycleModes[0]: Unsupported value: "X": supported values: "Ephemeral", "Persistent"',
    ],
    ['spec.tokenRequests=[{"audience":"a"},{"audience":"a"}]', 'spec.tokenRequests[1].audience: Duplicate value: "a"'],
    [
      'spec.tokenRequests=[{"audience":"a","expirationSeconds":5}]',
      'spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes',
    ],
    [
      'spec.nodeAllocatableUpdatePeriodSeconds=5',
      'spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 5: must be greater than or equal to 10 seconds',
    ],
  ],
  'storage.k8s.io/csinodes': [
    ['spec.drivers=[{"name":"","nodeID":""}]', '[spec.drivers[0].name: Required value, spec.drivers[0].nodeID: Required value]'],
    ['spec.drivers=[{"name":"a","nodeID":"b"},{"name":"a","nodeID":"b"}]', 'spec.drivers[1].name: Duplicate value: "a"'],
    [
      'spec.drivers=[{"name":"a","nodeID":"b","topologyKeys":[""]}]',
      '[spec.drivers[0].topologyKeys: Invalid value: "": name part must be non-empty, spec.drivers[0].topologyKeys: Invalid value: "": <qualified>]',
    ],
    ['spec.drivers=[{"name":"A_b","nodeID":"b"}]', 'spec.drivers[0].name: Invalid value: "A_b": <subdomain>'],
    [
      'spec.drivers=[{"name":"a","nodeID":"b","allocatable":{"count":-1}}]',
      'spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0',
    ],
    ['spec.drivers=[{"name":"a","nodeID":"b","topologyKeys":["a","a"]}]', 'spec.drivers[0].topologyKeys: Duplicate value: "a"'],
  ],
  'storage.k8s.io/csistoragecapacities': [
    ['storageClassName=""', 'storageClassName: Required value'],
    ['storageClassName="A_b"', 'storageClassName: Invalid value: "A_b": <subdomain>'],
    ['capacity="-1"', 'capacity: Invalid value: "-1": must be greater than or equal to 0'],
    ['nodeTopology={"matchLabels":{"a b":"c"}}', 'nodeTopology.matchLabels: Invalid value: "a b": <qualified>'],
    ['maximumVolumeSize="-1"', 'maximumVolumeSize: Invalid value: "-1": must be greater than or equal to 0'],
  ],
  'storage.k8s.io/storageclasses': [
    ['provisioner=""', 'provisioner: Required value'],
    ['provisioner="a b"', 'provisioner: Invalid value: "a b": <qualified>'],
    ['reclaimPolicy="X"', 'reclaimPolicy: Unsupported value: "X": supported values: "Delete", "Retain"'],
    ['volumeBindingMode="X"', 'volumeBindingMode: Unsupported value: "X": supported values: "Immediate", "WaitForFirstConsumer"'],
    ['parameters={"":"x"}', 'parameters: Invalid value: "": field can not be empty.'],
    [
      'allowedTopologies=[{"matchLabelExpressions":[{"key":"","values":[]}]}]',
      '[allowedTopologies[0].matchLabelExpressions[0].values: Required value, allowedTopologies[0].matchLabelExpressions[0].key: Invalid value: "": name part must be non-empty, allowedTopologies[0].matchLabelExpressions[0].key: Invalid value: "": <qualified>]',
    ],
    [
      'allowedTopologies=[{"matchLabelExpressions":[{"key":"a","values":["b"]},{"key":"a","values":["c"]}]}]',
      'allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "a"',
    ],
    ['metadata.name="A"', 'metadata.name: Invalid value: "A": <subdomain>'],
  ],
  'storage.k8s.io/volumeattachments': [
    ['spec.attacher=""', 'spec.attacher: Required value'],
    ['spec.nodeName="A_b"', 'spec.nodeName: Invalid value: "A_b": <subdomain>'],
    ['spec.source={}', 'spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName'],
    ['spec.attacher="a b"', 'spec.attacher: Invalid value: "a b": <subdomain>'],
    [
      'spec.source={"persistentVolumeName":"a","inlineVolumeSpec":{}}',
      'spec.source: Forbidden: must specify exactly one of inlineVolumeSpec and persistentVolumeName',
    ],
    ['spec.nodeName=""', 'spec.nodeName: Required value'],
  ],
  'storage.k8s.io/volumeattributesclasses': [
    ['driverName=""', 'driverName: Required value'],
    ['parameters={}', 'parameters: Required value: must contain at least one key/value pair'],
    ['driverName="a b"', 'driverName: Invalid value: "a b": <qualified>'],
    ['parameters=undefined', 'parameters: Required value: must contain at least one key/value pair'],
    ['parameters={"":"a"}', 'parameters: Invalid value: "": field can not be empty.'],
  ],
  'storagemigration.k8s.io/storageversionmigrations': [
    ['spec.resource.resource=""', 'spec.resource.resource: Required value: resource is required'],
    ['spec.resource={}', 'spec.resource.resource: Required value: resource is required'],
    ['spec.resource.resource="A b"', 'spec.resource.resource: Invalid value: "A b": <label>'],
    ['spec.resource.group="A"', 'spec.resource.group: Invalid value: "A": <subdomain>'],
    ['metadata.name="A"', 'metadata.name: Invalid value: "A": <subdomain>'],
  ],
}
