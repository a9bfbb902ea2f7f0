// Endpoints that people write by hand, as EndpointSlices: whoever reads only those must see them too.
import { type DiscoveryV1EndpointPort, type Endpoint, type EndpointAddress, EndpointSlice, Endpoints, Service } from '../../../api/index.js'
import { compact, controllerReference, isDeleting, nameOf, sameJson, splitKey } from '../objects.js'
import { canonical } from '../template-hash.js'
import type { Controller } from '../types.js'
import { watch } from '../types.js'
import { MANAGED_BY, SERVICE_NAME } from './endpoint-slices.js'
import { MANAGED_ENDPOINTS, SKIP_MIRROR } from './endpoints.js'
import { familyOf } from './service-pods.js'

const MANAGER = 'endpointslicemirroring-controller.k8s.io'
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'
/** Addresses of one subset that are mirrored. */
const MOST = 1000

interface Wanted {
  readonly family: string
  readonly ports: readonly DiscoveryV1EndpointPort[]
  readonly endpoints: readonly Endpoint[]
}

function endpointOf({ ip, hostname, nodeName, targetRef }: EndpointAddress, ready: boolean): Endpoint {
  return compact({ addresses: [ip], conditions: { ready }, hostname, nodeName, targetRef })
}

export function planMirror(endpoints: Endpoints): readonly Wanted[] {
  const wanted: Wanted[] = []
  for (const { addresses = [], notReadyAddresses = [], ports = [] } of endpoints.subsets ?? []) {
    const all = [
      ...addresses.map((address) => ({ address, ready: true })),
      ...notReadyAddresses.map((address) => ({ address, ready: false })),
    ].slice(0, MOST)
    for (const family of ['IPv4', 'IPv6']) {
      const mine = all.filter(({ address }) => familyOf(address.ip) === family)
      if (mine.length === 0) continue
      const named = ports.map(({ name = '', port, protocol = 'TCP', appProtocol }) => compact({ name, port, protocol, appProtocol }))
      wanted.push({ family, ports: named, endpoints: mine.map(({ address, ready }) => endpointOf(address, ready)) })
    }
  }
  return wanted
}

const shouldMirror = (endpoints: Endpoints): boolean =>
  endpoints.metadata.labels?.[SKIP_MIRROR] !== 'true' &&
  endpoints.metadata.labels?.[MANAGED_ENDPOINTS] === undefined &&
  endpoints.metadata.annotations?.['control-plane.alpha.kubernetes.io/leader'] === undefined

function sliceFor(endpoints: Endpoints, { family, ports, endpoints: list }: Wanted): EndpointSlice {
  const { [LAST_APPLIED]: _, ...annotations } = endpoints.metadata.annotations ?? {}
  const { [SERVICE_NAME]: __, [MANAGED_BY]: ___, ...labels } = endpoints.metadata.labels ?? {}
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: compact({
      name: '',
      generateName: `${endpoints.metadata.name}-`,
      namespace: endpoints.metadata.namespace,
      labels: { ...labels, [SERVICE_NAME]: endpoints.metadata.name, [MANAGED_BY]: MANAGER },
      annotations: Object.keys(annotations).length > 0 ? annotations : undefined,
      ownerReferences: [controllerReference(Endpoints, endpoints)],
    }),
    addressType: family,
    endpoints: list,
    ports,
  }
}

export const endpointMirroring: Controller = {
  name: 'endpointslicemirroring',
  component: 'endpoint-slice-mirroring-controller',
  for: Endpoints,
  owns: [EndpointSlice],
  watches: [watch(Service, (service) => [`${service.metadata.namespace}/${service.metadata.name}`])],
  async reconcile(key, { cache, client }) {
    const { name, namespace = '' } = splitKey(key)
    const endpoints = cache.get(Endpoints, key)
    const service = cache.get(Service, key)
    const slices = cache
      .list(EndpointSlice, namespace)
      .filter(({ metadata }) => metadata.labels?.[SERVICE_NAME] === name && metadata.labels[MANAGED_BY] === MANAGER)
    const mirrored = endpoints && service && !service.spec?.selector && !isDeleting(endpoints) && shouldMirror(endpoints)
    const left = new Set(slices)
    for (const wanted of mirrored ? planMirror(endpoints) : []) {
      const made = sliceFor(endpoints as Endpoints, wanted)
      const match = [...left].find(
        (slice) => slice.addressType === wanted.family && canonical(slice.ports ?? []) === canonical(wanted.ports),
      )
      if (!match) {
        await client.create(EndpointSlice, made)
        continue
      }
      left.delete(match)
      if (sameJson(match.endpoints ?? [], wanted.endpoints) && sameJson(match.metadata.labels, made.metadata.labels)) continue
      await client.update(EndpointSlice, {
        ...match,
        metadata: { ...match.metadata, labels: made.metadata.labels },
        endpoints: wanted.endpoints,
      })
    }
    for (const slice of left) await client.delete(EndpointSlice, nameOf(slice))
    return undefined
  },
}
