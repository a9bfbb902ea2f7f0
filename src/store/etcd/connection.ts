// Calls to etcd over gRPC: several endpoints, the next one when one does not answer.
import type { ChannelCredentials, ClientDuplexStream, ServiceError } from '@grpc/grpc-js'
import { asError, type Clock, exponentialBackoff } from '../../lib/index.js'
import { StoreUnavailableError } from '../store.js'

export interface EtcdTls {
  /** PEM. */
  readonly ca: string
  readonly cert?: string
  readonly key?: string
}

export interface Connection {
  /** `readOnly` calls are made again elsewhere when an endpoint does not answer; others may have been done. */
  call(path: string, request: Buffer, options?: { readonly readOnly?: boolean }): Promise<Buffer>
  stream(path: string): ClientDuplexStream<Buffer, Buffer>
  /** Turns to the next endpoint. */
  next(): void
  close(): void
}

/** gRPC status codes. */
export const GRPC = { cancelled: 1, unknown: 2, deadlineExceeded: 4, notFound: 5, outOfRange: 11, unavailable: 14 } as const

const raw = (value: Buffer): Buffer => value
const DEADLINE_MS = 15_000

export const codeOf = (error: unknown): number | undefined => (error as Partial<ServiceError>).code as number | undefined

/** `endpoints` as `host:port` or `https://host:port`. */
export async function connectEtcd(endpoints: readonly string[], tls: EtcdTls | undefined, clock: Clock): Promise<Connection> {
  // A hundred milliseconds and several megabytes: only for those who use it.
  const { Client, credentials, Metadata } = await import('@grpc/grpc-js')
  const secure: ChannelCredentials = tls
    ? credentials.createSsl(Buffer.from(tls.ca), tls.key ? Buffer.from(tls.key) : null, tls.cert ? Buffer.from(tls.cert) : null)
    : credentials.createInsecure()
  const options = {
    // etcd's answers have no bound of their own: the default of 4 MiB breaks ranges.
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 2000,
  }
  const clients = endpoints.map((endpoint) => new Client(endpoint.replace(/^https?:\/\//, ''), secure, options))
  // A member that has lost the others ends its streams instead of being silent on them.
  const needsLeader = new Metadata()
  needsLeader.set('hasleader', 'true')
  let current = 0
  const client = () => clients[current % clients.length] as (typeof clients)[number]

  const once = (path: string, request: Buffer): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      client().makeUnaryRequest(path, raw, raw, request, { deadline: clock.now() + DEADLINE_MS }, (error, response) => {
        if (error) reject(error)
        else resolve(response ?? Buffer.alloc(0))
      })
    })

  return {
    async call(path, request, { readOnly = false } = {}) {
      const backoff = exponentialBackoff({ initialMs: 50, maxMs: 500 })
      for (let tries = 1; ; tries++) {
        try {
          return await once(path, request)
        } catch (error) {
          const code = codeOf(error)
          if (code !== GRPC.unavailable && code !== GRPC.deadlineExceeded) throw error
          current++
          if (!readOnly || tries >= clients.length + 2) throw new StoreUnavailableError(`etcd: ${asError(error).message}`, { cause: error })
          await new Promise((resolve) => setTimeout(resolve, backoff.next()))
        }
      }
    },
    stream: (path) => client().makeBidiStreamRequest(path, raw, raw, needsLeader),
    next() {
      current++
    },
    close() {
      for (const one of clients) one.close()
    },
  }
}
