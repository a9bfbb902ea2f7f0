// From Services and EndpointSlices to what one node does about them. Pure.
import type { EndpointSlice, Service, ServicePort } from '../api/index.js'
import { distinctRanges, plainIp } from './cidr.js'
import type { Endpoint, Family, Frontend, HealthCheck, Protocol, WhenEmpty } from './ruleset.js'

export interface PlanInput {
  /** EndpointSlices of a Service. */
  slicesOf(service: Service): readonly EndpointSlice[]
  readonly nodeName: string
  /** Where the node is (`topology.kubernetes.io/zone`): endpoints that are meant for it are preferred. */
  readonly zone?: string | undefined
  /** Cluster IPs that are answered on the node itself (cluster DNS): they get no rule. */
  readonly answeredHere?: ReadonlySet<string>
}

export interface ServicePlan {
  /** No two with one `frontendKey`, unless the Service names an address twice. */
  readonly frontends: readonly Frontend[]
  readonly healthChecks: readonly HealthCheck[]
}

interface Candidate extends Endpoint {
  readonly ready: boolean
  readonly serving: boolean
  /** Nodes and zones that the endpoint is meant for; undefined: everybody. */
  readonly forNodes: readonly string[] | undefined
  readonly forZones: readonly string[] | undefined
}

/** Of an address as `plainIp` gives it. */
const familyOf = (ip: string): Family => (ip.includes(':') ? 'IPv6' : 'IPv4')
const protocols = new Set(['TCP', 'UDP', 'SCTP'])

/** Endpoints of one port of a Service, each address once, in a fixed order. */
function candidates(slices: readonly EndpointSlice[], port: ServicePort, family: Family, nodeName: string): Candidate[] {
  const found = new Map<string, Candidate>()
  for (const slice of slices) {
    if (slice.addressType !== family) continue
    // Slices name the Service's ports; a port without a name is the only one.
    const target = slice.ports?.find(
      (p) => (p.name ?? '') === (port.name ?? '') && (p.protocol ?? 'TCP') === (port.protocol ?? 'TCP'),
    )?.port
    if (!target || target > 65_535) continue
    for (const { addresses, conditions, nodeName: on, hints } of slice.endpoints ?? []) {
      const ip = plainIp(addresses[0] ?? '')
      if (ip === undefined || familyOf(ip) !== family) continue
      const ready = conditions?.ready ?? true
      const serving = (conditions?.serving ?? ready) && conditions?.terminating === true
      const key = `${ip} ${target}`
      const known = found.get(key)
      // The same address in two slices (it moves from one to the other): the better news counts.
      found.set(key, {
        ip,
        port: target,
        local: on === nodeName,
        ready: ready || known?.ready === true,
        serving: serving || known?.serving === true,
        forNodes: hints?.forNodes?.length ? hints.forNodes.map(({ name }) => name) : undefined,
        forZones: hints?.forZones?.length ? hints.forZones.map(({ name }) => name) : undefined,
      })
    }
  }
  return [...found.values()].sort((a, b) => (a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : a.port - b.port))
}

const endpointsOf = (all: readonly Candidate[]): Endpoint[] => all.map(({ ip, port, local }) => ({ ip, port, local }))

/** Ready ones; when there are none, those that end but still serve (KEP-1669). */
function usable(all: readonly Candidate[]): readonly Candidate[] {
  const ready = all.filter((each) => each.ready)
  return ready.length > 0 ? ready : all.filter((each) => each.serving)
}

/** Those meant for this node, or for its zone; everybody when hints are missing for one or lead nowhere (KEP-2433, KEP-3015). */
function close(all: readonly Candidate[], { nodeName, zone }: PlanInput): readonly Candidate[] {
  for (const [hint, here] of [
    ['forNodes', nodeName],
    ['forZones', zone],
  ] as const) {
    if (here === undefined || !all.every((each) => each.ready && each[hint])) continue
    const meant = all.filter((each) => each[hint]?.includes(here))
    if (meant.length > 0) return meant
  }
  return all
}

/** Services of another proxy, and those without an address of their own. */
const isNotOurs = ({ metadata, spec }: Service): boolean =>
  !spec ||
  spec.type === 'ExternalName' ||
  !spec.clusterIP ||
  spec.clusterIP === 'None' ||
  metadata.labels?.['service.kubernetes.io/service-proxy-name'] !== undefined ||
  metadata.labels?.['service.kubernetes.io/headless'] !== undefined

