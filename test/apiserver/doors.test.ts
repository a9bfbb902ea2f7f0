/* biome-ignore-all lint/suspicious/noExplicitAny: answers of the API are looked at field by field */
// Subresources: what each door lets through, what it leaves alone, and what it refuses.
import t, { type Test } from 'tap'
import { createCsr, generateKey } from '../../src/pki/index.js'
import { defaultAccount, pod, startServer } from './harness.js'

const pods = '/api/v1/namespaces/default/pods'
const deployments = '/apis/apps/v1/namespaces/default/deployments'
const STRATEGIC = { headers: { 'content-type': 'application/strategic-merge-patch+json' } }
const JSON_PATCH = { headers: { 'content-type': 'application/json-patch+json' } }
const APPLY = { headers: { 'content-type': 'application/apply-patch+yaml' } }
const METHODS = ['GET', 'PUT', 'PATCH', 'POST', 'DELETE'] as const

type Ask = Awaited<ReturnType<typeof startServer>>['ask']

/** Of the methods only these are a door's. */
async function onlyMethods(t: Test, ask: Ask, url: string, allowed: readonly string[]): Promise<void> {
  for (const method of METHODS)
    if (!allowed.includes(method)) {
      const { status, body } = await ask(method, url, method === 'GET' || method === 'DELETE' ? undefined : {})
      t.same([status, body.reason], [405, 'MethodNotAllowed'], `${method} ${url}`)
    }
}

async function refuses(t: Test, answer: ReturnType<Ask>, status: number, message: string): Promise<void> {
  const { status: actual, body } = await answer
  t.same([actual, body.message], [status, message])
}

const deployment = (name = 'd') => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: {
    replicas: 1,
    selector: { matchLabels: { a: 'b' } },
    template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'x' }] } },
  },
})

void t.test('status: get, update and each patch; the spec stays', async (t) => {
  const { ask } = await startServer(t)
  await ask('POST', deployments, deployment())
  const url = `${deployments}/d/status`
  await onlyMethods(t, ask, url, ['GET', 'PUT', 'PATCH'])
  const { body } = await ask('GET', url)
  t.match(body, { kind: 'Deployment', spec: { replicas: 1 } })
  const spec = { ...body.spec, replicas: 9 }
  t.match((await ask('PUT', url, { ...body, spec, status: { replicas: 2 } })).body, { spec: { replicas: 1 }, status: { replicas: 2 } })
  t.match((await ask('PATCH', url, { spec: { replicas: 9 }, status: { replicas: 3 } })).body, {
    spec: { replicas: 1 },
    status: { replicas: 3 },
  })
  const operations = [
    { op: 'replace', path: '/spec/replicas', value: 9 },
    { op: 'replace', path: '/status/replicas', value: 4 },
  ]
  t.match((await ask('PATCH', url, operations, JSON_PATCH)).body, { spec: { replicas: 1 }, status: { replicas: 4 } })
  const condition = { type: 'Available', status: 'True', reason: 'r', message: 'm' }
  await ask('PATCH', url, { status: { conditions: [condition] } }, STRATEGIC)
  const two = await ask('PATCH', url, { status: { conditions: [{ ...condition, type: 'Progressing' }] } }, STRATEGIC)
  t.same(two.body.status.conditions.map(({ type }: any) => type).sort(), ['Available', 'Progressing'], 'merged by type')
  const applied = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' }, status: { replicas: 5 } }
  t.match(await ask('PATCH', `${url}?fieldManager=me`, applied, APPLY), { status: 409, body: { reason: 'Conflict' } })
  t.match((await ask('PATCH', `${url}?fieldManager=me&force=true`, applied, APPLY)).body, { status: { replicas: 5 } })
  const main = await ask('PUT', `${deployments}/d`, { ...deployment(), status: { replicas: 77 } })
  t.match(main.body, { status: { replicas: 5 }, metadata: { generation: 1 } }, 'and the main door leaves the status')
  t.equal((await ask('PUT', url, { ...body, status: {} })).status, 409, 'an old version')
  t.equal((await ask('GET', '/api/v1/namespaces/default/configmaps/x/status')).status, 404, 'kinds without a status have no such door')
})

