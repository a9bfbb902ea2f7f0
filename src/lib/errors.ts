// The two kinds of thrown error that code may branch on, and the errno table.

/** errno values of Linux on x86-64 and arm64 (errno(3)), the ones that reach us. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  ENOEXEC: 8,
  EBADF: 9,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  ENOTBLK: 15,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EMLINK: 31,
  EPIPE: 32,
  EDOM: 33,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  EOVERFLOW: 75,
  ENOTUNIQ: 76,
  EUSERS: 87,
  ENOTSOCK: 88,
  EMSGSIZE: 90,
  EPROTONOSUPPORT: 93,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ENOBUFS: 105,
  EISCONN: 106,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
  EALREADY: 114,
  EINPROGRESS: 115,
  EDQUOT: 122,
  ECANCELED: 125,
} as const

export type ErrnoName = keyof typeof ERRNO

const namesByNumber = new Map<number, string>(Object.entries(ERRNO).map(([name, number]) => [number, name]))

/** `ENOENT` for 2; `errno 999` for a number that is not in the table. */
export const errnoName = (errno: number): string => namesByNumber.get(errno) ?? `errno ${errno}`

/** Of what people meet who know nothing of system calls; as Node words it. */
const WORDS: Readonly<Record<string, string>> = { ENOSPC: ' (no space left on device)', EDQUOT: ' (disk quota exceeded)' }

/** A system call that failed: which call, on what, with which errno. */
export class SysError extends Error {
  /** `ENOENT`, … as Node's own errors carry it. */
  readonly code: string
  readonly call: string
  readonly errno: number
  readonly subject: string

  constructor(call: string, errno: number, subject = '', options?: ErrorOptions) {
    const name = errnoName(errno)
    super(`${subject ? `${call} ${subject}` : call}: ${name}${WORDS[name] ?? ''}`, options)
    this.name = 'SysError'
    this.call = call
    this.errno = errno
    this.subject = subject
    this.code = name
  }
}

/** True for our own and for Node's system errors with one of these codes. */
export function hasErrno(error: unknown, ...codes: readonly ErrnoName[]): boolean {
  return error instanceof Error && (codes as readonly string[]).includes((error as NodeJS.ErrnoException).code ?? '')
}

/** Reasons of a Kubernetes `Status` (metav1.StatusReason) and the HTTP code each goes with. */
export const STATUS_REASONS = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Gone: 410,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  ServiceUnavailable: 503,
  ServerTimeout: 500,
  Timeout: 504,
  Unknown: 500,
} as const

export type StatusReason = keyof typeof STATUS_REASONS

export interface StatusCause {
  /** `FieldValueRequired`, `FieldValueInvalid`, … */
  readonly reason?: string
  readonly message?: string
  /** Dotted path: `spec.containers[0].name`. */
  readonly field?: string
}

export interface StatusDetails {
  readonly name?: string
  readonly group?: string
  readonly kind?: string
  readonly uid?: string
  readonly causes?: readonly StatusCause[]
  readonly retryAfterSeconds?: number
}

/** An answer of the Kubernetes API that is not success; becomes and is read from a `Status` object. */
export class ApiError extends Error {
  readonly reason: StatusReason
  readonly code: number
  readonly details: StatusDetails | undefined

  constructor(reason: StatusReason, message: string, options: { code?: number; details?: StatusDetails; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'ApiError'
    this.reason = reason
    this.code = options.code ?? STATUS_REASONS[reason]
    this.details = options.details
  }
}

/** True when `error` is an answer with one of these reasons. */
export function isStatus(error: unknown, ...reasons: readonly StatusReason[]): error is ApiError {
  return error instanceof ApiError && reasons.includes(error.reason)
}

/** The message with those of its causes, outermost first: `container init: mount /proc: EPERM`. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message}: ${explain(error.cause)}`
}

/** What was caught, as an Error. */
export const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)))
