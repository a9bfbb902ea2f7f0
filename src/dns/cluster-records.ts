// Kubernetes' DNS-based service discovery, specification 1.1: Services and their endpoints as records. Pure.
import { isIP } from 'node:net'
import type { EndpointSlice, Service } from '../api/index.js'
import { type DnsPlugin, type DnsRecord, foldName, isWithin, type Query, type RecordData, type Reply, TYPES } from './types.js'

/** What the plugin looks into: caches of the cluster. */
export interface ClusterView {
  service(namespace: string, name: string): Service | undefined
  /** EndpointSlices of a Service. */
  slices(namespace: string, service: string): readonly EndpointSlice[]
  hasNamespace(name: string): boolean
  /** Services with this cluster IP, and slices with this endpoint address: for reverse lookups. */
  servicesWithIp(ip: string): readonly Service[]
  slicesWithIp(ip: string): readonly EndpointSlice[]
}

export interface ClusterRecordsOptions {
  readonly view: ClusterView
  /** `cluster.local`, and reverse zones such as `in-addr.arpa`. */
  readonly zones: readonly string[]
  readonly ttl?: number
  /** `10-1-2-3.ns.pod`: answered for any address (`insecure`), for pods behind a Service of that namespace (`verified`), or not at all. */
  readonly pods?: 'disabled' | 'insecure' | 'verified'
  /** Endpoints without a host name are called like their pods. */
  readonly podNames?: boolean
  /** Headless Services have no records. */
  readonly noEndpoints?: boolean
  /** A headless Service without ready endpoints does not exist. */
  readonly ignoreEmpty?: boolean
  /** Only these. */
  readonly namespaces?: readonly string[]
  /** Addresses of the zone's name server: ours. */
  readonly nameservers?: readonly string[]
  /** Zones in which a name that is not ours goes to the next plugin; `[]` none. */
  readonly fallthrough?: readonly string[]
  /** Follows the target of an ExternalName Service. */
  readonly lookup?: (query: Query) => Promise<Reply>
}

interface EndpointAddress {
  readonly address: string
  readonly host: string
  readonly ports: readonly { readonly name: string; readonly protocol: string; readonly port: number }[]
}

const dashed = (ip: string): string => ip.replace(/[.:]/g, '-')
const isV6 = (ip: string): boolean => ip.includes(':')
const addressData = (address: string): RecordData => ({ type: isV6(address) ? 'AAAA' : 'A', address })
const isHeadless = (service: Service): boolean => service.spec?.clusterIP === 'None'

/** Ready endpoints, each under the host name it has in DNS. A missing `ready` means ready. */
function endpointsOf(slices: readonly EndpointSlice[], podNames: boolean): EndpointAddress[] {
  const found = new Map<string, EndpointAddress>()
  for (const slice of slices) {
    if (slice.addressType === 'FQDN') continue
    const ports = (slice.ports ?? []).flatMap((p) =>
      p.port ? [{ name: p.name ?? '', protocol: (p.protocol ?? 'TCP').toLowerCase(), port: p.port }] : [],
    )
    for (const endpoint of slice.endpoints ?? []) {
      if (endpoint.conditions?.ready === false) continue
      for (const address of endpoint.addresses) {
        const known = found.get(address)
        const host = foldName(endpoint.hostname || (podNames && endpoint.targetRef?.name) || dashed(address))
        found.set(address, { address, host, ports: known ? [...known.ports, ...ports] : ports })
      }
    }
  }
  return [...found.values()]
}

/** Start of authority that negative answers carry: how long they may be kept. */
const soa = (zone: string, ttl: number): DnsRecord => ({
  name: zone,
  ttl,
  data: {
    type: 'SOA',
    primary: `ns.dns.${zone}`,
    mailbox: `hostmaster.${zone}`,
    serial: 1,
    refresh: 7200,
    retry: 1800,
    expire: 86400,
    minimum: ttl,
  },
})

type Found =
  | { readonly found: false }
  | { readonly found: true; readonly answers: readonly DnsRecord[]; readonly additional?: readonly DnsRecord[]; readonly alias?: string }

const nothing: Found = { found: false }

