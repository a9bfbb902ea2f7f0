// Deployments in virtual time: shares, rollovers, pauses, deadlines, history, and what is written where people and tools look.
import t from 'tap'
import { Deployment, Pod, ReplicaSet, ServiceAccount } from '../../src/api/index.js'
import { UNREADY } from '../hollow/hollow-nodes.js'
import { virtualPlane } from './virtual-plane.js'

t.setTimeout(300_000)

const namespace = 'default'
const START = Date.UTC(2026, 0, 1)
const name = 'web'
const template = (image: string, annotations: Record<string, string | null> = {}) => ({
  metadata: { labels: { app: name }, annotations: annotations as Record<string, string> },
  spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image }] },
})
const prefix = 'deployment.kubernetes.io/'

async function world(t: Parameters<typeof virtualPlane>[0], spec: Record<string, unknown> = {}, annotations: Record<string, string> = {}) {
  const plane = await virtualPlane(t, { start: START, hollow: { startMs: [1000, 1000], stopMs: [300, 300], heartbeatMs: 30_000 } })
  const { client, until } = plane
  await until('made', () =>
    client.create(Deployment, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace, annotations },
      spec: { replicas: 3, selector: { matchLabels: { app: name } }, template: template('one'), ...spec },
    }),
  )
  const get = () => client.get(Deployment, { namespace, name })
  const patch = (change: unknown, metadata?: unknown) =>
    client.patch(Deployment, { namespace, name }, { ...(metadata ? { metadata } : {}), spec: change }, { type: 'merge' })
  const sets = async () => (await client.list(ReplicaSet, { namespace })).items
  const setOf = async (image: string) =>
    (await sets()).find((each) => each.spec?.template?.spec?.containers[0]?.image === image) as ReplicaSet
  const sizes = async () =>
    Object.fromEntries((await sets()).map((each) => [each.spec?.template?.spec?.containers[0]?.image, each.spec?.replicas]))
  const annotation = (object: { metadata: { annotations?: Readonly<Record<string, string>> | undefined } } | undefined, key: string) =>
    object?.metadata.annotations?.[`${prefix}${key}`]
  const condition = async (type: string) => {
    const found = (await get()).status?.conditions?.find((each) => each.type === type)
    return found && `${found.status} ${found.reason}: ${found.message}`
  }
  const settled = (seconds = 120) =>
    until(
      'settled',
      async () => {
        const { status, spec, metadata } = await get()
        const counts = [status?.replicas, status?.updatedReplicas, status?.availableReplicas].map((count) => count ?? 0)
        return (
          status?.observedGeneration === metadata.generation &&
          counts.every((count) => count === spec?.replicas) &&
          (status?.terminatingReplicas ?? 0) === 0
        )
      },
      seconds,
    )
  return { ...plane, get, patch, sets, setOf, sizes, annotation, condition, settled }
}

t.test('in the middle of a rollout a change of size is shared, and noted on each set', async (t) => {
  const { patch, sizes, settled, setOf, annotation, pass } = await world(t, {
    replicas: 10,
    strategy: { rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } },
  })
  await settled()
  t.equal(annotation(await setOf('one'), 'desired-replicas'), '10')
  t.equal(annotation(await setOf('one'), 'max-replicas'), '13')
  await patch({ template: template('bad', { [UNREADY]: '' }) })
  await pass(20)
  t.same(await sizes(), { one: 8, bad: 5 })
  await patch({ replicas: 30 })
  await pass(20)
  // Kubernetes' own conformance test has these numbers: 33 pods in the proportion of 8 to 5.
  t.same(await sizes(), { one: 20, bad: 13 })
  for (const image of ['one', 'bad']) {
    t.equal(annotation(await setOf(image), 'desired-replicas'), '30')
    t.equal(annotation(await setOf(image), 'max-replicas'), '33')
  }
  await patch({ replicas: 10 })
  await pass(20)
  t.same(await sizes(), { one: 8, bad: 5 })
})

