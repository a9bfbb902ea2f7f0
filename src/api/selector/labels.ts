// Label selectors: the text form of queries (`app=web,tier in (a,b)`) and the object form of specs.
import { ApiError } from '../../lib/index.js'
import { type FieldError, invalid, required } from '../field-error.js'
import type { LabelSelector as LabelSelectorObject } from '../generated/kinds.js'
import { labelValueErrors, qualifiedNameErrors } from '../names.js'

export type LabelOperator = '=' | '!=' | 'in' | 'notin' | 'exists' | '!' | '>' | '<'

export interface LabelRequirement {
  readonly key: string
  readonly operator: LabelOperator
  readonly values: readonly string[]
}

export type Labels = Readonly<Record<string, string>> | undefined

export interface LabelMatcher {
  readonly requirements: readonly LabelRequirement[]
  readonly matches: (labels: Labels) => boolean
}

function meets({ key, operator, values }: LabelRequirement, labels: Labels): boolean {
  const value = labels && Object.hasOwn(labels, key) ? labels[key] : undefined
  switch (operator) {
    case '=':
    case 'in':
      return value !== undefined && values.includes(value)
    case '!=':
    case 'notin':
      return value === undefined || !values.includes(value)
    case 'exists':
      return value !== undefined
    case '!':
      return value === undefined
    default: {
      if (value === undefined || !/^-?\d+$/.test(value)) return false
      const [left, right] = [BigInt(value), BigInt(values[0] ?? '0')]
      return operator === '>' ? left > right : left < right
    }
  }
}

export const matcherOf = (requirements: readonly LabelRequirement[]): LabelMatcher => ({
  requirements,
  matches: (labels) => requirements.every((requirement) => meets(requirement, labels)),
})

/** Matches everything. */
export const everything: LabelMatcher = matcherOf([])
/** Matches nothing: what a missing selector in a spec means. */
export const nothing: LabelMatcher = { requirements: [], matches: () => false }

type Token = { readonly type: 'word' | 'end' | '(' | ')' | ',' | '!' | '=' | '==' | '!=' | '>' | '<'; readonly text: string }

function tokens(text: string): Token[] {
  const found: Token[] = []
  const pattern = /\s*(?:(==|!=|=|!|\(|\)|,|<|>)|([^\s=!(),<>]+))/y
  const end = text.trimEnd().length
  while (pattern.lastIndex < end) {
    const at = pattern.lastIndex
    const match = pattern.exec(text)
    if (!match) throw new ApiError('BadRequest', `unable to parse requirement: found '${text.slice(at)}'`)
    if (match[1]) found.push({ type: match[1] as Token['type'], text: match[1] })
    else found.push({ type: 'word', text: match[2] ?? '' })
  }
  return found
}

class SelectorParser {
  readonly tokens: readonly Token[]
  at = 0
  constructor(text: string) {
    this.tokens = tokens(text)
  }

  peek(): Token {
    return this.tokens[this.at] ?? { type: 'end', text: '' }
  }

  next(): Token {
    const token = this.peek()
    this.at++
    return token
  }

  fail(expected: string): never {
    const token = this.peek()
    throw new ApiError('BadRequest', `unable to parse requirement: found '${token.text}', expected: ${expected}`)
  }

  selector(): LabelRequirement[] {
    const requirements: LabelRequirement[] = []
    if (this.peek().type === 'end') return requirements
    for (;;) {
      requirements.push(this.requirement())
      const token = this.peek()
      if (token.type === 'end') return requirements
      if (token.type !== ',') this.fail("',' or 'end of string'")
      this.next()
      if (this.peek().type === 'end') this.fail("identifier after ','")
    }
  }

  requirement(): LabelRequirement {
    const negated = this.peek().type === '!'
    if (negated) this.next()
    const token = this.peek()
    if (token.type !== 'word') this.fail("!, identifier, or 'end of string'")
    this.next()
    const key = token.text
    if (negated) return checked({ key, operator: '!', values: [] })
    const operator = this.peek()
    if (operator.type === 'end' || operator.type === ',') return checked({ key, operator: 'exists', values: [] })
    this.next()
    if (operator.type === 'word' && (operator.text === 'in' || operator.text === 'notin'))
      return checked({ key, operator: operator.text, values: this.values() })
    if (operator.type === '=' || operator.type === '==') return checked({ key, operator: '=', values: [this.exact()] })
    if (operator.type === '!=') return checked({ key, operator: '!=', values: [this.exact()] })
    if (operator.type === '>' || operator.type === '<') return checked({ key, operator: operator.type, values: [this.exact()] })
    this.at--
    return this.fail('in, notin, =, ==, !=, gt, lt')
  }

  /** One value; nothing at all is the empty value. */
  exact(): string {
    const token = this.peek()
    if (token.type === 'end' || token.type === ',') return ''
    if (token.type !== 'word') this.fail('identifier')
    this.next()
    return token.text
  }

  values(): string[] {
    if (this.peek().type !== '(') this.fail("'('")
    this.next()
    const values = new Set<string>()
    for (;;) {
      const token = this.peek()
      if (token.type === 'word') {
        values.add(token.text)
        this.next()
      } else if (token.type === ',' || token.type === ')') values.add('')
      else this.fail("',', ')' or identifier")
      const after = this.next()
      if (after.type === ')') return [...values].sort()
      if (after.type !== ',') {
        this.at--
        this.fail("',' or ')'")
      }
    }
  }
}

