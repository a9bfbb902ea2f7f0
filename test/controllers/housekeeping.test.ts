// What nobody asks for by name and everybody relies on: ranges of nodes, certificates, lost pods, sums of roles, old tokens, roots of trust.
import { X509Certificate } from 'node:crypto'
import t from 'tap'
import {
  CertificateSigningRequest,
  ClusterRole,
  ConfigMap,
  Event,
  Namespace,
  Node,
  Pod,
  Secret,
  ServiceAccount,
} from '../../src/api/index.js'
import { certificateSigner } from '../../src/cluster/signer.js'
import { createCa, createCsr, generateKey, type KeyPair, type Subject } from '../../src/pki/index.js'
import { virtualPlane } from './virtual-plane.js'

t.setTimeout(300_000)

const namespace = 'default'
const START = Date.UTC(2026, 0, 1)
const HOUR = 3600

const bareNode = (name: string, spec: Node['spec'] = {}): Node => ({ apiVersion: 'v1', kind: 'Node', metadata: { name }, spec })

t.test('each node gets a range of both families, freed ones are given out again, and running out is said', async (t) => {
  const { client, until, told, pass } = await virtualPlane(t, {
    start: START,
    hollow: { nodes: [] },
    only: ['nodeipam'],
    options: () => ({ clusterCidrs: ['10.9.0.0/22', 'fd00:9::/62'], nodeMaskSizes: { ipv4: 24, ipv6: 64 } }),
  })
  const ranges = async (name: string) => (await client.get(Node, { name })).spec
  const given = (name: string) => until(`a range for ${name}`, async () => (await ranges(name))?.podCIDR)
  await client.create(Node, bareNode('by-hand', { podCIDR: '10.9.1.0/24', podCIDRs: ['10.9.1.0/24', 'fd00:9:0:1::/64'] }))
  for (const name of ['a', 'b', 'c']) {
    await client.create(Node, bareNode(name))
    await given(name)
  }
  t.same(
    await Promise.all(['a', 'b', 'c'].map(async (name) => (await ranges(name))?.podCIDRs)),
    [
      ['10.9.0.0/24', 'fd00:9::/64'],
      ['10.9.2.0/24', 'fd00:9:0:2::/64'],
      ['10.9.3.0/24', 'fd00:9:0:3::/64'],
    ],
    'the one that is taken is left out',
  )
  t.equal((await ranges('b'))?.podCIDR, '10.9.2.0/24', 'the first of them is the range')
  await client.create(Node, bareNode('late'))
  await until('it is said', async () => (await told('late')).includes('CIDRNotAvailable: Node late status is now: CIDRNotAvailable'))
  t.equal((await ranges('late'))?.podCIDR, undefined)
  await client.delete(Node, { name: 'b' })
  t.ok((await until('the freed range', async () => (await ranges('late'))?.podCIDR)) <= 31, 'without being asked again')
  t.same((await ranges('late'))?.podCIDRs, ['10.9.2.0/24', 'fd00:9:0:2::/64'])
  await client.create(Node, bareNode('wrong', { podCIDR: '10.9.0.0/24', podCIDRs: ['10.9.0.0/24'] }))
  await pass(5)
  t.equal((await ranges('wrong'))?.podCIDR, '10.9.0.0/24', 'what a person wrote stays')
})

