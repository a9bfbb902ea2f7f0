// Where clients of the gRPC service get their streams: the service answers with an address here, good for one connection.
import { createServer, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock, Logger, Random, Timer } from '../../lib/index.js'
import type { StreamUrls } from '../grpc/methods.js'
import type { AttachRequest, Cri, ExecRequest } from '../types.js'
import { portForward } from './port-forward.js'
import { attach, exec } from './remote-command.js'

/** An address that nobody used is forgotten after this. */
const TOKEN_MS = 60_000
/** More than this many unused addresses: the oldest are forgotten. */
const MOST_TOKENS = 1000

type Ticket =
  | { readonly verb: 'exec'; readonly request: ExecRequest }
  | { readonly verb: 'attach'; readonly request: AttachRequest }
  | { readonly verb: 'portforward'; readonly podSandboxId: string; readonly ports: readonly number[] }

export interface StreamingOptions {
  readonly cri: Cri
  /** Default 127.0.0.1 and a free port: the kubelet on the same machine is the only one who asks. */
  readonly address?: string
  readonly port?: number
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

export interface StreamingServer {
  readonly urls: StreamUrls
  close(): void
}

const wanted = ({ stdin = false, stdout = false, stderr = false, tty = false }: ExecRequest | AttachRequest) => ({
  stdin,
  stdout,
  stderr,
  tty,
})

const refuse = (socket: Duplex, status: string): void => {
  socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
}

export async function serveStreams({
  cri,
  address = '127.0.0.1',
  port = 0,
  clock,
  random,
  log,
}: StreamingOptions): Promise<StreamingServer> {
  const tickets = new Map<string, { readonly ticket: Ticket; readonly timer: Timer }>()
  const sockets = new Set<Duplex>()

  const take = (token: string): Ticket | undefined => {
    const found = tickets.get(token)
    found?.timer.cancel()
    tickets.delete(token)
    return found?.ticket
  }

  const serve = async (ticket: Ticket, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    if (ticket.verb === 'portforward') {
      await portForward({ cri, sandboxId: ticket.podSandboxId, ports: ticket.ports, request, socket, head })
      return
    }
    const command = { cri, containerId: ticket.request.containerId, request, socket, head, wanted: wanted(ticket.request) }
    if (ticket.verb === 'exec') await exec(command, ticket.request.cmd)
    else await attach(command)
  }

  const server = createServer((_, response) => {
    response.writeHead(400, { 'content-type': 'text/plain' }).end('unable to upgrade: missing upgrade headers in request\n')
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', (err) => log.debug('a stream broke', { err }))
    const [verb = '', token = ''] = (request.url ?? '').split('?')[0]?.split('/').filter(Boolean) ?? []
    const ticket = take(token)
    if (ticket?.verb !== verb) {
      refuse(socket, '404 Not Found')
      return
    }
    serve(ticket, request, socket, head).catch((err) => {
      log.warn('a stream failed', { verb, err })
      socket.destroy()
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, address, resolve)
  })
  const bound = server.address()
  const base = `http://${address.includes(':') ? `[${address}]` : address}:${typeof bound === 'object' && bound ? bound.port : port}`

  const issue = (ticket: Ticket): string => {
    const token = Buffer.from(random.bytes(16)).toString('base64url')
    const [oldest] = tickets.keys()
    if (tickets.size >= MOST_TOKENS && oldest !== undefined) take(oldest)
    tickets.set(token, { ticket, timer: clock.after(TOKEN_MS, () => tickets.delete(token)) })
    return `${base}/${ticket.verb}/${token}`
  }

  return {
    urls: {
      exec: (request) => issue({ verb: 'exec', request }),
      attach: (request) => issue({ verb: 'attach', request }),
      portForward: (podSandboxId, ports) => issue({ verb: 'portforward', podSandboxId, ports }),
    },
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
      for (const token of [...tickets.keys()]) take(token)
    },
  }
}
