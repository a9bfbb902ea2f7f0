// What a call of the CRI fails with.

/** gRPC status codes in use (https://grpc.io/docs/guides/status-codes/). */
export const CRI_CODES = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const

export type CriCode = keyof typeof CRI_CODES

/** Thrown by every method of the CRI; callers branch on `code`. */
export class CriError extends Error {
  override readonly name = 'CriError'
  readonly code: CriCode

  constructor(code: CriCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

export const notFound = (what: string, id: string): CriError => new CriError('NOT_FOUND', `${what} ${JSON.stringify(id)} not found`)
export const invalid = (message: string): CriError => new CriError('INVALID_ARGUMENT', message)

/** One line that says what failed and why, outermost first. */
export function sentence(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : sentence(error.cause)
  return cause && !error.message.includes(cause) ? `${error.message}: ${cause}` : error.message
}

/** `error` as a CriError of what was being done; errors that are CriErrors already keep their code. */
export function criError(step: string, error: unknown, code: CriCode = 'UNKNOWN'): CriError {
  if (error instanceof CriError) return error
  return new CriError(code, `${step}: ${sentence(error)}`, { cause: error })
}
