// Remembers answers for as long as they say, asks again before they run out, and uses old ones when nobody answers.
import type { Clock } from '../../lib/index.js'
import { type DnsPlugin, type DnsRecord, foldName, type Query, type Reply } from '../types.js'

export interface CacheOptions {
  readonly clock: Clock
  /** Longest life of an answer and of a denial, seconds. Defaults 3600 and 1800, as CoreDNS's. */
  readonly maxTtl?: number
  readonly maxDenialTtl?: number
  /** Entries at most; the oldest go. Default 9984. */
  readonly capacity?: number
  /** Ask again in the background once an entry was used so often and less than a tenth of its life is left. 0: never. */
  readonly prefetch?: number
  /** How long after its end an answer may be used when upstream fails, seconds. 0: never. */
  readonly serveStale?: number
}

interface Entry {
  readonly reply: Reply
  readonly storedAt: number
  readonly ttl: number
  hits: number
  refreshing: boolean
}

/** Seconds an answer may be kept; 0 when not at all. */
function lifetime(reply: Reply, maxTtl: number, maxDenialTtl: number): number {
  const answers = reply.answers ?? []
  if (reply.rcode === 'NOERROR' && answers.length > 0) return Math.min(maxTtl, ...answers.map((record) => record.ttl))
  if (reply.rcode !== 'NOERROR' && reply.rcode !== 'NXDOMAIN') return 0
  const soa = (reply.authority ?? []).find((record) => record.data.type === 'SOA')
  return soa?.data.type === 'SOA' ? Math.min(maxDenialTtl, soa.ttl, soa.data.minimum) : 0
}

const aged = (records: readonly DnsRecord[] | undefined, seconds: number, floor: number): readonly DnsRecord[] | undefined =>
  records?.map((record) => ({ ...record, ttl: Math.max(floor, record.ttl - seconds) }))

export function cache(options: CacheOptions): DnsPlugin {
  const { clock, maxTtl = 3600, maxDenialTtl = 1800, capacity = 9984, prefetch = 0, serveStale = 0 } = options
  const entries = new Map<string, Entry>()

  const keep = (key: string, reply: Reply): void => {
    const ttl = lifetime(reply, maxTtl, maxDenialTtl)
    if (ttl <= 0) return
    entries.delete(key)
    entries.set(key, { reply, storedAt: clock.monotonic(), ttl, hits: 0, refreshing: false })
    if (entries.size > capacity) entries.delete(entries.keys().next().value as string)
  }

  const withAge = ({ reply }: Entry, seconds: number, name: string): Reply => {
    const answers = aged(reply.answers, seconds, 0)?.map((record) =>
      foldName(record.name) === foldName(name) ? { ...record, name } : record,
    )
    const authority = aged(reply.authority, seconds, 0)
    const additional = aged(reply.additional, seconds, 0)
    return {
      ...reply,
      authoritative: false,
      ...(answers ? { answers } : {}),
      ...(authority ? { authority } : {}),
      ...(additional ? { additional } : {}),
    }
  }

  const keyOf = ({ question, edns, checkingDisabled }: Query): string =>
    `${foldName(question.name)} ${question.type} ${question.class} ${edns?.dnssecOk ? 'd' : ''}${checkingDisabled ? 'c' : ''}`

  return async (query, next) => {
    const key = keyOf(query)
    const entry = entries.get(key)
    const age = entry ? (clock.monotonic() - entry.storedAt) / 1000 : 0
    if (entry && age < entry.ttl) {
      entry.hits++
      if (prefetch > 0 && entry.hits >= prefetch && age > entry.ttl * 0.9 && !entry.refreshing) {
        entry.refreshing = true
        void next(query).then(
          (reply) => keep(key, reply),
          () => {},
        )
      }
      return withAge(entry, Math.floor(age), query.question.name)
    }
    const stale = entry && age < entry.ttl + serveStale ? entry : undefined
    try {
      const reply = await next(query)
      if (reply.rcode === 'SERVFAIL' && stale) return withAge(stale, stale.ttl, query.question.name)
      keep(key, reply)
      return reply
    } catch (error) {
      if (stale) return withAge(stale, stale.ttl, query.question.name)
      throw error
    }
  }
}