void t.test('scale: one number, whoever writes it', async (t) => {
  const { ask } = await startServer(t)
  await ask('POST', deployments, deployment())
  const url = `${deployments}/d/scale`
  await onlyMethods(t, ask, url, ['GET', 'PUT', 'PATCH'])
  const scale = (spec: object, more: object = {}) => ({
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: { name: 'd' },
    spec,
    ...more,
  })
  const replicas = async () => (await ask('GET', `${deployments}/d`)).body.spec.replicas
  t.equal((await ask('PATCH', url, [{ op: 'replace', path: '/spec/replicas', value: 3 }], JSON_PATCH)).body.spec.replicas, 3)
  t.equal((await ask('PATCH', url, { spec: { replicas: 4 } }, STRATEGIC)).body.spec.replicas, 4)
  t.equal((await ask('PUT', url, scale({ replicas: 5 }, { status: { replicas: 99 } }))).body.status.replicas, 0, 'status is not written')
  t.equal((await ask('PUT', `${url}?dryRun=All`, scale({ replicas: 8 }))).body.spec.replicas, 8)
  t.equal(await replicas(), 5, 'a dry run leaves it')
  await ask('PUT', url, scale({ replicas: 5 }, { metadata: { name: 'd', labels: { a: 'b' } } }))
  t.equal((await ask('GET', `${deployments}/d`)).body.metadata.labels, undefined, 'metadata is not written')

  const conflict = await ask('PATCH', `${url}?fieldManager=me`, scale({ replicas: 6 }), APPLY)
  t.match(conflict, { status: 409, body: { message: /conflict with .*: \.spec\.replicas$/ } })
  t.equal((await ask('PATCH', `${url}?fieldManager=me&force=true`, scale({ replicas: 6 }), APPLY)).body.spec.replicas, 6)
  const managers = (await ask('GET', `${deployments}/d`)).body.metadata.managedFields
  t.match(
    managers.find(({ manager }: any) => manager === 'me'),
    { operation: 'Apply', apiVersion: 'apps/v1', subresource: 'scale', fieldsV1: { 'f:spec': { 'f:replicas': {} } } },
  )
  const wrong = 'Scale in version "v1" cannot be handled as a Scale: '
  await refuses(
    t,
    ask('PUT', url, scale({ replicas: '5' })),
    400,
    `${wrong}json: cannot unmarshal string into Go struct field ScaleSpec.spec.replicas of type int32`,
  )
  await refuses(
    t,
    ask('PUT', `${url}?fieldValidation=Strict`, scale({ replicas: 5, x: 1 })),
    400,
    `${wrong}strict decoding error: unknown field "spec.x"`,
  )
  await refuses(
    t,
    ask('PUT', url, scale({ replicas: -1 })),
    422,
    'Scale.autoscaling "d" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0',
  )
  await refuses(
    t,
    ask('PUT', url, scale({}, { metadata: { name: 'x' } })),
    400,
    'the name of the object (x) does not match the name on the URL (d)',
  )
  await refuses(t, ask('PUT', url, { ...scale({}), kind: 'Status' }), 400, 'Status in version "v1" cannot be handled as a Scale')
  await refuses(t, ask('GET', `${deployments}/missing/scale`), 404, 'deployments.apps "missing" not found')
  t.equal(await replicas(), 6)
  t.equal((await ask('GET', '/apis/apps/v1/namespaces/default/daemonsets/x/scale')).status, 404, 'what cannot be scaled has no such door')
})

