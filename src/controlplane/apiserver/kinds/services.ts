// Addresses and ports of Services: taken in the same transaction that writes the Service, so none is ever handed out twice.
import {
  addressBits,
  EndpointSlice,
  Endpoints,
  encodeJson,
  equalJson,
  IPAddress,
  inCidr,
  type JsonObject,
  type Kind,
  type Resource,
  Service,
  ServiceCIDR,
} from '../../../api/index.js'
import { ApiError, type Clock, isStatus, type Random, randomInt, rfc3339, uuid } from '../../../lib/index.js'
import type { Store } from '../../../store/index.js'
import { systemRequest } from '../bootstrap.js'
import { ROOT } from '../registry/feed.js'
import type { Companions, HookRequest, KindHooks } from '../registry/hooks.js'
import type { Writer } from '../registry/writer.js'

export interface ServiceRanges {
  /** One range, or one of each family with a comma between them: the first is the cluster's own family. */
  readonly cidr: string
  readonly nodePorts: { readonly first: number; readonly last: number }
}

const addressKey = (ip: string): string => `${ROOT}ipaddresses/${ip}`
/** Node ports have no objects of their own in the API; their keys live outside /registry. */
const portKey = (protocol: string, port: number): string => `/knarr/nodeports/${protocol}/${port}`

