// The kernel's network on the real kernel, in namespaces of our own. Needs root.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import t from 'tap'
import {
  Conntrack,
  createNetworkNamespace,
  inNetworkNamespace,
  NetlinkError,
  Network,
  type NetworkChange,
  type NftTable,
  removeNetworkNamespace,
  watchNetwork,
  withNftables,
} from '../../src/sys/index.js'

// A machine with other work is slow; nothing here measures time.
t.setTimeout(300_000)

const root = process.getuid?.() === 0
if (!root) t.comment('SKIPPED: network namespaces need root')
const options = root ? {} : { skip: 'needs root' }

const alive = setInterval(() => {}, 60_000)
const made: string[] = []
function namespace(name: string): string {
  const path = `/run/netns/knarr-test-${process.pid}-${name}`
  createNetworkNamespace(path)
  made.push(path)
  return path
}
t.teardown(() => {
  for (const path of made) removeNetworkNamespace(path)
  clearInterval(alive)
})

const ip = (path: string, ...args: string[]): string =>
  spawnSync('ip', ['-n', path.split('/').at(-1) ?? '', ...args], { encoding: 'utf8' }).stdout

t.test('a namespace is new, named, and gone when removed', options, async (t) => {
  const path = namespace('a')
  using network = new Network({ namespace: path })
  t.same(
    network.links().map(({ name, up }) => ({ name, up })),
    [{ name: 'lo', up: false }],
  )
  t.ok(new Network().links().length > 0, 'our own is another')
  t.throws(() => createNetworkNamespace(path), { code: 'EEXIST' })
  t.throws(() => inNetworkNamespace('/proc/self/ns/mnt', () => 0), /setns.*EINVAL/)
  removeNetworkNamespace(path)
  removeNetworkNamespace(path)
  t.notOk(existsSync(path))
})

t.test('veth pairs across namespaces, addresses, routes, packets', options, async (t) => {
  const [left, right] = [namespace('left'), namespace('right')]
  using a = new Network({ namespace: left })
  using b = new Network({ namespace: right })
  a.addLink({
    name: 'eth0',
    kind: 'veth',
    mtu: 1400,
    up: true,
    mac: '02:00:00:00:00:01',
    peer: { name: 'eth0', mtu: 1400, up: true, mac: '02:00:00:00:00:02', namespace: right },
  })
  for (const [network, last] of [
    [a, 1],
    [b, 2],
  ] as const) {
    const { index, kind, mtu, mac } = network.link('eth0')
    t.same({ kind, mtu, mac }, { kind: 'veth', mtu: 1400, mac: `02:00:00:00:00:0${last}` })
    network.addAddress({ link: index, address: `10.77.0.${last}/24` })
    network.addAddress({ link: index, address: `fd77::${last}/64`, noDad: true })
    t.same(
      network
        .addresses(index)
        .filter(({ scope }) => scope === 'universe')
        .map(({ address }) => address),
      [`10.77.0.${last}/24`, `fd77::${last}/64`],
    )
  }
  for (const target of ['10.77.0.2', 'fd77::2']) {
    const ping = inNetworkNamespace(left, () => spawnSync('busybox', ['ping', '-c1', '-W5', target]))
    t.equal(ping.status, 0, `ping ${target}`)
  }
  t.ok(b.link('eth0').statistics.rxPackets > 0)
  t.equal(a.neighbours().find(({ address }) => address === '10.77.0.2')?.mac, '02:00:00:00:00:02')

  const { index } = a.link('eth0')
  a.addRoute({ to: '0.0.0.0/0', gateway: '10.77.0.2' })
  a.addRoute({ to: '::/0', gateway: 'fd77::2', metric: 7 })
  a.addRoute({ to: '10.99.0.0/16', type: 'blackhole', table: 1000 })
  a.addRoute({ to: '10.98.0.0/16', gateway: '192.0.2.1', link: index, onLink: true, mtu: 1300, source: '10.77.0.1' })
  t.match(
    a.routes({ family: 4 }).find(({ to }) => to === '0.0.0.0/0'),
    { gateway: '10.77.0.2', link: index, scope: 'universe' },
  )
  t.match(
    a.routes({ family: 6 }).find(({ to }) => to === '::/0'),
    { gateway: 'fd77::2', metric: 7 },
  )
  t.match(a.routes({ table: 1000 }), [{ to: '10.99.0.0/16', type: 'blackhole' }])
  t.match(
    a.routes().find(({ to }) => to === '10.98.0.0/16'),
    { mtu: 1300, onLink: true, source: '10.77.0.1' },
  )
  t.match(a.routeTo('10.98.1.1'), { gateway: '192.0.2.1', link: index })
  t.match(ip(left, 'route', 'show', '10.98.0.0/16'), /via 192.0.2.1 dev eth0 .*onlink.*mtu 1300|via 192.0.2.1 dev eth0 .*mtu 1300.*onlink/)
  a.replaceRoute({ to: '0.0.0.0/0', gateway: '10.77.0.3' })
  t.same(
    a
      .routes({ family: 4 })
      .filter(({ to }) => to === '0.0.0.0/0')
      .map(({ gateway }) => gateway),
    ['10.77.0.3'],
  )
  t.ok(a.deleteRoute({ to: '0.0.0.0/0' }))
  t.notOk(a.deleteRoute({ to: '0.0.0.0/0' }), 'deleting twice is fine')
  a.addRoute({
    to: '10.50.0.0/16',
    via: [
      { gateway: '10.77.0.2', link: index },
      { gateway: '10.77.0.9', link: index, weight: 3 },
    ],
  })
  t.match(ip(left, 'route', 'show', '10.50.0.0/16'), /weight 3/)
  t.ok(a.deleteAddress({ link: index, address: '10.77.0.1/24' }))
  t.notOk(a.deleteAddress({ link: index, address: '10.77.0.1/24' }))
})

