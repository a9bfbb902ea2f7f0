// The routing half of the kernel's network as one object per namespace: links, addresses, routes, neighbours, rules.
import { hasErrno } from '../../lib/index.js'
import type { IpFamily } from './ip.js'
import * as links from './links.js'
import { type MessageWriter, type NetlinkMessage, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from './message.js'
import * as routes from './routes.js'
import { NETLINK_ROUTE, NetlinkSocket } from './socket.js'

export interface NetworkOptions {
  /** Path of a network namespace; absent: our own. */
  readonly namespace?: string | undefined
}

/** Something changed in the network. */
export type NetworkChange =
  | { readonly type: 'link'; readonly gone: boolean; readonly link: links.Link }
  | { readonly type: 'address'; readonly gone: boolean; readonly address: routes.ListedAddress }
  | { readonly type: 'route'; readonly gone: boolean; readonly route: routes.ListedRoute }
  | { readonly type: 'neighbour'; readonly gone: boolean; readonly neighbour: routes.ListedNeighbour }
  /** The kernel had more to say than fits into the socket: list what you follow again. */
  | { readonly type: 'lost' }

/** Multicast groups (RTNLGRP_*). */
const GROUPS = { link: [1], address: [5, 9], route: [7, 11], neighbour: [3] } as const

export class Network {
  private readonly socket: NetlinkSocket

  constructor(options: NetworkOptions = {}) {
    this.socket = new NetlinkSocket(NETLINK_ROUTE, options)
  }

  close(): void {
    this.socket.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  // Links

  links(): readonly links.Link[] {
    return this.socket.dump(links.RTM_GETLINK, { call: 'list', subject: 'links' }, (w) => w.raw(links.ifinfo(0))).map(links.parseLink)
  }

  /** The link of this name or index; undefined when there is none. */
  findLink(which: string | number): links.Link | undefined {
    if (typeof which === 'string') links.checkLinkName(which)
    try {
      const [message] = this.socket.request(links.RTM_GETLINK, 0, { call: 'get link', subject: String(which) }, (w) => {
        w.raw(links.ifinfo(typeof which === 'number' ? which : 0))
        if (typeof which === 'string') links.writeName(w, which)
      })
      return message && links.parseLink(message)
    } catch (error) {
      if (hasErrno(error, 'ENODEV')) return undefined
      throw error
    }
  }

  /** As findLink, but an absent link throws. */
  link(which: string | number): links.Link {
    const found = this.findLink(which)
    if (!found) throw new Error(`there is no link "${which}"`)
    return found
  }

  addLink(link: links.NewLink): void {
    links.checkLinkName(link.name)
    const peer = link.kind === 'veth' ? link.peer : undefined
    links.withNamespaces([link.namespace, peer?.namespace], (fds) =>
      this.change(links.RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, `add ${link.kind} link`, link.name, (w) =>
        links.writeNewLink(w, link, fds),
      ),
    )
    if (peer?.up === undefined) return
    // A veth peer is made before the pair is one, and cannot be up by itself (ENOTCONN): that is a step of its own.
    const raise = (network: Network): void => network.setLink(network.link(peer.name).index, { up: peer.up ?? false })
    const home = peer.namespace ?? link.namespace
    if (home === undefined) raise(this)
    else withNetwork(home, raise)
  }

  /** Changes what is named; `name` renames, `namespace` moves it away. */
  setLink(index: number, settings: links.LinkSettings & { readonly name?: string }): void {
    links.withNamespaces([settings.namespace], ([fd]) =>
      this.change(links.RTM_SETLINK, 0, 'change link', settings.name ?? `#${index}`, (w) => {
        w.raw(links.settingsHeader(index, settings))
        if (settings.name !== undefined) links.writeName(w, settings.name)
        links.writeSettings(w, settings, fd)
      }),
    )
  }

  setBridge(index: number, settings: links.BridgeSettings): void {
    this.change(links.RTM_NEWLINK, 0, 'change bridge', `#${index}`, (w) => links.writeBridge(w, index, settings))
  }

  setBridgePort(index: number, port: links.BridgePortSettings): void {
    this.change(links.RTM_SETLINK, 0, 'change bridge port', `#${index}`, (w) => links.writeBridgePort(w, index, port))
  }

  addBridgeVlan(index: number, vlan: links.BridgeVlan): void {
    this.change(links.RTM_SETLINK, 0, `add vlan ${vlan.id} to`, `#${index}`, (w) => links.writeBridgeVlan(w, index, vlan))
  }

  deleteBridgeVlan(index: number, vlan: links.BridgeVlan): void {
    this.change(links.RTM_DELLINK, 0, `delete vlan ${vlan.id} from`, `#${index}`, (w) => links.writeBridgeVlan(w, index, vlan))
  }

  /** False when there was none. */
  deleteLink(which: string | number): boolean {
    if (typeof which === 'string') links.checkLinkName(which)
    return this.remove(links.RTM_DELLINK, 'delete link', String(which), (w) => {
      w.raw(links.ifinfo(typeof which === 'number' ? which : 0))
      if (typeof which === 'string') links.writeName(w, which)
    })
  }

  /** As deleteLink, on another thread: the kernel takes tens of milliseconds for it. Needs a Network of its own until it is done. */
  async deleteLinkSlowly(name: string): Promise<boolean> {
    links.checkLinkName(name)
    try {
      await this.socket.requestSlowly(links.RTM_DELLINK, { call: 'delete link', subject: name }, (w) => {
        w.raw(links.ifinfo(0))
        links.writeName(w, name)
      })
      return true
    } catch (error) {
      if (hasErrno(error, 'ENODEV')) return false
      throw error
    }
  }

  // Addresses

  addresses(link?: number): readonly routes.ListedAddress[] {
    const header = Buffer.alloc(8)
    header.writeUInt32LE(link ?? 0, 4)
    return this.socket.dump(routes.RTM_GETADDR, { call: 'list', subject: 'addresses' }, (w) => w.raw(header)).map(routes.parseAddress)
  }

  addAddress(address: routes.Address): void {
    this.change(routes.RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, 'add address', address.address, (w) => routes.writeAddress(w, address))
  }

  deleteAddress(address: routes.Address): boolean {
    return this.remove(routes.RTM_DELADDR, 'delete address', address.address, (w) => routes.writeAddress(w, address))
  }

  // Routes

  routes(filter: { readonly family?: IpFamily; readonly table?: number; readonly link?: number } = {}): readonly routes.ListedRoute[] {
    const families: readonly IpFamily[] = filter.family ? [filter.family] : [4, 6]
    const all = families.flatMap((family) => {
      const header = Buffer.alloc(12)
      header.writeUInt8(routes.familyNumber(family), 0)
      return this.socket.dump(routes.RTM_GETROUTE, { call: 'list', subject: 'routes' }, (w) => w.raw(header)).map(routes.parseRoute)
    })
    const table = filter.table ?? routes.TABLE_MAIN
    return all.filter((route) => route.table === table && (filter.link === undefined || route.link === filter.link))
  }

  /** How a packet to this address would go. */
  routeTo(destination: string): routes.ListedRoute {
    const [message] = this.socket.request(routes.RTM_GETROUTE, 0, { call: 'get route to', subject: destination }, (w) =>
      routes.writeRouteQuery(w, destination),
    )
    if (!message) throw new Error(`no answer for the route to ${destination}`)
    return routes.parseRoute(message)
  }

  addRoute(route: routes.Route): void {
    this.change(routes.RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, 'add route to', route.to, (w) => routes.writeRoute(w, route))
  }

  /** Adds it or puts it in the place of one with the same destination, table and metric. */
  replaceRoute(route: routes.Route): void {
    this.change(routes.RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, 'replace route to', route.to, (w) => routes.writeRoute(w, route))
  }

  deleteRoute(route: routes.Route): boolean {
    // Scope "nowhere" fits every scope, protocol 0 whoever made it.
    const any = { ...route, scope: route.scope ?? ('nowhere' as const), protocol: route.protocol ?? 0 }
    return this.remove(routes.RTM_DELROUTE, 'delete route to', route.to, (w) => routes.writeRoute(w, any))
  }

  // Neighbours and forwarding entries

  neighbours(link?: number): readonly routes.ListedNeighbour[] {
    const header = Buffer.alloc(12)
    const all = this.socket.dump(routes.RTM_GETNEIGH, { call: 'list', subject: 'neighbours' }, (w) => w.raw(header))
    return all.map(routes.parseNeighbour).filter((one) => link === undefined || one.link === link)
  }

  /** Adds it, or changes the one that is there. */
  setNeighbour(neighbour: routes.Neighbour): void {
    this.change(routes.RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, 'set neighbour', neighbour.address, (w) =>
      routes.writeNeighbour(w, neighbour),
    )
  }

  deleteNeighbour(neighbour: routes.Neighbour): boolean {
    return this.remove(routes.RTM_DELNEIGH, 'delete neighbour', neighbour.address, (w) => routes.writeNeighbour(w, neighbour))
  }

  forwarding(link: number): readonly routes.ListedForwarding[] {
    // For this dump the header is an ifinfomsg whose index is the link.
    const dumped = this.socket.dump(routes.RTM_GETNEIGH, { call: 'list', subject: 'forwarding entries' }, (w) => {
      const header = Buffer.alloc(12)
      header.writeUInt8(routes.AF_BRIDGE, 0)
      w.raw(header).u32(8, link)
    })
    return dumped.map(routes.parseForwarding).filter((one) => one.link === link)
  }

  setForwarding(entry: routes.ForwardingEntry): void {
    this.change(routes.RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, 'set forwarding entry', entry.mac, (w) =>
      routes.writeForwarding(w, entry),
    )
  }

  /** One more destination for a MAC address: the all-zero one of a VXLAN link has one per peer. */
  appendForwarding(entry: routes.ForwardingEntry): void {
    this.change(routes.RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_APPEND, 'append forwarding entry', entry.mac, (w) =>
      routes.writeForwarding(w, entry),
    )
  }

  deleteForwarding(entry: routes.ForwardingEntry): boolean {
    return this.remove(routes.RTM_DELNEIGH, 'delete forwarding entry', entry.mac, (w) => routes.writeForwarding(w, entry))
  }

  // Rules

  rules(family: IpFamily): readonly routes.RoutingRule[] {
    const header = Buffer.alloc(12)
    header.writeUInt8(routes.familyNumber(family), 0)
    return this.socket.dump(routes.RTM_GETRULE, { call: 'list', subject: 'rules' }, (w) => w.raw(header)).map(routes.parseRule)
  }

  addRule(rule: routes.RoutingRule): void {
    this.change(routes.RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, 'add rule', `priority ${rule.priority}`, (w) => routes.writeRule(w, rule))
  }

  deleteRule(rule: routes.RoutingRule): boolean {
    return this.remove(routes.RTM_DELRULE, 'delete rule', `priority ${rule.priority}`, (w) => routes.writeRule(w, rule))
  }

  private change(type: number, flags: number, call: string, subject: string, fill: (w: MessageWriter) => void): void {
    this.socket.request(type, flags, { call, subject }, fill)
  }

  private remove(type: number, call: string, subject: string, fill: (w: MessageWriter) => void): boolean {
    try {
      this.change(type, 0, call, subject, fill)
      return true
    } catch (error) {
      if (hasErrno(error, 'ENODEV', 'ESRCH', 'EADDRNOTAVAIL', 'ENOENT')) return false
      throw error
    }
  }
}

/** Runs `work` with a Network of the namespace and closes it. */
export function withNetwork<T>(namespace: string | undefined, work: (network: Network) => T): T {
  const network = new Network({ namespace })
  try {
    return work(network)
  } finally {
    network.close()
  }
}

export interface WatchOptions extends NetworkOptions {
  readonly kinds?: readonly (keyof typeof GROUPS)[]
}

/** Tells every change of the network until the returned function is called. */
export function watchNetwork(changed: (change: NetworkChange) => void, options: WatchOptions = {}): () => void {
  const kinds = options.kinds ?? (Object.keys(GROUPS) as (keyof typeof GROUPS)[])
  const socket = new NetlinkSocket(NETLINK_ROUTE, { namespace: options.namespace, groups: kinds.flatMap((kind) => [...GROUPS[kind]]) })
  return socket.listen(
    (message) => {
      const change = asChange(message)
      if (change) changed(change)
    },
    () => changed({ type: 'lost' }),
  )
}

function asChange(message: NetlinkMessage): NetworkChange | undefined {
  switch (message.type) {
    case links.RTM_NEWLINK:
    case links.RTM_DELLINK:
      return { type: 'link', gone: message.type === links.RTM_DELLINK, link: links.parseLink(message) }
    case routes.RTM_NEWADDR:
    case routes.RTM_DELADDR:
      return { type: 'address', gone: message.type === routes.RTM_DELADDR, address: routes.parseAddress(message) }
    case routes.RTM_NEWROUTE:
    case routes.RTM_DELROUTE:
      return { type: 'route', gone: message.type === routes.RTM_DELROUTE, route: routes.parseRoute(message) }
    case routes.RTM_NEWNEIGH:
    case routes.RTM_DELNEIGH:
      return { type: 'neighbour', gone: message.type === routes.RTM_DELNEIGH, neighbour: routes.parseNeighbour(message) }
    default:
      return undefined
  }
}
