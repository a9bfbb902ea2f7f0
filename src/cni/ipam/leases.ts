// Leases on disk: one file per address, holding who has it. The layout is that of the reference host-local, so both can share a folder.
import {
  closeSync,
  constants,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { type Clock, hasErrno, keyedLock, sleep } from '../../lib/index.js'
import { formatIp, type IpBytes, parseIp, tryLock } from '../../sys/index.js'
import type { Attachment } from '../types.js'

export interface Lease {
  readonly ip: string
  readonly owner: Attachment
}

const LINE = '\r\n'
const content = ({ containerID, ifname }: Attachment): string => `${containerID}${LINE}${ifname}`

/** Within this process callers queue here, so that they do not poll for the lock of each other. */
const inTurn = keyedLock()

/** An open folder of leases: only `withLeases` makes one, so whoever has it holds the lock. */
export class Leases {
  private readonly folder: string

  constructor(folder: string) {
    this.folder = folder
  }

  list(): readonly Lease[] {
    return readdirSync(this.folder).flatMap((name) => {
      // The reference writes IPv6 names as they are; `lock` and `last_reserved_ip.N` are no addresses.
      if (!parseIp(name)) return []
      const owner = this.owner(name)
      return owner ? [{ ip: name, owner }] : []
    })
  }

  /** Undefined when the lease is gone. An empty file is the trace of a program that died while writing it: nobody's. */
  private owner(name: string): Attachment | undefined {
    try {
      const [containerID = '', ifname = ''] = readFileSync(join(this.folder, name), 'utf8').trim().split(/\r?\n/)
      return { containerID, ifname }
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return undefined
      throw error
    }
  }

  /**
   * Takes the address; false when somebody has it. The file appears whole (link of a finished one): a kill at any
   * moment leaves either no lease or one that names its owner, and the owner's DEL gives it back.
   */
  take(ip: IpBytes, owner: Attachment): boolean {
    const temporary = join(this.folder, `.new.${process.pid}`)
    writeFileSync(temporary, content(owner), { mode: 0o600 })
    try {
      linkSync(temporary, join(this.folder, formatIp(ip)))
      return true
    } catch (error) {
      if (hasErrno(error, 'EEXIST')) return false
      throw error
    } finally {
      rmSync(temporary, { force: true })
    }
  }

  release(ip: string): void {
    rmSync(join(this.folder, ip), { force: true })
  }

  last(set: number): IpBytes | undefined {
    try {
      return parseIp(readFileSync(join(this.folder, `last_reserved_ip.${set}`), 'utf8').trim())
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return undefined
      throw error
    }
  }

  /** Written in place: replacing a file makes some file systems flush it, and a hint is not worth that. Torn, it is read as none. */
  setLast(set: number, ip: IpBytes): void {
    const text = formatIp(ip)
    const fd = openSync(join(this.folder, `last_reserved_ip.${set}`), constants.O_WRONLY | constants.O_CREAT, 0o600)
    try {
      writeSync(fd, text, 0)
      ftruncateSync(fd, Buffer.byteLength(text))
    } finally {
      closeSync(fd)
    }
  }
}

/** Runs synchronous `work` while no other process, ours or the reference plugin, changes the folder. */
export function withLeases<T>(folder: string, clock: Clock, work: (leases: Leases) => T): Promise<T> {
  return inTurn(folder, async () => {
    mkdirSync(folder, { recursive: true, mode: 0o755 })
    const fd = openSync(join(folder, 'lock'), 'a', 0o600)
    try {
      for (let pause = 1; !tryLock(fd, folder); pause = Math.min(pause * 2, 50)) await sleep(clock, pause)
      return work(new Leases(folder))
    } finally {
      closeSync(fd)
    }
  })
}
