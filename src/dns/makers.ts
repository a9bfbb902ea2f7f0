// From the directives of a Corefile to plugins: what can be written, and what it means.
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { rootCertificates } from 'node:tls'
import { nameSuffix } from '../lib/index.js'
import type { ChainContext } from './chain.js'
import { clusterRecords } from './cluster-records.js'
import { CorefileError, type Directive, duration, fileOf, type ServerBlock, zonesIn } from './corefile.js'
import { cache } from './plugins/cache.js'
import { forward, type Upstream } from './plugins/forward.js'
import { type TlsIdentity, tlsExchange } from './plugins/forward-tls.js'
import { hosts, hostsFile } from './plugins/hosts.js'
import { shuffle } from './plugins/loadbalance.js'
import { loop } from './plugins/loop.js'
import { countQueries } from './plugins/metrics.js'
import { type NameMatch, type RewriteRule, rewrite, type TurnBack } from './plugins/rewrite.js'
import { errors, LOG_CLASSES, logQueries } from './plugins/small.js'
import { type TemplateRecord, template } from './plugins/template.js'
import { bad, Properties } from './properties.js'
import { type DnsPlugin, RCODES, type Rcode, type Resolve, TYPES, type TypeName } from './types.js'
import { zoneName, zonesOf } from './zones.js'

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
    if (/^(https|quic|grpc):\/\//.test(target)) throw bad(directive, `"${target}": servers are asked over UDP, TCP and TLS only`)
    const match = /^(?:(dns|tls):\/\/)?(?:\[([^\]]+)\]|([^:]+|[0-9a-fA-F:]+))(?::(\d+))?$/.exec(target)
    const address = match?.[2] ?? match?.[3] ?? ''
    if (!isIP(address)) throw bad(directive, `"${target}" is no address of a server`)
    const tls = match?.[1] === 'tls'
    return [{ address, port: Number(match?.[4] ?? (tls ? 853 : 53)), ...(tls ? { tls } : {}) }]
  })
  return found.filter(({ address }) => !context.ownAddresses?.includes(address))
}

