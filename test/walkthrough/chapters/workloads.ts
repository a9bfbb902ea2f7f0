// ReplicationController, ReplicaSet, Deployment: healed, scaled in every way, rolled, undone.
import { until } from '../../machines/until.js'
import { type Chapter, lines, type Tap, webTemplate } from '../chapter.js'
import type { TestCluster } from '../cluster.js'

const controller = (kind: 'ReplicationController' | 'ReplicaSet', replicas: number): string => `
apiVersion: ${kind === 'ReplicaSet' ? 'apps/v1' : 'v1'}
kind: ${kind}
metadata: { name: kept }
spec:
  replicas: ${replicas}
  selector: ${kind === 'ReplicaSet' ? '{ matchLabels: { app: kept } }' : '{ app: kept }'}
  template:
    metadata: { labels: { app: kept } }
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{ name: c, image: bb, imagePullPolicy: IfNotPresent, command: [sleep, '1000'] }]
`

async function replicas(t: Tap, cluster: TestCluster, kind: 'ReplicationController' | 'ReplicaSet', short: 'rc' | 'rs'): Promise<void> {
  const { kube, apply, kubectlWith } = cluster
  const pods = async (): Promise<string[]> =>
    lines(await kube('get', 'pods', '-l', 'app=kept', '--field-selector=status.phase=Running', '-o', 'name'))
  const are = (count: number): Promise<string[]> =>
    until(`${count} pods of the ${kind}`, async () => {
      const now = await pods()
      return now.length === count && / (\d+) +\1 +\1 /.test(await kube('get', short, 'kept', '--no-headers')) && now
    })
  await apply(controller(kind, 2))
  const [victim = ''] = await are(2)
  await kube('delete', victim, '--now')
  const healed = await are(2)
  t.notOk(healed.includes(victim), 'another pod has taken the place of the deleted one')
  t.equal(
    (await kubectlWith(controller(kind, 3), 'replace', '-f', '-')).stdout.trim(),
    `${kind.toLowerCase()}${kind === 'ReplicaSet' ? '.apps' : ''}/kept replaced`,
  )
  await are(3)
  t.match((await kubectlWith(controller(kind, 3), 'scale', '-f', '-', '--replicas=1')).stdout, /kept scaled/)
  await are(1)
  await kube('scale', short, 'kept', '--replicas=2')
  const [taken = ''] = await are(2)
  // A pod whose label is changed belongs to nobody, and is replaced.
  await kube('label', taken, 'app=free', '--overwrite')
  await are(2)
  t.match(await kube('get', 'pods', '-l', 'app in (free)', '--show-labels'), /app=free/)
  await kube('delete', short, 'kept')
  await kube('delete', taken, '--now')
}

export const controllers: Chapter = async (t, cluster) => {
  await replicas(t, cluster, 'ReplicationController', 'rc')
  await replicas(t, cluster, 'ReplicaSet', 'rs')
}

export const web = (replicas: number, text: string, strategy = 'RollingUpdate'): string => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: ${replicas}
  strategy: { type: ${strategy}${strategy === 'Recreate' ? ', rollingUpdate: null' : ''} }
  selector: { matchLabels: { app: web } }
  template:
