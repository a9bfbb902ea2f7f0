// OpenAPI v2 (one document) and v3 (one for each group version): paths and schemas of every resource.
import { cloneJson, isObject, type Json, type JsonObject } from '../json/value.js'
import type { ResourceType, Subresource } from '../resource-type.js'
import type { NamedSchema } from '../schema/table.js'
import { type Dialect, definitionsFor } from './definitions.js'

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1'
const reversed = (group: string): string => group.split('.').reverse().join('.')

/** Where a kind's schema is found. */
function definitionOf(type: ResourceType): string {
  if (type.custom) return `${reversed(type.group)}.${type.version}.${type.kind}`
  return (type.schema() as NamedSchema).definition
}

const bodyDefinitions: Readonly<Record<string, string>> = {
  Scale: 'io.k8s.api.autoscaling.v1.Scale',
  Eviction: 'io.k8s.api.policy.v1.Eviction',
  Binding: 'io.k8s.api.core.v1.Binding',
  TokenRequest: 'io.k8s.api.authentication.v1.TokenRequest',
}

const listDefinition = (type: ResourceType): string =>
  type.kind === 'Event' && !type.custom ? `${definitionOf(type)}List` : `${definitionOf(type)}List`

interface Operation {
  /** Which kind it is about: clients look for any PATCH of a kind to learn what may be asked of it. */
  readonly about: Pick<Subresource, 'group' | 'version' | 'kind'>
  readonly action: string
  readonly method: string
  readonly body: string | undefined
  readonly answer: string | undefined
}

const patchTypes = ['application/json-patch+json', 'application/merge-patch+json', 'application/apply-patch+yaml']
const answers = ['application/json', 'application/yaml']

const query = (dialect: Dialect, name: string, type: string, description: string): JsonObject =>
  dialect === 'v2'
    ? { name, in: 'query', type, uniqueItems: true, description }
    : { name, in: 'query', description, schema: { type, uniqueItems: true } }

const listQueries = [
  ['allowWatchBookmarks', 'boolean', 'Send BOOKMARK events now and then.'],
  ['continue', 'string', 'Where the list before ended.'],
  ['fieldSelector', 'string', 'Only objects whose fields match.'],
  ['labelSelector', 'string', 'Only objects whose labels match.'],
  ['limit', 'integer', 'At most so many objects.'],
  ['resourceVersion', 'string', 'The state to read, or to watch from.'],
  ['resourceVersionMatch', 'string', 'How resourceVersion is meant: Exact or NotOlderThan.'],
  ['sendInitialEvents', 'boolean', 'Begin a watch with what is there.'],
  ['timeoutSeconds', 'integer', 'End after so long.'],
  ['watch', 'boolean', 'Go on with the changes.'],
] as const
const writeQueries = [
  ['dryRun', 'string', 'All: check, but store nothing.'],
  ['fieldManager', 'string', 'Who owns the fields that this request sets.'],
  ['fieldValidation', 'string', 'What happens to unknown and repeated fields: Ignore, Warn or Strict.'],
] as const

function parameters(dialect: Dialect, operation: Operation): Json[] {
  const list = operation.action === 'list' || operation.action === 'watch' || operation.action === 'deletecollection' ? listQueries : []
  const write = ['post', 'put', 'patch'].includes(operation.action) ? writeQueries : []
  const found: Json[] = [...list, ...write].map(([name, type, description]) => query(dialect, name, type, description))
  if (operation.action === 'patch') found.push(query(dialect, 'force', 'boolean', 'Take fields from other managers (apply patches only).'))
  if (operation.action === 'delete') {
    found.push(query(dialect, 'dryRun', 'string', 'All: check, but delete nothing.'))
    found.push(query(dialect, 'gracePeriodSeconds', 'integer', 'Time to end well.'))
    found.push(query(dialect, 'propagationPolicy', 'string', 'What happens to dependents: Orphan, Background or Foreground.'))
  }
  return found
}

const pathParameter = (dialect: Dialect, name: string): JsonObject => ({
  name,
  in: 'path',
  required: true,
  description: name === 'namespace' ? 'The namespace of the object.' : `The ${name} of the object.`,
  ...(dialect === 'v2' ? { type: 'string', uniqueItems: true } : { schema: { type: 'string', uniqueItems: true } }),
})

