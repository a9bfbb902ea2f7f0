// Talks to the servers of one registry: authentication, redirects, retries, mirrors. What is asked is the callers' business.
// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
import { type Clock, exponentialBackoff, sleep } from '../lib/index.js'
import { AccessRefused, type Authorizer } from './auth.js'
import type { Capability, ConnectSettings, RegistryHost } from './hosts.js'
import type { Reference } from './reference.js'
import type { Transport, WireRequest, WireResponse } from './transport.js'

/** A registry said no, or did not answer. `retry`: the same request may work later. */
export class RegistryFailure extends Error {
  override readonly name = 'RegistryFailure'
  readonly status: number | undefined
  readonly retry: boolean
  readonly retryAfterMs: number | undefined
  /** The server does not speak what we speak; with another scheme it may. */
  readonly wrongScheme: boolean

  constructor(
    message: string,
    options: {
      status?: number | undefined
      retry?: boolean
      retryAfterMs?: number | undefined
      wrongScheme?: boolean
      cause?: unknown
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.status = options.status
    this.retry = options.retry ?? false
    this.retryAfterMs = options.retryAfterMs
    this.wrongScheme = options.wrongScheme ?? false
  }
}

const RETRY_STATUS = new Set([408, 429, 500, 502, 503, 504])
/** Not EAI_AGAIN: the resolver has tried for some seconds by itself. */
const RETRY_CODES = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'ECONNREFUSED', 'ERR_STREAM_PREMATURE_CLOSE'])
const SCHEME_CODES = new Set(['EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG', 'ECONNREFUSED', 'ECONNRESET'])

const statusWords: Readonly<Record<number, string>> = {
  400: 'the request is malformed',
  401: 'not authorized',
  403: 'forbidden: the credentials do not allow it',
  404: 'not found',
  405: 'not supported there',
  413: 'too large for it',
  429: 'too many requests: try again later',
  500: 'internal error',
  502: 'bad gateway',
  503: 'unavailable',
  504: 'gateway timeout',
}

const codeWords: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'no name server tells its address',
  UND_ERR_SOCKET: 'the connection broke off',
  ECONNRESET: 'the connection broke off',
}

/** The failure behind an error of the transport. */
export function networkFailure(host: string, error: unknown): Error {
  if (error instanceof RegistryFailure || error instanceof AccessRefused) return error
  const { code = '', message } = error as NodeJS.ErrnoException
  if ((error as Error).name === 'AbortError' || code === 'ABORT_ERR' || code === 'UND_ERR_ABORTED') return error as Error
  if (['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT'].includes(code))
    return new RegistryFailure(`the registry at ${host} does not answer`)
  const words = codeWords[code] ?? message
  return new RegistryFailure(`the registry at ${host}: ${words}`, { retry: RETRY_CODES.has(code), wrongScheme: SCHEME_CODES.has(code) })
}

