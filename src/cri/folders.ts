// Folders at paths that others choose.
import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { hasErrno } from '../lib/index.js'

/** Makes a folder and those above it. Not `recursive`: where nothing can be made, as in /proc, Node 20 tries that for ever. */
export function makeFolders(path: string, mode = 0o755): void {
  const missing: string[] = []
  for (let at = path; !statSync(at, { throwIfNoEntry: false }); at = dirname(at)) missing.push(at)
  for (const folder of missing.reverse()) {
    try {
      mkdirSync(folder, { mode })
    } catch (error) {
      if (!hasErrno(error, 'EEXIST')) throw error
    }
  }
}