const makeForward: Maker = (directive, { context }) => {
  const { clock, random, log, metrics, signal, exchangeUdp, exchangeTcp } = context
  const properties = new Properties(directive)
  const servers = upstreams(directive, context)
  const plugin = forward({
    zone: zoneName(directive.args[0] ?? '.'),
    upstreams: servers,
    ...(servers.some(({ tls }) => tls) ? { exchangeTls: tlsExchange(tlsIdentity(properties, directive, context), signal) } : {}),
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
  // UDP sockets are fresh for each question, so that ids and ports cannot be guessed: there is nothing to keep or to expire.
  properties.accept('expire', 'prefer_udp', 'tls', 'tls_servername')
  properties.done()
  return plugin
}

/** `tls [CERT KEY [CA]]` or `tls CA`, and the name that the server's certificate must have. */
function tlsIdentity(properties: Properties, directive: Directive, { authorities }: ChainContext): TlsIdentity {
  const paths = properties.words('tls') ?? []
  const [cert, key, ca] = paths.length === 1 ? [undefined, undefined, paths[0]] : paths
  const [serverName] = properties.words('tls_servername') ?? []
  const read = (path: string | undefined): string | undefined => {
    try {
      return path === undefined ? undefined : readFileSync(path, 'utf8')
    } catch (error) {
      throw new CorefileError(`line ${directive.line}: forward: ${path} cannot be read`, { cause: error })
    }
  }
  const trusted = read(ca)
  return { cert: read(cert), key: read(key), ca: () => trusted ?? authorities?.() ?? rootCertificates, serverName }
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
    return { kind, zones: names.length > 0 ? names.flatMap(zonesOf) : [''] } as const
  })
  const plugin = cache({
    clock,
    metrics,
    zones: zones.flatMap((zone) => zonesOf(zone ?? '')),
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
  const zones = directive.args.length > 0 ? directive.args.flatMap(zonesOf) : zonesIn(block)
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

const makeHosts: Maker = (directive, { context: { clock, files, log } }) => {
  const inline = directive.block.filter(([word = '']) => isIP(word) !== 0).map((words) => words.join(' '))
  const properties = new Properties({ ...directive, block: directive.block.filter(([word = '']) => isIP(word) === 0) })
  const [first, ...others] = directive.args
  const file = first?.startsWith('/') ? first : undefined
  const path = file ?? (inline.length === 0 ? '/etc/hosts' : undefined)
  const beside = path === undefined ? undefined : fileOf(path, files ?? new Map())
  const inFile = path === undefined || beside !== undefined ? undefined : hostsFile(path, log)
  const plugin = hosts({
    lines: () => [inFile?.() ?? beside?.split('\n') ?? [], inline],
    clock,
    reloadMs: properties.seconds('reload', 5) * 1000,
    zones: (file ? others : directive.args).flatMap(zonesOf),
    ttl: properties.number('ttl', 3600),
    reverse: !properties.has('no_reverse'),
    fallthrough: properties.fallthrough(),
  })
  properties.done()
  return plugin
}

const MATCHES = ['exact', 'prefix', 'suffix', 'substring', 'regex'] as const

function regularExpression(pattern: string, directive: Directive): RegExp {
  try {
    return new RegExp(pattern.replace(/\(\?P</g, '(?<'))
  } catch (error) {
    throw new CorefileError(`line ${directive.line}: ${directive.name}: "${pattern}" is no regular expression`, { cause: error })
  }
}

/** `[exact|prefix|suffix|substring|regex] NAME`, and what follows. */
function nameMatch(words: readonly string[], directive: Directive): { readonly name: NameMatch; readonly rest: readonly string[] } {
  const match = MATCHES.find((each) => each === words[0])
  const [from, ...rest] = words.slice(match ? 1 : 0)
  if (from === undefined) throw bad(directive, 'wants a name')
  if (match === 'regex') regularExpression(from, directive)
  return { name: { match: match ?? 'exact', from: match === 'regex' ? from : from.toLowerCase().replace(/(?<=.)\.$/, '') }, rest }
}

function rewriteRule(directive: Directive): RewriteRule {
  const [first, ...others] = directive.args
  const goOn = first === 'continue'
  // In a block of their own, `answer` lines say how answers are turned back.
  const lines = [goOn || first === 'stop' ? others : directive.args, ...directive.block].filter((words) => words.length > 0)
  const [field, ...words] = lines[0] ?? []
  if (field === 'type') {
    const [from, to] = words.map((word) => TYPES[word.toUpperCase() as TypeName])
    if (from === undefined || to === undefined || words.length !== 2) throw bad(directive, 'wants two types: "rewrite type ANY A"')
    return { field, from, to, goOn }
  }
  if (field === 'ttl') {
    const { name, rest } = nameMatch(words, directive)
    const [, low, dash, high] = /^(\d+)?(-)?(\d+)?$/.exec(rest[0] ?? '') ?? []
    if ((low === undefined && high === undefined) || rest.length !== 1)
      throw bad(directive, 'ttl wants seconds: "30", "30-60", "-60" or "30-"')
    const atMost = dash === undefined ? Number(low) : Number(high ?? Number.POSITIVE_INFINITY)
    return { field, ...name, atLeast: Number(low ?? 0), atMost, goOn }
  }
  if (field === 'rcode') {
    const { name, rest } = nameMatch(words, directive)
    const [fromCode, toCode] = rest.map((word) => word.toUpperCase())
    if (!fromCode || !toCode || !(fromCode in RCODES) || !(toCode in RCODES))
      throw bad(directive, `rcode wants two of ${Object.keys(RCODES).join(', ')}`)
    return { field, ...name, fromCode: fromCode as Rcode, toCode: toCode as Rcode, goOn }
  }
  if (field !== 'name') throw bad(directive, `rewrites of "${field ?? ''}" are not known: name, type, ttl and rcode are`)
  const { name, rest } = nameMatch(words, directive)
  const [to, ...answer] = rest
  if (to === undefined) throw bad(directive, 'wants two names')
  let auto = false
  const answers = [answer, ...lines.slice(1)].flatMap((line): TurnBack[] => {
    const [word, of, from, becomes] = line
    if (word === undefined) return []
    if (word === 'answer' && of === 'auto') {
      auto = true
      return []
    }
    if (word !== 'answer' || (of !== 'name' && of !== 'value') || from === undefined || becomes === undefined)
      throw bad(directive, `"${line.join(' ')}": "answer auto", "answer name FROM TO" and "answer value FROM TO" are known`)
    regularExpression(from, directive)
    return [{ of, from, to: becomes }]
  })
  return { field, ...name, to, answers, auto, goOn }
}

export const makeRewrite = (directives: readonly Directive[]): DnsPlugin => rewrite(directives.map(rewriteRule))

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
  const patterns = properties.all('match').map(([pattern = '']) => regularExpression(pattern, directive))
  const rcode = (properties.words('rcode')?.[0] ?? 'NOERROR').toUpperCase()
  if (!(rcode in RCODES)) throw bad(directive, `unknown rcode "${rcode}"`)
  const plugin = template({
    ...(number === undefined ? {} : { type: number }),
    zones: zones.length > 0 ? zones.flatMap(zonesOf) : zonesIn(block),
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
  const zones = directive.args.filter((word) => !word.includes('{')).flatMap(zonesOf)
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
  ['prometheus', plain(({ block, context: { metrics, clock } }) => countQueries(metrics, clock, zonesIn(block)))],
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
