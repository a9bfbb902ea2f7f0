// Jobs in virtual time: what their pods are told, what failures mean, when they are over, and what they say about it.
import t from 'tap'
import { Job, Pod } from '../../src/api/index.js'
import { EXIT_AFTER_MS, EXIT_CODE } from '../hollow/hollow-nodes.js'
import { virtualPlane } from './virtual-plane.js'

t.setTimeout(300_000)

const namespace = 'default'
const START = Date.UTC(2026, 0, 1)
const name = 'work'
const TRACKING = 'batch.kubernetes.io/job-tracking'
const ANNOTATION = 'batch.kubernetes.io/job-completion-index'

async function world(t: Parameters<typeof virtualPlane>[0], stopMs: readonly [number, number] = [2000, 2000]) {
  const plane = await virtualPlane(t, { start: START, hollow: { startMs: [100, 100], stopMs, heartbeatMs: 30_000 } })
  const { client, until } = plane
  /** `run` says when the pods end and how; without it they run until they are stopped. */
  const make = (spec: Record<string, unknown>, run?: { seconds: number; code?: number }, pod: Record<string, unknown> = {}) =>
    until('made', () =>
      client.create(Job, {
        apiVersion: 'batch/v1',
        kind: 'Job',
        metadata: { name, namespace },
        spec: {
          ...spec,
          template: {
            metadata: run ? { annotations: { [EXIT_AFTER_MS]: String(run.seconds * 1000), [EXIT_CODE]: String(run.code ?? 0) } } : {},
            spec: { restartPolicy: 'Never', terminationGracePeriodSeconds: 5, containers: [{ name: 'main', image: 'x' }], ...pod },
          },
        },
      }),
    )
  const get = () => client.get(Job, { namespace, name })
  const patch = (spec: unknown) => client.patch(Job, { namespace, name }, { spec }, { type: 'merge' })
  const pods = async () =>
    [...(await client.list(Pod, { namespace })).items].sort((a, b) =>
      (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? ''),
    )
  const alive = async () =>
    (await pods()).filter((pod) => !pod.metadata.deletionTimestamp && !['Succeeded', 'Failed'].includes(pod.status?.phase ?? ''))
  const running = (count: number) =>
    until(`${count} run`, async () => {
      const now = await alive()
      return now.length === count && now.every((pod) => pod.status?.phase === 'Running')
    })
  const indexOf = (pod: Pod) => Number(pod.metadata.annotations?.[ANNOTATION])
  /** Lets a pod end. */
  async function end(pod: Pod, code = 0, conditions: { type: string; status: string }[] = []) {
    const live = await client.get(Pod, { namespace, name: pod.metadata.name })
    await client.updateStatus(Pod, {
      ...live,
      status: {
        ...live.status,
        phase: code === 0 ? 'Succeeded' : 'Failed',
        conditions: [...(live.status?.conditions ?? []).filter((each) => each.type !== 'Ready'), ...conditions],
        containerStatuses: (live.status?.containerStatuses ?? []).map((each) => ({
          ...each,
          state: {
            terminated: { exitCode: code, reason: code ? 'Error' : 'Completed', finishedAt: new Date(plane.clock.now()).toISOString() },
          },
        })),
      },
    })
  }
  const condition = async (type: string) => {
    const found = (await get()).status?.conditions?.find((each) => each.type === type)
    return found && `${found.status} ${found.reason}: ${found.message}`
  }
  const over = async () => {
    await until('over', async () => (await condition('Complete')) ?? (await condition('Failed')), 900)
    return (await condition('Complete')) ?? (await condition('Failed'))
  }
  return { ...plane, make, get, patch, pods, alive, running, end, indexOf, condition, over }
}

