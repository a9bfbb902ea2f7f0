// `bridge`: a bridge on the machine, and each container a port of it.
import { hasErrno } from '../../lib/index.js'
import { addToIp, formatIp, type Link, type Network, networkOf, prefixOf, withNetwork } from '../../sys/index.js'
import { addMasquerade, gcMasquerade, removeMasquerade } from '../masquerade.js'
import { CNI_ERRORS, CniError, type CniInterface, type CniIp, type CniResult, type Plugin, type PluginRequest } from '../types.js'
import {
  checkContainer,
  configureContainer,
  createVeth,
  enableForwarding,
  hostVethName,
  isV6,
  removeInterface,
  requireIpam,
  setNetworkSysctl,
  stableMac,
} from './interface.js'

interface BridgeConfig {
  readonly bridge: string
  readonly isGateway: boolean
  readonly isDefaultGateway: boolean
  readonly forceAddress: boolean
  readonly ipMasq: boolean
  readonly mtu: number | undefined
  readonly hairpinMode: boolean
  readonly promiscMode: boolean
  readonly portIsolation: boolean
  readonly vlan: number
  readonly vlanTrunk: readonly number[]
  readonly mac: string | undefined
  readonly dad: boolean
  readonly disableContainerInterface: boolean
  readonly nonMasqueradeCIDRs: readonly string[]
}

export const bridge: Plugin = {
  name: 'bridge',

  async add(request) {
    const config = readConfig(request)
    const layer3 = request.config.ipam?.type !== undefined
    let addressed = false
    try {
      const { bridgeLink, hostLink, gatewayLink } = withVlans(config, () =>
        withNetwork(undefined, (host) => {
          const bridgeLink = ensureBridge(host, config)
          return {
            bridgeLink,
            hostLink: attach(host, request, config, bridgeLink),
            gatewayLink: config.isGateway && config.vlan > 0 ? ensureVlanGateway(host, config, bridgeLink) : bridgeLink,
          }
        }),
      )
      addressed = layer3
      const ipam = layer3 ? await requireIpam(request) : {}
      const result = withGateways(ipam, config)
      const ips = (result.ips ?? []).map((ip) => ({ ...ip, interface: 2 }))
      if (config.isGateway) withNetwork(undefined, (host) => becomeGateway(host, gatewayLink, ips, config))
      const container = config.disableContainerInterface ? undefined : configureContainer(request, { ...result, ips }, { dad: config.dad })
      if (config.ipMasq) addMasquerade(request, ips, config.nonMasqueradeCIDRs)
      withNetwork(undefined, (host) => forgetNeighbours(host, gatewayLink, ips))
      return { ...result, ips, interfaces: interfacesOf(request, { bridgeLink, hostLink, gatewayLink, container }) }
    } catch (error) {
      if (addressed && request.config.ipam?.type) await request.delegate(request.config.ipam.type, 'DEL').catch(() => {})
      await removeInterface(request)
      if (config.ipMasq) removeMasquerade(request)
      throw error
    }
  },

  async del(request) {
    // The address is free for others only when nobody answers for it any more.
    await removeInterface(request)
    if (request.config.ipMasq) removeMasquerade(request)
    if (request.config.ipam?.type) await request.delegate(request.config.ipam.type, 'DEL')
  },

  async check(request) {
    const config = readConfig(request)
    if (request.config.ipam?.type) await request.delegate(request.config.ipam.type, 'CHECK')
    const port = withNetwork(undefined, (host) => {
      const own = host.findLink(config.bridge)
      if (own?.kind !== 'bridge') throw new CniError(CNI_ERRORS.internal, `bridge ${config.bridge} is gone`)
      const veth = host.findLink(hostVethName(request.containerId, request.ifName))
      return veth && { ...veth, ours: veth.master === own.index }
    })
    if (!port?.up || !port.ours)
      throw new CniError(CNI_ERRORS.internal, `container ${request.containerId} is not a port of ${config.bridge}`)
    if (!config.disableContainerInterface) checkContainer(request)
  },

  async status(request) {
    readConfig(request)
    if (request.config.ipam?.type) await request.delegate(request.config.ipam.type, 'STATUS')
  },

  async gc(request) {
    if (request.config.ipam?.type) await request.delegate(request.config.ipam.type, 'GC')
    if (request.config.ipMasq) gcMasquerade(request)
  },
}

