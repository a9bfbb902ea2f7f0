/* biome-ignore-all lint/suspicious/noExplicitAny: answers of the API are looked at field by field */
// What particular kinds do beyond being stored: Services, pods' admission, eviction, scale, certificates, Secrets at rest.
import t from 'tap'
import { createApiServer } from '../../src/controlplane/apiserver/index.js'
import { silentLog, systemClock, systemRandom } from '../../src/lib/index.js'
import { createCsr, generateKey } from '../../src/pki/index.js'
import { encryptingStore } from '../../src/store/index.js'
import { ADMIN, askVia, configMap, defaultAccount, pod, signingKey, startServer } from './harness.js'

const services = '/api/v1/namespaces/default/services'
const pods = '/api/v1/namespaces/default/pods'
const service = (name: string, spec: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name },
  spec: { ports: [{ port: 80 }], selector: { a: 'b' }, ...spec },
})

void t.test('addresses and ports of Services are handed out once', async (t) => {
  const { ask } = await startServer(t, { serviceCidr: '10.96.0.0/26', nodePorts: { first: 30000, last: 30019 } })
  const made = await Promise.all(Array.from({ length: 20 }, (_, i) => ask('POST', services, service(`s${i}`, { type: 'NodePort' }))))
  t.ok(made.every(({ status }) => status === 201))
  t.equal(new Set(made.map(({ body }) => body.spec.clusterIP)).size, 20)
  t.equal(new Set(made.map(({ body }) => body.spec.ports[0].nodePort)).size, 20)
  t.match(made[0]?.body.spec, {
    clusterIPs: [/^10\.96\.0\.\d+$/],
    ipFamilies: ['IPv4'],
    ipFamilyPolicy: 'SingleStack',
    sessionAffinity: 'None',
    internalTrafficPolicy: 'Cluster',
    externalTrafficPolicy: 'Cluster',
  })
  t.match(await ask('POST', services, service('full', { type: 'NodePort' })), { status: 422, body: { message: /range is full/ } })

  const taken = made[0]?.body.spec.clusterIP
  t.match(await ask('POST', services, service('same', { clusterIP: taken })), {
    status: 422,
    body: { message: /provided IP is already allocated/ },
  })
  t.match(await ask('POST', services, service('outside', { clusterIP: '192.168.0.1' })), {
    status: 422,
    body: { message: /is not in the valid range/ },
  })
  const address = await ask('GET', `/apis/networking.k8s.io/v1/ipaddresses/${taken}`)
  t.match(address.body, { spec: { parentRef: { resource: 'services', namespace: 'default', name: 's0' } } })
  await ask('DELETE', `${services}/s0`)
  t.equal((await ask('GET', `/apis/networking.k8s.io/v1/ipaddresses/${taken}`)).status, 404)
  const again = await ask('POST', services, service('again', { clusterIP: taken, type: 'NodePort' }))
  t.equal(again.body.spec.clusterIP, taken)
  t.equal(again.body.spec.ports[0].nodePort, made[0]?.body.spec.ports[0].nodePort, 'the only port that is left')
})

