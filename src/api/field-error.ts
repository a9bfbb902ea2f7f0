// One thing wrong with one field, in Kubernetes' words (the causes of an Invalid status).
import { ApiError, type StatusCause } from '../lib/index.js'

export type FieldErrorReason =
  | 'FieldValueRequired'
  | 'FieldValueInvalid'
  | 'FieldValueNotSupported'
  | 'FieldValueDuplicate'
  | 'FieldValueForbidden'
  | 'FieldValueNotFound'
  | 'FieldValueTooLong'
  | 'FieldValueTooMany'
  | 'FieldValueTypeInvalid'
  | 'InternalError'

export interface FieldError {
  readonly reason: FieldErrorReason
  /** `spec.containers[0].name` */
  readonly field: string
  /** With its prefix: `Required value: …`, `Invalid value: "x": …`. */
  readonly message: string
}

/** A value as Go prints it in such messages. */
function show(value: unknown): string {
  if (value === undefined || value === null) return 'null'
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'object') return JSON.stringify(value)
  return String(value)
}

const join = (prefix: string, detail: string): string => (detail ? `${prefix}: ${detail}` : prefix)

export const required = (field: string, detail = ''): FieldError => ({
  reason: 'FieldValueRequired',
  field,
  message: join('Required value', detail),
})
export const invalid = (field: string, value: unknown, detail: string): FieldError => ({
  reason: 'FieldValueInvalid',
  field,
  message: join(`Invalid value: ${show(value)}`, detail),
})
/** The value is not repeated: the field says enough, or too much. */
export const invalidOmitted = (field: string, detail: string): FieldError => ({
  reason: 'FieldValueInvalid',
  field,
  message: `Invalid value: ${detail}`,
})
/** `allowed` is listed in the order of its letters, as Kubernetes does. */
export const notSupported = (field: string, value: unknown, allowed: readonly string[]): FieldError => ({
  reason: 'FieldValueNotSupported',
  field,
  message: join(
    `Unsupported value: ${show(value)}`,
    allowed.length > 0
      ? `supported values: ${[...allowed]
          .sort()
          .map((a) => JSON.stringify(a))
          .join(', ')}`
      : '',
  ),
})
export const duplicate = (field: string, value: unknown): FieldError => ({
  reason: 'FieldValueDuplicate',
  field,
  message: `Duplicate value: ${show(value)}`,
})
export const forbidden = (field: string, detail: string): FieldError => ({
  reason: 'FieldValueForbidden',
  field,
  message: join('Forbidden', detail),
})
export const notFound = (field: string, value: unknown): FieldError => ({
  reason: 'FieldValueNotFound',
  field,
  message: `Not found: ${show(value)}`,
})
/** The value itself is not repeated: it is long. */
export const tooLong = (field: string, max: number): FieldError => ({
  reason: 'FieldValueTooLong',
  field,
  message: `Too long: may not be more than ${max} bytes`,
})
export const tooMany = (field: string, actual: number, max: number): FieldError => ({
  reason: 'FieldValueTooMany',
  field,
  message: `Too many: ${actual}: must have at most ${max} ${max === 1 ? 'item' : 'items'}`,
})
export const typeInvalid = (field: string, value: unknown, detail: string): FieldError => ({
  reason: 'FieldValueTypeInvalid',
  field,
  message: join(`Invalid value: ${show(value)}`, detail),
})

const text = (error: FieldError): string => `${error.field}: ${error.message}`

/** The 422 answer for an object with these errors. */
export function invalidObject(subject: { group: string; kind: string; name: string }, errors: readonly FieldError[]): ApiError {
  const { group, kind, name } = subject
  const unique = [...new Set(errors.map(text))]
  const list = unique.length === 1 ? unique[0] : `[${unique.join(', ')}]`
  const qualified = group ? `${kind}.${group}` : kind
  const causes: StatusCause[] = errors.map(({ reason, message, field }) => ({ reason, message, field }))
  return new ApiError('Invalid', `${qualified} ${JSON.stringify(name)} is invalid: ${list}`, {
    details: { ...(name && { name }), ...(group ? { group } : {}), kind, causes },
  })
}

/** Throws the 422 answer when there are errors. */
export function throwIfInvalid(subject: { group: string; kind: string; name: string }, errors: readonly FieldError[]): void {
  if (errors.length > 0) throw invalidObject(subject, errors)
}
