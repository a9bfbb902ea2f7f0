// Needs root. The same packets through every applier: nftables, iptables, userspace.
import t from 'tap'
import type { Endpoint, Frontend, Ruleset } from '../../src/proxy/index.js'
import { createProxyNetwork, NODE_IP, PODS } from './network.js'

const a: Endpoint = { ip: PODS.a, port: 8080, local: true }
const b: Endpoint = { ip: PODS.b, port: 8080, local: true }
const VIP = '10.96.0.7'
const frontend = (more: Partial<Frontend>): Frontend => ({
  service: 'shop/web:http',
  kind: 'ClusterIP',
  family: 'IPv4',
  protocol: 'TCP',
  ip: VIP,
  port: 80,
  endpoints: [a, b],
  masquerade: 'outside',
  whenEmpty: 'reject',
  ...more,
})
const nodePort = (more: Partial<Frontend> = {}): Frontend => {
  const { ip: _, ...rest } = frontend({ kind: 'NodePort', port: 30_080, masquerade: 'always', ...more })
  return rest
}
const ruleset = (...frontends: readonly Frontend[]): Ruleset => ({ frontends, healthChecks: [] })

/** Answers by pod, whatever the client's address. */
const byPod = (answers: Readonly<Record<string, number>>): Record<string, number> => {
  const sums: Record<string, number> = {}
  for (const [answer, count] of Object.entries(answers)) {
    const [pod = ''] = answer.split(' ')
    sums[pod] = (sums[pod] ?? 0) + count
  }
  return sums
}

for (const mode of ['nftables', 'iptables', 'userspace']) {
  t.test(mode, { skip: process.getuid?.() === 0 ? false : 'needs root' }, async (t) => {
    const network = await createProxyNetwork(mode)
    t.teardown(() => network.destroy())
    const relayed = mode === 'userspace'

    await network.apply(ruleset(frontend({}), nodePort()))
    for (const place of ['a', 'b', 'node', 'outside'] as const) {
      const answers = byPod(
        place === 'outside' ? await network.dial(place, 'tcp', NODE_IP, 30_080, 200) : await network.dial(place, 'tcp', VIP, 80, 200),
      )
      t.ok(
        (answers.a ?? 0) > 60 && (answers.b ?? 0) > 60 && (answers.a ?? 0) + (answers.b ?? 0) === 200,
        `${place}: ${JSON.stringify(answers)}`,
      )
    }
    t.same(
      Object.keys(byPod(await network.dial('node', 'tcp', NODE_IP, 30_080, 20))).sort(),
      ['a', 'b'],
      'a node port from the node itself',
    )
    const even = byPod(await network.dial('node', 'tcp', VIP, 80, 4000))
    t.ok(Math.abs((even.a ?? 0) - 2000) < 200, `4000 connections: ${JSON.stringify(even)}`)
    t.equal(await network.ask('intact'), 'true')

    await network.apply(ruleset(frontend({ endpoints: [b] }), nodePort({ endpoints: [b], masquerade: 'never' })))
    t.same(byPod(await network.dial('a', 'tcp', VIP, 80, 50)), { b: 50 }, 'an endpoint that is gone gets nothing')
    if (!relayed) {
      t.same(
        await network.dial('outside', 'tcp', NODE_IP, 30_080),
        { 'b 192.168.99.2': 1 },
        'local traffic policy keeps the client address',
      )
      t.same(await network.dial('a', 'tcp', VIP, 80), { [`b ${PODS.a}`]: 1 }, 'pods are seen under their own address')
      t.same(await network.dial('node', 'tcp', VIP, 80), { 'b 10.244.0.1': 1 })
    }

    await network.apply(ruleset(frontend({ endpoints: [] }), nodePort({ endpoints: [] })))
    t.same(await network.dial('node', 'tcp', VIP, 80), { ECONNREFUSED: 1 }, 'no endpoint: refused at once, on the node')
    t.same(await network.dial('a', 'tcp', VIP, 80), { ECONNREFUSED: 1 }, 'and in a pod')
    t.same(await network.dial('outside', 'tcp', NODE_IP, 30_080), { ECONNREFUSED: 1 }, 'and from outside')

    const udp = { protocol: 'UDP' as const, port: 53, service: 'shop/dns:dns' }
    await network.apply(ruleset(frontend({}), frontend(udp), nodePort({ ...udp, port: 30_053 })))
    t.same(Object.keys(byPod(await network.dial('b', 'udp', VIP, 53, 40))).sort(), ['a', 'b'])
    t.same(Object.keys(byPod(await network.dial('outside', 'udp', NODE_IP, 30_053, 40))).sort(), ['a', 'b'])

    await network.apply(ruleset(frontend({ affinitySeconds: 2 })))
    const first = byPod(await network.dial('b', 'tcp', VIP, 80, 40))
    t.equal(Object.keys(first).length, 1, `a client stays with its endpoint: ${JSON.stringify(first)}`)
    const seen = new Set<string>()
    for (let i = 0; i < 12 && seen.size < 2; i++) {
      for (const pod of Object.keys(byPod(await network.dial('b', 'tcp', VIP, 80, 5)))) seen.add(pod)
      await new Promise((resolve) => setTimeout(resolve, 2600)) // the time under test
    }
    t.equal(seen.size, 2, 'after the time is over it may get another one')
    const [kept] = Object.keys(byPod(await network.dial('b', 'tcp', VIP, 80)))
    await network.apply(ruleset(frontend({ affinitySeconds: 2, endpoints: [kept === 'a' ? b : a] })))
    t.same(
      byPod(await network.dial('b', 'tcp', VIP, 80, 5)),
      { [kept === 'a' ? 'b' : 'a']: 5 },
      'affinity does not lead to an endpoint that is gone',
    )

    const balancer = frontend({ kind: 'LoadBalancer', ip: '203.0.113.9', masquerade: 'always', sourceRanges: ['198.51.100.0/24'] })
    await network.apply(ruleset(balancer))
    t.notMatch(Object.keys(await network.dial('outside', 'tcp', '203.0.113.9', 80))[0], /^[ab] /, 'not let in')
    await network.apply(ruleset({ ...balancer, sourceRanges: ['192.168.99.0/24'] }))
    t.match(Object.keys(await network.dial('outside', 'tcp', '203.0.113.9', 80))[0], /^[ab] /, 'let in')

    await network.apply(ruleset(frontend({})))
    if (mode === 'nftables') await network.inNode('nft', 'delete', 'table', 'ip', 'knarr-services')
    if (mode === 'iptables') await network.inNode('iptables', '-t', 'nat', '-F')
    if (!relayed) t.equal(await network.ask('intact'), 'false', 'somebody flushed our rules')
    await network.apply(ruleset(frontend({})))
    t.equal(await network.ask('remove'), 'ok')
    const rules = await network.inNode('sh', '-c', 'nft list ruleset; iptables-legacy-save; iptables-save')
    t.notMatch(rules, /knarr|KUBE-/, 'nothing is left')
  })
}
