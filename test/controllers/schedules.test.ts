// CronJobs through days on which clocks change, through pauses, and through mistakes.
import t from 'tap'
import { CronJob, Job } from '../../src/api/index.js'
import { virtualPlane } from './virtual-plane.js'

t.setTimeout(300_000)

const namespace = 'default'
const HOUR = 3600

async function world(t: Parameters<typeof virtualPlane>[0], start: number) {
  const plane = await virtualPlane(t, { start, hollow: { nodes: [] }, only: ['serviceaccount', 'cronjob'] })
  const { client } = plane
  const make = (name: string, spec: Partial<NonNullable<CronJob['spec']>>) =>
    client.create(CronJob, {
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: { name, namespace },
      spec: {
        schedule: '0 * * * *',
        jobTemplate: {
          metadata: { labels: { team: 'a' }, annotations: { note: 'x' } },
          spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'x' }] } } },
        },
        ...spec,
      },
    })
  const jobs = async (name: string) => {
    const { items } = await client.list(Job, { namespace })
    return items
      .filter((each) => each.metadata.ownerReferences?.[0]?.name === name)
      .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  }
  const times = async (name: string) =>
    (await jobs(name)).map((each) => each.metadata.annotations?.['batch.kubernetes.io/cronjob-scheduled-timestamp'])
  return { ...plane, make, jobs, times }
}

t.test('when clocks go forward an hour is missing, when they go back it comes twice', async (t) => {
  {
    const { make, times, pass, jobs } = await world(t, Date.UTC(2026, 2, 28, 12))
    await make('night', { schedule: '30 2 * * *', timeZone: 'Europe/Berlin' })
    await make('hourly', { schedule: '0 1-4 * * *', timeZone: 'Europe/Berlin' })
    await pass(40 * HOUR)
    t.same(await times('night'), ['2026-03-30T02:30:00+02:00'], 'the 29th has no half past two')
    t.same((await times('hourly')).slice(0, 3), ['2026-03-29T01:00:00+01:00', '2026-03-29T03:00:00+02:00', '2026-03-29T04:00:00+02:00'])
    const [job] = await jobs('night')
    t.equal(job?.metadata.name, `night-${Date.UTC(2026, 2, 30, 0, 30) / 60_000}`, 'the name says the minute')
    t.match(job?.metadata, {
      labels: { team: 'a' },
      annotations: { note: 'x' },
      ownerReferences: [{ kind: 'CronJob', controller: true, blockOwnerDeletion: true }],
    })
  }
  {
    const { make, times, pass } = await world(t, Date.UTC(2026, 9, 24, 12))
    await make('night', { schedule: '30 2 * * *', timeZone: 'Europe/Berlin' })
    await make('york', { schedule: '30 9 * * *', timeZone: 'America/New_York' })
    await pass(24 * HOUR)
    t.same(await times('night'), ['2026-10-25T02:30:00+02:00', '2026-10-25T02:30:00+01:00'])
    t.same(await times('york'), ['2026-10-24T09:30:00-04:00'])
  }
})

t.test('after a pause: the last time that was missed, if it is not too late', async (t) => {
  const { make, times, pass, client, told } = await world(t, Date.UTC(2026, 0, 1, 0, 30))
  await make('any', { suspend: true })
  await make('soon', { suspend: true, startingDeadlineSeconds: 600 })
  await make('late', { suspend: true, startingDeadlineSeconds: 7200 })
  await make('often', { suspend: true, schedule: '* * * * *' })
  await pass(5 * HOUR + 1200)
  for (const name of ['any', 'soon', 'late', 'often'])
    await client.patch(CronJob, { namespace, name }, { spec: { suspend: false } }, { type: 'merge' })
  await pass(20)
  t.same(await times('any'), ['2026-01-01T05:00:00Z'])
  t.same(await times('soon'), [], 'fifty minutes are too many')
  t.same(await told('soon'), ['MissSchedule: Missed scheduled time to start a job: Thu, 01 Jan 2026 05:00:00 +0000'])
  t.same(await times('late'), ['2026-01-01T05:00:00Z'])
  t.same(await times('often'), ['2026-01-01T05:50:00Z'])
  t.ok(
    (await told('often')).includes(
      'TooManyMissedTimes: too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew',
    ),
  )
  t.notOk((await told('any')).some((each) => each.startsWith('TooMany')))
  await pass(900)
  t.same(await times('soon'), ['2026-01-01T06:00:00Z'])
  t.equal((await told('soon')).filter((each) => each.startsWith('MissSchedule')).length, 1, 'and nothing was missed since')
})

t.test('what cannot be made is said; what is changed counts from then on', async (t) => {
  const { make, times, pass, client, told, jobs } = await world(t, Date.UTC(2026, 0, 1, 0, 30))
  for (const [field, value] of [
    ['schedule', '61 * * * *'],
    ['schedule', 'TZ=Europe/Berlin 0 * * * *'],
    ['timeZone', 'Europe/Atlantis'],
    ['startingDeadlineSeconds', -1],
    ['concurrencyPolicy', 'Sometimes'],
    ['successfulJobsHistoryLimit', -1],
  ]) {
    const refused = await make('wrong', { [field as string]: value }).catch((error: Error) => error)
    t.match(refused, { code: 422, message: new RegExp(`spec\\.${field}`) }, `${field}: ${value}`)
  }
  await make('never', { schedule: '0 0 31 2 *' })
  await pass(10)
  t.same(await told('never'), [
    'InvalidSchedule: invalid schedule: 0 0 31 2 * : time difference between two schedules is less than 1 second',
  ])
  await make('moved', {})
  await client.create(Job, {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: `moved-${Date.UTC(2026, 0, 1, 1) / 60_000}`, namespace },
    spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'x' }] } } },
  })
  await pass(2000)
  t.same(await jobs('moved'), [], 'the name is taken by a job of someone else')
  await client.patch(CronJob, { namespace, name: 'moved' }, { spec: { schedule: '15 * * * *' } }, { type: 'merge' })
  await pass(1000)
  t.same(await times('moved'), ['2026-01-01T01:15:00Z'])
  t.ok((await told('moved')).some((each) => /^SuccessfulCreate: Created job moved-\d+$/.test(each)))
})
