/* biome-ignore-all lint/suspicious/noExplicitAny: answers of the API are looked at field by field */
// list and watch: pages, versions, selectors, events.
import t from 'tap'
import { virtualClock } from '../../src/lib/index.js'
import { configMap, defaultAccount, pod, readEvents, startServer } from './harness.js'

const maps = '/api/v1/namespaces/default/configmaps'
const names = (body: any): string[] => body.items.map((item: any) => item.metadata.name)

void t.test('pages, of one revision, whatever is written meanwhile', async (t) => {
  const { ask, store } = await startServer(t)
  for (let i = 0; i < 7; i++) await ask('POST', maps, configMap(`m${i}`))
  const first = await ask('GET', `${maps}?limit=3`)
  t.same(names(first.body), ['m0', 'm1', 'm2'])
  t.equal(first.body.metadata.remainingItemCount, 4)
  const next = (token: string) => ask('GET', `${maps}?limit=3&continue=${encodeURIComponent(token)}`)
  await ask('DELETE', `${maps}/m4`)
  await ask('POST', maps, configMap('m3a'))
  const second = await next(first.body.metadata.continue)
  t.same(names(second.body), ['m3', 'm4', 'm5'], 'what was there when the list began')
  t.equal(second.body.metadata.resourceVersion, first.body.metadata.resourceVersion)
  t.equal(second.body.metadata.remainingItemCount, 1)
  const third = await next(second.body.metadata.continue)
  t.same(names(third.body), ['m6'])
  t.equal(third.body.metadata.continue, undefined)

  await store.compact(await store.revision())
  const expired = await next(second.body.metadata.continue)
  t.match(expired, {
    status: 410,
    body: { reason: 'Expired', message: /The provided continue parameter is too old/, metadata: { continue: /./ } },
  })
  const inconsistent = await next(expired.body.metadata.continue)
  t.same(names(inconsistent.body), ['m6'], 'the token of the refusal goes on with what is there now')
  t.equal((await next('garbage')).status, 400)
  t.equal((await ask('GET', `${maps}?continue=${first.body.metadata.continue}&resourceVersion=5`)).status, 400)
})

void t.test('pages of a selection', async (t) => {
  const { ask } = await startServer(t)
  for (let i = 0; i < 6; i++)
    await ask('POST', maps, { ...configMap(`m${i}`), metadata: { name: `m${i}`, labels: { odd: String(i % 2 === 1) } } })
  const first = await ask('GET', `${maps}?labelSelector=odd%3Dtrue&limit=2`)
  t.same(names(first.body), ['m1', 'm3'])
  t.equal(first.body.metadata.remainingItemCount, undefined)
  const second = await ask('GET', `${maps}?labelSelector=odd%3Dtrue&limit=2&continue=${first.body.metadata.continue}`)
  t.same(names(second.body), ['m5'])
})

void t.test('lists at a revision', async (t) => {
  const { ask, store } = await startServer(t)
  await ask('POST', maps, configMap('a'))
  const before = (await ask('GET', maps)).body.metadata.resourceVersion
  await ask('POST', maps, configMap('b'))
  t.same(names((await ask('GET', `${maps}?resourceVersion=${before}&resourceVersionMatch=Exact`)).body), ['a'])
  t.same(names((await ask('GET', `${maps}?resourceVersion=${before}&resourceVersionMatch=NotOlderThan`)).body), ['a', 'b'])
  t.same(names((await ask('GET', `${maps}?resourceVersion=0`)).body), ['a', 'b'])
  t.match(await ask('GET', `${maps}?resourceVersion=999999`), {
    status: 504,
    body: { message: /Too large resource version: 999999, current: / },
  })
  t.same(names((await ask('GET', `${maps}?resourceVersion=${before}&limit=5`)).body), ['a'], 'pages are of the revision they name')
  t.equal((await ask('GET', `${maps}?resourceVersionMatch=Exact`)).status, 422)
  t.equal((await ask('GET', `${maps}?resourceVersion=0&resourceVersionMatch=Exact`)).status, 422)
  await store.compact(await store.revision())
  for (const how of ['resourceVersionMatch=Exact', 'limit=5'])
    t.equal((await ask('GET', `${maps}?resourceVersion=${before}&${how}`)).status, 410)
})

