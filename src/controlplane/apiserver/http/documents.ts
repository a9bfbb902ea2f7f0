// What is no resource: discovery, OpenAPI, version, health, metrics, keys of tokens.

import { createHash } from 'node:crypto'
import { discoveryDocuments, openApiV2, openApiV3, type ResourceType } from '../../../api/index.js'
import type { Clock, HttpHeaders, HttpResponse } from '../../../lib/index.js'
import type { ServiceAccountTokens } from '../authentication/service-accounts.js'
import type { TypeRegistry } from '../registry/backend.js'
import { VERSION } from '../version.js'
import type { RequestContext } from './context.js'
import { noSuchMethod, noSuchResource } from './errors.js'
import { type HealthCheck, health } from './health.js'
import { notAcceptable, parseAccept } from './negotiate.js'
import { answer, jsonBytes } from './respond.js'

interface DocumentServices {
  readonly clock: Clock
  readonly types: TypeRegistry
  readonly tokens: ServiceAccountTokens
  readonly checks: readonly HealthCheck[]
  readonly metrics: () => Promise<string>
}

interface Document {
  readonly body: Buffer
  readonly hash: string
}

const document = (value: unknown): Document => {
  const body = jsonBytes(value)
  return { body, hash: createHash('sha512').update(body).digest('hex').toUpperCase() }
}

/** Made when first asked for, again when the kinds changed. */
function remembered<T>(types: TypeRegistry, make: () => T): () => T {
  let generation = -1
  let value: T
  return () => {
    if (generation !== types.generation) {
      value = make()
      generation = types.generation
    }
    return value
  }
}

const OPENAPI_PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf'

const JSON_WORDS = ['application/json', 'application/*', '*/*']

/** Which of the forms of discovery the client takes first; undefined for none. */
function discoveryForm(accept: string | undefined): 'v2' | 'v2beta1' | 'legacy' | undefined {
  if (!accept?.trim()) return 'legacy'
  for (const { type, parameters } of parseAccept(accept)) {
    if (!JSON_WORDS.includes(type)) continue
    if (parameters.as === undefined) return 'legacy'
    if (parameters.as !== 'APIGroupDiscoveryList' || parameters.g !== 'apidiscovery.k8s.io') continue
    if (parameters.v === 'v2' || parameters.v === 'v2beta1') return parameters.v
  }
  return undefined
}

const takesJson = (accept: string | undefined): boolean =>
  !accept?.trim() || parseAccept(accept).some(({ type }) => JSON_WORDS.includes(type))

function cached({ request }: RequestContext, { body, hash }: Document, headers: HttpHeaders = {}): HttpResponse {
  const etag = `"${hash}"`
  if (request.headers['if-none-match'] === etag) return { status: 304, headers: { etag }, body: new Uint8Array(0) }
  return answer(200, body, { etag, vary: 'Accept', ...headers })
}

/** Who names the hash of a document may keep it for ever; who names an old one is sent to the new one. */
function pinned(
  context: RequestContext,
  found: Document,
  { path, hash, clock }: { readonly path: string; readonly hash: string; readonly clock: Clock },
): HttpResponse {
  const named = context.info.query.get('hash')
  if (!named) return cached(context, found)
  if (named !== hash) return { status: 301, headers: { location: `${path}?hash=${hash}` }, body: new Uint8Array(0) }
  const expires = new Date(clock.now())
  expires.setUTCFullYear(expires.getUTCFullYear() + 1)
  return cached(context, found, { 'cache-control': 'public, immutable', expires: expires.toUTCString() })
}

