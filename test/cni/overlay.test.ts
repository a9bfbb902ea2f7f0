// Pods on several machines: two on one link, one behind a router. Real packets over direct routes and VXLAN. Needs root.
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import t from 'tap'
import { type OverlayNode, overlay } from '../../src/cni/index.js'
import { tunnelMac } from '../../src/cni/overlay/plan.js'
import { inNetworkNamespace, type Network, withNetwork } from '../../src/sys/index.js'
import { type Lab, lab, options, pings, root, silent } from './network.js'

// A machine with other work is slow; nothing here measures time.
t.setTimeout(300_000)

if (!root) t.comment('SKIPPED: pod networks need root')

interface Machine {
  readonly path: string
  readonly pod: string
  readonly node: OverlayNode
}

function cable(from: string, name: string, to: string, peer: string): void {
  withNetwork(from, (network) => network.addLink({ name, kind: 'veth', up: true, peer: { name: peer, namespace: to, up: true } }))
}

function address(namespace: string, link: string, ...addresses: string[]): void {
  withNetwork(namespace, (network) => {
    const { index } = network.link(link)
    for (const one of addresses) network.addAddress({ link: index, address: one, noDad: one.includes(':') })
  })
}

/** A machine with one pod behind it. */
function machine(net: Lab, number: number, nodeAddress: string, outer: 4 | 6): Machine {
  const path = net.namespace(`m${number}`)
  const pod = net.namespace(`p${number}`)
  withNetwork(path, (network) => network.setLink(network.link('lo').index, { up: true }))
  cable(path, 'pod', pod, 'eth0')
  address(path, 'pod', `10.244.${number}.1/24`, `fd44:${number}::1/64`)
  address(pod, 'eth0', `10.244.${number}.2/24`, `fd44:${number}::2/64`)
  withNetwork(pod, (network) => {
    network.addRoute({ to: '0.0.0.0/0', gateway: `10.244.${number}.1` })
    network.addRoute({ to: '::/0', gateway: `fd44:${number}::1` })
  })
  const podCidrs = [`10.244.${number}.0/24`, `fd44:${number}::/64`]
  return { path, pod, node: { name: `m${number}`, address: outer === 6 ? nodeAddress : nodeAddress, podCidrs } }
}

/** Machines 1 and 2 share a link (a switch), machine 3 is behind a router. */
function topology(net: Lab, outer: 4 | 6): readonly [Machine, Machine, Machine] {
  const at = (network: number, host: number): string => (outer === 4 ? `192.0.${network}.${host}` : `2001:db8:${network}::${host}`)
  const length = outer === 4 ? 24 : 64
  const machines = [machine(net, 1, at(2, 1), outer), machine(net, 2, at(2, 2), outer), machine(net, 3, at(3, 3), outer)] as const
  const router = net.namespace('router')
  withNetwork(router, (network) => network.addLink({ name: 'switch', kind: 'bridge', up: true }))
  for (const [i, { path }] of machines.slice(0, 2).entries()) {
    cable(path, 'eth0', router, `port${i}`)
    withNetwork(router, (network) => network.setLink(network.link(`port${i}`).index, { master: network.link('switch').index }))
  }
  cable(machines[2].path, 'eth0', router, 'far')
  address(router, 'switch', `${at(2, 254)}/${length}`)
  address(router, 'far', `${at(3, 254)}/${length}`)
  inNetworkNamespace(router, () =>
    writeFileSync(outer === 4 ? '/proc/sys/net/ipv4/ip_forward' : '/proc/sys/net/ipv6/conf/all/forwarding', '1'),
  )
  for (const [i, { path, node }] of machines.entries()) {
    address(path, 'eth0', `${node.address}/${length}`)
    withNetwork(path, (network) => network.addRoute({ to: outer === 4 ? '0.0.0.0/0' : '::/0', gateway: at(i === 2 ? 3 : 2, 254) }))
  }
  return machines
}

const overlayOn = (machine: Machine): ReturnType<typeof overlay> => overlay({ self: machine.node, namespace: machine.path })

/** Sends a megabyte through a connection and says who the server saw. */
async function transfer(net: Lab, from: string, to: string, address: string): Promise<string> {
  const server = net.start(
    to,
    process.execPath,
    '-e',
    `let n = 0; const s = require('net').createServer((c) => { c.on('data', (d) => { n += d.length }); c.on('end', () => c.end(c.remoteAddress.replace('::ffff:', '') + ' ' + n)) }); s.listen({ port: 7000, host: '::', backlog: 5 }, () => console.log('up')); s.unref; setTimeout(() => process.exit(), 60000)`,
  )
  await once(server.stdout as NodeJS.ReadableStream, 'data')
  const client = `const c = require('net').connect({ port: 7000, host: '${address}', allowHalfOpen: true }); c.setTimeout(20000, () => process.exit(2)); c.on('error', () => process.exit(1)); c.end(Buffer.alloc(1 << 20)); c.pipe(process.stdout)`
  const { stdout } = net.run(from, process.execPath, '-e', client)
  server.kill('SIGKILL')
  await once(server, 'exit')
  return stdout
}

