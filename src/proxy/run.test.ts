import t from 'tap'
import { silentLog, systemClock } from '../lib/index.js'
import type { Applier } from './applier.js'
import { type ProxyOptions, runProxy } from './run.js'

const never = new Promise<void>(() => {})

t.test('stops while the first lists are still on their way, and gives the applier back', async (t) => {
  const unlisted = { synced: never, subscribe: () => t.fail('nothing to follow'), get: () => undefined, byIndex: () => [] } as unknown
  let closed = 0
  const applier = { name: 'none', close: () => closed++ } as unknown as Applier
  const stop = new AbortController()
  const lists = { services: unlisted, slices: unlisted } as Pick<ProxyOptions, 'services' | 'slices'>
  const running = runProxy({ ...lists, nodeName: 'n', applier, clock: systemClock, log: silentLog }, stop.signal)
  stop.abort()
  await running
  t.equal(closed, 1)
})
