// Needs root, and a machine without a cluster. A cluster of one node by the command a person types: time to Ready, memory, time of pods.
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Pod } from '../../src/api/index.js'
import { type Client, informer } from '../../src/client/index.js'
import { clientFrom } from '../../src/cluster/up.js'
import { silentLog, systemClock } from '../../src/lib/index.js'
import { must } from '../machines/shell.js'
import { median, printAim, printTable, quantile } from './table.js'

const knarr = join(import.meta.dirname, '../../../knarr')
const PODS = 110

/** PSS in MB of each of our processes, by what it is. */
function memory(): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      const main = words.findIndex((word) => word.endsWith('dist/knarr/main.js'))
      const what = words[main + 1]
      if (main < 0 || what === undefined || !['server', 'agent', 'pod-network'].includes(what)) continue
      const pss = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]
      found.set(what, (found.get(what) ?? 0) + Number(pss) / 1024)
    } catch {
      // It has ended meanwhile.
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

const upSeconds = async (): Promise<number> => {
  const from = performance.now()
  await must([knarr, 'up', '--timeout=120'], { timeoutMs: 180_000 })
  return (performance.now() - from) / 1000
}

await must([knarr, 'down', '--purge'], { timeoutMs: 120_000 })
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
  const from = performance.now()
  await start(
    client,
    Array.from({ length: PODS - 10 }, (_, i) => `many-${i}`),
  )
  const many = (performance.now() - from) / 1000
  const full = memory()
  await clear(client)
  await close()
  printTable(
    ['what', 'figure', 'unit'],
    [
      ['first start to Ready (purged; makes the add-on image)', first, 's'],
      ['start to Ready, installed', again, 's'],
      ...[...idle].map(([what, size]) => [`PSS idle: ${what}`, size, 'MB'] as const),
      ['PSS idle: all', total(idle), 'MB'],
      [`PSS with ${PODS - 10} pods: all`, total(full), 'MB'],
      ['create to Ready, one pod, p50', median(single), 'ms'],
      ['create to Ready, one pod, p99', quantile(single, 0.99), 'ms'],
      [`create to Ready, ${PODS - 10} pods at once, all`, many, 's'],
    ],
  )
  printAim({ name: 'start to Ready', wanted: 'under 2 s', measured: `${again.toFixed(2)} s`, met: again < 2 })
  printAim({ name: 'idle memory', wanted: 'under 200 MB', measured: `${total(idle).toFixed(0)} MB`, met: total(idle) < 200 })
  printAim({ name: 'one pod', wanted: 'under 150 ms', measured: `${median(single).toFixed(0)} ms`, met: median(single) < 150 })
  printAim({ name: `${PODS - 10} pods`, wanted: 'under 6 s for 110', measured: `${many.toFixed(1)} s`, met: many < 6 })
} finally {
  await must([knarr, 'down', '--purge'], { timeoutMs: 120_000 })
}
