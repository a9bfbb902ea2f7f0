/* biome-ignore-all lint/suspicious/noExplicitAny: answers of the API are looked at field by field */
// What nobody should send: each a proper Status or a clean close, and the server goes on.
import { connect } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import fc from 'fast-check'
import t from 'tap'
import { configMap, startServer } from './harness.js'
import { serveApi } from './tls.js'

const maps = '/api/v1/namespaces/default/configmaps'

void t.test('bodies', async (t) => {
  const { ask } = await startServer(t)
  const json = { headers: { 'content-type': 'application/json' } }
  const post = (body: string | Uint8Array, type = 'application/json', query = '') =>
    ask('POST', `${maps}${query}`, body, { headers: { 'content-type': type } })
  const refused = async (status: number, reason: string, answer: Promise<any>, what: string): Promise<void> => {
    const { status: actual, body } = await answer
    t.equal(actual, status, `${what}: ${JSON.stringify(body)}`)
    t.match(body, { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, code: status })
  }
  await refused(400, 'BadRequest', post('{"kind":'), 'half of an object')
  await refused(400, 'BadRequest', post(''), 'nothing')
  await refused(400, 'BadRequest', post('[]'), 'a list')
  await refused(400, 'BadRequest', post('"text"'), 'a text')
  await refused(400, 'BadRequest', post('\u0000'), 'a zero byte')
  await refused(400, 'BadRequest', post(`${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`), 'deep nesting')
  await refused(400, 'BadRequest', post(`${'['.repeat(100_000)}`), 'deeper nesting')
  await refused(400, 'BadRequest', post(JSON.stringify({ ...configMap('a'), kind: 'Pod' })), 'another kind')
  await refused(
    400,
    'BadRequest',
    post(JSON.stringify({ ...configMap('a'), metadata: { name: 'a', namespace: 'other' } })),
    'another namespace',
  )
  await refused(400, 'BadRequest', post(JSON.stringify({ ...configMap('a'), data: { k: 1 } })), 'a number for a text')
  await refused(422, 'Invalid', post(JSON.stringify(configMap('Not_A_Name'))), 'a wrong name')
  await refused(422, 'Invalid', post(JSON.stringify(configMap('a'.repeat(254)))), 'a long name')
  await refused(422, 'Invalid', post(JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: {} })), 'no name')
  await refused(415, 'UnsupportedMediaType', post('{}', 'text/plain'), 'another media type')
  await refused(413, 'RequestEntityTooLarge', post(Buffer.alloc(10 * 1024 * 1024, 0x20)), 'ten megabytes')
  await refused(400, 'BadRequest', post('k8s\0garbage', 'application/vnd.kubernetes.protobuf'), 'broken protobuf')
  await refused(
    400,
    'BadRequest',
    ask('PATCH', `${maps}/x`, '{', { headers: { 'content-type': 'application/merge-patch+json' } }),
    'half of a patch',
  )
  await refused(405, 'MethodNotAllowed', ask('TRACE', maps, undefined, json), 'another method')
  const yaml = await post('apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: from-yaml\n', 'application/yaml')
  t.equal(yaml.status, 201)
  const bomb = await post(
    'a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n',
    'application/yaml',
  )
  t.equal(bomb.status, 400)

  const polluted = await post(
    '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"p","labels":{"constructor":"x"}},"data":{"__proto__":"a","constructor":"b"}}',
  )
  t.equal(({} as any).a, undefined)
  t.ok([201, 422].includes(polluted.status))
  if (polluted.status === 201) t.equal((await ask('GET', `${maps}/p`)).body.data.constructor, 'b')
  t.equal((await ask('GET', '/readyz')).status, 200)
})

void t.test('unknown and duplicate fields', async (t) => {
  const { ask } = await startServer(t)
  const body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","colour":"red"},"data":{"k":"1","k":"2"},"shape":"round"}'
  const strict = await ask('POST', `${maps}?fieldValidation=Strict`, body)
  t.equal(strict.status, 400)
  t.match(strict.body.message, /strict decoding error: unknown field "metadata.colour", duplicate field "data.k", unknown field "shape"$/)
  const warned = await ask('POST', `${maps}?fieldValidation=Warn&dryRun=All`, body)
  t.equal(warned.status, 201)
  t.match(warned.headers.warning, /299 - "unknown field \\"metadata.colour\\"".*duplicate field \\"data.k\\".*unknown field \\"shape\\"/)
  t.equal(warned.body.shape, undefined)
  const ignored = await ask('POST', `${maps}?fieldValidation=Ignore`, body)
  t.equal(ignored.status, 201)
  t.equal(ignored.headers.warning, undefined)
  t.equal((await ask('POST', `${maps}?fieldValidation=Loudly`, body)).status, 422)
})

