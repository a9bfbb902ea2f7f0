// Counters in Prometheus' text form, under the names that kube-apiserver uses.
import type { Clock, HttpResponse } from '../../../lib/index.js'
import type { Filter } from './context.js'
import { PushBody } from './push-body.js'
import type { RequestInfo } from './request-info.js'

const BUCKETS = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60]

const MOST_SERIES = 5000

type Labels = Readonly<Record<string, string>>

const labelText = (labels: Labels): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))}"`)
    .join(',')

export interface Metrics {
  readonly filter: Filter
  /** A figure that is read when asked for. */
  gauge(
    name: string,
    help: string,
    read: () =>
      | Promise<readonly { readonly labels: Labels; readonly value: number }[]>
      | readonly { readonly labels: Labels; readonly value: number }[],
  ): void
  render(): Promise<HttpResponse>
}

/** One verb on one resource. */
interface Series {
  readonly labels: string
  /** By code and dry run. */
  readonly counts: Map<string, number>
  readonly buckets: number[]
  sum: number
  count: number
}

export function createMetrics(clock: Clock): Metrics {
  const all = new Map<string, Series>()
  const gauges: { name: string; help: string; read: Parameters<Metrics['gauge']>[2] }[] = []
  const inflight = { readOnly: 0, mutating: 0 }
  let watches = 0

  const seriesOf = (info: RequestInfo, scope: string): Series => {
    const { group, resource, subresource, verb, version } = info
    const key = `${verb} ${scope} ${group} ${version} ${resource} ${subresource}`
    let series = all.get(key)
    if (!series) {
      const labels = labelText({ group, resource, scope, subresource, verb: verb.toUpperCase(), version })
      series = { labels, counts: new Map(), buckets: BUCKETS.map(() => 0), sum: 0, count: 0 }
      // What nobody serves is counted as one: paths are the client's invention.
      if (all.size < MOST_SERIES) all.set(key, series)
    }
    return series
  }
  const observe = (series: Series, seconds: number): void => {
    const { buckets } = series
    for (let i = BUCKETS.length - 1; i >= 0 && seconds <= (BUCKETS[i] as number); i--) buckets[i] = (buckets[i] ?? 0) + 1
    series.sum += seconds
    series.count++
  }

  const filter: Filter = async (context, next) => {
    const { info } = context
    const start = clock.monotonic()
    const kind = ['get', 'list', 'watch'].includes(info.verb) ? 'readOnly' : 'mutating'
    inflight[kind]++
    let code = 500
    try {
      const response = await next()
      code = response.status
      if (response.body instanceof PushBody) watches++
      return response
    } finally {
      inflight[kind]--
      const scope = !info.isResource ? '' : info.name ? 'resource' : info.namespace ? 'namespace' : 'cluster'
      const series = seriesOf(info, scope)
      const dryRun = info.query.get('dryRun') ?? ''
      const counter = `${code} ${dryRun}`
      series.counts.set(counter, (series.counts.get(counter) ?? 0) + 1)
      if (info.verb !== 'watch') observe(series, (clock.monotonic() - start) / 1000)
    }
  }

  return {
    filter,
    gauge: (name, help, read) => void gauges.push({ name, help, read }),
    async render() {
      const lines: string[] = []
      const head = (name: string, type: string, help: string): void => void lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
      head('apiserver_request_total', 'counter', 'Requests by verb, group, version, resource, scope and HTTP code.')
      for (const { labels, counts } of all.values()) {
        for (const [counter, count] of counts) {
          const [code = '', dryRun = ''] = counter.split(' ')
          lines.push(`apiserver_request_total{code="${code}",dry_run="${dryRun}",${labels}} ${count}`)
        }
      }
      head('apiserver_request_duration_seconds', 'histogram', 'Time to answer, watches not counted.')
      for (const { labels, buckets, sum, count } of all.values()) {
        for (const [i, bound] of BUCKETS.entries()) {
          lines.push(`apiserver_request_duration_seconds_bucket{${labels},le="${bound}"} ${buckets[i] ?? 0}`)
        }
        lines.push(`apiserver_request_duration_seconds_bucket{${labels},le="+Inf"} ${count}`)
        lines.push(
          `apiserver_request_duration_seconds_sum{${labels}} ${sum}`,
          `apiserver_request_duration_seconds_count{${labels}} ${count}`,
        )
      }
      head('apiserver_current_inflight_requests', 'gauge', 'Requests at work, by kind.')
      for (const [kind, count] of Object.entries(inflight))
        lines.push(`apiserver_current_inflight_requests{request_kind="${kind}"} ${count}`)
      head('apiserver_watches_started_total', 'counter', 'Watches begun.')
      lines.push(`apiserver_watches_started_total ${watches}`)
      for (const { name, help, read } of gauges) {
        head(name, 'gauge', help)
        for (const { labels, value } of await read())
          lines.push(`${name}${Object.keys(labels).length > 0 ? `{${labelText(labels)}}` : ''} ${value}`)
      }
      const { rss, heapUsed } = process.memoryUsage()
      head('process_resident_memory_bytes', 'gauge', 'Resident memory.')
      lines.push(`process_resident_memory_bytes ${rss}`)
      head('nodejs_heap_size_used_bytes', 'gauge', 'Heap in use.')
      lines.push(`nodejs_heap_size_used_bytes ${heapUsed}`)
      const { user, system } = process.cpuUsage()
      head('process_cpu_seconds_total', 'counter', 'CPU time.')
      lines.push(`process_cpu_seconds_total ${(user + system) / 1e6}`)
      return {
        status: 200,
        headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
        body: Buffer.from(`${lines.join('\n')}\n`),
      }
    },
  }
}
