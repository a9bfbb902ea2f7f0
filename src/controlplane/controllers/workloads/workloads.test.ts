import t from 'tap'
import type { CronJob, Job, Pod, StatefulSet } from '../../../api/index.js'
import type { Cache } from '../types.js'
import { planDue } from './cron-job.js'
import { nextTime, parseSchedule } from './cron-schedule.js'
import { planDaemons } from './daemon-set-plan.js'
import { expectedCount, planBudget, sparedAt } from './disruption-budget.js'
import { formatIndexes, parseIndexes } from './job-indexes.js'
import { planJob } from './job-plan.js'
import { planReplicas } from './replicas.js'
import { revisionData } from './revisions.js'
import { planStateful } from './stateful-set-plan.js'

const now = Date.UTC(2026, 0, 1, 12)
const time = (ms: number): string => new Date(ms).toISOString()
let count = 0
const pod = (
  name: string,
  options: {
    phase?: string
    ready?: boolean
    deleting?: boolean
    node?: string
    labels?: Record<string, string>
    annotations?: Record<string, string>
    finalizers?: string[]
    exitCode?: number
    ageMs?: number
  } = {},
): Pod =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'ns',
      uid: `${name}-${++count}`,
      creationTimestamp: time(now - (options.ageMs ?? 60_000)),
      labels: options.labels ?? {},
      annotations: options.annotations,
      finalizers: options.finalizers,
      ...(options.deleting ? { deletionTimestamp: time(now) } : {}),
    },
    spec: { containers: [], ...(options.node === '' ? {} : { nodeName: options.node ?? 'n' }) },
    status: {
      phase: options.phase ?? 'Running',
      conditions: [{ type: 'Ready', status: options.ready === false ? 'False' : 'True', lastTransitionTime: time(now - 60_000) }],
      ...(options.exitCode === undefined
        ? {}
        : {
            containerStatuses: [
              {
                name: 'c',
                image: '',
                imageID: '',
                ready: false,
                restartCount: 0,
                state: { terminated: { exitCode: options.exitCode, finishedAt: time(now - 60_000) } },
              },
            ],
          }),
    },
  }) as unknown as Pod

const names = (pods: readonly Pod[]): string[] => pods.map((each) => each.metadata.name)
const meta = { name: 'x', namespace: 'ns', uid: 'x', generation: 1, creationTimestamp: time(now - 3_600_000) }

t.test('pods that are given up first: unscheduled, pending, not ready, cheap, crowded', async (t) => {
  const set = { apiVersion: 'apps/v1', kind: 'ReplicaSet', metadata: meta, spec: { replicas: 1 } } as never
  const pods = [
    pod('crowded', { node: 'a' }),
    pod('cheap', { node: 'b', annotations: { 'controller.kubernetes.io/pod-deletion-cost': '-5' } }),
    pod('unready', { ready: false }),
    pod('pending', { phase: 'Pending', ready: false }),
    pod('unscheduled', { phase: 'Pending', ready: false, node: '' }),
    pod('lonely', { node: 'c' }),
  ]
  const related = [...pods, pod('neighbour', { node: 'a' })]
  t.same(names(planReplicas(set, pods, () => related, now).remove), ['unscheduled', 'pending', 'unready', 'cheap', 'crowded'])
  t.equal(planReplicas(set, [], () => [], now).create, 1)
  t.equal(planReplicas({ ...(set as object), spec: { replicas: -3 } } as never, [], () => [], now).create, 0)
  t.equal(planReplicas({ ...(set as object), spec: { replicas: 1e9 } } as never, [], () => [], now).create, 500)
})

t.test('a stateful set goes one by one, and from the top when it updates', async (t) => {
  const set = (spec: Record<string, unknown> = {}): StatefulSet =>
    ({
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: meta,
      spec: { replicas: 3, selector: {}, template: {}, ...spec },
    }) as unknown as StatefulSet
  const at = (ordinal: number, options = {}, revision = 'r1'): Pod =>
    pod(`x-${ordinal}`, { labels: { 'controller-revision-hash': revision }, ...options })
  const plan = (of: StatefulSet, pods: Pod[], update = 'r1') =>
    planStateful({ set: of, pods, currentRevision: 'r1', updateRevision: update, now }).map((step) =>
      step.do === 'create' ? `+${step.ordinal}` : `-${step.pod.metadata.name}`,
    )
  t.same(plan(set(), []), ['+0'])
  t.same(plan(set(), [at(0, { ready: false })]), [])
  t.same(plan(set(), [at(0)]), ['+1'])
  t.same(plan(set({ podManagementPolicy: 'Parallel' }), []), ['+0', '+1', '+2'])
  t.same(plan(set({ replicas: 1 }), [at(0), at(1), at(2)]), ['-x-2'])
  t.same(plan(set(), [at(0), at(1), at(2)], 'r2'), ['-x-2'])
  t.same(plan(set(), [at(0), at(1), at(2, {}, 'r2')], 'r2'), ['-x-1'])
  t.same(
    plan(set({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 2 } } }), [at(0), at(1), at(2, {}, 'r2')], 'r2'),
    [],
  )
  t.same(plan(set({ updateStrategy: { type: 'OnDelete' } }), [at(0), at(1), at(2)], 'r2'), [])
  t.same(plan(set(), [at(0), at(1, { phase: 'Failed', ready: false }), at(2)]), ['-x-1'])
  t.same(plan(set(), [at(0), at(1, { deleting: true }), at(2)]), [])
})

