// The API server over TLS on loopback, and its store against etcd driven directly. Clients and server share the machine's cores.
import { fork, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { type ClientHttp2Session, connect, constants } from 'node:http2'
import { createServer } from 'node:net'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, systemRandom } from '../../src/lib/index.js'
import { connectEtcd } from '../../src/store/etcd/connection.js'
import { putRequest } from '../../src/store/etcd/messages.js'
import { openEtcdStore, openLmdbStore, type Store } from '../../src/store/index.js'
import { printAim, printTable, quantile } from './table.js'

const root = mkdtempSync(join(tmpdir(), 'knarr-bench-'))
const rows: (string | number)[][] = []
const aims: Parameters<typeof printAim>[0][] = []

interface Measured {
  readonly rate: number
  readonly p50: number
  readonly p99: number
}

/** `clients` at once, `count` calls in all. */
async function load(clients: number, count: number, call: (i: number) => Promise<void>): Promise<Measured> {
  const times: number[] = []
  let next = 0
  const started = performance.now()
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (next < count) {
        const i = next++
        const before = performance.now()
        await call(i)
        times.push(performance.now() - before)
      }
    }),
  )
  return { rate: count / ((performance.now() - started) / 1000), p50: quantile(times, 0.5), p99: quantile(times, 0.99) }
}

const note = (name: string, { rate, p50, p99 }: Measured): void => void rows.push([name, rate, p50, p99])

async function stores(): Promise<void> {
  const value = Buffer.alloc(1500, 97)
  const writes = async (name: string, store: Store): Promise<number> => {
    const measured = await load(64, 4000, async (i) => {
      const result = await store.put(`/registry/bench/${name}/${i}`, value, { expect: 0 })
      if (!result.ok) throw new Error('a create was refused')
    })
    note(`store create, ${name}, 64 writers`, measured)
    return measured.rate
  }
  const lmdb = await openLmdbStore({ path: join(root, 'store'), clock: systemClock })
  const ours = await writes('lmdb', lmdb)
  await lmdb.close()
  if (spawnSync('etcd', ['--version']).status !== 0) return void console.log('etcd is not installed: no peer')
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  const url = `http://127.0.0.1:${port}`
  const words = [
    '--data-dir',
    join(root, 'etcd'),
    '--listen-client-urls',
    url,
    '--advertise-client-urls',
    url,
    '--listen-peer-urls',
    'http://127.0.0.1:0',
  ]
  const etcd = spawn('etcd', words, { stdio: 'ignore' })
  try {
    for (let tries = 0; tries < 200 && !(await fetch(`${url}/health`).catch(() => undefined))?.ok; tries++)
      await new Promise((resolve) => setTimeout(resolve, 50))
    const store = await openEtcdStore({ endpoints: [`127.0.0.1:${port}`], clock: systemClock, random: systemRandom })
    await writes('etcd', store)
    await store.close()
    // The peer itself: its own calls, nothing of ours between.
    const direct = await connectEtcd([`127.0.0.1:${port}`], undefined, systemClock)
    const put = (i: number): Promise<Buffer> => direct.call('/etcdserverpb.KV/Put', putRequest(`/registry/direct/${i}`, value, 0))
    const measured = await load(64, 4000, async (i) => void (await put(i)))
    direct.close()
    note('etcd driven directly, put, 64 writers', measured)
    const theirs = measured.rate
    aims.push({
      name: 'store creates against etcd driven directly',
      wanted: '3 times',
      measured: `${(ours / theirs).toFixed(1)} times`,
      met: ours >= 3 * theirs,
    })
  } finally {
    etcd.kill('SIGKILL')
  }
}

interface Access {
  readonly port: number
  readonly ca: string
  readonly cert: string
  readonly key: string
}

const pod = (i: number): Buffer =>
  Buffer.from(
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `p${i}`, labels: { app: 'web', shard: String(i % 10) } },
      spec: {
        automountServiceAccountToken: false,
        containers: [
          {
            name: 'main',
            image: 'nginx:1.25',
            ports: [{ containerPort: 80 }],
            env: [{ name: 'A', value: 'b' }],
            resources: { requests: { cpu: '100m', memory: '64Mi' } },
          },
        ],
      },
    }),
  )

