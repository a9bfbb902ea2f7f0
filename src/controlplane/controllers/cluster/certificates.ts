// CertificateSigningRequests: approves those of kubelets, signs what is approved, forgets what is old.
import { CertificateSigningRequest, type CertificateSigningRequestCondition, Node } from '../../../api/index.js'
import { explain, rfc3339 } from '../../../lib/index.js'
import { millis, nameOf, uidOf } from '../objects.js'
import type { Controller, RequestedIdentity } from '../types.js'

const CLIENT_KUBELET = 'kubernetes.io/kube-apiserver-client-kubelet'
const SERVING_KUBELET = 'kubernetes.io/kubelet-serving'
const CLIENT = 'kubernetes.io/kube-apiserver-client'
const LEGACY = 'kubernetes.io/legacy-unknown'
const SIGNED = new Set([CLIENT_KUBELET, SERVING_KUBELET, CLIENT, LEGACY])

export const csrCondition = (request: CertificateSigningRequest, type: string): CertificateSigningRequestCondition | undefined =>
  request.status?.conditions?.find((condition) => condition.type === type)

const isApproved = (request: CertificateSigningRequest): boolean =>
  csrCondition(request, 'Approved') !== undefined && csrCondition(request, 'Denied') === undefined

const subset = (values: readonly string[], allowed: readonly string[]): boolean => values.every((value) => allowed.includes(value))

/** Whether the request is for a kubelet's own client certificate, as the signer's rules have it. */
export function isKubeletClient({ spec }: CertificateSigningRequest, identity: RequestedIdentity): boolean {
  if (spec.signerName !== CLIENT_KUBELET) return false
  const names = [...identity.dnsNames, ...identity.ipAddresses, ...(identity.emailAddresses ?? []), ...(identity.uris ?? [])]
  return (
    names.length === 0 &&
    identity.organizations.length === 1 &&
    identity.organizations[0] === 'system:nodes' &&
    identity.commonName.startsWith('system:node:') &&
    (spec.usages ?? []).includes('client auth') &&
    subset(spec.usages ?? [], ['key encipherment', 'digital signature', 'client auth'])
  )
}

/** Why a request must not be signed by its signer; undefined when it may. */
export function refusal({ spec }: CertificateSigningRequest, identity: RequestedIdentity): string | undefined {
  const usages = spec.usages ?? []
  switch (spec.signerName) {
    case CLIENT_KUBELET:
      return isKubeletClient({ spec } as CertificateSigningRequest, identity) ? undefined : 'not a kubelet client certificate'
    case SERVING_KUBELET: {
      if (identity.organizations.length !== 1 || identity.organizations[0] !== 'system:nodes') return 'organization is not system:nodes'
      if (!identity.commonName.startsWith('system:node:')) return 'common name does not begin with system:node:'
      if (identity.dnsNames.length + identity.ipAddresses.length === 0) return 'no DNS name or IP address'
      if ((identity.emailAddresses ?? []).length + (identity.uris ?? []).length > 0) return 'email addresses and URIs are not allowed'
      const fits = usages.includes('server auth') && subset(usages, ['key encipherment', 'digital signature', 'server auth'])
      return fits ? undefined : 'usages are not those of a serving certificate'
    }
    case CLIENT:
      return usages.includes('client auth') && subset(usages, ['digital signature', 'key encipherment', 'client auth'])
        ? undefined
        : 'usages are not those of a client certificate'
    default:
      return undefined
  }
}

/** Nodes that renew ask for themselves; new ones come with a bootstrap token. */
const mayApprove = ({ spec }: CertificateSigningRequest, identity: RequestedIdentity): boolean =>
  spec.username === identity.commonName || (spec.groups ?? []).includes('system:bootstrappers')

/** Whether a node asks for a serving certificate that names nothing but itself and the addresses its Node has. */
export function isOwnServing(request: CertificateSigningRequest, identity: RequestedIdentity, node: Node): boolean {
  if (request.spec.signerName !== SERVING_KUBELET || refusal(request, identity) !== undefined) return false
  const own = `system:node:${node.metadata.name}`
  const addresses = (node.status?.addresses ?? []).map(({ address }) => address)
  const names = [node.metadata.name, ...addresses]
  return (
    request.spec.username === own &&
    identity.commonName === own &&
    subset(identity.dnsNames, names) &&
    subset(identity.ipAddresses, addresses)
  )
}

