// Who is known, who may, and what admission costs.
import { ApiError, type Clock } from '../../../lib/index.js'
import type { AdmissionPlugin } from '../admission/plugin.js'
import type { Filter } from '../http/context.js'
import { Counts, exponential, type Family, Histogram } from './families.js'

const DECISION_SECONDS = exponential(0.001, 2, 15)
const PLUGIN_SECONDS = [0.005, 0.025, 0.1, 0.5, 1, 2.5]
/** Seconds until a client's certificate expires: none, half an hour, … a year. */
const EXPIRY = [0, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 345600, 604800, 2592000, 7776000, 15552000, 31104000]

export interface AccessMetrics {
  readonly families: readonly Family[]
  /** The same link, with its decisions counted. */
  authentication(link: Filter): Filter
  authorization(link: Filter): Filter
  admission(plugin: AdmissionPlugin): AdmissionPlugin
  /** Each time somebody shows a certificate. */
  readonly certificateExpiry: (seconds: number) => void
}

export function accessMetrics(clock: Clock): AccessMetrics {
  const expiry = new Histogram(
    'apiserver_client_certificate_expiration_seconds',
    'Life that is left of certificates that clients show.',
    EXPIRY,
  )
  const plugins = new Histogram('apiserver_admission_controller_admission_duration_seconds', 'Time in an admission plugin.', PLUGIN_SECONDS)
  const expiries = expiry.of({})
  const families: Family[] = [expiry, plugins]

  /** A link that passes on is a yes; the time of what lies behind it is not its own. */
  const decisions = (
    counts: Counts,
    times: Histogram,
    { results, refusal }: { readonly results: readonly [yes: string, no: string, failed: string]; readonly refusal: string },
  ): ((link: Filter) => Filter) => {
    families.push(counts, times)
    const series = (result: string) => ({ count: counts.of({ result }), time: times.of({ result }) })
    const [good, bad, broken] = [series(results[0]), series(results[1]), series(results[2])]
    return (link) => async (context, next) => {
      const start = clock.monotonic()
      const seen = ({ count, time }: typeof good): void => {
        count.value++
        time.observe((clock.monotonic() - start) / 1000)
      }
      let passed = false
      try {
        return await link(context, () => {
          passed = true
          seen(good)
          return next()
        })
      } catch (error) {
        if (!passed) seen(error instanceof ApiError && error.reason === refusal ? bad : broken)
        throw error
      }
    }
  }

  const admission = (plugin: AdmissionPlugin): AdmissionPlugin => {
    const timed = (type: 'admit' | 'validate') => {
      const run = plugin[type]?.bind(plugin)
      if (!run) return undefined
      const known = new Map<string, ReturnType<typeof plugins.of>>()
      const observe = (operation: string, rejected: boolean, start: number): void => {
        const key = `${operation} ${rejected}`
        let series = known.get(key)
        if (!series) {
          series = plugins.of({ name: plugin.name, operation, rejected: String(rejected), type })
          known.set(key, series)
        }
        series.observe((clock.monotonic() - start) / 1000)
      }
      return (request: Parameters<NonNullable<AdmissionPlugin['admit']>>[0]): Promise<void> | void => {
        const start = clock.monotonic()
        const fail = (error: unknown): never => {
          observe(request.operation, true, start)
          throw error
        }
        try {
          const waits = run(request)
          if (waits) return waits.then(() => observe(request.operation, false, start), fail)
        } catch (error) {
          fail(error)
        }
        observe(request.operation, false, start)
      }
    }
    const [admit, validate] = [timed('admit'), timed('validate')]
    return { name: plugin.name, ...(admit && { admit }), ...(validate && { validate }) }
  }

  return {
    families,
    authentication: decisions(
      new Counts('authentication_attempts', 'Requests whose user was looked for, by result.'),
      new Histogram('authentication_duration_seconds', 'Time to know the user, by result.', DECISION_SECONDS),
      { results: ['success', 'failure', 'error'], refusal: 'Unauthorized' },
    ),
    authorization: decisions(
      new Counts('authorization_attempts_total', 'Requests whose user was asked for rights, by result.'),
      new Histogram('authorization_duration_seconds', 'Time to know the rights, by result.', DECISION_SECONDS),
      { results: ['allowed', 'denied', 'error'], refusal: 'Forbidden' },
    ),
    admission,
    certificateExpiry: (seconds) => expiries.observe(seconds),
  }
}
