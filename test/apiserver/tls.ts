// A served API: certificates of its own authority, a port of its own, a kubeconfig.
import { writeFileSync } from 'node:fs'
import type { Test } from 'tap'
import { type ApiServerOptions, type ServeOptions, type Serving, serve } from '../../src/controlplane/apiserver/index.js'
import { silentLog, systemClock, systemRandom } from '../../src/lib/index.js'
import { createCa, issue, type KeyPair, kubeconfig, writeKubeconfig } from '../../src/pki/index.js'
import { startServer, type TestServer } from './harness.js'

const context = { clock: systemClock, random: systemRandom }

export interface Served extends TestServer {
  readonly serving: Serving
  readonly url: string
  readonly ca: KeyPair
  readonly admin: KeyPair
  /** A kubeconfig file of the administrator. */
  readonly kubeconfig: string
  /** The same for another user. */
  configFor(user: string, groups?: readonly string[]): Promise<string>
  certificateFor(user: string, groups?: readonly string[]): Promise<KeyPair>
}

export async function serveApi(
  t: Pick<Test, 'teardown'>,
  options: Partial<ApiServerOptions> = {},
  connections: Pick<ServeOptions, 'idleMs' | 'maxConnections'> = {},
): Promise<Served> {
  const ca = await createCa('test-ca', context)
  const server = await issue(
    ca,
    { subject: { commonName: 'kube-apiserver' }, altNames: { dns: ['localhost'], ips: ['127.0.0.1'] }, usages: ['server auth'] },
    context,
  )
  const certificateFor = (user: string, groups: readonly string[] = []): Promise<KeyPair> =>
    issue(ca, { subject: { commonName: user, organizations: groups }, usages: ['client auth'] }, context)
  const api = await startServer(t, { clientCa: ca.cert, ...options })
  const serving = await serve(api, { host: '127.0.0.1', port: 0, cert: server.cert, key: server.key, log: silentLog, ...connections })
  t.teardown(() => serving.close())
  const url = `https://127.0.0.1:${serving.port}`
  const configFor = async (user: string, groups: readonly string[] = []): Promise<string> => {
    const identity = await certificateFor(user, groups)
    const file = `${api.path}/${user.replaceAll(/\W/g, '-')}.conf`
    writeFileSync(file, writeKubeconfig(kubeconfig({ server: url, ca: ca.cert, identity }, { cluster: 'test', user })))
    return file
  }
  const admin = await certificateFor('admin', ['system:masters'])
  return { ...api, serving, url, ca, admin, kubeconfig: await configFor('admin', ['system:masters']), configFor, certificateFor }
}
