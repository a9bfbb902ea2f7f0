// `portmap`: ports of the machine that lead to a port of the container, from outside, from the machine and from pods.
import { hasErrno } from '../../lib/index.js'
import {
  ADDRESS_TYPE,
  CT_STATUS,
  formatPrefix,
  type NftChain,
  type NftElement,
  type NftSet,
  type NftStatement,
  networkOf,
  PRIORITY,
  parseIp,
  prefixOf,
  withConntrack,
  withNetwork,
} from '../../sys/index.js'
import { CNI_TABLE, isStale, missing, type NamedRules, ownerOf, removeElements, withFirewall } from '../firewall.js'
import { CNI_ERRORS, CniError, type CniIp, type CniResult, type Plugin, type PluginRequest, type PortMapping } from '../types.js'
import { isV6, setNetworkSysctl } from './interface.js'

const table = CNI_TABLE
type Family = 4 | 6
const FAMILIES: readonly Family[] = [4, 6]

/** For every address of the machine, and for one of them. */
const ANY: Readonly<Record<Family, NftSet>> = {
  4: { table, name: 'hostports4', key: ['inet_proto', 'inet_service'], data: ['ipv4_addr', 'inet_service'] },
  6: { table, name: 'hostports6', key: ['inet_proto', 'inet_service'], data: ['ipv6_addr', 'inet_service'] },
}
const ONE: Readonly<Record<Family, NftSet>> = {
  4: { table, name: 'hostports-by-ip4', key: ['ipv4_addr', 'inet_proto', 'inet_service'], data: ['ipv4_addr', 'inet_service'] },
  6: { table, name: 'hostports-by-ip6', key: ['ipv6_addr', 'inet_proto', 'inet_service'], data: ['ipv6_addr', 'inet_service'] },
}
const SETS = [ANY[4], ANY[6], ONE[4], ONE[6]]

const hostports: NftChain = { table, name: 'hostports' }
const sources: NftChain = { table, name: 'hostport-sources' }
const toUs: readonly NftStatement[] = [{ match: 'fib daddr type', value: ADDRESS_TYPE.local }, { verdict: { jump: hostports.name } }]

const chains = (mark: number): readonly NamedRules[] => [
  {
    chain: sources,
    // Packets that would be answered past us come back through us when they seem to be ours.
    rules: {
      'from 127.0.0.0/8': marking('127.0.0.0/8', mark),
      'from ::1/128': marking('::1/128', mark),
    },
  },
  {
    chain: hostports,
    rules: {
      sources: [{ verdict: { jump: sources.name } }],
      ...Object.fromEntries(FAMILIES.flatMap((family) => translations(family))),
    },
  },
  {
    chain: { table, name: 'prerouting', hook: { type: 'nat', hook: 'prerouting', priority: PRIORITY.dstnat } },
    rules: { hostports: toUs },
  },
  { chain: { table, name: 'output', hook: { type: 'nat', hook: 'output', priority: PRIORITY.dstnat } }, rules: { hostports: toUs } },
  {
    chain: { table, name: 'postrouting', hook: { type: 'nat', hook: 'postrouting', priority: PRIORITY.srcnat } },
    rules: {
      'hostport sources': [
        { match: 'meta mark', value: mark, mask: mark },
        { match: 'ct status', op: '!=', value: 0, mask: CT_STATUS.dnat },
        { masquerade: {} },
      ],
    },
    first: true,
  },
]

function translations(family: Family): readonly (readonly [string, readonly NftStatement[]])[] {
  const daddr = family === 4 ? 'ip daddr' : 'ip6 daddr'
  return [
    [`one address ipv${family}`, [{ dnat: { map: ONE[family], key: [daddr, 'meta l4proto', 'th dport'] } }]],
    [
      `any address ipv${family}`,
      [{ match: 'meta nfproto', value: `ipv${family}` }, { dnat: { map: ANY[family], key: ['meta l4proto', 'th dport'] } }],
    ],
  ]
}

const marking = (prefix: string, mark: number): readonly NftStatement[] => [
  { match: isV6(prefix) ? 'ip6 saddr' : 'ip saddr', value: prefix },
  { setMark: { value: mark, mask: mark } },
]

export const portmap: Plugin = {
  name: 'portmap',

  async add(request) {
    const result = previous(request)
    const { mappings, snat, mark } = readConfig(request)
    const plan = mappings.flatMap((mapping) => elementsFor(mapping, result.ips ?? [], ownerOf(request)))
    if (plan.length === 0) return result
    const subnets = snat ? [...new Set((result.ips ?? []).map(({ address }) => formatPrefix(networkOf(prefixOf(address)))))] : []
    const marks = Object.fromEntries(subnets.map((prefix) => [`from ${prefix}`, marking(prefix, mark)]))
    try {
      withFirewall((nft) => {
        refuseTaken(nft.hasTable(table) ? SETS.filter(({ name }) => nft.sets(table).some((set) => set.name === name)) : [], nft, plan)
        nft.apply([
          ...missing(nft, SETS, [...chains(mark), { chain: sources, rules: marks }]),
          ...plan.map(({ set, element }) => ({ do: 'add elements', set, elements: [element] }) as const),
        ])
      })
      allowLocalhost(result.ips ?? [], snat)
      forgetUdp(mappings)
    } catch (error) {
      remove(request)
      throw error
    }
    return result
  },

  async del(request) {
    remove(request)
    forgetUdp(request.config.runtimeConfig?.portMappings ?? [])
  },

  async check(request) {
    const { mappings } = readConfig(request)
    const wanted = mappings.flatMap((mapping) => elementsFor(mapping, previous(request).ips ?? [], ownerOf(request)))
    if (wanted.length === 0) return
    withFirewall((nft) => {
      for (const { set, element } of wanted) {
        const there = nft.hasTable(table) && nft.elements(set).some((one) => sameElement(one, element))
        if (!there) throw new CniError(CNI_ERRORS.internal, `host port ${element.key.join(' ')} is not mapped any more`)
      }
    })
  },

  async status() {},

  async gc(request) {
    withFirewall((nft) => removeElements(nft, SETS, isStale(request)))
  },
}

