// PersistentVolumes and claims.
import { type FieldError, forbidden, invalid, notSupported, required } from '../field-error.js'
import type { PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec } from '../generated/kinds.js'
import { equalJson } from '../json/value.js'
import { dnsSubdomainErrors } from '../names.js'
import { compareQuantities, parseQuantity } from '../quantity.js'
import { labelSelectorErrors } from '../selector/labels.js'
import { immutableErrors, oneOfErrors, textErrors } from './common.js'
import { nodeSelectorErrors } from './scheduling.js'

const accessModes = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod']

function modesErrors(modes: readonly string[] | undefined, path: string): FieldError[] {
  if (!modes?.length) return [required(path, 'at least 1 access mode is required')]
  const errors = modes.flatMap((mode) => (accessModes.includes(mode) ? [] : [notSupported(path, mode, accessModes)]))
  if (modes.includes('ReadWriteOncePod') && modes.length > 1)
    errors.push(forbidden(path, 'may not use ReadWriteOncePod with other access modes'))
  return errors
}

const positive = (amount: string): boolean => (parseQuantity(amount)?.nanos ?? 0n) > 0n

const notSources = new Set([
  'capacity',
  'accessModes',
  'claimRef',
  'persistentVolumeReclaimPolicy',
  'storageClassName',
  'mountOptions',
  'volumeMode',
  'nodeAffinity',
  'volumeAttributesClassName',
])

export function persistentVolumeErrors(volume: PersistentVolume): FieldError[] {
  const { spec } = volume
  if (!spec) return [required('spec')]
  const errors = modesErrors(spec.accessModes, 'spec.accessModes')
  const amounts = Object.keys(spec.capacity ?? {})
  if (amounts.length === 0) errors.push(required('spec.capacity'))
  if (!spec.capacity?.storage || amounts.length > 1) errors.push(notSupported('spec.capacity', spec.capacity, ['storage']))
  for (const [name, amount] of Object.entries(spec.capacity ?? {}))
    if (!positive(amount)) errors.push(invalid(`spec.capacity[${name}]`, amount, 'must be greater than zero'))
  errors.push(
    ...oneOfErrors(spec.persistentVolumeReclaimPolicy, ['Delete', 'Recycle', 'Retain'], 'spec.persistentVolumeReclaimPolicy', {
      optional: true,
    }),
  )
  const sources = Object.keys(spec).filter(
    (name) => !notSources.has(name) && (spec as unknown as Record<string, unknown>)[name] !== undefined,
  )
  if (sources.length === 0) errors.push(required('spec', 'must specify a volume type'))
  sources.slice(1).forEach((source) => {
    errors.push(forbidden(`spec.${source}`, 'may not specify more than 1 volume type'))
  })
  if (spec.hostPath && !spec.hostPath.path) errors.push(required('spec.hostPath.path'))
  if (spec.hostPath?.path?.split('/').includes('..'))
    errors.push(invalid('spec.hostPath.path', spec.hostPath.path, "must not contain '..'"))
  if (spec.hostPath?.path === '/' && spec.persistentVolumeReclaimPolicy === 'Recycle')
    errors.push(forbidden('spec.persistentVolumeReclaimPolicy', "may not be 'recycle' for a hostPath mount of '/'"))
  if (spec.local) {
    if (!spec.local.path) errors.push(required('spec.local.path'))
    if (!spec.nodeAffinity) errors.push(required('spec.nodeAffinity', 'Local volume requires node affinity'))
  }
  if (spec.csi) {
    if (!spec.csi.driver) errors.push(required('spec.csi.driver'))
    if (!spec.csi.volumeHandle) errors.push(required('spec.csi.volumeHandle'))
  }
  if (spec.nfs) {
    if (!spec.nfs.server) errors.push(required('spec.nfs.server'))
    if (!spec.nfs.path) errors.push(required('spec.nfs.path'))
  }
  if (spec.storageClassName) errors.push(...textErrors(spec.storageClassName, dnsSubdomainErrors, 'spec.storageClassName'))
  errors.push(...oneOfErrors(spec.volumeMode, ['Block', 'Filesystem'], 'spec.volumeMode', { optional: true }))
  if (spec.nodeAffinity) {
    if (!spec.nodeAffinity.required) errors.push(required('spec.nodeAffinity.required', 'must specify required node constraints'))
    else errors.push(...nodeSelectorErrors(spec.nodeAffinity.required, 'spec.nodeAffinity.required'))
  }
  return errors
}

