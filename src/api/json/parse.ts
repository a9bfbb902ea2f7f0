// Reads JSON the way the server must: duplicate fields are noticed with their paths, integers beyond 2^53 stay exact, no name reaches a
// prototype, depth is bounded.
import { type Json, type JsonObject, setField } from './value.js'

/** What is wrong with the text, in the words of Go's decoder where clients see them. */
export class JsonSyntaxError extends Error {
  readonly offset: number
  constructor(message: string, offset: number) {
    super(message)
    this.name = 'JsonSyntaxError'
    this.offset = offset
  }
}

export interface ParsedJson {
  readonly value: Json
  /** Paths of fields that occur twice: `spec.containers[0].name`. The last one counts. */
  readonly duplicates: readonly FoundField[]
}

export interface FoundField {
  readonly path: string
  /** Where it begins in the text. */
  readonly at: number
}

const MAX_DEPTH = 1000
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const SPACE = /[ \t\n\r]*/y
const PLAIN_STRING = /[^"\\\p{Cc}]*/uy

/** `a.b` below `path`; list items add `[0]` themselves. */
export const childPath = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`)

class Parser {
  readonly text: string
  at = 0
  depth = 0
  readonly duplicates: FoundField[] = []
  readonly path: (string | number)[] = []
  /** Where fields were first seen, when somebody asks. */
  readonly fields: Map<string, number> | undefined

  constructor(text: string, fields?: Map<string, number>) {
    this.text = text
    this.fields = fields
  }

  fail(where: string): never {
    const found = this.text[this.at]
    if (found === undefined) throw new JsonSyntaxError('unexpected end of JSON input', this.at)
    const shown = found === "'" ? `'\\''` : found === '"' ? `'"'` : `'${JSON.stringify(found).slice(1, -1)}'`
    throw new JsonSyntaxError(`invalid character ${shown} ${where}`, this.at)
  }

  space(): void {
    const code = this.text.charCodeAt(this.at)
    if (code > 32) return
    SPACE.lastIndex = this.at
    SPACE.exec(this.text)
    this.at = SPACE.lastIndex
  }

  where(): string {
    let path = ''
    for (const step of this.path) path = typeof step === 'number' ? `${path}[${step}]` : childPath(path, step)
    return path
  }

  value(): Json {
    this.space()
    switch (this.text[this.at]) {
      case '{':
        return this.nested(() => this.object())
      case '[':
        return this.nested(() => this.array())
      case '"':
        return this.string()
      case 't':
        return this.word('true', true)
      case 'f':
        return this.word('false', false)
      case 'n':
        return this.word('null', null)
      default:
        return this.number()
    }
  }

  nested<T>(read: () => T): T {
    if (++this.depth > MAX_DEPTH) throw new JsonSyntaxError('exceeded max depth', this.at)
    const value = read()
    this.depth--
    return value
  }

  word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) this.fail('looking for beginning of value')
    this.at += word.length
    return value
  }

  number(): number | bigint {
    NUMBER.lastIndex = this.at
    const match = NUMBER.exec(this.text)?.[0]
    if (match === undefined) this.fail('looking for beginning of value')
    this.at += match.length
    const value = Number(match)
    if (!Number.isFinite(value)) throw new JsonSyntaxError(`number ${match} is out of range`, this.at)
    if (match.length < 16 || Number.isSafeInteger(value) || /[.eE]/.test(match)) return value
    return BigInt(match)
  }

  string(): string {
    const start = this.at + 1
    PLAIN_STRING.lastIndex = start
    PLAIN_STRING.exec(this.text)
    this.at = PLAIN_STRING.lastIndex
    if (this.text[this.at] === '"') return this.text.slice(start, this.at++)
    while (this.text[this.at] !== '"') {
      if (this.text[this.at] === '\\') this.at++
      else if (this.text.charCodeAt(this.at) < 32) this.fail('in string literal')
      if (this.at++ >= this.text.length) {
        this.at = this.text.length
        this.fail('in string literal')
      }
    }
    this.at++
    try {
      return JSON.parse(this.text.slice(start - 1, this.at)) as string
    } catch {
      throw new JsonSyntaxError('invalid escape in string literal', start)
    }
  }

  object(): JsonObject {
    const object: JsonObject = {}
    const duplicates = new Set<string>()
    this.at++
    this.space()
    if (this.text[this.at] === '}') {
      this.at++
      return object
    }
    for (;;) {
      this.space()
      if (this.text[this.at] !== '"') this.fail('looking for beginning of object key string')
      const name = this.string()
      this.space()
      if (this.text[this.at] !== ':') this.fail('after object key')
      this.at++
      this.path.push(name)
      if (Object.hasOwn(object, name) && !duplicates.has(name)) {
        duplicates.add(name)
        this.duplicates.push({ path: this.where(), at: this.at })
      }
      if (this.fields) {
        const path = this.where()
        if (!this.fields.has(path)) this.fields.set(path, this.at)
      }
      setField(object, name, this.value())
      this.path.pop()
      this.space()
      if (this.text[this.at] === '}') break
      if (this.text[this.at] !== ',') this.fail('after object key:value pair')
      this.at++
    }
    this.at++
    return object
  }

  array(): Json[] {
    const array: Json[] = []
    this.at++
    this.space()
    if (this.text[this.at] === ']') {
      this.at++
      return array
    }
    for (;;) {
      this.path.push(array.length)
      array.push(this.value())
      this.path.pop()
      this.space()
      if (this.text[this.at] === ']') break
      if (this.text[this.at] !== ',') this.fail('after array element')
      this.at++
    }
    this.at++
    return array
  }
}

