// `/healthz`, `/livez`, `/readyz`: named checks, one by one and all together.
import type { HttpResponse } from '../../../lib/index.js'
import { type Family, figures } from '../metrics/families.js'
import type { RequestInfo } from './request-info.js'
import { text } from './respond.js'

export interface HealthCheck {
  readonly name: string
  /** Which endpoints ask it. */
  readonly of: readonly ('healthz' | 'livez' | 'readyz')[]
  /** Throws when it is not well. */
  check(): Promise<void> | void
}

/** undefined when the path is no health endpoint. */
export async function health(info: RequestInfo, checks: readonly HealthCheck[]): Promise<HttpResponse | undefined> {
  const [endpoint = '', only, more] = info.path.split('/').slice(1)
  if (!['healthz', 'livez', 'readyz'].includes(endpoint) || more) return undefined
  const excluded = new Set(info.query.getAll('exclude'))
  const asked = checks.filter(({ of, name }) => of.includes(endpoint as 'healthz') && (!only || name === only) && !excluded.has(name))
  if (only && asked.length === 0) return text(404, '404 page not found\n')
  const lines: string[] = []
  let failed = false
  for (const { name, check } of asked) {
    try {
      await check()
      lines.push(`[+]${name} ok`)
    } catch {
      failed = true
      lines.push(`[-]${name} failed: reason withheld`)
    }
  }
  for (const name of excluded) if (checks.some((check) => check.name === name)) lines.push(`[+]${name} excluded: ok`)
  if (failed) return text(500, `${lines.join('\n')}\n${endpoint} check failed\n`)
  return info.query.get('verbose') !== null ? text(200, `${lines.join('\n')}\n${endpoint} check passed\n`) : text(200, 'ok')
}

/** 1 for each check that is well now. */
export const healthMetrics = (checks: readonly HealthCheck[]): Family =>
  figures('kubernetes_healthcheck', 'gauge', 'Whether a health check passes: 1 when it does.', async () => {
    const results = await Promise.all(
      checks.map(async ({ name, of, check }) => {
        const value = await Promise.resolve()
          .then(check)
          .then(
            () => 1,
            () => 0,
          )
        return of.map((type) => ({ labels: { name, type }, value }))
      }),
    )
    return results.flat()
  })
