// How much folders hold and file systems have.
import { promises as fs } from 'node:fs'
import { dirname, join } from 'node:path'
import { hasErrno } from '../../lib/index.js'

export interface FolderUsage {
  readonly usedBytes: number
  readonly inodesUsed: number
}

export interface FilesystemSize extends FolderUsage {
  readonly availableBytes: number
  readonly capacityBytes: number
  readonly inodesFree: number
  readonly inodes: number
}

/** The file system that has the path; undefined when nothing is there. */
export async function filesystemSize(path: string): Promise<FilesystemSize | undefined> {
  const stats = await fs.statfs(path).catch(() => undefined)
  if (!stats) return undefined
  return {
    availableBytes: stats.bavail * stats.bsize,
    capacityBytes: stats.blocks * stats.bsize,
    usedBytes: (stats.blocks - stats.bfree) * stats.bsize,
    inodesFree: stats.ffree,
    inodes: stats.files,
    inodesUsed: stats.files - stats.ffree,
  }
}

/** Bytes on disk and inodes of a folder and what is in it, each inode once; what is mounted below is not of it. */
export async function folderUsage(path: string): Promise<FolderUsage> {
  const seen = new Set<number>()
  let usedBytes = 0
  let inodesUsed = 0
  async function walk(at: string, device: number): Promise<void> {
    const stat = await fs.lstat(at)
    if (stat.dev !== device || seen.has(stat.ino)) return
    seen.add(stat.ino)
    usedBytes += stat.blocks * 512
    inodesUsed++
    if (stat.isDirectory()) for (const name of await fs.readdir(at)) await walk(join(at, name), device).catch(unlessGone)
  }
  const unlessGone = (error: unknown): void => {
    if (!hasErrno(error, 'ENOENT')) throw error
  }
  await fs
    .stat(path)
    .then(({ dev }) => walk(path, dev))
    .catch(unlessGone)
  return { usedBytes, inodesUsed }
}

/** What a volume holds, within what it could: a file system of its own tells at once, a folder is walked. */
export async function volumeUsage(path: string): Promise<FilesystemSize | undefined> {
  const filesystem = await filesystemSize(path)
  if (!filesystem) return undefined
  const isMount = (await fs.stat(path)).dev !== (await fs.stat(dirname(path))).dev
  return isMount ? filesystem : { ...filesystem, ...(await folderUsage(path)) }
}
