// Network links: what they are and how they are asked for (rtnetlink(7), linux/if_link.h). Encoding and decoding only.
import { closeSync, constants, openSync } from 'node:fs'
import { formatIp, formatMac, type IpBytes, ipBytes, macBytes } from './ip.js'
import { Attributes, type MessageWriter, type NetlinkMessage } from './message.js'

export const RTM_NEWLINK = 16
export const RTM_DELLINK = 17
export const RTM_GETLINK = 18
export const RTM_SETLINK = 19

const IFF_UP = 1
const IFF_LOWER_UP = 0x10000
const IFF_PROMISC = 0x100

const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  PROTINFO: 12,
  TXQLEN: 13,
  OPERSTATE: 16,
  LINKINFO: 18,
  NET_NS_PID: 19,
  IFALIAS: 20,
  STATS64: 23,
  AF_SPEC: 26,
  NET_NS_FD: 28,
  LINK_NETNSID: 37,
} as const

export interface LinkStatistics {
  readonly rxPackets: number
  readonly txPackets: number
  readonly rxBytes: number
  readonly txBytes: number
  readonly rxErrors: number
  readonly txErrors: number
  readonly rxDropped: number
  readonly txDropped: number
}

export interface Link {
  readonly index: number
  readonly name: string
  /** `veth`, `bridge`, …; empty for hardware and loopback. */
  readonly kind: string
  readonly mac: string
  readonly mtu: number
  /** Set up by an administrator. */
  readonly up: boolean
  /** The other side is there too. */
  readonly carrier: boolean
  readonly promiscuous: boolean
  /** `up`, `down`, `unknown`, `lowerlayerdown`, … (RFC 2863). */
  readonly state: string
  /** Index of the bridge that it is a port of; 0 for none. */
  readonly master: number
  /** Index of the peer (veth) or parent (vlan, macvlan); 0 for none. In another namespace when `peerNamespace` is set. */
  readonly parent: number
  readonly peerNamespace: number | undefined
  readonly alias: string
  readonly vxlan: { readonly id: number; readonly port: number; readonly local: string | undefined; readonly learning: boolean } | undefined
  readonly vlanId: number | undefined
  readonly vlanFiltering: boolean
  readonly statistics: LinkStatistics
}

/** What every link may be given. */
export interface LinkSettings {
  readonly mtu?: number | undefined
  readonly mac?: string | undefined
  readonly up?: boolean
  /** Index of a bridge; 0 takes it out of one. */
  readonly master?: number
  readonly alias?: string
  readonly txQueueLength?: number
  readonly promiscuous?: boolean
  /** Path of the namespace to create it in or to move it to. */
  readonly namespace?: string
}

export type MacvlanMode = 'private' | 'vepa' | 'bridge' | 'passthru'

export interface BridgeSettings {
  readonly vlanFiltering?: boolean
  readonly vlanDefaultPort?: number
  readonly forwardDelay?: number
  readonly ageingTime?: number
}

export type NewLink = { readonly name: string } & LinkSettings &
  (
    | { readonly kind: 'dummy' }
    | { readonly kind: 'veth'; readonly peer: { readonly name: string } & LinkSettings }
    | ({ readonly kind: 'bridge' } & BridgeSettings)
    | {
        readonly kind: 'vxlan'
        readonly id: number
        readonly port?: number
        readonly local?: string | undefined
        readonly remote?: string
        /** Index of the link beneath. */
        readonly parent?: number
        readonly learning?: boolean
        readonly ttl?: number
      }
    | { readonly kind: 'macvlan'; readonly parent: number; readonly mode?: MacvlanMode }
    | { readonly kind: 'ipvlan'; readonly parent: number; readonly mode?: 'l2' | 'l3' | 'l3s' }
    | { readonly kind: 'vlan'; readonly parent: number; readonly id: number }
    | { readonly kind: 'ifb' }
  )

export interface BridgePortSettings {
  readonly hairpin?: boolean
  readonly isolated?: boolean
  readonly learning?: boolean
  readonly flood?: boolean
  readonly neighbourSuppression?: boolean
}

const MACVLAN_MODES = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const
const IPVLAN_MODES = { l2: 0, l3: 1, l3s: 2 } as const
const STATES = ['unknown', 'notpresent', 'down', 'lowerlayerdown', 'testing', 'dormant', 'up']

