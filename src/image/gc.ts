// Garbage collection: what no name, no snapshot and no living lease reaches is deleted; under disk pressure names go too, oldest first.
import { readdirSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Core } from './core.js'
import { fullPercent } from './disk.js'
import { removeTree } from './layer-paths.js'
import type { LayerName } from './layers.js'
import { tryHold } from './leases.js'
import { removeInTurns } from './tree.js'
import type { GcOptions, GcResult, Image } from './types.js'

interface Roots {
  readonly blobs: ReadonlySet<string>
  readonly layers: ReadonlySet<LayerName>
}

/** Half-done things of dead processes; younger ones may belong to a step of another process that takes no lease. */
const TEMPORARY_GRACE_MS = 10 * 60_000

function reachable(core: Core, held: ReadonlySet<string>, inUse: ReadonlySet<LayerName>): Roots {
  const blobs = new Set<string>(held)
  const layers = new Set<LayerName>([...held, ...inUse])
  for (const { target } of core.names.list()) {
    for (const digest of core.images.reach(target)) blobs.add(digest)
    const image = core.images.at(target)
    if (!image) continue
    for (const diffId of image.diffIds) layers.add(core.layers.rawName(diffId))
    for (const name of core.layers.stack(image.diffIds) ?? []) layers.add(name)
  }
  return { blobs, layers }
}

interface Swept {
  readonly removedBlobs: number
  readonly removedLayers: number
  readonly freedBytes: number
}

/** `doomed`: what is out of sight already and only has to be deleted. */
function sweep(core: Core, roots: Roots, held: ReadonlySet<string>, doomed: string[]): Swept {
  let removedBlobs = 0
  let removedLayers = 0
  let freedBytes = 0
  for (const digest of core.content.list()) {
    if (roots.blobs.has(digest)) continue
    freedBytes += core.content.remove(digest)
    removedBlobs++
  }
  for (const name of core.layers.list()) {
    if (roots.layers.has(name)) continue
    freedBytes += core.layers.info(name)?.bytes ?? 0
    const folder = core.layers.remove(name)
    if (folder !== undefined) doomed.push(folder)
    removedLayers++
  }
  for (const name of readdirSync(core.paths.ingest)) {
    if (name.endsWith('.lock')) continue
    const path = join(core.paths.ingest, name)
    // Whoever downloads it holds its lock.
    const lock = tryHold(`${path}.lock`)
    if (!lock) continue
    if (!held.has(name.replace('-', ':'))) {
      freedBytes += statSync(path, { throwIfNoEntry: false })?.size ?? 0
      removeTree(path)
    }
    lock.release()
  }
  // A name that was being written when its process died leaves its new file beside the old one.
  const halfNames = readdirSync(core.paths.names).filter((name) => !name.endsWith('.json'))
  const halfDone = [
    ...halfNames.map((name) => join(core.paths.names, name)),
    ...readdirSync(core.paths.temporary).map((name) => join(core.paths.temporary, name)),
  ]
  for (const path of halfDone) {
    const stat = statSync(path, { throwIfNoEntry: false })
    if (stat && !held.has(basename(path)) && core.clock.now() - stat.mtimeMs > TEMPORARY_GRACE_MS) removeTree(path)
  }
  return { removedBlobs, removedLayers, freedBytes }
}

/** Images that may go under pressure: not used by a snapshot, and not named as in use. Least recently pulled first. */
function candidates(core: Core, options: GcOptions, layersInUse: ReadonlySet<LayerName>): readonly Image[] {
  const used = (image: Image): boolean => {
    if (options.inUse?.has(image.id)) return true
    const stack = core.layers.stack(image.diffIds) ?? []
    return stack.some((name) => layersInUse.has(name))
  }
  return core.images
    .list()
    .filter((image) => !used(image))
    .sort((a, b) => a.updatedAt - b.updatedAt)
}

export async function collect(
  core: Core,
  options: GcOptions,
  snapshots: { layersInUse(): ReadonlySet<LayerName> },
  percentFull: () => number = () => fullPercent(core.paths.root),
): Promise<GcResult> {
  const removedImages: string[] = []
  let total: Swept = { removedBlobs: 0, removedLayers: 0, freedBytes: 0 }
  const round = async (): Promise<void> => {
    const doomed: string[] = []
    await core.leases.exclusively((held) => {
      const swept = sweep(core, reachable(core, held, snapshots.layersInUse()), held, doomed)
      total = {
        removedBlobs: total.removedBlobs + swept.removedBlobs,
        removedLayers: total.removedLayers + swept.removedLayers,
        freedBytes: total.freedBytes + swept.freedBytes,
      }
    })
    for (const folder of doomed) await removeInTurns(folder)
  }
  await round()
  const until = options.untilPercent ?? options.abovePercent
  const start = options.abovePercent ?? options.untilPercent
  if (until !== undefined && start !== undefined && percentFull() > start) {
    for (const image of candidates(core, options, snapshots.layersInUse())) {
      if (percentFull() <= until) break
      for (const name of [...image.repoTags, ...image.repoDigests]) if (core.names.remove(name)) removedImages.push(name)
      await round()
    }
  }
  return { removedImages, ...total }
}
