// From a Corefile to sockets: which blocks answer on which address and port, changed without losing a question.
import type { Server } from 'node:http'
import { asError } from '../lib/index.js'
import { type BlockListeners, blockListeners, buildChain, type ChainContext } from './chain.js'
import { CorefileError, type CorefileFiles, parseCorefile } from './corefile.js'
import { type Pages, servePages } from './http.js'
import type { Listen } from './properties.js'
import { type DnsServer, serveDns } from './server.js'
import { foldName, isWithin, type Resolve } from './types.js'

export interface DnsListenersOptions {
  /** Where questions are answered unless a block says otherwise. */
  readonly addresses: readonly string[]
  /** The caches of the cluster are in. */
  readonly isReady: () => boolean
}

export interface DnsListeners {
  /** Puts a Corefile in force; throws when it cannot be, and leaves everything as it was. */
  use(corefile: string, files?: CorefileFiles): Promise<void>
  /** Address and port of everything that is listened on. */
  readonly open: readonly string[]
  close(): Promise<void>
}

interface Setup {
  /** By address and port. */
  readonly questions: ReadonlyMap<string, Resolve>
  readonly pages: ReadonlyMap<string, Pages>
  readonly end: AbortController
}

const socketName = (host: string, port: number): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`)
const hostAndPort = (name: string): { readonly host: string; readonly port: number } => {
  const at = name.lastIndexOf(':')
  return { host: name.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(name.slice(at + 1)) }
}

/** The longest zone that holds the name answers. */
function byZone(chains: readonly { readonly zone: string; readonly resolve: Resolve }[]): Resolve {
  const sorted = [...chains].sort((a, b) => b.zone.length - a.zone.length)
  return async (query) => {
    const name = foldName(query.question.name)
    const chain = sorted.find(({ zone }) => isWithin(name, zone))
    return chain ? chain.resolve(query) : { rcode: 'REFUSED' }
  }
}

function setUp(corefile: string, files: CorefileFiles, context: ChainContext, { addresses, isReady }: DnsListenersOptions): Setup {
  const end = new AbortController()
  const chains = new Map<string, { zone: string; resolve: Resolve }[]>()
  const pages = new Map<string, Map<string, () => { status: number; text: string }>>()
  const addPage = (listen: Listen | undefined, path: string, page: () => { status: number; text: string }): void => {
    for (const host of listen?.host ? [listen.host] : listen ? addresses : []) {
      const name = socketName(host, listen?.port ?? 0)
      const known = pages.get(name) ?? new Map()
      pages.set(name, known.set(path, page))
    }
  }
  try {
    for (const block of parseCorefile(corefile, files)) {
      const resolve = buildChain(block, { ...context, files, signal: end.signal, transportPort: block.addresses[0]?.port ?? 53 })
      const { bind, health, ready, metrics }: BlockListeners = blockListeners(block)
      for (const address of bind.length > 0 ? bind : addresses) {
        for (const { zone, port } of block.addresses) {
          const name = socketName(address, port)
          const others = chains.get(name) ?? []
          if (others.some((other) => other.zone === zone)) throw new CorefileError(`"${zone || '.'}:${port}" is in two server blocks`)
          chains.set(name, [...others, { zone, resolve }])
        }
      }
      addPage(health, '/health', () => ({ status: 200, text: 'OK' }))
      addPage(ready, '/ready', () => (isReady() ? { status: 200, text: 'OK' } : { status: 503, text: 'kubernetes' }))
      addPage(metrics, '/metrics', () => ({ status: 200, text: context.metrics.render() }))
    }
  } catch (error) {
    end.abort()
    throw error
  }
  return { questions: new Map([...chains].map(([name, all]) => [name, byZone(all)])), pages, end }
}

export function dnsListeners(context: ChainContext, options: DnsListenersOptions): DnsListeners {
  const { clock, log } = context
  const questions = new Map<string, DnsServer>()
  const pages = new Map<string, Server>()
  let current: Setup = { questions: new Map(), pages: new Map(), end: new AbortController() }

  const closePage = (server: Server | undefined): void => {
    server?.close()
    server?.closeAllConnections()
  }

  async function open(wanted: Setup): Promise<void> {
    const opened: (() => void)[] = []
    try {
      for (const name of wanted.questions.keys()) {
        if (questions.has(name)) continue
        const { host, port } = hostAndPort(name)
        const resolve: Resolve = async (query) => current.questions.get(name)?.(query) ?? { rcode: 'REFUSED' }
        const server = await serveDns({ addresses: [host], port, resolve, clock, log })
        questions.set(name, server)
        opened.push(() => {
          questions.delete(name)
          void server.close()
        })
      }
      for (const name of wanted.pages.keys()) {
        if (pages.has(name)) continue
        const { host, port } = hostAndPort(name)
        try {
          pages.set(name, await servePages(host, port, () => current.pages.get(name) ?? new Map()))
        } catch (error) {
          // Somebody on the node has the port: questions are answered all the same.
          log.warn('page of cluster DNS cannot be served', { on: name, err: asError(error) })
        }
      }
    } catch (error) {
      for (const undo of opened) undo()
      throw error
    }
  }

  async function closeUnused(): Promise<void> {
    for (const [name, server] of questions) {
      if (current.questions.has(name)) continue
      questions.delete(name)
      await server.close()
    }
    for (const [name, server] of pages) {
      if (current.pages.has(name)) continue
      pages.delete(name)
      closePage(server)
    }
  }

  return {
    async use(corefile, files = new Map()) {
      const next = setUp(corefile, files, context, options)
      try {
        await open(next)
      } catch (error) {
        next.end.abort()
        throw error
      }
      const before = current
      current = next
      before.end.abort()
      await closeUnused()
    },
    get open() {
      return [...questions.keys(), ...pages.keys()]
    },
    async close() {
      current.end.abort()
      current = { questions: new Map(), pages: new Map(), end: current.end }
      await closeUnused()
    },
  }
}
