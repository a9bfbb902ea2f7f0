// Files that change all at once: `..data` is a link to a folder, and an update is one rename of that link.
// (The layout is what programs that watch ConfigMaps rely on: NAME -> ..data/NAME, ..data -> ..TIMESTAMP.)
import { promises as fs } from 'node:fs'
import { dirname, join } from 'node:path'
import { hasErrno } from '../../lib/index.js'

export interface VolumeFile {
  readonly bytes: Uint8Array
  readonly mode: number
  /** Owner other than root. */
  readonly uid?: number | undefined
}

/** By path relative to the volume; checked by `checkPaths`. */
export type Payload = ReadonlyMap<string, VolumeFile>

/** A path that leaves its volume, or hides the machinery. */
export function checkPaths(payload: Payload): void {
  for (const path of payload.keys()) {
    const parts = path.split('/')
    if (path === '' || path.startsWith('/')) throw new Error(`invalid path: must be relative: ${path}`)
    if (parts.includes('..')) throw new Error(`invalid path: must not contain '..': ${path}`)
    if (parts[0]?.startsWith('..')) throw new Error(`invalid path: must not start with '..': ${path}`)
    if (path.length > 4096 || parts.some((part) => part.length > 255)) throw new Error(`invalid path: too long: ${path}`)
  }
}

const DATA = '..data'
const NEW_DATA = '..data_tmp'

async function readLink(path: string): Promise<string | undefined> {
  try {
    return await fs.readlink(path)
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'EINVAL')) return undefined
    throw error
  }
}

/** True when a payload has been written there. */
export const isFilled = async (target: string): Promise<boolean> => (await readLink(join(target, DATA))) !== undefined

async function filesBelow(folder: string, prefix = ''): Promise<string[]> {
  const out: string[] = []
  for (const entry of await fs.readdir(join(folder, prefix), { withFileTypes: true })) {
    const path = prefix ? `${prefix}/${entry.name}` : entry.name
    if (entry.isDirectory()) out.push(...(await filesBelow(folder, path)))
    else out.push(path)
  }
  return out
}

/** True when the folder holds just these files with just these bytes and modes. */
async function holds(folder: string, payload: Payload, group: number | undefined): Promise<boolean> {
  try {
    const names = await filesBelow(folder)
    if (names.length !== payload.size) return false
    for (const name of names) {
      const wanted = payload.get(name)
      if (!wanted) return false
      const path = join(folder, name)
      const { mode, gid } = await fs.lstat(path)
      if ((mode & 0o777) !== (wanted.mode & 0o777) || (group !== undefined && gid !== group)) return false
      if (!(await fs.readFile(path)).equals(wanted.bytes)) return false
    }
    return true
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return false
    throw error
  }
}

async function writeAll(folder: string, payload: Payload, group: number | undefined): Promise<void> {
  const made = new Set<string>([''])
  const makeFolder = async (relative: string): Promise<void> => {
    if (made.has(relative)) return
    const parent = dirname(relative)
    await makeFolder(parent === '.' ? '' : parent)
    await fs.mkdir(join(folder, relative))
    await fs.chmod(join(folder, relative), group === undefined ? 0o755 : 0o2775)
    if (group !== undefined) await fs.chown(join(folder, relative), 0, group)
    made.add(relative)
  }
  for (const [path, { bytes, mode, uid }] of payload) {
    const parent = dirname(path)
    await makeFolder(parent === '.' ? '' : parent)
    const full = join(folder, path)
    await fs.writeFile(full, bytes, { mode: 0o600, flag: 'wx' })
    if (uid !== undefined || group !== undefined) await fs.chown(full, uid ?? 0, group ?? 0)
    // After chown, which clears the set-id bits.
    await fs.chmod(full, mode)
  }
}

const stamp = (now: number): string => `..${new Date(now).toISOString().slice(0, 23).replace(/[-T:]/g, '_')}`

/**
 * Makes `target` show `payload`. Readers see either all of the old files or all of the new ones.
 * Returns whether anything changed.
 */
export async function writeAtomically(
  target: string,
  payload: Payload,
  { now, unique, group }: { readonly now: number; readonly unique: string; readonly group?: number | undefined },
): Promise<boolean> {
  checkPaths(payload)
  const old = await readLink(join(target, DATA))
  const visible = new Set([...payload.keys()].map((path) => path.split('/')[0] as string))
  if (old !== undefined && (await holds(join(target, old), payload, group))) return false
  const name = `${stamp(now)}.${unique}`
  const folder = join(target, name)
  await fs.mkdir(folder)
  await fs.chmod(folder, group === undefined ? 0o755 : 0o2775)
  if (group !== undefined) await fs.chown(folder, 0, group)
  try {
    await writeAll(folder, payload, group)
  } catch (error) {
    await fs.rm(folder, { recursive: true, force: true })
    throw error
  }
  await fs.rm(join(target, NEW_DATA), { force: true })
  await fs.symlink(name, join(target, NEW_DATA))
  await fs.rename(join(target, NEW_DATA), join(target, DATA))
  for (const entry of visible) {
    if ((await readLink(join(target, entry))) !== undefined) continue
    await fs.symlink(`${DATA}/${entry}`, join(target, entry))
  }
  for (const entry of await fs.readdir(target))
    if (!entry.startsWith('..') && !visible.has(entry)) await fs.rm(join(target, entry), { force: true })
  if (old !== undefined) await fs.rm(join(target, old), { recursive: true, force: true })
  return true
}
