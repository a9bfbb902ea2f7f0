// Connections that cost the server something and bring nothing: many, idle, stalled.
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import { configMap, until } from './harness.js'
import { type Served, serveApi } from './tls.js'

const maps = '/api/v1/namespaces/default/configmaps'

/** All of them, a hundred at a time: what waits in the kernel's queue is not held against the server. */
async function open(count: number, one: () => Promise<Socket>): Promise<Socket[]> {
  const sockets: Socket[] = []
  while (sockets.length < count) sockets.push(...(await Promise.all(Array.from({ length: Math.min(100, count - sockets.length) }, one))))
  return sockets
}

const plain = (api: Served) => (): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(api.serving.port, '127.0.0.1', () => resolve(socket))
    socket.on('error', reject)
  })

const secure = (api: Served) => (): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connectTls({ port: api.serving.port, host: '127.0.0.1', ca: api.ca.cert, ALPNProtocols: ['http/1.1'] }, () =>
      resolve(socket),
    )
    socket.on('error', reject)
  })

const session = (api: Served): ClientHttp2Session =>
  connectHttp2(api.url, { ca: api.ca.cert, cert: api.admin.cert, key: api.admin.key, settings: { initialWindowSize: 64 * 1024 } })

/** The status of an answer that is read to its end. */
const get = (client: ClientHttp2Session, path: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const stream = client.request({ ':path': path })
    let status = 0
    stream.on('response', (headers) => {
      status = Number(headers[':status'])
    })
    stream.on('error', reject)
    stream.on('end', () => resolve(status))
    stream.resume()
  })

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.destroyed) resolve()
    else socket.resume().once('close', () => resolve())
  })

void t.test('thousands of idle connections, and a quiet watch among them', { timeout: 120_000 }, async (t) => {
  const api = await serveApi(t, {}, { idleMs: 3000 })
  const watcher = session(api)
  t.teardown(() => watcher.destroy())
  const watch: ClientHttp2Stream = watcher.request({ ':path': `${maps}?watch=1` })
  await new Promise((resolve) => watch.once('response', resolve))
  let ended = false
  watch.once('close', () => {
    ended = true
  })

  const idle = [...(await open(2000, plain(api))), ...(await open(100, secure(api)))]
  for (const socket of idle) socket.on('error', () => {})
  t.teardown(() => {
    for (const socket of idle) socket.destroy()
  })
  const busy = session(api)
  t.teardown(() => busy.destroy())
  t.equal(await get(busy, maps), 200, 'somebody else is served')
  await Promise.all(idle.map(closed))
  t.pass('all idle connections are closed')
  await new Promise<void>((resolve) => (busy.closed ? resolve() : busy.once('close', () => resolve())))
  t.notOk(ended, 'a watch that says nothing is not idle')
  const heard = new Promise((resolve) => watch.once('data', resolve))
  await api.ask('POST', maps, configMap('a'))
  await heard
})

void t.test('requests out of the ordinary, over HTTP/2', async (t) => {
  const api = await serveApi(t)
  const client = session(api)
  t.teardown(() => client.destroy())
  const ask = (headers: Record<string, string>, body?: string | Buffer): Promise<{ status: number; length: string; read: number }> =>
    new Promise((resolve, reject) => {
      const stream = client.request(headers)
      let status = 0
      let length = ''
      let read = 0
      stream.on('response', (head) => {
        status = Number(head[':status'])
        length = String(head['content-length'])
      })
      stream.on('data', (chunk: Buffer) => {
        read += chunk.length
      })
      stream.on('error', reject)
      stream.on('close', () => resolve({ status, length, read }))
      if (body) stream.end(body)
      else stream.end()
    })
  const head = await ask({ ':method': 'HEAD', ':path': maps })
  const whole = await ask({ ':path': maps })
  t.same(head, { status: 200, length: whole.length, read: 0 }, 'the head alone')
  t.equal(whole.read, Number(whole.length))
  const json = { 'content-type': 'application/json' }
  const expecting = { ':method': 'POST', ':path': maps, expect: '100-continue', ...json }
  t.equal((await ask(expecting, JSON.stringify(configMap('expected')))).status, 201)
  t.equal((await ask({ ':method': 'POST', ':path': maps, ...json }, Buffer.alloc(10_000_000, 97))).status, 413)
  const broken = client.request({ ':method': 'POST', ':path': maps, ...json })
  broken.on('error', () => {})
  broken.write('{')
  broken.close(8)
  await new Promise((resolve) => broken.once('close', resolve))
  t.equal((await ask({ ':path': '/readyz' })).status, 200)
})

void t.test('no more connections than are allowed', async (t) => {
  const api = await serveApi(t, {}, { maxConnections: 3 })
  const three = await open(3, secure(api))
  t.teardown(() => {
    for (const socket of three) socket.destroy()
  })
  await t.rejects(secure(api)(), 'the fourth is turned away')
  three[0]?.destroy()
  await until(() =>
    secure(api)().then(
      (socket) => !socket.destroy().connecting,
      () => false,
    ),
  )
})

void t.test('an answer that nobody takes does not stay', async (t) => {
  const api = await serveApi(t, {}, { idleMs: 1000 })
  const large = 'x'.repeat(500_000)
  for (let i = 0; i < 8; i++) await api.ask('POST', maps, configMap(`m${i}`, { large }))
  const client = session(api)
  client.on('error', () => {})
  const stream = client.request({ ':path': maps })
  stream.on('error', () => {})
  await new Promise((resolve) => stream.once('response', resolve))
  // It is not read: the window fills, and nothing moves.
  await new Promise<void>((resolve) => client.once('close', () => resolve()))
  t.equal((await api.ask('GET', '/readyz')).status, 200)
})
