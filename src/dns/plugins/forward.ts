// Asks other servers: the first that is healthy, the next one when it does not answer.
import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import { type Clock, type Logger, type Random, randomInt } from '../../lib/index.js'
import { decodeMessage, encodeQuery, type Message, replyOf } from '../packet.js'
import { type DnsPlugin, foldName, isWithin, type Query, TYPES } from '../types.js'
import type { DnsMetrics } from './metrics.js'

export interface Upstream {
  readonly address: string
  readonly port: number
  /** Asked over TLS (RFC 7858). */
  readonly tls?: boolean
}

/** Sends one message and resolves with the answer's bytes; rejects after `timeoutMs`. */
export type Exchange = (upstream: Upstream, message: Uint8Array, clock: Clock, timeoutMs: number) => Promise<Uint8Array>

export interface ForwardOptions {
  /** `''` for everything. */
  readonly zone: string
  readonly upstreams: readonly Upstream[]
  readonly except?: readonly string[]
  readonly policy?: 'random' | 'round_robin' | 'sequential'
  readonly forceTcp?: boolean
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly metrics: DnsMetrics
  /** Ends the probes. */
  readonly signal?: AbortSignal
  /** For one try. Default 2 s. */
  readonly timeoutMs?: number
  /** For all tries together: clients ask again after five seconds. */
  readonly deadlineMs?: number
  /** Failures in a row after which a server is left alone until it answers a probe. Default 2; 0: servers are never left alone. */
  readonly maxFails?: number
  /** Between two probes of a server that is left alone. Default 500 ms. */
  readonly healthMs?: number
  /** Questions at once; more are answered SERVFAIL. Default 1000. */
  readonly maxConcurrent?: number
  readonly exchangeUdp?: Exchange
  readonly exchangeTcp?: Exchange
  /** For upstreams with `tls`. */
  readonly exchangeTls?: Exchange
}

/** From a fresh port each time: an answer can be forged only by guessing port and id. */
export const exchangeUdp: Exchange = (upstream, message, clock, timeoutMs) =>
  new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(upstream.address) ? 'udp6' : 'udp4')
    let isOver = false
    const finish = (error: Error | undefined, answer?: Uint8Array): void => {
      if (isOver) return
      isOver = true
      timer.cancel()
      socket.close()
      if (answer) resolve(answer)
      else reject(error ?? new Error('no answer'))
    }
    const timer = clock.after(timeoutMs, () => finish(new Error(`${upstream.address} did not answer within ${timeoutMs} ms`)))
    socket.on('error', finish)
    socket.on('message', (answer) => {
      if (answer.length >= 2 && answer[0] === message[0] && answer[1] === message[1]) finish(undefined, answer)
    })
    // Without a callback, a network that cannot be reached is an 'error'; the time may be over before the socket is connected.
    socket.once('connect', () => isOver || socket.send(message))
    socket.connect(upstream.port, upstream.address)
  })

export const exchangeTcp: Exchange = (upstream, message, clock, timeoutMs) =>
  new Promise((resolve, reject) => {
    const socket = connect(upstream.port, upstream.address)
    let received = Buffer.alloc(0)
    const timer = clock.after(timeoutMs, () => socket.destroy(new Error(`${upstream.address} did not answer within ${timeoutMs} ms`)))
    socket.once('error', reject)
    socket.once('close', () => timer.cancel())
    socket.once('end', () => reject(new Error(`${upstream.address} closed the connection`)))
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      const length = received.length >= 2 ? received.readUInt16BE(0) : Number.POSITIVE_INFINITY
      if (received.length < length + 2) return
      resolve(received.subarray(2, length + 2))
      socket.destroy()
    })
    const framed = Buffer.alloc(2 + message.length)
    framed.writeUInt16BE(message.length)
    framed.set(message, 2)
    socket.write(framed)
  })

/** True when an answer belongs to the question: same id, name (in any case) and type. */
function answers(message: Message, query: Query): boolean {
  const [question] = message.questions
  return (
    message.isReply &&
    message.id === query.id &&
    question !== undefined &&
    foldName(question.name) === foldName(query.question.name) &&
    question.type === query.question.type
  )
}

interface Server {
  readonly upstream: Upstream
  fails: number
  /** A probe is on its way or about to be sent. */
  probing: boolean
}

