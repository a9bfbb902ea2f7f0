// From a server block of the Corefile to a chain of plugins, in the order of CoreDNS whatever the order in the file.
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { type Clock, type Logger, nameSuffix, type Random } from '../lib/index.js'
import { type ClusterView, clusterRecords } from './cluster-records.js'
import { CorefileError, type Directive, duration, type ServerBlock } from './corefile.js'
import { cache } from './plugins/cache.js'
import { type Exchange, type ForwardOptions, forward, type Upstream } from './plugins/forward.js'
import { shuffle } from './plugins/loadbalance.js'
import { countQueries, type DnsMetrics, errors, hosts, logQueries, loop, type RewriteRule, rewrite } from './plugins/small.js'
import { compose, type DnsPlugin, type Query, type Reply, type Resolve } from './types.js'

export interface ChainContext {
  readonly view: ClusterView
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly metrics: DnsMetrics
  /** Where `forward . /etc/resolv.conf` looks; the node's own. */
  readonly resolvConf?: string
  /** Addresses that are ours: never forwarded to. */
  readonly ownAddresses?: readonly string[]
  readonly exchangeUdp?: Exchange
  readonly exchangeTcp?: Exchange
}

/** A directive and how to make its plugin; undefined for those that configure the server itself. */
type Maker = (
  directive: Directive,
  block: ServerBlock,
  context: ChainContext,
  lookup: (query: Query) => Promise<Reply>,
) => DnsPlugin | undefined

const bad = (directive: Directive, what: string): CorefileError => new CorefileError(`line ${directive.line}: ${directive.name}: ${what}`)

function option(directive: Directive, name: string): readonly string[] | undefined {
  return directive.block.find((words) => words[0] === name)?.slice(1)
}

function count(directive: Directive, name: string, preset: number): number {
  const [word] = option(directive, name) ?? []
  if (word === undefined) return preset
  if (!/^\d+$/.test(word)) throw bad(directive, `${name} wants a number, not "${word}"`)
  return Number(word)
}

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
    const match = /^(?:dns:\/\/)?(?:\[([^\]]+)\]|([^:]+|[0-9a-fA-F:]+))(?::(\d+))?$/.exec(target)
    const address = match?.[1] ?? match?.[2] ?? ''
    if (!isIP(address)) throw bad(directive, `"${target}" is no address of a server`)
    return [{ address, port: Number(match?.[3] ?? 53) }]
  })
  return found.filter(({ address }) => !context.ownAddresses?.includes(address))
}

const makeForward: Maker = (directive, _block, context) => {
  const policy = option(directive, 'policy')?.[0] ?? 'random'
  if (policy !== 'random' && policy !== 'round_robin' && policy !== 'sequential') throw bad(directive, `unknown policy "${policy}"`)
  const options: ForwardOptions = {
    zone: (directive.args[0] ?? '.').replace(/\.$/, ''),
    upstreams: upstreams(directive, context),
    except: option(directive, 'except') ?? [],
    policy,
    forceTcp: option(directive, 'force_tcp') !== undefined,
    maxFails: count(directive, 'max_fails', 2),
    maxConcurrent: count(directive, 'max_concurrent', 1000),
    clock: context.clock,
    random: context.random,
    ...(context.exchangeUdp ? { exchangeUdp: context.exchangeUdp } : {}),
    ...(context.exchangeTcp ? { exchangeTcp: context.exchangeTcp } : {}),
  }
  return forward(options)
}

const makeCache: Maker = (directive, _block, { clock }) => {
  const [first] = directive.args
  const maxTtl = first !== undefined && /^\d/.test(first) ? duration(first, directive.line) : 3600
  const success = option(directive, 'success')
  const denial = option(directive, 'denial')
  const prefetch = option(directive, 'prefetch')
  const stale = option(directive, 'serve_stale')
  return cache({
    clock,
    maxTtl: success?.[1] === undefined ? maxTtl : duration(success[1], directive.line),
    maxDenialTtl: denial?.[1] === undefined ? Math.min(maxTtl, 1800) : duration(denial[1], directive.line),
    ...(success?.[0] === undefined ? {} : { capacity: Number(success[0]) }),
    prefetch: prefetch ? Number(prefetch[0] ?? 1) : 0,
    serveStale: stale ? duration(stale[0] ?? '1h', directive.line) : 0,
  })
}

