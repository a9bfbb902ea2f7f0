// Who listens on the TCP ports of this machine.
import { readdirSync, readlinkSync } from 'node:fs'
import { readFileIfPresent } from './files.js'

export interface Listener {
  readonly port: number
  /** `nginx (process 4711)`; absent when the socket belongs to no process that can be seen. */
  readonly program?: string
}

const LISTEN = '0A'

/** Port by socket inode, from a table such as /proc/net/tcp (proc(5)). Pure. */
export function listeningInodes(table: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  for (const line of table.split('\n').slice(1)) {
    const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/)
    if (state === LISTEN) found.set(inode, Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16))
  }
  return found
}

/** The process that holds each of the sockets. */
function holders(inodes: ReadonlySet<string>): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1]
        if (inode !== undefined && inodes.has(inode)) found.set(inode, `${readFileIfPresent(`/proc/${pid}/comm`)?.trim()} (process ${pid})`)
      }
    } catch {
      // It has ended meanwhile, or is not ours to look into.
    }
  }
  return found
}

/** Every port that is listened on, at whatever address. */
export function listeners(): ReadonlyMap<number, Listener> {
  const ports = new Map(['tcp', 'tcp6'].flatMap((name) => [...listeningInodes(readFileIfPresent(`/proc/net/${name}`) ?? '')]))
  const programs = holders(new Set(ports.keys()))
  return new Map(
    [...ports].map(([inode, port]) => {
      const program = programs.get(inode)
      return [port, { port, ...(program === undefined ? {} : { program }) }]
    }),
  )
}
