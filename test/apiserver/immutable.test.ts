// What an object keeps for good: changes of every kind that are refused, word by word, beside some that are allowed.
import { generateKeyPairSync, sign } from 'node:crypto'
import t from 'tap'
import { resourceTypes } from '../../src/api/index.js'
import { systemClock, systemRandom } from '../../src/lib/index.js'
import { createCa, createCsr } from '../../src/pki/index.js'
import { defaultAccount, startServer, until } from './harness.js'
import { POD_UID, samples } from './samples.js'

/** A merge patch of the sample, and the refusal without the object's name ('' is none; `…` stands for anything). */
const CHANGES: Readonly<Record<string, readonly (readonly [patch: string, refusal: string])[]>> = {
  'apps/deployments': [
    [
      '{"spec":{"selector":{"matchLabels":{"app":"y"}},"template":{"metadata":{"labels":{"app":"y"}}}}}',
      'spec.selector: Invalid value: {"matchLabels":{"app":"y"}}: field is immutable',
    ],
  ],
  'apps/replicasets': [
    [
      '{"spec":{"selector":{"matchLabels":{"app":"y"}},"template":{"metadata":{"labels":{"app":"y"}}}}}',
      'spec.selector: Invalid value: {"matchLabels":{"app":"y"}}: field is immutable',
    ],
  ],
  'apps/daemonsets': [
    [
      '{"spec":{"selector":{"matchLabels":{"app":"y"}},"template":{"metadata":{"labels":{"app":"y"}}}}}',
      'spec.selector: Invalid value: {"matchLabels":{"app":"y"}}: field is immutable',
    ],
  ],
  'apps/statefulsets': [
    [
      '{"spec":{"serviceName":"other"}}',
      `spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden`,
    ],
    [
      '{"spec":{"podManagementPolicy":"Parallel"}}',
      `spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden`,
    ],
    ['{"spec":{"revisionHistoryLimit":3}}', ''],
  ],
  'apps/controllerrevisions': [
    ['{"data":{"a":2}}', 'data: Invalid value: {"a":2}: field is immutable'],
    ['{"revision":2}', ''],
  ],
  'batch/jobs': [
    ['{"spec":{"completions":3}}', 'spec.completions: Invalid value: 3: field is immutable'],
    ['{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"j"}]}}}}', 'spec.template: Invalid value: …: field is immutable'],
    ['{"spec":{"completionMode":"Indexed"}}', 'spec.completionMode: Invalid value: "Indexed": field is immutable'],
    ['{"spec":{"parallelism":4}}', ''],
    ['{"spec":{"suspend":true}}', ''],
    ['{"spec":{"selector":{"matchLabels":{"a":"b"}}}}', '[spec.template.metadata.labels: Invalid value: …: field is immutable]'],
    ['{"spec":{"backoffLimit":3}}', ''],
  ],
  '/pods': [
    [
      '{"spec":{"containers":[{"name":"c","image":"j"}]}}',
      'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    ],
    [
      '{"spec":{"nodeName":"n"}}',
      'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    ],
    [
      '{"spec":{"restartPolicy":"Never"}}',
      'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    ],
    ['{"spec":{"activeDeadlineSeconds":5}}', ''],
    [
      '{"spec":{"tolerations":[{"key":"a","operator":"Exists"}]}}',
      'spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds',
    ],
    [
      '{"spec":{"containers":[{"name":"c","image":"i","env":[{"name":"A","value":"b"}]}]}}',
      'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    ],
    [
      '{"spec":{"containers":[{"name":"d","image":"i"}]}}',
      'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    ],
    [
      '{"spec":{"terminationGracePeriodSeconds":5}}',
      'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    ],
    ['{"metadata":{"labels":{"a":"b"}}}', ''],
    [
      '{"spec":{"containers":[{"name":"c","image":""}]}}',
      '[spec.containers[0].image: Required value, spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)]',
    ],
    [
      '{"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"1"}}}]}}',
      'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    ],
    [
      '{"spec":{"priority":7}}',
      'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    ],
    [
      '{"spec":{"serviceAccountName":"other"}}',
      'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    ],
  ],
  '/persistentvolumeclaims': [
    [
      '{"spec":{"accessModes":["ReadWriteMany"]}}',
      'spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
    ],
    [
      '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}',
      'spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
    ],
    [
      '{"spec":{"resources":{"requests":{"storage":"512Mi"}}}}',
      'spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
    ],
    [
      '{"spec":{"storageClassName":"other"}}',
      'spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
    ],
    ['{"spec":{"volumeName":"v"}}', ''],
    [
      '{"spec":{"volumeMode":"Block"}}',
      'spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
    ],
  ],
  '/persistentvolumes': [
    [
      '{"spec":{"hostPath":{"path":"/other"}}}',
      'spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation',
    ],
    ['{"spec":{"volumeMode":"Block"}}', 'volumeMode: Invalid value: "Block": field is immutable'],
    ['{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}', ''],
    ['{"spec":{"capacity":{"storage":"2Gi"}}}', ''],
    ['{"spec":{"accessModes":["ReadOnlyMany"]}}', ''],
  ],
  '/services': [
    ['{"spec":{"clusterIP":"10.96.9.9"}}', 'spec.clusterIPs[0]: Invalid value: ["10.96.9.9"]: may not change once set'],
    ['{"spec":{"type":"ExternalName","externalName":"a.b"}}', ''],
    ['{"spec":{"clusterIP":"None"}}', 'spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set'],
    ['{"spec":{"ipFamilies":["IPv6"]}}', 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'],
  ],
  '/nodes': [
    [
      '{"spec":{"podCIDR":"10.9.0.0/24","podCIDRs":["10.9.0.0/24"]}}',
      'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
    ],
    ['{"spec":{"providerID":"x://y"}}', 'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid'],
  ],
  '/secrets': [
    ['{"type":"other"}', 'type: Invalid value: "other": field is immutable'],
    ['{"immutable":true}', ''],
    ['{"immutable":false}', 'immutable: Forbidden: field is immutable when `immutable` is set'],
    ['{"data":{"a":"eA=="}}', 'data: Forbidden: field is immutable when `immutable` is set'],
  ],
  '/configmaps': [
    ['{"immutable":true}', ''],
    ['{"immutable":null}', 'immutable: Forbidden: field is immutable when `immutable` is set'],
    ['{"data":{"a":"c"}}', 'data: Forbidden: field is immutable when `immutable` is set'],
    ['{"binaryData":{"z":"eA=="}}', 'binaryData: Forbidden: field is immutable when `immutable` is set'],
  ],
  'rbac.authorization.k8s.io/rolebindings': [
    [
      '{"roleRef":{"name":"edit"}}',
      'roleRef: Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"edit"}: cannot change roleRef',
    ],
    ['{"subjects":[]}', ''],
  ],
  'rbac.authorization.k8s.io/clusterrolebindings': [
    [
      '{"roleRef":{"name":"edit"}}',
      'roleRef: Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"edit"}: cannot change roleRef',
    ],
    ['{"subjects":[]}', ''],
  ],
  'storage.k8s.io/storageclasses': [
    ['{"provisioner":"example.com/q"}', 'provisioner: Forbidden: updates to provisioner are forbidden.'],
    ['{"parameters":{"a":"b"}}', 'parameters: Forbidden: updates to parameters are forbidden.'],
    ['{"reclaimPolicy":"Retain"}', 'reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden.'],
    ['{"volumeBindingMode":"WaitForFirstConsumer"}', 'volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable'],
    ['{"allowVolumeExpansion":true}', ''],
    ['{"mountOptions":["ro"]}', ''],
  ],
  'storage.k8s.io/volumeattachments': [
    [
      '{"spec":{"nodeName":"m"}}',
      'spec: Invalid value: {"attacher":"a","nodeName":"m","source":{"persistentVolumeName":"v"}}: field is immutable',
    ],
    [
      '{"spec":{"attacher":"b"}}',
      'spec: Invalid value: {"attacher":"b","nodeName":"n","source":{"persistentVolumeName":"v"}}: field is immutable',
    ],
  ],
  'storage.k8s.io/csidrivers': [
    ['{"spec":{"attachRequired":true}}', 'spec.attachedRequired: Invalid value: true: field is immutable'],
    ['{"spec":{"fsGroupPolicy":"None"}}', ''],
    ['{"spec":{"podInfoOnMount":true}}', ''],
    ['{"spec":{"volumeLifecycleModes":["Ephemeral"]}}', 'spec.volumeLifecycleModes: Invalid value: ["Ephemeral"]: field is immutable'],
  ],
  'storage.k8s.io/csistoragecapacities': [
    ['{"storageClassName":"t"}', 'storageClassName: Invalid value: "t": field is immutable'],
    ['{"nodeTopology":{"matchLabels":{"a":"b"}}}', 'nodeTopology: Invalid value: {"matchLabels":{"a":"b"}}: field is immutable'],
    ['{"capacity":"1Gi"}', ''],
  ],
  'storage.k8s.io/volumeattributesclasses': [
    ['{"driverName":"e.example.com"}', 'driverName: Forbidden: updates to driverName are forbidden.'],
    ['{"parameters":{"a":"c"}}', 'parameters: Forbidden: updates to parameters are forbidden.'],
  ],
  'scheduling.k8s.io/priorityclasses': [
    ['{"value":8}', 'value: Forbidden: may not be changed in an update.'],
    ['{"preemptionPolicy":"Never"}', 'preemptionPolicy: Invalid value: "Never": field is immutable'],
    ['{"globalDefault":true}', ''],
    ['{"description":"d"}', ''],
  ],
  'node.k8s.io/runtimeclasses': [['{"handler":"g"}', 'handler: Invalid value: "g": field is immutable']],
  'networking.k8s.io/ingressclasses': [
    ['{"spec":{"controller":"example.com/d"}}', 'spec.controller: Invalid value: "example.com/d": field is immutable'],
  ],
  'networking.k8s.io/ipaddresses': [
    [
      '{"spec":{"parentRef":{"name":"t"}}}',
      'spec.parentRef: Invalid value: {"resource":"services","namespace":"default","name":"t"}: field is immutable',
    ],
  ],
  'networking.k8s.io/servicecidrs': [
    ['{"spec":{"cidrs":["10.121.0.0/16"]}}', 'spec.cidrs: Invalid value: ["10.121.0.0/16"]: field is immutable'],
    ['{"spec":{"cidrs":["10.120.0.0/16","fd01::/112"]}}', ''],
  ],
  'discovery.k8s.io/endpointslices': [
    ['{"addressType":"IPv6","endpoints":[{"addresses":["fd00::1"]}]}', 'addressType: Invalid value: "IPv6": field is immutable'],
  ],
  'certificates.k8s.io/certificatesigningrequests': [['{"spec":{"signerName":"example.com/other"}}', '']],
  'certificates.k8s.io/clustertrustbundles': [
    [
      '{"spec":{"signerName":"example.com/s"}}',
      '[metadata.name: Invalid value: "x": ClusterTrustBundle for signerName example.com/s must be named with prefix example.com:s:, spec.signerName: Invalid value: "example.com/s": field is immutable]',
    ],
  ],
  'certificates.k8s.io/podcertificaterequests': [['{"spec":{"podName":"q"}}', 'spec: Invalid value: …: field is immutable']],
  'resource.k8s.io/resourceclaims': [
    [
      '{"spec":{"devices":{"requests":[{"name":"s","exactly":{"deviceClassName":"d.example.com"}}]}}}',
      'spec: Invalid value: {"devices":{"requests":[{"name":"s","exactly":{"deviceClassName":"d.example.com","allocationMode":"ExactCount","count":1}}]}}: field is immutable',
    ],
  ],
  'resource.k8s.io/resourceclaimtemplates': [
    [
      '{"spec":{"spec":{"devices":{"requests":[{"name":"s","exactly":{"deviceClassName":"d.example.com"}}]}}}}',
      'spec: Invalid value: {"spec":{"devices":{"requests":[{"name":"s","exactly":{"deviceClassName":"d.example.com","allocationMode":"ExactCount","count":1}}]}}}: field is immutable',
    ],
  ],
  'resource.k8s.io/resourceslices': [
    ['{"spec":{"driver":"e.example.com"}}', 'spec.driver: Invalid value: "e.example.com": field is immutable'],
    ['{"spec":{"pool":{"name":"q"}}}', 'spec.pool.name: Invalid value: "q": field is immutable'],
    ['{"spec":{"nodeName":"m"}}', 'spec.nodeName: Invalid value: "m": field is immutable'],
    [
      '{"spec":{"nodeName":null,"allNodes":true}}',
      '[spec.nodeName: Invalid value: null: field is immutable, spec.allNodes: Invalid value: true: field is immutable]',
    ],
  ],
  'autoscaling/horizontalpodautoscalers': [['{"spec":{"scaleTargetRef":{"name":"e"}}}', '']],
  'coordination.k8s.io/leases': [['{"spec":{"holderIdentity":"i"}}', '']],
  'storagemigration.k8s.io/storageversionmigrations': [
    [
      '{"spec":{"resource":{"resource":"pods"}}}',
      'spec: Invalid value: {"resource":{"group":"apps","resource":"pods"}}: field is immutable',
    ],
  ],
  'apiextensions.k8s.io/customresourcedefinitions': [
    ['{"spec":{"scope":"Namespaced"}}', 'spec.scope: Invalid value: "Namespaced": field is immutable'],
    [
      '{"spec":{"group":"other.example.com"}}',
      '[metadata.name: Invalid value: "things.every.example.com": must be spec.names.plural+"."+spec.group, spec.group: Invalid value: "other.example.com": field is immutable]',
    ],
  ],
  'apiregistration.k8s.io/apiservices': [
    [
      '{"spec":{"version":"v2"}}',
      'metadata.name: Invalid value: "v1.every-other.example.com": must be `spec.version+"."+spec.group`: "v2.every-other.example.com"',
    ],
  ],
  'flowcontrol.apiserver.k8s.io/flowschemas': [
    [
      '{"spec":{"matchingPrecedence":1}}',
      `spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1`,
    ],
  ],
  'policy/poddisruptionbudgets': [
    ['{"spec":{"minAvailable":2}}', ''],
    ['{"spec":{"selector":{"matchLabels":{"app":"y"}}}}', ''],
  ],
  'networking.k8s.io/networkpolicies': [['{"spec":{"podSelector":{"matchLabels":{"a":"b"}}}}', '']],
  '/namespaces': [['{"spec":{"finalizers":[]}}', '']],
  '/serviceaccounts': [
    ['{"metadata":{"uid":"x"}}', 'metadata.uid: Invalid value: "x": field is immutable'],
    ['{"metadata":{"name":"y"}}', '400 the name of the object (y) does not match the name on the URL (x)'],
    ['{"metadata":{"namespace":"z"}}', '400 the namespace of the object (z) does not match the namespace on the URL (default)'],
    [
      '{"metadata":{"creationTimestamp":"2020-01-01T00:00:00Z"}}',
      'metadata.creationTimestamp: Invalid value: "2020-01-01T00:00:00Z": field is immutable',
    ],
    ['{"metadata":{"generation":9}}', ''],
    [
      '{"metadata":{"deletionTimestamp":"2020-01-01T00:00:00Z"}}',
      'metadata.deletionTimestamp: Invalid value: "2020-01-01T00:00:00Z": field is immutable',
    ],
    [
      '{"metadata":{"resourceVersion":"1"}}',
      '409 Operation cannot be fulfilled on serviceaccounts "x": the object has been modified; please apply your changes to the latest version and try again',
    ],
    ['{"metadata":{"selfLink":"x"}}', ''],
    ['{"kind":"Pod"}', '400 Pod in version "v1" cannot be handled as a ServiceAccount'],
    ['{"apiVersion":"v2"}', '400 the API version in the data (v2) does not match the expected API version (v1)'],
  ],
}

/** What the sample has besides, to have something that must not change. */
const MORE: Readonly<Record<string, object>> = {
  '/configmaps': { immutable: true },
  '/secrets': { immutable: true },
  '/nodes': { spec: { podCIDR: '10.8.0.0/24', providerID: 'a://b' } },
}

void t.test('what stays as it was made', { timeout: 120_000 }, async (t) => {
  const { ask } = await startServer(t)
  await ask(...defaultAccount())
  await ask('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'other' } })
  const ca = await createCa('kept', { clock: systemClock, random: systemRandom })
  const pair = generateKeyPairSync('ed25519')
  const table = samples({
    pem: ca.cert,
    csr: Buffer.from(createCsr({ commonName: 'x' }, pair)).toString('base64'),
    publicKey: pair.publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    proof: sign(null, Buffer.from(POD_UID), pair.privateKey).toString('base64'),
  })
  for (const [kind, changes] of Object.entries(CHANGES)) {
    await t.test(kind, async (t) => {
      const type = resourceTypes.find(({ group, plural }) => `${group}/${plural}` === kind)
      const sample = table[kind]
      if (!type || !sample) throw new Error('no such kind')
      const root = type.group ? `/apis/${type.apiVersion}` : '/api/v1'
      const collection = type.namespaced ? `${root}/namespaces/default/${type.plural}` : `${root}/${type.plural}`
      const name = sample.name ?? 'x'
      for (const [patch, refusal] of changes) {
        const body = { apiVersion: type.apiVersion, kind: type.kind, metadata: { name }, ...sample.body, ...MORE[kind] }
        await until(async () => (await ask('POST', collection, body)).status === 201)
        if (type.plural === 'customresourcedefinitions')
          await until(async () =>
            JSON.stringify((await ask('GET', `${collection}/${name}`)).body.status).includes('"Established","status":"True"'),
          )
        const answer = await ask('PATCH', `${collection}/${name}`, patch)
        const [, code = refusal === '' ? '200' : '422', text = ''] = /^(?:(\d{3}) )?(.*)$/s.exec(refusal) ?? []
        t.equal(answer.status, Number(code), `${patch}: ${answer.body.message}`)
        if (refusal !== '') {
          const said = String(answer.body.message).replace(/^\S+ "[^"]*" is invalid: /, '')
          const pattern = text.split('…').map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
          t.match(said, new RegExp(`^${pattern.join('.*')}$`, 's'), patch)
        }
        await ask('PATCH', `${collection}/${name}`, { metadata: { finalizers: null } })
        await ask('DELETE', `${collection}/${name}?gracePeriodSeconds=0`)
        if (type.plural === 'namespaces')
          await ask('PUT', `${collection}/${name}/finalize`, { metadata: { name }, spec: { finalizers: [] } })
      }
    })
  }
})

void t.test('while it goes, nothing new may hold it', async (t) => {
  const { ask } = await startServer(t)
  const maps = '/api/v1/namespaces/default/configmaps'
  await ask('POST', maps, { metadata: { name: 'a', finalizers: ['example.com/a', 'example.com/b'] } })
  await ask('DELETE', `${maps}/a`)
  t.match(await ask('PATCH', `${maps}/a`, { metadata: { finalizers: ['example.com/a', 'example.com/b', 'example.com/c'] } }), {
    status: 422,
    body: {
      message:
        'ConfigMap "a" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"example.com/c"}',
    },
  })
  t.equal((await ask('PATCH', `${maps}/a`, { metadata: { finalizers: ['example.com/a'] } })).status, 200)
  t.equal((await ask('PATCH', `${maps}/a`, { metadata: { deletionGracePeriodSeconds: 7 } })).status, 422)
  t.equal((await ask('PATCH', `${maps}/a`, { metadata: { finalizers: [] } })).status, 200)
  t.equal((await ask('GET', `${maps}/a`)).status, 404)
})
