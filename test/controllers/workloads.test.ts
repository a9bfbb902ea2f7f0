// Workloads through API server, controllers and scheduler onto hollow nodes.
import t from 'tap'
import {
  ConfigMap,
  DaemonSet,
  Deployment,
  EndpointSlice,
  Event,
  Job,
  Namespace,
  Pod,
  ReplicaSet,
  Service,
  ServiceAccount,
  StatefulSet,
} from '../../src/api/index.js'
import { EXIT_AFTER_MS } from '../hollow/hollow-nodes.js'
import { startPlane, until } from './plane.js'

const namespace = 'default'
const labels = (app: string) => ({ app })
const template = (app: string, image = 'nginx:1') => ({
  metadata: { labels: labels(app) },
  spec: { containers: [{ name: 'main', image }] },
})

t.setTimeout(300_000)

t.test('workloads', { timeout: 300_000 }, async (t) => {
  const { client } = await startPlane(t)

  await t.test('every namespace gets its service account and root certificate', async (t) => {
    await until('service account', () => client.find(ServiceAccount, { namespace, name: 'default' }))
    const map = await until('root certificate', () => client.find(ConfigMap, { namespace, name: 'kube-root-ca.crt' }))
    t.equal(map.data?.['ca.crt'], 'CA')
  })

  await t.test('a deployment runs, rolls and is deleted with all that is its own', async (t) => {
    const name = 'web'
    await client.create(Deployment, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace },
      spec: { replicas: 3, selector: { matchLabels: labels(name) }, template: template(name) },
    })
    const ready = await until('three available', async () => {
      const found = await client.get(Deployment, { namespace, name })
      return (
        found.status?.availableReplicas === 3 && found.status.conditions?.some((each) => each.reason === 'NewReplicaSetAvailable') && found
      )
    })
    t.equal(ready.metadata.annotations?.['deployment.kubernetes.io/revision'], '1')
    const [first] = (await client.list(ReplicaSet, { namespace })).items
    t.match(first?.metadata.name, /^web-[bcdfghjklmnpqrstvwxz2456789]+$/)
    await client.patch(
      Deployment,
      { namespace, name },
      { spec: { template: { spec: { containers: [{ name: 'main', image: 'nginx:2' }] } } } },
      { type: 'strategic' },
    )
    await until('rolled', async () => {
      const found = await client.get(Deployment, { namespace, name })
      const { status } = found
      return (
        status?.updatedReplicas === 3 &&
        status.replicas === 3 &&
        status.availableReplicas === 3 &&
        status.observedGeneration === found.metadata.generation
      )
    })
    t.equal((await client.get(Deployment, { namespace, name })).metadata.annotations?.['deployment.kubernetes.io/revision'], '2')
    const events = (await client.list(Event, { namespace })).items.filter(
      (each) => each.involvedObject.name === name && each.reason === 'ScalingReplicaSet',
    )
    t.ok(events.some((each) => each.message === `Scaled up replica set ${first?.metadata.name} from 0 to 3`))
    t.ok(events.some((each) => each.message === `Scaled down replica set ${first?.metadata.name} from 1 to 0`))
    await client.delete(Deployment, { namespace, name }, { propagationPolicy: 'Foreground' })
    await until('everything gone', async () => {
      const sets = (await client.list(ReplicaSet, { namespace })).items
      const pods = (await client.list(Pod, { namespace, labelSelector: 'app=web' })).items
      return sets.length === 0 && pods.length === 0 && (await client.find(Deployment, { namespace, name })) === undefined
    })
  })

  await t.test('a stateful set starts and stops in order', async (t) => {
    const name = 'db'
    await client.create(StatefulSet, {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name, namespace },
      spec: { replicas: 3, serviceName: name, selector: { matchLabels: labels(name) }, template: template(name) },
    })
    await until('three ready', async () => (await client.get(StatefulSet, { namespace, name })).status?.readyReplicas === 3)
    const pods = (await client.list(Pod, { namespace, labelSelector: 'app=db' })).items
    t.same(pods.map((pod) => pod.metadata.name).sort(), ['db-0', 'db-1', 'db-2'])
    const version = (pod: Pod | undefined) => Date.parse(pod?.metadata.creationTimestamp ?? '')
    const by = new Map(pods.map((pod) => [pod.metadata.name, pod]))
    t.ok(version(by.get('db-0')) <= version(by.get('db-1')) && version(by.get('db-1')) <= version(by.get('db-2')))
    await client.patch(StatefulSet, { namespace, name }, { spec: { replicas: 1 } }, { type: 'merge' })
    await until('one left', async () => (await client.list(Pod, { namespace, labelSelector: 'app=db' })).items.length === 1)
    t.ok(await client.find(Pod, { namespace, name: 'db-0' }))
    await client.delete(StatefulSet, { namespace, name })
  })

  await t.test('a daemon on every node', async (t) => {
    const name = 'agent'
    await client.create(DaemonSet, {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name, namespace },
      spec: { selector: { matchLabels: labels(name) }, template: template(name) },
    })
    await until('three ready', async () => (await client.get(DaemonSet, { namespace, name })).status?.numberReady === 3)
    const pods = (await client.list(Pod, { namespace, labelSelector: 'app=agent' })).items
    t.same(pods.map((pod) => pod.spec?.nodeName).sort(), ['node-1', 'node-2', 'node-3'])
    await client.delete(DaemonSet, { namespace, name })
  })

  await t.test('a job completes and its pods are let go', async (t) => {
    const name = 'work'
    await client.create(Job, {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name, namespace },
      spec: {
        completions: 3,
        parallelism: 2,
        completionMode: 'Indexed',
        template: {
          metadata: { annotations: { [EXIT_AFTER_MS]: '20' } },
          spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'busybox' }] },
        },
      },
    })
    const job = await until('complete', async () => {
      const found = await client.get(Job, { namespace, name })
      return found.status?.conditions?.some((each) => each.type === 'Complete' && each.status === 'True') && found
    })
    t.equal(job.status?.completedIndexes, '0-2')
    t.equal(job.status?.succeeded, 3)
    const pods = (await client.list(Pod, { namespace, labelSelector: `job-name=${name}` })).items
    t.equal(pods.length, 3)
    t.ok(pods.every((pod) => (pod.metadata.finalizers ?? []).length === 0))
  })

  await t.test('endpoints follow the pods', async (t) => {
    const name = 'api'
    await client.create(Service, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace },
      spec: { selector: labels(name), ports: [{ port: 80, targetPort: 8080 }] },
    })
    await client.create(Deployment, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace },
      spec: { replicas: 2, selector: { matchLabels: labels(name) }, template: template(name) },
    })
    const slice = await until('two endpoints', async () => {
      const { items } = await client.list(EndpointSlice, { namespace, labelSelector: `kubernetes.io/service-name=${name}` })
      return items.length === 1 && items[0]?.endpoints?.filter((each) => each.conditions?.ready).length === 2 && items[0]
    })
    t.match(slice.ports, [{ port: 8080, protocol: 'TCP' }])
  })

  await t.test('a namespace goes with everything in it', async (t) => {
    await client.create(Namespace, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'gone' } })
    await until('service account', () => client.find(ServiceAccount, { namespace: 'gone', name: 'default' }))
    await client.create(Deployment, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'x', namespace: 'gone' },
      spec: { replicas: 2, selector: { matchLabels: labels('x') }, template: template('x') },
    })
    await until('running', async () => (await client.get(Deployment, { namespace: 'gone', name: 'x' })).status?.availableReplicas === 2)
    await client.delete(Namespace, { name: 'gone' })
    await until('gone', async () => (await client.find(Namespace, { name: 'gone' })) === undefined)
    t.equal((await client.list(Pod, { namespace: 'gone' })).items.length, 0)
  })
})
