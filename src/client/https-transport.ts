// The API server across TLS, as an HttpHandler.
import type { HttpHandler, HttpHeaders } from '../lib/index.js'

export interface HttpsTransportOptions {
  /** `https://10.0.0.1:6443`. */
  readonly server: string
  /** PEM. The system's roots when left out. */
  readonly ca?: string | undefined
  /** Client certificate and key, PEM; read at each new connection, so that a rotated certificate is taken up. */
  readonly identity?: () => { readonly cert: string; readonly key: string }
  /** Bearer token, read at each request. */
  readonly token?: () => string
  /** Only for joining with a pinned key: skips the check of the server's certificate. */
  readonly insecureSkipTlsVerify?: boolean
  readonly connectTimeoutMs?: number
}

export interface HttpsTransport {
  readonly handler: HttpHandler
  close(): Promise<void>
}

/** Keeps connections open and adds credentials. undici is loaded here and not before: it takes 100 ms. */
export async function httpsTransport(options: HttpsTransportOptions): Promise<HttpsTransport> {
  const { Agent, buildConnector } = await import('undici')
  const connect: ReturnType<typeof buildConnector> = (target, callback) => {
    const identity = options.identity?.()
    buildConnector({
      ...(options.ca === undefined ? {} : { ca: options.ca }),
      ...identity,
      rejectUnauthorized: !options.insecureSkipTlsVerify,
      timeout: options.connectTimeoutMs ?? 10_000,
    })(target, callback)
  }
  // No time limit on bodies: a watch is silent for as long as nothing happens.
  const agent = new Agent({ connect, bodyTimeout: 0, headersTimeout: 60_000, keepAliveTimeout: 60_000, pipelining: 1 })

  const handler: HttpHandler = async ({ method, url, headers, body, signal }) => {
    const token = options.token?.()
    const answer = await agent.request({
      origin: options.server,
      path: url,
      method: method as 'GET',
      headers: token ? { ...headers, authorization: `Bearer ${token}` } : headers,
      body: body instanceof Uint8Array || body === undefined ? (body ?? null) : (await import('node:stream')).Readable.from(body),
      ...(signal ? { signal } : {}),
    })
    const flat: Record<string, string> = {}
    for (const [name, value] of Object.entries(answer.headers))
      if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(', ') : value
    return { status: answer.statusCode, headers: flat as HttpHeaders, body: answer.body }
  }
  return { handler, close: () => agent.destroy() }
}
