// What is kept of a container on disk (a tmpfs as a rule), so that any process can go on where another one stopped.
//
//   state.json   what was asked for; written once, before anything is started
//   pid          first process and monitor, two words, written by the monitor
//   times        16 bytes once created, 32 once started, written by the first process
//   exit         siginfo and time, written by the monitor and named when it is whole
//   start        FIFO: a byte lets the first process go on
//   report       FIFO: records of the program (plan/facts.ts)
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { hasErrno } from '../lib/index.js'
import { checked, sysNumber } from '../sys/index.js'
import { EXIT_BYTES } from './plan/container.js'
import type { Spec } from './spec.js'
import { RuntimeError } from './types.js'

export interface StateFile {
  readonly version: 1
  readonly id: string
  readonly bundle: string
  readonly rootfs: string
  readonly createdAt: number
  readonly owner: string
  readonly parent: 'monitor' | 'child'
  readonly cgroupPath: string
  readonly systemdCgroup: boolean
  /** Address of a step that may still fail after `created`: its name and call. */
  readonly lateSteps: Readonly<Record<string, readonly [name: string, call: string]>>
  readonly spec: Spec
}

export interface ExitRecord {
  readonly code: 'exited' | 'killed'
  readonly status: number
  readonly at: number
}

const S_IFIFO = 0o010000

/** The rule of runc and containerd, which also keeps ids inside their folder. */
export function checkId(id: string): void {
  if (id === '' || id.length > 1024 || !/^[\w+.-]+$/.test(id) || id === '.' || id === '..') {
    throw new RuntimeError('InvalidId', `invalid container id ${JSON.stringify(id)}: use letters, digits, "_", "+", "-" and "."`)
  }
}

export class StateFiles {
  readonly root: string

  constructor(root: string) {
    this.root = root
  }

  folder(id: string): string {
    checkId(id)
    return join(this.root, id)
  }

  /** Makes the container's folder with everything in it, at once and only if there is none. */
  reserve(state: StateFile): string {
    const folder = this.folder(state.id)
    const draft = this.makeDraft()
    try {
      for (const name of ['start', 'report']) {
        checked('mknod', `${draft}/${name}`, sysNumber('mknodat'), -100, `${draft}/${name}`, S_IFIFO | 0o600, 0)
      }
      writeFileSync(join(draft, 'state.json'), JSON.stringify(state), { mode: 0o600 })
      renameSync(draft, folder)
    } catch (error) {
      rmSync(draft, { recursive: true, force: true })
      if (hasErrno(error, 'ENOTEMPTY', 'EEXIST')) {
        throw new RuntimeError('Exists', `container with given ID already exists: ${state.id}`)
      }
      throw error
    }
    return folder
  }

  /** "#" is in no id: a folder that is still being filled cannot be taken for a container. Its name tells who fills it. */
  private makeDraft(): string {
    const prefix = join(this.root, `#${process.pid}.`)
    try {
      return mkdtempSync(prefix)
    } catch (error) {
      if (!hasErrno(error, 'ENOENT')) throw error
      mkdirSync(this.root, { recursive: true, mode: 0o711 })
      return mkdtempSync(prefix)
    }
  }

  /** Removes what makers of containers left that died while they filled a folder. */
  removeDrafts(): void {
    let names: readonly string[]
    try {
      names = readdirSync(this.root)
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return
      throw error
    }
    for (const name of names) {
      const maker = /^#(\d+)\./.exec(name)?.[1]
      if (maker && processBirth(Number(maker)) === undefined) rmSync(join(this.root, name), { recursive: true, force: true })
    }
  }

  read(id: string): StateFile {
    try {
      return JSON.parse(readFileSync(join(this.folder(id), 'state.json'), 'utf8')) as StateFile
    } catch (error) {
      if (hasErrno(error, 'ENOENT', 'ENOTDIR')) throw new RuntimeError('NotFound', `container does not exist: ${id}`)
      throw error
    }
  }

  ids(): readonly string[] {
    try {
      return readdirSync(this.root).filter((name) => /^[\w+.-]+$/.test(name))
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return []
      throw error
    }
  }

  remove(id: string): void {
    const folder = this.folder(id)
    try {
      for (const name of readdirSync(folder)) unlinkSync(join(folder, name))
      rmdirSync(folder)
    } catch (error) {
      if (!hasErrno(error, 'ENOENT')) throw error
    }
  }

  /** Undefined until the monitor wrote it. */
  pids(id: string): { readonly first: number; readonly monitor: number } | undefined {
    const bytes = this.bytes(id, 'pid')
    if (!bytes || bytes.length < 16) return undefined
    return { first: Number(bytes.readBigInt64LE(0)), monitor: Number(bytes.readBigInt64LE(8)) }
  }

  times(id: string): { readonly created?: number; readonly started?: number } {
    const bytes = this.bytes(id, 'times') ?? Buffer.alloc(0)
    const at = (offset: number): number => timespec(bytes, offset)
    if (bytes.length >= 32) return { created: at(0), started: at(16) }
    return bytes.length >= 16 ? { created: at(0) } : {}
  }

  exit(id: string): ExitRecord | undefined {
    const bytes = this.bytes(id, 'exit')
    if (!bytes || bytes.length < EXIT_BYTES) return undefined
    return { code: bytes.readInt32LE(8) === 1 ? 'exited' : 'killed', status: bytes.readInt32LE(24), at: timespec(bytes, 128) }
  }

  /** Remembers when the first process began, for containers without a monitor: its id may be given away later. */
  noteFirst(id: string, pid: number): void {
    writeFileSync(join(this.folder(id), 'birth'), `${processBirth(pid) ?? ''}`, { mode: 0o600 })
  }

  /** Whether that process is still the container's first. */
  isFirst(id: string, pid: number): boolean {
    const birth = processBirth(pid)
    const noted = this.bytes(id, 'birth')?.toString()
    return birth !== undefined && (noted === undefined || noted === birth)
  }

  private bytes(id: string, name: string): Buffer | undefined {
    const path = join(this.folder(id), name)
    // Asked often before it is there: an error with its stack costs ten times as much as the question.
    if (!existsSync(path)) return undefined
    try {
      return readFileSync(path)
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return undefined
      throw error
    }
  }

  openReport(id: string): number {
    return openSync(join(this.folder(id), 'report'), constants.O_RDONLY | constants.O_NONBLOCK)
  }

  /** Lets the first process go on; false when nobody waits. */
  release(id: string): boolean {
    let fd: number
    try {
      fd = openSync(join(this.folder(id), 'start'), constants.O_WRONLY | constants.O_NONBLOCK)
    } catch (error) {
      if (hasErrno(error, 'ENXIO')) return false
      throw error
    }
    try {
      writeFileSync(fd, Buffer.from([1]))
      return true
    } finally {
      closeSync(fd)
    }
  }
}

const timespec = (bytes: Buffer, offset: number): number =>
  Number(bytes.readBigInt64LE(offset)) * 1000 + Math.floor(Number(bytes.readBigInt64LE(offset + 8)) / 1e6)

/** Field 22 of /proc/PID/stat; undefined for a process that is gone or a zombie. */
function processBirth(pid: number): string | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ESRCH')) return undefined
    throw error
  }
}
