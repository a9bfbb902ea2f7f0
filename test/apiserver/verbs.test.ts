/* biome-ignore-all lint/suspicious/noExplicitAny: answers of the API are looked at field by field */
// The verbs, through the handler and without a socket.
import t from 'tap'
import { configMap, defaultAccount, pod, startServer } from './harness.js'

const maps = '/api/v1/namespaces/default/configmaps'

void t.test('create, get, list, update, patch, delete', async (t) => {
  const { ask } = await startServer(t)
  const created = await ask('POST', maps, configMap('a', { k: '1' }))
  t.equal(created.status, 201)
  t.match(created.body, {
    kind: 'ConfigMap',
    apiVersion: 'v1',
    metadata: { name: 'a', namespace: 'default', uid: /^[0-9a-f-]{36}$/, resourceVersion: /^\d+$/, creationTimestamp: /Z$/ },
    data: { k: '1' },
  })
  const got = await ask('GET', `${maps}/a`)
  t.same(got.body, created.body)
  t.equal((await ask('GET', maps)).body.items.length, 1)
  t.match((await ask('GET', '/api/v1/configmaps')).body, { kind: 'ConfigMapList', items: [{ metadata: { name: 'a' } }] })

  const updated = await ask('PUT', `${maps}/a`, { ...got.body, data: { k: '2' } })
  t.equal(updated.status, 200)
  t.ok(Number(updated.body.metadata.resourceVersion) > Number(created.body.metadata.resourceVersion))
  const stale = await ask('PUT', `${maps}/a`, { ...got.body, data: { k: '3' } })
  t.equal(stale.status, 409)
  t.match(stale.body, {
    kind: 'Status',
    reason: 'Conflict',
    message:
      'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
  })

  const unchanged = await ask('PATCH', `${maps}/a`, { data: { k: '2' } })
  t.equal(unchanged.body.metadata.resourceVersion, updated.body.metadata.resourceVersion, 'a patch that changes nothing writes nothing')
  const patched = await ask('PATCH', `${maps}/a`, { data: { k: null, l: 'x' } })
  t.same(patched.body.data, { l: 'x' })
  const byOperations = await ask('PATCH', `${maps}/a`, [{ op: 'add', path: '/data/m', value: 'y' }], {
    headers: { 'content-type': 'application/json-patch+json' },
  })
  t.same(byOperations.body.data, { l: 'x', m: 'y' })
  t.equal((await ask('PATCH', `${maps}/a`, {}, { headers: { 'content-type': 'text/plain' } })).status, 415)

  t.match(await ask('POST', maps, configMap('a')), {
    status: 409,
    body: { reason: 'AlreadyExists', message: 'configmaps "a" already exists' },
  })
  const deleted = await ask('DELETE', `${maps}/a`)
  t.match(deleted, {
    status: 200,
    body: { kind: 'Status', status: 'Success', details: { name: 'a', kind: 'configmaps', uid: created.body.metadata.uid } },
  })
  t.match(await ask('GET', `${maps}/a`), {
    status: 404,
    body: { reason: 'NotFound', message: 'configmaps "a" not found', details: { name: 'a', kind: 'configmaps' } },
  })
  t.equal((await ask('DELETE', `${maps}/a`)).status, 404)
})

void t.test('names are generated, dry runs leave nothing', async (t) => {
  const { ask } = await startServer(t)
  const one = await ask('POST', maps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { generateName: 'gen-' } })
  t.match(one.body.metadata.name, /^gen-[a-z0-9]{5}$/)
  const dry = await ask('POST', `${maps}?dryRun=All`, configMap('dry'))
  t.equal(dry.status, 201)
  t.equal((await ask('GET', `${maps}/dry`)).status, 404)
  await ask('POST', maps, configMap('real', { a: '1' }))
  t.match((await ask('PATCH', `${maps}/real?dryRun=All`, { data: { a: '2' } })).body, { data: { a: '2' } })
  t.match((await ask('GET', `${maps}/real`)).body, { data: { a: '1' } })
  t.equal((await ask('DELETE', `${maps}/real?dryRun=All`)).status, 200)
  t.equal((await ask('GET', `${maps}/real`)).status, 200)
  t.match(await ask('POST', `${maps}?dryRun=Some`, configMap('x')), { status: 422, body: { reason: 'Invalid' } })
})