interface Writer {
  readonly dialect: Dialect
  readonly refer: (definition: string) => void
}

function operationDocument(type: ResourceType, id: string, operation: Operation, writer: Writer): JsonObject {
  const { dialect } = writer
  const { group, version, kind } = operation.about
  const ref = (name: string): JsonObject => {
    writer.refer(name)
    return { $ref: `${dialect === 'v2' ? '#/definitions/' : '#/components/schemas/'}${name}` }
  }
  const content = (types: readonly string[], name: string): JsonObject => Object.fromEntries(types.map((t) => [t, { schema: ref(name) }]))
  const answer = operation.answer
  const patchForms =
    operation.action === 'patch' ? (type.custom ? patchTypes : [...patchTypes, 'application/strategic-merge-patch+json']) : answers
  const responses: JsonObject = {
    '200': { description: 'OK', ...(answer ? (dialect === 'v2' ? { schema: ref(answer) } : { content: content(answers, answer) }) : {}) },
    '401': { description: 'Unauthorized' },
  }
  if (operation.action === 'post' && answer) responses['201'] = { ...(responses['200'] as JsonObject), description: 'Created' }
  const given = parameters(dialect, operation)
  const base: JsonObject = {
    description: `${operation.action} ${type.kind}`,
    operationId: id,
    tags: [`${type.group ? type.group.split('.')[0] : 'core'}_${type.version}`],
    responses,
    'x-kubernetes-action': operation.action,
    'x-kubernetes-group-version-kind': { group, kind, version },
  }
  if (dialect === 'v2') {
    const body = operation.body ? [{ name: 'body', in: 'body', required: operation.method !== 'delete', schema: ref(operation.body) }] : []
    return {
      ...base,
      consumes: operation.action === 'patch' ? patchForms : ['*/*'],
      produces: answers,
      schemes: ['https'],
      parameters: [...body, ...given],
    }
  }
  return {
    ...base,
    parameters: given,
    ...(operation.body
      ? {
          requestBody: {
            required: operation.method !== 'delete',
            content: content(operation.action === 'patch' ? patchForms : ['*/*'], operation.body),
          },
        }
      : {}),
  }
}

const PATCH = `${META}.Patch`
const STATUS = `${META}.Status`
const DELETE = `${META}.DeleteOptions`

const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1)

function collectionOperations(type: ResourceType): Operation[] {
  const own = definitionOf(type)
  const has = (verb: ResourceType['verbs'][number]): boolean => type.verbs.includes(verb)
  return [
    ...(has('list') ? [{ about: type, action: 'list', method: 'get', body: undefined, answer: listDefinition(type) }] : []),
    ...(has('create') ? [{ about: type, action: 'post', method: 'post', body: own, answer: own }] : []),
    ...(has('deletecollection') ? [{ about: type, action: 'deletecollection', method: 'delete', body: DELETE, answer: STATUS }] : []),
  ]
}

function objectOperations(type: ResourceType): Operation[] {
  const own = definitionOf(type)
  const has = (verb: ResourceType['verbs'][number]): boolean => type.verbs.includes(verb)
  return [
    ...(has('get') ? [{ about: type, action: 'get', method: 'get', body: undefined, answer: own }] : []),
    ...(has('update') ? [{ about: type, action: 'put', method: 'put', body: own, answer: own }] : []),
    ...(has('patch') ? [{ about: type, action: 'patch', method: 'patch', body: PATCH, answer: own }] : []),
    ...(has('delete')
      ? [{ about: type, action: 'delete', method: 'delete', body: DELETE, answer: type.kind === 'Pod' ? own : STATUS }]
      : []),
  ]
}

function subresourceOperations(type: ResourceType, sub: Subresource): Operation[] {
  const body = bodyDefinitions[sub.kind] ?? (sub.kind === type.kind ? definitionOf(type) : undefined)
  const methods = { get: 'get', create: 'post', update: 'put', patch: 'patch', delete: 'delete' } as const
  return sub.verbs.map((verb) => {
    const method = methods[verb]
    const sends = method === 'post' || method === 'put' || method === 'patch'
    return {
      about: sub,
      action: body ? method : 'connect',
      method,
      body: sends && body ? (method === 'patch' ? PATCH : body) : undefined,
      answer: body,
    }
  })
}