const dotted = (value: bigint): string => [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.')

function addressText(value: bigint, v6: boolean): string {
  if (!v6) return dotted(value)
  const groups = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

const invalid = (service: Service, field: string, value: unknown, message: string): ApiError =>
  new ApiError(
    'Invalid',
    `Service ${JSON.stringify(service.metadata.name)} is invalid: ${field}: Invalid value: ${JSON.stringify(value)}: ${message}`,
    {
      details: {
        name: service.metadata.name,
        kind: 'Service',
        causes: [{ reason: 'FieldValueInvalid', message: `Invalid value: ${JSON.stringify(value)}: ${message}`, field }],
      },
    },
  )

const wantsAddress = ({ spec }: Service): boolean => spec?.type !== 'ExternalName'
const wantsNodePorts = ({ spec }: Service): boolean =>
  spec?.type === 'NodePort' || (spec?.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false)

interface PortUse {
  readonly protocol: string
  readonly port: number
}

/** What only the former type had goes with it, unless the client says it anew. */
function dropOfOtherType(object: JsonObject, previous: Service | undefined): void {
  const spec = object.spec as JsonObject
  if (!previous?.spec || spec.type === previous.spec.type) return
  const drop = (field: 'externalTrafficPolicy' | 'allocateLoadBalancerNodePorts' | 'loadBalancerClass' | 'internalTrafficPolicy'): void => {
    if (spec[field] === previous.spec?.[field]) delete spec[field]
  }
  const external = spec.type === 'NodePort' || spec.type === 'LoadBalancer'
  if (!external) drop('externalTrafficPolicy')
  if (spec.type !== 'LoadBalancer') {
    drop('allocateLoadBalancerNodePorts')
    drop('loadBalancerClass')
  }
  if (spec.type === 'ExternalName') drop('internalTrafficPolicy')
}

interface Range {
  readonly cidr: string
  readonly family: string
  readonly base: bigint
  readonly size: bigint
  /** The band that static addresses are chosen from is left for them while there is room elsewhere. */
  readonly band: number
}

const familyOf = (ip: string): string => (ip.includes(':') ? 'IPv6' : 'IPv4')

function rangeOf(cidr: string): Range {
  const [network = '', bits = '0'] = cidr.split('/')
  const size = 1n << BigInt((network.includes(':') ? 128 : 32) - Number(bits))
  const band = Number(size > 65536n ? 256n : size > 256n ? 16n + size / 256n : size / 16n)
  return { cidr, family: familyOf(network), base: addressBits(network) ?? 0n, size, band }
}

/** Every node port of a Service with its protocol; the health check's counts as TCP. */
function portsOf(service: Service | undefined): PortUse[] {
  const ports = (service?.spec?.ports ?? []).flatMap(({ nodePort, protocol = 'TCP' }) => (nodePort ? [{ protocol, port: nodePort }] : []))
  const health = service?.spec?.healthCheckNodePort
  return health ? [...ports, { protocol: 'TCP', port: health }] : ports
}

/** The addresses that a client asks for: who changes `clusterIP` alone means the first of `clusterIPs`. */
function saidAddresses(spec: JsonObject, before: Service | undefined): readonly string[] {
  const one = spec.clusterIP as string | undefined
  const all = (spec.clusterIPs as string[] | undefined) ?? []
  const known = before?.spec?.clusterIPs ?? []
  if (one && one !== before?.spec?.clusterIP && known.length > 0 && equalJson(all, known)) return [one, ...all.slice(1)]
  if (all.length > 0) return all
  return one ? [one] : []
}

const addressesOf = (service: Service | undefined): string[] => {
  const { clusterIPs, clusterIP } = service?.spec ?? {}
  const all = clusterIPs?.length ? clusterIPs : clusterIP ? [clusterIP] : []
  return all.filter((ip) => ip !== 'None' && ip !== '')
}

const samePort = (a: PortUse, b: PortUse): boolean => a.port === b.port && a.protocol === b.protocol

export function serviceHooks(
  store: Store,
  { clock, random }: { clock: Clock; random: Random },
  { cidr, nodePorts }: ServiceRanges,
): KindHooks {
  const ranges = cidr.split(',').map(rangeOf)

  const isFree = async (key: string): Promise<boolean> => !(await store.get(key)).kv

  const freeAddress = async (service: Service, { size, band, base, family }: Range): Promise<string> => {
    const most = Number(size > 65536n ? 65536n : size) - 2
    if (most < 1) throw invalid(service, 'spec.clusterIPs', [], 'failed to allocate IP: the range holds no address')
    const start = band + randomInt(random, Math.max(1, most - band))
    for (let i = 0; i < most; i++) {
      const offset = ((start - 1 + i) % most) + 1
      const ip = addressText(base + BigInt(offset), family === 'IPv6')
      if (await isFree(addressKey(ip))) return ip
    }
    throw new ApiError('InternalError', 'Internal error occurred: failed to allocate a serviceIP: range is full')
  }
  const freePort = async (service: Service, protocol: string, taken: readonly PortUse[]): Promise<number> => {
    const count = nodePorts.last - nodePorts.first + 1
    const start = randomInt(random, count)
    for (let i = 0; i < count; i++) {
      const port = nodePorts.first + ((start + i) % count)
      if (!taken.some((use) => samePort(use, { protocol, port })) && (await isFree(portKey(protocol, port)))) return port
    }
    throw invalid(service, 'spec.ports[0].nodePort', 0, 'failed to allocate a nodePort: range is full')
  }

  /** Chosen by us: may be chosen anew when somebody takes it first. Keyed by the object being written. */
  const chosen = new WeakMap<JsonObject, { families: Set<string>; ports: Set<number> }>()

  /** The families a Service is to have, the first of them its own; `given` are the addresses that are already said. */
  const setFamilies = (spec: JsonObject, service: Service, previous: Service | undefined, given: readonly string[]): string[] => {
    const named = (spec.ipFamilies ?? []) as string[]
    const known = named.length > 0 ? named : [...new Set(given.filter((ip) => ip !== 'None').map(familyOf))]
    const all = [...new Set([...known, ...ranges.map(({ family }) => family)])]
    // Whoever writes the slices of such a Service knows the families.
    const free = given[0] === 'None' && !service.spec?.selector
    if (spec.ipFamilyPolicy === undefined) {
      const both = known.length > 1 || (free && known.length === 0)
      spec.ipFamilyPolicy = both ? 'RequireDualStack' : 'SingleStack'
    }
    if (free && spec.ipFamilyPolicy !== 'SingleStack') return [...new Set([...all, 'IPv4', 'IPv6'])]
    for (const [index, family] of known.entries())
      if (!ranges.some((range) => range.family === family) && !free)
        throw invalid(service, `spec.ipFamilies[${index}]`, family, 'not configured on this cluster')
    if (spec.ipFamilyPolicy === 'RequireDualStack' && ranges.length < 2)
      throw invalid(service, 'spec.ipFamilyPolicy', 'RequireDualStack', 'this cluster is not configured for dual-stack services')
    if (spec.ipFamilyPolicy !== 'SingleStack') return all
    // A Service that had two gives the second one back.
    if (known.length > 1 && (previous?.spec?.ipFamilies?.length ?? 0) < 2)
      throw invalid(
        service,
        'spec.ipFamilyPolicy',
        'SingleStack',
        "must be RequireDualStack or PreferDualStack when multiple 'ipFamilies' are specified",
      )
    return all.slice(0, 1)
  }

  const setAddresses = async (
    object: JsonObject,
    service: Service,
    previous: Service | undefined,
    ours: { readonly families: Set<string> },
  ): Promise<void> => {
    const spec = object.spec as JsonObject
    if (!wantsAddress(service)) {
      for (const field of ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy']) delete spec[field]
      return
    }
    const before = previous && wantsAddress(previous) ? previous : undefined
    const said = saidAddresses(spec, before)
    if (before && said.length > 0 && said[0] !== addressesOf(before)[0]) {
      // Nothing is handed out for a wish that validation refuses.
      spec.clusterIP = said[0] as string
      spec.clusterIPs = [...said]
      return
    }
    const given = said.length > 0 ? said : (before?.spec?.clusterIPs ?? (before?.spec?.clusterIP ? [before.spec.clusterIP] : []))
    const families = setFamilies(spec, service, before, given)
    const kept = addressesOf(before)
    const address = async (family: string): Promise<string> => {
      const range = ranges.find((each) => each.family === family) as Range
      const asked = ours.families.has(family) ? undefined : given.find((ip) => familyOf(ip) === family)
      if (asked === undefined) {
        ours.families.add(family)
        return freeAddress(service, range)
      }
      if (kept.includes(asked)) return asked
      if (!inCidr(range.cidr, asked)) {
        throw invalid(
          service,
          'spec.clusterIPs',
          [asked],
          `failed to allocate IP ${asked}: the provided IP (${asked}) is not in the valid range. The range of valid IPs is ${range.cidr}`,
        )
      }
      if (!(await isFree(addressKey(asked))))
        throw invalid(service, 'spec.clusterIPs', [asked], `failed to allocate IP ${asked}: provided IP is already allocated`)
      return asked
    }
    const ips: string[] = []
    if (given[0] === 'None') ips.push('None')
    else for (const family of families) ips.push(await address(family))
    spec.clusterIP = ips[0] as string
    spec.clusterIPs = ips
    spec.ipFamilies = families
    if (spec.internalTrafficPolicy === undefined) spec.internalTrafficPolicy = 'Cluster'
  }

  const setNodePorts = async (
    object: JsonObject,
    service: Service,
    previous: Service | undefined,
    ours: { ports: Set<number> },
  ): Promise<void> => {
    const spec = object.spec as JsonObject
    const ports = (spec.ports ?? []) as JsonObject[]
    const before = portsOf(previous)
    if (!wantsNodePorts(service)) {
      // A Service that stops being reachable through nodes gives its ports back, unless the client keeps naming new ones.
      if (service.spec?.type !== 'LoadBalancer') for (const port of ports) delete port.nodePort
      return
    }
    const taken: PortUse[] = []
    for (const [index, port] of ports.entries()) {
      const protocol = (port.protocol ?? 'TCP') as string
      const old = previous?.spec?.ports?.find(
        (other) => (other.name ?? '') === (port.name ?? '') && other.port === port.port && (other.protocol ?? 'TCP') === protocol,
      )
      const asked = ours.ports.has(index) ? undefined : (port.nodePort as number | undefined)
      if (asked) {
        if (asked < nodePorts.first || asked > nodePorts.last) {
          throw invalid(
            service,
            `spec.ports[${index}].nodePort`,
            asked,
            `provided port is not in the valid range. The range of valid ports is ${nodePorts.first}-${nodePorts.last}`,
          )
        }
        const use = { protocol, port: asked }
        if (!before.some((other) => samePort(other, use)) && !(await isFree(portKey(protocol, asked)))) {
          throw invalid(service, `spec.ports[${index}].nodePort`, asked, 'provided port is already allocated')
        }
      } else if (old?.nodePort && !taken.some((use) => samePort(use, { protocol, port: old.nodePort as number })))
        port.nodePort = old.nodePort
      else {
        // One number serves TCP and UDP of the same port, when it can.
        const twin = ports.slice(0, index).find((other) => other.port === port.port && other.protocol !== protocol && other.nodePort)
        const same = twin?.nodePort as number | undefined
        port.nodePort = same && (await isFree(portKey(protocol, same))) ? same : await freePort(service, protocol, taken)
        ours.ports.add(index)
      }
      taken.push({ protocol, port: port.nodePort as number })
    }
    const needsHealthPort = service.spec?.type === 'LoadBalancer' && service.spec.externalTrafficPolicy === 'Local'
    if (!needsHealthPort) delete spec.healthCheckNodePort
    else if (!spec.healthCheckNodePort)
      spec.healthCheckNodePort = previous?.spec?.healthCheckNodePort || (await freePort(service, 'TCP', taken))
  }

  const allocate = async (object: JsonObject, previous: Service | undefined): Promise<void> => {
    const service = object as unknown as Service
    if (!service.spec) return
    const ours = chosen.get(object) ?? { families: new Set<string>(), ports: new Set<number>() }
    chosen.set(object, ours)
    dropOfOtherType(object, previous)
    await setAddresses(object, service, previous, ours)
    await setNodePorts(object, service, previous, ours)
  }

  const addressObject = (ip: string, service: Service): Uint8Array =>
    encodeJson({
      kind: 'IPAddress',
      apiVersion: IPAddress.apiVersion,
      metadata: {
        name: ip,
        uid: uuid(random),
        creationTimestamp: rfc3339(clock.now()),
        labels: {
          'ipaddress.kubernetes.io/ip-family': ip.includes(':') ? 'IPv6' : 'IPv4',
          'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io',
        },
      },
      spec: { parentRef: { resource: 'services', namespace: service.metadata.namespace ?? '', name: service.metadata.name } },
    })

  const exchange = async (next: Service | undefined, previous: Service | undefined): Promise<Companions | undefined> => {
    const [after, before] = [addressesOf(next), addressesOf(previous)]
    const [portsAfter, portsBefore] = [portsOf(next), portsOf(previous)]
    const compare: { key: string; modRevision: number }[] = []
    const operations: Companions['operations'][number][] = []
    for (const ip of after.filter((one) => !before.includes(one))) {
      compare.push({ key: addressKey(ip), modRevision: 0 })
      operations.push({ type: 'put', key: addressKey(ip), value: addressObject(ip, next as Service) })
    }
    for (const ip of before.filter((one) => !after.includes(one))) operations.push({ type: 'delete', key: addressKey(ip) })
    for (const { protocol, port } of portsAfter.filter((one) => !portsBefore.some((other) => samePort(one, other)))) {
      const key = portKey(protocol, port)
      if (operations.some((operation) => operation.key === key)) continue
      compare.push({ key, modRevision: 0 })
      operations.push({
        type: 'put',
        key,
        value: encodeJson({ namespace: next?.metadata.namespace ?? '', name: next?.metadata.name ?? '' }),
      })
    }
    for (const { protocol, port } of portsBefore.filter((one) => !portsAfter.some((other) => samePort(one, other)))) {
      operations.push({ type: 'delete', key: portKey(protocol, port) })
    }
    return operations.length > 0 ? { compare, operations } : undefined
  }

  return {
    async beforeWrite(object, previous, { subresource }: HookRequest) {
      if (subresource === '') await allocate(object, previous as Service | undefined)
    },
    async companions(object, previous, { subresource }) {
      if (subresource !== '') return undefined
      const first = chosen.get(object)
      if (first) await reallocate(object, previous as Service | undefined)
      return exchange(object as unknown as Service, previous as Service | undefined)
    },
    onDelete: (object: Resource) => exchange(undefined, object as Service),
  }

  /** Before each try: what was chosen by us and taken since is chosen again. */
  async function reallocate(object: JsonObject, previous: Service | undefined): Promise<void> {
    const service = object as unknown as Service
    const held = [...addressesOf(previous).map(addressKey), ...portsOf(previous).map(({ protocol, port }) => portKey(protocol, port))]
    const wanted = [...addressesOf(service).map(addressKey), ...portsOf(service).map(({ protocol, port }) => portKey(protocol, port))]
    for (const key of wanted) {
      if (held.includes(key) || (await isFree(key))) continue
      await allocate(object, previous)
      return
    }
  }
}

/** The `kubernetes` Service in `default`, and its endpoint: this server. */
export async function publishSelf(
  writer: Writer,
  { address, port }: { readonly address: string; readonly port: number },
  { cidr }: ServiceRanges,
): Promise<void> {
  const cidrs = cidr.split(',')
  const { base, family } = rangeOf(cidrs[0] ?? '')
  const clusterIP = addressText(base + 1n, family === 'IPv6')
  const meta = { name: 'kubernetes', namespace: 'default', labels: { component: 'apiserver', provider: 'kubernetes' } }
  const spec = {
    clusterIP,
    clusterIPs: [clusterIP],
    ipFamilies: [family],
    ipFamilyPolicy: 'SingleStack',
    type: 'ClusterIP',
    sessionAffinity: 'None',
    internalTrafficPolicy: 'Cluster',
    ports: [{ name: 'https', protocol: 'TCP', port: 443, targetPort: port }],
  }
  await ensureObject(writer, Service, { apiVersion: 'v1', kind: 'Service', metadata: meta, spec })
  await ensureObject(writer, ServiceCIDR, {
    apiVersion: ServiceCIDR.apiVersion,
    kind: 'ServiceCIDR',
    metadata: { name: 'kubernetes' },
    spec: { cidrs },
  })
  const endpointMeta = { name: 'kubernetes', namespace: 'default' }
  const labels = { 'endpointslice.kubernetes.io/skip-mirror': 'true' }
  await ensureObject(
    writer,
    Endpoints,
    {
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: { ...endpointMeta, labels },
      subsets: [{ addresses: [{ ip: address }], ports: [{ name: 'https', port, protocol: 'TCP' }] }],
    },
    'subsets',
  )
  await ensureObject(
    writer,
    EndpointSlice,
    {
      apiVersion: EndpointSlice.apiVersion,
      kind: 'EndpointSlice',
      metadata: { ...endpointMeta, labels: { 'kubernetes.io/service-name': 'kubernetes' } },
      addressType: family,
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
      ports: [{ name: 'https', port, protocol: 'TCP' }],
    },
    'endpoints',
  )
}

/** Makes the object; of one that is there, `keep` is the field that is brought up to date: other servers add themselves to it. */
async function ensureObject(writer: Writer, kind: Kind, object: JsonObject, field?: 'subsets' | 'endpoints'): Promise<void> {
  const { name, namespace = '' } = object.metadata as { name: string; namespace?: string }
  const request = systemRequest(kind, namespace, name)
  try {
    await writer.create({ ...request, name: '' }, structuredClone(object))
  } catch (error) {
    // A Service that is there holds its address, and a second one with it is Invalid before its name is looked at.
    if (!isStatus(error, 'AlreadyExists', 'Invalid')) throw error
    if (field === undefined) {
      const unchanged = (previous: Resource): JsonObject => previous as unknown as JsonObject
      await writer.update(request, unchanged, { exact: false }).catch((missing: unknown) => {
        throw isStatus(missing, 'NotFound') ? error : missing
      })
      return
    }
    await writer.update(
      request,
      (previous) => {
        const present = ((previous as unknown as JsonObject)[field] ?? []) as JsonObject[]
        const [mine] = object[field] as JsonObject[]
        const known = present.some((one) => JSON.stringify(one.addresses) === JSON.stringify(mine?.addresses))
        return { ...previous, [field]: known ? present : [...present, ...(mine ? [mine] : [])] } as unknown as JsonObject
      },
      { exact: false },
    )
  }
}