void t.test('Services of two families', async (t) => {
  const { ask } = await startServer(t, { serviceCidr: '10.96.0.0/16,fd96::/112' })
  const make = (name: string, spec: object) => ask('POST', services, service(name, spec))
  t.match((await make('one', {})).body.spec, { ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack', clusterIPs: [/^10\.96\./] })
  t.match((await make('six', { ipFamilies: ['IPv6'] })).body.spec, { ipFamilyPolicy: 'SingleStack', clusterIP: /^fd96::/ })
  const both = { ipFamilies: ['IPv4', 'IPv6'], clusterIPs: [/^10\.96\./, /^fd96::/] }
  const { body: prefer } = await make('prefer', { ipFamilyPolicy: 'PreferDualStack' })
  t.match(prefer.spec, both)
  t.match((await make('turned', { ipFamilies: ['IPv6', 'IPv4'], ipFamilyPolicy: 'RequireDualStack' })).body.spec, {
    clusterIPs: [/^fd96::/, /^10\.96\./],
    clusterIP: /^fd96::/,
  })
  t.match((await make('said', { ipFamilyPolicy: 'PreferDualStack', clusterIPs: ['10.96.0.99', 'fd96::99'] })).body.spec.clusterIPs, [
    '10.96.0.99',
    'fd96::99',
  ])
  t.match(await make('taken', { ipFamilyPolicy: 'PreferDualStack', clusterIPs: ['10.96.0.98', 'fd96::99'] }), {
    status: 422,
    body: { message: /fd96::99: provided IP is already allocated/ },
  })
  t.equal((await ask('GET', '/apis/networking.k8s.io/v1/ipaddresses/10.96.0.98')).status, 404, 'nothing is kept of what was refused')
  t.match((await make('hand-made', { selector: null, clusterIP: 'None' })).body.spec, {
    ipFamilies: ['IPv4', 'IPv6'],
    ipFamilyPolicy: 'RequireDualStack',
  })

  const [, second] = prefer.spec.clusterIPs
  const single = await ask('PATCH', `${services}/prefer`, { spec: { ipFamilyPolicy: 'SingleStack' } })
  t.match(single, { status: 200, body: { spec: { ipFamilies: ['IPv4'], clusterIPs: [prefer.spec.clusterIP] } } })
  t.equal(single.body.spec.clusterIPs.length, 1)
  t.equal((await ask('GET', `/apis/networking.k8s.io/v1/ipaddresses/${second}`)).status, 404)
  const again = await ask('PATCH', `${services}/prefer`, { spec: { ipFamilyPolicy: 'RequireDualStack' } })
  t.match(again.body.spec, { ...both, clusterIP: prefer.spec.clusterIP })

  const { ask: small } = await startServer(t)
  t.match(await small('POST', services, service('r', { ipFamilyPolicy: 'RequireDualStack' })), {
    status: 422,
    body: { message: /this cluster is not configured for dual-stack services/ },
  })
  t.match(await small('POST', services, service('v', { ipFamilies: ['IPv6'] })), {
    status: 422,
    body: { message: /spec\.ipFamilies\[0\]: Invalid value: "IPv6": not configured on this cluster/ },
  })
  t.match((await small('POST', services, service('p', { ipFamilyPolicy: 'PreferDualStack' }))).body.spec, {
    ipFamilies: ['IPv4'],
    ipFamilyPolicy: 'PreferDualStack',
  })
})

void t.test('the address of a Service stays', async (t) => {
  const { ask } = await startServer(t)
  const services = '/api/v1/namespaces/default/services'
  const made = await ask('POST', services, { metadata: { name: 's' }, spec: { ports: [{ port: 80 }] } })
  const { clusterIP } = made.body.spec
  for (const spec of [{ clusterIP: '10.96.200.1' }, { clusterIP: '10.96.200.1', clusterIPs: ['10.96.200.1'] }]) {
    const answer = await ask('PATCH', `${services}/s`, { spec })
    t.same(
      [answer.status, answer.body.message],
      [422, 'Service "s" is invalid: spec.clusterIPs[0]: Invalid value: ["10.96.200.1"]: may not change once set'],
    )
  }
  t.equal((await ask('PATCH', `${services}/s`, { spec: { clusterIP: null, clusterIPs: null } })).body.spec.clusterIP, clusterIP)
  t.equal(
    (await ask('POST', services, { metadata: { name: 'other' }, spec: { clusterIP: '10.96.200.1', ports: [{ port: 80 }] } })).status,
    201,
  )
})

void t.test('Services change their type', async (t) => {
  const { ask } = await startServer(t)
  const { body: made } = await ask('POST', services, service('s'))
  const port = await ask('PUT', `${services}/s`, { ...made, spec: { ...made.spec, type: 'NodePort' } })
  t.ok(port.body.spec.ports[0].nodePort >= 30000)
  t.equal(port.body.spec.clusterIP, made.spec.clusterIP)
  const merged = await ask('PATCH', `${services}/s`, { metadata: { labels: { x: 'y' } } })
  t.same(merged.body.spec, port.body.spec)
  const external = await ask('PATCH', `${services}/s`, {
    spec: { type: 'ExternalName', externalName: 'example.com', clusterIP: null, clusterIPs: null, ports: null, selector: null },
  })
  t.equal(external.status, 200, JSON.stringify(external.body))
  t.equal(external.body.spec.clusterIP, undefined)
  t.equal((await ask('GET', `/apis/networking.k8s.io/v1/ipaddresses/${made.spec.clusterIP}`)).status, 404)
  const back = await ask('PATCH', `${services}/s`, { spec: { type: 'ClusterIP', externalName: null, ports: [{ port: 80 }] } })
  t.match(back.body.spec.clusterIP, /^10\.96\./)
  const headless = await ask('POST', services, service('h', { clusterIP: 'None' }))
  t.match(headless.body.spec, { clusterIP: 'None', clusterIPs: ['None'] })
})

void t.test('pods are completed on their way in', async (t) => {
  const { ask } = await startServer(t)
  t.match(await ask('POST', pods, pod('early')), {
    status: 403,
    body: { message: /error looking up service account default\/default: serviceaccount "default" not found/ },
  })
  await ask(...defaultAccount())
  const { body } = await ask('POST', pods, pod('p'))
  t.match(body.spec, {
    serviceAccountName: 'default',
    priority: 0,
    preemptionPolicy: 'PreemptLowerPriority',
    enableServiceLinks: true,
    terminationGracePeriodSeconds: 30,
    schedulerName: 'default-scheduler',
    containers: [
      {
        volumeMounts: [{ name: /^kube-api-access-/, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true }],
        imagePullPolicy: 'Always',
      },
    ],
  })
  t.ok(body.spec.tolerations.some((one: any) => one.key === 'node.kubernetes.io/unreachable' && one.tolerationSeconds === 300))
  t.match(body.status, { phase: 'Pending', qosClass: 'BestEffort' })
  const plain = await ask('POST', pods, pod('plain', { spec: { automountServiceAccountToken: false } }))
  t.equal(plain.body.spec.volumes, undefined)
  const critical = await ask('POST', '/api/v1/namespaces/kube-system/serviceaccounts', {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'default' },
  })
  t.equal(critical.status, 201)
  const high = await ask('POST', '/api/v1/namespaces/kube-system/pods', pod('c', { spec: { priorityClassName: 'system-node-critical' } }))
  t.equal(high.body.spec.priority, 2000001000)
  t.match(await ask('POST', pods, pod('x', { spec: { priorityClassName: 'nope' } })), {
    status: 403,
    body: { message: /no PriorityClass with name nope was found/ },
  })
  t.match(await ask('POST', pods, pod('x', { spec: { runtimeClassName: 'nope' } })), {
    status: 403,
    body: { message: /RuntimeClass "nope" not found/ },
  })
  await ask('POST', '/apis/node.k8s.io/v1/runtimeclasses', {
    apiVersion: 'node.k8s.io/v1',
    kind: 'RuntimeClass',
    metadata: { name: 'vm' },
    handler: 'vm',
    overhead: { podFixed: { memory: '64Mi' } },
    scheduling: { nodeSelector: { vm: 'yes' } },
  })
  t.match((await ask('POST', pods, pod('v', { spec: { runtimeClassName: 'vm' } }))).body.spec, {
    overhead: { memory: '64Mi' },
    nodeSelector: { vm: 'yes' },
  })
})

void t.test('Pod Security: three levels, enforced and warned about', async (t) => {
  const { ask } = await startServer(t)
  const label = (labels: object) => ask('PATCH', '/api/v1/namespaces/default', { metadata: { labels } })
  await ask(...defaultAccount())
  const privileged = pod('p', {
    spec: { hostNetwork: true, containers: [{ name: 'c', image: 'x', securityContext: { privileged: true } }] },
  })
  await label({ 'pod-security.kubernetes.io/enforce': 'baseline' })
  t.match(await ask('POST', pods, privileged), {
    status: 403,
    body: {
      message:
        /violates PodSecurity "baseline:latest": host namespaces \(hostNetwork=true\), .*privileged \(container "c" must not set securityContext.privileged=true\)/,
    },
  })
  t.equal((await ask('POST', pods, pod('ok'))).status, 201)
  t.equal((await ask('POST', pods, pod('ok-too'))).status, 201)
  const stricter = await label({ 'pod-security.kubernetes.io/enforce': 'restricted' })
  const troubles = 'allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile'
  t.equal(
    stricter.headers.warning,
    `299 - "existing pods in namespace \\"default\\" violate the new PodSecurity enforce level \\"restricted:latest\\"", 299 - "ok (and 1 other pod): ${troubles}"`,
  )
  t.equal((await label({ 'pod-security.kubernetes.io/enforce': 'restricted', x: 'y' })).headers.warning, undefined, 'said once')
  t.match(
    (await ask('POST', pods, pod('x'))).body.message,
    /allowPrivilegeEscalation != false .*unrestricted capabilities .*runAsNonRoot != true .*seccompProfile/,
  )
  const good = {
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [{ name: 'c', image: 'x', securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } } }],
  }
  t.equal((await ask('POST', pods, pod('good', { spec: good }))).status, 201)
  await label({ 'pod-security.kubernetes.io/enforce': 'privileged', 'pod-security.kubernetes.io/warn': 'baseline' })
  const warned = await ask('POST', pods, privileged)
  t.equal(warned.status, 201)
  t.match(warned.headers.warning, /^299 - "would violate PodSecurity \\"baseline:latest\\": host namespaces/)
  t.match(await label({ 'pod-security.kubernetes.io/enforce': 'strict', 'pod-security.kubernetes.io/warn-version': '1' }), {
    status: 422,
    body: {
      message:
        'Namespace "default" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1": must be "latest" or "v1.x"]',
    },
  })
})

