// Makes an image of a root file system: a folder, or a tar of one.
import { createWriteStream, rmSync, statSync } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { type Core, takeIn } from './core.js'
import { randomName } from './disk.js'
import type { Lease } from './leases.js'
import { type Config, type Descriptor, type Digest, MEDIA } from './manifest.js'
import { hostPlatform } from './platform.js'
import { packFolder } from './tar-write.js'
import type { ImportOptions } from './types.js'

/** Keeps manifest and config of a one-or-more-layer image that we make ourselves. */
export function putImage(core: Core, layers: readonly Descriptor[], config: Config): Descriptor {
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
  const configBytes = json(config)
  const configDescriptor = { mediaType: MEDIA.ociConfig, digest: core.content.put(configBytes), size: configBytes.length }
  const manifest = json({ schemaVersion: 2, mediaType: MEDIA.ociManifest, config: configDescriptor, layers })
  return { mediaType: MEDIA.ociManifest, digest: core.content.put(manifest), size: manifest.length }
}

const layerMedia = { gzip: MEDIA.ociLayerGzip, zstd: MEDIA.ociLayerZstd, none: MEDIA.ociLayer } as const

/** The spool file becomes the one layer, as it is when `source` is a tar. Returns the manifest's descriptor. */
export async function importRoot(
  core: Core,
  lease: Lease,
  source: { readonly folder: string } | { readonly tar: string },
  options: ImportOptions,
): Promise<Descriptor> {
  const spool = 'tar' in source ? source.tar : `${core.paths.temporary}/${randomName(core.random)}`
  try {
    if ('folder' in source) {
      await lease.hold([spool.slice(spool.lastIndexOf('/') + 1)])
      const output = createWriteStream(spool, { flags: 'wx', mode: 0o600 })
      // Level 1: three times as fast as the default for a few percent more bytes.
      const compress = options.compression === 'none' ? [] : [createGzip({ level: 1, chunkSize: 256 * 1024 })]
      await pipeline([Readable.from(packFolder(source.folder)), ...compress, output], options.signal ? { signal: options.signal } : {})
    }
    const intake = takeIn(core, lease, spool, { unpack: true })
    intake.end(statSync(spool).size)
    const { digest, diffId, compression, compressedBytes } = await intake.done
    const layer = { mediaType: layerMedia[compression], digest, size: compressedBytes }
    return putImage(core, [layer], configFor(core, [diffId], options))
  } catch (error) {
    rmSync(spool, { force: true })
    throw error
  }
}

function configFor(core: Core, diffIds: readonly Digest[], options: ImportOptions): Config {
  const created = new Date(core.clock.now()).toISOString()
  const { os, architecture, variant } = options.platform ?? hostPlatform()
  return {
    created,
    os,
    architecture,
    ...(variant ? { variant } : {}),
    config: { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], ...options.config },
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: [{ created, created_by: 'knarr image import', comment: 'imported root file system' }],
  }
}