t.test('completion indexes', async (t) => {
  t.equal(formatIndexes(new Set([7, 1, 3, 4, 5])), '1,3-5,7')
  t.equal(formatIndexes(new Set([0, 1])), '0,1')
  t.same([...parseIndexes('1,3-5,x,9', 6)], [1, 3, 4, 5])
})

const TRACKING = ['batch.kubernetes.io/job-tracking']
const job = (spec: Record<string, unknown>, status: Record<string, unknown> = {}): Job =>
  ({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: meta,
    spec: { parallelism: 2, completions: 3, backoffLimit: 2, template: {}, ...spec },
    status: { startTime: time(now - 60_000), ...status },
  }) as unknown as Job

t.test('a job counts each pod once, in steps that can be repeated', async (t) => {
  const done = pod('a', { phase: 'Succeeded', finalizers: TRACKING })
  const first = planJob({ job: job({}), pods: [done], now })
  t.same(first.status.uncountedTerminatedPods, { succeeded: [done.metadata.uid] })
  t.equal(first.status.succeeded, undefined)
  t.same(names(first.release), ['a'])
  // Stopped before the finalizer went: the same again.
  t.same(
    planJob({ job: job({}, first.status as never), pods: [done], now }).status.uncountedTerminatedPods,
    first.status.uncountedTerminatedPods,
  )
  const released = { ...done, metadata: { ...done.metadata, finalizers: [] } } as Pod
  const second = planJob({ job: job({}, first.status as never), pods: [released], now })
  t.equal(second.status.succeeded, 1)
  t.same(second.status.uncountedTerminatedPods, {})
  t.equal(planJob({ job: job({}, second.status as never), pods: [released], now }).status.succeeded, 1)
  t.equal(second.create.length, 2)
})

t.test('a job fails for the reasons Kubernetes gives', async (t) => {
  const reason = (of: Job, pods: Pod[] = []) =>
    planJob({ job: of, pods, now }).status.conditions?.find((each) => each.type === 'FailureTarget')
  t.match(reason(job({}, { failed: 3 })), { reason: 'BackoffLimitExceeded', message: 'Job has reached the specified backoff limit' })
  t.match(reason(job({ activeDeadlineSeconds: 30 })), {
    reason: 'DeadlineExceeded',
    message: 'Job was active longer than specified deadline',
  })
  const policy = { podFailurePolicy: { rules: [{ action: 'FailJob', onExitCodes: { operator: 'In', values: [3] } }] } }
  t.match(reason(job(policy), [pod('a', { phase: 'Failed', exitCode: 3, finalizers: TRACKING })]), {
    reason: 'PodFailurePolicy',
    message: 'Container c for pod ns/a failed with exit code 3 matching FailJob rule at index 0',
  })
  const ignored = { podFailurePolicy: { rules: [{ action: 'Ignore', onPodConditions: [{ type: 'Ready', status: 'True' }] }] } }
  t.same(
    planJob({ job: job(ignored), pods: [pod('a', { phase: 'Failed', finalizers: TRACKING })], now }).status.uncountedTerminatedPods,
    {},
  )
})

t.test('a suspended job stops its pods, a finished one waits for the last of them', async (t) => {
  const plan = planJob({ job: job({ suspend: true }), pods: [pod('a'), pod('b')], now })
  t.same(names(plan.remove), ['a', 'b'])
  t.equal(plan.status.startTime, undefined)
  t.match(plan.status.conditions, [{ type: 'Suspended', status: 'True', reason: 'JobSuspended' }])
  const over = planJob({ job: job({}, { succeeded: 3 }), pods: [pod('late', { deleting: true, finalizers: [] })], now })
  t.match(over.status.conditions, [{ type: 'SuccessCriteriaMet' }])
  t.equal(planJob({ job: job({}, { succeeded: 3 }), pods: [], now }).status.conditions?.at(-1)?.type, 'Complete')
})

