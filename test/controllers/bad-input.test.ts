// Wishes that make no sense, and hands in the middle of the work: a clear answer, or the end that was asked for.
import t from 'tap'
import { DaemonSet, Deployment, Job, Pod, ReplicaSet, ServiceAccount, StatefulSet } from '../../src/api/index.js'
import { startPlane, until } from './plane.js'
import { virtualPlane } from './virtual-plane.js'

t.setTimeout(300_000)

const namespace = 'default'
const START = Date.UTC(2026, 0, 1)
const labels = { app: 'web' }
const template = (of: Record<string, string> = labels) => ({
  metadata: { labels: of },
  spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: 'x' }] },
})
const selector = { matchLabels: labels }

t.test('what cannot be is refused, with the field', async (t) => {
  const { client } = await virtualPlane(t, { start: START, only: [] })
  const object = (kind: string, apiVersion: string, spec: object) =>
    ({ apiVersion, kind, metadata: { name: 'x', namespace }, spec }) as never
  const refused = async (kind: typeof Deployment, spec: object, message: RegExp) => {
    const error = await client.create(kind as never, object(kind.kind, kind.apiVersion, spec)).then(
      () => undefined,
      (each: Error) => each,
    )
    t.match(error, { code: 422, reason: 'Invalid', message }, `${kind.kind} ${JSON.stringify(spec).slice(0, 80)}`)
  }
  const good = { replicas: 1, selector, template: template() }
  const rolling = (rollingUpdate: object) => ({ ...good, strategy: { type: 'RollingUpdate', rollingUpdate } })
  for (const kind of [Deployment, ReplicaSet, StatefulSet] as never as (typeof Deployment)[]) {
    await refused(kind, { ...good, replicas: -1 }, /spec\.replicas: Invalid value: -1: must be greater than or equal to 0/)
    await refused(kind, { ...good, selector: {} }, /spec\.selector: Invalid value: .*empty selector is invalid/)
    await refused(kind, { ...good, template: template({ app: 'other' }) }, /`selector` does not match template `labels`/)
    await refused(kind, { ...good, minReadySeconds: -5 }, /spec\.minReadySeconds: Invalid value: -5/)
    await refused(
      kind,
      { ...good, template: { ...template(), spec: { ...template().spec, restartPolicy: 'Never' } } },
      /restartPolicy: Unsupported value: "Never"/,
    )
  }
  await refused(
    Deployment,
    rolling({ maxSurge: 0, maxUnavailable: 0 }),
    /maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0/,
  )
  await refused(Deployment, rolling({ maxSurge: '-5%' }), /maxSurge: Invalid value: "-5%"/)
  await refused(Deployment, rolling({ maxUnavailable: '120%' }), /maxUnavailable: Invalid value: "120%"/)
  await refused(
    Deployment,
    { ...good, progressDeadlineSeconds: 1, minReadySeconds: 5 },
    /progressDeadlineSeconds: Invalid value: 1: must be greater than minReadySeconds/,
  )
  await refused(DaemonSet as never, { selector: {}, template: template() }, /spec\.selector: Invalid value/)
  const job = { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'x' }] } } }
  await refused(Job as never, { ...job, parallelism: -1 }, /spec\.parallelism: Invalid value: -1/)
  await refused(Job as never, { ...job, completions: -1 }, /spec\.completions: Invalid value: -1/)
  await refused(Job as never, { ...job, backoffLimit: -1 }, /spec\.backoffLimit: Invalid value: -1/)
  await refused(Job as never, { ...job, parallelism: 2, completionMode: 'Indexed' }, /spec\.completions: Required value/)
  await refused(
    Job as never,
    { ...job, completionMode: 'Indexed', completions: 1, parallelism: 200_000 },
    /spec\.parallelism: Invalid value: 200000/,
  )
  await refused(Job as never, { ...job, backoffLimitPerIndex: 1 }, /spec\.backoffLimitPerIndex: Invalid value/)
  const huge = await client
    .create(Deployment, object('Deployment', 'apps/v1', { ...good, replicas: 2 ** 31 }))
    .catch((error: Error) => error)
  t.match(huge, { code: 400 }, 'more than a number of 32 bits holds')
})

