// The JSONPath that CRDs use: `.spec.a`, `['a.b']`, `[0]`, `[-1]`, `[*]`, `[0:2]`, `..name`, `[?(@.type=="Ready")]`.
import { equalJson, getField, isObject, type Json } from '../json/value.js'

type Step =
  | { readonly kind: 'field'; readonly name: string }
  | { readonly kind: 'index'; readonly index: number }
  | { readonly kind: 'slice'; readonly from: number | undefined; readonly to: number | undefined; readonly by: number }
  | { readonly kind: 'all' }
  | { readonly kind: 'deep'; readonly name: string }
  | {
      readonly kind: 'filter'
      readonly path: readonly Step[]
      readonly operator: string
      readonly value: Json | readonly Step[] | undefined
    }

export type JsonPath = readonly Step[]

class PathError extends Error {}

function literal(text: string): Json | readonly Step[] {
  const trimmed = text.trim()
  if (trimmed.startsWith('@')) return parseSteps(trimmed.slice(1))
  if (/^'.*'$/.test(trimmed)) return trimmed.slice(1, -1).replaceAll("\\'", "'")
  try {
    return JSON.parse(trimmed) as Json
  } catch {
    throw new PathError(`unrecognized literal ${trimmed}`)
  }
}

function bracket(inside: string): Step {
  const text = inside.trim()
  if (text === '*') return { kind: 'all' }
  if (/^-?\d+$/.test(text)) return { kind: 'index', index: Number(text) }
  const quoted = /^'((?:[^'\\]|\\.)*)'$/.exec(text) ?? /^"((?:[^"\\]|\\.)*)"$/.exec(text)
  if (quoted) return { kind: 'field', name: (quoted[1] ?? '').replace(/\\(.)/g, '$1') }
  const slice = /^(-?\d*):(-?\d*)(?::(\d+))?$/.exec(text)
  if (slice) {
    const number = (part: string | undefined): number | undefined => (part ? Number(part) : undefined)
    return { kind: 'slice', from: number(slice[1]), to: number(slice[2]), by: number(slice[3]) ?? 1 }
  }
  const filter = /^\?\((.*)\)$/s.exec(text)
  if (filter) {
    const [, left = '', operator = '', right] =
      /^\s*@((?:[^=!<>]|\[[^\]]*\])*?)\s*(?:(==|!=|<=|>=|<|>)\s*(.*))?$/s.exec(filter[1] ?? '') ?? []
    return { kind: 'filter', path: parseSteps(left.trim()), operator, value: right === undefined ? undefined : literal(right) }
  }
  throw new PathError(`invalid array index ${text}`)
}

/** Where the bracket that opens at `start` closes; quotes inside are skipped. */
function closing(text: string, start: number): number {
  let depth = 0
  let quote = ''
  for (let i = start; i < text.length; i++) {
    const c = text[i] ?? ''
    if (quote) {
      if (c === '\\') i++
      else if (c === quote) quote = ''
    } else if (c === '"' || c === "'") quote = c
    else if (c === '[') depth++
    else if (c === ']' && --depth === 0) return i
  }
  throw new PathError('unterminated array')
}

function parseSteps(text: string): Step[] {
  const steps: Step[] = []
  let at = 0
  while (at < text.length) {
    if (text[at] === '[') {
      const end = closing(text, at)
      steps.push(bracket(text.slice(at + 1, end)))
      at = end + 1
      continue
    }
    const deep = text.startsWith('..', at)
    if (!deep && text[at] !== '.') throw new PathError(`unexpected ${text.slice(at)}`)
    at += deep ? 2 : 1
    const match = /^(?:[^.[\]\\]|\\.)*/.exec(text.slice(at))?.[0] ?? ''
    at += match.length
    const name = match.replace(/\\(.)/g, '$1')
    if (name === '*') steps.push({ kind: 'all' })
    else if (name !== '') steps.push(deep ? { kind: 'deep', name } : { kind: 'field', name })
    else if (at < text.length && text[at] !== '[') throw new PathError(`unexpected ${text.slice(at)}`)
  }
  return steps
}

/** Undefined when the text is no path. */
export function parseJsonPath(text: string): JsonPath | undefined {
  const bare = /^\{(.*)\}$/s.exec(text)?.[1] ?? text
  try {
    return parseSteps(bare)
  } catch (error) {
    if (error instanceof PathError) return undefined
    throw error
  }
}

function below(value: Json, name: string, found: Json[]): void {
  if (Array.isArray(value)) for (const item of value) below(item, name, found)
  else if (isObject(value)) {
    const own = getField(value, name)
    if (own !== undefined) found.push(own)
    for (const field of Object.values(value)) if (field !== undefined) below(field, name, found)
  }
}

function passes(item: Json, step: Extract<Step, { kind: 'filter' }>): boolean {
  const left = findJsonPath(step.path, item)
  if (step.operator === '') return left.length > 0
  const isPath = Array.isArray(step.value) && step.value.some((s) => isObject(s) && 'kind' in s)
  const right = isPath ? findJsonPath(step.value as unknown as JsonPath, item)[0] : (step.value as Json)
  const [value] = left
  if (value === undefined || right === undefined) return false
  switch (step.operator) {
    case '==':
      return equalJson(value, right)
    case '!=':
      return !equalJson(value, right)
    case '<':
      return value !== null && right !== null && value < right
    case '<=':
      return value !== null && right !== null && value <= right
    case '>':
      return value !== null && right !== null && value > right
    default:
      return value !== null && right !== null && value >= right
  }
}

function advance(value: Json, step: Step): Json[] {
  switch (step.kind) {
    case 'field': {
      const field = isObject(value) ? getField(value, step.name) : undefined
      return field === undefined ? [] : [field]
    }
    case 'index': {
      const item = Array.isArray(value) ? value.at(step.index) : undefined
      return item === undefined ? [] : [item]
    }
    case 'slice':
      return Array.isArray(value) ? value.slice(step.from, step.to).filter((_, index) => index % step.by === 0) : []
    case 'all':
      return Array.isArray(value) ? value : isObject(value) ? Object.values(value).filter((v) => v !== undefined) : []
    case 'deep': {
      const found: Json[] = []
      below(value, step.name, found)
      return found
    }
    case 'filter':
      return Array.isArray(value) ? value.filter((item) => passes(item, step)) : []
  }
}

/** All values at the path; none when it leads nowhere. */
export const findJsonPath = (path: JsonPath, value: Json): Json[] =>
  path.reduce<Json[]>((values, step) => values.flatMap((v) => advance(v, step)), [value])
