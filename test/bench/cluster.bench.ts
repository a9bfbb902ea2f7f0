// Needs root, and a machine without a cluster. A cluster of one node by the command a person types: time to Ready, memory, time of pods.
import { spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EndpointSlice, Pod, Service } from '../../src/api/index.js'
import { type Client, informer } from '../../src/client/index.js'
import { clientFrom } from '../../src/cluster/up.js'
import { silentLog, systemClock } from '../../src/lib/index.js'
import { must, run } from '../machines/shell.js'
import { median, printAim, printTable, quantile } from './table.js'

const home = join(import.meta.dirname, '../../..')
const knarr = join(home, 'knarr')
/** A node takes 110; one is the pod network's. */
const PODS = 109

/** What of ours a process is: `server`, `agent`, `supervisors`, or `monitors and pauses`; undefined for everybody else. */
function kindOf(pid: string): string | undefined {
  const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  const main = words.findIndex((word) => word.endsWith('/knarr/main.js'))
  if (main > 0) return words[main + 1]
  const executable = readlinkSync(`/proc/${pid}/exe`)
  if (executable.startsWith('/var/lib/knarr/supervise-')) return 'supervisors'
  return /^\/memfd:knarr|\/pause$|^\/pod-network$/.test(executable) ? 'monitors and pauses' : undefined
}

/** PSS in MB of our processes, by what they are. */
function memory(): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const what = kindOf(pid)
      if (what === undefined) continue
      const pss = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]
      found.set(what, (found.get(what) ?? 0) + Number(pss) / 1024)
    } catch {
      // It has ended meanwhile, or is the kernel's.
    }
  }
  return found
}

const total = (sizes: ReadonlyMap<string, number>): number => [...sizes.values()].reduce((sum, size) => sum + size, 0)

async function importImage(): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'knarr-bench-'))
  try {
    for (const folder of ['bin', 'tmp', 'etc']) mkdirSync(join(root, folder))
    copyFileSync('/bin/busybox', join(root, 'bin/busybox'))
    symlinkSync('busybox', join(root, 'bin/sleep'))
    await must([knarr, 'image', 'import', root, 'bench:latest'])
  } finally {
    rmSync(root, { recursive: true })
  }
}

const pod = (name: string): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default', labels: { app: 'bench' } },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [{ name: 'c', image: 'bench:latest', imagePullPolicy: 'Never', command: ['sleep', '100000'] }],
  },
})