const sameElement = (a: NftElement, b: NftElement): boolean => a.key.join() === b.key.join() && String(a.data) === String(b.data)

function remove(request: PluginRequest): void {
  withFirewall((nft) => removeElements(nft, SETS, (owner) => owner === ownerOf(request)))
}

function previous({ config }: PluginRequest): CniResult {
  if (!config.prevResult) throw new CniError(CNI_ERRORS.invalidConfig, 'must be called as chained plugin')
  return config.prevResult
}

interface PortmapConfig {
  readonly mappings: readonly PortMapping[]
  readonly snat: boolean
  readonly mark: number
}

function readConfig({ config }: PluginRequest): PortmapConfig {
  for (const key of ['conditionsV4', 'conditionsV6', 'externalSetMarkChain'])
    if (config[key] !== undefined)
      throw new CniError(CNI_ERRORS.unsupportedField, `${key}: these are iptables arguments, and rules here are nftables'`)
  const bit = config.markMasqBit ?? 13
  if (typeof bit !== 'number' || !Number.isInteger(bit) || bit < 0 || bit > 31)
    throw new CniError(CNI_ERRORS.invalidConfig, 'MasqMarkBit must be between 0 and 31')
  const mappings = (config.runtimeConfig?.portMappings ?? []).filter(({ hostPort }) => hostPort !== 0)
  for (const mapping of mappings) {
    for (const key of ['hostPort', 'containerPort'] as const)
      if (!Number.isInteger(mapping[key]) || mapping[key] < 1 || mapping[key] > 65_535)
        throw new CniError(CNI_ERRORS.invalidConfig, `invalid ${key} number: ${mapping[key]}`)
    if (!['tcp', 'udp', 'sctp'].includes(protocolOf(mapping)))
      throw new CniError(CNI_ERRORS.invalidConfig, `port mapping with protocol "${mapping.protocol}": tcp, udp or sctp`)
    if (mapping.hostIP && !parseIp(mapping.hostIP))
      throw new CniError(CNI_ERRORS.invalidConfig, `hostIP "${mapping.hostIP}" is not an IP address`)
  }
  return { mappings, snat: config.snat !== false, mark: 2 ** bit }
}

const protocolOf = ({ protocol }: PortMapping): string => (protocol || 'tcp').toLowerCase()

function elementsFor(mapping: PortMapping, ips: readonly CniIp[], owner: string): readonly { set: NftSet; element: NftElement }[] {
  const { hostIP, hostPort, containerPort } = mapping
  const any = !hostIP || hostIP === '0.0.0.0' || hostIP === '::'
  return FAMILIES.flatMap((family) => {
    // One address of each family is enough: the first.
    const ip = ips.find(({ address }) => isV6(address) === (family === 6))?.address.split('/')[0]
    if (ip === undefined || (hostIP && hostIP !== '::' && isV6(hostIP) !== (family === 6))) return []
    const key = [protocolOf(mapping), hostPort]
    return [
      {
        set: any ? ANY[family] : ONE[family],
        element: { key: any ? key : [hostIP, ...key], data: [ip, containerPort], comment: owner },
      },
    ]
  })
}

/** The kernel answers a second mapping of a port with a bare EBUSY: say whose it is. */
function refuseTaken(
  sets: readonly NftSet[],
  nft: { elements(set: NftSet): readonly NftElement[] },
  plan: readonly { set: NftSet; element: NftElement }[],
): void {
  for (const set of sets) {
    const wanted = plan.filter((one) => one.set === set)
    if (wanted.length === 0) continue
    const taken = new Map(nft.elements(set).map((one) => [one.key.join(' '), one]))
    for (const { element } of wanted) {
      const other = taken.get(element.key.join(' '))
      if (other && other.comment !== element.comment)
        throw new CniError(CNI_ERRORS.internal, `host port ${element.key.join(' ')} is taken by ${other.comment ?? 'somebody else'}`)
    }
  }
}

/** 127.0.0.1 of the machine may only be routed to a pod when the link says so. */
function allowLocalhost(ips: readonly CniIp[], snat: boolean): void {
  const ip = ips.find(({ address }) => !isV6(address))?.address.split('/')[0]
  if (!snat || ip === undefined) return
  withNetwork(undefined, (network) => {
    try {
      const { link } = network.routeTo(ip)
      if (link !== undefined) setNetworkSysctl(undefined, `ipv4/conf/${network.link(link).name}/route_localnet`, '1')
    } catch (error) {
      if (!hasErrno(error, 'ENETUNREACH', 'EHOSTUNREACH')) throw error
    }
  })
}

/** UDP flows that began before the mapping, or outlive it, would keep their old way. */
function forgetUdp(mappings: readonly PortMapping[]): void {
  const ports = new Set(mappings.filter((mapping) => protocolOf(mapping) === 'udp').map(({ hostPort }) => hostPort))
  if (ports.size === 0) return
  const UDP = 17
  withConntrack(undefined, (conntrack) => {
    for (const family of FAMILIES)
      conntrack.delete(family, ({ protocol, original }) => protocol === UDP && ports.has(original.destinationPort))
  })
}
