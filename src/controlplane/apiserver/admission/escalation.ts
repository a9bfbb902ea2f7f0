// Nobody gives away rights that they do not have.
import { type ClusterRoleBinding, forbiddenError, type JsonObject, type PolicyRule, type RoleRef } from '../../../api/index.js'
import { ApiError } from '../../../lib/index.js'
import type { Authorizer } from '../authorization/authorizer.js'
import type { Rbac } from '../authorization/rbac.js'
import { describeRule, missingRules } from '../authorization/rules.js'
import type { AdmissionPlugin, AdmissionRequest } from './plugin.js'

const GROUP = 'rbac.authorization.k8s.io'

export function escalationCheck(rbac: Rbac, authorizer: Authorizer): AdmissionPlugin {
  const may = async ({ user, namespace }: AdmissionRequest, verb: string, resource: string, name: string): Promise<boolean> => {
    const attributes = { user, verb, isResource: true, group: GROUP, version: 'v1', resource, subresource: '', namespace, name, path: '' }
    return (await authorizer.authorize(attributes)).allowed
  }
  const check = async (request: AdmissionRequest, wanted: readonly PolicyRule[], name: string): Promise<void> => {
    const { user, namespace, type } = request
    const { rules, problems } = await rbac.rulesFor(user, namespace)
    const missing = missingRules(rules, wanted)
    if (missing.length === 0) return
    const tail = problems.length > 0 ? `; resolution errors: [${problems.join(', ')}]` : ''
    throw forbiddenError(
      type,
      name,
      `user ${JSON.stringify(user.name)} (groups=${JSON.stringify(user.groups).replaceAll(',', ' ')}) is attempting to grant RBAC permissions not currently held:\n${missing.map(describeRule).join('\n')}${tail}`,
    )
  }

  const checkRole = async (request: AdmissionRequest): Promise<void> => {
    const { object, old, type } = request
    const rules = ((object as JsonObject).rules ?? []) as unknown as PolicyRule[]
    const before = ((old as unknown as JsonObject | undefined)?.rules ?? []) as unknown as PolicyRule[]
    const name = ((object as JsonObject).metadata as JsonObject).name as string
    const aggregates = (value: unknown): string => JSON.stringify((value as JsonObject | undefined)?.aggregationRule ?? null)
    const sameAggregation = aggregates(object) === aggregates(old)
    if (old && JSON.stringify(rules) === JSON.stringify(before) && sameAggregation) return
    if (await may(request, 'escalate', type.plural, name)) return
    // Whoever says "all rules of the labels" says any rules at all.
    const everything: PolicyRule[] = [
      { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
      { verbs: ['*'], nonResourceURLs: ['*'] },
    ]
    await check(request, sameAggregation || aggregates(object) === 'null' ? rules : everything, name)
  }

  const checkBinding = async (request: AdmissionRequest): Promise<void> => {
    const { object, old, namespace } = request
    const binding = object as unknown as ClusterRoleBinding
    const previous = old as ClusterRoleBinding | undefined
    if (previous && JSON.stringify([binding.roleRef, binding.subjects]) === JSON.stringify([previous.roleRef, previous.subjects])) return
    const roleRef: RoleRef = binding.roleRef
    if (await may(request, 'bind', roleRef.kind === 'ClusterRole' ? 'clusterroles' : 'roles', roleRef.name)) return
    const rules = await rbac.resolve(roleRef, namespace)
    if (!rules)
      throw new ApiError('NotFound', `${roleRef.kind.toLowerCase()}s.rbac.authorization.k8s.io ${JSON.stringify(roleRef.name)} not found`)
    await check(request, rules, binding.metadata.name)
  }

  return {
    name: 'RBACEscalation',
    async validate(request) {
      const { operation, type, user } = request
      if (type.group !== GROUP || operation === 'DELETE' || user.groups.includes('system:masters')) return
      if (type.plural === 'roles' || type.plural === 'clusterroles') await checkRole(request)
      if (type.plural === 'rolebindings' || type.plural === 'clusterrolebindings') await checkBinding(request)
    },
  }
}