export function persistentVolumeUpdateErrors(next: PersistentVolume, previous: PersistentVolume): FieldError[] {
  const source = (volume: PersistentVolume) =>
    Object.fromEntries(Object.entries(volume.spec ?? {}).filter(([name]) => !notSources.has(name)))
  const errors: FieldError[] = []
  if (!equalJson(source(next), source(previous)))
    errors.push(forbidden('spec.persistentvolumesource', 'spec.persistentvolumesource is immutable after creation'))
  errors.push(...immutableErrors(next.spec?.volumeMode, previous.spec?.volumeMode, 'volumeMode'))
  if (previous.spec?.nodeAffinity) errors.push(...immutableErrors(next.spec?.nodeAffinity, previous.spec.nodeAffinity, 'nodeAffinity'))
  return errors
}

export function claimSpecErrors(spec: PersistentVolumeClaimSpec | undefined, path: string): FieldError[] {
  if (!spec) return [required(path)]
  const errors = modesErrors(spec.accessModes, `${path}.accessModes`)
  errors.push(...labelSelectorErrors(spec.selector, `${path}.selector`))
  const storage = spec.resources?.requests?.storage
  if (storage === undefined) errors.push(required(`${path}.resources[storage]`))
  else if (!positive(storage)) errors.push(invalid(`${path}.resources[storage]`, storage, 'must be greater than zero'))
  if (spec.storageClassName) errors.push(...textErrors(spec.storageClassName, dnsSubdomainErrors, `${path}.storageClassName`))
  if (spec.volumeAttributesClassName)
    errors.push(...textErrors(spec.volumeAttributesClassName, dnsSubdomainErrors, `${path}.volumeAttributesClassName`))
  errors.push(...oneOfErrors(spec.volumeMode, ['Block', 'Filesystem'], `${path}.volumeMode`, { optional: true }))
  for (const name of ['dataSource', 'dataSourceRef'] as const) {
    const source = spec[name]
    if (!source) continue
    if (!source.name) errors.push(required(`${path}.${name}.name`))
    if (!source.kind) errors.push(required(`${path}.${name}.kind`))
    else if (!source.apiGroup && source.kind !== 'PersistentVolumeClaim')
      errors.push(invalid(`${path}.${name}`, source.kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"))
  }
  return errors
}

export const persistentVolumeClaimErrors = (claim: PersistentVolumeClaim): FieldError[] => claimSpecErrors(claim.spec, 'spec')

/** After creation only the size may grow, the volume be bound, and the attributes class change. */
export function persistentVolumeClaimUpdateErrors(next: PersistentVolumeClaim, previous: PersistentVolumeClaim): FieldError[] {
  const errors: FieldError[] = []
  const rest = (claim: PersistentVolumeClaim, keep: PersistentVolumeClaim) => {
    const { resources: _r, volumeAttributesClassName: _v, volumeName, ...spec } = claim.spec ?? {}
    return { ...spec, limits: claim.spec?.resources?.limits ?? {}, volumeName: keep.spec?.volumeName ? volumeName : undefined }
  }
  if (!equalJson(rest(next, previous), rest(previous, previous)))
    errors.push(
      forbidden('spec', 'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims'),
    )
  const before = previous.spec?.resources?.requests?.storage
  const after = next.spec?.resources?.requests?.storage
  if (before !== undefined && after !== undefined) {
    const order = compareQuantities(after, before)
    if (order !== 0 && previous.status?.phase !== 'Bound')
      errors.push(
        forbidden('spec', 'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims'),
      )
    else if (order < 0 && compareQuantities(after, previous.status?.capacity?.storage ?? before) < 0)
      errors.push(forbidden('spec.resources.requests.storage', 'field can not be less than status.capacity'))
  }
  return errors
}