t.test('requests for certificates are approved, signed, refused and forgotten', async (t) => {
  let ca: KeyPair | undefined
  const { client, clientOf, until, pass, clock } = await virtualPlane(t, {
    start: START,
    hollow: { nodes: [] },
    only: ['csrapproving', 'csrsigning', 'csrcleaner'],
    options: async (clock, random) => {
      ca = await createCa('test', { clock, random })
      return { signer: certificateSigner({ ca } as never, { clock, random }), certificateSeconds: 7 * 24 * HOUR }
    },
  })
  const key = await generateKey()
  const usages = { client: ['key encipherment', 'digital signature', 'client auth'], serving: ['digital signature', 'server auth'] }
  const node: Subject = { commonName: 'system:node:node-1', organizations: ['system:nodes'] }
  const ask = async (
    name: string,
    signerName: string,
    spec: {
      subject: Subject
      names?: Parameters<typeof createCsr>[2]
      usages: string[]
      as?: [name: string, groups: string[]]
      seconds?: number
    },
  ) => {
    const who = spec.as ? clientOf(...spec.as) : client
    return who.create(CertificateSigningRequest, {
      apiVersion: 'certificates.k8s.io/v1',
      kind: 'CertificateSigningRequest',
      metadata: { name },
      spec: {
        request: Buffer.from(createCsr(spec.subject, key, spec.names)).toString('base64'),
        signerName: `kubernetes.io/${signerName}`,
        usages: spec.usages,
        ...(spec.seconds ? { expirationSeconds: spec.seconds } : {}),
      },
    })
  }
  const find = (name: string) => client.find(CertificateSigningRequest, { name })
  const conditions = async (name: string) => (await find(name))?.status?.conditions ?? []
  const approve = async (name: string, type = 'Approved') => {
    const request = await client.get(CertificateSigningRequest, { name })
    const condition = { type, status: 'True', reason: 'ByHand', message: 'ok' }
    await client.update(
      CertificateSigningRequest,
      { ...request, status: { ...request.status, conditions: [condition] } },
      { subresource: 'approval' },
    )
  }
  const certificate = async (name: string) => {
    await until(`${name} is signed`, async () => (await find(name))?.status?.certificate)
    return new X509Certificate(Buffer.from((await find(name))?.status?.certificate ?? '', 'base64'))
  }

  const self: [string, string[]] = ['system:node:node-1', ['system:nodes', 'system:authenticated']]
  const joins: [string, string[]] = ['system:bootstrap:abcdef', ['system:bootstrappers', 'system:authenticated', 'system:masters']]
  await ask('joins', 'kube-apiserver-client-kubelet', { subject: node, usages: usages.client, as: joins })
  await ask('renews', 'kube-apiserver-client-kubelet', { subject: node, usages: usages.client, as: self })
  const other: Subject = { commonName: 'system:node:node-2', organizations: ['system:nodes'] }
  const usurps = { subject: other, usages: usages.client }
  await t.rejects(
    ask('refused', 'kube-apiserver-client-kubelet', { ...usurps, as: self }),
    /can only create a node CSR with CN=system:node:node-1/,
  )
  await ask('usurps', 'kube-apiserver-client-kubelet', {
    ...usurps,
    as: ['system:node:node-1', ['system:authenticated', 'system:masters']],
  })
  const registered = await client.create(Node, bareNode('node-1'))
  await client.updateStatus(Node, { ...registered, status: { addresses: [{ type: 'InternalIP', address: '10.0.0.1' }] } })
  await ask('serves', 'kubelet-serving', { subject: node, names: { dns: ['node-1'], ips: ['10.0.0.1'] }, usages: usages.serving, as: self })
  await ask('pretends', 'kubelet-serving', { subject: node, names: { ips: ['10.0.0.2'] }, usages: usages.serving, as: self })
  for (const name of ['joins', 'renews', 'serves']) {
    await certificate(name)
    t.match(await conditions(name), [{ type: 'Approved', status: 'True', reason: 'AutoApproved' }])
  }
  t.equal((await conditions('joins'))[0]?.message, 'Auto approving kubelet client certificate after SubjectAccessReview.')
  await pass(10)
  t.same(await conditions('usurps'), [], 'a node asks for nobody but itself')
  t.same(await conditions('pretends'), [], 'nor for addresses that are not its own')

  // Who asks is the administrator: nobody approves that by itself.
  await ask('node', 'kube-apiserver-client-kubelet', { subject: node, usages: usages.client })
  await pass(5)
  t.same(await conditions('node'), [])
  await approve('node')
  const made = await certificate('node')
  t.equal(made.subject, 'O=system:nodes\nCN=system:node:node-1')
  t.ok(made.verify(new X509Certificate(ca?.cert ?? '').publicKey))
  const lasts = (each: X509Certificate) => Math.round((Date.parse(each.validTo) - clock.now()) / 1000 / HOUR)
  t.equal(lasts(made), 7 * 24, 'as long as the cluster signs at most')

  await ask('short', 'kube-apiserver-client', { subject: { commonName: 'jane' }, usages: usages.client, seconds: 2 * HOUR })
  await approve('short')
  t.equal(lasts(await certificate('short')), 2)

  await ask('serving', 'kubelet-serving', { subject: node, names: { dns: ['node-1'] }, usages: usages.serving })
  await approve('serving')
  t.equal((await certificate('serving')).subjectAltName, 'DNS:node-1')

  await ask('wrong', 'kubelet-serving', { subject: { commonName: 'jane' }, names: { dns: ['x'] }, usages: usages.serving })
  await approve('wrong')
  await until('refused', async () => (await conditions('wrong')).some((each) => each.type === 'Failed'))
  t.match((await conditions('wrong')).at(-1), { type: 'Failed', status: 'True', reason: 'SignerValidationFailure' })
  t.equal((await find('wrong'))?.status?.certificate, undefined)

  await ask('denied', 'kube-apiserver-client', { subject: { commonName: 'eve' }, usages: usages.client })
  await approve('denied', 'Denied')
  await client.create(CertificateSigningRequest, {
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: { name: 'foreign' },
    spec: {
      request: Buffer.from(createCsr({ commonName: 'x' }, key)).toString('base64'),
      signerName: 'example.com/mine',
      usages: ['client auth'],
    },
  })
  await approve('foreign')
  await ask('pending', 'kube-apiserver-client', { subject: { commonName: 'slow' }, usages: usages.client })
  await pass(60)
  t.equal((await find('denied'))?.status?.certificate, undefined)
  t.equal((await find('foreign'))?.status?.certificate, undefined, 'the signer of someone else')
  await pass(HOUR - 120)
  for (const name of ['node', 'short', 'denied', 'wrong', 'pending']) t.ok(await find(name), `${name} after an hour less a minute`)
  await pass(180)
  for (const name of ['node', 'short', 'denied', 'wrong']) t.notOk(await find(name), `${name} an hour after its decision`)
  await pass(22 * HOUR)
  t.ok(await find('pending'), 'nobody has decided, but it may still come')
  await pass(2 * HOUR)
  t.notOk(await find('pending'), 'not any more after a day')
})

