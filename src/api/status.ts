// `Status` objects: how the API says no, and how it says that something without an object is done.
import { ApiError, STATUS_REASONS, type StatusReason } from '../lib/index.js'
import type { JsonObject } from './json/value.js'

/** The body of an error answer. */
export function statusOf(error: ApiError): JsonObject {
  const { details } = error
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: error.message,
    ...(error.reason === 'Unknown' ? {} : { reason: error.reason }),
    ...(details ? { details: JSON.parse(JSON.stringify(details)) as JsonObject } : {}),
    code: error.code,
  }
}

/** Any thrown thing as a Status: what is no ApiError is an InternalError. */
export const errorStatus = (error: unknown): ApiError =>
  error instanceof ApiError
    ? error
    : new ApiError('InternalError', `Internal error occurred: ${error instanceof Error ? error.message : String(error)}`, {
        details: { causes: [{ message: error instanceof Error ? error.message : String(error) }] },
        cause: error,
      })

/** The answer to a delete that is done at once. */
export const successStatus = (subject: { name: string; group: string; plural: string; uid?: string }): JsonObject => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Success',
  details: {
    name: subject.name,
    ...(subject.group ? { group: subject.group } : {}),
    kind: subject.plural,
    ...(subject.uid ? { uid: subject.uid } : {}),
  },
})

/** An error out of a `Status` that another server sent. */
export function errorOfStatus(status: JsonObject, code: number): ApiError {
  const reason = typeof status.reason === 'string' && status.reason in STATUS_REASONS ? (status.reason as StatusReason) : 'Unknown'
  const message = typeof status.message === 'string' ? status.message : `the server answered ${code}`
  const details = status.details as ApiError['details']
  return new ApiError(reason, message, { code: typeof status.code === 'number' ? status.code : code, ...(details ? { details } : {}) })
}

interface Subject {
  readonly group: string
  readonly plural: string
}

const qualified = ({ group, plural }: Subject): string => (group ? `${plural}.${group}` : plural)
const detailsOf = ({ group, plural }: Subject, name: string) => ({ details: { name, ...(group ? { group } : {}), kind: plural } })

export const notFoundError = (type: Subject, name: string): ApiError =>
  new ApiError('NotFound', `${qualified(type)} ${JSON.stringify(name)} not found`, detailsOf(type, name))
export const alreadyExistsError = (type: Subject, name: string): ApiError =>
  new ApiError('AlreadyExists', `${qualified(type)} ${JSON.stringify(name)} already exists`, detailsOf(type, name))
export const conflictError = (
  type: Subject,
  name: string,
  detail = 'the object has been modified; please apply your changes to the latest version and try again',
): ApiError =>
  new ApiError('Conflict', `Operation cannot be fulfilled on ${qualified(type)} ${JSON.stringify(name)}: ${detail}`, detailsOf(type, name))
export const forbiddenError = (type: Subject, name: string, detail: string): ApiError =>
  new ApiError('Forbidden', `${qualified(type)} ${JSON.stringify(name)} is forbidden: ${detail}`, detailsOf(type, name))