t.test('an indexed job: names, labels, annotations, environment, and counting without loss', async (t) => {
  const { make, get, pods, over, condition, told } = await world(t)
  await make(
    { completions: 3, parallelism: 2, completionMode: 'Indexed' },
    { seconds: 5 },
    { initContainers: [{ name: 'first', image: 'x' }] },
  )
  const { metadata, spec } = await get()
  const uid = metadata.uid ?? ''
  const labels = {
    'batch.kubernetes.io/controller-uid': uid,
    'batch.kubernetes.io/job-name': name,
    'controller-uid': uid,
    'job-name': name,
  }
  t.same(spec?.template.metadata?.labels, labels)
  t.same(spec?.selector, { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } })
  t.equal(await over(), 'True CompletionsReached: Reached expected number of succeeded pods')
  t.equal(await condition('SuccessCriteriaMet'), 'True CompletionsReached: Reached expected number of succeeded pods')
  const all = await pods()
  t.equal(all.length, 3)
  for (const pod of all) {
    const index = pod.metadata.annotations?.[ANNOTATION] ?? ''
    t.match(pod.metadata.name, new RegExp(`^work-${index}-[a-z0-9]{5}$`))
    t.match(pod.metadata.labels, { ...labels, [ANNOTATION]: index })
    t.equal(pod.spec?.hostname, `work-${index}`)
    for (const container of [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]) {
      const fieldRef = { apiVersion: 'v1', fieldPath: `metadata.labels['${ANNOTATION}']` }
      t.same(container.env, [{ name: 'JOB_COMPLETION_INDEX', valueFrom: { fieldRef } }])
    }
    t.same(pod.metadata.finalizers ?? [], [], 'counted, so let go')
  }
  const { status } = await get()
  t.match(status, { succeeded: 3, completedIndexes: '0-2', ready: 0, terminating: 0, uncountedTerminatedPods: {} })
  t.notOk('active' in (status ?? {}))
  t.ok(Date.parse(status?.completionTime ?? '') - Date.parse(status?.startTime ?? '') >= 10_000)
  t.ok((await told(name)).includes('Completed: Job completed'))
})

t.test('back-off: twice as long after each failure, and the limit', async (t) => {
  const { make, get, pods, over, condition, told } = await world(t)
  await make({ backoffLimit: 3 }, { seconds: 1, code: 2 })
  t.equal(await over(), 'True BackoffLimitExceeded: Job has reached the specified backoff limit')
  t.equal(await condition('FailureTarget'), 'True BackoffLimitExceeded: Job has reached the specified backoff limit')
  const times = (await pods()).map((pod) => Date.parse(pod.metadata.creationTimestamp ?? '') / 1000)
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0))
  t.same(
    gaps.map((gap) => Math.round(gap / 10) * 10),
    [10, 20, 40],
  )
  t.match((await get()).status, { failed: 4 })
  t.notOk((await get()).status?.completionTime)
  t.ok((await told(name)).includes('BackoffLimitExceeded: Job has reached the specified backoff limit'))
})

t.test('activeDeadlineSeconds stops what runs', async (t) => {
  const { make, get, over, alive } = await world(t)
  await make({ activeDeadlineSeconds: 30, parallelism: 2 })
  t.equal(await over(), 'True DeadlineExceeded: Job was active longer than specified deadline')
  t.same(await alive(), [])
  const { status } = await get()
  const failed = status?.conditions?.find((each) => each.type === 'Failed')
  const target = status?.conditions?.find((each) => each.type === 'FailureTarget')
  const after = (time: string | undefined) => (Date.parse(time ?? '') - Date.parse(status?.startTime ?? '')) / 1000
  t.equal(after(target?.lastTransitionTime), 30)
  t.ok(after(failed?.lastTransitionTime) >= 32, 'only when the last pod has ended')
})

t.test('suspend and resume', async (t) => {
  const { make, get, patch, running, alive, condition, until, told, pass } = await world(t)
  await make({ suspend: true, parallelism: 2, completions: 4, activeDeadlineSeconds: 60 })
  await pass(5)
  t.equal(await condition('Suspended'), 'True JobSuspended: Job suspended')
  t.equal((await get()).status?.startTime, undefined)
  t.same(await alive(), [])
  await patch({ suspend: false })
  await running(2)
  t.equal(await condition('Suspended'), 'False JobResumed: Job resumed')
  const first = (await get()).status?.startTime
  await pass(40)
  await patch({ suspend: true })
  await until('stopped', async () => (await alive()).length === 0)
  await until('counted', async () => (await get()).status?.terminating === 0)
  t.equal(await condition('Suspended'), 'True JobSuspended: Job suspended')
  t.equal((await get()).status?.startTime, undefined)
  t.equal((await get()).status?.failed, undefined, 'a pod that was stopped has not failed')
  await pass(40)
  await patch({ suspend: false })
  await running(2)
  t.not((await get()).status?.startTime, first, 'the deadline runs anew')
  const messages = await told(name)
  for (const each of ['Suspended: Job suspended', 'Resumed: Job resumed']) t.ok(messages.includes(each), each)
  t.ok(messages.some((each) => /^SuccessfulDelete: Deleted pod: work-\w+$/.test(each)))
})

