// OpenAPI schemas of the built-in types, from the table of types.
import type { JsonObject } from '../json/value.js'
import type { FieldSchema, Schema } from '../schema/schema.js'
import { type NamedSchema, namedSchema, schemaNames } from '../schema/table.js'
import { describeField, describeType } from './descriptions.js'

/** v2 refers to `#/definitions/`, v3 to `#/components/schemas/`. */
export type Dialect = 'v2' | 'v3'

const prefix: Readonly<Record<Dialect, string>> = { v2: '#/definitions/', v3: '#/components/schemas/' }
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1'

/** Types that are one JSON value and have a name of their own. */
const special: Readonly<Record<string, { readonly name: string; readonly schema: JsonObject; readonly v3?: JsonObject }>> = {
  time: {
    name: `${META}.Time`,
    schema: { type: 'string', format: 'date-time', description: 'A point in time, RFC 3339 in whole seconds.' },
  },
  microTime: {
    name: `${META}.MicroTime`,
    schema: { type: 'string', format: 'date-time', description: 'A point in time, RFC 3339 with microseconds.' },
  },
  quantity: {
    name: 'io.k8s.apimachinery.pkg.api.resource.Quantity',
    schema: { type: 'string', description: 'An amount: a number with a suffix such as m, k, M, G, Ki, Mi or Gi.' },
    v3: {
      oneOf: [{ type: 'string' }, { type: 'number' }],
      description: 'An amount: a number with a suffix such as m, k, M, G, Ki, Mi or Gi.',
    },
  },
  intOrString: {
    name: 'io.k8s.apimachinery.pkg.util.intstr.IntOrString',
    schema: { type: 'string', format: 'int-or-string', description: 'A whole number, or a string: a name or a percentage.' },
    v3: {
      oneOf: [{ type: 'integer' }, { type: 'string' }],
      format: 'int-or-string',
      description: 'A whole number, or a string: a name or a percentage.',
    },
  },
}

const plain: Readonly<Record<string, JsonObject>> = {
  string: { type: 'string' },
  boolean: { type: 'boolean' },
  int32: { type: 'integer', format: 'int32' },
  int64: { type: 'integer', format: 'int64' },
  number: { type: 'number', format: 'double' },
  bytes: { type: 'string', format: 'byte' },
}

interface Writer {
  readonly dialect: Dialect
  /** Called for each definition that is referred to. */
  readonly refer: (definition: string) => void
}

function reference(name: string, writer: Writer): JsonObject {
  writer.refer(name)
  return { $ref: `${prefix[writer.dialect]}${name}` }
}

export function schemaDocument(schema: Schema, writer: Writer): JsonObject {
  switch (schema.type) {
    case 'any':
      return { type: 'object' }
    case 'scalar': {
      const named = special[schema.scalar]
      return named ? reference(named.name, writer) : { ...plain[schema.scalar] }
    }
    case 'map':
      return {
        type: 'object',
        additionalProperties: schemaDocument(schema.value, writer),
        ...(schema.atomic ? { 'x-kubernetes-map-type': 'atomic' } : {}),
      }
    case 'list':
      return {
        type: 'array',
        items: schemaDocument(schema.item, writer),
        'x-kubernetes-list-type': schema.listType,
        ...(schema.listType === 'map' ? { 'x-kubernetes-list-map-keys': [...schema.keys] } : {}),
        ...(schema.mergeKey ? { 'x-kubernetes-patch-merge-key': schema.mergeKey } : {}),
      }
    default:
      return reference((schema as NamedSchema).definition, writer)
  }
}

function fieldDocument(typeName: string, name: string, field: FieldSchema, writer: Writer): JsonObject {
  const description = describeField(typeName, name)
  const document = schemaDocument(field.schema, writer)
  const strategy = field.patchStrategy ? { 'x-kubernetes-patch-strategy': field.patchStrategy } : {}
  // Beside a reference v3 allows nothing, so it is wrapped; clients of v2 read what stands beside it.
  if (writer.dialect === 'v3' && document.$ref !== undefined)
    return { ...(description ? { description } : {}), allOf: [document], ...strategy }
  return { ...(description ? { description } : {}), ...document, ...strategy }
}

interface Kinded {
  readonly group: string
  readonly version: string
  readonly kind: string
}

/** One type of the table. */
export function typeDocument(schema: NamedSchema, writer: Writer, kinds: readonly Kinded[]): JsonObject {
  const properties: JsonObject = {}
  const required: string[] = []
  for (const [name, field] of schema.fields) {
    properties[name] = fieldDocument(schema.name, name, field, writer)
    if (field.required) required.push(name)
  }
  return {
    description: describeType(schema.name),
    type: 'object',
    ...(required.length > 0 ? { required } : {}),
    properties,
    ...(schema.atomic ? { 'x-kubernetes-map-type': 'atomic' } : {}),
    ...(kinds.length > 0
      ? { 'x-kubernetes-group-version-kind': kinds.map((k) => ({ group: k.group, kind: k.kind, version: k.version })) }
      : {}),
  }
}

let byDefinition: Map<string, NamedSchema> | undefined

const specialByName = new Map(Object.values(special).map((s) => [s.name, s]))

/** The closure of definitions that these names lead to. */
export function definitionsFor(names: Iterable<string>, dialect: Dialect, kindsOf: (definition: string) => readonly Kinded[]): JsonObject {
  byDefinition ??= new Map(schemaNames().map((name) => [namedSchema(name).definition, namedSchema(name)]))
  const found = new Map<string, JsonObject>()
  const queue = [...names]
  const writer: Writer = { dialect, refer: (name) => queue.push(name) }
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    if (found.has(name)) continue
    const one = specialByName.get(name)
    if (one) found.set(name, dialect === 'v3' ? (one.v3 ?? one.schema) : one.schema)
    else {
      const schema = byDefinition.get(name)
      if (!schema) continue
      found.set(name, {})
      found.set(name, typeDocument(schema, writer, kindsOf(name)))
    }
  }
  return Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1)))
}