void t.test('resize: processor and memory of containers, and nothing else', async (t) => {
  const { ask } = await startServer(t)
  await ask(...defaultAccount())
  const resources = { requests: { cpu: '100m', memory: '64Mi' }, limits: { cpu: '1' } }
  await ask('POST', pods, pod('p', { spec: { nodeName: 'n', containers: [{ name: 'main', image: 'i', resources }] } }))
  const url = `${pods}/p/resize`
  await onlyMethods(t, ask, url, ['GET', 'PUT', 'PATCH'])
  const set = (resources: object, more: object = {}) =>
    ask('PATCH', url, { spec: { containers: [{ name: 'main', resources, ...more }] } }, STRATEGIC)
  t.match((await set({ requests: { cpu: '200m' } })).body, {
    metadata: { generation: 2 },
    spec: { containers: [{ resources: { requests: { cpu: '200m', memory: '64Mi' } } }] },
  })
  const { body } = await ask('GET', url)
  body.spec.containers[0].resources.limits.cpu = '2'
  t.match(await ask('PUT', url, body), { status: 200, body: { spec: { containers: [{ resources: { limits: { cpu: '2' } } }] } } })
  const kept = await ask(
    'PATCH',
    url,
    { metadata: { labels: { a: 'b' } }, spec: { activeDeadlineSeconds: 5, containers: [{ name: 'main', image: 'other' }] } },
    STRATEGIC,
  )
  t.equal(kept.status, 200)
  t.match(kept.body, { metadata: { labels: undefined }, spec: { activeDeadlineSeconds: undefined, containers: [{ image: 'i' }] } })
  const main = 'Pod "p" is invalid: spec.containers[0].resources.'
  await refuses(t, set({ requests: { memory: null } }), 422, `${main}requests: Forbidden: resource requests cannot be removed`)
  await refuses(t, set({ limits: null }), 422, `${main}limits: Forbidden: resource limits cannot be removed`)
  await refuses(
    t,
    set({ requests: { 'ephemeral-storage': '1Gi' } }),
    422,
    `${main}requests[ephemeral-storage]: Forbidden: only cpu and memory resources are mutable`,
  )
  await refuses(
    t,
    set({ requests: { cpu: '3' } }),
    422,
    `${main}requests: Invalid value: "3": must be less than or equal to cpu limit of 2`,
  )
  await refuses(
    t,
    set({ requests: { cpu: '1', memory: '1Gi' }, limits: { cpu: '1', memory: '1Gi' } }),
    422,
    'Pod "p" is invalid: spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing',
  )
  t.equal((await ask('GET', `${pods}/p`)).body.metadata.generation, 3, 'what was refused changed nothing')
})

void t.test('ephemeral containers come, and stay as they are', async (t) => {
  const { ask } = await startServer(t)
  await ask(...defaultAccount())
  await ask('POST', pods, pod('p', { spec: { nodeName: 'n' } }))
  const url = `${pods}/p/ephemeralcontainers`
  await onlyMethods(t, ask, url, ['GET', 'PUT', 'PATCH'])
  const add = (container: object) => ask('PATCH', url, { spec: { ephemeralContainers: [container] } }, STRATEGIC)
  t.match((await add({ name: 'e', image: 'i' })).body.spec.ephemeralContainers, [{ name: 'e' }])
  const { body } = await ask('GET', url)
  const twice = {
    ...body,
    spec: { ...body.spec, ephemeralContainers: [...body.spec.ephemeralContainers, { name: 'f', image: 'i', targetContainerName: 'main' }] },
  }
  t.equal((await ask('PUT', url, twice)).body.spec.ephemeralContainers.length, 2)
  t.match(
    (await ask('PATCH', url, { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'main', image: 'other' }] } }, STRATEGIC))
      .body,
    {
      metadata: { labels: undefined },
      spec: { containers: [{ image: 'busybox' }] },
    },
  )
  const what = 'Pod "p" is invalid: spec.ephemeralContainers'
  await refuses(t, add({ name: 'e', image: 'j' }), 422, `${what}: Forbidden: existing ephemeral containers "e" may not be changed`)
  t.match(await ask('PATCH', url, { spec: { ephemeralContainers: null } }), {
    status: 422,
    body: { message: /existing ephemeral containers "e" may not be removed/ },
  })
  await refuses(t, add({ name: 'main', image: 'i' }), 422, `${what}[0].name: Duplicate value: "main"`)
  await refuses(
    t,
    add({ name: 'g', image: 'i', ports: [{ containerPort: 1 }] }),
    422,
    `${what}[0].ports: Forbidden: cannot be set for an Ephemeral Container`,
  )
  await refuses(t, add({ name: 'g', image: 'i', targetContainerName: 'z' }), 422, `${what}[0].targetContainerName: Not found: "z"`)
  await refuses(t, add({ name: 'g', image: '' }), 422, `${what}[0].image: Required value`)
  const through = await ask('PATCH', `${pods}/p`, { spec: { ephemeralContainers: [{ name: 'h', image: 'i' }] } }, STRATEGIC)
  t.match([through.status, through.body.spec.ephemeralContainers.length], [200, 2], 'the main door keeps them')
  await refuses(
    t,
    ask('POST', pods, pod('q', { spec: { ephemeralContainers: [{ name: 'e', image: 'i' }] } })),
    422,
    'Pod "q" is invalid: spec.ephemeralContainers: Forbidden: cannot be set on create',
  )
})

