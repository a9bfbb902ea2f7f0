// The power fails while a store works. Its disk is a loop device: what stands in the file behind it at one moment is what a disk
// holds after a power cut at that moment, for all that was not written out is missing in it. Needs root.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'
import { createImageStore } from '../../src/image/index.js'
import { treeHash, variants, verify } from './crash-scene.js'
import { fakeRegistry } from './fake-registry.js'
import { env, folder, needs, openStore } from './fixture.js'

/** An image that was flushed before the first cut, under a name that the worker leaves alone. */
const KEPT = 'knarr-test/kept:v1'

const CUTS = Number(process.env.KNARR_POWER_CUTS ?? 4)

t.setTimeout(300_000 + CUTS * 5000)

const run = (program: string, ...args: readonly string[]): string => execFileSync(program, args, { encoding: 'utf8' }).trim()

/** Metadata may reach this disk long before the data that it speaks of: the worst that a journal allows. */
const OPTIONS = 'data=writeback,commit=1'

/** Writes completed and in flight (kernel documentation: block/stat). */
const traffic = (device: string): string => readFileSync(`/sys/block/${basename(device)}/stat`, 'utf8').trim()
const inFlight = (device: string): number => Number(traffic(device).split(/\s+/)[8])

/** The disk as it is at one moment: copied again when something was written meanwhile. */
async function cutPower(device: string, file: string, copy: string): Promise<void> {
  for (;;) {
    const before = traffic(device)
    run('cp', '--sparse=always', file, copy)
    if (inFlight(device) === 0 && traffic(device) === before) return
    await new Promise((resolve) => setImmediate(resolve))
  }
}

t.test(`the power fails ${CUTS} times`, { skip: needs('mkfs.ext4', 'losetup', 'mount'), timeout: 300_000 + CUTS * 5000 }, async (t) => {
  const home = folder(t)
  const { files, all } = variants()
  const { host } = await fakeRegistry(t, files)
  const plain = { plainHttp: true }
  const expected = new Map<string, string>()
  const reference = openStore(t, join(home, 'reference'), { registries: plain })
  for (const { name, diffId } of all) {
    await reference.pull(`${host}/app:${name}`)
    expected.set(diffId, treeHash(join(home, 'reference/layers', diffId.replace(':', '-'), 'fs')))
  }

  const disk = join(home, 'disk.img')
  run('truncate', '-s', '64M', disk)
  run('mkfs.ext4', '-q', '-F', '-O', 'metadata_csum', disk)
  const [live, dead] = [join(home, 'live'), join(home, 'dead')]
  for (const path of [live, dead]) mkdirSync(path)
  const device = run('losetup', '--find', '--show', disk)
  let worker: ChildProcess | undefined
  try {
    run('mount', '-o', OPTIONS, device, live)
    const options = { registries: { ...plain, env, hostFolders: [] } }
    const calm = createImageStore({ root: join(live, 'store'), ...options })
    await calm.pull(`${host}/app:${all[0]?.name}`)
    await calm.tag(`${host}/app:${all[0]?.name}`, KEPT)
    await calm.gc()
    await calm.close()
    const child = join(import.meta.dirname, 'crash-child.js')
    const working = spawn(process.execPath, [child, join(live, 'store'), host, ...all.map(({ name }) => `app:${name}`)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    worker = working
    await once(working.stdout, 'data')
    working.stdout.resume()
    let images = 0
    for (let cut = 0; cut < CUTS; cut++) {
      // Some way into its work, each time another.
      const until = process.hrtime.bigint() + BigInt(((cut * 37) % 100) * 1_000_000)
      while (process.hrtime.bigint() < until) await new Promise((resolve) => setImmediate(resolve))
      if (working.exitCode !== null) throw new Error(`the store ended with ${working.exitCode}`)
      working.kill('SIGSTOP')
      const copy = join(home, `cut-${cut}.img`)
      await cutPower(device, disk, copy)
      // Mounting plays the journal back, as after any power cut.
      run('mount', '-o', 'loop', copy, dead)
      try {
        const store = createImageStore({ root: join(dead, 'store'), bootId: `after-${cut}`, ...options })
        images += verify(store, expected)
        if (!store.resolve(KEPT)) throw new Error(`after cut ${cut} an image is gone that was on the disk`)
        for (const { name } of all) await store.pull(`${host}/app:${name}`)
        if (verify(store, expected) !== all.length) throw new Error(`after cut ${cut} not all images can be had again`)
        for (const { id } of store.snapshot.list()) await store.snapshot.remove(id)
        for (const { id } of store.list()) await store.remove(id)
        await store.gc()
        for (const name of ['blobs/sha256', 'layers', 'ingest', 'tmp', 'snapshots'])
          if (readdirSync(join(dead, 'store', name)).length > 0) throw new Error(`after cut ${cut} something is left in ${name}`)
        await store.close()
      } finally {
        run('umount', dead)
      }
      run('rm', copy)
      working.kill('SIGCONT')
    }
    t.ok(images >= CUTS, `images that outlived a cut: ${images}`)
  } finally {
    if (worker && worker.exitCode === null) {
      worker.kill('SIGKILL')
      await once(worker, 'exit')
    }
    if (readFileSync('/proc/mounts', 'utf8').includes(` ${live} `)) run('umount', live)
    run('losetup', '-d', device)
  }
})
