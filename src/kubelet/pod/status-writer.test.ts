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