function readConfig({ config, args }: PluginRequest): BridgeConfig {
  const flag = (key: string): boolean => config[key] === true
  const number = (key: string): number => {
    const value = config[key] ?? 0
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0)
      throw new CniError(CNI_ERRORS.invalidConfig, `${key} is a number, not ${JSON.stringify(value)}`)
    return value
  }
  const vlan = number('vlan')
  if (vlan > 4094) throw new CniError(CNI_ERRORS.invalidConfig, `invalid VLAN ID ${vlan} (must be between 0 and 4094)`)
  if (flag('hairpinMode') && flag('promiscMode'))
    throw new CniError(CNI_ERRORS.invalidConfig, 'cannot set hairpin mode and promiscuous mode at the same time')
  const trunk = (config.vlanTrunk ?? []) as readonly { readonly minID?: number; readonly maxID?: number; readonly id?: number }[]
  const fromArgs = (config.args as { cni?: { mac?: string } } | undefined)?.cni?.mac ?? /(?:^|;)MAC=([^;]*)/.exec(args)?.[1]
  const name = config.bridge ?? 'cni0'
  if (typeof name !== 'string') throw new CniError(CNI_ERRORS.invalidConfig, 'bridge is a name')
  return {
    bridge: name === '' ? 'cni0' : name,
    isGateway: flag('isGateway') || flag('isDefaultGateway'),
    isDefaultGateway: flag('isDefaultGateway'),
    forceAddress: flag('forceAddress'),
    ipMasq: flag('ipMasq'),
    mtu: number('mtu') || undefined,
    hairpinMode: flag('hairpinMode'),
    promiscMode: flag('promiscMode'),
    portIsolation: flag('portIsolation'),
    vlan,
    vlanTrunk: trunk.flatMap(expandTrunk),
    mac: config.runtimeConfig?.mac ?? fromArgs,
    dad: flag('enabledad'),
    disableContainerInterface: flag('disableContainerInterface'),
    nonMasqueradeCIDRs: (config.nonMasqueradeCIDRs as readonly string[] | undefined) ?? [],
  }
}

function expandTrunk({ minID, maxID, id }: { readonly minID?: number; readonly maxID?: number; readonly id?: number }): readonly number[] {
  const [low, high] = [minID ?? id ?? 0, maxID ?? id ?? -1]
  if (low < 1 || high > 4094 || high < low)
    throw new CniError(CNI_ERRORS.invalidConfig, `vlanTrunk ${low} to ${high} is not a range of VLANs`)
  return Array.from({ length: high - low + 1 }, (_, i) => low + i)
}

const filters = (config: BridgeConfig): boolean => config.vlan > 0 || config.vlanTrunk.length > 0

/** A kernel may be built without VLANs on bridges, and says no more than EOPNOTSUPP. */
function withVlans<T>(config: BridgeConfig, act: () => T): T {
  try {
    return act()
  } catch (error) {
    if (!filters(config) || !hasErrno(error, 'EOPNOTSUPP')) throw error
    throw new CniError(CNI_ERRORS.unsupportedField, 'bridges of this kernel know no VLANs: leave out vlan and vlanTrunk', { cause: error })
  }
}

/** The bridge, made if it is not there. Its own MAC address is set, or it would change with the ports. */
function ensureBridge(host: Network, config: BridgeConfig): Link {
  const found = host.findLink(config.bridge)
  if (found && found.kind !== 'bridge') throw new CniError(CNI_ERRORS.internal, `"${config.bridge}" already exists but is not a bridge`)
  if (!found)
    try {
      host.addLink({
        name: config.bridge,
        kind: 'bridge',
        mac: stableMac('bridge', config.bridge),
        up: true,
        mtu: config.mtu,
        ...(filters(config) ? { vlanFiltering: true } : {}),
      })
      beQuiet(config.bridge)
    } catch (error) {
      if (!hasErrno(error, 'EEXIST')) throw error
    }
  const link = host.link(config.bridge)
  // Made for a network without VLANs, it would not keep ours apart.
  if (filters(config) && !link.vlanFiltering) host.setBridge(link.index, { vlanFiltering: true })
  if (!link.up || (config.promiscMode && !link.promiscuous))
    host.setLink(link.index, { up: true, ...(config.promiscMode ? { promiscuous: true } : {}) })
  return host.link(link.index)
}

/** No host routes from foreign router advertisements, and its address is usable at once. */
function beQuiet(link: string): void {
  setNetworkSysctl(undefined, `ipv6/conf/${link}/accept_dad`, '0')
  setNetworkSysctl(undefined, `ipv6/conf/${link}/accept_ra`, '0')
}

