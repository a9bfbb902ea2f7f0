// Writes images into archives that docker, podman, skopeo, containerd and we can read.
import { createReadStream, createWriteStream, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Readable, type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { headOf, inflateFile } from './archive-source.js'
import { splitDigest } from './content.js'
import { type Core, wrap } from './core.js'
import { randomName } from './disk.js'
import type { Lease } from './leases.js'
import { compressionOf, type Descriptor, MEDIA } from './manifest.js'
import { planPush } from './push.js'
import { familiarName, parseReference, storedName } from './reference.js'
import { endOfTar, padding, tarFile, tarHeader } from './tar-write.js'
import type { ArchiveFormat, Image } from './types.js'

interface Named {
  readonly image: Image
  /** Names under which it goes into the archive. */
  readonly names: readonly string[]
}

async function* fileEntry(path: string, file: string): AsyncGenerator<Buffer> {
  const size = statSync(file).size
  yield tarHeader({ path, kind: '0', mode: 0o644, size })
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) yield chunk as Buffer
  yield padding(size)
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

/** `docker save`: layers uncompressed under their diffID, because older readers expect it. */
async function* dockerArchive(core: Core, lease: Lease, images: readonly Named[]): AsyncGenerator<Buffer> {
  const written = new Set<string>()
  for (const { image } of images) {
    for (const [i, layer] of image.layers.entries()) {
      const diffId = image.diffIds[i] ?? layer.digest
      if (written.has(diffId)) continue
      written.add(diffId)
      const path = `${splitDigest(diffId)[1]}.tar`
      const blob = core.content.path(layer.digest)
      if (compressionOf(headOf(blob, 4)) === 'none') yield* fileEntry(path, blob)
      else {
        // A tar header wants the length first.
        const name = randomName(core.random)
        await lease.hold([name])
        const plain = join(core.paths.temporary, name)
        try {
          await inflateFile(blob, plain, { zstdProgram: false })
          yield* fileEntry(path, plain)
        } finally {
          rmSync(plain, { force: true })
        }
      }
    }
    const config = `${splitDigest(image.id)[1]}.json`
    if (!written.has(config)) yield tarFile(config, core.content.read(image.id))
    written.add(config)
  }
  const manifest = images.map(({ image, names }) => ({
    Config: `${splitDigest(image.id)[1]}.json`,
    RepoTags: names.map(familiarName),
    Layers: image.diffIds.map((diffId) => `${splitDigest(diffId)[1]}.tar`),
  }))
  yield tarFile('manifest.json', json(manifest))
  yield endOfTar()
}

/** https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md */
async function* ociArchive(core: Core, _lease: Lease, images: readonly Named[]): AsyncGenerator<Buffer> {
  const written = new Set<string>()
  const manifests: Descriptor[] = []
  yield tarFile('oci-layout', json({ imageLayoutVersion: '1.0.0' }))
  for (const { image, names } of images) {
    const plan = planPush(core, image)
    for (const { digest } of [...plan.blobs, ...plan.manifests]) {
      if (written.has(digest)) continue
      written.add(digest)
      yield* fileEntry(`blobs/${splitDigest(digest).join('/')}`, core.content.path(digest))
    }
    const top = plan.manifests.at(-1)
    if (!top) throw new Error(`parts of image ${image.id} are missing: pull it again`)
    for (const name of names) {
      const tag = parseReference(name).tag
      const annotations = { 'io.containerd.image.name': name, ...(tag === undefined ? {} : { 'org.opencontainers.image.ref.name': tag }) }
      manifests.push({ mediaType: top.mediaType, digest: top.digest, size: top.size, annotations })
    }
  }
  yield tarFile('index.json', json({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests }))
  yield endOfTar()
}

export async function exportImages(
  core: Core,
  references: readonly string[],
  target: string | Writable,
  options: { readonly format: ArchiveFormat; readonly inspect: (name: string) => Image },
): Promise<void> {
  const lease = core.leases.begin()
  const part = typeof target === 'string' ? `${target}.part-${process.pid}` : undefined
  try {
    const named = references.map((reference): Named => {
      const image = options.inspect(reference)
      const name = (() => {
        try {
          return storedName(parseReference(reference))
        } catch {
          return undefined
        }
      })()
      const own = name !== undefined && image.repoTags.includes(name) ? [name] : image.repoTags
      return { image, names: own }
    })
    await lease.hold(named.flatMap(({ image }) => [...core.images.reach(image.target)]))
    const archive = options.format === 'oci' ? ociArchive : dockerArchive
    const output = part !== undefined ? createWriteStream(part, { mode: 0o644 }) : (target as Writable)
    await pipeline(Readable.from(archive(core, lease, named)), output, { end: part !== undefined || output !== process.stdout })
    if (part !== undefined) renameSync(part, target as string)
  } catch (error) {
    if (part !== undefined) rmSync(part, { force: true })
    throw wrap(`export of ${references.join(', ')}`, error)
  } finally {
    lease.end()
  }
}
