// What clients match on: codes, reasons and sentences of refusals, where Kubernetes' own tests look at them.
import t from 'tap'
import { configMap, defaultAccount, pod, startServer } from './harness.js'

const maps = '/api/v1/namespaces/default/configmaps'
const deployments = '/apis/apps/v1/namespaces/default/deployments'
const APPLY = { headers: { 'content-type': 'application/apply-patch+yaml' } }
const deployment = (spec: object = {}) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web' },
  spec: {
    selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image: 'nginx' }] } },
    ...spec,
  },
})

void t.test('problems with fields are told in the order of the text', async (t) => {
  const { ask } = await startServer(t)
  const text = (first: string, second: string) => `{"metadata":{"name":"my-dep"},"spec":{${first},${second},"selector":{}}}`
  const unknown = '"unknownField":"foo"'
  const twice = '"replicas":2,"replicas":3'
  t.match(
    (await ask('POST', `${deployments}?fieldValidation=Strict`, text(unknown, twice))).body.message,
    /strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas"$/,
  )
  t.match(
    (await ask('POST', `${deployments}?fieldValidation=Strict`, text(twice, unknown))).body.message,
    /strict decoding error: duplicate field "spec.replicas", unknown field "spec.unknownField"$/,
  )
})

void t.test('a body that cannot be read', async (t) => {
  const { ask } = await startServer(t)
  t.match(await ask('POST', maps, '{"a":'), {
    status: 400,
    body: {
      reason: 'BadRequest',
      message: `the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input ({"a":)`,
    },
  })
  t.match((await ask('POST', maps, Buffer.alloc(0))).body.message, /\(<empty>\)$/)
  t.match((await ask('POST', maps, '[1]x')).body.message, /\(5b315d78\)$/)
})

void t.test('patches that make no object of the kind', async (t) => {
  const { ask } = await startServer(t)
  await ask('POST', deployments, deployment())
  const patch = (body: unknown, type: string) =>
    ask('PATCH', `${deployments}/web?fieldValidation=Strict`, body, { headers: { 'content-type': `application/${type}+json` } })
  t.match(await patch({ spec: { wrong: 1 } }, 'strategic-merge-patch'), {
    status: 422,
    body: {
      reason: 'Invalid',
      message: ' "" is invalid: patch: Invalid value: "map[spec:map[wrong:1]]": strict decoding error: unknown field "spec.wrong"',
    },
  })
  t.match(await patch({ spec: { replicas: 'x' } }, 'merge-patch'), {
    status: 422,
    body: { message: /^ "" is invalid: patch: Invalid value: "\{.*cannot unmarshal string into Go struct field .*replicas of type int32$/ },
  })
  t.match(await patch([{ op: 'add', path: '/spec/wrong', value: 1 }], 'json-patch'), {
    status: 422,
    body: { message: /strict decoding error: unknown field "spec.wrong"$/ },
  })
  t.equal((await ask('GET', `${deployments}/web`)).body.metadata.generation, 1, 'nothing was stored')
})

void t.test('configurations that do not fit, or say a thing twice', async (t) => {
  const { ask } = await startServer(t)
  const apply = (body: unknown, query = '') => ask('PATCH', `${deployments}/web?fieldManager=me${query}`, body, APPLY)
  t.match(await apply(deployment({ wrong: 1 })), {
    status: 500,
    body: { message: 'failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.wrong: field not declared in schema' },
  })
  const twice = '\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  name: web\n'
  t.match(await apply(twice, '&fieldValidation=Strict'), {
    status: 400,
    body: { message: /^error strict decoding YAML: .*\n {2}line 6: key "name" already set in map$/ },
  })
  t.equal((await apply(deployment())).status, 201)
  t.match((await apply(twice, '&fieldValidation=Warn')).headers.warning, /key \\"name\\" already set in map/)
  t.match(await ask('PATCH', `${maps}/new?fieldManager=me`, { ...configMap('new'), metadata: { name: 'new', uid: 'u' } }, APPLY), {
    status: 409,
    body: { message: /uid mismatch: the provided object specified uid u, and no existing object was found$/ },
  })
})

void t.test('what admission and the server fill in belongs to nobody', async (t) => {
  const { ask } = await startServer(t)
  await ask(...defaultAccount())
  const made = await ask('POST', '/api/v1/namespaces/default/pods?fieldManager=me', pod('a'))
  t.ok(made.body.spec.volumes && made.body.spec.tolerations && made.body.spec.serviceAccountName, 'they are there')
  t.same(made.body.metadata.managedFields[0].fieldsV1, {
    'f:spec': {
      'f:containers': {
        'k:{"name":"main"}': {
          '.': {},
          'f:image': {},
          'f:imagePullPolicy': {},
          'f:name': {},
          'f:resources': {},
          'f:terminationMessagePath': {},
          'f:terminationMessagePolicy': {},
        },
      },
      'f:dnsPolicy': {},
      'f:enableServiceLinks': {},
      'f:restartPolicy': {},
      'f:schedulerName': {},
      'f:securityContext': {},
      'f:terminationGracePeriodSeconds': {},
    },
  })
  const service = await ask('POST', '/api/v1/namespaces/default/services?fieldManager=me', {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 's' },
    spec: { ports: [{ port: 80 }] },
  })
  t.ok(service.body.spec.clusterIP)
  t.equal(service.body.metadata.managedFields[0].fieldsV1['f:spec']['f:clusterIP'], undefined)
})

