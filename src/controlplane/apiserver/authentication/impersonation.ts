// A user who may act as another does so: `Impersonate-User` and its companions.
import { ApiError, type HttpHeaders } from '../../../lib/index.js'
import { type AuthorizationAttributes, type Authorizer, forbidden } from '../authorization/authorizer.js'
import type { Filter, User } from '../http/context.js'
import { extraHeaders, splitList } from './front-proxy.js'

const SERVICE_ACCOUNT = /^system:serviceaccount:([^:]+):([^:]+)$/

/** Who the headers ask to be; undefined when they ask nothing. */
function impersonated(headers: HttpHeaders): User | undefined {
  const name = headers['impersonate-user']
  const uid = headers['impersonate-uid']
  const groups = splitList(headers['impersonate-group'])
  const extra = extraHeaders(headers, 'impersonate-extra-')
  if (!name) {
    if (groups.length > 0 || uid || Object.keys(extra).length > 0) {
      throw new ApiError('InternalError', 'Internal error occurred: requested impersonation without impersonating a user')
    }
    return undefined
  }
  const account = SERVICE_ACCOUNT.exec(name)
  const implied = account && groups.length === 0 ? ['system:serviceaccounts', `system:serviceaccounts:${account[1]}`] : []
  return { name, ...(uid && { uid }), groups: [...groups, ...implied], extra }
}

export function impersonation(authorizer: Authorizer): Filter {
  return async (context, next) => {
    const target = impersonated(context.request.headers)
    if (!target) return next()
    const { user } = context
    const ask = async (attributes: {
      group: string
      resource: string
      subresource?: string
      namespace?: string
      name: string
    }): Promise<void> => {
      const question: AuthorizationAttributes = {
        user,
        verb: 'impersonate',
        isResource: true,
        version: 'v1',
        namespace: '',
        subresource: '',
        path: '',
        ...attributes,
      }
      const { allowed, reason } = await authorizer.authorize(question)
      if (!allowed) throw forbidden(question, reason)
    }
    const account = SERVICE_ACCOUNT.exec(target.name)
    if (account) await ask({ group: '', resource: 'serviceaccounts', namespace: account[1] as string, name: account[2] as string })
    else await ask({ group: '', resource: 'users', name: target.name })
    for (const group of splitList(context.request.headers['impersonate-group'])) await ask({ group: '', resource: 'groups', name: group })
    if (target.uid) await ask({ group: 'authentication.k8s.io', resource: 'uids', name: target.uid })
    for (const [key, values] of Object.entries(target.extra)) {
      for (const value of values) await ask({ group: 'authentication.k8s.io', resource: 'userextras', subresource: key, name: value })
    }
    const anonymous = target.name === 'system:anonymous'
    const standing = anonymous ? 'system:unauthenticated' : 'system:authenticated'
    context.user = target.groups.includes(standing) ? target : { ...target, groups: [...target.groups, standing] }
    return next()
  }
}
