// Images out of `docker save` archives and OCI layouts.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { ArchiveSource } from './archive-source.js'
import { digestName, digestOf, splitDigest } from './content.js'
import { type Core, shortDigest, takeIn, wrap } from './core.js'
import { hold, type Lease } from './leases.js'
import { type Descriptor, type Digest, MAX_MANIFEST_BYTES, MEDIA, type Platform, readConfig, readManifest } from './manifest.js'
import { parseReference, storedName } from './reference.js'
import { checkDigest, type Document, followToManifest } from './remote.js'

export interface Imported {
  readonly names: readonly string[]
  readonly target: Descriptor
}

interface Options {
  readonly name?: string
  readonly platform: Platform
  readonly signal?: AbortSignal
}

const layerMedia = { gzip: MEDIA.ociLayerGzip, zstd: MEDIA.ociLayerZstd, none: MEDIA.ociLayer } as const

export const isOciLayout = (source: ArchiveSource): boolean => source.has('oci-layout') && source.has('index.json')

/** A `manifest.json` that is a list with `Config` and `Layers`; a root file system may have a file of that name too. */
export function isDockerArchive(source: ArchiveSource): boolean {
  if (!source.has('manifest.json')) return false
  try {
    const list = JSON.parse(source.read('manifest.json', MAX_MANIFEST_BYTES).toString('utf8')) as readonly Partial<DockerEntry>[]
    return Array.isArray(list) && list.length > 0 && list.every((entry) => typeof entry.Config === 'string' && Array.isArray(entry.Layers))
  } catch {
    return false
  }
}

interface DockerEntry {
  readonly Config: string
  readonly RepoTags?: readonly string[] | null
  readonly Layers: readonly string[]
}

/** Brings a layer into the store, as blob and unpacked. */
async function importLayer(
  core: Core,
  lease: Lease,
  layer: { readonly source: ArchiveSource; readonly path: string; readonly digest?: Digest; readonly diffId: Digest },
  signal?: AbortSignal,
): Promise<{ readonly digest: Digest; readonly size: number; readonly mediaType: string }> {
  const { diffId } = layer
  const key = digestName(layer.digest ?? diffId)
  const lock = await hold(join(core.paths.ingest, `${key}.lock`), core.clock, signal)
  const file = join(core.paths.ingest, key)
  try {
    await lease.hold([layer.digest ?? diffId, core.layers.rawName(diffId)])
    const size = await layer.source.copy(layer.path, file, signal)
    const unpack = !core.layers.has(core.layers.rawName(diffId))
    const intake = takeIn(core, lease, file, { ...(layer.digest ? { digest: layer.digest } : {}), diffId, unpack })
    intake.end(size)
    const { digest, compression, compressedBytes } = await intake.done
    return { digest, size: compressedBytes, mediaType: layerMedia[compression] }
  } catch (error) {
    throw wrap(`layer ${shortDigest(layer.digest ?? diffId)}`, error)
  } finally {
    rmSync(file, { force: true })
    lock.release()
  }
}

/** All layers, side by side as far as there are workers; waits for all of them also when one fails. */
async function allLayers<T>(jobs: readonly Promise<T>[]): Promise<readonly T[]> {
  const results = await Promise.allSettled(jobs)
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}

export async function importDocker(core: Core, lease: Lease, source: ArchiveSource, options: Options): Promise<readonly Imported[]> {
  const entries = JSON.parse(source.read('manifest.json', MAX_MANIFEST_BYTES).toString('utf8')) as readonly DockerEntry[]
  const imported: Imported[] = []
  for (const entry of entries) {
    const configBytes = source.read(entry.Config, MAX_MANIFEST_BYTES)
    const config = readConfig(configBytes, entry.Layers.length)
    const diffIds = config.rootfs.diff_ids
    // The same layer may stand there twice.
    const unique = new Map(diffIds.map((diffId, i) => [diffId, entry.Layers[i] ?? '']))
    const made = new Map(
      await allLayers(
        [...unique].map(
          async ([diffId, path]) => [diffId, await importLayer(core, lease, { source, path, diffId }, options.signal)] as const,
        ),
      ),
    )
    await lease.hold([digestOf(configBytes)])
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA.ociManifest,
        config: { mediaType: MEDIA.ociConfig, digest: core.content.put(configBytes), size: configBytes.length },
        layers: diffIds.map((diffId) => made.get(diffId)),
      }),
    )
    await lease.hold([digestOf(manifest)])
    const target = { mediaType: MEDIA.ociManifest, digest: core.content.put(manifest), size: manifest.length }
    const tags = options.name !== undefined && entries.length === 1 ? [options.name] : (entry.RepoTags ?? [])
    imported.push({ names: tags.map((tag) => storedName(parseReference(tag))), target })
  }
  return imported
}

/** The name that an OCI index gives an image, completed with the user's when it is only a tag. */
function ociNames(descriptor: Descriptor, given: string | undefined, only: boolean): readonly string[] {
  const annotations = descriptor.annotations ?? {}
  if (given !== undefined && only) return [storedName(parseReference(given))]
  const full = annotations['io.containerd.image.name']
  if (full !== undefined) return [storedName(parseReference(full))]
  const ref = annotations['org.opencontainers.image.ref.name']
  if (ref === undefined) return []
  if (/[:/]/.test(ref)) return [storedName(parseReference(ref))]
  return given === undefined ? [] : [storedName(parseReference(`${given.replace(/:[^/:]*$/, '')}:${ref}`))]
}

export async function importOci(core: Core, lease: Lease, source: ArchiveSource, options: Options): Promise<readonly Imported[]> {
  const index = readManifest(source.read('index.json', MAX_MANIFEST_BYTES), MEDIA.ociIndex)
  if (index.kind !== 'index') throw new Error("the layout's index.json is not an index")
  const pathOf = (digest: Digest): string => `blobs/${splitDigest(digest).join('/')}`
  const small = (descriptor: Descriptor, what: string): Buffer => {
    const bytes = source.read(pathOf(descriptor.digest), MAX_MANIFEST_BYTES)
    checkDigest(bytes, descriptor.digest, what)
    return bytes
  }
  const document = async (descriptor: Descriptor): Promise<Document> => {
    const bytes = small(descriptor, 'the manifest')
    return { descriptor, bytes, parsed: readManifest(bytes, descriptor.mediaType) }
  }
  const imported: Imported[] = []
  for (const entry of index.manifests) {
    const first = await document(entry)
    const { documents, manifest } = await followToManifest(first, options.platform, document)
    const configBytes = small(manifest.config, 'the config')
    const config = readConfig(configBytes, manifest.layers.length)
    await lease.hold([...documents.map(({ descriptor }) => descriptor.digest), manifest.config.digest])
    const unique = new Map(manifest.layers.map((layer, i) => [layer.digest, config.rootfs.diff_ids[i] as Digest]))
    await allLayers(
      [...unique].map(([digest, diffId]) => importLayer(core, lease, { source, path: pathOf(digest), digest, diffId }, options.signal)),
    )
    core.content.put(configBytes, manifest.config.digest)
    for (const { bytes, descriptor } of documents) core.content.put(bytes, descriptor.digest)
    imported.push({ names: ociNames(entry, options.name, index.manifests.length === 1), target: first.descriptor })
  }
  return imported
}