t.test('parallelism follows the spec; without completions the first success is enough', async (t) => {
  const { make, get, patch, running, pods, end, over, alive, pass } = await world(t)
  await make({ parallelism: 3 })
  await running(3)
  t.match((await get()).status, { active: 3, ready: 3 })
  await patch({ parallelism: 1 })
  await running(1)
  await pass(5)
  t.equal((await get()).status?.failed, undefined, 'who was one too many has not failed')
  await patch({ parallelism: 2 })
  await running(2)
  const [one, two] = await alive()
  await end(one as Pod)
  await pass(10)
  t.equal((await alive()).length, 1, 'no new ones after a success')
  await end(two as Pod)
  t.match(await over(), /^True CompletionsReached/)
  t.equal((await get()).status?.succeeded, 2)
  t.ok((await pods()).length >= 2)
})

t.test('podFailurePolicy: each action', async (t) => {
  const rules = [
    { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
    { action: 'FailIndex', onExitCodes: { containerName: 'main', operator: 'In', values: [5] } },
    { action: 'Count', onExitCodes: { operator: 'In', values: [6, 7] } },
    { action: 'FailJob', onExitCodes: { operator: 'NotIn', values: [8] } },
  ]
  const { make, get, running, alive, end, indexOf, over, condition, until, pass } = await world(t)
  await make({ completions: 3, parallelism: 3, completionMode: 'Indexed', backoffLimitPerIndex: 1, podFailurePolicy: { rules } })
  await running(3)
  const at = async (index: number) => (await alive()).find((pod) => indexOf(pod) === index) as Pod
  const again = (index: number, not: Pod) =>
    until(`index ${index} again`, async () => {
      const now = await at(index)
      return now && now.metadata.uid !== not.metadata.uid && now.status?.phase === 'Running'
    })

  const disrupted = await at(0)
  await end(disrupted, 137, [{ type: 'DisruptionTarget', status: 'True' }])
  await again(0, disrupted)
  t.equal((await get()).status?.failed, undefined, 'ignored')
  t.match((await at(0)).metadata.annotations, {
    'batch.kubernetes.io/job-index-failure-count': '0',
    'batch.kubernetes.io/job-index-ignored-failure-count': '1',
  })

  await end(await at(1), 5)
  await until('index 1 has failed', async () => (await get()).status?.failedIndexes === '1')
  await pass(30)
  t.equal(await at(1), undefined, 'and is not tried again')

  const counted = await at(0)
  await end(counted, 6)
  await again(0, counted)
  t.match((await get()).status, { failed: 2, failedIndexes: '1' })

  const last = await at(2)
  await end(last, 9)
  const message = `PodFailurePolicy: Container main for pod default/${last.metadata.name} failed with exit code 9 matching FailJob rule at index 3`
  await until('decided', () => condition('FailureTarget'))
  t.equal(await condition('FailureTarget'), `True ${message}`)
  t.equal(await condition('Failed'), undefined, 'one still runs')
  t.equal(await over(), `True ${message}`)
})

t.test('backoffLimitPerIndex and maxFailedIndexes', async (t) => {
  {
    const { make, get, over } = await world(t)
    await make({ completions: 3, parallelism: 3, completionMode: 'Indexed', backoffLimitPerIndex: 1 }, { seconds: 1, code: 1 })
    t.equal(await over(), 'True FailedIndexes: Job has failed indexes')
    t.match((await get()).status, { failed: 6, failedIndexes: '0-2' })
    t.equal((await get()).spec?.backoffLimit, 2 ** 31 - 1)
  }
  {
    const { make, get, over } = await world(t)
    const spec = { completions: 6, parallelism: 1, completionMode: 'Indexed', backoffLimitPerIndex: 0, maxFailedIndexes: 1 }
    await make(spec, { seconds: 1, code: 1 })
    t.equal(await over(), 'True MaxFailedIndexesExceeded: Job has exceeded the specified maximal number of failed indexes')
    t.equal((await get()).status?.failedIndexes, '0,1')
  }
})

t.test('successPolicy: the first rule that is met ends the job', async (t) => {
  const { make, get, running, alive, end, indexOf, over, condition, until } = await world(t)
  const rules = [{ succeededIndexes: '0,2-3', succeededCount: 2 }, { succeededIndexes: '4' }]
  await make({ completions: 5, parallelism: 5, completionMode: 'Indexed', successPolicy: { rules } })
  await running(5)
  const at = async (index: number) => (await alive()).find((pod) => indexOf(pod) === index) as Pod
  await end(await at(1))
  await end(await at(3))
  await until('two counted', async () => (await get()).status?.succeeded === 2)
  t.equal(await condition('SuccessCriteriaMet'), undefined)
  await end(await at(0))
  await until('decided', () => condition('SuccessCriteriaMet'))
  t.equal(await condition('SuccessCriteriaMet'), 'True SuccessPolicy: Matched rules at index 0')
  t.equal(await over(), 'True SuccessPolicy: Matched rules at index 0')
  t.match((await get()).status, { succeeded: 3, completedIndexes: '0,1,3' })
  t.same(await alive(), [], 'the others were stopped')
})

t.test('podReplacementPolicy: while the old one still ends, or when it has', async (t) => {
  for (const podReplacementPolicy of ['TerminatingOrFailed', 'Failed']) {
    const { make, get, running, alive, pods, client, until, pass } = await world(t, [60_000, 60_000])
    await make({ podReplacementPolicy }, undefined, { terminationGracePeriodSeconds: 90 })
    await running(1)
    const [pod] = await alive()
    await client.delete(Pod, { namespace, name: pod?.metadata.name ?? '' })
    await pass(1)
    t.equal((await get()).status?.terminating, 1)
    t.equal((await get()).status?.failed ?? 0, podReplacementPolicy === 'Failed' ? 0 : 1, `${podReplacementPolicy}: failed`)
    t.equal((await pods()).length, 1, 'after a failure there is a pause')
    const seconds = await until('another', async () => (await alive()).length === 1)
    t.ok(podReplacementPolicy === 'Failed' ? seconds > 55 : seconds > 8 && seconds < 12, `${podReplacementPolicy}: ${seconds}`)
    await until('counted', async () => (await get()).status?.failed === 1)
  }
})

t.test('managedBy: another controller does it', async (t) => {
  const { make, get, pods, pass, client } = await world(t)
  await make({ managedBy: 'example.com/other' })
  await pass(10)
  t.same(await pods(), [])
  t.same((await get()).status ?? {}, {})
  await client.delete(Job, { namespace, name })
})

t.test('a deleted job lets its pods go; one whose pods are taken away makes new ones', async (t) => {
  const { make, running, alive, client, until, pods } = await world(t)
  await make({ parallelism: 2 })
  await running(2)
  t.same(
    (await alive()).map((pod) => pod.metadata.finalizers),
    [[TRACKING], [TRACKING]],
  )
  const [taken] = await alive()
  await client.patch(
    Pod,
    taken?.metadata as never,
    { metadata: { labels: { 'batch.kubernetes.io/controller-uid': 'x' } } },
    { type: 'merge' },
  )
  await until('released', async () => {
    const found = await client.find(Pod, taken?.metadata as never)
    return !found?.metadata.ownerReferences?.length && !found?.metadata.finalizers?.length
  })
  await until('replaced', async () => (await alive()).length === 3)
  await client.delete(Job, { namespace, name }, { propagationPolicy: 'Background' })
  await until('only the released one is left', async () => (await pods()).length === 1)
})
