// For load balancers: does this node have endpoints of a Service with local traffic policy? 200 says yes, 503 no.
import { createServer, type Server } from 'node:http'
import { asError, type Logger } from '../lib/index.js'
import type { HealthCheck } from './ruleset.js'

export interface HealthChecks {
  update(checks: readonly HealthCheck[]): void
  close(): void
}

/** `isHealthy`: false when the rules of the kernel are out of date; a load balancer should then not trust this node. */
export function healthChecks(log: Logger, isHealthy: () => boolean = () => true): HealthChecks {
  const servers = new Map<number, Server>()
  let current = new Map<number, HealthCheck>()

  const open = (port: number): void => {
    const server = createServer((_request, response) => {
      const check = current.get(port)
      const healthy = isHealthy()
      const body = JSON.stringify({ service: check?.service, localEndpoints: check?.localEndpoints ?? 0, serviceProxyHealthy: healthy })
      response.writeHead(check && check.localEndpoints > 0 && healthy ? 200 : 503, {
        'content-type': 'application/json',
        'x-content-type-options': 'nosniff',
        'x-load-balancing-endpoint-weight': String(check?.localEndpoints ?? 0),
      })
      response.end(body)
    })
    server.on('error', (error) => {
      servers.delete(port)
      log.warn('health check port cannot be opened', { port, err: asError(error) })
    })
    server.listen(port)
    server.unref()
    servers.set(port, server)
  }
  return {
    update(checks) {
      current = new Map(checks.map((check) => [check.port, check]))
      for (const [port, server] of servers) {
        if (current.has(port)) continue
        server.close()
        server.closeAllConnections()
        servers.delete(port)
      }
      for (const port of current.keys()) if (!servers.has(port)) open(port)
    },
    close() {
      this.update([])
    },
  }
}
