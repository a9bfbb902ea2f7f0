// kill -9 at many moments, and power loss: what is visible afterwards is whole, and the rest goes away. Needs root.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../src/lib/index.js'
import { treeHash, variants, verify } from './crash-scene.js'
import { fakeRegistry } from './fake-registry.js'
import { folder, isRoot, openStore } from './fixture.js'

const skip = isRoot ? false : 'needs root'
// A shared machine may be slow; nothing here waits for long by itself.
t.setTimeout(300_000)

/** Far enough ahead for every half-done thing to count as old. */
const later = { ...systemClock, now: () => systemClock.now() + 3_600_000 }

t.test('killed at every part of a download, and at any moment of everything else', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const { files, all, bytes } = variants()
  let killAt = Number.POSITIVE_INFINITY
  let victim: ReturnType<typeof spawn> | undefined
  const { host } = await fakeRegistry(t, files, (request, response, path) => {
    const served = files.get(path)
    if (!path.startsWith('blobs/') || !served || served.bytes.length < 10_000) return false
    const begin = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0)
    response.writeHead(begin > 0 ? 206 : 200, {
      'content-length': served.bytes.length - begin,
      ...(begin > 0 ? { 'content-range': `bytes ${begin}-${served.bytes.length - 1}/${served.bytes.length}` } : {}),
    })
    let at = begin
    const more = (): void => {
      if (at >= killAt) victim?.kill('SIGKILL')
      if (at >= served.bytes.length) response.end()
      else response.write(served.bytes.subarray(at, at + 20_000), () => setImmediate(more))
      at += 20_000
    }
    more()
    return true
  })
  const clean = openStore(t, join(home, 'clean'))
  const plain = { plainHttp: true }
  const reference = openStore(t, join(home, 'reference'), { registries: plain })
  const expected = new Map<string, string>()
  for (const { name, diffId } of all) {
    await reference.pull(`${host}/app:${name}`)
    expected.set(diffId, treeHash(join(home, 'reference/layers', diffId.replace(':', '-'), 'fs')))
  }
  t.equal(verify(reference, expected), 3)
  t.same(clean.list(), [])

  const root = join(home, 'store')
  const child = join(import.meta.dirname, 'crash-child.js')
  const ROUNDS = 12
  let seen = 0
  for (let round = 0; round < ROUNDS; round++) {
    // Half of them at a byte of a download, half at a moment after the first success.
    const byByte = round % 2 === 0
    killAt = byByte ? Math.floor((bytes * (round + 1)) / ROUNDS) : Number.POSITIVE_INFINITY
    const names = [0, 1, 2].map((i) => `app:${all[(i + round) % 3]?.name}`)
    const running = spawn(process.execPath, [child, root, host, ...names], { stdio: ['ignore', 'pipe', 'inherit'] })
    victim = running
    const dead = once(running, 'exit')
    let dots = 0
    running.stdout.on('data', () => {
      dots++
      // When all is there already no byte is downloaded, and the registry would not kill it.
      if (byByte && dots > 2) running.kill('SIGKILL')
      if (!byByte && dots === 1) setTimeout(() => running.kill('SIGKILL'), round * 3)
    })
    const [, signal] = (await dead) as [number | null, string | null]
    if (signal !== 'SIGKILL') t.fail(`the child ended by itself in round ${round}`)
    const store = openStore(t, root, { registries: plain })
    seen += verify(store, expected)
    await store.close()
  }
  t.ok(seen > 0, `images seen after kills: ${seen}`)

  killAt = Number.POSITIVE_INFINITY
  const store = openStore(t, root, { registries: plain, clock: later })
  for (const { name } of all) t.ok((await store.pull(`${host}/app:${name}`)).image, `${name} is pulled after all that`)
  t.equal(verify(store, expected), 3)
  for (const { id } of store.snapshot.list()) await store.snapshot.remove(id)
  for (const image of store.list()) await store.remove(image.id)
  await store.gc()
  for (const name of ['blobs/sha256', 'layers', 'names', 'leases', 'ingest', 'tmp', 'snapshots', 'synced', 'l'])
    t.same(readdirSync(join(root, name)), [], `${name} is empty at the end`)
})

