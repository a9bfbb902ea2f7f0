// What happens at a time: schedules, ends of life, silence of nodes. In virtual time, through API server, controllers and hollow nodes.
import t from 'tap'
import { CronJob, Job, Node, Pod } from '../../src/api/index.js'
import { EXIT_AFTER_MS, EXIT_CODE } from '../hollow/hollow-nodes.js'
import { virtualPlane } from './virtual-plane.js'

t.setTimeout(300_000)

const namespace = 'default'
/** A quarter to eight in the morning in Berlin, an hour before that in UTC. */
const START = Date.UTC(2026, 2, 28, 6, 45)
const jobSpec = (seconds: number, code = 0) => ({
  backoffLimit: 0,
  template: {
    metadata: { annotations: { [EXIT_AFTER_MS]: String(seconds * 1000), [EXIT_CODE]: String(code) } },
    spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'busybox' }] },
  },
})
const cron = (name: string, spec: Partial<NonNullable<CronJob['spec']>>, seconds = 10, code = 0): CronJob => ({
  apiVersion: 'batch/v1',
  kind: 'CronJob',
  metadata: { name, namespace },
  spec: { schedule: '*/10 * * * *', jobTemplate: { spec: jobSpec(seconds, code) }, ...spec },
})

t.test('cron jobs', async (t) => {
  const { client, pass, told } = await virtualPlane(t, {
    start: START,
    hollow: { heartbeatMs: 30_000 },
    only: ['serviceaccount', 'nodelifecycle', 'cronjob', 'job', 'garbagecollector'],
  })
  const jobsOf = async (name: string): Promise<Job[]> =>
    (await client.list(Job, { namespace })).items.filter((each) => each.metadata.ownerReferences?.[0]?.name === name)
  const times = async (name: string) =>
    (await jobsOf(name)).map((job) => job.metadata.annotations?.['batch.kubernetes.io/cronjob-scheduled-timestamp']).sort()
  const get = (name: string) => client.get(CronJob, { namespace, name })

  await client.create(CronJob, cron('plain', { successfulJobsHistoryLimit: 2 }))
  await client.create(CronJob, cron('failing', { failedJobsHistoryLimit: 1 }, 10, 3))
  await client.create(CronJob, cron('forbid', { concurrencyPolicy: 'Forbid' }, 900))
  await client.create(CronJob, cron('replace', { concurrencyPolicy: 'Replace' }, 900))
  await client.create(CronJob, cron('allow', { concurrencyPolicy: 'Allow' }, 900))
  await client.create(CronJob, cron('berlin', { schedule: '0 8 * * *', timeZone: 'Europe/Berlin' }))
  await client.create(CronJob, cron('asleep', { suspend: true }))

  await pass(6 * 60)
  t.same(await times('plain'), ['2026-03-28T06:50:00Z'], 'at the minute')
  t.same((await get('plain')).status?.lastScheduleTime, '2026-03-28T06:50:00Z')
  t.equal((await get('forbid')).status?.active?.length, 1)
  await pass(10 * 60)
  t.same(await times('berlin'), ['2026-03-28T08:00:00+01:00'], 'eight in Berlin, seven in UTC')
  t.same(await times('forbid'), ['2026-03-28T06:50:00Z'], 'the first still runs')
  t.same(await times('replace'), ['2026-03-28T07:00:00Z'], 'the first was stopped')
  t.same(await times('allow'), ['2026-03-28T06:50:00Z', '2026-03-28T07:00:00Z'])
  t.equal((await get('allow')).status?.active?.length, 2)
  t.same(await times('asleep'), [])
  await pass(20 * 60)
  t.same(await times('plain'), ['2026-03-28T07:10:00Z', '2026-03-28T07:20:00Z'], 'two are remembered')
  t.same(await times('failing'), ['2026-03-28T07:20:00Z'], 'one failure is remembered')
  t.same(
    await times('forbid'),
    ['2026-03-28T06:50:00Z', '2026-03-28T07:00:00Z', '2026-03-28T07:20:00Z'],
    'what was due while the first ran is made up for when it is done',
  )
  t.ok((await get('plain')).status?.lastSuccessfulTime?.startsWith('2026-03-28T07:20:1'))

  t.ok(
    (await told('forbid')).includes(
      'JobAlreadyActive: Not starting job because prior execution is running and concurrency policy is Forbid',
    ),
  )
  const [first] = await jobsOf('plain')
  t.ok((await told('plain')).includes(`SawCompletedJob: Saw completed job: ${first?.metadata.name}, condition: Complete`))
  t.ok((await told('plain')).some((each) => /^SuccessfulCreate: Created job plain-\d+$/.test(each)))
  t.ok((await told('plain')).some((each) => /^SuccessfulDelete: Deleted job plain-\d+$/.test(each)))
  t.ok((await told('failing')).some((each) => /^SawCompletedJob: Saw completed job: failing-\d+, condition: Failed$/.test(each)))

  await client.delete(Job, { namespace, name: (await get('allow')).status?.active?.[0]?.name ?? '' })
  await pass(30)
  t.ok((await told('allow')).some((each) => /^MissingJob: Active job went missing: allow-\d+$/.test(each)))
})