/** The records under a name inside a zone. `labels` are those before the zone, folded, leftmost first. */
function lookupForward(labels: readonly string[], query: Query, zone: string, options: ClusterRecordsOptions): Found {
  const { view, ttl = 5 } = options
  const { name, type } = query.question
  const wants = (each: number): boolean => type === each || type === TYPES.ANY
  const empty: Found = { found: true, answers: [] }
  const record = (data: RecordData, owner = name): DnsRecord => ({ name: owner, ttl, data })
  const addresses = (ips: readonly string[]): DnsRecord[] =>
    ips.filter((ip) => wants(isV6(ip) ? TYPES.AAAA : TYPES.A)).map((ip) => record(addressData(ip)))

  const { nameservers = [] } = options
  if (labels.length === 0) {
    if (type === TYPES.SOA) return { found: true, answers: [soa(zone, ttl)] }
    if (type !== TYPES.NS) return empty
    const glue = nameservers.map((ip) => record(addressData(ip), `ns.dns.${zone}`))
    return { found: true, answers: [record({ type: 'NS', target: `ns.dns.${zone}` })], additional: glue }
  }
  if (labels.join('.') === 'ns.dns') return { found: true, answers: addresses(nameservers) }
  if (labels.length === 1 && labels[0] === 'dns-version') {
    return { found: true, answers: wants(TYPES.TXT) ? [record({ type: 'TXT', texts: ['1.1.0'] })] : [] }
  }
  const branch = labels.at(-1)
  const namespace = labels.at(-2)
  if (branch !== 'svc' && branch !== 'pod') return nothing
  if (namespace === undefined) return empty
  if (!view.hasNamespace(namespace) || (options.namespaces && !options.namespaces.includes(namespace))) return nothing
  const rest = labels.slice(0, -2)
  if (rest.length === 0) return empty

  if (branch === 'pod') {
    const [ip = ''] = rest
    if (!options.pods || options.pods === 'disabled' || rest.length !== 1) return nothing
    const address = [ip.replaceAll('-', '.'), ip.replaceAll('-', ':')].find((text) => isIP(text) !== 0)
    const isPod = (address = ''): boolean =>
      view
        .slicesWithIp(address)
        .some(
          ({ metadata, endpoints }) =>
            metadata.namespace === namespace &&
            endpoints?.some(({ addresses, targetRef }) => targetRef?.kind === 'Pod' && addresses.includes(address)),
        )
    if (address === undefined || (options.pods === 'verified' && !isPod(address))) return nothing
    return { found: true, answers: addresses([address]) }
  }

  const serviceName = rest.at(-1) as string
  const service = view.service(namespace, serviceName)
  if (!service) return nothing
  const inner = rest.slice(0, -1)
  const base = `${serviceName}.${namespace}.svc.${zone}`
  if (service.spec?.type === 'ExternalName') {
    const target = service.spec.externalName?.replace(/\.$/, '')
    if (inner.length > 0 || !target) return nothing
    return { found: true, answers: [record({ type: 'CNAME', target })], alias: target }
  }
  const headless = isHeadless(service)
  const named = inner.length === 1
  const endpoints =
    (headless || named) && !options.noEndpoints ? endpointsOf(view.slices(namespace, serviceName), options.podNames ?? false) : []
  if (headless && (options.noEndpoints || (options.ignoreEmpty && endpoints.length === 0))) return nothing
  const clusterIps = headless ? [] : (service.spec?.clusterIPs ?? [service.spec?.clusterIP ?? '']).filter((ip) => ip !== '')

  const services = (portName?: string, protocol?: string): Found => {
    const fits = (p: { readonly name?: string | undefined; readonly protocol?: string | undefined }): boolean =>
      (portName === undefined || p.name === portName) && (protocol === undefined || (p.protocol ?? 'TCP').toLowerCase() === protocol)
    const targets = headless
      ? endpoints.flatMap((e) => e.ports.filter(fits).map(({ port }) => ({ port, target: `${e.host}.${base}`, ips: [e.address] })))
      : (service.spec?.ports ?? []).filter(fits).map(({ port }) => ({ port, target: base, ips: clusterIps }))
    if (targets.length === 0) return portName === undefined ? empty : nothing
    if (!wants(TYPES.SRV)) return empty
    const weight = Math.max(1, Math.floor(100 / targets.length))
    const extra = new Map(
      targets.flatMap(({ target, ips }) => ips.map((ip) => [`${target} ${ip}`, record(addressData(ip), target)] as const)),
    )
    return {
      found: true,
      answers: targets.map(({ port, target }) => record({ type: 'SRV', priority: 0, weight, port, target })),
      additional: [...extra.values()],
    }
  }

  if (inner.length === 0) {
    if (type === TYPES.SRV) return services()
    return { found: true, answers: addresses(headless ? endpoints.map((e) => e.address) : clusterIps) }
  }
  const [first = '', second = ''] = inner
  if (inner.length === 2 && first.startsWith('_') && second.startsWith('_')) return services(first.slice(1), second.slice(1))
  if (named) {
    const own = endpoints.filter((e) => e.host === first)
    return own.length > 0 ? { found: true, answers: addresses(own.map((e) => e.address)) } : nothing
  }
  return nothing
}