void t.test('eviction asks the disruption budget', async (t) => {
  const { ask } = await startServer(t)
  await ask(...defaultAccount())
  const ready = { status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } }
  for (const name of ['a', 'b']) {
    await ask('POST', pods, pod(name, { metadata: { labels: { app: 'x' } }, spec: { nodeName: 'n' } }))
    await ask('PATCH', `${pods}/${name}/status`, ready)
  }
  const budgets = '/apis/policy/v1/namespaces/default/poddisruptionbudgets'
  await ask('POST', budgets, {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'pdb' },
    spec: { minAvailable: 1, selector: { matchLabels: { app: 'x' } } },
  })
  const evict = (name: string) => ask('POST', `${pods}/${name}/eviction`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name } })
  t.match(await evict('a'), {
    status: 429,
    body: { reason: 'TooManyRequests', details: { causes: [{ reason: 'DisruptionBudget', message: /still being processed/ }] } },
  })
  await ask('PATCH', `${budgets}/pdb/status`, {
    status: { observedGeneration: 1, disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1, expectedPods: 2 },
  })
  t.match(await evict('a'), { status: 201, body: { status: 'Success' } })
  t.match((await ask('GET', `${pods}/a`)).body, {
    metadata: { deletionTimestamp: /Z$/ },
    status: { conditions: [{ type: 'Ready' }, { type: 'DisruptionTarget', reason: 'EvictionByEvictionAPI' }] },
  })
  t.match((await ask('GET', `${budgets}/pdb`)).body.status, { disruptionsAllowed: 0, disruptedPods: { a: /Z$/ } })
  t.match(await evict('b'), {
    status: 429,
    body: {
      message: "Cannot evict pod as it would violate the pod's disruption budget.",
      details: { causes: [{ message: 'The disruption budget pdb needs 1 healthy pods and has 2 currently' }] },
    },
  })
  t.equal((await evict('nobody')).status, 404)
})