export function createDocuments({
  clock,
  types,
  tokens,
  checks,
  metrics,
}: DocumentServices): (context: RequestContext) => Promise<HttpResponse> {
  const discovery = remembered(types, () => {
    const { api, apis, groups, versions, aggregated } = discoveryDocuments(types.all())
    const aggregatedAs = (version: 'v2' | 'v2beta1', list: unknown): Document =>
      document({ ...(list as object), kind: 'APIGroupDiscoveryList', apiVersion: `apidiscovery.k8s.io/${version}` })
    return {
      byPath: new Map<string, Document>([
        ['/api', document(api)],
        ['/apis', document(apis)],
        ...[...groups].map(([group, value]) => [`/apis/${group}`, document(value)] as const),
        ...[...versions].map(([path, value]) => [path, document(value)] as const),
      ]),
      aggregated: new Map([
        ['/api v2', aggregatedAs('v2', aggregated.api)],
        ['/api v2beta1', aggregatedAs('v2beta1', aggregated.api)],
        ['/apis v2', aggregatedAs('v2', aggregated.apis)],
        ['/apis v2beta1', aggregatedAs('v2beta1', aggregated.apis)],
      ]),
    }
  })
  const v2 = remembered(types, () => document(openApiV2(types.all(), VERSION.gitVersion)))
  const v2Protobuf = remembered(types, async () => {
    const { encodeOpenApiV2 } = await import('./openapi-protobuf.js')
    const body = encodeOpenApiV2(openApiV2(types.all(), VERSION.gitVersion))
    return { body, hash: createHash('sha512').update(body).digest('hex').toUpperCase() }
  })
  // Each document is made when it is asked for: together they are megabytes that few clients want.
  const v3 = remembered(types, () => {
    const groups = new Map<string, ResourceType[]>()
    for (const type of types.all()) {
      const path = type.group ? `apis/${type.group}/${type.version}` : `api/${type.version}`
      groups.set(path, [...(groups.get(path) ?? []), type])
    }
    const made = new Map<string, Document>()
    const hash = createHash('sha256').update(`${VERSION.gitVersion} ${types.generation}`).digest('hex').toUpperCase()
    const paths = Object.fromEntries([...groups.keys()].map((path) => [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }]))
    const get = (path: string): Document | undefined => {
      const members = groups.get(path)
      if (!members || made.has(path)) return made.get(path)
      for (const [name, value] of openApiV3(members, VERSION.gitVersion)) made.set(name, document(value))
      return made.get(path)
    }
    return { get, hash, index: document({ paths }) }
  })

  const discover = (context: RequestContext, path: string): HttpResponse | undefined => {
    const { byPath, aggregated } = discovery()
    const found = byPath.get(path)
    if (!found) return undefined
    const form = discoveryForm(context.request.headers.accept)
    if (!form) throw notAcceptable()
    const whole = form === 'legacy' ? undefined : aggregated.get(`${path} ${form}`)
    return whole
      ? cached(context, whole, { 'content-type': `application/json;g=apidiscovery.k8s.io;v=${form};as=APIGroupDiscoveryList` })
      : cached(context, found)
  }

  const paths = (): string[] => [
    ...discovery().byPath.keys(),
    ...['healthz', 'livez', 'readyz'].flatMap((endpoint) => [
      `/${endpoint}`,
      ...checks.filter(({ of }) => of.includes(endpoint as 'livez')).map(({ name }) => `/${endpoint}/${name}`),
    ]),
    '/.well-known/openid-configuration',
    '/metrics',
    '/openapi/v2',
    '/openapi/v3',
    '/openid/v1/jwks',
    '/version',
  ]

  return async (context) => {
    const { info, request } = context
    const { path } = info
    if (request.method !== 'GET' && request.method !== 'HEAD') throw noSuchMethod()
    const checked = await health(info, checks)
    if (checked) return checked
    const bare = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
    switch (bare) {
      case '/':
        return answer(200, jsonBytes({ paths: paths().sort() }))
      case '/version':
        return answer(200, jsonBytes(VERSION))
      case '/metrics':
        return answer(200, Buffer.from(await metrics()), { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' })
      case '/openapi/v2':
        if (takesJson(request.headers.accept)) return cached(context, v2())
        if (!request.headers.accept?.includes('proto-openapi')) throw notAcceptable()
        return cached(context, await v2Protobuf(), { 'content-type': OPENAPI_PROTOBUF })
      case '/openapi/v3':
        return cached(context, v3().index)
      case '/openid/v1/jwks':
        return answer(200, jsonBytes(tokens.keys()), { 'content-type': 'application/jwk-set+json' })
      case '/.well-known/openid-configuration':
        return answer(200, jsonBytes(tokens.configuration()))
    }
    const discovered = discover(context, bare)
    if (discovered) return discovered
    if (bare.startsWith('/openapi/v3/')) {
      const { get, hash } = v3()
      const found = get(bare.slice('/openapi/v3/'.length))
      if (found) return pinned(context, found, { path: bare, hash, clock })
    }
    throw noSuchResource()
  }
}
