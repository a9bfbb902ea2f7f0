// The image store: opens the folder, mends what a power loss left, and puts the parts together.
import { resolve as absolutePath } from 'node:path'
import { type Clock, keyedLock, type Random, systemClock, systemRandom } from '../lib/index.js'
import { authorizer } from './auth.js'
import { contentStore } from './content.js'
import { unpackMissing } from './core.js'
import { findCredentials, fromAuth } from './credentials.js'
import { storePaths } from './disk.js'
import { exportImages } from './export.js'
import { collect } from './gc.js'
import { defaultHostFolders, hostsFor } from './hosts.js'
import { images } from './images.js'
import { importImages } from './import.js'
import { layerStore } from './layers.js'
import { leases } from './leases.js'
import type { Digest, Platform } from './manifest.js'
import { nameIndex } from './names.js'
import { hostPlatform } from './platform.js'
import { type PullCore, puller } from './pull.js'
import { pusher } from './push.js'
import { markSynced, recover } from './recover.js'
import { familiarName, parseReference, storedName } from './reference.js'
import { defaultRetry, type RetryPolicy, registry } from './registry.js'
import { bestSnapshotter, type Snapshotter, snapshotStore } from './snapshots.js'
import { type Transport, undiciTransport } from './transport.js'
import type { Image, ImageStore, Usage } from './types.js'
import { defaultLimits, type UnpackLimits } from './unpack.js'
import { unpackPool } from './unpack-pool.js'

export interface ImageStoreOptions {
  /** `/var/lib/knarr/images` */
  readonly root: string
  readonly clock?: Clock
  readonly random?: Random
  readonly platform?: Platform
  readonly limits?: Partial<UnpackLimits>
  /** Layers unpacked at once; default: one per processor, at most four. */
  readonly workers?: number
  /** Default: overlay where the kernel and the root's file system allow it. */
  readonly snapshotter?: Snapshotter
  readonly registries?: RegistryOptions
  /** False: do not flush to the disk in the background after pulls; for processes that end soon. */
  readonly flush?: boolean
  /** Which start of the machine this is; default: what the kernel says. */
  readonly bootId?: string
}

export interface RegistryOptions {
  /** Folders in the hosts.toml layout; default: those of knarr, containerd and docker. */
  readonly hostFolders?: readonly string[]
  readonly plainHttp?: boolean
  readonly insecure?: boolean
  readonly caFiles?: readonly string[]
  readonly retry?: Partial<RetryPolicy>
  /** How long a registry may be silent. Default 30 s. */
  readonly timeoutMs?: number
  /** Blobs of one image downloaded at once. Default 4. */
  readonly downloads?: number
  /** Larger blobs are uploaded in chunks of so many bytes. Default 64 MiB. */
  readonly uploadChunk?: number
  /** Where proxies, HOME and DOCKER_CONFIG come from. Default: the process. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly transport?: Transport
}

export function createImageStore(options: ImageStoreOptions): ImageStore {
  const root = absolutePath(options.root)
  if (/[,:\\]/.test(root)) throw new Error(`the image store cannot be in ${root}: overlayfs does not take commas, colons and backslashes`)
  const clock = options.clock ?? systemClock
  const random = options.random ?? systemRandom
  const platform = options.platform ?? hostPlatform()
  const paths = storePaths(root)
  const content = contentStore(paths, random)
  const names = nameIndex(paths, clock)
  const layers = layerStore(paths, random)
  const registries = options.registries ?? {}
  const env = registries.env ?? process.env
  const transport = registries.transport ?? undiciTransport({ env, timeoutMs: registries.timeoutMs ?? 30_000 })
  const connect: PullCore['connect'] = (reference, auth) =>
    registry({
      reference,
      transport,
      clock,
      retry: { ...defaultRetry, ...registries.retry },
      hosts: hostsFor(reference.domain, {
        folders: registries.hostFolders ?? defaultHostFolders,
        ...(registries.plainHttp === undefined ? {} : { plainHttp: registries.plainHttp }),
        ...(registries.insecure === undefined ? {} : { insecure: registries.insecure }),
        ...(registries.caFiles === undefined ? {} : { caFiles: registries.caFiles }),
      }),
      // A registry's credentials in the user's files are not shown to its mirrors.
      authorizer: authorizer(transport, clock, async (mirror) =>
        auth ? fromAuth(auth) : findCredentials(mirror === undefined ? reference : { ...reference, domain: mirror }, env),
      ),
    })
  const core: PullCore = {
    connect,
    downloads: registries.downloads ?? 4,
    uploadChunk: registries.uploadChunk ?? 64 * 1024 * 1024,
    paths,
    content,
    names,
    layers,
    clock,
    random,
    platform,
    images: images(content, names, platform),
    leases: leases(paths, { clock, random }),
    pool: unpackPool(options.workers === undefined ? {} : { workers: options.workers }),
    limits: { ...defaultLimits, ...options.limits },
  }
  const byChain = (chain: Digest): Image | undefined => core.images.list().find((image) => image.chainId === chain || image.id === chain)

  const unpacking = keyedLock()
  /** The layers of an image, unpacked now if they are not. */
  const stackOf = async (what: Digest | { readonly diffIds: readonly Digest[] }) => {
    const image = typeof what === 'string' ? byChain(what) : (what as Image)
    if (!image) throw new Error(`no image has the chain ${String(what)}`)
    return unpacking(image.chainId ?? '', async () => {
      const ready = core.layers.stack(image.diffIds)
      if (ready) return { names: ready, diffIds: image.diffIds }
      await unpackMissing(core, image)
      const stack = core.layers.stack(image.diffIds)
      if (!stack) throw new Error(`the layers of ${image.id} were removed while they were unpacked`)
      return { names: stack, diffIds: image.diffIds }
    })
  }
  const snapshot = snapshotStore({ paths, layers, random, snapshotter: options.snapshotter ?? bestSnapshotter(root), stackOf })

