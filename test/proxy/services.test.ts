// Needs root. The same Services and the same packets through every applier: nftables, iptables, userspace; from pods, nodes and outside.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Endpoint, EndpointSlice } from '../../src/api/index.js'
import { type Answers, createProxyNetwork, NODES, OUTSIDE, type Place, PODS, type ProxyNetwork } from './network.js'
import { BALANCER, EXTERNAL, everywhere, http, service, slices, VIP } from './objects.js'
import { buildSctp } from './sctp.js'

interface Scene {
  readonly mode: string
  readonly network: ProxyNetwork
  /** Relayed by us: clients are seen under the node's address, and nothing can be dropped, only refused. */
  readonly relayed: boolean
  dial(from: Place, ip: string, port: number, more?: Readonly<Record<string, unknown>>): Promise<Answers>
}

const udp = { protocol: 'udp' }
const families = ['v4', 'v6'] as const
const web = (members: Parameters<typeof slices>[1], port?: number): EndpointSlice[] => slices('web', members, http(port))

/** Answers by pod, whatever the client's address. */
function byPod(answers: Answers): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const [answer, count] of Object.entries(answers)) {
    const [pod = ''] = answer.split(' ')
    sums[pod] = (sums[pod] ?? 0) + count
  }
  return sums
}
const pods = (answers: Answers): string[] => Object.keys(byPod(answers)).sort()

/** Short, for packets that are to be dropped. */
const briefly = { timeoutMs: 400 }
const isLost = ({ relayed }: Scene, answers: Answers): boolean =>
  (relayed ? ['ECONNREFUSED', 'ECONNRESET'] : ['TIMEOUT']).some((answer) => answers[answer] === 1)