/** The kernel's limit is 15 bytes; a slash or white space would break /proc and /sys paths. */
export function checkLinkName(name: string): void {
  if (name === '' || Buffer.byteLength(name) > 15 || name === '.' || name === '..' || /[/\s\0]/.test(name))
    throw new Error(`"${name}" is not a link name: 1 to 15 bytes without "/" and spaces`)
}

/** struct ifinfomsg. */
export function ifinfo(index: number, options: { family?: number; flags?: number; change?: number } = {}): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.writeUInt8(options.family ?? 0, 0)
  bytes.writeInt32LE(index, 4)
  bytes.writeUInt32LE(options.flags ?? 0, 8)
  bytes.writeUInt32LE(options.change ?? 0, 12)
  return bytes
}

export function settingsHeader(index: number, settings: LinkSettings): Buffer {
  const flags = (settings.up ? IFF_UP : 0) | (settings.promiscuous ? IFF_PROMISC : 0)
  const change = (settings.up === undefined ? 0 : IFF_UP) | (settings.promiscuous === undefined ? 0 : IFF_PROMISC)
  return ifinfo(index, { flags, change })
}

/** `namespaceFd` is the open namespace of `settings.namespace`. */
export function writeSettings(writer: MessageWriter, settings: LinkSettings, namespaceFd: number | undefined): void {
  if (settings.mtu !== undefined) writer.u32(IFLA.MTU, settings.mtu)
  if (settings.mac !== undefined) writer.bytes(IFLA.ADDRESS, macBytes(settings.mac))
  if (settings.master !== undefined) writer.u32(IFLA.MASTER, settings.master)
  if (settings.alias !== undefined) writer.text(IFLA.IFALIAS, settings.alias)
  if (settings.txQueueLength !== undefined) writer.u32(IFLA.TXQLEN, settings.txQueueLength)
  if (namespaceFd !== undefined) writer.u32(IFLA.NET_NS_FD, namespaceFd)
}

export function writeName(writer: MessageWriter, name: string): void {
  checkLinkName(name)
  writer.text(IFLA.IFNAME, name)
}

/** Opens the namespaces that the link names, for the length of `work`. */
export function withNamespaces<T>(paths: readonly (string | undefined)[], work: (fds: readonly (number | undefined)[]) => T): T {
  const fds: (number | undefined)[] = []
  try {
    for (const path of paths) fds.push(path === undefined ? undefined : openSync(path, constants.O_RDONLY))
    return work(fds)
  } finally {
    for (const fd of fds) if (fd !== undefined) closeSync(fd)
  }
}

export function writeNewLink(writer: MessageWriter, link: NewLink, fds: readonly (number | undefined)[]): void {
  writer.raw(settingsHeader(0, link))
  writeName(writer, link.name)
  writeSettings(writer, link, fds[0])
  if ('parent' in link && link.parent !== undefined && link.kind !== 'vxlan') writer.u32(IFLA.LINK, link.parent)
  writer.nest(IFLA.LINKINFO, () => {
    writer.text(1, link.kind)
    writer.nest(2, () => writeKind(writer, link, fds[1]))
  })
}

function writeBridgeSettings(writer: MessageWriter, bridge: BridgeSettings): void {
  if (bridge.forwardDelay !== undefined) writer.u32(1, bridge.forwardDelay)
  if (bridge.ageingTime !== undefined) writer.u32(4, bridge.ageingTime)
  if (bridge.vlanFiltering !== undefined) writer.u8(7, bridge.vlanFiltering ? 1 : 0)
  if (bridge.vlanDefaultPort !== undefined) writer.u16(39, bridge.vlanDefaultPort)
}

/** Of a bridge that is there. */
export function writeBridge(writer: MessageWriter, index: number, settings: BridgeSettings): void {
  writer.raw(ifinfo(index))
  writer.nest(IFLA.LINKINFO, () => {
    writer.text(1, 'bridge')
    writer.nest(2, () => writeBridgeSettings(writer, settings))
  })
}

