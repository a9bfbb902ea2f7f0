// Reads the generated table: a type is parsed when it is first asked for.
import { schemaLines } from '../generated/schema.js'
import type { Json } from '../json/value.js'
import type { FieldSchema, ListSchema, MapSchema, ObjectSchema, Scalar, ScalarSchema, Schema } from './schema.js'

const scalars: Readonly<Record<string, Scalar>> = {
  s: 'string',
  b: 'boolean',
  i: 'int32',
  l: 'int64',
  n: 'number',
  y: 'bytes',
  t: 'time',
  u: 'microTime',
  q: 'quantity',
  x: 'intOrString',
}
const scalarSchemas = new Map<string, ScalarSchema>(Object.entries(scalars).map(([code, scalar]) => [code, { type: 'scalar', scalar }]))
const anySchema: Schema = { type: 'any' }

/** List keys with a default: only `protocol` has one in the whole API. */
const keyDefaults: Readonly<Record<string, Json>> = { protocol: 'TCP' }

/** A type of the table, with what only the table knows. */
export interface NamedSchema extends ObjectSchema {
  /** As OpenAPI names it: `io.k8s.api.core.v1.Pod`. */
  readonly definition: string
  /** Fields that are written even when they are empty objects. */
  readonly alwaysWritten: readonly string[]
}

let lines: Map<string, string> | undefined
const parsed = new Map<string, NamedSchema>()

function lineOf(name: string): string | undefined {
  if (!lines) {
    lines = new Map()
    for (const line of schemaLines.split('\n')) if (line) lines.set(line.slice(0, line.indexOf('|')), line)
  }
  return lines.get(name)
}

/** Names of all types. */
export function schemaNames(): readonly string[] {
  lineOf('')
  return [...(lines?.keys() ?? [])]
}

function parseType(code: string): Schema {
  const scalar = scalarSchemas.get(code)
  if (scalar) return scalar
  if (code === '*') return anySchema
  if (code.startsWith('{')) {
    const atomic = code[1] === '!'
    return { type: 'map', value: parseType(code.slice(atomic ? 2 : 1)), atomic } satisfies MapSchema
  }
  if (code.startsWith('[')) return parseList(code.slice(1))
  return namedSchema(code)
}

function parseList(code: string): ListSchema {
  const keyed = /^\(([^)]*)\)(.*)$/.exec(code)
  const keys = keyed?.[1]?.split(',') ?? []
  const set = code.startsWith('=')
  const item = parseType(keyed?.[2] ?? (set ? code.slice(1) : code))
  const defaults = Object.fromEntries(keys.flatMap((key) => (key in keyDefaults ? [[key, keyDefaults[key] ?? null]] : [])))
  return {
    type: 'list',
    item,
    listType: keyed ? 'map' : set ? 'set' : 'atomic',
    keys,
    keyDefaults: defaults,
    patchMerge: false,
    mergeKey: '',
  }
}

function parseField(text: string): FieldSchema {
  const [, code = '', flags = '', strategy = ''] = /^(.*?)([!+-]*)(?:\^(.*))?$/.exec(text) ?? []
  let schema = parseType(code)
  const [how = '', mergeKey = ''] = strategy.split('@')
  if (schema.type === 'list' && (how.includes('merge') || mergeKey)) schema = { ...schema, patchMerge: true, mergeKey }
  return {
    schema,
    required: flags.includes('!'),
    omitZero: flags.includes('-'),
    defaultValue: undefined,
    patchStrategy: how as FieldSchema['patchStrategy'],
    nullable: false,
  }
}

/** The type of this name; fields that refer to other types are parsed when they are looked at. */
export function namedSchema(name: string): NamedSchema {
  const known = parsed.get(name)
  if (known) return known
  const line = lineOf(name)
  if (line === undefined) throw new Error(`no schema for the type ${name}`)
  const [, definition = '', flags = '', text = ''] = line.split('|')
  let fields: Map<string, FieldSchema> | undefined
  const alwaysWritten = text
    .split(' ')
    .filter((field) => /\+[!-]*$/.test(field.replace(/\^.*/, '')))
    .map((field) => field.slice(0, field.indexOf(':')))
  const schema: NamedSchema = {
    type: 'object',
    name,
    definition: `io.k8s.${definition}`,
    additional: undefined,
    atomic: flags.includes('!'),
    embedded: false,
    alwaysWritten,
    get fields() {
      fields ??= new Map(
        text
          .split(' ')
          .filter(Boolean)
          .map((field) => {
            const at = field.indexOf(':')
            return [field.slice(0, at), parseField(field.slice(at + 1))]
          }),
      )
      return fields
    },
  }
  parsed.set(name, schema)
  return schema
}
