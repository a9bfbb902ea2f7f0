import t from 'tap'
import type { EndpointConditions, EndpointSlice, Service } from '../api/index.js'
import { Planner, planRuleset } from './planner.js'
import { disturbedUdp, type Frontend } from './ruleset.js'

type Conditions = EndpointConditions
const service = (
  name: string,
  spec: NonNullable<Service['spec']>,
  status?: Service['status'],
  created = '2026-01-01T00:00:00Z',
): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop', creationTimestamp: created },
  spec,
  status,
})
const slice = (
  endpoints: readonly (readonly [string, string, Conditions?])[],
  port = 8080,
  more: Partial<EndpointSlice> = {},
): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 's', namespace: 'shop' },
  addressType: 'IPv4',
  ports: [{ name: 'http', port, protocol: 'TCP' }],
  endpoints: endpoints.map(([ip, nodeName, conditions]) => ({ addresses: [ip], nodeName, ...(conditions ? { conditions } : {}) })),
  ...more,
})
const plan = (s: Service | readonly Service[], slices: readonly EndpointSlice[]): readonly Frontend[] =>
  planRuleset({ services: [s].flat() as Service[], slicesOf: () => slices, nodeName: 'n1' }).frontends
const web = (more: Partial<NonNullable<Service['spec']>> = {}): Service =>
  service('web', {
    clusterIP: '10.96.0.7',
    clusterIPs: ['10.96.0.7'],
    ports: [{ name: 'http', port: 80, protocol: 'TCP', nodePort: 30_080 }],
    ...more,
  })
const ips = (frontend: Frontend | undefined): string[] => (frontend?.endpoints ?? []).map(({ ip, port }) => `${ip}:${port}`)

t.test('a ClusterIP leads to ready endpoints, in a fixed order, each once', async (t) => {
  const [only, ...others] = plan(web(), [
    slice([
      ['10.244.1.9', 'n2'],
      ['10.244.0.5', 'n1'],
      ['10.244.0.6', 'n1', { ready: false }],
    ]),
    slice([['10.244.0.5', 'n1']]),
  ])
  t.equal(others.length, 0, 'the node port of a ClusterIP Service counts for nothing')
  t.same(ips(only), ['10.244.0.5:8080', '10.244.1.9:8080'])
  t.same([only?.masquerade, only?.whenEmpty, only?.service], ['outside', 'reject', 'shop/web:http'])
})

