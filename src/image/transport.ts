// HTTP to registries: undici with timeouts, proxies from the environment, and one connection pool per set of TLS settings.
import { createSecureContext, rootCertificates } from 'node:tls'
import type { Dispatcher } from 'undici'
import { readIfThere } from './disk.js'
import type { ConnectSettings } from './hosts.js'

export interface WireRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>
  readonly connect: ConnectSettings
  readonly signal?: AbortSignal
}

export interface WireResponse {
  readonly status: number
  /** Names in lower case; repeated ones joined. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: AsyncIterable<Buffer>
  /** Lets the connection go when the body is not wanted. */
  discard(): Promise<void>
}

export interface Transport {
  send(request: WireRequest): Promise<WireResponse>
  close(): Promise<void>
}

export interface TransportOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  /** How long a registry may be silent, connecting, before its answer, or within it. */
  readonly timeoutMs: number
}

/** Where distributions keep the authorities that the machine trusts. */
const SYSTEM_AUTHORITIES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

/** PEM of whom the machine trusts, as `update-ca-certificates` and its like left it; where there is nothing, whom Node trusts. */
export function machineAuthorities(env: TransportOptions['env']): readonly string[] {
  const { SSL_CERT_FILE: file, NODE_EXTRA_CA_CERTS: extra } = env
  const places = file ? [file] : SYSTEM_AUTHORITIES
  const system = places.map(readIfThere).find((pem) => pem !== undefined)
  const more = extra ? readIfThere(extra) : undefined
  return [...(system === undefined ? rootCertificates : [system]), ...(more === undefined ? [] : [more])]
}

/** Made on the first request: undici takes a tenth of a second to load. */
export function undiciTransport({ env, timeoutMs }: TransportOptions): Transport {
  const pools = new Map<string, Promise<Dispatcher>>()
  const proxy = {
    http: env.http_proxy ?? env.HTTP_PROXY ?? '',
    https: env.https_proxy ?? env.HTTPS_PROXY ?? '',
    none: env.no_proxy ?? env.NO_PROXY ?? '',
  }
  const makePool = async ({ ca = [], cert, key, skipVerify, dialTimeoutMs = timeoutMs }: ConnectSettings): Promise<Dispatcher> => {
    const { Agent, EnvHttpProxyAgent } = await import('undici')
    const secure = {
      // Made once: a hundred authorities take milliseconds to read.
      secureContext: createSecureContext({
        ca: [...machineAuthorities(env), ...ca],
        ...(cert !== undefined && key !== undefined ? { cert, key } : {}),
      }),
      ...(skipVerify ? { rejectUnauthorized: false } : {}),
    }
    const common = { headersTimeout: timeoutMs, bodyTimeout: timeoutMs, connect: { timeout: dialTimeoutMs, ...secure }, allowH2: false }
    if (proxy.http === '' && proxy.https === '') return new Agent(common)
    return new EnvHttpProxyAgent({
      ...common,
      requestTls: secure,
      ...(proxy.http ? { httpProxy: proxy.http } : {}),
      ...(proxy.https ? { httpsProxy: proxy.https } : {}),
      noProxy: [proxy.none, 'localhost', '127.0.0.1', '::1'].filter((host) => host !== '').join(','),
    })
  }
  const poolFor = (connect: ConnectSettings): Promise<Dispatcher> => {
    const key = JSON.stringify(connect)
    const pool = pools.get(key) ?? makePool(connect)
    pools.set(key, pool)
    return pool
  }
  return {
    async send({ method, url, headers, body, connect, signal }) {
      const pool = await poolFor(connect)
      const target = new URL(url)
      const response = await pool.request({
        origin: target.origin,
        path: `${target.pathname}${target.search}`,
        method,
        headers: { 'user-agent': 'knarr', ...headers },
        body: (body ?? null) as Dispatcher.DispatchOptions['body'],
        signal: signal ?? null,
      } as Dispatcher.RequestOptions)
      const plain: Record<string, string> = {}
      for (const [name, value] of Object.entries(response.headers))
        if (value !== undefined) plain[name] = Array.isArray(value) ? value.join(', ') : value
      return {
        status: response.statusCode,
        headers: plain,
        body: response.body as AsyncIterable<Buffer>,
        discard: async () => {
          await response.body.dump({ limit: 128 * 1024 }).catch(() => {})
        },
      }
    },
    async close() {
      for (const pool of pools.values()) await (await pool).destroy()
      pools.clear()
    },
  }
}