void t.test("a write to status leaves alone what is not the status's", async (t) => {
  const { ask } = await startServer(t)
  await ask(...defaultAccount())
  const labels = { app: 'x' }
  const deployment = { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: pod('x').spec } }
  const deployments = '/apis/apps/v1/namespaces/default/deployments'
  await ask('POST', deployments, { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd', labels }, spec: deployment })
  const change = { metadata: { labels: { app: 'y' }, annotations: { a: 'b' } }, status: { observedGeneration: 1 } }
  const patched = await ask('PATCH', `${deployments}/d/status`, change)
  t.match(patched.body, { metadata: { labels: { app: 'x' }, annotations: { a: 'b' } }, status: { observedGeneration: 1 } })
  const pods = '/api/v1/namespaces/default/pods'
  const owner = (name: string): object => ({ apiVersion: 'v1', kind: 'ConfigMap', name, uid: name })
  await ask('POST', pods, pod('p', { metadata: { ownerReferences: [owner('a')] } }))
  const { body } = await ask('GET', `${pods}/p`)
  const written = await ask('PUT', `${pods}/p/status`, { ...body, metadata: { ...body.metadata, ownerReferences: [owner('b')] } })
  t.match(written, { status: 200, body: { metadata: { ownerReferences: [{ name: 'a' }] } } })
})

void t.test('scale', async (t) => {
  const { ask } = await startServer(t)
  const deployments = '/apis/apps/v1/namespaces/default/deployments'
  await ask('POST', deployments, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'd' },
    spec: {
      replicas: 2,
      selector: { matchLabels: { a: 'b' } },
      template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'x' }] } },
    },
  })
  const scale = await ask('GET', `${deployments}/d/scale`)
  t.match(scale.body, { kind: 'Scale', apiVersion: 'autoscaling/v1', spec: { replicas: 2 }, status: { replicas: 0, selector: 'a=b' } })
  const set = await ask('PUT', `${deployments}/d/scale`, { ...scale.body, spec: { replicas: 5 } })
  t.equal(set.body.spec.replicas, 5)
  t.match((await ask('GET', `${deployments}/d`)).body, { spec: { replicas: 5 }, metadata: { generation: 2 } })
  t.equal((await ask('PUT', `${deployments}/d/scale`, { ...scale.body, spec: { replicas: 6 } })).status, 409)
  // As client-go writes it: k8s\0, then apiVersion and kind, then metadata.name and spec.replicas.
  const inProtobuf = Buffer.from('6b3873000a170a0e6175746f7363616c696e672f763112055363616c65' + '12090a030a01641202' + '0807', 'hex')
  const media = { headers: { 'content-type': 'application/vnd.kubernetes.protobuf' } }
  t.match(await ask('PUT', `${deployments}/d/scale`, inProtobuf, media), { status: 200, body: { kind: 'Scale', spec: { replicas: 7 } } })
  t.equal((await ask('PATCH', `${deployments}/d/scale`, { spec: { replicas: 0 } })).body.spec.replicas ?? 0, 0)
  t.equal((await ask('PATCH', `${deployments}/d/scale`, { spec: { replicas: -1 } })).status, 422)
})

