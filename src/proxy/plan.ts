// From Services and EndpointSlices to the ruleset of one node. Pure.
import { isIPv4, isIPv6 } from 'node:net'
import type { EndpointSlice, Service, ServicePort } from '../api/index.js'
import { type Endpoint, type Family, type Frontend, frontendKey, type HealthCheck, type Protocol, type Ruleset } from './ruleset.js'

export interface PlanInput {
  readonly services: readonly Service[]
  /** EndpointSlices of a Service. */
  slicesOf(service: Service): readonly EndpointSlice[]
  readonly nodeName: string
  /** Cluster IPs that are answered on the node itself (cluster DNS): they get no rule. */
  readonly answeredHere?: ReadonlySet<string>
}

interface Candidate {
  readonly ip: string
  readonly port: number
  readonly local: boolean
  readonly ready: boolean
  readonly serving: boolean
}

const familyOf = (ip: string): Family => (isIPv6(ip) ? 'IPv6' : 'IPv4')
const isAddress = (ip: string): boolean => isIPv4(ip) || isIPv6(ip)
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
    if (!target) continue
    for (const { addresses, conditions, nodeName: on } of slice.endpoints ?? []) {
      const [ip] = addresses
      if (ip === undefined || familyOf(ip) !== family || !isAddress(ip)) continue
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
      })
    }
  }
  return [...found.values()].sort((a, b) => (a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : a.port - b.port))
}

/** Ready ones; when there are none, those that end but still serve (KEP-1669). */
function usable(all: readonly Candidate[]): Endpoint[] {
  const ready = all.filter((each) => each.ready)
  return (ready.length > 0 ? ready : all.filter((each) => each.serving)).map(({ ip, port, local }) => ({ ip, port, local }))
}

function frontendsOf(service: Service, { slicesOf, nodeName, answeredHere }: PlanInput): Frontend[] {
  const { spec } = service
  if (!spec || spec.type === 'ExternalName' || !spec.clusterIP || spec.clusterIP === 'None') return []
  const clusterIps = (spec.clusterIPs ?? [spec.clusterIP]).filter((ip) => isAddress(ip) && !answeredHere?.has(ip))
  if (clusterIps.length === 0) return []
  const slices = slicesOf(service)
  const affinity =
    spec.sessionAffinity === 'ClientIP' ? { affinitySeconds: spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800 } : {}
  const externalLocal = spec.externalTrafficPolicy === 'Local'
  const frontends: Frontend[] = []

  for (const port of spec.ports ?? []) {
    const protocol = (port.protocol ?? 'TCP') as Protocol
    if (!protocols.has(protocol)) continue
    const name = `${service.metadata.namespace}/${service.metadata.name}${port.name ? `:${port.name}` : ''}`
    for (const family of new Set(clusterIps.map(familyOf))) {
      const all = candidates(slices, port, family, nodeName)
      const everywhere = usable(all)
      const here = usable(all.filter((each) => each.local))
      const common = { service: name, family, protocol, ...affinity }
      const internal = spec.internalTrafficPolicy === 'Local' ? here : everywhere
      for (const ip of clusterIps.filter((each) => familyOf(each) === family)) {
        const whenEmpty = spec.internalTrafficPolicy === 'Local' && everywhere.length > 0 ? 'drop' : 'reject'
        frontends.push({ ...common, kind: 'ClusterIP', ip, port: port.port, endpoints: internal, masquerade: 'outside', whenEmpty })
      }
      const external = {
        ...common,
        endpoints: externalLocal ? here : everywhere,
        masquerade: externalLocal ? ('never' as const) : ('always' as const),
        whenEmpty: externalLocal && everywhere.length > 0 ? ('drop' as const) : ('reject' as const),
      }
      for (const ip of (spec.externalIPs ?? []).filter((each) => isAddress(each) && familyOf(each) === family)) {
        frontends.push({ ...external, kind: 'ExternalIP', ip, port: port.port })
      }
      const sourceRanges = (spec.loadBalancerSourceRanges ?? []).filter((range) => familyOf(range.split('/')[0] ?? '') === family)
      for (const { ip, ipMode } of service.status?.loadBalancer?.ingress ?? []) {
        if (ip === undefined || !isAddress(ip) || familyOf(ip) !== family || ipMode === 'Proxy') continue
        frontends.push({
          ...external,
          kind: 'LoadBalancer',
          ip,
          port: port.port,
          ...(spec.loadBalancerSourceRanges?.length ? { sourceRanges } : {}),
        })
      }
      if (port.nodePort && (spec.type === 'NodePort' || spec.type === 'LoadBalancer'))
        frontends.push({ ...external, kind: 'NodePort', port: port.nodePort })
    }
  }
  return frontends
}

function healthCheckOf(service: Service, { slicesOf, nodeName }: PlanInput): HealthCheck[] {
  const port = service.spec?.healthCheckNodePort
  if (service.spec?.type !== 'LoadBalancer' || service.spec.externalTrafficPolicy !== 'Local' || !port) return []
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

/** The order in which Services get what two of them ask for: the older one first. */
const byAge = (a: Service, b: Service): number =>
  (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? '') ||
  `${a.metadata.namespace}/${a.metadata.name}`.localeCompare(`${b.metadata.namespace}/${b.metadata.name}`)

export function planRuleset(input: PlanInput): Ruleset {
  const frontends = new Map<string, Frontend>()
  const healthChecks: HealthCheck[] = []
  for (const service of [...input.services].sort(byAge)) {
    for (const frontend of frontendsOf(service, input)) {
      const key = frontendKey(frontend)
      if (!frontends.has(key)) frontends.set(key, frontend)
    }
    healthChecks.push(...healthCheckOf(service, input))
  }
  return { frontends: [...frontends].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, frontend]) => frontend), healthChecks }
}

/** Frontends of one Service alone, for changes: the same function, on less. */
export const planService = (service: Service, input: Omit<PlanInput, 'services'>): readonly Frontend[] =>
  frontendsOf(service, { ...input, services: [] })