const makeKubernetes: Maker = (directive, block, { view }, lookup) => {
  const pods = option(directive, 'pods')?.[0] ?? 'disabled'
  const fallthrough = option(directive, 'fallthrough')
  const zones = directive.args.length > 0 ? directive.args : block.zones
  return clusterRecords({
    view,
    zones,
    lookup,
    ttl: count(directive, 'ttl', 5),
    pods: pods === 'disabled' ? 'disabled' : 'insecure',
    fallthrough:
      fallthrough === undefined ? [] : fallthrough.length === 0 ? [''] : fallthrough.map((zone) => zone.toLowerCase().replace(/\.$/, '')),
  })
}

const makeHosts: Maker = (directive) => {
  const own = new Set(['fallthrough', 'ttl', 'reload', 'no_reverse'])
  const inline = directive.block.filter(([word = '']) => !own.has(word)).map((words) => words.join(' '))
  const [file] = directive.args
  const fromFile =
    file?.startsWith('/') || (file === undefined && inline.length === 0) ? readFileSync(file ?? '/etc/hosts', 'utf8').split('\n') : []
  return hosts({
    lines: [...fromFile, ...inline],
    ttl: count(directive, 'ttl', 3600),
    fallthrough: option(directive, 'fallthrough') !== undefined,
  })
}

const makeRewrite = (directives: readonly Directive[]): DnsPlugin => {
  const rules = directives.map((directive): RewriteRule => {
    const words = directive.args.filter((word) => word !== 'stop' && word !== 'continue')
    if (words[0] !== 'name')
      throw bad(directive, `rewrites of "${words[0] ?? ''}" are not known; "rewrite name [exact|prefix|suffix|substring|regex] FROM TO" is`)
    const kinds = ['exact', 'prefix', 'suffix', 'substring', 'regex'] as const
    const match = kinds.find((each) => each === words[1])
    const [from, to] = words.slice(match ? 2 : 1)
    if (from === undefined || to === undefined) throw bad(directive, 'wants two names')
    if (match === 'regex') {
      try {
        new RegExp(from)
      } catch (error) {
        throw new CorefileError(`line ${directive.line}: rewrite: "${from}" is no regular expression`, { cause: error })
      }
    }
    const fold = match === 'regex' ? from : from.toLowerCase().replace(/(?<=.)\.$/, '')
    return { match: match ?? 'exact', from: fold, to }
  })
  return rewrite(rules)
}

const makeLoop: Maker = (_directive, _block, { random, log }) =>
  loop(`${nameSuffix(random, 20)}.loop`, () =>
    log.error('questions that we forward come back to us: check the upstream servers in resolv.conf'),
  )

/** CoreDNS's order (plugin.cfg). Those without a maker concern the server or are met by it. */
const order: readonly (readonly [string, Maker | undefined])[] = [
  ['reload', undefined],
  ['bind', undefined],
  ['health', undefined],
  ['ready', undefined],
  ['prometheus', (_d, _b, { metrics, clock }) => countQueries(metrics, clock)],
  ['errors', (_d, _b, { log }) => errors(log)],
  ['log', (_d, _b, { log, clock }) => logQueries(log, clock)],
  ['loadbalance', (_d, _b, { random }) => shuffle(random)],
  ['cache', makeCache],
  ['rewrite', undefined],
  ['hosts', makeHosts],
  ['kubernetes', makeKubernetes],
  ['loop', makeLoop],
  ['forward', makeForward],
]

/** The chain of one server block; throws CorefileError for what it does not understand. */
export function buildChain(block: ServerBlock, context: ChainContext): Resolve {
  const known = new Set(order.map(([name]) => name))
  for (const directive of block.directives) if (!known.has(directive.name)) throw bad(directive, 'no such plugin')
  const lookup = (query: Query): Promise<Reply> => resolve(query)
  const plugins = order.flatMap(([name, make]): DnsPlugin[] => {
    const directives = block.directives.filter((directive) => directive.name === name)
    if (name === 'rewrite' && directives.length > 0) return [makeRewrite(directives)]
    return directives.flatMap((directive) => make?.(directive, block, context, lookup) ?? [])
  })
  const resolve = compose(plugins)
  return resolve
}
