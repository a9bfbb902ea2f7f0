// CustomResourceDefinitions, APIServices, and devices (dynamic resource allocation).
import { ageOf, column } from '../columns.js'
import { crdErrors, crdUpdateErrors, prepareCrdCreate } from '../crd/definition.js'
import { ALL_METADATA, defineResource } from '../define-resource.js'
import {
  APIService,
  CustomResourceDefinition,
  DeviceClass,
  DeviceTaintRule,
  ResourceClaim,
  ResourceClaimTemplate,
  ResourceSlice,
} from '../generated/kinds.js'
import { apiServiceErrors } from '../validation/api-service.js'
import {
  deviceClassErrors,
  deviceTaintRuleErrors,
  resourceClaimErrors,
  resourceClaimTemplateErrors,
  resourceClaimTemplateUpdateErrors,
  resourceClaimUpdateErrors,
  resourceSliceErrors,
  resourceSliceUpdateErrors,
} from '../validation/devices.js'

export const crdResource = defineResource<CustomResourceDefinition>({
  of: CustomResourceDefinition,
  shortNames: ['crd', 'crds'],
  categories: ['api-extensions'],
  storagePrefix: 'apiextensions.k8s.io/customresourcedefinitions',
  generation: 'spec',
  columns: [column('Created At', ({ metadata }) => metadata.creationTimestamp ?? '', { type: 'date' })],
  prepareForCreate: prepareCrdCreate,
  validate: crdErrors,
  validateUpdate: crdUpdateErrors,
})

export const apiServiceResource = defineResource<APIService>({
  of: APIService,
  statusKeeps: ALL_METADATA,
  categories: ['api-extensions'],
  storagePrefix: 'apiregistration.k8s.io/apiservices',
  columns: [
    column('Service', ({ spec }) => (spec?.service ? `${spec.service.namespace}/${spec.service.name}` : 'Local')),
    column('Available', ({ status }) => {
      const available = status?.conditions?.find((c) => c.type === 'Available')
      if (!available) return 'Unknown'
      return available.status === 'True' ? 'True' : `${available.status} (${available.reason ?? ''})`
    }),
    ageOf(),
  ],
  validate: apiServiceErrors,
})

function claimState({ metadata, status }: ResourceClaim): string {
  const states: string[] = []
  if (metadata.deletionTimestamp) states.push('deleted')
  if (!status?.allocation) {
    if (!metadata.deletionTimestamp) states.push('pending')
  } else {
    states.push('allocated')
    if (status.reservedFor?.length) states.push('reserved')
  }
  return states.join(',')
}

export const resourceClaimResource = defineResource<ResourceClaim>({
  of: ResourceClaim,
  statusKeeps: ALL_METADATA,
  columns: [column('State', claimState), ageOf()],
  validate: resourceClaimErrors,
  validateUpdate: resourceClaimUpdateErrors,
})

export const resourceClaimTemplateResource = defineResource<ResourceClaimTemplate>({
  of: ResourceClaimTemplate,
  validate: resourceClaimTemplateErrors,
  validateUpdate: resourceClaimTemplateUpdateErrors,
})

export const deviceClassResource = defineResource<DeviceClass>({ of: DeviceClass, generation: 'spec', validate: deviceClassErrors })

export const resourceSliceResource = defineResource<ResourceSlice>({
  of: ResourceSlice,
  generation: 'spec',
  columns: [
    column('Node', ({ spec }) => spec?.nodeName || '<unset>'),
    column('Driver', ({ spec }) => spec?.driver ?? ''),
    column('Pool', ({ spec }) => spec?.pool?.name ?? ''),
    ageOf(),
  ],
  selectableFields: { 'spec.nodeName': ({ spec }) => spec?.nodeName, 'spec.driver': ({ spec }) => spec?.driver },
  validate: resourceSliceErrors,
  validateUpdate: resourceSliceUpdateErrors,
})

export const deviceTaintRuleResource = defineResource<DeviceTaintRule>({
  of: DeviceTaintRule,
  generation: 'spec',
  validate: deviceTaintRuleErrors,
})