/** Fields that the text names; undefined when a number in it needs care. The text is known to be JSON. */
function countNames(text: string): number | undefined {
  let count = 0
  let digits = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code >= 0x30 && code <= 0x39) {
      if (++digits >= 16) return undefined
      continue
    }
    digits = 0
    if (code === 0x3a) count++
    else if (code === 0x22) {
      at = text.indexOf('"', at + 1)
      for (;;) {
        let slashes = 0
        while (text.charCodeAt(at - 1 - slashes) === 0x5c) slashes++
        if (slashes % 2 === 0) break
        at = text.indexOf('"', at + 1)
      }
    }
  }
  return count
}

/** Fields that the value has; NaN when it is too deep or holds a number that is none. */
function countFields(value: Json, depth: number): number {
  if (typeof value === 'number') return Number.isFinite(value) ? 0 : Number.NaN
  if (typeof value !== 'object' || value === null) return 0
  if (depth >= MAX_DEPTH) return Number.NaN
  let count = 0
  if (Array.isArray(value)) for (const item of value) count += countFields(item, depth + 1)
  else for (const name in value) count += 1 + countFields(value[name] as Json, depth + 1)
  return count
}

/** The engine's parser, where its answer is ours: it keeps the last of two fields of one name, so none may be missing. */
function parsePlain(text: string): Json | undefined {
  let value: Json
  try {
    value = JSON.parse(text) as Json
  } catch {
    return undefined
  }
  return countNames(text) === countFields(value, 0) ? value : undefined
}

/** Parses a whole text; throws JsonSyntaxError. */
export function parseJsonText(text: string): ParsedJson {
  const plain = parsePlain(text)
  if (plain !== undefined) return { value: plain, duplicates: [] }
  const parser = new Parser(text)
  const value = parser.value()
  parser.space()
  if (parser.at < text.length) parser.fail('after top-level value')
  return { value, duplicates: parser.duplicates }
}

/** Where in the text (which is known to parse) each field stands first. */
export function fieldPositions(text: string): ReadonlyMap<string, number> {
  const fields = new Map<string, number>()
  new Parser(text, fields).value()
  return fields
}

const LONG_INTEGER = /[[:,\s]-?\d{16}/

/** What we wrote ourselves: no duplicates to look for, so the engine's parser does it unless a long integer is in sight. */
export function parseJson(bytes: Uint8Array | string): JsonObject {
  const text = typeof bytes === 'string' ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  return (LONG_INTEGER.test(text) ? parseJsonText(text).value : JSON.parse(text)) as JsonObject
}

function writeWithBigInts(value: unknown): string {
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) return `[${value.map(writeWithBigInts).join(',')}]`
  const fields = Object.entries(value).filter(([, field]) => field !== undefined)
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${writeWithBigInts(field)}`).join(',')}}`
}

/** JSON text of a value; exact for bigint. */
export function jsonText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'null'
  } catch (error) {
    if (error instanceof TypeError && error.message.includes('BigInt')) return writeWithBigInts(value)
    throw error
  }
}

export const encodeJson = (value: unknown): Uint8Array => Buffer.from(jsonText(value))
