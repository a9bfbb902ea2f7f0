// What a kubelet is refused, in the words of the NodeRestriction plugin; and tokens, in those of TokenRequest.
import t, { type Test } from 'tap'
import { createCsr, generateKey } from '../../src/pki/index.js'
import { type AskOptions, defaultAccount, pod, startServer } from './harness.js'

const pods = '/api/v1/namespaces/default/pods'
const n1: AskOptions = { user: { name: 'system:node:n1', groups: ['system:nodes'] } }
const node = (name: string, more: object = {}) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name, ...more } })

/** A server with two nodes and a pod on each; `refused` sends as the first node's kubelet. */
async function scene(t: Test) {
  const server = await startServer(t)
  const { ask } = server
  await ask(...defaultAccount())
  const uid = (await ask('POST', '/api/v1/nodes', node('n1'))).body.metadata.uid
  await ask('POST', '/api/v1/nodes', node('n2'))
  for (const name of ['1', '2']) await ask('POST', pods, pod(`p${name}`, { spec: { nodeName: `n${name}` } }))
  const refused = async (method: string, url: string, body: unknown, what: string, detail: string): Promise<void> => {
    const answer = await ask(method, url, body, n1)
    t.same([answer.status, answer.body.message], [403, `${what} is forbidden: ${detail}`], `${method} ${url}`)
  }
  return { ...server, uid, refused }
}

void t.test('nodes', async (t) => {
  const { ask, refused } = await scene(t)
  const self = 'nodes "n1"'
  await refused('POST', '/api/v1/nodes', node('n3'), 'nodes "n3"', 'node "n1" is not allowed to modify node "n3"')
  await refused(
    'PATCH',
    '/api/v1/nodes/n2',
    { metadata: { labels: { a: 'b' } } },
    'nodes "n2"',
    'node "n1" is not allowed to modify node "n2"',
  )
  const role = { labels: { 'node-role.kubernetes.io/x': '', 'node-restriction.kubernetes.io/y': '', free: 'yes' } }
  const labels = 'node-restriction.kubernetes.io/y, node-role.kubernetes.io/x'
  await refused('PATCH', '/api/v1/nodes/n1', { metadata: role }, self, `is not allowed to modify labels: ${labels}`)
  await refused('PATCH', '/api/v1/nodes/n1', { spec: { taints: [] } }, self, 'node "n1" is not allowed to modify taints')
  const owners = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'a', uid: 'u' }]
  await refused(
    'PATCH',
    '/api/v1/nodes/n1',
    { metadata: { ownerReferences: owners } },
    self,
    'node "n1" is not allowed to modify ownerReferences',
  )
  t.equal((await ask('PATCH', '/api/v1/nodes/n1', { metadata: { labels: { 'topology.kubernetes.io/zone': 'z' } } }, n1)).status, 200)
  t.equal((await ask('PATCH', '/api/v1/nodes/n1/status', { status: { capacity: { cpu: '4' } } }, n1)).status, 200)
  await ask('DELETE', '/api/v1/nodes/n1')
  await refused('POST', '/api/v1/nodes', node('n1', role), self, `node "n1" is not allowed to set the following labels: ${labels}`)
})

