// What bridge and ptp share: the veth pair, the container's end of it, and the checks of CHECK.
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { hasErrno } from '../../lib/index.js'
import {
  compareIp,
  formatPrefix,
  inNetworkNamespace,
  type Link,
  Network,
  networkOf,
  parsePrefix,
  prefixOf,
  withNetwork,
} from '../../sys/index.js'
import { CNI_ERRORS, CniError, type CniIp, type CniResult, type CniRoute, type PluginRequest } from '../types.js'

export const isV6 = (address: string): boolean => address.includes(':')

/** The same for every call with the same container and interface: a half-made pair of a killed ADD is found again. */
export const hostVethName = (containerId: string, ifName: string): string =>
  `veth${createHash('sha256').update(`${containerId}/${ifName}`).digest('hex').slice(0, 8)}`

/** Locally administered, from the same source. */
export function stableMac(...words: readonly string[]): string {
  const digest = createHash('sha256').update(words.join('\0')).digest()
  digest.writeUInt8((digest.readUInt8(0) & 0xfc) | 0x02, 0)
  return [...digest.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}

export interface VethOptions {
  readonly mtu: number | undefined
  /** MAC address of the container's end. */
  readonly mac: string | undefined
  /** Index of the bridge for the host's end. */
  readonly master?: number
}

/** A veth pair whose one end is in the container from the start; an older one of the same name is replaced. */
export function createVeth(host: Network, { containerId, netns, ifName }: PluginRequest, options: VethOptions): Link {
  const name = hostVethName(containerId, ifName)
  const { mtu, mac, master } = options
  const create = (): void =>
    host.addLink({
      name,
      kind: 'veth',
      up: true,
      ...(master === undefined ? {} : { master }),
      mtu,
      peer: { name: ifName, namespace: netns, mtu, mac },
    })
  try {
    create()
  } catch (error) {
    // Ours of an earlier ADD that was killed. A foreign interface in the container is not: the second try fails with it.
    if (!hasErrno(error, 'EEXIST') || !host.deleteLink(name)) throw wrongNamespace(error, netns, ifName)
    create()
  }
  return host.link(name)
}

function wrongNamespace(error: unknown, netns: string, ifName: string): unknown {
  if (hasErrno(error, 'EEXIST'))
    return new CniError(CNI_ERRORS.internal, `container already has an interface named "${ifName}"`, { cause: error })
  if (hasErrno(error, 'ENOENT', 'EINVAL'))
    return new CniError(CNI_ERRORS.unknownContainer, `failed to open netns "${netns}"`, { cause: error })
  return error
}

/** /proc/sys/net of the namespace; a setting that the kernel lacks is passed over. */
export function setNetworkSysctl(netns: string | undefined, name: string, value: string): void {
  const write = (): void => {
    try {
      writeFileSync(`/proc/sys/net/${name}`, value)
    } catch (error) {
      if (!hasErrno(error, 'ENOENT')) throw error
    }
  }
  if (netns === undefined) write()
  else inNetworkNamespace(netns, write)
}

/** Gives the container's end its addresses and routes and sets it up. Order matters: see inside. */
export function configureContainer(request: PluginRequest, result: CniResult, options: { readonly dad: boolean }): Link {
  const { netns, ifName } = request
  const ips = result.ips ?? []
  inNetworkNamespace(netns, () => {
    if (ips.some(({ address }) => isV6(address))) {
      setNetworkSysctl(undefined, `ipv6/conf/${ifName}/disable_ipv6`, '0')
      if (!options.dad) setNetworkSysctl(undefined, `ipv6/conf/${ifName}/accept_dad`, '0')
    }
    // Going up, the interface then tells its neighbours: an address may have had another owner a moment ago.
    setNetworkSysctl(undefined, `ipv4/conf/${ifName}/arp_notify`, '1')
    setNetworkSysctl(undefined, `ipv6/conf/${ifName}/ndisc_notify`, '1')
  })
  return withNetwork(netns, (network) => {
    const { index } = network.link(ifName)
    for (const { address } of ips) network.addAddress({ link: index, address, noDad: isV6(address) && !options.dad })
    network.setLink(index, { up: true })
    for (const route of result.routes ?? []) addRoute(network, index, route, ips)
    return network.link(index)
  })
}

export function addRoute(network: Network, link: number, route: CniRoute, ips: readonly CniIp[]): void {
  const gateway = route.gw ?? ips.find(({ address, gateway: one }) => one !== undefined && isV6(address) === isV6(route.dst))?.gateway
  const prefix = parsePrefix(route.dst)
  if (!prefix) throw new CniError(CNI_ERRORS.invalidConfig, `route "${route.dst}" is not a prefix`)
  network.replaceRoute({
    to: formatPrefix(networkOf(prefix)),
    link,
    gateway,
    mtu: route.mtu,
    advmss: route.advmss,
    metric: route.priority,
    table: route.table,
  })
}

/** Lets packets of the families of these addresses pass through this machine. */
export function enableForwarding(ips: readonly CniIp[]): void {
  if (ips.some(({ address }) => !isV6(address))) setNetworkSysctl(undefined, 'ipv4/ip_forward', '1')
  if (ips.some(({ address }) => isV6(address))) setNetworkSysctl(undefined, 'ipv6/conf/all/forwarding', '1')
}

/** Throws unless the container's interface is there with the addresses and routes of `prevResult`. */
export function checkContainer({ netns, ifName, config }: PluginRequest): void {
  const before = config.prevResult
  if (!before) throw new CniError(CNI_ERRORS.invalidConfig, 'required prevResult missing')
  const fail = (message: string): CniError => new CniError(CNI_ERRORS.internal, `${ifName} in ${netns}: ${message}`)
  withNetwork(netns, (network) => {
    const link = network.findLink(ifName)
    if (!link) throw fail('the interface is gone')
    const mac = before.interfaces?.find(({ name, sandbox }) => name === ifName && sandbox)?.mac
    if (mac && mac !== link.mac) throw fail(`MAC address is ${link.mac}, was ${mac}`)
    if (!link.up) throw fail('the interface is down')
    const has = network.addresses(link.index).map(({ address }) => address)
    for (const { address } of before.ips ?? []) {
      const wanted = formatPrefix(prefixOf(address))
      if (!has.includes(wanted)) throw fail(`address ${wanted} is gone`)
    }
    const routes = network.routes()
    for (const { dst } of before.routes ?? []) {
      const wanted = networkOf(prefixOf(dst))
      const there = routes.some(({ to }) => {
        const prefix = prefixOf(to)
        return prefix.length === wanted.length && compareIp(prefix.ip, wanted.ip) === 0
      })
      if (!there) throw fail(`the route to ${dst} is gone`)
    }
  })
}

/** Removes the container's interface, and with a veth its other end. What is gone already is fine. */
export async function removeInterface({ containerId, netns, ifName }: PluginRequest): Promise<void> {
  // The name follows from the container: this works also when the namespace is gone, and does not touch a foreign interface.
  if (await removeLink(undefined, hostVethName(containerId, ifName))) return
  if (netns === '') return
  try {
    await removeLink(netns, ifName)
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error
  }
}

async function removeLink(namespace: string | undefined, name: string): Promise<boolean> {
  const network = new Network({ namespace })
  try {
    return await network.deleteLinkSlowly(name)
  } finally {
    network.close()
  }
}

/** What ADD promises: the address family of every route can be reached, and there is an address at all. */
export async function requireIpam(request: PluginRequest): Promise<CniResult> {
  const type = request.config.ipam?.type
  if (!type) throw new CniError(CNI_ERRORS.invalidConfig, 'ipam.type is wanted')
  const result = await request.delegate(type, 'ADD')
  if (!result?.ips || result.ips.length === 0) throw new CniError(CNI_ERRORS.internal, 'IPAM plugin returned missing IP config')
  return result
}
