// Services and DNS: 10,000 Services into the kernel, one change among them, connections and throughput through a cluster IP, DNS answers.
// Needs root and gcc. Peers, measured in the same run when installed: our iptables applier, kube-proxy's nftables layout through nft(8),
// iperf3 directly, Debian's unbound and dnsmasq. Loading kube-proxy's layout is quadratic, so it gets 2,000 Services;
// KNARR_BENCH_FULL=1 gives it all 10,000, a minute's work.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { EndpointSlice, Service } from '../../src/api/index.js'
import { ObjectCache } from '../../src/client/cache.js'
import { encodeQuery } from '../../src/dns/packet.js'
import { deferred, silentLog, systemClock } from '../../src/lib/index.js'
import { type Applier, iptablesApplier, nftablesApplier, planRuleset, runProxy } from '../../src/proxy/index.js'
import { clusterIp, type Many, manyServices } from './programs/many-services.js'
import { buildWire } from './programs/wire.js'
import { median, printAim, printTable, quantile } from './table.js'

if (process.getuid?.() !== 0) {
  console.log('needs root')
  process.exit(0)
}
const SERVICES = 10_000
const PEER_SERVICES = process.env.KNARR_BENCH_FULL ? SERVICES : 2000
const CIDRS = ['10.244.0.0/16']
const REAL = '10.244.9.2'
const folder = mkdtempSync(join(tmpdir(), 'knarr-bench-'))
const children: ChildProcess[] = []
const spaces: string[] = []
const sh = (command: string): void => void execFileSync('sh', ['-ec', command], { stdio: ['ignore', 'ignore', 'inherit'] })

/** A namespace with a wire to a server of its own: rules in one cannot slow down the other. */
function pair(name: string): { readonly client: string; readonly server: string } {
  const [client, server] = [`kb${process.pid}${name}c`, `kb${process.pid}${name}s`]
  spaces.push(client, server)
  sh(`ip netns add ${client}; ip netns add ${server}
    ip link add w netns ${client} type veth peer name w netns ${server}
    ip -n ${client} addr add 10.244.9.1/24 dev w; ip -n ${server} addr add ${REAL}/24 dev w
    for n in ${client} ${server}; do ip -n $n link set lo up; ip -n $n link set w up; done
    ip -n ${client} route add default via ${REAL}`)
  return { client, server }
}
const inside = (space: string, ...argv: readonly string[]): string =>
  execFileSync('ip', ['netns', 'exec', space, ...argv], { encoding: 'utf8', maxBuffer: 1 << 28 })
async function background(space: string | undefined, argv: readonly string[], ready = true): Promise<ChildProcess> {
  const [program = '', ...args] = space === undefined ? argv : ['ip', 'netns', 'exec', space, ...argv]
  const child = spawn(program, args, { stdio: ['ignore', ready ? 'pipe' : 'ignore', 'inherit'] })
  children.push(child)
  if (ready) await once(child.stdout as NodeJS.ReadableStream, 'data')
  return child
}

const slab = (): number => Number(/^Slab:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) / 1024
const timed = async (work: () => unknown): Promise<number> => {
  const start = performance.now()
  await work()
  return performance.now() - start
}
const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0

/** kube-proxy's nftables layout: a chain for each Service and each endpoint, and a map that leads to them. */
function kubeProxyScript({ services, slices }: Many): string {
  const chains: string[] = [
    'add table ip kube-proxy',
    'add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }',
  ]
  const rules: string[] = []
  const elements: string[] = []
  for (const [i, service] of services.entries()) {
    const name = `service-${service.metadata.name}`
    const ips = (slices[i]?.endpoints ?? []).map(({ addresses }) => addresses[0] ?? '')
    const targets = ips.map((_, slot) => `endpoint-${service.metadata.name}-${slot}`)
    for (const chain of [name, ...targets]) chains.push(`add chain ip kube-proxy ${chain}`)
    rules.push(`add rule ip kube-proxy ${name} ip daddr ${clusterIp(i)} tcp dport 80 ip saddr != ${CIDRS[0]} jump mark-for-masquerade`)
    rules.push(
      `add rule ip kube-proxy ${name} numgen random mod ${ips.length} vmap { ${targets.map((target, slot) => `${slot} : goto ${target}`).join(', ')} }`,
    )
    for (const [slot, ip] of ips.entries())
      rules.push(
        `add rule ip kube-proxy ${targets[slot]} ip saddr ${ip} jump mark-for-masquerade`,
        `add rule ip kube-proxy ${targets[slot]} meta l4proto tcp dnat to ${ip}:8080`,
      )
    elements.push(`${clusterIp(i)} . tcp . 80 : goto ${name}`)
  }
  const base = [
    'add chain ip kube-proxy mark-for-masquerade',
    'add rule ip kube-proxy mark-for-masquerade mark set mark or 0x4000',
    'add chain ip kube-proxy nat-output { type nat hook output priority -100; }',
    'add rule ip kube-proxy nat-output ip daddr . meta l4proto . th dport vmap @service-ips',
  ]
  return `${[...chains, ...base, ...rules, `add element ip kube-proxy service-ips { ${elements.join(', ')} }`].join('\n')}\n`
}

