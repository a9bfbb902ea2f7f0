// Bootstrap tokens (`abcdef.0123456789abcdef`): Secrets in kube-system that let a machine ask for its certificate.
import { timingSafeEqual } from 'node:crypto'
import { Secret } from '../../../api/index.js'
import type { Clock } from '../../../lib/index.js'
import type { Reader } from '../registry/backend.js'
import { type Authenticator, bearerToken } from './authenticator.js'

const TOKEN = /^([a-z0-9]{6})\.([a-z0-9]{16})$/
const GROUP = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/

const same = (a: string, b: string): boolean => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))

export function bootstrapTokenAuthenticator(reader: Reader, clock: Clock): Authenticator {
  return async (request) => {
    const [, id, secret] = TOKEN.exec(bearerToken(request) ?? '') ?? []
    if (!id || !secret) return undefined
    const stored = await reader.find(Secret, 'kube-system', `bootstrap-token-${id}`)
    if (stored?.type !== 'bootstrap.kubernetes.io/token' || stored.metadata.deletionTimestamp) return undefined
    const field = (name: string): string => Buffer.from(stored.data?.[name] ?? '', 'base64').toString('utf8')
    if (!same(field('token-id'), id) || !same(field('token-secret'), secret)) return undefined
    if (field('usage-bootstrap-authentication') !== 'true') return undefined
    const expiration = field('expiration')
    if (expiration && !(clock.now() < Date.parse(expiration))) return undefined
    const groups = field('auth-extra-groups').split(',').filter(Boolean)
    if (!groups.every((group) => GROUP.test(group))) return undefined
    return { name: `system:bootstrap:${id}`, groups: ['system:bootstrappers', ...groups], extra: {} }
  }
}
