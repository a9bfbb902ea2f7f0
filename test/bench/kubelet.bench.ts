// How long a pod takes from the API call to Running, one by one and 110 at once, where the time goes, and what 110 idle pods cost.
// API server, kubelet and runtime share this process: memory and CPU are those of all three.
import { Pod } from '../../src/api/index.js'
import type { RunningCri } from '../../src/cri/index.js'
import { sleep, systemClock } from '../../src/lib/index.js'
import { nodeScene, options, shell, until } from '../kubelet/scene.js'
import { median, printAim, printTable, quantile } from './table.js'

if ('skip' in options) {
  console.error(`kubelet: ${options.skip}`)
  process.exit(1)
}

const calls = new Map<string, number[]>()

/** Notes how long each call of the runtime takes. */
const timed = (cri: RunningCri): RunningCri =>
  new Proxy(cri, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name)
      if (typeof member !== 'function' || name === 'getContainerEvents') return member
      return (...args: readonly unknown[]) => {
        const began = performance.now()
        const result: unknown = Reflect.apply(member, target, args)
        if (result instanceof Promise) {
          const note = (): void => {
            const list = calls.get(String(name)) ?? []
            list.push(performance.now() - began)
            calls.set(String(name), list)
          }
          result.then(note, note)
        }
        return result
      }
    },
  })

const n = await nodeScene({}, { watchCri: timed })
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
  calls.clear()
  const single: number[] = []
  for (let i = 0; i < 15; i++) single.push(...(await startAll([`one-${i}`])))
  console.log('one pod after another, milliseconds')
  printTable(
    ['part', 'p50', 'p95'],
    [
      ['create call to Running seen', median(single), quantile(single, 0.95)],
      ...['imageStatus', 'runPodSandbox', 'podSandboxStatus', 'createContainer', 'startContainer', 'containerStatus'].map(
        (name) => [`  ${name}`, median(calls.get(name) ?? []), quantile(calls.get(name) ?? [], 0.95)] as const,
      ),
    ],
  )
  for (let i = 0; i < 15; i++) await n.remove(`one-${i}`, 0)
  for (const name of ['warm-0', 'warm-1']) await n.remove(name, 0)
  for (let i = 0; i < 15; i++) await n.gone(`one-${i}`)
  // Pods that are still being stopped count against the node's 110.
  await until(async () => ((await n.daemon().cri.listPodSandbox()).length === 0 ? true : undefined))

  const together = await startAll(Array.from({ length: 110 }, (_, i) => `many-${i}`))
  const slowest = Math.max(...together)
  printTable(
    ['110 pods at once', 'ms'],
    [
      ['p50', median(together)],
      ['p99', quantile(together, 0.99)],
      ['last', slowest],
    ],
  )
  await sleep(systemClock, 5_000)
  const before = process.cpuUsage()
  const seconds = 15
  await sleep(systemClock, seconds * 1000)
  const { user, system } = process.cpuUsage(before)
  const idle = (user + system) / 1e4 / seconds
  const memory = process.memoryUsage().rss / 2 ** 20
  printTable(
    ['110 idle pods', ''],
    [
      ['CPU, % of one core', idle],
      ['memory of the process, MB', memory],
    ],
  )
  printAim({ name: 'one pod, median', wanted: '< 80 ms', measured: `${median(single).toFixed(1)} ms`, met: median(single) < 80 })
  printAim({ name: '110 pods at once', wanted: '< 5 s', measured: `${(slowest / 1000).toFixed(2)} s`, met: slowest < 5_000 })
  printAim({ name: '110 idle pods', wanted: '< 2 % of one core', measured: `${idle.toFixed(2)} %`, met: idle < 2 })
  printAim({ name: 'agent with its API server', wanted: '< 150 MB', measured: `${memory.toFixed(0)} MB`, met: memory < 150 })
} finally {
  await n.end()
}
