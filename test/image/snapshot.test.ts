// Needs root (mounts, device nodes); says so and skips otherwise.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { createImageStore, type Mount } from '../../src/image/index.js'
import { mount, unmount } from '../../src/sys/index.js'
import { sha } from './fake-registry.js'
import { folder, makeTar, openStore } from './fixture.js'

const skip = process.getuid?.() === 0 ? false : 'needs root'
// A shared machine may be slow; nothing here waits for long by itself.
t.setTimeout(300_000)

t.test('a folder becomes an image, and the image a root to write in', { skip, timeout: 300_000 }, async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'knarr-image-'))
  const store = createImageStore({ root: join(home, 'store') })
  t.teardown(async () => {
    await store.close()
    rmSync(home, { recursive: true, force: true })
  })
  const rootfs = join(home, 'rootfs')
  mkdirSync(join(rootfs, 'bin'), { recursive: true })
  writeFileSync(join(rootfs, 'bin/hello'), '#!/bin/sh\necho hello\n', { mode: 0o755 })
  const [image] = await store.import(rootfs, { name: 'knarr-test/hello', config: { Cmd: ['/bin/hello'] } })
  t.same(image?.repoTags, ['docker.io/knarr-test/hello:latest'])
  t.same(store.inspect('knarr-test/hello').config.config?.Cmd, ['/bin/hello'])
  t.equal(store.resolve(image?.id.slice(7, 19) ?? '')?.id, image?.id, 'found by the beginning of its id')

  const mounts = await store.snapshot.prepare('one', image)
  const target = mounts[0]?.target ?? ''
  for (const each of mounts) mount(each)
  try {
    t.equal(readFileSync(join(target, 'bin/hello'), 'utf8'), '#!/bin/sh\necho hello\n')
    writeFileSync(join(target, 'bin/hello'), 'changed')
    await t.rejects(store.snapshot.remove('one'), { message: 'snapshot one is still mounted' })
  } finally {
    unmount(target)
  }
  t.ok((await store.snapshot.usage('one')).bytes > 0)
  await store.snapshot.remove('one')
  t.same(store.snapshot.list(), [])
  const view = await store.snapshot.view('two', image?.chainId)
  for (const each of view) mount(each)
  try {
    t.equal(readFileSync(join(target.replace('/one/', '/two/'), 'bin/hello'), 'utf8'), '#!/bin/sh\necho hello\n', 'the layer is untouched')
    t.throws(() => writeFileSync(join(target.replace('/one/', '/two/'), 'x'), ''), { code: 'EROFS' })
  } finally {
    unmount(target.replace('/one/', '/two/'))
  }
})

/** A docker archive whose image has these layers, lowest first. */
function archiveOf(name: string, layers: readonly Buffer[]): Buffer {
  const ids = layers.map((tar) => sha(tar))
  const config = JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: ids } })
  const manifest = JSON.stringify([{ Config: 'c.json', RepoTags: [name], Layers: layers.map((_, i) => `${i}.tar`) }])
  return makeTar([
    { path: 'c.json', data: config },
    { path: 'manifest.json', data: manifest },
    ...layers.map((data, i) => ({ path: `${i}.tar`, data })),
  ])
}

/** Mounts, reads, unmounts. */
function mounted<T>(mounts: readonly Mount[], read: (root: string) => T): T {
  for (const each of mounts) mount(each)
  try {
    return read(mounts[0]?.target ?? '')
  } finally {
    unmount(mounts[0]?.target ?? '')
  }
}

