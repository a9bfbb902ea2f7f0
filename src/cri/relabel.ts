// Puts a label on files of the host: those of a pod, and volumes that ask for it.
import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { hasErrno } from '../lib/index.js'
import { setXattr } from '../runtime/index.js'

/** `path` and, when it is a folder, all below it. What a file system cannot keep, it does without; what goes away meanwhile is gone. */
export function relabel(path: string, label: string, set: typeof setXattr = setXattr): void {
  try {
    set(path, 'security.selinux', Buffer.from(`${label}\0`))
  } catch (error) {
    if (!hasErrno(error, 'EOPNOTSUPP', 'ENOENT', 'EROFS')) throw error
  }
  if (!lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) return
  for (const name of readdirSync(path)) relabel(join(path, name), label, set)
}
