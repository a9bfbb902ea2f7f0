// /metrics as a Prometheus and the usual boards of Kubernetes read it.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { configMap, startServer, until } from './harness.js'
import { serveApi } from './tls.js'

const maps = '/api/v1/namespaces/default/configmaps'

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

interface Read {
  readonly samples: readonly Sample[]
  readonly types: ReadonlyMap<string, string>
  /** Values of the samples that have these labels. */
  values(name: string, labels?: Readonly<Record<string, string>>): number[]
}

/** The text form, read strictly: what is unclear throws. */
function read(text: string): Read {
  const types = new Map<string, string>()
  const helped = new Set<string>()
  const samples: Sample[] = []
  const seen = new Set<string>()
  let family = ''
  for (const line of text.trimEnd().split('\n')) {
    const comment = /^# (HELP|TYPE) (\w+) (.+)$/.exec(line)
    if (comment) {
      const [, word, name = '', rest = ''] = comment
      if (word === 'HELP' && helped.has(name)) throw new Error(`${name} comes twice`)
      if (word === 'HELP') helped.add(name)
      else types.set(name, rest)
      family = name
      continue
    }
    const [, name = '', , inside = '', value = ''] = /^(\w+)(\{(.*)\})? (-?[\d.e+-]+|\+Inf)$/.exec(line) ?? []
    if (name === '') throw new Error(`not a sample: ${line}`)
    const base = types.get(family) === 'histogram' ? name.replace(/_(bucket|sum|count)$/, '') : name
    if (base !== family) throw new Error(`${name} stands under ${family}`)
    if (seen.has(`${name}{${inside}}`)) throw new Error(`twice: ${line}`)
    seen.add(`${name}{${inside}}`)
    const labels = Object.fromEntries([...inside.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label = '', said = '']) => [label, said]))
    samples.push({ name, labels, value: Number(value) })
  }
  const matches = (sample: Sample, labels: Readonly<Record<string, string>>): boolean =>
    Object.entries(labels).every(([label, said]) => sample.labels[label] === said)
  return {
    samples,
    types,
    values: (name, labels = {}) => samples.filter((sample) => sample.name === name && matches(sample, labels)).map(({ value }) => value),
  }
}

/** Every name that the boards and alerts of the Kubernetes mixin ask of an API server, as far as there is something behind it here. */
const EXPECTED: Readonly<Record<string, string>> = {
  apiserver_request_total: 'counter',
  apiserver_request_duration_seconds: 'histogram',
  apiserver_request_sli_duration_seconds: 'histogram',
  apiserver_response_sizes: 'histogram',
  apiserver_longrunning_requests: 'gauge',
  apiserver_current_inflight_requests: 'gauge',
  apiserver_watch_events_total: 'counter',
  apiserver_watch_events_sizes: 'histogram',
  apiserver_storage_objects: 'gauge',
  apiserver_resource_objects: 'gauge',
  apiserver_storage_size_bytes: 'gauge',
  apiserver_client_certificate_expiration_seconds: 'histogram',
  apiserver_admission_controller_admission_duration_seconds: 'histogram',
  authentication_attempts: 'counter',
  authentication_duration_seconds: 'histogram',
  authorization_attempts_total: 'counter',
  authorization_duration_seconds: 'histogram',
  etcd_request_duration_seconds: 'histogram',
  etcd_requests_total: 'counter',
  kubernetes_build_info: 'gauge',
  kubernetes_healthcheck: 'gauge',
  process_cpu_seconds_total: 'counter',
  process_resident_memory_bytes: 'gauge',
  process_virtual_memory_bytes: 'gauge',
  process_start_time_seconds: 'gauge',
  process_open_fds: 'gauge',
  process_max_fds: 'gauge',
}

void t.test('what a board asks for is there, in a form that is beyond doubt', async (t) => {
  const { ask, watch } = await startServer(t)
  await ask('POST', maps, configMap('a'))
  await ask('GET', maps)
  await watch(`${maps}?watch=1`, 1)
  const answer = await ask('GET', '/metrics')
  t.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
  const { samples, types } = read(answer.body)
  for (const [name, type] of Object.entries(EXPECTED)) {
    t.equal(types.get(name), type, name)
    t.ok(
      samples.some((sample) => sample.name === name || sample.name === `${name}_count`),
      `${name} has a sample`,
    )
  }
  const buckets = new Map<string, Sample[]>()
  for (const sample of samples.filter(({ name }) => name.endsWith('_bucket'))) {
    const { le: _, ...labels } = sample.labels
    const key = `${sample.name} ${JSON.stringify(labels)}`
    buckets.set(key, [...(buckets.get(key) ?? []), sample])
  }
  for (const [key, list] of buckets) {
    const bounds = list.map(({ labels }) => (labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le)))
    const rising = (numbers: readonly number[]): boolean => numbers.every((number, at) => at === 0 || number >= (numbers[at - 1] as number))
    if (!rising(bounds) || !rising(list.map(({ value }) => value)) || bounds.at(-1) !== Number.POSITIVE_INFINITY) t.fail(key)
  }
  const { labels } = samples.find(({ name }) => name === 'kubernetes_build_info') as Sample
  t.match(labels, { git_version: /^v1\.37\..*\+knarr$/, major: '1', minor: '37' })
})

