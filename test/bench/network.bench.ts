// Pod networks: attaching and detaching, and throughput between two pods against a bare veth pair through a bridge.
// Needs root. Peers, measured in the same run when installed: Debian's containernetworking-plugins, iperf3.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Cni, createCni } from '../../src/cni/index.js'
import { checked, createNetworkNamespace, inNetworkNamespace, removeNetworkNamespace, sysNumber, withNetwork } from '../../src/sys/index.js'
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
} finally {
  for (const path of made) removeNetworkNamespace(path)
  rmSync(folder, { recursive: true, force: true })
}
