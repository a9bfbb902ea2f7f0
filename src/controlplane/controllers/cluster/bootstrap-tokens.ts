// Deletes bootstrap tokens that have expired.
import { Secret } from '../../../api/index.js'
import { nameOf, uidOf } from '../objects.js'
import type { Controller } from '../types.js'

/** When the token ends; undefined for one that never does. A time that cannot be read has passed. */
export function expiresAt(secret: Secret): number | undefined {
  const encoded = secret.data?.expiration
  if (secret.type !== 'bootstrap.kubernetes.io/token' || !encoded) return undefined
  const time = Date.parse(Buffer.from(encoded, 'base64').toString('utf8'))
  return Number.isNaN(time) ? 0 : time
}

export const bootstrapTokens: Controller = {
  name: 'token-cleaner',
  for: Secret,
  async reconcile(key, { cache, client, clock }) {
    const secret = cache.get(Secret, key)
    const at = secret && secret.metadata.namespace === 'kube-system' ? expiresAt(secret) : undefined
    if (!secret || at === undefined) return undefined
    if (at > clock.now()) return { requeueAfterMs: Math.min(at - clock.now(), 24 * 3_600_000) }
    await client.delete(Secret, nameOf(secret), { preconditions: { uid: uidOf(secret) } })
    return undefined
  },
}
