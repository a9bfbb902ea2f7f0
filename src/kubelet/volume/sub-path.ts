// One file or folder of a volume, mounted alone. The path comes from a pod and its links from whoever can write the volume:
// it is walked descriptor by descriptor, so that nothing swapped underway leads outside.
import { constants, promises as fs } from 'node:fs'
import { dirname, join } from 'node:path'
import { hasErrno } from '../../lib/index.js'
import type { VolumeHost } from '../options.js'

// open(2): a descriptor that only names a file. Node has no constant for it.
const O_PATH = 0o10000000

/** Refuses paths that no volume can hold. */
export function checkSubPath(subPath: string): void {
  if (subPath.startsWith('/')) throw new Error(`error SubPath \`${subPath}\` must not be an absolute path`)
  if (subPath.split('/').includes('..')) throw new Error(`unable to provision SubPath \`${subPath}\`: must not contain '..'`)
}

const inside = (path: string, root: string): boolean => path === root || path.startsWith(`${root}/`)

/** The parts below `root` after links are followed; throws when they lead out. Missing tails stay as written. */
async function resolveBelow(root: string, subPath: string): Promise<{ readonly real: string; readonly missing: readonly string[] }> {
  const base = await fs.realpath(root)
  const parts = subPath.split('/').filter((part) => part !== '' && part !== '.')
  for (let known = parts.length; known >= 0; known--) {
    try {
      const real = await fs.realpath(join(base, ...parts.slice(0, known)))
      if (!inside(real, base)) throw new Error(`subpath "${real}" not within volume path "${base}"`)
      return { real, missing: parts.slice(known) }
    } catch (error) {
      if (!hasErrno(error, 'ENOENT') || known === 0) throw error
      // A link that points to nothing must not be created through.
      const dangling = await fs.lstat(join(base, ...parts.slice(0, known))).catch(() => undefined)
      if (dangling?.isSymbolicLink()) throw new Error(`subpath "${subPath}" goes through a broken link`)
    }
  }
  throw new Error(`subpath "${subPath}" cannot be resolved`)
}

/** Opens `real` below `base` without following any link: what realpath saw is what is opened, or it fails. */
async function openWithoutLinks(base: string, real: string): Promise<fs.FileHandle> {
  let handle = await fs.open(base, O_PATH | constants.O_DIRECTORY)
  for (const part of real.slice(base.length).split('/').filter(Boolean)) {
    const next = await fs.open(`/proc/self/fd/${handle.fd}/${part}`, O_PATH | constants.O_NOFOLLOW).finally(() => handle.close())
    handle = next
    if ((await handle.stat()).isSymbolicLink()) {
      await handle.close()
      throw new Error(`subpath "${real}" was changed into a link`)
    }
  }
  return handle
}

export interface SubPathMount {
  readonly volumeRoot: string
  readonly subPath: string
  /** Where the bind mount is made. */
  readonly target: string
}

/** Binds the part of the volume to `target`, making missing folders in the volume as the volume's own folder is. */
export async function bindSubPath(host: VolumeHost, { volumeRoot, subPath, target }: SubPathMount): Promise<void> {
  checkSubPath(subPath)
  const base = await fs.realpath(volumeRoot)
  const { real, missing } = await resolveBelow(volumeRoot, subPath)
  let handle = await openWithoutLinks(base, real)
  try {
    const { mode } = await fs.stat(base)
    for (const part of missing) {
      const path = `/proc/self/fd/${handle.fd}/${part}`
      await fs.mkdir(path, mode & 0o777)
      await fs.chmod(path, mode & 0o7777)
      const next = await fs.open(path, O_PATH | constants.O_NOFOLLOW | constants.O_DIRECTORY)
      await handle.close()
      handle = next
    }
    const source = `/proc/self/fd/${handle.fd}`
    await fs.mkdir(dirname(target), { recursive: true, mode: 0o750 })
    if ((await fs.stat(source)).isDirectory()) await fs.mkdir(target, { recursive: true })
    else await (await fs.open(target, 'a', 0o640)).close()
    await host.bind(source, target, {})
  } finally {
    await handle.close()
  }
}
