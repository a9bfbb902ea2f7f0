// Tokens of service accounts: made on request, bound to an object, believed as long as both exist.
import { Node, Pod, type Resource, Secret, ServiceAccount } from '../../../api/index.js'
import { type Clock, type Random, uuid } from '../../../lib/index.js'
import type { User } from '../http/context.js'
import type { ServiceAccountKeys } from '../options.js'
import type { Reader } from '../registry/backend.js'
import { type Authenticator, bearerToken, unauthorized } from './authenticator.js'
import { jwks, parseToken, signedBy, signerOf, signToken, verifierOf } from './jwt.js'

interface Reference {
  readonly name: string
  readonly uid: string
}

interface KubernetesClaim {
  readonly namespace?: string
  readonly serviceaccount?: Reference
  readonly pod?: Reference
  readonly secret?: Reference
  readonly node?: Reference
}

export interface TokenWish {
  readonly account: ServiceAccount
  readonly audiences: readonly string[]
  readonly seconds: number
  readonly pod?: Reference | undefined
  readonly secret?: Reference | undefined
  readonly node?: Reference | undefined
}

export interface Verified {
  readonly user: User
  /** Of the audiences asked for, those the token is meant for. */
  readonly audiences: readonly string[]
}

export interface ServiceAccountTokens {
  readonly authenticator: Authenticator
  readonly issuer: string
  readonly defaultAudiences: readonly string[]
  issue(wish: TokenWish): { readonly token: string; readonly expires: number }
  /** undefined when the token does not hold, or is meant for none of `audiences`. */
  verify(token: string, audiences: readonly string[]): Promise<Verified | undefined>
  /** `/openid/v1/jwks`. */
  keys(): unknown
  /** `/.well-known/openid-configuration`. */
  configuration(): unknown
}

const LEEWAY_SECONDS = 10

export function serviceAccountTokens(
  keys: ServiceAccountKeys,
  reader: Reader,
  { clock, random }: { clock: Clock; random: Random },
): ServiceAccountTokens {
  const signer = signerOf(keys.signingKey)
  const verifiers = [signer, ...(keys.publicKeys ?? []).map(verifierOf)]
  const defaultAudiences = keys.audiences ?? [keys.issuer]
  const seconds = (): number => Math.floor(clock.now() / 1000)

  const alive = (found: Resource | undefined, { uid }: Reference): boolean => found !== undefined && found.metadata.uid === uid
  /** An object that is being deleted vouches for a minute more, so that programs can end in order. */
  const bound = (found: Resource | undefined, reference: Reference): boolean => {
    const ends = found?.metadata.deletionTimestamp
    return alive(found, reference) && (!ends || clock.now() < Date.parse(ends) + 60_000)
  }

  const objectsHold = async (namespace: string, { serviceaccount, pod, secret, node }: KubernetesClaim): Promise<boolean> => {
    if (!serviceaccount || !bound(await reader.find(ServiceAccount, namespace, serviceaccount.name), serviceaccount)) return false
    if (pod && !bound(await reader.find(Pod, namespace, pod.name), pod)) return false
    if (secret && !bound(await reader.find(Secret, namespace, secret.name), secret)) return false
    // A token of a pod names its node as a fact only; a token bound to the node ends with it.
    return pod !== undefined || !node || bound(await reader.find(Node, '', node.name), node)
  }

  const verify: ServiceAccountTokens['verify'] = async (token, wanted) => {
    const parsed = parseToken(token)
    if (!parsed || parsed.claims.iss !== keys.issuer || !signedBy(parsed, verifiers)) return undefined
    const { exp, nbf, aud, jti } = parsed.claims
    const now = seconds()
    if (typeof exp !== 'number' || now > exp + LEEWAY_SECONDS) return undefined
    if (typeof nbf === 'number' && now < nbf - LEEWAY_SECONDS) return undefined
    const meant = Array.isArray(aud) ? aud : [aud]
    const audiences = wanted.filter((audience) => meant.includes(audience))
    if (audiences.length === 0) return undefined
    const claim = parsed.claims['kubernetes.io'] as KubernetesClaim | undefined
    const { namespace = '', serviceaccount, pod, node } = claim ?? {}
    if (!claim || !serviceaccount || parsed.claims.sub !== `system:serviceaccount:${namespace}:${serviceaccount.name}`) return undefined
    if (!(await objectsHold(namespace, claim))) return undefined
    const extra: Record<string, string[]> = {}
    if (typeof jti === 'string') extra['authentication.kubernetes.io/credential-id'] = [`JTI=${jti}`]
    if (pod) {
      extra['authentication.kubernetes.io/pod-name'] = [pod.name]
      extra['authentication.kubernetes.io/pod-uid'] = [pod.uid]
    }
    if (node) {
      extra['authentication.kubernetes.io/node-name'] = [node.name]
      extra['authentication.kubernetes.io/node-uid'] = [node.uid]
    }
    return { audiences, user: serviceAccountUser(namespace, serviceaccount.name, serviceaccount.uid, extra) }
  }

  return {
    issuer: keys.issuer,
    defaultAudiences,
    verify,
    async authenticator(request) {
      const token = bearerToken(request)
      const parsed = token === undefined ? undefined : parseToken(token)
      if (token === undefined || parsed?.claims.iss !== keys.issuer) return undefined
      const verified = await verify(token, defaultAudiences)
      if (!verified) throw unauthorized()
      return verified.user
    },
    issue({ account, audiences, seconds: lifetime, pod, secret, node }) {
      const now = seconds()
      const { namespace = '', name, uid = '' } = account.metadata
      const claim: KubernetesClaim = {
        namespace,
        serviceaccount: { name, uid },
        ...(pod && { pod }),
        ...(secret && { secret }),
        ...(node && { node }),
      }
      const token = signToken(signer, {
        aud: audiences,
        exp: now + lifetime,
        iat: now,
        iss: keys.issuer,
        jti: uuid(random),
        'kubernetes.io': claim,
        nbf: now,
        sub: `system:serviceaccount:${namespace}:${name}`,
      })
      return { token, expires: (now + lifetime) * 1000 }
    },
    keys: () => jwks(verifiers),
    configuration: () => ({
      issuer: keys.issuer,
      jwks_uri: `${keys.issuer}/openid/v1/jwks`,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: [...new Set(verifiers.map(({ algorithm }) => algorithm))],
    }),
  }
}

export const serviceAccountUser = (namespace: string, name: string, uid: string, extra: User['extra'] = {}): User => ({
  name: `system:serviceaccount:${namespace}:${name}`,
  uid,
  groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`],
  extra,
})
