import t from 'tap'
import { decodeObject } from '../body.js'
import { discoveryDocuments } from '../discovery.js'
import type { CustomResourceDefinition } from '../generated/kinds.js'
import type { JsonObject } from '../json/value.js'
import { openApiV2, openApiV3 } from '../openapi/documents.js'
import { tableOf } from '../render.js'
import { findResource, resourceTypes } from '../resources/table.js'
import { createErrors, prepareCreate, prepareUpdate } from '../strategy.js'
import { findJsonPath, parseJsonPath } from './json-path.js'
import { compareVersions, customResources } from './resources.js'
import { schemaErrors } from './schema-rules.js'
import { schemaValueErrors } from './validate.js'

const schema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      required: ['size'],
      properties: {
        size: { type: 'integer', minimum: 1, maximum: 10 },
        color: { type: 'string', enum: ['red', 'blue'], default: 'red' },
        name: { type: 'string', pattern: '^[a-z]+$', maxLength: 5 },
        port: { 'x-kubernetes-int-or-string': true },
        tags: { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' },
        parts: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          items: { type: 'object', required: ['name'], properties: { name: { type: 'string' }, weight: { type: 'number', default: 1.5 } } },
        },
        free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      },
    },
    status: {
      type: 'object',
      properties: {
        size: { type: 'integer' },
        conditions: { type: 'array', items: { type: 'object', properties: { type: { type: 'string' }, status: { type: 'string' } } } },
      },
    },
  },
}
const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'widgets', kind: 'Widget', shortNames: ['wd'], categories: ['all'] },
    versions: [
      { name: 'v1beta1', served: true, storage: false, schema: { openAPIV3Schema: schema } },
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: schema },
        subresources: { status: {}, scale: { specReplicasPath: '.spec.size', statusReplicasPath: '.status.size' } },
        additionalPrinterColumns: [
          { name: 'Size', type: 'integer', jsonPath: '.spec.size' },
          { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
          { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
        ],
        selectableFields: [{ jsonPath: '.spec.color' }],
      },
      { name: 'v2', served: false, storage: false, schema: { openAPIV3Schema: schema } },
    ],
  },
}

const crds = findResource('apiextensions.k8s.io', 'v1', 'customresourcedefinitions')
const context = { now: Date.UTC(2026, 0, 1), uid: () => 'u', suffix: () => 's', namespace: 'default' }

function admit(change: (object: typeof definition) => void = () => {}): {
  readonly object: JsonObject
  readonly errors: readonly string[]
} {
  if (!crds) throw new Error('no CRDs')
  const copy = JSON.parse(JSON.stringify(definition)) as typeof definition
  change(copy)
  const { object } = decodeObject(crds, { value: copy as unknown as JsonObject, duplicates: [] }, 'Strict')
  crds.setDefaults(object)
  prepareCreate(crds, object, context)
  return { object, errors: createErrors(crds, object).map((e) => `${e.field}: ${e.message}`) }
}

const types = customResources(admit().object as unknown as CustomResourceDefinition)
const widget = types[0]
if (!widget) throw new Error('no widget')

t.test('definitions', async (t) => {
  const { object, errors } = admit()
  t.same(errors, [])
  t.same((object.spec as JsonObject).names, {
    plural: 'widgets',
    singular: 'widget',
    kind: 'Widget',
    listKind: 'WidgetList',
    shortNames: ['wd'],
    categories: ['all'],
  })
  t.same((object.status as JsonObject).storedVersions, ['v1'])
  const name = admit((d) => {
    d.metadata.name = 'gadgets.example.com'
  })
  t.same(name.errors, ['metadata.name: Invalid value: "gadgets.example.com": must be spec.names.plural+"."+spec.group'])
  t.match(admit((d) => d.spec.versions.splice(1, 1)).errors, [/must have exactly one version marked as storage version/])
  t.same(
    types.map(({ version, conversion }) => [version, conversion !== undefined]),
    [
      ['v1', false],
      ['v1beta1', true],
    ],
    'only served versions, best first',
  )
})

t.test('schemas must be structural', async (t) => {
  const errors = (s: JsonObject): string[] => schemaErrors(s, 'schema').map((e) => `${e.field}: ${e.message}`)
  t.same(errors({ type: 'object' }), [])
  t.same(errors({ properties: {} }), ['schema.type: Required value: must not be empty at the root'])
  t.same(errors({ type: 'object', properties: { a: {} } }), [
    'schema.properties[a].type: Required value: must not be empty for specified object fields',
  ])
  t.same(errors({ type: 'object', properties: { a: { type: 'array' } } }), [
    'schema.properties[a].items: Required value: must be specified',
  ])
  t.same(errors({ type: 'object', anyOf: [{ properties: { a: { type: 'string', default: 'x' } } }] }).length, 2)
  t.match(errors({ type: 'object', properties: { a: { type: 'array', items: { type: 'object' }, 'x-kubernetes-list-type': 'map' } } }), [
    /x-kubernetes-list-map-keys: Required value/,
  ])
})

