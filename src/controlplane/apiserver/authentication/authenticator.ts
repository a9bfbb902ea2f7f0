// Who is asking: each method knows its own kind of proof, says "not mine", or refuses.
import type { HttpRequest } from '../../../lib/index.js'
import { ApiError } from '../../../lib/index.js'
import { ANONYMOUS, type Filter, type User } from '../http/context.js'

/** undefined: no proof of this kind was shown. Throws Unauthorized for a proof that does not hold. */
export type Authenticator = (request: HttpRequest) => Promise<User | undefined> | User | undefined

export const unauthorized = (cause?: unknown): ApiError => new ApiError('Unauthorized', 'Unauthorized', { cause })

/** The token of `Authorization: Bearer …`, or of a WebSocket protocol header. */
export function bearerToken({ headers }: HttpRequest): string | undefined {
  const [scheme = '', token = ''] = (headers.authorization ?? '').trim().split(/\s+/)
  if (scheme.toLowerCase() === 'bearer' && token) return token
  const prefix = 'base64url.bearer.authorization.k8s.io.'
  const protocol = headers['sec-websocket-protocol']?.split(',').find((word) => word.trim().startsWith(prefix))
  return protocol ? Buffer.from(protocol.trim().slice(prefix.length), 'base64url').toString('utf8') : undefined
}

const AUTHENTICATED = 'system:authenticated'

/** Everybody whom a method knows is in `system:authenticated`. */
export const withAuthenticated = (user: User): User =>
  user.groups.includes(AUTHENTICATED) || user.groups.includes('system:unauthenticated')
    ? user
    : { ...user, groups: [...user.groups, AUTHENTICATED] }

/** Asks each method in turn; nobody's request is anonymous. A proof that no method accepts is refused, not ignored. */
export function authentication(methods: readonly Authenticator[]): Filter {
  return async (context, next) => {
    const { request } = context
    const inProcess = request.peer?.inProcessUser
    if (inProcess) context.user = withAuthenticated({ ...inProcess, extra: {} })
    else {
      let found: User | undefined
      for (const method of methods) {
        found = await method(request)
        if (found) break
      }
      if (!found && bearerToken(request) !== undefined) throw unauthorized()
      if (!found && request.headers.authorization) throw unauthorized()
      context.user = found ? withAuthenticated(found) : ANONYMOUS
    }
    return next()
  }
}