void t.test('binding', async (t) => {
  const { ask } = await startServer(t)
  await ask(...defaultAccount())
  const { uid } = (await ask('POST', pods, pod('u'))).body.metadata
  await ask('POST', pods, pod('gated', { spec: { schedulingGates: [{ name: 'wait' }] } }))
  const url = `${pods}/u/binding`
  await onlyMethods(t, ask, url, ['POST'])
  const binding = (target: object, metadata: object = {}) => ({
    apiVersion: 'v1',
    kind: 'Binding',
    metadata: { name: 'u', ...metadata },
    target,
  })
  const n = { apiVersion: 'v1', kind: 'Node', name: 'n' }
  await refuses(
    t,
    ask('POST', url, binding({ ...n, kind: 'Pod' })),
    422,
    'Binding "u" is invalid: target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"',
  )
  await refuses(t, ask('POST', url, binding({ ...n, name: '' })), 422, 'Binding "u" is invalid: target.name: Required value')
  await refuses(t, ask('POST', url, binding(n, { name: 'v' })), 400, 'name in URL does not match name in Binding object')
  await refuses(t, ask('POST', url, { ...binding(n), kind: 'Pod' }), 400, 'Pod in version "v1" cannot be handled as a Binding')
  await refuses(
    t,
    ask('POST', `${url}?fieldValidation=Strict`, { ...binding(n), x: 1 }),
    400,
    'Binding in version "v1" cannot be handled as a Binding: strict decoding error: unknown field "x"',
  )
  await refuses(t, ask('POST', `${pods}/missing/binding`, binding(n, { name: 'missing' })), 404, 'pods "missing" not found')
  await refuses(
    t,
    ask('POST', url, binding(n, { uid: 'other' })),
    409,
    `Operation cannot be fulfilled on pods/binding "u": Precondition failed: UID in precondition: other, UID in object meta: ${uid}`,
  )
  t.match(await ask('POST', `${pods}/gated/binding`, binding(n, { name: 'gated' })), {
    status: 409,
    body: { message: /has non-empty \.spec\.schedulingGates$/ },
  })
  t.equal((await ask('POST', `${url}?dryRun=All`, binding(n))).status, 201)
  t.equal((await ask('GET', `${pods}/u`)).body.spec.nodeName, undefined, 'a dry run leaves it')
  t.match(await ask('POST', '/api/v1/namespaces/default/bindings', binding(n, { annotations: { a: 'b' } })), {
    status: 201,
    body: { kind: 'Status', status: 'Success' },
  })
  t.match((await ask('GET', `${pods}/u`)).body, { metadata: { annotations: { a: 'b' } }, spec: { nodeName: 'n' } })
  await refuses(
    t,
    ask('POST', url, binding(n)),
    409,
    'Operation cannot be fulfilled on pods/binding "u": pod u is already assigned to node "n"',
  )
})

void t.test('eviction', async (t) => {
  const { ask } = await startServer(t)
  await ask(...defaultAccount())
  const { uid } = (await ask('POST', pods, pod('u'))).body.metadata
  const url = `${pods}/u/eviction`
  await onlyMethods(t, ask, url, ['POST'])
  const eviction = (more: object = {}) => ({ apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'u' }, ...more })
  await refuses(t, ask('POST', url, eviction({ metadata: { name: 'v' } })), 400, 'name in URL does not match name in Eviction object')
  await refuses(t, ask('POST', url, eviction({ kind: 'Pod' })), 400, 'Pod in version "v1" cannot be handled as a Eviction')
  t.match(await ask('POST', url, eviction({ deleteOptions: { preconditions: { uid: 'other' } } })), {
    status: 409,
    body: { message: new RegExp(`the UID in the precondition \\(other\\) does not match the UID in record \\(${uid}\\)`) },
  })
  await refuses(
    t,
    ask('POST', url, eviction({ deleteOptions: { propagationPolicy: 'Some' } })),
    422,
    'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Some": supported values: "Foreground", "Background", "Orphan", "nil"',
  )
  t.equal((await ask('POST', url, eviction({ deleteOptions: { dryRun: ['All'] } }))).status, 201)
  t.equal((await ask('GET', `${pods}/u`)).status, 200, 'a dry run leaves it')
  t.equal((await ask('POST', url, eviction({ apiVersion: 'policy/v1beta1' }))).status, 201, 'older clients say the older version')
  t.equal((await ask('GET', `${pods}/u`)).status, 404)
})

