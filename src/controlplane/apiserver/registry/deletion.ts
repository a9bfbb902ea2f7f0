// delete: preconditions, grace, finalizers, and what is left of the object meanwhile.
import { cloneJson, conflictError, type JsonObject, notFoundError, type Pod, type Resource } from '../../../api/index.js'
import { type Clock, rfc3339 } from '../../../lib/index.js'
import type { Admission } from '../admission/plugin.js'
import { type Backend, keyFor } from './backend.js'
import { makeEntry } from './entry.js'
import { ROOT } from './feed.js'
import type { HooksByPrefix } from './hooks.js'
import { commit, encodeStored, readCached, readStored, type StoredObject } from './storage.js'
import type { WriteRequest, Written } from './writer.js'

export interface DeletionOptions {
  readonly gracePeriodSeconds?: number | undefined
  readonly preconditions?: { readonly uid?: string | undefined; readonly resourceVersion?: string | undefined } | undefined
  readonly propagationPolicy?: string | undefined
  readonly orphanDependents?: boolean | undefined
}

export type Deletion =
  /** It is gone; `object` is what it was. */
  | { readonly gone: true; readonly object: Resource }
  /** It ends when its finalizers or its grace period do. */
  | { readonly gone: false; readonly written: Written }

const FOREGROUND = 'foregroundDeletion'
const ORPHAN = 'orphan'

function checkPreconditions({ type, name }: WriteRequest, { metadata }: Resource, { preconditions }: DeletionOptions): void {
  const { uid, resourceVersion } = preconditions ?? {}
  const differ = (what: string, wanted: string, actual: string | undefined, happened: string): never => {
    const detail = `the ${what} in the precondition (${wanted}) does not match the ${what} in record (${actual ?? ''})`
    // Here Kubernetes names the kind where it names the resource elsewhere.
    throw conflictError({ group: type.group, plural: type.kind }, name, `${detail}. The object might have been ${happened}`)
  }
  if (uid !== undefined && uid !== metadata.uid) differ('UID', uid, metadata.uid, 'deleted and then recreated')
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    differ('ResourceVersion', resourceVersion, metadata.resourceVersion, 'modified')
  }
}

/** Finalizers after the wish about dependents. */
export function finalizersAfter(
  present: readonly string[],
  { propagationPolicy, orphanDependents }: DeletionOptions,
  plural: string,
): string[] {
  const others = present.filter((name) => name !== FOREGROUND && name !== ORPHAN)
  const policy = propagationPolicy ?? (orphanDependents === undefined ? undefined : orphanDependents ? 'Orphan' : 'Background')
  if (policy === 'Orphan') return [...others, ORPHAN]
  if (policy === 'Foreground') return [...others, FOREGROUND]
  if (policy === 'Background') return others
  if (present.includes(ORPHAN) || present.includes(FOREGROUND)) return [...present]
  return plural === 'replicationcontrollers' ? [...others, ORPHAN] : others
}

/** Whoever gives a pod longer than 68 years gives it 68 years: later times cannot all be written down. */
const graceMs = (seconds: number): number => Math.min(seconds, 2 ** 31 - 1) * 1000

/** Seconds a pod gets to end; 0 for what runs nowhere. */
function gracePeriod(object: Resource, wanted: number | undefined): number {
  if (object.kind !== 'Pod') return 0
  const { spec, status } = object as Pod
  if (!spec?.nodeName || status?.phase === 'Failed' || status?.phase === 'Succeeded') return 0
  const seconds = wanted ?? spec.terminationGracePeriodSeconds ?? 30
  return seconds < 0 ? 1 : seconds
}

interface Plan {
  /** What stays for now; nothing when the object goes at once. */
  readonly next: JsonObject | undefined
  /** The present object says all that is wished: there is nothing to write. */
  readonly unchanged: boolean
}

