// Makes the ResourceType of a built-in kind out of what is particular to it; everything else follows from the table of types.
import { ageColumn } from './columns.js'
import type { FieldError } from './field-error.js'
import { cloneJson, equalJson, isObject, type JsonObject } from './json/value.js'
import type { Kind, Resource } from './kind.js'
import type { NameRule } from './names.js'
import type { Column, ResourceType, ScalePaths, Subresource, Verb } from './resource-type.js'
import { normalizeObject } from './schema/defaults.js'
import { namedSchema } from './schema/table.js'
import { setNameRule } from './strategy.js'

type MetadataField = 'annotations' | 'finalizers' | 'labels' | 'ownerReferences'
export const ALL_METADATA: readonly MetadataField[] = ['annotations', 'finalizers', 'labels', 'ownerReferences']

/** One literal of this for each kind. */
export interface ResourceDefinition<T extends Resource> {
  readonly of: Kind<T>
  /** Its type in the schema table, when that is not the kind's name. */
  readonly typeName?: string
  readonly singular?: string
  readonly shortNames?: readonly string[]
  readonly categories?: readonly string[]
  readonly verbs?: readonly Verb[]
  /** Below /registry/, when it is not the plural. */
  readonly storagePrefix?: string
  readonly conversion?: ResourceType['conversion'] & object
  readonly storedApiVersion?: string
  /** DNS subdomain when left out. */
  readonly name?: NameRule
  /** Which field's change makes a new generation; `'all'` is everything but metadata and status. */
  readonly generation?: 'spec' | 'all'
  readonly scale?: ScalePaths
  readonly allowCreateOnUpdate?: boolean
  readonly allowUnconditionalUpdate?: boolean
  readonly deprecation?: string
  readonly columns?: readonly Column<T>[]
  readonly selectableFields?: Readonly<Record<string, (object: T) => string | undefined>>
  /** What of the metadata a write to `status` leaves as it was. */
  readonly statusKeeps?: readonly MetadataField[]
  /** A new object may bring its status. */
  readonly createsStatus?: boolean
  /** After status and generation are set. In place. */
  readonly prepareForCreate?: (object: JsonObject) => void
  /** Before generation is compared. In place. */
  readonly prepareForUpdate?: (next: JsonObject, previous: JsonObject, subresource: string) => void
  readonly validate?: (object: T) => readonly FieldError[]
  /** What only a new object must keep to: older ones may be as they are. */
  readonly validateCreate?: (object: T) => readonly FieldError[]
  /** Only what the change itself breaks; the new object is validated too (but for subresources). */
  readonly validateUpdate?: (next: T, previous: T) => readonly FieldError[]
  readonly validateSubresource?: (next: T, previous: T, subresource: string) => readonly FieldError[]
  readonly warnings?: (object: T, previous: T | undefined) => readonly string[]
}

const allVerbs: readonly Verb[] = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']