function object(
  spec: object,
  more: object = {},
): { readonly value: JsonObject; readonly warnings: readonly string[]; readonly errors: readonly string[] } {
  if (!widget) throw new Error('no widget')
  const { object: value, warnings } = decodeObject(
    widget,
    { value: JSON.parse(JSON.stringify({ metadata: { name: 'w' }, spec, ...more })), duplicates: [] },
    'Warn',
  )
  widget.setDefaults(value)
  const shown = JSON.parse(JSON.stringify(value)) as JsonObject
  prepareCreate(widget, value, context)
  return { value: shown, warnings, errors: createErrors(widget, value).map((e) => `${e.field}: ${e.message}`) }
}

t.test('objects: pruned, defaulted, checked', async (t) => {
  const good = object({ size: 3, color: null, unknown: 1, parts: [{ name: 'a' }], free: { any: { thing: 1 } } })
  t.same(good.warnings, ['unknown field "spec.unknown"'])
  t.same(good.value.spec, { size: 3, color: 'red', parts: [{ name: 'a', weight: 1.5 }], free: { any: { thing: 1 } } })
  t.same(good.errors, [])
  const cases: [object, string[]][] = [
    [{}, ['spec.size: Required value']],
    [{ size: '3' }, ['spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"']],
    [{ size: 0 }, ['spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1']],
    [{ size: 11 }, ['spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10']],
    [{ size: 1, color: 'green' }, ['spec.color: Unsupported value: "green": supported values: "red", "blue"']],
    [{ size: 1, name: 'A' }, [`spec.name: Invalid value: "A": spec.name in body should match '^[a-z]+$'`]],
    [{ size: 1, name: 'abcdef' }, ['spec.name: Too long: may not be more than 5 bytes']],
    [{ size: 1, port: true }, ['spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"']],
    [{ size: 1, tags: ['a', 'a'] }, ['spec.tags[1]: Duplicate value: "a"']],
    [{ size: 1, parts: [{ name: 'a' }, { name: 'a' }] }, ['spec.parts[1]: Duplicate value: {"name":"a"}']],
  ]
  for (const [spec, expected] of cases) t.same(object(spec).errors, expected, JSON.stringify(spec))
})

t.test('junctors', async (t) => {
  const check = (s: JsonObject, value: number): string[] => schemaValueErrors(s, value, 'spec').map((e) => e.message)
  t.same(check({ anyOf: [{ minimum: 5 }, { maximum: 1 }] }, 0), [])
  t.match(check({ anyOf: [{ minimum: 5 }, { maximum: 1 }] }, 3), [/must validate at least one schema \(anyOf\)/])
  t.match(check({ oneOf: [{ minimum: 1 }, { minimum: 2 }] }, 3), [/one and only one schema \(oneOf\). Found 2 valid alternatives/])
  t.match(check({ not: { minimum: 1 } }, 3), [/must not validate the schema \(not\)/])
})

t.test('status has its own door, generation counts the rest', async (t) => {
  if (!widget) return
  const previous: JsonObject = {
    ...object({ size: 1 }).value,
    metadata: { name: 'w', namespace: 'default', generation: 1, uid: 'u', resourceVersion: '1' },
  }
  const next: JsonObject = { ...previous, spec: { size: 2 }, status: { size: 2 } }
  const main = JSON.parse(JSON.stringify(next)) as JsonObject
  prepareUpdate(widget, main, previous)
  t.equal(main.status, undefined)
  t.equal((main.metadata as JsonObject).generation, 2)
  const status = JSON.parse(JSON.stringify(next)) as JsonObject
  prepareUpdate(widget, status, previous, 'status')
  t.same(status.spec, previous.spec)
  t.same(status.status, { size: 2 })
  t.equal((status.metadata as JsonObject).generation, 1)
})