t.test('150 layers: overlayfs and the plain copy show the same', { skip }, async (t) => {
  const home = folder(t)
  // Every layer adds a file, changes a common one, and every tenth deletes what the one before added.
  const layers = Array.from({ length: 150 }, (_, i) =>
    makeTar([
      { path: './', kind: '5', mode: i === 149 ? 0o751 : 0o755 },
      { path: 'd/', kind: '5', mode: 0o755 },
      { path: `d/f${i}`, data: String(i) },
      { path: 'last', data: String(i) },
      ...(i % 10 === 9 ? [{ path: `d/.wh.f${i - 1}` }] : []),
      ...(i === 75 ? [{ path: 'o/', kind: '5' as const, mode: 0o755 }, { path: 'o/.wh..wh..opq' }, { path: 'o/new' }] : []),
      ...(i === 3 ? [{ path: 'o/', kind: '5' as const, mode: 0o755 }, { path: 'o/old' }] : []),
    ]),
  )
  const file = join(home, 'many.tar')
  writeFileSync(file, archiveOf('knarr-test/many:v1', layers))
  const look = (root: string) => ({
    files: readdirSync(join(root, 'd')).sort(),
    opaque: readdirSync(join(root, 'o')),
    last: readFileSync(join(root, 'last'), 'utf8'),
    mode: statSync(root).mode & 0o777,
  })
  const overlay = openStore(t, join(home, 'store'), { snapshotter: 'overlay' })
  const [image] = await overlay.import(file)
  const mounts = await overlay.snapshot.prepare('many', image)
  t.ok((mounts[0]?.options?.join(',') ?? '').length < 4000, 'the options fit into one page')
  const seen = mounted(mounts, look)
  t.equal(seen.files.length, 150 - 15)
  t.equal(seen.last, '149')
  t.same(seen.opaque, ['new'])
  t.equal(seen.mode, 0o751)
  t.same(mounted(await overlay.snapshot.view('many-view', image), look), seen)
  const copy = openStore(t, join(home, 'store'), { snapshotter: 'copy' })
  t.same(mounted(await copy.snapshot.prepare('flat', image), look), seen)
  const other = openStore(t, join(home, 'store'), { snapshotter: 'overlay' })
  t.same(
    other.snapshot.list().map(({ id, kind }) => [id, kind]),
    [
      ['flat', 'active'],
      ['many', 'active'],
      ['many-view', 'view'],
    ],
    'another process sees the same snapshots',
  )
  t.same(await other.snapshot.prepare('many', image), mounts, 'asked twice, the same mounts')
  await t.rejects(other.snapshot.view('many', image), { message: /exists already as a writable one/ })
  await t.rejects(other.snapshot.prepare('../x', image), { message: /snapshot id "..\/x" has characters/ })
})

t.test('two snapshots share their layers and nothing else', { skip }, async (t) => {
  const home = folder(t)
  const file = join(home, 'one.tar')
  writeFileSync(file, archiveOf('knarr-test/shared:v1', [makeTar([{ path: 'a', data: 'from the image' }])]))
  for (const snapshotter of ['overlay', 'copy'] as const) {
    const store = openStore(t, join(home, snapshotter), { snapshotter })
    const [image] = await store.import(file)
    const one = await store.snapshot.prepare('one', image)
    const two = await store.snapshot.prepare('two', image?.chainId)
    mounted(one, (root) => {
      writeFileSync(join(root, 'a'), 'changed')
      writeFileSync(join(root, 'b'), Buffer.alloc(100_000))
    })
    t.equal(
      mounted(two, (root) => readFileSync(join(root, 'a'), 'utf8')),
      'from the image',
      snapshotter,
    )
    t.ok((await store.snapshot.usage('one')).bytes >= 100_000)
    t.ok((await store.snapshot.usage('two')).bytes < 100_000)
    const empty = await store.snapshot.prepare('scratch', undefined)
    t.same(
      mounted(empty, (root) => readdirSync(root)),
      [],
    )
    for (const id of ['one', 'two', 'scratch']) await store.snapshot.remove(id)
    await store.snapshot.remove('never-was')
    t.same(store.snapshot.list(), [])
  }
})

t.test('what is large is measured and removed while others have their turns', { skip }, async (t) => {
  const home = folder(t)
  const root = join(home, 'store')
  const store = openStore(t, root)
  const files = Array.from({ length: 3000 }, (_, i) => ({ path: `d${i % 7}/sub/f${i}`, data: 'x' }))
  writeFileSync(join(home, 'large.tar'), archiveOf('knarr-test/large:v1', [makeTar(files)]))
  const [image] = await store.import(join(home, 'large.tar'))
  /** How often others could do something meanwhile. */
  const turnsDuring = async (act: () => Promise<unknown>): Promise<number> => {
    let turns = 0
    let over = false
    const next = (): void => {
      turns++
      if (!over) setImmediate(next)
    }
    next()
    await act()
    over = true
    return turns
  }
  mounted(await store.snapshot.prepare('one', image), (at) => {
    for (let i = 0; i < 3000; i++) writeFileSync(join(at, `g${i}`), 'y')
  })
  t.ok((await turnsDuring(async () => t.ok((await store.snapshot.usage('one')).inodes >= 3000))) > 10)
  t.ok((await turnsDuring(() => store.snapshot.remove('one'))) > 10)
  await store.remove('knarr-test/large:v1')
  t.ok((await turnsDuring(async () => t.match(await store.gc(), { removedLayers: 1 }))) > 10)
  t.same([readdirSync(join(root, 'tmp')), readdirSync(join(root, 'layers')), readdirSync(join(root, 'snapshots'))], [[], [], []])
})