const cases: Readonly<Record<string, (t: Test, scene: Scene) => Promise<void>>> = {
  async 'every address of a Service, from pods, nodes and outside, in both families'(t, { network, dial }) {
    await network.apply({ services: [everywhere()], slices: web(['a', 'c']) })
    for (const from of ['a', 'b', 'c', 'node1', 'node2', 'outside'] as const) {
      for (const family of families) {
        const targets: [string, number][] = [
          [EXTERNAL[family], 80],
          [BALANCER[family], 80],
          [NODES.node1[family], 30_080],
          [NODES.node2[family], 30_080],
        ]
        if (from !== 'outside') targets.push([VIP[family], 80])
        for (const [ip, port] of targets) t.same(pods(await dial(from, ip, port, { count: 20 })), ['a', 'c'], `${from} dials ${ip} ${port}`)
      }
    }
  },

  async 'who the endpoints see'(t, { network, dial, relayed }) {
    await network.apply({ services: [everywhere()], slices: web(['c']) })
    if (relayed) return
    for (const family of families) {
      t.same(await dial('a', VIP[family], 80), { [`c ${PODS.a[family]}`]: 1 }, 'a pod is seen under its own address')
      t.same(await dial('c', VIP[family], 80), { [`c ${family === 'v4' ? '10.244.2.1' : 'fd44:0:2::1'}`]: 1 }, 'unless it reaches itself')
      t.same(await dial('node1', VIP[family], 80), { [`c ${NODES.node1[family]}`]: 1 })
      t.same(await dial('outside', NODES.node1[family], 30_080), { [`c ${NODES.node1[family]}`]: 1 }, 'the way back leads through the node')
    }
  },

  async 'many connections are spread evenly'(t, { network, dial }) {
    await network.apply({ services: [everywhere()], slices: web(['a', 'b', 'c']) })
    const count = 10_000
    const answers = byPod(await dial('node1', VIP.v4, 80, { count }))
    // Five standard deviations.
    const far = 5 * Math.sqrt((count * 2) / 9)
    for (const pod of ['a', 'b', 'c']) t.ok(Math.abs((answers[pod] ?? 0) - count / 3) < far, JSON.stringify(answers))
    t.equal(Object.keys(answers).length, 3, 'and none is lost')
  },

  async 'several ports, TCP and UDP on one, and named target ports that differ from pod to pod'(t, { network, dial }) {
    const ports = [
      { name: 'dns', port: 53, nodePort: 30_053, protocol: 'UDP' },
      { name: 'dns-tcp', port: 53, nodePort: 30_053, protocol: 'TCP' },
      { name: 'http', port: 80, nodePort: 30_080, protocol: 'TCP' },
    ]
    await network.apply({
      services: [everywhere({}, ports)],
      slices: [
        ...slices(
          'web',
          ['a'],
          [
            { name: 'dns', port: 8080, protocol: 'UDP' },
            { name: 'dns-tcp', port: 8081, protocol: 'TCP' },
          ],
        ),
        ...slices('web', ['b'], http(8081), '-8081'),
        ...slices('web', ['c'], http(8080), '-8080'),
      ],
    })
    for (const family of families) {
      t.same(pods(await dial('b', VIP[family], 53, { ...udp, count: 4 })), ['a'])
      t.same(pods(await dial('outside', NODES.node2[family], 30_053, { ...udp, count: 4 })), ['a'])
      t.same(pods(await dial('b', VIP[family], 53)), ['a2'], 'the port next door')
      t.same(pods(await dial('node2', VIP[family], 80, { count: 30 })), ['b2', 'c'])
    }
  },

  async 'nobody there: refused at once, everywhere'(t, { network, dial }) {
    const ports = [
      { name: 'http', port: 80, nodePort: 30_080, protocol: 'TCP' },
      { name: 'dns', port: 53, nodePort: 30_053, protocol: 'UDP' },
    ]
    await network.apply({ services: [everywhere({}, ports)], slices: web([]) })
    const startedAt = performance.now()
    let dials = 0
    for (const from of ['a', 'node1', 'outside'] as const) {
      for (const family of families) {
        const addresses = [EXTERNAL[family], BALANCER[family], ...(from === 'outside' ? [] : [VIP[family]])]
        for (const ip of addresses) {
          t.same(await dial(from, ip, 80), { ECONNREFUSED: 1 }, `${from} dials ${ip}`)
          t.same(await dial(from, ip, 53, udp), { ECONNREFUSED: 1 }, `${from} asks ${ip}`)
        }
        t.same(await dial(from, NODES.node1[family], 30_080), { ECONNREFUSED: 1 })
        t.same(await dial(from, NODES.node1[family], 30_053, udp), { ECONNREFUSED: 1 })
        dials += addresses.length * 2 + 2
      }
    }
    t.ok(performance.now() - startedAt < dials * 200, 'at once')
  },

  async 'affinity holds, times out, and does not lead to who is gone'(t, { network, dial }) {
    const sticky = everywhere({ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 2 } } })
    await network.apply({ services: [sticky], slices: web(['a', 'b', 'c']) })
    for (const family of families) {
      for (const [from, ip, port] of [
        ['b', VIP[family], 80],
        ['outside', NODES.node2[family], 30_080],
      ] as const)
        t.equal(pods(await dial(from, ip, port, { count: 40 })).length, 1, `${from} stays`)
    }
    const [kept = ''] = pods(await dial('b', VIP.v4, 80))
    await network.apply({ services: [sticky], slices: web((['a', 'b', 'c'] as const).filter((pod) => pod !== kept)) })
    const [next = ''] = pods(await dial('b', VIP.v4, 80, { count: 10 }))
    t.not(next, kept)
    await network.apply({ services: [sticky], slices: web(['a', 'b', 'c']) })
    t.same(pods(await dial('b', VIP.v4, 80, { count: 10 })), [next], 'one more endpoint changes nothing')
    const seen = new Set([next])
    for (let i = 0; i < 8 && seen.size < 2; i++) {
      await new Promise((resolve) => setTimeout(resolve, 2200)) // the time under test
      seen.add(pods(await dial('b', VIP.v4, 80))[0] ?? '')
    }
    t.ok(seen.size > 1, 'after its time a client may go elsewhere')
  },

  async 'affinity of UDP clients, by node port too'(t, { network, dial }) {
    const ports = [{ name: 'dns', port: 53, nodePort: 30_053, protocol: 'UDP' }]
    await network.apply({
      services: [everywhere({ sessionAffinity: 'ClientIP' }, ports)],
      slices: slices('web', ['a', 'b', 'c'], [{ name: 'dns', port: 8080, protocol: 'UDP' }]),
    })
    for (const family of families) {
      for (const [from, ip, port] of [
        ['b', VIP[family], 53],
        ['outside', NODES.node2[family], 30_053],
      ] as const)
        t.match(Object.entries(byPod(await dial(from, ip, port, { ...udp, count: 40 }))), [[/^[abc]$/, 40]], `${from} stays`)
    }
  },

  async 'external traffic policy Local, with its health check'(t, scene) {
    const { network, dial, relayed } = scene
    await network.apply({
      services: [everywhere({ externalTrafficPolicy: 'Local', healthCheckNodePort: 31_000 })],
      slices: web(['c']),
    })
    for (const family of families) {
      t.ok(isLost(scene, await dial('outside', NODES.node1[family], 30_080, briefly)), 'the node without an endpoint')
      t.ok(isLost(scene, await dial('outside', BALANCER[family], 80, briefly)))
      const seen = relayed ? (family === 'v4' ? '10.244.2.1' : 'fd44:0:2::1') : OUTSIDE[family]
      t.same(await dial('outside', NODES.node2[family], 30_080), { [`c ${seen}`]: 1 }, 'the client address is kept')
      t.same(pods(await dial('a', BALANCER[family], 80)), ['c'], 'pods do not depend on the policy')
      t.same(pods(await dial('a', NODES.node1[family], 30_080)), ['c'])
      t.same(pods(await dial('node1', EXTERNAL[family], 80)), ['c'], 'neither does the node')
      t.same(pods(await dial('node1', VIP[family], 80)), ['c'])
    }
    const check = (node: 'node1' | 'node2') =>
      network.order<{ readonly status: number; readonly body: string; readonly headers: Record<string, string> }>('outside', {
        do: 'get',
        url: `http://${NODES[node].v4}:31000/`,
      })
    const [away, here] = [await check('node1'), await check('node2')]
    t.same([away.status, here.status, here.headers['x-load-balancing-endpoint-weight']], [503, 200, '1'])
    t.same(JSON.parse(here.body), { service: { namespace: 'shop', name: 'web' }, localEndpoints: 1, serviceProxyHealthy: true })
    await network.apply({
      services: [everywhere({ externalTrafficPolicy: 'Local', healthCheckNodePort: 31_000 })],
      slices: web(['a', 'c']),
    })
    t.same(pods(await dial('outside', BALANCER.v4, 80, { count: 10 })), ['a'], 'only those on the node')
    t.same(pods(await dial('a', BALANCER.v4, 80, { count: 30 })), ['a', 'c'])
    t.equal((await check('node1')).status, 200)
    await network.apply({ services: [everywhere({ externalTrafficPolicy: 'Local' })], slices: web([]) })
    t.same(await dial('outside', BALANCER.v4, 80), { ECONNREFUSED: 1 }, 'nobody anywhere is refused')
  },

  async 'internal traffic policy Local'(t, scene) {
    const { network, dial } = scene
    await network.apply({ services: [everywhere({ internalTrafficPolicy: 'Local' })], slices: web(['a', 'c']) })
    t.same(pods(await dial('b', VIP.v4, 80, { count: 10 })), ['a'])
    t.same(pods(await dial('c', VIP.v6, 80, { count: 10 })), ['c'])
    t.same(pods(await dial('outside', BALANCER.v4, 80, { count: 30 })), ['a', 'c'], 'others are not concerned')
    await network.apply({ services: [everywhere({ internalTrafficPolicy: 'Local' })], slices: web(['c']) })
    t.ok(isLost(scene, await dial('b', VIP.v4, 80, briefly)))
  },

  async 'source ranges of a load balancer'(t, { network, dial }) {
    const ranges = (...loadBalancerSourceRanges: string[]) => everywhere({ loadBalancerSourceRanges })
    await network.apply({ services: [ranges('198.51.100.0/24', '2001:db8::/32')], slices: web(['a']) })
    for (const family of families) {
      t.notMatch(pods(await dial('outside', BALANCER[family], 80, briefly))[0], /^a$/, 'not let in')
      t.same(pods(await dial('outside', NODES.node1[family], 30_080)), ['a'], 'the node port has no ranges')
    }
    // Ranges within ranges, twice, and with host bits: a set of the kernel would refuse them.
    const many = ranges('192.168.0.0/16', '192.168.99.7/24', '192.168.99.0/24', 'fd99::/64', 'fd99::2/128')
    await network.apply({ services: [many], slices: web(['a']) })
    for (const family of families) t.same(pods(await dial('outside', BALANCER[family], 80)), ['a'], 'let in')
    await network.apply({ services: [ranges('192.168.99.0/24')], slices: web(['a']) })
    t.notMatch(pods(await dial('outside', BALANCER.v6, 80, briefly))[0], /^a$/, 'nobody of a family without ranges')
  },

  async 'endpoints that end serve when nobody else does'(t, { network, dial }) {
    const ending = { ready: false, serving: true, terminating: true }
    await network.apply({ services: [everywhere()], slices: web([{ pod: 'a', conditions: ending }, 'c']) })
    t.same(pods(await dial('b', VIP.v4, 80, { count: 10 })), ['c'])
    await network.apply({
      services: [everywhere()],
      slices: web([
        { pod: 'a', conditions: ending },
        { pod: 'c', conditions: { ready: false } },
      ]),
    })
    t.same(pods(await dial('b', VIP.v4, 80, { count: 10 })), ['a'])
  },

  async 'a pod reaches itself'(t, { network, dial }) {
    await network.apply({ services: [everywhere()], slices: web(['a']) })
    for (const family of families)
      for (const [ip, port] of [
        [VIP[family], 80],
        [BALANCER[family], 80],
        [NODES.node1[family], 30_080],
      ] as const)
        t.same(pods(await dial('a', ip, port)), ['a'], ip)
  },

  async 'endpoints meant for the zone, or for the node'(t, { network, dial }) {
    const meant = (pod: 'a' | 'b' | 'c', hints: Endpoint['hints']) => ({ pod, hints })
    const zone = (name: string): Endpoint['hints'] => ({ forZones: [{ name }] })
    await network.apply({
      services: [everywhere()],
      slices: web([meant('a', zone('east')), meant('b', zone('east')), meant('c', zone('west'))]),
    })
    t.same(pods(await dial('node1', VIP.v4, 80, { count: 30 })), ['a', 'b'])
    t.same(pods(await dial('node2', VIP.v6, 80, { count: 10 })), ['c'])
    await network.apply({ services: [everywhere()], slices: web([meant('a', zone('east')), 'c']) })
    t.same(pods(await dial('node1', VIP.v4, 80, { count: 30 })), ['a', 'c'], 'not while one has no hint')
    await network.apply({ services: [everywhere()], slices: web([meant('a', zone('north')), meant('c', zone('north'))]) })
    t.same(pods(await dial('node1', VIP.v4, 80, { count: 30 })), ['a', 'c'], 'nor when none is meant for us')
    const node = (name: string): Endpoint['hints'] => ({ forNodes: [{ name }], forZones: [{ name: 'east' }] })
    await network.apply({
      services: [everywhere()],
      slices: web([meant('a', node('node1')), meant('b', node('other')), meant('c', node('node2'))]),
    })
    t.same(pods(await dial('node1', VIP.v4, 80, { count: 10 })), ['a'])
  },

  async 'UDP clients find their way when endpoints go, and when they come after the client'(t, { network, dial }) {
    const ports = [{ name: 'dns', port: 53, nodePort: 30_053, protocol: 'UDP' }]
    const dns: EndpointSlice['ports'] = [{ name: 'dns', port: 8080, protocol: 'UDP' }]
    await network.apply({ services: [], slices: [] })
    for (const family of families) {
      const ask = (): Promise<Answers> => dial('b', VIP[family], 53, { ...udp, from: 5353, timeoutMs: 300 })
      const through = (): Promise<Answers> => dial('outside', NODES.node1[family], 30_053, { ...udp, from: 5354, timeoutMs: 300 })
      await network.apply({ services: [], slices: [] })
      t.notMatch(pods(await ask())[0], /^[abc]$/)
      t.notMatch(pods(await through())[0], /^[abc]$/)
      await network.apply({ services: [everywhere({}, ports)], slices: slices('web', ['a'], dns) })
      t.same(pods(await ask()), ['a'], 'from one port all the time: connection tracking remembers')
      t.same(pods(await through()), ['a'])
      await network.apply({ services: [everywhere({}, ports)], slices: slices('web', ['c'], dns) })
      t.same(pods(await ask()), ['c'])
      t.same(pods(await through()), ['c'])
    }
  },

  async 'a Service without selector leads to where its slices say, outside the cluster too'(t, { network, dial }) {
    const hand = families.map(
      (family): EndpointSlice => ({
        ...(web([])[0] as EndpointSlice),
        metadata: { name: `hand-${family}`, namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
        addressType: family === 'v4' ? 'IPv4' : 'IPv6',
        endpoints: [{ addresses: [OUTSIDE[family]] }],
      }),
    )
    await network.apply({ services: [everywhere()], slices: hand })
    for (const family of families) for (const from of ['a', 'node2'] as const) t.same(pods(await dial(from, VIP[family], 80)), ['outside'])
  },

  async 'twelve hundred endpoints in two slices, each of which answers'(t, { network, dial }) {
    // All of them live in one pod, behind a route.
    const address = (i: number): string => `10.245.${i >> 8}.${i & 255}`
    const all = Array.from({ length: 1200 }, (_, i) => address(i + 1))
    await network.inside('a', 'ip', 'route', 'add', 'local', '10.245.0.0/16', 'dev', 'lo')
    await network.inside('node1', 'ip', 'route', 'add', '10.245.0.0/16', 'via', PODS.a.v4)
    const slice = (part: number): EndpointSlice => ({
      ...(web([])[0] as EndpointSlice),
      metadata: { name: `large-${part}`, namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
      endpoints: all.slice(part * 600, part * 600 + 600).map((ip) => ({ addresses: [ip], nodeName: 'node1', conditions: { ready: true } })),
    })
    await network.apply({ services: [everywhere()], slices: [slice(0), slice(1)] })
    t.same(byPod(await dial('node1', VIP.v4, 80, { count: 3000 })), { a: 3000 })
    await network.apply({ services: [everywhere()], slices: [slice(1)] })
    t.same(byPod(await dial('node1', VIP.v4, 80, { count: 300 })), { a: 300 }, 'without the first slice')
    await network.inside('node1', 'ip', 'route', 'del', '10.245.0.0/16')
    await network.inside('a', 'ip', 'route', 'del', 'local', '10.245.0.0/16', 'dev', 'lo')
  },

  async 'of one family only, on a cluster of both'(t, { network, dial }) {
    const [v4, v6] = [{ clusterIPs: ['10.96.0.41'] }, { clusterIPs: ['fd96::61'] }]
    const ports = (nodePort: number) => [{ name: 'http', port: 80, nodePort, protocol: 'TCP' }]
    await network.apply({
      services: [
        service('four', { ...v4, type: 'NodePort', ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack', ports: ports(30_041) }),
        service('six', { ...v6, type: 'NodePort', ipFamilies: ['IPv6'], ipFamilyPolicy: 'SingleStack', ports: ports(30_061) }),
      ],
      slices: [...slices('four', ['a'], http()).slice(0, 1), ...slices('six', ['c'], http()).slice(1)],
    })
    for (const from of ['b', 'node2'] as const) {
      t.same(pods(await dial(from, '10.96.0.41', 80)), ['a'])
      t.same(pods(await dial(from, 'fd96::61', 80)), ['c'])
    }
    t.same(pods(await dial('outside', NODES.node1.v4, 30_041)), ['a'])
    t.same(pods(await dial('outside', NODES.node1.v6, 30_061)), ['c'])
    t.same(await dial('outside', NODES.node1.v6, 30_041), { ECONNREFUSED: 1 }, 'nothing there in the other family')
    t.same(await dial('outside', NODES.node1.v4, 30_061), { ECONNREFUSED: 1 })
  },

  async 'not ready and published all the same'(t, { network, dial }) {
    const notReady = { conditions: { ready: false, serving: false } }
    // The EndpointSlice controller writes what is published as ready.
    const published = { conditions: { ready: true, serving: false } }
    await network.apply({
      services: [everywhere({ publishNotReadyAddresses: true })],
      slices: web([
        { pod: 'a', ...notReady },
        { pod: 'c', ...published },
      ]),
    })
    for (const family of families) t.same(pods(await dial('b', VIP[family], 80, { count: 10 })), ['c'])
  },

  async 'bad Services and slices leave the others alone'(t, { network, dial }) {
    const bad = (addressType: string, addresses: readonly string[], name: string): EndpointSlice => ({
      ...(web([])[0] as EndpointSlice),
      metadata: { name, namespace: 'shop', labels: { 'kubernetes.io/service-name': 'bad' } },
      addressType,
      endpoints: addresses.map((address) => ({ addresses: [address] })),
    })
    const thousand = Array.from({ length: 1000 }, (_, i) => `10.250.${i >> 8}.${i & 255}`)
    await network.apply({
      services: [
        everywhere(),
        service('bad', {
          type: 'NodePort',
          clusterIPs: ['10.96.0.8', 'fd96::8'],
          externalIPs: ['999.1.1.1', 'fe80::1%eth0', '2001:DB8:0::1', '2001:db8::1', '2001:db8::1', '::ffff:192.0.2.1', 'web.example'],
          ports: [
            { name: 'http', port: 80, protocol: 'TCP', nodePort: 30_080 },
            { name: 'odd', port: 81, protocol: 'QUIC' },
            { name: 'none', port: 82, protocol: 'TCP' },
          ],
        }),
        service('many', { clusterIPs: ['10.96.0.9'], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] }),
      ],
      slices: [
        ...web(['a']),
        bad('IPv4', ['', '10.244.1', 'fd44::1', '10.244.1.300', '10.244.1.2', '10.244.1.2'], 'bad-4'),
        bad('IPv6', ['fe80::1%eth0', '::ffff:10.244.1.2', 'FD44:0:1:0::2', 'fd44:0:1::2', 'x'], 'bad-6'),
        bad('FQDN', ['example.com'], 'bad-name'),
        {
          ...bad('IPv4', thousand, 'many-1'),
          metadata: { name: 'many-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'many' } },
        },
      ],
    })
    for (const family of families) t.same(pods(await dial('b', VIP[family], 80, { count: 5 })), ['a'])
    t.same(pods(await dial('b', '10.96.0.8', 80, { count: 5 })), ['a'], 'and what is good of the bad one')
    t.same(pods(await dial('b', 'fd96::8', 80, { count: 5 })), ['a'])
    t.same(pods(await dial('outside', NODES.node1.v4, 30_080, { count: 5 })), ['a'])
  },

  async 'SCTP, where the kernel tracks it'(t, { network, relayed }) {
    // Node has no sockets for it, so there is nothing to relay with.
    if (relayed) return
    const folder = mkdtempSync(join(tmpdir(), 'knarr-sctp-'))
    t.teardown(() => rmSync(folder, { recursive: true }))
    const program = buildSctp(folder)
    const ports = [{ name: 'sctp', port: 3868, nodePort: 30_868, protocol: 'SCTP' }]
    const sctp: EndpointSlice['ports'] = [{ name: 'sctp', port: 9000, protocol: 'SCTP' }]
    await network.apply({ services: [everywhere({}, ports)], slices: slices('web', ['a', 'c'], sctp) })
    for (const pod of ['a', 'c'] as const) await network.background(pod, program, 'answer', pod)
    for (const [from, ip, port] of [
      ['b', VIP.v4, 3868],
      ['node1', VIP.v4, 3868],
      ['outside', NODES.node2.v4, 30_868],
      ['outside', BALANCER.v4, 3868],
    ] as const) {
      const seen = new Set<string>()
      for (let i = 0; i < 40 && seen.size < 2; i++) seen.add((await network.inside(from, program, 'dial', ip, String(port))).trim())
      t.same([...seen].sort(), ['a', 'c'], `${from} dials ${ip}`)
    }
  },

  async 'a rollout under load loses no connection'(t, { network, dial }) {
    const ready = { ready: true }
    const ending = { ready: false, serving: true, terminating: true }
    type State = Readonly<Record<'old' | 'new', Partial<Record<'a' | 'b' | 'c', Endpoint['conditions']>>>>
    const roll = (state: State) =>
      network.apply({
        services: [everywhere()],
        slices: (['old', 'new'] as const).flatMap((version) =>
          slices(
            'web',
            Object.entries(state[version]).map(([pod, conditions]) => ({ pod: pod as 'a', conditions })),
            http(version === 'old' ? 8080 : 8090),
            `-${version}`,
          ),
        ),
      })
    let state: State = { old: { a: ready, b: ready, c: ready }, new: {} }
    await roll(state)
    const places = [
      ['b', VIP.v4, 80],
      ['node1', VIP.v6, 80],
      ['outside', NODES.node2.v4, 30_080],
    ] as const
    for (const [place, ip, port] of places) await network.order(place, { do: 'startLoad', protocol: 'tcp', ip, port })
    const underLoad = () => Promise.all(places.map(([place]) => network.order(place, { do: 'underLoad', more: 20 })))
    for (const pod of ['a', 'b', 'c'] as const) {
      await underLoad()
      // As a Deployment does it: the new pod is ready, the old one ends, and its preStop hook outlasts the news.
      await network.order(pod, { do: 'listen', port: 8090, as: `${pod}-new` })
      state = { old: { ...state.old, [pod]: ending }, new: { ...state.new, [pod]: ready } }
      await roll(state)
      await underLoad()
      await network.order(pod, { do: 'unlisten', port: 8080 })
      const { [pod]: _, ...left } = state.old
      state = { ...state, old: left }
      await roll(state)
    }
    for (const [place] of places) {
      const answers = byPod(await network.order<Answers>(place, { do: 'stopLoad' }))
      t.same(
        Object.keys(answers).filter((answer) => !/^[abc](-new)?$/.test(answer)),
        [],
        `${place}: ${JSON.stringify(answers)}`,
      )
      t.ok(Object.values(answers).reduce((sum, count) => sum + count, 0) > 100, `${place} was under load`)
    }
    t.match(pods(await dial('b', VIP.v4, 80, { count: 60 })), ['a-new', 'b-new', 'c-new'])
    for (const pod of ['a', 'b', 'c'] as const) {
      await network.order(pod, { do: 'unlisten', port: 8090 })
      await network.order(pod, { do: 'listen', port: 8080 })
    }
  },

  async 'health and metrics on the ports of kube-proxy'(t, { network }) {
    const get = (place: Place, url: string) => network.order<{ readonly status: number; readonly body: string }>(place, { do: 'get', url })
    const healthz = await get('outside', `http://${NODES.node1.v4}:10256/healthz`)
    t.equal(healthz.status, 200)
    t.equal(JSON.parse(healthz.body).nodeEligible, true)
    t.equal((await get('outside', `http://[${NODES.node1.v6}]:10256/livez`)).status, 200)
    t.equal((await get('outside', `http://${NODES.node1.v4}:10256/other`)).status, 404)
    t.match((await get('node1', 'http://127.0.0.1:10249/proxyMode')).body, /^(nftables|iptables|userspace)$/)
    t.match((await get('node1', 'http://127.0.0.1:10249/metrics')).body, /^kubeproxy_sync_proxy_rules_duration_seconds_count [1-9]/m)
  },
}

for (const mode of ['nftables', 'iptables', 'userspace']) {
  t.test(mode, { skip: process.getuid?.() === 0 ? false : 'needs root' }, async (t) => {
    const network = await createProxyNetwork(mode)
    t.teardown(() => network.destroy())
    const relayed = mode === 'userspace'
    const dial: Scene['dial'] = (from, ip, port, more) => network.order(from, { do: 'dial', protocol: 'tcp', ip, port, ...more })
    for (const pod of ['a', 'b', 'c'] as const) {
      await network.order(pod, { do: 'listen', port: 8080 })
      await network.order(pod, { do: 'listen', port: 8081, as: `${pod}2` })
    }
    await network.order('outside', { do: 'listen', port: 8080 })
    // Rules of other programs, which must survive everything.
    await network.inside('node1', 'nft', 'add table ip others; add chain ip others keep')
    await network.inside('node1', 'iptables', '-t', 'nat', '-N', 'OTHERS')
    await network.inside('node1', 'iptables', '-t', 'nat', '-A', 'PREROUTING', '-d', '198.18.0.1', '-j', 'OTHERS')

    for (const [name, run] of Object.entries(cases)) await t.test(name, (t) => run(t, { mode, network, relayed, dial }))

    await t.test('rules that somebody removed come back by themselves', async (t) => {
      await network.apply({ services: [everywhere()], slices: web(['c']) })
      const attacks = {
        nftables: [
          ['nft', 'delete table ip knarr-services'],
          ['nft', 'flush table ip knarr-services'],
          ['nft', 'flush map ip knarr-services endpoints'],
        ],
        iptables: [
          ['iptables', '-t', 'nat', '-F', 'KUBE-SERVICES'],
          ['iptables', '-t', 'nat', '-D', 'PREROUTING', '-j', 'KUBE-SERVICES'],
        ],
        userspace: [['ip', 'address', 'flush', 'dev', 'knarr0']],
      }[mode] as string[][]
      for (const attack of attacks) {
        const repaired = network.repaired('node1')
        await network.inside('node1', ...attack)
        await repaired
        t.same(pods(await dial('a', VIP.v4, 80)), ['c'], attack.join(' '))
      }
    })
    await t.test('nothing of ours is left, everything of others is', async (t) => {
      await network.remove()
      const rules = await network.inside(
        'node1',
        'sh',
        '-c',
        'nft list ruleset; iptables-legacy-save; iptables-save; ip6tables-save; ip address',
      )
      t.notMatch(rules, /knarr-|KUBE-|10\.96\.0/)
      t.match(rules, /table ip others/)
      t.match(rules, /-A PREROUTING -d 198\.18\.0\.1\/32 -j OTHERS/)
    })
  })
}