/** Bodies of subresources that are not the object itself, and what may be done with them. */
const bodies: Readonly<Record<string, Omit<Subresource, 'name'>>> = {
  attach: { group: '', version: 'v1', kind: 'PodAttachOptions', verbs: ['create', 'get'] },
  binding: { group: '', version: 'v1', kind: 'Binding', verbs: ['create'] },
  eviction: { group: 'policy', version: 'v1', kind: 'Eviction', verbs: ['create'] },
  exec: { group: '', version: 'v1', kind: 'PodExecOptions', verbs: ['create', 'get'] },
  portforward: { group: '', version: 'v1', kind: 'PodPortForwardOptions', verbs: ['create', 'get'] },
  scale: { group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: ['get', 'patch', 'update'] },
  token: { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest', verbs: ['create'] },
}

function subresource(of: Kind, name: string): Subresource {
  const body = bodies[name]
  if (body) return { name, ...body }
  const own = { name, group: of.group, version: of.version, kind: of.kind }
  if (name === 'proxy') {
    const kind = { pods: 'PodProxyOptions', services: 'ServiceProxyOptions', nodes: 'NodeProxyOptions' }[of.plural] ?? of.kind
    return { ...own, kind, verbs: ['create', 'delete', 'get', 'patch', 'update'] }
  }
  if (name === 'log') return { ...own, verbs: ['get'] }
  if (name === 'finalize') return { ...own, verbs: ['update'] }
  return { ...own, verbs: ['get', 'patch', 'update'] }
}

const metaField = (name: 'name' | 'namespace') => (object: Resource) => object.metadata?.[name] ?? ''

function withoutMetadata(object: JsonObject): JsonObject {
  const { metadata: _m, status: _s, ...rest } = object
  return rest
}

const nameColumn: Column = {
  name: 'Name',
  type: 'string',
  format: 'name',
  priority: 0,
  description: 'What the object is called; unique for its kind in its namespace, and it never changes.',
  value: (object) => object.metadata.name,
}

export function defineResource<T extends Resource>(definition: ResourceDefinition<T>): ResourceType<T> {
  const { of } = definition
  const typeName = definition.typeName ?? of.kind
  const hasStatus = of.subresources.includes('status')
  const changed = (next: JsonObject, previous: JsonObject): boolean =>
    definition.generation === 'spec' ? !equalJson(next.spec, previous.spec) : !equalJson(withoutMetadata(next), withoutMetadata(previous))
  const schema = () => namedSchema(typeName)

  const type: ResourceType<T> = {
    ...of,
    singular: definition.singular ?? of.kind.toLowerCase(),
    listKind: `${of.kind}List`,
    shortNames: definition.shortNames ?? [],
    categories: definition.categories ?? [],
    verbs: definition.verbs ?? allVerbs,
    subresourceTypes: of.subresources.map((name) => subresource(of, name)),
    scale: definition.scale,
    storagePrefix: definition.storagePrefix ?? of.plural,
    conversion: definition.conversion,
    storedApiVersion: definition.storedApiVersion ?? of.apiVersion,
    custom: false,
    openApiSchema: undefined,
    allowCreateOnUpdate: definition.allowCreateOnUpdate ?? false,
    allowUnconditionalUpdate: definition.allowUnconditionalUpdate ?? true,
    deprecation: definition.deprecation,
    schema,
    setDefaults: (object) => normalizeObject(schema(), object),
    prepareForCreate(object) {
      if (hasStatus && !definition.createsStatus) {
        if (schema().alwaysWritten.includes('status')) object.status = {}
        else if (object.status !== undefined) delete object.status
      }
      if (definition.generation && isObject(object.metadata)) object.metadata.generation = 1
      definition.prepareForCreate?.(object)
    },
    prepareForUpdate(next, previous, door) {
      if (door === 'status') {
        for (const name of Object.keys(next)) if (!['apiVersion', 'kind', 'metadata', 'status'].includes(name)) delete next[name]
        for (const [name, value] of Object.entries(previous))
          if (value !== undefined && !['apiVersion', 'kind', 'metadata', 'status'].includes(name)) next[name] = cloneJson(value)
        if (definition.statusKeeps && isObject(next.metadata) && isObject(previous.metadata))
          for (const name of definition.statusKeeps) {
            const value = previous.metadata[name]
            if (value === undefined) delete next.metadata[name]
            else next.metadata[name] = cloneJson(value)
          }
      } else if (hasStatus && door === '') {
        if (previous.status === undefined) delete next.status
        else next.status = cloneJson(previous.status)
      }
      definition.prepareForUpdate?.(next, previous, door)
      if (definition.generation && door !== 'status' && isObject(next.metadata) && isObject(previous.metadata) && changed(next, previous))
        next.metadata.generation = Number(previous.metadata.generation ?? 0) + 1
    },
    validate: (object) => definition.validate?.(object) ?? [],
    validateCreate: (object) => definition.validateCreate?.(object) ?? [],
    validateUpdate: (next, previous, door) =>
      (door === '' ? definition.validateUpdate?.(next, previous) : definition.validateSubresource?.(next, previous, door)) ?? [],
    warnings: (object, previous) => definition.warnings?.(object, previous) ?? [],
    columns: [nameColumn as Column<T>, ...(definition.columns ?? [ageColumn as Column<T>])],
    selectableFields: new Map<string, (object: T) => string>([
      ['metadata.name', metaField('name')],
      ...(of.namespaced ? ([['metadata.namespace', metaField('namespace')]] as const) : []),
      ...Object.entries(definition.selectableFields ?? {}).map(([name, read]) => [name, (object: T) => read(object) ?? ''] as const),
    ]),
  }
  if (definition.name) setNameRule(type as unknown as ResourceType, definition.name)
  return type
}
