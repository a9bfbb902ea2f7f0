/* biome-ignore-all lint/suspicious/noExplicitAny: answers of the API are looked at field by field */
// Custom resources from definition to removal, and server-side apply.
import workerThreads from 'node:worker_threads'
import zlib from 'node:zlib'
import t from 'tap'
import { deferred } from '../../src/lib/index.js'
import { configMap, startServer, until } from './harness.js'
import { serveApi } from './tls.js'

const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const widgets = '/apis/example.com/v1/namespaces/default/widgets'

const definition = (more: object = {}): Record<string, any> => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'widgets', singular: 'widget', kind: 'Widget', listKind: 'WidgetList', shortNames: ['wd'], categories: ['all'] },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: {
                type: 'object',
                required: ['size'],
                properties: {
                  size: { type: 'integer', minimum: 1, maximum: 10 },
                  color: { type: 'string', default: 'red', enum: ['red', 'blue'] },
                  replicas: { type: 'integer' },
                },
              },
              status: { type: 'object', properties: { phase: { type: 'string' }, replicas: { type: 'integer' } } },
            },
          },
        },
        subresources: { status: {}, scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' } },
        additionalPrinterColumns: [{ name: 'Size', type: 'integer', jsonPath: '.spec.size' }],
        selectableFields: [{ jsonPath: '.spec.color' }],
      },
      {
        name: 'v1beta1',
        served: true,
        storage: false,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
    ...more,
  },
})
const widget = (name: string, spec: object): object => ({ apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name }, spec })