void t.test('requests are counted under the verbs of HTTP, with scope and code', async (t) => {
  const { ask } = await startServer(t)
  const figures = async () => read((await ask('GET', '/metrics')).body)
  await ask('POST', maps, configMap('a', { text: 'x'.repeat(5000) }))
  await ask('POST', maps, configMap('a'))
  await ask('POST', `${maps}?dryRun=All`, configMap('b'))
  await ask('PUT', `${maps}/a`, configMap('a'))
  await ask('PATCH', `${maps}/a`, { data: { k: 'v' } })
  await ask('PATCH', `${maps}/c?fieldManager=me`, configMap('c'), { headers: { 'content-type': 'application/apply-patch+yaml' } })
  await ask('GET', `${maps}/missing`)
  await ask('GET', maps)
  await ask('GET', '/api/v1/configmaps')
  await ask('DELETE', `${maps}/c`)
  await ask('DELETE', maps)
  await ask('GET', '/livez')
  for (const path of ['/no', '/such', '/paths']) await ask('GET', path)
  const { values } = await figures()
  const total = (labels: Record<string, string>): number[] =>
    values('apiserver_request_total', { resource: 'configmaps', group: '', version: 'v1', component: 'apiserver', ...labels })
  t.same(total({ verb: 'POST', scope: 'resource', code: '201', dry_run: '' }), [1])
  t.same(total({ verb: 'POST', scope: 'resource', code: '201', dry_run: 'All' }), [1])
  t.same(total({ verb: 'POST', scope: 'resource', code: '409' }), [1])
  t.same(total({ verb: 'PUT', scope: 'resource', code: '200' }), [1])
  t.same(total({ verb: 'PATCH', scope: 'resource', code: '200' }), [1])
  t.same(total({ verb: 'APPLY', scope: 'resource', code: '201' }), [1])
  t.same(total({ verb: 'GET', scope: 'resource', code: '404' }), [1])
  t.same(total({ verb: 'LIST', scope: 'namespace', code: '200' }), [1])
  t.same(total({ verb: 'LIST', scope: 'cluster', code: '200' }), [1])
  t.same(total({ verb: 'DELETE', scope: 'resource', code: '200' }), [1])
  t.same(total({ verb: 'DELETECOLLECTION', scope: 'namespace', code: '200' }), [1])
  t.same(values('apiserver_request_total', { subresource: '/livez', verb: 'GET', code: '200', resource: '' }), [1])
  t.same(values('apiserver_request_total', { subresource: '', verb: 'GET', code: '404', resource: '' }), [3], 'nobody fills it with paths')
  t.same(values('apiserver_request_duration_seconds_count', { resource: 'configmaps', verb: 'POST' }), [3])
  t.same(values('apiserver_request_sli_duration_seconds_count', { resource: 'configmaps', verb: 'POST' }), [3])
  t.same(values('apiserver_request_sli_duration_seconds_bucket', { verb: 'POST', le: '0.005' }), [])
  t.same(values('apiserver_response_sizes_count', { verb: 'LIST', scope: 'namespace', resource: 'configmaps' }), [1])
  t.same(values('apiserver_response_sizes_count', { verb: 'POST' }), [], 'reads only')
  t.ok((values('etcd_requests_total', { operation: 'create', resource: 'configmaps' })[0] ?? 0) >= 2)
  t.same(values('authorization_attempts_total', { result: 'allowed' }).length, 1)
  t.ok(
    (values('apiserver_admission_controller_admission_duration_seconds_count', { name: 'NamespaceLifecycle', operation: 'CREATE' })[0] ??
      0) > 0,
  )
  t.same(values('apiserver_current_inflight_requests', { request_kind: 'readOnly' }), [1], 'the question itself')
  t.same(values('apiserver_current_inflight_requests', { request_kind: 'mutating' }), [0])
})

void t.test('who is not known and who may not', async (t) => {
  const { ask } = await startServer(t)
  await ask('GET', maps, undefined, { user: null, headers: { authorization: 'Bearer nonsense' } })
  await ask('GET', maps, undefined, { user: { name: 'bob', groups: [] } })
  const { values } = read((await ask('GET', '/metrics')).body)
  t.same(values('authentication_attempts', { result: 'failure' }), [1])
  t.same(values('authorization_attempts_total', { result: 'denied' }), [1])
  t.same(values('apiserver_request_total', { verb: 'LIST', resource: 'configmaps', code: '401' }), [1])
  t.same(values('apiserver_request_total', { verb: 'LIST', resource: 'configmaps', code: '403' }), [1])
})

