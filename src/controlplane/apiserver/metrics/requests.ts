// Every request as it is counted: how many, how long, how large, how many at work.
import { Readable } from 'node:stream'
import type { Clock, HttpResponse } from '../../../lib/index.js'
import type { Filter, RequestContext } from '../http/context.js'
import { toApiError } from '../http/errors.js'
import { PushBody } from '../http/push-body.js'
import type { TypeRegistry } from '../registry/backend.js'
import { type Count, Counts, Distribution, exponential, type Family, type Labels, labelText } from './families.js'

const SECONDS = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60]
/** Of the service level: nothing is left out of it here, only fewer bounds are shown. */
const SLI_SECONDS = SECONDS.slice(2)
const BYTES = exponential(1000, 10, 7)

/** The methods of HTTP, and what they mean for resources, as kube-apiserver counts them. */
const VERBS: Readonly<Record<string, string>> = { create: 'POST', update: 'PUT' }
const KNOWN = new Set(['GET', 'LIST', 'WATCH', 'POST', 'PUT', 'PATCH', 'APPLY', 'DELETE', 'DELETECOLLECTION', 'CONNECT', 'HEAD', 'OPTIONS'])
const CONNECTS = new Set(['exec', 'attach', 'portforward', 'proxy'])
const LASTING = new Set([...CONNECTS, 'log'])

function verbOf({ info, request }: RequestContext): string {
  if (CONNECTS.has(info.subresource)) return 'CONNECT'
  if (info.verb === 'patch' && request.headers['content-type']?.startsWith('application/apply-patch')) return 'APPLY'
  const verb = VERBS[info.verb] ?? info.verb.toUpperCase()
  return KNOWN.has(verb) ? verb : 'other'
}

/** What of a request goes into labels. Whatever is not served has none: the client may have invented it, and labels are kept for ever. */
function labelled({ info }: RequestContext, types: TypeRegistry, failed: boolean) {
  const { group, version, resource, namespace, name, verb, subresource, path } = info
  const nothing = { group: '', version: '', resource: '', scope: '', subresource: '' }
  if (!info.isResource) return { ...nothing, subresource: failed ? '' : path.replace(/(.)\/+$/, '$1') }
  const type = types.find(group, version, resource)
  if (!type || (subresource !== '' && !type.subresourceTypes.some((each) => each.name === subresource))) return nothing
  return { group, version, resource, subresource, scope: name || verb === 'create' ? 'resource' : namespace ? 'namespace' : 'cluster' }
}

/** One verb on one resource. */
interface Series {
  readonly labels: Labels
  /** By code and dry run. */
  readonly counts: Map<string, number>
  readonly times: Distribution
  readonly sizes: Distribution
  /** At work now, of those that last as long as the client wishes. */
  readonly lasting: Count
}

const isReading = (verb: string): boolean => verb === 'GET' || verb === 'LIST'

function lengthOf({ body, headers }: HttpResponse): number | undefined {
  if (body instanceof Uint8Array) return body.length
  const length = headers['content-length']
  return length === undefined ? undefined : Number(length)
}

export interface RequestMetrics {
  readonly filter: Filter
  readonly families: readonly Family[]
}

export function requestMetrics(clock: Clock, types: TypeRegistry): RequestMetrics {
  const all = new Map<string, Series>()
  const inflight = new Counts('apiserver_current_inflight_requests', 'Requests at work, by kind.', 'gauge')
  const atWork = { readOnly: inflight.of({ request_kind: 'readOnly' }), mutating: inflight.of({ request_kind: 'mutating' }) }

  const seriesOf = (context: RequestContext, verb: string, failed: boolean): Series => {
    const labels = { component: 'apiserver', ...labelled(context, types, failed), verb }
    const key = Object.values(labels).join(' ')
    let series = all.get(key)
    if (!series) {
      series = { labels, counts: new Map(), times: new Distribution(SECONDS), sizes: new Distribution(BYTES), lasting: { value: 0 } }
      all.set(key, series)
    }
    return series
  }

  const filter: Filter = async (context, next) => {
    const { info } = context
    const start = clock.monotonic()
    const verb = verbOf(context)
    const lasts = verb === 'WATCH' || LASTING.has(info.subresource)
    const kind = lasts ? undefined : atWork[isReading(verb) || verb === 'HEAD' ? 'readOnly' : 'mutating']
    if (kind) kind.value++
    const lasting = lasts ? seriesOf(context, verb, false).lasting : undefined
    if (lasting) lasting.value++
    let code = 500
    let response: HttpResponse | undefined
    try {
      response = await next()
      code = response.status
      return response
    } catch (error) {
      code = toApiError(error).code
      throw error
    } finally {
      if (kind) kind.value--
      if (lasting) whenEnded(response, () => lasting.value--)
      const series = seriesOf(context, verb, code >= 400)
      const counter = `${code} ${info.query.get('dryRun') === 'All' ? 'All' : ''}`
      series.counts.set(counter, (series.counts.get(counter) ?? 0) + 1)
      if (!lasts) series.times.observe((clock.monotonic() - start) / 1000)
      const length = response && isReading(verb) ? lengthOf(response) : undefined
      if (length !== undefined) series.sizes.observe(length)
    }
  }

  const some = (
    name: string,
    type: Family['type'],
    help: string,
    linesOf: (series: Series, labels: string) => readonly string[],
  ): Family => ({
    name,
    type,
    help,
    lines: () => [...all.values()].flatMap((series) => linesOf(series, labelText(series.labels))),
  })
  const of = (distribution: Distribution, name: string, labels: string, shown?: readonly number[]): readonly string[] =>
    distribution.count > 0 ? distribution.lines(name, labels, shown) : []

  return {
    filter,
    families: [
      some('apiserver_request_total', 'counter', 'Requests by verb, group, version, resource, scope and HTTP code.', ({ counts, labels }) =>
        [...counts].map(([counter, count]) => {
          const [code = '', dryRun = ''] = counter.split(' ')
          return `apiserver_request_total{${labelText({ code, dry_run: dryRun, ...labels })}} ${count}`
        }),
      ),
      some('apiserver_request_duration_seconds', 'histogram', 'Time to answer; what lasts is not counted.', ({ times }, labels) =>
        of(times, 'apiserver_request_duration_seconds', labels),
      ),
      some('apiserver_request_sli_duration_seconds', 'histogram', 'Time to answer that the server is to blame for.', ({ times }, labels) =>
        of(times, 'apiserver_request_sli_duration_seconds', labels, SLI_SECONDS),
      ),
      some('apiserver_response_sizes', 'histogram', 'Bytes of answers to reads, before compression.', ({ sizes }, labels) =>
        of(sizes, 'apiserver_response_sizes', labels),
      ),
      some('apiserver_longrunning_requests', 'gauge', 'Requests that last as long as the client wishes, at work now.', (series, labels) =>
        series.lasting.value > 0 || series.labels.verb === 'WATCH'
          ? [`apiserver_longrunning_requests{${labels}} ${series.lasting.value}`]
          : [],
      ),
      inflight,
    ],
  }
}

/** A watch or a followed log goes on behind its answer. */
function whenEnded(response: HttpResponse | undefined, run: () => void): void {
  const body = response?.body
  if (body instanceof PushBody) body.whenEnded(run)
  else if (body instanceof Readable && !body.closed) body.once('close', run)
  else run()
}
