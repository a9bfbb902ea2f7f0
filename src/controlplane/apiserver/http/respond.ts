// Values become answers.
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
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
  const { body, headers } = response
  if (!(body instanceof Uint8Array) || body.length < WORTH_COMPRESSING || headers['content-encoding']) return response
  if (!acceptEncoding?.split(',').some((word) => word.trim().split(';')[0] === 'gzip')) return response
  return {
    ...response,
    headers: { ...headers, 'content-encoding': 'gzip', vary: 'Accept-Encoding' },
    body: await compress(body, { level: 1 }),
  }
}

/** RFC 9110 warning values: code 299, no agent, a quoted text. */
export const warningHeader = (warnings: readonly string[]): string =>
  [...new Set(warnings)].map((warning) => `299 - "${warning.replace(/[\\"]/g, '\\$&').replace(/[\r\n]+/g, ' ')}"`).join(', ')
