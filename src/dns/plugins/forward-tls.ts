// Questions over TLS (RFC 7858): one connection for each server, kept as long as there is something to ask.
import { type ConnectionOptions, connect, createSecureContext, type TLSSocket } from 'node:tls'
import type { Clock } from '../../lib/index.js'
import type { Exchange, Upstream } from './forward.js'

/** Who we are, whom we trust, whom we expect; without `serverName` the certificate must be for the address. */
export interface TlsIdentity {
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** PEM. */
  readonly ca: () => string | readonly string[]
  readonly serverName?: string | undefined
}

/** Silence after which a connection is closed. */
const IDLE_MS = 10_000

interface Waiting {
  readonly answered: (bytes: Uint8Array) => void
  readonly failed: (error: Error) => void
}

interface Connection {
  readonly socket: TLSSocket
  /** By the id of the question. */
  readonly waiting: Map<number, Waiting>
}

function open(options: ConnectionOptions, onClose: () => void): Connection {
  const socket = connect(options)
  const waiting: Connection['waiting'] = new Map()
  let received = Buffer.alloc(0)
  let failure = new Error(`${options.host} closed the connection`)
  socket.setNoDelay(true)
  socket.setTimeout(IDLE_MS, () => socket.destroy())
  socket.on('error', (error) => {
    failure = error
  })
  socket.once('close', () => {
    onClose()
    for (const { failed } of waiting.values()) failed(failure)
  })
  socket.on('end', () => socket.destroy())
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk])
    while (received.length >= 2 && received.length >= received.readUInt16BE(0) + 2) {
      const length = received.readUInt16BE(0)
      const message = received.subarray(2, 2 + length)
      received = received.subarray(2 + length)
      if (length >= 2) waiting.get(message.readUInt16BE(0))?.answered(message)
    }
  })
  return { socket, waiting }
}

const nameOf = ({ address, port }: Upstream): string => `${address} ${port}`

/** Connections end with `signal`, and after ten seconds of silence. */
export function tlsExchange({ cert, key, ca, serverName }: TlsIdentity, signal?: AbortSignal): Exchange {
  const connections = new Map<string, Connection>()
  let secureContext: ReturnType<typeof createSecureContext> | undefined
  signal?.addEventListener(
    'abort',
    () => {
      for (const { socket } of connections.values()) socket.destroy()
    },
    { once: true },
  )

  function connection(upstream: Upstream): Connection {
    const name = nameOf(upstream)
    const known = connections.get(name)
    if (known) return known
    secureContext ??= createSecureContext({ ca: [...[ca()].flat()], ...(cert && key ? { cert, key } : {}) })
    const fresh = open(
      { host: upstream.address, port: upstream.port, secureContext, ...(serverName ? { servername: serverName } : {}) },
      () => {
        if (connections.get(name) === fresh) connections.delete(name)
      },
    )
    connections.set(name, fresh)
    return fresh
  }

  /** One question on a connection; `used`: it was open before, and may have been closed by the other end while we wrote. */
  function ask(upstream: Upstream, message: Uint8Array, clock: Clock, timeoutMs: number): { used: boolean; answer: Promise<Uint8Array> } {
    const used = connections.has(nameOf(upstream))
    const { socket, waiting } = connection(upstream)
    const id = ((message[0] ?? 0) << 8) | (message[1] ?? 0)
    if (waiting.has(id)) return { used: false, answer: Promise.reject(new Error(`${upstream.address} is being asked under that id`)) }
    const answer = new Promise<Uint8Array>((resolve, reject) => {
      // A connection that does not answer is not asked again.
      const timer = clock.after(timeoutMs, () => socket.destroy(new Error(`${upstream.address} did not answer within ${timeoutMs} ms`)))
      const over = (): void => {
        timer.cancel()
        waiting.delete(id)
      }
      waiting.set(id, {
        answered(bytes) {
          over()
          resolve(bytes)
        },
        failed(error) {
          over()
          reject(error)
        },
      })
      const framed = Buffer.alloc(2 + message.length)
      framed.writeUInt16BE(message.length)
      framed.set(message, 2)
      socket.write(framed)
    })
    return { used, answer }
  }

  return async (upstream, message, clock, timeoutMs) => {
    const end = clock.monotonic() + timeoutMs
    for (;;) {
      const { used, answer } = ask(upstream, message, clock, Math.max(0, end - clock.monotonic()))
      try {
        return await answer
      } catch (error) {
        if (!used || clock.monotonic() >= end) throw error
      }
    }
  }
}