async function bodyStart(response: WireResponse, limit = 8192): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of response.body) {
      chunks.push(chunk)
      length += chunk.length
      if (length > limit) break
    }
  } catch {
    // The status is what counts.
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The failure that a status says, with the registry's own words if it has any. */
export async function statusFailure(host: string, response: WireResponse): Promise<RegistryFailure> {
  const { status } = response
  let detail = ''
  try {
    const { errors } = JSON.parse(await bodyStart(response)) as { errors?: readonly { code?: string; message?: string }[] }
    const first = errors?.[0]
    detail = [first?.code, first?.message].filter((word) => typeof word === 'string' && word !== '').join(': ')
  } catch {
    // No words.
  }
  const words = statusWords[status]
  const after = Number(response.headers['retry-after'])
  return new RegistryFailure(
    `the registry at ${host} answered ${status}${words ? ` (${words})` : ''}${detail ? `: ${detail.slice(0, 300)}` : ''}`,
    {
      status,
      retry: RETRY_STATUS.has(status),
      ...(Number.isFinite(after) && after >= 0 ? { retryAfterMs: after * 1000 } : {}),
    },
  )
}

export interface RetryPolicy {
  /** Tries in all. */
  readonly tries: number
  readonly initialMs: number
  readonly maxMs: number
}

export const defaultRetry: RetryPolicy = { tries: 5, initialMs: 150, maxMs: 5000 }

export interface CallOptions {
  readonly method: WireRequest['method']
  /** Below the API's base: `/library/nginx/manifests/latest`; or a whole URL that the server gave. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: () => Uint8Array | AsyncIterable<Uint8Array>
  /** Statuses that the caller understands; every other is a RegistryFailure. */
  readonly expect: readonly number[]
  readonly scopes: readonly string[]
  /** Not to be repeated here: the caller must look what became of it first. */
  readonly once?: boolean
  readonly signal?: AbortSignal
}

export interface Registry {
  readonly hosts: readonly RegistryHost[]
  /** Asks one host. */
  call(host: RegistryHost, options: CallOptions): Promise<WireResponse>
  /** Asks the hosts that can do it, in order, until one does. */
  anyHost<T>(capability: Capability, act: (host: RegistryHost) => Promise<T>): Promise<T>
  /** Runs again what failed in a way that may pass; `act` learns how often it has been tried. */
  retrying<T>(act: (attempt: number) => Promise<T>, signal?: AbortSignal): Promise<T>
}

interface Options {
  readonly reference: Reference
  readonly hosts: readonly RegistryHost[]
  readonly transport: Transport
  readonly authorizer: Authorizer
  readonly clock: Clock
  readonly retry: RetryPolicy
}

/** Who we are is for the registry, not for where it sends us. */
const withoutClient = ({ cert: _, key: __, ...rest }: ConnectSettings): ConnectSettings => rest

const REDIRECTS = new Set([301, 302, 303, 307, 308])

export function registry({ reference, hosts, transport, authorizer, clock, retry }: Options): Registry {
  const nameOf = (host: RegistryHost): string => new URL(host.base).host

  const once = async (host: RegistryHost, options: CallOptions): Promise<WireResponse> => {
    const { method, scopes, signal } = options
    const first = new URL(/^https?:\/\//.test(options.path) ? options.path : `${host.base}${options.path}`)
    const home = new URL(host.base).origin
    // A mirror serves many registries and must be told which is meant.
    if (host.mirror && first.origin === home) first.searchParams.set('ns', reference.domain)
    let url = first
    let authorization = authorizer.known(nameOf(host), scopes)
    let challenged = 0
    for (let hops = 0; hops <= 10; ) {
      const own = url.origin === home
      const response = await transport.send({
        method,
        url: url.href,
        headers: {
          ...(own ? host.headers : {}),
          ...options.headers,
          ...(own && authorization !== undefined ? { authorization } : {}),
        },
        ...(options.body ? { body: options.body() } : {}),
        connect: own ? host.connect : withoutClient(host.connect),
        ...(signal ? { signal } : {}),
      })
      if (REDIRECTS.has(response.status) && response.headers.location !== undefined && !options.expect.includes(response.status)) {
        await response.discard()
        if (!URL.canParse(response.headers.location, url.href))
          throw new RegistryFailure(`the registry at ${nameOf(host)} redirects to nowhere`)
        url = new URL(response.headers.location, url)
        if (!/^https?:$/.test(url.protocol)) throw new RegistryFailure(`the registry at ${nameOf(host)} redirects to ${url.protocol}`)
        hops++
        continue
      }
      if (response.status === 401 && own && challenged < 2) {
        challenged++
        await response.discard()
        const header = response.headers['www-authenticate']
        authorization = await authorizer.answer({
          host: nameOf(host),
          mirror: host.mirror,
          header,
          scopes,
          sent: authorization,
          connect: host.connect,
          ...(signal ? { signal } : {}),
        })
        continue
      }
      if (options.expect.includes(response.status)) return response
      throw await statusFailure(url.host, response)
    }
    throw new RegistryFailure(`the registry at ${nameOf(host)} redirects in circles`)
  }

  const retrying: Registry['retrying'] = async (act, signal) => {
    const backoff = exponentialBackoff(retry)
    for (let attempt = 1; ; attempt++) {
      try {
        return await act(attempt)
      } catch (error) {
        if (signal?.aborted) throw signal.reason
        if (!(error instanceof RegistryFailure) || !error.retry) throw error
        // Callers that retry in their turn must not multiply the tries.
        if (attempt >= retry.tries) throw new RegistryFailure(error.message, { ...error, retry: false })
        const wait = backoff.next()
        await sleep(clock, Math.min(Math.max(wait, error.retryAfterMs ?? 0), 60_000), signal)
      }
    }
  }

  const call: Registry['call'] = (host, options) => {
    const fallback = hosts.at(-1) !== host && hosts.some((other) => other !== host && other.base.replace(/^http:/, 'https:') === host.base)
    const act = async (): Promise<WireResponse> => {
      try {
        return await once(host, options)
      } catch (error) {
        const failure = networkFailure(nameOf(host), error)
        // With another scheme to try there is no point in waiting for this one.
        if (fallback && failure instanceof RegistryFailure && failure.wrongScheme)
          throw new RegistryFailure(failure.message, { wrongScheme: true })
        throw failure
      }
    }
    return options.once ? act() : retrying(act, options.signal)
  }

  return {
    hosts,
    call,
    retrying,
    async anyHost(capability, act) {
      const able = hosts.filter(({ capabilities }) => capabilities.includes(capability))
      if (able.length === 0) throw new RegistryFailure(`no host of ${reference.domain} is allowed to ${capability}`)
      let failure: unknown
      for (const [i, host] of able.entries()) {
        try {
          return await act(host)
        } catch (error) {
          if (!(error instanceof RegistryFailure || error instanceof AccessRefused)) throw error
          failure = error
          const next = able[i + 1]
          const sameServer = next && !host.mirror && next.base.replace(/^http:/, 'https:') === host.base
          if (sameServer && !(error instanceof RegistryFailure && error.wrongScheme)) break
        }
      }
      throw failure
    },
  }
}
