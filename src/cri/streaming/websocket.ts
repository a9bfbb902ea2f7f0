// WebSocket connections as clients of exec, attach and port-forward use them: numbered channels in binary messages.
import type { IncomingMessage } from 'node:http'
import { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'

/** Negotiates one of `protocols`, newest first; `''` allows none. */
export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  protocols: readonly string[],
): Promise<{ readonly socket: WebSocket; readonly protocol: string } | undefined> {
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((word) => word.trim())
  const protocol = protocols.find((each) => offered.includes(each))
  if (protocol === undefined && !(offered.length === 1 && offered[0] === '')) return Promise.resolve(undefined)
  // `SPDY/3.1+portforward.k8s.io` has a character that RFC 6455 does not allow in a name: the library must not see what is settled here.
  if (protocol !== undefined) request.headers['sec-websocket-protocol'] = 'settled'
  const server = new WebSocketServer({ noServer: true, perMessageDeflate: false, handleProtocols: () => protocol ?? false })
  return new Promise((resolve) =>
    server.handleUpgrade(request, socket, head, (accepted) => resolve({ socket: accepted, protocol: protocol ?? '' })),
  )
}

/** The messages of a socket as one stream of bytes: SPDY carried in WebSocket. */
export function webSocketDuplex(socket: WebSocket): Duplex {
  const duplex = new Duplex({
    read() {
      socket.resume()
    },
    write(chunk: Buffer, _encoding, done) {
      if (socket.readyState !== socket.OPEN) return done()
      socket.send(chunk, { binary: true }, (error) => done(error ?? null))
    },
    final(done) {
      socket.close(1000)
      done()
    },
  })
  socket.on('message', (data: Buffer) => {
    if (!duplex.push(data)) socket.pause()
  })
  socket.on('close', () => {
    duplex.push(null)
    duplex.destroy()
  })
  socket.on('error', () => duplex.destroy())
  duplex.on('error', () => {})
  return duplex
}

const CLOSE_SIGNAL = 255

export interface Channels {
  /** What the client sends on a channel; what came before is lost. */
  onData(channel: number, listener: (bytes: Buffer) => void): void
  /** The client will send no more on it (v5). */
  onEnd(channel: number, listener: () => void): void
  send(channel: number, bytes: Uint8Array): Promise<void>
  /** Let the client send again, or have it wait. */
  pause(): void
  resume(): void
  readonly closed: Promise<void>
  close(): void
}

/** First byte: the channel. `base64` protocols write the channel as a digit and the rest as base64. */
export function channelsOf(socket: WebSocket, protocol: string): Channels {
  const base64 = protocol.startsWith('base64.')
  const data = new Map<number, (bytes: Buffer) => void>()
  const ends = new Map<number, () => void>()
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.on('error', () => socket.terminate())
  socket.on('message', (message: Buffer) => {
    if (message.length === 0) return
    const channel = base64 ? (message[0] ?? 0) - 0x30 : (message[0] ?? 0)
    const bytes = base64 ? Buffer.from(message.toString('latin1', 1), 'base64') : message.subarray(1)
    if (protocol.startsWith('v5.') && channel === CLOSE_SIGNAL) ends.get(bytes[0] ?? 0)?.()
    else data.get(channel)?.(bytes)
  })
  return {
    onData: (channel, listener) => void data.set(channel, listener),
    onEnd: (channel, listener) => void ends.set(channel, listener),
    send(channel, bytes) {
      if (socket.readyState !== socket.OPEN) return Promise.resolve()
      const message = base64
        ? Buffer.from(`${channel}${Buffer.from(bytes).toString('base64')}`)
        : Buffer.concat([Buffer.from([channel]), bytes])
      return new Promise((resolve) => socket.send(message, { binary: !base64 }, () => resolve()))
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    closed,
    close: () => socket.close(1000),
  }
}
