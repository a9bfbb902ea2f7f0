// ConfigMaps, Secrets, quotas, limit ranges.
import { duplicate, type FieldError, forbidden, invalid, required, tooLong } from '../field-error.js'
import type { ConfigMap, LimitRange, Namespace, ResourceQuota, Secret } from '../generated/kinds.js'
import { equalJson } from '../json/value.js'
import { finalizerErrors } from '../metadata.js'
import { configKeyErrors, qualifiedNameErrors } from '../names.js'
import { compareQuantities } from '../quantity.js'
import { immutableErrors, resourceAmountErrors, textErrors } from './common.js'

const MOST_BYTES = 1024 * 1024

export function configMapErrors(map: ConfigMap): FieldError[] {
  const errors: FieldError[] = []
  let size = 0
  for (const [key, value] of Object.entries(map.data ?? {})) {
    errors.push(...textErrors(key, configKeyErrors, `data[${key}]`))
    if (map.binaryData && Object.hasOwn(map.binaryData, key))
      errors.push(invalid(`data[${key}]`, key, 'duplicate of key present in binaryData'))
    size += Buffer.byteLength(value)
  }
  for (const [key, value] of Object.entries(map.binaryData ?? {})) {
    errors.push(...textErrors(key, configKeyErrors, `binaryData[${key}]`))
    size += Buffer.byteLength(value, 'base64')
  }
  if (size > MOST_BYTES) errors.push(tooLong('[]', MOST_BYTES))
  return errors
}

const frozen = 'field is immutable when `immutable` is set'

export function configMapUpdateErrors(next: ConfigMap, previous: ConfigMap): FieldError[] {
  if (!previous.immutable) return []
  const errors: FieldError[] = []
  if (!next.immutable) errors.push(forbidden('immutable', frozen))
  if (!equalJson(next.data ?? {}, previous.data ?? {})) errors.push(forbidden('data', frozen))
  if (!equalJson(next.binaryData ?? {}, previous.binaryData ?? {})) errors.push(forbidden('binaryData', frozen))
  return errors
}

/** Keys that a type of secret must hold. */
const wanted: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
}

function isJson(base64: string): boolean {
  try {
    JSON.parse(Buffer.from(base64, 'base64').toString())
    return true
  } catch {
    return false
  }
}

export function secretErrors(secret: Secret): FieldError[] {
  const errors: FieldError[] = []
  const data = secret.data ?? {}
  let size = 0
  for (const [key, value] of Object.entries(data)) {
    errors.push(...textErrors(key, configKeyErrors, `data[${key}]`))
    size += Buffer.byteLength(value, 'base64')
  }
  if (size > MOST_BYTES) errors.push(tooLong('data', MOST_BYTES))
  const type = secret.type ?? ''
  for (const key of wanted[type] ?? []) {
    const value = data[key]
    if (value === undefined) errors.push(required(`data[${key}]`))
    else if (type.includes('docker') && !isJson(value))
      errors.push(invalid(`data[${key}]`, '<secret contents redacted>', 'invalid character in JSON'))
  }
  if (type === 'kubernetes.io/basic-auth' && data.username === undefined && data.password === undefined)
    errors.push(required('data[username]'), required('data[password]'))
  if (type === 'kubernetes.io/service-account-token' && !secret.metadata.annotations?.['kubernetes.io/service-account.name'])
    errors.push(required('metadata.annotations[kubernetes.io/service-account.name]'))
  return errors
}

export function secretUpdateErrors(next: Secret, previous: Secret): FieldError[] {
  const errors = immutableErrors(next.type, previous.type, 'type')
  if (!previous.immutable) return errors
  if (!next.immutable) errors.push(forbidden('immutable', frozen))
  if (!equalJson(next.data ?? {}, previous.data ?? {})) errors.push(forbidden('data', frozen))
  return errors
}

const standardQuota = new Set([
  'cpu',
  'memory',
  'ephemeral-storage',
  'requests.cpu',
  'requests.memory',
  'requests.storage',
  'requests.ephemeral-storage',
  'limits.cpu',
  'limits.memory',
  'limits.ephemeral-storage',
  'pods',
  'services',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
  'services.nodeports',
  'services.loadbalancers',
])
const scopes = [
  'Terminating',
  'NotTerminating',
  'BestEffort',
  'NotBestEffort',
  'PriorityClass',
  'CrossNamespacePodAffinity',
  'VolumeAttributesClass',
]

const podAmounts = new Set([
  'pods',
  'cpu',
  'memory',
  'requests.cpu',
  'requests.memory',
  'limits.cpu',
  'limits.memory',
  'ephemeral-storage',
  'requests.ephemeral-storage',
  'limits.ephemeral-storage',
])

/** Scopes choose among pods (or claims, by their class): other resources know none. */
function scopeMeans(scope: string, resource: string): boolean {
  if (scope === 'BestEffort') return resource === 'pods'
  if (scope === 'VolumeAttributesClass') return resource === 'persistentvolumeclaims' || resource === 'requests.storage'
  if (['Terminating', 'NotTerminating', 'NotBestEffort', 'PriorityClass', 'CrossNamespacePodAffinity'].includes(scope))
    return podAmounts.has(resource) || resource.includes('/') || resource.includes('hugepages-')
  return true
}

function amountErrors(name: string, amount: string, path: string): FieldError[] {
  const errors = textErrors(name, qualifiedNameErrors, path)
  if (!name.includes('/') && !name.startsWith('hugepages-') && !/^(requests|limits)\.hugepages-/.test(name) && !standardQuota.has(name))
    errors.push(invalid(path, name, 'must be a standard resource for quota'))
  return [...errors, ...resourceAmountErrors(name, amount, path)]
}

