// Addresses, routes, rules and neighbours as values, and their encoding (rtnetlink(7)).
import { familyOf, formatIp, formatMac, formatPrefix, type IpFamily, ipBytes, lastOf, macBytes, prefixOf } from './ip.js'
import { Attributes, type MessageWriter, type NetlinkMessage } from './message.js'

export const RTM_NEWADDR = 20
export const RTM_DELADDR = 21
export const RTM_GETADDR = 22
export const RTM_NEWROUTE = 24
export const RTM_DELROUTE = 25
export const RTM_GETROUTE = 26
export const RTM_NEWNEIGH = 28
export const RTM_DELNEIGH = 29
export const RTM_GETNEIGH = 30
export const RTM_NEWRULE = 32
export const RTM_DELRULE = 33
export const RTM_GETRULE = 34

export const AF_INET = 2
export const AF_INET6 = 10
export const AF_BRIDGE = 7

export const familyNumber = (family: IpFamily): number => (family === 4 ? AF_INET : AF_INET6)

const SCOPES = { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const
export type Scope = keyof typeof SCOPES
const scopeName = (number: number): Scope => (Object.keys(SCOPES) as Scope[]).find((name) => SCOPES[name] === number) ?? 'universe'

export interface Address {
  /** Index of the link. */
  readonly link: number
  /** `10.0.0.2/24`. */
  readonly address: string
  readonly scope?: Scope
  readonly label?: string
  /** IPv6: usable at once, without asking the link whether somebody has it. */
  readonly noDad?: boolean
  /** Without the route to its prefix. */
  readonly noPrefixRoute?: boolean
}

export function writeAddress(writer: MessageWriter, address: Address): void {
  const prefix = prefixOf(address.address)
  const header = Buffer.alloc(8)
  header.writeUInt8(familyNumber(familyOf(prefix.ip)), 0)
  header.writeUInt8(prefix.length, 1)
  header.writeUInt8(SCOPES[address.scope ?? 'universe'], 3)
  header.writeUInt32LE(address.link, 4)
  writer.raw(header)
  writer.bytes(2, prefix.ip)
  if (prefix.ip.length === 4) {
    writer.bytes(1, prefix.ip)
    if (prefix.length < 31) writer.bytes(4, lastOf(prefix))
  }
  if (address.label !== undefined) writer.text(3, address.label)
  const flags = (address.noDad ? 2 : 0) | (address.noPrefixRoute ? 0x200 : 0)
  if (flags !== 0) writer.u32(8, flags)
}

export interface ListedAddress {
  readonly link: number
  readonly address: string
  readonly family: IpFamily
  readonly scope: Scope
  /** IPv6: still asking whether somebody else has it, or somebody has. */
  readonly tentative: boolean
  readonly duplicate: boolean
  /** Set by somebody, not learnt with a lifetime. */
  readonly permanent: boolean
}

export function parseAddress({ payload }: NetlinkMessage): ListedAddress {
  const attributes = new Attributes(payload.subarray(8))
  const ip = attributes.bytes(2) ?? attributes.bytes(1) ?? Buffer.alloc(4)
  const flags = attributes.u32(8) ?? payload.readUInt8(2)
  return {
    link: payload.readUInt32LE(4),
    address: formatPrefix({ ip, length: payload.readUInt8(1) }),
    family: familyOf(ip),
    scope: scopeName(payload.readUInt8(3)),
    tentative: (flags & 0x40) !== 0,
    duplicate: (flags & 8) !== 0,
    permanent: (flags & 0x80) !== 0,
  }
}

const ROUTE_TYPES = [
  'unspec',
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
] as const
export type RouteType = (typeof ROUTE_TYPES)[number]

export const TABLE_MAIN = 254

export interface Route {
  /** `10.0.0.0/24`; the default routes are `0.0.0.0/0` and `::/0`. */
  readonly to: string
  readonly type?: RouteType
  readonly gateway?: string | undefined
  /** Index of the link. */
  readonly link?: number | undefined
  readonly source?: string | undefined
  readonly metric?: number | undefined
  readonly table?: number | undefined
  readonly scope?: Scope | undefined
  readonly mtu?: number | undefined
  readonly advmss?: number | undefined
  /** The gateway is on the link although no prefix says so. */
  readonly onLink?: boolean
  readonly via?: readonly { readonly gateway?: string; readonly link?: number; readonly weight?: number }[]
  /** Who made it (rtnetlink's protocol): 4 "static" unless said. */
  readonly protocol?: number
}

const RTNH_F_ONLINK = 4

export function writeRoute(writer: MessageWriter, route: Route): void {
  const prefix = prefixOf(route.to)
  const type = ROUTE_TYPES.indexOf(route.type ?? 'unicast')
  const direct = route.gateway === undefined && route.via === undefined && (route.type ?? 'unicast') === 'unicast'
  const table = route.table ?? TABLE_MAIN
  const header = Buffer.alloc(12)
  header.writeUInt8(familyNumber(familyOf(prefix.ip)), 0)
  header.writeUInt8(prefix.length, 1)
  header.writeUInt8(table < 256 ? table : 0, 4)
  header.writeUInt8(route.protocol ?? 4, 5)
  header.writeUInt8(SCOPES[route.scope ?? (direct && prefix.ip.length === 4 ? 'link' : 'universe')], 6)
  header.writeUInt8(type, 7)
  header.writeUInt32LE(route.onLink ? RTNH_F_ONLINK : 0, 8)
  writer.raw(header)
  if (prefix.length > 0) writer.bytes(1, prefix.ip)
  if (table >= 256) writer.u32(15, table)
  if (route.gateway !== undefined) writeGateway(writer, prefix.ip.length, route.gateway)
  if (route.link !== undefined) writer.u32(4, route.link)
  if (route.source !== undefined) writer.bytes(7, ipBytes(route.source))
  if (route.metric !== undefined) writer.u32(6, route.metric)
  if (route.mtu !== undefined || route.advmss !== undefined)
    writer.nest(8, () => {
      if (route.mtu !== undefined) writer.u32(2, route.mtu)
      if (route.advmss !== undefined) writer.u32(8, route.advmss)
    })
  if (route.via) writer.nest(9, () => writeNextHops(writer, route))
}

/** A gateway of the other family goes into RTA_VIA. */
function writeGateway(writer: MessageWriter, length: number, text: string): void {
  const gateway = ipBytes(text)
  if (gateway.length === length) writer.bytes(5, gateway)
  else writer.bytes(18, Buffer.concat([Buffer.from([familyNumber(familyOf(gateway)), 0]), gateway]))
}

/** struct rtnexthop: length, flags, hops, index, and attributes behind it. */
function writeNextHops(writer: MessageWriter, route: Route): void {
  for (const hop of route.via ?? []) {
    const gateway = hop.gateway === undefined ? undefined : ipBytes(hop.gateway)
    const attribute = gateway ? 4 + gateway.length : 0
    const bytes = Buffer.alloc(8 + attribute)
    bytes.writeUInt16LE(bytes.length, 0)
    bytes.writeUInt8(route.onLink ? RTNH_F_ONLINK : 0, 2)
    bytes.writeUInt8((hop.weight ?? 1) - 1, 3)
    bytes.writeInt32LE(hop.link ?? 0, 4)
    if (gateway) {
      bytes.writeUInt16LE(attribute, 8)
      bytes.writeUInt16LE(5, 10)
      bytes.set(gateway, 12)
    }
    writer.raw(bytes)
  }
}

export interface ListedRoute extends Route {
  readonly family: IpFamily
  readonly table: number
  readonly type: RouteType
  readonly scope: Scope
  readonly protocol: number
}

export function parseRoute({ payload }: NetlinkMessage): ListedRoute {
  const family: IpFamily = payload.readUInt8(0) === AF_INET ? 4 : 6
  const attributes = new Attributes(payload.subarray(12))
  const ip = attributes.bytes(1) ?? Buffer.alloc(family === 4 ? 4 : 16)
  const gateway = attributes.bytes(5) ?? attributes.bytes(18)?.subarray(2)
  const source = attributes.bytes(7)
  const [link, metric] = [attributes.u32(4), attributes.u32(6)]
  const mtu = attributes.nested(8).u32(2)
  return {
    family,
    to: formatPrefix({ ip, length: payload.readUInt8(1) }),
    table: attributes.u32(15) ?? payload.readUInt8(4),
    protocol: payload.readUInt8(5),
    scope: scopeName(payload.readUInt8(6)),
    type: ROUTE_TYPES[payload.readUInt8(7)] ?? 'unspec',
    onLink: (payload.readUInt32LE(8) & RTNH_F_ONLINK) !== 0,
    ...(gateway ? { gateway: formatIp(gateway) } : {}),
    ...(source ? { source: formatIp(source) } : {}),
    ...(link === undefined ? {} : { link }),
    ...(metric === undefined ? {} : { metric }),
    ...(mtu === undefined ? {} : { mtu }),
  }
}

/** struct neighbour states (linux/neighbour.h). */
const NEIGHBOUR_STATES = {
  none: 0,
  incomplete: 1,
  reachable: 2,
  stale: 4,
  delay: 8,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: 0x80,
} as const
export type NeighbourState = keyof typeof NEIGHBOUR_STATES
const stateName = (number: number): NeighbourState =>
  (Object.keys(NEIGHBOUR_STATES) as NeighbourState[]).find((name) => NEIGHBOUR_STATES[name] === number) ?? 'none'

export interface Neighbour {
  readonly link: number
  readonly address: string
  readonly mac?: string
  readonly state?: NeighbourState
  /** Answer for this address on the link (proxy ARP). */
  readonly proxy?: boolean
}

const NTF_SELF = 2
const NTF_MASTER = 4
const NTF_PROXY = 8

/** struct ndmsg. */
function neighbourHeader(family: number, link: number, state: number, flags: number): Buffer {
  const header = Buffer.alloc(12)
  header.writeUInt8(family, 0)
  header.writeInt32LE(link, 4)
  header.writeUInt16LE(state, 8)
  header.writeUInt8(flags, 10)
  return header
}

export function writeNeighbour(writer: MessageWriter, neighbour: Neighbour): void {
  const ip = ipBytes(neighbour.address)
  const state = NEIGHBOUR_STATES[neighbour.state ?? 'permanent']
  writer.raw(neighbourHeader(familyNumber(familyOf(ip)), neighbour.link, state, neighbour.proxy ? NTF_PROXY : 0))
  writer.bytes(1, ip)
  if (neighbour.mac !== undefined) writer.bytes(2, macBytes(neighbour.mac))
}

export interface ListedNeighbour extends Neighbour {
  readonly state: NeighbourState
}

export function parseNeighbour({ payload }: NetlinkMessage): ListedNeighbour {
  const attributes = new Attributes(payload.subarray(12))
  const mac = attributes.bytes(2)
  return {
    link: payload.readInt32LE(4),
    address: formatIp(attributes.bytes(1) ?? Buffer.alloc(4)),
    state: stateName(payload.readUInt16LE(8)),
    proxy: (payload.readUInt8(10) & NTF_PROXY) !== 0,
    ...(mac ? { mac: formatMac(mac) } : {}),
  }
}

/** Where a bridge or a VXLAN link sends frames for a MAC address. */
export interface ForwardingEntry {
  readonly link: number
  readonly mac: string
  /** VXLAN: the outer address. */
  readonly destination?: string
  readonly port?: number
  readonly vlan?: number
  /** The entry of the bridge that the link is a port of, instead of the link's own. */
  readonly master?: boolean
}

export function writeForwarding(writer: MessageWriter, entry: ForwardingEntry): void {
  const state = NEIGHBOUR_STATES.permanent | NEIGHBOUR_STATES.noarp
  writer.raw(neighbourHeader(AF_BRIDGE, entry.link, state, entry.master ? NTF_MASTER : NTF_SELF))
  writer.bytes(2, macBytes(entry.mac))
  if (entry.destination !== undefined) writer.bytes(1, ipBytes(entry.destination))
  if (entry.vlan !== undefined) writer.u16(5, entry.vlan)
  if (entry.port !== undefined) writer.be16(6, entry.port)
}

export interface ListedForwarding extends ForwardingEntry {
  readonly permanent: boolean
}

export function parseForwarding({ payload }: NetlinkMessage): ListedForwarding {
  const attributes = new Attributes(payload.subarray(12))
  const destination = attributes.bytes(1)
  const [vlan, port] = [attributes.u16(5), attributes.be16(6)]
  return {
    link: payload.readInt32LE(4),
    mac: formatMac(attributes.bytes(2) ?? Buffer.alloc(6)),
    master: attributes.u32(9) !== undefined,
    permanent: (payload.readUInt16LE(8) & NEIGHBOUR_STATES.permanent) !== 0,
    ...(destination ? { destination: formatIp(destination) } : {}),
    ...(vlan === undefined ? {} : { vlan }),
    ...(port === undefined ? {} : { port }),
  }
}

/** A routing policy rule: who looks into which table. */
export interface RoutingRule {
  readonly family: IpFamily
  readonly priority?: number
  readonly from?: string
  readonly to?: string
  readonly mark?: number
  readonly mask?: number
  readonly inputLink?: string
  readonly outputLink?: string
  readonly table?: number
  readonly action?: 'lookup' | 'blackhole' | 'unreachable' | 'prohibit'
}

const RULE_ACTIONS = { lookup: 1, blackhole: 6, unreachable: 7, prohibit: 8 } as const

export function writeRule(writer: MessageWriter, rule: RoutingRule): void {
  const from = rule.from === undefined ? undefined : prefixOf(rule.from)
  const to = rule.to === undefined ? undefined : prefixOf(rule.to)
  const table = rule.table ?? TABLE_MAIN
  const header = Buffer.alloc(12)
  header.writeUInt8(familyNumber(rule.family), 0)
  header.writeUInt8(to?.length ?? 0, 1)
  header.writeUInt8(from?.length ?? 0, 2)
  header.writeUInt8(table < 256 ? table : 0, 4)
  header.writeUInt8(RULE_ACTIONS[rule.action ?? 'lookup'], 7)
  writer.raw(header)
  if (to) writer.bytes(1, to.ip)
  if (from) writer.bytes(2, from.ip)
  if (rule.inputLink !== undefined) writer.text(3, rule.inputLink)
  if (rule.priority !== undefined) writer.u32(6, rule.priority)
  if (rule.mark !== undefined) writer.u32(10, rule.mark)
  if (rule.mask !== undefined) writer.u32(16, rule.mask)
  if (rule.outputLink !== undefined) writer.text(17, rule.outputLink)
  writer.u32(15, table)
}

export function parseRule({ payload }: NetlinkMessage): RoutingRule {
  const family: IpFamily = payload.readUInt8(0) === AF_INET ? 4 : 6
  const attributes = new Attributes(payload.subarray(12))
  const [to, from] = [attributes.bytes(1), attributes.bytes(2)]
  const action = (Object.keys(RULE_ACTIONS) as (keyof typeof RULE_ACTIONS)[]).find((name) => RULE_ACTIONS[name] === payload.readUInt8(7))
  const optional = {
    mark: attributes.u32(10),
    mask: attributes.u32(16),
    inputLink: attributes.text(3),
    outputLink: attributes.text(17),
    action,
    to: to && formatPrefix({ ip: to, length: payload.readUInt8(1) }),
    from: from && formatPrefix({ ip: from, length: payload.readUInt8(2) }),
  }
  return {
    family,
    priority: attributes.u32(6) ?? 0,
    table: attributes.u32(15) ?? payload.readUInt8(4),
    ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)),
  }
}

/** The question "how would a packet go there". */
export function writeRouteQuery(writer: MessageWriter, destination: string): void {
  const ip = ipBytes(destination)
  const header = Buffer.alloc(12)
  header.writeUInt8(familyNumber(familyOf(ip)), 0)
  header.writeUInt8(ip.length * 8, 1)
  writer.raw(header).bytes(1, ip)
}
