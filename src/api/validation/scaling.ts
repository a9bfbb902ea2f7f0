// Autoscalers and disruption budgets.
import { type FieldError, invalid, required } from '../field-error.js'
import type { HorizontalPodAutoscaler, MetricSpec, PodDisruptionBudget } from '../generated/kinds.js'
import { pathSegmentErrors } from '../names.js'
import { labelSelectorErrors } from '../selector/labels.js'
import { intOrPercentErrors, oneOfErrors, requiredText } from './common.js'

function metricErrors(metric: MetricSpec, at: string): FieldError[] {
  const sources = {
    Object: 'object',
    Pods: 'pods',
    Resource: 'resource',
    External: 'external',
    ContainerResource: 'containerResource',
  } as const
  if (!metric.type) return [required(`${at}.type`, 'must specify a metric source type')]
  const field = sources[metric.type as keyof typeof sources]
  if (!field) return oneOfErrors(metric.type, Object.keys(sources), `${at}.type`)
  const source = metric[field]
  if (!source) return [required(`${at}.${field}`, `must populate information for the given metric source`)]
  const errors: FieldError[] = []
  const { target } = source
  if (!target?.type) errors.push(required(`${at}.${field}.target.type`, 'must specify a metric target type'))
  else errors.push(...oneOfErrors(target.type, ['Utilization', 'Value', 'AverageValue'], `${at}.${field}.target.type`))
  if (target?.averageUtilization !== undefined && target.averageUtilization < 1)
    errors.push(invalid(`${at}.${field}.target.averageUtilization`, target.averageUtilization, 'must be greater than 0'))
  if ('name' in source && !source.name) errors.push(required(`${at}.${field}.name`, 'must specify a resource name'))
  if (field === 'resource' && target?.averageUtilization === undefined && target?.averageValue === undefined)
    errors.push(required(`${at}.resource.target.averageUtilization`, 'must set either a target raw value or a target utilization'))
  return errors
}

export function hpaErrors({ spec }: HorizontalPodAutoscaler): FieldError[] {
  if (!spec) return [required('spec')]
  const errors: FieldError[] = []
  const minimum = spec.minReplicas
  if (minimum !== undefined && minimum < 1) errors.push(invalid('spec.minReplicas', minimum, 'must be greater than or equal to 1'))
  if ((spec.maxReplicas ?? 0) < 1) errors.push(invalid('spec.maxReplicas', spec.maxReplicas ?? 0, 'must be greater than 0'))
  if (minimum !== undefined && spec.maxReplicas < minimum)
    errors.push(invalid('spec.maxReplicas', spec.maxReplicas, 'must be greater than or equal to `minReplicas`'))
  errors.push(...requiredText(spec.scaleTargetRef?.kind, pathSegmentErrors, 'spec.scaleTargetRef.kind'))
  errors.push(...requiredText(spec.scaleTargetRef?.name, pathSegmentErrors, 'spec.scaleTargetRef.name'))
  spec.metrics?.forEach((metric, index) => {
    errors.push(...metricErrors(metric, `spec.metrics[${index}]`))
  })
  for (const name of ['scaleUp', 'scaleDown'] as const) {
    const rules = spec.behavior?.[name]
    if (!rules) continue
    const at = `spec.behavior.${name}`
    const window = rules.stabilizationWindowSeconds
    if (window !== undefined && (window < 0 || window > 3600))
      errors.push(invalid(`${at}.stabilizationWindowSeconds`, window, 'must be less than or equal to 3600'))
    if (rules.selectPolicy) errors.push(...oneOfErrors(rules.selectPolicy, ['Disabled', 'Max', 'Min'], `${at}.selectPolicy`))
    if (!rules.policies?.length) errors.push(required(`${at}.policies`, 'must specify at least one Policy'))
    rules.policies?.forEach((policy, index) => {
      const on = `${at}.policies[${index}]`
      errors.push(...oneOfErrors(policy.type, ['Percent', 'Pods'], `${on}.type`))
      if (policy.value <= 0) errors.push(invalid(`${on}.value`, policy.value, 'must be greater than zero'))
      if (policy.periodSeconds <= 0) errors.push(invalid(`${on}.periodSeconds`, policy.periodSeconds, 'must be greater than zero'))
      if (policy.periodSeconds > 1800)
        errors.push(invalid(`${on}.periodSeconds`, policy.periodSeconds, 'must be less than or equal to 1800'))
    })
  }
  return errors
}

export function podDisruptionBudgetErrors({ spec }: PodDisruptionBudget): FieldError[] {
  const errors: FieldError[] = []
  if (spec?.minAvailable !== undefined && spec.maxUnavailable !== undefined)
    errors.push(invalid('spec', spec, 'minAvailable and maxUnavailable cannot be both set'))
  errors.push(
    ...intOrPercentErrors(spec?.minAvailable, 'spec.minAvailable'),
    ...intOrPercentErrors(spec?.maxUnavailable, 'spec.maxUnavailable'),
  )
  for (const name of ['minAvailable', 'maxUnavailable'] as const) {
    const value = spec?.[name]
    if (typeof value === 'string' && /^[0-9]+%$/.test(value) && Number(value.slice(0, -1)) > 100)
      errors.push(invalid(`spec.${name}`, value, 'must not be greater than 100%'))
  }
  errors.push(...labelSelectorErrors(spec?.selector, 'spec.selector'))
  if (spec?.unhealthyPodEvictionPolicy)
    errors.push(...oneOfErrors(spec.unhealthyPodEvictionPolicy, ['AlwaysAllow', 'IfHealthyBudget'], 'spec.unhealthyPodEvictionPolicy'))
  return errors
}