void t.test('paths and selectors', async (t) => {
  const { ask } = await startServer(t)
  const expectStatus = async (path: string, ...statuses: number[]): Promise<void> => {
    const { status, body } = await ask('GET', path)
    t.ok(statuses.includes(status), `${path}: ${status}`)
    t.equal(body.kind, 'Status', path)
  }
  await expectStatus('/api/v1/namespaces/default/configmaps/..%2f..%2fsecrets', 400)
  await expectStatus('/api/v1/namespaces/../../secrets', 400)
  await expectStatus('/api/v1/namespaces/default/configmaps/%2e%2e', 400)
  await expectStatus('/api/v1/namespaces/default/configmaps/%zz', 400)
  await expectStatus('/api/v1/namespaces/default/configmaps/%ff', 400)
  await expectStatus('/api/v1/namespaces/default/configmaps/a%00b', 400)
  await expectStatus('/api/v1//configmaps', 404)
  await expectStatus('/api/v2/pods', 404)
  await expectStatus('/apis/nothing.example.com/v1/things', 404)
  await expectStatus('/api/v1/namespaces/default/configmaps/a/b/c', 404)
  await expectStatus('/api/v1/namespaces/default/nodes', 404)
  await expectStatus('/nothing', 404)
  await expectStatus(`${maps}?labelSelector=${encodeURIComponent('a in (')}`, 400)
  await expectStatus(`${maps}?fieldSelector=${encodeURIComponent('a')}`, 400)
  await expectStatus(`${maps}?limit=many`, 400)
  await expectStatus(`${maps}?labelSelector=${'a'.repeat(100_000)}`, 413, 414)
  const many = Array.from({ length: 2000 }, (_, i) => `k${i}!=v`).join(',')
  t.equal((await ask('GET', `${maps}?labelSelector=${encodeURIComponent(many)}`)).status, 200)
})

void t.test('any bytes at all are answered', async (t) => {
  const { ask } = await startServer(t)
  const types = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf', 'application/merge-patch+json']
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...types), fc.boolean(), async (bytes, type, isProtobuf) => {
      const body = isProtobuf ? Buffer.concat([Buffer.from('k8s\0'), bytes]) : bytes
      const { status } = await ask('POST', maps, body, { headers: { 'content-type': type } })
      return status >= 400 && status < 500
    }),
    { numRuns: 300, seed: 1 },
  )
  await fc.assert(
    fc.asyncProperty(fc.json(), async (text) => {
      const { status } = await ask('POST', maps, text)
      return status >= 400 && status < 500
    }),
    { numRuns: 200, seed: 2 },
  )
  await fc.assert(
    fc.asyncProperty(fc.webPath(), fc.webQueryParameters(), async (path, query) => {
      const { status } = await ask('GET', `/api/v1/namespaces/default/configmaps${path}?${query}`)
      return status < 500
    }),
    { numRuns: 300, seed: 3 },
  )
  t.equal((await ask('GET', '/readyz')).status, 200)
})

void t.test('on the wire', async (t) => {
  const api = await serveApi(t)
  const port = api.serving.port
  const closed = (socket: { on(event: string, run: () => void): unknown; resume(): unknown }): Promise<void> =>
    new Promise((resolve) => {
      socket.on('close', () => resolve())
      socket.on('error', () => {})
      socket.resume()
    })
  const plain = connect(port, '127.0.0.1', () => plain.write('GET / HTTP/1.1\r\n\r\n'))
  await closed(plain)
  t.pass('plain HTTP is closed')
  const garbage = connect(port, '127.0.0.1', () => garbage.write(Buffer.from(Array.from({ length: 512 }, (_, i) => (i * 7) % 256))))
  await closed(garbage)
  t.pass('garbage instead of TLS is closed')

  const tls = (): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({ port, host: '127.0.0.1', ca: api.ca.cert, ALPNProtocols: ['http/1.1'] }, () => resolve(socket))
      socket.on('error', reject)
    })
  const broken = await tls()
  let answer = ''
  broken.on('data', (bytes: Buffer) => {
    answer += bytes.toString()
  })
  broken.write('this is not HTTP\r\n\r\n')
  await closed(broken)
  t.match(answer, /^HTTP\/1\.1 400/)
  const half = await tls()
  half.write(
    'POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"kind"',
  )
  half.destroy()
  const long = await tls()
  let refused = ''
  long.on('data', (bytes: Buffer) => {
    refused += bytes.toString()
  })
  long.write(`GET /version HTTP/1.1\r\nHost: x\r\nX-Long: ${'y'.repeat(100_000)}\r\n\r\n`)
  await closed(long)
  t.match(refused, /^HTTP\/1\.1 4\d\d|^$/)

  const idle = await Promise.all(Array.from({ length: 300 }, () => connect(port, '127.0.0.1')))
  t.equal((await api.ask('GET', '/readyz')).status, 200)
  const after = await tls()
  let text = ''
  after.on('data', (bytes: Buffer) => {
    text += bytes.toString()
  })
  after.write('GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  await closed(after)
  t.match(text, /"gitVersion":"v1\.37/, 'and the server goes on')
  for (const socket of idle) socket.destroy()
})