t.test('a rollout is rolled over by the next; revisions, history and change-cause follow', async (t) => {
  const { get, patch, settled, setOf, annotation, pass, sizes, sets } = await world(t, {}, { 'kubernetes.io/change-cause': 'first' })
  await settled()
  await patch({ template: template('two', { [UNREADY]: '' }) }, { annotations: { 'kubernetes.io/change-cause': 'second', note: 'x' } })
  await pass(3)
  await patch({ template: template('three', { [UNREADY]: null }) }, { annotations: { 'kubernetes.io/change-cause': 'third' } })
  await settled()
  t.same(await sizes(), { one: 0, two: 0, three: 3 })
  t.same(await Promise.all(['one', 'two', 'three'].map(async (image) => annotation(await setOf(image), 'revision'))), ['1', '2', '3'])
  t.same(
    await Promise.all(
      ['one', 'two', 'three'].map(async (image) => (await setOf(image)).metadata.annotations?.['kubernetes.io/change-cause']),
    ),
    ['first', 'second', 'third'],
  )
  t.equal((await setOf('two')).metadata.annotations?.note, 'x', 'annotations go on to the set')
  const { uid } = (await setOf('one')).metadata
  await patch({ template: template('one') })
  await settled()
  const one = await setOf('one')
  t.equal(one.metadata.uid, uid, 'the old set is used again')
  t.equal(annotation(one, 'revision'), '4')
  t.equal(annotation(one, 'revision-history'), '1')
  t.equal(annotation(await get(), 'revision'), '4')
  for (const image of ['three', 'one']) {
    await patch({ template: template(image) })
    await settled()
  }
  t.equal(annotation(await setOf('one'), 'revision'), '6')
  t.equal(annotation(await setOf('one'), 'revision-history'), '1,4')
  t.equal((await sets()).length, 3)
  const hash = one.metadata.labels?.['pod-template-hash']
  t.equal(one.metadata.name, `${name}-${hash}`)
  t.equal(one.spec?.selector.matchLabels?.['pod-template-hash'], hash)
  t.equal(one.spec?.template?.metadata?.labels?.['pod-template-hash'], hash)
})

t.test('while paused nothing rolls, but sizes follow', async (t) => {
  const { patch, settled, sizes, condition, pass } = await world(t)
  await settled()
  await patch({ paused: true })
  await pass(2)
  t.equal(await condition('Progressing'), 'Unknown DeploymentPaused: Deployment is paused')
  await patch({ template: template('two') })
  await pass(10)
  t.same(await sizes(), { one: 3 })
  await patch({ replicas: 5 })
  await pass(10)
  t.same(await sizes(), { one: 5 })
  await patch({ paused: false })
  await settled()
  t.same(await sizes(), { one: 0, two: 5 })
  t.match(await condition('Progressing'), /^True NewReplicaSetAvailable: ReplicaSet "web-\w+" has successfully progressed\.$/)
})

t.test('progressDeadlineSeconds: given up, said so, and taken up again', async (t) => {
  const { patch, settled, condition, until, get, setOf } = await world(t, { progressDeadlineSeconds: 60 })
  await settled()
  t.equal(await condition('Available'), 'True MinimumReplicasAvailable: Deployment has minimum availability.')
  await patch({ template: template('bad', { [UNREADY]: '' }) })
  await until('progress', async () => (await condition('Progressing'))?.includes('ReplicaSetUpdated'))
  const set = (await setOf('bad')).metadata.name
  t.equal(await condition('Progressing'), `True ReplicaSetUpdated: ReplicaSet "${set}" is progressing.`)
  const seconds = await until('given up', async () => (await condition('Progressing'))?.startsWith('False'))
  t.ok(seconds > 55 && seconds < 66, `${seconds}`)
  t.equal(await condition('Progressing'), `False ProgressDeadlineExceeded: ReplicaSet "${set}" has timed out progressing.`)
  t.equal((await get()).status?.unavailableReplicas, 1)
  await patch({ template: template('good', { [UNREADY]: null }) })
  await settled()
  t.match(await condition('Progressing'), /^True NewReplicaSetAvailable/)
  await patch({ strategy: { rollingUpdate: { maxUnavailable: 0 } }, template: template('bad', { [UNREADY]: '' }), replicas: 0 })
  await settled()
  await patch({ replicas: 2 })
  await until(
    'unavailable',
    async () => (await condition('Available')) === 'False MinimumReplicasUnavailable: Deployment does not have minimum availability.',
  )
})

