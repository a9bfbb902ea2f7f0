// YAML bodies, as the JSON they stand for. One document; aliases are followed a bounded number of times.
import { isMap, isScalar, LineCounter, parseDocument, type ScalarTag, visit } from 'yaml'
import { JsonSyntaxError } from './parse.js'
import { type Json, type JsonObject, setField } from './value.js'

/** Kubernetes' reader keeps two habits of YAML 1.1: yes and no are booleans, and 0644 is octal. */
const words: ScalarTag = {
  tag: 'tag:yaml.org,2002:bool',
  default: true,
  test: /^(?:[Yy]es|YES|[Nn]o|NO|[Oo]n|ON|[Oo]ff|OFF)$/,
  resolve: (text) => /^(yes|on)$/i.test(text),
}
const octal: ScalarTag = {
  tag: 'tag:yaml.org,2002:int',
  default: true,
  test: /^[-+]?0[0-7]+$/,
  resolve: (text) => Number.parseInt(text, 8),
}

export interface ParsedYaml {
  readonly value: Json
  /** `line 3: key "a" already set in map` */
  readonly duplicates: readonly string[]
}

/** Numbers and names as JSON has them: keys become strings, integers too long for a double stay exact. */
function toJson(value: unknown): Json {
  if (value instanceof Map) {
    const object: JsonObject = {}
    for (const [key, field] of value) setField(object, typeof key === 'string' ? key : String(key), toJson(field))
    return object
  }
  if (Array.isArray(value)) return value.map(toJson)
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8')
  if (value === undefined) return null
  return value as Json
}

export function parseYaml(text: string): ParsedYaml {
  const lines = new LineCounter()
  const document = parseDocument(text, {
    uniqueKeys: false,
    intAsBigInt: true,
    merge: true,
    lineCounter: lines,
    customTags: (tags) => [words, octal, ...tags],
  })
  const [error] = document.errors
  if (error) throw new JsonSyntaxError(`error converting YAML to JSON: yaml: ${error.message.split('\n')[0]}`, error.pos[0])
  const duplicates: string[] = []
  visit(document, {
    Map(_, map) {
      const seen = new Set<unknown>()
      for (const pair of map.items) {
        const key = isScalar(pair.key) ? pair.key.value : undefined
        if (key === undefined || key === '<<') continue
        if (seen.has(key)) {
          const at = isScalar(pair.key) ? (pair.key.range?.[0] ?? 0) : 0
          duplicates.push(`line ${lines.linePos(at).line}: key ${JSON.stringify(key)} already set in map`)
        }
        seen.add(key)
      }
    },
  })
  try {
    const value = isMap(document.contents) || document.contents ? document.toJS({ mapAsMap: true, maxAliasCount: 100 }) : null
    return { value: toJson(value), duplicates }
  } catch (cause) {
    throw new JsonSyntaxError(`error converting YAML to JSON: yaml: ${cause instanceof Error ? cause.message : String(cause)}`, 0)
  }
}
