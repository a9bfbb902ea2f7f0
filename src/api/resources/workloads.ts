// Controllers of pods that run for ever: Deployment, ReplicaSet, ReplicationController, StatefulSet, DaemonSet, and what they keep.
import { ageOf, column, containerCells } from '../columns.js'
import { defineResource } from '../define-resource.js'
import {
  ControllerRevision,
  DaemonSet,
  Deployment,
  PodTemplate,
  type PodTemplateSpec,
  ReplicaSet,
  ReplicationController,
  StatefulSet,
} from '../generated/kinds.js'
import type { Resource } from '../kind.js'
import type { Column, ScalePaths } from '../resource-type.js'
import { formatLabelSelector } from '../selector/labels.js'
import {
  controllerRevisionErrors,
  controllerRevisionUpdateErrors,
  daemonSetErrors,
  daemonSetUpdateErrors,
  deploymentErrors,
  deploymentUpdateErrors,
  podTemplateErrors,
  replicaSetErrors,
  replicaSetUpdateErrors,
  replicationControllerErrors,
  statefulSetCreateErrors,
  statefulSetErrors,
  statefulSetUpdateErrors,
} from '../validation/workloads.js'

interface Workload extends Resource {
  readonly spec?: { readonly template?: PodTemplateSpec | undefined } | undefined
}

const cells = (object: Workload) => containerCells(object.spec?.template?.spec?.containers)
const containersColumn = <T extends Workload>(): Column<T> => column<T>('Containers', (object) => cells(object).names, { wide: true })
const imagesColumn = <T extends Workload>(): Column<T> => column<T>('Images', (object) => cells(object).images, { wide: true })
const integer = { type: 'integer' } as const

const scale: ScalePaths = { specReplicas: 'spec.replicas', statusReplicas: 'status.replicas', selector: 'spec.selector' }

export const deploymentResource = defineResource<Deployment>({
  of: Deployment,
  statusKeeps: ['labels'],
  shortNames: ['deploy'],
  categories: ['all'],
  generation: 'spec',
  scale,
  columns: [
    column('Ready', ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`, {
      description: 'Pods that are ready, of all that are asked for.',
    }),
    column('Up-to-date', ({ status }) => status?.updatedReplicas ?? 0, { ...integer, description: 'Pods made from the newest template.' }),
    column('Available', ({ status }) => status?.availableReplicas ?? 0, {
      ...integer,
      description: 'Pods ready for minReadySeconds at least.',
    }),
    ageOf(),
    containersColumn(),
    imagesColumn(),
    column('Selector', ({ spec }) => formatLabelSelector(spec?.selector), { wide: true }),
  ],
  validate: deploymentErrors,
  validateUpdate: deploymentUpdateErrors,
})

export const replicaSetResource = defineResource<ReplicaSet>({
  of: ReplicaSet,
  shortNames: ['rs'],
  categories: ['all'],
  generation: 'spec',
  scale,
  columns: [
    column('Desired', ({ spec }) => spec?.replicas ?? 0, integer),
    column('Current', ({ status }) => status?.replicas ?? 0, integer),
    column('Ready', ({ status }) => status?.readyReplicas ?? 0, integer),
    ageOf(),
    containersColumn(),
    imagesColumn(),
    column('Selector', ({ spec }) => formatLabelSelector(spec?.selector), { wide: true }),
  ],
  selectableFields: { 'status.replicas': ({ status }) => String(status?.replicas ?? 0) },
  validate: replicaSetErrors,
  validateUpdate: replicaSetUpdateErrors,
})

export const replicationControllerResource = defineResource<ReplicationController>({
  of: ReplicationController,
  shortNames: ['rc'],
  categories: ['all'],
  storagePrefix: 'controllers',
  generation: 'spec',
  scale,
  columns: [
    column('Desired', ({ spec }) => spec?.replicas ?? 0, integer),
    column('Current', ({ status }) => status?.replicas ?? 0, integer),
    column('Ready', ({ status }) => status?.readyReplicas ?? 0, integer),
    ageOf(),
    containersColumn(),
    imagesColumn(),
    column('Selector', ({ spec }) => formatLabelSelector({ matchLabels: spec?.selector }), { wide: true }),
  ],
  selectableFields: { 'status.replicas': ({ status }) => String(status?.replicas ?? 0) },
  validate: replicationControllerErrors,
})

export const statefulSetResource = defineResource<StatefulSet>({
  of: StatefulSet,
  shortNames: ['sts'],
  categories: ['all'],
  generation: 'spec',
  scale,
  columns: [
    column('Ready', ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`),
    ageOf(),
    containersColumn(),
    imagesColumn(),
  ],
  validate: statefulSetErrors,
  validateCreate: statefulSetCreateErrors,
  validateUpdate: statefulSetUpdateErrors,
})

export const daemonSetResource = defineResource<DaemonSet>({
  of: DaemonSet,
  shortNames: ['ds'],
  categories: ['all'],
  generation: 'spec',
  columns: [
    column('Desired', ({ status }) => status?.desiredNumberScheduled ?? 0, integer),
    column('Current', ({ status }) => status?.currentNumberScheduled ?? 0, integer),
    column('Ready', ({ status }) => status?.numberReady ?? 0, integer),
    column('Up-to-date', ({ status }) => status?.updatedNumberScheduled ?? 0, integer),
    column('Available', ({ status }) => status?.numberAvailable ?? 0, integer),
    column('Node Selector', ({ spec }) => {
      const selector = spec?.template?.spec?.nodeSelector
      return selector && Object.keys(selector).length > 0 ? formatLabelSelector({ matchLabels: selector }) : '<none>'
    }),
    ageOf(),
    containersColumn(),
    imagesColumn(),
    column('Selector', ({ spec }) => formatLabelSelector(spec?.selector), { wide: true }),
  ],
  prepareForCreate: (object) => {
    const spec = object.spec as Record<string, unknown> | undefined
    if (spec) spec.templateGeneration = undefined
  },
  validate: daemonSetErrors,
  validateUpdate: daemonSetUpdateErrors,
})

export const podTemplateResource = defineResource<PodTemplate>({
  of: PodTemplate,
  generation: 'all',
  columns: [
    column('Containers', ({ template }) => containerCells(template?.spec?.containers).names),
    column('Images', ({ template }) => containerCells(template?.spec?.containers).images),
    column('Pod Labels', ({ template }) => formatLabelSelector({ matchLabels: template?.metadata?.labels ?? {} }) || '<none>'),
  ],
  validate: podTemplateErrors,
})

export const controllerRevisionResource = defineResource<ControllerRevision>({
  of: ControllerRevision,
  columns: [
    column('Controller', ({ metadata }) => {
      const owner = metadata.ownerReferences?.find((o) => o.controller)
      if (!owner) return '<none>'
      const [group, version] = owner.apiVersion.split('/')
      return `${owner.kind.toLowerCase()}${version ? `.${group}` : ''}/${owner.name}`
    }),
    column('Revision', ({ revision }) => revision ?? 0, integer),
    ageOf(),
  ],
  validate: controllerRevisionErrors,
  validateUpdate: controllerRevisionUpdateErrors,
})
