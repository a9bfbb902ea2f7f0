// Pods on a bridge, with real packets. Needs root.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { cni as command } from '../../src/cni/command.js'
import { type Cni, createCni } from '../../src/cni/index.js'
import type { CommandIo } from '../../src/lib/index.js'
import { Nftables, withNetwork } from '../../src/sys/index.js'
import { HOST, type Lab, lab, options, pings, root, silent } from './network.js'

// A machine with other work is slow; nothing here measures time.
t.setTimeout(300_000 * Number(process.env.KNARR_SLOWNESS ?? 1))

if (!root) t.comment('SKIPPED: pod networks need root')

let networks = 0

/** A network of its own: bridge and prefixes are numbered. */
function cniFor(lab: Lab, plugin: object = {}, ipam: object = {}): { cni: Cni; bridge: string; folder: string; subnet: string } {
  const number = ++networks
  const folder = join(lab.folder, `net${number}`)
  const bridge = `br${number}`
  const subnet = `10.77.${number}.0/24`
  mkdirSync(join(folder, 'conf'), { recursive: true })
  writeFileSync(
    join(folder, 'conf', '10-test.conflist'),
    JSON.stringify({
      cniVersion: '1.1.0',
      name: 'test',
      plugins: [
        {
          type: 'bridge',
          bridge,
          isDefaultGateway: true,
          ipam: {
            type: 'host-local',
            ranges: [[{ subnet }], [{ subnet: `fd77:${number}::/64` }]],
            dataDir: join(folder, 'leases'),
            ...ipam,
          },
          ...plugin,
        },
      ],
    }),
  )
  // No executable anywhere: all of it happens in this process.
  return { cni: createCni({ confDir: join(folder, 'conf'), cacheDir: join(folder, 'cache'), binDirs: [] }), bridge, folder, subnet }
}

const leases = (folder: string): string[] =>
  readdirSync(join(folder, 'leases', 'test')).filter((name) => /^[\da-f.:]+$/.test(name) && !name.startsWith('.'))

t.test('pods reach each other and the node, in both families', options, async (t) => {
  const net = lab(t)
  const { cni, bridge, folder, subnet } = cniFor(net)
  const [a, b] = [net.namespace('a'), net.namespace('b')]
  const first = await cni.add({ containerId: 'pod-a', netns: a })
  const second = await cni.add({ containerId: 'pod-b', netns: b })
  const base = subnet.replace('.0/24', '')
  t.match(first, {
    interfaces: [{ name: bridge }, { name: /^veth/ }, { name: 'eth0', sandbox: a }],
    ips: [
      { address: `${base}.2/24`, gateway: `${base}.1`, interface: 2 },
      { address: /^fd77:.*::2\/64$/, gateway: /::1$/, interface: 2 },
    ],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
  })
  t.same(cni.cached('pod-a'), JSON.parse(JSON.stringify({ ...first, dns: {} })))
  for (const { address, gateway = '' } of second.ips ?? []) {
    t.ok(pings(net, a, address.split('/')[0] ?? ''), `pod to pod ${address}`)
    t.ok(pings(net, a, gateway), `pod to node ${gateway}`)
    t.ok(pings(net, HOST, address.split('/')[0] ?? ''), `node to pod ${address}`)
  }
  t.ok(pings(net, a, '127.0.0.1'), 'loopback is up')
  await cni.check({ containerId: 'pod-a', netns: a })
  withNetwork(a, (network) => network.deleteAddress({ link: network.link('eth0').index, address: `${base}.2/24` }))
  await t.rejects(cni.check({ containerId: 'pod-a', netns: a }), { message: `eth0 in ${a}: address ${base}.2/24 is gone` })

  await cni.del({ containerId: 'pod-a', netns: a })
  await cni.del({ containerId: 'pod-a', netns: a })
  t.equal(
    withNetwork(a, (network) => network.findLink('eth0')),
    undefined,
  )
  t.equal(leases(folder).length, 2, 'the addresses of the other pod')
  await cni.del({ containerId: 'pod-b', netns: '/run/netns/knarr-test-gone' })
  t.same(leases(folder), [])
  t.equal(
    withNetwork(undefined, (network) => network.links().filter(({ master }) => master === network.link(bridge).index).length),
    0,
  )
})

