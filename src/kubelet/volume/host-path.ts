// hostPath: what has to be at the path, or is made there.
import { promises as fs, type Stats } from 'node:fs'
import { hasErrno } from '../../lib/index.js'

async function look(path: string): Promise<Stats | undefined> {
  try {
    return await fs.stat(path)
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined
    throw error
  }
}

const checks: Readonly<Record<string, { readonly noun: string; is(stats: Stats): boolean }>> = {
  DirectoryOrCreate: { noun: 'directory', is: (stats) => stats.isDirectory() },
  Directory: { noun: 'directory', is: (stats) => stats.isDirectory() },
  FileOrCreate: { noun: 'file', is: (stats) => stats.isFile() },
  File: { noun: 'file', is: (stats) => stats.isFile() },
  Socket: { noun: 'socket file', is: (stats) => stats.isSocket() },
  CharDevice: { noun: 'character device', is: (stats) => stats.isCharacterDevice() },
  BlockDevice: { noun: 'block device', is: (stats) => stats.isBlockDevice() },
}

/** Throws when what is there is not what `type` promises. */
export async function prepareHostPath(path: string, type: string | undefined): Promise<void> {
  if (path.split('/').includes('..')) throw new Error(`hostPath "${path}" must not contain '..'`)
  const found = await look(path)
  if (!type) {
    // Unchecked: the runtime would make a missing folder, and so do we.
    if (!found) await fs.mkdir(path, { recursive: true, mode: 0o755 })
    return
  }
  const check = checks[type]
  if (!check) throw new Error(`${type} is an invalid volume type`)
  if (!found && type === 'DirectoryOrCreate') {
    await fs.mkdir(path, { recursive: true, mode: 0o755 })
    return
  }
  if (!found && type === 'FileOrCreate') {
    await (await fs.open(path, 'a', 0o644)).close()
    return
  }
  if (!found || !check.is(found)) throw new Error(`hostPath type check failed: ${path} is not a ${check.noun}`)
}
