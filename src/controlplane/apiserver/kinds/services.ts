// Addresses and ports of Services: taken in the same transaction that writes the Service, so none is ever handed out twice.
import { encodeJson, equalJson, IPAddress, inCidr, isIP, type JsonObject, type Resource, type Service } from '../../../api/index.js'
import { ApiError, type Clock, type Random, randomInt, rfc3339, uuid } from '../../../lib/index.js'
import type { Store } from '../../../store/index.js'
import { ROOT } from '../registry/feed.js'
import type { Companions, HookRequest, KindHooks } from '../registry/hooks.js'
import { addressText, familyOf, type Range, rangeOf, type ServiceRanges } from './service-ranges.js'

const addressKey = (ip: string): string => `${ROOT}ipaddresses/${ip}`
/** Node ports have no objects of their own in the API; their keys live outside /registry. */
const portKey = (protocol: string, port: number): string => `/knarr/nodeports/${protocol}/${port}`

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

/** Wishes that contradict themselves are for validation to name: nothing is handed out for them. */
function refused({ clusterIP, ipFamilies }: JsonObject, said: readonly string[]): boolean {
  const families = (ipFamilies ?? []) as readonly string[]
  const wrong = families.some((family, index) => !['IPv4', 'IPv6'].includes(family) || families.indexOf(family) < index)
  return wrong || said.some((ip) => ip !== 'None' && !isIP(ip)) || (Boolean(clusterIP) && said.length > 0 && said[0] !== clusterIP)
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
    if (refused(spec, said)) return
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
      // Ports that were carried over from another type go before validation; those that the client names are refused there.
      if (service.spec?.type === 'ExternalName') for (const port of ports) delete port.nodePort
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