t.test('pods that nobody else removes', async (t) => {
  const { client, until, pass, nodes } = await virtualPlane(t, { start: START, options: () => ({ terminatedPods: 3 }) })
  const make = (name: string, nodeName?: string, finalizers?: string[]) =>
    client.create(Pod, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace, ...(finalizers ? { finalizers } : {}) },
      spec: {
        ...(nodeName ? { nodeName } : { nodeSelector: { nowhere: 'x' } }),
        terminationGracePeriodSeconds: 30,
        restartPolicy: 'Never',
        containers: [{ name: 'main', image: 'busybox' }],
        tolerations: [{ operator: 'Exists' }],
      },
    })
  const find = (name: string) => client.find(Pod, { namespace, name })
  const target = async (name: string) => (await find(name))?.status?.conditions?.find((each) => each.type === 'DisruptionTarget')
  const gone = (name: string, seconds = 120) => until(`${name} is gone`, async () => !(await find(name)), seconds)
  await until('service account', () => make('orphan', 'node-3', ['example.com/hold']).catch(() => undefined))
  await until('running', async () => (await find('orphan'))?.status?.phase === 'Running')

  // A node that is gone.
  await client.delete(Node, { name: 'node-3' })
  await pass(35)
  t.equal((await find('orphan'))?.metadata.deletionTimestamp, undefined, 'it may come back')
  await until('given up', async () => (await find('orphan'))?.metadata.deletionTimestamp)
  t.equal((await find('orphan'))?.status?.phase, 'Failed')
  t.match(await target('orphan'), { status: 'True', reason: 'DeletionByPodGC', message: 'PodGC: node no longer exists' })
  await client.patch(Pod, { namespace, name: 'orphan' }, { metadata: { finalizers: null } }, { type: 'merge' })
  await gone('orphan')

  // Never scheduled, and not wanted any more.
  await make('waiting', undefined, ['example.com/hold'])
  await client.delete(Pod, { namespace, name: 'waiting' })
  await until('marked', async () => await target('waiting'))
  t.match(await target('waiting'), { reason: 'DeletionByPodGC', message: 'PodGC: unscheduled terminating pod' })
  await client.patch(Pod, { namespace, name: 'waiting' }, { metadata: { finalizers: null } }, { type: 'merge' })
  await gone('waiting')

  // A node that a person has declared dead.
  await make('stuck', 'node-2')
  await until('running', async () => (await find('stuck'))?.status?.phase === 'Running')
  nodes.silence('node-2')
  await client.delete(Pod, { namespace, name: 'stuck' })
  await pass(120)
  t.ok(await find('stuck'), 'its node has not said that it is gone')
  const taint = { key: 'node.kubernetes.io/out-of-service', value: 'nodeshutdown', effect: 'NoExecute' }
  const { taints = [] } = (await client.get(Node, { name: 'node-2' })).spec ?? {}
  await client.patch(Node, { name: 'node-2' }, { spec: { taints: [...taints, taint] } }, { type: 'merge' })
  await gone('stuck', 60)

  // Only so many ended pods are remembered, the oldest go.
  for (let index = 0; index < 5; index++) {
    await make(`done-${index}`, 'node-1')
    await until('running', async () => (await find(`done-${index}`))?.status?.phase === 'Running')
    const pod = await client.get(Pod, { namespace, name: `done-${index}` })
    await client.updateStatus(Pod, { ...pod, status: { ...pod.status, phase: 'Succeeded' } })
    await pass(1)
  }
  await gone('done-1')
  await pass(30)
  t.same(
    (await client.list(Pod, { namespace })).items.map((each) => each.metadata.name),
    ['done-2', 'done-3', 'done-4'],
  )
})

