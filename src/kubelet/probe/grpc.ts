// grpc.health.v1.Health/Check over HTTP/2, by hand: one string goes out, one number comes back.
import { connect, constants } from 'node:http2'
import { dialError } from '../container/http-call.js'
import type { ProbeAnswer } from './run.js'

const NAMES: Readonly<Record<number, string>> = { 0: 'UNKNOWN', 1: 'SERVING', 2: 'NOT_SERVING', 3: 'SERVICE_UNKNOWN' }

/** HealthCheckRequest { string service = 1 } in a gRPC frame: not compressed, length, bytes. */
export function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service)
  const length: number[] = []
  for (let left = name.length; ; left >>>= 7) {
    if (left < 0x80) {
      length.push(left)
      break
    }
    length.push((left & 0x7f) | 0x80)
  }
  const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, ...length]), name])
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** HealthCheckResponse { ServingStatus status = 1 }; the field is left out when it is 0. */
export const decodeStatus = (frame: Buffer): number => (frame.length >= 7 && frame[5] === 0x08 ? (frame[6] ?? 0) : 0)

export function grpcProbe(host: string, port: number, service: string, timeoutMs: number): Promise<ProbeAnswer> {
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  return new Promise((resolve) => {
    const session = connect(`http://${address}`)
    const timer = AbortSignal.timeout(timeoutMs)
    let settled = false
    const finish = (answer: ProbeAnswer): void => {
      if (settled) return
      settled = true
      resolve(answer)
      session.destroy()
    }
    timer.addEventListener('abort', () =>
      finish({
        outcome: 'failure',
        output: `timeout: failed to connect service "${address}" within ${timeoutMs / 1000}s: context deadline exceeded`,
      }),
    )
    session.on('error', (error) =>
      finish({
        outcome: 'failure',
        output: `error: this server does not implement the grpc health protocol: ${dialError(error, host, port)}`,
      }),
    )
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: '/grpc.health.v1.Health/Check',
      [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
      [constants.HTTP2_HEADER_TE]: 'trailers',
    })
    const chunks: Buffer[] = []
    let code = ''
    let message = ''
    const note = (headers: Record<string, unknown>): void => {
      if (headers['grpc-status'] !== undefined) code = String(headers['grpc-status'])
      if (headers['grpc-message'] !== undefined) message = decodeURIComponent(String(headers['grpc-message']))
    }
    stream.on('response', note)
    stream.on('trailers', note)
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('error', (error) => finish({ outcome: 'failure', output: dialError(error, host, port) }))
    stream.on('end', () => {
      if (code === '12')
        finish({
          outcome: 'failure',
          output: `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${message}`,
        })
      else if (code !== '0') finish({ outcome: 'failure', output: `error: health rpc failed: rpc error: code = ${code} desc = ${message}` })
      else {
        const status = decodeStatus(Buffer.concat(chunks))
        if (status === 1) finish({ outcome: 'success', output: 'service healthy' })
        else finish({ outcome: 'failure', output: `service unhealthy (responded with "${NAMES[status] ?? status}")` })
      }
    })
    stream.end(encodeRequest(service))
  })
}
