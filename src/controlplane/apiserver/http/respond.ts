// Values become answers.
import { pipeline } from 'node:stream'
import { promisify } from 'node:util'
import { createGzip, gzip } from 'node:zlib'
import type { HttpHeaders, HttpResponse } from '../../../lib/index.js'

const compress = promisify(gzip)

export const jsonBytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

export const answer = (status: number, body: Uint8Array, headers: HttpHeaders = {}): HttpResponse => ({
  status,
  headers: { 'content-type': 'application/json', ...headers },
  body,
})

export const text = (status: number, body: string): HttpResponse => ({
  status,
  headers: { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' },
  body: Buffer.from(body),
})

/** Bodies from this size on are compressed for clients that take it, as Kubernetes does. */
const WORTH_COMPRESSING = 128 * 1024

export async function compressed(response: HttpResponse, acceptEncoding: string | undefined): Promise<HttpResponse> {
  const { body } = response
  const { 'content-length': length, ...headers } = response.headers
  // A stream that knows its length ends; a watch does not.
  const size = body instanceof Uint8Array ? body.length : Number(length ?? 0)
  if (size < WORTH_COMPRESSING || headers['content-encoding']) return response
  if (!acceptEncoding?.split(',').some((word) => word.trim().split(';')[0] === 'gzip')) return response
  return {
    ...response,
    headers: { ...headers, 'content-encoding': 'gzip', vary: 'Accept-Encoding' },
    body: body instanceof Uint8Array ? await compress(body, { level: 1 }) : gzipped(body),
  }
}

function gzipped(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const gzip = createGzip({ level: 1, chunkSize: 64 * 1024 })
  pipeline(body, gzip, () => {}) // what breaks off, breaks off for the reader too
  return gzip
}

/** RFC 9110 warning values: code 299, no agent, a quoted text. */
export const warningHeader = (warnings: readonly string[]): string =>
  [...new Set(warnings)].map((warning) => `299 - "${warning.replace(/[\\"]/g, '\\$&').replace(/[\r\n]+/g, ' ')}"`).join(', ')
