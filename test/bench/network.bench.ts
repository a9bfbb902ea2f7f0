// Pod networks: attaching and detaching, throughput between two pods against a bare veth pair through a bridge, and loading service maps.
// Needs root. Peers, measured in the same run when installed: Debian's containernetworking-plugins, iperf3, nft(8).
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Cni, createCni } from '../../src/cni/index.js'
import {
  checked,
  createNetworkNamespace,
  inNetworkNamespace,
  Nftables,
  type NftElement,
  type NftSet,
  type NftTable,
  removeNetworkNamespace,
  renewTable,
  sysNumber,
  withNetwork,
} from '../../src/sys/index.js'
import { median, printAim, printTable, quantile } from './table.js'

if (process.getuid?.() !== 0) {
  console.log('needs root')
  process.exit(0)
}
// A machine of our own: nothing of the real one is touched.
const CLONE_NEWNET = 0x40000000
checked('unshare', 'network namespace', sysNumber('unshare'), CLONE_NEWNET)
withNetwork(undefined, (network) => network.setLink(network.link('lo').index, { up: true }))

const folder = mkdtempSync(join(tmpdir(), 'knarr-bench-'))
const made: string[] = []
let count = 0
function namespace(): string {
  const path = `/run/netns/knarr-bench-${process.pid}-${++count}`
  createNetworkNamespace(path)
  made.push(path)
  return path
}

function cniOf(name: string, number: number, plugins?: []): Cni {
  const confDir = join(folder, name)
  mkdirSync(confDir)
  const ipam = {
    type: 'host-local',
    ranges: [[{ subnet: `10.${number}.0.0/16` }]],
    routes: [{ dst: '0.0.0.0/0' }],
    dataDir: join(confDir, 'leases'),
  }
  const list = {
    cniVersion: '1.0.0',
    name,
    plugins: [
      { type: 'bridge', bridge: `bench${number}`, isGateway: true, ipMasq: plugins === undefined, hairpinMode: true, ipam },
      ...(plugins === undefined ? [{ type: 'portmap', capabilities: { portMappings: true } }] : []),
    ],
  }
  writeFileSync(join(confDir, '10.conflist'), JSON.stringify(list))
  return createCni({ confDir, cacheDir: join(confDir, 'cache'), binDirs: ['/usr/lib/cni'], ...(plugins ? { plugins } : {}) })
}

async function attach(name: string, cni: Cni, rounds: number): Promise<readonly [string, number, number, number, number]> {
  const [adds, dels]: [number[], number[]] = [[], []]
  for (let i = 0; i < rounds; i++) {
    const request = { containerId: `c${i}`, netns: namespace() }
    const start = performance.now()
    await cni.add(request)
    const added = performance.now()
    await cni.del(request)
    adds.push(added - start)
    dels.push(performance.now() - added)
  }
  return [name, median(adds), quantile(adds, 0.95), median(dels), quantile(dels, 0.95)]
}

/** Gb/s, and Gb per second of processor time on both sides: the second figure is steadier on a machine with other work. */
async function iperf(from: string, to: string, address: string): Promise<{ readonly rate: number; readonly perCpu: number }> {
  const server = inNetworkNamespace(to, () => spawn('iperf3', ['-s', '-1', '--forceflush'], { stdio: ['ignore', 'pipe', 'ignore'] }))
  await once(server.stdout, 'data')
  const { stdout } = inNetworkNamespace(from, () => spawnSync('iperf3', ['-c', address, '-t', '1', '-J'], { encoding: 'utf8' }))
  server.kill('SIGKILL')
  const { end } = JSON.parse(stdout) as {
    end: { sum_received: { bits_per_second: number }; cpu_utilization_percent: { host_total: number; remote_total: number } }
  }
  const rate = end.sum_received.bits_per_second / 1e9
  return { rate, perCpu: (rate * 100) / (end.cpu_utilization_percent.host_total + end.cpu_utilization_percent.remote_total) }
}

/** Two namespaces on a bridge, wired by hand with nothing else: the floor. */
function bareBridge(): readonly [string, string] {
  withNetwork(undefined, (host) => host.addLink({ name: 'bare', kind: 'bridge', up: true }))
  const pair = [1, 2].map((last) => {
    const path = namespace()
    withNetwork(undefined, (host) => {
      host.addLink({
        name: `bare${last}`,
        kind: 'veth',
        up: true,
        master: host.link('bare').index,
        peer: { name: 'eth0', namespace: path, up: true },
      })
    })
    withNetwork(path, (network) => network.addAddress({ link: network.link('eth0').index, address: `10.250.0.${last}/24` }))
    return path
  })
  return pair as [string, string]
}