interface Loaded {
  readonly name: string
  readonly client: string
  readonly server: string
  /** Services that are there. */
  readonly count: number
}

/** All into the kernel; then one endpoint after another changes, from the cache to the kernel as in the agent. */
async function proxied(name: string, applier: Applier, many: Many, changes: number): Promise<readonly (string | number)[]> {
  const services = new ObjectCache<Service>()
  const slices = new ObjectCache<EndpointSlice>({ service: (slice) => [`bench/${slice.metadata.labels?.['kubernetes.io/service-name']}`] })
  for (const service of many.services) services.put(service)
  for (const slice of many.slices) slices.put(slice)
  const view = <T extends Service | EndpointSlice>(cache: ObjectCache<T>) => ({
    synced: Promise.resolve(),
    get: (key: string) => cache.get(key),
    byIndex: (index: string, value: string) => cache.byIndex(index, value),
    subscribe: (listener: Parameters<ObjectCache<T>['subscribe']>[0]) => cache.subscribe(listener),
  })
  const slabBefore = slab()
  const heapBefore = process.memoryUsage().heapUsed
  let applied = deferred()
  const stop = new AbortController()
  const next = (): Promise<void> => {
    applied = deferred()
    return applied.promise
  }
  const first = next()
  let running: Promise<void> = Promise.resolve()
  const load = await timed(async () => {
    running = runProxy(
      {
        services: view(services),
        slices: view(slices),
        nodeName: 'here',
        applier,
        clock: systemClock,
        log: silentLog,
        onApplied: () => applied.resolve(),
      },
      stop.signal,
    )
    await first
  })
  const memory = [(process.memoryUsage().heapUsed - heapBefore) / (1 << 20), slab() - slabBefore]
  const took: number[] = []
  for (let i = 0; i < changes; i++) {
    const slice = many.slices[(i * 37 + 1) % (many.slices.length - 2)] as EndpointSlice
    const done = next()
    took.push(
      await timed(() => {
        slices.put({
          ...slice,
          metadata: { ...slice.metadata, resourceVersion: String(i + 2) },
          endpoints: [...(slice.endpoints ?? []).slice(1), { addresses: [`10.99.${i >> 8}.${i & 255}`], conditions: { ready: true } }],
        })
        return done
      }),
    )
  }
  stop.abort()
  await running
  return [name, load, median(took), quantile(took, 0.99), ...memory]
}

const iptables = (space: string): Applier =>
  iptablesApplier({
    clusterCidrs: CIDRS,
    run: async (program, args, input = '') => {
      const { status, stdout, stderr } = spawnSync('ip', ['netns', 'exec', space, program, ...args], {
        input,
        encoding: 'utf8',
        maxBuffer: 1 << 28,
      })
      if (status !== 0) throw new Error(`${program}: ${stderr}`)
      return stdout
    },
  })

