// What kubelet, proxy and DNS ask of the kernel, bound to it.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import type { CgroupHost, VolumeHost } from '../kubelet/index.js'
import { hasErrno, type Logger } from '../lib/index.js'
import type { AddressHost } from '../proxy/index.js'
import { mount, openCgroup, unmount, withNetwork } from '../sys/index.js'
import { LONE_ADDRESS } from './node-address.js'

/** Mounts for volumes. */
export const volumeHost: VolumeHost = {
  mountTmpfs(target, { sizeBytes, mode = 0o755 }) {
    const options = [`mode=${mode.toString(8)}`, ...(sizeBytes === undefined ? [] : [`size=${sizeBytes}`])]
    mount({ source: 'tmpfs', target, type: 'tmpfs', options })
  },
  bind(source, target, { readOnly = false }) {
    mount({ source, target, type: 'bind', options: ['rbind'] })
    if (readOnly) mount({ source, target, type: 'bind', options: ['bind', 'remount', 'ro'] })
  },
  unmount(target) {
    try {
      unmount(target, { detach: true })
    } catch (error) {
      // Not a mount point, or already gone: that is what was wanted.
      if (!hasErrno(error, 'EINVAL', 'ENOENT')) throw error
    }
  },
}

/** The link that carries addresses answered by this node itself: cluster DNS, and Services in userspace mode. A bridge, because not every kernel has dummy links. */
const LINK = 'knarr0'

const withLength = (ip: string): string => `${ip}/${ip.includes(':') ? 128 : 32}`

/** Puts addresses on a link of our own that leads nowhere. */
export const addressHost: AddressHost = {
  add(ip) {
    withNetwork(undefined, (network) => {
      if (!network.findLink(LINK)) network.addLink({ kind: 'bridge', name: LINK, up: true })
      const link = network.link(LINK).index
      const known = network.addresses(link).some(({ address }) => address === withLength(ip))
      if (!known) network.addAddress({ link, address: withLength(ip), noDad: true })
    })
  },
  remove(ip) {
    withNetwork(undefined, (network) => {
      const link = network.findLink(LINK)
      if (link) network.deleteAddress({ link: link.index, address: withLength(ip) })
    })
  },
  list: () =>
    withNetwork(undefined, (network) => {
      const link = network.findLink(LINK)
      return link ? network.addresses(link.index).map(({ address }) => address.split('/')[0] ?? '') : []
    }),
  isLocal: (ip) => Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === ip)),
}

/** Puts the address of a machine without any network on our own link. */
export const ensureNodeAddress = (ip: string): void => void (ip === LONE_ADDRESS && addressHost.add(ip))

/**
 * Lets programs of the node itself open connections to Service addresses where there is no default route: the packet needs a way before
 * the rules give it another destination. `source` keeps it from taking the link's own address along.
 */
export function addServiceRoute(serviceCidr: string, source: string): void {
  withNetwork(undefined, (network) => {
    if (!network.findLink(LINK)) network.addLink({ kind: 'bridge', name: LINK, up: true })
    const link = network.link(LINK).index
    for (const to of serviceCidr.split(','))
      network.replaceRoute({ to, link, ...(to.includes(':') === source.includes(':') ? { source } : {}) })
  })
}

/** Takes the link and all its addresses away. */
export const removeAddressLink = (): void => withNetwork(undefined, (network) => void network.deleteLink(LINK))

/** The cgroups above the containers. */
export const cgroupHost: CgroupHost = {
  apply(path, { cpuShares, cpuQuota, cpuPeriod, memoryLimitBytes, pidsLimit }) {
    const group = openCgroup(path)
    group.create()
    const cpu = {
      ...(cpuShares === undefined ? {} : { shares: cpuShares }),
      ...(cpuQuota === undefined ? {} : { quota: cpuQuota }),
      ...(cpuPeriod === undefined ? {} : { period: cpuPeriod }),
    }
    group.limit({
      cpu,
      ...(memoryLimitBytes === undefined ? {} : { memory: { limit: memoryLimitBytes } }),
      ...(pidsLimit === undefined ? {} : { pids: { limit: pidsLimit } }),
    })
  },
  async remove(path) {
    await openCgroup(path).delete()
  },
  children(path) {
    const names = openCgroup(path).folders.flatMap((folder) =>
      existsSync(folder) ? readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])) : [],
    )
    return [...new Set(names)]
  },
}

/** Modules that no system call loads by itself, and what shows that they are there. Kernels that have them built in need no loading. */
const MODULES: Readonly<Record<string, () => boolean>> = {
  overlay: () => /\boverlay\b/.test(readFileSync('/proc/filesystems', 'utf8')),
  br_netfilter: () => existsSync('/proc/sys/net/bridge'),
}

/** Loads what is missing, if it can be; what cannot is seen by its absence later. */
export function loadModules(): void {
  for (const [name, isThere] of Object.entries(MODULES)) if (!isThere()) spawnSync('modprobe', ['--quiet', name])
}

/** Sysctls that pods' traffic needs; what is missing in this kernel is not needed by it. */
export function enableForwarding(log: Logger): void {
  loadModules()
  const wanted = {
    '/proc/sys/net/ipv4/ip_forward': '1',
    '/proc/sys/net/ipv6/conf/all/forwarding': '1',
    '/proc/sys/net/bridge/bridge-nf-call-iptables': '1',
    '/proc/sys/net/bridge/bridge-nf-call-ip6tables': '1',
    '/proc/sys/net/ipv4/conf/all/route_localnet': '0',
  }
  for (const [path, value] of Object.entries(wanted)) {
    if (!existsSync(path) || readFileSync(path, 'utf8').trim() === value) continue
    try {
      writeFileSync(path, value)
    } catch (error) {
      log.warn('sysctl could not be set', { path, value, err: error })
    }
  }
}
