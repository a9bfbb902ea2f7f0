// Disruption budgets and evictions: what they count, what they allow, and how they say no.
import t from 'tap'
import { CustomResourceDefinition, Deployment, type Kind, kind, Pod, PodDisruptionBudget, type Resource } from '../../src/api/index.js'
import { ApiError } from '../../src/lib/index.js'
import { UNREADY } from '../hollow/hollow-nodes.js'
import { virtualPlane } from './virtual-plane.js'

t.setTimeout(300_000)

const namespace = 'default'
const START = Date.UTC(2026, 0, 1)
const labels = { app: 'web' }

async function world(t: Parameters<typeof virtualPlane>[0], replicas: number) {
  const plane = await virtualPlane(t, { start: START, hollow: { startMs: [1000, 1000], stopMs: [3000, 3000], heartbeatMs: 30_000 } })
  const { client, until } = plane
  await until('made', () =>
    client.create(Deployment, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web', namespace },
      spec: {
        replicas,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 5, containers: [{ name: 'main', image: 'x' }] } },
      },
    }),
  )
  const pods = async () =>
    (await client.list(Pod, { namespace, labelSelector: 'app=web' })).items.filter((pod) => !pod.metadata.deletionTimestamp)
  const isReady = (pod: Pod) => pod.status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') ?? false
  const ready = () => until('all ready', async () => (await pods()).filter(isReady).length === replicas)
  const budget = async (spec: PodDisruptionBudget['spec']) => {
    await client.delete(PodDisruptionBudget, { namespace, name: 'guard' }).catch(() => undefined)
    await client.create(PodDisruptionBudget, {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'guard', namespace },
      spec: { selector: { matchLabels: labels }, ...spec },
    })
    await until('looked at', async () => (await status())?.observedGeneration === 1)
    await plane.pass(1)
    return status()
  }
  const status = async () => (await client.find(PodDisruptionBudget, { namespace, name: 'guard' }))?.status
  const evict = async (pod: Pod | undefined, more: object = {}): Promise<ApiError | undefined> => {
    const { name } = pod?.metadata ?? { name: '' }
    const body = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace }, ...more }
    try {
      await client.createSubresource(Pod, { namespace, name }, 'eviction', body)
      return undefined
    } catch (error) {
      if (error instanceof ApiError) return error
      throw error
    }
  }
  return { ...plane, pods, ready, budget, status, evict, isReady }
}

t.test('numbers and percentages', async (t) => {
  const { budget, ready } = await world(t, 7)
  await ready()
  const of = async (spec: PodDisruptionBudget['spec']) => {
    const { desiredHealthy, disruptionsAllowed, expectedPods, currentHealthy } = (await budget(spec)) ?? {}
    t.equal(currentHealthy, 7)
    t.equal(expectedPods, 7)
    return [desiredHealthy, disruptionsAllowed]
  }
  t.same(await of({ minAvailable: 5 }), [5, 2])
  t.same(await of({ minAvailable: '50%' }), [4, 3], 'rounded up')
  t.same(await of({ minAvailable: '100%' }), [7, 0])
  t.same(await of({ minAvailable: 0 }), [0, 7])
  t.same(await of({ maxUnavailable: 2 }), [5, 2])
  t.same(await of({ maxUnavailable: '30%' }), [4, 3], 'rounded up too')
  t.same(await of({ maxUnavailable: 0 }), [7, 0])
  t.same(await of({ maxUnavailable: 20 }), [0, 7])
})