t.test('node ports and local traffic policies', async (t) => {
  const slices = [
    slice([
      ['10.244.1.9', 'n2'],
      ['10.244.0.5', 'n1'],
    ]),
  ]
  const cluster = plan(web({ type: 'NodePort' }), slices)
  t.same(
    cluster.map(({ kind, ip, port, masquerade }) => [kind, ip, port, masquerade]),
    [
      ['NodePort', undefined, 30_080, 'always'],
      ['ClusterIP', '10.96.0.7', 80, 'outside'],
    ],
  )
  const local = plan(web({ type: 'NodePort', externalTrafficPolicy: 'Local' }), slices)
  t.same(ips(local[0]), ['10.244.0.5:8080'])
  t.equal(local[0]?.masquerade, 'never', 'the client address is kept')
  t.equal(ips(local[1]).length, 2)
  const elsewhere = plan(web({ type: 'NodePort', externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Local' }), [
    slice([['10.244.1.9', 'n2']]),
  ])
  t.same(
    elsewhere.map(({ endpoints, whenEmpty }) => [endpoints.length, whenEmpty]),
    [
      [0, 'drop'],
      [0, 'drop'],
    ],
  )
  t.equal(plan(web({ internalTrafficPolicy: 'Local' }), [])[0]?.whenEmpty, 'reject', 'no endpoint anywhere is refused')
})

t.test('endpoints that end serve when nobody else does', async (t) => {
  const ending = { ready: false, serving: true, terminating: true }
  t.same(
    ips(
      plan(web(), [
        slice([
          ['10.244.0.5', 'n1', ending],
          ['10.244.0.6', 'n1'],
        ]),
      ])[0],
    ),
    ['10.244.0.6:8080'],
  )
  t.same(
    ips(
      plan(web(), [
        slice([
          ['10.244.0.5', 'n1', ending],
          ['10.244.0.6', 'n1', { ready: false }],
        ]),
      ])[0],
    ),
    ['10.244.0.5:8080'],
  )
})

t.test('load balancers, external addresses, two families, affinity', async (t) => {
  const spec = {
    type: 'LoadBalancer',
    clusterIPs: ['10.96.0.7', 'fd00::7'],
    externalIPs: ['192.0.2.7', 'nonsense'],
    loadBalancerSourceRanges: ['198.51.100.0/24', '2001:db8::/32'],
    sessionAffinity: 'ClientIP',
    externalTrafficPolicy: 'Local',
    healthCheckNodePort: 31_000,
  }
  const balanced = { ...web(spec), status: { loadBalancer: { ingress: [{ ip: '203.0.113.7' }, { ip: '203.0.113.8', ipMode: 'Proxy' }] } } }
  const slices = [slice([['10.244.0.5', 'n1']]), slice([['fd10::5', 'n1']], 8080, { addressType: 'IPv6' })]
  const ruleset = planRuleset({ services: [balanced], slicesOf: () => slices, nodeName: 'n1' })
  t.same(
    ruleset.frontends.map(({ kind, family, ip }) => `${kind} ${family} ${ip ?? '*'}`),
    [
      'NodePort IPv4 *',
      'ClusterIP IPv4 10.96.0.7',
      'ExternalIP IPv4 192.0.2.7',
      'LoadBalancer IPv4 203.0.113.7',
      'NodePort IPv6 *',
      'ClusterIP IPv6 fd00::7',
    ],
  )
  t.ok(ruleset.frontends.every(({ affinitySeconds }) => affinitySeconds === 10_800))
  t.same(ruleset.frontends.find(({ kind }) => kind === 'LoadBalancer')?.sourceRanges, ['198.51.100.0/24'])
  t.same(ruleset.healthChecks, [{ port: 31_000, service: { namespace: 'shop', name: 'web' }, localEndpoints: 1 }])
})

t.test('what has no rules, and who wins a quarrel', async (t) => {
  t.same(plan(web({ clusterIP: 'None', clusterIPs: ['None'] }), []), [])
  t.same(plan(service('out', { type: 'ExternalName', externalName: 'example.com' }), []), [])
  t.same(plan(web({ ports: [{ port: 80, protocol: 'QUIC' }] }), []), [])
  const older = web({ externalIPs: ['192.0.2.7'] })
  const younger = service(
    'late',
    { clusterIP: '10.96.0.8', externalIPs: ['192.0.2.7'], ports: [{ port: 80 }] },
    undefined,
    '2026-05-01T00:00:00Z',
  )
  t.equal(plan([younger, older], []).find(({ ip }) => ip === '192.0.2.7')?.service, 'shop/web:http')
  const answeredHere = planRuleset({ services: [web()], slicesOf: () => [], nodeName: 'n1', answeredHere: new Set(['10.96.0.7']) })
  t.same(answeredHere.frontends, [])
})

t.test('what changes when one Service changes, and whose UDP flows that disturbs', async (t) => {
  const dns = service('dns', { clusterIP: '10.96.0.9', ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] })
  const planner = new Planner()
  const update = (endpoints: readonly string[], changed: Service | undefined = dns) =>
    planner.update([['shop/dns', changed]], {
      nodeName: 'n1',
      slicesOf: () => [
        slice(
          endpoints.map((ip) => [ip, 'n1'] as const),
          5353,
          { ports: [{ name: 'dns', port: 5353, protocol: 'UDP' }] },
        ),
      ],
    })
  const counts = ({ added, removed, changed }: ReturnType<typeof update>) => [added.length, removed.length, changed.length]
  t.same(counts(update(['10.244.0.1', '10.244.0.2'])), [1, 0, 0])
  const change = update(['10.244.0.2', '10.244.0.3'])
  t.same(counts(change), [0, 0, 1])
  t.same(ips(disturbedUdp(change)[0]), ['10.244.0.2:5353', '10.244.0.3:5353'])
  t.same(counts(update(['10.244.0.2', '10.244.0.3'])), [0, 0, 0])
  const gone = planner.update([['shop/dns', undefined]], { nodeName: 'n1', slicesOf: () => [] })
  t.same(counts(gone), [0, 1, 0])
  t.same(
    disturbedUdp(gone).map(({ ip, endpoints }) => [ip, endpoints]),
    [['10.96.0.9', []]],
  )
  t.same(planner.frontends, [])
})

t.test('an address that two Services want goes to the older one, and to the younger when that one is gone', async (t) => {
  const input = { nodeName: 'n1', slicesOf: () => [] }
  const at = (name: string, created: string): Service =>
    service(name, { clusterIP: `10.96.0.${name === 'old' ? 1 : 2}`, externalIPs: ['192.0.2.7'], ports: [{ port: 80 }] }, undefined, created)
  const planner = new Planner()
  const holder = (): string | undefined => planner.frontends.find(({ ip }) => ip === '192.0.2.7')?.service
  planner.update([['shop/new', at('new', '2026-05-01T00:00:00Z')]], input)
  t.equal(holder(), 'shop/new')
  const change = planner.update([['shop/old', at('old', '2026-01-01T00:00:00Z')]], input)
  t.equal(holder(), 'shop/old')
  t.same([change.added.length, change.changed.length], [1, 0], 'both lead nowhere alike: only the cluster IP is new')
  planner.update([['shop/old', undefined]], input)
  t.equal(holder(), 'shop/new')
})

t.test('Services of another proxy are not ours', async (t) => {
  for (const label of ['service.kubernetes.io/service-proxy-name', 'service.kubernetes.io/headless']) {
    const labelled = web()
    t.same(plan({ ...labelled, metadata: { ...labelled.metadata, labels: { [label]: 'x' } } }, []), [], label)
  }
})