/** `10.1.2.3` for `3.2.1.10.in-addr.arpa`; the full IPv6 address for `ip6.arpa`; undefined when the name is not a whole address. */
export function reverseAddress(name: string): string | undefined {
  const v4 = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\.in-addr\.arpa$/.exec(name)
  if (v4) return [v4[4], v4[3], v4[2], v4[1]].join('.')
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)?.[1]
  if (!v6) return undefined
  const hex = v6.split('.').reverse().join('')
  return new URL(`http://[${(hex.match(/.{4}/g) ?? []).join(':')}]`).hostname.slice(1, -1)
}

function lookupReverse(query: Query, clusterZone: string, { view, ttl = 5, podNames }: ClusterRecordsOptions): Found {
  const ip = reverseAddress(foldName(query.question.name))
  if (ip === undefined) return nothing
  const targets = view.servicesWithIp(ip).map((s) => `${s.metadata.name}.${s.metadata.namespace}.svc.${clusterZone}`)
  for (const slice of view.slicesWithIp(ip)) {
    const service = slice.metadata.labels?.['kubernetes.io/service-name']
    const namespace = slice.metadata.namespace ?? ''
    for (const { address, host } of service ? endpointsOf([slice], podNames ?? false) : [])
      if (address === ip) targets.push(`${host}.${service}.${namespace}.svc.${clusterZone}`)
  }
  if (targets.length === 0) return nothing
  const wanted = query.question.type === TYPES.PTR || query.question.type === TYPES.ANY
  return {
    found: true,
    answers: wanted ? [...new Set(targets)].map((target) => ({ name: query.question.name, ttl, data: { type: 'PTR', target } })) : [],
  }
}

/** Aliases that are followed for one question: Services may name each other in a circle. */
const MOST_HOPS = 8

/** Answers for the cluster's own zones. */
export function clusterRecords(options: ClusterRecordsOptions): DnsPlugin {
  const { zones, ttl = 5, fallthrough = [], lookup } = options
  const folded = zones.map((zone) => foldName(zone).replace(/\.$/, '')).sort((a, b) => b.length - a.length)
  const clusterZone = folded.find((zone) => !zone.endsWith('arpa')) ?? 'cluster.local'
  return async (query, next) => {
    const name = foldName(query.question.name)
    const zone = folded.find((each) => isWithin(name, each))
    if (zone === undefined || query.question.class !== 1) return next(query)
    const labels = name === zone ? [] : name.slice(0, zone === '' ? undefined : -zone.length - 1).split('.')
    const result = zone.endsWith('arpa') ? lookupReverse(query, clusterZone, options) : lookupForward(labels, query, zone, options)
    if (!result.found) {
      if (fallthrough.some((each) => isWithin(name, each))) return next(query)
      return { rcode: 'NXDOMAIN', authoritative: true, authority: [soa(zone, ttl)] }
    }
    if (result.answers.length === 0) return { rcode: 'NOERROR', authoritative: true, authority: [soa(zone, ttl)] }
    const hops = (query.hops ?? 0) + 1
    const chase = result.alias !== undefined && query.question.type !== TYPES.CNAME && hops <= MOST_HOPS && lookup
    const further = chase
      ? await lookup({ ...query, hops, question: { ...query.question, name: result.alias ?? '' } }).catch(() => undefined)
      : undefined
    return {
      rcode: 'NOERROR',
      authoritative: true,
      answers: [...result.answers, ...(further?.rcode === 'NOERROR' ? (further.answers ?? []) : [])],
      ...(result.additional ? { additional: result.additional } : {}),
    }
  }
}
