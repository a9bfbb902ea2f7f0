// The parts of the store that pull, push, import, export and collection share.
import type { Clock, Random } from '../lib/index.js'
import type { ContentStore } from './content.js'
import { randomName, type StorePaths } from './disk.js'
import type { Images } from './images.js'
import { removeTree } from './layer-paths.js'
import type { LayerStore } from './layers.js'
import type { Lease, Leases } from './leases.js'
import type { Descriptor, Digest, Platform } from './manifest.js'
import type { NameIndex } from './names.js'
import type { UnpackLimits } from './unpack.js'
import type { Growth, UnpackOutcome } from './unpack-job.js'
import type { UnpackPool } from './unpack-pool.js'

export interface Core {
  readonly paths: StorePaths
  readonly content: ContentStore
  readonly names: NameIndex
  readonly images: Images
  readonly layers: LayerStore
  readonly leases: Leases
  readonly pool: UnpackPool
  readonly clock: Clock
  readonly random: Random
  readonly platform: Platform
  readonly limits: UnpackLimits
}

/** `sha256:0123456789ab`: a digest as messages name it. */
export const shortDigest = (digest: string): string => digest.replace(/^(sha\d+:[0-9a-f]{12})[0-9a-f]+$/, '$1')

/** One sentence in front of what went wrong. */
export function wrap(prefix: string, error: unknown): Error {
  return new Error(prefix, { cause: error })
}

export interface Wanted {
  /** What the compressed bytes must be; undefined when they are ours and nobody has said yet. */
  readonly digest?: Digest
  readonly diffId?: Digest
  readonly unpack: boolean
}

export interface Intake extends Growth {
  /** The checked outcome; blob and layer are then in the store. On failure nothing of the layer is left, the file is the caller's. */
  readonly done: Promise<UnpackOutcome & { readonly diffId: Digest; readonly digest: Digest }>
}

/** The bytes are not what was promised: trying again with the same bytes is of no use. */
export class WrongContent extends Error {
  override readonly name = 'WrongContent'
}

/** Checks, unpacks and takes over a file that may still be growing. */
export function takeIn(core: Core, lease: Lease, file: string, wanted: Wanted, progress?: (read: number) => void): Intake {
  const name = randomName(core.random)
  const target = wanted.unpack ? `${core.paths.temporary}/${name}` : undefined
  const algorithm = wanted.digest?.startsWith('sha512:') ? 'sha512' : 'sha256'
  const job = core.pool.run({ file, ...(target ? { target } : {}), algorithm, limits: core.limits }, progress)
  const finish = async (): Promise<Awaited<Intake['done']>> => {
    try {
      await lease.hold([name])
      const outcome = await job.outcome
      const digest = outcome.digest as Digest
      const diffId = outcome.diffId as Digest
      if (wanted.digest !== undefined && digest !== wanted.digest)
        throw new WrongContent(`its bytes have the digest ${digest}, not ${wanted.digest}`)
      if (wanted.diffId !== undefined && diffId !== wanted.diffId)
        throw new WrongContent(`unpacked it has the digest ${diffId}, not ${wanted.diffId} as its config says`)
      await lease.hold([digest, core.layers.rawName(diffId)])
      if (file !== core.content.path(digest)) core.content.commit(file, digest)
      if (target !== undefined) core.layers.commit(target, core.layers.rawName(diffId))
      return { ...outcome, digest, diffId }
    } catch (error) {
      if (target !== undefined) removeTree(target)
      throw error
    }
  }
  const done = finish()
  done.catch(() => {})
  return { grow: job.grow, end: job.end, fail: job.fail, done }
}

/** Unpacks the layers of an image that are in the store only as blobs. */
export async function unpackMissing(
  core: Core,
  image: { readonly layers: readonly Descriptor[]; readonly diffIds: readonly Digest[] },
): Promise<void> {
  const lease = core.leases.begin()
  try {
    await lease.hold([...image.layers.map(({ digest }) => digest), ...image.diffIds.map(core.layers.rawName)])
    const jobs = image.diffIds.map(async (diffId, i) => {
      const layer = image.layers[i]
      if (!layer || core.layers.has(core.layers.rawName(diffId))) return
      const intake = takeIn(core, lease, core.content.path(layer.digest), { digest: layer.digest, diffId, unpack: true })
      intake.end(layer.size)
      await intake.done.catch((error) => {
        throw wrap(`layer ${shortDigest(layer.digest)}`, error)
      })
    })
    const results = await Promise.allSettled(jobs)
    for (const result of results) if (result.status === 'rejected') throw result.reason
  } finally {
    lease.end()
  }
}
