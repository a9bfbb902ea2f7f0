// Storage classes, CSI objects, attachments, migrations.
import { duplicate, type FieldError, forbidden, invalid, required } from '../field-error.js'
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  StorageVersionMigration,
  VolumeAttachment,
  VolumeAttributesClass,
} from '../generated/kinds.js'
import { dnsLabelErrors, dnsSubdomainErrors, qualifiedNameErrors } from '../names.js'
import { labelSelectorErrors } from '../selector/labels.js'
import { immutableErrors, oneOfErrors, requiredText, textErrors } from './common.js'

const provisionerErrors = (value: string | undefined, path: string): FieldError[] =>
  value ? qualifiedNameErrors(value.toLowerCase()).map((detail) => invalid(path, value, detail)) : [required(path)]

function parametersErrors(parameters: Readonly<Record<string, string>> | undefined, path: string): FieldError[] {
  const names = Object.keys(parameters ?? {})
  const size = Object.entries(parameters ?? {}).reduce((sum, [name, value]) => sum + name.length + value.length, 0)
  const errors: FieldError[] = []
  if (names.length > 512) errors.push({ reason: 'FieldValueTooLong', field: path, message: 'Too long: may not be more than 512 bytes' })
  if (size > 262144) errors.push({ reason: 'FieldValueTooLong', field: path, message: 'Too long: may not be more than 262144 bytes' })
  if (names.includes('')) errors.push(invalid(path, '', 'field can not be empty.'))
  return errors
}

export function storageClassErrors(storage: StorageClass): FieldError[] {
  return [
    ...provisionerErrors(storage.provisioner, 'provisioner'),
    ...parametersErrors(storage.parameters, 'parameters'),
    ...oneOfErrors(storage.reclaimPolicy, ['Delete', 'Retain'], 'reclaimPolicy', { optional: true }),
    ...oneOfErrors(storage.volumeBindingMode, ['Immediate', 'WaitForFirstConsumer'], 'volumeBindingMode'),
    ...topologyErrors(storage.allowedTopologies ?? [], 'allowedTopologies'),
  ]
}

function topologyErrors(terms: NonNullable<StorageClass['allowedTopologies']>, path: string): FieldError[] {
  const errors: FieldError[] = []
  const shapes = new Set<string>()
  terms.forEach((term, index) => {
    const at = `${path}[${index}]`
    const keys = new Map<string, readonly string[]>()
    const expressions = term.matchLabelExpressions ?? []
    if (expressions.length === 0) errors.push(required(at, ''))
    expressions.forEach(({ key, values = [] }, i) => {
      const on = `${at}.matchLabelExpressions[${i}]`
      if (values.length === 0) errors.push(required(`${on}.values`))
      values.forEach((value, k) => {
        if (values.indexOf(value) < k) errors.push(duplicate(`${on}.values[${k}]`, value))
      })
      errors.push(...textErrors(key ?? '', qualifiedNameErrors, `${on}.key`))
      if (keys.has(key)) errors.push(duplicate(`${on}.key`, key))
      keys.set(key, [...values].sort())
    })
    const shape = JSON.stringify([...keys].sort())
    if (shapes.has(shape)) errors.push(duplicate(`${at}.matchLabelExpressions`, ''))
    shapes.add(shape)
  })
  return errors
}

export function storageClassUpdateErrors(next: StorageClass, previous: StorageClass): FieldError[] {
  const fixed = 'updates to %s are forbidden.'
  const errors: FieldError[] = []
  for (const name of ['parameters', 'provisioner', 'reclaimPolicy'] as const)
    if (immutableErrors(next[name], previous[name], name).length > 0) errors.push(forbidden(name, fixed.replace('%s', name)))
  return [...errors, ...immutableErrors(next.volumeBindingMode, previous.volumeBindingMode, 'volumeBindingMode')]
}

export const volumeAttributesClassErrors = (attributes: VolumeAttributesClass): FieldError[] => [
  ...provisionerErrors(attributes.driverName, 'driverName'),
  ...(Object.keys(attributes.parameters ?? {}).length === 0
    ? [required('parameters', 'must contain at least one key/value pair')]
    : parametersErrors(attributes.parameters, 'parameters')),
]

export function volumeAttributesClassUpdateErrors(next: VolumeAttributesClass, previous: VolumeAttributesClass): FieldError[] {
  const errors: FieldError[] = []
  for (const name of ['driverName', 'parameters'] as const)
    if (immutableErrors(next[name], previous[name], name).length > 0) errors.push(forbidden(name, `updates to ${name} are forbidden.`))
  return errors
}

const driverNameErrors = (name: string | undefined, path: string): FieldError[] => {
  if (!name) return [required(path)]
  const errors =
    name.length > 63 ? [{ reason: 'FieldValueTooLong' as const, field: path, message: 'Too long: may not be more than 63 bytes' }] : []
  return [...errors, ...dnsSubdomainErrors(name.toLowerCase()).map((detail) => invalid(path, name, detail))]
}

