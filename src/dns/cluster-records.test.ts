import t from 'tap'
import type { EndpointSlice, Service } from '../api/index.js'
import { type ClusterRecordsOptions, type ClusterView, clusterRecords, reverseAddress } from './cluster-records.js'
import { dnsIndexes } from './run.js'
import { compose, type Query, type Reply, TYPES } from './types.js'

const service = (name: string, spec: Service['spec']): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec,
})
const services = [
  service('web', {
    clusterIP: '10.96.0.7',
    clusterIPs: ['10.96.0.7', 'fd00::7'],
    ports: [
      { name: 'http', port: 80, protocol: 'TCP' },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ],
  }),
  service('db', { clusterIP: 'None', clusterIPs: ['None'], ports: [{ name: 'pg', port: 5432 }] }),
  service('out', { type: 'ExternalName', externalName: 'example.com.' }),
]
const slice: EndpointSlice = {
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  addressType: 'IPv4',
  metadata: { name: 'db-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'db' } },
  ports: [{ name: 'pg', port: 5432, protocol: 'TCP' }],
  endpoints: [
    { addresses: ['10.244.0.5'], hostname: 'db-0', conditions: { ready: true } },
    { addresses: ['10.244.0.6'], targetRef: { kind: 'Pod', name: 'db-x' } },
    { addresses: ['10.244.0.9'], conditions: { ready: false } },
  ],
}
const view: ClusterView = {
  service: (namespace, name) => services.find((s) => s.metadata.namespace === namespace && s.metadata.name === name),
  slices: (_namespace, name) => (name === 'db' ? [slice] : []),
  hasNamespace: (name) => name === 'shop',
  servicesWithIp: (ip) => services.filter((s) => dnsIndexes.services.ip(s).includes(ip)),
  slicesWithIp: (ip) => (dnsIndexes.slices.ip(slice).includes(ip) ? [slice] : []),
}
const ask = (name: string, type: keyof typeof TYPES = 'A', more: Partial<ClusterRecordsOptions> = {}): Promise<Reply> => {
  const query: Query = {
    id: 1,
    opcode: 0,
    recursionDesired: true,
    checkingDisabled: false,
    question: { name, type: TYPES[type], class: 1 },
    client: '',
    transport: 'udp',
  }
  return compose([clusterRecords({ view, zones: ['cluster.local', 'in-addr.arpa', 'ip6.arpa'], ttl: 30, pods: 'insecure', ...more })])(
    query,
  )
}
const data = (reply: Reply): unknown[] => (reply.answers ?? []).map((record) => record.data)

t.test('a Service with a cluster IP', async (t) => {
  t.same(data(await ask('web.shop.svc.cluster.local')), [{ type: 'A', address: '10.96.0.7' }])
  t.same(data(await ask('web.shop.svc.cluster.local', 'AAAA')), [{ type: 'AAAA', address: 'fd00::7' }])
  const mixed = await ask('WEB.Shop.svc.Cluster.LOCAL')
  t.equal(mixed.answers?.[0]?.name, 'WEB.Shop.svc.Cluster.LOCAL')
  t.ok(mixed.authoritative)
  t.same(data(await ask('_http._tcp.web.shop.svc.cluster.local', 'SRV')), [
    { type: 'SRV', priority: 0, weight: 100, port: 80, target: 'web.shop.svc.cluster.local' },
  ])
  t.equal((await ask('_http._udp.web.shop.svc.cluster.local', 'SRV')).rcode, 'NXDOMAIN')
  t.same(data(await ask('7.0.96.10.in-addr.arpa', 'PTR')), [{ type: 'PTR', target: 'web.shop.svc.cluster.local' }])
  t.same(data(await ask('7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa', 'PTR')).length, 1)
})

t.test('a headless Service: ready endpoints by their names', async (t) => {
  t.same(data(await ask('db.shop.svc.cluster.local')), [
    { type: 'A', address: '10.244.0.5' },
    { type: 'A', address: '10.244.0.6' },
  ])
  t.same(data(await ask('db-0.db.shop.svc.cluster.local')), [{ type: 'A', address: '10.244.0.5' }])
  t.same(data(await ask('10-244-0-6.db.shop.svc.cluster.local')), [{ type: 'A', address: '10.244.0.6' }])
  t.equal((await ask('10-244-0-9.db.shop.svc.cluster.local')).rcode, 'NXDOMAIN')
  const srv = await ask('_pg._tcp.db.shop.svc.cluster.local', 'SRV')
  t.same(data(srv)[0], { type: 'SRV', priority: 0, weight: 50, port: 5432, target: 'db-0.db.shop.svc.cluster.local' })
  t.equal(srv.additional?.length, 2)
  t.same(data(await ask('5.0.244.10.in-addr.arpa', 'PTR')), [{ type: 'PTR', target: 'db-0.db.shop.svc.cluster.local' }])
})

t.test('ExternalName, pods, the version, and what is not there', async (t) => {
  const lookup = async (query: Query): Promise<Reply> => ({
    rcode: 'NOERROR',
    answers: [{ name: query.question.name, ttl: 9, data: { type: 'A', address: '192.0.2.1' } }],
  })
  t.same(data(await ask('out.shop.svc.cluster.local', 'A', { lookup })), [
    { type: 'CNAME', target: 'example.com' },
    { type: 'A', address: '192.0.2.1' },
  ])
  t.same(data(await ask('out.shop.svc.cluster.local', 'CNAME', { lookup })), [{ type: 'CNAME', target: 'example.com' }])
  t.same(data(await ask('10-244-1-2.shop.pod.cluster.local')), [{ type: 'A', address: '10.244.1.2' }])
  t.equal((await ask('10-244-1-300.shop.pod.cluster.local')).rcode, 'NXDOMAIN')
  t.equal((await ask('10-244-1-2.shop.pod.cluster.local', 'A', { pods: 'disabled' })).rcode, 'NXDOMAIN')
  t.same(data(await ask('dns-version.cluster.local', 'TXT')), [{ type: 'TXT', texts: ['1.1.0'] }])

  const missing = await ask('nobody.shop.svc.cluster.local')
  t.equal(missing.rcode, 'NXDOMAIN')
  t.equal(missing.authority?.[0]?.data.type, 'SOA')
  t.equal((await ask('web.nowhere.svc.cluster.local')).rcode, 'NXDOMAIN')
  const noData = await ask('shop.svc.cluster.local')
  t.equal(noData.rcode, 'NOERROR')
  t.equal(noData.authority?.[0]?.data.type, 'SOA')
  t.equal((await ask('web.shop.svc.cluster.local', 'MX')).rcode, 'NOERROR')
  t.equal((await ask('example.org')).rcode, 'REFUSED', 'other names go on to the next plugin')
  t.equal((await ask('9.9.9.9.in-addr.arpa', 'PTR', { fallthrough: ['in-addr.arpa'] })).rcode, 'REFUSED')
  t.equal((await ask('9.9.9.9.in-addr.arpa', 'PTR')).rcode, 'NXDOMAIN')
})

t.test('the apex of the zone, and its name server', async (t) => {
  const more = { nameservers: ['10.96.0.10'] }
  t.match(data(await ask('cluster.local', 'SOA', more)), [{ type: 'SOA', primary: 'ns.dns.cluster.local' }])
  t.same(data(await ask('cluster.local', 'NS', more)), [{ type: 'NS', target: 'ns.dns.cluster.local' }])
  t.same(data(await ask('ns.dns.cluster.local', 'A', more)), [{ type: 'A', address: '10.96.0.10' }])
  t.equal((await ask('cluster.local', 'A', more)).rcode, 'NOERROR')
})

t.test('options: verified pods, names of pods, no endpoints, some namespaces', async (t) => {
  t.same(data(await ask('10-244-0-6.shop.pod.cluster.local', 'A', { pods: 'verified' })), [{ type: 'A', address: '10.244.0.6' }])
  t.equal((await ask('10-244-0-7.shop.pod.cluster.local', 'A', { pods: 'verified' })).rcode, 'NXDOMAIN')
  t.same(data(await ask('db-x.db.shop.svc.cluster.local', 'A', { podNames: true })), [{ type: 'A', address: '10.244.0.6' }])
  t.same(data(await ask('6.0.244.10.in-addr.arpa', 'PTR', { podNames: true })), [{ type: 'PTR', target: 'db-x.db.shop.svc.cluster.local' }])
  t.equal((await ask('db.shop.svc.cluster.local', 'A', { noEndpoints: true })).rcode, 'NXDOMAIN')
  t.equal((await ask('web.shop.svc.cluster.local', 'A', { namespaces: ['other'] })).rcode, 'NXDOMAIN')
})

t.test('Services that name each other in a circle end', async (t) => {
  const circle: ClusterView = {
    ...view,
    service: (_namespace, name) =>
      service(name, { type: 'ExternalName', externalName: `${name === 'a' ? 'b' : 'a'}.shop.svc.cluster.local` }),
  }
  let lookups = 0
  const resolve = compose([
    clusterRecords({
      view: circle,
      zones: ['cluster.local'],
      lookup: (query) => {
        lookups++
        return resolve(query)
      },
    }),
  ])
  const question = { name: 'a.shop.svc.cluster.local', type: TYPES.A, class: 1 }
  const reply = await resolve({ id: 1, opcode: 0, recursionDesired: true, checkingDisabled: false, question, client: '', transport: 'udp' })
  t.equal(reply.rcode, 'NOERROR')
  t.ok(lookups < 20 && (reply.answers?.length ?? 0) === lookups + 1, `${lookups} lookups`)
})

t.test('reverse names', async (t) => {
  t.equal(reverseAddress('4.3.2.1.in-addr.arpa'), '1.2.3.4')
  t.equal(reverseAddress('3.2.1.in-addr.arpa'), undefined)
})