  const inspect = (reference: string): Image => {
    const image = core.images.resolve(reference)
    if (image) return image
    let name = reference
    try {
      name = familiarName(storedName(parseReference(reference)))
    } catch {
      // Neither a name nor an id: say it as it was written.
    }
    throw new Error(`image "${name}" is not here: 'knarr image pull ${name}' fetches it`)
  }
  const unpackedUsage = (image: Image): Usage =>
    image.diffIds.reduce<Usage>(
      (sum, diffId) => {
        const info = layers.info(layers.rawName(diffId))
        return { bytes: sum.bytes + (info?.bytes ?? 0), inodes: sum.inodes + (info?.inodes ?? 0) }
      },
      { bytes: 0, inodes: 0 },
    )

  const pull = puller(core)
  const settleOnDisk = (): Promise<void> => markSynced(paths, content, layers, core.pool.sync)
  let flushing: Promise<void> | undefined
  /** Not awaited: without its marks an image survives everything but a power loss, and that only costs unpacking it again. */
  const later = (): void => {
    if (options.flush === false || flushing) return
    flushing = settleOnDisk()
      .catch(() => {})
      .finally(() => {
        flushing = undefined
      })
  }
  recover(paths, content, layers, options.bootId)

  return {
    root,
    snapshot,
    resolve: core.images.resolve,
    list: core.images.list,
    inspect,
    unpackedUsage,
    async tag(reference, name) {
      const parsed = parseReference(name)
      if (parsed.digest !== undefined) throw new Error(`"${name}" has a digest: a new name must end in a tag`)
      names.set(storedName(parsed), inspect(reference).target)
    },
    async remove(reference) {
      const image = core.images.resolve(reference)
      const name = (() => {
        try {
          return storedName(parseReference(reference))
        } catch {
          return undefined
        }
      })()
      if (name !== undefined && names.remove(name)) {
        // The digest name that came with the last tag goes with it: nobody gave it on purpose.
        const left = image?.repoTags.filter((tag) => tag !== name) ?? []
        const extra = left.length === 0 && name.includes('@') === false ? (image?.repoDigests ?? []) : []
        return [name, ...extra.filter((digest) => names.remove(digest))]
      }
      const all = image?.id.includes(reference.replace(/^sha256:/, '')) ? [...image.repoTags, ...image.repoDigests] : []
      if (all.length === 0) inspect(reference)
      return all.filter((each) => names.remove(each))
    },
    async import(source, importOptions = {}) {
      const imported = await importImages(core, source, importOptions)
      later()
      return imported
    },
    async pull(name, pullOptions) {
      const pulled = await pull(name, pullOptions)
      if (pulled.downloaded > 0) later()
      return pulled
    },
    push: pusher(core, inspect),
    export: (references, target, { format = 'docker' } = {}) => exportImages(core, references, target, { format, inspect }),
    async gc(gcOptions = {}) {
      const result = await collect(core, gcOptions, snapshot)
      if (options.flush !== false) await settleOnDisk()
      return result
    },
    async usage() {
      const blobs = content.list()
      const all = layers.list().map((name) => layers.info(name))
      return {
        mountpoint: root,
        bytes: blobs.reduce((sum, digest) => sum + (content.size(digest) ?? 0), 0) + all.reduce((sum, info) => sum + (info?.bytes ?? 0), 0),
        inodes: blobs.length + all.reduce((sum, info) => sum + (info?.inodes ?? 0), 0),
      }
    },
    async close() {
      await core.pool.close()
      await transport.close()
    },
  }
}