t.test('every kind of link, checked by another program', options, async (t) => {
  const path = namespace('kinds')
  using network = new Network({ namespace: path })
  network.addLink({ name: 'base0', kind: 'veth', up: true, peer: { name: 'base1', up: true } })
  const parent = network.link('base0').index
  network.addLink({ name: 'br0', kind: 'bridge', up: true })
  network.addLink({ name: 'vx0', kind: 'vxlan', id: 7, port: 8472, local: '192.0.2.1', parent })
  network.addLink({ name: 'vx6', kind: 'vxlan', id: 8, local: '2001:db8::1' })
  network.addLink({ name: 'mv0', kind: 'macvlan', parent, mode: 'bridge' })
  network.addLink({ name: 'v0', kind: 'veth', peer: { name: 'v1' }, master: network.link('br0').index })
  t.match(ip(path, '-d', 'link', 'show', 'vx0'), /vxlan id 7 local 192.0.2.1 dev base0 .*dstport 8472 .*nolearning/)
  t.match(ip(path, '-d', 'link', 'show', 'vx6'), /vxlan id 8 local 2001:db8::1/)
  t.match(ip(path, '-d', 'link', 'show', 'mv0'), /macvlan mode bridge/)
  t.match(network.link('vx0').vxlan, { id: 7, port: 8472, local: '192.0.2.1', learning: false })

  const port = network.link('v0')
  t.equal(port.master, network.link('br0').index)
  network.setBridgePort(port.index, { hairpin: true, isolated: true })
  t.match(ip(path, '-d', 'link', 'show', 'v0'), /hairpin on .*isolated on/)

  network.setLink(port.index, { name: 'renamed', mtu: 1280, alias: 'a port', up: true, promiscuous: true })
  t.match(network.link(port.index), { name: 'renamed', mtu: 1280, alias: 'a port', up: true, promiscuous: true })
  const other = namespace('other')
  network.setLink(port.index, { master: 0, namespace: other })
  t.equal(network.findLink('renamed'), undefined)
  using there = new Network({ namespace: other })
  t.equal(there.link('renamed').kind, 'veth')
  t.ok(network.deleteLink('v1'))
  t.notOk(network.deleteLink('v1'))
  t.equal(there.findLink('renamed'), undefined, 'a veth goes with its peer')
})