function pathsOf(type: ResourceType, writer: Writer): [string, JsonObject][] {
  const root = type.group ? `/apis/${type.group}/${type.version}` : `/api/${type.version}`
  const scope = type.namespaced ? `${root}/namespaces/{namespace}/${type.plural}` : `${root}/${type.plural}`
  const id = (operation: Operation, rest: string): string => {
    const group = capital((type.group.split('.')[0] ?? '') || 'core')
    const verb = { get: 'read', put: 'replace', post: 'create', deletecollection: 'deleteCollection' }[operation.action] ?? operation.action
    return `${verb}${operation.action === 'connect' ? capital(operation.method) : ''}${group}${capital(type.version)}${type.namespaced ? 'Namespaced' : ''}${type.kind}${rest}`
  }
  const path = (url: string, operations: readonly Operation[], rest: string): [string, JsonObject] => {
    const item: JsonObject = {}
    for (const operation of operations) item[operation.method] = operationDocument(type, id(operation, rest), operation, writer)
    const names = [...(url.includes('{name}') ? ['name'] : []), ...(url.includes('{namespace}') ? ['namespace'] : [])]
    if (names.length > 0) item.parameters = names.map((name) => pathParameter(writer.dialect, name))
    return [url, item]
  }
  const found: [string, JsonObject][] = []
  const collection = collectionOperations(type)
  const object = objectOperations(type)
  if (collection.length > 0) found.push(path(scope, collection, ''))
  if (object.length > 0) found.push(path(`${scope}/{name}`, object, ''))
  if (type.namespaced && type.verbs.includes('list')) {
    const list: Operation = { about: type, action: 'list', method: 'get', body: undefined, answer: listDefinition(type) }
    const item = { get: operationDocument(type, `${id(list, '').replace('Namespaced', '')}ForAllNamespaces`, list, writer) }
    found.push([`${root}/${type.plural}`, item])
  }
  for (const sub of type.subresourceTypes)
    found.push(path(`${scope}/{name}/${sub.name}`, subresourceOperations(type, sub), capital(sub.name)))
  return found
}

/** Words of JSON schema that v2 has no place for. */
const v3Only = ['oneOf', 'anyOf', 'allOf', 'not', 'nullable']

/** A schema of a custom resource as a document: v2 loses what it cannot say. */
function customDocument(schema: JsonObject, dialect: Dialect): JsonObject {
  const copy = (value: Json): Json => {
    if (Array.isArray(value)) return value.map(copy)
    if (!isObject(value)) return value
    const result: JsonObject = {}
    const either = value['x-kubernetes-int-or-string'] === true
    for (const [name, field] of Object.entries(value)) {
      if (
        field === undefined ||
        (dialect === 'v2' && v3Only.includes(name) && !(isObject(field) && name === 'not' && value.type === undefined))
      )
        continue
      if (dialect === 'v2' && name === 'default') continue
      result[name] = copy(field)
    }
    if (dialect === 'v2' && value['x-kubernetes-preserve-unknown-fields'] === true) {
      delete result.properties
      delete result.items
    }
    if (dialect === 'v2' && either) delete result.type
    return result
  }
  return copy(cloneJson(schema)) as JsonObject
}

function customDefinitions(type: ResourceType, writer: Writer): [string, JsonObject][] {
  const { dialect } = writer
  const base = dialect === 'v2' ? '#/definitions/' : '#/components/schemas/'
  const schema = customDocument(type.openApiSchema ?? { type: 'object' }, dialect)
  const meta = `${META}.ObjectMeta`
  writer.refer(meta)
  writer.refer(`${META}.ListMeta`)
  const kind = { group: type.group, kind: type.kind, version: type.version }
  const identity: JsonObject = {
    apiVersion: { type: 'string', description: 'The version of the schema that this object is written in.' },
    kind: { type: 'string', description: 'What sort of object this is.' },
  }
  const wrap = (ref: string, description: string): JsonObject =>
    dialect === 'v3' ? { description, allOf: [{ $ref: ref }] } : { description, $ref: ref }
  const properties = isObject(schema.properties) ? schema.properties : {}
  // v2 has no words for an object that may have any field: nothing is said of it.
  const keepsAll = schema['x-kubernetes-preserve-unknown-fields'] === true && dialect === 'v2'
  const own: JsonObject = {
    ...(keepsAll
      ? {}
      : {
          ...schema,
          properties: { ...properties, ...identity, metadata: wrap(`${base}${meta}`, 'Name, labels, owners: what every object has.') },
        }),
    type: 'object',
    'x-kubernetes-group-version-kind': [kind],
  }
  const name = definitionOf(type)
  const list: JsonObject = {
    description: `A list of ${type.kind}.`,
    type: 'object',
    required: ['items'],
    properties: {
      ...identity,
      items: { type: 'array', description: 'The objects.', items: { $ref: `${base}${name}` } },
      metadata: wrap(`${base}${META}.ListMeta`, 'The state of the list.'),
    },
    'x-kubernetes-group-version-kind': [{ ...kind, kind: type.listKind }],
  }
  return [
    [name, own],
    [`${name}List`, list],
  ]
}

