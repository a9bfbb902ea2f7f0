// fsGroup: files of a volume belong to a group that all containers of the pod are in.
import { promises as fs } from 'node:fs'
import { join } from 'node:path'

const READ_WRITE = 0o660
const FOLDER = 0o2110

/** True when the top already looks as `setGroup` would leave it: the OnRootMismatch policy stops there. */
export async function groupMatches(root: string, gid: number): Promise<boolean> {
  const stats = await fs.stat(root)
  return stats.gid === gid && (stats.mode & 0o2770) === 0o2770
}

/** Hands everything below `root` to the group, readable and writable, new files included. Links are left alone. */
export async function setGroup(root: string, gid: number): Promise<void> {
  const stats = await fs.lstat(root)
  if (stats.isSymbolicLink()) return
  await fs.chown(root, stats.uid, gid)
  await fs.chmod(root, (stats.mode & 0o7777) | READ_WRITE | (stats.isDirectory() ? FOLDER : 0))
  if (stats.isDirectory()) for (const name of await fs.readdir(root)) await setGroup(join(root, name), gid)
}
