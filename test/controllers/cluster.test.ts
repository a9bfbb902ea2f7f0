// Volumes, owners, priorities, gates and bad input through API server, controllers and scheduler.
import t from 'tap'
import {
  Deployment,
  Event,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  ReplicaSet,
  ServiceAccount,
  StorageClass,
} from '../../src/api/index.js'
import { UNREADY } from '../hollow/hollow-nodes.js'
import { startPlane, until } from './plane.js'

t.setTimeout(300_000)

const namespace = 'default'
const pod = (name: string, spec: Partial<NonNullable<Pod['spec']>> = {}, metadata: Partial<Pod['metadata']> = {}): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, ...metadata },
  spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: 'busybox' }], ...spec },
})
const cpu = (amount: string): Partial<NonNullable<Pod['spec']>> => ({
  containers: [{ name: 'main', image: 'busybox', resources: { requests: { cpu: amount } } }],
})

t.test('the rest of the cluster', { timeout: 300_000 }, async (t) => {
  const { client } = await startPlane(t, { nodes: 2, hollow: { allocatable: { cpu: '4', memory: '8Gi', pods: '20' } } })
  await until('service account', () => client.find(ServiceAccount, { namespace, name: 'default' }))
  const running = (name: string) =>
    until(`${name} runs`, async () => (await client.find(Pod, { namespace, name }))?.status?.phase === 'Running')
  const gone = (name: string) => until(`${name} is gone`, async () => (await client.find(Pod, { namespace, name })) === undefined)

  await t.test('a claim of the class standard gets its volume where its pod goes', async (t) => {
    await until('class', () => client.find(StorageClass, { name: 'standard' }))
    await client.create(PersistentVolumeClaim, {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'data', namespace },
      spec: { storageClassName: 'standard', accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    })
    await client.create(Pod, pod('writer', { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'data' } }] }))
    await running('writer')
    const claim = await client.get(PersistentVolumeClaim, { namespace, name: 'data' })
    t.equal(claim.status?.phase, 'Bound')
    const volume = await client.get(PersistentVolume, { name: claim.spec?.volumeName ?? '' })
    const node = (await client.get(Pod, { namespace, name: 'writer' })).spec?.nodeName
    t.match(JSON.stringify(volume.spec?.nodeAffinity), `"${node}"`)
    await client.delete(PersistentVolumeClaim, { namespace, name: 'data' })
    t.ok(await client.find(PersistentVolumeClaim, { namespace, name: 'data' }), 'stays while a pod uses it')
    await client.delete(Pod, { namespace, name: 'writer' })
    await until('claim and volume gone', async () => (await client.list(PersistentVolume)).items.length === 0)
    t.equal(await client.find(PersistentVolumeClaim, { namespace, name: 'data' }), undefined)
  })

  await t.test('owners in a circle do not keep each other', async (t) => {
    const own = async (owner: string, of: string): Promise<void> => {
      const { uid } = (await client.get(Pod, { namespace, name: owner })).metadata
      const reference = { apiVersion: 'v1', kind: 'Pod', name: owner, uid, blockOwnerDeletion: true }
      await client.patch(Pod, { namespace, name: of }, { metadata: { ownerReferences: [reference] } }, { type: 'merge' })
    }
    for (const name of ['a', 'b', 'c']) await client.create(Pod, pod(name))
    await own('c', 'a')
    await own('a', 'b')
    await own('b', 'c')
    await client.delete(Pod, { namespace, name: 'a' }, { propagationPolicy: 'Foreground' })
    for (const name of ['a', 'b', 'c']) await gone(name)
    const left = (await client.list(Pod, { namespace })).items.map((each) => each.metadata.name)
    t.same(left, [], 'all three are gone')
  })

  await t.test('orphans stay, and are found again', async (t) => {
    const deployment: Deployment = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'left', namespace },
      spec: {
        replicas: 1,
        selector: { matchLabels: { app: 'left' } },
        template: { metadata: { labels: { app: 'left' } }, spec: { containers: [{ name: 'main', image: 'x' }] } },
      },
    }
    const available = () =>
      until('available', async () => (await client.find(Deployment, { namespace, name: 'left' }))?.status?.availableReplicas === 1)
    await client.create(Deployment, deployment)
    await available()
    const [before] = (await client.list(ReplicaSet, { namespace })).items
    await client.delete(Deployment, { namespace, name: 'left' }, { propagationPolicy: 'Orphan' })
    await until('deployment gone', async () => (await client.find(Deployment, { namespace, name: 'left' })) === undefined)
    t.equal((await client.get(ReplicaSet, { namespace, name: before?.metadata.name ?? '' })).metadata.ownerReferences, undefined)
    await client.create(Deployment, deployment)
    await available()
    const after = (await client.list(ReplicaSet, { namespace })).items
    t.same(
      after.map((set) => set.metadata.uid),
      [before?.metadata.uid],
    )
    await client.delete(Deployment, { namespace, name: 'left' })
    await until('pods gone', async () => (await client.list(Pod, { namespace, labelSelector: 'app=left' })).items.length === 0)
  })

  await t.test('important pods make room, and say so', async (t) => {
    for (const name of ['low-1', 'low-2']) await client.create(Pod, pod(name, cpu('3')))
    await running('low-1')
    await running('low-2')
    await client.create(Pod, pod('high', { ...cpu('3'), priorityClassName: 'system-cluster-critical' }))
    await running('high')
    const left = (await client.list(Pod, { namespace, labelSelector: '' })).items.map((each) => each.metadata.name)
    t.equal(left.filter((name) => name.startsWith('low-')).length, 1)
    const preempted = await until('event', async () =>
      (await client.list(Event, { namespace })).items.find((each) => each.reason === 'Preempted'),
    )
    t.match(preempted.message, /^Preempted by pod \S+ on node node-\d$/)
    for (const name of left) await client.delete(Pod, { namespace, name }, { gracePeriodSeconds: 0 })
  })

  await t.test('gated pods wait, and go when the gate is taken away', async (t) => {
    await client.create(Pod, pod('gated', { schedulingGates: [{ name: 'example.com/wait' }] }))
    const waiting = await until('condition', async () => {
      const found = await client.get(Pod, { namespace, name: 'gated' })
      return found.status?.conditions?.find((each) => each.type === 'PodScheduled')
    })
    t.match(waiting, { status: 'False', reason: 'SchedulingGated' })
    await client.patch(Pod, { namespace, name: 'gated' }, { spec: { schedulingGates: null } }, { type: 'merge' })
    await running('gated')
  })

  await t.test('a rollout that is changed by hand in the middle ends where it should', async (t) => {
    const name = 'stuck'
    const template = (image: string, annotations: Record<string, string> = {}) => ({
      metadata: { labels: { app: name }, annotations },
      spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image }] },
    })
    await client.create(Deployment, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace },
      spec: { replicas: 3, selector: { matchLabels: { app: name } }, template: template('one') },
    })
    const settled = (replicas: number) =>
      until('settled', async () => {
        const { status, metadata } = await client.get(Deployment, { namespace, name })
        const counts = [status?.replicas, status?.updatedReplicas, status?.availableReplicas]
        return status?.observedGeneration === metadata.generation && counts.every((count) => count === replicas)
      })
    await settled(3)
    // The new pods never become ready; meanwhile someone scales both sets and kills a pod.
    await client.patch(Deployment, { namespace, name }, { spec: { template: template('two', { [UNREADY]: '' }) } }, { type: 'merge' })
    const sets = await until('two sets', async () => {
      const { items } = await client.list(ReplicaSet, { namespace, labelSelector: `app=${name}` })
      return items.length === 2 && items
    })
    for (const set of sets) await client.patch(ReplicaSet, set.metadata, { spec: { replicas: 4 } }, { type: 'merge' })
    const [victim] = (await client.list(Pod, { namespace, labelSelector: `app=${name}` })).items
    if (victim) await client.delete(Pod, victim.metadata)
    await client.patch(
      Deployment,
      { namespace, name },
      { spec: { replicas: 2, template: template('three', { [UNREADY]: null as never }) } },
      { type: 'merge' },
    )
    await settled(2)
    const pods = (await client.list(Pod, { namespace, labelSelector: `app=${name}` })).items.filter(
      (each) => !each.metadata.deletionTimestamp,
    )
    t.same(
      pods.map((each) => each.spec?.containers[0]?.image),
      ['three', 'three'],
    )
  })
})
