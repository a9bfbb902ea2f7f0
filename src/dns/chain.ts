// From a server block of the Corefile to a chain of plugins, in the order of CoreDNS whatever the order in the file.
import { isIP } from 'node:net'
import type { Clock, Logger, Random } from '../lib/index.js'
import type { ClusterView } from './cluster-records.js'
import type { CorefileFiles, Directive, ServerBlock } from './corefile.js'
import { makeRewrite, makers, serverDirectives } from './makers.js'
import type { Exchange } from './plugins/forward.js'
import type { DnsMetrics } from './plugins/metrics.js'
import { bad, type Listen, listenOn, Properties } from './properties.js'
import { compose, type DnsPlugin, type Query, type Reply, type Resolve } from './types.js'

export interface ChainContext {
  readonly view: ClusterView
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly metrics: DnsMetrics
  /** Where `forward . /etc/resolv.conf` looks; the node's own. */
  readonly resolvConf?: string
  /** Addresses that are ours: never forwarded to, and the name servers of the cluster's zone. */
  readonly ownAddresses?: readonly string[]
  /** Ends what the chain does by itself: probes of upstream servers. */
  readonly signal?: AbortSignal
  readonly transportPort?: number
  /** Files beside the Corefile, for `import` and `hosts`. */
  readonly files?: CorefileFiles
  /** PEM of whom servers that are asked over TLS may be certified by. */
  readonly authorities?: () => readonly string[]
  readonly exchangeUdp?: Exchange
  readonly exchangeTcp?: Exchange
}

/** The chain of one server block; throws CorefileError for what it does not understand. */
export function buildChain(block: ServerBlock, context: ChainContext): Resolve {
  const known = new Set<string>([...makers.map(([name]) => name), ...serverDirectives])
  for (const directive of block.directives) if (!known.has(directive.name)) throw bad(directive, 'no such plugin')
  const lookup = (query: Query): Promise<Reply> => resolve(query)
  const plugins = makers.flatMap(([name, make]): DnsPlugin[] => {
    const directives = block.directives.filter((directive) => directive.name === name)
    // Rewrites are tried in turn until one fits: one plugin for all of them.
    if (name === 'rewrite') return directives.length > 0 ? [makeRewrite(directives)] : []
    return directives.map((directive) => make(directive, { block, context, lookup }))
  })
  const resolve = compose(plugins)
  return resolve
}

/** What a server block wants to listen on, besides questions. */
export interface BlockListeners {
  /** Addresses for questions instead of the server's own (`bind`). */
  readonly bind: readonly string[]
  readonly health: Listen | undefined
  readonly ready: Listen | undefined
  readonly metrics: Listen | undefined
}

export function blockListeners({ directives }: ServerBlock): BlockListeners {
  const find = (name: string): Directive | undefined => directives.find((directive) => directive.name === name)
  const on = (name: string, preset: string): Listen | undefined => {
    const directive = find(name)
    if (!directive) return undefined
    const properties = new Properties(directive)
    // Nobody has to be told that this node goes: its pods ask nobody else.
    if (name === 'health') properties.seconds('lameduck', 0)
    if (name === 'ready') properties.accept('monitor')
    properties.done()
    return listenOn(directive, preset)
  }
  const bind = directives.filter(({ name }) => name === 'bind')
  for (const directive of bind) for (const word of directive.args) if (!isIP(word)) throw bad(directive, `"${word}" is no address`)
  return {
    bind: bind.flatMap(({ args }) => args),
    health: on('health', ':8080'),
    ready: on('ready', ':8181'),
    metrics: directives.some(({ name }) => name === 'prometheus') ? listenOn(find('prometheus') as Directive, ':9153') : undefined,
  }
}
