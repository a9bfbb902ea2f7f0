// Custom resources: a ResourceType for each served version of a CustomResourceDefinition.
import { ageColumn, since } from '../columns.js'
import type { CustomResourceDefinition } from '../generated/kinds.js'
import { cloneJson, equalJson, isObject, type Json, type JsonObject } from '../json/value.js'
import type { Resource } from '../kind.js'
import type { CellValue, Column, ResourceType, Subresource, Verb } from '../resource-type.js'
import type { ObjectSchema } from '../schema/schema.js'
import { findJsonPath, type JsonPath, parseJsonPath } from './json-path.js'
import { rootSchema, setStructuralDefaults } from './structural.js'
import { customObjectErrors } from './validate.js'

type Version = CustomResourceDefinition['spec']['versions'][number]

const verbs: readonly Verb[] = ['delete', 'deletecollection', 'get', 'list', 'patch', 'create', 'update', 'watch']

const nameColumn: Column = {
  name: 'Name',
  type: 'string',
  format: 'name',
  priority: 0,
  description: '',
  value: ({ metadata }) => metadata.name,
}

function printed(value: Json): string {
  if (typeof value === 'string') return value
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function cell(values: readonly Json[], type: string, now: number): CellValue {
  const [value] = values
  if (value === undefined || value === null) return null
  switch (type) {
    case 'integer':
      if (typeof value === 'bigint') return Number(value)
      return typeof value === 'number' ? Math.trunc(value) : null
    case 'number':
      return typeof value === 'number' ? value : typeof value === 'bigint' ? Number(value) : null
    case 'boolean':
      return typeof value === 'boolean' ? value : null
    case 'date':
      return typeof value === 'string' ? since(value, now) : '<invalid>'
    default:
      return values.map(printed).join(' ')
  }
}

function columnsOf(version: Version): readonly Column[] {
  const extra = version.additionalPrinterColumns
  if (!extra?.length) return [nameColumn, ageColumn]
  return [
    nameColumn,
    ...extra.map(({ name, type, format, description, priority, jsonPath }): Column => {
      const path: JsonPath = parseJsonPath(jsonPath) ?? []
      return {
        name,
        type: type as Column['type'],
        ...(format ? { format } : {}),
        description: description || `Custom resource definition column (in JSONPath format): ${jsonPath}`,
        priority: priority ?? 0,
        value: (object, now) => cell(findJsonPath(path, object as unknown as Json), type, now),
      }
    }),
  ]
}

function selectableFieldsOf(version: Version, namespaced: boolean): ReadonlyMap<string, (object: Resource) => string> {
  const fields = new Map<string, (object: Resource) => string>([['metadata.name', ({ metadata }) => metadata.name ?? '']])
  if (namespaced) fields.set('metadata.namespace', ({ metadata }) => metadata.namespace ?? '')
  for (const { jsonPath } of version.selectableFields ?? []) {
    const path = parseJsonPath(jsonPath)
    if (!path) continue
    fields.set(jsonPath.replace(/^\./, ''), (object) => {
      const [value] = findJsonPath(path, object as unknown as Json)
      return value === undefined || value === null ? '' : printed(value)
    })
  }
  return fields
}

function subresourcesOf(crd: CustomResourceDefinition, version: Version): readonly Subresource[] {
  const found: Subresource[] = []
  const own = ['get', 'patch', 'update'] as const
  if (version.subresources?.status)
    found.push({ name: 'status', group: crd.spec.group, version: version.name, kind: crd.spec.names.kind, verbs: own })
  if (version.subresources?.scale) found.push({ name: 'scale', group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: own })
  return found
}

const stripDot = (path: string | undefined): string => (path ?? '').replace(/^\./, '')

/** Everything but metadata and, when it has a door of its own, status. */
function contents(object: JsonObject, hasStatus: boolean): JsonObject {
  const { metadata: _m, ...rest } = object
  if (hasStatus) delete rest.status
  return rest
}

function strategies(hasStatus: boolean): Pick<ResourceType, 'prepareForCreate' | 'prepareForUpdate'> {
  return {
    prepareForCreate(object) {
      if (hasStatus) delete object.status
      if (isObject(object.metadata)) object.metadata.generation = 1
    },
    prepareForUpdate(next, previous, door) {
      if (door === 'status') {
        const { status } = next
        const metadata = isObject(next.metadata) ? next.metadata : {}
        for (const name of Object.keys(next)) delete next[name]
        Object.assign(next, cloneJson(previous))
        // Only status and the record of who set it come through this door.
        if (isObject(next.metadata)) {
          if (metadata.managedFields !== undefined) next.metadata.managedFields = metadata.managedFields
          if (metadata.resourceVersion !== undefined) next.metadata.resourceVersion = metadata.resourceVersion
        }
        if (status === undefined) delete next.status
        else next.status = status
        return
      }
      if (hasStatus && door === '') {
        if (previous.status === undefined) delete next.status
        else next.status = cloneJson(previous.status)
      }
      if (isObject(next.metadata) && isObject(previous.metadata) && !equalJson(contents(next, hasStatus), contents(previous, hasStatus)))
        next.metadata.generation = Number(previous.metadata.generation ?? 0) + 1
    },
  }
}

function customResource(crd: CustomResourceDefinition, version: Version, storedVersion: string): ResourceType {
  const { spec } = crd
  const names = spec.names
  const apiVersion = `${spec.group}/${version.name}`
  const json = (version.schema?.openAPIV3Schema ?? { type: 'object' }) as unknown as JsonObject
  const keepAll = spec.preserveUnknownFields === true
  const namespaced = spec.scope === 'Namespaced'
  const subresourceTypes = subresourcesOf(crd, version)
  const scale = version.subresources?.scale
  let schema: ObjectSchema | undefined
  const schemaOf = (): ObjectSchema => {
    schema ??= keepAll ? { ...rootSchema(json), additional: 'keep' } : rootSchema(json)
    return schema
  }
  const stored = `${spec.group}/${storedVersion}`
  return {
    group: spec.group,
    version: version.name,
    kind: names.kind,
    plural: names.plural,
    namespaced,
    subresources: subresourceTypes.map(({ name }) => name),
    apiVersion,
    singular: names.singular || names.kind.toLowerCase(),
    listKind: names.listKind || `${names.kind}List`,
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    // What is going takes no new objects, or it would never be gone.
    verbs: crd.metadata.deletionTimestamp ? verbs.filter((verb) => verb !== 'create') : verbs,
    subresourceTypes,
    scale: scale
      ? {
          specReplicas: stripDot(scale.specReplicasPath),
          statusReplicas: stripDot(scale.statusReplicasPath),
          selector: stripDot(scale.labelSelectorPath),
        }
      : undefined,
    storagePrefix: `${spec.group}/${names.plural}`,
    conversion:
      version.name === storedVersion
        ? undefined
        : {
            toStored: (object) => ({ ...object, apiVersion: stored }),
            fromStored: (object) => ({ ...object, apiVersion }),
          },
    storedApiVersion: stored,
    custom: true,
    openApiSchema: json,
    allowCreateOnUpdate: false,
    allowUnconditionalUpdate: false,
    deprecation: version.deprecated ? (version.deprecationWarning ?? `${apiVersion} ${names.kind} is deprecated`) : undefined,
    schema: schemaOf,
    setDefaults: (object) => setStructuralDefaults(schemaOf(), object),
    ...strategies(version.subresources?.status !== undefined),
    validate: (object) => customObjectErrors(json, object as unknown as JsonObject),
    validateCreate: () => [],
    validateUpdate: (object, _previous, door) => (door === 'status' ? customObjectErrors(json, object as unknown as JsonObject) : []),
    warnings: () => [],
    columns: columnsOf(version),
    selectableFields: selectableFieldsOf(version, namespaced),
  }
}

/** `v2` before `v1`, `v1` before `v1beta2`, those before anything else in the order of letters. */
export function compareVersions(a: string, b: string): number {
  const rank = (version: string): readonly [number, number, number] | undefined => {
    const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version)
    if (!match) return undefined
    return [match[2] === undefined ? 2 : match[2] === 'beta' ? 1 : 0, Number(match[1]), Number(match[3] ?? 0)]
  }
  const left = rank(a)
  const right = rank(b)
  if (!left || !right) return left ? -1 : right ? 1 : a < b ? -1 : a > b ? 1 : 0
  for (const index of [0, 1, 2] as const) if (left[index] !== right[index]) return right[index] - left[index]
  return 0
}

/** One for each served version, best first. Whether the definition is established is the caller's question. */
export function customResources(crd: CustomResourceDefinition): ResourceType[] {
  const stored = crd.spec.versions.find((version) => version.storage)?.name ?? crd.spec.versions[0]?.name ?? ''
  return crd.spec.versions
    .filter((version) => version.served)
    .sort((a, b) => compareVersions(a.name, b.name))
    .map((version) => customResource(crd, version, stored))
}
