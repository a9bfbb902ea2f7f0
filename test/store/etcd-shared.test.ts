/* biome-ignore-all lint/suspicious/noExplicitAny: answers of the API are looked at field by field */
// Several API servers over one etcd that speaks TLS only and wants certificates.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createApiServer } from '../../src/controlplane/apiserver/index.js'
import { silentLog, systemClock, systemRandom } from '../../src/lib/index.js'
import { createCa, issue, type KeyPair } from '../../src/pki/index.js'
import { openEtcdStore, type Store } from '../../src/store/index.js'
import { askVia, configMap, readEvents, signingKey, until } from '../apiserver/harness.js'
import { freePort } from './free-port.js'

const context = { clock: systemClock, random: systemRandom }

interface Secured {
  readonly ca: KeyPair
  readonly client: KeyPair
  readonly url: string
  start(): ChildProcess
}

async function secureEtcd(path: string): Promise<Secured> {
  const ca = await createCa('etcd-ca', context)
  const served = { subject: { commonName: 'etcd' }, altNames: { ips: ['127.0.0.1'] }, usages: ['server auth', 'client auth'] as const }
  const server = await issue(ca, served, context)
  const client = await issue(ca, { subject: { commonName: 'apiserver' }, usages: ['client auth'] }, context)
  const file = (name: string, text: string): string => {
    writeFileSync(join(path, name), text, { mode: 0o600 })
    return join(path, name)
  }
  const url = `https://127.0.0.1:${await freePort()}`
  const peer = `http://127.0.0.1:${await freePort()}`
  const flags = {
    'data-dir': join(path, 'data'),
    'listen-client-urls': url,
    'advertise-client-urls': url,
    'listen-peer-urls': peer,
    'initial-advertise-peer-urls': peer,
    'initial-cluster': `default=${peer}`,
    'cert-file': file('server.crt', server.cert),
    'key-file': file('server.key', server.key),
    'trusted-ca-file': file('ca.crt', ca.cert),
  }
  const words = Object.entries(flags).map(([name, value]) => `--${name}=${value}`)
  return { ca, client, url, start: () => spawn('etcd', [...words, '--client-cert-auth'], { stdio: 'ignore' }) }
}

async function apiOver(t: Test, store: Store) {
  const api = await createApiServer({ ...context, store, log: silentLog, serviceAccounts: { issuer: 'x', signingKey: signingKey() } })
  t.teardown(() => api.close())
  return { ...api, ask: askVia(api.handler) }
}

const installed = spawnSync('etcd', ['--version']).status === 0

void t.test('two API servers on one etcd with TLS', { skip: installed ? false : 'etcd is not installed', timeout: 120_000 }, async (t) => {
  const path = mkdtempSync(join(tmpdir(), 'knarr-etcd-shared-'))
  const etcd = await secureEtcd(path)
  let child = etcd.start()
  t.teardown(async () => {
    child.kill('SIGKILL')
    rmSync(path, { recursive: true, force: true })
  })
  const tls = { ca: etcd.ca.cert, cert: etcd.client.cert, key: etcd.client.key }
  let first: Store | undefined
  await until(async () => {
    first = await openEtcdStore({ endpoints: [etcd.url], tls, ...context }).catch(() => undefined)
    return first !== undefined
  })
  await t.rejects(openEtcdStore({ endpoints: [etcd.url], tls: { ca: etcd.ca.cert }, ...context }), 'without a certificate')
  const second = await openEtcdStore({ endpoints: [etcd.url], tls, ...context })
  const stores = [first as Store, second]
  t.teardown(() => Promise.all(stores.map((store) => store.close())))
  const [a, b] = [await apiOver(t, stores[0] as Store), await apiOver(t, second)]

  const maps = '/api/v1/namespaces/default/configmaps'
  const { resourceVersion } = (await b.ask('GET', maps)).body.metadata
  const seen = readEvents(b.handler, `${maps}?watch=1&resourceVersion=${resourceVersion}`, 3)
  t.equal((await a.ask('POST', maps, configMap('one', { by: 'a' }))).status, 201)
  t.equal((await b.ask('GET', `${maps}/one`)).body.data.by, 'a', 'what one wrote, the other reads at once')
  const stale = (await a.ask('GET', `${maps}/one`)).body
  t.equal((await b.ask('PUT', `${maps}/one`, { ...stale, data: { by: 'b' } })).status, 200)
  t.equal((await a.ask('PUT', `${maps}/one`, { ...stale, data: { by: 'a again' } })).status, 409)

  const made = await Promise.all(
    Array.from({ length: 40 }, (_, i) =>
      (i % 2 ? a : b).ask('POST', '/api/v1/namespaces/default/services', {
        metadata: { name: `s${i}` },
        spec: { type: 'NodePort', ports: [{ port: 80 }] },
      }),
    ),
  )
  t.ok(made.every(({ status }) => status === 201))
  t.equal(new Set(made.map(({ body }) => body.spec.clusterIP)).size, 40, 'no address twice')
  t.equal(new Set(made.map(({ body }) => body.spec.ports[0].nodePort)).size, 40, 'no port twice')

  child.kill('SIGKILL')
  await new Promise((resolve) => child.once('exit', resolve))
  t.equal((await a.ask('GET', `${maps}/one`)).status, 503, 'without its store it says so')
  child = etcd.start()
  await until(async () => (await a.ask('POST', maps, configMap('after'))).status === 201)
  await until(async () => (await b.ask('GET', `${maps}/after`)).status === 200)
  t.same(
    (await seen).map(({ type, object }) => `${type} ${object.metadata.name}`),
    ['ADDED one', 'MODIFIED one', 'ADDED after'],
    'the watch of the other went on',
  )
})