t.test('a failed ADD leaves nothing', options, async (t) => {
  const net = lab(t)
  const { cni, folder } = cniFor(net, {}, { routes: [{ dst: '10.0.0.0/8', gw: '192.0.2.1' }] })
  const pod = net.namespace('pod')
  const before = withNetwork(undefined, (network) => network.links().length)
  await t.rejects(cni.add({ containerId: 'pod', netns: pod }), /route to 10.0.0.0\/8.*ENETUNREACH.*gateway/)
  t.same(leases(folder), [])
  t.ok(withNetwork(undefined, (network) => network.links().length) <= before + 1, 'at most the bridge is new')
  t.equal(cni.cached('pod'), undefined)

  await t.rejects(cni.add({ containerId: 'pod', netns: '/run/netns/knarr-test-absent' }), { code: 3 })
  await t.rejects(cni.add({ containerId: '../evil', netns: pod }), { code: 4, message: /container id "\.\.\/evil"/ })
  await t.rejects(cni.add({ containerId: 'pod', netns: pod, ifName: 'a/b' }), { code: 4 })
  t.same(leases(folder), [])
})

t.test('DEL and CHECK go by the configuration of ADD, whatever is in force by then', options, async (t) => {
  const net = lab(t)
  const { cni, folder, bridge } = cniFor(net, { ipMasq: true })
  const conflist = join(folder, 'conf', '10-test.conflist')
  const before = readFileSync(conflist, 'utf8')
  const [a, b] = [net.namespace('a'), net.namespace('b')]
  await cni.add({ containerId: 'a', netns: a })
  await cni.add({ containerId: 'b', netns: b })
  t.match(JSON.parse(readFileSync(join(folder, 'cache', 'results', 'test-a-eth0'), 'utf8')), {
    kind: 'cniCacheV1',
    containerId: 'a',
    ifName: 'eth0',
    networkName: 'test',
    netns: a,
    result: { cniVersion: '1.1.0', ips: [{ interface: 2 }, { interface: 2 }] },
  })
  writeFileSync(
    conflist,
    before.replace('"name":"test"', '"name":"next"').replace('"ipMasq":true', '"ipMasq":false').replace(bridge, `${bridge}n`),
  )
  t.equal(cni.network().name, 'next', 'the change is seen')
  await cni.check({ containerId: 'a', netns: a })
  await cni.del({ containerId: 'a', netns: a })
  t.same(
    withNetwork(a, (network) => network.findLink('eth0')),
    undefined,
  )
  const next = await cni.add({ containerId: 'a', netns: a })
  t.match(next, { interfaces: [{ name: `${bridge}n` }] })
  rmSync(conflist)
  await t.rejects(cni.add({ containerId: 'c', netns: net.namespace('c') }), /no networks found in .*: put a \.conflist file there/)
  // Another process, and no configuration at all.
  const later = createCni({ confDir: join(folder, 'conf'), cacheDir: join(folder, 'cache'), binDirs: [] })
  for (const containerId of ['a', 'b', 'never']) await later.del({ containerId })
  t.same([leases(folder), readdirSync(join(folder, 'cache', 'results'))], [[], []])
  using nft = new Nftables()
  const table = { family: 'inet', name: 'knarr-cni' } as const
  t.same(nft.elements({ table, name: 'masquerade4', key: ['ipv4_addr'], data: 'verdict' }), [])
})

t.test('VLANs of bridge ports; a kernel that knows none is named', options, async (t) => {
  const net = lab(t)
  const { cni, folder, bridge } = cniFor(net, { vlan: 10, vlanTrunk: [{ minID: 20, maxID: 21 }] })
  const pod = net.namespace('pod')
  const added = await cni.add({ containerId: 'pod', netns: pod }).then(
    (result) => ({ result }),
    (error: unknown) => ({ error }),
  )
  if ('result' in added) {
    const port = added.result.interfaces?.[1]?.name ?? ''
    const shown = JSON.parse(execFileSync('bridge', ['-j', 'vlan', 'show', 'dev', port], { encoding: 'utf8' })) as [{ vlans: object[] }]
    t.match(shown[0].vlans, [{ vlan: 10, flags: ['PVID', 'Egress Untagged'] }, { vlan: 20 }, { vlan: 21 }])
    const [same, other, untagged] = [net.namespace('same'), net.namespace('other'), net.namespace('untagged')]
    const second = await cni.add({ containerId: 'same', netns: same })
    const third = cniFor(net, { bridge, vlan: 30 })
    const { ips: [{ gateway = '' } = {}] = [] } = await third.cni.add({ containerId: 'other', netns: other })
    const fourth = cniFor(net, { bridge })
    const { ips: [{ gateway: plain = '' } = {}] = [] } = await fourth.cni.add({ containerId: 'untagged', netns: untagged })
    const [mine = '', beside = ''] = [added.result, second].map(({ ips = [] }) => ips[0]?.address.split('/')[0])
    t.ok(pings(net, pod, beside), 'pods of one VLAN reach each other')
    t.ok(pings(net, HOST, beside), 'and the machine, which is in it')
    t.ok(pings(net, other, gateway), 'as it is in that of another network on the same bridge')
    t.ok(pings(net, untagged, plain), 'and in that of a network without')
    for (const stranger of [other, untagged]) {
      withNetwork(stranger, (network) =>
        network.addAddress({ link: network.link('eth0').index, address: `${mine.replace(/\d+$/, '200')}/24` }),
      )
      t.ok(silent(net, stranger, beside), 'others do not reach them, whatever address they give themselves')
    }
    await cni.check({ containerId: 'pod', netns: pod })
    for (const one of [cni, third.cni, fourth.cni]) await one.gc([])
  } else {
    t.match(added.error, { code: 2, message: /bridges of this kernel know no VLANs/ })
    t.same(leases(folder), [], 'no address was given')
    t.equal(
      withNetwork(undefined, (network) => network.links().some(({ kind }) => kind === 'veth')),
      false,
      'and nothing is left',
    )
  }
})