void t.test('nobody fills it with what he invents', async (t) => {
  const { ask } = await startServer(t)
  const lines = async (): Promise<number> => read((await ask('GET', '/metrics')).body).samples.length
  const stranger = { user: { name: 'eve', groups: [] } }
  const invent = async (word: string): Promise<void> => {
    for (const options of [{}, stranger]) {
      for (const path of [`/${word}`, `/apis/${word}/v1/things`, `/api/v1/${word}`, `${maps}/a/${word}`, `/api/v1/watch/${word}`])
        for (const method of ['GET', 'POST', word.toUpperCase()]) await ask(method, path, {}, options)
      for (const path of ['/healthz', '/api', '/version']) await ask('GET', path + '/'.repeat(word.length), undefined, options)
      await ask('POST', `${maps}?dryRun=${word}`, configMap('a'), options)
      await ask('GET', `/api/v1/${word}?watch=1`, undefined, options)
    }
  }
  await invent('first')
  await lines()
  const before = await lines()
  await invent('second')
  await invent('third')
  t.equal(await lines(), before)
})

void t.test('objects, watches, their events, certificates', async (t) => {
  const api = await serveApi(t)
  const { ask } = api
  const figures = async () => read((await ask('GET', '/metrics')).body)
  for (const name of ['a', 'b', 'c']) await ask('POST', maps, configMap(name))
  await ask('POST', '/api/v1/nodes', { metadata: { name: 'n' } })
  const abort = new AbortController()
  const watched = api.handler({
    method: 'GET',
    url: `${maps}?watch=1`,
    headers: {},
    peer: { inProcessUser: { name: 'w', groups: ['system:masters'] } },
    signal: abort.signal,
  })
  const body = (await watched).body as AsyncIterable<Uint8Array>
  const seen: string[] = []
  const reading = (async () => {
    for await (const chunk of body) seen.push(Buffer.from(chunk).toString())
  })()
  await ask('POST', maps, configMap('d'))
  await until(async () => seen.length >= 4)
  const { values } = await figures()
  t.same(values('apiserver_storage_objects', { resource: 'configmaps' }), [await count(ask, '/api/v1/configmaps')])
  t.same(values('apiserver_storage_objects', { resource: 'nodes' }), [1])
  t.same(values('apiserver_storage_objects', { resource: 'deployments.apps' }), [0])
  t.same(values('apiserver_resource_objects', { group: 'apps', resource: 'deployments' }), [0])
  const watches = { verb: 'WATCH', resource: 'configmaps', scope: 'namespace', version: 'v1' }
  t.same(values('apiserver_longrunning_requests', watches), [1])
  t.same(values('apiserver_watch_events_total', { resource: 'configmaps', group: '', version: 'v1' }), [seen.length])
  t.same(values('apiserver_watch_events_sizes_sum', { resource: 'configmaps' }), [seen.reduce((sum, text) => sum + text.length, 0)])
  abort.abort()
  await reading
  t.same((await figures()).values('apiserver_longrunning_requests', watches), [0])

  const { cert, key } = api.admin
  const { Agent, request } = await import('undici')
  const agent = new Agent({ connect: { ca: api.ca.cert, cert, key } })
  t.teardown(() => agent.close())
  for (let i = 0; i < 2; i++) await (await request(`${api.url}/version`, { dispatcher: agent })).body.dump()
  const after = await figures()
  t.same(after.values('apiserver_client_certificate_expiration_seconds_count'), [2])
  t.same(after.values('apiserver_client_certificate_expiration_seconds_bucket', { le: '0' }), [0])
})

void t.test('a proxied request is a connection, and no figure is left behind by it', async (t) => {
  const { ask } = await startServer(t)
  const behind = createServer((_request, response) => response.end('yes'))
  await new Promise<void>((resolve) => behind.listen(0, '127.0.0.1', () => resolve()))
  t.teardown(() => behind.close())
  const { port } = behind.address() as AddressInfo
  await ask('POST', '/api/v1/namespaces/default/services', {
    metadata: { name: 's' },
    spec: { clusterIP: 'None', ports: [{ port }] },
  })
  await ask('POST', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
    metadata: { name: 's-1', labels: { 'kubernetes.io/service-name': 's' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['127.0.0.1'], conditions: { ready: true } }],
    ports: [{ name: '', port, protocol: 'TCP' }],
  })
  const answer = await ask('GET', `/api/v1/namespaces/default/services/s:${port}/proxy/`)
  const { values } = read((await ask('GET', '/metrics')).body)
  const labels = { verb: 'CONNECT', resource: 'services', subresource: 'proxy' }
  t.same(values('apiserver_request_total', { ...labels, code: String(answer.status) }), [1])
  t.same(values('apiserver_longrunning_requests', labels), [], 'it is over')
})

async function count(
  ask: (method: string, url: string) => Promise<{ readonly body: { readonly items: readonly unknown[] } }>,
  url: string,
): Promise<number> {
  return (await ask('GET', url)).body.items.length
}
