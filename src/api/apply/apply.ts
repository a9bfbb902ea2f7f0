// Server-side apply, and the ownership of fields that every other write leaves behind.
import { ApiError, type StatusCause } from '../../lib/index.js'
import { equalJson, isObject, type JsonObject } from '../json/value.js'
import type { ResourceType } from '../resource-type.js'
import { metadataOf } from '../strategy.js'
import { fieldsOfCreated } from './created.js'
import {
  difference,
  emptySet,
  equalSets,
  type FieldSet,
  intersection,
  isEmptySet,
  makeSet,
  pathsOf,
  pathText,
  recursiveDifference,
  union,
} from './field-set.js'
import { KUBECTL, lastAppliedFields, renewLastApplied } from './last-applied.js'
import {
  decodeManagers,
  encodeManagers,
  type Manager,
  type Managers,
  managedFieldsEntry,
  managerKey,
  withoutServerFields,
} from './managers.js'
import { applyErrors, type Comparison, compare, emptyObject, fieldSetOf, mergeValues, removePaths, withNamedFields } from './typed.js'

export interface ManagerOptions {
  readonly manager: string
  /** RFC 3339 */
  readonly time: string
  /** '' or left out for the object itself. */
  readonly subresource?: string
}

export interface ApplyOptions extends ManagerOptions {
  readonly force: boolean
}

const withoutManagedFields = (object: JsonObject): JsonObject => {
  if (!isObject(object.metadata) || object.metadata.managedFields === undefined) return object
  const { managedFields: _, ...metadata } = object.metadata
  return { ...object, metadata }
}

/** Fields that this door ignores do not become anybody's. */
function withoutIgnored(type: ResourceType, set: FieldSet, door: string): FieldSet {
  const hasStatus = type.subresources.includes('status')
  const keep = (step: string): boolean => {
    if (door === 'status') return type.custom ? step === 'f:status' : step === 'f:status' || step === 'f:metadata'
    return door !== '' || !hasStatus || step !== 'f:status'
  }
  return makeSet(
    false,
    [...set.children].filter(([step]) => keep(step)),
  )
}

interface Conflict {
  readonly manager: Manager
  readonly taken: FieldSet
}

const pathsIn = ({ taken }: Conflict): readonly string[] => pathsOf(taken).map(pathText)

/** Takes from the others what changed. */
function disown(managers: Managers, self: string, changes: Comparison): { managers: Map<string, Manager>; conflicts: Conflict[] } {
  const changed = union(changes.modified, changes.added)
  const kept = new Map<string, Manager>()
  const conflicts: Conflict[] = []
  for (const [key, manager] of managers) {
    if (key === self) {
      kept.set(key, manager)
      continue
    }
    const taken = intersection(manager.set, changed)
    if (!isEmptySet(taken)) conflicts.push({ manager, taken })
    const set = recursiveDifference(difference(manager.set, taken), changes.removed)
    if (!isEmptySet(set)) kept.set(key, set === manager.set ? manager : { ...manager, set, fieldsV1: undefined })
  }
  return { managers: kept, conflicts }
}

function managerText({ manager, operation, apiVersion, subresource }: Manager): string {
  const name = subresource ? `${JSON.stringify(manager)} with subresource ${JSON.stringify(subresource)}` : JSON.stringify(manager)
  return operation === 'Update' ? `${name} using ${apiVersion}` : name
}

