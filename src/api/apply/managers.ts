// The managers of an object: who owns which fields, as `metadata.managedFields` says.
import { isObject, type Json, type JsonObject } from '../json/value.js'
import { decodeFieldSet, encodeFieldSet, type FieldSet, isEmptySet, makeSet, union } from './field-set.js'

export interface Manager {
  readonly manager: string
  readonly operation: 'Apply' | 'Update'
  readonly apiVersion: string
  readonly subresource: string
  readonly time: string
  readonly set: FieldSet
  /** `set` as it was read, while it is the same. */
  readonly fieldsV1?: JsonObject | undefined
}

/** Entries with the same key are one manager. Appliers keep theirs when the version changes. */
export const managerKey = ({ manager, operation, apiVersion, subresource }: Omit<Manager, 'time' | 'set' | 'fieldsV1'>): string =>
  JSON.stringify([manager, operation, operation === 'Apply' ? '' : apiVersion, subresource])

export type Managers = ReadonlyMap<string, Manager>

const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '')

/** `foreign`: as a client wrote them, not as we did. */
export function decodeManagers(managedFields: Json | undefined, from: 'stored' | 'foreign' = 'stored'): Managers {
  const managers = new Map<string, Manager>()
  if (!Array.isArray(managedFields)) return managers
  for (const entry of managedFields) {
    if (!isObject(entry)) continue
    const set = decodeFieldSet(entry.fieldsV1)
    if (isEmptySet(set)) continue
    const manager: Manager = {
      manager: text(entry.manager),
      operation: entry.operation === 'Apply' ? 'Apply' : 'Update',
      apiVersion: text(entry.apiVersion),
      subresource: text(entry.subresource),
      time: text(entry.time),
      set,
      ...(from === 'stored' && { fieldsV1: entry.fieldsV1 as JsonObject }),
    }
    managers.set(managerKey(manager), manager)
  }
  return managers
}

const MOST_UPDATERS = 10
const ANCIENT = 'ancient-changes'

/** Many managers that updated once are folded into one, oldest first. */
function foldOld(managers: readonly Manager[]): Manager[] {
  const updaters = managers.filter((m) => m.operation === 'Update').sort((a, b) => (a.time < b.time ? -1 : 1))
  if (updaters.length <= MOST_UPDATERS) return [...managers]
  const old = updaters.filter((m) => m.manager !== ANCIENT).slice(0, updaters.length - MOST_UPDATERS + 1)
  const folded = new Map<string, Manager>()
  for (const manager of managers) {
    if (!old.includes(manager) && !(manager.manager === ANCIENT && manager.operation === 'Update')) continue
    const before = folded.get(manager.apiVersion)
    const time = before && before.time > manager.time ? before.time : manager.time
    folded.set(manager.apiVersion, {
      manager: ANCIENT,
      operation: 'Update',
      apiVersion: manager.apiVersion,
      subresource: '',
      time,
      set: before ? union(before.set, manager.set) : manager.set,
    })
  }
  return [...managers.filter((m) => !old.includes(m) && m.manager !== ANCIENT), ...folded.values()]
}

export function encodeManagers(managers: Managers): JsonObject[] {
  const order = (m: Manager): string => `${m.operation}\u0000${m.time}\u0000${m.manager}\u0000${m.apiVersion}\u0000${m.subresource}`
  return foldOld([...managers.values()])
    .filter(({ set }) => !isEmptySet(set))
    .sort((a, b) => (order(a) < order(b) ? -1 : 1))
    .map((manager) => managedFieldsEntry(manager, manager.fieldsV1 ?? encodeFieldSet(manager.set)))
}

export const managedFieldsEntry = (manager: Omit<Manager, 'set' | 'fieldsV1'>, fieldsV1: JsonObject): JsonObject => {
  const { manager: name, operation, apiVersion, subresource, time } = manager
  return {
    ...(name ? { manager: name } : {}),
    operation,
    apiVersion,
    ...(time ? { time } : {}),
    fieldsType: 'FieldsV1',
    fieldsV1,
    ...(subresource ? { subresource } : {}),
  }
}

/** What the server keeps in metadata. */
export const serverOwned: ReadonlySet<string> = new Set([
  'name',
  'namespace',
  'creationTimestamp',
  'selfLink',
  'uid',
  'clusterName',
  'generation',
  'managedFields',
  'resourceVersion',
])

/** Without the fields that nobody can own: identity and what the server keeps. */
export function withoutServerFields(set: FieldSet): FieldSet {
  const children = new Map(set.children)
  children.delete('f:apiVersion')
  children.delete('f:kind')
  const metadata = children.get('f:metadata')
  if (metadata)
    children.set(
      'f:metadata',
      makeSet(
        false,
        [...metadata.children].filter(([step]) => !serverOwned.has(step.slice(2))),
      ),
    )
  return makeSet(false, children)
}
