// StatefulSets in virtual time: ordinals, partitions, OnDelete, patience, what may be missing, how much history stays.
import t from 'tap'
import { ControllerRevision, Pod, StatefulSet } from '../../src/api/index.js'
import { UNREADY } from '../hollow/hollow-nodes.js'
import { type VirtualPlane, virtualPlane } from './virtual-plane.js'

t.setTimeout(300_000)

const namespace = 'default'
const START = Date.UTC(2026, 0, 1)
const ONLY = ['serviceaccount', 'statefulset', 'garbagecollector', 'nodelifecycle']
const template = (name: string, image: string, annotations: Record<string, string> = {}) => ({
  metadata: { labels: { app: name }, annotations },
  spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image }] },
})

async function world(t: Parameters<typeof virtualPlane>[0], startMs: readonly [number, number] = [1000, 1000]) {
  const plane: VirtualPlane = await virtualPlane(t, { start: START, only: ONLY, hollow: { startMs, heartbeatMs: 30_000 } })
  const { client, until } = plane
  const make = (name: string, spec: Record<string, unknown> = {}) =>
    until('made', () =>
      client.create(StatefulSet, {
        apiVersion: 'apps/v1',
        kind: 'StatefulSet',
        metadata: { name, namespace },
        spec: { replicas: 3, serviceName: name, selector: { matchLabels: { app: name } }, template: template(name, 'one'), ...spec },
      }),
    )
  const get = (name: string) => client.get(StatefulSet, { namespace, name })
  const patch = (name: string, spec: unknown) => client.patch(StatefulSet, { namespace, name }, { spec }, { type: 'merge' })
  const pods = async (name: string) =>
    [...(await client.list(Pod, { namespace, labelSelector: `app=${name}` })).items].sort((a, b) =>
      a.metadata.name < b.metadata.name ? -1 : 1,
    )
  /** `db-0 one`, in order; pods on their way out in brackets. */
  const shown = async (name: string) =>
    (await pods(name)).map((pod) => {
      const text = `${pod.metadata.name.slice(name.length + 1)} ${pod.spec?.containers[0]?.image}`
      return pod.metadata.deletionTimestamp ? `(${text})` : text
    })
  const isReady = (pod: Pod) => pod.status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True')
  const ready = (name: string, count: number) =>
    until(`${count} of ${name} ready`, async () => (await get(name)).status?.readyReplicas === count && (await pods(name)).every(isReady))
  return { ...plane, make, get, patch, pods, shown, ready, isReady }
}

t.test('ordinals begin where they are told to', async (t) => {
  const { make, patch, shown, ready, pods, until } = await world(t)
  await make('db', { replicas: 2, ordinals: { start: 5 } })
  await ready('db', 2)
  t.same(await shown('db'), ['5 one', '6 one'])
  t.match((await pods('db'))[0]?.metadata.labels, {
    'apps.kubernetes.io/pod-index': '5',
    'statefulset.kubernetes.io/pod-name': 'db-5',
  })
  t.match((await pods('db'))[0]?.spec, { hostname: 'db-5', subdomain: 'db' })
  await patch('db', { ordinals: { start: 4 } })
  await until('moved down', async () => JSON.stringify(await shown('db')) === '["4 one","5 one"]')
  await patch('db', { template: template('db', 'two'), updateStrategy: { rollingUpdate: { partition: 1 } } })
  await until('the upper one is new', async () => JSON.stringify(await shown('db')) === '["4 one","5 two"]')
})

t.test('below the partition the old template stays, also for pods that are made anew', async (t) => {
  const { make, get, patch, shown, ready, client, until, pass } = await world(t)
  await make('db', { replicas: 4, updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 2 } } })
  await ready('db', 4)
  const before = (await get('db')).status?.currentRevision
  await patch('db', { template: template('db', 'two') })
  await until('the upper half is new', async () => JSON.stringify(await shown('db')) === '["0 one","1 one","2 two","3 two"]')
  await ready('db', 4)
  const { status } = await get('db')
  t.match(status, { replicas: 4, currentReplicas: 2, updatedReplicas: 2, currentRevision: before })
  t.not(status?.updateRevision, before)
  await client.delete(Pod, { namespace, name: 'db-0' })
  await pass(2)
  await ready('db', 4)
  t.same(await shown('db'), ['0 one', '1 one', '2 two', '3 two'])
  await client.delete(Pod, { namespace, name: 'db-3' })
  await pass(2)
  await ready('db', 4)
  t.same(await shown('db'), ['0 one', '1 one', '2 two', '3 two'])
  await patch('db', { updateStrategy: { rollingUpdate: { partition: 0 } } })
  await until('all are new', async () => (await shown('db')).every((each) => each.endsWith('two')))
  await ready('db', 4)
  await pass(1)
  t.match((await get('db')).status, { currentReplicas: 4, updatedReplicas: 4, currentRevision: status?.updateRevision })
})

