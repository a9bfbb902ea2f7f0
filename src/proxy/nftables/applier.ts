// Puts the ruleset into the kernel through netlink: whole the first time, then what changed.
import { dropTable, Nftables, type NftChange, watchNftables } from '../../sys/index.js'
import type { Applier } from '../applier.js'
import type { Endpoint, Family, Frontend, Ruleset, RulesetChange } from '../ruleset.js'
import { type Layout, layoutOf, skeleton } from './layout.js'
import { type Held, hairpins, isServed, nftablesChange, nftablesRules, shapeOf, tally } from './rules.js'

export interface NftablesOptions {
  /** Ranges of the pod network: traffic from elsewhere to cluster IPs is masqueraded. */
  readonly clusterCidrs: readonly string[]
  /** Path of a network namespace; the process's own when left out. */
  readonly namespace?: string
}

const endpointKey = ({ ip, port }: Pick<Endpoint, 'ip' | 'port'>): string => `${ip} ${port}`
const everyEndpoint = ({ endpoints, inside = [] }: Frontend): readonly Endpoint[] => [...endpoints, ...inside]

/** Endpoints that clients with affinity may still be bound to, and must not. */
function lostEndpoints(change: RulesetChange): Set<string> {
  const lost = new Set<string>()
  const compare = (before: Frontend, kept: ReadonlySet<string>): void => {
    if (before.affinitySeconds === undefined) return
    for (const each of everyEndpoint(before).map(endpointKey)) if (!kept.has(each)) lost.add(each)
  }
  for (const frontend of change.removed) compare(frontend, new Set())
  for (const { before, after } of change.changed)
    compare(before, new Set(after.affinitySeconds === undefined ? [] : everyEndpoint(after).map(endpointKey)))
  return lost
}

export function nftablesApplier({ clusterCidrs, namespace }: NftablesOptions): Applier {
  const held = new Map<Family, Held>()
  /** Generation of the kernel's rules in which ours were whole; undefined when somebody else's transaction came in between. */
  let generation: number | undefined

  /** Kept open: the kernel lets a socket of nftables go only after all processors have forgotten the last transaction. */
  let connection: Nftables | undefined
  const close = (): void => {
    connection?.close()
    connection = undefined
  }
  function connected<T>(work: (nft: Nftables) => T): T {
    connection ??= new Nftables({ namespace })
    try {
      return work(connection)
    } catch (error) {
      // Answers to what failed may still come: nobody must take them for others.
      close()
      throw error
    }
  }

  /** One transaction of ours. */
  function commit(nft: Nftables, { sizes }: Pick<Held, 'sizes'>, changes: readonly NftChange[]): void {
    if (changes.length === 0) return
    const before = nft.generation()
    nft.apply(changes)
    for (const change of changes) {
      if (change.do !== 'add elements' && change.do !== 'delete elements') continue
      const step = change.do === 'add elements' ? change.elements.length : -change.elements.length
      sizes.set(change.set.name, (sizes.get(change.set.name) ?? 0) + step)
    }
    const after = nft.generation()
    generation = before === generation && after === before + 1 ? after : undefined
  }

  function rebuild(nft: Nftables, ruleset: Ruleset, family: Family): void {
    const frontends = ruleset.frontends.filter((frontend) => frontend.family === family)
    // A kernel without IPv6 is fine as long as nothing asks for it.
    if (frontends.length === 0 && family === 'IPv6' && !held.has(family)) return
    const state: Held = {
      layout: layoutOf(family),
      shapes: new Set(frontends.filter(isServed).map(shapeOf)),
      hairpins: new Map(),
      sizes: new Map(),
    }
    commit(nft, state, nftablesRules(ruleset, family, clusterCidrs))
    tally(hairpins(frontends), state.hairpins, 1)
    held.set(family, state)
  }

  /** Clients must not stay with an endpoint that is gone. */
  function forgetAffinity(nft: Nftables, { affinity }: Layout, lost: ReadonlySet<string>): void {
    const stale = nft.elements(affinity).filter(({ data }) => Array.isArray(data) && lost.has(`${data[0]} ${data[1]}`))
    if (stale.length > 0)
      commit(nft, { sizes: new Map() }, [{ do: 'delete elements', set: affinity, elements: stale.map(({ key }) => ({ key })) }])
  }

  /** Every chain of ours with rules in it; when `thorough`, every set with as many elements as we put there. */
  function isWhole(nft: Nftables, { layout, shapes, sizes }: Held, thorough: boolean): boolean {
    if (!nft.hasTable(layout.table)) return false
    const filled = new Set(nft.rules(layout.table).map((rule) => rule.chain))
    const chains = skeleton(layout, clusterCidrs).flatMap((change) => (change.do === 'add rule' ? [change.rule.chain.name] : []))
    if (![...chains, ...shapes].every((name) => filled.has(name))) return false
    const sets = [layout.services, layout.nodePorts, layout.endpoints, layout.nodePortEndpoints, layout.empty, layout.emptyNodePorts]
    return !thorough || sets.every((set) => nft.elements(set).length >= (sizes.get(set.name) ?? 0))
  }

  return {
    name: 'nftables',
    async apply(ruleset, change) {
      connected((nft) => {
        if (!change) generation = nft.generation()
        for (const family of ['IPv4', 'IPv6'] as const) {
          const state = held.get(family)
          if (!change || !state) {
            if (!change || change.added.some((frontend) => frontend.family === family)) rebuild(nft, ruleset, family)
            continue
          }
          commit(nft, state, nftablesChange(state, change, clusterCidrs))
          const lost = lostEndpoints(change)
          if (lost.size > 0) forgetAffinity(nft, state.layout, lost)
        }
      })
    },
    async intact(thorough) {
      return connected((nft) => {
        const now = nft.generation()
        if (now === generation) return true
        if (![...held.values()].every((state) => isWhole(nft, state, thorough))) return false
        if (thorough) generation = now
        return true
      })
    },
    watch: (changed) => watchNftables(changed, { namespace }),
    close,
    async remove() {
      connected((nft) => {
        for (const family of ['IPv4', 'IPv6'] as const) {
          const { table } = layoutOf(family)
          if (nft.hasTable(table)) nft.apply(dropTable(table))
        }
      })
      close()
      held.clear()
      generation = undefined
    },
  }
}