t.test('VLANs', options, async (t) => {
  const path = namespace('vlan')
  using network = new Network({ namespace: path })
  network.addLink({ name: 'v0', kind: 'veth', peer: { name: 'v1' } })
  const parent = network.link('v0').index
  try {
    network.addLink({ name: 'vl0', kind: 'vlan', parent, id: 12 })
  } catch (error) {
    t.match(error, { code: 'EOPNOTSUPP', message: /Unknown device type/ })
    t.comment('SKIPPED: this kernel has no VLAN links')
    return
  }
  t.equal(network.link('vl0').vlanId, 12)
  network.addLink({ name: 'br0', kind: 'bridge', vlanFiltering: true })
  t.ok(network.link('br0').vlanFiltering)
  network.setLink(parent, { master: network.link('br0').index })
  network.addBridgeVlan(parent, { id: 30, pvid: true, untagged: true })
  const shown = spawnSync('bridge', ['-n', path.split('/').at(-1) ?? '', 'vlan', 'show', 'dev', 'v0'], { encoding: 'utf8' }).stdout
  t.match(shown, /30 PVID Egress Untagged/)
})

t.test('neighbours, forwarding entries and rules', options, async (t) => {
  const path = namespace('tables')
  using network = new Network({ namespace: path })
  network.addLink({ name: 'vx0', kind: 'vxlan', id: 7, up: true })
  const { index } = network.link('vx0')
  network.setNeighbour({ link: index, address: '10.1.0.1', mac: '02:00:00:00:00:09' })
  network.setNeighbour({ link: index, address: 'fd00::1', mac: '02:00:00:00:00:09' })
  t.match(
    network.neighbours(index).find(({ address }) => address === '10.1.0.1'),
    { mac: '02:00:00:00:00:09', state: 'permanent' },
  )
  t.ok(network.deleteNeighbour({ link: index, address: '10.1.0.1' }))
  t.notOk(network.deleteNeighbour({ link: index, address: '10.1.0.1' }))

  network.setForwarding({ link: index, mac: '02:00:00:00:00:09', destination: '192.0.2.9' })
  network.setForwarding({ link: index, mac: '02:00:00:00:00:09', destination: '192.0.2.10' })
  network.appendForwarding({ link: index, mac: '00:00:00:00:00:00', destination: '192.0.2.9' })
  network.appendForwarding({ link: index, mac: '00:00:00:00:00:00', destination: '192.0.2.10' })
  const entries = network.forwarding(index)
  t.match(
    entries.filter(({ mac }) => mac === '02:00:00:00:00:09'),
    [{ destination: '192.0.2.10' }],
  )
  t.equal(entries.filter(({ mac }) => mac === '00:00:00:00:00:00').length, 2)
  t.ok(network.deleteForwarding({ link: index, mac: '02:00:00:00:00:09' }))
  t.notOk(network.deleteForwarding({ link: index, mac: '02:00:00:00:00:09' }))

  const rule = { family: 4, priority: 500, from: '10.0.0.0/8', mark: 3, mask: 0xff, table: 1234 } as const
  network.addRule(rule)
  t.match(
    network.rules(4).find(({ priority }) => priority === 500),
    rule,
  )
  t.match(ip(path, 'rule', 'show'), /500:\s+from 10.0.0.0\/8 fwmark 0x3\/0xff lookup 1234/)
  t.ok(network.deleteRule(rule))
  network.addRule({ family: 6, priority: 10, to: 'fd00::/8', action: 'unreachable' })
  t.match(
    network.rules(6).find(({ priority }) => priority === 10),
    { to: 'fd00::/8', action: 'unreachable' },
  )
})

t.test('refusals carry the object, the errno and the words of the kernel', options, async (t) => {
  const path = namespace('errors')
  using network = new Network({ namespace: path })
  network.addLink({ name: 'd0', kind: 'bridge' })
  t.throws(() => network.addLink({ name: 'd0', kind: 'bridge' }), { message: 'add bridge link d0: EEXIST', code: 'EEXIST' })
  t.throws(() => network.addAddress({ link: 9999, address: '10.0.0.1/24' }), /add address 10.0.0.1\/24: ENODEV/)
  const down = t.throws(() => network.addRoute({ to: '10.0.0.0/8', gateway: '192.0.2.1' }), { code: 'ENETUNREACH' })
  t.match(down, /Nexthop has invalid gateway/)
  t.ok(down instanceof NetlinkError)
  for (const name of ['', 'sixteen-letters-', 'a/b', 'a b', '..'])
    t.throws(() => network.addLink({ name, kind: 'bridge' }), /is not a link name/)
  t.throws(() => network.link('absent'), /there is no link "absent"/)
  t.throws(() => new Network({ namespace: '/run/netns/knarr-test-absent' }), { code: 'ENOENT' })
})

