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
  /** PEM of whom servers that are asked over TLS may be certified by; default: whom Node trusts. */
  readonly authorities?: () => readonly string[]
}

/** The ConfigMap with the Corefile, under the name it has in every cluster. Its other keys are files beside the Corefile. */
export const COREFILE_CONFIGMAP = { namespace: 'kube-system', name: 'coredns' } as const
/** What people add to it without changing it, as with k3s and others: its keys are files in the folder `custom`. */
export const CUSTOM_CONFIGMAP = 'coredns-custom'

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
      ...(options.authorities ? { authorities: options.authorities } : {}),
    },
    { addresses, isReady: () => services.hasSynced && slices.hasSynced && namespaces.hasSynced },
  )
  const inFolder = (map: ConfigMap | undefined, folder = ''): [string, string][] =>
    Object.entries(map?.data ?? {}).map(([name, text]) => [`${folder}${name}`, text])
  /** One after the other: the newest is in force in the end. */
  let turn: Promise<void> = synced.then(() => listeners.use(standard))
  const { namespace } = COREFILE_CONFIGMAP
  const names = [COREFILE_CONFIGMAP.name, CUSTOM_CONFIGMAP] as const
  const [main, custom] = names.map((name) =>
    informer(client, ConfigMap, { namespace, fieldSelector: `metadata.name=${name}`, clock, log }),
  ) as [Informer<ConfigMap>, Informer<ConfigMap>]
  const use = (): void => {
    const [map, more] = [main.get(`${namespace}/${names[0]}`), custom.get(`${namespace}/${names[1]}`)]
    const corefile = map?.data?.Corefile ?? standard
    const files = new Map([...inFolder(map), ...inFolder(more, 'custom/')])
    turn = turn
      .then(() => listeners.use(corefile, files))
      .then(
        () => log.info('Corefile in force'),
        (error: unknown) => {
          log.error('Corefile refused; the last good one stays in force', { reason: explain(error), err: asError(error) })
          const about = map ?? more
          if (about)
            events.record(about, 'Warning', 'CorefileRefused', `the last good Corefile stays in force on this node: ${explain(error)}`)
        },
      )
  }
  for (const configs of [main, custom])
    configs.subscribe({
      added: use,
      updated: (map, before) => JSON.stringify(map.data) !== JSON.stringify(before.data) && use(),
      deleted: use,
    })
  // What cannot be listened on at the start is a failure of the machine, and the caller's to know.
  try {
    await turn
    signal.throwIfAborted()
  } catch (error) {
    await listeners.close()
    throw error
  }
  void main.run(signal)
  void custom.run(signal)
  signal.addEventListener('abort', () => void listeners.close(), { once: true })
  return listeners
}
