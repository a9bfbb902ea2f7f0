// Counts under the names of CoreDNS, as its dashboards expect them.
import type { Clock } from '../../lib/index.js'
import { type DnsPlugin, foldName, isWithin, type Query, type Rcode, TYPES } from '../types.js'

const BUCKETS = [0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192]

export interface Counter {
  add(): void
}
export interface Histogram {
  observe(seconds: number): void
}

/** Counters by name and labels. Ask once for one that is used often. */
export interface DnsMetrics {
  counter(name: string, labels: string): Counter
  histogram(name: string, labels: string): Histogram
  /** Prometheus text. */
  render(): string
}

export function newMetrics(): DnsMetrics {
  const counters = new Map<string, Map<string, { value: number } & Counter>>()
  const histograms = new Map<string, Map<string, { readonly buckets: number[]; count: number; sum: number } & Histogram>>()
  /** The series of a name with these labels, made when it is asked for first. */
  function find<T>(all: Map<string, Map<string, T>>, name: string, labels: string, make: () => T): T {
    const series = all.get(name) ?? new Map<string, T>()
    all.set(name, series)
    const known = series.get(labels) ?? make()
    series.set(labels, known)
    return known
  }
  return {
    counter: (name, labels) =>
      find(counters, name, labels, () => ({
        value: 0,
        add() {
          this.value++
        },
      })),
    histogram: (name, labels) =>
      find(histograms, name, labels, () => ({
        buckets: BUCKETS.map(() => 0),
        count: 0,
        sum: 0,
        observe(seconds) {
          this.count++
          this.sum += seconds
          for (let i = BUCKETS.length - 1; i >= 0 && seconds <= (BUCKETS[i] as number); i--) this.buckets[i] = (this.buckets[i] ?? 0) + 1
        },
      })),
    render() {
      const lines: string[] = []
      for (const [name, series] of counters) {
        lines.push(`# TYPE ${name} counter`)
        for (const [labels, { value }] of series) lines.push(`${name}{${labels}} ${value}`)
      }
      for (const [name, series] of histograms) {
        lines.push(`# TYPE ${name} histogram`)
        for (const [labels, { buckets, count, sum }] of series) {
          for (const [i, bound] of BUCKETS.entries()) lines.push(`${name}_bucket{${labels},le="${bound}"} ${buckets[i]}`)
          lines.push(`${name}_bucket{${labels},le="+Inf"} ${count}`, `${name}_sum{${labels}} ${sum}`, `${name}_count{${labels}} ${count}`)
        }
      }
      return `${lines.join('\n')}\n`
    },
  }
}

const typeNames = new Map<number, string>(Object.entries(TYPES).map(([name, number]) => [number, name]))

export function countQueries(metrics: DnsMetrics, clock: Clock, zones: readonly string[]): DnsPlugin {
  const durations = metrics.histogram('coredns_dns_request_duration_seconds', 'server="dns://:53",zone="."')
  /** Those of a zone, a transport and a family: there are few. */
  const counters = new Map<
    string,
    { readonly labels: string; readonly types: Map<number, Counter>; readonly rcodes: Map<Rcode, Counter> }
  >()
  const of = ({ client, transport, question }: Query) => {
    const name = foldName(question.name)
    const zone = zones.find((each) => isWithin(name, each)) ?? ''
    const family = client.includes(':') ? '2' : '1'
    const key = `${zone} ${transport} ${family}`
    let known = counters.get(key)
    if (!known) {
      known = { labels: `server="dns://:53",zone="${zone}.",proto="${transport}",family="${family}"`, types: new Map(), rcodes: new Map() }
      counters.set(key, known)
    }
    return known
  }
  return async (query, next) => {
    const startedAt = clock.monotonic()
    const { labels, types, rcodes } = of(query)
    const type = typeNames.has(query.question.type) ? query.question.type : 0
    let requests = types.get(type)
    if (!requests) {
      requests = metrics.counter('coredns_dns_requests_total', `${labels},type="${typeNames.get(type) ?? 'other'}"`)
      types.set(type, requests)
    }
    requests.add()
    const reply = await next(query)
    let responses = rcodes.get(reply.rcode)
    if (!responses) {
      responses = metrics.counter('coredns_dns_responses_total', `${labels},rcode="${reply.rcode}"`)
      rcodes.set(reply.rcode, responses)
    }
    responses.add()
    durations.observe((clock.monotonic() - startedAt) / 1000)
    return reply
  }
}
