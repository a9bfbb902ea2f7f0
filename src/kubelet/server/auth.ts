// Who may use the node API: certificates of the cluster's CA or tokens the API server knows, and its word on what they may do.
import { X509Certificate } from 'node:crypto'
import { SubjectAccessReview, type SubjectAccessReviewSpec, TokenReview } from '../../api/index.js'
import type { Client } from '../../client/index.js'
import { ApiError, type Clock, type HttpRequest } from '../../lib/index.js'

export interface User {
  readonly name: string
  readonly groups: readonly string[]
  readonly uid?: string | undefined
  readonly extra?: Readonly<Record<string, readonly string[]>> | undefined
}

export interface AuthOptions {
  readonly client: Client
  readonly clock: Clock
  readonly nodeName: string
  /** PEM of the CA of client certificates. */
  readonly clientCa: string | undefined
}

export interface Auth {
  /** Resolves when the request may go on; throws Unauthorized or Forbidden. */
  check(request: HttpRequest): Promise<User>
}

const TOKEN_TTL_MS = 120_000
const ALLOWED_TTL_MS = 300_000
const DENIED_TTL_MS = 30_000
const CACHE_SIZE = 1_000

/** Groups are the certificate's organisations, the name its common name. */
export function userOfCertificate(der: Uint8Array, caPem: string, now: number): User | undefined {
  const certificate = new X509Certificate(der)
  const authorities = caPem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []
  const trusted = authorities.some((pem) => {
    const ca = new X509Certificate(pem)
    return ca.ca && certificate.checkIssued(ca) && certificate.verify(ca.publicKey)
  })
  if (!trusted || now < Date.parse(certificate.validFrom) || now > Date.parse(certificate.validTo)) return undefined
  const usages = certificate.keyUsage as readonly string[] | undefined
  if (usages && !usages.includes('1.3.6.1.5.5.7.3.2')) return undefined
  const fields = certificate.subject.split('\n').map((line) => line.split(/=(.*)/s))
  const name = fields.find(([key]) => key === 'CN')?.[1]
  const groups = fields.filter(([key]) => key === 'O').map(([, value]) => value ?? '')
  return name ? { name, groups: [...groups, 'system:authenticated'] } : undefined
}

const STREAMS = /^\/(exec|attach|portForward|run)\//

/** The attributes under which the API server judges a request: a subresource of this node. */
export function attributesOf(method: string, path: string, nodeName: string): SubjectAccessReviewSpec['resourceAttributes'] {
  const verbs: Readonly<Record<string, string>> = {
    GET: 'get',
    HEAD: 'get',
    POST: 'create',
    PUT: 'update',
    PATCH: 'patch',
    DELETE: 'delete',
  }
  const subresource = path.startsWith('/stats/')
    ? 'stats'
    : /^\/metrics(\/|$)/.test(path)
      ? 'metrics'
      : /^\/logs(\/|$)/.test(path)
        ? 'log'
        : path === '/pods' || path.startsWith('/runningpods')
          ? 'pods'
          : path === '/configz'
            ? 'configz'
            : path.startsWith('/healthz')
              ? 'healthz'
              : 'proxy'
  // A WebSocket begins with GET; running something in a pod is more than reading.
  const verb = STREAMS.test(path) ? 'create' : (verbs[method] ?? 'get')
  return { verb, group: '', version: 'v1', resource: 'nodes', subresource, name: nodeName }
}

interface Cached<T> {
  readonly value: T
  readonly until: number
}

function cache<T>(clock: Clock) {
  const entries = new Map<string, Cached<T>>()
  return {
    get(key: string): T | undefined {
      const entry = entries.get(key)
      return entry && clock.now() < entry.until ? entry.value : undefined
    },
    set(key: string, value: T, ttl: number): void {
      if (entries.size >= CACHE_SIZE) entries.delete(entries.keys().next().value as string)
      entries.set(key, { value, until: clock.now() + ttl })
    },
  }
}

export function createAuth({ client, clock, nodeName, clientCa }: AuthOptions): Auth {
  const tokens = cache<User>(clock)
  const verdicts = cache<boolean>(clock)

  async function userOfToken(token: string): Promise<User | undefined> {
    const known = tokens.get(token)
    if (known) return known
    const review = await client.create(TokenReview, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      metadata: { name: '' },
      spec: { token },
    })
    const { authenticated, user } = review.status ?? {}
    if (!authenticated || !user?.username) return undefined
    const found: User = { name: user.username, groups: user.groups ?? [], uid: user.uid, extra: user.extra }
    tokens.set(token, found, TOKEN_TTL_MS)
    return found
  }

  async function authenticate({ peer, headers }: HttpRequest): Promise<User | undefined> {
    if (peer?.inProcessUser) return peer.inProcessUser
    if (peer?.clientCertificate && clientCa) {
      const user = userOfCertificate(peer.clientCertificate, clientCa, clock.now())
      if (user) return user
    }
    const [, token] = /^Bearer\s+(.+)$/i.exec(headers.authorization ?? '') ?? []
    return token ? await userOfToken(token) : undefined
  }

  async function allowed(user: User, spec: SubjectAccessReviewSpec): Promise<boolean> {
    const key = JSON.stringify([user.name, user.groups, spec])
    const known = verdicts.get(key)
    if (known !== undefined) return known
    const review = await client.create(SubjectAccessReview, {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      metadata: { name: '' },
      spec: { ...spec, user: user.name, groups: user.groups, uid: user.uid, extra: user.extra },
    })
    const verdict = review.status?.allowed === true
    verdicts.set(key, verdict, verdict ? ALLOWED_TTL_MS : DENIED_TTL_MS)
    return verdict
  }

  return {
    async check(request) {
      const path = request.url.split('?')[0] ?? '/'
      const user = await authenticate(request)
      // Whether the node lives is no secret.
      if (!user && (path === '/healthz' || path === '/healthz/ping'))
        return { name: 'system:anonymous', groups: ['system:unauthenticated'] }
      if (!user) throw new ApiError('Unauthorized', 'Unauthorized')
      // The API server itself, in its own words: it need not be asked about.
      if (user.groups.includes('system:masters')) return user
      const resourceAttributes = attributesOf(request.method, path, nodeName)
      if (await allowed(user, { resourceAttributes })) return user
      // Those who may do anything with the node may also do the finer things.
      const coarse = { ...resourceAttributes, subresource: 'proxy' }
      if (resourceAttributes?.subresource !== 'proxy' && (await allowed(user, { resourceAttributes: coarse }))) return user
      const { verb, subresource } = resourceAttributes ?? {}
      throw new ApiError('Forbidden', `Forbidden (user=${user.name}, verb=${verb}, resource=nodes, subresource=${subresource})`)
    },
  }
}
