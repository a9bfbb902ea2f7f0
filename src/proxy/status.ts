// What people and load balancers ask a service proxy, on kube-proxy's ports: is it well, how does it work, what did it do.
import { createServer, type RequestListener, type Server } from 'node:http'
import { asError, type Clock, type Logger, rfc3339 } from '../lib/index.js'

export interface ProxyStatusOptions {
  readonly mode: string
  readonly clock: Clock
  readonly log: Logger
  /** Where `/healthz` and `/livez` are answered, on every address of the node. kube-proxy's is 10256. */
  readonly healthPort: number
  /** Where `/metrics` and `/proxyMode` are answered, on loopback. kube-proxy's is 10249. */
  readonly metricsPort: number
  /** False when the node is about to go: load balancers are to look elsewhere, though the proxy itself is well. */
  readonly nodeEligible?: () => boolean
}

export interface ProxyStatus {
  /** A change came in that is not in the kernel yet. */
  queued(what: 'service' | 'endpoint'): void
  applied(ms: number): void
  failed(): void
  readonly isHealthy: boolean
  close(): void
}

/** Rules that are late by so much count as ill. */
const LATE_MS = 60_000
const BUCKETS = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384]

function listen(port: number, host: string | undefined, answer: RequestListener, log: Logger): Server {
  const server = createServer(answer)
  server.on('error', (error) => log.warn('port of the service proxy cannot be opened', { port, err: asError(error) }))
  server.listen(port, host)
  server.unref()
  return server
}

export function proxyStatus({ mode, clock, log, healthPort, metricsPort, nodeEligible = () => true }: ProxyStatusOptions): ProxyStatus {
  const changes = { service: 0, endpoint: 0 }
  const healthz = new Map<number, number>()
  const buckets = BUCKETS.map(() => 0)
  let [count, sum, failures] = [0, 0, 0]
  let appliedAt = clock.now()
  let queuedAt = clock.now()
  /** Since when something waits for the kernel. */
  let waitingSince: number | undefined
  const isHealthy = (): boolean => waitingSince === undefined || clock.monotonic() - waitingSince < LATE_MS

  const metrics = (): string => {
    const one = (name: string, type: string, help: string, value: number): string[] => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      `${name} ${value}`,
    ]
    const rules = 'kubeproxy_sync_proxy_rules'
    const usage = process.cpuUsage()
    return [
      `# HELP ${rules}_duration_seconds Time to bring the rules of the kernel up to date.`,
      `# TYPE ${rules}_duration_seconds histogram`,
      ...BUCKETS.map((bound, i) => `${rules}_duration_seconds_bucket{le="${bound}"} ${buckets[i]}`),
      `${rules}_duration_seconds_bucket{le="+Inf"} ${count}`,
      `${rules}_duration_seconds_sum ${sum}`,
      `${rules}_duration_seconds_count ${count}`,
      ...one(`${rules}_last_timestamp_seconds`, 'gauge', 'When the rules were last brought up to date.', appliedAt / 1000),
      ...one(`${rules}_last_queued_timestamp_seconds`, 'gauge', 'When a change was last noticed.', queuedAt / 1000),
      ...one(`${rules}_service_changes_total`, 'counter', 'Changes of Services.', changes.service),
      ...one(`${rules}_endpoint_changes_total`, 'counter', 'Changes of EndpointSlices.', changes.endpoint),
      ...one(`${rules}_${mode}_sync_failures_total`, 'counter', 'Attempts that failed.', failures),
      '# HELP kubeproxy_proxy_healthz_total Answers of /healthz by code.',
      '# TYPE kubeproxy_proxy_healthz_total counter',
      ...[...healthz].map(([code, times]) => `kubeproxy_proxy_healthz_total{code="${code}"} ${times}`),
      ...one('process_resident_memory_bytes', 'gauge', 'Resident memory.', process.memoryUsage.rss()),
      ...one('process_cpu_seconds_total', 'counter', 'CPU time.', (usage.user + usage.system) / 1e6),
      '',
    ].join('\n')
  }

  const health: RequestListener = (request, response) => {
    const path = request.url?.split('?')[0]
    if (path !== '/healthz' && path !== '/livez') return void response.writeHead(404).end()
    const eligible = nodeEligible()
    const code = isHealthy() && (eligible || path === '/livez') ? 200 : 503
    if (path === '/healthz') healthz.set(code, (healthz.get(code) ?? 0) + 1)
    response.writeHead(code, { 'content-type': 'application/json', 'x-content-type-options': 'nosniff' })
    response.end(JSON.stringify({ lastUpdated: rfc3339(appliedAt), currentTime: rfc3339(clock.now()), nodeEligible: eligible }))
  }
  const local: RequestListener = (request, response) => {
    const path = request.url?.split('?')[0]
    const body = path === '/metrics' ? metrics() : path === '/proxyMode' ? mode : path === '/healthz' ? 'ok' : undefined
    if (body === undefined) return void response.writeHead(404).end()
    response.writeHead(200, {
      'content-type': path === '/metrics' ? 'text/plain; version=0.0.4; charset=utf-8' : 'text/plain; charset=utf-8',
    })
    response.end(body)
  }
  const servers = [listen(healthPort, undefined, health, log), listen(metricsPort, '127.0.0.1', local, log)]

  return {
    queued(what) {
      changes[what]++
      queuedAt = clock.now()
      waitingSince ??= clock.monotonic()
    },
    applied(ms) {
      appliedAt = clock.now()
      waitingSince = undefined
      count++
      sum += ms / 1000
      for (const [i, bound] of BUCKETS.entries()) if (ms / 1000 <= bound) buckets[i] = (buckets[i] ?? 0) + 1
    },
    failed() {
      failures++
      waitingSince ??= clock.monotonic()
    },
    get isHealthy() {
      return isHealthy()
    },
    close() {
      for (const server of servers) {
        server.close()
        server.closeAllConnections()
      }
    },
  }
}
