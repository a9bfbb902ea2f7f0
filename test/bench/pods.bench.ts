// Pods: sandbox plus one container, from the call to running, one at a time and 50 at once; against containerd's CRI on the
// same machine, with the same image and Debian's CNI plugins. Needs root. Throughput between pods is in `network.bench`.
import type { PodSandboxConfig } from '../../src/cri/index.js'
import { criClient } from '../cri/client.js'
import { hasContainerd, startContainerd } from '../cri/containerd.js'
import { IMAGE, type Scene, scene } from '../cri/scene.js'
import { median, printAim, printTable, quantile } from './table.js'

const ONE_BY_ONE = 30
const AT_ONCE = 50

/** What both runtimes can do: the steps of one pod. */
interface Pods {
  sandbox(config: PodSandboxConfig): Promise<string>
  container(podSandboxId: string, config: PodSandboxConfig): Promise<void>
  remove(podSandboxId: string): Promise<void>
}

const container = { metadata: { name: 'main' }, image: { image: IMAGE }, command: ['sleep', '1000'], logPath: 'main.log' }

async function measure(pods: Pods, s: Scene, prefix: string): Promise<{ single: number[]; sandbox: number[]; together: number }> {
  const single: number[] = []
  const sandbox: number[] = []
  const one = async (name: string): Promise<string> => {
    const config = s.pod(name)
    const started = performance.now()
    const id = await pods.sandbox(config)
    sandbox.push(performance.now() - started)
    await pods.container(id, config)
    single.push(performance.now() - started)
    return id
  }
  for (let i = 0; i < ONE_BY_ONE; i++) await pods.remove(await one(`${prefix}-${i}`))
  const started = performance.now()
  const ids = await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => one(`${prefix}-many-${i}`)))
  const together = performance.now() - started
  for (const id of ids) await pods.remove(id)
  return { single: single.slice(2, ONE_BY_ONE), sandbox: sandbox.slice(2, ONE_BY_ONE), together }
}

/** containerd with the same image; undefined where it is not installed. */
async function containerd(s: Scene): Promise<{ readonly pods: Pods; end(): Promise<void> } | undefined> {
  if (!hasContainerd) return undefined
  const peer = await startContainerd(s)
  const client = criClient(peer.socket)
  return {
    pods: {
      sandbox: async (config) => (await client.call('RunPodSandbox', { config })).podSandboxId as string,
      async container(podSandboxId, sandboxConfig) {
        const { containerId } = await client.call('CreateContainer', { podSandboxId, config: container, sandboxConfig })
        await client.call('StartContainer', { containerId })
      },
      async remove(podSandboxId) {
        await client.call('StopPodSandbox', { podSandboxId })
        await client.call('RemovePodSandbox', { podSandboxId })
      },
    },
    async end() {
      client.close()
      await peer.end()
    },
  }
}

const s = await scene()
const daemon = await s.open()
const ours: Pods = {
  sandbox: async (config) => (await daemon.cri.runPodSandbox({ config })).podSandboxId,
  async container(podSandboxId, sandboxConfig) {
    const { containerId } = await daemon.cri.createContainer({ podSandboxId, config: container, sandboxConfig })
    await daemon.cri.startContainer(containerId)
  },
  remove: (id) => daemon.cri.removePodSandbox(id),
}
const results: { name: string; single: number[]; sandbox: number[]; together: number }[] = []
results.push({ name: 'knarr', ...(await measure(ours, s, 'ours')) })
const peer = process.env.KNARR_BENCH_PEERS === '0' ? undefined : await containerd(s)
if (peer) {
  try {
    results.push({ name: 'containerd CRI + runc', ...(await measure(peer.pods, s, 'peer')) })
  } finally {
    await peer.end()
  }
}
daemon.close()
await s.end()

printTable(
  ['runtime', 'sandbox p50 ms', 'pod running p50 ms', 'p95 ms', `${AT_ONCE} at once ms`],
  results.map(({ name, single, sandbox, together }) => [name, median(sandbox), median(single), quantile(single, 0.95), together]),
)
const [mine] = results
if (mine) {
  const p50 = median(mine.single)
  printAim({ name: 'pod running (median)', wanted: 'under 30 ms', measured: `${p50.toFixed(1)} ms`, met: p50 < 30 })
  printAim({
    name: `${AT_ONCE} pods at once`,
    wanted: 'under 1500 ms',
    measured: `${mine.together.toFixed(0)} ms`,
    met: mine.together < 1500,
  })
}
