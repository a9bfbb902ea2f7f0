// Certificates in projected volumes: the key is made here, a signer answers a PodCertificateRequest, and again before it runs out.
import { type Node, type Pod, type PodCertificateProjection, PodCertificateRequest, ServiceAccount } from '../../api/index.js'
import { type Client, type Informer, informer } from '../../client/index.js'
import { type Clock, type Logger, nameSuffix, type Random } from '../../lib/index.js'
import type { PodKey } from '../options.js'

export interface Credentials {
  /** PKCS#8, PEM. */
  readonly key: string
  /** PEM, the pod's own certificate first. */
  readonly chain: string
}

export interface PodCertificates {
  /** The credentials of one source of one volume. Throws while there are none: `changed` tells when to ask again. */
  credentials(
    pod: Pod,
    source: { readonly volume: string; readonly index: number },
    projection: PodCertificateProjection,
  ): Promise<Credentials>
  /** When something of the pod has to be renewed, if it has any. */
  renewAt(pod: Pod): number | undefined
  forget(podUid: string): void
}

interface Pending {
  readonly name: string
  readonly key: string
  /** A request that nobody has seen since is taken to be deleted. */
  readonly givenUpAt: number
}

interface Held {
  pending: Pending | undefined
  issued: (Credentials & { readonly renewAt: number; readonly notAfter: number }) | undefined
  /** Why a signer will not; it is not asked again for this pod. */
  refused: string | undefined
}

export interface PodCertificatesOptions {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly node: () => Node | undefined
  readonly nodeName: string
  readonly newKey: ((keyType: string) => Promise<PodKey>) | undefined
  readonly signal: AbortSignal
  readonly changed: (podUid: string) => void
  readonly event: (pod: Pod, reason: string, message: string) => void
}

const MINUTE = 60_000
const ABANDONED_MS = 10 * MINUTE
const JITTER_MS = 5 * MINUTE

/** Only the certificates, whatever a signer wrote between them. */
const cleanChain = (text: string): string =>
  (text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []).map((block) => `${block}\n`).join('')

export function podCertificates(options: PodCertificatesOptions): PodCertificates {
  const { client, clock, random, log, nodeName, newKey, event } = options
  const held = new Map<string, Map<string, Held>>()
  let requests: Informer<PodCertificateRequest> | undefined

  /** All requests of this node, from the first pod on that needs one. */
  function watchRequests(): Informer<PodCertificateRequest> {
    if (requests) return requests
    const cache = informer(client, PodCertificateRequest, { fieldSelector: `spec.nodeName=${nodeName}`, clock, log })
    const tell = ({ spec }: PodCertificateRequest): void => options.changed(spec.podUID)
    cache.subscribe({ added: tell, updated: tell, deleted: tell })
    void cache.run(options.signal)
    requests = cache
    return cache
  }

  async function request(pod: Pod, projection: PodCertificateProjection): Promise<Pending> {
    if (!newKey) throw new Error('this node makes no keys for pods')
    const { namespace, name, uid = '' } = pod.metadata
    const account = pod.spec?.serviceAccountName || 'default'
    const { metadata } = await client.get(ServiceAccount, { namespace, name: account })
    const { privateKey, request: stub } = await newKey(projection.keyType)
    const requestName = `req-${nameSuffix(random, 5)}`
    await client.create(PodCertificateRequest, {
      apiVersion: 'certificates.k8s.io/v1',
      kind: 'PodCertificateRequest',
      metadata: { name: requestName, namespace, ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name, uid }] },
      spec: {
        signerName: projection.signerName,
        podName: name,
        podUID: uid,
        serviceAccountName: account,
        serviceAccountUID: metadata.uid ?? '',
        nodeName,
        nodeUID: options.node()?.metadata.uid ?? '',
        maxExpirationSeconds: projection.maxExpirationSeconds,
        stubPKCS10Request: Buffer.from(stub).toString('base64'),
        unverifiedUserAnnotations: projection.userAnnotations,
      },
    })
    return { name: requestName, key: privateKey, givenUpAt: clock.now() + ABANDONED_MS }
  }

  /** What has become of a request; undefined while it is open. */
  function settle(pod: Pod, entry: Held, pending: Pending): void {
    const found = requests?.get(`${pod.metadata.namespace}/${pending.name}`)
    const decided = found?.status?.conditions?.find(
      ({ type, status }) => status === 'True' && ['Denied', 'Failed', 'Issued'].includes(type),
    )
    if (!found || !decided) {
      if (clock.now() >= pending.givenUpAt && !found) entry.pending = undefined
      return
    }
    entry.pending = undefined
    if (decided.type === 'Issued') {
      const { certificateChain = '', beginRefreshAt = '', notAfter = '' } = found.status ?? {}
      const end = Date.parse(notAfter) || clock.now() + 60 * MINUTE
      const begin = Date.parse(beginRefreshAt) || end
      // Not all pods at once, and not after the end.
      const renewAt = begin + random.next() * Math.min(JITTER_MS, Math.max(0, (end - begin) / 2))
      entry.issued = { key: pending.key, chain: cleanChain(certificateChain), renewAt, notAfter: end }
      return
    }
    const what = decided.type === 'Denied' ? 'denied' : 'failed'
    const quoted = `reason=${JSON.stringify(decided.reason ?? '')} message=${JSON.stringify(decided.message ?? '')}`
    entry.refused = `PodCertificateRequest was permanently ${what}: ${quoted}`
    event(pod, decided.type, `PodCertificateRequest ${pod.metadata.namespace}/${pending.name} was ${what}: ${quoted}`)
  }

  return {
    async credentials(pod, { volume, index }, projection) {
      const uid = pod.metadata.uid ?? ''
      const ofPod = held.get(uid) ?? new Map<string, Held>()
      held.set(uid, ofPod)
      const key = `${volume}/${index}`
      const entry: Held = ofPod.get(key) ?? { pending: undefined, issued: undefined, refused: undefined }
      ofPod.set(key, entry)
      await watchRequests().synced
      if (entry.pending) settle(pod, entry, entry.pending)
      const due = !entry.issued || clock.now() >= entry.issued.renewAt
      if (due && !entry.pending && entry.refused === undefined) entry.pending = await request(pod, projection)
      if (entry.issued) return entry.issued
      throw new Error(entry.refused ?? 'credential bundle is not issued yet')
    },
    renewAt(pod) {
      const times = [...(held.get(pod.metadata.uid ?? '')?.values() ?? [])].flatMap(({ issued, pending, refused }) =>
        refused !== undefined ? [] : pending ? [pending.givenUpAt] : issued ? [issued.renewAt] : [],
      )
      return times.length > 0 ? Math.min(...times) : undefined
    },
    forget: (podUid) => void held.delete(podUid),
  }
}
