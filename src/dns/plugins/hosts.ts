// Names from a list as in /etc/hosts, forwards and backwards.
import { readFileSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import { asError, type Clock, type Logger } from '../../lib/index.js'
import { reverseAddress } from '../cluster-records.js'
import { type DnsPlugin, type DnsRecord, foldName, isWithin, TYPES } from '../types.js'

export interface HostsOptions {
  /** Lines as in /etc/hosts, of every source; the same arrays as before when nothing has changed. */
  readonly lines: () => readonly (readonly string[])[]
  readonly clock: Clock
  /** How often the sources are looked at; 0: once. */
  readonly reloadMs: number
  /** Folded; none: everything. */
  readonly zones?: readonly string[]
  readonly ttl?: number
  /** Answer for addresses too. */
  readonly reverse?: boolean
  /** Zones in which a name that is not in the list goes to the next plugin. */
  readonly fallthrough?: readonly string[]
}

/** The lines of a file, read again when it has changed; none while it is not there. */
export function hostsFile(path: string, log: Logger): () => readonly string[] {
  let known: readonly string[] = []
  let seen = ''
  return () => {
    try {
      const { mtimeMs, size, ino } = statSync(path)
      const now = `${mtimeMs} ${size} ${ino}`
      if (now !== seen) known = readFileSync(path, 'utf8').split('\n')
      seen = now
    } catch (error) {
      if (seen !== 'none') log.warn('hosts file not read', { path, err: asError(error) })
      known = []
      seen = 'none'
    }
    return known
  }
}

interface Names {
  readonly byName: ReadonlyMap<string, readonly string[]>
  readonly byAddress: ReadonlyMap<string, readonly string[]>
}

function namesIn(lines: readonly string[]): Names {
  const byName = new Map<string, string[]>()
  const byAddress = new Map<string, string[]>()
  for (const line of lines) {
    const [address = '', ...names] = (line.split('#')[0] ?? '').trim().split(/\s+/)
    if (isIP(address) === 0) continue
    for (const name of names) {
      byName.set(foldName(name), [...(byName.get(foldName(name)) ?? []), address])
      byAddress.set(address, [...(byAddress.get(address) ?? []), name])
    }
  }
  return { byName, byAddress }
}

export function hosts({ lines, clock, reloadMs, zones = [], ttl = 3600, reverse = true, fallthrough = [] }: HostsOptions): DnsPlugin {
  let sources = lines()
  let names = namesIn(sources.flat())
  let lookedAt = clock.monotonic()
  function current(): Names {
    if (reloadMs === 0 || clock.monotonic() - lookedAt < reloadMs) return names
    lookedAt = clock.monotonic()
    const now = lines()
    if (now.some((each, i) => each !== sources[i])) names = namesIn(now.flat())
    sources = now
    return names
  }
  return async (query, next) => {
    const { name, type } = query.question
    const folded = foldName(name)
    if (zones.length > 0 && !zones.some((zone) => isWithin(folded, zone))) return next(query)
    const { byName, byAddress } = current()
    const addresses = byName.get(folded)
    if (addresses) {
      const version = type === TYPES.A ? 4 : type === TYPES.AAAA ? 6 : 0
      const answers = addresses
        .filter((address) => isIP(address) === version)
        .map((address): DnsRecord => ({ name, ttl, data: { type: version === 4 ? 'A' : 'AAAA', address } }))
      return { rcode: 'NOERROR', authoritative: true, answers }
    }
    const known = reverse && type === TYPES.PTR ? byAddress.get(reverseAddress(folded) ?? '') : undefined
    if (known) {
      return { rcode: 'NOERROR', authoritative: true, answers: known.map((target) => ({ name, ttl, data: { type: 'PTR', target } })) }
    }
    return fallthrough.some((zone) => isWithin(folded, zone)) ? next(query) : { rcode: 'NXDOMAIN' }
  }
}
