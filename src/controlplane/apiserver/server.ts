// Puts the API server together: the store below, the chain of handlers above.
import type { Duplex } from 'node:stream'
import { ApiError, type HttpRequest, type HttpResponse } from '../../lib/index.js'
import { compactEvery, encryptingStore } from '../../store/index.js'
import { certificateApproval, certificateSigning, certificateSubjectRestriction } from './admission/certificates.js'
import { escalationCheck } from './admission/escalation.js'
import { namespaceLifecycle } from './admission/namespace-lifecycle.js'
import { nodeRestriction } from './admission/node-restriction.js'
import { taintNodesByCondition } from './admission/nodes.js'
import { type AdmissionPlugin, admissionChain } from './admission/plugin.js'
import { podSecurity } from './admission/pod-security.js'
import { defaultTolerationSeconds, podTolerationOfPressure, priority, runtimeClass, serviceAccount } from './admission/pods.js'
import { defaultStorageClass } from './admission/storage-class.js'
import { type Authenticator, authentication } from './authentication/authenticator.js'
import { bootstrapTokenAuthenticator } from './authentication/bootstrap-tokens.js'
import { certificateAuthenticator } from './authentication/certificates.js'
import { frontProxyAuthenticator } from './authentication/front-proxy.js'
import { impersonation } from './authentication/impersonation.js'
import { oidcAuthenticator } from './authentication/oidc.js'
import { serviceAccountTokens } from './authentication/service-accounts.js'
import { anyOf, authorization, systemMasters } from './authorization/authorizer.js'
import { NODE_RULES, parseRule } from './authorization/bootstrap-policy.js'
import { nodeAuthorizer } from './authorization/node.js'
import { createRbac } from './authorization/rbac.js'
import { bootstrap, publishAuthentication } from './bootstrap.js'
import { ANONYMOUS, compose, type Filter, type RequestContext } from './http/context.js'
import { createDocuments } from './http/documents.js'
import { answerErrors, errorResponse, toApiError } from './http/errors.js'
import { type HealthCheck, healthMetrics } from './http/health.js'
import { requestLimits } from './http/limits.js'
import { requestInfo } from './http/request-info.js'
import { asksForWebSocket, sendOverWebSocket } from './http/websocket.js'
import { certificateRequestHooks } from './kinds/certificate-requests.js'
import { customResourceDefinitions } from './kinds/custom-resource-definitions.js'
import { namespaceHooks } from './kinds/namespaces.js'
import { publishSelf } from './kinds/publish-self.js'
import { serviceHooks } from './kinds/services.js'
import { accessMetrics } from './metrics/access.js'
import { type Family, figures, render } from './metrics/families.js'
import { objectMetrics, watchMetrics } from './metrics/objects.js'
import { processMetrics } from './metrics/process.js'
import { requestMetrics } from './metrics/requests.js'
import { measuredStore } from './metrics/store.js'
import type { ApiServer, ApiServerOptions } from './options.js'
import { pooledRandom } from './pooled-random.js'
import { type Backend, createReader } from './registry/backend.js'
import { createDeleter } from './registry/deletion.js'
import { createFeed } from './registry/feed.js'
import type { KindHooks } from './registry/hooks.js'
import { createWriter } from './registry/writer.js'
import { handleResource } from './resources.js'
import { bindPod } from './subresources/binding.js'
import { evictPod } from './subresources/eviction.js'
import { createForwarder } from './subresources/forward.js'
import { createConnector } from './subresources/node-connection.js'
import { reviewHandlers } from './subresources/reviews.js'
import { scaleHandler } from './subresources/scale.js'
import { requestToken } from './subresources/token.js'
import { createTypes } from './types.js'
import type { ResourceServices, SpecialHandler } from './verbs/services.js'

const EVENT_TTL_SECONDS = 60 * 60
const HISTORY_MS = 5 * 60_000

