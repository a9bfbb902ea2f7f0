// Which objects belong to an owner: adopt strays that match its selector, release what no longer matches. Plan is pure.
import type { Kind, Resource } from '../../../api/index.js'
import { controllerOf, controllerReference, isDeleting, nameOf, uidOf } from '../objects.js'
import type { Cache, Writer } from '../types.js'

export interface Claim<T> {
  readonly adopt: readonly T[]
  readonly release: readonly T[]
  readonly keep: readonly T[]
}

/** A deleting owner adopts nothing and lets go of nothing: the garbage collector needs its references. */
export function planClaim<T extends Resource>(owner: Resource, candidates: readonly T[], matches: (object: T) => boolean): Claim<T> {
  const adopt: T[] = []
  const release: T[] = []
  const keep: T[] = []
  for (const object of candidates) {
    const controller = controllerOf(object)
    if (controller) {
      if (controller.uid !== uidOf(owner)) continue
      if (matches(object) || isDeleting(owner)) keep.push(object)
      else release.push(object)
    } else if (!isDeleting(owner) && !isDeleting(object) && matches(object)) adopt.push(object)
  }
  return { adopt, release, keep }
}

export interface ClaimCall<T extends Resource> {
  readonly kind: Kind<T>
  readonly ownerKind: Kind
  readonly owner: Resource
  readonly matches: (object: T) => boolean
  /** Finalizers that an adopted object gets and a released one loses. */
  readonly finalizer?: string
  /** Limits what may be adopted; default everything that matches. */
  readonly adoptable?: (object: T) => boolean
}

/** Applies the claim and returns what belongs to the owner now. */
export async function claim<T extends Resource>(
  { cache, client }: { cache: Cache; client: Writer },
  { kind, ownerKind, owner, matches, finalizer, adoptable = () => true }: ClaimCall<T>,
): Promise<T[]> {
  const mine = cache.ownedBy(kind, uidOf(owner))
  const strays = cache.orphans(kind, owner.metadata.namespace ?? '').filter((object) => !matches(object) || adoptable(object))
  const plan = planClaim(owner, [...mine, ...strays], matches)
  const kept = [...plan.keep]
  if (plan.adopt.length > 0) {
    // An owner that is being deleted must not adopt: its dependents would be deleted with it. The cache may not know yet.
    const live = await client.find(ownerKind, nameOf(owner))
    if (!live || uidOf(live) !== uidOf(owner) || isDeleting(live)) return kept
  }
  const reference = controllerReference(ownerKind, owner)
  for (const object of plan.adopt) {
    const ownerReferences = [...(object.metadata.ownerReferences ?? []).filter((ref) => ref.uid !== reference.uid), reference]
    const finalizers = finalizer ? [...new Set([...(object.metadata.finalizers ?? []), finalizer])] : undefined
    kept.push(await patchOwners(client, kind, object, ownerReferences, finalizers))
  }
  for (const object of plan.release) {
    const ownerReferences = (object.metadata.ownerReferences ?? []).filter((ref) => ref.uid !== reference.uid)
    const finalizers = finalizer ? (object.metadata.finalizers ?? []).filter((name) => name !== finalizer) : undefined
    await patchOwners(client, kind, object, ownerReferences, finalizers)
  }
  return kept
}

/** The version in the patch makes it fail instead of undoing what another wrote meanwhile. */
function patchOwners<T extends Resource>(
  client: Writer,
  kind: Kind<T>,
  object: T,
  ownerReferences: readonly unknown[],
  finalizers: readonly string[] | undefined,
): Promise<T> {
  const { uid, resourceVersion } = object.metadata
  const metadata = { uid, resourceVersion, ownerReferences, ...(finalizers ? { finalizers } : {}) }
  return client.patch(kind, nameOf(object), { metadata }, { type: 'merge' })
}