/** Where a Service is dialled from outside the cluster. */
function externalAddresses(service: Service, port: ServicePort, family: Family): Pick<Frontend, 'kind' | 'ip' | 'port' | 'sourceRanges'>[] {
  const { spec, status } = service
  const ofFamily = (ip: string | undefined): string[] => {
    const plain = plainIp(ip ?? '')
    return plain !== undefined && familyOf(plain) === family ? [plain] : []
  }
  const ranges = spec?.loadBalancerSourceRanges ?? []
  const sourceRanges =
    ranges.length > 0 ? { sourceRanges: distinctRanges(ranges).filter((range) => range.includes(':') === (family === 'IPv6')) } : {}
  const ingress = (spec?.type === 'LoadBalancer' && status?.loadBalancer?.ingress) || []
  const hasNodePort = port.nodePort && (spec?.type === 'NodePort' || spec?.type === 'LoadBalancer')
  return [
    ...(spec?.externalIPs ?? []).flatMap(ofFamily).map((ip) => ({ kind: 'ExternalIP' as const, ip, port: port.port })),
    ...ingress
      .flatMap(({ ip, ipMode }) => (ipMode === 'Proxy' ? [] : ofFamily(ip)))
      .map((ip) => ({ kind: 'LoadBalancer' as const, ip, port: port.port, ...sourceRanges })),
    ...(hasNodePort ? [{ kind: 'NodePort' as const, port: port.nodePort as number }] : []),
  ]
}

function frontendsOf(service: Service, input: PlanInput): Frontend[] {
  const { spec } = service
  if (!spec || isNotOurs(service)) return []
  const clusterIps = (spec.clusterIPs ?? [spec.clusterIP ?? ''])
    .flatMap((ip) => plainIp(ip) ?? [])
    .filter((ip) => !input.answeredHere?.has(ip))
  if (clusterIps.length === 0) return []
  const slices = input.slicesOf(service)
  const affinity =
    spec.sessionAffinity === 'ClientIP' ? { affinitySeconds: spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800 } : undefined
  const internalLocal = spec.internalTrafficPolicy === 'Local'
  const externalLocal = spec.externalTrafficPolicy === 'Local'
  const frontends: Frontend[] = []

  for (const port of spec.ports ?? []) {
    const protocol = (port.protocol ?? 'TCP') as Protocol
    if (!protocols.has(protocol)) continue
    const name = `${service.metadata.namespace}/${service.metadata.name}${port.name ? `:${port.name}` : ''}`
    for (const family of new Set(clusterIps.map(familyOf))) {
      const all = candidates(slices, port, family, input.nodeName)
      const everywhere = endpointsOf(close(usable(all), input))
      const here = internalLocal || externalLocal ? endpointsOf(usable(all.filter((each) => each.local))) : []
      /** Refused when there is nobody; dropped when there is somebody elsewhere, so that a load balancer looks further. */
      const whenEmpty = (local: boolean): WhenEmpty => (local && everywhere.length > 0 ? 'drop' : 'reject')
      // Written out, with spreads last and rare: there are ten thousand of them.
      for (const ip of clusterIps) {
        if (familyOf(ip) !== family) continue
        frontends.push({
          service: name,
          kind: 'ClusterIP',
          family,
          protocol,
          ip,
          port: port.port,
          endpoints: internalLocal ? here : everywhere,
          local: internalLocal,
          masquerade: 'outside',
          whenEmpty: whenEmpty(internalLocal),
          ...affinity,
        })
      }
      for (const address of externalAddresses(service, port, family))
        frontends.push({
          ...address,
          service: name,
          family,
          protocol,
          endpoints: externalLocal ? here : everywhere,
          local: externalLocal,
          masquerade: externalLocal ? 'never' : 'always',
          whenEmpty: whenEmpty(externalLocal),
          ...(externalLocal ? { inside: everywhere } : {}),
          ...affinity,
        })
    }
  }
  return frontends
}

function healthCheckOf(service: Service, { slicesOf, nodeName }: PlanInput): HealthCheck[] {
  const port = service.spec?.healthCheckNodePort
  if (service.spec?.type !== 'LoadBalancer' || service.spec.externalTrafficPolicy !== 'Local' || !port || isNotOurs(service)) return []
  // A pod with two addresses is one endpoint: the families are counted apart.
  const local = { IPv4: new Set<string>(), IPv6: new Set<string>() }
  for (const slice of slicesOf(service)) {
    for (const { addresses, conditions, nodeName: on } of slice.endpoints ?? []) {
      if (on === nodeName && (conditions?.ready ?? true)) for (const ip of addresses) local[familyOf(ip)].add(ip)
    }
  }
  return [
    {
      port,
      service: { namespace: service.metadata.namespace ?? '', name: service.metadata.name },
      localEndpoints: Math.max(local.IPv4.size, local.IPv6.size),
    },
  ]
}

export const planService = (service: Service, input: PlanInput): ServicePlan => ({
  frontends: frontendsOf(service, input),
  healthChecks: healthCheckOf(service, input),
})
