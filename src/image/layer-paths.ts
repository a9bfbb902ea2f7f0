// Where an entry of a layer may be written: every path is resolved beneath the layer's root, step by step.
import { lstatSync, mkdirSync, readlinkSync, rmSync } from 'node:fs'
import { hasErrno } from '../lib/index.js'

/** A name in the tar that cannot be used; the message is for the user. */
export class HostilePath extends Error {
  override readonly name = 'HostilePath'
}

/** File names are bytes: latin1 text in memory, a Buffer for the kernel. Plain ASCII goes as it is, which is faster. */
export const diskPath = (path: string): string | Buffer => (/^[\x20-\x7e]*$/.test(path) ? path : Buffer.from(path, 'latin1'))

/** A name for messages. */
export const shownPath = (path: string): string => JSON.stringify(Buffer.from(path, 'latin1').toString('utf8').slice(0, 200))

/** The components of a tar name; refuses absolute names, `..` and NUL. An empty list is the root itself, which some builders call `/`. */
export function componentsOf(path: string): readonly string[] {
  if (path.startsWith('/') && path !== '/') throw new HostilePath(`${shownPath(path)} is an absolute path`)
  if (path.includes('\0')) throw new HostilePath(`${shownPath(path)} contains a NUL byte`)
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw new HostilePath(`${shownPath(path)} climbs out of the layer`)
  if (parts.length > 4096 || parts.some((part) => part.length > 255)) throw new HostilePath(`${shownPath(path)} is too long`)
  return parts
}

export interface LayerPaths {
  /** The place of an entry, its folders made if they are missing. Relative to the root, without symbolic links in the folders. */
  locate(path: string): string
  /** As `locate`, but makes nothing; undefined when a folder on the way is missing. */
  find(path: string): string | undefined
  absolute(relative: string): string
  /** The thing at this place has been removed or replaced by something that is no folder. */
  forget(relative: string): void
  isFolder(relative: string): boolean
  remember(relative: string): void
  /** Folders that were made because entries below them came without them. */
  readonly implied: Set<string>
}

const MAX_LINKS = 40

/** Nobody but us writes below `root` while a layer is unpacked, so what was seen once stays true until we change it. */
export function layerPaths(root: string): LayerPaths {
  // Latin1 like the names: one JavaScript character is one byte on disk.
  const base = Buffer.from(root, 'utf8').toString('latin1')
  const folders = new Set<string>([''])
  const implied = new Set<string>()
  const absolute = (relative: string): string => (relative === '' ? base : `${base}/${relative}`)

  const walk = (parts: readonly string[], make: boolean, wanted: string): string | undefined => {
    let at = ''
    let links = 0
    const left = [...parts].reverse()
    for (let part = left.pop(); part !== undefined; part = left.pop()) {
      if (part === '..') {
        if (at === '') throw new HostilePath(`${shownPath(wanted)} climbs out of the layer through a symbolic link`)
        at = at.includes('/') ? at.slice(0, at.lastIndexOf('/')) : ''
        continue
      }
      const next = at === '' ? part : `${at}/${part}`
      if (folders.has(next)) {
        at = next
        continue
      }
      const stat = lstatSync(diskPath(absolute(next)), { throwIfNoEntry: false })
      if (!stat) {
        if (!make) return undefined
        mkdirSync(diskPath(absolute(next)), { mode: 0o755 })
        implied.add(next)
      } else if (stat.isSymbolicLink()) {
        const target = readlinkSync(diskPath(absolute(next)), 'latin1')
        if (target.startsWith('/'))
          throw new HostilePath(`${shownPath(wanted)} leads out of the layer through the symbolic link ${shownPath(next)}`)
        if (++links > MAX_LINKS) throw new HostilePath(`${shownPath(wanted)} goes through too many symbolic links`)
        left.push(
          ...target
            .split('/')
            .filter((word) => word !== '' && word !== '.')
            .reverse(),
        )
        continue
      } else if (!stat.isDirectory()) {
        if (!make) return undefined
        throw new HostilePath(`${shownPath(wanted)} lies below ${shownPath(next)}, which is not a folder`)
      }
      folders.add(next)
      at = next
    }
    return at
  }

  const place = (path: string, make: boolean): string | undefined => {
    const parts = componentsOf(path)
    const last = parts.at(-1)
    if (last === undefined) return ''
    const parentPath = parts.length === 1 ? '' : parts.slice(0, -1).join('/')
    const parent = folders.has(parentPath) ? parentPath : walk(parts.slice(0, -1), make, path)
    if (parent === undefined) return undefined
    return parent === '' ? last : `${parent}/${last}`
  }

  return {
    locate: (path) => place(path, true) ?? '',
    find: (path) => place(path, false),
    absolute,
    forget(relative) {
      if (!folders.has(relative)) return
      folders.delete(relative)
      implied.delete(relative)
      for (const folder of folders) if (folder.startsWith(`${relative}/`)) folders.delete(folder)
      for (const folder of implied) if (folder.startsWith(`${relative}/`)) implied.delete(folder)
    },
    isFolder: (relative) => folders.has(relative),
    remember(relative) {
      folders.add(relative)
      implied.delete(relative)
    },
    implied,
  }
}

/** Removes whatever is there: a file, or a folder with all below it. True when there was something. */
export function removeTree(path: string | Buffer): boolean {
  try {
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (!stat) return false
    rmSync(path, { recursive: true, force: true })
    return true
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return false
    throw error
  }
}
