// A disk that is full, wherever that is: said in words, nothing half made stays, and what is there can be removed. Needs root.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { explain, hasErrno } from '../../src/lib/index.js'
import { mount, unmount } from '../../src/sys/index.js'
import { fakeImage, fakeRegistry } from '../image/fake-registry.js'
import { IMAGE, leftovers, options, run, scene, slowness } from './scene.js'

t.setTimeout(300_000 * slowness)

/** Takes all the room there is; answers with how to give it back. */
function fill(folder: string): () => void {
  const file = join(folder, 'fill')
  for (const size of [65_536, 4096, 1])
    try {
      for (;;) writeFileSync(file, Buffer.alloc(size), { flag: 'a' })
    } catch (error) {
      if (!hasErrno(error, 'ENOSPC')) throw error
    }
  return () => rmSync(file)
}

t.test('a full disk', options, async (t) => {
  for (const folder of ['cri', 'run', 'runtime', 'ipam', 'cni'])
    await t.test(`${folder} is full`, async (t) => {
      const s = await scene()
      const path = join(s.dir, folder)
      mkdirSync(path, { recursive: true })
      mount({ source: 'full', target: path, type: 'tmpfs', options: ['size=512k', 'mode=711'] })
      let daemon = await s.open()
      t.teardown(async () => {
        daemon.close()
        await s.end()
      })
      t.teardown(() => unmount(path, { detach: true }))
      const left = async (): Promise<readonly string[]> => (await leftovers(s)).filter((what) => !what.startsWith('mount full '))
      const said = (error: unknown): void => void t.match(explain(error), /no space left|ENOSPC/i)

      let free = fill(path)
      let podSandboxId = ''
      await daemon.cri.runPodSandbox({ config: s.pod('one') }).then((made) => {
        podSandboxId = made.podSandboxId
      }, said)
      if (podSandboxId) await daemon.cri.removePodSandbox(podSandboxId)
      free()
      t.strictSame(await left(), [])

      const config = s.pod('two')
      const made = await daemon.cri.runPodSandbox({ config })
      const id = await run(daemon.cri, made.podSandboxId, config, 'sleep 1000')
      free = fill(path)
      daemon.close()
      daemon = await s.open()
      const more = { metadata: { name: 'more' }, image: { image: IMAGE }, command: ['sleep', '1000'] }
      await daemon.cri.createContainer({ podSandboxId: made.podSandboxId, sandboxConfig: config, config: more }).catch(said)
      t.equal((await daemon.cri.containerStatus(id)).status.state, 'CONTAINER_RUNNING', 'what runs is not harmed')
      await daemon.cri.removePodSandbox(made.podSandboxId)
      free()
      t.strictSame(await left(), [])
    })

  await t.test('images is full', async (t) => {
    const s = await scene()
    const path = join(s.dir, 'images')
    renameSync(path, `${path}.before`)
    mkdirSync(path)
    mount({ source: 'full', target: path, type: 'tmpfs', options: ['size=16m', 'mode=711'] })
    execFileSync('cp', ['-a', `${path}.before/.`, path])
    const { cri, close } = await s.open()
    t.teardown(async () => {
      close()
      await s.end()
    })
    t.teardown(() => unmount(path, { detach: true }))
    const config = s.pod('pod')
    const { podSandboxId } = await cri.runPodSandbox({ config })
    const id = await run(cri, podSandboxId, config, 'sleep 1000')
    const registry = await fakeRegistry(t, fakeImage().files)
    const pull = (): Promise<unknown> => cri.pullImage({ image: { image: `${registry.host}/app:v1` } })
    const container = { metadata: { name: 'more' }, image: { image: IMAGE }, command: ['sleep', '1000'] }
    const create = (): Promise<unknown> => cri.createContainer({ podSandboxId, sandboxConfig: config, config: container })
    // That the image is safe on the disk is noted down some time later.
    const files = (): readonly string[] =>
      readdirSync(path, { recursive: true, encoding: 'utf8' })
        .filter((name) => !name.startsWith('synced/'))
        .sort()

    const free = fill(path)
    const before = files()
    const all = statSync(join(path, 'fill')).size
    // Full from the start, or in the middle of downloading and unpacking.
    for (const spare of [0, 16, 128, 400].map((kilobytes) => kilobytes * 1024)) {
      truncateSync(join(path, 'fill'), all - spare)
      await t.rejects(pull(), { message: /^pull of .*app:v1: .*no space left/i })
      t.strictSame(files(), before, `${spare} bytes were free`)
    }
    fill(path)
    await t.rejects(create(), { message: /^container more: .*no space left/i })
    t.equal((await cri.containerStatus(id)).status.state, 'CONTAINER_RUNNING', 'what runs is not harmed')
    t.match(await cri.execSync(id, ['true']), { exitCode: 0 })
    t.strictSame(files(), before)
    free()
    await pull()
    await create()
    await cri.removePodSandbox(podSandboxId)
    t.strictSame(
      (await leftovers(s)).filter((what) => !what.startsWith('mount full ')),
      [],
    )
  })
})
