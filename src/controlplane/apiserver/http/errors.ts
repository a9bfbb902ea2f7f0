// The outermost link: whatever is thrown becomes a Status, and every answer gets its headers.
import { encodeJson, errorStatus, type JsonObject, statusOf } from '../../../api/index.js'
import { ApiError, explain, type HttpResponse, type Logger } from '../../../lib/index.js'
import { StoreUnavailableError } from '../../../store/index.js'
import { ExpiredError } from '../registry/list.js'
import type { Filter } from './context.js'
import { answer, compressed, warningHeader } from './respond.js'

/** The one place where errors of other floors become those of the API. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof StoreUnavailableError)
    return new ApiError('ServiceUnavailable', 'the store cannot be reached', { cause: error, details: { retryAfterSeconds: 1 } })
  return errorStatus(error)
}

export function errorBody(error: ApiError): JsonObject {
  const status = statusOf(error)
  return error instanceof ExpiredError && error.continueToken ? { ...status, metadata: { continue: error.continueToken } } : status
}

export function errorResponse(error: ApiError): HttpResponse {
  const retry = error.details?.retryAfterSeconds
  return answer(error.code, encodeJson(errorBody(error)), {
    ...(retry !== undefined && { 'retry-after': String(retry) }),
    ...(error.code === 401 && { 'www-authenticate': 'Bearer' }),
  })
}

export const answerErrors =
  (log: Logger): Filter =>
  async (context, next) => {
    let response: HttpResponse
    try {
      response = await next()
    } catch (thrown) {
      const error = toApiError(thrown)
      if (error.code >= 500 && error.reason === 'InternalError')
        log.error('request failed', {
          method: context.request.method,
          url: context.request.url,
          err: explain(thrown),
          stack: thrown instanceof Error ? thrown.stack : undefined,
        })
      response = errorResponse(error)
    }
    const warnings = context.warnings.length > 0 ? { warning: warningHeader(context.warnings) } : {}
    const headers = { 'cache-control': 'no-cache, private', ...response.headers, ...warnings }
    return compressed({ ...response, headers }, context.request.headers['accept-encoding'])
  }

export const noSuchResource = (): ApiError => new ApiError('NotFound', 'the server could not find the requested resource', { details: {} })
export const noSuchMethod = (): ApiError =>
  new ApiError('MethodNotAllowed', 'the server does not allow this method on the requested resource')
