// May this user do that: the question, and how several answers become one.
import { ApiError } from '../../../lib/index.js'
import type { Filter, User } from '../http/context.js'
import type { RequestInfo } from '../http/request-info.js'

export interface AuthorizationAttributes {
  readonly user: User
  readonly verb: string
  readonly isResource: boolean
  readonly group: string
  readonly version: string
  readonly resource: string
  readonly subresource: string
  readonly namespace: string
  readonly name: string
  /** For what is no resource. */
  readonly path: string
  /** As the request says it: some answers depend on what a list is limited to. */
  readonly fieldSelector?: string
}

export interface Decision {
  readonly allowed: boolean
  /** Why, or why not, as far as there is something to say. */
  readonly reason: string
}

export interface Authorizer {
  authorize(attributes: AuthorizationAttributes): Promise<Decision>
}

/** Allowed as soon as one of them allows. */
export const anyOf = (authorizers: readonly Authorizer[]): Authorizer => ({
  async authorize(attributes) {
    const reasons: string[] = []
    for (const authorizer of authorizers) {
      const decision = await authorizer.authorize(attributes)
      if (decision.allowed) return decision
      if (decision.reason) reasons.push(decision.reason)
    }
    return { allowed: false, reason: reasons.join(', ') }
  },
})

/** The group that nothing is forbidden to: the way in when all bindings are broken. */
export const systemMasters: Authorizer = {
  authorize: async ({ user }) => ({ allowed: user.groups.includes('system:masters'), reason: '' }),
}

export function attributesFor(user: User, info: RequestInfo): AuthorizationAttributes {
  const { isResource, group, version, resource, subresource, namespace, path, query, verb } = info
  const fieldSelector = query.get('fieldSelector')
  // A list or watch of one name is a question about that name, as roles with resourceNames expect.
  const name = info.name || (/^metadata\.name=([^,=!]+)$/.exec(fieldSelector ?? '')?.[1] ?? '')
  return {
    user,
    verb,
    isResource,
    group,
    version,
    resource,
    subresource,
    namespace,
    name,
    path,
    ...(fieldSelector !== null && { fieldSelector }),
  }
}

/** `pods "a" is forbidden: User "bob" cannot get resource "pods" in API group "" in the namespace "default"` */
export function forbidden(attributes: AuthorizationAttributes, reason: string): ApiError {
  const { user, verb, isResource, group, resource, subresource, namespace, name, path } = attributes
  const because = reason ? `: ${reason}` : ''
  if (!isResource)
    return new ApiError('Forbidden', `forbidden: User ${JSON.stringify(user.name)} cannot ${verb} path ${JSON.stringify(path)}${because}`)
  const qualified = group ? `${resource}.${group}` : resource
  const what = subresource ? `${resource}/${subresource}` : resource
  const where = namespace ? ` in the namespace ${JSON.stringify(namespace)}` : ' at the cluster scope'
  return new ApiError(
    'Forbidden',
    `${qualified}${name ? ` ${JSON.stringify(name)}` : ''} is forbidden: User ${JSON.stringify(user.name)} cannot ${verb} resource ${JSON.stringify(what)} in API group ${JSON.stringify(group)}${where}${because}`,
    { details: { ...(name && { name }), ...(group && { group }), kind: resource } },
  )
}

export function authorization(authorizer: Authorizer): Filter {
  return async (context, next) => {
    const attributes = attributesFor(context.user, context.info)
    const { allowed, reason } = await authorizer.authorize(attributes)
    if (!allowed) throw forbidden(attributes, reason)
    return next()
  }
}
