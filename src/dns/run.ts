// The DNS of a node: watches Services, EndpointSlices, Namespaces and the Corefile, and answers.
import { ConfigMap, type EndpointSlice, type Namespace, type Service } from '../api/index.js'
import { type Client, eventRecorder, type Informer, informer } from '../client/index.js'
import { abortable, asError, type Clock, explain, type Logger, type Random } from '../lib/index.js'
import type { ClusterView } from './cluster-records.js'
import { defaultCorefile } from './corefile.js'
import { type DnsListeners, dnsListeners } from './listeners.js'
import { newMetrics } from './plugins/metrics.js'

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
    ip: (slice: EndpointSlice): readonly string[] => (slice.endpoints ?? []).flatMap((e) => e.addresses),
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
  readonly nodeName?: string
  readonly resolvConf?: string
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

/** Answers from when the caches are in until the signal is aborted. A Corefile that cannot be read leaves the last good one in force. */
export async function runClusterDns(options: ClusterDnsOptions, signal: AbortSignal): Promise<DnsListeners> {
  const { client, clock, random, log, clusterDomain, addresses, nodeName } = options
  const { services, slices, namespaces } = options
  const synced = abortable(Promise.all([services.synced, slices.synced, namespaces.synced]), signal)
  const events = eventRecorder({ client, clock, random, log, component: 'cluster-dns', ...(nodeName ? { host: nodeName } : {}) })
  const standard = defaultCorefile(clusterDomain)
  const listeners = dnsListeners(
    {
      view: clusterView(options),
      clock,
      random,
      log,
      metrics: newMetrics(),
      ownAddresses: addresses,
      ...(options.resolvConf ? { resolvConf: options.resolvConf } : {}),
    },
    { addresses, isReady: () => services.hasSynced && slices.hasSynced && namespaces.hasSynced },
  )
  /** One after the other: the newest is in force in the end. */
  let turn: Promise<void> = synced.then(() => listeners.use(standard))
  const use = (map: ConfigMap | undefined): void => {
    const corefile = map?.data?.Corefile ?? standard
    turn = turn
      .then(() => listeners.use(corefile))
      .then(
        () => log.info('Corefile in force'),
        (error: unknown) => {
          log.error('Corefile refused; the last good one stays in force', { reason: explain(error), err: asError(error) })
          if (map) events.record(map, 'Warning', 'CorefileRefused', `the last good Corefile stays in force on this node: ${explain(error)}`)
        },
      )
  }
  const fieldSelector = `metadata.name=${COREFILE_CONFIGMAP.name}`
  const configs = informer(client, ConfigMap, { namespace: COREFILE_CONFIGMAP.namespace, fieldSelector, clock, log })
  configs.subscribe({
    added: use,
    updated: (map, before) => map.data?.Corefile !== before.data?.Corefile && use(map),
    deleted: () => use(undefined),
  })
  // What cannot be listened on at the start is a failure of the machine, and the caller's to know.
  try {
    await turn
    signal.throwIfAborted()
  } catch (error) {
    await listeners.close()
    throw error
  }
  void configs.run(signal)
  signal.addEventListener('abort', () => void listeners.close(), { once: true })
  return listeners
}