void t.test('finalize: only a namespace has it, only its finalizers go through', async (t) => {
  const { ask } = await startServer(t)
  const url = '/api/v1/namespaces/x/finalize'
  await ask('POST', '/api/v1/namespaces', { metadata: { name: 'x' } })
  await onlyMethods(t, ask, url, ['PUT'])
  const body = (finalizers: string[]) => ({ metadata: { name: 'x' }, spec: { finalizers }, status: { phase: 'Terminating' } })
  t.match((await ask('PUT', url, body(['kubernetes', 'example.com/a']))).body, {
    spec: { finalizers: ['kubernetes', 'example.com/a'] },
    status: { phase: 'Active' },
  })
  await refuses(
    t,
    ask('PUT', url, body(['a'])),
    422,
    'Namespace "x" is invalid: spec.finalizers: Invalid value: "a": name is neither a standard finalizer name nor is it fully qualified',
  )
  t.match(
    (await ask('PUT', '/api/v1/namespaces/x', body([]))).body,
    { spec: { finalizers: ['kubernetes', 'example.com/a'] } },
    'the main door keeps them',
  )
  t.match((await ask('PUT', '/api/v1/namespaces/x/status', body([]))).body, {
    spec: { finalizers: ['kubernetes', 'example.com/a'] },
    status: { phase: 'Terminating' },
  })
  t.equal((await ask('PUT', `${pods}/x/finalize`, {})).status, 404)
})

void t.test('approval: conditions, and nothing else', async (t) => {
  const { ask } = await startServer(t)
  const csrs = '/apis/certificates.k8s.io/v1/certificatesigningrequests'
  const request = Buffer.from(createCsr({ commonName: 'x' }, await generateKey())).toString('base64')
  const spec = { request, signerName: 'example.com/s', usages: ['client auth'] }
  for (const name of ['a', 'b']) await ask('POST', csrs, { metadata: { name }, spec })
  const url = `${csrs}/a/approval`
  await onlyMethods(t, ask, url, ['GET', 'PUT', 'PATCH'])
  const condition = (type: string, status = 'True') => ({ type, status, reason: 'r', message: 'm' })
  const { body } = await ask('GET', url)
  const approved = await ask('PUT', url, {
    ...body,
    spec: { ...spec, signerName: 'other.com/s' },
    status: { certificate: 'YQ==', conditions: [condition('Approved')] },
  })
  t.match(approved.body, {
    spec: { signerName: 'example.com/s' },
    status: { certificate: undefined, conditions: [{ type: 'Approved', lastUpdateTime: /Z$/, lastTransitionTime: /Z$/ }] },
  })
  const of = (detail: string): string => `CertificateSigningRequest.certificates.k8s.io "a" is invalid: ${detail}`
  t.match(await ask('PATCH', url, { status: { conditions: [] } }), {
    status: 422,
    body: { message: of('status.conditions: Forbidden: updates may not remove a condition of type "Approved"') },
  })
  t.match(await ask('PATCH', url, { status: { conditions: [condition('Approved'), condition('Denied')] } }), {
    status: 422,
    body: { message: of('status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive') },
  })
  t.match(await ask('PATCH', `${csrs}/b/approval`, { status: { conditions: [condition('Approved', 'False')] } }), {
    status: 422,
    body: { message: /status\.conditions\[0\]\.status: Unsupported value: "False": supported values: "True"$/ },
  })
  t.match(await ask('PATCH', `${csrs}/b/status`, { status: { conditions: [condition('Approved')] } }), {
    status: 422,
    body: { message: /updates may not add a condition of type "Approved"/ },
  })
  const signed = await ask('PATCH', `${csrs}/a/status`, { status: { certificate: Buffer.from('x').toString('base64') } })
  t.equal(signed.status, 200)
  t.match(await ask('PATCH', `${csrs}/a/status`, { status: { certificate: Buffer.from('y').toString('base64') } }), {
    status: 422,
    body: { message: /status\.certificate: Forbidden: updates may not modify a certificate once it is set$/ },
  })
  t.match((await ask('PATCH', `${csrs}/a`, { status: { conditions: [] }, metadata: { labels: { l: 'm' } } })).body, {
    metadata: { labels: { l: 'm' } },
    status: { conditions: [{ type: 'Approved' }] },
  })
})