/** Milliseconds from each create to the event that says Ready; all at once. */
async function start(client: Client, names: readonly string[]): Promise<readonly number[]> {
  const stop = new AbortController()
  const created = new Map<string, number>()
  const times = new Map<string, number>()
  const pods = informer(client, Pod, { namespace: 'default', clock: systemClock, log: silentLog })
  const done = new Promise<void>((resolve) => {
    const look = ({ metadata: { name }, status }: Pod): void => {
      const from = created.get(name)
      if (from === undefined || times.has(name) || !status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'))
        return
      times.set(name, performance.now() - from)
      if (times.size === names.length) resolve()
    }
    pods.subscribe({ added: look, updated: look })
  })
  void pods.run(stop.signal)
  await pods.synced
  await Promise.all(
    names.map((name) => {
      created.set(name, performance.now())
      return client.create(Pod, pod(name))
    }),
  )
  await Promise.race([done, new Promise((resolve) => setTimeout(resolve, 60_000))])
  stop.abort()
  if (times.size < names.length) console.log(`${names.length - times.size} of ${names.length} pods were not Ready within 60 s`)
  return [...times.values()]
}

async function clear(client: Client): Promise<void> {
  await client.deleteCollection(Pod, { namespace: 'default', labelSelector: 'app=bench' }, { gracePeriodSeconds: 0 })
  while ((await client.list(Pod, { namespace: 'default', labelSelector: 'app=bench' })).items.length > 0)
    await new Promise((resolve) => setTimeout(resolve, 50))
}

const upSeconds = async (command = knarr): Promise<number> => {
  const from = performance.now()
  await must([command, 'up', '--timeout=120'], { timeoutMs: 600_000 })
  return (performance.now() - from) / 1000
}

const purge = (): Promise<string> => must([knarr, 'down', '--purge'], { timeoutMs: 120_000 })

/** `git clone`, `knarr up`: with the dependencies from npm's cache or the registry. Undefined where there is neither. */
async function fromClone(): Promise<number | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'knarr-clone-'))
  try {
    await must(['git', 'clone', '--quiet', '--depth=1', `file://${home}`, folder])
    const cached = await run(['npm', 'ci', '--prefer-offline', '--dry-run', '--ignore-scripts', '--omit=dev', '--no-audit'], {
      cwd: folder,
      timeoutMs: 120_000,
    })
    if (cached.code !== 0) return undefined
    return await upSeconds(join(folder, 'knarr'))
  } catch (error) {
    console.log(`a fresh clone did not come up: ${error instanceof Error ? error.message : error}`)
    return undefined
  } finally {
    await purge()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Milliseconds from writing an endpoint to the event with which the kernel tells that it stands in the rules. */
async function endpointTimes(client: Client): Promise<readonly number[]> {
  const meta = { name: 'bench', namespace: 'default' }
  await client.create(Service, { apiVersion: 'v1', kind: 'Service', metadata: meta, spec: { ports: [{ port: 80 }] } })
  const endpoints = (ip: string): EndpointSlice['endpoints'] => [{ addresses: [ip], conditions: { ready: true } }]
  const slice: EndpointSlice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...meta, labels: { 'kubernetes.io/service-name': meta.name } },
    addressType: 'IPv4',
    endpoints: endpoints('10.244.9.1'),
    ports: [{ port: 80, protocol: 'TCP' }],
  }
  await client.create(EndpointSlice, slice)
  const monitor = spawn('nft', ['monitor', 'new'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let told = ''
  let wake = (): void => {}
  monitor.stdout.on('data', (chunk: Buffer) => {
    told += chunk.toString()
    wake()
  })
  const set = (ip: string) => client.patch(EndpointSlice, meta, { endpoints: endpoints(ip) }, { type: 'merge' })
  const times: number[] = []
  try {
    // The monitor does not say when it has begun to listen.
    for (let i = 100; told === ''; i = i === 199 ? 100 : i + 1) {
      await set(`10.244.9.${i}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    for (let i = 2; i < 52; i++) {
      told = ''
      const ip = `10.244.9.${i} `
      const from = performance.now()
      await set(ip.trim())
      while (!told.includes(ip)) await new Promise<void>((resolve) => (wake = resolve))
      times.push(performance.now() - from)
    }
  } finally {
    monitor.kill()
    await client.delete(Service, meta)
    await client.delete(EndpointSlice, meta)
  }
  return times
}

await purge()
const clone = existsSync(join(home, '.git')) ? await fromClone() : undefined
const first = await upSeconds()
await must([knarr, 'down'], { timeoutMs: 120_000 })
const again = await upSeconds()
try {
  await importImage()
  const { client, close } = await clientFrom('/etc/knarr/admin.conf')
  await new Promise((resolve) => setTimeout(resolve, 5000)) // idle is what is left when the start is over
  const idle = memory()
  const single: number[] = []
  for (let i = 0; i < 20; i++) single.push(...(await start(client, [`one-${i}`])))
  await clear(client)
  const rules = await endpointTimes(client)
  const from = performance.now()
  await start(
    client,
    Array.from({ length: PODS }, (_, i) => `many-${i}`),
  )
  const many = (performance.now() - from) / 1000
  const full = memory()
  await clear(client)
  await close()
  printTable(
    ['what', 'figure', 'unit'],
    [
      ['fresh clone to Ready (npm ci, build, up)', clone ?? 'no npm registry', 's'],
      ['first start to Ready (purged)', first, 's'],
      ['start to Ready, installed', again, 's'],
      ...[...idle].map(([what, size]) => [`PSS idle: ${what}`, size, 'MB'] as const),
      ['PSS idle: all', total(idle), 'MB'],
      ...[...full].map(([what, size]) => [`PSS with ${PODS + 1} pods: ${what}`, size, 'MB'] as const),
      [`PSS with ${PODS + 1} pods: all`, total(full), 'MB'],
      ['create to Ready, one pod, p50', median(single), 'ms'],
      ['create to Ready, one pod, p99', quantile(single, 0.99), 'ms'],
      [`create to Ready, ${PODS} pods at once beside the network's, all`, many, 's'],
      ['endpoint change to kernel rule, p50', median(rules), 'ms'],
      ['endpoint change to kernel rule, p99', quantile(rules, 0.99), 'ms'],
    ],
  )
  printAim({ name: 'start to Ready', wanted: 'under 2 s', measured: `${again.toFixed(2)} s`, met: again < 2 })
  printAim({ name: 'idle memory', wanted: 'under 200 MB', measured: `${total(idle).toFixed(0)} MB`, met: total(idle) < 200 })
  printAim({ name: 'one pod', wanted: 'under 150 ms', measured: `${median(single).toFixed(0)} ms`, met: median(single) < 150 })
  printAim({ name: '110 pods on a node', wanted: 'under 6 s', measured: `${many.toFixed(1)} s`, met: many < 6 })
} finally {
  await purge()
}
