// TLS with HTTP/1.1 and HTTP/2 on one port around a handler.

import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { Socket } from 'node:net'
import type { Duplex, Writable } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { explain, type HttpHeaders, type HttpPeer, type HttpRequest, type HttpResponse, type Logger } from '../../../lib/index.js'
import type { ApiServer } from '../options.js'
import { PushBody } from './push-body.js'

export interface ServeOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** PEM. */
  readonly cert: string
  readonly key: string
  readonly log: Logger
  /** Connections at one time; default 20,000. */
  readonly maxConnections?: number
  /** A connection that nothing happens on for so long is closed, and so is one that takes nothing of its answer; default 5 minutes. */
  readonly idleMs?: number
}

export interface Serving {
  readonly port: number
  /** New connections get this certificate: rotation without a restart. */
  setCertificate(pair: { readonly cert: string; readonly key: string }): void
  close(): Promise<void>
}

/** A receiver that leaves this much unread is cut off. */
const MOST_UNREAD = 32 * 1024 * 1024
const HANDSHAKE_MS = 20_000
const HEADERS_MS = 30_000
const IDLE_MS = 5 * 60_000

/** One value per connection: what the handler chain remembers about a certificate hangs on it. */
const peers = new WeakMap<object, HttpPeer>()

function peerOf(connection: Socket | Http2Session | undefined): HttpPeer {
  if (!connection) return {}
  const known = peers.get(connection)
  if (known) return known
  const socket = ('socket' in connection ? connection.socket : connection) as TLSSocket
  const { raw } = socket.getPeerCertificate?.(false) ?? {}
  const peer: HttpPeer = { ...(socket.remoteAddress && { address: socket.remoteAddress }), ...(raw && { clientCertificate: raw }) }
  peers.set(connection, peer)
  return peer
}

function plainHeaders(headers: IncomingHttpHeaders | IncomingMessage['headers']): HttpHeaders {
  const plain: Record<string, string> = {}
  for (const name in headers) {
    if (name.charCodeAt(0) === 0x3a) continue // pseudo headers of HTTP/2
    const value = headers[name]
    if (value !== undefined) plain[name] = typeof value === 'string' ? value : (value as string[]).join(', ')
  }
  return plain
}

/** Most requests are answered without anybody asking whether the client is still there. */
function signalOf(out: Writable): AbortSignal {
  const abort = new AbortController()
  if (out.destroyed) abort.abort()
  else out.once('close', () => abort.abort())
  return abort.signal
}

interface Incoming {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders | IncomingMessage['headers']
  readonly body: Duplex | IncomingMessage
  readonly connection: Socket | Http2Session | undefined
  /** Where the answer goes. */
  readonly out: Writable
}

function requestOf({ method, url, headers, body, connection, out }: Incoming): HttpRequest {
  let signal: AbortSignal | undefined
  return {
    method,
    url,
    headers: plainHeaders(headers),
    peer: peerOf(connection),
    get signal() {
      signal ??= signalOf(out)
      return signal
    },
    body: method === 'GET' || method === 'HEAD' ? undefined : body,
  }
}

/** The part of an answer in which HTTP/1.1 and HTTP/2 differ. */
type WriteHead = (status: number, headers: HttpHeaders) => void

async function send(out: Writable, writeHead: WriteHead, { status, headers, body }: HttpResponse, isHead: boolean): Promise<void> {
  // HTTP/2 ends its side by itself when only the head is asked for.
  if (out.destroyed || (out.writableEnded && !isHead)) return
  if (body instanceof Uint8Array) {
    writeHead(status, { ...headers, 'content-length': String(body.length) })
    if (isHead) out.end()
    else out.end(body)
    return
  }
  writeHead(status, headers)
  if (isHead) {
    out.end()
    return
  }
  if (body instanceof PushBody) {
    // Headers go out at once: a watcher waits for them before it waits for events.
    if ('flushHeaders' in out) (out as ServerResponse).flushHeaders()
    out.on('close', () => body.end())
    body.attach({
      write(chunk) {
        out.write(chunk)
        if (out.writableLength > MOST_UNREAD) {
          body.end()
          out.destroy()
        }
      },
      end: () => out.end(),
    })
    return
  }
  for await (const chunk of body) {
    if (out.destroyed) break
    if (out.write(chunk)) continue
    await new Promise<void>((resolve) => {
      const goOn = (): void => {
        out.off('drain', goOn)
        out.off('close', goOn)
        resolve()
      }
      out.on('drain', goOn)
      out.on('close', goOn)
    })
  }
  out.end()
}