/** Pure: what becomes of the object. */
export function planDeletion(object: Resource, options: DeletionOptions, plural: string, now: number): Plan {
  const next = cloneJson(object) as unknown as JsonObject
  const metadata = next.metadata as JsonObject
  const finalizers = finalizersAfter(object.metadata.finalizers ?? [], options, plural)
  const changed = JSON.stringify(finalizers) !== JSON.stringify(object.metadata.finalizers ?? [])
  if (finalizers.length > 0) metadata.finalizers = finalizers
  else delete metadata.finalizers
  const grace = gracePeriod(object, options.gracePeriodSeconds)
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = object.metadata

  if (deletionTimestamp) {
    const shorter = options.gracePeriodSeconds !== undefined && grace < deletionGracePeriodSeconds
    if (shorter || (object.kind === 'Pod' && grace === 0 && deletionGracePeriodSeconds > 0)) {
      metadata.deletionGracePeriodSeconds = grace
      metadata.deletionTimestamp = rfc3339(Date.parse(deletionTimestamp) - graceMs(deletionGracePeriodSeconds) + graceMs(grace))
      if (grace === 0 && finalizers.length === 0) return { next: undefined, unchanged: false }
      return { next, unchanged: false }
    }
    if (deletionGracePeriodSeconds > 0 || finalizers.length > 0 || holdsNamespace(next)) return { next, unchanged: !changed }
    return { next: undefined, unchanged: false }
  }

  if (grace === 0 && finalizers.length === 0 && !holdsNamespace(next)) return { next: undefined, unchanged: false }
  metadata.deletionTimestamp = rfc3339(now + graceMs(grace))
  metadata.deletionGracePeriodSeconds = grace
  if (typeof metadata.generation === 'number' && metadata.generation > 0) metadata.generation++
  if (next.kind === 'Namespace') next.status = { ...(next.status as JsonObject), phase: 'Terminating' }
  return { next, unchanged: false }
}

const holdsNamespace = (object: JsonObject): boolean =>
  object.kind === 'Namespace' &&
  ((object.spec as JsonObject | undefined)?.finalizers as unknown[] | undefined)?.length !== undefined &&
  ((object.spec as JsonObject).finalizers as unknown[]).length > 0

export interface Deleter {
  delete(request: WriteRequest, options: DeletionOptions): Promise<Deletion>
}

export function createDeleter(backend: Backend & { readonly clock: Clock }, admission: Admission, hooks: HooksByPrefix): Deleter {
  const { store, clock } = backend

  const once = async (request: WriteRequest, { object, entry }: StoredObject, options: DeletionOptions): Promise<Deletion | undefined> => {
    const { type, namespace, name, dryRun } = request
    checkPreconditions(request, object, options)
    await admission.admit({ ...request, operation: 'DELETE', object: undefined, old: object })
    await admission.validate({ ...request, operation: 'DELETE', object: undefined, old: object })
    const { next, unchanged } = planDeletion(object, options, type.plural, clock.now())
    if (next && unchanged) return { gone: false, written: { object, entry, created: false, deleted: false } }
    const key = keyFor(type, namespace, name)
    const value = next && encodeStored(type, next)
    let revision = entry.revision
    if (!dryRun) {
      const companions = next ? undefined : await hooks.get(type.storagePrefix)?.onDelete?.(object)
      const outcome = await commit(store, key, value, { expect: entry.revision, companions })
      if (!outcome.ok) return undefined
      revision = outcome.revision
    }
    if (!next || !value) return { gone: true, object }
    ;(next.metadata as JsonObject).resourceVersion = String(revision)
    const kept = makeEntry(`${ROOT}${type.storagePrefix}/`, key, value, revision)
    return { gone: false, written: { object: next as unknown as Resource, entry: kept, created: false, deleted: false } }
  }

  return {
    async delete(request, options) {
      const { type, namespace, name } = request
      let found = await readCached(backend, type, namespace, name)
      for (let tries = 0; tries < 100; tries++) {
        if (!found) throw notFoundError(type, name)
        const done = await once(request, found, options)
        if (done) return done
        found = await readStored(store, type, namespace, name)
      }
      throw conflictError(type, name)
    },
  }
}