void t.test('labels and fields', async (t) => {
  const { ask } = await startServer(t)
  await ask(...defaultAccount())
  const pods = '/api/v1/namespaces/default/pods'
  await ask('POST', pods, pod('a', { metadata: { labels: { app: 'x', tier: 'web' } } }))
  await ask('POST', pods, pod('b', { metadata: { labels: { app: 'y' } }, spec: { nodeName: 'n1' } }))
  const list = async (query: string): Promise<string[]> => names((await ask('GET', `${pods}?${query}`)).body)
  t.same(await list('labelSelector=app%20in%20(x,z)'), ['a'])
  t.same(await list('labelSelector=!tier'), ['b'])
  t.same(await list('labelSelector=app!%3Dx'), ['b'])
  t.same(await list('fieldSelector=spec.nodeName%3Dn1'), ['b'])
  t.same(await list('fieldSelector=metadata.name%3Da,status.phase%3DPending'), ['a'])
  t.match(await ask('GET', `${pods}?fieldSelector=spec.color%3Dred`), {
    status: 400,
    body: { message: /field label not supported: spec.color/ },
  })
  t.equal((await ask('GET', `${pods}?labelSelector=%3D%3D%3D`)).status, 400)
})

void t.test('tables, metadata alone, YAML', async (t) => {
  const { ask } = await startServer(t)
  await ask(...defaultAccount())
  await ask('POST', '/api/v1/namespaces/default/pods', pod('a'))
  const accept = (value: string) => ({ headers: { accept: value } })
  const table = await ask(
    'GET',
    '/api/v1/namespaces/default/pods',
    undefined,
    accept('application/json;as=Table;v=v1;g=meta.k8s.io,application/json'),
  )
  t.match(table.body, {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    columnDefinitions: [{ name: 'Name' }, { name: 'Ready' }, { name: 'Status' }],
    rows: [{ cells: ['a', '0/1', 'Pending'], object: { kind: 'PartialObjectMetadata' } }],
  })
  const partial = await ask(
    'GET',
    '/api/v1/namespaces/default/pods/a',
    undefined,
    accept('application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io'),
  )
  t.match(partial.body, { kind: 'PartialObjectMetadata', metadata: { name: 'a' } })
  t.equal(partial.body.spec, undefined)
  const yaml = await ask('GET', '/api/v1/namespaces/default/pods/a', undefined, accept('application/yaml'))
  t.match(yaml.body, /^kind: Pod$/m)
  t.equal((await ask('GET', '/api/v1/namespaces/default/pods', undefined, accept('application/vnd.kubernetes.protobuf'))).status, 406)
  t.equal(
    (await ask('GET', '/api/v1/namespaces/default/pods', undefined, accept('application/vnd.kubernetes.protobuf,application/json'))).status,
    200,
  )
  const review = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes: { verb: 'get', resource: 'pods' } },
  }
  t.equal(
    (
      await ask(
        'POST',
        '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
        review,
        accept('application/json;as=Table;v=v1;g=meta.k8s.io'),
      )
    ).status,
    406,
  )
})

void t.test('watch: what happens, from a version on', async (t) => {
  const { ask, watch } = await startServer(t)
  await ask('POST', maps, configMap('old'))
  const { resourceVersion } = (await ask('GET', maps)).body.metadata
  const live = watch(`${maps}?watch=1&resourceVersion=${resourceVersion}`, 4)
  const { body } = await ask('POST', maps, configMap('a', { k: '1' }))
  await ask('PUT', `${maps}/a`, { ...body, data: { k: '2' } })
  await ask('DELETE', `${maps}/a`)
  await ask('DELETE', `${maps}/old`)
  const events = await live
  t.same(
    events.map(({ type, object }) => [type, object.metadata.name, object.data?.k]),
    [
      ['ADDED', 'a', '1'],
      ['MODIFIED', 'a', '2'],
      ['DELETED', 'a', '2'],
      ['DELETED', 'old', undefined],
    ],
  )
  const versions = events.map(({ object }) => Number(object.metadata.resourceVersion))
  t.ok(versions.every((version, i) => i === 0 || version > (versions[i - 1] ?? 0)))
  t.same(await watch(`${maps}?watch=1&resourceVersion=${resourceVersion}`, 4), events, 'the same events again, out of the past')
  const one = await watch(`${maps}?watch=1&resourceVersion=${versions[1]}`, 2)
  t.same(one, events.slice(2))
})