/** The machine's own interface in a VLAN, `cni0.10`: networks with other VLANs may use the same bridge. A veth pair, which every kernel has. */
function ensureVlanGateway(host: Network, config: BridgeConfig, bridgeLink: Link): Link {
  const name = `${config.bridge}.${config.vlan}`
  const port = hostVethName(name, 'gateway')
  if (!host.findLink(port))
    try {
      const peer = { name, mac: stableMac('gateway', name), mtu: config.mtu, up: true }
      host.addLink({ name: port, kind: 'veth', up: true, master: bridgeLink.index, mtu: config.mtu, peer })
      beQuiet(name)
    } catch (error) {
      if (!hasErrno(error, 'EEXIST')) throw error
    }
  joinVlans(host, host.link(port), config, [])
  const link = host.link(name)
  // Of an ADD that was killed in between.
  if (!link.up) host.setLink(link.index, { up: true })
  return link
}

function attach(host: Network, request: PluginRequest, config: BridgeConfig, bridgeLink: Link): Link {
  const veth = createVeth(host, request, {
    mtu: config.mtu,
    mac: config.mac ?? stableMac(request.containerId, request.ifName, 'container'),
    master: bridgeLink.index,
  })
  if (config.hairpinMode || config.portIsolation)
    host.setBridgePort(veth.index, { hairpin: config.hairpinMode, ...(config.portIsolation ? { isolated: true } : {}) })
  if (filters(config)) joinVlans(host, veth, config, config.vlanTrunk)
  return veth
}

/** A new port is in VLAN 1, and with VLANs of its own it should be in those alone. */
function joinVlans(host: Network, port: Link, { vlan }: BridgeConfig, trunk: readonly number[]): void {
  try {
    host.deleteBridgeVlan(port.index, { id: 1 })
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error
  }
  if (vlan > 0) host.addBridgeVlan(port.index, { id: vlan, pvid: true, untagged: true })
  for (const id of trunk) host.addBridgeVlan(port.index, { id })
}

/** Gateways for addresses that have none (the first of the prefix), and default routes when we are the default gateway. */
function withGateways(ipam: CniResult, config: BridgeConfig): CniResult {
  if (!config.isGateway) return ipam
  const ips = (ipam.ips ?? []).map((ip) => ({ ...ip, gateway: ip.gateway ?? formatIp(addToIp(networkOf(prefixOf(ip.address)).ip, 1)) }))
  if (!config.isDefaultGateway) return { ...ipam, ips }
  const defaults = ips.map((ip) => ({ dst: isV6(ip.address) ? '::/0' : '0.0.0.0/0', gw: ip.gateway }))
  const extra = defaults.filter((route) => !(ipam.routes ?? []).some(({ dst }) => dst === route.dst))
  return { ...ipam, ips, routes: [...(ipam.routes ?? []), ...extra] }
}

function becomeGateway(host: Network, gatewayLink: Link, ips: readonly CniIp[], config: BridgeConfig): void {
  for (const { address, gateway } of ips) {
    if (gateway === undefined) continue
    const wanted = `${gateway}/${prefixOf(address).length}`
    const has = host.addresses(gatewayLink.index).filter((one) => one.family === (isV6(wanted) ? 6 : 4) && one.scope === 'universe')
    if (has.some((one) => one.address === wanted)) continue
    // A bridge that already has another address of this family serves another network, unless the user says otherwise.
    const other = has[0]
    if (other && !isV6(wanted)) {
      if (!config.forceAddress)
        throw new CniError(
          CNI_ERRORS.internal,
          `failed to add IP addr ${wanted} to "${gatewayLink.name}": it already has the different address ${other.address}; set forceAddress to replace it`,
        )
      for (const one of has) host.deleteAddress({ link: gatewayLink.index, address: one.address })
    }
    try {
      host.addAddress({ link: gatewayLink.index, address: wanted, noDad: isV6(wanted) })
    } catch (error) {
      if (!hasErrno(error, 'EEXIST')) throw error
    }
  }
  enableForwarding(ips)
}

/** The machine may still know the MAC address of an earlier owner of these addresses. */
function forgetNeighbours(host: Network, link: Link, ips: readonly CniIp[]): void {
  for (const { address } of ips) host.deleteNeighbour({ link: link.index, address: address.split('/')[0] ?? '' })
}

interface MadeLinks {
  readonly bridgeLink: Link
  readonly hostLink: Link
  readonly gatewayLink: Link
  readonly container: Link | undefined
}

function interfacesOf(request: PluginRequest, { bridgeLink, hostLink, gatewayLink, container }: MadeLinks): readonly CniInterface[] {
  const shown = ({ name, mac, mtu }: Link): CniInterface => ({ name, mac, mtu })
  const inside: CniInterface = {
    name: request.ifName,
    ...(container ? { mac: container.mac, mtu: container.mtu } : {}),
    sandbox: request.netns,
  }
  return [shown(bridgeLink), shown(hostLink), inside, ...(gatewayLink === bridgeLink ? [] : [shown(gatewayLink)])]
}