t.test('a huge number of pods grows as fast as it can, and is taken back', async (t) => {
  // In real time: in virtual time all of them would be made in one moment.
  const { client } = await startPlane(t, { nodes: 1 })
  await until('service account', () => client.find(ServiceAccount, { namespace, name: 'default' }))
  await client.create(ReplicaSet, {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name: 'huge', namespace },
    spec: { replicas: 2_000_000_000, selector, template: template() },
  })
  const count = async () => (await client.list(Pod, { namespace })).items.length
  await until('many', async () => (await count()) >= 300)
  await client.patch(ReplicaSet, { namespace, name: 'huge' }, { spec: { replicas: 2 } }, { type: 'merge' })
  await until('two are left', async () => (await count()) === 2, 120_000)
  const { status } = await client.get(ReplicaSet, { namespace, name: 'huge' })
  t.equal(status?.replicas, 2)
})

t.test('two that want the same pods do not fight; labels are changed under their hands', async (t) => {
  const { client, until, pass } = await virtualPlane(t, { start: START })
  const make = (name: string, replicas: number) =>
    until('made', () =>
      client.create(ReplicaSet, {
        apiVersion: 'apps/v1',
        kind: 'ReplicaSet',
        metadata: { name, namespace },
        spec: { replicas, selector, template: template() },
      }),
    )
  const pods = async () => (await client.list(Pod, { namespace })).items.filter((pod) => !pod.metadata.deletionTimestamp)
  const owned = async (name: string) => (await pods()).filter((pod) => pod.metadata.ownerReferences?.[0]?.name === name)
  await make('one', 2)
  await until('two', async () => (await owned('one')).length === 2)
  await make('two', 3)
  await until('three', async () => (await owned('two')).length === 3)
  const version = async () => (await pods()).map((pod) => pod.metadata.uid).sort()
  const before = await version()
  await pass(60)
  t.same(await version(), before, 'each keeps its own')
  await client.delete(ReplicaSet, { namespace, name: 'one' }, { propagationPolicy: 'Orphan' })
  await until(
    'the other takes them over, and gives up what is too much',
    async () => (await pods()).length === 3 && (await owned('two')).length === 3,
  )
  const [pod] = await pods()
  await client.patch(Pod, pod?.metadata as never, { metadata: { labels: { app: 'free' } } }, { type: 'merge' })
  await until('replaced', async () => (await owned('two')).length === 3 && (await pods()).length === 4)
  await client.patch(Pod, pod?.metadata as never, { metadata: { labels } }, { type: 'merge' })
  await until('back, and one too many again', async () => (await pods()).length === 3)
  t.equal((await owned('two')).length, 3)
})

t.test('deleted while it is being made', async (t) => {
  const { client, until, clock, pass } = await virtualPlane(t, { start: START, hollow: { startMs: [500, 3000] } })
  const kinds = [
    [Deployment, { replicas: 8, selector, template: template() }],
    [ReplicaSet, { replicas: 8, selector, template: template() }],
    [StatefulSet, { replicas: 3, serviceName: 'x', selector, template: template(), podManagementPolicy: 'Parallel' }],
    [DaemonSet, { selector, template: template() }],
    [Job, { parallelism: 5, completions: 50, template: { ...template(), spec: { ...template().spec, restartPolicy: 'Never' } } }],
  ] as unknown as [typeof Deployment, never][]
  for (const [kind, spec] of kinds) {
    for (const propagationPolicy of ['Background', 'Foreground'] as const) {
      for (const after of [0, 1, 20, 600]) {
        const name = 'brief'
        await until('made', () =>
          client.create(kind, { apiVersion: kind.apiVersion, kind: kind.kind, metadata: { name, namespace }, spec } as never),
        )
        await clock.runUntil(after)
        await client.delete(kind, { namespace, name }, { propagationPolicy })
        await until(`${kind.kind} gone ${propagationPolicy} after ${after} ms`, async () => {
          const { items } = await client.list(Pod, { namespace })
          return items.length === 0 && !(await client.find(kind, { namespace, name }))
        })
      }
    }
    t.pass(kind.kind)
  }
  await pass(30)
  t.same((await client.list(Pod, { namespace })).items, [])
  t.same((await client.list(ReplicaSet, { namespace })).items, [])
})
