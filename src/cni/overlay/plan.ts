// The pod network between nodes, as a value: who is reached by a plain route and who through VXLAN. Pure.
import { formatIp, formatPrefix, networkOf, type Prefix, prefixOf } from '../../sys/index.js'
import { stableMac } from '../plugins/interface.js'

export interface OverlayNode {
  readonly name: string
  /** The node's own address: the outer one of tunnels, the gateway of direct routes. */
  readonly address: string
  /** A second address of the other family, for direct routes to pods of that family. */
  readonly otherAddress?: string
  /** Prefixes of its pods, at most one of each family. */
  readonly podCidrs: readonly string[]
}

export type OverlayMode = 'auto' | 'direct' | 'vxlan'

/** How packets to a node's address leave this machine. */
export interface PathTo {
  /** Index of the link; undefined when there is no route. */
  readonly link: number | undefined
  /** No router in between. */
  readonly onLink: boolean
}

export interface OverlayRoute {
  readonly to: string
  readonly gateway: string
  /** `undefined`: the VXLAN link. */
  readonly link: number | undefined
}

export interface OverlayPlan {
  readonly routes: readonly OverlayRoute[]
  /** Who answers for the gateways behind the tunnel. */
  readonly neighbours: readonly { readonly address: string; readonly mac: string }[]
  readonly forwarding: readonly { readonly mac: string; readonly destination: string }[]
  /** Addresses of our end of the tunnel; empty when nobody is reached through it. */
  readonly tunnelAddresses: readonly string[]
  readonly paths: Readonly<Record<string, 'direct' | 'vxlan' | 'unreachable'>>
}

/** Bytes that VXLAN puts around a frame: Ethernet 14, VXLAN 8, UDP 8, and the outer IP header. */
export const vxlanOverhead = (outer: string): number => 14 + 8 + 8 + (outer.includes(':') ? 40 : 20)

/** The MAC address of a node's end of the tunnel follows from its name: nobody has to tell it. */
export const tunnelMac = (node: string): string => stableMac('knarr vxlan', node)

const v6 = (text: string): boolean => text.includes(':')
const cidrOf = (text: string): Prefix => networkOf(prefixOf(text))
/** Each node's end of the tunnel has the first address of its pods' prefix, which no pod gets. */
const tunnelAddress = (cidr: string): string => formatIp(cidrOf(cidr).ip)

export function planOverlay(
  self: OverlayNode,
  peers: readonly OverlayNode[],
  options: { readonly mode: OverlayMode; readonly pathTo: (address: string) => PathTo },
): OverlayPlan {
  const routes: OverlayRoute[] = []
  const neighbours: { address: string; mac: string }[] = []
  const forwarding: { mac: string; destination: string }[] = []
  const paths: Record<string, 'direct' | 'vxlan' | 'unreachable'> = {}
  // Two nodes that claim one prefix are an accident of the moment: the first by name has it, on every node alike.
  const taken = new Set(self.podCidrs.map((cidr) => formatPrefix(cidrOf(cidr))))
  for (const peer of [...peers].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (peer.name === self.name) continue
    const cidrs = peer.podCidrs.filter((cidr) => {
      const network = formatPrefix(cidrOf(cidr))
      return !taken.has(network) && taken.add(network)
    })
    const path = options.pathTo(peer.address)
    if (path.link === undefined) {
      paths[peer.name] = 'unreachable'
      continue
    }
    const direct = options.mode === 'direct' || (options.mode === 'auto' && path.onLink)
    let tunnelled = false
    for (const cidr of cidrs) {
      const to = formatPrefix(cidrOf(cidr))
      const gateway = [peer.address, peer.otherAddress].find((address) => address !== undefined && v6(address) === v6(cidr))
      const through = gateway === undefined ? undefined : options.pathTo(gateway)
      if (direct && gateway !== undefined && through?.onLink) routes.push({ to, gateway, link: through.link })
      else if (options.mode !== 'direct') {
        // Also pods of a family that the nodes have no addresses of go through the tunnel.
        tunnelled = true
        routes.push({ to, gateway: tunnelAddress(cidr), link: undefined })
        neighbours.push({ address: tunnelAddress(cidr), mac: tunnelMac(peer.name) })
      }
    }
    if (tunnelled) forwarding.push({ mac: tunnelMac(peer.name), destination: peer.address })
    const reached = routes.some(({ to }) => cidrs.some((cidr) => formatPrefix(cidrOf(cidr)) === to))
    paths[peer.name] = tunnelled ? 'vxlan' : reached ? 'direct' : 'unreachable'
  }
  const tunnelAddresses = forwarding.length === 0 ? [] : self.podCidrs.map((cidr) => `${tunnelAddress(cidr)}/${cidrOf(cidr).ip.length * 8}`)
  return { routes, neighbours, forwarding, tunnelAddresses, paths }
}
