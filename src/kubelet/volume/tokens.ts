// Bound service-account tokens for projected volumes, asked for once and again before they run out.
import { type Pod, ServiceAccount, type ServiceAccountTokenProjection, type TokenRequest } from '../../api/index.js'
import type { Client } from '../../client/index.js'
import type { Clock, Random } from '../../lib/index.js'

export interface TokenSource {
  token(pod: Pod, projection: ServiceAccountTokenProjection): Promise<string>
  /** When a token of the pod has to be renewed, if it has any. */
  renewAt(pod: Pod): number | undefined
  forget(podUid: string): void
}

interface Held {
  readonly token: string
  readonly expiresAt: number
  readonly renewAt: number
}

const DAY = 24 * 3600_000
const DEFAULT_SECONDS = 3600

export function tokenSource(client: Client, clock: Clock, random: Random): TokenSource {
  const held = new Map<string, Map<string, Held>>()

  async function ask(pod: Pod, { audience, expirationSeconds }: ServiceAccountTokenProjection): Promise<Held> {
    const { namespace, name, uid } = pod.metadata
    const account = pod.spec?.serviceAccountName || 'default'
    const body: TokenRequest = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {
        audiences: audience ? [audience] : [],
        expirationSeconds: expirationSeconds ?? DEFAULT_SECONDS,
        boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
      },
    }
    const asked = clock.now()
    const answer = await client.createSubresource<TokenRequest, TokenRequest>(ServiceAccount, { namespace, name: account }, 'token', body)
    const token = answer.status?.token
    if (!token) throw new Error(`the API server gave no token for service account ${namespace}/${account}`)
    const expiresAt = Date.parse(answer.status?.expirationTimestamp ?? '') || asked + DEFAULT_SECONDS * 1000
    // A little early and not all at once.
    const life = expiresAt - asked
    return { token, expiresAt, renewAt: Math.min(asked + life * 0.8, asked + DAY) - random.next() * 10_000 }
  }

  return {
    async token(pod, projection) {
      const uid = pod.metadata.uid ?? ''
      const key = JSON.stringify([projection.audience ?? '', projection.expirationSeconds ?? DEFAULT_SECONDS])
      const ofPod = held.get(uid) ?? new Map<string, Held>()
      held.set(uid, ofPod)
      const have = ofPod.get(key)
      if (have && clock.now() < have.renewAt) return have.token
      try {
        const fresh = await ask(pod, projection)
        ofPod.set(key, fresh)
        return fresh.token
      } catch (error) {
        // While the API server is away the old one does, as long as it lasts.
        if (have && clock.now() < have.expiresAt) {
          ofPod.set(key, { ...have, renewAt: clock.now() + 30_000 })
          return have.token
        }
        throw error
      }
    },
    renewAt(pod) {
      const times = [...(held.get(pod.metadata.uid ?? '')?.values() ?? [])].map(({ renewAt }) => renewAt)
      return times.length > 0 ? Math.min(...times) : undefined
    },
    forget: (uid) => void held.delete(uid),
  }
}
