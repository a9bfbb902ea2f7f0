// Masquerade and port maps with real packets: a machine with pods, and a client in the world outside. Needs root.
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Cni, createCni } from '../../src/cni/index.js'
import { Nftables, withConntrack, withNetwork } from '../../src/sys/index.js'
import { HOST, type Lab, lab, options, root } from './network.js'

// A machine with other work is slow; nothing here measures time.
t.setTimeout(300_000)

if (!root) t.comment('SKIPPED: pod networks need root')

interface World {
  readonly net: Lab
  readonly cni: Cni
  readonly outside: string
  /** A web server in a namespace that answers with the client's address; its namespace. */
  serve(namespace: string, port: number, bind?: string): Promise<void>
}

let worlds = 0

/** The machine has 192.0.2.1 and 2001:db8::1 on a link to a client with .2 and ::2, who has no route to pods. */
async function world(t: Parameters<typeof lab>[0], plugins: readonly object[], name = 'world'): Promise<World> {
  const net = lab(t)
  const outside = net.namespace('outside')
  const uplink = `up${++worlds}`
  withNetwork(undefined, (host) => {
    host.addLink({ name: uplink, kind: 'veth', up: true, peer: { name: 'eth0', namespace: outside, up: true } })
    host.addAddress({ link: host.link(uplink).index, address: `192.0.${worlds}.1/24` })
    host.addAddress({ link: host.link(uplink).index, address: `2001:db8:${worlds}::1/64`, noDad: true })
  })
  withNetwork(outside, (network) => {
    const { index } = network.link('eth0')
    network.setLink(network.link('lo').index, { up: true })
    network.addAddress({ link: index, address: `192.0.${worlds}.2/24` })
    network.addAddress({ link: index, address: `2001:db8:${worlds}::2/64`, noDad: true })
  })
  net.onEnd(() => withNetwork(undefined, (host) => void host.deleteLink(uplink)))
  const conf = join(net.folder, 'conf')
  mkdirSync(conf)
  writeFileSync(join(conf, '10-net.conflist'), JSON.stringify({ cniVersion: '1.1.0', name, plugins }))
  return {
    net,
    cni: createCni({ confDir: conf, cacheDir: join(net.folder, 'cache') }),
    outside,
    async serve(namespace, port, bind = '::') {
      const script = `require('net').createServer((s) => s.end(s.remoteAddress.replace('::ffff:', '') + ' ' + s.localPort)).listen(${port}, '${bind}', () => console.log('up'))`
      const server = net.start(namespace, process.execPath, '-e', script)
      await once(server.stdout as NodeJS.ReadableStream, 'data')
    },
  }
}

/** Connects and returns what the server says; undefined when it cannot. */
function ask(net: Lab, from: string, address: string, port: number): string | undefined {
  const script = `const s = require('net').connect(${port}, '${address}'); s.setTimeout(5000, () => process.exit(2)); s.on('error', () => process.exit(1)); s.pipe(process.stdout)`
  const { status, stdout } = net.run(from, process.execPath, '-e', script)
  return status === 0 ? stdout : undefined
}

const bridgePlugin = (net: string, extra: object = {}): object => ({
  type: 'bridge',
  bridge: `nat${worlds}`,
  isDefaultGateway: true,
  ipMasq: true,
  hairpinMode: true,
  ipam: {
    type: 'host-local',
    ranges: [[{ subnet: `10.${net}.0.0/24` }], [{ subnet: `fd${net}::/64` }]],
    dataDir: `/tmp/knarr-test-${process.pid}/${net}`,
  },
  ...extra,
})
t.teardown(async () => (await import('node:fs')).rmSync(`/tmp/knarr-test-${process.pid}`, { recursive: true, force: true }))

const ipOf = (result: { ips?: readonly { address: string }[] }, index = 0): string => result.ips?.[index]?.address.split('/')[0] ?? ''

