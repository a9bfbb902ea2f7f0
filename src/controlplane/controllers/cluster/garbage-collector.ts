// Deletes what has lost its owners: in the background, before the owner (foreground), or lets it go (orphan).
import { CustomResourceDefinition, type Kind, type OwnerReference, type Resource } from '../../../api/index.js'
import { sleep } from '../../../lib/index.js'
import { kindId } from '../cluster-cache.js'
import { groupOf, isDeleting, keyOf, nameOf, uidOf } from '../objects.js'
import type { Context, Controller, ObjectKey } from '../types.js'
import { done } from '../types.js'

export const FOREGROUND = 'foregroundDeletion'
export const ORPHAN = 'orphan'

/** What an owner reference stands for now. */
export type OwnerState = 'solid' | 'absent' | 'waiting'

export interface Dependent {
  readonly object: Resource
  readonly owners: readonly { readonly reference: OwnerReference; readonly state: OwnerState }[]
  /** Objects that name this one as their owner. */
  readonly dependents: readonly Resource[]
}

export type GarbagePlan =
  | { readonly do: 'nothing' }
  | { readonly do: 'set owners'; readonly owners: readonly OwnerReference[] }
  | { readonly do: 'delete'; readonly policy: 'Background' | 'Foreground' | 'Orphan'; readonly unblock: boolean }

const has = (object: Resource, finalizer: string): boolean => (object.metadata.finalizers ?? []).includes(finalizer)

/** True while the object waits for its dependents to go first. */
export const waitsForDependents = (object: Resource): boolean => isDeleting(object) && has(object, FOREGROUND)

export function planGarbage({ object, owners, dependents }: Dependent): GarbagePlan {
  if (isDeleting(object) || owners.length === 0) return { do: 'nothing' }
  const solid = owners.filter((owner) => owner.state === 'solid')
  const waiting = owners.filter((owner) => owner.state === 'waiting')
  if (solid.length === owners.length) return { do: 'nothing' }
  if (solid.length > 0) return { do: 'set owners', owners: solid.map((owner) => owner.reference) }
  if (waiting.length > 0 && dependents.length > 0) {
    // Owners in a circle would wait for each other for ever: let go of the one that is waiting already.
    return { do: 'delete', policy: 'Foreground', unblock: dependents.some(waitsForDependents) }
  }
  const policy = has(object, ORPHAN) ? 'Orphan' : has(object, FOREGROUND) ? 'Foreground' : 'Background'
  return { do: 'delete', policy, unblock: false }
}

/** Kinds that live too short to be worth watching. */
const IGNORED = new Set(['/Event', 'events.k8s.io/Event'])
const REDISCOVER_MS = 30_000
const SEPARATOR = '|'

const itemKey = (kind: Kind, object: Resource): string => `${kindId(kind)}${SEPARATOR}${keyOf(object)}`

/** Owners that we asked the server about and that were not there: uids never come back. */
const ABSENT_REMEMBERED = 5_000

