// Small durable steps on the store's file system: whole files appear at once, or not at all.
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { hasErrno, type Random } from '../lib/index.js'

/** Where everything is below the store's root. */
export interface StorePaths {
  readonly root: string
  readonly blobs: string
  /** Downloads that may be continued: `sha256-HEX`. */
  readonly ingest: string
  readonly names: string
  readonly layers: string
  readonly snapshots: string
  readonly leases: string
  /** Marks of blobs and layers that are known to be on the disk. */
  readonly synced: string
  /** Half-done things; each in a folder whose lock its maker holds. */
  readonly temporary: string
}

export function storePaths(root: string): StorePaths {
  const at = (name: string): string => join(root, name)
  const paths = {
    root,
    blobs: at('blobs'),
    ingest: at('ingest'),
    names: at('names'),
    layers: at('layers'),
    snapshots: at('snapshots'),
    leases: at('leases'),
    synced: at('synced'),
    temporary: at('tmp'),
  }
  for (const path of Object.values(paths)) mkdirSync(path, { recursive: true, mode: path === root ? 0o711 : 0o700 })
  return paths
}

export function syncFolder(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/**
 * Writes a file that is whole after a crash at any moment: temporary name, fsync, rename, fsync of the folder.
 * `file`: the folder's fsync, which makes it last, is left to the caller.
 */
export function writeWhole(path: string, data: string | Uint8Array, options: { readonly sync: 'file' | 'all' } = { sync: 'all' }): void {
  const temporary = `${path}.new-${process.pid}`
  const fd = openSync(temporary, 'w', 0o600)
  try {
    const bytes = Buffer.from(data as string)
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
    fsyncSync(fd)
    closeSync(fd)
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  if (options.sync === 'all') syncFolder(dirname(path))
}

/** The file's text, or undefined when there is none. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined
    throw error
  }
}

export const randomName = (random: Random): string => Buffer.from(random.bytes(9)).toString('hex')

/** How full the file system of `path` is, in percent, as df counts. */
export function fullPercent(path: string): number {
  const { blocks, bfree, bavail } = statfsSync(path)
  const used = blocks - bfree
  return used + bavail === 0 ? 0 : (100 * used) / (used + bavail)
}