t.test('a bridge is a gateway, reflects to the sender, and hears what others say to each other, when asked', options, async (t) => {
  const net = lab(t)
  const plain = cniFor(net, { isDefaultGateway: false })
  const asked = cniFor(net, { isDefaultGateway: false, isGateway: true, promiscMode: true })
  const reflecting = cniFor(net, { hairpinMode: true })
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => net.namespace(name)) as [string, string, string, string]
  await plain.cni.add({ containerId: 'a', netns: a })
  await asked.cni.add({ containerId: 'b', netns: b })
  const { ips: [{ address = '' } = {}] = [] } = await asked.cni.add({ containerId: 'c', netns: c })
  const { interfaces: [, port] = [] } = await reflecting.cni.add({ containerId: 'd', netns: d })
  const v4 = (bridge: string): readonly string[] =>
    withNetwork(undefined, (network) => network.addresses(network.link(bridge).index).filter(({ family }) => family === 4)).map(
      (one) => one.address,
    )
  t.same([plain.bridge, asked.bridge].map(v4), [[], [asked.subnet.replace('.0/24', '.1/24')]])

  const heard = (): number => withNetwork(undefined, (network) => network.link(asked.bridge).statistics.rxBytes)
  const before = heard()
  t.equal(net.run(b, 'busybox', 'ping', '-c1', '-s', '1400', address.split('/')[0] ?? '').status, 0)
  t.ok(heard() - before > 1400, 'the machine hears what one pod says to another')
  const hairpin = (name = ''): boolean | undefined =>
    (JSON.parse(execFileSync('bridge', ['-j', '-d', 'link', 'show', 'dev', name], { encoding: 'utf8' })) as [{ hairpin?: boolean }])[0]
      .hairpin
  t.equal(hairpin(port?.name), true)
})

t.test('an exhausted range is said, and an address that comes back is used again', options, async (t) => {
  const net = lab(t)
  const small = '10.77.99.0/30'
  const { cni } = cniFor(net, {}, { ranges: [[{ subnet: small }]] })
  const [a, b] = [net.namespace('a'), net.namespace('b')]
  t.same(await cni.status(), { ready: true })
  await cni.add({ containerId: 'a', netns: a })
  await t.rejects(cni.add({ containerId: 'b', netns: b }), { code: 11, message: /no IP addresses available in range set/ })
  t.match(await cni.status(), { ready: false, message: /no IP addresses available/ })
  t.equal(
    withNetwork(b, (network) => network.findLink('eth0')),
    undefined,
  )
  await cni.del({ containerId: 'a', netns: a })
  await cni.add({ containerId: 'b', netns: b })
  await cni.gc([])
  t.equal(
    withNetwork(b, (network) => network.findLink('eth0')),
    undefined,
    'GC takes off what nobody names',
  )
})

t.test('wrong configurations are refused before anything is made', options, async (t) => {
  const net = lab(t)
  const pod = net.namespace('pod')
  for (const [plugin, words] of [
    [{ vlan: 5000 }, /invalid VLAN ID 5000/],
    [{ hairpinMode: true, promiscMode: true }, /hairpin mode and promiscuous mode at the same time/],
    [{ mtu: 'big' }, /mtu is a number/],
    [{ bridge: 7 }, /bridge is a name/],
    [{ bridge: 'lo' }, /"lo" already exists but is not a bridge/],
    [{ ipMasq: true, nonMasqueradeCIDRs: ['nonsense'] }, /nonMasqueradeCIDRs: "nonsense" is not/],
    [{ ipam: {} }, undefined],
    [{ ipam: { type: 'absent' } }, /failed to find plugin "absent"/],
  ] as const) {
    const { cni, folder } = cniFor(net, plugin)
    if (words === undefined) {
      // Without IPAM the bridge is a switch: an interface and no address.
      t.match(await cni.add({ containerId: 'pod', netns: pod }), { ips: [] })
      await cni.del({ containerId: 'pod', netns: pod })
      continue
    }
    await t.rejects(cni.add({ containerId: 'pod', netns: pod }), { message: words })
    t.same(existsSync(join(folder, 'leases', 'test')) ? leases(folder) : [], [])
    t.equal(
      withNetwork(pod, (network) => network.findLink('eth0')),
      undefined,
    )
  }
})

