// `host-local`: addresses from ranges of this machine.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Clock, hasErrno } from '../../lib/index.js'
import { compareIp, formatIp, type IpBytes, parseIp, parsePrefix } from '../../sys/index.js'
import { checkName } from '../config.js'
import { type Leases, withLeases } from '../ipam/leases.js'
import { candidates, describeRange, parseRangeSets, type RangeConfig, type RangeSet, rangeOf } from '../ipam/ranges.js'
import { type Attachment, CNI_ERRORS, type CniDns, CniError, type CniIp, type CniRoute, type Plugin, type PluginRequest } from '../types.js'

interface HostLocal {
  readonly folder: string
  readonly sets: readonly RangeSet[]
  readonly routes: readonly CniRoute[]
  readonly dns: CniDns
  /** Addresses that were asked for. */
  readonly wanted: readonly IpBytes[]
}

/** Fails with EEXIST-like words when the container has an address already: an ADD without DEL. */
export function hostLocal(clock: Clock): Plugin {
  const read = (request: PluginRequest): HostLocal => readConfig(request)
  return {
    name: 'host-local',

    async add(request) {
      const config = read(request)
      const owner = ownerOf(request)
      const ips = await withLeases(config.folder, clock, (leases) => allocate(leases, config, owner))
      return { cniVersion: '1.1.0', ips, routes: config.routes, dns: config.dns }
    },

    async del(request) {
      const owner = ownerOf(request)
      await withLeases(folderOf(request), clock, (leases) => {
        for (const lease of leases.list()) if (same(lease.owner, owner)) leases.release(lease.ip)
      })
    },

    async check(request) {
      const owner = ownerOf(request)
      const found = await withLeases(folderOf(request), clock, (leases) => leases.list().some((lease) => same(lease.owner, owner)))
      if (!found) throw new CniError(CNI_ERRORS.internal, `host-local: failed to find an address added by container ${owner.containerID}`)
    },

    async status(request) {
      const { sets, folder } = read(request)
      await withLeases(folder, clock, (leases) => {
        const taken = new Set(leases.list().map((lease) => lease.ip))
        for (const [i, set] of sets.entries()) if (!firstFree(leases, set, i, taken)) throw exhausted(set)
      })
    },

    async gc(request) {
      const valid = (request.config['cni.dev/valid-attachments'] ?? []) as readonly Attachment[]
      await withLeases(folderOf(request), clock, (leases) => {
        for (const lease of leases.list()) if (!valid.some((one) => same(one, lease.owner))) leases.release(lease.ip)
      })
    },
  }
}

const ownerOf = ({ containerId, ifName }: PluginRequest): Attachment => ({ containerID: containerId, ifname: ifName })

/** Old leases of the reference name the container alone. */
const same = (a: Attachment, b: Attachment): boolean =>
  a.containerID === b.containerID && (a.ifname === b.ifname || a.ifname === '' || b.ifname === '')

function firstFree(leases: Leases, set: RangeSet, index: number, taken: ReadonlySet<string>): IpBytes | undefined {
  for (const { ip } of candidates(set, leases.last(index))) if (!taken.has(formatIp(ip))) return ip
  return undefined
}

const exhausted = (set: RangeSet): CniError =>
  new CniError(CNI_ERRORS.tryAgain, `no IP addresses available in range set: ${set.map(describeRange).join(', ')}`)

/** One address of each range set, or none at all. */
function allocate(leases: Leases, config: HostLocal, owner: Attachment): readonly CniIp[] {
  const before = leases.list().find((lease) => same(lease.owner, owner))
  if (before)
    throw new CniError(
      CNI_ERRORS.internal,
      `${before.ip} has been allocated to ${owner.containerID} (${owner.ifname}), duplicate allocation is not allowed`,
    )
  const given: CniIp[] = []
  const wanted = [...config.wanted]
  try {
    for (const [i, set] of config.sets.entries()) {
      const asked = wanted.findIndex((ip) => rangeOf(set, ip))
      const ip = asked < 0 ? takeNext(leases, set, i, owner) : takeAsked(leases, set, wanted.splice(asked, 1)[0] as IpBytes, owner)
      const range = rangeOf(set, ip)
      given.push({
        address: `${formatIp(ip)}/${range?.subnet.length}`,
        ...(range ? { gateway: formatIp(range.gateway) } : {}),
      })
    }
    if (wanted.length > 0)
      throw new CniError(CNI_ERRORS.invalidConfig, `requested IPs are in none of the ranges: ${wanted.map(formatIp).join(', ')}`)
    return given
  } catch (error) {
    for (const { address } of given) leases.release(address.split('/')[0] ?? '')
    throw error
  }
}