function writeKind(writer: MessageWriter, link: NewLink, peerFd: number | undefined): void {
  switch (link.kind) {
    case 'veth':
      // VETH_INFO_PEER: a whole ifinfomsg with attributes of its own.
      writer.nest(1, () => {
        writer.raw(ifinfo(0))
        writeName(writer, link.peer.name)
        writeSettings(writer, link.peer, peerFd)
      })
      return
    case 'bridge':
      writeBridgeSettings(writer, link)
      return
    case 'vxlan':
      writer.u32(1, link.id)
      writer.be16(15, link.port ?? 4789)
      writer.u8(7, link.learning ? 1 : 0)
      if (link.ttl !== undefined) writer.u8(5, link.ttl)
      if (link.parent !== undefined) writer.u32(3, link.parent)
      if (link.local !== undefined) writeIp(writer, link.local, 4, 17)
      if (link.remote !== undefined) writeIp(writer, link.remote, 2, 16)
      return
    case 'macvlan':
      writer.u32(1, MACVLAN_MODES[link.mode ?? 'bridge'])
      return
    case 'ipvlan':
      writer.u16(1, IPVLAN_MODES[link.mode ?? 'l2'])
      return
    case 'vlan':
      writer.u16(1, link.id)
      return
    case 'dummy':
    case 'ifb':
      return
  }
}

function writeIp(writer: MessageWriter, text: string, v4: number, v6: number): void {
  const ip: IpBytes = ipBytes(text)
  writer.bytes(ip.length === 4 ? v4 : v6, ip)
}

const AF_BRIDGE = 7

export function writeBridgePort(writer: MessageWriter, index: number, port: BridgePortSettings): void {
  writer.raw(ifinfo(index, { family: AF_BRIDGE }))
  writer.nest(IFLA.PROTINFO, () => {
    if (port.hairpin !== undefined) writer.u8(4, port.hairpin ? 1 : 0)
    if (port.learning !== undefined) writer.u8(8, port.learning ? 1 : 0)
    if (port.flood !== undefined) writer.u8(9, port.flood ? 1 : 0)
    if (port.neighbourSuppression !== undefined) writer.u8(32, port.neighbourSuppression ? 1 : 0)
    if (port.isolated !== undefined) writer.u8(33, port.isolated ? 1 : 0)
  })
}

export interface BridgeVlan {
  readonly id: number
  /** Frames without a tag belong to it. */
  readonly pvid?: boolean
  readonly untagged?: boolean
}

export function writeBridgeVlan(writer: MessageWriter, index: number, vlan: BridgeVlan): void {
  writer.raw(ifinfo(index, { family: AF_BRIDGE }))
  writer.nest(IFLA.AF_SPEC, () => {
    const info = Buffer.alloc(4)
    info.writeUInt16LE((vlan.pvid ? 2 : 0) | (vlan.untagged ? 4 : 0), 0)
    info.writeUInt16LE(vlan.id, 2)
    writer.bytes(2, info)
  })
}

/** struct rtnl_link_stats64: the first eight counters. */
function statistics(bytes: Buffer | undefined): LinkStatistics {
  const at = (i: number): number => (bytes && bytes.length >= (i + 1) * 8 ? Number(bytes.readBigUInt64LE(i * 8)) : 0)
  return {
    rxPackets: at(0),
    txPackets: at(1),
    rxBytes: at(2),
    txBytes: at(3),
    rxErrors: at(4),
    txErrors: at(5),
    rxDropped: at(6),
    txDropped: at(7),
  }
}

export function parseLink({ payload }: NetlinkMessage): Link {
  const flags = payload.readUInt32LE(8)
  const attributes = new Attributes(payload.subarray(16))
  const info = attributes.nested(IFLA.LINKINFO)
  const kind = info.text(1) ?? ''
  const data = info.nested(2)
  const local = data.bytes(4) ?? data.bytes(17)
  return {
    index: payload.readInt32LE(4),
    name: attributes.text(IFLA.IFNAME) ?? '',
    kind,
    mac: formatMac(attributes.bytes(IFLA.ADDRESS) ?? Buffer.alloc(0)),
    mtu: attributes.u32(IFLA.MTU) ?? 0,
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    promiscuous: (flags & IFF_PROMISC) !== 0,
    state: STATES[attributes.u8(IFLA.OPERSTATE) ?? 0] ?? 'unknown',
    master: attributes.u32(IFLA.MASTER) ?? 0,
    parent: attributes.u32(IFLA.LINK) ?? 0,
    peerNamespace: attributes.u32(IFLA.LINK_NETNSID),
    alias: attributes.text(IFLA.IFALIAS) ?? '',
    vxlan:
      kind === 'vxlan'
        ? { id: data.u32(1) ?? 0, port: data.be16(15) ?? 0, local: local && formatIp(local), learning: data.u8(7) === 1 }
        : undefined,
    vlanId: kind === 'vlan' ? data.u16(1) : undefined,
    vlanFiltering: kind === 'bridge' && data.u8(7) === 1,
    statistics: statistics(attributes.bytes(IFLA.STATS64)),
  }
}
