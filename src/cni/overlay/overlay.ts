// Puts an overlay plan into the kernel and keeps it there. Touches only its own link and routes of its own protocol number.
import { type Clock, hasErrno, systemClock, type Timer } from '../../lib/index.js'
import { compareIp, ipBytes, type Link, type ListedRoute, type Network, prefixOf, watchNetwork, withNetwork } from '../../sys/index.js'
import { setNetworkSysctl } from '../plugins/interface.js'
import {
  type OverlayMode,
  type OverlayNode,
  type OverlayPlan,
  type OverlayRoute,
  type PathTo,
  planOverlay,
  tunnelMac,
  vxlanOverhead,
} from './plan.js'

export interface OverlayOptions {
  readonly self: OverlayNode
  /** `auto`: a plain route to nodes on the same link, VXLAN to the others. */
  readonly mode?: OverlayMode
  readonly linkName?: string
  /** VXLAN network identifier and UDP port. */
  readonly vni?: number
  readonly port?: number
  readonly clock?: Clock
  /** Path of the network namespace of the machine; absent: our own. */
  readonly namespace?: string
}

export interface Overlay {
  /** Makes the network as the peers want it; what a gone peer left is removed. Throws with what could not be done, after doing the rest. */
  update(peers: readonly OverlayNode[]): OverlayPlan
  /** The MTU that pods should have so that their packets fit on every way. */
  podMtu(): number
  /** Repairs what others change, until the signal. */
  watch(signal: AbortSignal, failed: (error: unknown) => void): void
  /** Takes everything away. */
  remove(): void
}

/** Marks routes as ours; numbers of this kind are free for routing programs (rtnetlink: above 4). */
const PROTOCOL = 75

export function overlay(options: OverlayOptions): Overlay {
  const { self, mode = 'auto', linkName = 'knarr-vxlan', vni = 4096, port = 4789, namespace, clock = systemClock } = options
  let peers: readonly OverlayNode[] = []
  /** The link beneath the tunnel, as it was when the tunnel was made for it. */
  let beneath: { readonly index: number; readonly mtu: number } | undefined
  const inMachine = <T>(work: (network: Network) => T): T => withNetwork(namespace, work)

  const underlay = (network: Network): Link => {
    const own = ipBytes(self.address)
    const address = network.addresses().find((one) => compareIp(prefixOf(one.address).ip, own) === 0)
    if (!address) throw new Error(`overlay: this machine does not have the node address ${self.address}`)
    return network.link(address.link)
  }

  const apply = (): OverlayPlan =>
    inMachine((network) => {
      const plan = planOverlay(self, peers, { mode, pathTo: (address) => pathTo(network, address) })
      for (const sysctl of sysctlsFor(self.podCidrs)) setNetworkSysctl(namespace, sysctl, '1')
      const tunnel = plan.tunnelAddresses.length > 0 ? ensureTunnel(network, plan) : network.findLink(linkName)?.index
      const errors: unknown[] = []
      const attempt = (work: () => void): void => {
        try {
          work()
        } catch (error) {
          errors.push(error)
        }
      }
      if (tunnel !== undefined) syncTunnel(network, tunnel, plan, port, attempt)
      syncRoutes(network, plan.routes, tunnel, attempt)
      if (tunnel !== undefined && plan.tunnelAddresses.length === 0) attempt(() => network.deleteLink(linkName))
      if (errors.length > 0) throw errors[0]
      return plan
    })

  const ensureTunnel = (network: Network, plan: OverlayPlan): number => {
    beneath = underlay(network)
    const mtu = beneath.mtu - vxlanOverhead(self.address)
    const mac = tunnelMac(self.name)
    const found = network.findLink(linkName)
    const same = found?.vxlan?.id === vni && found.vxlan.port === port && found.vxlan.local === self.address && found.mac === mac
    if (found && !same) network.deleteLink(found.index)
    if (!found || !same) network.addLink({ name: linkName, kind: 'vxlan', id: vni, port, local: self.address, learning: false, mac, mtu })
    const link = network.link(linkName)
    if (self.podCidrs.some((cidr) => cidr.includes(':'))) setNetworkSysctl(namespace, `ipv6/conf/${linkName}/accept_dad`, '0')
    if (link.mtu !== mtu || !link.up) network.setLink(link.index, { mtu, up: true })
    const has = network.addresses(link.index).map(({ address }) => address)
    for (const address of plan.tunnelAddresses)
      if (!has.includes(address)) network.addAddress({ link: link.index, address, noDad: address.includes(':') })
    return link.index
  }

  const isResized = ({ index, mtu }: Link): boolean => index === beneath?.index && mtu !== beneath.mtu

  return {
    update(next) {
      peers = [...next]
      return apply()
    },
    // Also on the way over plain routes: a peer behind a router may join later, and pods keep their MTU.
    podMtu: () => inMachine(underlay).mtu - (mode === 'direct' ? 0 : vxlanOverhead(self.address)),
    watch(signal, failed) {
      let pending: Timer | undefined
      const repair = (): void => {
        pending = undefined
        try {
          apply()
        } catch (error) {
          failed(error)
        }
      }
      // Our own changes are told too, but end: a repair that changes nothing is not told.
      const stop = watchNetwork(
        (change) => {
          const ours =
            change.type === 'lost' ||
            (change.type === 'route' && change.gone && change.route.protocol === PROTOCOL) ||
            (change.type === 'link' && (change.gone || change.link.name === linkName || isResized(change.link))) ||
            change.type === 'address'
          if (ours) pending ??= clock.after(100, repair)
        },
        { namespace, kinds: ['link', 'address', 'route'] },
      )
      signal.addEventListener(
        'abort',
        () => {
          stop()
          pending?.cancel()
        },
        { once: true },
      )
    },
    remove() {
      inMachine((network) => {
        for (const route of network.routes()) if (route.protocol === PROTOCOL) network.deleteRoute(route)
        network.deleteLink(linkName)
      })
    },
  }
}

