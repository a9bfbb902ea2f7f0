// Masquerade of pods that speak to the world outside: one verdict map from a pod's address to its network's chain.
import { createHash } from 'node:crypto'
import { formatPrefix, type NftChain, type NftSet, type NftStatement, networkOf, PRIORITY, prefixOf } from '../sys/index.js'
import { CNI_TABLE, isStale, missing, type NamedRules, ownerOf, removeElements, withFirewall } from './firewall.js'
import { CNI_ERRORS, CniError, type CniIp, type PluginRequest } from './types.js'

const table = CNI_TABLE
const PODS: Readonly<Record<4 | 6, NftSet>> = {
  4: { table, name: 'masquerade4', key: ['ipv4_addr'], data: 'verdict' },
  6: { table, name: 'masquerade6', key: ['ipv6_addr'], data: 'verdict' },
}

const post: NamedRules = {
  chain: { table, name: 'postrouting', hook: { type: 'nat', hook: 'postrouting', priority: PRIORITY.srcnat } },
  rules: {
    'masquerade ipv4': [{ vmap: { map: PODS[4], key: ['ip saddr'] } }],
    'masquerade ipv6': [{ vmap: { map: PODS[6], key: ['ip6 saddr'] } }],
  },
}

const isV6 = (address: string): boolean => address.includes(':')
const bare = (address: string): string => address.split('/')[0] ?? ''

/** The chain of a network: what stays inside it, or goes to a prefix reached without translation, keeps its source. */
function networkChain(name: string, direct: readonly string[]): NamedRules {
  const id = createHash('sha256')
    .update([name, ...direct].join('\0'))
    .digest('hex')
    .slice(0, 12)
  const chain: NftChain = { table, name: `masquerade-${id}` }
  const keep = (prefix: string): readonly NftStatement[] => [
    { match: isV6(prefix) ? 'ip6 daddr' : 'ip daddr', value: prefix },
    { verdict: 'return' },
  ]
  const rules: [string, readonly NftStatement[]][] = [...direct, '224.0.0.0/4', 'ff00::/8'].map((prefix) => [`to ${prefix}`, keep(prefix)])
  return { chain, rules: Object.fromEntries([...rules, [`masquerade ${name}`, [{ masquerade: { fullyRandom: true } }]]]) }
}

/** From now on packets of these addresses leave under the machine's address, unless they go to their own network or to `direct`. */
export function addMasquerade(request: PluginRequest, ips: readonly CniIp[], direct: readonly string[]): void {
  const prefixes = [...ips.map(({ address }) => address), ...direct].map((text) => {
    try {
      return formatPrefix(networkOf(prefixOf(text)))
    } catch (error) {
      throw new CniError(CNI_ERRORS.invalidConfig, `nonMasqueradeCIDRs: ${(error as Error).message}`)
    }
  })
  const network = networkChain(String(request.config.name), [...new Set(prefixes)].sort())
  withFirewall((nft) => {
    nft.apply([
      ...missing(nft, [PODS[4], PODS[6]], [network, post]),
      ...ips.map(({ address }) => {
        const element = { key: [bare(address)], data: { goto: network.chain.name }, comment: ownerOf(request) }
        return { do: 'add elements', set: PODS[isV6(address) ? 6 : 4], elements: [element] } as const
      }),
    ])
  })
}

export function removeMasquerade(request: PluginRequest): void {
  withFirewall((nft) => removeElements(nft, [PODS[4], PODS[6]], (owner) => owner === ownerOf(request)))
}

export function gcMasquerade(request: PluginRequest): void {
  withFirewall((nft) => removeElements(nft, [PODS[4], PODS[6]], isStale(request)))
}