export const certificateApprover: Controller = {
  name: 'csrapproving',
  for: CertificateSigningRequest,
  reads: [Node],
  async reconcile(key, { cache, client, clock, options }) {
    const request = cache.get(CertificateSigningRequest, key)
    if (!request || !options.signer || request.status?.certificate || (request.status?.conditions ?? []).length > 0) return undefined
    const identity = options.signer.inspect(Buffer.from(request.spec.request, 'base64').toString('utf8'))
    if (!identity) return undefined
    const asksForItself = isKubeletClient(request, identity) && mayApprove(request, identity)
    const node = asksForItself ? undefined : cache.get(Node, request.spec.username?.replace(/^system:node:/, '') ?? '')
    if (!asksForItself && !(node && isOwnServing(request, identity, node))) {
      // A node that has just registered may be known here only in a moment.
      const young = clock.now() - millis(request.metadata.creationTimestamp) < 5 * 60_000
      return request.spec.signerName === SERVING_KUBELET && young ? { requeueAfterMs: 1000 } : undefined
    }
    const time = rfc3339(clock.now())
    const condition = {
      type: 'Approved',
      status: 'True',
      reason: 'AutoApproved',
      message: asksForItself
        ? 'Auto approving kubelet client certificate after SubjectAccessReview.'
        : 'Auto approving kubelet serving certificate for the addresses of its own Node.',
      lastUpdateTime: time,
      lastTransitionTime: time,
    }
    const status = { ...request.status, conditions: [condition] }
    await client.update(CertificateSigningRequest, { ...request, status }, { subresource: 'approval' })
    return undefined
  },
}

const YEAR_SECONDS = 365 * 24 * 3600

export const certificateSigner: Controller = {
  name: 'csrsigning',
  for: CertificateSigningRequest,
  async reconcile(key, { cache, client, clock, options }) {
    const request = cache.get(CertificateSigningRequest, key)
    if (!request || !options.signer || !SIGNED.has(request.spec.signerName)) return undefined
    if (!isApproved(request) || request.status?.certificate || csrCondition(request, 'Failed')) return undefined
    const pem = Buffer.from(request.spec.request, 'base64').toString('utf8')
    const identity = options.signer.inspect(pem)
    const refused = identity ? refusal(request, identity) : 'the request cannot be read'
    if (refused) {
      const time = rfc3339(clock.now())
      const failed = {
        type: 'Failed',
        status: 'True',
        reason: 'SignerValidationFailure',
        message: refused,
        lastUpdateTime: time,
        lastTransitionTime: time,
      }
      const conditions = [...(request.status?.conditions ?? []), failed]
      await client.updateStatus(CertificateSigningRequest, { ...request, status: { ...request.status, conditions } })
      return undefined
    }
    const most = options.certificateSeconds ?? YEAR_SECONDS
    const seconds = Math.max(600, Math.min(request.spec.expirationSeconds ?? most, most))
    const { signerName, usages = [] } = request.spec
    let chain: string
    try {
      chain = await options.signer.sign({ pem, signerName, usages, notAfter: clock.now() + seconds * 1000 })
    } catch (error) {
      throw new Error(`sign ${key}: ${explain(error)}`, { cause: error })
    }
    const status = { ...request.status, certificate: Buffer.from(chain).toString('base64') }
    await client.updateStatus(CertificateSigningRequest, { ...request, status })
    return undefined
  },
}

const HOUR_MS = 3_600_000

/** When a request may be forgotten: an hour after its decision, a day without one. */
export function forgetAt(request: CertificateSigningRequest): number {
  const made = millis(request.metadata.creationTimestamp)
  const decided = ['Approved', 'Denied', 'Failed'].flatMap((type) => csrCondition(request, type)?.lastUpdateTime ?? [])
  if (decided.length > 0) return Math.max(...decided.map(millis)) + HOUR_MS
  return made + 24 * HOUR_MS
}

export const certificateCleaner: Controller = {
  name: 'csrcleaner',
  for: CertificateSigningRequest,
  async reconcile(key, { cache, client, clock }) {
    const request = cache.get(CertificateSigningRequest, key)
    if (!request) return undefined
    const wait = forgetAt(request) - clock.now()
    if (wait > 0) return { requeueAfterMs: wait }
    await client.delete(CertificateSigningRequest, nameOf(request), { preconditions: { uid: uidOf(request) } })
    return undefined
  },
}