void t.test('mirror pods', async (t) => {
  const { ask, refused, uid } = await scene(t)
  const MIRROR = 'kubernetes.io/config.mirror'
  const owner = { apiVersion: 'v1', kind: 'Node', name: 'n1', uid, controller: true }
  const mirror = (metadata: object = {}, spec: object = {}) =>
    pod('m', { metadata: { annotations: { [MIRROR]: 'x' }, ownerReferences: [owner], ...metadata }, spec: { nodeName: 'n1', ...spec } })
  const cases: readonly [object, string][] = [
    [mirror({ annotations: {} }), `pod does not have "${MIRROR}" annotation, node "n1" can only create mirror pods`],
    [mirror({}, { nodeName: 'n2' }), 'node "n1" can only create pods with spec.nodeName set to itself'],
    [
      mirror({ ownerReferences: [owner, { ...owner, controller: false, uid: 'v' }] }),
      'node "n1" can only create pods with a single owner reference set to itself',
    ],
    [mirror({ ownerReferences: [] }), 'node "n1" can only create pods with an owner reference set to itself'],
    [mirror({ ownerReferences: [{ ...owner, name: 'n2' }] }), 'node "n1" can only create pods with an owner reference set to itself'],
    [
      mirror({ ownerReferences: [{ ...owner, controller: false }] }),
      'node "n1" can only create pods with a controller owner reference set to itself',
    ],
    [
      mirror({ ownerReferences: [{ ...owner, blockOwnerDeletion: true }] }),
      'node "n1" must not set blockOwnerDeletion on an owner reference',
    ],
    [mirror({ ownerReferences: [{ ...owner, uid: 'other' }] }), `node n1 UID mismatch: expected other got ${uid}`],
    [mirror({}, { serviceAccountName: 'default' }), 'a mirror pod may not reference service accounts'],
    [mirror({}, { volumes: [{ name: 'v', secret: { secretName: 's' } }] }), 'a mirror pod may not reference secrets'],
    [
      mirror({}, { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 's' } }] }),
      'a mirror pod may not reference persistentvolumeclaims',
    ],
  ]
  for (const [body, detail] of cases) {
    const answer = await ask('POST', pods, body, n1)
    t.equal(answer.status, 403)
    t.match(
      String(answer.body.message),
      detail.startsWith('a mirror') ? /pods "m" is forbidden: .* reference / : `pods "m" is forbidden: ${detail}`,
    )
  }
  t.equal((await ask('POST', pods, mirror(), n1)).status, 201)
  await refused('DELETE', `${pods}/p2`, undefined, 'pods "p2"', 'node "n1" can only delete pods with spec.nodeName set to itself')
  t.equal((await ask('DELETE', `${pods}/m?gracePeriodSeconds=0`, undefined, n1)).status, 200)
})

void t.test('status and eviction of pods, leases, certificates', async (t) => {
  const { ask, refused } = await scene(t)
  const running = { status: { phase: 'Running' } }
  t.equal((await ask('PATCH', `${pods}/p1/status`, running, n1)).status, 200)
  await refused(
    'PATCH',
    `${pods}/p2/status`,
    running,
    'pods "p2"',
    'node "n1" can only update pod status for pods with spec.nodeName set to itself',
  )
  await refused(
    'PATCH',
    `${pods}/p1/status`,
    { metadata: { labels: { a: 'b' } } },
    'pods "p1"',
    'node "n1" cannot update labels through pod status',
  )
  await refused(
    'PATCH',
    `${pods}/p1/status`,
    { status: { resourceClaimStatuses: [{ name: 'a', resourceClaimName: 'b' }] } },
    'pods "p1"',
    'node "n1" cannot update resource claim statues',
  )
  const evict = (name: string) => ({ apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name } })
  await refused('POST', `${pods}/p2/eviction`, evict('p2'), 'pods "p2"', 'node n1 can only evict pods with spec.nodeName set to itself')
  t.equal((await ask('POST', `${pods}/p1/eviction`, evict('p1'), n1)).status, 201)

  const leases = (namespace: string) => `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`
  const lease = (name: string) => ({ metadata: { name }, spec: { holderIdentity: name } })
  await refused(
    'POST',
    leases('kube-node-lease'),
    lease('n2'),
    'leases.coordination.k8s.io "n2"',
    'can only access node lease with the same name as the requesting node',
  )
  t.equal((await ask('POST', leases('kube-node-lease'), lease('n1'), n1)).status, 201)
  t.match(await ask('POST', leases('default'), lease('n1'), n1), {
    status: 403,
    body: { message: /can only access leases in the "kube-node-lease" system namespace$/ },
  })

  const csr = async (commonName: string) => ({
    metadata: { generateName: 'c-' },
    spec: {
      request: Buffer.from(createCsr({ commonName, organizations: ['system:nodes'] }, await generateKey())).toString('base64'),
      signerName: 'kubernetes.io/kube-apiserver-client-kubelet',
      usages: ['client auth', 'digital signature'],
    },
  })
  const csrs = '/apis/certificates.k8s.io/v1/certificatesigningrequests'
  t.match(await ask('POST', csrs, await csr('system:node:n2'), n1), {
    status: 403,
    body: { message: /can only create a node CSR with CN=system:node:n1$/ },
  })
  t.equal((await ask('POST', csrs, await csr('system:node:n1'), n1)).status, 201)
})

