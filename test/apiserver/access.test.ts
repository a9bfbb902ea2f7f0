/* biome-ignore-all lint/suspicious/noExplicitAny: answers of the API are looked at field by field */
// Who is asking, and what they may do.
import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { signerOf, signToken } from '../../src/controlplane/apiserver/authentication/jwt.js'
import { systemClock, systemRandom, virtualClock } from '../../src/lib/index.js'
import { createCa, issue } from '../../src/pki/index.js'
import { ADMIN, configMap, defaultAccount, pod, startServer, type TestServer } from './harness.js'

const context = { clock: systemClock, random: systemRandom }
const bob = { name: 'bob', groups: [] }
const rbac = '/apis/rbac.authorization.k8s.io/v1'
const group = 'rbac.authorization.k8s.io'

const role = (name: string, rules: unknown[]) => ({ apiVersion: `${group}/v1`, kind: 'Role', metadata: { name }, rules })
const binding = (name: string, roleRef: object, subjects: object[], kind = 'RoleBinding') => ({
  apiVersion: `${group}/v1`,
  kind,
  metadata: { name },
  roleRef: { apiGroup: group, ...roleRef },
  subjects,
})
const user = (name: string) => ({ kind: 'User', name, apiGroup: group })
const der = (pem: string): Buffer => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64')

void t.test('anonymous requests reach health and version, and nothing else', async (t) => {
  const { ask } = await startServer(t)
  const nobody = { user: null }
  for (const path of ['/healthz', '/livez', '/readyz', '/version']) t.equal((await ask('GET', path, undefined, nobody)).status, 200, path)
  for (const path of ['/api', '/apis', '/openapi/v2', '/metrics', '/api/v1/pods', '/openid/v1/jwks', '/'])
    t.equal((await ask('GET', path, undefined, nobody)).status, 403, path)
  const refused = await ask('GET', '/api/v1/namespaces/default/secrets/x', undefined, nobody)
  t.match(refused.body, {
    reason: 'Forbidden',
    message: 'secrets "x" is forbidden: User "system:anonymous" cannot get resource "secrets" in API group "" in the namespace "default"',
  })
  t.match((await ask('GET', '/metrics', undefined, nobody)).body, {
    message: 'forbidden: User "system:anonymous" cannot get path "/metrics"',
  })
})

