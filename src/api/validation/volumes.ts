// Volumes of a pod.
import { duplicate, type FieldError, forbidden, invalid, notSupported, required } from '../field-error.js'
import type { DownwardAPIVolumeFile, KeyToPath, PersistentVolumeClaimSpec, Volume, VolumeProjection } from '../generated/kinds.js'
import { dnsLabelErrors } from '../names.js'
import { labelSelectorErrors } from '../selector/labels.js'
import { localPathErrors, oneOfErrors, requiredText } from './common.js'
import { fieldRefErrors, resourceFieldRefErrors } from './container.js'
import { claimSpecErrors } from './volumes-persistent.js'

const downwardPaths = ['metadata.name', 'metadata.namespace', 'metadata.uid', 'metadata.labels', 'metadata.annotations']
const modeDetail = 'must be a number between 0 and 0777 (octal), both inclusive'

const modeErrors = (mode: number | undefined, path: string): FieldError[] =>
  mode !== undefined && (mode < 0 || mode > 0o777) ? [invalid(path, mode, modeDetail)] : []

function itemsErrors(items: readonly KeyToPath[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = []
  items?.forEach((item, index) => {
    const at = `${path}[${index}]`
    if (!item.key) errors.push(required(`${at}.key`))
    if (!item.path) errors.push(required(`${at}.path`))
    else errors.push(...localFileErrors(item.path, `${at}.path`))
    errors.push(...modeErrors(item.mode, `${at}.mode`))
  })
  return errors
}

function localFileErrors(value: string, path: string): FieldError[] {
  const errors = localPathErrors(value, path)
  if (errors.length === 0 && value.startsWith('..')) errors.push(invalid(path, value, "must not start with '..'"))
  return errors
}

function downwardErrors(items: readonly DownwardAPIVolumeFile[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = []
  items?.forEach((item, index) => {
    const at = `${path}[${index}]`
    if (!item.path) errors.push(required(`${at}.path`))
    else errors.push(...localFileErrors(item.path, `${at}.path`))
    if (item.fieldRef && item.resourceFieldRef)
      errors.push(invalid(at, 'resource', 'fieldRef and resourceFieldRef can not be specified simultaneously'))
    if (item.fieldRef) errors.push(...fieldRefErrors(item.fieldRef, `${at}.fieldRef`, downwardPaths))
    else if (item.resourceFieldRef)
      errors.push(...resourceFieldRefErrors(item.resourceFieldRef, `${at}.resourceFieldRef`, { volume: true }))
    else errors.push(required(at, 'one of fieldRef and resourceFieldRef is required'))
    errors.push(...modeErrors(item.mode, `${at}.mode`))
  })
  return errors
}

function projectionErrors(source: VolumeProjection, path: string, paths: Set<string>): FieldError[] {
  const errors: FieldError[] = []
  const kinds = ['secret', 'configMap', 'downwardAPI', 'serviceAccountToken', 'clusterTrustBundle', 'podCertificate'] as const
  const set = kinds.filter((kind) => source[kind] !== undefined)
  if (set.length === 0)
    errors.push(
      required(
        path,
        'at least one of secret, configMap, downwardAPI, serviceAccountToken, clusterTrustBundle or podCertificate must be specified',
      ),
    )
  set.slice(1).forEach((kind) => {
    errors.push(forbidden(`${path}.${kind}`, 'may not specify more than 1 volume type per source'))
  })
  const claim = (file: string | undefined, at: string): void => {
    if (!file) return
    if (paths.has(file)) errors.push(invalid(at, file, `conflicting duplicate paths`))
    paths.add(file)
  }
  for (const kind of ['secret', 'configMap'] as const) {
    const value = source[kind]
    if (!value) continue
    if (!value.name) errors.push(required(`${path}.${kind}.name`))
    errors.push(...itemsErrors(value.items, `${path}.${kind}.items`))
    value.items?.forEach((item) => {
      claim(item.path, path)
    })
  }
  if (source.downwardAPI) {
    errors.push(...downwardErrors(source.downwardAPI.items, `${path}.downwardAPI.items`))
    source.downwardAPI.items?.forEach((item) => {
      claim(item.path, path)
    })
  }
  const token = source.serviceAccountToken
  if (token) {
    const at = `${path}.serviceAccountToken`
    if ((token.expirationSeconds ?? 3600) < 600)
      errors.push(invalid(`${at}.expirationSeconds`, token.expirationSeconds, 'may not specify a duration less than 10 minutes'))
    if ((token.expirationSeconds ?? 3600) > 2 ** 32)
      errors.push(invalid(`${at}.expirationSeconds`, token.expirationSeconds, 'may not specify a duration larger than 2^32 seconds'))
    if (!token.path) errors.push(required(`${at}.path`))
    else {
      errors.push(...localFileErrors(token.path, `${at}.path`))
      claim(token.path, at)
    }
  }
  const bundle = source.clusterTrustBundle
  if (bundle) {
    const at = `${path}.clusterTrustBundle`
    if (bundle.name && bundle.signerName) errors.push(invalid(at, bundle, 'only one of name and signerName may be used'))
    else if (!bundle.name && !bundle.signerName) errors.push(required(at, 'either name or signerName must be specified'))
    errors.push(...labelSelectorErrors(bundle.labelSelector, `${at}.labelSelector`))
    if (!bundle.path) errors.push(required(`${at}.path`))
    else errors.push(...localFileErrors(bundle.path, `${at}.path`))
  }
  const certificate = source.podCertificate
  if (certificate) {
    const at = `${path}.podCertificate`
    if (!certificate.signerName) errors.push(required(`${at}.signerName`))
    errors.push(
      ...oneOfErrors(certificate.keyType, ['RSA3072', 'RSA4096', 'ECDSAP256', 'ECDSAP384', 'ECDSAP521', 'ED25519'], `${at}.keyType`),
    )
    const seconds = certificate.maxExpirationSeconds
    if (seconds !== undefined && seconds < 3600)
      errors.push(invalid(`${at}.maxExpirationSeconds`, seconds, 'if provided, maxExpirationSeconds must be >= 3600'))
    if (seconds !== undefined && seconds > 7862400)
      errors.push(invalid(`${at}.maxExpirationSeconds`, seconds, 'if provided, maxExpirationSeconds must be <= 7862400'))
    if (!certificate.credentialBundlePath && !certificate.keyPath && !certificate.certificateChainPath)
      errors.push(required(at, 'specify at least one of credentialBundlePath, keyPath, and certificateChainPath'))
  }
  return errors
}

const hostPathTypes = ['', 'DirectoryOrCreate', 'Directory', 'FileOrCreate', 'File', 'Socket', 'CharDevice', 'BlockDevice']

function sourceErrors(volume: Volume, path: string): FieldError[] {
  const errors: FieldError[] = []
  if (volume.emptyDir?.sizeLimit?.startsWith('-'))
    errors.push(forbidden(`${path}.emptyDir.sizeLimit`, 'SizeLimit field must be a valid resource quantity'))
  if (volume.hostPath) {
    if (!volume.hostPath.path) errors.push(required(`${path}.hostPath.path`))
    else if (volume.hostPath.path.split('/').includes('..'))
      errors.push(invalid(`${path}.hostPath.path`, volume.hostPath.path, "must not contain '..'"))
    if (!hostPathTypes.includes(volume.hostPath.type ?? ''))
      errors.push(notSupported(`${path}.hostPath.type`, volume.hostPath.type, hostPathTypes.slice(1)))
  }
  if (volume.secret) {
    if (!volume.secret.secretName) errors.push(required(`${path}.secret.secretName`))
    errors.push(
      ...modeErrors(volume.secret.defaultMode, `${path}.secret.defaultMode`),
      ...itemsErrors(volume.secret.items, `${path}.secret.items`),
    )
  }
  if (volume.configMap) {
    if (!volume.configMap.name) errors.push(required(`${path}.configMap.name`))
    errors.push(
      ...modeErrors(volume.configMap.defaultMode, `${path}.configMap.defaultMode`),
      ...itemsErrors(volume.configMap.items, `${path}.configMap.items`),
    )
  }
  if (volume.downwardAPI)
    errors.push(
      ...modeErrors(volume.downwardAPI.defaultMode, `${path}.downwardAPI.defaultMode`),
      ...downwardErrors(volume.downwardAPI.items, `${path}.downwardAPI.items`),
    )
  if (volume.persistentVolumeClaim && !volume.persistentVolumeClaim.claimName)
    errors.push(required(`${path}.persistentVolumeClaim.claimName`))
  if (volume.nfs) {
    if (!volume.nfs.server) errors.push(required(`${path}.nfs.server`))
    if (!volume.nfs.path) errors.push(required(`${path}.nfs.path`))
    else if (!volume.nfs.path.startsWith('/')) errors.push(invalid(`${path}.nfs.path`, volume.nfs.path, 'must be an absolute path'))
  }
  if (volume.csi && !volume.csi.driver) errors.push(required(`${path}.csi.driver`))
  if (volume.image) {
    if (!volume.image.reference) errors.push(required(`${path}.image.reference`))
    errors.push(
      ...oneOfErrors(volume.image.pullPolicy, ['Always', 'IfNotPresent', 'Never'], `${path}.image.pullPolicy`, { optional: true }),
    )
  }
  if (volume.projected) {
    const paths = new Set<string>()
    errors.push(...modeErrors(volume.projected.defaultMode, `${path}.projected.defaultMode`))
    volume.projected.sources?.forEach((source, index) => {
      errors.push(...projectionErrors(source, `${path}.projected.sources[${index}]`, paths))
    })
  }
  if (volume.ephemeral) {
    const template = volume.ephemeral.volumeClaimTemplate
    if (!template) errors.push(required(`${path}.ephemeral.volumeClaimTemplate`))
    else
      errors.push(...claimSpecErrors(template.spec as PersistentVolumeClaimSpec | undefined, `${path}.ephemeral.volumeClaimTemplate.spec`))
  }
  return errors
}

export function volumesErrors(volumes: readonly Volume[], path: string): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  volumes.forEach((volume, index) => {
    const at = `${path}[${index}]`
    errors.push(...requiredText(volume.name, dnsLabelErrors, `${at}.name`))
    if (volume.name && names.has(volume.name)) errors.push(duplicate(`${at}.name`, volume.name))
    names.add(volume.name)
    const sources = Object.keys(volume).filter(
      (name) => name !== 'name' && (volume as unknown as Record<string, unknown>)[name] !== undefined,
    )
    if (sources.length === 0) errors.push(required(at, 'must specify a volume type'))
    sources.slice(1).forEach((source) => {
      errors.push(forbidden(`${at}.${source}`, 'may not specify more than 1 volume type'))
    })
    errors.push(...sourceErrors(volume, at))
  })
  return errors
}
