// Sockets: UDP and TCP in front of a function from question to answer.
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, isIPv6, type Server, type Socket } from 'node:net'
import { asError, type Clock, type Logger } from '../lib/index.js'
import { decodeMessage, encodeReply, PacketError } from './packet.js'
import { type Query, type Reply, type Resolve, TYPES } from './types.js'

export interface DnsServerOptions {
  readonly addresses: readonly string[]
  /** 0: a free one, the same for UDP and TCP is not promised then. */
  readonly port: number
  readonly resolve: Resolve
  readonly clock: Clock
  readonly log: Logger
  /** TCP connections at once; more are closed at once. Default 1000. */
  readonly maxConnections?: number
  /** Silence after which a TCP connection is closed. Default 10 s. */
  readonly idleMs?: number
}

export interface DnsServer {
  readonly udpPort: number
  readonly tcpPort: number
  close(): Promise<void>
}

const PLAIN_UDP = 512
const EDNS_UDP_MAX = 4096
/** IXFR and AXFR: zones are not handed out. */
const [TRANSFER_CHANGES, TRANSFER] = [251, 252]
/** The only class whose records we have, and that our answers are written in. */
const INTERNET = 1
/** Questions of one TCP connection at work at once; a client that sends more must wait. */
const MOST_PIPELINED = 64

function headerOnly(id: number, opcode: number, rcode: number): Buffer {
  const bytes = Buffer.alloc(12)
  bytes.writeUInt16BE(id, 0)
  bytes.writeUInt16BE(0x8000 | (opcode << 11) | rcode, 2)
  return bytes
}

/** The bytes to send back, or undefined when the message deserves no answer. */
export async function answer(
  bytes: Uint8Array,
  client: string,
  transport: Query['transport'],
  resolve: Resolve,
): Promise<Buffer | undefined> {
  let message: ReturnType<typeof decodeMessage>
  try {
    message = decodeMessage(bytes)
  } catch (error) {
    // A reply that cannot be read is not answered either: two servers would talk for ever.
    const isReply = ((bytes[2] ?? 0) & 0x80) !== 0
    if (!(error instanceof PacketError) || error.id === undefined || isReply) return undefined
    return headerOnly(error.id, 0, 1)
  }
  if (message.isReply) return undefined
  const [question] = message.questions
  if (message.opcode !== 0) return headerOnly(message.id, message.opcode, 4)
  if (!question || message.questions.length !== 1) return headerOnly(message.id, 0, 1)
  const { id, opcode, recursionDesired, checkingDisabled, edns } = message
  const query: Query = { id, opcode, recursionDesired, checkingDisabled, question, client, transport, ...(edns ? { edns } : {}) }
  // The source of a UDP packet is easily forged, and all records of a name make a large answer: over TCP, please.
  if (question.type === TYPES.ANY && transport === 'udp') return encodeReply(query, { rcode: 'NOERROR' }, PLAIN_UDP, true)
  if (question.type === TRANSFER || question.type === TRANSFER_CHANGES) return encodeReply(query, { rcode: 'REFUSED' }, PLAIN_UDP)
  const reply: Reply =
    edns && edns.version > 0 ? { rcode: 'BADVERS' } : question.class === INTERNET ? await resolve(query) : { rcode: 'REFUSED' }
  const limit = transport === 'tcp' ? 65_535 : edns ? Math.min(EDNS_UDP_MAX, Math.max(PLAIN_UDP, edns.udpSize)) : PLAIN_UDP
  return encodeReply(query, reply, limit)
}

const drained = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done)
      socket.off('close', done)
      resolve()
    }
    socket.once('drain', done)
    socket.once('close', done)
  })

function serveConnection(socket: Socket, options: DnsServerOptions): void {
  const { resolve, log, idleMs = 10_000 } = options
  const client = socket.remoteAddress ?? ''
  let received = Buffer.alloc(0)
  let queue: Promise<void> = Promise.resolve()
  let waiting = 0
  socket.setTimeout(idleMs, () => socket.destroy())
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk) => {
    received = received.length > 0 ? Buffer.concat([received, chunk]) : chunk
    while (received.length >= 2 && received.length >= received.readUInt16BE(0) + 2) {
      const length = received.readUInt16BE(0)
      const message = received.subarray(2, 2 + length)
      received = received.subarray(2 + length)
      if (++waiting >= MOST_PIPELINED) socket.pause()
      queue = queue.then(async () => {
        const reply = await answer(message, client, 'tcp', resolve)
        if (!reply) return void socket.destroy()
        const framed = Buffer.alloc(2 + reply.length)
        framed.writeUInt16BE(reply.length)
        framed.set(reply, 2)
        const flows = socket.write(framed)
        // A client that does not read its answers asks nothing more.
        if (!flows) await drained(socket)
        if (--waiting < MOST_PIPELINED) socket.resume()
      })
      queue.catch((error: unknown) => {
        log.error('answer over tcp failed', { err: asError(error) })
        socket.destroy()
      })
    }
  })
}

/** A client that cannot be reached asks again. */
const unheard = (): void => {}

async function listenUdp(address: string, options: DnsServerOptions, isOpen: () => boolean): Promise<UdpSocket> {
  const family = isIPv6(address) ? 6 : 4
  const socket = createSocket({
    type: `udp${family}`,
    reuseAddr: false,
    ipv6Only: family === 6,
    // Answers go to addresses only: there is nothing to look up, nor to wait for.
    lookup: (host, _options, found) => found(null, host, family),
  })
  socket.on('message', (bytes, from) => {
    // Anybody can write port 0 into a packet; nobody can be reached there.
    if (from.port === 0) return
    answer(bytes, from.address, 'udp', options.resolve)
      .then((reply) => reply && isOpen() && socket.send(reply, from.port, from.address, unheard))
      .catch((error: unknown) => options.log.error('answer over udp failed', { err: asError(error) }))
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(options.port, address, resolve)
  })
  socket.removeAllListeners('error')
  socket.on('error', (error) => options.log.warn('udp socket', { err: error }))
  return socket
}

async function listenTcp(address: string, port: number, options: DnsServerOptions): Promise<Server> {
  const server = createServer((socket) => serveConnection(socket, options))
  server.maxConnections = options.maxConnections ?? 1000
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port, host: address, ipv6Only: isIPv6(address) }, resolve)
  })
  return server
}

/** Listens on every address, UDP and TCP. Rejects when one cannot be had, with nothing left open. */
export async function serveDns(options: DnsServerOptions): Promise<DnsServer> {
  const udp: UdpSocket[] = []
  const tcp: Server[] = []
  let isOpen = true
  const close = async (): Promise<void> => {
    isOpen = false
    for (const socket of udp.splice(0)) socket.close()
    for (const server of tcp.splice(0)) server.close()
  }
  try {
    for (const address of options.addresses) {
      udp.push(await listenUdp(address, options, () => isOpen))
      tcp.push(await listenTcp(address, options.port, options))
    }
  } catch (error) {
    await close()
    throw error
  }
  const tcpAddress = tcp[0]?.address()
  return { udpPort: udp[0]?.address().port ?? 0, tcpPort: typeof tcpAddress === 'object' && tcpAddress ? tcpAddress.port : 0, close }
}
