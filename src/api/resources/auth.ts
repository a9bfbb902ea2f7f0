// Certificates and reviews. Reviews are asked, never stored.
import { ageOf, column, humanDuration } from '../columns.js'
import { defineResource } from '../define-resource.js'
import {
  CertificateSigningRequest,
  ClusterTrustBundle,
  LocalSubjectAccessReview,
  PodCertificateRequest,
  SelfSubjectAccessReview,
  SelfSubjectReview,
  SelfSubjectRulesReview,
  SubjectAccessReview,
  TokenReview,
} from '../generated/kinds.js'
import {
  certificateRequestErrors,
  certificateRequestSubresourceErrors,
  certificateRequestUpdateErrors,
  clusterTrustBundleErrors,
  clusterTrustBundleUpdateErrors,
  podCertificateRequestErrors,
  podCertificateRequestUpdateErrors,
  prepareCertificateRequestUpdate,
} from '../validation/certificates.js'
import { localReviewErrors, reviewErrors, selfReviewErrors } from '../validation/reviews.js'

function condition({ status }: CertificateSigningRequest): string {
  const has = (type: string): boolean => status?.conditions?.some((c) => c.type === type) ?? false
  const words = [has('Denied') ? 'Denied' : has('Approved') ? 'Approved' : 'Pending']
  if (has('Failed')) words.push('Failed')
  if (status?.certificate) words.push('Issued')
  return words.join(',')
}

export const certificateRequestResource = defineResource<CertificateSigningRequest>({
  of: CertificateSigningRequest,
  shortNames: ['csr'],
  columns: [
    ageOf(),
    column('SignerName', ({ spec }) => spec?.signerName || '<none>'),
    column('Requestor', ({ spec }) => spec?.username ?? ''),
    column('RequestedDuration', ({ spec }) => (spec?.expirationSeconds ? humanDuration(spec.expirationSeconds * 1000) : '<none>')),
    column('Condition', condition),
  ],
  selectableFields: { 'spec.signerName': ({ spec }) => spec?.signerName },
  prepareForUpdate: prepareCertificateRequestUpdate,
  validate: certificateRequestErrors,
  validateUpdate: certificateRequestUpdateErrors,
  validateSubresource: certificateRequestSubresourceErrors,
})

/** Bundles of a signer are named `signer.example.com:bundle:name`. */
const bundleName = (value: string): string[] =>
  value.includes('/') || value.includes('%') || value === '.' || value === '..' ? ["may not contain '/' or '%'"] : []

export const clusterTrustBundleResource = defineResource<ClusterTrustBundle>({
  of: ClusterTrustBundle,
  name: bundleName,
  columns: [column('SignerName', ({ spec }) => spec?.signerName || '<none>')],
  selectableFields: { 'spec.signerName': ({ spec }) => spec?.signerName },
  validate: clusterTrustBundleErrors,
  validateUpdate: clusterTrustBundleUpdateErrors,
})

export const podCertificateRequestResource = defineResource<PodCertificateRequest>({
  of: PodCertificateRequest,
  columns: [
    column('PodName', ({ spec }) => spec?.podName ?? ''),
    column('ServiceAccountName', ({ spec }) => spec?.serviceAccountName ?? ''),
    column('NodeName', ({ spec }) => spec?.nodeName ?? ''),
    column('SignerName', ({ spec }) => spec?.signerName ?? ''),
    column('State', ({ status }) => status?.conditions?.find((c) => c.status === 'True')?.type ?? 'Pending'),
    ageOf(),
  ],
  selectableFields: {
    'spec.signerName': ({ spec }) => spec?.signerName,
    'spec.podName': ({ spec }) => spec?.podName,
    'spec.nodeName': ({ spec }) => spec?.nodeName,
  },
  validate: podCertificateRequestErrors,
  validateUpdate: podCertificateRequestUpdateErrors,
})

const create = ['create'] as const
const anyName = (): string[] => []

export const reviewResources = [
  defineResource<TokenReview>({ of: TokenReview, verbs: create, name: anyName }),
  defineResource<SelfSubjectReview>({ of: SelfSubjectReview, verbs: create, name: anyName }),
  defineResource<SubjectAccessReview>({ of: SubjectAccessReview, verbs: create, name: anyName, validate: reviewErrors }),
  defineResource<LocalSubjectAccessReview>({ of: LocalSubjectAccessReview, verbs: create, name: anyName, validate: localReviewErrors }),
  defineResource<SelfSubjectAccessReview>({ of: SelfSubjectAccessReview, verbs: create, name: anyName, validate: selfReviewErrors }),
  defineResource<SelfSubjectRulesReview>({ of: SelfSubjectRulesReview, verbs: create, name: anyName }),
] as const
