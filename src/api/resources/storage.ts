// Storage classes, CSI, attachments, attributes, migrations.
import { ageOf, column } from '../columns.js'
import { ALL_METADATA, defineResource } from '../define-resource.js'
import {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  StorageVersionMigration,
  VolumeAttachment,
  VolumeAttributesClass,
} from '../generated/kinds.js'
import {
  csiDriverErrors,
  csiDriverUpdateErrors,
  csiNodeErrors,
  csiNodeUpdateErrors,
  csiStorageCapacityErrors,
  csiStorageCapacityUpdateErrors,
  storageClassErrors,
  storageClassUpdateErrors,
  storageVersionMigrationErrors,
  storageVersionMigrationUpdateErrors,
  volumeAttachmentErrors,
  volumeAttachmentUpdateErrors,
  volumeAttributesClassErrors,
  volumeAttributesClassUpdateErrors,
} from '../validation/storage.js'

const yesNo = (value: boolean | undefined): boolean => value ?? false

const DEFAULT_CLASS = 'storageclass.kubernetes.io/is-default-class'
const DEFAULT_ATTRIBUTES = 'volumeattributesclass.kubernetes.io/is-default-class'

export const storageClassResource = withDefaultMark(
  defineResource<StorageClass>({
    of: StorageClass,
    shortNames: ['sc'],
    columns: [
      column('Provisioner', ({ provisioner }) => provisioner),
      column('ReclaimPolicy', ({ reclaimPolicy }) => reclaimPolicy ?? 'Delete'),
      column('VolumeBindingMode', ({ volumeBindingMode }) => volumeBindingMode ?? 'Immediate'),
      column('AllowVolumeExpansion', ({ allowVolumeExpansion }) => yesNo(allowVolumeExpansion)),
      ageOf(),
    ],
    validate: storageClassErrors,
    validateUpdate: storageClassUpdateErrors,
  }),
  DEFAULT_CLASS,
)

export const volumeAttributesClassResource = withDefaultMark(
  defineResource<VolumeAttributesClass>({
    of: VolumeAttributesClass,
    shortNames: ['vac'],
    columns: [column('DriverName', ({ driverName }) => driverName), ageOf()],
    validate: volumeAttributesClassErrors,
    validateUpdate: volumeAttributesClassUpdateErrors,
  }),
  DEFAULT_ATTRIBUTES,
)

/** The default one says so behind its name. */
function withDefaultMark<T extends typeof storageClassResourceShape>(type: T, annotation: string): T {
  const [name, ...rest] = type.columns
  if (!name) return type
  const marked: typeof name = {
    ...name,
    value: (object: never) => {
      const { metadata } = object as {
        readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> }
      }
      return metadata.annotations?.[annotation] === 'true' ? `${metadata.name} (default)` : metadata.name
    },
  }
  return Object.assign(type, { columns: [marked, ...rest] })
}
declare const storageClassResourceShape: { readonly columns: readonly { readonly value: (object: never, now: number) => unknown }[] }

export const csiDriverResource = defineResource<CSIDriver>({
  of: CSIDriver,
  generation: 'spec',
  columns: [
    column('AttachRequired', ({ spec }) => spec?.attachRequired ?? true, { type: 'boolean' }),
    column('PodInfoOnMount', ({ spec }) => yesNo(spec?.podInfoOnMount), { type: 'boolean' }),
    column('StorageCapacity', ({ spec }) => yesNo(spec?.storageCapacity), { type: 'boolean' }),
    column('TokenRequests', ({ spec }) => (spec?.tokenRequests ?? []).map((t) => t.audience || '*').join(',') || '<unset>'),
    column('RequiresRepublish', ({ spec }) => yesNo(spec?.requiresRepublish), { type: 'boolean' }),
    column('Modes', ({ spec }) => (spec?.volumeLifecycleModes ?? []).join(',')),
    ageOf(),
  ],
  validate: csiDriverErrors,
  validateUpdate: csiDriverUpdateErrors,
})

export const csiNodeResource = defineResource<CSINode>({
  of: CSINode,
  columns: [column('Drivers', ({ spec }) => spec?.drivers?.length ?? 0, { type: 'integer' }), ageOf()],
  validate: csiNodeErrors,
  validateUpdate: csiNodeUpdateErrors,
})

export const csiStorageCapacityResource = defineResource<CSIStorageCapacity>({
  of: CSIStorageCapacity,
  columns: [
    column('StorageClassName', ({ storageClassName }) => storageClassName),
    column('Capacity', ({ capacity }) => capacity ?? '<unset>'),
  ],
  validate: csiStorageCapacityErrors,
  validateUpdate: csiStorageCapacityUpdateErrors,
})

export const volumeAttachmentResource = defineResource<VolumeAttachment>({
  of: VolumeAttachment,
  statusKeeps: ALL_METADATA,
  columns: [
    column('Attacher', ({ spec }) => spec?.attacher ?? ''),
    column('PV', ({ spec }) => spec?.source?.persistentVolumeName ?? ''),
    column('Node', ({ spec }) => spec?.nodeName ?? ''),
    column('Attached', ({ status }) => yesNo(status?.attached), { type: 'boolean' }),
    ageOf(),
  ],
  validate: volumeAttachmentErrors,
  validateUpdate: volumeAttachmentUpdateErrors,
})

export const storageVersionMigrationResource = defineResource<StorageVersionMigration>({
  of: StorageVersionMigration,
  statusKeeps: ALL_METADATA,
  columns: [
    column('Resource', ({ spec }) => {
      const { group, resource } = spec?.resource ?? { group: '', resource: '' }
      return group ? `${resource}.${group}` : resource
    }),
  ],
  validate: storageVersionMigrationErrors,
  validateUpdate: storageVersionMigrationUpdateErrors,
})
