// The LMDB store keeps what every store promises, and what only a store on this disk can.
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { systemClock, virtualClock } from '../../src/lib/index.js'
import { openLmdbStore } from '../../src/store/index.js'
import { storeContract } from '../contract/store.js'

const folder = (): { path: string; remove(): void } => {
  const path = mkdtempSync(join(tmpdir(), 'knarr-store-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

storeContract('lmdb', async () => {
  const { path, remove } = folder()
  const store = await openLmdbStore({ path, clock: systemClock })
  return {
    store,
    prefix: '/registry/',
    async end() {
      await store.close()
      remove()
    },
  }
})

void t.test('everything is there again after a restart', async (t) => {
  const { path, remove } = folder()
  t.teardown(remove)
  let store = await openLmdbStore({ path, clock: systemClock })
  const a = await store.put('/a', Buffer.from('1'))
  await store.put('/b', Buffer.from('2'))
  const last = await store.delete('/b')
  await store.close()
  store = await openLmdbStore({ path, clock: systemClock, verify: true })
  t.equal(await store.revision(), last.revision)
  t.equal((await store.get('/a')).kv?.modRevision, a.revision)
  t.ok((await store.get('/b', { revision: last.revision - 1 })).kv)
  await store.compact(last.revision)
  await store.close()
  store = await openLmdbStore({ path, clock: systemClock, verify: true })
  t.equal(await store.revision(), last.revision, 'the counter does not fall back when its last record was compacted')
  t.equal(store.verify(), 1)
  await store.close()
})

void t.test('one process at a time', async (t) => {
  const { path, remove } = folder()
  t.teardown(remove)
  const store = await openLmdbStore({ path, clock: systemClock })
  await t.rejects(openLmdbStore({ path, clock: systemClock }), /another process has .* open/)
  await store.close()
  await (await openLmdbStore({ path, clock: systemClock })).close()
})

void t.test('a lease expires by its clock, also across a restart', async (t) => {
  const { path, remove } = folder()
  t.teardown(remove)
  let store = await openLmdbStore({ path, clock: virtualClock() })
  const lease = await store.grantLease(10)
  await store.put('/a', Buffer.from('1'), { lease: lease.id })
  await store.close()
  const clock = virtualClock()
  store = await openLmdbStore({ path, clock })
  await clock.advance(9_000)
  await store.keepAlive(lease.id)
  await clock.advance(9_000)
  t.ok((await store.get('/a')).kv)
  const watch = store.watch('/')[Symbol.asyncIterator]()
  const gone = watch.next()
  await clock.advance(1_500)
  t.match((await gone).value, { events: [{ type: 'delete', kv: { key: '/a' } }] })
  await watch.return?.()
  await store.close()
})

void t.test('a backup is a store of its own', async (t) => {
  const { path, remove } = folder()
  t.teardown(remove)
  const store = await openLmdbStore({ path: `${path}/live`, clock: systemClock })
  for (let i = 0; i < 100; i++) await store.put(`/k${i}`, Buffer.from(String(i)))
  const at = await store.revision()
  await store.backup(`${path}/copy`)
  await t.rejects(store.backup(`${path}/copy`), /there already/)
  await t.rejects(store.backup(`${path}/no/where`), /is not there/)
  await store.put('/later', Buffer.from('x'))
  const copy = await openLmdbStore({ path: `${path}/copy`, clock: systemClock, verify: true })
  t.equal(await copy.revision(), at)
  t.equal((await copy.range('/')).count, 100)
  t.equal((await copy.get('/later')).kv, undefined)
  await copy.close()
  await store.close()
})

/** Runs a command in a process of its own, as a user does. */
const run = (name: 'backup' | 'restore', words: readonly string[]): Promise<{ code: number; out: string }> =>
  new Promise((resolve) => {
    const door = join(import.meta.dirname, '../../src/store/command.js')
    const script = `import(${JSON.stringify(door)}).then(async (door) => {
      process.exitCode = await door.${name}.run(process.argv.slice(1), { stdout: process.stdout, stderr: process.stderr, stdin: process.stdin, env: {}, signal: new AbortController().signal })
    }).catch((error) => { console.log(error.message); process.exitCode = 1 })`
    execFile(process.execPath, ['-e', script, '--', ...words], (error, stdout) => resolve({ code: error ? 1 : 0, out: stdout }))
  })

void t.test('a backup among writes is the store at one revision', async (t) => {
  const { path, remove } = folder()
  t.teardown(remove)
  const store = await openLmdbStore({ path: `${path}/live`, clock: systemClock })
  const written = new Map<number, string>()
  let stop = false
  const writing = Array.from({ length: 8 }, async (_, writer) => {
    for (let i = 0; !stop; i++) {
      const key = `/w${writer}/${i % 50}`
      written.set((await store.put(key, Buffer.alloc(2000, i))).revision, key)
    }
  })
  const copies: { readonly before: number; readonly after: number; readonly path: string }[] = []
  for (let round = 0; round < 3; round++) {
    const before = await store.revision()
    t.equal((await run('backup', ['--data', `${path}/live`, `${path}/copy${round}`])).code, 0)
    copies.push({ before, after: await store.revision(), path: `${path}/copy${round}` })
  }
  stop = true
  await Promise.all(writing)
  await store.close()
  for (const { before, after, path: at } of copies) {
    const copy = await openLmdbStore({ path: at, clock: systemClock, verify: true })
    const revision = await copy.revision()
    t.ok(revision >= before && revision <= after, `${before} <= ${revision} <= ${after}`)
    const events = []
    for await (const batch of copy.watch('/', { fromRevision: 2 })) {
      events.push(...batch.events)
      if (batch.revision >= revision) break
    }
    t.same(
      events.map(({ kv }) => [kv.modRevision, kv.key]),
      [...written].filter(([at]) => at <= revision).sort(([a], [b]) => a - b),
      'every write up to there, and none behind',
    )
    await copy.close()
  }
  t.ok(
    copies.some(({ before, after }) => after > before),
    'there were writes meanwhile',
  )
})

void t.test('knarr backup while the store is in use, knarr restore when it is not', async (t) => {
  const { path, remove } = folder()
  t.teardown(remove)
  let store = await openLmdbStore({ path: `${path}/live`, clock: systemClock })
  for (let i = 0; i < 50; i++) await store.put(`/k${i}`, Buffer.from(String(i)))
  const at = await store.revision()
  const saved = await run('backup', ['--data', `${path}/live`, `${path}/saved`])
  t.match(saved.out, new RegExp(`^50 keys at revision ${at} saved in`))
  await store.put('/later', Buffer.from('x'))
  const refused = await run('restore', ['--data', `${path}/live`, `${path}/saved`])
  t.equal(refused.code, 1)
  t.match(refused.out, /another process has .* open/)
  await store.close()
  const restored = await run('restore', ['--data', `${path}/live`, `${path}/saved`])
  t.match(restored.out, /is kept in .*\n50 keys at revision \d+ restored to/)
  store = await openLmdbStore({ path: `${path}/live`, clock: systemClock, verify: true })
  t.equal((await store.get('/later')).kv, undefined)
  t.equal(await store.revision(), at)
  await store.close()
  t.equal((await run('restore', [`${path}/nothing`])).code, 1)
})

void t.test('space of what was forgotten is used again', async (t) => {
  const { path, remove } = folder()
  t.teardown(remove)
  const store = await openLmdbStore({ path, clock: systemClock })
  const rounds = async (count: number): Promise<number> => {
    for (let round = 0; round < count; round++) {
      await Promise.all(Array.from({ length: 100 }, (_, i) => store.put(`/k${i}`, Buffer.alloc(4000, round))))
      await store.compact(await store.revision())
    }
    return store.size()
  }
  const early = await rounds(10)
  const late = await rounds(60)
  t.ok(late < early * 2, `${early} bytes after 10 rounds, ${late} after 70`)
  await store.close()
})

void t.test('a file that is mostly empty is small again after a restart', async (t) => {
  const { path, remove } = folder()
  t.teardown(remove)
  let store = await openLmdbStore({ path, clock: systemClock })
  await store.put('/kept', Buffer.from('1'))
  const large = Buffer.alloc(200_000, 7)
  await Promise.all(Array.from({ length: 150 }, (_, i) => store.put(`/large${i}`, large)))
  for (let i = 0; i < 150; i++) await store.delete(`/large${i}`)
  await store.put('/kept', Buffer.from('2'))
  const revision = await store.revision()
  await store.compact(revision - 1)
  const size = (): number => statSync(`${path}/data.mdb`).size
  const before = size()
  await store.close()
  writeFileSync(`${path}/data.mdb.shrunk`, 'cut off') // by a crash of an earlier start
  store = await openLmdbStore({ path, clock: systemClock, verify: true })
  t.ok(before > 25e6 && size() < 2e6, `${before} bytes before, ${size()} after`)
  t.equal(await store.revision(), revision, 'no revision goes back')
  t.equal((await store.get('/kept', { revision: revision - 1 })).kv?.value.toString(), '1', 'history is kept')
  t.ok((await store.put('/kept', Buffer.from('3'), { expect: revision })).ok)
  await store.close()
  t.notOk(existsSync(`${path}/data.mdb.shrunk`))
})

void t.test('a damaged record is found', async (t) => {
  const { path, remove } = folder()
  t.teardown(remove)
  let store = await openLmdbStore({ path, clock: systemClock })
  await store.put('/a', Buffer.from('find-this-value-in-the-file'))
  await store.close()
  const file = `${path}/data.mdb`
  const bytes = readFileSync(file)
  let at = bytes.indexOf('find-this-value')
  t.ok(at > 0)
  for (; at > 0; at = bytes.indexOf('find-this-value', at + 1)) bytes.write('FIND', at)
  writeFileSync(file, bytes)
  await t.rejects(async () => {
    store = await openLmdbStore({ path, clock: systemClock, verify: true })
  }, /record at revision 2 is damaged \(checksum\)/)
})