t.test('pods reach out under the address of the machine, and each other under their own', options, async (t) => {
  const w = await world(t, [bridgePlugin('81', { nonMasqueradeCIDRs: ['198.51.100.0/24'] })])
  withNetwork(w.outside, (network) => network.addAddress({ link: network.link('eth0').index, address: '198.51.100.2/24' }))
  withNetwork(w.outside, (network) => network.addRoute({ to: '10.81.0.0/24', gateway: `192.0.${worlds}.1` }))
  withNetwork(undefined, (network) => network.addRoute({ to: '198.51.100.0/24', link: network.link(`up${worlds}`).index }))
  const [a, b] = [w.net.namespace('a'), w.net.namespace('b')]
  const first = await w.cni.add({ containerId: 'a', netns: a })
  const second = await w.cni.add({ containerId: 'b', netns: b })
  await w.serve(w.outside, 8080)
  await w.serve(b, 8080)
  t.equal(ask(w.net, a, `192.0.${worlds}.2`, 8080), `192.0.${worlds}.1 8080`)
  t.equal(ask(w.net, a, `2001:db8:${worlds}::2`, 8080), `2001:db8:${worlds}::1 8080`)
  t.equal(ask(w.net, a, ipOf(second), 8080), `${ipOf(first)} 8080`, 'inside the network sources stay')
  t.equal(ask(w.net, a, ipOf(second, 1), 8080), `${ipOf(first, 1)} 8080`)
  t.equal(ask(w.net, a, '198.51.100.2', 8080), `${ipOf(first)} 8080`, 'a prefix that is not translated')
  using nft = new Nftables()
  const elements = (): number =>
    nft.elements({ table: { family: 'inet', name: 'knarr-cni' }, name: 'masquerade4', key: ['ipv4_addr'], data: 'verdict' }).length
  t.equal(elements(), 2)
  await w.cni.del({ containerId: 'a', netns: a })
  t.equal(elements(), 1)
  await w.cni.gc([])
  t.equal(elements(), 0)
})

t.test('port maps from outside, from the machine, from pods, and of the pod itself', options, async (t) => {
  const w = await world(t, [bridgePlugin('82'), { type: 'portmap', capabilities: { portMappings: true } }])
  const [a, b] = [w.net.namespace('a'), w.net.namespace('b')]
  const machine = `192.0.${worlds}.1`
  const runtimeConfig = {
    portMappings: [
      { hostPort: 9080, containerPort: 80, protocol: 'tcp' },
      { hostPort: 9081, containerPort: 80, protocol: 'TCP', hostIP: machine },
      { hostPort: 9082, containerPort: 80, hostIP: '127.0.0.1' },
      { hostPort: 0, containerPort: 99 },
    ],
  }
  const mapped = await w.cni.add({ containerId: 'a', netns: a, runtimeConfig })
  const other = await w.cni.add({ containerId: 'b', netns: b })
  await w.serve(a, 80)
  await w.cni.check({ containerId: 'a', netns: a })
  t.equal(ask(w.net, w.outside, machine, 9080), `192.0.${worlds}.2 80`, 'from outside, source kept')
  t.equal(ask(w.net, w.outside, `2001:db8:${worlds}::1`, 9080), `2001:db8:${worlds}::2 80`, 'from outside, IPv6')
  t.equal(ask(w.net, w.outside, machine, 9081), `192.0.${worlds}.2 80`, 'one address')
  t.equal(ask(w.net, w.outside, machine, 9082), undefined, 'another address is not mapped')
  t.ok(ask(w.net, HOST, machine, 9080), 'from the machine to its address')
  t.ok(ask(w.net, HOST, '127.0.0.1', 9080), 'from the machine to localhost')
  t.ok(ask(w.net, HOST, '127.0.0.1', 9082), 'localhost alone')
  t.equal(ask(w.net, HOST, '127.0.0.1', 9081), undefined)
  t.ok(ask(w.net, b, machine, 9080), 'from another pod')
  t.ok(ask(w.net, a, machine, 9080), 'from the pod itself (hairpin)')
  t.equal(ask(w.net, b, ipOf(mapped), 80), `${ipOf(other)} 80`, 'straight to the pod nothing is translated')

  await t.rejects(
    w.cni.add({ containerId: 'c', netns: w.net.namespace('c'), runtimeConfig: { portMappings: [{ hostPort: 9080, containerPort: 1 }] } }),
    {
      message: 'host port tcp 9080 is taken by world/a/eth0',
    },
  )
  t.ok(ask(w.net, w.outside, machine, 9080), 'the mapping that was there still works')
  await t.rejects(
    w.cni.add({ containerId: 'd', netns: w.net.namespace('d'), runtimeConfig: { portMappings: [{ hostPort: 70_000, containerPort: 1 }] } }),
    /hostPort number: 70000/,
  )
  await w.cni.del({ containerId: 'a', netns: a })
  t.equal(ask(w.net, w.outside, machine, 9080), undefined)
})

