// Admission configuration, priorities, runtime classes, leases.
import { duplicate, type FieldError, forbidden, invalid, notSupported, required } from '../field-error.js'
import type {
  Lease,
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  MutatingWebhook,
  MutatingWebhookConfiguration,
  PriorityClass,
  RuleWithOperations,
  RuntimeClass,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  ValidatingWebhook,
  ValidatingWebhookConfiguration,
} from '../generated/kinds.js'
import { equalJson } from '../json/value.js'
import { dnsLabelErrors, dnsSubdomainErrors, qualifiedNameErrors } from '../names.js'
import { labelErrors, labelSelectorErrors } from '../selector/labels.js'
import { immutableErrors, oneOfErrors, requiredText, resourceAmountErrors, textErrors } from './common.js'
import { tolerationErrors } from './scheduling.js'

const operations = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE']

function ruleErrors(rule: RuleWithOperations, path: string): FieldError[] {
  const errors: FieldError[] = []
  const star = (list: readonly string[] | undefined, field: string): void => {
    if (!list?.length) errors.push(required(`${path}.${field}`))
    else if (list.length > 1 && list.includes('*'))
      errors.push(invalid(`${path}.${field}`, list, `if '*' is present, must not specify other ${fieldNoun(field)}`))
  }
  star(rule.operations, 'operations')
  star(rule.apiGroups, 'apiGroups')
  star(rule.apiVersions, 'apiVersions')
  errors.push(...resourcesErrors(rule.resources ?? [], `${path}.resources`))
  rule.operations?.forEach((operation, index) => {
    if (!operations.includes(operation)) errors.push(notSupported(`${path}.operations[${index}]`, operation, operations))
  })
  if (rule.scope) errors.push(...oneOfErrors(rule.scope, ['*', 'Cluster', 'Namespaced'], `${path}.scope`))
  return errors
}
/** Names with or without a subresource, and stars on either side, each of which says all of its side. */
function resourcesErrors(resources: readonly string[], path: string): FieldError[] {
  if (resources.length === 0) return [required(path)]
  const errors: FieldError[] = []
  const everySub = new Set<string>()
  const everyResource = new Set<string>()
  resources.forEach((name, index) => {
    const at = `${path}[${index}]`
    if (name === '') errors.push(required(at))
    const [resource = '', sub] = name.split('/', 2)
    if (sub === undefined) return
    if (everySub.has(resource)) errors.push(invalid(at, name, `if '${resource}/*' is present, must not specify ${name}`))
    if (everyResource.has(sub)) errors.push(invalid(at, name, `if '*/${sub}' is present, must not specify ${name}`))
    if (sub === '*') everySub.add(resource)
    if (resource === '*') everyResource.add(sub)
  })
  if (resources.length > 1 && resources.includes('*/*'))
    errors.push(invalid(path, resources, "if '*/*' is present, must not specify other resources"))
  if (resources.includes('*') && resources.some((name) => name !== '*' && !name.includes('/')))
    errors.push(invalid(path, resources, "if '*' is present, must not specify other resources without subresources"))
  return errors
}

const fieldNoun = (field: string): string =>
  ({ operations: 'operations', apiGroups: 'API groups', apiVersions: 'API versions' })[field] ?? field

function clientErrors(client: MutatingWebhook['clientConfig'] | undefined, path: string): FieldError[] {
  const { url, service } = client ?? {}
  if ((url === undefined) === (service === undefined)) return [required(path, 'exactly one of url or service is required')]
  if (url !== undefined) {
    const parsed = URL.canParse(url) ? new URL(url) : undefined
    if (!parsed) return [required(`${path}.url`, 'url must be a valid URL')]
    const errors: FieldError[] = []
    if (parsed.protocol !== 'https:')
      errors.push(invalid(`${path}.url`, url, "'https' is the only allowed URL scheme; desired format: https://host[/path]"))
    if (parsed.username) errors.push(invalid(`${path}.url`, url, 'user information is not permitted in the URL'))
    if (parsed.hash) errors.push(invalid(`${path}.url`, url, 'fragments are not permitted in the URL'))
    if (parsed.search) errors.push(invalid(`${path}.url`, url, 'query parameters are not permitted in the URL'))
    return errors
  }
  const errors: FieldError[] = []
  if (!service?.name) errors.push(required(`${path}.service.name`, 'service name is required'))
  if (!service?.namespace) errors.push(required(`${path}.service.namespace`, 'service namespace is required'))
  if (service?.port !== undefined && (service.port < 1 || service.port > 65535))
    errors.push(invalid(`${path}.service.port`, service.port, 'port is not valid: must be between 1 and 65535, inclusive'))
  return errors
}

