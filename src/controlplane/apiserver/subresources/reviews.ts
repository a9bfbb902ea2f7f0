// Questions asked as objects: who is this, may they do that. Nothing is stored.
import {
  type JsonObject,
  type PolicyRule,
  type Resource,
  type SubjectAccessReviewSpec,
  type TokenReviewSpec,
  throwIfInvalid,
} from '../../../api/index.js'
import { ApiError, asError, type HttpRequest, rfc3339 } from '../../../lib/index.js'
import { type Authenticator, withAuthenticated } from '../authentication/authenticator.js'
import type { ServiceAccountTokens } from '../authentication/service-accounts.js'
import type { Authorizer } from '../authorization/authorizer.js'
import type { Rbac } from '../authorization/rbac.js'
import { readObject } from '../http/body.js'
import type { RequestContext, User } from '../http/context.js'
import { noSuchMethod } from '../http/errors.js'
import { negotiate } from '../http/negotiate.js'
import { answer, jsonBytes } from '../http/respond.js'
import type { SpecialHandler, SpecialHandlers } from '../verbs/services.js'

interface ReviewServices {
  readonly authorizer: Authorizer
  readonly rbac: Rbac
  readonly tokens: ServiceAccountTokens
  /** Methods that know bearer tokens other than service accounts'. */
  readonly others: readonly Authenticator[]
}

/** `review` computes the status from the spec; metadata of the question is not kept. */
const question =
  (
    kind: string,
    group: string,
    review: (spec: JsonObject, context: RequestContext, body: JsonObject) => Promise<{ spec?: unknown; status: unknown }>,
  ): SpecialHandler =>
  async (context, type, services) => {
    if (context.info.verb !== 'create') throw noSuchMethod()
    negotiate(context.request.headers.accept, { table: false, partial: false })
    const { value } = await readObject(context, services.maxBodyBytes, kind)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new ApiError('BadRequest', `the body must be a ${kind}`)
    if (value.kind !== undefined && value.kind !== kind)
      throw new ApiError('BadRequest', `${String(value.kind)} in version "v1" cannot be handled as a ${kind}`)
    const spec = (value.spec ?? {}) as JsonObject
    const { namespace } = context.info
    throwIfInvalid(
      { group, kind, name: '' },
      type.validate({ apiVersion: type.apiVersion, kind, metadata: { name: '', namespace }, spec } as Resource),
    )
    const { status, spec: shown = spec } = await review(spec, context, value)
    const metadata = { creationTimestamp: kind === 'SelfSubjectReview' ? rfc3339(services.backend.clock.now()) : null }
    return answer(
      201,
      jsonBytes({
        kind,
        apiVersion: `${group}/${type.version}`,
        metadata,
        ...(kind === 'SelfSubjectReview' ? {} : { spec: shown }),
        status,
      }),
    )
  }

async function access(spec: Partial<SubjectAccessReviewSpec>, user: User, authorizer: Authorizer): Promise<unknown> {
  const { resourceAttributes: resource, nonResourceAttributes: path } = spec
  const fields =
    resource?.fieldSelector?.requirements?.map(({ key, values }) => `${key}=${values?.[0] ?? ''}`).join(',') ??
    resource?.fieldSelector?.rawSelector
  const decision = await authorizer.authorize({
    user,
    isResource: resource !== undefined,
    verb: resource?.verb ?? path?.verb ?? '',
    group: resource?.group ?? '',
    version: resource?.version ?? '',
    resource: resource?.resource ?? '',
    subresource: resource?.subresource ?? '',
    namespace: resource?.namespace ?? '',
    name: resource?.name ?? '',
    path: path?.path ?? '',
    ...(fields && { fieldSelector: fields }),
  })
  return { allowed: decision.allowed, ...(decision.reason && { reason: decision.reason }) }
}

const namedUser = ({ user = '', groups = [], uid, extra = {} }: Partial<SubjectAccessReviewSpec>): User => ({
  name: user,
  groups,
  extra,
  ...(uid && { uid }),
})