t.test('schedules in time zones', async (t) => {
  const next = (text: string, after: string, zone = 'UTC') =>
    new Date(nextTime(parseSchedule(text), Date.parse(after), zone) ?? 0).toISOString()
  t.equal(next('*/15 * * * *', '2026-01-01T12:07:00Z'), '2026-01-01T12:15:00.000Z')
  t.equal(next('0 9 * * 1-5', '2026-01-02T10:00:00Z'), '2026-01-05T09:00:00.000Z')
  t.equal(next('30 2 * * *', '2026-07-01T12:00:00Z', 'Europe/Berlin'), '2026-07-02T00:30:00.000Z')
  t.equal(next('0 8 * * *', '2026-03-28T08:00:00Z', 'Europe/Berlin'), '2026-03-29T06:00:00.000Z', 'clocks went forward in the night')
  t.equal(next('30 2 * * *', '2026-03-28T12:00:00Z', 'Europe/Berlin'), '2026-03-30T00:30:00.000Z', 'a time that this night does not have')
  t.equal(next('0 0 29 2 *', '2026-01-01T00:00:00Z'), '2028-02-29T00:00:00.000Z')
  t.equal(next('0 0 13 * 5', '2026-01-01T00:00:00Z'), '2026-01-02T00:00:00.000Z')
  t.equal(next('@hourly', '2026-01-01T12:07:00Z'), '2026-01-01T13:00:00.000Z')
  t.equal(nextTime(parseSchedule('0 0 31 2 *'), now), undefined)
  for (const bad of ['', '* * * *', '60 * * * *', '*/0 * * * *', '5-1 * * * *', 'x * * * *']) t.throws(() => parseSchedule(bad))
})

t.test('missed times: the latest counts, the deadline cuts off the rest', async (t) => {
  const cron = (spec: Record<string, unknown>): CronJob =>
    ({ apiVersion: 'batch/v1', kind: 'CronJob', metadata: meta, spec }) as unknown as CronJob
  const schedule = parseSchedule('*/10 * * * *')
  t.match(planDue(cron({}), schedule, now + 1000), { time: now, missed: 6 })
  const daily = planDue(
    { ...cron({}), status: { lastScheduleTime: time(now - 300 * 86_400_000) } },
    parseSchedule('0 12 * * *'),
    now + 1000,
  )
  t.match(daily, { time: now, missed: 101 }, 'also when they are rare')
  t.match(planDue(cron({ startingDeadlineSeconds: 30 }), schedule, now + 60_000), { time: undefined, missed: 0, late: now })
  t.match(planDue(cron({ startingDeadlineSeconds: 30 }), schedule, now + 10_000), { time: now, late: undefined })
  const done = { ...cron({ startingDeadlineSeconds: 30 }), status: { lastScheduleTime: time(now) } }
  t.match(planDue(done, schedule, now + 60_000), { time: undefined, late: undefined })
  t.equal(planDue({ ...cron({}), status: { lastScheduleTime: time(now - 30 * 86_400_000) } }, schedule, now + 1000).time, now)
})

t.test('how many pods a budget expects', async (t) => {
  const sets = new Map<string, object>([
    ['set', { metadata: { uid: 'set' }, spec: { replicas: 4 } }],
    [
      'rolled',
      {
        metadata: {
          uid: 'rolled',
          ownerReferences: [{ kind: 'Deployment', apiVersion: 'apps/v1', name: 'web', uid: 'web', controller: true }],
        },
        spec: { replicas: 1 },
      },
    ],
    ['web', { metadata: { uid: 'web' }, spec: { replicas: 9 } }],
  ])
  const cache = { get: (_: unknown, key: string) => sets.get(key.split('/')[1] ?? '') } as unknown as Cache
  const owned = (kind: string, apiVersion: string, owner: string, uid = owner): Pod => ({
    ...pod('p'),
    metadata: { name: `of-${uid}`, namespace: 'default', ownerReferences: [{ kind, apiVersion, name: owner, uid, controller: true }] },
  })
  const asked: string[] = []
  const expected = (pods: readonly Pod[]) =>
    expectedCount(pods, cache, async (owner, ns) => {
      asked.push(`${ns}/${owner.name}`)
      if (owner.kind === 'Job') return { error: 'jobs.batch does not implement the scale subresource' }
      return owner.kind === 'Fleet' ? 7 : undefined
    })
  const set = owned('ReplicaSet', 'apps/v1', 'set')
  const alone: Pod = { ...pod('b'), metadata: { name: 'b', namespace: 'default' } }
  t.same(await expected([set, set]), { count: 4, unmanaged: false })
  t.same(await expected([set, alone]), { count: 4, unmanaged: true }, 'pods without an owner do not count')
  t.same(await expected([owned('ReplicaSet', 'apps/v1', 'rolled'), set]), { count: 13, unmanaged: false }, 'the Deployment counts')
  t.same(asked, [], 'all of it is in the cache')
  t.same(await expected([owned('ReplicaSet', 'apps/v1', 'set', 'before')]), { error: 'found no controllers for pod "of-before"' })
  t.same(await expected([owned('ReplicaSet', 'apps.example.com/v1', 'set')]), { error: 'found no controllers for pod "of-set"' })
  sets.set('web', { metadata: { uid: 'another' }, spec: { replicas: 9 } })
  t.same(await expected([owned('ReplicaSet', 'apps/v1', 'rolled')]), { count: 1, unmanaged: false }, 'its Deployment is gone')
  t.same(await expected([owned('Job', 'batch/v1', 'c')]), { error: 'jobs.batch does not implement the scale subresource' })
  asked.length = 0
  const fleet = owned('Fleet', 'example.com/v1', 'north')
  t.same(await expected([fleet, set, fleet]), { count: 11, unmanaged: false })
  t.same(asked, ['default/north'], 'once for all its pods')
})