function takeNext(leases: Leases, set: RangeSet, index: number, owner: Attachment): IpBytes {
  for (const { ip } of candidates(set, leases.last(index)))
    if (leases.take(ip, owner)) {
      leases.setLast(index, ip)
      return ip
    }
  throw exhausted(set)
}

function takeAsked(leases: Leases, set: RangeSet, ip: IpBytes, owner: Attachment): IpBytes {
  if (set.some((range) => compareIp(range.gateway, ip) === 0))
    throw new CniError(CNI_ERRORS.invalidConfig, `requested IP ${formatIp(ip)} is the address of the gateway`)
  if (!leases.take(ip, owner))
    throw new CniError(
      CNI_ERRORS.tryAgain,
      `requested IP address ${formatIp(ip)} is not available in range set ${set.map(describeRange).join(', ')}`,
    )
  return ip
}

interface IpamKeys extends RangeConfig {
  readonly ranges?: readonly (readonly RangeConfig[])[]
  readonly routes?: readonly CniRoute[]
  readonly dataDir?: string
  readonly resolvConf?: string
}

function folderOf({ config }: PluginRequest): string {
  checkName('network name', config.name)
  const dataDir = (config.ipam as IpamKeys | undefined)?.dataDir
  return join(dataDir === undefined || dataDir === '' ? '/var/lib/cni/networks' : dataDir, config.name)
}

function readConfig(request: PluginRequest): HostLocal {
  const ipam = request.config.ipam as unknown as IpamKeys | undefined
  if (!ipam) throw new CniError(CNI_ERRORS.invalidConfig, 'IPAM config missing "ipam" key')
  const own = ipam.subnet === undefined ? [] : [[ipam]]
  const sets = [...own, ...(ipam.ranges ?? []), ...(request.config.runtimeConfig?.ipRanges ?? [])]
  if (sets.length === 0) throw new CniError(CNI_ERRORS.invalidConfig, 'no IP ranges specified: set ipam.ranges or ipam.subnet')
  const routes = ipam.routes ?? []
  for (const route of routes)
    if (typeof route.dst !== 'string' || !parsePrefix(route.dst) || (route.gw !== undefined && !parseIp(route.gw)))
      throw new CniError(CNI_ERRORS.invalidConfig, `ipam: route ${JSON.stringify(route)} is not {"dst": PREFIX, "gw": ADDRESS}`)
  return {
    folder: folderOf(request),
    sets: parseRangeSets(sets),
    routes,
    dns: ipam.resolvConf ? readResolvConf(ipam.resolvConf) : {},
    wanted: wantedAddresses(request),
  }
}

/** Three places may ask for an address: capability `ips`, `args.cni.ips`, and `IP` in CNI_ARGS. */
function wantedAddresses({ config, args }: PluginRequest): readonly IpBytes[] {
  const inArgs = /(?:^|;)IP=([^;]*)/.exec(args)?.[1]
  const cni = (config.args as { cni?: { ips?: readonly string[] } } | undefined)?.cni
  const texts = [...(inArgs ? inArgs.split(',') : []), ...(cni?.ips ?? []), ...(config.runtimeConfig?.ips ?? [])]
  return texts.map((text) => {
    const prefix = parsePrefix(text)
    if (!prefix) throw new CniError(CNI_ERRORS.invalidConfig, `requested IP "${text}" is not an address`)
    return prefix.ip
  })
}

function readResolvConf(path: string): CniDns {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) throw new CniError(CNI_ERRORS.invalidConfig, `ipam: resolvConf ${path} does not exist`)
    throw error
  }
  const lines = text.split('\n').map((line) => line.trim().split(/\s+/))
  const values = (key: string): readonly string[] => lines.filter(([word]) => word === key).flatMap(([, ...rest]) => rest)
  const [domain] = values('domain')
  return {
    nameservers: values('nameserver'),
    search: values('search'),
    options: values('options'),
    ...(domain === undefined ? {} : { domain }),
  }
}
