// From the directives of a Corefile to plugins: what can be written, and what it means.
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { nameSuffix } from '../lib/index.js'
import type { ChainContext } from './chain.js'
import { clusterRecords } from './cluster-records.js'
import { CorefileError, type Directive, duration, type ServerBlock } from './corefile.js'
import { cache } from './plugins/cache.js'
import { forward, type Upstream } from './plugins/forward.js'
import { hosts } from './plugins/hosts.js'
import { shuffle } from './plugins/loadbalance.js'
import { loop } from './plugins/loop.js'
import { countQueries } from './plugins/metrics.js'
import { type RewriteRule, rewrite } from './plugins/rewrite.js'
import { errors, LOG_CLASSES, logQueries } from './plugins/small.js'
import { type TemplateRecord, template } from './plugins/template.js'
import { bad, Properties, zoneName } from './properties.js'
import { type DnsPlugin, RCODES, type Rcode, type Resolve, TYPES, type TypeName } from './types.js'

interface Made {
  readonly block: ServerBlock
  readonly context: ChainContext
  /** Asks the whole chain again: where an alias leads. */
  readonly lookup: Resolve
}

/** A directive to its plugin; throws CorefileError for what it does not understand. */
export type Maker = (directive: Directive, made: Made) => DnsPlugin

/** `nameserver` lines of a resolv.conf. */
function nameservers(path: string): Upstream[] {
  try {
    const found = readFileSync(path, 'utf8').matchAll(/^\s*nameserver\s+(\S+)/gm)
    return [...found].flatMap(([, address = '']) => (isIP(address) ? [{ address, port: 53 }] : []))
  } catch {
    return []
  }
}

function upstreams(directive: Directive, context: ChainContext): Upstream[] {
  const [, ...targets] = directive.args
  if (targets.length === 0) throw bad(directive, 'wants a zone and at least one server: "forward . 1.1.1.1"')
  const found = targets.flatMap((target): Upstream[] => {
    if (target.startsWith('/')) return nameservers(target === '/etc/resolv.conf' ? (context.resolvConf ?? target) : target)
    if (/^(tls|https|quic|grpc):\/\//.test(target)) throw bad(directive, `"${target}": servers are asked over UDP and TCP only`)
    const match = /^(?:dns:\/\/)?(?:\[([^\]]+)\]|([^:]+|[0-9a-fA-F:]+))(?::(\d+))?$/.exec(target)
    const address = match?.[1] ?? match?.[2] ?? ''
    if (!isIP(address)) throw bad(directive, `"${target}" is no address of a server`)
    return [{ address, port: Number(match?.[3] ?? 53) }]
  })
  return found.filter(({ address }) => !context.ownAddresses?.includes(address))
}

const makeForward: Maker = (directive, { context }) => {
  const { clock, random, log, metrics, signal, exchangeUdp, exchangeTcp } = context
  const properties = new Properties(directive)
  const plugin = forward({
    zone: zoneName(directive.args[0] ?? '.'),
    upstreams: upstreams(directive, context),
    except: properties.all('except').flat(),
    policy: properties.choice('policy', ['random', 'round_robin', 'sequential'], 'random'),
    forceTcp: properties.has('force_tcp'),
    maxFails: properties.number('max_fails', 2),
    maxConcurrent: properties.number('max_concurrent', 1000),
    healthMs: properties.seconds('health_check', 0.5) * 1000,
    clock,
    random,
    log,
    metrics,
    ...(signal ? { signal } : {}),
    ...(exchangeUdp ? { exchangeUdp } : {}),
    ...(exchangeTcp ? { exchangeTcp } : {}),
  })
  // Sockets are fresh for each question, so that ids and ports cannot be guessed: there is nothing to keep or to expire.
  properties.accept('expire', 'prefer_udp')
  properties.done()
  return plugin
}

