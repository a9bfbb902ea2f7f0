// Network namespaces: entering one for the length of a synchronous call, making and removing named ones.
import { closeSync, constants, mkdirSync, openSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { hasErrno } from '../../lib/index.js'
import { checked, rawSyscall } from '../libc/libc.js'
import { sysNumber } from '../libc/syscalls.js'
import { setNamespace } from '../native.js'

const CLONE_NEWNET = 0x40000000
const OWN = '/proc/thread-self/ns/net'

/**
 * Runs `work` in the namespace behind `path`, on this thread, and comes back. `work` must be synchronous:
 * namespaces belong to a thread, and after an await the thread would do other people's work in the wrong one.
 */
export function inNetworkNamespace<T>(path: string, work: () => T): T {
  return there(() => {
    const fd = openSync(path, constants.O_RDONLY)
    try {
      setNamespace(fd, CLONE_NEWNET, path)
    } finally {
      closeSync(fd)
    }
    return work()
  })
}

function there<T>(work: () => T): T {
  const home = openSync(OWN, constants.O_RDONLY)
  try {
    return work()
  } finally {
    try {
      setNamespace(home, CLONE_NEWNET, 'own network namespace')
    } catch {
      // Everything after this would happen in a foreign network: end at once.
      process.abort()
    }
    closeSync(home)
  }
}

const MS_BIND = 4096
const MNT_DETACH = 2

/** Makes a new network namespace and keeps it at `path` by a bind mount, as `ip netns` does. The path must not exist yet. */
export function createNetworkNamespace(path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  closeSync(openSync(path, constants.O_RDONLY | constants.O_CREAT | constants.O_EXCL, 0o444))
  try {
    there(() => {
      checked('unshare', 'network namespace', sysNumber('unshare'), CLONE_NEWNET)
      checked('mount', path, sysNumber('mount'), OWN, path, 'none', MS_BIND, 0)
    })
  } catch (error) {
    rmSync(path, { force: true })
    throw error
  }
}

/** Lets go of the namespace kept at `path`. It ends when its last process and socket do. An absent one is fine. */
export function removeNetworkNamespace(path: string): void {
  rawSyscall(sysNumber('umount2'), path, MNT_DETACH)
  try {
    rmSync(path)
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error
  }
}
