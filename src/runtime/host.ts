// What the floor above needs of the kernel beside containers: pipes for their output, mounts and namespaces that outlive processes.
import { closeSync, openSync } from 'node:fs'
import { mount, unmount } from '../sys/index.js'

export { type Mount as HostMount, makeFifo, mount, onReadable, type Pipe, pipe, signalNumber, spliceToFile, unmount } from '../sys/index.js'

/** Keeps a process's namespace alive at `path` after the process is gone; `name` as in /proc/PID/ns. */
export function pinNamespace(pid: number, name: string, path: string): void {
  closeSync(openSync(path, 'a', 0o444))
  mount({ source: `/proc/${pid}/ns/${name}`, target: path, type: '', options: ['bind'] })
}

/** Undoes pinNamespace; the file stays. */
export const unpinNamespace = (path: string): void => unmount(path, { detach: true })
