import t from 'tap'
import type { Pod } from '../../api/index.js'
import { createClient } from '../../client/index.js'
import { type HttpRequest, readBody, silentLog, systemClock } from '../../lib/index.js'
import { statusWriter } from './status-writer.js'

const pod = (name: string): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default', uid: name, resourceVersion: '1' },
  spec: { containers: [] },
})

t.test('many pods at once: a few writes at a time, each of the newest', async (t) => {
  const written: string[] = []
  const answers: (() => void)[] = []
  let most = 0
  const client = createClient(async ({ url, body }: HttpRequest) => {
    const { status } = JSON.parse(Buffer.from(await readBody(body)).toString()) as { status: { phase: string } }
    const name = /pods\/([^/]+)\/status/.exec(url)?.[1] ?? ''
    await new Promise<void>((resolve) => {
      answers.push(resolve)
      most = Math.max(most, answers.length)
    })
    written.push(`${name} ${status.phase}`)
    const object = { ...pod(name), metadata: { ...pod(name).metadata, resourceVersion: '2' } }
    return { status: 200, headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify(object)) }
  })
  const writer = statusWriter({ client, clock: systemClock, log: silentLog, signal: new AbortController().signal })
  const names = Array.from({ length: 30 }, (_, i) => `p${i}`)
  for (const phase of ['Pending', 'Running']) for (const name of names) writer.set(pod(name), { phase })
  const all = Promise.all(names.map((name) => writer.flush(name)))
  let over = false
  void all.then(() => {
    over = true
  })
  while (!over) {
    answers.shift()?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.ok(most <= 8, `${most} at a time`)
  for (const name of names)
    t.equal(
      written.findLast((line) => line.startsWith(`${name} `)),
      `${name} Running`,
    )
  t.ok(written.length <= names.length + 8, `what waited is written once: ${written.length}`)
})

/** Answers each request with the next of `answers`, `[status, object]`; says which methods were asked. */
function scripted(...answers: readonly (readonly [number, unknown])[]) {
  const asked: string[] = []
  const client = createClient(async ({ method = 'GET' }: HttpRequest) => {
    const [status, object] = answers[asked.push(method) - 1] ?? [500, {}]
    return { status, headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify(object)) }
  })
  const writer = statusWriter({ client, clock: systemClock, log: silentLog, signal: new AbortController().signal })
  return { asked, writer }
}

const failure = (code: number, reason: string) =>
  [code, { apiVersion: 'v1', kind: 'Status', status: 'Failure', code, reason, message: reason }] as const

t.test('a conflict is asked about: only of another pod it is the last word', async (t) => {
  // Timers of the clock do not keep a process alive.
  const alive = setInterval(() => {}, 1 << 30)
  t.teardown(() => clearInterval(alive))
  const lost = scripted(failure(409, 'Conflict'), [200, pod('a')], [200, pod('a')])
  lost.writer.set(pod('a'), { phase: 'Running' })
  await lost.writer.flush('a')
  t.same(lost.asked, ['PATCH', 'GET', 'PATCH'], 'the pod is still there: its status is written')

  const other = scripted(failure(409, 'Conflict'), [200, { ...pod('a'), metadata: { ...pod('a').metadata, uid: 'b' } }])
  other.writer.set(pod('a'), { phase: 'Running' })
  await other.writer.flush('a')
  t.same(other.asked, ['PATCH', 'GET'], 'another pod has the name')

  const gone = scripted(failure(404, 'NotFound'))
  gone.writer.set(pod('a'), { phase: 'Running' })
  await gone.writer.flush('a')
  t.same(gone.asked, ['PATCH'])
})