for (const outer of [4, 6] as const)
  t.test(`nodes with IPv${outer} addresses`, options, async (t) => {
    const net = lab(t)
    const [a, b, c] = topology(net, outer)
    const overlays = [a, b, c].map(overlayOn)
    const nodes = [a, b, c].map(({ node }) => node)
    const plans = overlays.map((one) => one.update(nodes))
    // Pods of the family that the nodes have no address of need the tunnel even on one link.
    t.equal(plans[0]?.paths.m3, 'vxlan')
    t.equal(
      plans[0]?.routes.find(({ to }) => to === (outer === 4 ? '10.244.2.0/24' : 'fd44:2::/64'))?.gateway,
      b.node.address,
      'a plain route on one link',
    )
    t.equal(overlays[0]?.podMtu(), outer === 4 ? 1450 : 1430)
    for (const [from, to] of [
      [a, b],
      [b, a],
      [a, c],
      [c, a],
      [c, b],
    ] as const)
      for (const family of [4, 6] as const) {
        const number = to.node.name.slice(1)
        t.ok(
          pings(net, from.pod, family === 4 ? `10.244.${number}.2` : `fd44:${number}::2`),
          `${from.node.name} to ${to.node.name}, IPv${family}`,
        )
      }
    t.equal(await transfer(net, a.pod, b.pod, '10.244.2.2'), `10.244.1.2 ${1 << 20}`, 'a megabyte over the route, source intact')
    t.equal(
      await transfer(net, a.pod, c.pod, '10.244.3.2'),
      `10.244.1.2 ${1 << 20}`,
      'a megabyte through the tunnel, source intact, segments fit',
    )
    t.equal(await transfer(net, c.pod, b.pod, 'fd44:2::2'), `fd44:3::2 ${1 << 20}`)
    const vxlan = withNetwork(c.path, (network) => network.link('knarr-vxlan'))
    t.ok(vxlan.statistics.txBytes > 1 << 20, 'it went through the tunnel')
    t.ok(pings(net, a.path, '10.244.3.2'), 'the machine itself reaches pods of others')

    // A second update changes nothing; a gone peer leaves nothing.
    const routesOf = (): object => withNetwork(a.path, (network) => network.routes())
    const before = routesOf()
    overlays[0]?.update(nodes)
    t.same(routesOf(), before)
    overlays[0]?.update([a.node, b.node])
    t.ok(silent(net, a.path, '10.244.3.2'))
    overlays[0]?.update(nodes)
    t.ok(pings(net, a.pod, '10.244.3.2'), 'and back')
    for (const one of overlays) one.remove()
    t.equal(
      withNetwork(a.path, (network) => network.findLink('knarr-vxlan')),
      undefined,
    )
    t.notOk(withNetwork(a.path, (network) => network.routes().some(({ to }) => to === '10.244.2.0/24')))
  })

/** What the tunnel of a machine knows, and nothing that it would ask or tell by multicast. */
function tunnelOf(net: Lab, { path }: Machine): object {
  const [shown] = JSON.parse(net.run(path, 'ip', '-j', '-d', 'link', 'show', 'knarr-vxlan').stdout) as [
    { mtu: number; linkinfo: { info_data: { group?: string; learning: boolean } } },
  ]
  return withNetwork(path, (network) => {
    const { index } = network.link('knarr-vxlan')
    const permanent = network.neighbours(index).filter(({ state }) => state === 'permanent')
    return {
      mtu: shown.mtu,
      group: shown.linkinfo.info_data.group,
      learning: shown.linkinfo.info_data.learning,
      neighbours: permanent.map(({ address, mac }) => `${address} ${mac}`).sort(),
      forwarding: network
        .forwarding(index)
        .map(({ mac, destination }) => `${mac} ${destination}`)
        .sort(),
    }
  })
}