const makeCache: Maker = (directive, { context: { clock, metrics } }) => {
  const { line, args } = directive
  const properties = new Properties(directive)
  const [ttl, ...zones] = args[0] !== undefined && /^\d/.test(args[0]) ? args : [undefined, ...args]
  const maxTtl = ttl === undefined ? undefined : duration(ttl, line)
  const sized = (name: string, preset: number) => {
    const [capacity, longest, shortest] = properties.words(name) ?? []
    if (capacity !== undefined && !/^\d+$/.test(capacity)) throw bad(directive, `${name} wants a number of entries, not "${capacity}"`)
    return {
      capacity: Number(capacity ?? 9984),
      maxTtl: longest === undefined ? Math.min(maxTtl ?? preset, preset) : duration(longest, line),
      minTtl: shortest === undefined ? Math.min(5, maxTtl ?? 5) : duration(shortest, line),
    }
  }
  const [times, within = '1m', percent = '10%'] = properties.words('prefetch') ?? ['0']
  const stale = properties.words('serve_stale')
  if (!/^\d+$/.test(times ?? '') || !/^\d+%$/.test(percent)) throw bad(directive, 'prefetch AMOUNT [DURATION] [PERCENTAGE%]')
  const disabled = properties.all('disable').map(([kind = '', ...names]) => {
    if (kind !== 'success' && kind !== 'denial') throw bad(directive, `disable wants success or denial, not "${kind}"`)
    return { kind, zones: names.length > 0 ? names.map(zoneName) : [''] } as const
  })
  const plugin = cache({
    clock,
    metrics,
    zones: zones.map((zone) => zoneName(zone ?? '')),
    success: sized('success', 3600),
    denial: sized('denial', 1800),
    servfailTtl: properties.seconds('servfail', 0),
    prefetch: { times: Number(times), withinMs: duration(within, line) * 1000, percent: Number.parseInt(percent, 10) },
    ...(stale ? { serveStale: { seconds: duration(stale[0] ?? '1h', line), verify: stale[1] === 'verify' } } : {}),
    keepTtl: properties.has('keepttl'),
    disabled,
  })
  properties.done()
  return plugin
}

const makeKubernetes: Maker = (directive, { block, context, lookup }) => {
  const properties = new Properties(directive)
  const zones = directive.args.length > 0 ? directive.args : block.zones
  const namespaces = properties.words('namespaces')
  const plugin = clusterRecords({
    view: context.view,
    zones,
    lookup,
    ttl: properties.number('ttl', 5),
    pods: properties.choice('pods', ['disabled', 'insecure', 'verified'], 'disabled'),
    podNames: properties.has('endpoint_pod_names'),
    noEndpoints: properties.has('noendpoints'),
    ignoreEmpty: properties.words('ignore')?.[0] === 'empty_service',
    ...(namespaces ? { namespaces } : {}),
    nameservers: context.ownAddresses ?? [],
    fallthrough: properties.fallthrough(),
  })
  // How the API is reached is not a matter of DNS here.
  properties.accept('endpoint', 'tls', 'kubeconfig', 'apiserver_qps', 'apiserver_burst', 'startup_timeout')
  properties.done()
  return plugin
}

const makeHosts: Maker = (directive) => {
  const inline = directive.block.filter(([word = '']) => isIP(word) !== 0).map((words) => words.join(' '))
  const properties = new Properties({ ...directive, block: directive.block.filter(([word = '']) => isIP(word) === 0) })
  const [first, ...others] = directive.args
  const file = first?.startsWith('/') ? first : undefined
  const path = file ?? (inline.length === 0 ? '/etc/hosts' : undefined)
  let text = ''
  try {
    if (path) text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new CorefileError(`line ${directive.line}: hosts: ${path} cannot be read`, { cause: error })
  }
  const plugin = hosts({
    lines: [...text.split('\n'), ...inline],
    zones: (file ? others : directive.args).map(zoneName),
    ttl: properties.number('ttl', 3600),
    reverse: !properties.has('no_reverse'),
    fallthrough: properties.fallthrough(),
  })
  properties.accept('reload')
  properties.done()
  return plugin
}

export function makeRewrite(directives: readonly Directive[]): DnsPlugin {
  const rules = directives.flatMap((directive): RewriteRule[] => {
    // In a block of their own, `answer` lines say how answers are turned back.
    const first = directive.args[0] === 'stop' || directive.args[0] === 'continue' ? directive.args.slice(1) : directive.args
    const lines = [first, ...directive.block].filter((words) => words.length > 0)
    const words = lines[0] ?? []
    if (words[0] !== 'name')
      throw bad(directive, `rewrites of "${words[0] ?? ''}" are not known; "rewrite name [exact|prefix|suffix|substring|regex] FROM TO" is`)
    const kinds = ['exact', 'prefix', 'suffix', 'substring', 'regex'] as const
    const match = kinds.find((each) => each === words[1])
    const [from, to, ...answer] = words.slice(match ? 2 : 1)
    if (from === undefined || to === undefined) throw bad(directive, 'wants two names')
    const back = [answer, ...lines.slice(1)].find(([first, kind]) => first === 'answer' && kind === 'name')
    for (const pattern of [...(match === 'regex' ? [from] : []), ...(back?.[2] ? [back[2]] : [])]) {
      try {
        new RegExp(pattern)
      } catch (error) {
        throw new CorefileError(`line ${directive.line}: rewrite: "${pattern}" is no regular expression`, { cause: error })
      }
    }
    const fold = match === 'regex' ? from : from.toLowerCase().replace(/(?<=.)\.$/, '')
    const answers = back?.[2] !== undefined && back[3] !== undefined ? { answer: { from: back[2], to: back[3] } } : {}
    return [{ match: match ?? 'exact', from: fold, to, ...answers }]
  })
  return rewrite(rules)
}

