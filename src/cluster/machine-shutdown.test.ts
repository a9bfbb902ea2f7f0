import t from 'tap'
import { silentLog } from '../lib/index.js'
import { preparation, watchShutdown } from './machine-shutdown.js'

t.test('what logind says on the bus', async (t) => {
  const line = (member: string, data: unknown[]): string =>
    JSON.stringify({ type: 'signal', sender: ':1.0', path: '/org/freedesktop/login1', member, payload: { type: 'b', data } })
  t.equal(preparation(line('PrepareForShutdown', [true])), true)
  t.equal(preparation(line('PrepareForShutdown', [false])), false)
  t.equal(preparation(line('SessionNew', [true])), undefined)
  t.equal(preparation('Monitoring bus message stream.'), undefined)
})

t.test('SIGPWR ends the pods, whatever manages the machine', async (t) => {
  const abort = new AbortController()
  let asked = 0
  const heard = new Promise<void>((resolve) => {
    const shutdown = async (): Promise<void> => {
      asked++
      resolve()
    }
    void watchShutdown({ graceSeconds: 0, shutdown, log: silentLog }, abort.signal)
  })
  // Waiting for a signal alone does not keep a process alive.
  const alive = setInterval(() => {}, 1 << 30)
  t.teardown(() => clearInterval(alive))
  process.kill(process.pid, 'SIGPWR')
  await heard
  abort.abort()
  t.equal(asked, 1)
})
