// EndpointSlices: the addresses behind each Service, in slices of a hundred.
import { type DiscoveryV1EndpointPort, type Endpoint, type EndpointHints, EndpointSlice, Node, Pod, Service } from '../../../api/index.js'
import { isNodeReady } from '../nodes/node-health.js'
import { compact, controllerReference, isDeleting, keyOf, nameOf, sameJson, splitKey, uidOf } from '../objects.js'
import { canonical } from '../template-hash.js'
import type { Context, Controller, ObjectKey, Outcome } from '../types.js'
import { watch } from '../types.js'
import { type PodEndpoint, podEndpoint, resolvePorts, serves, servicesOf } from './service-pods.js'
import { planTopology, wantsTopology, zoneOfNode, zoneShares } from './topology-hints.js'

export const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by'
export const SERVICE_NAME = 'kubernetes.io/service-name'
const MANAGER = 'endpointslice-controller.k8s.io'
const TRIGGER = 'endpoints.kubernetes.io/last-change-trigger-time'
const FULL = 100

export interface SlicePlan {
  readonly create: readonly EndpointSlice[]
  readonly update: readonly EndpointSlice[]
  readonly remove: readonly EndpointSlice[]
  /** For Services that ask for topology aware routing, by family: why it cannot be done, or undefined. */
  readonly topology: ReadonlyMap<string, string | undefined>
}

interface Wanted {
  readonly family: string
  readonly ports: readonly DiscoveryV1EndpointPort[]
  readonly endpoints: Map<string, Endpoint>
}

export interface SliceInput {
  readonly service: Service
  readonly pods: readonly Pod[]
  readonly slices: readonly EndpointSlice[]
  readonly zoneOf: (node: string) => string | undefined
  /** What each zone has of all cpus, where that is known. */
  readonly shares?: ReadonlyMap<string, number> | undefined
}

/** Whom an endpoint is meant for first, as the Service asks (`trafficDistribution`, KEP-2433 and KEP-3015). */
function hintsOf(service: Service, nodeName: string | undefined, zone: string | undefined): EndpointHints | undefined {
  const wish = wantsTopology(service) ? undefined : service.spec?.trafficDistribution
  const forZones = wish && zone ? [{ name: zone }] : undefined
  const forNodes = wish === 'PreferSameNode' && nodeName ? [{ name: nodeName }] : undefined
  return forZones || forNodes ? compact({ forZones, forNodes }) : undefined
}

const endpointOf = (service: Service, found: PodEndpoint, zoneOf: SliceInput['zoneOf']): Endpoint => {
  const { pod } = found
  const zone = pod.spec?.nodeName ? zoneOf(pod.spec.nodeName) : undefined
  return compact({
    addresses: found.addresses.slice(0, 1),
    conditions: { ready: found.ready, serving: found.serving, terminating: found.terminating },
    hostname: found.hostname,
    nodeName: pod.spec?.nodeName,
    zone,
    hints: found.ready ? hintsOf(service, pod.spec?.nodeName, zone) : undefined,
    targetRef: { kind: 'Pod', namespace: pod.metadata.namespace, name: pod.metadata.name, uid: pod.metadata.uid },
  })
}

const familiesOf = (service: Service): readonly string[] => (service.spec?.ipFamilies?.length ? service.spec.ipFamilies : ['IPv4'])

/** Gives the ready endpoints of a family their zones; the sentence that says why not otherwise. */
function addTopology(groups: readonly Wanted[], { slices, shares }: SliceInput): string | undefined {
  const before = new Map(
    slices.flatMap((slice) => (slice.endpoints ?? []).map(({ targetRef, hints }) => [targetRef?.uid ?? '', hints?.forZones?.[0]?.name])),
  )
  const ready = groups
    .flatMap(({ endpoints }) => [...endpoints].map(([uid, endpoint]) => ({ uid, endpoint, endpoints })))
    .filter(({ endpoint }) => endpoint.conditions?.ready)
    .sort((a, b) => (a.uid < b.uid ? -1 : 1))
  const plan = planTopology(
    ready.map(({ uid, endpoint }) => ({ zone: endpoint.zone, before: before.get(uid) })),
    shares,
  )
  if ('disabled' in plan) return plan.disabled
  for (const [index, { uid, endpoint, endpoints }] of ready.entries()) {
    endpoints.set(uid, { ...endpoint, hints: { forZones: [{ name: plan.zones[index] ?? '' }] } })
  }
  return undefined
}