/** What servers that are left alone are asked: something that every one can answer. */
const PROBE: Query = {
  id: 0,
  opcode: 0,
  recursionDesired: true,
  checkingDisabled: false,
  question: { name: '', type: TYPES.NS, class: 1 },
  client: '',
  transport: 'udp',
}

export function forward(options: ForwardOptions): DnsPlugin {
  const { upstreams, clock, random, log, metrics, signal, timeoutMs = 2000, deadlineMs = 5000, maxFails = 2, healthMs = 500 } = options
  const { maxConcurrent = 1000, policy = 'random' } = options
  const zone = foldName(options.zone).replace(/\.$/, '')
  const except = (options.except ?? []).map((each) => foldName(each).replace(/\.$/, ''))
  const udp = options.exchangeUdp ?? exchangeUdp
  const tcp = options.exchangeTcp ?? exchangeTcp
  const servers = upstreams.map((upstream): Server => ({ upstream, fails: 0, probing: false }))
  const isDown = ({ fails }: Server): boolean => maxFails > 0 && fails >= maxFails
  const labelsOf = ({ upstream }: Server): string => `to="${upstream.address}:${upstream.port}"`
  let running = 0
  let turn = 0

  /** Healthy ones first; when none is, all of them, because a wrong verdict must not end name resolution. */
  function order(): readonly Server[] {
    const start = policy === 'sequential' ? 0 : policy === 'random' ? randomInt(random, servers.length) : turn++ % servers.length
    const rotated = [...servers.slice(start), ...servers.slice(0, start)]
    const healthy = rotated.filter((each) => !isDown(each))
    return healthy.length > 0 ? healthy : rotated
  }

  async function ask(upstream: Upstream, query: Query, forMs: number): Promise<Message> {
    const outgoing = { ...query, id: randomInt(random, 65_536) }
    const bytes = encodeQuery(outgoing)
    const overTcp = options.forceTcp || query.transport === 'tcp'
    const exchange = upstream.tls ? options.exchangeTls : overTcp ? tcp : udp
    if (!exchange) throw new Error(`${upstream.address} is asked over TLS only`)
    let message = decodeMessage(await exchange(upstream, bytes, clock, forMs))
    if (message.truncated && exchange === udp) message = decodeMessage(await tcp(upstream, bytes, clock, forMs))
    if (!answers(message, outgoing)) throw new Error(`${upstream.address} answered another question`)
    return message
  }

  function failed(server: Server): void {
    server.fails++
    metrics.counter('coredns_proxy_healthcheck_failures_total', `proxy_name="forward",${labelsOf(server)}`).add()
    if (server.fails === maxFails) log.warn('name server does not answer', { ...server.upstream })
    if (!server.probing && maxFails > 0) probe(server)
  }

  /** Asks a server that failed until it answers. */
  function probe(server: Server): void {
    server.probing = true
    clock.after(healthMs, () => {
      if (signal?.aborted) return
      ask(server.upstream, PROBE, timeoutMs).then(
        () => {
          if (isDown(server)) log.info('name server answers again', { ...server.upstream })
          server.fails = 0
          server.probing = false
        },
        () => {
          server.fails++
          if (server.fails === maxFails) log.warn('name server does not answer', { ...server.upstream })
          probe(server)
        },
      )
    })
  }

  return async (query, next) => {
    const name = foldName(query.question.name)
    if (!isWithin(name, zone) || except.some((each) => isWithin(name, each)) || servers.length === 0) return next(query)
    if (running >= maxConcurrent) {
      metrics.counter('coredns_forward_max_concurrent_rejects_total', '').add()
      return { rcode: 'SERVFAIL' }
    }
    running++
    const startedAt = clock.monotonic()
    try {
      for (const server of order()) {
        const left = deadlineMs - (clock.monotonic() - startedAt)
        if (left <= 0) break
        try {
          const message = await ask(server.upstream, query, Math.min(timeoutMs, left))
          server.fails = 0
          const seconds = (clock.monotonic() - startedAt) / 1000
          metrics.histogram('coredns_proxy_request_duration_seconds', `proxy_name="forward",${labelsOf(server)}`).observe(seconds)
          return replyOf(message)
        } catch {
          failed(server)
        }
      }
      return { rcode: 'SERVFAIL' }
    } finally {
      running--
    }
  }
}
