// TLS with HTTP/1.1 and HTTP/2 on one port around a handler.

import type { IncomingMessage } from 'node:http'
import { createSecureServer, type Http2SecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
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
}

export interface Serving {
  readonly port: number
  /** New connections get this certificate: rotation without a restart. */
  setCertificate(pair: { readonly cert: string; readonly key: string }): void
  close(): Promise<void>
}

/** A receiver that leaves this much unread is cut off. */
const MOST_UNREAD = 32 * 1024 * 1024
const HEADERS_MS = 30_000
const IDLE_MS = 10 * 60_000

/** One value per connection: what the handler chain remembers about a certificate hangs on it. */
const peers = new WeakMap<object, HttpPeer>()

function peerOf(socket: Socket | undefined): HttpPeer {
  if (!socket) return {}
  const known = peers.get(socket)
  if (known) return known
  const certificate =
    socket instanceof TLSSocket || 'getPeerCertificate' in socket ? (socket as TLSSocket).getPeerCertificate(false) : undefined
  const raw = certificate?.raw
  const peer: HttpPeer = { ...(socket.remoteAddress && { address: socket.remoteAddress }), ...(raw && { clientCertificate: raw }) }
  peers.set(socket, peer)
  return peer
}

type AnyRequest = IncomingMessage | Http2ServerRequest
type AnyResponse = Http2ServerResponse

function headersOf({ headers }: AnyRequest): HttpHeaders {
  const plain: Record<string, string> = {}
  for (const name in headers) {
    if (name.charCodeAt(0) === 0x3a) continue // pseudo headers of HTTP/2
    const value = headers[name]
    if (value !== undefined) plain[name] = typeof value === 'string' ? value : (value as string[]).join(', ')
  }
  return plain
}

const socketOf = (request: AnyRequest): Socket | undefined =>
  'stream' in request && request.stream ? (request.stream.session?.socket as Socket | undefined) : (request.socket as Socket)

async function send(response: AnyResponse, { status, headers, body }: HttpResponse, isHead: boolean): Promise<void> {
  if (response.destroyed || response.writableEnded) return
  if (body instanceof Uint8Array) {
    response.writeHead(status, { ...headers, 'content-length': String(body.length) })
    if (isHead) response.end()
    else response.end(body)
    return
  }
  response.writeHead(status, headers as Record<string, string>)
  if (body instanceof PushBody) {
    // Headers go out at once: a watcher waits for them before it waits for events.
    ;(response as unknown as { flushHeaders?(): void }).flushHeaders?.()
    const stream = response.stream
    if (stream && 'pushAllowed' in stream) stream.resume()
    response.on('close', () => body.end())
    body.attach({
      write(chunk) {
        response.write(chunk)
        if (response.writableLength > MOST_UNREAD) {
          body.end()
          response.destroy()
        }
      },
      end: () => response.end(),
    })
    return
  }
  for await (const chunk of body) {
    if (response.destroyed) break
    if (response.write(chunk)) continue
    await new Promise<void>((resolve) => {
      response.once('drain', resolve)
      response.once('close', resolve)
    })
  }
  response.end()
}

export async function serve(api: ApiServer, options: ServeOptions): Promise<Serving> {
  const { host, port, cert, key, log } = options
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
    handshakeTimeout: 20_000,
  })
  const http1 = server as unknown as { headersTimeout: number; requestTimeout: number; keepAliveTimeout: number }
  http1.headersTimeout = HEADERS_MS
  http1.requestTimeout = 0 // watches and exec last
  http1.keepAliveTimeout = IDLE_MS
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

  const requestOf = (request: AnyRequest, signal: AbortSignal, withBody: boolean): HttpRequest => ({
    method: request.method ?? 'GET',
    url: request.url ?? '/',
    headers: headersOf(request),
    peer: peerOf(socketOf(request)),
    signal,
    ...(withBody && { body: request as AsyncIterable<Uint8Array> }),
  })

  server.on('request', (request, response) => {
    const abort = new AbortController()
    response.on('close', () => abort.abort())
    response.on('error', () => {})
    request.on('error', () => {})
    const withBody = request.method !== 'GET' && request.method !== 'HEAD'
    if (!withBody) request.resume()
    api
      .handler(requestOf(request, abort.signal, withBody))
      .then((answer) => send(response, answer, request.method === 'HEAD'))
      .catch((error: unknown) => {
        // The handler answers its own errors: this is a stream that broke in the middle.
        if (!abort.signal.aborted) log.debug('response broke off', { err: explain(error) })
        if (response.headersSent) response.destroy?.()
        else {
          response.statusCode = 500
          response.end()
        }
      })
      .finally(() => {
        if (!request.readableEnded) request.resume()
      })
  })

  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const abort = new AbortController()
    socket.on('close', () => abort.abort())
    socket.on('error', () => socket.destroy())
    api.upgrade(requestOf(request, abort.signal, false), socket, head).catch((error: unknown) => {
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
