// Rules that many kinds share.
import { type FieldError, invalid, notSupported, required } from '../field-error.js'
import type { LabelSelector } from '../generated/kinds.js'
import { equalJson } from '../json/value.js'
import { dnsSubdomainErrors } from '../names.js'
import { parseQuantity } from '../quantity.js'
import { labelSelectorErrors } from '../selector/labels.js'

export const immutableMessage = 'field is immutable'

/** One error when the value changed. */
export const immutableErrors = (next: unknown, previous: unknown, path: string, detail = immutableMessage): FieldError[] =>
  equalJson(next ?? null, previous ?? null) ? [] : [invalid(path, next, detail)]

/** An amount of a resource: none is below zero, and what is counted comes whole. */
export function resourceAmountErrors(name: string, amount: string, path: string): FieldError[] {
  const { nanos = 0n } = parseQuantity(amount) ?? {}
  const errors = nanos < 0n ? [invalid(path, amount, 'must be greater than or equal to 0')] : []
  if (COUNTED.has(name.replace(/^(requests|limits)\./, '')) || (name.includes('/') && !name.includes('kubernetes.io/'))) {
    if (nanos % 1_000_000_000n !== 0n) errors.push(invalid(path, amount, 'must be an integer'))
  }
  return errors
}
const COUNTED = new Set([
  'pods',
  'services',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
  'services.nodeports',
  'services.loadbalancers',
])

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

/** `acme.io/foo`: a domain, and a path below it. */
export function domainPathErrors(value: string, path: string): FieldError[] {
  if (value === '') return [required(path)]
  const at = value.indexOf('/')
  if (at <= 0 || at === value.length - 1) return [invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
  const [domain, rest] = [value.slice(0, at), value.slice(at + 1)]
  const errors = dnsSubdomainErrors(domain).map((detail) => invalid(path, domain, detail))
  if (!/^[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/.test(rest))
    errors.push(invalid(path, rest, "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"))
  return errors
}

/** What a rule for strings says, as errors of a field. */
export const textErrors = (value: string, rule: (value: string) => readonly string[], path: string): FieldError[] =>
  rule(value).map((detail) => invalid(path, value, detail))

const backsteps = (path: string): boolean => path.split('/').includes('..')

/** A path below a volume: relative, without `..`. */
export function localPathErrors(value: string, path: string): FieldError[] {
  if (value.startsWith('/')) return [invalid(path, value, 'must be a relative path')]
  return backsteps(value) ? [invalid(path, value, "must not contain '..'")] : []
}

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
          "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
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