void t.test('certificate requests say who asked, and need permission to be approved', async (t) => {
  const { ask } = await startServer(t)
  const csrs = '/apis/certificates.k8s.io/v1/certificatesigningrequests'
  const request = (organizations: string[] = []) =>
    generateKey().then((key) => Buffer.from(createCsr({ commonName: 'me', organizations }, key)).toString('base64'))
  const body = async (name: string, organizations?: string[]) => ({
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: { name },
    spec: {
      request: await request(organizations),
      signerName: 'kubernetes.io/kube-apiserver-client',
      usages: ['client auth'],
      username: 'somebody-else',
    },
  })
  const made = await ask('POST', csrs, await body('one'), { user: { name: 'carol', groups: ['system:masters', 'x'] } })
  t.match(made.body.spec, { username: 'carol', groups: ['system:masters', 'x', 'system:authenticated'] })
  t.match(await ask('POST', csrs, await body('root', ['system:masters'])), {
    status: 403,
    body: { message: /system:masters group is not allowed/ },
  })
  const condition = { type: 'Approved', status: 'True', reason: 'Test', message: '' }
  const approved = await ask('PUT', `${csrs}/one/approval`, { ...made.body, status: { conditions: [condition] } })
  t.match(approved.body.status.conditions, [{ type: 'Approved' }])
  const rbac = '/apis/rbac.authorization.k8s.io/v1'
  await ask('POST', `${rbac}/clusterroles`, {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'approver' },
    rules: [
      {
        verbs: ['update', 'get'],
        apiGroups: ['certificates.k8s.io'],
        resources: ['certificatesigningrequests/approval', 'certificatesigningrequests'],
      },
    ],
  })
  await ask('POST', `${rbac}/clusterrolebindings`, {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'approver' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'approver' },
    subjects: [{ kind: 'User', name: 'bob', apiGroup: 'rbac.authorization.k8s.io' }],
  })
  const two = (await ask('POST', csrs, await body('two'))).body
  t.match(
    await ask('PUT', `${csrs}/two/approval`, { ...two, status: { conditions: [condition] } }, { user: { name: 'bob', groups: [] } }),
    { status: 403, body: { message: /user not permitted to approve requests with signerName/ } },
  )
})

