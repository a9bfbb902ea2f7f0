import t from 'tap'
import type { Event, Resource } from '../api/index.js'
import { seededRandom, silentLog, virtualClock } from '../lib/index.js'
import type { Client } from './client.js'
import { eventRecorder } from './event-recorder.js'

const about = { apiVersion: 'apps/v1', kind: 'ReplicaSet', metadata: { name: 'web', namespace: 'default', uid: 'u' } } as Resource

function recording() {
  const events = new Map<string, { message: string; count: number }>()
  const down = { until: 0 }
  const clock = virtualClock()
  const write = async (name: string, news: { message: string; count: number }) => {
    if (clock.monotonic() < down.until) throw new Error('connection refused')
    events.set(name, { ...events.get(name), ...news })
  }
  const client = {
    create: (_: typeof Event, event: Event) => write(event.metadata.name, { message: event.message ?? '', count: event.count ?? 0 }),
    patch: (_: typeof Event, { name }: { name: string }, patch: { message: string; count: number }) => write(name, patch),
  } as unknown as Client
  const recorder = eventRecorder({ client, clock, random: seededRandom(1), log: silentLog, component: 'test' })
  return { recorder, clock, down, told: () => [...events.values()].map(({ message, count }) => `${count} ${message}`) }
}

t.test('equal events are counted', async (t) => {
  const { recorder, told } = recording()
  for (let index = 0; index < 3; index++) recorder.record(about, 'Normal', 'Pulled', 'image is there')
  await recorder.flush()
  t.same(told(), ['3 image is there'])
})

t.test('what differs in the message alone becomes one event, a flood is cut off', async (t) => {
  const { recorder, told, clock } = recording()
  for (let index = 0; index < 1000; index++) recorder.record(about, 'Normal', 'SuccessfulCreate', `Created pod: web-${index}`)
  await recorder.flush()
  t.same(told(), [
    ...Array.from({ length: 10 }, (_, index) => `1 Created pod: web-${index}`),
    '15 (combined from similar events): Created pod: web-24',
  ])
  await clock.advance(300_000)
  recorder.record(about, 'Normal', 'Other', 'after a while there is room for one more')
  recorder.record(about, 'Normal', 'Other', 'and not for two')
  await recorder.flush()
  t.equal(told().at(-1), '1 after a while there is room for one more')
})

t.test('a server that is away is asked again', async (t) => {
  const { recorder, told, clock, down } = recording()
  down.until = 15_000
  recorder.record(about, 'Warning', 'Failed', 'x')
  await clock.advance(5_000)
  t.same(told(), [])
  await clock.advance(20_000)
  await recorder.flush()
  t.same(told(), ['1 x'])
})
