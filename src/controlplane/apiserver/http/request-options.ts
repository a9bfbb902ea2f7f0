// What the query of a request may say, kind of options by kind of options, in Kubernetes' words.
import { type FieldError, type FieldValidation, forbidden, invalid, invalidObject, required, tooLong } from '../../../api/index.js'
import { ApiError } from '../../../lib/index.js'

type OptionsKind = 'ListOptions' | 'CreateOptions' | 'UpdateOptions' | 'PatchOptions' | 'DeleteOptions'

function refuse(kind: OptionsKind, errors: readonly FieldError[]): void {
  if (errors.length > 0) throw invalidObject({ group: 'meta.k8s.io', kind, name: '' }, errors)
}

/** Alternatives in the order given: it is not always that of their letters. */
const unsupported = (field: string, value: unknown, allowed: readonly string[]): FieldError => ({
  reason: 'FieldValueNotSupported',
  field,
  message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${allowed.map((one) => JSON.stringify(one)).join(', ')}`,
})

/** undefined when it is not there or empty. */
export function integerOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name)
  if (text === null || text === '') return undefined
  if (/^[+-]?\d{1,15}$/.test(text)) return Number(text)
  throw new ApiError('BadRequest', `strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`)
}

/** As Go's conversion of queries reads it: there is what is there. */
export function flagOf(query: URLSearchParams, name: string): boolean | undefined {
  const text = query.get(name)
  return text === null ? undefined : text.toLowerCase() !== 'false' && text !== '0'
}

export function checkListOptions(query: URLSearchParams, { watch }: { readonly watch: boolean }): void {
  const match = query.get('resourceVersionMatch') ?? ''
  const revision = query.get('resourceVersion') ?? ''
  const initial = query.get('sendInitialEvents') !== null
  const errors: FieldError[] = []
  const field = 'resourceVersionMatch'
  if (watch) {
    if (initial && match !== 'NotOlderThan')
      errors.push(forbidden(field, 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'))
    if (match && !initial) errors.push(forbidden(field, 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided'))
    if (match && match !== 'NotOlderThan') errors.push(unsupported(field, match, ['NotOlderThan']))
  } else if (match) {
    if (!revision) errors.push(forbidden(field, 'resourceVersionMatch is forbidden unless resourceVersion is provided'))
    if (match !== 'Exact' && match !== 'NotOlderThan') errors.push(unsupported(field, match, ['Exact', 'NotOlderThan', '']))
    if (match === 'Exact' && revision === '0')
      errors.push(forbidden(field, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
  }
  if (match && query.get('continue')) errors.push(forbidden(field, 'resourceVersionMatch is forbidden when continue is provided'))
  if (initial && !watch) errors.push(forbidden('sendInitialEvents', 'sendInitialEvents is forbidden for list'))
  refuse('ListOptions', errors)
}

const MOST_MANAGER_BYTES = 128
const UNPRINTABLE = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u

function managerErrors(manager: string): FieldError[] {
  const errors: FieldError[] = []
  if (Buffer.byteLength(manager) > MOST_MANAGER_BYTES) errors.push(tooLong('fieldManager', MOST_MANAGER_BYTES))
  const bad = UNPRINTABLE.exec(manager)
  if (bad) {
    const point = (bad[0].codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')
    const position = Buffer.byteLength(manager.slice(0, bad.index))
    errors.push(invalid('fieldManager', manager, `invalid character U+${point} (at position ${position})`))
  }
  return errors
}

const dryRunErrors = (words: readonly unknown[]): FieldError[] =>
  words.every((word) => word === 'All') ? [] : [unsupported('dryRun', words, ['All'])]

export interface WriteOptions {
  readonly dryRun: boolean
  /** '' when the client names none. */
  readonly fieldManager: string
  readonly fieldValidation: FieldValidation
  readonly force: boolean | undefined
}

/** `apply`: what a patch of this kind must say besides. */
export function writeOptions(
  query: URLSearchParams,
  kind: 'CreateOptions' | 'UpdateOptions' | 'PatchOptions',
  { apply = false }: { readonly apply?: boolean } = {},
): WriteOptions {
  const dryRun = query.getAll('dryRun').filter((word) => word !== '')
  const fieldManager = query.get('fieldManager') ?? ''
  const validation = query.get('fieldValidation') || 'Warn'
  const force = flagOf(query, 'force')
  const errors: FieldError[] = []
  if (kind === 'PatchOptions' && !apply && force !== undefined) errors.push(forbidden('force', 'may not be specified for non-apply patch'))
  if (apply && fieldManager === '') errors.push(required('fieldManager', 'is required for apply patch'))
  errors.push(...managerErrors(fieldManager), ...dryRunErrors(dryRun))
  const known = ['Ignore', 'Strict', 'Warn'].includes(validation)
  if (!known) errors.push(unsupported('fieldValidation', validation, ['', 'Ignore', 'Strict', 'Warn']))
  refuse(kind, errors)
  return { dryRun: dryRun.length > 0, fieldManager, fieldValidation: validation as FieldValidation, force }
}

const POLICIES = ['Foreground', 'Background', 'Orphan']

export function checkDeleteOptions(options: {
  readonly propagationPolicy?: unknown
  readonly orphanDependents?: unknown
  readonly dryRun: readonly unknown[]
}): void {
  const { propagationPolicy: policy, orphanDependents: orphan, dryRun } = options
  const errors: FieldError[] = []
  if (policy !== undefined && orphan !== undefined)
    errors.push(invalid('propagationPolicy', policy, 'orphanDependents and deletionPropagation cannot be both set'))
  if (policy !== undefined && !POLICIES.includes(policy as string))
    errors.push(unsupported('propagationPolicy', policy, [...POLICIES, 'nil']))
  refuse('DeleteOptions', [...errors, ...dryRunErrors(dryRun)])
}
