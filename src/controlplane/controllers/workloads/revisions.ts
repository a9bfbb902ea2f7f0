// ControllerRevisions: the templates that a StatefulSet or DaemonSet had, by number.
import { ControllerRevision, type Kind, type PodTemplateSpec, type Resource } from '../../../api/index.js'
import { isStatus } from '../../../lib/index.js'
import { byAge, controllerReference, nameOf, uidOf } from '../objects.js'
import { canonical, templateHash } from '../template-hash.js'
import type { Cache, Writer } from '../types.js'

export interface RevisionOwner extends Resource {
  readonly spec?: { readonly template: PodTemplateSpec; readonly revisionHistoryLimit?: number | undefined } | undefined
  readonly status?: { readonly collisionCount?: number | undefined } | undefined
}

/** What a revision keeps: a patch that puts the template back. Members are in order, so that others can compare the text. */
export const revisionData = (owner: RevisionOwner): unknown =>
  JSON.parse(canonical({ spec: { template: { ...owner.spec?.template, $patch: 'replace' } } }))

const sameData = (a: unknown, b: unknown): boolean => canonical(a) === canonical(b)

export const byRevision = (a: ControllerRevision, b: ControllerRevision): number => a.revision - b.revision || byAge(a, b)

export type RevisionPlan =
  | { readonly do: 'use'; readonly revision: ControllerRevision }
  /** An older one is wanted again: it becomes the newest. */
  | { readonly do: 'renumber'; readonly revision: ControllerRevision; readonly number: number }
  | { readonly do: 'create'; readonly revision: ControllerRevision }

export interface RevisionCall {
  readonly ownerKind: Kind
  readonly owner: RevisionOwner
  /** The label under which the revision carries its hash. */
  readonly hashLabel: string
}

export function planRevision({ ownerKind, owner, hashLabel }: RevisionCall, known: readonly ControllerRevision[]): RevisionPlan {
  const data = revisionData(owner)
  const sorted = [...known].sort(byRevision)
  const latest = sorted.at(-1)
  const equal = sorted.filter((each) => sameData(each.data, data)).at(-1)
  if (equal && equal === latest) return { do: 'use', revision: equal }
  const number = (latest?.revision ?? 0) + 1
  if (equal) return { do: 'renumber', revision: equal, number }
  const hash = templateHash(data, owner.status?.collisionCount ?? 0)
  return {
    do: 'create',
    revision: {
      apiVersion: 'apps/v1',
      kind: 'ControllerRevision',
      metadata: {
        name: `${owner.metadata.name}-${hash}`,
        namespace: owner.metadata.namespace,
        labels: { ...owner.spec?.template.metadata?.labels, [hashLabel]: hash },
        annotations: owner.metadata.annotations,
        ownerReferences: [controllerReference(ownerKind, owner)],
      },
      data,
      revision: number,
    },
  }
}

/** Revisions beyond the limit that no pod uses, oldest first. */
export function planTruncation(
  known: readonly ControllerRevision[],
  live: ReadonlySet<string>,
  limit: number,
): readonly ControllerRevision[] {
  const unused = known.filter((each) => !live.has(each.metadata.name)).sort(byRevision)
  return unused.slice(0, Math.max(0, unused.length - limit))
}

export type CurrentRevision = { readonly revision: ControllerRevision } | { readonly collision: true }

/** The revision of the owner's template, made or renumbered if need be. */
export async function currentRevision(
  { client }: { readonly client: Writer },
  call: RevisionCall,
  known: readonly ControllerRevision[],
): Promise<CurrentRevision> {
  const plan = planRevision(call, known)
  if (plan.do === 'use') return { revision: plan.revision }
  if (plan.do === 'renumber') {
    return { revision: await client.update(ControllerRevision, { ...plan.revision, revision: plan.number }) }
  }
  try {
    return { revision: await client.create(ControllerRevision, plan.revision) }
  } catch (error) {
    if (!isStatus(error, 'AlreadyExists')) throw error
    const existing = await client.find(ControllerRevision, nameOf(plan.revision))
    if (!existing || sameData(existing.data, plan.revision.data)) throw error
    return { collision: true }
  }
}

export const revisionsOf = (cache: Cache, owner: Resource): readonly ControllerRevision[] => cache.ownedBy(ControllerRevision, uidOf(owner))
