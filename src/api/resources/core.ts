// Small kinds of the core group.
import { ageOf, column } from '../columns.js'
import { defineResource } from '../define-resource.js'
import {
  Binding,
  ComponentStatus,
  ConfigMap,
  LimitRange,
  Namespace,
  PersistentVolume,
  PersistentVolumeClaim,
  ResourceQuota,
  Secret,
  ServiceAccount,
} from '../generated/kinds.js'
import { isObject } from '../json/value.js'
import { dnsLabelErrors } from '../names.js'
import {
  configMapErrors,
  configMapUpdateErrors,
  limitRangeErrors,
  namespaceErrors,
  resourceQuotaErrors,
  secretErrors,
  secretUpdateErrors,
} from '../validation/config.js'
import {
  persistentVolumeClaimErrors,
  persistentVolumeClaimUpdateErrors,
  persistentVolumeErrors,
  persistentVolumeUpdateErrors,
} from '../validation/volumes-persistent.js'

const integer = { type: 'integer' } as const

export const namespaceResource = defineResource<Namespace>({
  of: Namespace,
  shortNames: ['ns'],
  verbs: ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'],
  name: dnsLabelErrors,
  columns: [
    column('Status', ({ status }) => status?.phase ?? '', { description: 'Active, or Terminating while its contents go.' }),
    ageOf(),
  ],
  selectableFields: { 'status.phase': ({ status }) => status?.phase },
  validate: namespaceErrors,
  validateSubresource: (next, _previous, door) => (door === 'finalize' ? namespaceErrors(next) : []),
  prepareForCreate: (object) => {
    object.status = { phase: 'Active' }
    const spec = isObject(object.spec) ? object.spec : {}
    const finalizers = Array.isArray(spec.finalizers) ? spec.finalizers : []
    object.spec = { ...spec, finalizers: finalizers.includes('kubernetes') ? finalizers : [...finalizers, 'kubernetes'] }
  },
  prepareForUpdate: (next, previous, door) => {
    // Finalizers of the spec leave through the finalize door only.
    if (door === 'finalize') next.status = previous.status
    else if (door === '') next.spec = previous.spec
  },
})

export const configMapResource = defineResource<ConfigMap>({
  of: ConfigMap,
  shortNames: ['cm'],
  columns: [
    column('Data', ({ data, binaryData }) => Object.keys(data ?? {}).length + Object.keys(binaryData ?? {}).length, {
      ...integer,
      description: 'How many keys it holds.',
    }),
    ageOf(),
  ],
  validate: configMapErrors,
  validateUpdate: configMapUpdateErrors,
})

export const secretResource = defineResource<Secret>({
  of: Secret,
  columns: [
    column('Type', ({ type }) => type ?? '', { description: 'What the secret is for; some types must hold certain keys.' }),
    column('Data', ({ data }) => Object.keys(data ?? {}).length, { ...integer, description: 'How many keys it holds.' }),
    ageOf(),
  ],
  selectableFields: { type: ({ type }) => type },
  prepareForCreate: foldStringData,
  prepareForUpdate: (next, previous) => {
    if (next.type === undefined || next.type === '') next.type = previous.type
    foldStringData(next)
  },
  validate: secretErrors,
  validateUpdate: secretUpdateErrors,
})

/** `stringData` is how a person writes; it is stored encoded in `data`. */
function foldStringData(object: Record<string, unknown>): void {
  if (!isObject(object.stringData)) return
  const data = isObject(object.data) ? { ...object.data } : {}
  for (const [name, text] of Object.entries(object.stringData)) data[name] = Buffer.from(String(text)).toString('base64')
  object.data = data
  delete object.stringData
}

export const serviceAccountResource = defineResource<ServiceAccount>({
  of: ServiceAccount,
  shortNames: ['sa'],
  columns: [column('Secrets', ({ secrets }) => secrets?.length ?? 0, integer), ageOf()],
})

const capacities = (list: Readonly<Record<string, string>> | undefined): string => list?.storage ?? ''
const modes = (list: readonly string[] | undefined): string => {
  const short: Readonly<Record<string, string>> = {
    ReadWriteOnce: 'RWO',
    ReadOnlyMany: 'ROX',
    ReadWriteMany: 'RWX',
    ReadWriteOncePod: 'RWOP',
  }
  const order = Object.keys(short)
  return [...new Set(list ?? [])]
    .sort((a, b) => order.indexOf(a) - order.indexOf(b))
    .map((mode) => short[mode] ?? mode)
    .join(',')
}
const BETA_CLASS = 'volume.beta.kubernetes.io/storage-class'

