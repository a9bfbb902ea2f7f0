// Jobs and CronJobs.
import { type FieldError, forbidden, invalid, invalidOmitted, notSupported, required, tooLong } from '../field-error.js'
import type { CronJob, Job, JobSpec, PodFailurePolicyRule } from '../generated/kinds.js'
import { equalJson } from '../json/value.js'
import { labelSelector, labelSelectorErrors } from '../selector/labels.js'
import { domainPathErrors, immutableErrors, nonNegativeErrors, oneOfErrors } from './common.js'
import { cronErrors } from './cron.js'
import { templateErrors } from './pod.js'

function failureRuleErrors(rule: PodFailurePolicyRule, at: string, spec: JobSpec): FieldError[] {
  const errors = oneOfErrors(rule.action, ['Count', 'FailIndex', 'FailJob', 'Ignore'], `${at}.action`)
  if (rule.action === 'FailIndex' && spec.backoffLimitPerIndex === undefined)
    errors.push(invalid(`${at}.action`, rule.action, 'requires the backoffLimitPerIndex to be set'))
  if (rule.onExitCodes && rule.onPodConditions?.length)
    errors.push(invalidOmitted(at, 'specifying both OnExitCodes and OnPodConditions is not supported'))
  if (!rule.onExitCodes && !rule.onPodConditions?.length)
    errors.push(invalidOmitted(at, 'specifying one of OnExitCodes and OnPodConditions is required'))
  const codes = rule.onExitCodes
  if (codes) {
    const on = `${at}.onExitCodes`
    errors.push(...oneOfErrors(codes.operator, ['In', 'NotIn'], `${on}.operator`))
    if (
      codes.containerName &&
      ![...(spec.template?.spec?.containers ?? []), ...(spec.template?.spec?.initContainers ?? [])].some(
        (c) => c.name === codes.containerName,
      )
    )
      errors.push(
        invalid(`${on}.containerName`, codes.containerName, 'must be one of the container or initContainer names in the pod template'),
      )
    if (!codes.values?.length) errors.push(invalid(`${on}.values`, codes.values ?? [], 'at least one value is required'))
    codes.values?.forEach((value, index) => {
      if (codes.operator === 'In' && value === 0) errors.push(invalid(`${on}.values[${index}]`, value, 'must not be 0 for the In operator'))
      if (index > 0 && value <= (codes.values?.[index - 1] ?? value - 1))
        errors.push(invalid(`${on}.values`, codes.values, 'must be ordered'))
    })
  }
  rule.onPodConditions?.forEach((pattern, index) => {
    errors.push(...oneOfErrors(pattern.status, ['False', 'True', 'Unknown'], `${at}.onPodConditions[${index}].status`))
  })
  return errors
}

function policyErrors(spec: JobSpec, path: string): FieldError[] {
  const errors: FieldError[] = []
  const indexed = spec.completionMode === 'Indexed'
  if (spec.podFailurePolicy) {
    if (spec.template?.spec?.restartPolicy === 'OnFailure')
      errors.push(
        invalid(`${path}.template.spec.restartPolicy`, 'OnFailure', 'only "Never" is supported when podFailurePolicy is specified'),
      )
    spec.podFailurePolicy.rules?.forEach((rule, index) => {
      errors.push(...failureRuleErrors(rule, `${path}.podFailurePolicy.rules[${index}]`, spec))
    })
  }
  if (spec.successPolicy) {
    if (!indexed) errors.push(invalid(`${path}.successPolicy`, spec.successPolicy, 'requires indexed completion mode'))
    if (!spec.successPolicy.rules?.length)
      errors.push(required(`${path}.successPolicy.rules`, 'at least one rules must be specified when the successPolicy is specified'))
    spec.successPolicy.rules?.forEach((rule, index) => {
      if (rule.succeededCount === undefined && rule.succeededIndexes === undefined)
        errors.push(
          required(`${path}.successPolicy.rules[${index}]`, 'at least one of succeededCount or succeededIndexes must be specified'),
        )
    })
  }
  if (spec.backoffLimitPerIndex !== undefined) {
    errors.push(...nonNegativeErrors(spec.backoffLimitPerIndex, `${path}.backoffLimitPerIndex`))
    if (!indexed) errors.push(invalid(`${path}.backoffLimitPerIndex`, spec.backoffLimitPerIndex, 'requires indexed completion mode'))
  }
  if (spec.maxFailedIndexes !== undefined) {
    errors.push(...nonNegativeErrors(spec.maxFailedIndexes, `${path}.maxFailedIndexes`))
    if (spec.backoffLimitPerIndex === undefined) errors.push(required(`${path}.backoffLimitPerIndex`, 'when maxFailedIndexes is specified'))
    if (spec.completions !== undefined && spec.maxFailedIndexes > spec.completions)
      errors.push(invalid(`${path}.maxFailedIndexes`, spec.maxFailedIndexes, 'must be less than or equal to completions'))
  }
  if (spec.podReplacementPolicy) {
    const allowed = spec.podFailurePolicy ? ['Failed'] : ['Failed', 'TerminatingOrFailed']
    errors.push(...oneOfErrors(spec.podReplacementPolicy, allowed, `${path}.podReplacementPolicy`))
  }
  return errors
}

