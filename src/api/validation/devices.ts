// Dynamic resource allocation: claims, classes, slices, taint rules.
import { duplicate, type FieldError, invalid, required, tooLong, tooMany } from '../field-error.js'
import type {
  DeviceClass,
  DeviceTaintRule,
  ExactDeviceRequest,
  OpaqueDeviceConfiguration,
  ResourceClaim,
  ResourceClaimSpec,
  ResourceClaimTemplate,
  ResourceSlice,
} from '../generated/kinds.js'
import { annotationErrors } from '../metadata.js'
import { dnsLabelErrors, dnsSubdomainErrors, labelValueErrors, qualifiedNameErrors } from '../names.js'
import { labelErrors } from '../selector/labels.js'
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

/** Parameters are the driver's own, but an object they must be. */
function opaqueErrors(opaque: OpaqueDeviceConfiguration | undefined, path: string): FieldError[] {
  if (!opaque) return [required(path)]
  const errors = requiredText(opaque.driver, dnsSubdomainErrors, `${path}.driver`)
  const parameters: unknown = opaque.parameters
  if (parameters === undefined || parameters === null) errors.push(required(`${path}.parameters`))
  else if (typeof parameters !== 'object' || Array.isArray(parameters))
    errors.push(invalid(`${path}.parameters`, '<value omitted>', 'must be a valid JSON object'))
  return errors
}

const C_IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/
const identifierRule =
  "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')"

function attributeErrors(name: string, attribute: object, path: string): FieldError[] {
  const errors: FieldError[] = []
  const parts = name.split('/')
  const id = parts.at(-1) ?? ''
  if (parts.length > 2) errors.push(invalid(path, name, 'must be either the identifier or a domain and an identifier'))
  else if (parts.length === 2) errors.push(...requiredText(parts[0], dnsSubdomainErrors, path))
  if (id === '') errors.push(required(path, 'the name must not be empty'))
  else if (id.length > 32) errors.push(tooLong(path, 32))
  if (id !== '' && !C_IDENTIFIER.test(id)) errors.push(invalid(path, id, identifierRule))
  const values = Object.keys(attribute)
  if (values.length === 0) errors.push(required(path, 'exactly one value must be specified'))
  else if (values.length > 1) errors.push(invalid(path, attribute, 'exactly one value must be specified'))
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
    errors.push(...opaqueErrors(config.opaque, `${at}.opaque`))
  })
  return errors
}

export const resourceClaimErrors = ({ spec }: ResourceClaim): FieldError[] => claimSpecErrors(spec, 'spec')
export const resourceClaimUpdateErrors = (next: ResourceClaim, previous: ResourceClaim): FieldError[] =>
  immutableErrors(next.spec, previous.spec, 'spec')

export const resourceClaimTemplateErrors = ({ spec }: ResourceClaimTemplate): FieldError[] => [
  ...labelErrors(spec?.metadata?.labels, 'spec.metadata.labels'),
  ...annotationErrors(spec?.metadata?.annotations, 'spec.metadata.annotations'),
  ...claimSpecErrors(spec?.spec, 'spec.spec'),
]
export const resourceClaimTemplateUpdateErrors = (next: ResourceClaimTemplate, previous: ResourceClaimTemplate): FieldError[] =>
  immutableErrors(next.spec, previous.spec, 'spec')

export function deviceClassErrors({ spec }: DeviceClass): FieldError[] {
  const errors = (spec?.selectors ?? []).flatMap((selector, index) =>
    selector.cel?.expression ? [] : [required(`spec.selectors[${index}].cel`)],
  )
  spec?.config?.forEach(({ opaque }, index) => {
    errors.push(...opaqueErrors(opaque, `spec.config[${index}].opaque`))
  })
  const extended = spec?.extendedResourceName
  if (extended !== undefined && (!extended.includes('/') || qualifiedNameErrors(extended).length > 0))
    errors.push(invalid('spec.extendedResourceName', extended, 'must be a valid extended resource name'))
  return errors
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
    for (const [name, attribute] of Object.entries(device.attributes ?? {}))
      errors.push(...attributeErrors(name, attribute, `${at}.attributes[${name}]`))
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
  if (spec.taint?.value) errors.push(...textErrors(spec.taint.value, labelValueErrors, 'spec.taint.value'))
  errors.push(...oneOfErrors(spec.taint?.effect, ['None', 'NoExecute', 'NoSchedule'], 'spec.taint.effect'))
  if (spec.deviceSelector?.driver) errors.push(...textErrors(spec.deviceSelector.driver, dnsSubdomainErrors, 'spec.deviceSelector.driver'))
  return errors
}
