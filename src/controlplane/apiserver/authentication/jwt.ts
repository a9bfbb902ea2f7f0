// JSON Web Tokens (RFC 7519), signed with RS256 or ES256. node:crypto does the signing.
import { createHash, createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject, sign, verify } from 'node:crypto'

export type Claims = Readonly<Record<string, unknown>>

export interface Signer {
  readonly algorithm: 'RS256' | 'ES256'
  readonly keyId: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

export interface Verifier {
  readonly algorithm: 'RS256' | 'ES256'
  readonly keyId: string
  readonly publicKey: KeyObject
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

function algorithmOf(key: KeyObject): 'RS256' | 'ES256' {
  if (key.asymmetricKeyType === 'rsa') return 'RS256'
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ES256'
  throw new Error(`tokens are signed with RSA or P-256 keys, not ${key.asymmetricKeyType}`)
}

/** As Kubernetes names keys: a digest of their public part. */
const keyIdOf = (key: KeyObject): string =>
  createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('base64url')

export function verifierOf(pem: string): Verifier {
  const publicKey = createPublicKey(pem)
  return { algorithm: algorithmOf(publicKey), keyId: keyIdOf(publicKey), publicKey }
}

export function signerOf(pem: string): Signer {
  const privateKey = createPrivateKey(pem)
  const publicKey = createPublicKey(privateKey)
  return { algorithm: algorithmOf(publicKey), keyId: keyIdOf(publicKey), privateKey, publicKey }
}

export function signToken(signer: Signer, claims: Claims): string {
  const head = `${encode({ alg: signer.algorithm, kid: signer.keyId })}.${encode(claims)}`
  const signature = sign('sha256', Buffer.from(head), { key: signer.privateKey, dsaEncoding: 'ieee-p1363' })
  return `${head}.${signature.toString('base64url')}`
}

export interface ParsedToken {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Claims
  readonly signed: string
  readonly signature: Buffer
}

function parsePart(part: string): Claims | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Claims) : undefined
  } catch {
    return undefined
  }
}

/** undefined when it is no token at all. Nothing is believed yet. */
export function parseToken(token: string): ParsedToken | undefined {
  if (token.length > 64 * 1024) return undefined
  const parts = token.split('.')
  if (parts.length !== 3) return undefined
  const [head = '', body = '', signature = ''] = parts
  const header = parsePart(head)
  const claims = parsePart(body)
  return header && claims && { header, claims, signed: `${head}.${body}`, signature: Buffer.from(signature, 'base64url') }
}

/** The algorithm is the key's, never the token's: `none` and mixed-up algorithms do not verify. */
export function signedBy({ header, signed, signature }: ParsedToken, verifiers: readonly Verifier[]): boolean {
  return verifiers.some(
    ({ algorithm, keyId, publicKey }) =>
      header.alg === algorithm &&
      (header.kid === undefined || header.kid === keyId) &&
      verify('sha256', Buffer.from(signed), { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature),
  )
}

/** The keys as a JWKS document (RFC 7517). */
export function jwks(verifiers: readonly Verifier[]): { readonly keys: readonly JsonWebKey[] } {
  return {
    keys: verifiers.map(({ algorithm, keyId, publicKey }) => ({
      use: 'sig',
      ...publicKey.export({ format: 'jwk' }),
      kid: keyId,
      alg: algorithm,
    })),
  }
}
