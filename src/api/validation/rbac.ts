// Roles and bindings.
import { type FieldError, invalid, notSupported, required } from '../field-error.js'
import type { ClusterRole, ClusterRoleBinding, PolicyRule, RbacV1Subject, Role, RoleBinding } from '../generated/kinds.js'
import { equalJson } from '../json/value.js'
import { dnsSubdomainErrors, pathSegmentErrors } from '../names.js'
import { labelSelectorErrors } from '../selector/labels.js'

function ruleErrors(rule: PolicyRule, path: string, cluster: boolean): FieldError[] {
  const errors: FieldError[] = []
  if (!rule.verbs?.length) errors.push(required(`${path}.verbs`, 'verbs must contain at least one value'))
  if (rule.nonResourceURLs?.length) {
    if (!cluster)
      errors.push(invalid(`${path}.nonResourceURLs`, rule.nonResourceURLs, 'namespaced rules cannot apply to non-resource URLs'))
    if (rule.apiGroups?.length || rule.resources?.length || rule.resourceNames?.length)
      errors.push(
        invalid(`${path}.nonResourceURLs`, rule.nonResourceURLs, 'rules cannot apply to both regular resources and non-resource URLs'),
      )
    return errors
  }
  if (!rule.apiGroups?.length) errors.push(required(`${path}.apiGroups`, 'resource rules must supply at least one api group'))
  if (!rule.resources?.length) errors.push(required(`${path}.resources`, 'resource rules must supply at least one resource'))
  return errors
}

const rulesErrors = (rules: readonly PolicyRule[] | undefined, cluster: boolean): FieldError[] =>
  (rules ?? []).flatMap((rule, index) => ruleErrors(rule, `rules[${index}]`, cluster))

export const roleErrors = (role: Role): FieldError[] => rulesErrors(role.rules, false)

export function clusterRoleErrors(role: ClusterRole): FieldError[] {
  const errors = rulesErrors(role.rules, true)
  if (!role.aggregationRule) return errors
  const selectors = role.aggregationRule.clusterRoleSelectors ?? []
  if (selectors.length === 0)
    errors.push(required('aggregationRule.clusterRoleSelectors', 'at least one clusterRoleSelector required if aggregationRule is non-nil'))
  selectors.forEach((selector, index) => {
    errors.push(...labelSelectorErrors(selector, `aggregationRule.clusterRoleSelectors[${index}]`))
  })
  return errors
}

const RBAC = 'rbac.authorization.k8s.io'

function subjectErrors(subject: RbacV1Subject, path: string, cluster: boolean): FieldError[] {
  const errors: FieldError[] = []
  if (!subject.name) errors.push(required(`${path}.name`))
  switch (subject.kind) {
    case 'ServiceAccount':
      if (subject.name) for (const detail of dnsSubdomainErrors(subject.name)) errors.push(invalid(`${path}.name`, subject.name, detail))
      if (subject.apiGroup) errors.push(notSupported(`${path}.apiGroup`, subject.apiGroup, ['']))
      if (cluster && !subject.namespace) errors.push(required(`${path}.namespace`))
      break
    case 'User':
    case 'Group':
      if (subject.apiGroup !== RBAC) errors.push(notSupported(`${path}.apiGroup`, subject.apiGroup ?? '', [RBAC]))
      break
    default:
      errors.push(notSupported(`${path}.kind`, subject.kind, ['ServiceAccount', 'User', 'Group']))
  }
  return errors
}

type AnyBinding = RoleBinding | ClusterRoleBinding

export function bindingErrors(binding: AnyBinding, { cluster }: { readonly cluster: boolean }): FieldError[] {
  const errors: FieldError[] = []
  const { apiGroup, kind, name } = binding.roleRef ?? { apiGroup: '', kind: '', name: '' }
  if (apiGroup !== RBAC) errors.push(notSupported('roleRef.apiGroup', apiGroup ?? '', [RBAC]))
  const kinds = cluster ? ['ClusterRole'] : ['Role', 'ClusterRole']
  if (!kinds.includes(kind)) errors.push(notSupported('roleRef.kind', kind ?? '', kinds))
  if (!name) errors.push(required('roleRef.name'))
  else for (const detail of pathSegmentErrors(name)) errors.push(invalid('roleRef.name', name, detail))
  binding.subjects?.forEach((subject, index) => {
    errors.push(...subjectErrors(subject, `subjects[${index}]`, cluster))
  })
  return errors
}

export const bindingUpdateErrors = (next: AnyBinding, previous: AnyBinding): FieldError[] =>
  equalJson(next.roleRef, previous.roleRef) ? [] : [invalid('roleRef', next.roleRef, 'cannot change roleRef')]