void t.test('namespaces that are not there, or going', async (t) => {
  const { ask } = await startServer(t)
  t.match(await ask('POST', '/api/v1/namespaces/nowhere/configmaps', configMap('a')), {
    status: 404,
    body: { message: 'namespaces "nowhere" not found' },
  })
  const made = await ask('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'n' } })
  t.match(made.body, {
    metadata: { labels: { 'kubernetes.io/metadata.name': 'n' } },
    spec: { finalizers: ['kubernetes'] },
    status: { phase: 'Active' },
  })
  await ask('POST', '/api/v1/namespaces/n/configmaps', configMap('a'))
  const going = await ask('DELETE', '/api/v1/namespaces/n')
  t.match(going.body, { kind: 'Namespace', status: { phase: 'Terminating' }, metadata: { deletionTimestamp: /Z$/ } })
  t.match(await ask('POST', '/api/v1/namespaces/n/configmaps', configMap('b')), {
    status: 403,
    body: { reason: 'Forbidden', details: { causes: [{ reason: 'NamespaceTerminating' }] } },
  })
  const current = (await ask('GET', '/api/v1/namespaces/n')).body
  const finalized = await ask('PUT', '/api/v1/namespaces/n/finalize', { ...current, spec: { finalizers: [] } })
  t.equal(finalized.status, 200)
  t.equal((await ask('GET', '/api/v1/namespaces/n')).status, 404)
  t.match(await ask('DELETE', '/api/v1/namespaces/default'), { status: 403 })
})

void t.test('finalizers keep an object until the last of them goes', async (t) => {
  const { ask } = await startServer(t)
  await ask('POST', maps, { ...configMap('held'), metadata: { name: 'held', finalizers: ['example.com/hold'] } })
  const going = await ask('DELETE', `${maps}/held`)
  t.match(going, { status: 200, body: { kind: 'ConfigMap', metadata: { deletionTimestamp: /Z$/, deletionGracePeriodSeconds: 0 } } })
  t.equal((await ask('GET', `${maps}/held`)).status, 200)
  t.equal((await ask('PATCH', `${maps}/held`, { metadata: { finalizers: null } })).status, 200)
  t.equal((await ask('GET', `${maps}/held`)).status, 404)
})

void t.test('deletion: preconditions and what becomes of dependents', async (t) => {
  const { ask } = await startServer(t)
  const { body } = await ask('POST', maps, configMap('a'))
  const wrong = await ask('DELETE', `${maps}/a`, { kind: 'DeleteOptions', apiVersion: 'v1', preconditions: { uid: 'other' } })
  t.match(wrong, {
    status: 409,
    body: { reason: 'Conflict', message: /the UID in the precondition \(other\) does not match the UID in record/ },
  })
  t.equal((await ask('DELETE', `${maps}/a`, { preconditions: { resourceVersion: '1' } })).status, 409)
  t.equal((await ask('DELETE', `${maps}/a`, { propagationPolicy: 'Sideways' })).status, 422)
  const orphan = await ask('DELETE', `${maps}/a`, { propagationPolicy: 'Orphan', preconditions: { uid: body.metadata.uid } })
  t.match(orphan.body, { metadata: { finalizers: ['orphan'] } })
  const foreground = await ask('DELETE', `${maps}/a?propagationPolicy=Foreground`)
  t.same(foreground.body.metadata.finalizers, ['foregroundDeletion'])
  t.equal((await ask('DELETE', `${maps}/a`, { propagationPolicy: 'Background' })).status, 200)
  t.equal((await ask('GET', `${maps}/a`)).status, 404)
})

void t.test('pods get time to end', async (t) => {
  const { ask } = await startServer(t)
  await ask(...defaultAccount())
  const pods = '/api/v1/namespaces/default/pods'
  t.equal((await ask('POST', pods, pod('waiting'))).status, 201)
  t.equal((await ask('DELETE', `${pods}/waiting`)).body.kind, 'Pod')
  t.equal((await ask('GET', `${pods}/waiting`)).status, 404, 'a pod without a node goes at once')
  await ask('POST', pods, pod('bound', { spec: { nodeName: 'n1' } }))
  const going = await ask('DELETE', `${pods}/bound`)
  t.match(going.body, { metadata: { deletionGracePeriodSeconds: 30, deletionTimestamp: /Z$/ } })
  const sooner = await ask('DELETE', `${pods}/bound`, { gracePeriodSeconds: 5 })
  t.match(sooner.body, { metadata: { deletionGracePeriodSeconds: 5 } })
  t.ok(Date.parse(sooner.body.metadata.deletionTimestamp) < Date.parse(going.body.metadata.deletionTimestamp))
  const later = await ask('DELETE', `${pods}/bound`, { gracePeriodSeconds: 50 })
  t.match(later.body, { metadata: { deletionGracePeriodSeconds: 5 } }, 'time is only ever taken away')
  t.equal((await ask('DELETE', `${pods}/bound`, { gracePeriodSeconds: 0 })).status, 200)
  t.equal((await ask('GET', `${pods}/bound`)).status, 404)
})

void t.test('deletecollection takes what the selector means', async (t) => {
  const { ask } = await startServer(t)
  for (const name of ['a', 'b', 'c'])
    await ask('POST', maps, { ...configMap(name), metadata: { name, labels: { app: name === 'c' ? 'y' : 'x' } } })
  const answer = await ask('DELETE', `${maps}?labelSelector=app%3Dx`)
  t.equal(answer.body.items.length, 2)
  t.same(
    (await ask('GET', maps)).body.items.map(({ metadata }: any) => metadata.name),
    ['c'],
  )
})

void t.test('deletecollection: nothing when dry, what is held stays, dependents first', async (t) => {
  const { ask } = await startServer(t)
  const held = { name: 'b', finalizers: ['example.com/hold'] }
  for (const name of ['a', 'b', 'c']) await ask('POST', maps, { ...configMap(name), metadata: name === 'b' ? held : { name } })
  const left = async (): Promise<unknown[]> =>
    (await ask('GET', maps)).body.items.map(({ metadata }: any) => [
      metadata.name,
      metadata.finalizers,
      Boolean(metadata.deletionTimestamp),
    ])
  const page = await ask('DELETE', `${maps}?dryRun=All&limit=2`)
  t.match(page.body, { kind: 'ConfigMapList', metadata: { continue: /./, remainingItemCount: 1 } })
  t.same((await left()).length, 3)
  await ask('DELETE', maps, { propagationPolicy: 'Foreground' })
  t.same(await left(), [
    ['a', ['foregroundDeletion'], true],
    ['b', ['example.com/hold', 'foregroundDeletion'], true],
    ['c', ['foregroundDeletion'], true],
  ])
  t.match((await ask('PATCH', `${maps}/b`, { metadata: { finalizers: [...held.finalizers, 'foregroundDeletion', 'n.e/w'] } })).body, {
    code: 422,
    message:
      'ConfigMap "b" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"n.e/w"}',
  })
  await ask('DELETE', maps, { propagationPolicy: 'Background' })
  t.same(await left(), [['b', ['example.com/hold'], true]])
})

void t.test('bindings, status and the fields that each door leaves alone', async (t) => {
  const { ask } = await startServer(t)
  await ask(...defaultAccount())
  const pods = '/api/v1/namespaces/default/pods'
  await ask('POST', pods, pod('p'))
  const binding = { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'p' }, target: { apiVersion: 'v1', kind: 'Node', name: 'n1' } }
  t.match(await ask('POST', `${pods}/p/binding`, binding), { status: 201, body: { kind: 'Status', status: 'Success' } })
  t.match((await ask('GET', `${pods}/p`)).body, {
    spec: { nodeName: 'n1' },
    status: { conditions: [{ type: 'PodScheduled', status: 'True' }] },
  })
  t.match(await ask('POST', `${pods}/p/binding`, binding), { status: 409, body: { message: /pod p is already assigned to node "n1"/ } })
  const { body } = await ask('GET', `${pods}/p`)
  const through = await ask('PUT', `${pods}/p/status`, {
    ...body,
    spec: { ...body.spec, nodeName: 'n2' },
    status: { ...body.status, phase: 'Running' },
  })
  t.match(through.body, { spec: { nodeName: 'n1' }, status: { phase: 'Running' } })
  const spec = await ask('PUT', `${pods}/p`, { ...through.body, status: { phase: 'Failed' } })
  t.match(spec.body, { status: { phase: 'Running' } })
})