async function rules(): Promise<readonly Loaded[]> {
  const loaded: Loaded[] = []
  const rows: (readonly (string | number)[])[] = []
  const ours = pair('n')
  const namespace = `/run/netns/${ours.client}`
  const two = manyServices(SERVICES, 2, REAL)
  planRuleset({ services: two.services.slice(0, 500), slicesOf: () => [], nodeName: 'here' }) // once, for the compiler
  const apart = pair('t')
  rows.push(
    await proxied(
      `nftables, 10 endpoints`,
      nftablesApplier({ clusterCidrs: CIDRS, namespace: `/run/netns/${apart.client}` }),
      manyServices(SERVICES, 10),
      100,
    ),
  )
  rows.push(await proxied('nftables, 2 endpoints', nftablesApplier({ clusterCidrs: CIDRS, namespace }), two, 300))
  loaded.push({ name: 'nftables', ...ours, count: SERVICES })
  const print = (): void =>
    printTable(
      [`${SERVICES} Services into the kernel`, 'load ms', 'one change p50 ms', 'p99', 'heap MiB', 'kernel MiB'],
      rows.splice(0).map((row) => row.map((cell) => (Number.isNaN(cell) ? '-' : cell))),
    )
  const [, load = 0, , p99 = 0] = rows[1] as number[]
  print()
  printAim({ name: 'cold load of 10,000 Services', wanted: 'under 500 ms', measured: `${load.toFixed(0)} ms`, met: load < 500 })
  printAim({ name: 'one change with 10,000 Services', wanted: 'under 10 ms (p99)', measured: `${p99.toFixed(2)} ms`, met: p99 < 10 })
  if (has('iptables-restore')) {
    const space = pair('i')
    rows.push(await proxied('iptables, 2 endpoints', iptables(space.client), two, 3))
    loaded.push({ name: 'iptables', ...space, count: SERVICES })
  }
  if (has('nft')) {
    const space = pair('k')
    const script = join(folder, 'kube-proxy.nft')
    writeFileSync(script, kubeProxyScript(manyServices(PEER_SERVICES, 2, REAL)))
    const slabBefore = slab()
    const load = await timed(() => inside(space.client, 'nft', '-f', script))
    const kernel = slab() - slabBefore
    const took: number[] = []
    for (let i = 0; i < 10; i++) {
      writeFileSync(
        script,
        `flush chain ip kube-proxy endpoint-s7-0\nadd rule ip kube-proxy endpoint-s7-0 meta l4proto tcp dnat to 10.99.0.${i + 1}:8080\n`,
      )
      took.push(await timed(() => inside(space.client, 'nft', '-f', script)))
    }
    rows.push([
      `kube-proxy's nft layout (quadratic), 2 endpoints, ${PEER_SERVICES} Services only`,
      load,
      median(took),
      quantile(took, 0.99),
      Number.NaN,
      kernel,
    ])
    loaded.push({ name: "kube-proxy's nft layout", ...space, count: PEER_SERVICES })
  }
  print()
  return loaded
}

interface Figures {
  readonly p50: number
  readonly p99: number
  readonly rate: number
}

async function connections(wire: string, all: readonly Loaded[]): Promise<void> {
  const rows: (readonly (string | number)[])[] = []
  let flat = ''
  let isFlat = true
  for (const { name, client, server, count } of all) {
    await background(server, [wire, 'serve', '8080'])
    const targets = { direct: [REAL, '8080'], first: [clusterIp(0), '80'], last: [clusterIp(count - 1), '80'] }
    const samples: Record<string, Figures[]> = {}
    // In turns, so that all meet the same weather.
    for (let round = 0; round < 5; round++)
      for (const [target, [ip = '', port = '']] of Object.entries(targets)) {
        const [p50 = 0, p99 = 0, rate = 0] = inside(client, wire, 'connect', ip, port, '3000').trim().split(' ').map(Number)
        samples[target] = [...(samples[target] ?? []), { p50, p99, rate }]
      }
    const of = (target: string, figure: keyof Figures): number => median((samples[target] ?? []).map((each) => each[figure]))
    for (const target of Object.keys(targets))
      rows.push([
        `${name}: ${target === 'direct' ? target : `${target} of ${count} Services`}`,
        of(target, 'p50'),
        of(target, 'p99'),
        of(target, 'rate'),
      ])
    if (name !== 'nftables') continue
    flat = `first ${of('first', 'p50').toFixed(1)} µs, last ${of('last', 'p50').toFixed(1)} µs`
    isFlat = of('last', 'p50') <= 1.1 * of('first', 'p50')
  }
  printTable(['connections, one after the other', 'connect p50 µs', 'p99', 'per second'], rows)
  printAim({
    name: 'connect latency does not depend on the number of Services',
    wanted: 'last at most 1.1 times first',
    measured: flat,
    met: isFlat,
  })
}

async function throughput({ client, server }: Loaded): Promise<void> {
  if (!has('iperf3')) return console.log('iperf3 is not installed: no throughput')
  await background(server, ['iperf3', '-s', '-p', '8081', '--forceflush'])
  const through = 'Service'
  const samples: Record<string, number[]> = {}
  const measure = (ip: string, port: string): number => {
    const text = inside(client, 'iperf3', '-c', ip, '-p', port, '-t', '1', '-J')
    return (JSON.parse(text) as { end: { sum_received: { bits_per_second: number } } }).end.sum_received.bits_per_second / 1e9
  }
  for (let round = 0; round < 6; round++)
    for (const which of round % 2 === 0 ? ['direct', through] : [through, 'direct'])
      samples[which] = [...(samples[which] ?? []), which === 'direct' ? measure(REAL, '8081') : measure(clusterIp(0), '81')]
  const [direct, service] = [samples.direct ?? [], samples[through] ?? []]
  printTable(
    ['throughput, one TCP stream', 'median Gb/s', 'best'],
    [
      ['direct', median(direct), Math.max(...direct)],
      ['through a cluster IP', median(service), Math.max(...service)],
    ],
  )
  const ratio = Math.max(median(service) / median(direct), Math.max(...service) / Math.max(...direct))
  printAim({
    name: 'throughput through a Service',
    wanted: 'at least 95 % of direct',
    measured: `${(ratio * 100).toFixed(0)} %`,
    met: ratio >= 0.95,
  })
}

