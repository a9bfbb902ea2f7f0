// Names from a list as in /etc/hosts, forwards and backwards.
import { isIP } from 'node:net'
import { reverseAddress } from '../cluster-records.js'
import { type DnsPlugin, type DnsRecord, foldName, isWithin, TYPES } from '../types.js'

export interface HostsOptions {
  /** Lines as in /etc/hosts. */
  readonly lines: readonly string[]
  /** Folded; none: everything. */
  readonly zones?: readonly string[]
  readonly ttl?: number
  /** Answer for addresses too. */
  readonly reverse?: boolean
  /** Zones in which a name that is not in the list goes to the next plugin. */
  readonly fallthrough?: readonly string[]
}

export function hosts({ lines, zones = [], ttl = 3600, reverse = true, fallthrough = [] }: HostsOptions): DnsPlugin {
  const byName = new Map<string, string[]>()
  const byAddress = new Map<string, string[]>()
  for (const line of lines) {
    const [address = '', ...names] = (line.split('#')[0] ?? '').trim().split(/\s+/)
    if (isIP(address) === 0) continue
    for (const name of names) {
      byName.set(foldName(name), [...(byName.get(foldName(name)) ?? []), address])
      if (reverse) byAddress.set(address, [...(byAddress.get(address) ?? []), name])
    }
  }
  return async (query, next) => {
    const { name, type } = query.question
    const folded = foldName(name)
    if (zones.length > 0 && !zones.some((zone) => isWithin(folded, zone))) return next(query)
    const addresses = byName.get(folded)
    if (addresses) {
      const version = type === TYPES.A ? 4 : type === TYPES.AAAA ? 6 : 0
      const answers = addresses
        .filter((address) => isIP(address) === version)
        .map((address): DnsRecord => ({ name, ttl, data: { type: version === 4 ? 'A' : 'AAAA', address } }))
      return { rcode: 'NOERROR', authoritative: true, answers }
    }
    const names = type === TYPES.PTR ? byAddress.get(reverseAddress(folded) ?? '') : undefined
    if (names) {
      return { rcode: 'NOERROR', authoritative: true, answers: names.map((target) => ({ name, ttl, data: { type: 'PTR', target } })) }
    }
    return fallthrough.some((zone) => isWithin(folded, zone)) ? next(query) : { rcode: 'NXDOMAIN' }
  }
}
