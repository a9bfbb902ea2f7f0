// Users named in headers by a proxy that shows the front-proxy certificate (aggregation).
import { X509Certificate } from 'node:crypto'
import type { Clock, HttpHeaders } from '../../../lib/index.js'
import type { FrontProxy } from '../options.js'
import type { Authenticator } from './authenticator.js'
import { isTrusted, splitPem } from './certificates.js'

export const splitList = (value: string | undefined): string[] =>
  (value ?? '')
    .split(',')
    .map((word) => word.trim())
    .filter(Boolean)

/** `<prefix>name: a, b` becomes `{name: [a, b]}`; names are percent-decoded. */
export function extraHeaders(headers: HttpHeaders, prefix: string): Record<string, string[]> {
  const extra: Record<string, string[]> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith(prefix)) continue
    let key = name.slice(prefix.length)
    try {
      key = decodeURIComponent(key)
    } catch {
      // an undecodable name is taken as it stands
    }
    extra[key] = splitList(value)
  }
  return extra
}

export function frontProxyAuthenticator({ ca, allowedNames = [] }: FrontProxy, clock: Clock): Authenticator {
  const authorities = splitPem(ca)
  return ({ peer, headers }) => {
    const name = headers['x-remote-user']
    if (!name || !peer?.clientCertificate) return undefined
    let certificate: X509Certificate
    try {
      certificate = new X509Certificate(peer.clientCertificate)
    } catch {
      return undefined
    }
    if (!isTrusted(certificate, authorities, clock.now())) return undefined
    const commonName = String((certificate.toLegacyObject().subject as unknown as Record<string, unknown>).CN ?? '')
    if (allowedNames.length > 0 && !allowedNames.includes(commonName)) return undefined
    const uid = headers['x-remote-uid']
    return { name, ...(uid && { uid }), groups: splitList(headers['x-remote-group']), extra: extraHeaders(headers, 'x-remote-extra-') }
  }
}