void t.test('custom resources', async (t) => {
  const { ask, watch } = await startServer(t)
  t.equal((await ask('GET', widgets)).status, 404)
  const made = await ask('POST', crds, definition())
  t.equal(made.status, 201, JSON.stringify(made.body))
  await until(async () => (await ask('GET', widgets)).status === 200)
  t.match((await ask('GET', `${crds}/widgets.example.com`)).body.status, {
    acceptedNames: { plural: 'widgets' },
    conditions: [
      { type: 'NamesAccepted', status: 'True' },
      { type: 'Established', status: 'True' },
    ],
    storedVersions: ['v1'],
  })

  const created = await ask('POST', widgets, widget('a', { size: 3, unknown: 'pruned' }))
  t.equal(created.status, 201, JSON.stringify(created.body))
  t.same(created.body.spec, { size: 3, color: 'red' }, 'pruned and defaulted')
  t.equal(created.body.metadata.generation, 1)
  t.match(await ask('POST', widgets, widget('b', { size: 11 })), {
    status: 422,
    body: { reason: 'Invalid', details: { causes: [{ field: 'spec.size' }] } },
  })
  t.equal((await ask('POST', widgets, widget('b', {}))).status, 422)
  t.equal((await ask('POST', widgets, widget('b', { size: 'big' }))).status, 422)
  t.match(await ask('POST', `${widgets}?fieldValidation=Strict`, widget('b', { size: 1, shape: 'x' })), {
    status: 400,
    body: { message: /unknown field "spec.shape"/ },
  })
  t.equal((await ask('POST', widgets, widget('b', { size: 2, color: 'blue' }))).status, 201)
  t.same(
    (await ask('GET', `${widgets}?fieldSelector=spec.color%3Dblue`)).body.items.map((item: any) => item.metadata.name),
    ['b'],
  )
  t.match((await ask('GET', widgets, undefined, { headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } })).body, {
    columnDefinitions: [{ name: 'Name' }, { name: 'Size' }],
    rows: [{ cells: ['a', 3] }, { cells: ['b', 2] }],
  })

  const status = await ask('PATCH', `${widgets}/a/status`, { status: { phase: 'Ready' }, spec: { size: 9 } })
  t.match(status.body, { spec: { size: 3 }, status: { phase: 'Ready' }, metadata: { generation: 1 } })
  t.match((await ask('PATCH', `${widgets}/a`, { spec: { size: 4 }, status: { phase: 'No' } })).body, {
    spec: { size: 4 },
    status: { phase: 'Ready' },
    metadata: { generation: 2 },
  })
  t.match((await ask('PATCH', `${widgets}/a/scale`, { spec: { replicas: 7 } })).body, { kind: 'Scale', spec: { replicas: 7 } })
  t.equal((await ask('GET', `${widgets}/a`)).body.spec.replicas, 7)
  t.equal((await ask('PATCH', `${widgets}/a`, {}, { headers: { 'content-type': 'application/strategic-merge-patch+json' } })).status, 415)

  const older = await ask('GET', '/apis/example.com/v1beta1/namespaces/default/widgets/a')
  t.match(older.body, { apiVersion: 'example.com/v1beta1', kind: 'Widget', spec: { size: 4 } })
  const viaOlder = await ask('POST', '/apis/example.com/v1beta1/namespaces/default/widgets', {
    apiVersion: 'example.com/v1beta1',
    kind: 'Widget',
    metadata: { name: 'c' },
    spec: { size: 1 },
  })
  t.equal(viaOlder.status, 201, JSON.stringify(viaOlder.body))
  t.equal((await ask('GET', `${widgets}/c`)).body.apiVersion, 'example.com/v1')

  t.same((await ask('GET', '/apis/example.com/v1')).body.resources.map(({ name }: any) => name).sort(), [
    'widgets',
    'widgets/scale',
    'widgets/status',
  ])
  t.ok((await ask('GET', '/openapi/v3')).body.paths['apis/example.com/v1'])
  t.ok(JSON.stringify((await ask('GET', '/openapi/v3/apis/example.com/v1')).body).includes('"color"'))
  const { resourceVersion } = (await ask('GET', widgets)).body.metadata
  const events = watch(`${widgets}?watch=1&resourceVersion=${resourceVersion}`, 2)
  await ask('POST', widgets, widget('d', { size: 1 }))
  await ask('DELETE', `${widgets}/d`)
  t.same(
    (await events).map(({ type }) => type),
    ['ADDED', 'DELETED'],
  )

  const clash = definition({ names: { plural: 'gadgets', singular: 'gadget', kind: 'Widget' } })
  await ask('POST', crds, { ...clash, metadata: { name: 'gadgets.example.com' } })
  await until(async () =>
    (await ask('GET', `${crds}/gadgets.example.com`)).body.status?.conditions?.some(
      (one: any) => one.type === 'NamesAccepted' && one.status === 'False',
    ),
  )
  t.equal((await ask('GET', '/apis/example.com/v1/gadgets')).status, 404)

  await ask('PATCH', `${widgets}/a`, { metadata: { finalizers: ['example.com/hold'] } })
  await ask('DELETE', `${crds}/widgets.example.com`)
  await until(async () =>
    (await ask('GET', `${crds}/widgets.example.com`)).body.status.conditions.some(
      (one: any) => one.type === 'Terminating' && one.status === 'True',
    ),
  )
  t.equal((await ask('POST', widgets, widget('late', { size: 1 }))).status, 405, 'what is going takes no new objects')
  await ask('PATCH', `${widgets}/a`, { metadata: { finalizers: null } })
  await until(async () => (await ask('GET', `${crds}/widgets.example.com`)).status === 404)
  await until(async () => (await ask('GET', widgets)).status === 404)
  t.equal((await ask('POST', crds, { ...definition({ group: 'other.com' }) })).status, 422, 'a name that does not fit')
})