${webTemplate(text, 4)}
`

export const deployment: Chapter = async (t, { kube, apply, kubectlWith, machines }) => {
  const [one] = machines
  const rolled = (): Promise<string> => kube('rollout', 'status', 'deploy/web', '--timeout=300s')
  await one.must(['sh', '-c', 'cat > /mnt/web.yaml'], { input: web(3, 'v1') })
  await kube('create', '-f', '/mnt/web.yaml', '--record')
  t.match(
    await rolled(),
    /(Waiting for deployment "web" rollout to finish: \d of 3 updated replicas are available\.\.\.\n)*deployment "web" successfully rolled out/,
  )
  const all = await kube('get', 'all')
  for (const row of [
    /pod\/web-\w+-\w+ +1\/1 +Running/,
    /service\/kubernetes/,
    /deployment\.apps\/web +3\/3 +3 +3/,
    /replicaset\.apps\/web-\w+ +3 +3 +3/,
  ])
    t.match(all, row)
  const [victim = ''] = lines(await kube('get', 'pods', '-l', 'app=web', '-o', 'name'))
  await kube('delete', victim, '--now')
  await until('healed', async () => (await kube('get', 'deploy', 'web', '--no-headers')).includes('3/3'))
  await kube('scale', 'deploy/web', '--replicas=5')
  await rolled()

  await apply(web(5, 'v2'))
  const told = rolled()
  await kube('annotate', 'deploy/web', 'kubernetes.io/change-cause=second version')
  const waiting = lines(await told).slice(0, -1)
  t.ok(waiting.length > 0, 'status waits, and says for what')
  for (const line of waiting)
    t.match(
      line,
      /^Waiting for deployment "web" rollout to finish: (\d out of 5 new replicas have been updated|\d old replicas are pending termination|\d of 5 updated replicas are available)\.\.\.$|^Waiting for deployment spec update to be observed\.\.\.$/,
    )
  t.match(
    await kube('rollout', 'history', 'deploy/web'),
    /REVISION +CHANGE-CAUSE\n1 +kubectl create --filename=\/mnt\/web\.yaml --record=true\n2 +second version/,
  )
  t.match(
    await kube('describe', 'deploy', 'web'),
    /ScalingReplicaSet[\s\S]*Scaled up replica set web-\w+ from 0 to 3[\s\S]*Scaled down replica set web-\w+ from \d to \d/,
  )
  t.match(await kube('rollout', 'undo', 'deploy/web'), /rolled back/)
  await rolled()
  t.equal((await kube('get', 'deploy', 'web', '-o', 'jsonpath={.spec.template.spec.containers[0].env[0].value}')).trim(), 'v1')
  await kube('set', 'image', 'deploy/web', 'web=docker.io/library/bb:latest')
  await rolled()
  t.match(await kube('rollout', 'history', 'deploy/web', '--revision=4'), /Image:\s+docker\.io\/library\/bb:latest/)
  await kube('rollout', 'undo', 'deploy/web', '--to-revision=3')
  await rolled()

  // Recreate: no new pod before the last old one has gone.
  const five = async (): Promise<boolean> => lines(await kube('get', 'pods', '-l', 'app=web', '-o', 'name')).length === 5
  await until('the old pods are gone', five)
  const columns = 'custom-columns=:type,:object.spec.containers[0].env[0].value'
  const watching = `KUBECONFIG=/etc/knarr/admin.conf exec kubectl get pods -l app=web --watch --output-watch-events --no-headers -o '${columns}' >/mnt/recreated`
  const watch = one.spawn(['sh', '-c', watching])
  const seen = async (): Promise<string[]> => lines(await one.must(['cat', '/mnt/recreated'])).map((line) => line.replace(/ +/, ' '))
  const are = async (line: string): Promise<boolean> => (await seen()).filter((each) => each === line).length === 5
  await until('the watch is open', () => are('ADDED v1'))
  await apply(web(5, 'v3', 'Recreate'))
  await rolled()
  await until('the watch has seen them', () => are('ADDED v3'))
  watch.kill()
  await one.exec(['pkill', '-f', 'get pods -l app=web --watch'])
  const order = await seen()
  t.ok(order.lastIndexOf('DELETED v1') < order.indexOf('ADDED v3'), order.join(', '))
  t.equal(order.filter((line) => line === 'DELETED v1').length, 5)
  await apply(web(5, 'v1'))
  await rolled()
  t.match(await kube('get', 'deploy', 'web', '-o', 'jsonpath={.spec.strategy.type}'), /RollingUpdate/)
  t.equal((await kubectlWith(web(5, 'v1'), 'diff', '-f', '-')).code, 0, 'what is there is what was applied')
  await until('the old pods are gone', five)
}
