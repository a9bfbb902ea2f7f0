// Roles that are put together from others: `aggregationRule` becomes `rules`.
import { ClusterRole, type JsonObject, labelSelector, type PolicyRule } from '../../../api/index.js'
import { asError, explain } from '../../../lib/index.js'
import { systemRequest, typeFor } from '../bootstrap.js'
import { type Backend, rememberedObject } from '../registry/backend.js'
import type { Writer } from '../registry/writer.js'
import { eachChange } from './each-change.js'

/** Rules of all roles that a role's selectors mean, each once, in the order of the roles' names. Pure. */
export function aggregatedRules(role: ClusterRole, all: readonly ClusterRole[]): readonly PolicyRule[] {
  const selectors = (role.aggregationRule?.clusterRoleSelectors ?? []).map(labelSelector)
  const rules = new Map<string, PolicyRule>()
  for (const other of all) {
    if (other.metadata.name === role.metadata.name) continue
    if (!selectors.some((selector) => selector.matches(other.metadata.labels ?? {}))) continue
    for (const rule of other.rules ?? []) rules.set(JSON.stringify(rule), rule)
  }
  return [...rules.values()]
}

export async function aggregateRoles(backend: Backend, writer: Writer, signal: AbortSignal): Promise<void> {
  const cache = await backend.feed.cache(typeFor(ClusterRole).storagePrefix)
  const reconcile = async (): Promise<void> => {
    const all = cache.slice().map((entry) => rememberedObject(entry) as ClusterRole)
    for (const role of all) {
      if (!role.aggregationRule) continue
      const rules = aggregatedRules(role, all)
      if (JSON.stringify(rules) === JSON.stringify(role.rules ?? [])) continue
      const { name } = role.metadata
      await writer
        .modify(systemRequest(ClusterRole, '', name), (current) => ({ ...current, rules }) as unknown as JsonObject)
        .catch((error: unknown) => backend.log.warn('role aggregation failed', { role: name, err: explain(asError(error)) }))
    }
  }
  await eachChange(cache, reconcile, signal)
}
