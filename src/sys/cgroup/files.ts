// Reading and writing single cgroup files, with errors that name the file and the value.
import { closeSync, constants, openSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import { ERRNO, type ErrnoName, hasErrno, SysError } from '../../lib/index.js'

const asSysError = (error: unknown, call: string, subject: string): unknown => {
  const code = (error as NodeJS.ErrnoException).code
  const errno = ERRNO[code as ErrnoName]
  return errno === undefined ? error : new SysError(call, errno, subject, { cause: error })
}

/** Each value in a write of its own. */
export function writeGroupFile(path: string, ...values: readonly string[]): void {
  let value = ''
  try {
    // No O_CREAT, no O_TRUNC: a file that the kernel did not make is an error.
    const fd = openSync(path, constants.O_WRONLY)
    try {
      for (value of values) writeSync(fd, value)
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    throw asSysError(error, `write "${value || values[0]}" to`, path)
  }
}

/** The content, or undefined when the file is absent, not supported or its group has just gone. */
export function readGroupFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP', 'ENOTDIR')) return undefined
    throw asSysError(error, 'read', path)
  }
}

/** Groups beneath a folder, each before its parent; the folder itself last. Empty when it is not there. */
export function groupTree(folder: string): readonly string[] {
  try {
    const children = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    return [...children.flatMap((entry) => groupTree(`${folder}/${entry.name}`)), folder]
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return []
    throw error
  }
}