export const persistentVolumeResource = defineResource<PersistentVolume>({
  of: PersistentVolume,
  shortNames: ['pv'],
  columns: [
    column('Capacity', ({ spec }) => capacities(spec?.capacity)),
    column('Access Modes', ({ spec }) => modes(spec?.accessModes)),
    column('Reclaim Policy', ({ spec }) => spec?.persistentVolumeReclaimPolicy ?? ''),
    column('Status', ({ metadata, status }) => (metadata.deletionTimestamp ? 'Terminating' : (status?.phase ?? ''))),
    column('Claim', ({ spec }) => (spec?.claimRef ? `${spec.claimRef.namespace ?? ''}/${spec.claimRef.name ?? ''}` : '')),
    column('StorageClass', ({ metadata, spec }) => metadata.annotations?.[BETA_CLASS] ?? spec?.storageClassName ?? ''),
    column('VolumeAttributesClass', ({ spec }) => spec?.volumeAttributesClassName ?? '<unset>'),
    column('Reason', ({ status }) => status?.reason ?? ''),
    ageOf(),
    column('VolumeMode', ({ spec }) => spec?.volumeMode ?? '<unset>', { wide: true }),
  ],
  prepareForCreate: (object) => {
    object.status = { phase: 'Pending' }
  },
  validate: persistentVolumeErrors,
  validateUpdate: persistentVolumeUpdateErrors,
})

export const persistentVolumeClaimResource = defineResource<PersistentVolumeClaim>({
  of: PersistentVolumeClaim,
  shortNames: ['pvc'],
  columns: [
    column('Status', ({ metadata, status }) => (metadata.deletionTimestamp ? 'Terminating' : (status?.phase ?? ''))),
    column('Volume', ({ spec }) => spec?.volumeName ?? ''),
    column('Capacity', ({ spec, status }) => (spec?.volumeName ? capacities(status?.capacity) : '')),
    column('Access Modes', ({ spec, status }) => (spec?.volumeName ? modes(status?.accessModes) : '')),
    column('StorageClass', ({ metadata, spec }) => metadata.annotations?.[BETA_CLASS] ?? spec?.storageClassName ?? ''),
    column('VolumeAttributesClass', ({ spec }) => spec?.volumeAttributesClassName ?? '<unset>'),
    ageOf(),
    column('VolumeMode', ({ spec }) => spec?.volumeMode ?? '<unset>', { wide: true }),
  ],
  prepareForCreate: (object) => {
    object.status = { phase: 'Pending' }
  },
  validate: persistentVolumeClaimErrors,
  validateUpdate: persistentVolumeClaimUpdateErrors,
})

const usage = (quota: ResourceQuota, wanted: (name: string) => boolean): string =>
  Object.entries(quota.status?.hard ?? {})
    .filter(([name]) => wanted(name))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, hard]) => `${name}: ${quota.status?.used?.[name] ?? '0'}/${hard}`)
    .join(', ')

export const resourceQuotaResource = defineResource<ResourceQuota>({
  of: ResourceQuota,
  shortNames: ['quota'],
  columns: [
    column('Request', (quota) => usage(quota, (name) => !name.startsWith('limits.'))),
    column('Limit', (quota) => usage(quota, (name) => name.startsWith('limits.'))),
    ageOf(),
  ],
  validate: resourceQuotaErrors,
})

export const limitRangeResource = defineResource<LimitRange>({
  of: LimitRange,
  shortNames: ['limits'],
  columns: [column('Created At', ({ metadata }) => metadata.creationTimestamp ?? '', { type: 'date' })],
  validate: limitRangeErrors,
})

export const componentStatusResource = defineResource<ComponentStatus>({
  of: ComponentStatus,
  shortNames: ['cs'],
  verbs: ['get', 'list'],
  deprecation: 'v1 ComponentStatus is deprecated in v1.19+',
  columns: [
    column('Status', ({ conditions }) => (conditions?.some((c) => c.type === 'Healthy' && c.status === 'True') ? 'Healthy' : 'Unhealthy')),
    column('Message', ({ conditions }) => conditions?.find((c) => c.type === 'Healthy')?.message ?? ''),
    column('Error', ({ conditions }) => conditions?.find((c) => c.type === 'Healthy')?.error ?? ''),
  ],
})

export const bindingResource = defineResource<Binding>({ of: Binding, verbs: ['create'] })