t.test('a pod that was spared is no disruption target any more', async (t) => {
  const target = (reason: string): Pod => ({
    ...pod('a'),
    status: { phase: 'Running', conditions: [{ type: 'DisruptionTarget', status: 'True', reason, lastTransitionTime: time(now) }] },
  })
  t.equal(sparedAt(target('EvictionByEvictionAPI')), Math.floor(now / 1000) * 1000 + 120_000)
  t.equal(sparedAt(target('TerminationByKubelet')), undefined, 'that may take any time')
  t.equal(sparedAt(pod('b')), undefined)
})

t.test('a budget allows what is left above its minimum', async (t) => {
  const budget = (spec: Record<string, unknown>, status: Record<string, unknown> = {}) =>
    ({ apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: meta, spec, status }) as never
  const pods = [pod('a'), pod('b'), pod('c', { ready: false })]
  t.match(planBudget({ budget: budget({ minAvailable: 1 }), pods, expected: { count: 3, unmanaged: false }, now }), {
    disruptionsAllowed: 1,
    currentHealthy: 2,
    desiredHealthy: 1,
    expectedPods: 3,
  })
  t.match(planBudget({ budget: budget({ maxUnavailable: '50%' }), pods, expected: { count: 3, unmanaged: false }, now }), {
    disruptionsAllowed: 1,
    desiredHealthy: 1,
  })
  t.match(
    planBudget({
      budget: budget({ minAvailable: 1 }, { disruptedPods: { a: time(now) } }),
      pods,
      expected: { count: 3, unmanaged: false },
      now,
    }),
    {
      disruptionsAllowed: 0,
      currentHealthy: 1,
    },
  )
  t.match(
    planBudget({
      budget: budget({ maxUnavailable: 1 }, { expectedPods: 5, currentHealthy: 4, desiredHealthy: 4, disruptionsAllowed: 1 }),
      pods,
      expected: { error: 'no scale' },
      now,
    }),
    {
      expectedPods: 5,
      currentHealthy: 4,
      desiredHealthy: 4,
      disruptionsAllowed: 0,
      conditions: [{ status: 'False', reason: 'SyncFailed', message: 'no scale' }],
    },
    'what was counted before stays, and nothing is allowed',
  )
})

t.test('what a revision keeps is text that others can compare: members in order, nothing unset', async (t) => {
  const template = {
    spec: { restartPolicy: 'Always', containers: [{ name: 'c', image: 'i', args: undefined }] },
    metadata: { labels: { b: '1', a: '2' } },
  }
  t.equal(
    JSON.stringify(revisionData({ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'x' }, spec: { template } } as never)),
    '{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"2","b":"1"}},"spec":{"containers":[{"image":"i","name":"c"}],"restartPolicy":"Always"}}}}',
  )
})

t.test('of two old pods on a node that surges the ready one stays, also when clocks say it is the younger', async (t) => {
  const daemons = {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: meta,
    spec: { selector: {}, template: { spec: { containers: [] } }, updateStrategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } } },
  }
  const remove = (pods: readonly Pod[]) =>
    planDaemons({
      set: daemons as never,
      nodes: [{ apiVersion: 'v1', kind: 'Node', metadata: { name: 'n' } }],
      pods,
      hash: 'newest',
      now,
      backingOff: () => false,
    }).remove.map((each) => each.metadata.name)
  const works = pod('works', { ageMs: 1000 })
  const starts = pod('starts', { ready: false, phase: 'Pending', ageMs: 60_000 })
  t.same(remove([starts, works]), ['starts'])
  t.same(remove([pod('first', { ageMs: 60_000 }), pod('second', { ageMs: 1000 })]), ['second'], 'else the older one stays')
})