export async function serve(api: ApiServer, options: ServeOptions): Promise<Serving> {
  const { host, port, cert, key, log, idleMs = IDLE_MS } = options
  const server: Http2SecureServer = createSecureServer({
    cert,
    key,
    allowHTTP1: true,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    maxSessionMemory: 100,
    settings: { maxConcurrentStreams: 1000, initialWindowSize: 1024 * 1024 },
    maxHeaderListPairs: 256,
    handshakeTimeout: Math.min(HANDSHAKE_MS, idleMs),
  })
  const http1 = server as unknown as Record<
    'headersTimeout' | 'requestTimeout' | 'keepAliveTimeout' | 'connectionsCheckingInterval',
    number
  >
  http1.headersTimeout = Math.min(HEADERS_MS, idleMs)
  http1.connectionsCheckingInterval = Math.min(HEADERS_MS, idleMs) // not taken as an option
  http1.requestTimeout = 0 // watches and exec last
  http1.keepAliveTimeout = idleMs
  server.maxConnections = options.maxConnections ?? 20_000

  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    socket.setNoDelay(true)
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.on('secureConnection', (socket: TLSSocket) => {
    socket.on('error', () => {}) // the client went away: nothing to do, nobody to tell
  })
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  server.on('sessionError', () => {})
  server.on('clientError', (_error, socket: Duplex) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    else socket.destroy()
  })

  const exchange = (incoming: Incoming, writeHead: WriteHead): void => {
    const { body, out, method } = incoming
    out.on('error', () => {})
    if (method === 'GET' || method === 'HEAD') body.resume()
    api
      .handler(requestOf(incoming))
      .then((answer) => send(out, writeHead, answer, method === 'HEAD'))
      .catch((error: unknown) => {
        // The handler answers its own errors: this is a stream that broke in the middle.
        if (!out.destroyed) log.debug('response broke off', { err: explain(error) })
        out.destroy()
      })
      .finally(() => {
        if (!body.readableEnded) body.resume()
      })
  }

  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    request.on('error', () => {})
    const { method = 'GET', url = '/', headers, socket } = request
    response.setTimeout(idleMs, () => {
      if (response.writableLength > 0) response.destroy()
    })
    exchange({ method, url, headers, body: request, connection: socket, out: response }, (status, head) => {
      response.writeHead(status, head)
    })
  })
  // HTTP/2 is served from its own streams; the layer that makes them look like HTTP/1.1 costs as much as a small request.
  server.removeAllListeners('stream')
  server.on('session', (session: ServerHttp2Session) => {
    const streams = new Set<ServerHttp2Stream>()
    session.on('stream', (stream: ServerHttp2Stream) => {
      streams.add(stream)
      stream.on('close', () => streams.delete(stream))
    })
    // A quiet watch is no idle connection; answers that nobody takes are worse than one.
    session.setTimeout(idleMs, () => {
      if (streams.size === 0) session.close()
      else if ([...streams].some((stream) => stream.writableLength > 0)) session.destroy()
    })
  })
  server.on('stream', (stream, headers) => {
    const { ':method': method = 'GET', ':path': url = '/', expect } = headers
    if (expect === '100-continue') stream.additionalHeaders({ ':status': 100 })
    exchange({ method, url, headers, body: stream, connection: stream.session, out: stream }, (status, head) => {
      stream.respond({ ':status': status, ...head }, { endStream: method === 'HEAD' })
    })
  })

  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    const { method = 'GET', url = '/', headers } = request
    const upgrading = requestOf({ method, url, headers, body: request, connection: request.socket, out: socket })
    api.upgrade({ ...upgrading, body: undefined }, socket, head).catch((error: unknown) => {
      log.debug('upgrade failed', { err: explain(error) })
      socket.destroy()
    })
  })

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      server.on('error', (error) => log.error('server failed', { err: error }))
      resolve()
    })
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address ? address.port : port,
    setCertificate: (pair) => server.setSecureContext(pair),
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