interface Condition {
  readonly name: string
  readonly expression: string
}

function conditionsErrors(conditions: readonly Condition[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  if ((conditions?.length ?? 0) > 64)
    errors.push({ reason: 'FieldValueTooMany', field: path, message: `Too many: ${conditions?.length}: must have at most 64 items` })
  conditions?.forEach((condition, index) => {
    const at = `${path}[${index}]`
    if (!condition.expression?.trim()) errors.push(required(`${at}.expression`))
    if (!condition.name) errors.push(required(`${at}.name`))
    if (names.has(condition.name)) errors.push(duplicate(`${at}.name`, condition.name))
    names.add(condition.name)
  })
  return errors
}

function webhookErrors(hook: ValidatingWebhook | MutatingWebhook, path: string): FieldError[] {
  const errors: FieldError[] = []
  if (!hook.name) errors.push(required(`${path}.name`))
  else if (dnsSubdomainErrors(hook.name).length > 0 || hook.name.split('.').length < 3)
    errors.push(invalid(`${path}.name`, hook.name, 'should be a domain with at least three segments separated by dots'))
  errors.push(...clientErrors(hook.clientConfig, `${path}.clientConfig`))
  hook.rules?.forEach((rule, index) => {
    errors.push(...ruleErrors(rule, `${path}.rules[${index}]`))
  })
  errors.push(...oneOfErrors(hook.failurePolicy, ['Fail', 'Ignore'], `${path}.failurePolicy`, { optional: true }))
  errors.push(...oneOfErrors(hook.matchPolicy, ['Equivalent', 'Exact'], `${path}.matchPolicy`, { optional: true }))
  if (!hook.sideEffects) errors.push(required(`${path}.sideEffects`, 'must specify one of None, NoneOnDryRun'))
  else errors.push(...oneOfErrors(hook.sideEffects, ['None', 'NoneOnDryRun'], `${path}.sideEffects`))
  if (hook.timeoutSeconds !== undefined && (hook.timeoutSeconds < 1 || hook.timeoutSeconds > 30))
    errors.push(invalid(`${path}.timeoutSeconds`, hook.timeoutSeconds, 'the timeout value must be between 1 and 30 seconds'))
  if (!hook.admissionReviewVersions?.length) errors.push(required(`${path}.admissionReviewVersions`, 'must specify one of v1, v1beta1'))
  else if (!hook.admissionReviewVersions.some((v) => v === 'v1' || v === 'v1beta1'))
    errors.push(invalid(`${path}.admissionReviewVersions`, hook.admissionReviewVersions, 'must include at least one of v1, v1beta1'))
  errors.push(
    ...labelSelectorErrors(hook.namespaceSelector, `${path}.namespaceSelector`),
    ...labelSelectorErrors(hook.objectSelector, `${path}.objectSelector`),
  )
  if ('reinvocationPolicy' in hook)
    errors.push(...oneOfErrors(hook.reinvocationPolicy, ['IfNeeded', 'Never'], `${path}.reinvocationPolicy`, { optional: true }))
  return [...errors, ...conditionsErrors(hook.matchConditions, `${path}.matchConditions`)]
}

export function webhookConfigurationErrors({ webhooks }: ValidatingWebhookConfiguration | MutatingWebhookConfiguration): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  webhooks?.forEach((hook, index) => {
    errors.push(...webhookErrors(hook, `webhooks[${index}]`))
    if (names.has(hook.name)) errors.push(duplicate(`webhooks[${index}].name`, hook.name))
    names.add(hook.name)
  })
  return errors
}