t.test('an eviction asks, is refused in words, and is counted until the pod is gone', async (t) => {
  const { budget, ready, evict, pods, status, until, client } = await world(t, 3)
  await ready()
  const allowed = await budget({ minAvailable: 2 })
  t.match(allowed?.conditions, [{ type: 'DisruptionAllowed', status: 'True', reason: 'SufficientPods', observedGeneration: 1 }])
  const [first, second] = await pods()
  t.equal(await evict(first), undefined)
  t.match((await status())?.disruptedPods ?? {}, { [first?.metadata.name ?? '']: /^2026-/ })
  const target = await client.get(Pod, { namespace, name: first?.metadata.name ?? '' })
  t.match(
    target.status?.conditions?.find((each) => each.type === 'DisruptionTarget'),
    { status: 'True', reason: 'EvictionByEvictionAPI', message: 'Eviction API: evicting' },
  )
  const refused = await evict(second)
  t.match(refused, { code: 429, reason: 'TooManyRequests', message: "Cannot evict pod as it would violate the pod's disruption budget." })
  t.match(refused?.details?.causes, [
    { reason: 'DisruptionBudget', message: /^The disruption budget guard needs 2 healthy pods and has \d currently$/ },
  ])
  await until('none allowed', async () => (await status())?.conditions?.[0]?.reason === 'InsufficientPods')
  t.match((await status())?.conditions, [{ type: 'DisruptionAllowed', status: 'False', reason: 'InsufficientPods' }])
  await ready()
  await until('allowed again', async () => (await status())?.disruptionsAllowed === 1)
  t.same((await status())?.disruptedPods ?? {}, {})
  t.equal(await evict(second, { deleteOptions: { dryRun: ['All'] } }), undefined)
  t.equal((await status())?.disruptionsAllowed, 1, 'a trial costs nothing')
  const wrong = await evict(second, { deleteOptions: { preconditions: { uid: 'other' } } })
  t.equal(wrong?.code, 409)
})

t.test('an eviction that did not happen is forgotten after two minutes', async (t) => {
  const { budget, ready, pods, status, until, client, pass } = await world(t, 3)
  await ready()
  await budget({ minAvailable: 2 })
  const [first] = await pods()
  const guard = await client.get(PodDisruptionBudget, { namespace, name: 'guard' })
  const time = new Date(START + 30_000).toISOString().replace('.000', '')
  await client.updateStatus(PodDisruptionBudget, {
    ...guard,
    status: { ...guard.status, disruptedPods: { [first?.metadata.name ?? '']: time } } as never,
  })
  await until('counted', async () => (await status())?.disruptionsAllowed === 0)
  await pass(60)
  t.equal((await status())?.disruptionsAllowed, 0)
  t.ok((await until('forgotten', async () => (await status())?.disruptionsAllowed === 1)) > 30)
})

t.test('unhealthyPodEvictionPolicy', async (t) => {
  for (const policy of ['IfHealthyBudget', 'AlwaysAllow']) {
    const { budget, ready, pods, evict, client, until, isReady, status } = await world(t, 3)
    await ready()
    await budget({ minAvailable: 3, unhealthyPodEvictionPolicy: policy })
    const [victim] = (await pods()).filter(isReady)
    const live = await client.get(Pod, victim?.metadata as never)
    const conditions = (live.status?.conditions ?? []).map((each) => (each.type === 'Ready' ? { ...each, status: 'False' } : each))
    await client.patch(Pod, live.metadata as never, { metadata: { annotations: { [UNREADY]: '' } } }, { type: 'merge' })
    const again = await client.get(Pod, victim?.metadata as never)
    await client.updateStatus(Pod, { ...again, status: { ...again.status, conditions } })
    await until('noticed', async () => (await status())?.currentHealthy === 2)
    const answer = await evict(victim)
    t.equal(answer?.code, policy === 'AlwaysAllow' ? undefined : 429, policy)
  }
})

