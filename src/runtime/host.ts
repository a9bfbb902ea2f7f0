// What the floor above needs of the kernel beside containers: pipes for their output, mounts and namespaces that outlive processes.
import { closeSync, openSync, readFileSync } from 'node:fs'
import { hasErrno } from '../lib/index.js'
import { type CgroupStats, checked, launch, memoryFile, mount, O_NONBLOCK, openCgroup, reap, sysNumber } from '../sys/index.js'
import { pauseProgram } from './pause.js'

export {
  appArmorParser,
  createNetworkNamespace,
  type Mount as HostMount,
  makeFifo,
  mount,
  onReadable,
  onWritable,
  type Pipe,
  pipe,
  removeNetworkNamespace,
  setXattr,
  signalNumber,
  spliceToFile,
  unmount,
} from '../sys/index.js'
export { connectLoopback } from './host-socket.js'

/** What a cgroup used that is not a container's: a pod's. */
export const groupStats = (path: string): CgroupStats => openCgroup(path).stats()

/** Keeps a process's namespace alive at `path` after the process is gone; `name` as in /proc/PID/ns. */
export function pinNamespace(pid: number, name: string, path: string): void {
  closeSync(openSync(path, 'a', 0o444))
  mount({ source: `/proc/${pid}/ns/${name}`, target: path, type: '', options: ['bind'] })
}

const F_GETFL = 3
const F_SETFL = 4

/** From now on reads and writes of this descriptor, and of its duplicates, do not wait. */
export function setNonBlocking(fd: number): void {
  const flags = checked('fcntl', 'F_GETFL', sysNumber('fcntl'), fd, F_GETFL)
  checked('fcntl', 'F_SETFL', sysNumber('fcntl'), fd, F_SETFL, flags | O_NONBLOCK)
}

/**
 * Starts a process of a few pages that does nothing but keep a duplicate of `fd` open until it is killed, whatever becomes
 * of this process. It can be known by its arguments: `name` and `id`.
 */
export function startKeeper(fd: number, name: string, id: string): { readonly pid: number } {
  const executable = memoryFile(name, pauseProgram())
  const nothing = openSync('/dev/null', 'r')
  try {
    const { pid, pidfd } = launch({ executable, argv: [name, id], stdio: [fd, nothing, nothing] })
    closeSync(pidfd)
    return { pid }
  } finally {
    closeSync(executable)
    closeSync(nothing)
  }
}

/** Ends a keeper, whoever started it. One that is gone is fine. */
export function endKeeper(pid: number, name: string, id: string): void {
  try {
    if (readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== `${name}\0${id}\0`) return
    process.kill(pid, 'SIGKILL')
    // It may be our own child, or somebody else's: then this does nothing.
    reap(pid)
  } catch (error) {
    if (!hasErrno(error, 'ENOENT', 'ESRCH')) throw error
  }
}

const TIOCSWINSZ = 0x5414

/** Tells a terminal, by its master, how large it is; its foreground programs get SIGWINCH. */
export function setTerminalSize(master: number, { width, height }: { readonly width: number; readonly height: number }): void {
  const size = Buffer.alloc(8)
  size.writeUInt16LE(Math.min(height, 0xffff), 0)
  size.writeUInt16LE(Math.min(width, 0xffff), 2)
  checked('ioctl', 'TIOCSWINSZ', sysNumber('ioctl'), master, TIOCSWINSZ, size)
}
