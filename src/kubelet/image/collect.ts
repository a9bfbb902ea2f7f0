// Images that nobody uses go when the disk fills.
import { promises as fs } from 'node:fs'
import type { Cri, Image } from '../../cri/index.js'
import { type Clock, explain, type Logger, sleep } from '../../lib/index.js'
import type { ImageGcPolicy } from '../options.js'

export interface CollectionInput {
  readonly images: readonly Image[]
  readonly inUse: ReadonlySet<string>
  readonly lastUsed: ReadonlyMap<string, number>
  readonly usedBytes: number
  readonly capacityBytes: number
  readonly policy: ImageGcPolicy
  readonly now: number
}

/** Images to remove, those first that were used longest ago. Empty below the high threshold. Pure. */
export function planCollection(input: CollectionInput): readonly Image[] {
  const { policy, capacityBytes, usedBytes, now } = input
  if (capacityBytes <= 0 || (usedBytes / capacityBytes) * 100 < policy.highThresholdPercent) return []
  let toFree = usedBytes - (capacityBytes * policy.lowThresholdPercent) / 100
  const usedAt = ({ id, repoTags }: Image): number => Math.max(0, ...[id, ...repoTags].map((name) => input.lastUsed.get(name) ?? 0))
  const candidates = input.images
    .filter((image) => !image.pinned && !input.inUse.has(image.id) && now - usedAt(image) >= policy.minimumAgeMs)
    .sort((a, b) => usedAt(a) - usedAt(b))
  const chosen: Image[] = []
  for (const image of candidates) {
    if (toFree <= 0) break
    chosen.push(image)
    toFree -= image.size
  }
  return chosen
}

const PERIOD_MS = 300_000

export interface CollectorOptions {
  readonly cri: Cri
  readonly clock: Clock
  readonly log: Logger
  readonly policy: ImageGcPolicy
  readonly lastUsed: ReadonlyMap<string, number>
  readonly event: (reason: string, message: string) => void
}

export async function collectImages({ cri, clock, log, policy, lastUsed, event }: CollectorOptions): Promise<readonly string[]> {
  const { imageFilesystems } = await cri.imageFsInfo()
  const mountpoint = imageFilesystems[0]?.fsId.mountpoint
  if (!mountpoint) return []
  const disk = await fs.statfs(mountpoint)
  const containers = await cri.listContainers()
  const planned = planCollection({
    images: await cri.listImages(),
    inUse: new Set(containers.flatMap(({ imageId, imageRef }) => [imageId, imageRef])),
    lastUsed,
    capacityBytes: disk.blocks * disk.bsize,
    usedBytes: (disk.blocks - disk.bavail) * disk.bsize,
    policy,
    now: clock.now(),
  })
  const removed: string[] = []
  for (const image of planned) {
    try {
      await cri.removeImage({ image: image.id })
      removed.push(image.id)
    } catch (error) {
      log.warn('image not removed', { image: image.id, err: explain(error) })
    }
  }
  const high = ((disk.blocks - disk.bavail) / Math.max(1, disk.blocks)) * 100 >= policy.highThresholdPercent
  if (high && removed.length === 0) event('FreeDiskSpaceFailed', 'failed to free disk space: no image can be removed')
  return removed
}

export async function runCollector(options: CollectorOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(options.clock, PERIOD_MS, signal).catch(() => {})
    if (signal.aborted) return
    await collectImages(options).catch((error: unknown) => options.log.warn('images not collected', { err: error }))
  }
}