t.test('changes are told', options, async (t) => {
  const path = namespace('watch')
  using network = new Network({ namespace: path })
  const wanted = ['link d0', 'address 10.3.0.1/24', 'route 10.4.0.0/16', 'link d0 gone']
  await new Promise<void>((resolve) => {
    const stop = watchNetwork(
      (change: NetworkChange) => {
        if (change.type === 'lost') return
        const name =
          change.type === 'link'
            ? change.link.name
            : change.type === 'address'
              ? change.address.address
              : change.type === 'route'
                ? change.route.to
                : change.neighbour.address
        const text = `${change.type} ${name}${change.gone ? ' gone' : ''}`
        if (text === wanted[0]) wanted.shift()
        if (wanted.length === 0) {
          stop()
          resolve()
        }
      },
      { namespace: path },
    )
    network.addLink({ name: 'd0', kind: 'bridge', up: true })
    const link = network.link('d0').index
    network.addAddress({ link, address: '10.3.0.1/24' })
    network.addRoute({ to: '10.4.0.0/16', link })
    network.deleteLink(link)
  })
  t.same(wanted, [])
})

t.test('a thousand requests leak no descriptor', options, async (t) => {
  const path = namespace('many')
  const { readdirSync } = await import('node:fs')
  const before = readdirSync('/proc/self/fd').length
  for (let i = 0; i < 200; i++) {
    using network = new Network({ namespace: path })
    for (let j = 0; j < 5; j++) network.findLink('lo')
    t.throws(() => network.addLink({ name: 'x', kind: 'veth', peer: { name: 'y', namespace: '/absent' } }))
  }
  t.equal(readdirSync('/proc/self/fd').length, before)
})

t.test('connections are listed, and deleted by what they are', options, async (t) => {
  const [left, right] = [namespace('ct-left'), namespace('ct-right')]
  using a = new Network({ namespace: left })
  using b = new Network({ namespace: right })
  a.addLink({ name: 'eth0', kind: 'veth', up: true, peer: { name: 'eth0', namespace: right, up: true } })
  a.addAddress({ link: a.link('eth0').index, address: '10.78.0.1/24' })
  b.addAddress({ link: b.link('eth0').index, address: '10.78.0.2/24' })
  // Tracking begins with the first rule that asks for it.
  const table: NftTable = { family: 'inet', name: 'track' }
  const chain = { table, name: 'out', hook: { type: 'filter', hook: 'output', priority: 0 } } as const
  withNftables(left, (nft) =>
    nft.apply([
      { do: 'add table', table },
      { do: 'add chain', chain },
      { do: 'add rule', rule: { chain, statements: [{ match: 'ct state', op: '!=', value: 0, mask: 8 }, { counter: true }] } },
    ]),
  )
  const talk = (port: number): unknown =>
    inNetworkNamespace(left, () =>
      spawnSync(process.execPath, [
        '-e',
        `const s = require('dgram').createSocket('udp4'); s.send('x', ${port}, '10.78.0.2', () => s.close())`,
      ]),
    )
  talk(53)
  talk(54)
  using conntrack = new Conntrack({ namespace: left })
  const udp = conntrack.list(4).filter(({ protocol }) => protocol === 17)
  t.match(udp.map(({ original }) => original.destinationPort).sort(), [53, 54])
  t.match(udp[0], { family: 4, original: { source: '10.78.0.1', destination: '10.78.0.2' }, reply: { source: '10.78.0.2' } })
  t.equal(
    conntrack.delete(4, ({ original }) => original.destinationPort === 53),
    1,
  )
  t.equal(
    conntrack.delete(4, ({ original }) => original.destinationPort === 53),
    0,
  )
  t.same(
    conntrack
      .list(4)
      .filter(({ protocol }) => protocol === 17)
      .map(({ original }) => original.destinationPort),
    [54],
  )
  t.same(
    conntrack.list(6).filter(({ protocol }) => protocol === 17),
    [],
  )
})
