// Files that are either as they were or as they shall be, never half written.
import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { hasErrno, UsageError } from '../lib/index.js'

/** Writes beside the target, flushes, renames. Folders are made, root-only. */
export function writeFileAtomic(path: string, content: string | Uint8Array, mode = 0o600): void {
  const temporary = `${path}.${randomBytes(4).toString('hex')}.tmp`
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
    const fd = openSync(temporary, 'wx', mode)
    try {
      writeSync(fd, typeof content === 'string' ? Buffer.from(content) : content)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    if (hasErrno(error, 'ENOSPC', 'EDQUOT')) throw new UsageError(`no space left on the disk of ${path}: free some, then try again`)
    throw error
  }
}

/** The file's text, or undefined when there is none: ESRCH is a file of /proc whose process has ended meanwhile. */
export function readFileIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ESRCH')) return undefined
    throw error
  }
}
