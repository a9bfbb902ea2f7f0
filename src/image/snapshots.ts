// Stacks of layers with a writable folder on top: overlayfs mounts as values, or a plain copy where overlayfs is missing.
import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasErrno, keyedLock, type Random } from '../lib/index.js'
import type { Mount } from '../sys/index.js'
import { randomName, readIfThere, type StorePaths } from './disk.js'
import { removeTree } from './layer-paths.js'
import { chainId, type LayerName, type LayerStore } from './layers.js'
import type { Digest } from './manifest.js'
import { copyAttributes, layOver, removeInTurns, treeUsage } from './tree.js'
import type { Snapshot, SnapshotStore } from './types.js'

export type Snapshotter = 'overlay' | 'copy'

interface Options {
  readonly paths: StorePaths
  readonly layers: LayerStore
  readonly random: Random
  readonly snapshotter: Snapshotter
  /** The layers of an image or chain, lowest first; unpacks what is missing. */
  readonly stackOf: (
    what: Digest | { readonly diffIds: readonly Digest[] },
  ) => Promise<{ readonly names: readonly LayerName[]; readonly diffIds: readonly Digest[] }>
}

interface Saved {
  readonly kind: Snapshot['kind']
  readonly snapshotter: Snapshotter
  readonly layers: readonly LayerName[]
  readonly chainId?: Digest
}

/** mount(2) takes one page of options; the rest of the page is for upperdir, workdir and what others add. */
const LOWERDIR_LIMIT = 3000

/** Overlay upon overlay as upper folder does not work, and some kernels have none. */
export function bestSnapshotter(root: string): Snapshotter {
  const OVERLAYFS_MAGIC = 0x794c7630
  if (statfsSync(root).type === OVERLAYFS_MAGIC) return 'copy'
  return /^\S*\toverlay$/m.test(readFileSync('/proc/filesystems', 'utf8')) ? 'overlay' : 'copy'
}

/** True when something is mounted in the folder or below: deleting would then reach into the mount. */
function isMounted(folder: string): boolean {
  const escaped = folder.replace(/[\\ \t\n]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`)
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => (line.split(' ')[4] ?? '').startsWith(`${escaped}/`))
}

/** As many layers as fit the page are mounted each on its own; the lowest of the others become one. Lowest first. */
function fit(names: readonly LayerName[], layers: LayerStore): readonly LayerName[] {
  let length = 0
  let first = names.length
  while (first > 0) {
    length += layers.mountPath(names[first - 1] ?? '').length + 1
    if (length > LOWERDIR_LIMIT) break
    first--
  }
  if (first === 0) return names
  return [layers.merge(names.slice(0, first + 1)), ...names.slice(first + 1)]
}

export function snapshotStore({
  paths,
  layers,
  random,
  snapshotter,
  stackOf,
}: Options): SnapshotStore & { layersInUse(): ReadonlySet<LayerName> } {
  const lock = keyedLock()
  const home = (id: string): string => join(paths.snapshots, id)
  const check = (id: string): void => {
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,200}$/.test(id))
      throw new Error(`snapshot id "${id}" has characters other than letters, digits, "_", "." and "-"`)
  }
  const load = (id: string): Saved | undefined => {
    const text = readIfThere(join(home(id), 'snapshot.json'))
    return text === undefined ? undefined : (JSON.parse(text) as Saved)
  }
  const mountsOf = (id: string, saved: Saved): readonly Mount[] => {
    const own = join(home(id), 'fs')
    const target = join(home(id), 'rootfs')
    const isView = saved.kind === 'view'
    if (saved.snapshotter === 'copy') return [{ source: own, target, type: 'bind', options: ['rbind', isView ? 'ro' : 'rw'] }]
    const lowers = [...saved.layers].reverse().map((name) => layers.mountPath(name))
    // The empty own folder is the top of a view too: it carries the root's owner and mode, and overlayfs wants two layers.
    if (isView) {
      if (lowers.length === 0) return [{ source: own, target, type: 'bind', options: ['rbind', 'ro'] }]
      return [{ source: 'overlay', target, type: 'overlay', options: ['ro', `lowerdir=${[own, ...lowers].join(':')}`] }]
    }
    if (lowers.length === 0) return [{ source: own, target, type: 'bind', options: ['rbind', 'rw'] }]
    return [
      {
        source: 'overlay',
        target,
        type: 'overlay',
        options: [`lowerdir=${lowers.join(':')}`, `upperdir=${own}`, `workdir=${join(home(id), 'work')}`],
      },
    ]
  }
  const create = async (id: string, kind: Snapshot['kind'], image: Parameters<SnapshotStore['prepare']>[1]): Promise<readonly Mount[]> => {
    check(id)
    const before = load(id)
    if (before) {
      if (before.kind !== kind) throw new Error(`snapshot ${id} exists already as ${before.kind === 'view' ? 'a view' : 'a writable one'}`)
      // A power loss may have taken layers; unpacking again makes the same ones.
      if (image !== undefined && !before.layers.every((name) => layers.has(name))) fit((await stackOf(image)).names, layers)
      return mountsOf(id, before)
    }
    const { names, diffIds } = image === undefined ? { names: [], diffIds: [] } : await stackOf(image)
    const stack = snapshotter === 'overlay' ? fit(names, layers) : names
    const chain = chainId(diffIds)
    const saved: Saved = { kind, snapshotter, layers: stack, ...(chain ? { chainId: chain } : {}) }
    const made = join(paths.temporary, randomName(random))
    try {
      for (const name of ['fs', 'work', 'rootfs']) mkdirSync(join(made, name), { recursive: true, mode: 0o755 })
      const own = Buffer.from(join(made, 'fs'))
      if (snapshotter === 'copy')
        for (const name of names) layOver(Buffer.from(layers.folder(name)), own, { files: 'copy', marks: 'apply' })
      const top = stack.findLast((name) => layers.info(name)?.hasRoot)
      if (top !== undefined) copyAttributes(Buffer.from(layers.folder(top)), own, lstatSync(layers.folder(top)), { dropOpaque: true })
      writeFileSync(join(made, 'snapshot.json'), JSON.stringify(saved))
      // Left over from a removal that was cut off.
      if (!load(id)) removeTree(home(id))
      renameSync(made, home(id))
    } catch (error) {
      removeTree(made)
      throw error
    }
    return mountsOf(id, saved)
  }
  const list = (): readonly string[] => readdirSync(paths.snapshots)
  const get = (id: string): Snapshot | undefined => {
    const saved = load(id)
    return saved && { id, kind: saved.kind, chainId: saved.chainId, mounts: mountsOf(id, saved) }
  }
  return {
    prepare: (id, image) => lock(id, () => create(id, 'active', image)),
    view: (id, image) => lock(id, () => create(id, 'view', image)),
    get(id) {
      check(id)
      return get(id)
    },
    list: () =>
      list()
        .map(get)
        .filter((snapshot): snapshot is Snapshot => snapshot !== undefined),
    remove: (id) =>
      lock(id, async () => {
        check(id)
        if (isMounted(home(id))) throw new Error(`snapshot ${id} is still mounted`)
        const doomed = join(paths.temporary, randomName(random))
        try {
          renameSync(home(id), doomed)
        } catch (error) {
          if (hasErrno(error, 'ENOENT')) return
          throw error
        }
        await removeInTurns(doomed)
      }),
    async usage(id) {
      check(id)
      return treeUsage(Buffer.from(join(home(id), 'fs')))
    },
    layersInUse: () => new Set(list().flatMap((id) => load(id)?.layers ?? [])),
  }
}