export function csiDriverErrors({ metadata, spec }: CSIDriver): FieldError[] {
  const errors = driverNameErrors(metadata.name, 'name')
  if (spec?.fsGroupPolicy)
    errors.push(...oneOfErrors(spec.fsGroupPolicy, ['File', 'None', 'ReadWriteOnceWithFSType'], 'spec.fsGroupPolicy'))
  spec?.volumeLifecycleModes?.forEach((mode, index) => {
    errors.push(...oneOfErrors(mode, ['Ephemeral', 'Persistent'], `spec.volumeLifecycleModes[${index}]`))
  })
  const seconds = spec?.nodeAllocatableUpdatePeriodSeconds
  if (seconds !== undefined && seconds < 10)
    errors.push(invalid('spec.nodeAllocatableUpdatePeriodSeconds', seconds, 'must be greater than or equal to 10 seconds'))
  const audiences = new Set<string>()
  spec?.tokenRequests?.forEach((request, index) => {
    const at = `spec.tokenRequests[${index}]`
    if (audiences.has(request.audience)) errors.push(duplicate(`${at}.audience`, request.audience))
    audiences.add(request.audience)
    if (request.expirationSeconds !== undefined && request.expirationSeconds < 600)
      errors.push(invalid(`${at}.expirationSeconds`, request.expirationSeconds, 'may not specify a duration less than 10 minutes'))
  })
  return errors
}

export const csiDriverUpdateErrors = (next: CSIDriver, previous: CSIDriver): FieldError[] => [
  ...immutableErrors(next.spec?.attachRequired, previous.spec?.attachRequired, 'spec.attachedRequired'),
  ...immutableErrors(next.spec?.volumeLifecycleModes, previous.spec?.volumeLifecycleModes, 'spec.volumeLifecycleModes'),
]

export function csiNodeErrors({ spec }: CSINode): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  spec?.drivers?.forEach((driver, index) => {
    const at = `spec.drivers[${index}]`
    errors.push(...driverNameErrors(driver.name, `${at}.name`))
    if (!driver.nodeID) errors.push(required(`${at}.nodeID`))
    if (names.has(driver.name)) errors.push(duplicate(`${at}.name`, driver.name))
    names.add(driver.name)
    driver.topologyKeys?.forEach((key, i) => {
      if (driver.topologyKeys?.indexOf(key) !== i) errors.push(duplicate(`${at}.topologyKeys`, key))
      errors.push(...textErrors(key, qualifiedNameErrors, `${at}.topologyKeys`))
    })
    if ((driver.allocatable?.count ?? 0) < 0)
      errors.push(invalid(`${at}.allocatable.count`, driver.allocatable?.count, 'must be greater than or equal to 0'))
  })
  return errors
}

export function csiNodeUpdateErrors(next: CSINode, previous: CSINode): FieldError[] {
  return (previous.spec?.drivers ?? []).flatMap((old, index) => {
    const now = next.spec?.drivers?.find((d) => d.name === old.name)
    if (!now) return []
    const { allocatable: _a, ...after } = now
    const { allocatable: _b, ...before } = old
    return immutableErrors(after, before, `spec.drivers[${index}]`)
  })
}

export const csiStorageCapacityErrors = (capacity: CSIStorageCapacity): FieldError[] => [
  ...labelSelectorErrors(capacity.nodeTopology, 'nodeTopology'),
  ...requiredText(capacity.storageClassName, dnsSubdomainErrors, 'storageClassName'),
  ...(['capacity', 'maximumVolumeSize'] as const).flatMap((name) =>
    capacity[name]?.startsWith('-') ? [invalid(name, capacity[name], 'must be greater than or equal to 0')] : [],
  ),
]

export const csiStorageCapacityUpdateErrors = (next: CSIStorageCapacity, previous: CSIStorageCapacity): FieldError[] => [
  ...immutableErrors(next.nodeTopology, previous.nodeTopology, 'nodeTopology'),
  ...immutableErrors(next.storageClassName, previous.storageClassName, 'storageClassName'),
]

export function volumeAttachmentErrors({ spec }: VolumeAttachment): FieldError[] {
  const errors: FieldError[] = []
  errors.push(...driverNameErrors(spec?.attacher, 'spec.attacher'))
  if (!spec?.source?.persistentVolumeName && !spec?.source?.inlineVolumeSpec)
    errors.push(required('spec.source', 'must specify exactly one of inlineVolumeSpec and persistentVolumeName'))
  else if (spec.source.persistentVolumeName && spec.source.inlineVolumeSpec)
    errors.push(forbidden('spec.source', 'must specify exactly one of inlineVolumeSpec and persistentVolumeName'))
  errors.push(...requiredText(spec?.nodeName, dnsSubdomainErrors, 'spec.nodeName'))
  return errors
}

export const volumeAttachmentUpdateErrors = (next: VolumeAttachment, previous: VolumeAttachment): FieldError[] =>
  immutableErrors(next.spec, previous.spec, 'spec')

export const storageVersionMigrationErrors = ({ spec }: StorageVersionMigration): FieldError[] =>
  spec?.resource?.resource
    ? [
        ...textErrors(spec.resource.resource, dnsLabelErrors, 'spec.resource.resource'),
        ...(spec.resource.group ? textErrors(spec.resource.group, dnsSubdomainErrors, 'spec.resource.group') : []),
      ]
    : [required('spec.resource.resource', 'resource is required')]

export const storageVersionMigrationUpdateErrors = (next: StorageVersionMigration, previous: StorageVersionMigration): FieldError[] =>
  immutableErrors(next.spec, previous.spec, 'spec')