t.test('OnDelete replaces what a person deletes, and nothing else', async (t) => {
  const { make, get, patch, shown, ready, client, pass } = await world(t)
  await make('db', { updateStrategy: { type: 'OnDelete' } })
  await ready('db', 3)
  await patch('db', { template: template('db', 'two') })
  await pass(30)
  t.same(await shown('db'), ['0 one', '1 one', '2 one'])
  await client.delete(Pod, { namespace, name: 'db-1' })
  await pass(2)
  await ready('db', 3)
  t.same(await shown('db'), ['0 one', '1 two', '2 one'])
  t.equal((await get('db')).status?.updatedReplicas, 1)
})

t.test('minReadySeconds: the next pod waits until this one is available', async (t) => {
  const { make, get, patch, pods, shown, until, pass } = await world(t)
  await make('db', { replicas: 2, minReadySeconds: 20 })
  await until('the first is ready', async () => (await get('db')).status?.readyReplicas === 1)
  t.equal((await get('db')).status?.availableReplicas, 0)
  await pass(17)
  t.equal((await pods('db')).length, 1, 'not yet')
  t.ok((await until('the second', async () => (await pods('db')).length === 2)) <= 4)
  await until('both available', async () => (await get('db')).status?.availableReplicas === 2)
  await patch('db', { template: template('db', 'two') })
  await until('the second is new', async () => JSON.stringify(await shown('db')) === '["0 one","1 two"]')
  await pass(18)
  t.same(await shown('db'), ['0 one', '1 two'], 'it is ready, but not for long enough')
  await until('then the first', async () => JSON.stringify(await shown('db')) === '["0 two","1 two"]', 10)
})

t.test('maxUnavailable, as a number and in percent, is used and kept', async (t) => {
  for (const maxUnavailable of [2, '40%']) {
    for (const podManagementPolicy of ['OrderedReady', 'Parallel']) {
      const { make, patch, pods, shown, ready, isReady, clock } = await world(t)
      await make('db', { replicas: 5, podManagementPolicy, updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable } } })
      await ready('db', 5)
      await patch('db', { template: template('db', 'two') })
      let fewest = 5
      for (let step = 0; step < 300; step++) {
        await clock.runUntil(100)
        const usable = (await pods('db')).filter((pod) => isReady(pod) && !pod.metadata.deletionTimestamp).length
        fewest = Math.min(fewest, usable)
      }
      t.equal(fewest, 3, `${maxUnavailable} of five, ${podManagementPolicy}`)
      t.same(
        await shown('db'),
        [0, 1, 2, 3, 4].map((ordinal) => `${ordinal} two`),
      )
    }
  }
})

t.test('a rollout halts at a pod that does not become ready', async (t) => {
  const { make, get, patch, shown, ready, client, pass, until } = await world(t)
  await make('db')
  await ready('db', 3)
  await patch('db', { template: template('db', 'bad', { [UNREADY]: '' }) })
  await pass(60)
  t.same(await shown('db'), ['0 one', '1 one', '2 bad'])
  t.match((await get('db')).status, { readyReplicas: 2, updatedReplicas: 1, currentReplicas: 2 })
  await patch('db', { template: template('db', 'good', { [UNREADY]: null as never }) })
  await client.delete(Pod, { namespace, name: 'db-2' })
  await until('all good', async () => JSON.stringify(await shown('db')) === '["0 good","1 good","2 good"]')
})

t.test('history is kept as far as revisionHistoryLimit says, and an old template gets a new number', async (t) => {
  const { make, patch, ready, client, until, pass } = await world(t)
  await make('db', { replicas: 1, revisionHistoryLimit: 2 })
  await ready('db', 1)
  const revisions = async () => {
    const { items } = await client.list(ControllerRevision, { namespace })
    return items
      .map(({ revision, data }) => {
        const template = (data as { spec: { template: { spec: { containers: { image: string }[] } } } }).spec.template
        return `${revision} ${template.spec.containers[0]?.image}`
      })
      .sort()
  }
  for (const image of ['two', 'three', 'four', 'five']) {
    await patch('db', { template: template('db', image) })
    await pass(5)
    await ready('db', 1)
  }
  t.same(await revisions(), ['3 three', '4 four', '5 five'], 'two and the one in use')
  await patch('db', { template: template('db', 'three') })
  await until('renumbered', async () => JSON.stringify(await revisions()) === '["4 four","5 five","6 three"]')
})

t.test('ended and rejected pods are made anew, and that is said', async (t) => {
  const { make, ready, pods, client, until, told } = await world(t)
  await make('db', { replicas: 2 })
  await ready('db', 2)
  const [first] = await pods('db')
  const failed = await client.get(Pod, { namespace, name: 'db-0' })
  await client.updateStatus(Pod, { ...failed, status: { ...failed.status, phase: 'Failed', reason: 'NodePorts' } })
  await until('another', async () => (await pods('db'))[0]?.metadata.uid !== first?.metadata.uid && (await pods('db')).length === 2)
  await ready('db', 2)
  const messages = await told('db')
  t.ok(messages.includes('RecreatingFailedPod: StatefulSet default/db is recreating failed Pod db-0'))
  t.ok(messages.includes('SuccessfulCreate: create Pod db-0 in StatefulSet db successful'))
  t.ok(messages.includes('SuccessfulDelete: delete Pod db-0 in StatefulSet db successful'))
})
