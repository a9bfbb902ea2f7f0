// The DNS of a node: watches Services, EndpointSlices, Namespaces and the Corefile, and answers.
import { ConfigMap, type EndpointSlice, type Namespace, type Service } from '../api/index.js'
import { type Client, type Informer, informer } from '../client/index.js'
import { asError, type Clock, type Logger, type Random } from '../lib/index.js'
import { buildChain, type ChainContext } from './chain.js'
import type { ClusterView } from './cluster-records.js'
import { defaultCorefile, parseCorefile } from './corefile.js'
import { type DnsMetrics, newMetrics, renderMetrics } from './plugins/small.js'
import { type DnsServer, serveDns } from './server.js'
import { foldName, isWithin, type Resolve } from './types.js'

/** Indexes that the informers given to us must have. */
export const dnsIndexes = {
  services: {
    ip: (service: Service): readonly string[] => service.spec?.clusterIPs ?? (service.spec?.clusterIP ? [service.spec.clusterIP] : []),
  },
  slices: {
    service: (slice: EndpointSlice): readonly string[] => {
      const name = slice.metadata.labels?.['kubernetes.io/service-name']
      return name ? [`${slice.metadata.namespace ?? ''}/${name}`] : []
    },
    ip: (slice: EndpointSlice): readonly string[] => (slice.endpoints ?? []).filter((e) => e.hostname).flatMap((e) => e.addresses),
  },
}

export interface ClusterDnsOptions {
  readonly client: Client
  /** Shared with the service proxy; made with `dnsIndexes` among their indexes, and run by the caller. */
  readonly services: Informer<Service>
  readonly slices: Informer<EndpointSlice>
  readonly namespaces: Informer<Namespace>
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly clusterDomain: string
  readonly addresses: readonly string[]
  readonly port?: number
  readonly resolvConf?: string
}

export interface ClusterDns {
  readonly server: DnsServer
  /** Prometheus text. */
  metrics(): string
}

/** The ConfigMap with the Corefile, under the name it has in every cluster. */
export const COREFILE_CONFIGMAP = { namespace: 'kube-system', name: 'coredns' } as const

export function clusterView(options: Pick<ClusterDnsOptions, 'services' | 'slices' | 'namespaces'>): ClusterView {
  const { services, slices, namespaces } = options
  return {
    service: (namespace, name) => services.get(`${namespace}/${name}`),
    slices: (namespace, service) => slices.byIndex('service', `${namespace}/${service}`),
    hasNamespace: (name) => namespaces.get(name) !== undefined,
    servicesWithIp: (ip) => services.byIndex('ip', ip),
    slicesWithIp: (ip) => slices.byIndex('ip', ip),
  }
}

/** The blocks of a Corefile as one function: the longest zone that fits answers. */
function resolverOf(corefile: string, context: ChainContext): Resolve {
  const chains = parseCorefile(corefile).flatMap((block) => {
    const resolve = buildChain(block, context)
    return block.zones.map((zone) => ({ zone, resolve }))
  })
  chains.sort((a, b) => b.zone.length - a.zone.length)
  return async (query) => {
    const name = foldName(query.question.name)
    const chain = chains.find(({ zone }) => isWithin(name, zone))
    return chain ? chain.resolve(query) : { rcode: 'REFUSED' }
  }
}

/** Answers from when the caches are in until the signal is aborted. A Corefile that cannot be read leaves the last good one in force. */
export async function runClusterDns(options: ClusterDnsOptions, signal: AbortSignal): Promise<ClusterDns> {
  const { client, clock, random, log, clusterDomain, addresses, port = 53 } = options
  const metrics: DnsMetrics = newMetrics()
  const context: ChainContext = {
    view: clusterView(options),
    clock,
    random,
    log,
    metrics,
    ownAddresses: addresses,
    ...(options.resolvConf ? { resolvConf: options.resolvConf } : {}),
  }
  const standard = defaultCorefile(clusterDomain)
  let current = resolverOf(standard, context)
  const use = (corefile: string): void => {
    try {
      current = resolverOf(corefile, context)
      log.info('Corefile in force')
    } catch (error) {
      log.error('Corefile refused; the last good one stays in force', { err: asError(error) })
    }
  }
  const fieldSelector = `metadata.name=${COREFILE_CONFIGMAP.name}`
  const configs = informer(client, ConfigMap, { namespace: COREFILE_CONFIGMAP.namespace, fieldSelector, clock, log })
  configs.subscribe({
    added: (map) => use(map.data?.Corefile ?? standard),
    updated: (map, before) => map.data?.Corefile !== before.data?.Corefile && use(map.data?.Corefile ?? standard),
    deleted: () => use(standard),
  })
  void configs.run(signal)
  await Promise.all([options.services.synced, options.slices.synced, options.namespaces.synced])
  const server = await serveDns({ addresses, port, resolve: (query) => current(query), clock, log })
  signal.addEventListener('abort', () => void server.close(), { once: true })
  return { server, metrics: () => renderMetrics(metrics) }
}
