// Certificate requests and trust bundles.
import { duplicate, type FieldError, forbidden, invalid, notSupported, required, tooLong } from '../field-error.js'
import type { CertificateSigningRequest, ClusterTrustBundle, PodCertificateRequest } from '../generated/kinds.js'
import { cloneJson, equalJson, isObject, type JsonObject } from '../json/value.js'
import { dnsSubdomainErrors } from '../names.js'
import { immutableErrors, textErrors } from './common.js'

const usages = new Set([
  'signing',
  'digital signature',
  'content commitment',
  'key encipherment',
  'key agreement',
  'data encipherment',
  'cert sign',
  'crl sign',
  'encipher only',
  'decipher only',
  'any',
  'server auth',
  'client auth',
  'code signing',
  'email protection',
  's/mime',
  'ipsec end system',
  'ipsec tunnel',
  'ipsec user',
  'timestamping',
  'ocsp signing',
  'microsoft sgc',
  'netscape sgc',
])

/** `domain/path`. */
export function signerNameErrors(name: string | undefined, path: string): FieldError[] {
  if (!name) return [required(path)]
  const [domain = '', rest, ...more] = name.split('/')
  if (rest === undefined || more.length > 0)
    return [invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")]
  const errors = dnsSubdomainErrors(domain).map((detail) => invalid(path, name, `validating label "${domain}": ${detail}`))
  if (domain.split('.').length < 2) errors.push(invalid(path, name, 'should be a domain with at least two segments separated by dots'))
  errors.push(...dnsSubdomainErrors(rest).map((detail) => invalid(path, name, `validating label "${rest}": ${detail}`)))
  return errors
}

const PEM_REQUEST = /^\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----[\sA-Za-z0-9+/=]+-----END (NEW )?CERTIFICATE REQUEST-----/

export function certificateRequestErrors({ spec }: CertificateSigningRequest): FieldError[] {
  const errors: FieldError[] = []
  const request = Buffer.from(spec?.request ?? '', 'base64').toString('latin1')
  if (!PEM_REQUEST.test(request)) errors.push(invalid('spec.request', spec?.request ?? '', 'PEM block type must be CERTIFICATE REQUEST'))
  if (!spec?.usages?.length) errors.push(required('spec.usages'))
  spec?.usages?.forEach((usage, index) => {
    if (!usages.has(usage)) errors.push(notSupported(`spec.usages[${index}]`, usage, [...usages]))
    if (spec.usages?.indexOf(usage) !== index) errors.push(duplicate(`spec.usages[${index}]`, usage))
  })
  if (spec?.signerName === 'kubernetes.io/legacy-unknown')
    errors.push(invalid('spec.signerName', spec.signerName, 'the legacy signerName is not allowed via this API version'))
  else errors.push(...signerNameErrors(spec?.signerName, 'spec.signerName'))
  if (spec?.expirationSeconds !== undefined && spec.expirationSeconds < 600)
    errors.push(invalid('spec.expirationSeconds', spec.expirationSeconds, 'may not specify a duration less than 600 seconds (10 minutes)'))
  return errors
}

/** Spec never changes; conditions change through `approval`, the rest of status through `status`. In place. */
export function prepareCertificateRequestUpdate(next: JsonObject, previous: JsonObject, door: string): void {
  next.spec = cloneJson(previous.spec ?? {})
  if (door !== 'approval') return
  const wanted = isObject(next.status) ? next.status.conditions : undefined
  const status: JsonObject = isObject(previous.status) ? cloneJson(previous.status) : {}
  if (wanted === undefined) delete status.conditions
  else status.conditions = wanted
  next.status = status
}

export const certificateRequestUpdateErrors = (): FieldError[] => []

export function certificateRequestSubresourceErrors(
  next: CertificateSigningRequest,
  previous: CertificateSigningRequest,
  door: string,
): FieldError[] {
  const errors: FieldError[] = []
  const has = (request: CertificateSigningRequest, type: string): boolean =>
    request.status?.conditions?.some((c) => c.type === type) ?? false
  for (const type of ['Approved', 'Denied', 'Failed']) {
    if (has(previous, type) && !has(next, type))
      errors.push(forbidden('status.conditions', `updates may not remove a condition of type ${JSON.stringify(type)}`))
    if (!has(previous, type) && has(next, type) && door === 'status' && type !== 'Failed')
      errors.push(forbidden('status.conditions', `updates may not add a condition of type ${JSON.stringify(type)}`))
  }
  if (has(next, 'Approved') && has(next, 'Denied'))
    errors.push(invalid('status.conditions', 'Denied', 'Approved and Denied conditions are mutually exclusive'))
  next.status?.conditions?.forEach((condition, index) => {
    if (!condition.type) errors.push(required(`status.conditions[${index}].type`))
    if (['Approved', 'Denied', 'Failed'].includes(condition.type) && condition.status !== 'True')
      errors.push(notSupported(`status.conditions[${index}].status`, condition.status, ['True']))
  })
  if (previous.status?.certificate && !equalJson(next.status?.certificate, previous.status.certificate))
    errors.push(forbidden('status.certificate', 'updates may not modify a certificate once it is set'))
  return errors
}

export function clusterTrustBundleErrors({ metadata, spec }: ClusterTrustBundle): FieldError[] {
  const errors: FieldError[] = []
  const name = metadata.name ?? ''
  const signer = spec?.signerName ?? ''
  if (signer === '') {
    if (name.includes(':'))
      errors.push(invalid('metadata.name', name, 'ClusterTrustBundle without signer name must not have ":" in its name'))
    else for (const detail of dnsSubdomainErrors(name)) errors.push(invalid('metadata.name', name, detail))
  } else {
    errors.push(...signerNameErrors(signer, 'spec.signerName'))
    const prefix = `${signer.replaceAll('/', ':')}:`
    if (!name.startsWith(prefix))
      errors.push(invalid('metadata.name', name, `ClusterTrustBundle for signerName ${signer} must be named with prefix ${prefix}`))
    else for (const detail of dnsSubdomainErrors(name.slice(prefix.length))) errors.push(invalid('metadata.name', name, detail))
  }
  if (!spec?.trustBundle?.includes('-----BEGIN CERTIFICATE-----'))
    errors.push(invalid('spec.trustBundle', '<value omitted>', 'at least one trust anchor must be provided'))
  return errors
}

export const clusterTrustBundleUpdateErrors = (next: ClusterTrustBundle, previous: ClusterTrustBundle): FieldError[] =>
  immutableErrors(next.spec?.signerName, previous.spec?.signerName, 'spec.signerName')

const SHORTEST = 3600
const LONGEST = 7_862_400
/** Of certificates by Kubernetes' own signers. */
const LONGEST_OF_KUBERNETES = 86_400
const LONGEST_UID = 128

export function podCertificateRequestErrors({ spec }: PodCertificateRequest): FieldError[] {
  const errors = signerNameErrors(spec?.signerName, 'spec.signerName')
  for (const who of ['pod', 'serviceAccount', 'node'] as const) {
    errors.push(...textErrors(spec?.[`${who}Name`] ?? '', dnsSubdomainErrors, `spec.${who}Name`))
    const uid = spec?.[`${who}UID`] ?? ''
    if (uid === '') errors.push(invalid(`spec.${who}UID`, uid, 'must not be empty'))
    if (uid.length > LONGEST_UID) errors.push(tooLong(`spec.${who}UID`, LONGEST_UID))
  }
  const longest = spec?.signerName?.startsWith('kubernetes.io/') ? LONGEST_OF_KUBERNETES : LONGEST
  const seconds = spec?.maxExpirationSeconds
  if (seconds === undefined) errors.push(required('spec.maxExpirationSeconds', 'must be set'))
  else if (seconds < SHORTEST || seconds > longest)
    errors.push(invalid('spec.maxExpirationSeconds', seconds, `must be in the range [${SHORTEST}, ${longest}]`))
  return errors
}

export const podCertificateRequestUpdateErrors = (next: PodCertificateRequest, previous: PodCertificateRequest): FieldError[] =>
  immutableErrors(next.spec, previous.spec, 'spec')
