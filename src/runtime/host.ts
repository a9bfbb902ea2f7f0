// What the floor above needs of the kernel beside containers: pipes for their output, mounts and namespaces that outlive processes.
import { closeSync, openSync } from 'node:fs'
import { checked, mount, sysNumber } from '../sys/index.js'

export {
  createNetworkNamespace,
  type Mount as HostMount,
  makeFifo,
  mount,
  onReadable,
  onWritable,
  type Pipe,
  pipe,
  removeNetworkNamespace,
  signalNumber,
  spliceToFile,
  unmount,
} from '../sys/index.js'
export { connectLoopback } from './host-socket.js'

/** Keeps a process's namespace alive at `path` after the process is gone; `name` as in /proc/PID/ns. */
export function pinNamespace(pid: number, name: string, path: string): void {
  closeSync(openSync(path, 'a', 0o444))
  mount({ source: `/proc/${pid}/ns/${name}`, target: path, type: '', options: ['bind'] })
}

const TIOCSWINSZ = 0x5414

/** Tells a terminal, by its master, how large it is; its foreground programs get SIGWINCH. */
export function setTerminalSize(master: number, { width, height }: { readonly width: number; readonly height: number }): void {
  const size = Buffer.alloc(8)
  size.writeUInt16LE(Math.min(height, 0xffff), 0)
  size.writeUInt16LE(Math.min(width, 0xffff), 2)
  checked('ioctl', 'TIOCSWINSZ', sysNumber('ioctl'), master, TIOCSWINSZ, size)
}
