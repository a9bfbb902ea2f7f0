// What every Store promises, whatever it stores in.
import t, { type Test } from 'tap'
import { CompactedError, FutureRevisionError, type Store, type StoreEvent } from '../../src/store/index.js'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const text = (value: Uint8Array | undefined): string | undefined => value && Buffer.from(value).toString()

/** Reads a watch until `count` events came. */
async function take(watch: AsyncIterable<{ readonly events: readonly StoreEvent[] }>, count: number): Promise<StoreEvent[]> {
  const events: StoreEvent[] = []
  for await (const batch of watch) {
    events.push(...batch.events)
    if (events.length >= count) break
  }
  return events
}
const brief = ({ type, kv, previous }: StoreEvent): unknown[] => [type, kv.key, text(kv.value), text(previous?.value)]

/** Runs the suite; `create` returns an empty store, or one whose keys under `prefix` nobody else writes. */
export function storeContract(name: string, create: () => Promise<{ store: Store; prefix: string; end(): Promise<void> }>): void {
  const check = (title: string, run: (store: Store, prefix: string, t: Test) => Promise<void>): void => {
    void t.test(`${name}: ${title}`, async (t) => {
      const { store, prefix, end } = await create()
      t.teardown(end)
      await run(store, prefix, t)
    })
  }

  check('every write raises one counter', async (store, p, t) => {
    const before = await store.revision()
    const first = await store.put(`${p}a`, bytes('1'))
    const second = await store.put(`${p}b`, bytes('2'))
    t.ok(first.ok && second.ok)
    t.ok(first.revision > before)
    t.ok(second.revision > first.revision)
    t.ok((await store.revision()) >= second.revision)
    const a = await store.get(`${p}a`)
    t.match(a.kv, { key: `${p}a`, createRevision: first.revision, modRevision: first.revision, version: 1, lease: 0 })
    t.equal(text(a.kv?.value), '1')
    const third = await store.put(`${p}a`, bytes('3'))
    t.match((await store.get(`${p}a`)).kv, { createRevision: first.revision, modRevision: third.revision, version: 2 })
    t.equal(third.ok && text(third.previous?.value), '1')
    t.equal((await store.get(`${p}none`)).kv, undefined)
  })

  check('a write happens only at the expected revision', async (store, p, t) => {
    const created = await store.put(`${p}a`, bytes('1'), { expect: 0 })
    t.ok(created.ok)
    const again = await store.put(`${p}a`, bytes('2'), { expect: 0 })
    t.notOk(again.ok)
    t.equal(!again.ok && again.current?.modRevision, created.revision)
    t.equal(!again.ok && text(again.current?.value), '1')
    t.notOk((await store.put(`${p}a`, bytes('2'), { expect: created.revision + 100 })).ok)
    t.notOk((await store.put(`${p}other`, bytes('2'), { expect: created.revision })).ok)
    const updated = await store.put(`${p}a`, bytes('2'), { expect: created.revision })
    t.ok(updated.ok)
    t.notOk((await store.delete(`${p}a`, { expect: created.revision })).ok)
    const deleted = await store.delete(`${p}a`, { expect: updated.revision })
    t.ok(deleted.ok && deleted.revision > updated.revision)
    t.equal(deleted.ok && text(deleted.previous?.value), '2')
    t.ok((await store.put(`${p}a`, bytes('3'), { expect: 0 })).ok)
    t.match((await store.get(`${p}a`)).kv, { version: 1 })
  })

  check('of many writers that expect the same, one wins', async (store, p, t) => {
    const results = await Promise.all(Array.from({ length: 50 }, (_, i) => store.put(`${p}a`, bytes(String(i)), { expect: 0 })))
    t.equal(results.filter(({ ok }) => ok).length, 1)
    const winner = results.findIndex(({ ok }) => ok)
    t.equal(text((await store.get(`${p}a`)).kv?.value), String(winner))
  })

  check('a counter that many raise by compare-and-swap loses nothing', async (store, p, t) => {
    await store.put(`${p}n`, bytes('0'))
    const raise = async (): Promise<void> => {
      for (;;) {
        const { kv } = await store.get(`${p}n`)
        if (!kv) throw new Error('the counter is gone')
        if ((await store.put(`${p}n`, bytes(String(Number(text(kv.value)) + 1)), { expect: kv.modRevision })).ok) return
      }
    }
    await Promise.all(Array.from({ length: 20 }, raise))
    t.equal(text((await store.get(`${p}n`)).kv?.value), '20')
  })

  check('deleting what is not there changes nothing', async (store, p, t) => {
    const before = await store.revision()
    const result = await store.delete(`${p}none`)
    t.ok(result.ok)
    t.equal(await store.revision(), before)
  })

  check('a range is ordered, bounded, and of one revision', async (store, p, t) => {
    for (const name of ['b', 'a', 'c/x', 'c', 'd']) await store.put(`${p}in/${name}`, bytes(name))
    const last = await store.put(`${p}inn`, bytes('outside'))
    const all = await store.range(`${p}in/`)
    t.same(
      all.items.map(({ key }) => key.slice(p.length)),
      ['in/a', 'in/b', 'in/c', 'in/c/x', 'in/d'],
    )
    t.match(all, { count: 5, more: false })
    t.ok(all.revision >= last.revision)
    const first = await store.range(`${p}in/`, { limit: 2 })
    t.match(first, { count: 5, more: true })
    t.equal(first.items.length, 2)
    await store.put(`${p}in/bb`, bytes('late'))
    await store.delete(`${p}in/c`)
    await store.put(`${p}in/d`, bytes('changed'))
    const rest = await store.range(`${p}in/`, { startAfter: first.items.at(-1)?.key ?? '', revision: first.revision })
    t.same(
      rest.items.map(({ key, value }) => [key.slice(p.length), text(value)]),
      [
        ['in/c', 'c'],
        ['in/c/x', 'c/x'],
        ['in/d', 'd'],
      ],
    )
    t.equal(rest.revision, first.revision)
    t.match(await store.range(`${p}in/`, { countOnly: true }), { count: 5, items: [], more: false })
    t.equal((await store.range(`${p}nothing/`)).items.length, 0)
    t.equal(text((await store.get(`${p}in/d`, { revision: first.revision })).kv?.value), 'd')
    await t.rejects(store.range(`${p}in/`, { revision: (await store.revision()) + 1000 }), FutureRevisionError)
  })

  check('a transaction is done whole or not at all, at one revision', async (store, p, t) => {
    const a = await store.put(`${p}a`, bytes('1'))
    const done = await store.txn({
      compare: [
        { key: `${p}a`, modRevision: a.revision },
        { key: `${p}b`, modRevision: 0 },
      ],
      operations: [
        { type: 'put', key: `${p}b`, value: bytes('b') },
        { type: 'delete', key: `${p}a` },
      ],
    })
    t.ok(done.ok)
    t.equal((await store.get(`${p}b`)).kv?.modRevision, done.revision)
    t.equal((await store.get(`${p}a`)).kv, undefined)
    const refused = await store.txn({
      compare: [
        { key: `${p}b`, modRevision: done.revision },
        { key: `${p}a`, modRevision: a.revision },
      ],
      operations: [{ type: 'put', key: `${p}b`, value: bytes('never') }],
    })
    t.notOk(refused.ok)
    t.equal(text((await store.get(`${p}b`)).kv?.value), 'b')
  })

  check('a watch tells what happens, in order, with what was before', async (store, p, t) => {
    const watch = store.watch(`${p}in/`)
    const taken = take(watch, 4)
    await store.put(`${p}out`, bytes('0'))
    await store.put(`${p}in/a`, bytes('1'))
    await store.put(`${p}in/a`, bytes('2'))
    await store.delete(`${p}in/a`)
    await store.put(`${p}in/a`, bytes('3'))
    const events = await taken
    t.same(events.map(brief), [
      ['put', `${p}in/a`, '1', undefined],
      ['put', `${p}in/a`, '2', '1'],
      ['delete', `${p}in/a`, '', '2'],
      ['put', `${p}in/a`, '3', undefined],
    ])
    const revisions = events.map(({ kv }) => kv.modRevision)
    t.same(
      revisions,
      [...revisions].sort((a, b) => a - b),
    )
  })

  check('a watch from an earlier revision tells what happened since, then goes on', async (store, p, t) => {
    await store.put(`${p}a`, bytes('1'))
    const second = await store.put(`${p}a`, bytes('2'))
    await store.delete(`${p}a`)
    const taken = take(store.watch(p, { fromRevision: second.revision }), 3)
    await store.put(`${p}b`, bytes('3'))
    t.same((await taken).map(brief), [
      ['put', `${p}a`, '2', '1'],
      ['delete', `${p}a`, '', '2'],
      ['put', `${p}b`, '3', undefined],
    ])
  })

  check('watchers that start while writers write miss nothing and see nothing twice', async (store, p, t) => {
    const start = (await store.revision()) + 1
    const writing = Promise.all(Array.from({ length: 200 }, (_, i) => store.put(`${p}${i % 7}/${i}`, bytes(String(i)))))
    const watches = [take(store.watch(p, { fromRevision: start }), 200)]
    await store.put(`${p}marker`, bytes('x'))
    watches.push(take(store.watch(p, { fromRevision: start }), 201))
    await writing
    for (const events of await Promise.all(watches)) {
      const keys = events.map(({ kv }) => kv.key)
      t.equal(new Set(keys).size, keys.length)
      const revisions = events.map(({ kv }) => kv.modRevision)
      t.same(
        revisions,
        [...revisions].sort((a, b) => a - b),
      )
    }
  })

  check('a watch ends when it is told to', async (store, p, t) => {
    const abort = new AbortController()
    const ended = take(store.watch(p, { signal: abort.signal }), 10)
    await store.put(`${p}a`, bytes('1'))
    abort.abort()
    t.ok((await ended).length <= 1)
  })

  check('progress is reported when asked for', async (store, p, t) => {
    const watch = store.watch(`${p}quiet/`)[Symbol.asyncIterator]()
    const first = watch.next()
    const { revision } = await store.put(`${p}elsewhere`, bytes('1'))
    store.requestProgress(revision)
    for (let seen = await first; !seen.done && seen.value.revision < revision; seen = await watch.next())
      t.same(seen.value.events, [], 'nothing that somebody wrote')
    await watch.return?.()
    t.match(await store.range(`${p}quiet/`), { items: [], count: 0 })
  })

  check('compaction forgets what was replaced and keeps what is', async (store, p, t) => {
    const first = await store.put(`${p}a`, bytes('1'))
    await store.put(`${p}gone`, bytes('x'))
    await store.delete(`${p}gone`)
    await store.put(`${p}kept`, bytes('k'))
    const at = await store.put(`${p}a`, bytes('2'))
    await store.put(`${p}a`, bytes('3'))
    await store.compact(at.revision)
    t.equal(await store.compactRevision(), at.revision)
    await t.rejects(store.get(`${p}a`, { revision: first.revision }), CompactedError)
    await t.rejects(store.range(p, { revision: first.revision }), CompactedError)
    await t.rejects(async () => take(store.watch(p, { fromRevision: first.revision }), 1), CompactedError)
    t.equal(text((await store.get(`${p}a`, { revision: at.revision })).kv?.value), '2')
    t.equal(text((await store.get(`${p}kept`)).kv?.value), 'k')
    t.equal((await store.range(p)).items.length, 2)
    t.same((await take(store.watch(p, { fromRevision: at.revision + 1 }), 1)).map(brief), [['put', `${p}a`, '3', '2']])
    await store.put(`${p}gone`, bytes('again'), { expect: 0 })
    t.match((await store.get(`${p}gone`)).kv, { version: 1 })
  })

  check('keys end with their lease', async (store, p, t) => {
    const lease = await store.grantLease(60)
    await store.keepAlive(lease.id)
    await store.put(`${p}a`, bytes('1'), { lease: lease.id })
    await store.put(`${p}b`, bytes('1'), { lease: lease.id })
    t.equal((await store.get(`${p}a`)).kv?.lease, lease.id)
    const { revision } = await store.put(`${p}b`, bytes('2'))
    const taken = take(store.watch(p, { fromRevision: revision + 1 }), 1)
    await store.revokeLease(lease.id)
    t.same((await taken).map(brief), [['delete', `${p}a`, '', '1']])
    t.ok((await store.get(`${p}b`)).kv, 'a key that a later write took out of the lease stays')
    await t.rejects(store.put(`${p}c`, bytes('1'), { lease: lease.id }))
    await t.rejects(store.keepAlive(lease.id))
  })

  check('values may be empty, binary and large', async (store, p, t) => {
    const large = Buffer.alloc(1_000_000, 7)
    const all = Uint8Array.from({ length: 256 }, (_, i) => i)
    await store.put(`${p}empty`, new Uint8Array(0))
    await store.put(`${p}binary`, all)
    await store.put(`${p}large`, large)
    t.equal((await store.get(`${p}empty`)).kv?.value.length, 0)
    t.ok(Buffer.from(all).equals((await store.get(`${p}binary`)).kv?.value ?? new Uint8Array(1)))
    t.ok(large.equals((await store.get(`${p}large`)).kv?.value ?? new Uint8Array(1)))
  })
}
