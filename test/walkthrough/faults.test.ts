// Needs root. Faults during a rollout under load: nothing acknowledged is lost, everything converges, Services answer while a ready
// endpoint can be reached, and nothing is left after `reset`. KNARR_FAULTS=1 adds the slow ones (a node must be given up first).
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Machine } from '../machines/machine.js'
import { until } from '../machines/until.js'
import { lines, type Tap } from './chapter.js'
import { createCluster, expectClean, KNARR, type TestCluster, tellLogs } from './cluster.js'
import { importBusybox } from './image.js'
import type { LoadReport } from './load.js'

const REPLICAS = 6
const LOAD = join(import.meta.dirname, 'load.js')

/** No pod is taken away before its successor is ready, and each goes on answering until every node has heard that it will go. */
const web = (version: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: ${REPLICAS}
  strategy: { type: RollingUpdate, rollingUpdate: { maxSurge: ${REPLICAS}, maxUnavailable: 0 } }
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 30
      topologySpreadConstraints: [{ maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: { matchLabels: { app: web } } }]
      tolerations:
      - { key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1 }
      - { key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 1 }
      containers:
      - name: web
        image: bb
        imagePullPolicy: IfNotPresent
        env: [{ name: TEXT, value: "${version}" }]
        command: [web]
        readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1, timeoutSeconds: 5 }
        lifecycle: { preStop: { sleep: { seconds: 15 } } }
`

/** The newest version runs as often as it shall, and nothing else does but what is on its way out (on a lost machine: for good). */
async function converged({ kube }: TestCluster, version: string): Promise<void> {
  const columns = '{.spec.containers[0].env[0].value} {.status.conditions[?(@.type=="Ready")].status} [{.metadata.deletionTimestamp}]'
  await until(`all of ${version}`, async () => {
    const said = await kube('get', 'pods', '-l', 'app=web', '-o', `jsonpath={range .items[*]}${columns}{"\\n"}{end}`)
    const staying = lines(said).filter((line) => line.endsWith('[]'))
    return staying.length === REPLICAS && staying.every((line) => line === `${version} True []`)
  })
}

interface Fault {
  readonly name: string
  /** Only with KNARR_FAULTS=1. */
  readonly slow?: boolean
  /** How often a client tries, two seconds each. */
  readonly tries: number
  /** Machines whose node port is asked. */
  readonly asked: readonly number[]
  strike(cluster: TestCluster): Promise<void>
  heal?(cluster: TestCluster): Promise<void>
}

const kill = (machine: Machine, what: string): Promise<string> => machine.must(['sh', '-c', `kill -9 $(pgrep -f '[m]ain.js ${what}')`])

const faults: readonly Fault[] = [
  { name: 'kill -9 of an agent', tries: 3, asked: [0, 1, 2], strike: async ({ machines }) => void (await kill(machines[1], 'agent')) },
  { name: 'kill -9 of the server', tries: 3, asked: [0, 1, 2], strike: async ({ machines }) => void (await kill(machines[0], 'server')) },
  {
    name: 'kill -9 of server and agent',
    tries: 3,
    asked: [0, 1, 2],
    strike: async ({ machines }) => void (await kill(machines[0], '(server|agent)')),
  },
  {
    name: 'the network cut between two nodes',
    tries: 20,
    asked: [0, 1, 2],
    strike: ({ network, machines }) => network.cut(machines[1], machines[2]),
    heal: ({ network }) => network.heal(),
  },
  {
    name: 'a slow and lossy network to a node',
    tries: 20,
    asked: [0, 1, 2],
    strike: ({ network, machines }) => network.disturb(machines[2], { rateKbit: 2000, lossPercent: 10 }),
    heal: ({ network }) => network.heal(),
  },
  {
    name: 'a node cut off from the server',
    slow: true,
    tries: 20,
    asked: [0, 1],
    strike: async ({ kube, network, machines }) => {
      await network.cut(machines[0], machines[2])
      await until('the node is given up', async () => (await kube('get', 'node', 'three')).includes('NotReady'))
    },
    heal: async ({ kube, network }) => {
      await network.heal()
      await until('the node is back', async () => / Ready /.test(await kube('get', 'node', 'three')))
    },
  },
  { name: 'a machine lost', tries: 20, asked: [0, 1], strike: ({ machines }) => machines[2].powerOff() },
]

/** Writes ConfigMaps one after the other, and notes each that was acknowledged, until the file `stop` appears. */
const WRITER = `i=0; while ! [ -e /mnt/stop ]; do
  kubectl create configmap ack-$$-$i --from-literal=a=b >/dev/null 2>&1 && echo ack-$$-$i >>/mnt/acknowledged
  i=$((i+1))