/** Pods may resolve a named port differently: each set of port numbers has its own slices. */
function wanted({ service, pods, zoneOf }: SliceInput): Wanted[] {
  const groups = new Map<string, Wanted>()
  for (const family of familiesOf(service)) {
    let any = false
    for (const pod of pods) {
      const found = podEndpoint(service, pod, family)
      if (!found) continue
      const ports = resolvePorts(service, pod)
      const headless = service.spec?.clusterIP === 'None'
      if (ports.length === 0 && (service.spec?.ports ?? []).length > 0 && !headless) continue
      const id = `${family} ${canonical(ports)}`
      const group = groups.get(id) ?? { family, ports, endpoints: new Map() }
      groups.set(id, group)
      group.endpoints.set(uidOf(pod), endpointOf(service, found, zoneOf))
      any = true
    }
    // A Service without pods has an empty slice, so that one can see it was looked at.
    if (!any) groups.set(`${family} []`, { family, ports: [], endpoints: new Map() })
  }
  return [...groups.values()]
}

function labelsOf(service: Service): Record<string, string> {
  const own = Object.entries(service.metadata.labels ?? {}).filter(
    ([key]) => key !== SERVICE_NAME && key !== MANAGED_BY && key !== 'service.kubernetes.io/headless',
  )
  return {
    ...Object.fromEntries(own),
    [SERVICE_NAME]: service.metadata.name,
    [MANAGED_BY]: MANAGER,
    ...(service.spec?.clusterIP === 'None' ? { 'service.kubernetes.io/headless': '' } : {}),
  }
}

function newSlice(service: Service, group: Wanted, endpoints: readonly Endpoint[]): EndpointSlice {
  const trigger = service.metadata.annotations?.[TRIGGER]
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: '',
      generateName: `${service.metadata.name}-`,
      namespace: service.metadata.namespace,
      labels: labelsOf(service),
      ownerReferences: [controllerReference(Service, service)],
      ...(trigger ? { annotations: { [TRIGGER]: trigger } } : {}),
    },
    addressType: group.family,
    endpoints,
    ports: group.ports,
  }
}

/** Changes as few slices as possible: everyone who watches them pays for each. */
export function planSlices(input: SliceInput): SlicePlan {
  const { service, slices } = input
  const create: EndpointSlice[] = []
  const update: EndpointSlice[] = []
  const remove: EndpointSlice[] = []
  const left = new Set(slices.filter((slice) => !isDeleting(slice)))
  const labels = labelsOf(service)
  const groups = wanted(input)
  const topology = new Map<string, string | undefined>()
  for (const family of wantsTopology(service) ? new Set(groups.map((group) => group.family)) : []) {
    const slicesOf = slices.filter((slice) => slice.addressType === family)
    topology.set(
      family,
      addTopology(
        groups.filter((group) => group.family === family),
        { ...input, slices: slicesOf },
      ),
    )
  }
  for (const group of groups) {
    const missing = new Map(group.endpoints)
    const matching = [...left].filter((slice) => slice.addressType === group.family && sameJson(slice.ports ?? [], group.ports))
    const kept = matching.map((slice) => {
      left.delete(slice)
      const endpoints: Endpoint[] = []
      for (const endpoint of slice.endpoints ?? []) {
        const uid = endpoint.targetRef?.uid ?? ''
        const now = missing.get(uid)
        if (!now) continue
        missing.delete(uid)
        endpoints.push(now)
      }
      return { slice, endpoints }
    })
    const rest = [...missing.values()]
    // First into slices that change anyway, then into the fullest that still have room.
    const changes = ({ slice, endpoints }: (typeof kept)[number]): boolean => !sameJson(slice.endpoints ?? [], endpoints)
    for (const target of [...kept].sort((a, b) => Number(changes(b)) - Number(changes(a)) || b.endpoints.length - a.endpoints.length)) {
      target.endpoints.push(...rest.splice(0, Math.max(0, FULL - target.endpoints.length)))
    }
    let keepEmpty = group.endpoints.size === 0
    for (const { slice, endpoints } of kept) {
      const empty = endpoints.length === 0
      if (empty && !keepEmpty) remove.push(slice)
      else if (!sameJson(slice.endpoints ?? [], endpoints) || !sameJson(slice.metadata.labels, labels)) {
        update.push({ ...slice, metadata: { ...slice.metadata, labels }, endpoints })
      }
      if (empty) keepEmpty = false
    }
    while (rest.length > 0) create.push(newSlice(service, group, rest.splice(0, FULL)))
    if (group.endpoints.size === 0 && kept.length === 0) create.push(newSlice(service, group, []))
  }
  remove.push(...left)
  return { create, update, remove, topology }
}

