// create, update and patch: from a decoded object to a stored one.
import {
  alreadyExistsError,
  conflictError,
  equalJson,
  type JsonObject,
  notFoundError,
  prepareCreate,
  prepareUpdate,
  type Resource,
  type ResourceType,
  trackUpdate,
  validateCreate,
  validateUpdate,
} from '../../../api/index.js'
import { ApiError, nameSuffix, rfc3339, uuid } from '../../../lib/index.js'
import type { Admission, AdmissionRequest } from '../admission/plugin.js'
import type { User } from '../http/context.js'
import { type Backend, keyFor } from './backend.js'
import { type Entry, makeEntry } from './entry.js'
import { leaseProvider } from './event-leases.js'
import { ROOT } from './feed.js'
import type { HookRequest, HooksByPrefix } from './hooks.js'
import { commit, encodeStored, readCached, readStored, type StoredObject } from './storage.js'

/** Who writes what, and how. */
export interface WriteRequest {
  readonly type: ResourceType
  readonly namespace: string
  /** From the path; '' for a create. */
  readonly name: string
  /** '' for the object itself. */
  readonly subresource: string
  readonly user: User
  readonly dryRun: boolean
  readonly fieldManager: string
  readonly warnings: string[]
}

export interface Written {
  readonly object: Resource
  /** With its resourceVersion; the stored version's bytes. */
  readonly entry: Entry
  readonly created: boolean
  /** The write completed a deletion: the object is gone. */
  readonly deleted: boolean
}

/** Makes the next object out of the present one; called again with a newer one when somebody was faster. */
export type Change = (previous: Resource, entry: Entry) => JsonObject | Promise<JsonObject>

export interface UpdateOptions {
  /** The client named the version that it changes: being too late is a conflict, not a reason to try again. */
  readonly exact: boolean
  /** The managedFields that the change carries are final (server-side apply). */
  readonly tracked?: boolean
  /** Makes the object when there is none; without it that is NotFound. */
  readonly create?: (() => JsonObject) | undefined
}

export interface Writer {
  create(request: WriteRequest, object: JsonObject, options?: { readonly tracked?: boolean }): Promise<Written>
  update(request: WriteRequest, change: Change, options: UpdateOptions): Promise<Written>
  /** The server's own change of a stored object: neither admission nor validation, nobody's managed fields. */
  modify(request: WriteRequest, change: Change): Promise<Written>
}

const MOST_TRIES = 100

/** An owner that is named twice is kept once, and the client told. */
function dedupOwners(object: JsonObject, warnings: string[]): void {
  const metadata = object.metadata as JsonObject | undefined
  const owners = metadata?.ownerReferences
  if (!metadata || !Array.isArray(owners) || owners.length < 2) return
  const kept = owners.filter((owner, index) => owners.findIndex((other) => equalJson(other, owner)) === index)
  if (kept.length === owners.length) return
  const twice = owners.filter((owner) => !kept.includes(owner)).map((owner) => String((owner as JsonObject).uid))
  metadata.ownerReferences = kept
  warnings.push(
    `.metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: ${[...new Set(twice)].join(',')}`,
  )
}

