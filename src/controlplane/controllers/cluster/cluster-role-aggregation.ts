// ClusterRoles that are the sum of others, chosen by labels.
import { ClusterRole, type PolicyRule, selects } from '../../../api/index.js'
import { isDeleting, nameOf, sameJson } from '../objects.js'
import { canonical } from '../template-hash.js'
import type { Controller } from '../types.js'
import { watch } from '../types.js'

/** The rules of all chosen roles, each once, in the order of the roles' names. */
export function planRules(role: ClusterRole, roles: readonly ClusterRole[]): readonly PolicyRule[] {
  const seen = new Set<string>()
  const rules: PolicyRule[] = []
  for (const selector of role.aggregationRule?.clusterRoleSelectors ?? []) {
    const chosen = roles.filter((other) => other.metadata.name !== role.metadata.name && selects(selector, other.metadata.labels))
    for (const other of chosen.sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
      for (const rule of other.rules ?? []) {
        const text = canonical(rule)
        if (!seen.has(text)) rules.push(rule)
        seen.add(text)
      }
    }
  }
  return rules
}

export const clusterRoleAggregation: Controller = {
  name: 'clusterrole-aggregation',
  for: ClusterRole,
  watches: [
    watch(ClusterRole, (_, cache) =>
      cache
        .list(ClusterRole)
        .filter((role) => role.aggregationRule)
        .map((role) => role.metadata.name),
    ),
  ],
  async reconcile(key, { cache, client }) {
    const role = cache.get(ClusterRole, key)
    if (!role?.aggregationRule || isDeleting(role)) return undefined
    const rules = planRules(role, cache.list(ClusterRole))
    if (sameJson(rules, role.rules ?? [])) return undefined
    const { resourceVersion } = role.metadata
    await client.patch(ClusterRole, nameOf(role), { metadata: { resourceVersion }, rules }, { type: 'merge' })
    return undefined
  },
}