const patchDefinition: JsonObject = { type: 'object', description: 'A change, in the form that the content type names.' }

/** Which kinds use a definition: lists and shared bodies too. */
function kindIndex(types: readonly ResourceType[]): (definition: string) => readonly { group: string; version: string; kind: string }[] {
  const index = new Map<string, { group: string; version: string; kind: string }[]>()
  const add = (definition: string, group: string, version: string, kind: string): void => {
    const known = index.get(definition) ?? []
    if (!known.some((k) => k.group === group && k.version === version && k.kind === kind))
      index.set(definition, [...known, { group, version, kind }])
  }
  for (const type of types) {
    if (!type.custom) {
      add(definitionOf(type), type.group, type.version, type.kind)
      add(listDefinition(type), type.group, type.version, type.listKind)
    }
    add(DELETE, type.group, type.version, 'DeleteOptions')
    for (const sub of type.subresourceTypes) {
      const body = bodyDefinitions[sub.kind]
      if (body) add(body, sub.group, sub.version, sub.kind)
    }
  }
  add(STATUS, '', 'v1', 'Status')
  return (definition) => index.get(definition) ?? []
}

function build(
  types: readonly ResourceType[],
  dialect: Dialect,
  kindsOf: ReturnType<typeof kindIndex>,
): { paths: JsonObject; schemas: JsonObject } {
  const referred = new Set<string>()
  const writer: Writer = { dialect, refer: (name) => referred.add(name) }
  const custom = types.filter((type) => type.custom).flatMap((type) => customDefinitions(type, writer))
  const paths = Object.fromEntries(types.flatMap((type) => pathsOf(type, writer)).sort(([a], [b]) => (a < b ? -1 : 1)))
  for (const type of types) if (!type.custom) referred.add(definitionOf(type))
  const schemas = { ...definitionsFor(referred, dialect, kindsOf), ...Object.fromEntries(custom) }
  if (referred.has(PATCH)) schemas[PATCH] = patchDefinition
  return { paths, schemas }
}

const info = (version: string): JsonObject => ({ title: 'Kubernetes', version })

/** The one document of `/openapi/v2`. */
export function openApiV2(types: readonly ResourceType[], version: string): JsonObject {
  const { paths, schemas } = build(types, 'v2', kindIndex(types))
  return {
    swagger: '2.0',
    info: info(version),
    paths,
    definitions: schemas,
    securityDefinitions: { BearerToken: { description: 'A bearer token.', type: 'apiKey', name: 'authorization', in: 'header' } },
    security: [{ BearerToken: [] }],
  }
}

/** `api/v1`, `apis/apps/v1`, … to the document of that group version. Each is built when its turn comes. */
export function* openApiV3(types: readonly ResourceType[], version: string): Generator<readonly [string, JsonObject]> {
  const kindsOf = kindIndex(types)
  const groups = new Map<string, ResourceType[]>()
  for (const type of types) {
    const path = type.group ? `apis/${type.group}/${type.version}` : `api/${type.version}`
    groups.set(path, [...(groups.get(path) ?? []), type])
  }
  for (const [path, members] of groups) {
    const { paths, schemas } = build(members, 'v3', kindsOf)
    yield [
      path,
      {
        openapi: '3.0.0',
        info: info(version),
        paths,
        components: {
          schemas,
          securitySchemes: { BearerToken: { type: 'apiKey', description: 'A bearer token.', name: 'authorization', in: 'header' } },
        },
      },
    ]
  }
}
