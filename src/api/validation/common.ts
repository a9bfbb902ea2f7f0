// Rules that many kinds share.
import { type FieldError, invalid, notSupported, required } from '../field-error.js'
import type { LabelSelector } from '../generated/kinds.js'
import { equalJson } from '../json/value.js'
import { labelSelectorErrors } from '../selector/labels.js'

export const immutableMessage = 'field is immutable'

/** One error when the value changed. */
export const immutableErrors = (next: unknown, previous: unknown, path: string, detail = immutableMessage): FieldError[] =>
  equalJson(next ?? null, previous ?? null) ? [] : [invalid(path, next, detail)]

export const nonNegativeErrors = (value: number | undefined, path: string): FieldError[] =>
  value !== undefined && value < 0 ? [invalid(path, value, 'must be greater than or equal to 0')] : []

/** Required, and one of these. */
export function oneOfErrors(
  value: string | undefined,
  allowed: readonly string[],
  path: string,
  options: { optional?: boolean } = {},
): FieldError[] {
  if (!value) return options.optional ? [] : [required(path)]
  return allowed.includes(value) ? [] : [notSupported(path, value, allowed)]
}

/** What a rule for strings says, as errors of a field. */
export const textErrors = (value: string, rule: (value: string) => readonly string[], path: string): FieldError[] =>
  rule(value).map((detail) => invalid(path, value, detail))

/** Required, and right by a rule. */
export const requiredText = (value: string | undefined, rule: (value: string) => readonly string[], path: string): FieldError[] =>
  value ? textErrors(value, rule, path) : [required(path)]

/** A whole number or a percentage such as `25%`. */
export function intOrPercentErrors(value: number | string | undefined, path: string): FieldError[] {
  if (value === undefined) return []
  if (typeof value === 'number') return nonNegativeErrors(value, path)
  return /^[0-9]+%$/.test(value)
    ? []
    : [
        invalid(
          path,
          value,
          "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%', or '93%', regex used for validation is '[0-9]+%')",
        ),
      ]
}

/** The part of `total` that an int-or-percent means; `up` rounds up. */
export function scaledValue(value: number | string | undefined, total: number, round: 'up' | 'down'): number {
  if (value === undefined) return 0
  if (typeof value === 'number') return value
  const percent = Number(value.replace('%', ''))
  const exact = (percent * total) / 100
  return round === 'up' ? Math.ceil(exact) : Math.floor(exact)
}

export const percentOf = (value: number | string | undefined): number | undefined =>
  typeof value === 'string' && value.endsWith('%') ? Number(value.slice(0, -1)) : undefined

/** A selector that must be there, must select something, and must select the template's pods. */
export function workloadSelectorErrors(selector: LabelSelector | undefined, path: string): FieldError[] {
  if (!selector) return [required(path)]
  const errors = labelSelectorErrors(selector, path)
  if (Object.keys(selector.matchLabels ?? {}).length + (selector.matchExpressions?.length ?? 0) === 0)
    errors.push(invalid(path, selector, 'empty selector is invalid for deployment'))
  return errors
}