export function createWriter(backend: Backend, admission: Admission, hooks: HooksByPrefix): Writer {
  const { store, clock, random } = backend
  const lease = leaseProvider(store, clock)
  const context = { uid: () => uuid(random), suffix: () => nameSuffix(random) }

  const admissionRequest = (
    request: WriteRequest,
    operation: 'CREATE' | 'UPDATE',
    object: JsonObject,
    old: Resource | undefined,
  ): AdmissionRequest => ({
    operation,
    type: request.type,
    subresource: request.subresource,
    namespace: request.namespace,
    name: (object.metadata as JsonObject)?.name as string,
    object,
    old,
    user: request.user,
    dryRun: request.dryRun,
    warnings: request.warnings,
  })

  const track = (request: WriteRequest, next: JsonObject, previous: Resource | undefined): void => {
    const { type, fieldManager, subresource } = request
    trackUpdate(type, next, previous as JsonObject | undefined, { manager: fieldManager, time: rfc3339(clock.now()), subresource })
  }

  const written = (
    request: WriteRequest,
    object: JsonObject,
    value: Uint8Array,
    revision: number,
    flags: { created: boolean; deleted: boolean },
  ): Written => {
    const { type, namespace } = request
    const metadata = object.metadata as JsonObject
    metadata.resourceVersion = String(revision)
    const prefix = `${ROOT}${type.storagePrefix}/`
    const entry = makeEntry(prefix, keyFor(type, namespace, metadata.name as string), value, revision)
    return { object: object as unknown as Resource, entry, ...flags }
  }

  const create: Writer['create'] = async (request, object, options = {}) => {
    const { type, namespace, dryRun } = request
    const kindHooks = hooks.get(type.storagePrefix)
    const hookRequest: HookRequest = request
    object.metadata ??= {}
    for (let attempt = 0; ; attempt++) {
      const metadata = object.metadata as JsonObject
      const generated = !metadata.name && Boolean(metadata.generateName)
      type.setDefaults(object)
      dedupOwners(object, request.warnings)
      // What admission fills in, nobody wrote.
      if (!options.tracked) track(request, object, undefined)
      await admission.admit(admissionRequest(request, 'CREATE', object, undefined))
      await kindHooks?.beforeWrite?.(object, undefined, hookRequest)
      prepareCreate(type, object, { ...context, now: clock.now(), ...(type.namespaced && { namespace }) })
      validateCreate(type, object)
      request.warnings.push(...type.warnings(object as never, undefined))
      await admission.validate(admissionRequest(request, 'CREATE', object, undefined))
      const name = metadata.name as string
      const key = keyFor(type, namespace, name)
      for (let tries = 0; ; tries++) {
        const companions = await kindHooks?.companions?.(object, undefined, hookRequest)
        const value = encodeStored(type, object)
        if (dryRun) {
          if ((await store.get(key)).kv) throw alreadyExistsError(type, name)
          return written(request, object, value, 0, { created: true, deleted: false })
        }
        const ttl = kindHooks?.ttlSeconds
        const outcome = await commit(store, key, value, { expect: 0, companions, lease: ttl === undefined ? undefined : await lease(ttl) })
        if (outcome.ok) return written(request, object, value, outcome.revision, { created: true, deleted: false })
        if ((await store.get(key)).kv) break
        if (!companions || tries > MOST_TRIES) throw new ApiError('ServerTimeout', `${name} could not be stored: others were always faster`)
      }
      if (!generated || attempt >= 7) throw alreadyExistsError(type, name)
      metadata.name = undefined
    }
  }

  /** What a changed object becomes in the store: its bytes, or nothing when its last finalizer went. */
  const finish = (next: JsonObject, previous: Resource): boolean => {
    const metadata = next.metadata as JsonObject
    if (!metadata.deletionTimestamp || (metadata.finalizers as unknown[] | undefined)?.length) return false
    if (previous.metadata.deletionGracePeriodSeconds) return false
    const spec = next.spec as JsonObject | undefined
    return next.kind !== 'Namespace' || !(spec?.finalizers as unknown[] | undefined)?.length
  }

  const updateOnce = async (
    request: WriteRequest,
    found: StoredObject,
    change: Change,
    options: UpdateOptions,
  ): Promise<Written | undefined> => {
    const { type, namespace, name, subresource, dryRun } = request
    const kindHooks = hooks.get(type.storagePrefix)
    const previous = found.object
    const next = await change(previous, found.entry)
    type.setDefaults(next)
    dedupOwners(next, request.warnings)
    if (!options.tracked) track(request, next, previous)
    const admissionOf = (): AdmissionRequest => admissionRequest(request, 'UPDATE', next, previous)
    await admission.admit(admissionOf())
    await kindHooks?.beforeWrite?.(next, previous, request)
    prepareUpdate(type, next, previous as unknown as JsonObject, subresource)
    ;(next.metadata as JsonObject).resourceVersion = previous.metadata.resourceVersion
    validateUpdate(type, next, previous as unknown as JsonObject, subresource)
    request.warnings.push(...type.warnings(next as never, previous))
    await admission.validate(admissionOf())
    const gone = finish(next, previous)
    const key = keyFor(type, namespace, name)
    if (!gone && equalStored(next, previous)) return { object: previous, entry: found.entry, created: false, deleted: false }
    for (let tries = 0; ; tries++) {
      const companions = gone ? await kindHooks?.onDelete?.(previous) : await kindHooks?.companions?.(next, previous, request)
      const value = encodeStored(type, next)
      if (dryRun) return written(request, next, value, found.entry.revision, { created: false, deleted: false })
      const ttl = kindHooks?.ttlSeconds
      const outcome = await commit(store, key, gone ? undefined : value, {
        expect: found.entry.revision,
        companions,
        lease: ttl === undefined ? undefined : await lease(ttl),
      })
      if (outcome.ok) return written(request, next, value, outcome.revision, { created: false, deleted: gone })
      const now = await store.get(key)
      if (now.kv?.modRevision !== found.entry.revision) return undefined
      if (!companions || tries > MOST_TRIES) throw new ApiError('ServerTimeout', `${name} could not be stored: others were always faster`)
    }
  }

  const update: Writer['update'] = async (request, change, options) => {
    const { type, namespace, name } = request
    let found = await readCached(backend, type, namespace, name)
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      if (!found) {
        if (!options.create) throw notFoundError(type, name)
        try {
          return await create(request, options.create(), { tracked: options.tracked ?? false })
        } catch (error) {
          if (!(error instanceof ApiError && error.reason === 'AlreadyExists') || options.exact) throw error
        }
      } else {
        const done = await updateOnce(request, found, change, options)
        if (done) return done
        if (options.exact) throw conflictError(type, name)
      }
      found = await readStored(store, type, namespace, name)
    }
    throw conflictError(type, name)
  }

  const modify: Writer['modify'] = async (request, change) => {
    const { type, namespace, name, dryRun } = request
    let found = await readCached(backend, type, namespace, name)
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      if (!found) throw notFoundError(type, name)
      const next = await change(found.object, found.entry)
      const value = encodeStored(type, next)
      const { revision } = found.entry
      if (dryRun) return written(request, next, value, revision, { created: false, deleted: false })
      const outcome = await commit(store, keyFor(type, namespace, name), value, { expect: revision })
      if (outcome.ok) return written(request, next, value, outcome.revision, { created: false, deleted: false })
      found = await readStored(store, type, namespace, name)
    }
    throw conflictError(type, name)
  }

  return { create, update, modify }
}

/** Equal but for what a write always changes: nothing to store. */
function equalStored(next: JsonObject, previous: Resource): boolean {
  const strip = (object: JsonObject): JsonObject => {
    const { resourceVersion: _, managedFields: __, ...metadata } = object.metadata as JsonObject
    return { ...object, metadata }
  }
  const managers = (object: JsonObject): unknown =>
    ((object.metadata as JsonObject).managedFields as JsonObject[] | undefined)?.map(({ time: _, ...entry }) => entry)
  const before = previous as unknown as JsonObject
  return equalJson(strip(next), strip(before)) && equalJson(managers(next), managers(before))
}
