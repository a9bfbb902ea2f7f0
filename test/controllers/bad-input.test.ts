// Wishes that make no sense, and hands in the middle of the work: a clear answer, or the end that was asked for.
import t from 'tap'
import {
  CronJob,
  DaemonSet,
  Deployment,
  EndpointSlice,
  Job,
  Node,
  Pod,
  PodDisruptionBudget,
  ReplicaSet,
  Service,
  ServiceAccount,
  StatefulSet,
} from '../../src/api/index.js'
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

t.test('selectors that match nothing, or everything', async (t) => {
  const { client, until, pass } = await virtualPlane(t, { start: START })
  const bare = (name: string, spec: object = {}, of: Record<string, string> = { app: name }) =>
    until('made', () =>
      client
        .create(Pod, {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name, namespace, labels: of },
          spec: { ...template().spec, ...spec } as never,
        })
        .catch((error: { code?: number }) => {
          if (error.code !== 403) throw error
        }),
    )
  const names = async () =>
    (await client.list(Pod, { namespace })).items.filter((each) => !each.metadata.deletionTimestamp).map(({ metadata }) => metadata.name)
  await bare('a')
  await bare('b')
  await client.create(Deployment, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace },
    spec: { replicas: 2, selector, template: template() },
  })
  await until('four', async () => (await names()).length === 4)

  // Of budgets an empty selector means all pods, a missing one means none.
  const budget = (name: string, spec: object) =>
    client.create(PodDisruptionBudget, { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name, namespace }, spec })
  await budget('all', { minAvailable: 1, selector: {} })
  await budget('none', { minAvailable: 1 })
  const expected = async (name: string) => (await client.get(PodDisruptionBudget, { namespace, name })).status?.expectedPods
  await until('all counted', async () => (await expected('all')) === 4)
  t.equal(await expected('none'), 0)

  // Of Services both mean that somebody else takes care of the endpoints.
  for (const [name, spec] of [
    ['without', { ports: [{ port: 80 }] }],
    ['empty', { ports: [{ port: 80 }], selector: {} }],
    ['nothing', { ports: [{ port: 80 }], selector: { app: 'nobody' } }],
  ] as const) {
    await client.create(Service, { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec })
  }
  await pass(5)
  const slices = (await client.list(EndpointSlice, { namespace, labelSelector: 'kubernetes.io/service-name' })).items
  t.same(
    slices.map((slice) => [slice.metadata.labels?.['kubernetes.io/service-name'], slice.endpoints?.length ?? 0]),
    [['nothing', 0]],
  )

  // A set that selects whatever has no colour takes who belongs to nobody, and gives up what is too much.
  const colourless = { matchExpressions: [{ key: 'colour', operator: 'DoesNotExist' }] }
  await client.create(ReplicaSet, {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name: 'greedy', namespace },
    spec: { replicas: 1, selector: colourless, template: template({ any: 'thing' }) },
  })
  await until('one is left', async () => (await names()).length === 3)
  await pass(30)
  const left = await names()
  t.equal(left.filter((name) => name.startsWith('web-')).length, 2, 'those of the Deployment stay with it')
  t.match(
    left.filter((name) => !name.startsWith('web-')),
    [/^[ab]$/],
  )

  // Pods that want to be away from all others, and pods that say so of nobody.
  const away = (labelSelector: object | undefined) => ({
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { topologyKey: 'example.com/cluster', ...(labelSelector ? { labelSelector } : {}) },
        ],
      },
    },
  })
  for (const { metadata } of (await client.list(Node)).items)
    await client.patch(Node, metadata, { metadata: { labels: { 'example.com/cluster': 'one' } } }, { type: 'merge' })
  await bare('nobody', away(undefined), { colour: 'red' })
  await until('placed', async () => (await client.get(Pod, { namespace, name: 'nobody' })).spec?.nodeName)
  await bare('everybody', away({}), { colour: 'red' })
  await until('refused', async () =>
    (await client.get(Pod, { namespace, name: 'everybody' })).status?.conditions?.some((each) =>
      each.message?.startsWith("0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules."),
    ),
  )
  t.pass('all others are in its way')
})

