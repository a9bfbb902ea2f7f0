import fc from 'fast-check'
import t from 'tap'
import { compressionOf, isLayerMedia, MEDIA, parseDigest, readConfig, readManifest } from './manifest.js'
import { choosePlatform, hostPlatform, parsePlatform } from './platform.js'

const digest = (letter: string) => `sha256:${letter.repeat(64)}` as const
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

t.test('manifests are read, and what is wrong with them is named', async (t) => {
  const config = { mediaType: MEDIA.ociConfig, digest: digest('a'), size: 10 }
  const layer = { mediaType: MEDIA.ociLayerGzip, digest: digest('b'), size: 20 }
  const good = { schemaVersion: 2, mediaType: MEDIA.ociManifest, config, layers: [layer] }
  t.same(readManifest(bytes(good)), { kind: 'manifest', mediaType: MEDIA.ociManifest, config, layers: [layer] })
  t.equal(readManifest(bytes({ ...good, mediaType: undefined }), MEDIA.dockerManifest).mediaType, MEDIA.dockerManifest)
  const bad: [unknown, RegExp][] = [
    [{ ...good, layers: [{ ...layer, digest: 'sha256:../../etc' }] }, /"sha256:..\/..\/etc" is not a digest/],
    [{ ...good, layers: [{ ...layer, size: -1 }] }, /layers\[0\] has no valid size/],
    [{ ...good, layers: [{ ...layer, size: 1.5 }] }, /layers\[0\] has no valid size/],
    [{ ...good, layers: {} }, /layers is not a list/],
    [{ ...good, config: undefined }, /config is not a descriptor/],
    [{ ...good, mediaType: 'text/html' }, /unknown media type text\/html/],
    [{ ...good, schemaVersion: 1 }, /obsolete schema version 1/],
    [{ ...good, manifests: [] }, /index and an image at once/],
  ]
  for (const [value, message] of bad) t.throws(() => readManifest(bytes(value)), { message })
  t.throws(() => readManifest(Buffer.alloc(5 * 1024 * 1024, 0x20)), { message: /larger than/ })
  t.throws(() => readConfig(bytes({ rootfs: { diff_ids: [digest('c')] } }), 2), { message: 'the config lists 1 layers, the manifest 2' })
  t.throws(() => parseDigest('md5:00'), { message: /is not a digest/ })
})

t.test('platforms', async (t) => {
  const entry = (architecture: string, variant?: string) => ({
    mediaType: MEDIA.ociManifest,
    digest: digest('a'),
    size: 1,
    platform: { os: 'linux', architecture, ...(variant ? { variant } : {}) },
  })
  const arms = [entry('arm', 'v5'), entry('arm', 'v6'), entry('arm', 'v7'), entry('arm64', 'v8'), entry('amd64')]
  t.equal(choosePlatform(arms, { os: 'linux', architecture: 'arm64' }), arms[3], 'arm64 is v8')
  t.equal(choosePlatform(arms.slice(0, 2), { os: 'linux', architecture: 'arm', variant: 'v7' }), arms[1], 'the next lower variant')
  t.equal(choosePlatform(arms, { os: 'linux', architecture: 'amd64' }), arms[4])
  t.equal(choosePlatform(arms, { os: 'linux', architecture: 's390x' }), undefined)
  t.same(parsePlatform('linux/arm/v7'), { os: 'linux', architecture: 'arm', variant: 'v7' })
  t.throws(() => parsePlatform('a/b/c/d'), { message: /is not a platform/ })
  t.equal(hostPlatform('x64').architecture, 'amd64')
})

t.test('what a layer is packed with, and which layers are layers', async (t) => {
  t.equal(compressionOf(Buffer.from([0x1f, 0x8b, 8])), 'gzip')
  t.equal(compressionOf(Buffer.from([0x28, 0xb5, 0x2f, 0xfd])), 'zstd')
  t.equal(compressionOf(Buffer.alloc(0)), 'none')
  for (const type of [
    MEDIA.ociLayer,
    MEDIA.ociLayerGzip,
    MEDIA.ociLayerZstd,
    MEDIA.dockerLayerGzip,
    'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  ])
    t.ok(isLayerMedia(type), type)
  for (const type of ['application/vnd.in-toto+json', 'application/vnd.cncf.helm.chart.content.v1.tar+gzip', MEDIA.ociConfig])
    t.notOk(isLayerMedia(type), type)
})

t.test('whatever the bytes, the readers read or throw a sentence', async (t) => {
  const sentence = (act: () => unknown): boolean => {
    try {
      act()
      return true
    } catch (error) {
      return error instanceof Error && !(error instanceof TypeError) && !(error instanceof RangeError)
    }
  }
  const part = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.constant(null),
    fc.constant(digest('a')),
    fc.constant(MEDIA.ociManifest),
    fc.jsonValue(),
  )
  const descriptor = fc.record(
    { mediaType: part, digest: part, size: part, platform: part, annotations: part, urls: part },
    { requiredKeys: [] },
  )
  const document = fc.record(
    {
      schemaVersion: fc.constantFrom(1, 2, 2, 2, '2'),
      mediaType: part,
      config: fc.oneof(descriptor, part),
      layers: fc.oneof(fc.array(fc.oneof(descriptor, part)), part),
      manifests: fc.oneof(fc.array(descriptor), part),
      rootfs: fc.oneof(fc.record({ diff_ids: fc.oneof(fc.array(part), part) }), part),
      history: part,
    },
    { requiredKeys: ['schemaVersion'] },
  )
  fc.assert(
    fc.property(document, (value) => sentence(() => readManifest(bytes(value))) && sentence(() => readConfig(bytes(value), 1))),
    { numRuns: 3000 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (raw) => sentence(() => readManifest(raw)) && sentence(() => readConfig(raw, 0))),
    { numRuns: 1000 },
  )
  t.pass('4000 documents')
})
