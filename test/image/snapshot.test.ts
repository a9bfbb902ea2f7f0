// Needs root (mounts, device nodes); says so and skips otherwise.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { createImageStore } from '../../src/image/index.js'
import { mount, unmount } from '../../src/sys/index.js'

const skip = process.getuid?.() === 0 ? false : 'needs root'

t.test('a folder becomes an image, and the image a root to write in', { skip }, async (t) => {
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