void t.test('client certificates', async (t) => {
  const [ca, other] = await Promise.all([createCa('ca', context), createCa('other', context)])
  const { ask } = await startServer(t, { clientCa: ca.cert })
  const whoami = async (pem: string) =>
    ask(
      'POST',
      '/apis/authentication.k8s.io/v1/selfsubjectreviews',
      { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
      { peer: { clientCertificate: der(pem) } },
    )
  const certificate = (issuer: typeof ca, usages: ('client auth' | 'server auth')[], lifetimeMs = 3_600_000) =>
    issue(issuer, { subject: { commonName: 'carol', organizations: ['dev', 'ops'] }, usages, lifetimeMs }, context)
  const known = await whoami((await certificate(ca, ['client auth'])).cert)
  t.match(known.body, { status: { userInfo: { username: 'carol', groups: ['dev', 'ops', 'system:authenticated'] } } })
  t.equal((await whoami((await certificate(other, ['client auth'])).cert)).status, 403, 'an authority that we do not know')
  t.equal((await whoami((await certificate(ca, ['server auth'])).cert)).status, 403, 'not made for clients')
  t.equal((await whoami((await certificate(ca, ['client auth'], -1000)).cert)).status, 403, 'expired')
})

void t.test('service account tokens live as long as what they are bound to', async (t) => {
  const clock = virtualClock(Date.now())
  const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const issuer = 'https://kubernetes.default.svc.cluster.local'
  const { ask } = await startServer(t, { clock, serviceAccounts: { issuer, signingKey: key } })
  await ask(...defaultAccount())
  const pods = '/api/v1/namespaces/default/pods'
  const { body: made } = await ask('POST', pods, pod('p'))
  const tokenFor = (spec: object) =>
    ask('POST', '/api/v1/namespaces/default/serviceaccounts/default/token', {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec,
    })
  const bound = await tokenFor({
    expirationSeconds: 3600,
    boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'p', uid: made.metadata.uid },
  })
  t.equal(bound.status, 201)
  const use = (token: string, path = '/apis/authentication.k8s.io/v1/selfsubjectreviews') =>
    ask(
      'POST',
      path,
      { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
      { user: null, headers: { authorization: `Bearer ${token}` } },
    )
  t.match((await use(bound.body.status.token)).body, {
    status: {
      userInfo: {
        username: 'system:serviceaccount:default:default',
        groups: ['system:serviceaccounts', 'system:serviceaccounts:default', 'system:authenticated'],
        extra: { 'authentication.kubernetes.io/pod-name': ['p'], 'authentication.kubernetes.io/pod-uid': [made.metadata.uid] },
      },
    },
  })
  const review = (token: string, audiences?: string[]) =>
    ask('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token, audiences },
    })
  t.match((await review(bound.body.status.token)).body.status, { authenticated: true, audiences: [issuer] })
  t.not((await review(bound.body.status.token, ['vault'])).body.status.authenticated, true)
  const vault = (await tokenFor({ audiences: ['vault'] })).body.status.token
  t.match((await review(vault, ['vault'])).body.status, { authenticated: true, audiences: ['vault'] })
  t.equal((await use(vault)).status, 401, 'a token for somebody else')
  t.equal((await use(`${bound.body.status.token.slice(0, -4)}AAAA`)).status, 401)
  const forged = signToken(
    signerOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()),
    { iss: issuer, aud: [issuer], sub: 'system:serviceaccount:default:default', exp: clock.now() / 1000 + 100 },
  )
  t.equal((await use(forged)).status, 401)
  const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${bound.body.status.token.split('.')[1]}.`
  t.equal((await use(none)).status, 401)
  t.equal((await tokenFor({ expirationSeconds: 60 })).status, 422)
  t.equal((await tokenFor({ boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'p', uid: 'wrong' } })).status, 409)

  const jwks = await ask('GET', '/openid/v1/jwks')
  t.match(jwks.body, { keys: [{ kty: 'RSA', alg: 'RS256', use: 'sig', kid: /./ }] })
  t.match((await ask('GET', '/.well-known/openid-configuration')).body, { issuer, jwks_uri: `${issuer}/openid/v1/jwks` })

  await ask('DELETE', `${pods}/p`)
  t.equal((await use(bound.body.status.token)).status, 401, 'the pod is gone')
  const short = (await tokenFor({ expirationSeconds: 600 })).body.status.token
  t.equal((await use(short)).status, 201)
  await clock.advance(700_000)
  t.equal((await use(short)).status, 401, 'expired')
  const later = (await tokenFor({})).body.status.token
  await ask('DELETE', '/api/v1/namespaces/default/serviceaccounts/default')
  t.equal((await use(later)).status, 401, 'the account is gone')
})

void t.test('bootstrap tokens', async (t) => {
  const clock = virtualClock(Date.UTC(2026, 0, 1))
  const { ask } = await startServer(t, { clock })
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  const secret = (id: string, more: Record<string, string>) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'bootstrap.kubernetes.io/token',
    metadata: { name: `bootstrap-token-${id}`, namespace: 'kube-system' },
    data: Object.fromEntries(
      Object.entries({ 'token-id': id, 'token-secret': '0123456789abcdef', 'usage-bootstrap-authentication': 'true', ...more }).map(
        ([key, value]) => [key, base64(value)],
      ),
    ),
  })
  await ask(
    'POST',
    '/api/v1/namespaces/kube-system/secrets',
    secret('abcdef', { 'auth-extra-groups': 'system:bootstrappers:kubeadm:default-node-token', expiration: '2026-01-01T01:00:00Z' }),
  )
  await ask('POST', '/api/v1/namespaces/kube-system/secrets', secret('ghijkl', { 'usage-bootstrap-authentication': 'false' }))
  const use = (token: string) =>
    ask('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {}, { user: null, headers: { authorization: `Bearer ${token}` } })
  t.match((await use('abcdef.0123456789abcdef')).body.status.userInfo, {
    username: 'system:bootstrap:abcdef',
    groups: ['system:bootstrappers', 'system:bootstrappers:kubeadm:default-node-token', 'system:authenticated'],
  })
  t.equal((await use('abcdef.0000000000000000')).status, 401)
  t.equal((await use('ghijkl.0123456789abcdef')).status, 401)
  await clock.advance(3_700_000)
  t.equal((await use('abcdef.0123456789abcdef')).status, 401)
})

void t.test('front proxy', async (t) => {
  const ca = await createCa('front', context)
  const { ask } = await startServer(t, { frontProxy: { ca: ca.cert, allowedNames: ['aggregator'] } })
  const published = await ask('GET', '/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication')
  t.match(published.body.data, { 'requestheader-client-ca-file': ca.cert, 'requestheader-allowed-names': '["aggregator"]' })
  const peerFor = async (commonName: string) => ({
    clientCertificate: der((await issue(ca, { subject: { commonName }, usages: ['client auth'] }, context)).cert),
  })
  const headers = { 'x-remote-user': 'dave', 'x-remote-group': 'dev', 'x-remote-extra-team%2fa': 'x' }
  const known = await ask('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {}, { peer: await peerFor('aggregator'), headers })
  t.match(known.body.status.userInfo, { username: 'dave', groups: ['dev', 'system:authenticated'], extra: { 'team/a': ['x'] } })
  t.equal(
    (await ask('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {}, { peer: await peerFor('mallory'), headers })).status,
    403,
  )
  t.equal(
    (await ask('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {}, { user: null, headers })).status,
    403,
    'headers alone are nothing',
  )
})

async function withBob(server: TestServer): Promise<void> {
  await server.ask(
    'POST',
    `${rbac}/namespaces/default/roles`,
    role('r', [
      { verbs: ['get', 'list'], apiGroups: [''], resources: ['configmaps'] },
      { verbs: ['get'], apiGroups: [''], resources: ['secrets'], resourceNames: ['mine'] },
    ]),
  )
  await server.ask('POST', `${rbac}/namespaces/default/rolebindings`, binding('r', { kind: 'Role', name: 'r' }, [user('bob')]))
}

void t.test('roles, bindings and their limits', async (t) => {
  const server = await startServer(t)
  const { ask } = server
  await withBob(server)
  const as = { user: bob }
  t.equal((await ask('GET', '/api/v1/namespaces/default/configmaps', undefined, as)).status, 200)
  t.equal((await ask('GET', '/api/v1/configmaps', undefined, as)).status, 403)
  t.equal((await ask('GET', '/api/v1/namespaces/kube-system/configmaps', undefined, as)).status, 403)
  t.equal((await ask('POST', '/api/v1/namespaces/default/configmaps', configMap('a'), as)).status, 403)
  t.equal((await ask('GET', '/api/v1/namespaces/default/secrets/mine', undefined, as)).status, 404)
  t.equal((await ask('GET', '/api/v1/namespaces/default/secrets/other', undefined, as)).status, 403)
  t.equal((await ask('GET', '/apis', undefined, as)).status, 200, 'whoever is known may discover')

  const review = (spec: object) =>
    ask('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec,
    })
  t.match((await review({ user: 'bob', resourceAttributes: { namespace: 'default', verb: 'list', resource: 'configmaps' } })).body.status, {
    allowed: true,
    reason: 'RBAC: allowed by Role "r"',
  })
  t.equal(
    (await review({ user: 'bob', resourceAttributes: { namespace: 'default', verb: 'delete', resource: 'configmaps' } })).body.status
      .allowed,
    false,
  )
  t.equal(
    (await review({ user: 'x', groups: ['system:masters'], nonResourceAttributes: { verb: 'get', path: '/anything' } })).body.status
      .allowed,
    true,
  )
  t.equal((await review({ resourceAttributes: { verb: 'get', resource: 'pods' } })).status, 422)
  const rules = await ask(
    'POST',
    '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews',
    { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectRulesReview', spec: { namespace: 'default' } },
    as,
  )
  t.ok(rules.body.status.resourceRules.some((rule: any) => rule.resources.includes('configmaps') && rule.verbs.includes('list')))

  await ask('DELETE', `${rbac}/namespaces/default/rolebindings/r`)
  t.equal((await ask('GET', '/api/v1/namespaces/default/configmaps', undefined, as)).status, 403)
})

void t.test('nobody gives away what they do not have', async (t) => {
  const server = await startServer(t)
  const { ask } = server
  const everything = { verbs: ['*'], apiGroups: ['rbac.authorization.k8s.io'], resources: ['roles', 'rolebindings'] }
  const rules = (
    await ask(
      'POST',
      `${rbac}/namespaces/default/roles`,
      role('granter', [
        { ...everything, verbs: ['create', 'update', 'get', 'patch'] },
        { verbs: ['get'], apiGroups: [''], resources: ['pods'] },
      ]),
    )
  ).status
  t.equal(rules, 201)
  await ask('POST', `${rbac}/namespaces/default/rolebindings`, binding('granter', { kind: 'Role', name: 'granter' }, [user('bob')]))
  const as = { user: bob }
  const good = role('small', [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }])
  t.equal((await ask('POST', `${rbac}/namespaces/default/roles`, good, as)).status, 201)
  const greedy = await ask(
    'POST',
    `${rbac}/namespaces/default/roles`,
    role('greedy', [{ verbs: ['get'], apiGroups: [''], resources: ['secrets'] }]),
    as,
  )
  t.match(greedy, {
    status: 403,
    body: {
      message:
        /user "bob".* is attempting to grant RBAC permissions not currently held:\n\{APIGroups:\[""\], Resources:\["secrets"\], Verbs:\["get"\]\}/,
    },
  })
  t.equal(
    (
      await ask(
        'POST',
        `${rbac}/namespaces/default/rolebindings`,
        binding('up', { kind: 'ClusterRole', name: 'cluster-admin' }, [user('bob')]),
        as,
      )
    ).status,
    403,
  )
  t.equal(
    (await ask('POST', `${rbac}/namespaces/default/rolebindings`, binding('ok', { kind: 'Role', name: 'small' }, [user('eve')]), as))
      .status,
    201,
  )
})

void t.test('impersonation needs the right to it', async (t) => {
  const server = await startServer(t)
  const { ask } = server
  await withBob(server)
  const asBob = { headers: { 'impersonate-user': 'bob' } }
  t.equal((await ask('GET', '/api/v1/namespaces/default/configmaps', undefined, asBob)).status, 200)
  t.equal((await ask('GET', '/api/v1/namespaces/default/pods', undefined, asBob)).status, 403)
  const denied = await ask('GET', '/api/v1/namespaces/default/configmaps', undefined, {
    user: bob,
    headers: { 'impersonate-user': 'admin' },
  })
  t.match(denied, {
    status: 403,
    body: { message: /users "admin" is forbidden: User "bob" cannot impersonate resource "users" in API group "" at the cluster scope/ },
  })
  const groups = { 'impersonate-user': 'x', 'impersonate-group': 'system:masters' }
  t.equal((await ask('GET', '/api/v1/secrets', undefined, { headers: groups })).status, 200)
  t.equal((await ask('GET', '/api/v1/secrets', undefined, { headers: { 'impersonate-group': 'system:masters' } })).status, 500)
})

void t.test('each part of an impersonated identity needs its own right', async (t) => {
  const { ask } = await startServer(t)
  const whoami = (headers: Record<string, string>, asked = bob) =>
    ask('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {}, { user: asked, headers: { 'impersonate-user': 'x', ...headers } })
  const all = {
    'impersonate-uid': 'u',
    'impersonate-group': 'g',
    'impersonate-extra-scopes': 's',
    'impersonate-extra-example.com%2fteam': 't',
  }
  t.same((await whoami(all, ADMIN as typeof bob)).body.status.userInfo, {
    username: 'x',
    uid: 'u',
    groups: ['g', 'system:authenticated'],
    extra: { scopes: ['s'], 'example.com/team': ['t'] },
  })
  const account = await whoami({ 'impersonate-user': 'system:serviceaccount:n:a' }, ADMIN as typeof bob)
  t.same(account.body.status.userInfo.groups, ['system:serviceaccounts', 'system:serviceaccounts:n', 'system:authenticated'])
  const rights = { name: 'impersonate' }
  await ask('POST', `${rbac}/clusterroles`, {
    metadata: rights,
    rules: [{ verbs: ['impersonate'], apiGroups: [''], resources: ['users'], resourceNames: ['x'] }],
  })
  await ask(
    'POST',
    `${rbac}/clusterrolebindings`,
    binding('impersonate', { kind: 'ClusterRole', ...rights }, [user('bob')], 'ClusterRoleBinding'),
  )
  t.equal((await whoami({})).body.status.userInfo.username, 'x')
  const cases: readonly [Record<string, string>, string, string, string][] = [
    [{ 'impersonate-group': 'g' }, 'groups "g"', 'groups', ''],
    [{ 'impersonate-uid': 'u' }, 'uids.authentication.k8s.io "u"', 'uids', 'authentication.k8s.io'],
    [{ 'impersonate-extra-scopes': 's' }, 'userextras.authentication.k8s.io "s"', 'userextras/scopes', 'authentication.k8s.io'],
  ]
  for (const [headers, what, resource, of] of cases) {
    const { status, body } = await whoami(headers)
    const why = `User "bob" cannot impersonate resource "${resource}" in API group "${of}" at the cluster scope`
    t.same([status, body.message], [403, `${what} is forbidden: ${why}`])
    t.same(body.details, { name: /"(.)"/.exec(what)?.[1], ...(of && { group: of }), kind: resource.split('/')[0] })
  }
  t.equal(
    (await whoami({ 'impersonate-user': 'system:serviceaccount:n:a' })).body.message,
    'serviceaccounts "a" is forbidden: User "bob" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "n"',
  )
})

void t.test('questions that ask nothing, or too much', async (t) => {
  const { ask } = await startServer(t)
  const review = (spec: object, what = 'subjectaccessreviews') => ask('POST', `/apis/authorization.k8s.io/v1/${what}`, { spec })
  const none = await review({})
  t.equal(none.status, 422)
  t.same(none.body.details, {
    group: 'authorization.k8s.io',
    kind: 'SubjectAccessReview',
    causes: [
      {
        reason: 'FieldValueInvalid',
        message: 'Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified',
        field: 'spec.resourceAttributes',
      },
      { reason: 'FieldValueInvalid', message: 'Invalid value: "": at least one of user or group must be specified', field: 'spec.user' },
    ],
  })
  t.match((await review({ resourceAttributes: {}, nonResourceAttributes: { path: '/x' } }, 'selfsubjectaccessreviews')).body, {
    code: 422,
    message:
      'SelfSubjectAccessReview.authorization.k8s.io "" is invalid: spec.nonResourceAttributes: Invalid value: {"path":"/x"}: cannot be specified in combination with resourceAttributes',
  })
  const local = (namespace: string) =>
    review({ user: 'x', resourceAttributes: { namespace, verb: 'get', resource: 'pods' } }, 'namespaces/default/localsubjectaccessreviews')
  t.match((await local('other')).body, {
    code: 422,
    message:
      'LocalSubjectAccessReview.authorization.k8s.io "" is invalid: spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace',
  })
  t.match((await local('default')).body.status, { allowed: false })
  t.match((await review({}, 'selfsubjectrulesreviews')).body, { code: 400, message: 'no namespace on request' })
})

void t.test('a kubelet sees its own node and what its pods refer to', async (t) => {
  const { ask } = await startServer(t)
  await ask(...defaultAccount())
  const n1 = { user: { name: 'system:node:n1', groups: ['system:nodes'] } }
  const node = (name: string) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name } })
  t.match((await ask('POST', '/api/v1/nodes', node('n1'), n1)).body, {
    spec: { taints: [{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }] },
  })
  t.equal((await ask('POST', '/api/v1/nodes', node('n2'), n1)).status, 403)
  await ask('POST', '/api/v1/nodes', node('n2'))
  t.equal((await ask('GET', '/api/v1/nodes/n2', undefined, n1)).status, 403)
  t.equal(
    (await ask('PATCH', '/api/v1/nodes/n1', { metadata: { labels: { 'node-role.kubernetes.io/control-plane': '' } } }, n1)).status,
    403,
  )
  t.equal((await ask('PATCH', '/api/v1/nodes/n1', { metadata: { labels: { 'topology.kubernetes.io/zone': 'a' } } }, n1)).status, 200)
  t.equal((await ask('PATCH', '/api/v1/nodes/n1/status', { status: { nodeInfo: { kubeletVersion: 'v1.37.0' } } }, n1)).status < 500, true)

  for (const name of ['mine', 'other'])
    await ask('POST', '/api/v1/namespaces/default/secrets', { apiVersion: 'v1', kind: 'Secret', metadata: { name } })
  const volumes = [{ name: 's', secret: { secretName: 'mine' } }]
  t.equal((await ask('GET', '/api/v1/namespaces/default/secrets/mine', undefined, n1)).status, 403)
  await ask('POST', '/api/v1/namespaces/default/pods', pod('p1', { spec: { nodeName: 'n1', volumes } }))
  await ask('POST', '/api/v1/namespaces/default/pods', pod('p2', { spec: { nodeName: 'n2' } }))
  t.equal((await ask('GET', '/api/v1/namespaces/default/secrets/mine', undefined, n1)).status, 200)
  t.equal((await ask('GET', '/api/v1/namespaces/default/secrets/other', undefined, n1)).status, 403)
  t.equal((await ask('GET', '/api/v1/namespaces/default/secrets', undefined, n1)).status, 403)
  t.equal((await ask('GET', '/api/v1/pods?fieldSelector=spec.nodeName%3Dn1', undefined, n1)).body.items.length, 1)
  t.equal((await ask('PATCH', '/api/v1/namespaces/default/pods/p1/status', { status: { phase: 'Running' } }, n1)).status, 200)
  t.equal((await ask('PATCH', '/api/v1/namespaces/default/pods/p2/status', { status: { phase: 'Running' } }, n1)).status, 403)
  t.equal((await ask('DELETE', '/api/v1/namespaces/default/pods/p2', undefined, n1)).status, 403)
  t.equal(
    (await ask('POST', '/api/v1/namespaces/default/pods', pod('p3', { spec: { nodeName: 'n1' } }), n1)).status,
    403,
    'mirror pods only',
  )
  const lease = (name: string) =>
    ask(
      'POST',
      '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases',
      { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name }, spec: { holderIdentity: name, leaseDurationSeconds: 40 } },
      n1,
    )
  t.equal((await lease('n1')).status, 201)
  t.equal((await lease('n2')).status, 403)
})