const sysctlsFor = (cidrs: readonly string[]): readonly string[] => [
  ...(cidrs.some((cidr) => !cidr.includes(':')) ? ['ipv4/ip_forward'] : []),
  ...(cidrs.some((cidr) => cidr.includes(':')) ? ['ipv6/conf/all/forwarding'] : []),
]

function pathTo(network: Network, address: string): PathTo {
  try {
    const route = network.routeTo(address)
    // A route to ourselves or into nowhere is no way to another machine.
    if (route.type !== 'unicast') return { link: undefined, onLink: false }
    return { link: route.link, onLink: route.gateway === undefined }
  } catch (error) {
    if (hasErrno(error, 'ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL')) return { link: undefined, onLink: false }
    throw error
  }
}

type Attempt = (work: () => void) => void

/** Neighbours and forwarding entries as planned, others gone. */
function syncTunnel(network: Network, link: number, plan: OverlayPlan, port: number, attempt: Attempt): void {
  const neighbours = network.neighbours(link).filter(({ state }) => state === 'permanent')
  const forwarding = network.forwarding(link).filter(({ permanent }) => permanent)
  for (const old of neighbours)
    if (!plan.neighbours.some(({ address }) => address === old.address))
      attempt(() => network.deleteNeighbour({ link, address: old.address }))
  for (const old of forwarding)
    if (!plan.forwarding.some(({ mac }) => mac === old.mac)) attempt(() => network.deleteForwarding({ link, mac: old.mac }))
  for (const { address, mac } of plan.neighbours)
    if (!neighbours.some((one) => one.address === address && one.mac === mac)) attempt(() => network.setNeighbour({ link, address, mac }))
  for (const { mac, destination } of plan.forwarding)
    if (!forwarding.some((one) => one.mac === mac && one.destination === destination))
      attempt(() => network.setForwarding({ link, mac, destination, port }))
}

function syncRoutes(network: Network, wanted: readonly OverlayRoute[], tunnel: number | undefined, attempt: Attempt): void {
  const there = network.routes().filter(({ protocol }) => protocol === PROTOCOL)
  const same = (route: OverlayRoute, one: ListedRoute): boolean =>
    one.to === route.to && one.gateway === route.gateway && one.link === (route.link ?? tunnel)
  for (const old of there) if (!wanted.some((route) => route.to === old.to)) attempt(() => network.deleteRoute(old))
  for (const route of wanted) {
    if (there.some((one) => same(route, one))) continue
    attempt(() => {
      const { to, gateway } = route
      // An IPv6 route is not replaced by one over another link, but joined by it.
      for (const old of there) if (old.to === to) network.deleteRoute(old)
      network.replaceRoute({ to, gateway, link: route.link ?? tunnel, protocol: PROTOCOL, onLink: true })
    })
  }
}