export function admissionPolicyErrors(policy: ValidatingAdmissionPolicy | MutatingAdmissionPolicy): FieldError[] {
  const { spec } = policy
  if (!spec) return [required('spec')]
  const errors: FieldError[] = []
  errors.push(...oneOfErrors(spec.failurePolicy, ['Fail', 'Ignore'], 'spec.failurePolicy', { optional: true }))
  if (spec.paramKind) {
    if (!spec.paramKind.apiVersion) errors.push(required('spec.paramKind.apiVersion'))
    if (!spec.paramKind.kind) errors.push(required('spec.paramKind.kind'))
  }
  const match = spec.matchConstraints
  if (!match) errors.push(required('spec.matchConstraints'))
  else {
    if (!match.resourceRules?.length) errors.push(required('spec.matchConstraints.resourceRules'))
    match.resourceRules?.forEach((rule, index) => {
      errors.push(...ruleErrors(rule, `spec.matchConstraints.resourceRules[${index}]`))
    })
    errors.push(
      ...labelSelectorErrors(match.namespaceSelector, 'spec.matchConstraints.namespaceSelector'),
      ...labelSelectorErrors(match.objectSelector, 'spec.matchConstraints.objectSelector'),
    )
  }
  errors.push(...conditionsErrors(spec.matchConditions, 'spec.matchConditions'))
  spec.variables?.forEach((variable, index) => {
    if (!variable.name) errors.push(required(`spec.variables[${index}].name`, 'name is not specified'))
    if (!variable.expression?.trim()) errors.push(required(`spec.variables[${index}].expression`, 'expression is not specified'))
  })
  if (policy.kind === 'MutatingAdmissionPolicy') {
    const { mutations, reinvocationPolicy } = spec as NonNullable<MutatingAdmissionPolicy['spec']>
    if (!mutations?.length) errors.push(required('spec.mutations', 'mutations must contain at least one item'))
    errors.push(...oneOfErrors(reinvocationPolicy, ['IfNeeded', 'Never'], 'spec.reinvocationPolicy'))
    mutations?.forEach((mutation, index) => {
      errors.push(...mutationErrors(mutation, `spec.mutations[${index}]`))
    })
    return errors
  }
  const { validations, auditAnnotations } = spec as NonNullable<ValidatingAdmissionPolicy['spec']>
  if (!validations?.length && !auditAnnotations?.length)
    errors.push(required('spec.validations', 'validations or auditAnnotations must contain at least one item'))
  auditAnnotations?.forEach(({ key, valueExpression }, index) => {
    const at = `spec.auditAnnotations[${index}]`
    errors.push(...textErrors(`${policy.metadata.name}/${key}`, qualifiedNameErrors, at))
    if (!valueExpression?.trim()) errors.push(required(`${at}.valueExpression`, 'valueExpression is not specified'))
  })
  validations?.forEach((validation, index) => {
    const at = `spec.validations[${index}]`
    if (!validation.expression?.trim()) errors.push(required(`${at}.expression`, 'expression is not specified'))
    if (validation.reason && !['Unauthorized', 'Forbidden', 'Invalid', 'RequestEntityTooLarge'].includes(validation.reason))
      errors.push(notSupported(`${at}.reason`, validation.reason, ['Unauthorized', 'Forbidden', 'Invalid', 'RequestEntityTooLarge']))
  })
  return errors
}

type Mutation = NonNullable<NonNullable<MutatingAdmissionPolicy['spec']>['mutations']>[number]

/** A mutation says its expression where its type wants it, and nowhere else. */
function mutationErrors(mutation: Mutation, path: string): FieldError[] {
  const fields = { ApplyConfiguration: 'applyConfiguration', JSONPatch: 'jsonPatch' } as const
  const errors = oneOfErrors(mutation.patchType, Object.keys(fields), `${path}.patchType`)
  for (const [type, field] of Object.entries(fields)) {
    const at = `${path}.${field}`
    if (type !== mutation.patchType) {
      if (mutation[field] && errors.length === 0)
        errors.push(invalid(at, mutation[field], `must not be specified when patchType is ${mutation.patchType}`))
    } else if (!mutation[field]) errors.push(required(at, `must be specified when patchType is ${type}`))
    else if (!mutation[field]?.expression?.trim()) errors.push(required(`${at}.expression`, 'expression is not specified'))
  }
  return errors
}