t.test('a role that is the sum of others follows them', async (t) => {
  const { client, until, pass } = await virtualPlane(t, { start: START, only: ['clusterrole-aggregation'] })
  const rule = (resource: string) => ({ apiGroups: [''], resources: [resource], verbs: ['get'] })
  const role = (name: string, labels: Record<string, string>, resources: readonly string[]): ClusterRole => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name, labels },
    rules: resources.map(rule),
  })
  await client.create(ClusterRole, {
    ...role('sum', {}, ['ignored']),
    aggregationRule: { clusterRoleSelectors: [{ matchExpressions: [{ key: 'part', operator: 'Exists' }] }, { matchLabels: { more: '' } }] },
  })
  const sum = async () => ((await client.get(ClusterRole, { name: 'sum' })).rules ?? []).map((each) => each.resources?.[0])
  const becomes = (wanted: readonly string[]) =>
    until(`the sum is ${wanted.join()}`, async () => JSON.stringify(await sum()) === JSON.stringify(wanted), 30)
  await becomes([])
  await client.create(ClusterRole, role('b', { part: '' }, ['pods', 'services']))
  await client.create(ClusterRole, role('a', { part: '' }, ['secrets', 'pods']))
  await client.create(ClusterRole, role('0', { more: '' }, ['nodes', 'pods']))
  await becomes(['secrets', 'pods', 'services', 'nodes'])
  await client.patch(ClusterRole, { name: 'a' }, { rules: [rule('events')] }, { type: 'merge' })
  await becomes(['events', 'pods', 'services', 'nodes'])
  await client.patch(ClusterRole, { name: 'b' }, { metadata: { labels: { part: null } } }, { type: 'merge' })
  await becomes(['events', 'nodes', 'pods'])
  const { resourceVersion } = (await client.get(ClusterRole, { name: 'sum' })).metadata
  await pass(30)
  t.equal((await client.get(ClusterRole, { name: 'sum' })).metadata.resourceVersion, resourceVersion, 'and then it rests')
  await client.delete(ClusterRole, { name: '0' })
  await becomes(['events'])
  await client.patch(ClusterRole, { name: 'sum' }, { rules: [rule('everything')] }, { type: 'merge' })
  await becomes(['events'])

  // Of the cluster's own roles `admin` is the sum of `edit`, which is that of `view`.
  await client.create(ClusterRole, role('more', { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' }, ['widgets']))
  const reached = async () => (await client.get(ClusterRole, { name: 'admin' })).rules?.some((each) => each.resources?.includes('widgets'))
  await until('three steps', reached)
})

t.test('bootstrap tokens go when their time is over', async (t) => {
  const { client, until, pass, clock } = await virtualPlane(t, {
    start: START,
    hollow: { nodes: [] },
    only: ['token-cleaner'],
  })
  const token = (id: string, expiration: string | undefined, where = 'kube-system', type = 'bootstrap.kubernetes.io/token') =>
    client.create(Secret, {
      apiVersion: 'v1',
      kind: 'Secret',
      type,
      metadata: { name: `bootstrap-token-${id}`, namespace: where },
      stringData: { 'token-id': id, 'token-secret': '0123456789abcdef', ...(expiration === undefined ? {} : { expiration }) },
    })
  const left = async () => (await client.list(Secret)).items.map((each) => each.metadata.name.slice('bootstrap-token-'.length)).sort()
  await token('hour00', new Date(clock.now() + HOUR * 1000).toISOString())
  await token('days00', new Date(clock.now() + 40 * 24 * HOUR * 1000).toISOString())
  await token('ever00', undefined)
  await token('other0', '2020-01-01T00:00:00Z', 'kube-system', 'Opaque')
  await token('past00', '2020-01-01T00:00:00Z')
  await until('the old one goes', async () => !(await left()).includes('past00'), 5)
  t.same(await left(), ['days00', 'ever00', 'hour00', 'other0'])
  await pass(HOUR - 60)
  t.ok((await left()).includes('hour00'))
  await pass(70)
  t.same(await left(), ['days00', 'ever00', 'other0'])
  await pass(41 * 24 * HOUR)
  t.same(await left(), ['ever00', 'other0'])
})

t.test('every namespace has its account and its root of trust, whoever takes them away', async (t) => {
  const { client, until, pass } = await virtualPlane(t, { start: START })
  await client.create(Namespace, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } })
  const map = () => client.find(ConfigMap, { namespace: 'shop', name: 'kube-root-ca.crt' })
  const account = () => client.find(ServiceAccount, { namespace: 'shop', name: 'default' })
  await until('both', async () => (await map()) && (await account()))
  const { uid } = (await map())?.metadata ?? {}
  await client.delete(ConfigMap, { namespace: 'shop', name: 'kube-root-ca.crt' })
  await until('the map again', async () => (await map())?.metadata.uid && (await map())?.metadata.uid !== uid)
  await client.patch(ConfigMap, { namespace: 'shop', name: 'kube-root-ca.crt' }, { data: { 'ca.crt': 'EVIL' } }, { type: 'merge' })
  await until('put right', async () => JSON.stringify((await map())?.data) === '{"ca.crt":"CA"}')
  await client.delete(ServiceAccount, { namespace: 'shop', name: 'default' })
  await until('the account again', account)
  await client.delete(Namespace, { name: 'shop' })
  await until('the namespace is gone', async () => !(await client.find(Namespace, { name: 'shop' })))
  await pass(30)
  t.same((await client.list(ConfigMap, { namespace: 'shop' })).items, [])
  t.same((await client.list(ServiceAccount, { namespace: 'shop' })).items, [])
  t.same((await client.list(Event, { namespace: 'shop' })).items, [])
})
