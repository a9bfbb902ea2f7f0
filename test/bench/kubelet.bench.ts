// How long a pod takes from the API call to Running, one by one and 110 at once, where the time goes, and what 110 idle pods cost.
// The node is a process of its own; memory and CPU are its alone. `KNARR_PROFILE=FOLDER` leaves its CPU profile there.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Pod } from '../../src/api/index.js'
import { sleep, systemClock } from '../../src/lib/index.js'
import { nodeScene, options, shell, until } from '../kubelet/scene.js'
import { median, printAim, printTable, quantile } from './table.js'

if ('skip' in options) {
  console.error(`kubelet: ${options.skip}`)
  process.exit(1)
}

const n = await nodeScene()
await n.daemon().stop()
const profile = process.env.KNARR_PROFILE
const agent = fork(join(import.meta.dirname, 'kubelet-agent.js'), [n.s.dir, n.cgroupRoot], {
  stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  execArgv: profile ? ['--cpu-prof', `--cpu-prof-dir=${profile}`] : [],
})
const gone = once(agent, 'exit')
await Promise.race([once(agent, 'message'), gone.then(() => Promise.reject(new Error('the node ended')))])

/** How long the calls of the runtime took since the last question. */
async function calls(): Promise<ReadonlyMap<string, readonly number[]>> {
  const answer = once(agent, 'message')
  agent.send('calls')
  const [list] = (await answer) as [readonly (readonly [string, readonly number[]])[]]
  return new Map(list)
}

const MICROSECONDS_A_TICK = 10_000

/** Microseconds of CPU that the node has used (proc_pid_stat(5), behind the name in brackets). */
function cpu(): number {
  const stat = readFileSync(`/proc/${agent.pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * MICROSECONDS_A_TICK
}

/** MB. */
const memory = (): number =>
  Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${agent.pid}/smaps_rollup`, 'utf8'))?.[1] ?? Number.NaN) / 1024

const spec = { containers: [shell('', { command: ['sleep', '100000'] })] }

/** Milliseconds from the create call until a watch shows each pod Running. */
async function startAll(names: readonly string[]): Promise<readonly number[]> {
  const began = new Map<string, number>()
  const took = new Map<string, number>()
  const abort = new AbortController()
  const { resourceVersion } = await n.client.list(Pod, { namespace: 'default' })
  const watching = (async () => {
    for await (const { object } of n.client.watch(Pod, { namespace: 'default', resourceVersion, signal: abort.signal })) {
      const { name } = object.metadata
      if (object.status?.phase === 'Running' && !took.has(name)) took.set(name, performance.now() - (began.get(name) ?? 0))
      if (took.size === names.length) return
    }
  })()
  await Promise.all(
    names.map(async (name) => {
      began.set(name, performance.now())
      await n.run(name, spec)
    }),
  )
  await watching
  abort.abort()
  return [...took.values()]
}

try {
  await startAll(['warm-0'])
  await startAll(['warm-1'])
  await calls()
  const single: number[] = []
  for (let i = 0; i < 15; i++) single.push(...(await startAll([`one-${i}`])))
  const parts = await calls()
  console.log('one pod after another, milliseconds')
  printTable(
    ['part', 'p50', 'p95'],
    [
      ['create call to Running seen', median(single), quantile(single, 0.95)],
      ...['imageStatus', 'runPodSandbox', 'podSandboxStatus', 'createContainer', 'startContainer', 'containerStatus'].map(
        (name) => [`  ${name}`, median(parts.get(name) ?? []), quantile(parts.get(name) ?? [], 0.95)] as const,
      ),
    ],
  )
  for (let i = 0; i < 15; i++) await n.remove(`one-${i}`, 0)
  for (const name of ['warm-0', 'warm-1']) await n.remove(name, 0)
  for (let i = 0; i < 15; i++) await n.gone(`one-${i}`)
  // Pods that are still being stopped count against the node's 110.
  await until(async () => (readdirSync(join(n.s.dir, 'cri', 'sandboxes')).length === 0 ? true : undefined))

  const used = cpu()
  const together = await startAll(Array.from({ length: 110 }, (_, i) => `many-${i}`))
  const slowest = Math.max(...together)
  const each = (cpu() - used) / 1e3 / together.length
  printTable(
    ['110 pods at once', 'ms'],
    [
      ['p50', median(together)],
      ['p99', quantile(together, 0.99)],
      ['last', slowest],
      ['CPU of the node, each', each],
    ],
  )
  await sleep(systemClock, 5_000)
  const before = cpu()
  const seconds = 15
  await sleep(systemClock, seconds * 1000)
  const idle = (cpu() - before) / 1e4 / seconds
  const size = memory()
  printTable(
    ['110 idle pods', ''],
    [
      ['CPU, % of one core', idle],
      ['memory (PSS) of the node, MB', size],
    ],
  )
  printAim({ name: 'one pod, median', wanted: '< 80 ms', measured: `${median(single).toFixed(1)} ms`, met: median(single) < 80 })
  printAim({ name: '110 pods at once', wanted: '< 5 s', measured: `${(slowest / 1000).toFixed(2)} s`, met: slowest < 5_000 })
  printAim({ name: '110 idle pods', wanted: '< 2 % of one core', measured: `${idle.toFixed(2)} %`, met: idle < 2 })
  printAim({ name: 'memory of the node', wanted: '< 150 MB', measured: `${size.toFixed(0)} MB`, met: size < 150 })
} finally {
  if (agent.connected) agent.disconnect()
  await gone
  await n.end()
}