function checked(requirement: LabelRequirement): LabelRequirement {
  const { key, operator, values } = requirement
  const refuse = (field: string, value: unknown, detail: string): never => {
    throw new ApiError('BadRequest', `unable to parse requirement: ${field}: Invalid value: ${JSON.stringify(value)}: ${detail}`)
  }
  const [keyError] = qualifiedNameErrors(key)
  if (keyError) refuse('<nil>', key, keyError)
  if ((operator === '>' || operator === '<') && !/^-?\d+$/.test(values[0] ?? ''))
    refuse('values[0]', values[0], "for 'Gt', 'Lt' operators, the value must be an integer")
  values.forEach((value) => {
    const [error] = labelValueErrors(value)
    if (error) refuse(`values[0][${key}]`, value, error)
  })
  return requirement
}

/** The query form; throws BadRequest. */
export function parseLabelSelector(text: string | undefined): LabelMatcher {
  if (!text) return everything
  return matcherOf(new SelectorParser(text).selector())
}

const objectOperators: Readonly<Record<string, LabelOperator>> = { In: 'in', NotIn: 'notin', Exists: 'exists', DoesNotExist: '!' }

/** The object form, already validated: undefined selects nothing, `{}` everything. */
export function labelSelector(selector: LabelSelectorObject | undefined): LabelMatcher {
  if (!selector) return nothing
  return matcherOf([
    ...Object.entries(selector.matchLabels ?? {}).map(([key, value]): LabelRequirement => ({ key, operator: '=', values: [value] })),
    ...(selector.matchExpressions ?? []).map(
      ({ key, operator, values }): LabelRequirement => ({ key, operator: objectOperators[operator] ?? '!', values: values ?? [] }),
    ),
  ])
}

/** Matchers made once an object: objects of the API are never changed. */
const compiled = new WeakMap<object, LabelMatcher>()

function compile<T extends object>(selector: T, make: (selector: T) => LabelMatcher): LabelMatcher {
  let matcher = compiled.get(selector)
  if (!matcher) {
    matcher = make(selector)
    compiled.set(selector, matcher)
  }
  return matcher
}

/** Whether a selector of a spec selects these labels. */
export const selects = (selector: LabelSelectorObject | undefined, labels: Labels): boolean =>
  selector !== undefined && compile(selector, labelSelector).matches(labels)

/** True for a selector that says nothing: absent, or without a requirement. */
export const isEmptySelector = (selector: LabelSelectorObject | undefined): boolean => labelSelector(selector).requirements.length === 0

/** Plain labels as a selector (ReplicationController, Service); undefined selects nothing. */
export const mapSelector = (labels: Labels): LabelMatcher =>
  labels ? compile(labels, (matchLabels) => labelSelector({ matchLabels })) : nothing

/** The text that `parseLabelSelector` would read back; requirements in the order of their keys. */
export function formatLabelSelector(selector: LabelMatcher | LabelSelectorObject | undefined): string {
  if (!selector) return '<none>'
  const matcher = 'matches' in selector ? (selector as LabelMatcher) : labelSelector(selector as LabelSelectorObject)
  const word = ({ key, operator, values }: LabelRequirement): string => {
    if (operator === 'exists') return key
    if (operator === '!') return `!${key}`
    if (operator === 'in' || operator === 'notin') return `${key} ${operator} (${[...values].sort().join(',')})`
    return `${key}${operator}${values[0] ?? ''}`
  }
  return [...matcher.requirements]
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(word)
    .join(',')
}

/** What is wrong with labels or annotations' keys. */
export function labelErrors(labels: Labels, path: string): FieldError[] {
  const errors: FieldError[] = []
  for (const [key, value] of Object.entries(labels ?? {})) {
    for (const detail of qualifiedNameErrors(key)) errors.push(invalid(path, key, detail))
    for (const detail of labelValueErrors(value)) errors.push(invalid(path, value, detail))
  }
  return errors
}

/** What is wrong with a selector in a spec. */
export function labelSelectorErrors(selector: LabelSelectorObject | undefined, path: string): FieldError[] {
  if (!selector) return []
  const errors = labelErrors(selector.matchLabels, `${path}.matchLabels`)
  selector.matchExpressions?.forEach((expression, index) => {
    const at = `${path}.matchExpressions[${index}]`
    if (expression.operator === 'In' || expression.operator === 'NotIn') {
      if (!expression.values?.length) errors.push(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"))
    } else if (expression.operator === 'Exists' || expression.operator === 'DoesNotExist') {
      if (expression.values?.length)
        errors.push({
          reason: 'FieldValueForbidden',
          field: `${at}.values`,
          message: "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        })
    } else errors.push(invalid(`${at}.operator`, expression.operator, 'not a valid selector operator'))
    for (const detail of qualifiedNameErrors(expression.key ?? '')) errors.push(invalid(`${at}.key`, expression.key, detail))
    expression.values?.forEach((value, i) => {
      for (const detail of labelValueErrors(value)) errors.push(invalid(`${at}.values[${i}]`, value, detail))
    })
  })
  return errors
}
