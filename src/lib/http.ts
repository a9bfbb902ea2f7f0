// A request and its answer as values: what the API server's handler chain, the client and the tests share. No sockets here.
import { Readable } from 'node:stream'

/** Header names in lower case; a repeated header is joined with `, ` as RFC 9110 section 5.3 allows. */
export type HttpHeaders = Readonly<Record<string, string>>

/** Who speaks, as established by the transport: the client's certificate, or in-process callers by name. */
export interface HttpPeer {
  /** Remote address without port. */
  readonly address?: string
  /** DER of the certificate that the client proved to own; the handler decides whether it trusts it. */
  readonly clientCertificate?: Uint8Array
  /** Set only by code in the same process: authentication is skipped, authorization is not. */
  readonly inProcessUser?: { readonly name: string; readonly groups: readonly string[] }
}

export interface HttpRequest {
  readonly method: string
  /** As on the wire: path and query, undecoded. */
  readonly url: string
  readonly headers: HttpHeaders
  readonly body?: Uint8Array | AsyncIterable<Uint8Array> | undefined
  readonly peer?: HttpPeer
  /** Aborted when the client goes away. */
  readonly signal?: AbortSignal
}

export interface HttpResponse {
  readonly status: number
  readonly headers: HttpHeaders
  /** A stream when the answer has no end of its own (watch, logs). */
  readonly body: Uint8Array | AsyncIterable<Uint8Array>
}

export type HttpHandler = (request: HttpRequest) => Promise<HttpResponse>

/** All of a body in one piece; throws once it is longer than `limit` bytes. */
export async function readBody(body: HttpRequest['body'], limit = Number.POSITIVE_INFINITY): Promise<Uint8Array> {
  if (!body) return new Uint8Array(0)
  if (body instanceof Uint8Array) {
    if (body.length > limit) throw new RangeError(`body is longer than ${limit} bytes`)
    return body
  }
  if (body instanceof Readable) return readStream(body, limit)
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.length
    if (length > limit) throw new RangeError(`body is longer than ${limit} bytes`)
    chunks.push(chunk)
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)
}

/** The same by events: an iterator over a stream costs more than a small body. */
const readStream = (stream: Readable, limit: number): Promise<Uint8Array> =>
  new Promise((resolve, reject) => {
    if (stream.destroyed) return reject(new Error('the body broke off'))
    const chunks: Uint8Array[] = []
    let length = 0
    const leave = (): void => {
      stream.off('data', onData)
      stream.off('error', stop)
      stream.off('close', onClose)
      stream.off('end', onEnd)
    }
    const stop = (error: Error): void => {
      leave()
      reject(error)
    }
    const onClose = (): void => stop(new Error('the body broke off'))
    const onData = (chunk: Uint8Array): void => {
      length += chunk.length
      chunks.push(chunk)
      if (length > limit) stop(new RangeError(`body is longer than ${limit} bytes`))
    }
    const onEnd = (): void => {
      leave()
      resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks))
    }
    stream.on('data', onData)
    stream.on('error', stop)
    stream.on('close', onClose)
    stream.on('end', onEnd)
  })