void t.test('Secrets are not readable on disk, and keys rotate', async (t) => {
  const old = { name: 'k1', key: Buffer.alloc(32, 1) }
  const fresh = { name: 'k2', key: Buffer.alloc(32, 2) }
  const server = await startServer(t, { encryption: [old] })
  const secrets = '/api/v1/namespaces/default/secrets'
  await server.ask('POST', secrets, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, stringData: { password: 'hunter2' } })
  await server.ask('POST', '/api/v1/namespaces/default/configmaps', configMap('c', { v: 'readable' }))
  const raw = async (key: string) => Buffer.from((await server.store.get(key)).kv?.value ?? '').toString('latin1')
  t.match(await raw('/registry/secrets/default/s'), /^k8s:enc:aesgcm:v1:k1:/)
  t.notMatch(await raw('/registry/secrets/default/s'), /hunter2|aHVudGVyMg/)
  t.match(await raw('/registry/configmaps/default/c'), /readable/)
  t.equal((await server.ask('GET', `${secrets}/s`)).body.data.password, Buffer.from('hunter2').toString('base64'))
  const ring = encryptingStore(server.store, { keys: [fresh, old], random: systemRandom })
  t.equal(await ring.rewrite(), 1)
  t.match(await raw('/registry/secrets/default/s'), /^k8s:enc:aesgcm:v1:k2:/)
  t.equal(await ring.rewrite(), 0)
  const moved = await server.store.get('/registry/secrets/default/s')
  await server.store.put('/registry/secrets/default/copy', moved.kv?.value ?? Buffer.alloc(0))
  await t.rejects(ring.get('/registry/secrets/default/copy'), /cannot be decrypted/, 'a value is bound to its key')
  await t.rejects(
    encryptingStore(server.store, { keys: [old], random: systemRandom }).get('/registry/secrets/default/s'),
    /not in the ring/,
  )
})

void t.test('a restart finds everything, and two servers share one store', async (t) => {
  const server = await startServer(t)
  await server.ask('POST', '/api/v1/namespaces/default/configmaps', configMap('a'))
  const second = await createApiServer({
    store: server.store,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    serviceAccounts: { issuer: 'x', signingKey: signingKey() },
  })
  t.teardown(() => second.close())
  const ask = askVia(second.handler)
  t.equal((await ask('GET', '/api/v1/namespaces/default/configmaps/a')).status, 200)
  await ask('POST', '/api/v1/namespaces/default/configmaps', configMap('b'))
  t.equal((await server.ask('GET', '/api/v1/namespaces/default/configmaps/b')).status, 200)
  t.equal(ADMIN.name, 'admin')
})