t.test('numbers that nobody means', async (t) => {
  const { client, until, pass, nodes } = await virtualPlane(t, { start: START, hollow: { heartbeatMs: 30_000 } })
  const most = 2 ** 31 - 1
  const endless = Number.MAX_SAFE_INTEGER
  await until('made', () =>
    client
      .create(Deployment, {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'web', namespace },
        spec: {
          replicas: 3,
          selector,
          revisionHistoryLimit: most,
          minReadySeconds: most - 1,
          progressDeadlineSeconds: most,
          strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: most, maxUnavailable: most } },
          template: { ...template(), spec: { ...template().spec, terminationGracePeriodSeconds: endless } },
        },
      })
      .catch(() => undefined),
  )
  const ready = (count: number) =>
    until('ready', async () => {
      const { status, metadata } = await client.get(Deployment, { namespace, name: 'web' })
      return status?.observedGeneration === metadata.generation && status?.updatedReplicas === count && status.readyReplicas === count
    })
  await ready(3)
  await client.patch(Deployment, { namespace, name: 'web' }, { spec: { template: template() } }, { type: 'strategic' })
  await ready(3)
  const web = await client.get(Deployment, { namespace, name: 'web' })
  t.match(web.status, { replicas: 3, updatedReplicas: 3, unavailableReplicas: 3 }, 'ready, and available in 68 years')

  await client.create(Job, {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'work', namespace },
    spec: {
      backoffLimit: most,
      activeDeadlineSeconds: endless,
      ttlSecondsAfterFinished: most,
      parallelism: most,
      completions: 2,
      template: { metadata: {}, spec: { ...template().spec, restartPolicy: 'Never' } },
    },
  })
  await until('running', async () => (await client.get(Job, { namespace, name: 'work' })).status?.ready === 2)
  await client.create(CronJob, {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name: 'tick', namespace },
    spec: {
      schedule: '* * * * *',
      startingDeadlineSeconds: endless,
      successfulJobsHistoryLimit: most,
      jobTemplate: { spec: { template: { spec: { ...template().spec, restartPolicy: 'Never' } } } },
    },
  })
  await until('ticked', async () => (await client.list(Job, { namespace })).items.length > 1)

  // Tolerated for ever, or for less than no time.
  const tolerating = (name: string, tolerationSeconds: number) =>
    client.create(Pod, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace },
      spec: {
        ...template().spec,
        nodeName: 'node-1',
        tolerations: [{ key: 'k', operator: 'Exists', effect: 'NoExecute', tolerationSeconds }],
      } as never,
    })
  await tolerating('patient', endless)
  await tolerating('hasty', -5)
  await pass(10)
  const taints = [{ key: 'k', effect: 'NoExecute', timeAdded: new Date(START).toISOString() }]
  await client.patch(Node, { name: 'node-1' }, { spec: { taints } }, { type: 'merge' })
  await until('gone', async () => !(await client.find(Pod, { namespace, name: 'hasty' })))
  await pass(3600)
  t.ok(await client.find(Pod, { namespace, name: 'patient' }), 'it waits')

  // Asked to go within an aeon, and then within a minute.
  nodes.silence('node-1')
  const asked = await client.delete(Pod, { namespace, name: 'patient' }, { gracePeriodSeconds: endless })
  t.match(asked, { metadata: { deletionGracePeriodSeconds: endless, deletionTimestamp: /^2094-/ } })
  const again = await client.delete(Pod, { namespace, name: 'patient' }, { gracePeriodSeconds: 60 })
  t.match(again, { metadata: { deletionGracePeriodSeconds: 60, deletionTimestamp: /^2026-01-01T01:/ } })
})