async function server(): Promise<void> {
  const child = fork(join(import.meta.dirname, 'programs/api-server.js'), [join(root, 'api')], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  const access = await new Promise<Access>((resolve) =>
    child.stdout?.once('data', (line: Buffer) => resolve(JSON.parse(line.toString()) as Access)),
  )
  const usage = (): Promise<{ rss: number; cpuMs: number }> =>
    new Promise((resolve) => {
      child.once('message', (value) => resolve(value as { rss: number; cpuMs: number }))
      child.send('usage')
    })
  const sessions = Array.from({ length: 8 }, () =>
    connect(`https://127.0.0.1:${access.port}`, { ca: access.ca, cert: access.cert, key: access.key }),
  )
  let turn = 0
  const session = (): ClientHttp2Session => sessions[turn++ % sessions.length] as ClientHttp2Session
  const request = (method: string, path: string, body?: Buffer, type = 'application/json'): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const stream = session().request({
        [constants.HTTP2_HEADER_METHOD]: method,
        [constants.HTTP2_HEADER_PATH]: path,
        accept: 'application/json',
        'user-agent': 'bench',
        ...(body && { 'content-type': type }),
      })
      const chunks: Buffer[] = []
      let status = 0
      stream.on('response', (headers) => {
        status = Number(headers[':status'])
      })
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('error', reject)
      stream.on('end', () => {
        const bytes = Buffer.concat(chunks)
        if (status >= 400) reject(new Error(bytes.toString()))
        else resolve(bytes)
      })
      stream.end(body)
    })
  try {
    const pods = '/api/v1/namespaces/default/pods'
    await request(
      'POST',
      '/api/v1/namespaces/default/serviceaccounts',
      Buffer.from('{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}'),
    )
    const idle = await usage()
    rows.push(['memory, nothing stored (MB)', idle.rss / 1e6, '', ''])
    await load(64, 1000, async (i) => void (await request('POST', pods, pod(i))))
    const idleCpu = (await usage()).cpuMs
    const creates = await load(64, 4000, async (i) => void (await request('POST', pods, pod(1000 + i))))
    rows.push(['create pod, the first 5,000, CPU of the server (ms)', '', ((await usage()).cpuMs - idleCpu) / 4000, ''])
    note('create pod, the first 5,000, 64 clients', creates)
    note('get pod, 64 clients', await load(64, 6000, async (i) => void (await request('GET', `${pods}/p${i % 5000}`))))
    note('list 5,000 pods, whole', await load(1, 10, async () => void (await request('GET', '/api/v1/pods'))))
    note('list 500 of 5,000 pods', await load(1, 20, async () => void (await request('GET', '/api/v1/pods?limit=500'))))
    const patch = Buffer.from('{"metadata":{"annotations":{"a":"b"}}}')
    note(
      'patch pod, 64 clients',
      await load(64, 2000, async (i) => void (await request('PATCH', `${pods}/p${i}`, patch, 'application/merge-patch+json'))),
    )
    // By now the engine has compiled what it runs: this is how the server goes on.
    const warmCpu = (await usage()).cpuMs
    const later = await load(64, 5000, async (i) => void (await request('POST', pods, pod(5000 + i))))
    rows.push(['create pod, the next 5,000, CPU of the server (ms)', '', ((await usage()).cpuMs - warmCpu) / 5000, ''])
    note('create pod, the next 5,000, 64 clients', later)
    aims.push({
      name: 'durable creates per second, 64 clients',
      wanted: '3000',
      measured: `${later.rate.toFixed(0)} (${creates.rate.toFixed(0)} just after the start)`,
      met: later.rate >= 3000,
    })
    const before = await usage()
    const lists = 5
    for (let i = 0; i < lists; i++) await request('GET', '/api/v1/pods')
    const after = await usage()
    const listMs = (after.cpuMs - before.cpuMs) / lists
    rows.push(['list 10,000 pods, CPU of the server (ms)', '', listMs, ''])
    aims.push({ name: 'server time of a list of 10,000 pods', wanted: '60 ms', measured: `${listMs.toFixed(0)} ms`, met: listMs < 60 })
    aims.push({ name: 'memory with 10,000 pods', wanted: '300 MB', measured: `${(after.rss / 1e6).toFixed(0)} MB`, met: after.rss < 300e6 })
    rows.push(['memory, 10,000 pods (MB)', after.rss / 1e6, '', ''])

    const { metadata } = JSON.parse((await request('GET', '/api/v1/namespaces/default/configmaps')).toString()) as {
      metadata: { resourceVersion: string }
    }
    const watchers = 1000
    let arrived = 0
    let done: (() => void) | undefined
    let open = 0
    await new Promise<void>((resolve) => {
      for (let i = 0; i < watchers; i++) {
        const stream = session().request({
          [constants.HTTP2_HEADER_PATH]: `/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=${metadata.resourceVersion}`,
        })
        stream.on('response', () => {
          if (++open === watchers) resolve()
        })
        stream.on('data', () => {
          if (++arrived === watchers) done?.()
        })
        stream.on('error', () => {})
      }
    })
    const fanOut: number[] = []
    for (let round = 0; round < 10; round++) {
      arrived = 0
      const all = new Promise<void>((resolve) => {
        done = resolve
      })
      const started = performance.now()
      await request(
        'POST',
        '/api/v1/namespaces/default/configmaps',
        Buffer.from(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"w${round}"}}`),
      )
      await all
      fanOut.push(performance.now() - started)
    }
    rows.push(['one event to 1,000 watchers (ms)', '', quantile(fanOut, 0.5), quantile(fanOut, 0.99)])
    const median = quantile(fanOut, 0.5)
    aims.push({ name: 'one event to 1,000 watchers', wanted: '30 ms', measured: `${median.toFixed(0)} ms`, met: median < 30 })
  } finally {
    for (const one of sessions) one.destroy()
    child.kill('SIGKILL')
  }
}

try {
  console.log(`load of the machine before: ${loadavg()[0]?.toFixed(1)}`)
  await stores()
  await server()
  printTable(['what', 'per second', 'p50 ms', 'p99 ms'], rows)
  for (const aim of aims) printAim(aim)
} finally {
  rmSync(root, { recursive: true, force: true })
}
process.exit(0)
