// The ConfigMap `coredns` as people change it, on a node's own path: watched through the API with a node's rights, in force or refused.
// Needs root for port 53 on an address of loopback.
import { execFile, spawn } from 'node:child_process'
import { once, setMaxListeners } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { ConfigMap, EndpointSlice, Event, Namespace, Role, RoleBinding, Service } from '../../src/api/index.js'
import { createClient, informer } from '../../src/client/index.js'
import { namespaceBindings, namespaceRoles } from '../../src/cluster/roles.js'
import { COREFILE_CONFIGMAP, CUSTOM_CONFIGMAP, dnsIndexes, runClusterDns } from '../../src/dns/index.js'
import { type Logger, silentLog, systemClock, systemRandom } from '../../src/lib/index.js'
import { createCa, issue } from '../../src/pki/index.js'
import { ADMIN, startServer } from '../apiserver/harness.js'
import { until } from '../machines/until.js'

const skip = process.getuid?.() === 0 ? false : 'needs root'
const exec = promisify(execFile)
const IP = '127.53.0.10'
const context = { clock: systemClock, random: systemRandom }

const dig = async (...args: readonly string[]): Promise<string> =>
  (await exec('dig', [`@${IP}`, '+time=3', '+tries=1', ...args])).stdout.trim()
const short = (...args: readonly string[]): Promise<string> => dig('+short', ...args)

/** A logger whose lines can be looked at. */
function heard(): { readonly log: Logger; readonly lines: { message: string; fields: Record<string, unknown> }[] } {
  const lines: { message: string; fields: Record<string, unknown> }[] = []
  const keep = (message: string, fields: Record<string, unknown> = {}): void => void lines.push({ message, fields })
  const log: Logger = { ...silentLog, info: keep, warn: keep, error: keep, child: () => log }
  return { log, lines }
}