export function resourceQuotaErrors(quota: ResourceQuota): FieldError[] {
  const errors: FieldError[] = []
  for (const [name, amount] of Object.entries(quota.spec?.hard ?? {})) errors.push(...amountErrors(name, amount, `spec.hard[${name}]`))
  const seen = new Set<string>()
  for (const scope of quota.spec?.scopes ?? []) {
    if (!scopes.includes(scope)) errors.push(invalid('spec.scopes', quota.spec?.scopes, 'unsupported scope'))
    for (const name of Object.keys(quota.spec?.hard ?? {}))
      if (!scopeMeans(scope, name)) errors.push(invalid('spec.scopes', quota.spec?.scopes, 'unsupported scope applied to resource'))
    seen.add(scope)
  }
  if ((seen.has('BestEffort') && seen.has('NotBestEffort')) || (seen.has('Terminating') && seen.has('NotTerminating')))
    errors.push(invalid('spec.scopes', quota.spec?.scopes, 'conflicting scopes'))
  quota.spec?.scopeSelector?.matchExpressions?.forEach((expression, index) => {
    const at = `spec.scopeSelector.matchExpressions[${index}]`
    if (!scopes.includes(expression.scopeName)) errors.push(invalid(`${at}.scopeName`, expression.scopeName, 'unsupported scope'))
    if (['In', 'NotIn'].includes(expression.operator)) {
      if (!expression.values?.length)
        errors.push(required(`${at}.values`, "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"))
    } else if (['Exists', 'DoesNotExist'].includes(expression.operator)) {
      if (expression.values?.length)
        errors.push(
          invalid(`${at}.values`, expression.values, "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector"),
        )
    } else errors.push(invalid(`${at}.operator`, expression.operator, 'not a valid selector operator'))
  })
  return errors
}

export const namespaceErrors = ({ spec }: Namespace): FieldError[] =>
  (spec?.finalizers ?? []).flatMap((name) => finalizerErrors(name, 'spec.finalizers'))

export function limitRangeErrors(range: LimitRange): FieldError[] {
  const errors: FieldError[] = []
  const types = new Set<string>()
  range.spec?.limits?.forEach((limit, index) => {
    const at = `spec.limits[${index}]`
    if (!limit.type) errors.push(required(`${at}.type`))
    else errors.push(...textErrors(limit.type, qualifiedNameErrors, `${at}.type`))
    if (types.has(limit.type)) errors.push(duplicate(`${at}.type`, limit.type))
    types.add(limit.type)
    if (limit.type === 'Pod') {
      if (Object.keys(limit.default ?? {}).length > 0) errors.push(forbidden(`${at}.default`, "may not be specified when `type` is 'Pod'"))
      if (Object.keys(limit.defaultRequest ?? {}).length > 0)
        errors.push(forbidden(`${at}.defaultRequest`, "may not be specified when `type` is 'Pod'"))
    }
    if (limit.type === 'PersistentVolumeClaim' && !limit.min?.storage && !limit.max?.storage)
      errors.push(required(`${at}.limits`, 'either minimum or maximum storage value is required, but neither was provided'))
    errors.push(...limitOrderErrors(limit, at))
    for (const [name, ratio] of Object.entries(limit.maxLimitRequestRatio ?? {}))
      if (compareQuantities(ratio, '1') < 0)
        errors.push(invalid(`${at}.maxLimitRequestRatio[${name}]`, ratio, `ratio ${ratio} is less than 1`))
  })
  return errors
}

type Limit = NonNullable<NonNullable<LimitRange['spec']>['limits']>[number]

/** min <= defaultRequest <= default <= max, wherever both ends are given. */
function limitOrderErrors(limit: Limit, at: string): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set([limit.min, limit.max, limit.default, limit.defaultRequest].flatMap((list) => Object.keys(list ?? {})))
  const check = (
    low: string | undefined,
    high: string | undefined,
    field: string,
    name: string,
    text: (a: string, b: string) => string,
  ): void => {
    if (low !== undefined && high !== undefined && compareQuantities(low, high) > 0)
      errors.push(invalid(`${at}.${field}[${name}]`, low, text(low, high)))
  }
  for (const name of names) {
    const { min, max, defaultRequest: request, default: fallback } = limit
    check(min?.[name], max?.[name], 'min', name, (a, b) => `min value ${a} is greater than max value ${b}`)
    if (request?.[name] !== undefined) {
      if (min?.[name] !== undefined && compareQuantities(min[name] ?? '0', request[name] ?? '0') > 0)
        errors.push(
          invalid(
            `${at}.defaultRequest[${name}]`,
            request[name],
            `min value ${min[name]} is greater than default request value ${request[name]}`,
          ),
        )
      check(request[name], max?.[name], 'defaultRequest', name, (a, b) => `default request value ${a} is greater than max value ${b}`)
      check(
        request[name],
        fallback?.[name],
        'defaultRequest',
        name,
        (a, b) => `default request value ${a} is greater than default limit value ${b}`,
      )
    }
    if (fallback?.[name] !== undefined && min?.[name] !== undefined && compareQuantities(min[name] ?? '0', fallback[name] ?? '0') > 0)
      errors.push(invalid(`${at}.default[${name}]`, min[name], `min value ${min[name]} is greater than default value ${fallback[name]}`))
    check(fallback?.[name], max?.[name], 'default', name, (a, b) => `default value ${a} is greater than max value ${b}`)
  }
  return errors
}
