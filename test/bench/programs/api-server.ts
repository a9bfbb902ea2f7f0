// An API server of its own process, for benchmarks: prints where it listens and who may speak to it.
import { generateKeyPairSync } from 'node:crypto'
import { createApiServer, serve } from '../../../src/controlplane/apiserver/index.js'
import { silentLog, systemClock, systemRandom } from '../../../src/lib/index.js'
import { createCa, issue } from '../../../src/pki/index.js'
import { openLmdbStore } from '../../../src/store/index.js'

const [path = ''] = process.argv.slice(2)
const context = { clock: systemClock, random: systemRandom }
const ca = await createCa('bench', context)
const server = await issue(
  ca,
  { subject: { commonName: 'kube-apiserver' }, altNames: { ips: ['127.0.0.1'] }, usages: ['server auth'] },
  context,
)
const admin = await issue(ca, { subject: { commonName: 'admin', organizations: ['system:masters'] }, usages: ['client auth'] }, context)
const store = await openLmdbStore({ path, clock: systemClock })
const signingKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
const api = await createApiServer({
  ...context,
  store,
  log: silentLog,
  clientCa: ca.cert,
  serviceAccounts: { issuer: 'bench', signingKey },
})
const { port } = await serve(api, { host: '127.0.0.1', port: 0, cert: server.cert, key: server.key, log: silentLog })
process.stdout.write(`${JSON.stringify({ port, ca: ca.cert, cert: admin.cert, key: admin.key })}\n`)
process.on('message', () => {
  const usage = process.cpuUsage()
  process.send?.({ rss: process.memoryUsage.rss(), cpuMs: (usage.user + usage.system) / 1000 })
})