/** Starts the API over `options.store`; resolves when it can answer. */
export async function createApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { clock, log } = options
  const random = pooledRandom(options.random)
  const { store: measured, families: storeFamilies } = measuredStore(options.store, clock)
  const store = options.encryption?.length ? encryptingStore(measured, { keys: options.encryption, random }) : measured
  const accessCounts = accessMetrics(clock)
  const watchCounts = watchMetrics()
  const abort = new AbortController()
  const watches = new Set<() => void>()
  const endWatches = (): void => {
    for (const end of [...watches]) end()
  }
  const types = createTypes()
  const requestCounts = requestMetrics(clock, types)
  const feed = await createFeed({ store, log, clock, onReset: endWatches })
  const backend: Backend = { store, feed, types, clock, random, log }
  const reader = createReader(feed)

  const tokens = serviceAccountTokens(options.serviceAccounts, reader, { clock, random })
  const otherTokens: readonly Authenticator[] = [
    bootstrapTokenAuthenticator(reader, clock),
    ...(options.oidc ?? []).map((issuer) => oidcAuthenticator(issuer, { clock, log })),
  ]
  const authenticators: readonly Authenticator[] = [
    ...(options.frontProxy ? [frontProxyAuthenticator(options.frontProxy, clock)] : []),
    ...(options.clientCa ? [certificateAuthenticator(options.clientCa, clock, accessCounts.certificateExpiry)] : []),
    tokens.authenticator,
    ...otherTokens,
  ]

  const rbac = createRbac(feed)
  const authorizer = anyOf([systemMasters, nodeAuthorizer(feed, reader, NODE_RULES.map(parseRule)), rbac])

  // In the order of kube-apiserver. Their places are kept: PodNodeSelector, webhooks that change, policies that change (before the
  // checks); LimitRanger (behind ServiceAccount), webhooks and policies that check, ResourceQuota (last).
  const plugins: readonly AdmissionPlugin[] = [
    namespaceLifecycle(reader),
    serviceAccount(reader, random),
    nodeRestriction(reader),
    taintNodesByCondition,
    podSecurity(reader),
    priority(reader),
    defaultTolerationSeconds,
    podTolerationOfPressure,
    defaultStorageClass(reader),
    runtimeClass(reader),
    certificateApproval(authorizer),
    certificateSigning(authorizer),
    certificateSubjectRestriction,
    escalationCheck(rbac, authorizer),
  ]
  const admission = admissionChain(plugins.map(accessCounts.admission))

  const ranges = { cidr: options.serviceCidr ?? '10.96.0.0/16', nodePorts: options.nodePorts ?? { first: 30000, last: 32767 } }
  const hooks = new Map<string, KindHooks>([
    ['services/specs', serviceHooks(store, { clock, random }, ranges)],
    ['namespaces', namespaceHooks],
    ['certificatesigningrequests', certificateRequestHooks(clock)],
    ['events', { ttlSeconds: EVENT_TTL_SECONDS }],
  ])
  const writer = createWriter(backend, admission, hooks)
  const deleter = createDeleter(backend, admission, hooks)
  const services: ResourceServices = {
    backend,
    admission,
    writer,
    deleter,
    maxBodyBytes: options.maxBodyBytes ?? 3 * 1024 * 1024,
    onReset(end) {
      watches.add(end)
      return () => watches.delete(end)
    },
    watchEvents: watchCounts.events,
  }

  const connector = createConnector(options.kubelet)
  const forwarder = createForwarder(connector)
  const special = new Map<string, SpecialHandler>([
    ['/pods/binding', bindPod],
    ['/bindings', bindPod],
    ['/pods/eviction', evictPod],
    ['/serviceaccounts/token', requestToken(tokens)],
    ['*/scale', scaleHandler],
    ...reviewHandlers({ authorizer, rbac, tokens, others: otherTokens }),
    ...forwarder.handlers,
  ])

  let ready = false
  const checks: readonly HealthCheck[] = [
    { name: 'ping', of: ['healthz', 'livez', 'readyz'], check: () => {} },
    { name: 'log', of: ['healthz', 'livez', 'readyz'], check: () => {} },
    { name: 'etcd', of: ['healthz', 'livez', 'readyz'], check: async () => void (await store.revision()) },
    {
      name: 'poststarthook/rbac/bootstrap-roles',
      of: ['healthz', 'livez', 'readyz'],
      check() {
        if (!ready) throw new Error('not finished')
      },
    },
    {
      name: 'shutdown',
      of: ['readyz'],
      check() {
        if (abort.signal.aborted) throw new Error('process is shutting down')
      },
    },
  ]
  const families: readonly Family[] = [
    ...requestCounts.families,
    ...watchCounts.families,
    ...accessCounts.families,
    ...storeFamilies,
    ...objectMetrics(types.all, feed, measured),
    figures('apiserver_storage_size_bytes', 'gauge', 'Size of the store.', async () => [
      { labels: { storage_cluster_id: 'knarr' }, value: await store.size() },
    ]),
    figures('etcd_revision', 'gauge', 'Revision of the store.', async () => [{ labels: {}, value: await store.revision() }]),
    healthMetrics(checks),
    ...processMetrics(clock),
  ]
  const documents = createDocuments({ clock, types, tokens, checks, metrics: () => render(families) })

  const dispatch = (context: RequestContext) => (context.info.isResource ? handleResource(context, services, special) : documents(context))
  const before: readonly Filter[] = [
    answerErrors(log),
    requestCounts.filter,
    requestLimits({ reading: options.maxReading ?? 400, writing: options.maxWriting ?? 200 }),
    accessCounts.authentication(authentication(authenticators)),
    impersonation(authorizer),
    // audit: here, where the user is known and nothing is done yet
    // priority and fairness: here, in front of the work
    accessCounts.authorization(authorization(authorizer)),
  ]
  const chain = compose([...before, dispatch])

  const contextOf = (request: HttpRequest): RequestContext => ({
    request,
    info: requestInfo(request.method, request.url),
    user: ANONYMOUS,
    warnings: [],
  })
  const handler = async (request: HttpRequest): Promise<HttpResponse> => {
    let context: RequestContext
    try {
      context = contextOf(request)
    } catch (error) {
      return errorResponse(toApiError(error))
    }
    return chain(context)
  }

  /** The same chain for a connection that becomes another protocol; its end is the tunnel. */
  const upgrade = async (request: HttpRequest, socket: Duplex, head: Uint8Array): Promise<void> => {
    const tunnel: Filter = async (context) => {
      const { verb, subresource } = context.info
      if (asksForWebSocket(request) && (verb === 'watch' || subresource === 'log')) {
        const response = await dispatch(context)
        if (response.status !== 200) return response
        await sendOverWebSocket(request, socket, head, { body: response.body, events: verb === 'watch' })
        return { status: 101, headers: {}, body: new Uint8Array(0) }
      }
      await forwarder.upgrade(context, services, socket, head)
      return { status: 101, headers: {}, body: new Uint8Array(0) }
    }
    const run = compose([...before, tunnel])
    const response = await Promise.resolve()
      .then(() => run(contextOf(request)))
      .catch((error: unknown) => errorResponse(toApiError(error)))
    if (response.status === 101 || socket.destroyed || !socket.writable) return
    const body = response.body instanceof Uint8Array ? response.body : new Uint8Array(0)
    const headers = Object.entries({ ...response.headers, 'content-length': String(body.length), connection: 'close' })
    socket.write(`HTTP/1.1 ${response.status} Refused\r\n${headers.map(([name, value]) => `${name}: ${value}`).join('\r\n')}\r\n\r\n`)
    socket.end(body)
  }

  const background: Promise<void>[] = []
  try {
    await types.follow(feed)
    await bootstrap(backend, writer)
    await publishAuthentication(writer, options)
    if (options.advertise) await publishSelf(writer, options.advertise, ranges)
    background.push(
      customResourceDefinitions(backend, writer, deleter, abort.signal),
      compactEvery(store, { clock, log, historyMs: options.historyMs ?? HISTORY_MS, signal: abort.signal }),
    )
    ready = true
  } catch (error) {
    abort.abort()
    connector.close()
    await feed.close()
    throw new ApiError('InternalError', 'the API server could not start', { cause: error })
  }

  return {
    handler,
    upgrade,
    async close() {
      abort.abort()
      endWatches()
      connector.close()
      await Promise.all(background)
      await feed.close()
    },
  }
}
