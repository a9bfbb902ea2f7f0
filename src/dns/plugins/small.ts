// The plugins that fit on a screen together: errors, log, metrics, hosts, rewrite, loop.
import { isIP } from 'node:net'
import { asError, type Clock, type Logger } from '../../lib/index.js'
import { reverseAddress } from '../cluster-records.js'
import { type DnsPlugin, type DnsRecord, foldName, isWithin, type Rcode, TYPES } from '../types.js'

/** Turns whatever breaks below into SERVFAIL, and says so in the log. First in the chain. */
export const errors =
  (log: Logger): DnsPlugin =>
  async (query, next) => {
    try {
      return await next(query)
    } catch (error) {
      log.error('question not answered', { name: query.question.name, type: query.question.type, err: asError(error) })
      return { rcode: 'SERVFAIL' }
    }
  }

/** One line a question. */
export const logQueries =
  (log: Logger, clock: Clock): DnsPlugin =>
  async (query, next) => {
    const startedAt = clock.monotonic()
    const reply = await next(query)
    const { name, type } = query.question
    log.info('dns', { client: query.client, transport: query.transport, name, type, rcode: reply.rcode, ms: clock.monotonic() - startedAt })
    return reply
  }

/** Counters in the names of CoreDNS. */
export interface DnsMetrics {
  requests: number
  readonly responses: Map<Rcode, number>
  seconds: number
}

export const newMetrics = (): DnsMetrics => ({ requests: 0, responses: new Map(), seconds: 0 })

export const countQueries =
  (metrics: DnsMetrics, clock: Clock): DnsPlugin =>
  async (query, next) => {
    const startedAt = clock.monotonic()
    metrics.requests++
    const reply = await next(query)
    metrics.responses.set(reply.rcode, (metrics.responses.get(reply.rcode) ?? 0) + 1)
    metrics.seconds += (clock.monotonic() - startedAt) / 1000
    return reply
  }

/** Prometheus text. */
export function renderMetrics(metrics: DnsMetrics): string {
  const responses = [...metrics.responses].map(([rcode, count]) => `coredns_dns_responses_total{rcode="${rcode}"} ${count}`)
  return [
    '# TYPE coredns_dns_requests_total counter',
    `coredns_dns_requests_total ${metrics.requests}`,
    '# TYPE coredns_dns_responses_total counter',
    ...responses,
    '# TYPE coredns_dns_request_duration_seconds summary',
    `coredns_dns_request_duration_seconds_sum ${metrics.seconds}`,
    `coredns_dns_request_duration_seconds_count ${metrics.requests}`,
    '',
  ].join('\n')
}

export interface HostsOptions {
  /** Lines as in /etc/hosts. */
  readonly lines: readonly string[]
  readonly ttl?: number
  /** Ask on for names that are not in the list. */
  readonly fallthrough?: boolean
}

/** Names from a hosts list, forwards and backwards. */
export function hosts({ lines, ttl = 3600, fallthrough = false }: HostsOptions): DnsPlugin {
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
  return async (query, next) => {
    const { name, type } = query.question
    const addresses = byName.get(foldName(name))
    if (addresses) {
      const version = type === TYPES.A ? 4 : type === TYPES.AAAA ? 6 : 0
      const answers = addresses
        .filter((address) => isIP(address) === version)
        .map((address): DnsRecord => ({ name, ttl, data: { type: version === 4 ? 'A' : 'AAAA', address } }))
      return { rcode: 'NOERROR', authoritative: true, answers }
    }
    const names = type === TYPES.PTR ? byAddress.get(reverseAddress(foldName(name)) ?? '') : undefined
    if (names) {
      return { rcode: 'NOERROR', authoritative: true, answers: names.map((target) => ({ name, ttl, data: { type: 'PTR', target } })) }
    }
    return fallthrough ? next(query) : { rcode: 'NXDOMAIN' }
  }
}

export interface RewriteRule {
  readonly match: 'exact' | 'prefix' | 'suffix' | 'substring' | 'regex'
  readonly from: string
  /** For `regex`: `{1}` stands for the first group. */
  readonly to: string
}

/** Asks under another name, and answers under the name that was asked. The first rule that fits counts. */
export function rewrite(rules: readonly RewriteRule[]): DnsPlugin {
  const apply = (name: string): string | undefined => {
    for (const { match, from, to } of rules) {
      if (match === 'exact' && name === from) return to
      if (match === 'prefix' && name.startsWith(from)) return to + name.slice(from.length)
      if (match === 'suffix' && name.endsWith(from)) return name.slice(0, -from.length) + to
      if (match === 'substring' && name.includes(from)) return name.replace(from, to)
      if (match !== 'regex') continue
      const found = new RegExp(from).exec(name)
      if (found) return to.replace(/\{(\d+)\}/g, (_, group: string) => found[Number(group)] ?? '')
    }
    return undefined
  }
  return async (query, next) => {
    const target = apply(foldName(query.question.name))
    if (target === undefined) return next(query)
    const reply = await next({ ...query, question: { ...query.question, name: target.replace(/\.$/, '') } })
    const back = (record: DnsRecord): DnsRecord =>
      foldName(record.name) === foldName(target.replace(/\.$/, '')) ? { ...record, name: query.question.name } : record
    return reply.answers ? { ...reply, answers: reply.answers.map(back) } : reply
  }
}

/** HINFO: the type nobody asks for in earnest. */
const PROBE_TYPE = 13

/**
 * Notices that forwarding leads back to ourselves: a probe under a random name that comes in again. `probe` is that name; `onLoop`
 * is called at the second sighting, since the first one may be our own sending.
 */
export function loop(probe: string, onLoop: () => void): DnsPlugin {
  let seen = 0
  return async (query, next) => {
    if (query.question.type !== PROBE_TYPE || foldName(query.question.name) !== probe) return next(query)
    seen++
    if (seen > 2) {
      onLoop()
      return { rcode: 'SERVFAIL' }
    }
    return next(query)
  }
}

/** Runs a plugin only for names in one of these zones. */
export const onlyIn =
  (zones: readonly string[], plugin: DnsPlugin): DnsPlugin =>
  (query, next) =>
    zones.some((zone) => isWithin(foldName(query.question.name), zone)) ? plugin(query, next) : next(query)