t.test('minReadySeconds and Recreate', async (t) => {
  const { patch, settled, client, clock, get, sizes, pass } = await world(t, { minReadySeconds: 10 })
  t.ok((await settled()) > 10)
  await patch({ template: template('two') })
  await pass(8)
  t.same(await sizes(), { one: 3, two: 1 }, 'ready is not available yet')
  t.match((await get()).status, { readyReplicas: 4, availableReplicas: 3, unavailableReplicas: 1 })
  await settled()
  await patch({ strategy: { type: 'Recreate', rollingUpdate: null }, template: template('three'), minReadySeconds: 0 })
  let both = false
  for (let step = 0; step < 200; step++) {
    await clock.runUntil(50)
    const { items } = await client.list(Pod, { namespace })
    const images = new Set(items.map((pod) => pod.spec?.containers[0]?.image))
    both ||= images.has('two') && images.has('three')
  }
  t.notOk(both, 'old and new never together')
  await settled()
})

t.test('revisionHistoryLimit and percentages', async (t) => {
  const { patch, settled, sets, client, until, setOf, clock } = await world(t, {
    replicas: 4,
    revisionHistoryLimit: 1,
    strategy: { rollingUpdate: { maxSurge: '30%', maxUnavailable: '30%' } },
  })
  await settled()
  for (const image of ['two', 'three', 'four']) {
    await patch({ template: template(image) })
    let most = 0
    let fewest = 4
    for (let step = 0; step < 200; step++) {
      await clock.runUntil(50)
      const { items } = await client.list(Pod, { namespace })
      const alive = items.filter((pod) => !pod.metadata.deletionTimestamp)
      most = Math.max(most, alive.length)
      fewest = Math.min(
        fewest,
        alive.filter((pod) => pod.status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True')).length,
      )
    }
    t.equal(most, 6, 'a surge of 30% of four, rounded up')
    t.equal(fewest, 3, 'and 30%, rounded down, may be missing')
    await settled()
  }
  await until('history', async () => (await sets()).length === 2)
  t.ok((await setOf('three')) && (await setOf('four')))
})

t.test('a set that cannot make pods says so, and so does its deployment', async (t) => {
  const { client, condition, until, told, get, setOf } = await world(t, {
    template: { ...template('one'), spec: { ...template('one').spec, serviceAccountName: 'nobody' } },
  })
  const words = 'pods "web-'
  await until('failure', () => condition('ReplicaFailure'))
  t.match(
    await condition('ReplicaFailure'),
    /^True FailedCreate: pods "web-\w+-" is forbidden: error looking up service account default\/nobody: serviceaccount "nobody" not found$/,
  )
  const set = await setOf('one')
  t.ok((await told(set.metadata.name)).some((each) => each.startsWith(`FailedCreate: Error creating: ${words}`)))
  t.equal((await get()).status?.unavailableReplicas, 3)
  await client.create(ServiceAccount, {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'nobody', namespace },
  })
  await until('better', async () => (await get()).status?.availableReplicas === 3, 180)
  t.equal(await condition('ReplicaFailure'), undefined)
})

t.test('a name that another template has taken is left to it', async (t) => {
  const { client, settled, get, sets, patch } = await world(t)
  await settled()
  const [made] = await sets()
  // The set that a second deployment of this name will want exists already, with another template.
  await client.delete(Deployment, { namespace, name }, { propagationPolicy: 'Orphan' })
  await settled().catch(() => undefined)
  const stolen = { ...made, metadata: { name: made?.metadata.name ?? '', namespace, labels: { app: 'other' } } } as ReplicaSet
  await client.delete(ReplicaSet, { namespace, name: made?.metadata.name ?? '' })
  const selector = { matchLabels: { app: 'other' } }
  const labels = { app: 'other' }
  const other = { ...template('mine'), metadata: { labels } }
  await client.create(ReplicaSet, { ...stolen, spec: { replicas: 0, selector, template: other } } as ReplicaSet)
  await client.create(Deployment, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace },
    spec: { replicas: 1, selector: { matchLabels: { app: name } }, template: template('one') },
  })
  await settled()
  t.equal((await get()).status?.collisionCount, 1)
  const own = (await sets()).find((each) => each.metadata.ownerReferences?.length)
  t.not(own?.metadata.name, made?.metadata.name)
  await patch({ template: template('two') })
  await settled()
})
