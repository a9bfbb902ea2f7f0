// Flow schemas and priority levels.
import { type FieldError, forbidden, invalid, notSupported, required } from '../field-error.js'
import type { FlowSchema, PriorityLevelConfiguration } from '../generated/kinds.js'
import { dnsLabelErrors, dnsSubdomainErrors } from '../names.js'
import { oneOfErrors, requiredText, textErrors } from './common.js'

const HIGHEST_PRECEDENCE = 10_000
const verbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'proxy', 'update', 'watch']

type Rule = NonNullable<NonNullable<FlowSchema['spec']>['rules']>[number]
type Subject = NonNullable<Rule['subjects']>[number]

/** `*` stands alone, or every member is right by itself. */
function starErrors(
  list: readonly string[] | undefined,
  path: string,
  words: { readonly none: string; readonly others: string },
  each: (value: string, at: string) => readonly FieldError[] = () => [],
): readonly FieldError[] {
  if (!list?.length) return [required(path, words.none)]
  if (!list.includes('*')) return list.flatMap((value, index) => each(value, `${path}[${index}]`))
  return list.length > 1 ? [invalid(path, list, `if '*' is present, must not specify other ${words.others}`)] : []
}

function verbErrors(list: readonly string[] | undefined, path: string): readonly FieldError[] {
  const errors = starErrors(list, path, { none: 'verbs must contain at least one value', others: 'verbs' })
  if (errors.length > 0 || list?.includes('*')) return errors
  return list?.every((verb) => verbs.includes(verb)) ? [] : [notSupported(path, list, verbs)]
}

const kinds = { Group: 'group', ServiceAccount: 'serviceAccount', User: 'user' } as const

function subjectErrors(subject: Subject, path: string): FieldError[] {
  const errors = oneOfErrors(subject.kind, Object.keys(kinds), `${path}.kind`)
  if (errors.length > 0) return errors
  for (const [kind, field] of Object.entries(kinds)) {
    const at = `${path}.${field}`
    if (kind !== subject.kind) {
      if (subject[field]) errors.push(forbidden(at, `${field} is forbidden when subject kind is not '${kind}'`))
      continue
    }
    const named = subject[field]
    if (!named) {
      errors.push(required(at, `${field} is required when subject kind is '${kind}'`))
      continue
    }
    if (!named.name) errors.push(required(`${at}.name`))
    if (field !== 'serviceAccount') continue
    const { name = '', namespace = '' } = subject.serviceAccount ?? {}
    if (name !== '' && name !== '*') errors.push(...textErrors(name, dnsSubdomainErrors, `${at}.name`))
    if (namespace === '') errors.push(required(`${at}.namespace`, 'must specify namespace for service account'))
    else errors.push(...textErrors(namespace, dnsLabelErrors, `${at}.namespace`))
  }
  return errors
}

function ruleErrors(rule: Rule, path: string): FieldError[] {
  const errors: FieldError[] = []
  if (!rule.subjects?.length) errors.push(required(`${path}.subjects`, 'subjects must contain at least one value'))
  rule.subjects?.forEach((subject, index) => {
    errors.push(...subjectErrors(subject, `${path}.subjects[${index}]`))
  })
  if (!rule.resourceRules?.length && !rule.nonResourceRules?.length)
    errors.push(required(path, 'at least one of resourceRules and nonResourceRules has to be non-empty'))
  rule.resourceRules?.forEach((resource, index) => {
    const at = `${path}.resourceRules[${index}]`
    const { namespaces, clusterScope } = resource
    const words = (none: string, others: string) => ({ none: `resource rules must supply at least one ${none}`, others })
    errors.push(...verbErrors(resource.verbs, `${at}.verbs`))
    errors.push(...starErrors(resource.apiGroups, `${at}.apiGroups`, words('api group', 'api groups')))
    errors.push(...starErrors(resource.resources, `${at}.resources`, words('resource', 'resources')))
    if (clusterScope && !namespaces?.length) return
    const none = 'resource rules that are not cluster scoped must supply at least one namespace'
    errors.push(
      ...starErrors(namespaces, `${at}.namespaces`, { none, others: 'namespaces' }, (namespace, on) =>
        dnsLabelErrors(namespace).map((detail) =>
          invalid(on, namespace, `each member of this list must be '*' or a DNS-1123 label; ${detail}`),
        ),
      ),
    )
  })
  rule.nonResourceRules?.forEach(({ verbs: list, nonResourceURLs }, index) => {
    const at = `${path}.nonResourceRules[${index}]`
    errors.push(...verbErrors(list, `${at}.verbs`))
    const words = { none: 'nonResourceURLs must contain at least one value', others: 'non-resource URLs' }
    errors.push(...starErrors(nonResourceURLs, `${at}.nonResourceURLs`, words, urlErrors))
  })
  return errors
}

function urlErrors(url: string, path: string): FieldError[] {
  if (url === '') return [invalid(path, url, 'must not be empty')]
  if (url === '/') return []
  if (!url.startsWith('/')) return [invalid(path, url, 'must start with slash')]
  if (url.includes(' ')) return [invalid(path, url, 'must not contain white-space')]
  if (url.includes('//')) return [invalid(path, url, 'must not contain double slash')]
  const star = url.indexOf('*')
  if (star >= 0 && (star !== url.length - 1 || url[star - 1] !== '/'))
    return [invalid(path, url, "wildcard '*' must be the last character, behind a slash")]
  return []
}

