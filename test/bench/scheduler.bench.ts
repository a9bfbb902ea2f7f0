// Placements per second on 5,000 nodes, in the scheduler alone: plain, required anti-affinity, spread, preemption; and end to end.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Namespace, Node, Pod, ServiceAccount } from '../../src/api/index.js'
import { createClient } from '../../src/client/index.js'
import { createApiServer } from '../../src/controlplane/apiserver/index.js'
import {
  ClusterState,
  defaultProfiles,
  noVolumes,
  type Placer,
  type Profile,
  placer,
  planPreemption,
  podInfo,
  runScheduler,
} from '../../src/controlplane/scheduler/index.js'
import { seededRandom, silentLog, systemClock, systemRandom } from '../../src/lib/index.js'
import { openLmdbStore } from '../../src/store/index.js'
import { signingKey } from '../apiserver/harness.js'
import { as } from '../controllers/plane.js'
import { printAim, printTable, quantile } from './table.js'

const NODES = 5_000
const HOST = 'kubernetes.io/hostname'
const ZONE = 'topology.kubernetes.io/zone'

const node = (index: number, cpu = '32'): Node => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: `node-${index}`, labels: { [HOST]: `node-${index}`, [ZONE]: `zone-${index % 3}` } },
  spec: {},
  status: { allocatable: { cpu, memory: '64Gi', pods: '110' }, conditions: [{ type: 'Ready', status: 'True' }] },
})

let made = 0
function pod(app: string, spec: Partial<NonNullable<Pod['spec']>> = {}, cpu = '100m'): Pod {
  const name = `${app}-${++made}`
  const containers = [{ name: 'main', image: 'pause', resources: { requests: { cpu, memory: '100Mi' } } }]
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', uid: name, labels: { app } },
    spec: { containers, ...spec },
  }
}

const selector = (app: string) => ({ labelSelector: { matchLabels: { app } } })
const apart = (app: string) => ({
  affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ ...selector(app), topologyKey: HOST }] } },
})
const spread = (app: string, topologyKey: string) => ({
  topologySpreadConstraints: [{ ...selector(app), topologyKey, maxSkew: 1, whenUnsatisfiable: 'DoNotSchedule' }],
})

function cluster(cpu?: string): { state: ClusterState; chooser: Placer } {
  const state = new ClusterState()
  for (let index = 0; index < NODES; index++) state.setNode(node(index, cpu))
  const profile = defaultProfiles[0] as Profile
  return { state, chooser: placer({ state, profile, volumes: noVolumes, random: seededRandom(1) }) }
}

interface Figure {
  readonly name: string
  readonly pods: number
  readonly perSecond: number
  readonly p99: number
}

/** Places the pods one after the other, as the loop of the scheduler does. */
function measure(name: string, pods: readonly Pod[], { state, chooser } = cluster()): Figure {
  const times: number[] = []
  const start = performance.now()
  for (const each of pods) {
    const begin = performance.now()
    const info = podInfo(each)
    const found = chooser.place(info)
    if ('failed' in found) throw new Error(`${name}: a pod found no node`)
    state.addPod(info, found.nodeName)
    times.push(performance.now() - begin)
  }
  return { name, pods: pods.length, perSecond: (pods.length * 1000) / (performance.now() - start), p99: quantile(times, 0.99) }
}

/** Every node is full of unimportant pods: each important one has to make room. */
function measurePreemption(): Figure {
  const { state, chooser } = cluster('4')
  for (let index = 0; index < NODES; index++) {
    for (let each = 0; each < 4; each++) state.addPod(podInfo(pod('low', { priority: 0 }, '1')), `node-${index}`)
  }
  const random = seededRandom(2)
  const times: number[] = []
  const start = performance.now()
  const count = 500
  for (let index = 0; index < count; index++) {
    const begin = performance.now()
    const info = podInfo(pod('high', { priority: 1000 }, '2'))
    const failed = chooser.place(info)
    if (!('failed' in failed)) throw new Error('preemption: there was room')
    const plan = planPreemption({
      pod: info,
      state,
      placer: chooser,
      diagnosis: failed.failed,
      budgets: [],
      random,
      nominatedNode: undefined,
    })
    if (!('victims' in plan)) throw new Error('preemption: nobody could leave')
    for (const victim of plan.victims.pods) state.removePod(victim.key)
    const placed = chooser.place(info)
    if ('failed' in placed) throw new Error('preemption: still no room')
    state.addPod(info, placed.nodeName)
    times.push(performance.now() - begin)
  }
  return { name: 'preemption', pods: count, perSecond: (count * 1000) / (performance.now() - start), p99: quantile(times, 0.99) }
}

