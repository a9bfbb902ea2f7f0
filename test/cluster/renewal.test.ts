// Months pass: the certificates of a server and of a node are replaced while both work, and everybody who holds a new one is let in.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type DetailedPeerCertificate } from 'node:tls'
import t from 'tap'
import { Node } from '../../src/api/index.js'
import { createClient, httpsTransport } from '../../src/client/index.js'
import { keepServingFresh, nodeIdentity, nodeSubject, RENEWAL_CHECK_MS, servingIdentity } from '../../src/cluster/identity.js'
import { runServer } from '../../src/cluster/server.js'
import { type Clock, silentLog, systemClock, systemRandom } from '../../src/lib/index.js'
import { issue, type KeyPair, kubeconfig, writeKubeconfig } from '../../src/pki/index.js'
import { until } from '../machines/until.js'

const DAY = 24 * 3600_000
/** It begins 300 days ago, so that TLS, which goes by the machine's clock, finds the certificates of the end valid. */
let days = -300
/** The machine's time, some days off; what looks at certificates now and then looks often. */
const clock: Clock = {
  now: () => systemClock.now() + days * DAY,
  monotonic: () => systemClock.monotonic(),
  after: (ms, run) => systemClock.after(ms === RENEWAL_CHECK_MS ? 50 : ms, run),
}
const context = { clock, random: systemRandom, log: silentLog }

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })

const served = (port: number): Promise<DetailedPeerCertificate> =>
  new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate(true))
      socket.destroy()
    })
    socket.once('error', reject)
  })

t.test('certificates are renewed without a restart', { timeout: 120_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'knarr-renewal-'))
  const [pki, adminConf, kubeletConf, kubelet] = ['pki', 'admin.conf', 'kubelet.conf', 'kubelet'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
    string,
  ]
  mkdirSync(kubelet)
  const port = await freePort()
  const stop = new AbortController()
  const keeping: Promise<void>[] = []
  const names = { nodeName: 'n1', advertiseAddress: '192.0.2.2', bindAddress: '127.0.0.1', port, clusterDomain: 'cluster.local' }
  const ranges = { serviceCidr: '10.96.0.0/16', clusterCidrs: ['10.244.0.0/16'], extraSans: [] }
  const store = { store: '', etcdCaFile: '', etcdCertFile: '', etcdKeyFile: '', dataDir: join(folder, 'store') }
  await new Promise<void>((ready, failed) => {
    const running = runServer({ ...names, ...ranges, ...store, pki, adminConf }, context, stop.signal, ready)
    running.catch(failed)
    t.teardown(async () => {
      stop.abort()
      await Promise.all([running, ...keeping])
      // Only now is nobody left who writes into it.
      rmSync(folder, { recursive: true })
    })
  })

  const pair = (name: string): KeyPair => ({
    cert: readFileSync(join(pki, `${name}.crt`), 'utf8'),
    key: readFileSync(join(pki, `${name}.key`), 'utf8'),
  })
  const ca = pair('ca')
  const joined = await issue(ca, { subject: nodeSubject('n1'), usages: ['client auth'] }, context)
  const access = { server: `https://127.0.0.1:${port}`, ca: ca.cert, identity: joined }
  writeFileSync(kubeletConf, writeKubeconfig(kubeconfig(access, { cluster: 'knarr', user: 'system:node:n1' })))
  const identity = nodeIdentity(kubeletConf, 'n1', context)
  const transport = await httpsTransport({ server: identity.server, ca: identity.ca, identity: identity.current })
  t.teardown(() => transport.close())
  const client = createClient(transport.handler, { userAgent: 'kubelet' })
  const addresses = [
    { type: 'InternalIP', address: '127.0.0.1' },
    { type: 'Hostname', address: 'n1' },
  ]
  await client.create(Node, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' } })
  await client.patch(Node, { name: 'n1' }, { status: { addresses } }, { type: 'merge', subresource: 'status' })
  const serving = {
    nodeName: 'n1',
    nodeIp: '127.0.0.1',
    ca: ca.cert,
    client,
    signal: stop.signal,
    folder: kubelet,
    authorityFolder: kubelet,
  }
  const first = await servingIdentity(serving, context)
  let used = first
  keeping.push(
    keepServingFresh(serving, first, (fresh) => (used = fresh), context),
    identity.keepFresh(client, stop.signal),
  )
  const before = { server: (await served(port)).fingerprint256, towardsNodes: pair('apiserver-kubelet-client').cert }

  days = -100
  await new Promise((resolve) => setTimeout(resolve, 500))
  t.equal((await served(port)).fingerprint256, before.server, '200 days on, the old ones are good enough')
  t.same([used, identity.current()], [first, joined])

  days = 0
  await until('the server shows a new certificate', async () => (await served(port)).fingerprint256 !== before.server)
  t.equal((await served(port)).issuerCertificate.raw.toString('base64'), ca.cert.replace(/-----.*-----|\n/g, ''), 'of the same authority')
  await until('the server has a new one for nodes', async () => pair('apiserver-kubelet-client').cert !== before.towardsNodes)
  await until('the node has a new client certificate', async () => identity.current().cert !== joined.cert)
  await until('the node has a new serving certificate', async () => used.cert !== first.cert)
  t.match(readFileSync(kubeletConf, 'utf8'), Buffer.from(identity.current().cert).toString('base64'), 'kept for the next start')
  t.equal(readFileSync(join(kubelet, 'kubelet.crt'), 'utf8'), used.cert, 'kept for the next start')

  const fresh = await httpsTransport({ server: identity.server, ca: identity.ca, identity: identity.current })
  t.teardown(() => fresh.close())
  t.equal((await createClient(fresh.handler, { userAgent: 'kubelet' }).get(Node, { name: 'n1' })).metadata.name, 'n1')
})