void t.test('watch: objects enter and leave a selection', async (t) => {
  const { ask, watch } = await startServer(t)
  const { resourceVersion } = (await ask('GET', maps)).body.metadata
  const live = watch(`${maps}?watch=1&labelSelector=on%3Dyes&resourceVersion=${resourceVersion}`, 4)
  await ask('POST', maps, configMap('a'))
  const label = (value: string | null) => ask('PATCH', `${maps}/a`, { metadata: { labels: { on: value } } })
  await label('yes')
  await ask('PATCH', `${maps}/a`, { data: { x: '1' } })
  await label('no')
  await label('yes')
  const events = await live
  t.same(
    events.map(({ type, object }) => [type, object.metadata.labels.on]),
    [
      ['ADDED', 'yes'],
      ['MODIFIED', 'yes'],
      ['DELETED', 'yes'], // as it was when it was still selected
      ['ADDED', 'yes'],
    ],
  )
  const versions = events.map(({ object }) => Number(object.metadata.resourceVersion))
  t.same(
    versions,
    [...versions].sort((a, b) => a - b),
    'versions go up',
  )
})

void t.test('watch: the list inside the watch, bookmarks, time-outs', async (t) => {
  const clock = virtualClock(Date.now())
  const { ask, handler, watch } = await startServer(t, { clock })
  await ask('POST', maps, configMap('a'))
  await ask('POST', maps, configMap('b'))
  const initial = await watch(`${maps}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`, 3)
  t.same(
    initial.map(({ type }) => type),
    ['ADDED', 'ADDED', 'BOOKMARK'],
  )
  t.match(initial[2], {
    object: { kind: 'ConfigMap', metadata: { annotations: { 'k8s.io/initial-events-end': 'true' }, resourceVersion: /^\d+$/ } },
  })
  t.equal((await ask('GET', `${maps}?watch=1&sendInitialEvents=true`)).status, 422)
  t.same(
    (await watch(`${maps}?watch=1`, 2)).map(({ type }) => type),
    ['ADDED', 'ADDED'],
    'a watch without a version begins with what is there',
  )
  const ended = readEvents(handler, `${maps}?watch=1&timeoutSeconds=100&allowWatchBookmarks=true&resourceVersion=0`, 99)
  await clock.advance(110_000)
  const types = (await ended).map(({ type }) => type)
  t.same(types, ['ADDED', 'ADDED', 'BOOKMARK'], 'ends cleanly when its time is over')
})

void t.test('watch: too old is 410, said inside the watch', async (t) => {
  const { ask, watch, store } = await startServer(t)
  const { body } = await ask('POST', maps, configMap('a'))
  for (let i = 0; i < 5; i++) await ask('PATCH', `${maps}/a`, { data: { i: String(i) } })
  await store.compact(await store.revision())
  // More than the cache remembers has happened since, so only the store could tell.
  for (let i = 0; i < 2200; i++)
    await store.put(
      '/registry/configmaps/default/b',
      Buffer.from(
        JSON.stringify({ kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'b', namespace: 'default' }, data: { i: String(i) } }),
      ),
    )
  const [old] = await watch(`${maps}?watch=1&resourceVersion=${body.metadata.resourceVersion}`, 1)
  t.match(old, { type: 'ERROR', object: { code: 410, reason: 'Expired', message: /^too old resource version: / } })
})

void t.test('a receiver that does not read is cut off', async (t) => {
  const { ask, handler } = await startServer(t)
  const response = await handler({
    method: 'GET',
    url: `${maps}?watch=1&resourceVersion=0`,
    headers: {},
    peer: { inProcessUser: { name: 'a', groups: ['system:masters'] } },
  })
  await ask('POST', maps, configMap('big', { v: 'x'.repeat(900_000) }))
  for (let i = 0; i < 20; i++) await ask('PATCH', `${maps}/big`, { data: { i: String(i) } })
  const read = (async () => {
    let bytes = 0
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) bytes += chunk.length
    return bytes
  })()
  await t.rejects(read, /too slow/)
})
