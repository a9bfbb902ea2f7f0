// What the server said when it said no.
import { ApiError, type HttpHeaders, STATUS_REASONS, type StatusDetails, type StatusReason } from '../lib/index.js'

interface StatusObject {
  readonly kind?: string
  readonly message?: string
  readonly reason?: string
  readonly code?: number
  readonly details?: StatusDetails
}

const reasonsByCode = new Map<number, StatusReason>()
for (const [reason, code] of Object.entries(STATUS_REASONS)) if (!reasonsByCode.has(code)) reasonsByCode.set(code, reason as StatusReason)

/** The error that a `Status` object stands for. */
export function fromStatus(status: StatusObject, httpStatus = status.code ?? 500): ApiError {
  const known = status.reason !== undefined && Object.hasOwn(STATUS_REASONS, status.reason)
  const reason = known ? (status.reason as StatusReason) : (reasonsByCode.get(httpStatus) ?? 'Unknown')
  const details = status.details ? { details: status.details } : {}
  return new ApiError(reason, status.message ?? `the server answered ${httpStatus}`, { code: status.code ?? httpStatus, ...details })
}

/** The error for an answer of 400 and above, whether or not its body is a `Status`. */
export function statusError(httpStatus: number, body: Uint8Array, headers: HttpHeaders): ApiError {
  const text = Buffer.from(body).toString('utf8')
  try {
    const status = JSON.parse(text) as StatusObject
    if (status.kind === 'Status') return fromStatus(status, httpStatus)
  } catch {
    // Not JSON: a proxy or a health endpoint answered in plain text.
  }
  const retryAfter = Number(headers['retry-after'])
  const details = Number.isFinite(retryAfter) ? { details: { retryAfterSeconds: retryAfter } } : {}
  return new ApiError(reasonsByCode.get(httpStatus) ?? 'Unknown', text.trim() || `the server answered ${httpStatus}`, {
    code: httpStatus,
    ...details,
  })
}
