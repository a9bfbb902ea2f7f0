// `docker save` archives and OCI layouts, both ways, with Debian's skopeo as the other side.
import { execFileSync } from 'node:child_process'
import { createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import type { ImageStore } from '../../src/image/index.js'
import { folder, makeTar, needs, openStore } from './fixture.js'

const skip = needs('skopeo')
// A shared machine may be slow; nothing here waits for long by itself.
t.setTimeout(300_000)

const skopeo = (home: string, ...args: readonly string[]): string =>
  execFileSync('skopeo', ['--insecure-policy', ...args], {
    encoding: 'utf8',
    env: { ...process.env, TMPDIR: home },
    stdio: ['ignore', 'pipe', 'pipe'],
  })

async function someImage(store: ImageStore, home: string, name: string) {
  const file = join(home, 'root.tar.gz')
  writeFileSync(
    file,
    gzipSync(
      makeTar([
        { path: 'etc/', kind: '5', mode: 0o755 },
        { path: 'etc/motd', data: `hello from ${name}\n` },
      ]),
    ),
  )
  const [image] = await store.import(file, { name })
  if (!image) throw new Error('nothing was imported')
  return image
}

t.test('what we export, skopeo reads; what skopeo writes, we import', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const store = openStore(t, join(home, 'store'))
  const image = await someImage(store, home, 'knarr-test/a:v1')
  await store.tag('knarr-test/a:v1', 'knarr-test/b:v2')
  for (const [format, scheme] of [
    ['docker', 'docker-archive'],
    ['oci', 'oci-archive'],
  ] as const) {
    const ours = join(home, `${format}.tar`)
    await store.export(['knarr-test/a:v1'], ours, { format })
    const config = JSON.parse(skopeo(home, 'inspect', '--config', `${scheme}:${ours}`)) as { rootfs: { diff_ids: string[] } }
    t.same(config.rootfs.diff_ids, image.diffIds, `skopeo reads our ${format} archive`)

    const theirs = join(home, `${format}-skopeo.tar`)
    skopeo(home, 'copy', `${scheme}:${ours}`, `${scheme}:${theirs}:knarr-test/c:v3`)
    const other = openStore(t, join(home, `other-${format}`))
    const [imported] = await other.import(createReadStream(theirs))
    t.same(imported?.diffIds, image.diffIds, `we import skopeo's ${format} archive`)
    t.equal(other.resolve('knarr-test/c:v3')?.id, imported?.id, 'under the name that it carries')
    const [mount] = await openStore(t, join(home, `other-${format}`), { snapshotter: 'copy' }).snapshot.prepare('x', imported)
    t.equal(readFileSync(join(mount?.source ?? '', 'etc/motd'), 'utf8'), 'hello from knarr-test/a:v1\n')
  }
})

t.test('OCI layout as a folder, packed archives, several images in one', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const store = openStore(t, join(home, 'store'))
  const one = await someImage(store, home, 'knarr-test/one')
  const two = await someImage(store, home, 'knarr-test/two')
  const both = join(home, 'both.tar')
  await store.export(['knarr-test/one', 'knarr-test/two'], both)
  writeFileSync(`${both}.gz`, gzipSync(readFileSync(both)))
  const other = openStore(t, join(home, 'other'))
  t.same((await other.import(`${both}.gz`)).map(({ id }) => id).sort(), [one.id, two.id].sort())
  const layout = join(home, 'layout')
  mkdirSync(layout)
  await store.export(['knarr-test/one'], join(home, 'oci.tar'), { format: 'oci' })
  execFileSync('tar', ['-xf', join(home, 'oci.tar'), '-C', layout])
  const third = openStore(t, join(home, 'third'))
  t.equal((await third.import(layout, { name: 'knarr-test/renamed' }))[0]?.id, one.id)
  t.ok(third.resolve('knarr-test/renamed'))
})

t.test('damaged archives are refused and leave nothing', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const store = openStore(t, join(home, 'store'))
  await someImage(store, home, 'knarr-test/a')
  const good = join(home, 'good.tar')
  await store.export(['knarr-test/a'], good, { format: 'oci' })
  const bytes = readFileSync(good)
  const other = openStore(t, join(home, 'other'))
  const cut = join(home, 'cut.tar')
  // In the middle of the first file: where others end depends on the time in them.
  writeFileSync(cut, bytes.subarray(0, 520))
  await t.rejects(other.import(cut), { message: `import of ${cut}`, cause: { message: 'unexpected end of the tar' } })
  // One byte of the layer is another.
  const layout = join(home, 'layout')
  mkdirSync(layout)
  execFileSync('tar', ['-xf', good, '-C', layout])
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: { digest: string }[] }
  const manifestFile = join(layout, 'blobs', (index.manifests[0]?.digest ?? '').replace(':', '/'))
  const manifest = JSON.parse(readFileSync(manifestFile, 'utf8')) as { layers: { digest: string }[] }
  const layerFile = join(layout, 'blobs', (manifest.layers[0]?.digest ?? '').replace(':', '/'))
  const layer = readFileSync(layerFile)
  layer[layer.length - 3] = (layer[layer.length - 3] ?? 0) ^ 1
  execFileSync('chmod', ['u+w', layerFile])
  writeFileSync(layerFile, layer)
  await t.rejects(other.import(layout), { cause: { message: /^layer sha256:[0-9a-f]{12}$/ } })
  // Documents by sha512 are checked as those by sha256, and a circle of them is found out.
  const type = 'application/vnd.oci.image.index.v1+json'
  const circle = join(home, 'circle')
  mkdirSync(join(circle, 'blobs/sha512'), { recursive: true })
  const itself = { mediaType: type, digest: `sha512:${'a'.repeat(128)}`, size: 300 }
  const document = JSON.stringify({ schemaVersion: 2, mediaType: type, manifests: [itself] })
  writeFileSync(join(circle, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  for (const name of ['index.json', `blobs/sha512/${'a'.repeat(128)}`]) writeFileSync(join(circle, name), document)
  await t.rejects(other.import(circle, { name: 'knarr-test/circle' }), {
    cause: { message: /^the manifest has the digest sha512:[0-9a-f]{128}, not sha512:a/ },
  })
  await t.rejects(other.import(join(home, 'nothing')), { cause: { message: 'there is no such file or folder' } })
  for (const name of ['tmp', 'ingest', 'leases', 'layers', 'names']) t.same(readdirSync(join(home, 'other', name)), [], `${name} is empty`)
  t.same(readdirSync(join(home, 'other/blobs/sha256')), [])
  await t.rejects(store.export(['knarr-test/missing'], join(home, 'x.tar')), { cause: { message: /is not here/ } })
  t.notOk(existsSync(join(home, 'x.tar')))
})
