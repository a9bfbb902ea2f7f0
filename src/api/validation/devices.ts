// Dynamic resource allocation: claims, classes, slices, taint rules.
import { duplicate, type FieldError, invalid, required, tooMany } from '../field-error.js'
import type {
  DeviceClass,
  DeviceTaintRule,
  ExactDeviceRequest,
  ResourceClaim,
  ResourceClaimSpec,
  ResourceClaimTemplate,
  ResourceSlice,
} from '../generated/kinds.js'
import { dnsLabelErrors, dnsSubdomainErrors, qualifiedNameErrors } from '../names.js'
import { immutableErrors, oneOfErrors, requiredText, textErrors } from './common.js'

function exactErrors(request: ExactDeviceRequest, path: string): FieldError[] {
  const errors = requiredText(request.deviceClassName, dnsSubdomainErrors, `${path}.deviceClassName`)
  if (request.allocationMode === 'All') {
    if (request.count) errors.push(invalid(`${path}.count`, request.count, "must not be specified when allocationMode is 'All'"))
  } else if (request.allocationMode === 'ExactCount' || !request.allocationMode) {
    if ((request.count ?? 1) <= 0) errors.push(invalid(`${path}.count`, request.count, 'must be greater than zero'))
  } else errors.push(...oneOfErrors(request.allocationMode, ['All', 'ExactCount'], `${path}.allocationMode`))
  request.selectors?.forEach((selector, index) => {
    if (!selector.cel) errors.push(required(`${path}.selectors[${index}].cel`))
    else if (!selector.cel.expression) errors.push(required(`${path}.selectors[${index}].cel.expression`))
  })
  return errors
}

function claimSpecErrors(spec: ResourceClaimSpec | undefined, path: string): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  const requests = spec?.devices?.requests ?? []
  if (requests.length > 32) errors.push(tooMany(`${path}.devices.requests`, requests.length, 32))
  requests.forEach((request, index) => {
    const at = `${path}.devices.requests[${index}]`
    errors.push(...requiredText(request.name, dnsLabelErrors, `${at}.name`))
    if (names.has(request.name)) errors.push(duplicate(`${at}.name`, request.name))
    names.add(request.name)
    if (request.exactly && request.firstAvailable?.length)
      errors.push(invalid(at, null, 'exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set'))
    else if (!request.exactly && !request.firstAvailable?.length)
      errors.push(required(at, 'exactly one of `exactly` or `firstAvailable` is required'))
    if (request.exactly) errors.push(...exactErrors(request.exactly, `${at}.exactly`))
    request.firstAvailable?.forEach((sub, i) => {
      errors.push(
        ...requiredText(sub.name, dnsLabelErrors, `${at}.firstAvailable[${i}].name`),
        ...exactErrors(sub, `${at}.firstAvailable[${i}]`),
      )
    })
  })
  const known = (name: string): boolean => names.has(name.split('/')[0] ?? '')
  spec?.devices?.constraints?.forEach((constraint, index) => {
    constraint.requests?.forEach((name, i) => {
      if (!known(name))
        errors.push(
          invalid(
            `${path}.devices.constraints[${index}].requests[${i}]`,
            name,
            "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
          ),
        )
    })
  })
  spec?.devices?.config?.forEach((config, index) => {
    const at = `${path}.devices.config[${index}]`
    config.requests?.forEach((name, i) => {
      if (!known(name))
        errors.push(
          invalid(
            `${at}.requests[${i}]`,
            name,
            "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
          ),
        )
    })
    if (!config.opaque) errors.push(required(`${at}.opaque`))
    else errors.push(...requiredText(config.opaque.driver, dnsSubdomainErrors, `${at}.opaque.driver`))
  })
  return errors
}

export const resourceClaimErrors = ({ spec }: ResourceClaim): FieldError[] => claimSpecErrors(spec, 'spec')
export const resourceClaimUpdateErrors = (next: ResourceClaim, previous: ResourceClaim): FieldError[] =>
  immutableErrors(next.spec, previous.spec, 'spec')

export const resourceClaimTemplateErrors = ({ spec }: ResourceClaimTemplate): FieldError[] => claimSpecErrors(spec?.spec, 'spec.spec')
export const resourceClaimTemplateUpdateErrors = (next: ResourceClaimTemplate, previous: ResourceClaimTemplate): FieldError[] =>
  immutableErrors(next.spec, previous.spec, 'spec')

export function deviceClassErrors({ spec }: DeviceClass): FieldError[] {
  return (spec?.selectors ?? []).flatMap((selector, index) => (selector.cel?.expression ? [] : [required(`spec.selectors[${index}].cel`)]))
}

export function resourceSliceErrors({ spec }: ResourceSlice): FieldError[] {
  if (!spec) return [required('spec')]
  const errors = requiredText(spec.driver, dnsSubdomainErrors, 'spec.driver')
  if (!spec.pool?.name) errors.push(required('spec.pool.name'))
  if ((spec.pool?.resourceSliceCount ?? 0) <= 0)
    errors.push(invalid('spec.pool.resourceSliceCount', spec.pool?.resourceSliceCount ?? 0, 'must be greater than zero'))
  if ((spec.pool?.generation ?? 0) < 0)
    errors.push(invalid('spec.pool.generation', spec.pool?.generation, 'must be greater than or equal to zero'))
  const places = [spec.nodeName, spec.nodeSelector, spec.allNodes, spec.perDeviceNodeSelection].filter(Boolean).length
  if (places === 0)
    errors.push(required('spec', 'exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required'))
  if (places > 1)
    errors.push(
      invalid(
        'spec',
        null,
        'exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set',
      ),
    )
  if ((spec.devices?.length ?? 0) > 128) errors.push(tooMany('spec.devices', spec.devices?.length ?? 0, 128))
  const names = new Set<string>()
  spec.devices?.forEach((device, index) => {
    const at = `spec.devices[${index}]`
    errors.push(...requiredText(device.name, dnsLabelErrors, `${at}.name`))
    if (names.has(device.name)) errors.push(duplicate(`${at}.name`, device.name))
    names.add(device.name)
  })
  return errors
}

export const resourceSliceUpdateErrors = (next: ResourceSlice, previous: ResourceSlice): FieldError[] => [
  ...immutableErrors(next.spec?.driver, previous.spec?.driver, 'spec.driver'),
  ...immutableErrors(next.spec?.pool?.name, previous.spec?.pool?.name, 'spec.pool.name'),
  ...immutableErrors(next.spec?.nodeName, previous.spec?.nodeName, 'spec.nodeName'),
  ...immutableErrors(next.spec?.allNodes, previous.spec?.allNodes, 'spec.allNodes'),
]

export function deviceTaintRuleErrors({ spec }: DeviceTaintRule): FieldError[] {
  if (!spec) return [required('spec')]
  const errors = textErrors(spec.taint?.key ?? '', qualifiedNameErrors, 'spec.taint.key')
  errors.push(...oneOfErrors(spec.taint?.effect, ['None', 'NoExecute', 'NoSchedule'], 'spec.taint.effect'))
  if (spec.deviceSelector?.driver) errors.push(...textErrors(spec.deviceSelector.driver, dnsSubdomainErrors, 'spec.deviceSelector.driver'))
  return errors
}