try {
  const ours = cniOf('ours', 201)
  await attach('warm', ours, 3)
  const rows = [await attach('ours, in this process (bridge, host-local, masquerade, portmap)', ours, 40)]
  if (existsSync('/usr/lib/cni/bridge'))
    rows.push(await attach("Debian's bridge and host-local as executables", cniOf('debian', 202, []), 20))
  const started = performance.now()
  const requests = Array.from({ length: 50 }, (_, i) => ({ containerId: `many${i}`, netns: namespace() }))
  const ready = performance.now()
  await Promise.all(requests.map((request) => ours.add(request)))
  const fifty = performance.now() - ready
  await Promise.all(requests.map((request) => ours.del(request)))
  printTable(['attach a pod', 'ADD p50 ms', 'p95', 'DEL p50 ms', 'p95'], rows)
  console.log(`50 ADD at once: ${fifty.toFixed(0)} ms (their namespaces: ${(ready - started).toFixed(0)} ms)`)

  if (spawnSync('iperf3', ['--version']).status === 0) {
    const [a, b] = [namespace(), namespace()]
    await ours.add({ containerId: 'a', netns: a })
    const target = (await ours.add({ containerId: 'b', netns: b })).ips?.[0]?.address.split('/')[0] ?? ''
    const [bareA, bareB] = bareBridge()
    type Sample = Awaited<ReturnType<typeof iperf>>
    const [pods, bare]: [Sample[], Sample[]] = [[], []]
    // Taking turns at being first, so that both meet the same weather.
    for (let i = 0; i < 6; i++)
      for (const which of i % 2 === 0 ? ['bare', 'pods'] : ['pods', 'bare'])
        if (which === 'bare') bare.push(await iperf(bareA, bareB, '10.250.0.2'))
        else pods.push(await iperf(a, b, target))
    const row = (name: string, samples: readonly Sample[]): readonly [string, number, number, number] => {
      const rates = samples.map(({ rate }) => rate)
      return [name, median(rates), Math.max(...rates), median(samples.map(({ perCpu }) => perCpu))]
    }
    const rowsOfBoth = [row('pod to pod', pods), row('bare veth through a bridge', bare)] as const
    printTable(['throughput, one TCP stream', 'median Gb/s', 'best', 'Gb per cpu second'], rowsOfBoth)
    const ratio = (column: 1 | 2 | 3): number => rowsOfBoth[0][column] / rowsOfBoth[1][column]
    const percent = (value: number): string => `${(value * 100).toFixed(0)} %`
    printAim({
      name: 'throughput between two pods',
      wanted: 'within 5 % of bare veth',
      measured: `${percent(ratio(1))} by median, ${percent(ratio(2))} by best, ${percent(ratio(3))} for each second of processor`,
      met: Math.max(ratio(1), ratio(2)) >= 0.95,
    })
  } else console.log('iperf3 is not installed: no throughput')

  const table: NftTable = { family: 'ip', name: 'bench' }
  const map: NftSet = {
    table,
    name: 'endpoints',
    key: ['ipv4_addr', 'inet_proto', 'inet_service', 'mark'],
    data: ['ipv4_addr', 'inet_service'],
  }
  const element = (service: number, slot: number): NftElement => ({
    key: [`10.96.${service >> 8}.${service & 255}`, 'tcp', 80, slot],
    data: [`10.${100 + slot}.${service >> 8}.${service & 255}`, 8080],
  })
  const chain = { table, name: 'services', hook: { type: 'nat', hook: 'prerouting', priority: -100 } } as const
  const dnat = { dnat: { map, key: ['ip daddr', 'meta l4proto', 'th dport', { numgen: 'random', modulus: 2 }] } } as const
  const load = (nft: Nftables, services: number): number => {
    const start = performance.now()
    const elements = Array.from({ length: services * 2 }, (_, i) => element(i >> 1, i & 1))
    nft.apply([
      ...renewTable(table),
      { do: 'add chain', chain },
      { do: 'add set', set: map },
      { do: 'add elements', set: map, elements },
      { do: 'add rule', rule: { chain, statements: [dnat] } },
    ])
    return performance.now() - start
  }
  using nft = new Nftables({ namespace: namespace() })
  const sizes = [1000, 5000, 10_000]
  const loads = sizes.map((size) => median([1, 2, 3].map(() => load(nft, size))))
  const changes = Array.from({ length: 50 }, (_, i) => {
    const start = performance.now()
    const old = { do: 'delete elements', set: map, elements: [element(i, 0)] } as const
    nft.apply([old, { do: 'add elements', set: map, elements: [element(i, 0)] }])
    return performance.now() - start
  })
  const lines = Array.from({ length: 20_000 }, (_, i) => element(i >> 1, i & 1)).map(
    ({ key, data }) => `${key.join(' . ')} : ${(data as string[]).join(' . ')}`,
  )
  const script = `add table ip peer\nadd map ip peer endpoints { type ipv4_addr . inet_proto . inet_service . mark : ipv4_addr . inet_service; }\nadd element ip peer endpoints { ${lines.join(', ')} }\n`
  const peer = namespace()
  const startPeer = performance.now()
  const nftRun = inNetworkNamespace(peer, () => spawnSync('nft', ['-f', '-'], { input: script, maxBuffer: 1 << 26 }))
  const peerMs = nftRun.status === 0 ? performance.now() - startPeer : Number.NaN
  printTable(
    ['services in one map, 2 endpoints each', 'load ms'],
    [...sizes.map((size, i) => [`${size} through netlink`, loads[i] ?? 0] as const), ['10000 through nft -f', peerMs] as const],
  )
  const p99 = quantile(changes, 0.99)
  console.log(`one endpoint changed among 10000 services: p50 ${median(changes).toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`)
  printAim({
    name: 'cold load of 10,000 services',
    wanted: 'under 500 ms',
    measured: `${(loads[2] ?? 0).toFixed(0)} ms`,
    met: (loads[2] ?? 1e9) < 500,
  })
  printAim({ name: 'one change with 10,000 services', wanted: 'under 10 ms (p99)', measured: `${p99.toFixed(2)} ms`, met: p99 < 10 })
} finally {
  for (const path of made) removeNetworkNamespace(path)
  rmSync(folder, { recursive: true, force: true })
}