t.test('the configuration of cluster DNS', { skip, timeout: 120_000 }, async (t) => {
  const server = await startServer(t)
  const as = (name: string, groups: readonly string[]) =>
    createClient((request) => server.handler({ ...request, peer: { inProcessUser: { name, groups } } }))
  const admin = as(ADMIN.name, ADMIN.groups)
  for (const role of namespaceRoles) await admin.create(Role, role)
  for (const binding of namespaceBindings) await admin.create(RoleBinding, binding)
  const node = as('system:node:n1', ['system:nodes', 'system:authenticated'])
  const { log, lines } = heard()
  const services = informer(admin, Service, { clock: systemClock, log: silentLog, indexes: dnsIndexes.services })
  const slices = informer(admin, EndpointSlice, { clock: systemClock, log: silentLog, indexes: dnsIndexes.slices })
  const namespaces = informer(admin, Namespace, { clock: systemClock, log: silentLog })
  const abort = new AbortController()
  setMaxListeners(0, abort.signal)
  t.teardown(() => abort.abort())
  for (const each of [services, slices, namespaces]) void each.run(abort.signal)
  const folder = t.testdir()
  const ca = await createCa('upstream', context)
  const options = { client: node, services, slices, namespaces, ...context, log, clusterDomain: 'cluster.local', addresses: [IP] }
  await runClusterDns({ ...options, resolvConf: '/dev/null', authorities: () => [ca.cert] }, abort.signal)

  await admin.create(Service, {
    metadata: { name: 'web', namespace: 'default' },
    spec: { ports: [{ port: 80 }], clusterIP: '10.96.7.7' },
  } as never)
  await until('the Service has its name', async () => (await short('web.default.svc.cluster.local')) === '10.96.7.7')

  const put = async (name: string, data: Record<string, string>): Promise<void> => {
    const metadata = { ...COREFILE_CONFIGMAP, name }
    const there = await admin.find(ConfigMap, metadata)
    if (there) await admin.update(ConfigMap, { ...there, data })
    else await admin.create(ConfigMap, { metadata, data } as never)
  }
  const use = (data: Record<string, string>): Promise<void> => put(COREFILE_CONFIGMAP.name, data)
  const hostsBlock = (ip: string): string => `. {\n hosts {\n ${ip} name.test\n }\n}`

  await t.test('two server blocks, a port for each zone, files beside it', async (t) => {
    await use({
      Corefile: `(seen) {
          errors
          log
        }
        cluster.local {
          import seen
          kubernetes
        }
        one.test, two.test:5353 {
          import seen
          hosts /etc/coredns/NodeHosts
        }
        import /etc/coredns/custom/*.server`,
      NodeHosts: '192.0.2.1 a.one.test\n192.0.2.2 a.two.test\n',
    })
    await until('it is in force', async () => (await short('a.one.test')) === '192.0.2.1')
    t.equal(await short('web.default.svc.cluster.local'), '10.96.7.7')
    t.match(await dig('a.two.test'), /status: REFUSED/, 'on its own port only')
    t.equal(await short('-p', '5353', 'a.two.test'), '192.0.2.2')
    t.match(await dig('-p', '5353', 'a.one.test'), /status: REFUSED/)
    t.match(
      lines.findLast(({ message, fields }) => message === 'dns' && fields.name === 'a.two.test'),
      { fields: { client: '127.0.0.1', transport: 'udp', type: 1, rcode: 'NOERROR', ms: Number } },
      'the log plugin tells it',
    )
    await put(CUSTOM_CONFIGMAP, { 'more.server': 'more.test {\n hosts {\n 192.0.2.3 a.more.test\n }\n}' })
    await until('what others add is in force', async () => (await short('a.more.test')) === '192.0.2.3')
    await admin.delete(ConfigMap, { ...COREFILE_CONFIGMAP, name: CUSTOM_CONFIGMAP })
    await until('and goes with them', async () => /status: REFUSED/.test(await dig('a.more.test')))
  })

  await t.test('one that cannot be read leaves the last good one, and says why where it is', async (t) => {
    await use({ Corefile: hostsBlock('192.0.2.10') })
    await until('it is in force', async () => (await short('name.test')) === '192.0.2.10')
    await use({ Corefile: '. {\n hosts {\n 192.0.2.11 name.test\n }\n nonsense\n}' })
    const event = await until('an Event', async () =>
      (await admin.list(Event, { namespace: 'kube-system' })).items.find(({ reason }) => reason === 'CorefileRefused'),
    )
    t.match(event, {
      type: 'Warning',
      message: 'the last good Corefile stays in force on this node: line 5: nonsense: no such plugin',
      involvedObject: { kind: 'ConfigMap', name: 'coredns' },
    })
    t.equal(await short('name.test'), '192.0.2.10')
    await use({ Corefile: hostsBlock('192.0.2.12') })
    await until('the next good one is in force', async () => (await short('name.test')) === '192.0.2.12')
    await admin.delete(ConfigMap, COREFILE_CONFIGMAP)
    await until('without any, the usual one', async () => (await short('web.default.svc.cluster.local')) === '10.96.7.7')
  })

  await t.test('an upstream over TLS, whose name and authority must be right', async (t) => {
    const identity = await issue(ca, { subject: { commonName: 'dns' }, altNames: { dns: ['dns.test'] }, usages: ['server auth'] }, context)
    for (const [name, text] of [
      ['key.pem', identity.key],
      ['cert.pem', identity.cert],
      ['ca.pem', ca.cert],
      ['other.pem', (await createCa('other', context)).cert],
    ] as const)
      writeFileSync(join(folder, name), text)
    writeFileSync(
      join(folder, 'unbound.conf'),
      `server:
  interface: 127.53.0.20@853
  do-daemonize: no
  use-syslog: no
  logfile: ""
  chroot: ""
  username: ""
  pidfile: ""
  access-control: 127.0.0.0/8 allow
  tls-service-key: "${folder}/key.pem"
  tls-service-pem: "${folder}/cert.pem"
  local-zone: "up.test." static
${Array.from({ length: 30 }, (_, i) => `  local-data: "n${i}.up.test. 60 IN A 192.0.2.${i}"`).join('\n')}
remote-control:
  control-enable: no
`,
    )
    const unbound = spawn('unbound', ['-d', '-c', join(folder, 'unbound.conf')], { stdio: 'ignore' })
    t.teardown(async () => {
      unbound.kill()
      await once(unbound, 'exit')
    })
    const tls = (...properties: readonly string[]): string =>
      `. {\n errors\n forward . tls://127.53.0.20 {\n max_fails 0\n ${properties.join('\n ')}\n }\n}`
    await use({ Corefile: tls('tls_servername dns.test') })
    await until('it answers', async () => (await short('n7.up.test')) === '192.0.2.7')
    const answers = await Promise.all(Array.from({ length: 30 }, (_, i) => short(`n${i}.up.test`)))
    t.same(
      answers,
      Array.from({ length: 30 }, (_, i) => `192.0.2.${i}`),
      'many at once, each its own',
    )
    t.match(await dig('none.up.test'), /status: NXDOMAIN/)
    for (const [corefile, why] of [
      [tls('tls_servername other.test'), 'another name'],
      [tls(), 'no certificate for the address'],
      [tls('tls_servername dns.test', `tls ${folder}/other.pem`), 'another authority'],
    ] as const) {
      await use({ Corefile: corefile })
      await until(why, async () => /status: SERVFAIL/.test(await dig('n7.up.test')))
    }
    await use({ Corefile: tls('tls_servername dns.test', `tls ${folder}/ca.pem`) })
    await until('with the authority from a file', async () => (await short('n7.up.test')) === '192.0.2.7')
  })
})