function conflictAnswer(conflicts: readonly Conflict[]): ApiError {
  const causes: StatusCause[] = conflicts.flatMap((conflict) =>
    pathsIn(conflict).map((field) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with ${managerText(conflict.manager)}`,
      field,
    })),
  )
  const lines = conflicts.map((conflict) => {
    const paths = pathsIn(conflict)
    const who = managerText(conflict.manager)
    return paths.length === 1
      ? `conflict with ${who}: ${paths[0]}`
      : `conflicts with ${who}:\n${paths.map((path) => `- ${path}`).join('\n')}`
  })
  const count = causes.length === 1 ? '1 conflict' : `${causes.length} conflicts`
  return new ApiError('Conflict', `Apply failed with ${count}: ${lines.join('\n')}`, { details: { causes } })
}

const store = (object: JsonObject, managers: Managers): void => {
  const encoded = encodeManagers(managers)
  const metadata = metadataOf(object)
  if (encoded.length > 0) metadata.managedFields = encoded
  else delete metadata.managedFields
}

/** Who owned what before server-side apply was first used on an object that nobody is recorded for. */
function firstManagers(type: ResourceType, live: JsonObject): Managers {
  const set = withoutServerFields(fieldSetOf(type.schema(), live))
  if (isEmptySet(set)) return new Map()
  const manager: Manager = {
    manager: 'before-first-apply',
    operation: 'Update',
    apiVersion: type.apiVersion,
    subresource: '',
    time: '',
    set,
  }
  return new Map([[managerKey(manager), manager]])
}

/** Throws what Kubernetes throws when a configuration does not fit its schema; before anything unknown is dropped from it. */
export function checkConfiguration(type: ResourceType, config: JsonObject): void {
  const errors = applyErrors(type.schema(), config)
  if (errors.length === 0) return
  const { name = '', namespace = '' } = isObject(config.metadata) ? config.metadata : {}
  const subject = `${String(namespace)}/${String(name)}; ${type.group}/${type.version}, Kind=${type.kind}`
  const list = errors.length === 1 ? errors[0] : ['errors:', ...errors.map((error) => `  ${error}`)].join('\n')
  throw new ApiError('InternalError', `failed to create typed patch object (${subject}): ${list}`)
}

/**
 * The object after `config` is applied to `live` (undefined: it does not exist yet). Neither is changed. Throws Conflict when others own
 * what would change, unless forced. Defaults and validation are the caller's.
 */
export function applyConfiguration(
  type: ResourceType,
  live: JsonObject | undefined,
  config: JsonObject,
  options: ApplyOptions,
): JsonObject {
  const schema = type.schema()
  const door = options.subresource ?? ''
  const wanted = withoutManagedFields(config)
  const before = live ? withoutManagedFields(live) : emptyObject(schema)
  const recorded = decodeManagers(live && isObject(live.metadata) ? live.metadata.managedFields : undefined)
  const managers = new Map(live && recorded.size === 0 ? firstManagers(type, before) : recorded)

  const identity = { manager: options.manager, operation: 'Apply', apiVersion: type.apiVersion, subresource: door } as const
  const self = managerKey(identity)
  const last = managers.get(self)
  const set = withoutIgnored(type, withoutServerFields(fieldSetOf(schema, wanted)), door)
  const same = last !== undefined && equalSets(last.set, set) && last.apiVersion === type.apiVersion
  managers.set(self, { ...identity, time: same ? last.time : options.time, set })

  let merged = mergeValues(schema, live ? before : undefined, wanted) as JsonObject
  if (last) {
    // The identity in the configuration belongs to nobody, but it must not go either.
    const spoken = withNamedFields(schema, fieldSetOf(schema, wanted))
    const owned = [...managers.values()].reduce((sum, manager) => union(sum, withNamedFields(schema, manager.set)), spoken)
    const gone = difference(withNamedFields(schema, last.set), owned)
    merged = removePaths(schema, merged, gone) as JsonObject
  }
  const changes = compare(schema, before, merged)
  const seen = (part: FieldSet): FieldSet => withoutIgnored(type, withoutServerFields(part), door)
  const visible: Comparison = { added: seen(changes.added), modified: seen(changes.modified), removed: seen(changes.removed) }
  const { managers: kept, conflicts } = disown(managers, self, visible)
  if (conflicts.length > 0 && !options.force) {
    const own = live && options.manager === KUBECTL ? lastAppliedFields(type, live) : emptySet
    const left = conflicts
      .map(({ manager, taken }) => ({ manager, taken: difference(taken, own) }))
      .filter(({ taken }) => !isEmptySet(taken))
    if (left.length > 0) throw conflictAnswer(left)
  }

  const result: JsonObject = { ...merged, metadata: { ...(isObject(merged.metadata) ? merged.metadata : {}) } }
  if (live && isObject(live.metadata) && isObject(result.metadata) && live.metadata.resourceVersion !== undefined)
    result.metadata.resourceVersion = live.metadata.resourceVersion
  if (options.manager === KUBECTL) renewLastApplied(result, config)
  store(result, kept)
  return result
}

/** A client that sends one empty entry, or an empty list, asks to forget. */
const asksToForget = (value: unknown): boolean =>
  Array.isArray(value) && value.length === 1 && isObject(value[0]) && Object.keys(value[0]).length === 0

/**
 * After any write that is no apply, before it is stored: what changed from `previous` to `next` is now the manager's. Sets
 * `next.metadata.managedFields` in place.
 */
export function trackUpdate(type: ResourceType, next: JsonObject, previous: JsonObject | undefined, options: ManagerOptions): void {
  const schema = type.schema()
  const door = options.subresource ?? ''
  const metadata = metadataOf(next)
  const given = metadata.managedFields
  const live = previous && isObject(previous.metadata) ? previous.metadata.managedFields : undefined
  const forget = asksToForget(given)
  const ownWords = Array.isArray(given) && given.length > 0 && !equalJson(given, live)
  const base = forget ? new Map<string, Manager>() : ownWords ? decodeManagers(given, 'foreign') : decodeManagers(live)
  const before = previous ? withoutManagedFields(previous) : emptyObject(schema)
  const after = withoutManagedFields(next)
  const identity = { manager: options.manager, operation: 'Update', apiVersion: type.apiVersion, subresource: door } as const
  if (forget) {
    delete metadata.managedFields
    return
  }
  if (!previous && base.size === 0) {
    const { manager, time } = options
    const ignored = door === '' && type.subresources.includes('status') ? 'status' : undefined
    const fields = fieldsOfCreated(schema, after, ignored)
    if (fields) metadata.managedFields = [managedFieldsEntry({ ...identity, manager, time }, fields)]
    else delete metadata.managedFields
    return
  }
  const changes = compare(schema, before, after)
  const seen = (set: FieldSet): FieldSet => withoutIgnored(type, withoutServerFields(set), door)
  const visible: Comparison = { added: seen(changes.added), modified: seen(changes.modified), removed: seen(changes.removed) }
  const self = managerKey(identity)
  const { managers } = disown(base, self, visible)
  const known = managers.get(self)
  const set = union(recursiveDifference(known?.set ?? emptySet, visible.removed), union(visible.added, visible.modified))
  if (isEmptySet(set)) managers.delete(self)
  else managers.set(self, { ...identity, time: known && equalSets(known.set, set) ? known.time : options.time, set })
  store(next, managers)
}

/** True when only the times of managers differ: such a write changes nothing and is not stored. */
export function sameButTimes(a: JsonObject, b: JsonObject): boolean {
  const bare = (object: JsonObject): JsonObject => {
    const plain = withoutManagedFields(object)
    if (!isObject(plain.metadata)) return plain
    const { resourceVersion: _, ...metadata } = plain.metadata
    return { ...plain, metadata }
  }
  if (!equalJson(bare(a), bare(b))) return false
  const managers = (object: JsonObject) =>
    encodeManagers(decodeManagers(isObject(object.metadata) ? object.metadata.managedFields : undefined)).map(
      ({ time: _, ...entry }) => entry,
    )
  const sorted = (object: JsonObject): string[] =>
    managers(object)
      .map((entry) => JSON.stringify(entry))
      .sort()
  return equalJson(sorted(a), sorted(b))
}
