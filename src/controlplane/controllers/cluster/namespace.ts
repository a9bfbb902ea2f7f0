// Empties a namespace that is being deleted, pods before everything else, and then lets it go.
import { type Kind, Namespace, type NamespaceCondition, type Resource } from '../../../api/index.js'
import { explain, isStatus, rfc3339 } from '../../../lib/index.js'
import { sameJson } from '../objects.js'
import type { Context, Controller, Outcome } from '../types.js'

const FINALIZER = 'kubernetes'

export interface Remaining {
  readonly kind: Kind
  readonly objects: readonly Resource[]
}

export interface Emptying {
  readonly discoveryError?: string | undefined
  readonly deletionError?: string | undefined
  readonly remaining: readonly Remaining[]
}

const resourceName = (kind: Kind): string => (kind.group ? `${kind.plural}.${kind.group}` : `${kind.plural}.`)

/** The five conditions by which one sees what a namespace waits for. */
export function planConditions(before: readonly NamespaceCondition[], seen: Emptying, now: number): NamespaceCondition[] {
  const full = seen.remaining.filter(({ objects }) => objects.length > 0)
  const contents = full.map(({ kind, objects }) => `${resourceName(kind)} has ${objects.length} resource instances`).sort()
  const counts = new Map<string, number>()
  for (const { objects } of full) {
    for (const object of objects) {
      for (const finalizer of object.metadata.finalizers ?? []) counts.set(finalizer, (counts.get(finalizer) ?? 0) + 1)
    }
  }
  const held = [...counts.entries()].sort().map(([name, count]) => `${name} in ${count} resource instances`)
  const news = (type: string, bad: string | undefined, reasons: readonly [string, string], good: string): NamespaceCondition => {
    const status = bad === undefined ? 'False' : 'True'
    const old = before.find((condition) => condition.type === type)
    const next = { type, status, reason: bad === undefined ? reasons[0] : reasons[1], message: bad ?? good }
    const time = old?.status === status && old.lastTransitionTime ? old.lastTransitionTime : rfc3339(now)
    return { ...next, lastTransitionTime: time }
  }
  return [
    news(
      'NamespaceDeletionDiscoveryFailure',
      seen.discoveryError === undefined ? undefined : `Discovery failed for some groups, 1 failing: ${seen.discoveryError}`,
      ['ResourcesDiscovered', 'DiscoveryFailed'],
      'All resources successfully discovered',
    ),
    news(
      'NamespaceDeletionGroupVersionParsingFailure',
      undefined,
      ['ParsedGroupVersions', 'GroupVersionParsingFailed'],
      'All legacy kube types successfully parsed',
    ),
    news(
      'NamespaceDeletionContentFailure',
      seen.deletionError === undefined ? undefined : `Failed to delete all resource types, 1 remaining: ${seen.deletionError}`,
      ['ContentDeleted', 'ContentDeletionFailed'],
      'All content successfully deleted, may be waiting on finalization',
    ),
    news(
      'NamespaceContentRemaining',
      contents.length > 0 ? `Some resources are remaining: ${contents.join(', ')}` : undefined,
      ['ContentRemoved', 'SomeResourcesRemain'],
      'All content successfully removed',
    ),
    news(
      'NamespaceFinalizersRemaining',
      held.length > 0 ? `Some content in the namespace has finalizers remaining: ${held.join(', ')}` : undefined,
      ['ContentHasNoFinalizers', 'SomeFinalizersRemain'],
      'All content-preserving finalizers finished',
    ),
  ]
}

async function empty({ client }: Context, namespace: string): Promise<Emptying> {
  let kinds: readonly Kind[]
  try {
    kinds = (await client.discover()).filter((kind) => kind.namespaced)
  } catch (error) {
    return { discoveryError: explain(error), remaining: [] }
  }
  let deletionError: string | undefined
  const clear = async (kind: Kind): Promise<Remaining> => {
    try {
      await client.clear(kind, namespace)
    } catch (error) {
      if (!isStatus(error, 'NotFound', 'MethodNotAllowed')) deletionError ??= explain(error)
    }
    const objects = await client.listNow(kind, namespace).catch((error: unknown) => {
      if (isStatus(error, 'NotFound', 'MethodNotAllowed')) return []
      throw error
    })
    return { kind, objects }
  }
  // Pods first: what they depend on (service accounts, network policies, claims) must outlive them.
  const pods = kinds.filter((kind) => kind.group === '' && kind.kind === 'Pod')
  const remaining = await Promise.all(pods.map(clear))
  if (remaining.every(({ objects }) => objects.length === 0)) {
    remaining.push(...(await Promise.all(kinds.filter((kind) => !pods.includes(kind)).map(clear))))
  }
  return { deletionError, remaining }
}

/** How soon to look again: pods of a namespace end within their grace period. */
const LOOK_AGAIN_MS = 500

async function reconcile(key: string, context: Context): Promise<Outcome | undefined> {
  const { cache, client, clock } = context
  const cached = cache.get(Namespace, key)
  if (!cached?.metadata.deletionTimestamp) return undefined
  const namespace = await client.find(Namespace, { name: key })
  if (!namespace?.metadata.deletionTimestamp || namespace.metadata.uid !== cached.metadata.uid) return undefined
  if (!(namespace.spec?.finalizers ?? []).includes(FINALIZER)) return undefined
  const seen = await empty(context, key)
  const gone =
    seen.discoveryError === undefined && seen.deletionError === undefined && seen.remaining.every(({ objects }) => objects.length === 0)
  const conditions = planConditions(namespace.status?.conditions ?? [], seen, clock.now())
  let current = namespace
  if (!gone && (!sameJson(conditions, namespace.status?.conditions) || namespace.status?.phase !== 'Terminating')) {
    current = await client.updateStatus(Namespace, { ...namespace, status: { ...namespace.status, phase: 'Terminating', conditions } })
  }
  if (!gone) return { requeueAfterMs: LOOK_AGAIN_MS }
  const finalizers = (current.spec?.finalizers ?? []).filter((name) => name !== FINALIZER)
  await client.subresource(Namespace, { name: key }, 'finalize', { ...current, spec: { ...current.spec, finalizers } }, 'PUT')
  return undefined
}

export const namespace: Controller = { name: 'namespace', for: Namespace, workers: 10, reconcile }