const isOurs = (slice: EndpointSlice): boolean => slice.metadata.labels?.[MANAGED_BY] === MANAGER

const TOPOLOGY_ON = 'Topology Aware Hints has been enabled'
const TOPOLOGY_OFF = 'Topology Aware Hints has been disabled'

/** `hinted`: keys of the Services that were last given hints by topology. */
function tellTopology(service: Service, { topology }: SlicePlan, { events }: Context, hinted: Set<ObjectKey>): void {
  const key = keyOf(service)
  const off = (family: string, why: string): void => events.warning(service, 'TopologyAwareHintsDisabled', `${why}, addressType: ${family}`)
  for (const [family, why] of topology) {
    if (why !== undefined) {
      off(family, why)
      hinted.delete(key)
    } else if (!hinted.has(key)) {
      hinted.add(key)
      events.normal(service, 'TopologyAwareHintsEnabled', `${TOPOLOGY_ON}, addressType: ${family}`)
    }
  }
  if (topology.size === 0 && hinted.delete(key)) off(familiesOf(service)[0] ?? '', TOPOLOGY_OFF)
}

async function reconcile(key: ObjectKey, context: Context, hinted: Set<ObjectKey>): Promise<Outcome | undefined> {
  const { cache, client } = context
  const { name, namespace = '' } = splitKey(key)
  const service = cache.get(Service, key)
  const slices = cache.list(EndpointSlice, namespace).filter((slice) => slice.metadata.labels?.[SERVICE_NAME] === name && isOurs(slice))
  if (!service || isDeleting(service)) {
    hinted.delete(key)
    for (const slice of service ? [] : slices) await client.delete(EndpointSlice, nameOf(slice))
    return undefined
  }
  if (!service.spec?.selector || service.spec.type === 'ExternalName') {
    for (const slice of service.spec?.type === 'ExternalName' ? slices : []) await client.delete(EndpointSlice, nameOf(slice))
    return undefined
  }
  const pods = cache.list(Pod, namespace).filter((pod) => serves(service, pod))
  const zoneOf = (node: string): string | undefined => zoneOfNode(cache.get(Node, node))
  const shares = wantsTopology(service) ? zoneShares(cache.list(Node)) : undefined
  const plan = planSlices({ service, pods, slices, zoneOf, shares })
  for (const slice of plan.update) await client.update(EndpointSlice, slice)
  for (const slice of plan.create) await client.create(EndpointSlice, slice)
  for (const slice of plan.remove) await client.delete(EndpointSlice, nameOf(slice))
  tellTopology(service, plan, context, hinted)
  return undefined
}

/** What of a node decides on shares and zones. */
const located = (node: Node): unknown => [zoneOfNode(node), node.status?.allocatable?.cpu, isNodeReady(node)]

export const makeEndpointSlices = (): Controller => {
  const hinted = new Set<ObjectKey>()
  return {
    name: 'endpointslice',
    component: 'endpoint-slice-controller',
    for: Service,
    owns: [EndpointSlice],
    watches: [
      watch(Pod, (pod, cache, previous) => servicesOf(cache.list(Service, pod.metadata.namespace), pod, previous)),
      watch(EndpointSlice, (slice) => {
        const name = slice.metadata.labels?.[SERVICE_NAME]
        return name && isOurs(slice) ? [`${slice.metadata.namespace}/${name}`] : []
      }),
      watch(Node, (node, cache, previous) =>
        previous && sameJson(located(node), located(previous)) ? [] : cache.list(Service).filter(wantsTopology).map(keyOf),
      ),
    ],
    reconcile: (key, context) => reconcile(key, context, hinted),
  }
}