export function policyBindingErrors({ spec }: ValidatingAdmissionPolicyBinding | MutatingAdmissionPolicyBinding): FieldError[] {
  if (!spec) return [required('spec')]
  const errors = requiredText(spec.policyName, dnsSubdomainErrors, 'spec.policyName')
  const param = spec.paramRef
  if (param) {
    if (param.name && param.selector) errors.push(forbidden('spec.paramRef.name', 'name and selector are mutually exclusive'))
    if (!param.name && !param.selector) errors.push(required('spec.paramRef', 'one of name or selector must be specified'))
    if (!param.parameterNotFoundAction) errors.push(required('spec.paramRef.parameterNotFoundAction'))
    else errors.push(...oneOfErrors(param.parameterNotFoundAction, ['Allow', 'Deny'], 'spec.paramRef.parameterNotFoundAction'))
  }
  const match = spec.matchResources
  if (match) {
    errors.push(...oneOfErrors(match.matchPolicy, ['Equivalent', 'Exact'], 'spec.matchResources.matchPolicy', { optional: true }))
    for (const list of ['resourceRules', 'excludeResourceRules'] as const)
      match[list]?.forEach((rule, index) => {
        errors.push(...ruleErrors(rule, `spec.matchResources.${list}[${index}]`))
      })
    errors.push(
      ...labelSelectorErrors(match.namespaceSelector, 'spec.matchResources.namespaceSelector'),
      ...labelSelectorErrors(match.objectSelector, 'spec.matchResources.objectSelector'),
    )
  }
  if ('validationActions' in spec) {
    const actions = spec.validationActions ?? []
    if (actions.length === 0) errors.push(required('spec.validationActions', 'at least one validation action is required'))
    actions.forEach((action, index) => {
      if (actions.indexOf(action) < index) errors.push(duplicate(`spec.validationActions[${index}]`, action))
      if (!['Audit', 'Deny', 'Warn'].includes(action))
        errors.push(notSupported(`spec.validationActions[${index}]`, action, ['Audit', 'Deny', 'Warn']))
    })
    if (actions.includes('Deny') && actions.includes('Warn'))
      errors.push(
        invalid(
          'spec.validationActions',
          actions,
          'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
        ),
      )
  }
  return errors
}

const HIGHEST_USER_PRIORITY = 1_000_000_000

export function priorityClassErrors({ metadata, value, preemptionPolicy }: PriorityClass): FieldError[] {
  const errors: FieldError[] = []
  const name = metadata.name ?? ''
  if (name.startsWith('system-')) {
    const known = { 'system-node-critical': 2_000_001_000, 'system-cluster-critical': 2_000_000_000 }[name]
    if (known === undefined)
      errors.push(
        forbidden(
          'metadata.name',
          "priority class names with 'system-' prefix are reserved for system use only. error: " +
            name +
            ' is not a known system priority class',
        ),
      )
    else if (value !== known)
      errors.push(
        forbidden(
          'metadata.name',
          `priority class names with 'system-' prefix are reserved for system use only. error: value of ${name} PriorityClass must be ${known}`,
        ),
      )
  } else if ((value ?? 0) > HIGHEST_USER_PRIORITY)
    errors.push(forbidden('value', `maximum allowed value of a user defined priority is ${HIGHEST_USER_PRIORITY}`))
  return [...errors, ...oneOfErrors(preemptionPolicy, ['Never', 'PreemptLowerPriority'], 'preemptionPolicy', { optional: true })]
}

export function priorityClassUpdateErrors(next: PriorityClass, previous: PriorityClass): FieldError[] {
  const errors: FieldError[] = []
  if (next.value !== previous.value) errors.push(forbidden('value', 'may not be changed in an update.'))
  return [...errors, ...immutableErrors(next.preemptionPolicy, previous.preemptionPolicy, 'preemptionPolicy')]
}

export function runtimeClassErrors({ handler, overhead, scheduling }: RuntimeClass): FieldError[] {
  const errors = requiredText(handler, dnsLabelErrors, 'handler')
  for (const [name, amount] of Object.entries(overhead?.podFixed ?? {}))
    errors.push(...resourceAmountErrors(name, amount, `overhead.podFixed.limits[${name}]`))
  errors.push(...labelErrors(scheduling?.nodeSelector, 'scheduling.nodeSelector'))
  const tolerations = scheduling?.tolerations ?? []
  errors.push(...tolerationErrors(tolerations, 'scheduling.tolerations'))
  tolerations.forEach((toleration, index) => {
    if (tolerations.findIndex((other) => equalJson(other, toleration)) < index)
      errors.push(duplicate(`scheduling.tolerations[${index}]`, toleration))
  })
  return errors
}

export const runtimeClassUpdateErrors = (next: RuntimeClass, previous: RuntimeClass): FieldError[] =>
  immutableErrors(next.handler, previous.handler, 'handler')

export function leaseErrors({ spec }: Lease): FieldError[] {
  const errors: FieldError[] = []
  if (spec?.leaseDurationSeconds !== undefined && spec.leaseDurationSeconds <= 0)
    errors.push(invalid('spec.leaseDurationSeconds', spec.leaseDurationSeconds, 'must be greater than 0'))
  if ((spec?.leaseTransitions ?? 0) < 0)
    errors.push(invalid('spec.leaseTransitions', spec?.leaseTransitions, 'must be greater than or equal to 0'))
  if (spec?.strategy && !spec.preferredHolder && !['OldestEmulationVersion'].includes(spec.strategy))
    errors.push(...oneOfErrors(spec.strategy, ['OldestEmulationVersion'], 'spec.strategy'))
  return errors
}
