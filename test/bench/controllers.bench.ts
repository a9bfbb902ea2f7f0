// A Deployment of 10,000 pods on simulated nodes: scaled up, rolled, deleted. Time and API calls a pod.

import { setMaxListeners } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Deployment, Namespace, Pod } from '../../src/api/index.js'
import { createClient, informer } from '../../src/client/index.js'
import { createApiServer } from '../../src/controlplane/apiserver/index.js'
import { runControllers } from '../../src/controlplane/controllers/index.js'
import { runScheduler } from '../../src/controlplane/scheduler/index.js'
import { type HttpHandler, seededRandom, silentLog, systemClock, systemRandom } from '../../src/lib/index.js'
import { openLmdbStore } from '../../src/store/index.js'
import { signingKey } from '../apiserver/harness.js'
import { as } from '../controllers/plane.js'
import { hollowNodes } from '../hollow/hollow-nodes.js'
import { printAim, printTable } from './table.js'

const PODS = Number(process.env.KNARR_BENCH_PODS ?? 10_000)
const NODES = Math.ceil(PODS / 90)
const path = mkdtempSync(join(tmpdir(), 'knarr-bench-controllers-'))
const common = { clock: systemClock, random: systemRandom, log: silentLog }
const store = await openLmdbStore({ path: `${path}/store`, clock: systemClock })
const api = await createApiServer({ ...common, store, serviceAccounts: { issuer: 'https://bench', signingKey: signingKey() } })
const stop = new AbortController()
setMaxListeners(0, stop.signal)
const alive = setInterval(() => {}, 1000)

const calls = { controllers: 0, events: 0, scheduler: 0 }
const counted =
  (handler: HttpHandler, who: 'controllers' | 'scheduler'): HttpHandler =>
  (request) => {
    if (request.url.includes('/events')) calls.events++
    else calls[who]++
    return handler(request)
  }

const client = createClient(as(api.handler, 'admin'))
for (const name of ['kube-system', 'kube-node-lease', 'default']) {
  if (!(await client.find(Namespace, { name }))) await client.create(Namespace, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
}
const { signal } = stop
const names = Array.from({ length: NODES }, (_, index) => `node-${index}`)
const nodes = hollowNodes({
  ...common,
  client,
  random: seededRandom(3),
  signal,
  nodes: names,
  startMs: [1, 20],
  stopMs: [1, 20],
  heartbeatMs: 30_000,
})
const running = [
  runControllers({ ...common, client: createClient(counted(as(api.handler, 'kcm'), 'controllers')), signal, options: { rootCa: 'CA' } }),
  runScheduler({ ...common, client: createClient(counted(as(api.handler, 'ks'), 'scheduler')), signal }),
]
await nodes.registered
const pods = informer(client, Pod, common)
running.push(pods.run(signal), nodes.stopped)

const key = { namespace: 'default', name: 'web' }
const rows: (string | number)[][] = []
async function phase(name: string, act: () => Promise<unknown>, done: () => Promise<boolean>): Promise<void> {
  const before = { ...calls }
  const start = performance.now()
  await act()
  while (!(await done())) await new Promise((resolve) => setTimeout(resolve, 50))
  const seconds = (performance.now() - start) / 1000
  rows.push([
    name,
    seconds,
    PODS / seconds,
    (calls.controllers - before.controllers) / PODS,
    (calls.scheduler - before.scheduler) / PODS,
    (calls.events - before.events) / PODS,
  ])
}
const complete = async (): Promise<boolean> => {
  const { status, metadata } = await client.get(Deployment, key)
  return (
    status?.observedGeneration === metadata.generation &&
    status?.availableReplicas === PODS &&
    status.updatedReplicas === PODS &&
    status.replicas === PODS
  )
}
const template = (image: string) => ({
  metadata: { labels: { app: 'web' } },
  spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image, resources: { requests: { cpu: '10m' } } }] },
})
try {
  await phase(
    'scale up',
    () =>
      client.create(Deployment, {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: key,
        spec: { replicas: PODS, selector: { matchLabels: { app: 'web' } }, template: template('a') },
      }),
    complete,
  )
  await phase('roll', () => client.patch(Deployment, key, { spec: { template: template('b') } }, { type: 'merge' }), complete)
  await phase(
    'delete',
    () => client.delete(Deployment, key, { propagationPolicy: 'Background' }),
    async () => pods.size === 0,
  )
  printTable(['phase', 'seconds', 'pods/s', 'controller calls/pod', 'scheduler calls/pod', 'event calls/pod'], rows)
  const [up, roll] = rows as [number[], number[]]
  printAim({
    name: `deployment of ${PODS} pods up`,
    wanted: '3 controller calls/pod',
    measured: `${up[3]?.toFixed(2)}`,
    met: (up[3] ?? 9) <= 3,
  })
  printAim({
    name: `deployment of ${PODS} pods rolled`,
    wanted: '4 controller calls/pod',
    measured: `${roll[3]?.toFixed(2)}`,
    met: (roll[3] ?? 9) <= 4,
  })
} finally {
  stop.abort()
  await Promise.all(running)
  clearInterval(alive)
  await api.close()
  await store.close()
  rmSync(path, { recursive: true, force: true })
}
