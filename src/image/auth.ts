// Answers a registry's challenge: Basic, or a Bearer token from its token server.
// https://distribution.github.io/distribution/spec/auth/token/
import type { Clock } from '../lib/index.js'
import type { Credentials } from './credentials.js'
import type { ConnectSettings } from './hosts.js'
import type { Transport } from './transport.js'

export interface Challenge {
  readonly scheme: string
  readonly parameters: Readonly<Record<string, string>>
}

/** Reads WWW-Authenticate (RFC 9110, 11.6.1); several challenges may stand in one header. */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = []
  const pattern = /([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+)))?\s*,?\s*/gy
  for (let found = pattern.exec(header); found && found[0] !== ''; found = pattern.exec(header)) {
    const [, word = '', quoted, plain] = found
    const value = quoted?.replace(/\\(.)/g, '$1') ?? plain
    if (value === undefined) challenges.push({ scheme: word.toLowerCase(), parameters: {} })
    else {
      const last = challenges.at(-1)
      if (last) last.parameters[word.toLowerCase()] = value
    }
  }
  return challenges
}

export const basicHeader = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`

/** The credentials were refused, or there are none; the message says which. */
export class AccessRefused extends Error {
  override readonly name = 'AccessRefused'
}

interface TokenRequest {
  readonly challenge: Challenge
  readonly scopes: readonly string[]
  readonly credentials: Credentials | undefined
  readonly transport: Transport
  readonly connect: ConnectSettings
  readonly clock: Clock
  readonly signal: AbortSignal | undefined
}

interface Token {
  readonly header: string
  /** Milliseconds since 1970. */
  readonly until: number
}

const MAX_TOKEN_ANSWER = 1024 * 1024

async function fetchToken(request: TokenRequest): Promise<Token> {
  const { challenge, scopes, credentials, transport, connect, clock, signal } = request
  const realm = challenge.parameters.realm
  if (realm === undefined || !URL.canParse(realm)) throw new AccessRefused('the registry names no token server')
  const url = new URL(realm)
  const service = challenge.parameters.service
  const common = { connect, ...(signal ? { signal } : {}) }
  const ask = () => {
    if (credentials?.identityToken !== undefined) {
      const form = new URLSearchParams({
        grant_type: 'refresh_token',
        refresh_token: credentials.identityToken,
        client_id: 'knarr',
        scope: scopes.join(' '),
        ...(service === undefined ? {} : { service }),
      })
      return transport.send({
        ...common,
        method: 'POST',
        url: url.href,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: Buffer.from(form.toString()),
      })
    }
    if (service !== undefined) url.searchParams.set('service', service)
    for (const scope of scopes) url.searchParams.append('scope', scope)
    if (credentials?.username !== undefined) url.searchParams.set('account', credentials.username)
    const headers: Record<string, string> =
      credentials?.username !== undefined ? { authorization: basicHeader(credentials.username, credentials.password ?? '') } : {}
    return transport.send({ ...common, method: 'GET', url: url.href, headers })
  }
  const response = await ask()
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response.body) {
    length += chunk.length
    if (length > MAX_TOKEN_ANSWER) throw new AccessRefused(`the token server ${url.host} sent too long an answer`)
    chunks.push(chunk)
  }
  if (response.status === 401 || response.status === 403)
    throw new AccessRefused(
      credentials ? `the token server ${url.host} refused the credentials` : `the token server ${url.host} wants credentials`,
    )
  if (response.status !== 200) throw new AccessRefused(`the token server ${url.host} answered ${response.status}`)
  let answer: { token?: unknown; access_token?: unknown; expires_in?: unknown }
  try {
    answer = JSON.parse(Buffer.concat(chunks).toString('utf8')) as typeof answer
  } catch {
    throw new AccessRefused(`the token server ${url.host} did not answer with JSON`)
  }
  const token = answer.token ?? answer.access_token
  if (typeof token !== 'string' || token === '' || /[\r\n]/.test(token))
    throw new AccessRefused(`the token server ${url.host} sent no token`)
  const seconds = typeof answer.expires_in === 'number' ? answer.expires_in : 60
  return { header: `Bearer ${token}`, until: clock.now() + Math.max(5, seconds - 10) * 1000 }
}

export interface Authorizer {
  /** What to send, if it is known already. */
  known(host: string, scopes: readonly string[]): string | undefined
  /** After a 401: what to send now. Throws AccessRefused when there is nothing more to try. */
  answer(options: {
    readonly host: string
    /** The host stands in for another, and has credentials of its own. */
    readonly mirror: boolean
    readonly header: string | undefined
    readonly scopes: readonly string[]
    readonly sent: string | undefined
    readonly connect: ConnectSettings
    readonly signal?: AbortSignal
  }): Promise<string>
}

/** Remembers tokens until they end, so that a pull asks its token server once. */
export function authorizer(
  transport: Transport,
  clock: Clock,
  credentials: (mirror: string | undefined) => Promise<Credentials | undefined>,
): Authorizer {
  const tokens = new Map<string, Token>()
  const inFlight = new Map<string, Promise<Token>>()
  const keyOf = (host: string, scopes: readonly string[]): string => `${host} ${scopes.join(' ')}`
  return {
    known(host, scopes) {
      const token = tokens.get(keyOf(host, scopes))
      return token && token.until > clock.now() ? token.header : undefined
    },
    async answer({ host, mirror, header, scopes, sent, connect, signal }) {
      const mine = await credentials(mirror ? host : undefined)
      const key = keyOf(host, scopes)
      const keep = (token: Token): string => {
        tokens.set(key, token)
        return token.header
      }
      const forGood = (value: string): string => {
        if (sent === value) throw new AccessRefused('the registry refused the credentials')
        return keep({ header: value, until: Number.POSITIVE_INFINITY })
      }
      if (mine?.registryToken !== undefined) return forGood(`Bearer ${mine.registryToken}`)
      const challenges = parseChallenges(header ?? '')
      const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
      if (bearer) {
        if (sent?.startsWith('Bearer ') && tokens.get(key)?.header === sent) tokens.delete(key)
        else if (sent?.startsWith('Bearer '))
          throw new AccessRefused(mine ? 'the registry refused the credentials' : 'the registry wants credentials')
        const running =
          inFlight.get(key) ??
          fetchToken({ challenge: bearer, scopes, credentials: mine, transport, connect, clock, signal }).finally(() =>
            inFlight.delete(key),
          )
        inFlight.set(key, running)
        const token = await running
        if (token.header === sent) throw new AccessRefused(mine ? 'the registry refused the credentials' : 'the registry wants credentials')
        return keep(token)
      }
      if (!challenges.some(({ scheme }) => scheme === 'basic')) throw new AccessRefused('the registry refused access (401)')
      if (mine?.username === undefined) throw new AccessRefused('the registry wants credentials')
      return forGood(basicHeader(mine.username, mine.password ?? ''))
    },
  }
}
