// `ptp`: a veth pair between the machine and the container, and nothing else: routes instead of a bridge.
import { formatPrefix, type Link, type Network, networkOf, prefixOf, withNetwork } from '../../sys/index.js'
import { addMasquerade, gcMasquerade, removeMasquerade } from '../masquerade.js'
import { CNI_ERRORS, CniError, type CniIp, type CniResult, type Plugin, type PluginRequest } from '../types.js'
import {
  addRoute,
  checkContainer,
  createVeth,
  enableForwarding,
  hostVethName,
  isV6,
  removeInterface,
  requireIpam,
  setNetworkSysctl,
  stableMac,
} from './interface.js'

export const ptp: Plugin = {
  name: 'ptp',

  async add(request) {
    const mtu = typeof request.config.mtu === 'number' && request.config.mtu > 0 ? request.config.mtu : undefined
    const ipam = await requireIpam(request)
    const ips = (ipam.ips ?? []).map((ip) => ({ ...ip, interface: 1 }))
    try {
      for (const { address, gateway } of ips)
        if (gateway === undefined) throw new CniError(CNI_ERRORS.invalidConfig, `ptp: the address ${address} comes without a gateway`)
      enableForwarding(ips)
      const hostLink = withNetwork(undefined, (host) => {
        const veth = createVeth(host, request, { mtu, mac: stableMac(request.containerId, request.ifName, 'container') })
        configureHost(host, veth, ips)
        return veth
      })
      const container = configureInside(request, { ...ipam, ips })
      if (request.config.ipMasq) addMasquerade(request, ips, [])
      return {
        ...ipam,
        ips,
        ...(request.config.dns ? { dns: request.config.dns } : {}),
        interfaces: [
          { name: hostLink.name, mac: hostLink.mac, mtu: hostLink.mtu },
          { name: request.ifName, mac: container.mac, mtu: container.mtu, sandbox: request.netns },
        ],
      }
    } catch (error) {
      await removeInterface(request)
      if (request.config.ipMasq) removeMasquerade(request)
      if (request.config.ipam?.type) await request.delegate(request.config.ipam.type, 'DEL').catch(() => {})
      throw error
    }
  },

  async del(request) {
    await removeInterface(request)
    if (request.config.ipMasq) removeMasquerade(request)
    if (request.config.ipam?.type) await request.delegate(request.config.ipam.type, 'DEL')
  },

  async check(request) {
    if (request.config.ipam?.type) await request.delegate(request.config.ipam.type, 'CHECK')
    const veth = withNetwork(undefined, (host) => host.findLink(hostVethName(request.containerId, request.ifName)))
    if (!veth?.up) throw new CniError(CNI_ERRORS.internal, `the machine's end of ${request.containerId}'s ${request.ifName} is gone`)
    checkContainer(request)
  },

  async status(request) {
    if (request.config.ipam?.type) await request.delegate(request.config.ipam.type, 'STATUS')
  },

  async gc(request) {
    if (request.config.ipam?.type) await request.delegate(request.config.ipam.type, 'GC')
    if (request.config.ipMasq) gcMasquerade(request)
  },
}

const whole = (ip: string): string => `${ip}/${isV6(ip) ? 128 : 32}`
const bare = (address: string): string => address.split('/')[0] ?? ''

/** The machine answers as the gateway on every pair, and reaches each container by a route of its own. */
function configureHost(host: Network, veth: Link, ips: readonly CniIp[]): void {
  if (ips.some(({ address }) => isV6(address))) setNetworkSysctl(undefined, `ipv6/conf/${veth.name}/accept_dad`, '0')
  for (const { address, gateway = '' } of ips) {
    host.addAddress({ link: veth.index, address: whole(gateway), noDad: isV6(gateway) })
    host.replaceRoute({ to: whole(bare(address)), link: veth.index, ...(isV6(address) ? {} : { scope: 'host' as const }) })
  }
}

/** Everything goes through the gateway, also to others of the same prefix: they are not on this link. */
function configureInside(request: PluginRequest, result: CniResult): Link {
  const { netns, ifName } = request
  const ips = result.ips ?? []
  setNetworkSysctl(netns, `ipv4/conf/${ifName}/arp_notify`, '1')
  if (ips.some(({ address }) => isV6(address))) {
    setNetworkSysctl(netns, `ipv6/conf/${ifName}/disable_ipv6`, '0')
    setNetworkSysctl(netns, `ipv6/conf/${ifName}/accept_dad`, '0')
  }
  return withNetwork(netns, (network) => {
    const link = network.link(ifName).index
    for (const { address } of ips) network.addAddress({ link, address, noPrefixRoute: true, noDad: isV6(address) })
    network.setLink(link, { up: true })
    for (const { address, gateway = '' } of ips) {
      network.replaceRoute({ to: whole(gateway), link })
      network.replaceRoute({
        to: formatPrefix(networkOf(prefixOf(address))),
        link,
        gateway,
        source: isV6(address) ? undefined : bare(address),
      })
    }
    for (const route of result.routes ?? []) addRoute(network, link, route, ips)
    return network.link(link)
  })
}