void t.test('who makes an object does not own its status', async (t) => {
  const { ask } = await startServer(t)
  await ask('POST', '/api/v1/namespaces', { metadata: { name: 'n' } })
  const { body } = await ask('GET', '/api/v1/namespaces/n')
  t.equal(body.status.phase, 'Active')
  t.notMatch(JSON.stringify(body.metadata.managedFields), /f:status/)
  const status = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'n' }, status: { phase: 'Terminating' } }
  t.equal((await ask('PATCH', '/api/v1/namespaces/n/status?fieldManager=other', status, APPLY)).status, 200, 'no conflict')
})

void t.test('a conflict names the door through which the other came', async (t) => {
  const { ask } = await startServer(t)
  await ask('POST', `${deployments}?fieldManager=me`, deployment())
  await ask('PATCH', `${deployments}/web/scale?fieldManager=autoscaler`, { spec: { replicas: 3 } })
  const { body } = await ask('GET', `${deployments}/web`)
  t.match(
    body.metadata.managedFields.find(({ manager }: { manager: string }) => manager === 'autoscaler'),
    { operation: 'Update', apiVersion: 'apps/v1', subresource: 'scale', fieldsV1: { 'f:spec': { 'f:replicas': {} } } },
  )
  const scale = 'conflict with "autoscaler" with subresource "scale" using apps/v1'
  const apply = (path: string, wanted: object) => ask('PATCH', `${deployments}/${path}?fieldManager=app`, wanted, APPLY)
  const whole = deployment({ replicas: 7 })
  whole.spec.template.spec.containers = [{ name: 'web', image: 'other' }]
  const refused = await apply('web', whole)
  t.equal(
    refused.body.message,
    `Apply failed with 2 conflicts: ${scale}: .spec.replicas\nconflict with "me" using apps/v1: .spec.template.spec.containers[name="web"].image`,
  )
  t.same(refused.body.details.causes[0], { reason: 'FieldManagerConflict', message: scale, field: '.spec.replicas' })
  const scaled = await apply('web/scale', { apiVersion: 'autoscaling/v1', kind: 'Scale', metadata: { name: 'web' }, spec: { replicas: 9 } })
  t.match(scaled, { status: 409, body: { message: `Apply failed with 1 conflict: ${scale}: .spec.replicas` } })
})

void t.test('methods, versions', async (t) => {
  const { ask } = await startServer(t)
  await ask('POST', maps, configMap('a'))
  for (const [method, path] of [
    ['POST', `${maps}/a`],
    ['PUT', maps],
    ['PATCH', maps],
  ] as const)
    t.match(await ask(method, path, configMap('a')), {
      status: 405,
      body: { reason: 'MethodNotAllowed', message: 'the server does not allow this method on the requested resource' },
    })
  t.match(await ask('GET', `${maps}?resourceVersion=99999999`), {
    status: 504,
    body: { reason: 'Timeout', message: /^Timeout: Too large resource version: 99999999, current: \d+$/ },
  })
  t.match(await ask('POST', maps, { ...configMap('b'), metadata: { name: 'b', resourceVersion: '7' } }), {
    status: 500,
    body: { message: 'resourceVersion should not be set on objects to be created' },
  })
})

void t.test('an owner that is named twice is kept once', async (t) => {
  const { ask } = await startServer(t)
  const owner = (uid: string) => ({ apiVersion: 'v1', kind: 'Pod', name: 'a', uid })
  const made = await ask('POST', maps, {
    ...configMap('a'),
    metadata: { name: 'a', ownerReferences: [owner('u'), owner('v'), owner('u')] },
  })
  t.same(made.body.metadata.ownerReferences, [owner('u'), owner('v')])
  t.match(made.headers.warning, /^299 - "\.metadata\.ownerReferences contains duplicate entries; .* duplicate UID\(s\) observed: u"$/)
})

void t.test('documents that are asked for by their hash', async (t) => {
  const { ask } = await startServer(t)
  const { serverRelativeURL: url } = (await ask('GET', '/openapi/v3')).body.paths['apis/apps/v1']
  t.match(url, /\?hash=[0-9A-F]+$/)
  const found = await ask('GET', url)
  t.match(found, { status: 200, headers: { 'cache-control': 'public, immutable', expires: / GMT$/, etag: /./ } })
  const old = await ask('GET', '/openapi/v3/apis/apps/v1?hash=0123')
  t.match(old, { status: 301, headers: { location: url } })
  t.equal((await ask('GET', '/openapi/v3/apis/apps/v1')).headers.expires, undefined)
})
