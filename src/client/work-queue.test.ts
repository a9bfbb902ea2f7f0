import t from 'tap'
import { virtualClock } from '../lib/index.js'
import { workQueue } from './work-queue.js'

t.test('a key asked for twice is worked on once, and once more when asked for meanwhile', async (t) => {
  const queue = workQueue({ clock: virtualClock() })
  queue.add('a')
  queue.add('a')
  queue.add('b')
  t.equal(queue.length, 2)
  t.equal(await queue.next(), 'a')
  queue.add('a')
  t.equal(queue.length, 1, 'a is being worked on, so it does not wait a second time')
  t.equal(await queue.next(), 'b')
  queue.done('a')
  t.equal(await queue.next(), 'a')
})

t.test('a reader waits for the next key and is sent home at stop', async (t) => {
  const queue = workQueue({ clock: virtualClock() })
  const first = queue.next()
  const second = queue.next()
  queue.add('x')
  t.equal(await first, 'x')
  queue.stop()
  t.equal(await second, undefined)
  t.equal(await queue.next(), undefined)
})

t.test('failures wait longer each time; success starts anew; the earliest wish counts', async (t) => {
  const clock = virtualClock()
  const queue = workQueue({ clock, initialMs: 10 })
  const waits: (number | undefined)[] = []
  for (let i = 0; i < 4; i++) {
    queue.retry('k')
    const before = clock.monotonic()
    waits.push((clock.next() ?? 0) - before)
    await clock.advance(waits[i] ?? 0)
    t.equal(await queue.next(), 'k')
    queue.done('k')
  }
  t.same(waits, [10, 20, 40, 80])
  queue.forget('k')
  t.equal(queue.failures('k'), 0)
  queue.addAfter('k', 1000)
  queue.addAfter('k', 50)
  queue.addAfter('k', 500)
  await clock.advance(50)
  t.equal(queue.length, 1)
  t.equal(clock.next(), undefined, 'the later wishes are gone')
})