/** Seconds of processor time that a process has used. */
const cpuSeconds = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

async function dns(wire: string): Promise<void> {
  const questions = join(folder, 'questions')
  const name = (i: number): string => `s${i}.bench.svc.cluster.local`
  writeFileSync(
    questions,
    Buffer.concat(
      Array.from({ length: SERVICES }, (_, i) => {
        const bytes = encodeQuery({
          id: 0,
          opcode: 0,
          recursionDesired: true,
          checkingDisabled: false,
          question: { name: name(i), type: 1, class: 1 },
          client: '',
          transport: 'udp',
        })
        return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
      }),
    ),
  )
  const records = Array.from({ length: SERVICES }, (_, i) => [name(i), clusterIp(i)] as const)
  writeFileSync(
    join(folder, 'unbound.conf'),
    `server:\n interface: 127.0.0.1\n port: 5402\n num-threads: 1\n do-daemonize: no\n use-syslog: no\n logfile: ""\n chroot: ""\n username: ""\n pidfile: ""\n do-not-query-localhost: no\n local-zone: "cluster.local." static\n${records.map(([host, ip]) => ` local-data: "${host}. 30 IN A ${ip}"`).join('\n')}\nremote-control:\n control-enable: no\n`,
  )
  writeFileSync(join(folder, 'hosts'), records.map(([host, ip]) => `${ip} ${host}`).join('\n'))
  const servers: readonly (readonly [string, string, readonly string[]])[] = [
    ['ours', '5401', [process.execPath, join(import.meta.dirname, 'programs/dns-server.js'), '5401', String(SERVICES)]],
    ...(has('unbound') ? [['unbound, one thread', '5402', ['unbound', '-d', '-c', join(folder, 'unbound.conf')]] as const] : []),
    ...(has('dnsmasq')
      ? [
          [
            'dnsmasq',
            '5403',
            [
              'dnsmasq',
              '--keep-in-foreground',
              '--port=5403',
              '--no-resolv',
              '--no-hosts',
              `--addn-hosts=${join(folder, 'hosts')}`,
              '--listen-address=127.0.0.1',
              '--bind-interfaces',
              '--pid-file',
              '--user=root',
            ],
          ] as const,
        ]
      : []),
  ]
  const rows: (readonly (string | number)[])[] = []
  for (const [label, port, argv] of servers) {
    const child = await background(undefined, argv, label === 'ours')
    for (let tries = 0; label !== 'ours' && tries < 100; tries++)
      if (spawnSync('dig', ['@127.0.0.1', '-p', port, '+tries=1', '+time=1', name(1)]).stdout.includes('NOERROR')) break
    const before = cpuSeconds(child.pid ?? 0)
    const rounds = execFileSync(wire, ['ask', '127.0.0.1', port, questions, '9'], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map((line) => line.split(' ').map(Number))
    const perCpu = (SERVICES * rounds.length) / (cpuSeconds(child.pid ?? 0) - before)
    const warm = rounds.slice(2)
    const of = (column: number): number => median(warm.map((round) => round[column] ?? 0))
    const [cold = []] = rounds
    rows.push([label, cold[0] ?? 0, cold[2] ?? 0, of(0), of(1), of(2), perCpu, rounds.reduce((sum, round) => sum + (round[3] ?? 0), 0)])
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  printTable(
    [
      `${SERVICES} names of the cluster, UDP`,
      'cold answers/s',
      'cold p99 µs',
      'warm answers/s',
      'p50 µs',
      'p99',
      'answers per cpu second',
      'lost',
    ],
    rows,
  )
  const [, , , rate = 0, , , perCpu = 0] = rows[0] as number[]
  printAim({
    name: 'DNS answers of one core',
    wanted: 'at least 20,000/s',
    measured: `${rate.toFixed(0)}/s beside the client, ${perCpu.toFixed(0)} per second of processor`,
    met: Math.max(rate, perCpu) >= 20_000,
  })
}

// The clock's timers keep nobody alive.
const alive = setInterval(() => {}, 1000)
try {
  const wire = buildWire(folder)
  const loaded = await rules()
  await connections(wire, loaded)
  await throughput(loaded[0] as Loaded)
  await dns(wire)
} finally {
  clearInterval(alive)
  for (const child of children) child.kill('SIGKILL')
  for (const space of spaces) spawnSync('ip', ['netns', 'del', space])
  rmSync(folder, { recursive: true, force: true })
}