void t.test('definitions: names that others have, defaults that do not fit, columns without a value', async (t) => {
  const { ask } = await startServer(t)
  const named = (plural: string, names: object): Record<string, any> => ({
    ...definition({ names: { plural, ...names } }),
    metadata: { name: `${plural}.example.com` },
  })
  const conditionOf = async (plural: string): Promise<any> => {
    let found: any
    await until(async () => {
      const { status } = (await ask('GET', `${crds}/${plural}.example.com`)).body
      found = status?.conditions?.find((one: any) => one.type === 'NamesAccepted')
      return found !== undefined
    })
    return found
  }
  // Both are there before anybody has looked at either.
  await Promise.all([
    ask('POST', crds, named('widgets', { kind: 'Widget', singular: 'widget', shortNames: ['w'] })),
    ask('POST', crds, named('gadgets', { kind: 'Gadget', singular: 'gadget', shortNames: ['w', 'g'] })),
  ])
  const both = [await conditionOf('widgets'), await conditionOf('gadgets')]
  t.same(both.map(({ status }) => status).sort(), ['False', 'True'], 'one of them gets the name')
  t.match(
    both.find(({ status }) => status === 'False'),
    { reason: 'ShortNamesConflict', message: '"w" is already in use' },
  )
  await ask('POST', crds, named('others', { kind: 'Widget', listKind: 'OtherList', singular: 'other' }))
  t.match(await conditionOf('others'), { status: 'False', reason: 'KindConflict', message: '"Widget" is already in use' })
  t.match((await ask('GET', `${crds}/others.example.com`)).body.status.acceptedNames, { plural: 'others', singular: 'other', kind: '' })
  t.match((await ask('GET', `${crds}/others.example.com`)).body.status.conditions, [
    {},
    { type: 'Established', status: 'False', reason: 'NotAccepted', message: 'not all names are accepted' },
  ])

  const bad = named('things', { kind: 'Thing' })
  bad.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.size.default = 'big'
  bad.spec.versions[0].schema.openAPIV3Schema.properties.spec.default = { color: 'green' }
  const at = 'spec.versions[0].schema.openAPIV3Schema.properties[spec]'
  const refused = await ask('POST', crds, bad)
  t.equal(refused.status, 422)
  t.same(
    refused.body.details.causes.map(({ field, reason }: any) => [field, reason]),
    [
      [`${at}.default.size`, 'FieldValueRequired'],
      [`${at}.default.color`, 'FieldValueNotSupported'],
      [`${at}.properties[size].default`, 'FieldValueTypeInvalid'],
    ],
  )

  const dated = named('days', { kind: 'Day' })
  dated.spec.versions[0].additionalPrinterColumns = [
    { name: 'When', type: 'date', jsonPath: '.spec.when' },
    { name: 'Size', type: 'integer', jsonPath: '.spec.size', description: 'How big.' },
  ]
  await ask('POST', crds, dated)
  const days = '/apis/example.com/v1/namespaces/default/days'
  await until(async () => (await ask('GET', days)).status === 200)
  await ask('POST', days, { ...widget('a', { size: 1 }), kind: 'Day' })
  const table = await ask('GET', days, undefined, { headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } })
  t.same(table.body.rows[0].cells, ['a', null, 1])
  t.same(
    table.body.columnDefinitions.slice(1).map(({ description }: any) => description),
    ['Custom resource definition column (in JSONPath format): .spec.when', 'How big.'],
  )
})

