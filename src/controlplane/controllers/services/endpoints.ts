// Endpoints: the older form of the same addresses, one object a Service.
import { type EndpointAddress, type EndpointSubset, Endpoints, Pod, Service } from '../../../api/index.js'
import { compact, isDeleting, nameOf, sameJson, splitKey } from '../objects.js'
import { canonical } from '../template-hash.js'
import type { Context, Controller, ObjectKey, Outcome } from '../types.js'
import { watch } from '../types.js'
import { podEndpoint, type ResolvedPort, resolvePorts, serves, servicesOf } from './service-pods.js'

const HEADLESS = 'service.kubernetes.io/headless'
const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity'
export const MANAGED_ENDPOINTS = 'endpoints.kubernetes.io/managed-by'
export const SKIP_MIRROR = 'endpointslice.kubernetes.io/skip-mirror'
/** Addresses in one Endpoints object; what is beyond only EndpointSlices have. */
const CAPACITY = 1000

const portOf = ({ name, port, protocol, appProtocol }: ResolvedPort) => compact({ name: name || undefined, port, protocol, appProtocol })

/** Addresses grouped by the ports they share, in an order that does not depend on the order of the pods. */
export function planSubsets(
  service: Service,
  pods: readonly Pod[],
): { readonly subsets: readonly EndpointSubset[]; readonly truncated: boolean } {
  const family = service.spec?.ipFamilies?.[0] ?? 'IPv4'
  const headless = service.spec?.clusterIP === 'None'
  const found = [...pods]
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    .flatMap((pod) => {
      const endpoint = podEndpoint(service, pod, family)
      // A pod that is going away has no place here, ready or not, unless everything is published.
      if (!endpoint || (endpoint.terminating && !service.spec?.publishNotReadyAddresses)) return []
      const ports = resolvePorts(service, pod)
      return ports.length === 0 && !(headless && (service.spec?.ports ?? []).length === 0) ? [] : [{ endpoint, ports }]
    })
  // Where there is no room for all, the ready ones come first.
  const kept =
    found.length > CAPACITY ? found.sort((a, b) => Number(b.endpoint.ready) - Number(a.endpoint.ready)).slice(0, CAPACITY) : found
  const groups = new Map<string, { ports: readonly ResolvedPort[]; ready: EndpointAddress[]; notReady: EndpointAddress[] }>()
  for (const { endpoint, ports } of kept) {
    const { pod } = endpoint
    const id = canonical(ports)
    const group = groups.get(id) ?? { ports, ready: [], notReady: [] }
    groups.set(id, group)
    const address: EndpointAddress = compact({
      ip: endpoint.addresses[0] ?? '',
      hostname: endpoint.hostname,
      nodeName: pod.spec?.nodeName,
      targetRef: { kind: 'Pod', namespace: pod.metadata.namespace, name: pod.metadata.name, uid: pod.metadata.uid },
    })
    if (endpoint.ready) group.ready.push(address)
    else group.notReady.push(address)
  }
  const byIp = (a: EndpointAddress, b: EndpointAddress): number => (a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : 0)
  const subsets = [...groups.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { ports, ready, notReady }]) =>
      compact({
        addresses: ready.length > 0 ? ready.sort(byIp) : undefined,
        notReadyAddresses: notReady.length > 0 ? notReady.sort(byIp) : undefined,
        ports: ports.length > 0 ? ports.map(portOf) : undefined,
      }),
    )
  return { subsets, truncated: found.length > CAPACITY }
}

async function reconcile(key: ObjectKey, { cache, client }: Context): Promise<Outcome | undefined> {
  const { namespace = '' } = splitKey(key)
  const service = cache.get(Service, key)
  const current = cache.get(Endpoints, key)
  if (!service) {
    if (current?.metadata.labels?.[MANAGED_ENDPOINTS] === 'endpoint-controller') await client.delete(Endpoints, nameOf(current))
    return undefined
  }
  if (!service.spec?.selector || service.spec.type === 'ExternalName' || isDeleting(service)) return undefined
  const pods = cache.list(Pod, namespace).filter((pod) => serves(service, pod))
  const { subsets, truncated } = planSubsets(service, pods)
  const { [HEADLESS]: _, ...own } = service.metadata.labels ?? {}
  const labels = {
    ...own,
    [MANAGED_ENDPOINTS]: 'endpoint-controller',
    ...(service.spec.clusterIP === 'None' ? { [HEADLESS]: '' } : {}),
  }
  const { [OVER_CAPACITY]: __, ...noted } = current?.metadata.annotations ?? {}
  const annotations = truncated ? { ...noted, [OVER_CAPACITY]: 'truncated' } : noted
  if (
    current &&
    sameJson(current.subsets ?? [], subsets) &&
    sameJson(current.metadata.labels ?? {}, labels) &&
    sameJson(current.metadata.annotations ?? {}, annotations)
  ) {
    return undefined
  }
  const metadata = { ...(current?.metadata ?? nameOf(service)), labels, annotations }
  const next: Endpoints = { apiVersion: 'v1', kind: 'Endpoints', metadata, subsets }
  if (current) await client.update(Endpoints, next)
  else await client.create(Endpoints, next)
  return undefined
}

export const endpoints: Controller = {
  name: 'endpoints',
  component: 'endpoint-controller',
  for: Service,
  watches: [
    watch(Pod, (pod, cache, previous) => servicesOf(cache.list(Service, pod.metadata.namespace), pod, previous)),
    watch(Endpoints, (object) => [`${object.metadata.namespace}/${object.metadata.name}`]),
  ],
  reconcile,
}