t.test('port maps of UDP hold for flows that are older, and no longer than they are there', options, async (t) => {
  const w = await world(t, [bridgePlugin('85'), { type: 'portmap', capabilities: { portMappings: true } }])
  const pod = w.net.namespace('pod')
  const server = `const s = require('dgram').createSocket('udp6'); s.on('message', (m, r) => s.send(m + ' ' + r.address.replace('::ffff:', ''), r.port, r.address)); s.bind(53, () => console.log('up'))`
  await once(w.net.start(pod, process.execPath, '-e', server).stdout as NodeJS.ReadableStream, 'data')
  // One flow: the same port of the client throughout. Each word on its input goes out, what comes back is printed.
  const client = w.net.start(
    w.outside,
    process.execPath,
    '-e',
    `const s = require('dgram').createSocket('udp4'); s.bind(4000); s.on('message', (m) => console.log(String(m))); s.on('error', () => {}); process.stdin.on('data', (d) => s.send(String(d).trim(), 9053, '192.0.${worlds}.1'))`,
  )
  let heard = ''
  client.stdout?.on('data', (chunk) => {
    heard += chunk
  })
  const say = async (word: string, done: () => boolean): Promise<void> => {
    for (; !done(); await new Promise((resolve) => setTimeout(resolve, 20))) client.stdin?.write(`${word}\n`)
  }
  const flow = (): boolean =>
    withConntrack(undefined, (conntrack) => conntrack.list(4).some(({ original }) => original.destinationPort === 9053))
  await say('before', flow)
  const runtimeConfig = { portMappings: [{ hostPort: 9053, containerPort: 53, protocol: 'UDP' }] }
  await w.cni.add({ containerId: 'pod', netns: pod, runtimeConfig })
  await say('mapped', () => heard.includes('mapped'))
  t.match(heard, new RegExp(`^mapped 192\\.0\\.${worlds}\\.2$`, 'm'), 'source kept')
  client.kill('SIGKILL')
  await once(client, 'exit')
  t.ok(flow())
  await w.cni.del({ containerId: 'pod', netns: pod, runtimeConfig })
  t.notOk(flow(), 'nothing remembers the way')
})

t.test('garbage collection of one network leaves what others have on the machine', options, async (t) => {
  const plugins = [bridgePlugin('84'), { type: 'portmap', capabilities: { portMappings: true } }]
  const w = await world(t, plugins, 'first')
  const conf = join(w.net.folder, 'other')
  mkdirSync(conf)
  writeFileSync(join(conf, '10-net.conflist'), JSON.stringify({ cniVersion: '1.1.0', name: 'other', plugins }))
  const other = createCni({ confDir: conf, cacheDir: join(w.net.folder, 'other-cache') })
  const pod = w.net.namespace('pod')
  const runtimeConfig = { portMappings: [{ hostPort: 9084, containerPort: 80 }] }
  await w.cni.add({ containerId: 'pod', netns: pod, runtimeConfig })
  await w.serve(pod, 80)
  await w.serve(w.outside, 8080)
  const works = (): unknown => [ask(w.net, w.outside, `192.0.${worlds}.1`, 9084), ask(w.net, pod, `192.0.${worlds}.2`, 8080)]
  const all = [`192.0.${worlds}.2 80`, `192.0.${worlds}.1 8080`]
  t.same(works(), all)
  await other.gc([])
  t.same(works(), all)
  await w.cni.gc([])
  t.same(works(), [undefined, undefined])
})

t.test('ptp: routes instead of a bridge', options, async (t) => {
  const w = await world(t, [
    {
      type: 'ptp',
      ipMasq: true,
      mtu: 1400,
      ipam: {
        type: 'host-local',
        ranges: [[{ subnet: '10.83.0.0/24' }], [{ subnet: 'fd83::/64' }]],
        routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
        dataDir: `/tmp/knarr-test-${process.pid}/83`,
      },
    },
  ])
  const [a, b] = [w.net.namespace('a'), w.net.namespace('b')]
  const first = await w.cni.add({ containerId: 'a', netns: a })
  const second = await w.cni.add({ containerId: 'b', netns: b })
  t.match(first.interfaces, [{ name: /^veth/ }, { name: 'eth0', sandbox: a, mtu: 1400 }])
  await w.serve(b, 80)
  await w.serve(w.outside, 80)
  t.equal(ask(w.net, a, ipOf(second), 80), `${ipOf(first)} 80`, 'pod to pod')
  t.equal(ask(w.net, a, ipOf(second, 1), 80), `${ipOf(first, 1)} 80`, 'pod to pod, IPv6')
  t.equal(ask(w.net, a, `192.0.${worlds}.2`, 80), `192.0.${worlds}.1 80`, 'masquerade')
  t.ok(ask(w.net, HOST, ipOf(second), 80), 'machine to pod')
  await w.cni.check({ containerId: 'a', netns: a })
  await w.cni.del({ containerId: 'a', netns: a })
  await t.rejects(w.cni.check({ containerId: 'a', netns: a }), { code: 3 })
  await w.cni.del({ containerId: 'b', netns: b })
  t.equal(
    withNetwork(undefined, (host) => host.links().filter(({ name }) => name.startsWith('veth')).length),
    0,
  )
})