const userInfo = ({ name, uid, groups, extra }: User): unknown => ({
  username: name,
  ...(uid && { uid }),
  ...(groups.length > 0 && { groups }),
  ...(Object.keys(extra).length > 0 && { extra }),
})

async function reviewToken(spec: TokenReviewSpec, context: RequestContext, { tokens, others }: ReviewServices): Promise<unknown> {
  if (!spec.token) throw new ApiError('BadRequest', 'token is required for TokenReview in authentication')
  const wanted = spec.audiences?.length ? spec.audiences : tokens.defaultAudiences
  const verified = await tokens.verify(spec.token, wanted)
  if (verified) return { authenticated: true, user: userInfo(withAuthenticated(verified.user)), audiences: verified.audiences }
  const request: HttpRequest = { method: 'GET', url: context.request.url, headers: { authorization: `Bearer ${spec.token}` } }
  try {
    for (const other of others) {
      const user = await other(request)
      if (user) return { authenticated: true, user: userInfo(withAuthenticated(user)), audiences: tokens.defaultAudiences }
    }
  } catch (error) {
    return { user: {}, error: asError(error).message }
  }
  return { user: {}, error: '[invalid bearer token, token lookup failed]' }
}

function splitRules(rules: readonly PolicyRule[]): { resourceRules: unknown[]; nonResourceRules: unknown[] } {
  const resourceRules: unknown[] = []
  const nonResourceRules: unknown[] = []
  // Several bindings may give the same rule.
  const unique = [...new Map(rules.map((rule) => [JSON.stringify(rule), rule])).values()]
  for (const { verbs, apiGroups, resources, resourceNames, nonResourceURLs } of unique) {
    if (resources?.length)
      resourceRules.push({ verbs, apiGroups: apiGroups ?? [], resources, ...(resourceNames?.length && { resourceNames }) })
    if (nonResourceURLs?.length) nonResourceRules.push({ verbs, nonResourceURLs })
  }
  return { resourceRules, nonResourceRules }
}

const AUTHZ = 'authorization.k8s.io'
const AUTHN = 'authentication.k8s.io'

export function reviewHandlers(services: ReviewServices): SpecialHandlers {
  const { authorizer, rbac } = services
  const aboutOther = async (spec: JsonObject) => ({ status: await access(spec, namedUser(spec), authorizer) })
  return new Map<string, SpecialHandler>([
    [`${AUTHZ}/subjectaccessreviews`, question('SubjectAccessReview', AUTHZ, aboutOther)],
    [`${AUTHZ}/localsubjectaccessreviews`, question('LocalSubjectAccessReview', AUTHZ, aboutOther)],
    [
      `${AUTHZ}/selfsubjectaccessreviews`,
      question('SelfSubjectAccessReview', AUTHZ, async (spec, { user }) => ({ status: await access(spec, user, authorizer) })),
    ],
    [
      `${AUTHZ}/selfsubjectrulesreviews`,
      question('SelfSubjectRulesReview', AUTHZ, async (spec, { user }) => {
        const namespace = typeof spec.namespace === 'string' ? spec.namespace : ''
        if (!namespace) throw new ApiError('BadRequest', 'no namespace on request')
        const { rules, problems } = await rbac.rulesFor(user, namespace)
        return {
          spec: {},
          status: {
            ...splitRules(rules),
            incomplete: problems.length > 0,
            ...(problems.length > 0 && { evaluationError: problems.join(', ') }),
          },
        }
      }),
    ],
    [
      `${AUTHN}/tokenreviews`,
      question('TokenReview', AUTHN, async (spec, context) => ({
        status: await reviewToken(spec as unknown as TokenReviewSpec, context, services),
      })),
    ],
    [
      `${AUTHN}/selfsubjectreviews`,
      question('SelfSubjectReview', AUTHN, async (_spec, { user }) => ({ status: { userInfo: userInfo(user) } })),
    ],
  ])
}