function garbageCollector(): Controller {
  const kinds = new Map<string, { readonly kind: Kind; readonly stop: AbortController }>()
  const absent = new Set<string>()
  let complete = false

  const ownerKind = (reference: OwnerReference): Kind | undefined => kinds.get(`${groupOf(reference.apiVersion)}/${reference.kind}`)?.kind

  function wakeOwners({ wake }: Context, object: Resource): void {
    for (const reference of object.metadata.ownerReferences ?? []) {
      const kind = ownerKind(reference)
      if (!kind) continue
      wake(`${kindId(kind)}${SEPARATOR}${kind.namespaced ? `${object.metadata.namespace}/` : ''}${reference.name}`)
    }
  }

  function onChange(context: Context, kind: Kind, object: Resource, gone: boolean): void {
    if (gone) {
      for (const dependent of context.cache.dependents(uidOf(object))) context.wake(itemKey(dependent.kind, dependent.object))
      wakeOwners(context, object)
      return
    }
    if ((object.metadata.ownerReferences?.length ?? 0) > 0) {
      context.wake(itemKey(kind, object))
      if (isDeleting(object)) wakeOwners(context, object)
    } else if (isDeleting(object) && (has(object, FOREGROUND) || has(object, ORPHAN))) context.wake(itemKey(kind, object))
  }

  /** Follows the server's list of kinds. */
  async function rediscover(context: Context, signal: AbortSignal): Promise<void> {
    const served = (await context.client.discover()).filter((kind) => !IGNORED.has(kindId(kind)))
    const ids = new Set(served.map(kindId))
    for (const [id, { stop }] of kinds) {
      if (ids.has(id)) continue
      stop.abort()
      kinds.delete(id)
    }
    const syncs: Promise<void>[] = []
    for (const kind of served) {
      if (kinds.has(kindId(kind))) continue
      const stop = new AbortController()
      kinds.set(kindId(kind), { kind, stop })
      const until = AbortSignal.any([signal, stop.signal])
      syncs.push(context.cache.add(kind, until))
      const unsubscribe = context.cache.subscribe(kind, (object, gone) => onChange(context, kind, object, gone))
      until.addEventListener('abort', unsubscribe, { once: true })
    }
    // Before every kind was seen once, an owner may look as if it had no dependents.
    await Promise.race([Promise.all(syncs), sleep(context.clock, REDISCOVER_MS, signal).catch(() => {})])
    complete = true
  }

  function reportNamespace({ events }: Context, object: Resource, { apiVersion, kind, name, uid }: OwnerReference): void {
    const text = `ownerRef [${apiVersion}/${kind}, namespace: ${object.metadata.namespace ?? ''}, name: ${name}, uid: ${uid}]`
    events.warning(
      object,
      'OwnerRefInvalidNamespace',
      `${text} does not exist in namespace ${JSON.stringify(object.metadata.namespace ?? '')}`,
    )
  }

  async function stateOf(context: Context, object: Resource, reference: OwnerReference): Promise<OwnerState> {
    const kind = ownerKind(reference)
    // A kind that is not served (any more): its objects may come back with it.
    if (!kind) return 'solid'
    // A cluster-wide object cannot have an owner in a namespace: which one would it be?
    if (kind.namespaced && !object.metadata.namespace) {
      reportNamespace(context, object, reference)
      return 'solid'
    }
    const name = { name: reference.name, ...(kind.namespaced ? { namespace: object.metadata.namespace } : {}) }
    const seen = context.cache.get(kind, kind.namespaced ? `${object.metadata.namespace}/${reference.name}` : reference.name)
    const owner =
      seen && uidOf(seen) === reference.uid ? seen : absent.has(reference.uid) ? undefined : await context.client.find(kind, name)
    if (!owner || uidOf(owner) !== reference.uid) {
      // The owner may live, but elsewhere: references do not reach across namespaces.
      const elsewhere = kind.namespaced && context.cache.list(kind).some((each) => uidOf(each) === reference.uid)
      if (elsewhere) reportNamespace(context, object, reference)
      absent.add(reference.uid)
      if (absent.size > ABSENT_REMEMBERED) absent.delete(absent.values().next().value as string)
      return 'absent'
    }
    return waitsForDependents(owner) ? 'waiting' : 'solid'
  }

  /** Whoever is missed here would be deleted as ownerless a moment later, so the cache is not asked. */
  async function allDependents({ client }: Context, owner: Resource): Promise<{ kind: Kind; object: Resource }[]> {
    const candidates = [...kinds.values()].filter(({ kind }) => kind.namespaced || !owner.metadata.namespace)
    const lists = await Promise.all(
      candidates.map(async ({ kind }) => {
        const objects = await client.listNow(kind, kind.namespaced ? owner.metadata.namespace : undefined)
        return objects.map((object) => ({ kind, object }))
      }),
    )
    return lists.flat().filter(({ object }) => object.metadata.ownerReferences?.some((reference) => reference.uid === uidOf(owner)))
  }

  /** An owner on its way out: delete its dependents first, or let them go; then itself. */
  async function finish(context: Context, kind: Kind, object: Resource): Promise<void> {
    const dependents = context.cache.dependents(uidOf(object))
    const finalizer = has(object, FOREGROUND) ? FOREGROUND : ORPHAN
    if (finalizer === FOREGROUND) {
      const blocking = dependents.filter(({ object: dependent }) =>
        dependent.metadata.ownerReferences?.some((reference) => reference.uid === uidOf(object) && reference.blockOwnerDeletion),
      )
      for (const dependent of dependents) context.wake(itemKey(dependent.kind, dependent.object))
      if (blocking.length > 0) return
    } else {
      for (const dependent of await allDependents(context, object)) {
        const owners = (dependent.object.metadata.ownerReferences ?? []).filter((reference) => reference.uid !== uidOf(object))
        await setOwners(context, dependent.kind, dependent.object, owners)
      }
    }
    const { uid, resourceVersion, finalizers = [] } = object.metadata
    const metadata = { uid, resourceVersion, finalizers: finalizers.filter((name) => name !== finalizer) }
    await context.client.patch(kind, nameOf(object), { metadata }, { type: 'merge' })
  }

  function setOwners({ client }: Context, kind: Kind, object: Resource, ownerReferences: readonly OwnerReference[]): Promise<Resource> {
    const { uid, resourceVersion } = object.metadata
    return client.patch(kind, nameOf(object), { metadata: { uid, resourceVersion, ownerReferences } }, { type: 'merge' })
  }

  async function collect(context: Context, kind: Kind, key: ObjectKey): Promise<void> {
    const object = context.cache.get(kind, key)
    if (!object) return
    if (isDeleting(object)) {
      if (has(object, FOREGROUND) || has(object, ORPHAN)) await finish(context, kind, object)
      return
    }
    const owners: { reference: OwnerReference; state: OwnerState }[] = []
    for (const reference of object.metadata.ownerReferences ?? []) {
      owners.push({ reference, state: await stateOf(context, object, reference) })
    }
    // Looked for in every kind: only when it matters.
    const waits = owners.some(({ state }) => state === 'waiting')
    const dependents = waits ? context.cache.dependents(uidOf(object)).map((dependent) => dependent.object) : []
    const plan = planGarbage({ object, owners, dependents })
    if (plan.do === 'set owners') await setOwners(context, kind, object, plan.owners)
    if (plan.do !== 'delete') return
    let { resourceVersion } = object.metadata
    if (plan.unblock) {
      const unblocked = (object.metadata.ownerReferences ?? []).map((reference) => ({ ...reference, blockOwnerDeletion: false }))
      resourceVersion = (await setOwners(context, kind, object, unblocked)).metadata.resourceVersion
    }
    const preconditions = { uid: uidOf(object), ...(resourceVersion ? { resourceVersion } : {}) }
    await context.client.delete(kind, nameOf(object), { propagationPolicy: plan.policy, preconditions })
  }

  return {
    name: 'garbagecollector',
    component: 'garbage-collector-controller',
    for: CustomResourceDefinition,
    workers: 20,
    async background(context, signal) {
      const reset = (): void => {
        kinds.clear()
        absent.clear()
        complete = false
      }
      reset()
      while (!signal.aborted) {
        await rediscover(context, signal).catch((error: unknown) => context.log.warn('kinds not discovered', { err: error }))
        await sleep(context.clock, kinds.size === 0 ? 1000 : REDISCOVER_MS, signal).catch(() => {})
      }
    },
    async reconcile(key, context) {
      const [id = '', rest] = key.split(SEPARATOR)
      // A definition changed, not an object: new kinds are found at the next round.
      if (rest === undefined) return done
      const kind = kinds.get(id)?.kind
      if (!complete) return { requeueAfterMs: 1000 }
      if (kind) await collect(context, kind, rest)
      return done
    },
  }
}

/** A new one for each run: it remembers which kinds it follows. */
export const makeGarbageCollector = garbageCollector