t.test('the bridge keeps its MAC address, MTU and hairpin as asked; another address needs force', options, async (t) => {
  const net = lab(t)
  const pod = net.namespace('pod')
  const { cni, bridge } = cniFor(net, { mtu: 1400, hairpinMode: true })
  await cni.add({ containerId: 'pod', netns: pod, runtimeConfig: { mac: '02:00:00:00:00:99' } })
  const mac = withNetwork(undefined, (network) => network.link(bridge).mac)
  await cni.del({ containerId: 'pod' })
  const result = await cni.add({ containerId: 'pod', netns: pod, args: { MAC: '02:00:00:00:00:42' } })
  t.equal(
    withNetwork(undefined, (network) => network.link(bridge).mac),
    mac,
  )
  t.match(
    withNetwork(pod, (network) => network.link('eth0')),
    { mtu: 1400, mac: '02:00:00:00:00:42' },
  )
  const ip = result.ips?.[0]?.address.split('/')[0] ?? ''
  t.ok(pings(net, HOST, ip))
  const other = cniFor(net, { bridge })
  const second = net.namespace('second')
  await t.rejects(other.cni.add({ containerId: 'second', netns: second }), /already has the different address .*forceAddress/)
  const forced = cniFor(net, { bridge, forceAddress: true })
  await forced.cni.add({ containerId: 'second', netns: second })
  t.ok(pings(net, second, forced.subnet.replace('.0/24', '.1')))
})

t.test('a network of IPv6 alone', options, async (t) => {
  const net = lab(t)
  const { cni } = cniFor(net, { ipMasq: true }, { ranges: [[{ subnet: 'fd78::/64' }]] })
  const [a, b] = [net.namespace('a'), net.namespace('b')]
  const first = await cni.add({ containerId: 'a', netns: a })
  t.match(first, { ips: [{ address: 'fd78::2/64', gateway: 'fd78::1' }], routes: [{ dst: '::/0' }] })
  await cni.add({ containerId: 'b', netns: b })
  t.ok(pings(net, a, 'fd78::3'), 'pod to pod at once, without waiting for duplicate detection')
  t.ok(pings(net, HOST, 'fd78::2'))
  await cni.check({ containerId: 'a', netns: a })
})

t.test('the command line: add, check, status, gc, del', options, async (t) => {
  const net = lab(t)
  const { folder } = cniFor(net)
  const pod = net.namespace('pod')
  const knarr = async (...words: string[]): Promise<{ code: number; text: string }> => {
    let text = ''
    const out = { write: (chunk: string | Uint8Array) => (text += String(chunk)) }
    const io: CommandIo = { stdin: process.stdin, stdout: out, stderr: out, env: {}, signal: new AbortController().signal }
    const places = ['--conf-dir', join(folder, 'conf'), '--cache-dir', join(folder, 'cache')]
    return { code: await command.run([...words, ...places], io), text }
  }
  t.same(await knarr('status'), { code: 0, text: 'ready\n' })
  const added = await knarr('add', 'c1', pod)
  t.match(JSON.parse(added.text), { interfaces: [{}, {}, { name: 'eth0', sandbox: pod }] })
  t.equal((await knarr('check', 'c1', pod)).code, 0)
  t.equal((await knarr('gc', 'c1')).code, 0)
  t.equal((await knarr('check', 'c1', pod)).code, 0, 'named, so it stays')
  t.equal((await knarr('del', 'c1')).code, 0)
  await t.rejects(knarr('check', 'c1', pod), /is not attached/)
  await t.rejects(knarr('add', 'c1'), /NETNS is wanted/)
  await t.rejects(knarr('dance'), /unknown action "dance"/)
  t.match(await knarr('--help'), { code: 0, text: /knarr cni install DIR/ })
  writeFileSync(join(folder, 'conf', '10-test.conflist'), '{')
  t.match(await knarr('status'), { code: 1, text: /not ready: .*not JSON/ })
})