done`

async function underFault(t: Tap, cluster: TestCluster, fault: Fault, version: string, port: string): Promise<void> {
  const { machines, network, apply, kube } = cluster
  const [one] = machines
  const folder = mkdtempSync(join(tmpdir(), 'knarr-faults-'))
  const stop = join(folder, 'stop')
  await one.must(['rm', '-f', '/mnt/stop'])
  const urls = fault.asked.map((i) => `http://${machines[i]?.address}:${port}/`)
  const load = network.exec([process.execPath, LOAD, stop, String(fault.tries), ...urls], { timeoutMs: 400_000 })
  const writer = one.exec(['sh', '-c', WRITER], { env: { KUBECONFIG: '/etc/knarr/admin.conf', HOME: '/root' }, timeoutMs: 400_000 })
  try {
    await apply(web(version))
    await until('the rollout is on its way', async () =>
      (await kube('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].spec.containers[0].env[0].value}')).includes(version),
    )
    await fault.strike(cluster)
    await until('rolled out', async () => (await cluster.kubectl('rollout', 'status', 'deploy/web', '--timeout=240s')).code === 0, 300)
    await fault.heal?.(cluster)
    await converged(cluster, version)
  } finally {
    writeFileSync(stop, '')
    await one.must(['touch', '/mnt/stop'])
    await writer
    const report = JSON.parse((await load).stdout || '{"answers":{},"retried":0,"lost":["no report"]}') as LoadReport
    rmSync(folder, { recursive: true })
    t.comment(`${fault.name}: ${JSON.stringify({ ...report, lost: report.lost.length })}`)
    t.same(report.lost, [], 'the Service answered all the time')
    t.ok((report.answers[version] ?? 0) > 0, 'the new version was seen')
  }
  const acknowledged = lines(await one.must(['cat', '/mnt/acknowledged']))
  const present = new Set(lines(await kube('get', 'configmaps', '-o', 'name')).map((name) => name.replace('configmap/', '')))
  t.ok(acknowledged.length > 0)
  t.same(
    acknowledged.filter((name) => !present.has(name)),
    [],
    `${acknowledged.length} acknowledged writes are all there`,
  )
}

t.test('faults', { skip: process.getuid?.() === 0 ? false : 'needs root' }, async (t) => {
  const cluster = await createCluster(205)
  t.teardown(() => cluster.destroy())
  const { kube, apply, machines } = cluster
  await kube('apply', '-f', KNARR.replace(/knarr$/, 'addons/pod-network.yaml'))
  await importBusybox(machines)
  await until('three Ready nodes', async () => (await kube('get', 'nodes', '--no-headers')).match(/ Ready /g)?.length === 3)
  await apply(web('v0'))
  await kube('expose', 'deploy', 'web', '--port=80', '--target-port=8080', '--type=NodePort')
  await converged(cluster, 'v0')
  const port = await kube('get', 'service', 'web', '-o', 'jsonpath={.spec.ports[0].nodePort}')
  for (const machine of machines)
    await until(
      `${machine.name} serves`,
      async () => (await cluster.network.exec(['curl', '-sf', '-m', '2', `${machine.address}:${port}`])).code === 0,
    )
  const wanted = faults.filter(({ slow }) => !slow || process.env.KNARR_FAULTS)
  for (const [i, fault] of wanted.entries())
    await t.test(fault.name, (t) => underFault(t as unknown as Tap, cluster, fault, `v${i + 1}`, port))
  for (const machine of machines) {
    if (!existsSync(`/proc/${machine.pid}`)) continue
    await machine.must([KNARR, 'reset'], { timeoutMs: 120_000 })
    await expectClean(t as unknown as Tap, machine)
  }
  if (!t.passing()) await tellLogs(t as unknown as Tap, cluster)
})
