// Tokens of an OpenID Connect issuer: its keys are fetched from it, its claims name the user.
import { createPublicKey, type JsonWebKey } from 'node:crypto'
import { request } from 'node:https'
import { type Clock, explain, type Logger } from '../../../lib/index.js'
import type { OidcIssuer } from '../options.js'
import { type Authenticator, bearerToken, unauthorized } from './authenticator.js'
import { type Claims, parseToken, signedBy, type Verifier } from './jwt.js'

const MOST_BYTES = 1024 * 1024
/** A token with an unknown key makes us look for new keys, but not more often than this. */
const REFRESH_MS = 10_000
const KEEP_MS = 60 * 60_000

function fetchJson(url: string, ca: string | undefined): Promise<Readonly<Record<string, unknown>>> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { ...(ca && { ca }), timeout: 10_000 }, (response) => {
      const chunks: Buffer[] = []
      let length = 0
      response.on('data', (chunk: Buffer) => {
        length += chunk.length
        if (length > MOST_BYTES) outgoing.destroy(new Error(`${url}: the answer is too long`))
        else chunks.push(chunk)
      })
      response.on('end', () => {
        if (response.statusCode !== 200) return reject(new Error(`${url} answered ${response.statusCode}`))
        try {
          resolve(JSON.parse(Buffer.concat(chunks).toString('utf8')) as Readonly<Record<string, unknown>>)
        } catch (error) {
          reject(new Error(`${url}: no JSON`, { cause: error }))
        }
      })
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error(`${url}: no answer`)))
    outgoing.on('error', reject)
    outgoing.end()
  })
}

function verifierOf(key: JsonWebKey & { readonly kid?: string }): Verifier | undefined {
  const algorithm = key.kty === 'RSA' ? 'RS256' : key.kty === 'EC' && key.crv === 'P-256' ? 'ES256' : undefined
  return algorithm && { algorithm, keyId: key.kid ?? '', publicKey: createPublicKey({ key, format: 'jwk' }) }
}

const strings = (value: unknown): string[] =>
  typeof value === 'string' ? [value] : Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : []

/** User and groups that claims name; throws when they name nobody. */
export function userOfClaims(claims: Claims, options: OidcIssuer): { readonly name: string; readonly groups: readonly string[] } {
  const claim = options.usernameClaim ?? 'sub'
  const name = claims[claim]
  if (typeof name !== 'string' || name === '') throw new Error(`oidc: the claim ${claim} is missing`)
  if (claim === 'email' && claims.email_verified === false) throw new Error('oidc: the email is not verified')
  // Without a prefix of its own a name is told from those of other issuers by the issuer; emails are unique already.
  const prefix = options.usernamePrefix ?? (claim === 'email' ? '' : `${options.issuer}#`)
  const groups = options.groupsClaim === undefined ? [] : strings(claims[options.groupsClaim])
  return { name: `${prefix === '-' ? '' : prefix}${name}`, groups: groups.map((group) => `${options.groupsPrefix ?? ''}${group}`) }
}

export function oidcAuthenticator(options: OidcIssuer, { clock, log }: { clock: Clock; log: Logger }): Authenticator {
  let keys: readonly Verifier[] = []
  let fetchedAt = Number.NEGATIVE_INFINITY
  let fetching: Promise<void> | undefined

  const fetchKeys = async (): Promise<void> => {
    const configuration = await fetchJson(`${options.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, options.ca)
    if (configuration.issuer !== options.issuer) throw new Error(`oidc: ${options.issuer} says it is ${String(configuration.issuer)}`)
    const { keys: found } = (await fetchJson(String(configuration.jwks_uri), options.ca)) as { readonly keys?: readonly JsonWebKey[] }
    keys = (found ?? []).map(verifierOf).filter((one) => one !== undefined)
    fetchedAt = clock.monotonic()
  }
  const refresh = (olderThan: number): Promise<void> => {
    if (clock.monotonic() - fetchedAt < olderThan) return Promise.resolve()
    fetching ??= fetchKeys().finally(() => {
      fetching = undefined
    })
    return fetching
  }

  return async (incoming) => {
    const token = bearerToken(incoming)
    const parsed = token === undefined ? undefined : parseToken(token)
    if (!parsed || parsed.claims.iss !== options.issuer) return undefined
    try {
      await refresh(KEEP_MS)
      if (!signedBy(parsed, keys)) {
        await refresh(REFRESH_MS)
        if (!signedBy(parsed, keys)) throw new Error('oidc: no key of the issuer signed this token')
      }
      const { aud, exp, nbf } = parsed.claims
      const now = clock.now() / 1000
      if (!strings(aud).includes(options.clientId)) throw new Error('oidc: the token is meant for another client')
      if (typeof exp !== 'number' || now > exp) throw new Error('oidc: the token has expired')
      if (typeof nbf === 'number' && now < nbf - 10) throw new Error('oidc: the token is not valid yet')
      return { ...userOfClaims(parsed.claims, options), extra: {} }
    } catch (error) {
      log.debug('oidc token refused', { issuer: options.issuer, err: explain(error) })
      throw unauthorized(error)
    }
  }
}