t.test('a finished job goes when its time is over, not before', async (t) => {
  const { client, until, pass } = await virtualPlane(t, { start: START })
  const name = 'short'
  await client.create(Job, {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace },
    spec: { ...jobSpec(2), ttlSecondsAfterFinished: 60 },
  })
  const job = () => client.find(Job, { namespace, name })
  await until('complete', async () => (await job())?.status?.completionTime)
  await pass(55)
  t.ok(await job(), 'five seconds before')
  await until('gone', async () => !(await job()), 10)
  t.same((await client.list(Pod, { namespace })).items, [], 'with its pods')
})

t.test('a silent node: NotReady after 40 s, tainted, emptied after 300 s, forgiven when it speaks again', async (t) => {
  const { client, nodes, until, pass, told } = await virtualPlane(t, { start: START })
  const pod = (name: string, node: string, tolerationSeconds?: number): Pod => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace },
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'main', image: 'busybox' }],
      ...(tolerationSeconds === undefined
        ? {}
        : { tolerations: [{ key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds }] }),
    },
  })
  const deletedAt = async (name: string) => (await client.find(Pod, { namespace, name }))?.metadata.deletionTimestamp
  const node = (name: string) => client.get(Node, { name })
  const ready = async (name: string) => (await node(name)).status?.conditions?.find((each) => each.type === 'Ready')
  await until('service account', () => client.create(Pod, pod('usual', 'node-1')).catch(() => undefined))
  await client.create(Pod, pod('hasty', 'node-1', 5))
  await client.create(Pod, pod('patient', 'node-1', 3600))
  await client.create(Pod, pod('other', 'node-2'))
  await until('running', async () => (await client.list(Pod, { namespace })).items.every((each) => each.status?.phase === 'Running'))
  t.ok((await told('node-1')).includes('RegisteredNode: Node node-1 event: Registered Node node-1 in Controller'))

  const kubelet = await node('node-2')
  const unready = (kubelet.status?.conditions ?? []).map((each) => (each.type === 'Ready' ? { ...each, status: 'False' } : each))
  await client.updateStatus(Node, { ...kubelet, status: { ...kubelet.status, conditions: unready } })
  await until('the taint', async () => (await node('node-2')).spec?.taints?.some(({ key }) => key === 'node.kubernetes.io/not-ready'))
  await pass(1)
  const other = await client.get(Pod, { namespace, name: 'other' })
  t.equal(other.status?.conditions?.find((each) => each.type === 'Ready')?.status, 'True', 'a node that speaks speaks for its pods')
  await client.updateStatus(Node, { ...(await node('node-2')), status: kubelet.status })

  nodes.silence('node-1')
  const seconds = await until('NotReady', async () => (await ready('node-1'))?.status === 'Unknown')
  t.ok(seconds > 29 && seconds <= 45, `after ${seconds} s: 40 s since its last lease`)
  t.match(await ready('node-1'), { reason: 'NodeStatusUnknown', message: 'Kubelet stopped posting node status.' })
  await pass(1)
  t.match((await node('node-1')).spec?.taints, [
    { key: 'node.kubernetes.io/unreachable', effect: 'NoSchedule' },
    { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute' },
  ])
  t.ok((await told('node-1')).includes('NodeNotReady: Node node-1 status is now: NodeNotReady'))
  t.ok((await told('usual')).includes('NodeNotReady: Node is not ready'))
  const usual = await client.get(Pod, { namespace, name: 'usual' })
  t.equal(usual.status?.conditions?.find((each) => each.type === 'Ready')?.status, 'False')

  await until('the hasty one is told to go', () => deletedAt('hasty'), 10)
  t.ok((await told('hasty')).includes('TaintManagerEviction: Marking for deletion Pod default/hasty'))
  const hasty = await client.get(Pod, { namespace, name: 'hasty' })
  t.match(
    hasty.status?.conditions?.find((each) => each.type === 'DisruptionTarget'),
    {
      status: 'True',
      reason: 'DeletionByTaintManager',
      message: 'Taint manager: deleting due to NoExecute taint',
    },
  )
  await pass(270)
  t.equal(await deletedAt('usual'), undefined, 'not yet')
  await until('the usual one is told to go', () => deletedAt('usual'), 40)
  t.equal(await deletedAt('patient'), undefined)

  nodes.revive('node-1')
  await until('ready again', async () => (await ready('node-1'))?.status === 'True')
  await until('untainted', async () => !(await node('node-1')).spec?.taints?.length)
  t.ok((await told('patient')).includes('TaintManagerEviction: Cancelling deletion of Pod default/patient'))
  await until('the node did what it was told', async () => !(await client.find(Pod, { namespace, name: 'usual' })))
  t.equal(await deletedAt('patient'), undefined)

  // One node after the other is emptied, ten seconds apart; the last that is left says nothing about the others.
  nodes.silence('node-1')
  nodes.silence('node-2')
  const emptied = async (name: string) => (await node(name)).spec?.taints?.some((each) => each.effect === 'NoExecute')
  await until('one is emptied', async () => (await emptied('node-1')) || (await emptied('node-2')))
  t.not(await emptied('node-1'), await emptied('node-2'), 'the other has to wait')
  await until('both are emptied', async () => (await emptied('node-1')) && (await emptied('node-2')), 15)
  nodes.silence('node-3')
  await until('nobody is ready', async () => (await ready('node-3'))?.status === 'Unknown')
  await until('when nobody is ready, nobody is emptied', async () => !(await emptied('node-1')) && !(await emptied('node-3')), 20)

  await client.delete(Node, { name: 'node-3' })
  t.ok((await told('node-3')).includes('RemovingNode: Node node-3 event: Removing Node node-3 from Controller'))
})
