// Asks other servers: the first that is healthy, the next one when it does not answer.
import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import { type Clock, type Random, randomInt } from '../../lib/index.js'
import { decodeMessage, encodeQuery, type Message, replyOf } from '../packet.js'
import { type DnsPlugin, foldName, isWithin, type Query } from '../types.js'

export interface Upstream {
  readonly address: string
  readonly port: number
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
  /** For one try. Default 2 s. */
  readonly timeoutMs?: number
  /** Failures in a row after which a server is left alone for `restMs`. Default 2. */
  readonly maxFails?: number
  readonly restMs?: number
  /** Questions at once; more are answered SERVFAIL. Default 1000. */
  readonly maxConcurrent?: number
  readonly exchangeUdp?: Exchange
  readonly exchangeTcp?: Exchange
}

/** From a fresh port each time: an answer can be forged only by guessing port and id. */
export const exchangeUdp: Exchange = (upstream, message, clock, timeoutMs) =>
  new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(upstream.address) ? 'udp6' : 'udp4')
    const finish = (error: Error | undefined, answer?: Uint8Array): void => {
      timer.cancel()
      socket.close()
      if (answer) resolve(answer)
      else reject(error ?? new Error('no answer'))
    }
    const timer = clock.after(timeoutMs, () => finish(new Error(`${upstream.address} did not answer within ${timeoutMs} ms`)))
    socket.once('error', (error) => finish(error))
    socket.on('message', (answer) => {
      if (answer.length >= 2 && answer[0] === message[0] && answer[1] === message[1]) finish(undefined, answer)
    })
    socket.connect(upstream.port, upstream.address, () => socket.send(message))
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

export function forward(options: ForwardOptions): DnsPlugin {
  const { upstreams, clock, random, timeoutMs = 2000, maxFails = 2, restMs = 5000, maxConcurrent = 1000, policy = 'random' } = options
  const zone = foldName(options.zone).replace(/\.$/, '')
  const except = (options.except ?? []).map((each) => foldName(each).replace(/\.$/, ''))
  const udp = options.exchangeUdp ?? exchangeUdp
  const tcp = options.exchangeTcp ?? exchangeTcp
  const health = upstreams.map((upstream) => ({ upstream, fails: 0, restsUntil: 0 }))
  let running = 0
  let turn = 0

  /** Healthy ones first; when none is, all of them, because a wrong verdict must not end name resolution. */
  function order(): typeof health {
    const now = clock.monotonic()
    const start = policy === 'sequential' ? 0 : policy === 'random' ? randomInt(random, health.length) : turn++ % health.length
    const rotated = [...health.slice(start), ...health.slice(0, start)]
    const healthy = rotated.filter((each) => each.fails < maxFails || each.restsUntil <= now)
    return healthy.length > 0 ? healthy : rotated
  }

  async function ask(upstream: Upstream, query: Query): Promise<Message> {
    const outgoing = { ...query, id: randomInt(random, 65_536) }
    const bytes = encodeQuery(outgoing)
    const overTcp = options.forceTcp || query.transport === 'tcp'
    let message = decodeMessage(await (overTcp ? tcp : udp)(upstream, bytes, clock, timeoutMs))
    if (message.truncated && !overTcp) message = decodeMessage(await tcp(upstream, bytes, clock, timeoutMs))
    if (!answers(message, outgoing)) throw new Error(`${upstream.address} answered another question`)
    return message
  }

  return async (query, next) => {
    const name = foldName(query.question.name)
    if (!isWithin(name, zone) || except.some((each) => isWithin(name, each)) || health.length === 0) return next(query)
    if (running >= maxConcurrent) return { rcode: 'SERVFAIL' }
    running++
    try {
      for (const server of order().slice(0, 3)) {
        try {
          const message = await ask(server.upstream, query)
          server.fails = 0
          return replyOf(message)
        } catch {
          server.fails++
          server.restsUntil = clock.monotonic() + restMs
        }
      }
      return { rcode: 'SERVFAIL' }
    } finally {
      running--
    }
  }
}