void t.test('a kubelet gets tokens for its own pods only', async (t) => {
  const { ask, refused } = await scene(t)
  const tokens = '/api/v1/namespaces/default/serviceaccounts/default/token'
  const uids = Object.fromEntries(
    await Promise.all(['p1', 'p2'].map(async (name) => [name, (await ask('GET', `${pods}/${name}`)).body.metadata.uid] as const)),
  )
  const bound = (boundObjectRef?: object) => ({ spec: { audiences: [], ...(boundObjectRef && { boundObjectRef }) } })
  const reference = (name: string, more: object = {}) => bound({ apiVersion: 'v1', kind: 'Pod', name, uid: uids[name], ...more })
  const who = 'serviceaccounts "default"'
  await refused('POST', tokens, bound(), who, 'node requested token not bound to a pod')
  await refused('POST', tokens, reference('p1', { kind: 'Secret' }), who, 'node requested token not bound to a pod')
  await refused('POST', tokens, reference('p1', { uid: '' }), who, 'node requested token with a pod binding without a uid')
  await refused(
    'POST',
    tokens,
    reference('p1', { uid: 'other' }),
    who,
    'the UID in the bound object reference (other) does not match the UID in record. The object might have been deleted and then recreated',
  )
  await refused('POST', tokens, reference('p2'), who, 'node requested token bound to a pod scheduled on a different node')
  t.match(await ask('POST', tokens, reference('p1'), n1), { status: 201, body: { kind: 'TokenRequest', status: { token: /^ey/ } } })
})

void t.test('TokenRequest', async (t) => {
  const { ask } = await scene(t)
  const tokens = '/api/v1/namespaces/default/serviceaccounts/default/token'
  await ask('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'other' } })
  await ask('POST', '/api/v1/namespaces/default/secrets', { metadata: { name: 's' } })
  const { uid } = (await ask('GET', '/api/v1/namespaces/default/serviceaccounts/default')).body.metadata
  const request = (name: string): string => `TokenRequest.authentication.k8s.io "${name}" is invalid: `
  const of = (kind: string, name: string, more: object = {}) => ({ spec: { boundObjectRef: { apiVersion: 'v1', kind, name, ...more } } })
  const cases: readonly [object, number, string][] = [
    [
      { spec: { expirationSeconds: 599 } },
      422,
      `${request('')}spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes`,
    ],
    [
      { spec: { expirationSeconds: 2 ** 32 + 1 } },
      422,
      `${request('')}spec.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds`,
    ],
    [
      { metadata: { name: 'x' } },
      422,
      `${request('default')}metadata.name: Invalid value: "x": must match the service account name if specified`,
    ],
    [
      { metadata: { namespace: 'x' } },
      422,
      `${request('default')}metadata.namespace: Invalid value: "x": must match the service account namespace if specified`,
    ],
    [
      { metadata: { uid: 'x' } },
      409,
      `Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "default": the UID in the token request (x) does not match the UID of the service account (${uid})`,
    ],
    [of('Pod', 'missing'), 404, 'pods "missing" not found'],
    [of('Secret', 'missing'), 404, 'secrets "missing" not found'],
    [of('Node', 'missing'), 404, 'nodes "missing" not found'],
    [of('ConfigMap', 'a'), 400, 'cannot bind token to object of type /v1, Kind=ConfigMap'],
    [of('Deployment', 'a', { apiVersion: 'apps/v1' }), 400, 'cannot bind token to object of type apps/v1, Kind=Deployment'],
    [
      of('Secret', 's', { uid: 'x' }),
      409,
      'Operation cannot be fulfilled on Secret "s": the UID in the bound object reference (x) does not match the UID in record. The object might have been deleted and then recreated',
    ],
  ]
  for (const [body, status, message] of cases) {
    const answer = await ask('POST', tokens, body)
    t.same([answer.status, answer.body.message], [status, message])
  }
  t.match(await ask('POST', tokens.replace('/default/token', '/other/token'), of('Pod', 'p1')), {
    status: 400,
    body: { message: 'cannot bind token for serviceaccount "other" to pod running with different serviceaccount name.' },
  })
  t.match(await ask('POST', tokens.replace('/default/token', '/missing/token'), {}), {
    status: 404,
    body: { message: 'serviceaccounts "missing" not found' },
  })
  t.equal((await ask('GET', tokens)).status, 405)
  t.equal((await ask('PUT', tokens, {})).status, 405)
  const made = await ask('POST', tokens, { spec: { expirationSeconds: 700, audiences: ['a'], ...of('Secret', 's').spec } })
  t.match(made.body, { kind: 'TokenRequest', metadata: { name: 'default', namespace: 'default' }, spec: { expirationSeconds: 700 } })
  const claims = JSON.parse(Buffer.from(String(made.body.status.token).split('.')[1] ?? '', 'base64url').toString('utf8'))
  t.match(claims, { aud: ['a'], sub: 'system:serviceaccount:default:default', 'kubernetes.io': { secret: { name: 's' } } })
  t.equal(claims.exp - claims.iat, 700)
})
