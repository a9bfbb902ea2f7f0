// An API server for a node's tests: in this process, and over TLS for kubectl.
import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createApiServer, serve } from '../../src/controlplane/apiserver/index.js'
import { type HttpHandler, silentLog, systemClock, systemRandom } from '../../src/lib/index.js'
import { createCa, issue, type KeyPair, kubeconfig, writeKubeconfig } from '../../src/pki/index.js'
import { openLmdbStore } from '../../src/store/index.js'

export interface TestApi {
  /** As a user of that name; the administrator when left out. */
  as(user?: string, ...groups: readonly string[]): HttpHandler
  readonly ca: KeyPair
  /** Certificate of the node API. */
  readonly node: KeyPair
  /** Path of an administrator's kubeconfig. */
  readonly kubeconfig: string
  close(): Promise<void>
}

const context = { clock: systemClock, random: systemRandom }

export async function apiServer(dir: string, nodeName: string): Promise<TestApi> {
  const ca = await createCa('test-ca', context)
  const altNames = { dns: ['localhost', nodeName], ips: ['127.0.0.1'] }
  const [server, node, admin, toKubelet, ofNode] = await Promise.all([
    issue(ca, { subject: { commonName: 'kube-apiserver' }, altNames, usages: ['server auth'] }, context),
    issue(ca, { subject: { commonName: `system:node:${nodeName}` }, altNames, usages: ['server auth'] }, context),
    issue(ca, { subject: { commonName: 'admin', organizations: ['system:masters'] }, usages: ['client auth'] }, context),
    issue(ca, { subject: { commonName: 'kube-apiserver', organizations: ['system:masters'] }, usages: ['client auth'] }, context),
    issue(ca, { subject: { commonName: `system:node:${nodeName}`, organizations: ['system:nodes'] }, usages: ['client auth'] }, context),
  ])
  const store = await openLmdbStore({ path: join(dir, 'store'), clock: systemClock })
  const signingKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const api = await createApiServer({
    store,
    ...context,
    log: silentLog,
    clientCa: ca.cert,
    serviceAccounts: { issuer: 'https://kubernetes.default.svc.cluster.local', signingKey },
    kubelet: { ca: ca.cert, ...toKubelet },
  })
  const serving = await serve(api, { host: '127.0.0.1', port: 0, cert: server.cert, key: server.key, log: silentLog })
  const access = { server: `https://127.0.0.1:${serving.port}`, ca: ca.cert, identity: admin }
  const file = join(dir, 'admin.conf')
  writeFileSync(file, writeKubeconfig(kubeconfig(access, { cluster: 'test', user: 'admin' })))
  writeFileSync(join(dir, 'node.conf'), writeKubeconfig(kubeconfig({ ...access, identity: ofNode }, { cluster: 'test', user: nodeName })))
  return {
    ca,
    node,
    kubeconfig: file,
    as(name = 'admin', ...groups) {
      const inProcessUser = { name, groups: name === 'admin' ? ['system:masters'] : groups }
      return (request) => api.handler({ ...request, peer: { inProcessUser } })
    },
    async close() {
      await serving.close()
      await api.close()
      await store.close()
    },
  }
}
