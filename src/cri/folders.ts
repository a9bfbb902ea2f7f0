// Folders at paths that others choose.
import { lstatSync, mkdirSync, readlinkSync, statSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
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

const MOST_LINKS = 40

/** Makes a folder within a root that nobody else changes meanwhile; links are followed as they lead from within that root. Returns where it is in there. */
export function makeFoldersBelow(root: string, path: string): string {
  let wanted = path.split('/').filter(Boolean)
  let done = '/'
  for (let links = 0; wanted.length > 0; ) {
    const [part = '', ...rest] = wanted
    const here = posix.join(done, part)
    const stat = lstatSync(join(root, here), { throwIfNoEntry: false })
    if (stat?.isSymbolicLink()) {
      if (++links > MOST_LINKS) throw new Error(`${path}: too many links`)
      wanted = [
        ...posix
          .resolve(done, readlinkSync(join(root, here)))
          .split('/')
          .filter(Boolean),
        ...rest,
      ]
      done = '/'
      continue
    }
    if (stat && !stat.isDirectory()) throw new Error(`${path}: ${here} is not a folder`)
    if (!stat) mkdirSync(join(root, here), { mode: 0o755 })
    done = here
    wanted = rest
  }
  return done
}