/** The part that a Job and the template of a CronJob share. */
export function jobSpecErrors(spec: JobSpec | undefined, path: string): FieldError[] {
  if (!spec) return [required(path)]
  const errors: FieldError[] = []
  for (const name of ['parallelism', 'completions', 'activeDeadlineSeconds', 'backoffLimit', 'ttlSecondsAfterFinished'] as const)
    errors.push(...nonNegativeErrors(spec[name], `${path}.${name}`))
  errors.push(...oneOfErrors(spec.completionMode, ['Indexed', 'NonIndexed'], `${path}.completionMode`, { optional: true }))
  if (spec.completionMode === 'Indexed') {
    if (spec.completions === undefined) errors.push(required(`${path}.completions`, 'when completion mode is Indexed'))
    if ((spec.parallelism ?? 0) > 100_000)
      errors.push(invalid(`${path}.parallelism`, spec.parallelism, 'must be less than or equal to 100000 when completion mode is Indexed'))
  }
  if (spec.managedBy !== undefined) {
    errors.push(...domainPathErrors(spec.managedBy, `${path}.managedBy`))
    if (spec.managedBy.length > 63) errors.push(tooLong(`${path}.managedBy`, 63))
  }
  errors.push(...policyErrors(spec, path))
  errors.push(...templateErrors(spec.template, `${path}.template`))
  const policy = spec.template?.spec?.restartPolicy
  if (policy === 'Always') errors.push(required(`${path}.template.spec.restartPolicy`, 'valid values: "OnFailure", "Never"'))
  else if (policy && policy !== 'OnFailure' && policy !== 'Never')
    errors.push(notSupported(`${path}.template.spec.restartPolicy`, policy, ['OnFailure', 'Never']))
  return errors
}

export function jobErrors({ spec }: Job): FieldError[] {
  const errors = jobSpecErrors(spec, 'spec')
  if (!spec?.selector) errors.push(required('spec.selector'))
  else {
    errors.push(...labelSelectorErrors(spec.selector, 'spec.selector'))
    if (!labelSelector(spec.selector).matches(spec.template?.metadata?.labels))
      errors.push(
        invalid('spec.template.metadata.labels', spec.template?.metadata?.labels ?? {}, '`selector` does not match template `labels`'),
      )
  }
  return errors
}

export function jobUpdateErrors(next: Job, previous: Job): FieldError[] {
  const errors: FieldError[] = []
  const a = next.spec
  const b = previous.spec
  // An elastic indexed job may change completions together with parallelism.
  const elastic = b?.completionMode === 'Indexed' && a?.completions !== undefined && a.completions === a.parallelism
  if (!elastic) errors.push(...immutableErrors(a?.completions, b?.completions, 'spec.completions'))
  errors.push(...immutableErrors(a?.selector, b?.selector, 'spec.selector'))
  const suspended = (b?.suspend ?? false) && !previous.status?.startTime
  const fixed = (spec: typeof a) => {
    if (!spec?.template || !suspended) return spec?.template
    const { metadata: _m, spec: pod } = spec.template
    const {
      nodeSelector: _n,
      affinity: _a,
      tolerations: _t,
      schedulingGates: _s,
      containers,
      initContainers,
      ...rest
    } = pod ?? { containers: [] }
    const loose = (list: typeof containers | undefined) => list?.map(({ resources: _, ...c }) => c)
    return { ...rest, containers: loose(containers), initContainers: loose(initContainers) }
  }
  if (!equalJson(fixed(a), fixed(b))) errors.push(invalid('spec.template', a?.template, 'field is immutable'))
  for (const name of ['completionMode', 'podFailurePolicy', 'backoffLimitPerIndex', 'managedBy', 'successPolicy'] as const)
    errors.push(...immutableErrors(a?.[name], b?.[name], `spec.${name}`))
  return errors
}

export function cronJobErrors(job: CronJob): FieldError[] {
  const { spec } = job
  if (!spec) return [required('spec')]
  const errors: FieldError[] = []
  if (!spec.schedule) errors.push(required('spec.schedule'))
  else {
    const wrong = cronErrors(spec.schedule)
    if (wrong) errors.push(invalid('spec.schedule', spec.schedule, wrong))
    if (spec.schedule.includes('TZ'))
      errors.push(invalid('spec.schedule', spec.schedule, 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead'))
  }
  if (spec.timeZone !== undefined) {
    if (spec.timeZone === '') errors.push(invalid('spec.timeZone', spec.timeZone, 'timeZone must be nil or non-empty string'))
    else if (!knownZone(spec.timeZone)) errors.push(invalid('spec.timeZone', spec.timeZone, `unknown time zone ${spec.timeZone}`))
  }
  errors.push(...oneOfErrors(spec.concurrencyPolicy, ['Allow', 'Forbid', 'Replace'], 'spec.concurrencyPolicy'))
  for (const name of ['startingDeadlineSeconds', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit'] as const)
    errors.push(...nonNegativeErrors(spec[name], `spec.${name}`))
  errors.push(...jobSpecErrors(spec.jobTemplate?.spec, 'spec.jobTemplate.spec'))
  if (spec.jobTemplate?.spec?.manualSelector) {
    const at = 'spec.jobTemplate.spec.manualSelector'
    errors.push({ reason: 'FieldValueNotSupported', field: at, message: 'Unsupported value: true: supported values: "nil", "false"' })
  }
  if (spec.jobTemplate?.spec?.selector) errors.push(forbidden('spec.jobTemplate.spec.selector', '`selector` will be auto-generated'))
  if ((job.metadata.name?.length ?? 0) > 52) errors.push(invalid('metadata.name', job.metadata.name, 'must be no more than 52 characters'))
  return errors
}

function knownZone(zone: string): boolean {
  if (zone.toLowerCase() === 'local') return false
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone })
    return true
  } catch {
    return false
  }
}

/** The rules of a new object are enough. */
export const cronJobUpdateErrors = (): FieldError[] => []