t.test('a machine that moves behind the router, and back', options, async (t) => {
  const net = lab(t)
  const [a, b, c] = topology(net, 4)
  let nodes = [a.node, b.node, c.node]
  const [onA, onC] = [overlayOn(a), overlayOn(c)]
  let onB = overlayOn(b)
  const update = (): void => {
    for (const one of [onA, onB, onC]) one.update(nodes)
  }
  const told = (...machines: readonly Machine[]): object => ({
    mtu: 1450,
    group: undefined,
    learning: false,
    neighbours: machines
      .flatMap(({ node: { name } }) => [`10.244.${name[1]}.0 ${tunnelMac(name)}`, `fd44:${name[1]}:: ${tunnelMac(name)}`])
      .sort(),
    forwarding: machines.map(({ node }) => `${tunnelMac(node.name)} ${node.address}`).sort(),
  })
  const reaches = (from: Machine, { node }: Machine): boolean =>
    [`10.244.${node.name[1]}.2`, `fd44:${node.name[1]}::2`].every((address) => pings(net, from.pod, address))
  const routeTo = (number: number): string | undefined =>
    withNetwork(a.path, (network) => {
      const route = network.routes().find(({ to }) => to === `10.244.${number}.0/24`)
      return route?.link === undefined ? undefined : network.link(route.link).name
    })
  update()
  t.equal(routeTo(2), 'eth0')
  t.ok(reaches(a, b))

  const router = net.path('router')
  const move = (from: string, to: string, gateway: string, master: string | undefined): Machine => {
    withNetwork(b.path, (network) => {
      const { index } = network.link('eth0')
      network.deleteAddress({ link: index, address: `${from}/24` })
      network.addAddress({ link: index, address: `${to}/24` })
      network.replaceRoute({ to: '0.0.0.0/0', gateway })
    })
    withNetwork(router, (network) => network.setLink(network.link('port1').index, { master: master ? network.link(master).index : 0 }))
    const moved = { ...b, node: { ...b.node, address: to } }
    nodes = [a.node, moved.node, c.node]
    onB = overlayOn(moved)
    update()
    return moved
  }
  address(router, 'port1', '192.0.4.254/24')
  const far = move('192.0.2.2', '192.0.4.2', '192.0.4.254', undefined)
  t.equal(routeTo(2), 'knarr-vxlan')
  t.ok(reaches(a, far) && reaches(far, a) && reaches(c, far))
  t.equal(await transfer(net, far.pod, a.pod, '10.244.1.2'), `10.244.2.2 ${1 << 20}`, 'source intact')
  t.same(tunnelOf(net, a), told(far, c))
  t.same(tunnelOf(net, c), told(a, far), 'where it was before is forgotten')

  const near = move('192.0.4.2', '192.0.2.2', '192.0.2.254', 'switch')
  t.equal(routeTo(2), 'eth0')
  t.ok(reaches(a, near) && reaches(near, a) && reaches(c, near))
  t.same(tunnelOf(net, c), told(a, near))
})

t.test('a link that gets smaller makes the tunnel smaller', options, async (t) => {
  const net = lab(t)
  const [a, , c] = topology(net, 4)
  const own = overlayOn(a)
  own.update([c.node])
  const soon = async (holds: (network: Network) => boolean): Promise<void> => {
    while (!withNetwork(a.path, holds)) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  // The kernel's own changes of addresses would lead to a look at everything.
  await soon((network) => network.addresses().every(({ tentative }) => !tentative))
  const stop = new AbortController()
  own.watch(stop.signal, (error) => t.fail(String(error)))
  withNetwork(a.path, (network) => network.setLink(network.link('eth0').index, { mtu: 1400 }))
  t.equal(own.podMtu(), 1350)
  await soon((network) => network.link('knarr-vxlan').mtu === 1350)
  stop.abort()
  own.remove()
})

t.test('what others delete is repaired', options, async (t) => {
  const net = lab(t)
  const [a, b, c] = topology(net, 4)
  const own = overlayOn(a)
  own.update([b.node, c.node])
  const stop = new AbortController()
  own.watch(stop.signal, (error) => t.fail(String(error)))
  const hasAll = (): boolean =>
    withNetwork(
      a.path,
      (network) =>
        network.findLink('knarr-vxlan') !== undefined &&
        ['10.244.2.0/24', '10.244.3.0/24'].every((to) => network.routes().some((one) => one.to === to)),
    )
  for (const harm of [
    () => withNetwork(a.path, (network) => network.deleteRoute({ to: '10.244.2.0/24' })),
    () => withNetwork(a.path, (network) => network.deleteLink('knarr-vxlan')),
  ]) {
    t.ok(harm())
    t.notOk(hasAll())
    while (!hasAll()) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  stop.abort()
  own.remove()
})

t.test('mistakes are named', options, async (t) => {
  const net = lab(t)
  const [a, b] = topology(net, 4)
  const wrong = overlay({ self: { ...a.node, address: '203.0.113.7' }, namespace: a.path, mode: 'vxlan' })
  t.throws(() => wrong.update([b.node]), /does not have the node address 203.0.113.7/)
})