void t.test('server-side apply', async (t) => {
  const { ask } = await startServer(t)
  const maps = '/api/v1/namespaces/default/configmaps'
  const apply = (manager: string, body: object, query = '') =>
    ask('PATCH', `${maps}/a?fieldManager=${manager}${query}`, body, { headers: { 'content-type': 'application/apply-patch+yaml' } })
  const created = await apply('one', configMap('a', { x: '1', y: '1' }))
  t.equal(created.status, 201, JSON.stringify(created.body))
  t.match(created.body.metadata.managedFields, [
    { manager: 'one', operation: 'Apply', apiVersion: 'v1', fieldsType: 'FieldsV1', fieldsV1: { 'f:data': { 'f:x': {}, 'f:y': {} } } },
  ])
  const conflict = await apply('two', configMap('a', { x: '2' }))
  t.match(conflict, {
    status: 409,
    body: {
      reason: 'Conflict',
      message: /Apply failed with 1 conflict: conflict with "one": \.data\.x/,
      details: { causes: [{ reason: 'FieldManagerConflict', field: '.data.x' }] },
    },
  })
  const forced = await apply('two', configMap('a', { x: '2' }), '&force=true')
  t.match(forced, { status: 200, body: { data: { x: '2', y: '1' } } })
  const fewer = await apply('one', configMap('a', {}))
  t.same(fewer.body.data, { x: '2' }, 'what the applier owned and leaves out goes')
  const same = await apply('two', configMap('a', { x: '2' }))
  t.equal(same.body.metadata.resourceVersion, fewer.body.metadata.resourceVersion, 'applying the same again changes nothing')
  const updated = await ask('PATCH', `${maps}/a?fieldManager=editor`, { data: { z: '1' } })
  t.ok(updated.body.metadata.managedFields.some((one: any) => one.manager === 'editor' && one.operation === 'Update'))
  t.equal(
    (await ask('PATCH', `${maps}/a`, configMap('a'), { headers: { 'content-type': 'application/apply-patch+yaml' } })).status,
    422,
    'an applier has a name',
  )
  t.equal((await ask('PATCH', `${maps}/a?force=true`, {})).status, 422)
  t.equal((await apply('two', { ...configMap('a'), metadata: { name: 'a', managedFields: [] } })).status < 500, true)
})

void t.test('@kubernetes/client-node: lists, informers, watches', async (t) => {
  // While it loads, its HTTP client looks for functions of newer Node versions that are never called here.
  for (const [module, name] of [
    [zlib, 'createZstdDecompress'],
    [workerThreads, 'markAsUncloneable'],
  ] as const) {
    const functions = module as unknown as Record<string, unknown>
    functions[name] ??= () => undefined
  }
  const promises = Promise as unknown as { withResolvers?: () => unknown }
  promises.withResolvers ??= () => deferred<unknown>()
  const { CoreV1Api, KubeConfig, makeInformer, Watch } = await import('@kubernetes/client-node')
  const api = await serveApi(t)
  const config = new KubeConfig()
  config.loadFromFile(api.kubeconfig)
  const core = config.makeApiClient(CoreV1Api)
  await core.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: 'first' }, data: { a: 'b' } } })
  const informer = makeInformer(config, '/api/v1/namespaces/default/configmaps', () =>
    core.listNamespacedConfigMap({ namespace: 'default' }),
  )
  const seen: string[] = []
  informer.on('add', (object) => void seen.push(`add ${object.metadata?.name}`))
  informer.on('update', (object) => void seen.push(`update ${object.metadata?.name}`))
  informer.on('delete', (object) => void seen.push(`delete ${object.metadata?.name}`))
  await informer.start()
  t.teardown(() => informer.stop())
  await core.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: 'second' } } })
  await core.replaceNamespacedConfigMap({ namespace: 'default', name: 'second', body: { metadata: { name: 'second' }, data: { c: 'd' } } })
  await core.deleteNamespacedConfigMap({ namespace: 'default', name: 'second' })
  await until(async () => seen.includes('delete second'))
  t.same(seen, ['add first', 'add second', 'update second', 'delete second'])
  t.equal((await core.readNamespacedConfigMap({ namespace: 'default', name: 'first' })).data?.a, 'b')
  await t.rejects(core.readNamespacedConfigMap({ namespace: 'default', name: 'none' }), /"code":404|HTTP-Code: 404/)
  const types: string[] = []
  const request = await new Watch(config).watch(
    '/api/v1/namespaces',
    {},
    (type: string) => void types.push(type),
    () => {},
  )
  await until(async () => types.length >= 4)
  request.abort()
  t.same(types, ['ADDED', 'ADDED', 'ADDED', 'ADDED'])
})
