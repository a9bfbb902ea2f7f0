// Counters in Prometheus' text form, under the names that kube-apiserver uses.
import type { Clock, HttpResponse } from '../../../lib/index.js'
import type { Filter } from './context.js'
import { PushBody } from './push-body.js'

const BUCKETS = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60]

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

interface Histogram {
  readonly counts: number[]
  sum: number
  count: number
}

export function createMetrics(clock: Clock): Metrics {
  const requests = new Map<string, number>()
  const durations = new Map<string, Histogram>()
  const gauges: { name: string; help: string; read: Parameters<Metrics['gauge']>[2] }[] = []
  let inflight = { readOnly: 0, mutating: 0 }
  let watches = 0

  const observe = (labels: string, seconds: number): void => {
    let histogram = durations.get(labels)
    if (!histogram) {
      histogram = { counts: BUCKETS.map(() => 0), sum: 0, count: 0 }
      durations.set(labels, histogram)
    }
    const { counts } = histogram
    for (let i = BUCKETS.length - 1; i >= 0 && seconds <= (BUCKETS[i] as number); i--) counts[i] = (counts[i] ?? 0) + 1
    histogram.sum += seconds
    histogram.count++
  }

  const filter: Filter = async (context, next) => {
    const { info } = context
    const start = clock.monotonic()
    const kind = ['get', 'list', 'watch'].includes(info.verb) ? 'readOnly' : 'mutating'
    inflight = { ...inflight, [kind]: inflight[kind] + 1 }
    let code = 500
    try {
      const response = await next()
      code = response.status
      if (response.body instanceof PushBody) watches++
      return response
    } finally {
      inflight = { ...inflight, [kind]: inflight[kind] - 1 }
      const scope = !info.isResource ? '' : info.name ? 'resource' : info.namespace ? 'namespace' : 'cluster'
      const labels = labelText({
        group: info.group,
        resource: info.resource,
        scope,
        subresource: info.subresource,
        verb: info.verb.toUpperCase(),
        version: info.version,
      })
      const counted = `code="${code}",dry_run="${context.info.query.get('dryRun') ?? ''}",${labels}`
      requests.set(counted, (requests.get(counted) ?? 0) + 1)
      if (info.verb !== 'watch') observe(labels, (clock.monotonic() - start) / 1000)
    }
  }

  return {
    filter,
    gauge: (name, help, read) => void gauges.push({ name, help, read }),
    async render() {
      const lines: string[] = []
      const head = (name: string, type: string, help: string): void => void lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
      head('apiserver_request_total', 'counter', 'Requests by verb, group, version, resource, scope and HTTP code.')
      for (const [labels, count] of requests) lines.push(`apiserver_request_total{${labels}} ${count}`)
      head('apiserver_request_duration_seconds', 'histogram', 'Time to answer, watches not counted.')
      for (const [labels, { counts, sum, count }] of durations) {
        for (const [i, bound] of BUCKETS.entries())
          lines.push(`apiserver_request_duration_seconds_bucket{${labels},le="${bound}"} ${counts[i] ?? 0}`)
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