/** Through the API server and a durable store: pods made, watched, placed, bound. */
async function endToEnd(nodes: number, pods: number): Promise<number> {
  const path = mkdtempSync(join(tmpdir(), 'knarr-bench-scheduler-'))
  const common = { clock: systemClock, random: systemRandom, log: silentLog }
  const store = await openLmdbStore({ path: `${path}/store`, clock: systemClock })
  const api = await createApiServer({ ...common, store, serviceAccounts: { issuer: 'https://bench', signingKey: signingKey() } })
  const client = createClient(as(api.handler, 'admin'))
  const stop = new AbortController()
  const alive = setInterval(() => {}, 1000)
  try {
    if (!(await client.find(Namespace, { name: 'default' })))
      await client.create(Namespace, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } })
    await client.create(ServiceAccount, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: 'default' } })
    await inBatches(nodes, async (index) => {
      const wanted = node(index)
      await client.create(Node, wanted)
      // New nodes are tainted until somebody says that they are ready; no node controller runs here.
      const current = await client.get(Node, { name: wanted.metadata.name })
      await client.update(Node, { ...current, spec: { ...current.spec, taints: [] } })
      await client.updateStatus(Node, { ...(await client.get(Node, { name: wanted.metadata.name })), status: wanted.status })
    })
    await inBatches(pods, async () => {
      const { uid: _, ...metadata } = pod('e2e').metadata
      await client.create(Pod, { ...pod('e2e'), metadata })
    })
    let ready = (): void => {}
    const leading = new Promise<void>((resolve) => {
      ready = resolve
    })
    const running = runScheduler({
      ...common,
      client: createClient(as(api.handler, 'system:kube-scheduler')),
      signal: stop.signal,
      onReady: ready,
    })
    await leading
    const start = performance.now()
    for (;;) {
      const { items } = await client.list(Pod, { namespace: 'default', fieldSelector: 'spec.nodeName=', limit: 1 })
      if (items.length === 0) break
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    const perSecond = (pods * 1000) / (performance.now() - start)
    stop.abort()
    await running
    return perSecond
  } finally {
    stop.abort()
    clearInterval(alive)
    await api.close()
    await store.close()
    rmSync(path, { recursive: true, force: true })
  }
}

async function inBatches(count: number, work: (index: number) => Promise<unknown>): Promise<void> {
  for (let start = 0; start < count; start += 64) {
    await Promise.all(Array.from({ length: Math.min(64, count - start) }, (_, offset) => work(start + offset)))
  }
}

const many = (count: number, make: (index: number) => Pod): Pod[] => Array.from({ length: count }, (_, index) => make(index))
const figures = [
  measure(
    'plain',
    many(30_000, () => pod('plain')),
  ),
  measure(
    'required anti-affinity',
    many(5_000, () => pod('apart', apart('apart'))),
  ),
  measure(
    'anti-affinity, 100 groups',
    many(10_000, (index) => pod(`group-${index % 100}`, apart(`group-${index % 100}`))),
  ),
  measure(
    'spread over hosts',
    many(10_000, () => pod('hosts', spread('hosts', HOST))),
  ),
  measure(
    'spread over zones',
    many(10_000, () => pod('zones', spread('zones', ZONE))),
  ),
  measurePreemption(),
]
printTable(
  ['pods on 5,000 nodes', 'pods', 'pods/s', 'p99 ms'],
  figures.map(({ name, pods, perSecond, p99 }) => [name, String(pods), perSecond, p99]),
)
const bound = await endToEnd(1000, 3000)
printTable(['end to end, durable store', 'pods/s'], [['3,000 pods on 1,000 nodes', bound]])
const aim = (name: string, wanted: number, perSecond: number): void =>
  printAim({ name, wanted: `${wanted} pods/s`, measured: `${Math.round(perSecond)} pods/s`, met: perSecond >= wanted })
aim('scheduler plain', 5000, figures[0]?.perSecond ?? 0)
for (const { name, perSecond } of figures.slice(1, 5)) aim(`scheduler ${name}`, 1000, perSecond)
aim('bound end to end', 2000, bound)