const makeTemplate: Maker = (directive, { block }) => {
  const [zoneClass = '', type = '', ...zones] = directive.args
  const properties = new Properties(directive)
  const number = type.toUpperCase() === 'ANY' ? undefined : TYPES[type.toUpperCase() as TypeName]
  if (!/^(IN|ANY)$/i.test(zoneClass) || (number === undefined && type.toUpperCase() !== 'ANY'))
    throw bad(directive, 'wants a class, a type and zones: "template IN A example.com"')
  const records = (name: string): TemplateRecord[] =>
    properties.all(name).map((words) => {
      try {
        return { text: words.join(' ') }
      } catch (error) {
        throw bad(directive, String(error))
      }
    })
  const patterns = properties.all('match').map(([pattern = '']) => {
    try {
      return new RegExp(pattern.replace(/\(\?P</g, '(?<'))
    } catch (error) {
      throw new CorefileError(`line ${directive.line}: template: "${pattern}" is no regular expression`, { cause: error })
    }
  })
  const rcode = (properties.words('rcode')?.[0] ?? 'NOERROR').toUpperCase()
  if (!(rcode in RCODES)) throw bad(directive, `unknown rcode "${rcode}"`)
  const plugin = template({
    ...(number === undefined ? {} : { type: number }),
    zones: (zones.length > 0 ? zones : block.zones).map(zoneName),
    patterns,
    answer: records('answer'),
    additional: records('additional'),
    authority: records('authority'),
    rcode: rcode as Rcode,
    fallthrough: properties.fallthrough(),
  })
  properties.done()
  return plugin
}

const makeLoop: Maker = (_directive, { context: { random, log, clock, signal, transportPort }, lookup }) =>
  loop({
    probe: `${nameSuffix(random, 10)}.${nameSuffix(random, 10)}.${transportPort ?? 53}`,
    ask: lookup,
    clock,
    ...(signal ? { signal } : {}),
    onLoop: () => log.error('questions that we forward come back to us: forwarding stays off until the Corefile or resolv.conf is mended'),
  })

const makeLog: Maker = (directive, { context: { log, clock } }) => {
  const properties = new Properties(directive)
  const classes = properties.all('class').flat()
  for (const each of classes) if (!LOG_CLASSES.some((known) => known === each)) throw bad(directive, `unknown class "${each}"`)
  properties.done()
  const zones = directive.args.filter((word) => !word.includes('{')).map(zoneName)
  return logQueries(log, clock, zones.length > 0 ? zones : [''], classes.length > 0 ? classes : ['all'])
}

const plain =
  (make: (made: Made) => DnsPlugin, ...accepted: readonly string[]): Maker =>
  (directive, made) => {
    const properties = new Properties(directive)
    properties.accept(...accepted)
    properties.done()
    return make(made)
  }

/** CoreDNS's order (plugin.cfg). */
export const makers: readonly (readonly [string, Maker])[] = [
  ['prometheus', plain(({ block, context: { metrics, clock } }) => countQueries(metrics, clock, block.zones))],
  ['errors', plain(({ context: { log } }) => errors(log), 'consolidate', 'stacktrace')],
  ['log', makeLog],
  ['loadbalance', plain(({ context: { random } }) => shuffle(random))],
  ['cache', makeCache],
  ['rewrite', (directive) => makeRewrite([directive])],
  ['template', makeTemplate],
  ['hosts', makeHosts],
  ['kubernetes', makeKubernetes],
  ['loop', makeLoop],
  ['forward', makeForward],
]

/** Directives about the server itself rather than about answers. */
export const serverDirectives = ['reload', 'bind', 'health', 'ready', 'lameduck', 'bufsize', 'timeouts', 'debug', 'multisocket'] as const
