// kill -9 in the middle of load, again and again: nothing acknowledged is lost, nothing goes backward, watches resume without a gap.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { seededRandom, systemClock } from '../../src/lib/index.js'
import { openLmdbStore, type StoreEvent } from '../../src/store/index.js'

const ROUNDS = 6
const program = join(import.meta.dirname, 'programs/writer.js')

interface Acknowledged {
  readonly revision: number
  readonly deleted: boolean
  readonly key: string
  readonly text: string
}

/** Runs the writer until it acknowledged `count` writes, then kills it. What it says after that counts too. */
function runUntil(path: string, round: number, count: number): Promise<Acknowledged[]> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, path, String(round)], { stdio: ['ignore', 'pipe', 'inherit'] })
    const done: Acknowledged[] = []
    let rest = ''
    child.stdout.setEncoding('utf8')
    child.stdout.on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const [revision = '', sign = '', key = '', value = ''] = line.split(' ')
        if (revision !== 'ready') done.push({ revision: Number(revision), deleted: sign === '-', key, text: value })
      }
      if (done.length >= count) child.kill('SIGKILL')
    })
    child.on('error', reject)
    child.on('close', () => (done.length < count ? reject(new Error(`the writer ended after ${done.length} writes`)) : resolve(done)))
  })
}

void t.test('kill -9 during load', async (t) => {
  const path = mkdtempSync(join(tmpdir(), 'knarr-crash-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  const random = seededRandom(1)
  let total = 0
  let revision = 0
  let seen = 1
  for (let round = 0; round < ROUNDS; round++) {
    const done = await runUntil(path, round, 200 + Math.floor(random.next() * 3000))
    total += done.length
    const store = await openLmdbStore({ path, clock: systemClock, verify: true })
    try {
      const highest = Math.max(...done.map((one) => one.revision))
      const now = await store.revision()
      t.ok(now >= highest, `round ${round}: revision ${now} is not behind the last acknowledged ${highest}`)
      t.ok(now > revision, 'the revision went on from the last run')
      t.ok(
        done.every((one) => one.revision > revision),
        'no revision was given twice',
      )

      // A watcher of the last run resumes where it was.
      const events: StoreEvent[] = []
      for await (const batch of store.watch('/registry/crash/', { fromRevision: seen + 1 })) {
        events.push(...batch.events)
        if (batch.revision >= now) break
      }
      seen = now
      const revisions = events.map(({ kv }) => kv.modRevision)
      t.ok(
        revisions.every((one, i) => i === 0 || one > (revisions[i - 1] ?? 0)),
        'events in order, each once',
      )
      const byRevision = new Map(events.map((event) => [event.kv.modRevision, event]))
      const missing = done.filter(({ revision: at, key, text, deleted }) => {
        const event = byRevision.get(at)
        if (!event) return true
        return (
          event.kv.key !== key ||
          (event.type === 'delete') !== deleted ||
          (!deleted && !Buffer.from(event.kv.value).toString().startsWith(`${text} `))
        )
      })
      t.same(missing.slice(0, 3), [], `round ${round}: every acknowledged write is in the history`)

      // The newest version of each key is what the history says.
      const newest = new Map<string, StoreEvent>()
      for (const event of events) newest.set(event.kv.key, event)
      const { items } = await store.range(`/registry/crash/${round}/`)
      const present = new Map(items.map((kv) => [kv.key, kv.modRevision]))
      const wrong = [...newest].filter(([key, event]) => present.get(key) !== (event.type === 'delete' ? undefined : event.kv.modRevision))
      t.same(wrong.slice(0, 3), [])
      revision = now
      if (round === 2) await store.compact(now - 10)
    } finally {
      await store.close()
    }
  }
  t.comment(`${ROUNDS} kills, ${total} acknowledged writes, revision ${revision}, none missing`)
})
