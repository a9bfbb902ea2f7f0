// Where pods may run: node selectors, affinities, tolerations, spread.
import { duplicate, type FieldError, forbidden, invalid, notSupported, required } from '../field-error.js'
import type {
  Affinity,
  NodeSelector,
  NodeSelectorRequirement,
  PodAffinityTerm,
  Toleration,
  TopologySpreadConstraint,
} from '../generated/kinds.js'
import { dnsLabelErrors, labelValueErrors, qualifiedNameErrors } from '../names.js'
import { labelSelectorErrors } from '../selector/labels.js'
import { oneOfErrors, textErrors } from './common.js'

function requirementErrors(requirement: NodeSelectorRequirement, path: string): FieldError[] {
  const errors: FieldError[] = []
  const { operator, values } = requirement
  if (operator === 'In' || operator === 'NotIn') {
    if (!values?.length) errors.push(required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"))
  } else if (operator === 'Exists' || operator === 'DoesNotExist') {
    if (values?.length) errors.push(forbidden(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
  } else if (operator === 'Gt' || operator === 'Lt') {
    if (values?.length !== 1) errors.push(required(`${path}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"))
  } else errors.push(invalid(`${path}.operator`, operator, 'not a valid selector operator'))
  errors.push(...textErrors(requirement.key ?? '', qualifiedNameErrors, `${path}.key`))
  values?.forEach((value, index) => {
    errors.push(...textErrors(value, labelValueErrors, `${path}.values[${index}]`))
  })
  return errors
}

function termErrors(term: NodeSelector['nodeSelectorTerms'][number], path: string): FieldError[] {
  const errors: FieldError[] = []
  term.matchExpressions?.forEach((requirement, index) => {
    errors.push(...requirementErrors(requirement, `${path}.matchExpressions[${index}]`))
  })
  term.matchFields?.forEach((requirement, index) => {
    const at = `${path}.matchFields[${index}]`
    if (!['In', 'NotIn'].includes(requirement.operator))
      errors.push(invalid(`${at}.operator`, requirement.operator, 'not a valid selector operator'))
    else if (requirement.values?.length !== 1)
      errors.push(required(`${at}.values`, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))
    if (requirement.key !== 'metadata.name') errors.push(invalid(`${at}.key`, requirement.key, 'not a valid field selector key'))
  })
  return errors
}

export function nodeSelectorErrors(selector: NodeSelector, path: string): FieldError[] {
  if (!selector.nodeSelectorTerms?.length) return [required(`${path}.nodeSelectorTerms`, 'must have at least one node selector term')]
  return selector.nodeSelectorTerms.flatMap((term, index) => termErrors(term, `${path}.nodeSelectorTerms[${index}]`))
}

function podTermErrors(term: PodAffinityTerm, path: string): FieldError[] {
  const errors = [
    ...labelSelectorErrors(term.labelSelector, `${path}.labelSelector`),
    ...labelSelectorErrors(term.namespaceSelector, `${path}.namespaceSelector`),
  ]
  term.namespaces?.forEach((namespace) => {
    for (const detail of dnsLabelErrors(namespace)) errors.push(invalid(`${path}.namespace`, namespace, detail))
  })
  if (!term.topologyKey) errors.push(required(`${path}.topologyKey`, 'can not be empty'))
  errors.push(...textErrors(term.topologyKey ?? '', qualifiedNameErrors, `${path}.topologyKey`))
  return errors
}

const weightErrors = (weight: number, path: string): FieldError[] =>
  weight < 1 || weight > 100 ? [invalid(`${path}.weight`, weight, 'must be in the range 1-100')] : []

export function affinityErrors(affinity: Affinity | undefined, path: string): FieldError[] {
  const errors: FieldError[] = []
  const node = affinity?.nodeAffinity
  if (node?.requiredDuringSchedulingIgnoredDuringExecution)
    errors.push(
      ...nodeSelectorErrors(
        node.requiredDuringSchedulingIgnoredDuringExecution,
        `${path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution`,
      ),
    )
  node?.preferredDuringSchedulingIgnoredDuringExecution?.forEach((term, index) => {
    const at = `${path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[${index}]`
    errors.push(...weightErrors(term.weight, at), ...termErrors(term.preference ?? {}, `${at}.preference`))
  })
  for (const kind of ['podAffinity', 'podAntiAffinity'] as const) {
    const pod = affinity?.[kind]
    pod?.requiredDuringSchedulingIgnoredDuringExecution?.forEach((term, index) => {
      errors.push(...podTermErrors(term, `${path}.${kind}.requiredDuringSchedulingIgnoredDuringExecution[${index}]`))
    })
    pod?.preferredDuringSchedulingIgnoredDuringExecution?.forEach((term, index) => {
      const at = `${path}.${kind}.preferredDuringSchedulingIgnoredDuringExecution[${index}]`
      errors.push(...weightErrors(term.weight, at), ...podTermErrors(term.podAffinityTerm ?? { topologyKey: '' }, `${at}.podAffinityTerm`))
    })
  }
  return errors
}

export function tolerationErrors(tolerations: readonly Toleration[], path: string): FieldError[] {
  const errors: FieldError[] = []
  tolerations.forEach((toleration, index) => {
    const at = `${path}[${index}]`
    if (toleration.key) errors.push(...textErrors(toleration.key, qualifiedNameErrors, `${at}.key`))
    else if (toleration.operator !== 'Exists')
      errors.push(
        invalid(
          `${at}.operator`,
          toleration.operator ?? '',
          'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        ),
      )
    if (toleration.tolerationSeconds !== undefined && toleration.effect !== 'NoExecute')
      errors.push(invalid(`${at}.effect`, toleration.effect ?? '', "effect must be 'NoExecute' when `tolerationSeconds` is set"))
    const operator = toleration.operator || 'Equal'
    if (operator === 'Equal') errors.push(...textErrors(toleration.value ?? '', labelValueErrors, `${at}.operator`))
    else if (operator === 'Exists') {
      if (toleration.value) errors.push(invalid(`${at}.operator`, toleration, "value must be empty when `operator` is 'Exists'"))
    } else if (operator === 'Lt' || operator === 'Gt') {
      if (!/^-?\d+$/.test(toleration.value ?? ''))
        errors.push(invalid(`${at}.operator`, toleration.value ?? '', 'value must be an integer'))
    } else errors.push(notSupported(`${at}.operator`, operator, ['Equal', 'Exists']))
    if (toleration.effect) errors.push(...oneOfErrors(toleration.effect, ['NoSchedule', 'PreferNoSchedule', 'NoExecute'], `${at}.effect`))
  })
  return errors
}

export function spreadErrors(constraints: readonly TopologySpreadConstraint[], path: string): FieldError[] {
  const errors: FieldError[] = []
  const seen = new Set<string>()
  constraints.forEach((constraint, index) => {
    const at = `${path}[${index}]`
    if ((constraint.maxSkew ?? 0) <= 0) errors.push(invalid(`${at}.maxSkew`, constraint.maxSkew, 'must be greater than zero'))
    if (!constraint.topologyKey) errors.push(required(`${at}.topologyKey`, 'can not be empty'))
    else errors.push(...textErrors(constraint.topologyKey, qualifiedNameErrors, `${at}.topologyKey`))
    errors.push(...oneOfErrors(constraint.whenUnsatisfiable, ['DoNotSchedule', 'ScheduleAnyway'], `${at}.whenUnsatisfiable`))
    const identity = `{${constraint.topologyKey}, ${constraint.whenUnsatisfiable}}`
    if (seen.has(identity)) errors.push(duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, identity))
    seen.add(identity)
    if (constraint.minDomains !== undefined) {
      if (constraint.minDomains <= 0) errors.push(invalid(`${at}.minDomains`, constraint.minDomains, 'must be greater than zero'))
      if (constraint.whenUnsatisfiable !== 'DoNotSchedule')
        errors.push(
          invalid(
            `${at}.minDomains`,
            constraint.minDomains,
            'can only use minDomains if whenUnsatisfiable=DoNotSchedule, not whenUnsatisfiable=ScheduleAnyway',
          ),
        )
    }
    for (const name of ['nodeAffinityPolicy', 'nodeTaintsPolicy'] as const)
      if (constraint[name]) errors.push(...oneOfErrors(constraint[name], ['Honor', 'Ignore'], `${at}.${name}`))
    errors.push(...labelSelectorErrors(constraint.labelSelector, `${at}.labelSelector`))
  })
  return errors
}
