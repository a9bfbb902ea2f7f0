// A root file system for a user namespace: its files belong to the ids that the namespace's own are mapped to.
import { chmod, lchown, lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'
import type { IdMapping } from './types.js'

/** Ids that the maps do not cover stay. */
export function shiftId(id: number, maps: readonly IdMapping[]): number {
  const map = maps.find(({ containerId, length }) => id >= containerId && id < containerId + length)
  return map ? map.hostId + id - map.containerId : id
}

/** Goes through everything at `path`; mounts it as overlay with `metacopy=on` first, and no file's content is copied. */
export async function shiftOwners(path: string, uids: readonly IdMapping[], gids: readonly IdMapping[]): Promise<void> {
  const stat = await lstat(path)
  await lchown(path, shiftId(stat.uid, uids), shiftId(stat.gid, gids))
  // A change of owner takes these bits away.
  if (!stat.isSymbolicLink() && (stat.mode & 0o6000) !== 0) await chmod(path, stat.mode & 0o7777)
  if (!stat.isDirectory()) return
  for await (const entry of await opendir(path)) await shiftOwners(join(path, entry.name), uids, gids)
}