export function flowSchemaErrors({ metadata, spec }: FlowSchema): FieldError[] {
  if (!spec) return [required('spec')]
  const errors: FieldError[] = []
  const precedence = spec.matchingPrecedence ?? 0
  const at = 'spec.matchingPrecedence'
  if (precedence <= 0) errors.push(invalid(at, precedence, 'must be a positive value'))
  if (precedence > HIGHEST_PRECEDENCE) errors.push(invalid(at, precedence, `must not be greater than ${HIGHEST_PRECEDENCE}`))
  if (precedence === 1 && metadata.name !== 'exempt')
    errors.push(invalid(at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1"))
  if (spec.distinguisherMethod)
    errors.push(...oneOfErrors(spec.distinguisherMethod.type, ['ByNamespace', 'ByUser'], 'spec.distinguisherMethod.type'))
  const level = spec.priorityLevelConfiguration?.name
  if (level) errors.push(...requiredText(level, dnsSubdomainErrors, 'spec.priorityLevelConfiguration.name'))
  else errors.push(required('spec.priorityLevelConfiguration.name', 'must reference a priority level'))
  spec.rules?.forEach((rule, index) => {
    errors.push(...ruleErrors(rule, `spec.rules[${index}]`))
  })
  return errors
}

type Spec = NonNullable<PriorityLevelConfiguration['spec']>

function percentErrors(value: number | undefined, path: string): FieldError[] {
  return value !== undefined && (value < 0 || value > 100) ? [invalid(path, value, 'must be between 0 and 100, inclusive')] : []
}

function limitedErrors(limited: NonNullable<Spec['limited']>): FieldError[] {
  const errors: FieldError[] = []
  const shares = limited.nominalConcurrencyShares
  if (shares !== undefined && shares < 0)
    errors.push(invalid('spec.limited.nominalConcurrencyShares', shares, 'must be a non-negative integer'))
  const { type, queuing } = limited.limitResponse ?? {}
  const at = 'spec.limited.limitResponse'
  errors.push(...oneOfErrors(type, ['Queue', 'Reject'], `${at}.type`))
  if (type === 'Reject' && queuing) errors.push(forbidden(`${at}.queuing`, 'must be nil if limited.limitResponse.type is not Limited'))
  if (type === 'Queue') {
    if (!queuing) errors.push(required(`${at}.queuing`, 'must not be empty if limited.limitResponse.type is Limited'))
    else errors.push(...queueErrors(queuing, `${at}.queuing`))
  }
  errors.push(...percentErrors(limited.lendablePercent, 'spec.limited.lendablePercent'))
  const borrowing = limited.borrowingLimitPercent
  if (borrowing !== undefined && borrowing < 0)
    errors.push(invalid('spec.limited.borrowingLimitPercent', borrowing, 'if specified, must be a non-negative integer'))
  return errors
}

const MOST_QUEUES = 10_000_000
/** Beyond this many bits a hand of queues is not dealt. */
const MOST_DEALT_BITS = 60

function queueErrors(
  queuing: NonNullable<NonNullable<NonNullable<Spec['limited']>['limitResponse']>['queuing']>,
  path: string,
): FieldError[] {
  const errors: FieldError[] = []
  const { queueLengthLimit = 0, queues = 0, handSize = 0 } = queuing
  if (queueLengthLimit <= 0) errors.push(invalid(`${path}.queueLengthLimit`, queueLengthLimit, 'must be positive'))
  if (queues <= 0) return [...errors, invalid(`${path}.queues`, queues, 'must be positive')]
  if (queues > MOST_QUEUES) errors.push(invalid(`${path}.queues`, queues, `must not be greater than ${MOST_QUEUES}`))
  if (handSize <= 0) errors.push(invalid(`${path}.handSize`, handSize, 'must be positive'))
  else if (handSize > queues) errors.push(invalid(`${path}.handSize`, handSize, `should not be greater than queues (${queues})`))
  else {
    let hands = 1
    for (let i = 0; i < handSize; i++) hands *= queues - i
    const bits = Math.ceil(Math.log2(hands))
    if (bits > MOST_DEALT_BITS)
      errors.push(
        invalid(
          `${path}.handSize`,
          handSize,
          `required entropy bits of deckSize ${queues} and handSize ${handSize} should not be greater than ${MOST_DEALT_BITS}`,
        ),
      )
  }
  return errors
}

export function priorityLevelErrors({ spec }: PriorityLevelConfiguration): FieldError[] {
  if (!spec) return [required('spec')]
  const errors = oneOfErrors(spec.type, ['Exempt', 'Limited'], 'spec.type')
  if (spec.type === 'Exempt') {
    if (spec.limited) errors.push(forbidden('spec.limited', 'must be nil if the type is not Limited'))
    const { nominalConcurrencyShares: shares, lendablePercent } = spec.exempt ?? {}
    if (shares !== undefined && shares < 0)
      errors.push(invalid('spec.exempt.nominalConcurrencyShares', shares, 'must be a non-negative integer'))
    errors.push(...percentErrors(lendablePercent, 'spec.exempt.lendablePercent'))
  }
  if (spec.type === 'Limited') {
    if (spec.exempt) errors.push(forbidden('spec.exempt', 'must be nil if the type is Limited'))
    if (!spec.limited) errors.push(required('spec.limited', 'must not be empty when type is Limited'))
    else errors.push(...limitedErrors(spec.limited))
  }
  return errors
}