t.test('after a power loss only what is sure to be on the disk is believed', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const { files, all } = variants()
  const { host } = await fakeRegistry(t, files)
  const root = join(home, 'store')
  const name = `${host}/app:one`
  const pulled = await openStore(t, root, { registries: { plainHttp: true }, flush: false, bootId: 'first' }).pull(name)
  const layer = join(root, 'layers', (all[0]?.diffId ?? '').replace(':', '-'), 'fs/one-7')
  const damage = (): void => writeFileSync(layer, '')

  damage()
  const second = openStore(t, root, { registries: { plainHttp: true }, flush: false, bootId: 'second' })
  t.equal(second.resolve(name)?.id, pulled.image.id, 'the blobs are whole')
  await second.snapshot.prepare('one', pulled.image)
  t.ok(readFileSync(layer).length > 1000, 'the layer was made again from its blob')

  const blob = join(root, 'blobs', (pulled.image.layers[0]?.digest ?? '').replace(':', '/'))
  chmodSync(blob, 0o600)
  truncateSync(blob, 100)
  const third = openStore(t, root, { registries: { plainHttp: true }, flush: false, bootId: 'third' })
  t.equal(third.resolve(name), undefined, 'an image that lost a blob is not there')
  t.same(third.list(), [])
  t.ok((await third.pull(name)).downloaded > 0, 'and is pulled again')

  // gc flushes and marks: now the next start of the machine checks nothing.
  await openStore(t, root, { bootId: 'third' }).gc()
  damage()
  openStore(t, root, { bootId: 'fourth', flush: false })
  t.equal(readFileSync(layer).length, 0, 'what was marked is believed')
})

t.test('collection spares what is named, used, or being pulled', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const { files, all } = variants()
  let go: (() => void) | undefined
  const { host } = await fakeRegistry(t, files, (_request, response, path) => {
    const served = files.get(path)
    if (go !== undefined || !path.startsWith('blobs/') || !served || served.bytes.length < 10_000) return false
    response.writeHead(200, { 'content-length': served.bytes.length })
    response.write(served.bytes.subarray(0, 60_000))
    go = () => response.end(served.bytes.subarray(60_000))
    return true
  })
  const root = join(home, 'store')
  const options = { registries: { plainHttp: true }, flush: false, clock: later }
  const store = openStore(t, root, options)
  const other = openStore(t, root, options)
  let moved: () => void = () => {}
  const moving = new Promise<void>((resolve) => {
    moved = resolve
  })
  const pulling = store.pull(`${host}/app:one`, { progress: ({ phase }) => phase === 'downloading' && moved() })
  await moving
  await other.gc()
  go?.()
  const { image } = await pulling
  t.ok(image, 'a collection in the middle of a pull takes nothing from it')

  await store.snapshot.prepare('box', image)
  await store.remove(`${host}/app:one`)
  t.same(store.list(), [])
  const used = await other.gc()
  t.equal(used.removedLayers, 0, 'the layer of a snapshot stays without its image')
  t.equal(used.removedBlobs, 3)
  await store.snapshot.remove('box')
  t.equal((await other.gc()).removedLayers, 1)

  // Under pressure the image pulled longest ago goes first, and one in use never.
  const times = [later.now(), later.now() + 1000, later.now() + 2000]
  const images = []
  for (const [i, { name }] of all.entries()) {
    const clocked = openStore(t, root, { ...options, clock: { ...later, now: () => times[i] ?? 0 } })
    images.push((await clocked.pull(`${host}/app:${name}`)).image)
  }
  const result = await store.gc({ untilPercent: 0, inUse: new Set([images[1]?.id ?? '']) })
  t.equal(result.removedImages[0], `${host}/app:one`)
  t.same(
    store.list().map(({ id }) => id),
    [images[1]?.id],
  )
  t.equal((await store.gc({ abovePercent: 100, untilPercent: 0 })).removedImages.length, 0, 'no pressure, no removal')
  t.ok((await store.usage()).bytes > 0)
  t.ok(store.unpackedUsage(images[1] as NonNullable<(typeof images)[0]>).inodes >= 60)
})