t.test('pods without an owner, pods of a kind without a scale, no pods', async (t) => {
  const { budget, client, told, until, status } = await world(t, 1)
  const alone = (name: string, more: object = {}) =>
    client.create(Pod, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace, labels: { app: 'lone' }, ...more },
      spec: { containers: [{ name: 'main', image: 'x' }] },
    })
  const selector = { matchLabels: { app: 'lone' } }
  await budget({ selector, maxUnavailable: 1 })
  t.ok((await told('guard')).includes('NoPods: No matching pods found'))
  t.match(await status(), { expectedPods: 0, disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0 })
  await alone('a')
  await until('said', async () =>
    (await told('guard')).some((each) => each.startsWith('UnmanagedPods: Pods selected by this PodDisruptionBudget')),
  )
  await budget({ selector, minAvailable: 1 })
  await until('ready', async () => (await status())?.currentHealthy === 1)
  t.match(await status(), { expectedPods: 1, disruptionsAllowed: 0, desiredHealthy: 1 })
  const owner = { apiVersion: 'batch/v1', kind: 'Job', name: 'work', uid: 'work', controller: true }
  await alone('b', { ownerReferences: [owner] })
  await budget({ selector, maxUnavailable: 1 })
  await until('failed', async () => (await status())?.conditions?.[0]?.reason === 'SyncFailed')
  t.match((await status())?.conditions?.[0], { status: 'False', message: /does not implement the scale subresource/ })
  t.ok(
    (await told('guard')).some((each) =>
      each.startsWith('CalculateExpectedPodCountFailed: Failed to calculate the number of expected pods: '),
    ),
  )
})

t.test('owners of custom kinds are asked for their scale', async (t) => {
  const { budget, client, until, status, told } = await world(t, 1)
  const selector = { matchLabels: { app: 'lone' } }
  const lone = (name: string, owner: object) =>
    client.create(Pod, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace, labels: { app: 'lone' }, ownerReferences: [{ controller: true, ...owner } as never] },
      spec: { containers: [{ name: 'main', image: 'x' }] },
    })
  const failed = (words: string) =>
    until(words, async () => {
      const found = (await status())?.conditions?.[0]
      return found?.reason === 'SyncFailed' && found.status === 'False' && found.message === words
    })

  const names = { plural: 'fleets', singular: 'fleet', kind: 'Fleet', listKind: 'FleetList' }
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } }
  const version = (scale: boolean) => ({
    name: 'v1',
    served: true,
    storage: true,
    schema,
    ...(scale ? { subresources: { scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' } } } : {}),
  })
  const definition = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'fleets.example.com' } }
  await client.create(CustomResourceDefinition, {
    ...definition,
    spec: { group: 'example.com', scope: 'Namespaced', names, versions: [version(false)] },
  } as never)
  const Fleet = kind({ ...names, group: 'example.com', version: 'v1', namespaced: true, subresources: [] }) as Kind<Resource>
  const fleet = { apiVersion: 'example.com/v1', kind: 'Fleet', metadata: { name: 'north', namespace }, spec: { replicas: 4 } }
  await until('served', () => client.create(Fleet, fleet as never).catch(() => undefined))
  const { uid } = (await client.get(Fleet, { namespace, name: 'north' })).metadata
  for (const each of ['a', 'b', 'c']) await lone(each, { apiVersion: 'example.com/v1', kind: 'Fleet', name: 'north', uid })
  await budget({ selector, maxUnavailable: '50%' })
  await failed('fleets.example.com does not implement the scale subresource')
  t.ok(
    (await told('guard')).includes(
      'CalculateExpectedPodCountFailed: Failed to calculate the number of expected pods: fleets.example.com does not implement the scale subresource',
    ),
  )
  t.match(await status(), { expectedPods: 0, disruptionsAllowed: 0 })

  await client.patch(CustomResourceDefinition, { name: 'fleets.example.com' }, { spec: { versions: [version(true)] } }, { type: 'merge' })
  await until('counted', async () => (await status())?.expectedPods === 4, 300)
  t.match(await status(), { expectedPods: 4, desiredHealthy: 2, currentHealthy: 3, disruptionsAllowed: 1 })

  await client.patch(Fleet, { namespace, name: 'north' }, { spec: { replicas: 6 } }, { type: 'merge' })
  await lone('d', { apiVersion: 'example.com/v1', kind: 'Fleet', name: 'north', uid })
  await until('counted again', async () => (await status())?.currentHealthy === 4)
  t.match(await status(), { expectedPods: 6, desiredHealthy: 3, disruptionsAllowed: 1 })
})
