// After a power loss: what was written but perhaps never reached the disk is checked again or thrown away.
// Between two starts of the machine the page cache cannot lie, so a killed process needs none of this.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ContentStore, digestName, fileMatches } from './content.js'
import { readIfThere, type StorePaths, writeWhole } from './disk.js'
import { removeTree } from './layer-paths.js'
import type { LayerStore } from './layers.js'
import { tryHold } from './leases.js'

const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()

/** Marks as being on the disk what is here now, after `flush` has put it there. */
export async function markSynced(
  paths: StorePaths,
  content: ContentStore,
  layers: LayerStore,
  flush: (path: string) => Promise<void>,
): Promise<void> {
  const fresh = [...content.list().map(digestName), ...layers.list()].filter((name) => !existsSync(join(paths.synced, name)))
  if (fresh.length === 0) return
  await flush(paths.root)
  // A mark without its blob does no harm: blobs never change.
  for (const name of fresh) writeFileSync(join(paths.synced, name), '')
}

export interface Recovered {
  readonly blobs: readonly string[]
  readonly layers: readonly string[]
}

const nothing: Recovered = { blobs: [], layers: [] }

/**
 * Once per start of the machine: blobs without mark are hashed; layers without mark are removed (their blobs make them again), and
 * so are snapshots that nothing is known of.
 */
export function recover(paths: StorePaths, content: ContentStore, layers: LayerStore, boot: string = bootId()): Recovered {
  const file = join(paths.root, 'boot')
  if (readIfThere(file) === boot) return nothing
  // Another process may have started at the same moment: one mends, the other waits and finds it done.
  const lock = tryHold(`${file}.lock`)
  if (!lock) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
    return recover(paths, content, layers, boot)
  }
  try {
    return mend(paths, content, layers, boot)
  } finally {
    lock.release()
  }
}

/** Renamed into place, but the file itself may not have reached the disk. */
function isWhole(json: string): boolean {
  try {
    return typeof JSON.parse(readIfThere(json) ?? '') === 'object'
  } catch {
    return false
  }
}

function mend(paths: StorePaths, content: ContentStore, layers: LayerStore, boot: string): Recovered {
  const file = join(paths.root, 'boot')
  if (readIfThere(file) === boot) return nothing
  const marked = (name: string): boolean => existsSync(join(paths.synced, name))
  const badBlobs = content.list().filter((digest) => !marked(digestName(digest)) && !fileMatches(content.path(digest), digest))
  for (const digest of badBlobs) content.remove(digest)
  const badLayers = layers.list().filter((name) => !marked(name))
  for (const name of badLayers) layers.remove(name) // into the folder that is emptied below
  for (const name of readdirSync(paths.snapshots))
    if (!isWhole(join(paths.snapshots, name, 'snapshot.json'))) removeTree(join(paths.snapshots, name))
  // Nobody can be in the middle of anything that began before the machine did.
  for (const folder of [paths.temporary, paths.ingest, paths.leases]) for (const name of readdirSync(folder)) removeTree(join(folder, name))
  writeWhole(file, boot)
  return { blobs: badBlobs, layers: badLayers }
}
