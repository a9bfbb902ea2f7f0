// The client's end of exec and attach, whatever carries it: standard streams, window sizes, and the status at the end.
import type { IncomingMessage } from 'node:http'
import { type Duplex, PassThrough, type Readable, Writable } from 'node:stream'
import { deferred } from '../../lib/index.js'
import type { TerminalSize } from '../types.js'
import { type SpdyStream, speakSpdy } from './spdy.js'
import { acceptWebSocket, channelsOf } from './websocket.js'

export interface StreamsWanted {
  readonly stdin: boolean
  readonly stdout: boolean
  readonly stderr: boolean
  readonly tty: boolean
}

export interface RemoteClient {
  readonly stdin: Readable | undefined
  readonly stdout: Writable | undefined
  readonly stderr: Writable | undefined
  onResize(listener: (size: TerminalSize) => void): void
  /** Tells how it ended and closes. */
  finish(status: RemoteStatus): Promise<void>
  /** The client has gone. */
  readonly closed: Promise<void>
}

export type RemoteStatus =
  | { readonly kind: 'success' }
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'error'; readonly message: string }

/** A metav1.Status as clients of v4 and later read it from the error stream. */
export function statusJson(status: RemoteStatus): string {
  if (status.kind === 'success') return JSON.stringify({ metadata: {}, status: 'Success' })
  if (status.kind === 'error')
    return JSON.stringify({ metadata: {}, status: 'Failure', message: status.message, reason: 'InternalError', code: 500 })
  return JSON.stringify({
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: exit status ${status.code}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(status.code) }] },
  })
}

/** Protocols before v4 read words; success is silence. */
function statusText(status: RemoteStatus, protocol: string): string {
  if (/v[45]\./.test(protocol)) return statusJson(status)
  return status.kind === 'success' ? '' : status.kind === 'exit' ? `command terminated with exit code ${status.code}` : status.message
}

const parseSize = (text: string): TerminalSize | undefined => {
  try {
    const { Width, Height } = JSON.parse(text) as { Width?: number; Height?: number }
    return Width !== undefined && Height !== undefined ? { width: Width, height: Height } : undefined
  } catch {
    return undefined
  }
}

const WEBSOCKET = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v3.channel.k8s.io',
  'v2.channel.k8s.io',
  'channel.k8s.io',
  'v4.base64.channel.k8s.io',
  'base64.channel.k8s.io',
]
const SPDY = ['v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io']

async function overWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  wanted: StreamsWanted,
): Promise<RemoteClient | undefined> {
  const accepted = await acceptWebSocket(request, socket, head, WEBSOCKET)
  if (!accepted) return undefined
  const { protocol } = accepted
  const channels = channelsOf(accepted.socket, protocol)
  const stdin = wanted.stdin ? new PassThrough() : undefined
  if (stdin) {
    channels.onData(0, (bytes) => {
      if (!stdin.write(bytes)) channels.pause()
    })
    channels.onEnd(0, () => stdin.end())
    stdin.on('drain', () => channels.resume())
  }
  // Clients say it at once, while the process is still being started.
  let size: TerminalSize | undefined
  let resized = (_size: TerminalSize): void => {}
  channels.onData(4, (bytes) => {
    size = parseSize(bytes.toString('utf8')) ?? size
    if (size) resized(size)
  })
  void channels.closed.then(() => stdin?.end())
  const output = (channel: number): Writable =>
    new Writable({ write: (chunk: Buffer, _encoding, done) => void channels.send(channel, chunk).then(() => done()) })
  const hasStderr = wanted.stderr && !wanted.tty
  // An empty message on the first channel that we write to says that all are open; clients wait for it.
  await channels.send(wanted.stdout ? 1 : hasStderr ? 2 : 3, Buffer.alloc(0))
  return {
    stdin,
    stdout: wanted.stdout ? output(1) : undefined,
    stderr: hasStderr ? output(2) : undefined,
    onResize(listener) {
      resized = listener
      if (size) listener(size)
    },
    async finish(status) {
      const text = statusText(status, protocol)
      if (text) await channels.send(3, Buffer.from(text))
      channels.close()
    },
    closed: channels.closed,
  }
}

/** Writes the 101 answer that turns the connection into SPDY. */
export function acceptSpdy(request: IncomingMessage, socket: Duplex, protocols: readonly string[]): string | undefined {
  const header = request.headers['x-stream-protocol-version']
  const offered = (Array.isArray(header) ? header : (header ?? '').split(',')).map((word) => word.trim()).filter(Boolean)
  const protocol = offered.length === 0 ? (protocols.at(-1) ?? '') : protocols.find((each) => offered.includes(each))
  if (protocol === undefined) {
    socket.end(
      `HTTP/1.1 403 Forbidden\r\nX-Accepted-Stream-Protocol-Versions: ${protocols.join(', ')}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
    )
    return undefined
  }
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
  )
  return protocol
}

async function overSpdy(request: IncomingMessage, socket: Duplex, head: Buffer, wanted: StreamsWanted): Promise<RemoteClient | undefined> {
  const protocol = acceptSpdy(request, socket, SPDY)
  if (protocol === undefined) return undefined
  const expected = ['error', ...(wanted.stdin ? ['stdin'] : []), ...(wanted.stdout ? ['stdout'] : [])]
  if (wanted.stderr && !wanted.tty) expected.push('stderr')
  if (wanted.tty && /v[34]\./.test(protocol)) expected.push('resize')
  const streams = new Map<string, SpdyStream>()
  const complete = deferred()
  const session = speakSpdy(socket, head, {
    stream(stream) {
      streams.set(stream.headers.streamtype ?? '', stream)
      if (expected.every((type) => streams.has(type))) complete.resolve()
    },
  })
  await Promise.race([complete.promise, session.closed])
  if (!expected.every((type) => streams.has(type))) return undefined
  return {
    stdin: streams.get('stdin'),
    stdout: streams.get('stdout'),
    stderr: streams.get('stderr'),
    onResize(listener) {
      streams.get('resize')?.on('data', (bytes: Buffer) => {
        for (const text of bytes.toString('utf8').split('\n')) {
          const size = parseSize(text)
          if (size) listener(size)
        }
      })
    },
    async finish(status) {
      const error = streams.get('error')
      await new Promise<void>((resolve) => {
        if (!error || error.destroyed) return resolve()
        error.once('close', () => resolve())
        error.end(statusText(status, protocol), () => resolve())
      })
      // What has been written goes out before the connection ends; the client closes when it has read it all.
      session.close()
    },
    closed: session.closed,
  }
}

const isWebSocket = (request: IncomingMessage): boolean => /websocket/i.test(request.headers.upgrade ?? '')

/** Undefined when the client went away or offered nothing that is known here; the connection is then answered and closed. */
export async function remoteClient(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  wanted: StreamsWanted,
): Promise<RemoteClient | undefined> {
  if (isWebSocket(request)) {
    const client = await overWebSocket(request, socket, head, wanted)
    if (!client && !socket.destroyed) socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    return client
  }
  return await overSpdy(request, socket, head, wanted)
}
