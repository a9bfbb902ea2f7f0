// How much may be asked at one time.
import { ApiError } from '../../../lib/index.js'
import type { Filter } from './context.js'

const MOST_URL = 64 * 1024

export function requestLimits({ reading, writing }: { readonly reading: number; readonly writing: number }): Filter {
  let readers = 0
  let writers = 0
  return async ({ info, request }, next) => {
    if (request.url.length > MOST_URL)
      throw new ApiError('RequestEntityTooLarge', `the request's URL is longer than ${MOST_URL} bytes`, { code: 414 })
    // What lasts as long as the client wishes is bounded by connections, not here.
    const lasts = info.verb === 'watch' || ['exec', 'attach', 'portforward', 'proxy', 'log'].includes(info.subresource)
    const system = request.peer?.inProcessUser !== undefined
    if (lasts || system) return next()
    const reads = ['get', 'list', 'head', 'options'].includes(info.verb)
    if (reads ? readers >= reading : writers >= writing) {
      throw new ApiError('TooManyRequests', 'Too many requests, please try again later.', { details: { retryAfterSeconds: 1 } })
    }
    if (reads) readers++
    else writers++
    try {
      return await next()
    } finally {
      if (reads) readers--
      else writers--
    }
  }
}
