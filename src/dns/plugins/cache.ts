// Remembers answers for as long as they say, asks again before they run out, and uses old ones when nobody answers.
import type { Clock } from '../../lib/index.js'
import { type DnsPlugin, type DnsRecord, foldName, isWithin, type Query, type Reply } from '../types.js'
import type { Counter, DnsMetrics } from './metrics.js'

interface Limits {
  /** Entries at most; the oldest go. */
  readonly capacity: number
  /** Seconds. */
  readonly maxTtl: number
  readonly minTtl: number
}

export interface CacheOptions {
  readonly clock: Clock
  readonly metrics: DnsMetrics
  /** Folded; none: everything. */
  readonly zones: readonly string[]
  readonly success: Limits
  readonly denial: Limits
  /** How long a failure is remembered, seconds. 0: never. */
  readonly servfailTtl: number
  /** Asked so `times` with no gap longer than `withinMs`, an entry is asked for again when `percent` of its life is left. 0 times: never. */
  readonly prefetch: { readonly times: number; readonly withinMs: number; readonly percent: number }
  /** How long after its end an answer may be used; at once while it is asked for again, or (`verify`) only when that fails. */
  readonly serveStale?: { readonly seconds: number; readonly verify: boolean }
  /** Answers keep the time to live they came with. */
  readonly keepTtl: boolean
  readonly disabled: readonly { readonly kind: Kind; readonly zones: readonly string[] }[]
}

type Kind = 'success' | 'denial'

interface Entry {
  readonly reply: Reply
  readonly storedAt: number
  /** Seconds. */
  readonly ttl: number
  hits: number
  hitAt: number
  refreshing: boolean
}

const kindOf = ({ rcode, answers = [] }: Reply): Kind => (rcode === 'NOERROR' && answers.length > 0 ? 'success' : 'denial')

const aged = (records: readonly DnsRecord[] | undefined, seconds: number): readonly DnsRecord[] | undefined =>
  records?.map((record) => ({ ...record, ttl: Math.max(0, record.ttl - seconds) }))

export function cache(options: CacheOptions): DnsPlugin {
  const { clock, metrics, zones, prefetch, serveStale, keepTtl, disabled } = options
  const hitsOf = (kind: Kind): Counter => metrics.counter('coredns_cache_hits_total', `server="dns://:53",type="${kind}"`)
  const hits = { success: hitsOf('success'), denial: hitsOf('denial') }
  const misses = metrics.counter('coredns_cache_misses_total', 'server="dns://:53"')
  const isDisabled = (kind: Kind, name: string): boolean =>
    disabled.some((each) => each.kind === kind && each.zones.some((zone) => isWithin(name, zone)))
  const stores: Readonly<Record<Kind, Map<string, Entry>>> = { success: new Map(), denial: new Map() }

  /** Seconds an answer may be kept; 0 when not at all. */
  function lifetime(reply: Reply, name: string): number {
    const kind = kindOf(reply)
    if (isDisabled(kind, name)) return 0
    const { maxTtl, minTtl } = options[kind]
    const within = (seconds: number): number => (seconds <= 0 ? 0 : Math.min(maxTtl, Math.max(minTtl, seconds)))
    if (kind === 'success') return within(Math.min(...(reply.answers ?? []).map((record) => record.ttl)))
    if (reply.rcode === 'SERVFAIL') return options.servfailTtl
    if (reply.rcode !== 'NOERROR' && reply.rcode !== 'NXDOMAIN') return 0
    const soa = (reply.authority ?? []).find((record) => record.data.type === 'SOA')
    return soa?.data.type === 'SOA' ? within(Math.min(soa.ttl, soa.data.minimum)) : 0
  }

  function keep(key: string, name: string, reply: Reply): void {
    const ttl = lifetime(reply, name)
    if (ttl <= 0) return
    const kind = kindOf(reply)
    // What was an answer may now be a denial.
    for (const store of Object.values(stores)) store.delete(key)
    const now = clock.monotonic()
    stores[kind].set(key, { reply, storedAt: now, ttl, hits: 0, hitAt: now, refreshing: false })
    if (stores[kind].size > options[kind].capacity) stores[kind].delete(stores[kind].keys().next().value as string)
  }

  const withAge = ({ reply }: Entry, seconds: number, name: string): Reply => {
    const passed = keepTtl ? 0 : seconds
    const answers = aged(reply.answers, passed)?.map((record) => (foldName(record.name) === foldName(name) ? { ...record, name } : record))
    const authority = aged(reply.authority, passed)
    const additional = aged(reply.additional, passed)
    return {
      ...reply,
      authoritative: false,
      ...(answers ? { answers } : {}),
      ...(authority ? { authority } : {}),
      ...(additional ? { additional } : {}),
    }
  }

  /** Asks again in the background, once at a time. */
  function refresh(entry: Entry, key: string, query: Query, next: (query: Query) => Promise<Reply>): void {
    if (entry.refreshing) return
    entry.refreshing = true
    void next(query).then(
      (reply) => {
        entry.refreshing = false
        if (reply.rcode !== 'SERVFAIL') keep(key, foldName(query.question.name), reply)
      },
      () => {
        entry.refreshing = false
      },
    )
  }

  /** Popular, and about to run out. */
  function isDue(entry: Entry, age: number): boolean {
    const now = clock.monotonic()
    entry.hits = now - entry.hitAt > prefetch.withinMs ? 1 : entry.hits + 1
    entry.hitAt = now
    return prefetch.times > 0 && entry.hits >= prefetch.times && age > entry.ttl * (1 - prefetch.percent / 100)
  }

  return async (query, next) => {
    const { question, edns, checkingDisabled } = query
    const name = foldName(question.name)
    if (zones.length > 0 && !zones.some((zone) => isWithin(name, zone))) return next(query)
    if (isDisabled('success', name) && isDisabled('denial', name)) return next(query)
    const key = `${name} ${question.type} ${question.class} ${edns?.dnssecOk ? 'd' : ''}${checkingDisabled ? 'c' : ''}`
    const entry = stores.success.get(key) ?? stores.denial.get(key)
    const age = entry ? (clock.monotonic() - entry.storedAt) / 1000 : 0
    if (entry && age < entry.ttl) {
      hits[kindOf(entry.reply)].add()
      if (isDue(entry, age)) refresh(entry, key, query, next)
      return withAge(entry, Math.floor(age), question.name)
    }
    misses.add()
    const stale = entry && serveStale && entry.reply.rcode !== 'SERVFAIL' && age < entry.ttl + serveStale.seconds ? entry : undefined
    if (stale && !serveStale?.verify) {
      refresh(stale, key, query, next)
      return withAge(stale, Number.MAX_SAFE_INTEGER, question.name)
    }
    try {
      const reply = await next(query)
      if (reply.rcode === 'SERVFAIL' && stale) return withAge(stale, Number.MAX_SAFE_INTEGER, question.name)
      keep(key, name, reply)
      return reply
    } catch (error) {
      if (stale) return withAge(stale, Number.MAX_SAFE_INTEGER, question.name)
      throw error
    }
  }
}