t.test('columns and selectable fields', async (t) => {
  if (!widget) return
  const { value } = object(
    { size: 4 },
    {
      status: {
        conditions: [
          { type: 'Other', status: 'False' },
          { type: 'Ready', status: 'True' },
        ],
      },
    },
  )
  const shown = { ...value, metadata: { name: 'w', creationTimestamp: '2026-01-01T00:00:00Z' } }
  const table = tableOf(widget, [shown as never], { now: Date.UTC(2026, 0, 1, 0, 5) }) as {
    rows: { cells: unknown[] }[]
    columnDefinitions: { name: string }[]
  }
  t.same(
    table.columnDefinitions.map((c) => c.name),
    ['Name', 'Size', 'Ready', 'Age'],
  )
  t.same(table.rows[0]?.cells, ['w', 4, 'True', '5m'])
  t.equal(widget.selectableFields.get('spec.color')?.(shown as never), 'red')
})

t.test('JSONPath', async (t) => {
  const value = {
    a: { 'b.c': [1, 2, 3] },
    list: [
      { n: 'x', v: 1 },
      { n: 'y', v: 2 },
    ],
  }
  const cases: [string, unknown[]][] = [
    [".a['b.c'][0]", [1]],
    ['.a.b\\.c[-1]', [3]],
    ['.list[*].v', [1, 2]],
    ['.list[?(@.n=="y")].v', [2]],
    ['.list[?(@.v>1)].n', ['y']],
    ['.list[0:1].n', ['x']],
    ['{.list[1].n}', ['y']],
    ['..v', [1, 2]],
    ['.gone.b', []],
  ]
  for (const [path, expected] of cases) t.same(findJsonPath(parseJsonPath(path) ?? [], value), expected, path)
  for (const path of ['spec', '.a[', '.a[x]', '.a[?(]']) t.equal(parseJsonPath(path), undefined, path)
})

t.test('the order of versions', async (t) => {
  const versions = ['foo1', 'v1', 'v10', 'v2', 'v1beta1', 'v1alpha2', 'v11beta2', 'bar']
  t.same([...versions].sort(compareVersions), ['v10', 'v2', 'v1', 'v11beta2', 'v1beta1', 'v1alpha2', 'bar', 'foo1'])
})

t.test('discovery', async (t) => {
  const { versions, groups, apis, aggregated } = discoveryDocuments([...resourceTypes, ...types])
  const resources = (path: string): string[] => ((versions.get(path)?.resources ?? []) as { name: string }[]).map(({ name }) => name)
  t.same(resources('/apis/example.com/v1'), ['widgets', 'widgets/status', 'widgets/scale'])
  t.ok(resources('/api/v1').includes('pods/log'))
  t.match(groups.get('autoscaling'), { preferredVersion: { version: 'v2' } })
  t.equal((apis.groups as JsonObject[]).at(-1)?.name, 'example.com')
  t.equal((aggregated.apis.items as JsonObject[]).length, groups.size)
})

/** Every `$ref` below a value. */
function references(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(references)
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, field]) => (name === '$ref' && typeof field === 'string' ? [field] : references(field)))
}

t.test('OpenAPI: every reference leads somewhere, every operation has its own name', async (t) => {
  const all = [...resourceTypes, ...types]
  const v2 = openApiV2(all, 'v1.37.0') as { definitions: JsonObject; paths: JsonObject }
  t.same(
    [...new Set(references(v2))].filter((ref) => !Object.hasOwn(v2.definitions, ref.replace('#/definitions/', ''))),
    [],
  )
  t.ok(v2.definitions['com.example.v1.Widget'])
  const { object } = admit(({ spec }) => {
    for (const version of spec.versions)
      version.schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } as never
  })
  const anything = openApiV2(customResources(object as unknown as CustomResourceDefinition), 'v1') as { definitions: JsonObject }
  t.same(
    anything.definitions['com.example.v1.Widget'],
    { type: 'object', 'x-kubernetes-group-version-kind': [{ group: 'example.com', kind: 'Widget', version: 'v1' }] },
    'v2 says nothing of what may have any field',
  )
  const ids = Object.values(v2.paths).flatMap((item) =>
    Object.values(item as JsonObject).flatMap((o) => ((o as JsonObject).operationId === undefined ? [] : [(o as JsonObject).operationId])),
  )
  t.same(
    ids.filter((id, index) => ids.indexOf(id) !== index),
    [],
  )
  let documents = 0
  for (const [path, document] of openApiV3(all, 'v1.37.0')) {
    const schemas = (document.components as { schemas: JsonObject }).schemas
    t.same(
      [...new Set(references(document))].filter((ref) => !Object.hasOwn(schemas, ref.replace('#/components/schemas/', ''))),
      [],
      path,
    )
    documents++
  }
  t.equal(documents, new Set(all.map((type) => `${type.group}/${type.version}`)).size)
})
