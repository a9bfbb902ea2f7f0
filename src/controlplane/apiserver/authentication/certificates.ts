// Users by client certificate: CN is the name, each O a group.
import { X509Certificate } from 'node:crypto'
import type { Clock } from '../../../lib/index.js'
import type { User } from '../http/context.js'
import { type Authenticator, unauthorized } from './authenticator.js'

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

const asList = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === 'string' ? [value] : value

export const splitPem = (bundle: string): X509Certificate[] =>
  (bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map((pem) => new X509Certificate(pem))

/** True when one of `authorities` signed it and it may be used by clients at `now`. */
export function isTrusted(certificate: X509Certificate, authorities: readonly X509Certificate[], now: number): boolean {
  if (now < Date.parse(certificate.validFrom) || now > Date.parse(certificate.validTo)) return false
  if (!(certificate.keyUsage as readonly string[] | undefined)?.includes(CLIENT_AUTH)) return false
  return authorities.some((ca) => certificate.checkIssued(ca) && certificate.verify(ca.publicKey) && now <= Date.parse(ca.validTo))
}

interface Known {
  readonly user: User
  readonly from: number
  readonly until: number
}

/** `bundle`: PEM of the authorities that vouch for users. `shown` is told the seconds that a certificate which is accepted has left. */
export function certificateAuthenticator(bundle: string, clock: Clock, shown: (seconds: number) => void = () => {}): Authenticator {
  const authorities = splitPem(bundle)
  // A connection shows the same bytes with each request.
  const known = new WeakMap<Uint8Array, Known>()
  return ({ peer }) => {
    const der = peer?.clientCertificate
    if (!der) return undefined
    const now = clock.now()
    const hit = known.get(der)
    if (hit && now >= hit.from && now <= hit.until) {
      shown((hit.until - now) / 1000)
      return hit.user
    }
    let certificate: X509Certificate
    try {
      certificate = new X509Certificate(der)
    } catch (error) {
      throw unauthorized(error)
    }
    // Another method may know this certificate (front proxy), or the request may bring a token besides.
    if (!isTrusted(certificate, authorities, now)) return undefined
    const subject = certificate.toLegacyObject().subject as unknown as Record<string, string | readonly string[] | undefined>
    const name = asList(subject.CN).at(-1)
    if (!name) throw unauthorized(new Error('the certificate names nobody'))
    const id = certificate.fingerprint256.replaceAll(':', '').toLowerCase()
    const user: User = {
      name,
      groups: asList(subject.O),
      extra: { 'authentication.kubernetes.io/credential-id': [`X509SHA256=${id}`] },
    }
    const until = Date.parse(certificate.validTo)
    known.set(der, { user, from: Date.parse(certificate.validFrom), until })
    shown((until - now) / 1000)
    return user
  }
}
