// The nftables table of pod networks: its parts as values, made when first needed, and ownership of elements.
import { createHash } from 'node:crypto'
import { Nftables, type NftChain, type NftChange, type NftElement, type NftSet, type NftStatement, type NftTable } from '../sys/index.js'
import type { Attachment, PluginRequest } from './types.js'

/** One table for all networks; `knarr reset` drops it. */
export const CNI_TABLE: NftTable = { family: 'inet', name: 'knarr-cni' }

/** Comments hold 127 bytes; names and ids may be longer. */
const short = (text: string, most: number): string =>
  text.length <= most ? text : `sha256:${createHash('sha256').update(text).digest('hex').slice(0, 32)}`

const networkOf = ({ config }: Pick<PluginRequest, 'config'>): string => `${short(String(config.name), 40)}/`

const ownerIn = (request: Pick<PluginRequest, 'config'>, { containerID, ifname }: Attachment): string =>
  `${networkOf(request)}${short(`${containerID}/${ifname}`, 80)}`

/** Elements name their owner in their comment, so that DEL needs no memory of what ADD did. */
export const ownerOf = (request: PluginRequest): string => ownerIn(request, { containerID: request.containerId, ifname: request.ifName })

/** Whether an owner is of this network, and none of the attachments that GC is to leave there. */
export function isStale(request: PluginRequest): (owner: string) => boolean {
  const valid = new Set((request.config['cni.dev/valid-attachments'] ?? []).map((attachment) => ownerIn(request, attachment)))
  return (owner) => owner.startsWith(networkOf(request)) && !valid.has(owner)
}

let connection: Nftables | undefined

/**
 * The machine's nftables over one connection for the life of the process: closing one after a deletion waits until the
 * kernel has freed what was deleted, tens of milliseconds for every pod.
 */
export function withFirewall<T>(work: (nft: Nftables) => T): T {
  connection ??= new Nftables()
  return work(connection)
}

/** A chain with rules that each carry a name; the changes that add the missing ones. */
export interface NamedRules {
  readonly chain: NftChain
  readonly rules: Readonly<Record<string, readonly NftStatement[]>>
  /** New rules go before the others. */
  readonly first?: boolean
}

/** What has to be added so that sets, chains and rules are there. What is there is not touched: a rewrite of rules costs an RCU wait. */
export function missing(nft: Nftables, sets: readonly NftSet[], chains: readonly NamedRules[]): readonly NftChange[] {
  const exists = nft.hasTable(CNI_TABLE)
  const have = exists ? nft.rules(CNI_TABLE) : []
  const known = new Set(exists ? nft.sets(CNI_TABLE).map(({ name }) => name) : [])
  const knownChains = new Set(exists ? nft.chains(CNI_TABLE).map(({ name }) => name) : [])
  return [
    ...(exists ? [] : [{ do: 'add table', table: CNI_TABLE } as const]),
    ...sets.filter(({ name }) => !known.has(name)).map((set) => ({ do: 'add set', set }) as const),
    ...chains.filter(({ chain }) => !knownChains.has(chain.name)).map(({ chain }) => ({ do: 'add chain', chain }) as const),
    ...chains.flatMap(({ chain, rules, first = false }) =>
      Object.entries(rules)
        .filter(([name]) => !have.some((rule) => rule.chain === chain.name && rule.comment === name))
        .map(([comment, statements]) => ({ do: 'add rule', rule: { chain, statements, comment }, first }) as const),
    ),
  ]
}

/** Takes out the elements whose owner fits. */
export function removeElements(nft: Nftables, sets: readonly NftSet[], fits: (owner: string) => boolean): void {
  if (!nft.hasTable(CNI_TABLE)) return
  const known = new Set(nft.sets(CNI_TABLE).map(({ name }) => name))
  const changes = sets
    .filter(({ name }) => known.has(name))
    .flatMap((set): readonly NftChange[] => {
      const elements = nft.elements(set).filter(({ comment }) => comment !== undefined && fits(comment))
      return elements.length === 0 ? [] : [{ do: 'delete elements', set, elements: elements.map(({ key }): NftElement => ({ key })) }]
    })
  nft.apply(changes)
}
