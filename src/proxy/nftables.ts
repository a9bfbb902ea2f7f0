// The ruleset in nftables maps: lookups take the same time for ten Services and ten thousand, and a change touches only its own elements.
//
// A packet's address, protocol and port are looked up once and lead to a chain that knows only how many endpoints there are; that chain
// draws a slot and looks up the endpoint under address, protocol, port and slot. There are as many chains as there are different shapes.
import {
  ADDRESS_TYPE,
  CT_STATE,
  CT_STATUS,
  dropTable,
  type NftChain,
  type NftChange,
  type NftElement,
  type NftField,
  type NftRule,
  type NftSet,
  type NftStatement,
  type NftTable,
  PRIORITY,
  renewTable,
  withNftables,
} from '../sys/index.js'
import type { Applier } from './applier.js'
import type { Endpoint, Family, Frontend, Ruleset, RulesetChange } from './ruleset.js'

export interface NftablesOptions {
  /** Ranges of the pod network: traffic from elsewhere to cluster IPs is masqueraded. */
  readonly clusterCidrs: readonly string[]
  /** Path of a network namespace; the process's own when left out. */
  readonly namespace?: string
}

/** Marks packets whose source is to be hidden; the bit is Kubernetes'. */
const MASQUERADE_MARK = 0x4000

/** The fixed parts of one family's table. */
interface Layout {
  readonly family: Family
  readonly table: NftTable
  readonly services: NftSet
  readonly nodePorts: NftSet
  readonly endpoints: NftSet
  readonly nodePortEndpoints: NftSet
  /** Clients with affinity and the endpoint they stay with. */
  readonly affinity: NftSet
  /** What is dialled but leads nowhere. */
  readonly empty: NftSet
  readonly emptyNodePorts: NftSet
  /** Clients that may dial an address with source ranges. */
  readonly allowed: NftSet
  /** Endpoints of this node, with themselves: a pod that reaches itself through a Service. */
  readonly hairpin: NftSet
  readonly source: NftField
  readonly destination: NftField
  readonly loopback: string
}

export function layoutOf(family: Family): Layout {
  const table: NftTable = { family: family === 'IPv4' ? 'ip' : 'ip6', name: 'knarr-services' }
  const address = family === 'IPv4' ? 'ipv4_addr' : 'ipv6_addr'
  const dialled = [address, 'inet_proto', 'inet_service'] as const
  const local = ['inet_proto', 'inet_service'] as const
  return {
    family,
    table,
    services: { table, name: 'services', key: dialled, data: 'verdict' },
    nodePorts: { table, name: 'node-ports', key: local, data: 'verdict' },
    endpoints: { table, name: 'endpoints', key: [...dialled, 'mark'], data: [address, 'inet_service'] },
    nodePortEndpoints: { table, name: 'node-port-endpoints', key: [...local, 'mark'], data: [address, 'inet_service'] },
    affinity: {
      table,
      name: 'affinity',
      key: [address, ...dialled],
      data: [address, 'inet_service'],
      dynamic: true,
      hasTimeout: true,
      size: 65_536,
    },
    empty: { table, name: 'empty', key: dialled, data: 'verdict' },
    emptyNodePorts: { table, name: 'empty-node-ports', key: local, data: 'verdict' },
    allowed: { table, name: 'allowed', key: [...dialled, address], interval: true },
    hairpin: { table, name: 'hairpin', key: [address, address] },
    source: family === 'IPv4' ? 'ip saddr' : 'ip6 saddr',
    destination: family === 'IPv4' ? 'ip daddr' : 'ip6 daddr',
    loopback: family === 'IPv4' ? '127.0.0.0/8' : '::1/128',
  }
}

const chain = ({ table }: Layout, name: string): NftChain => ({ table, name })
const rule = (layout: Layout, name: string, ...statements: readonly NftStatement[]): NftChange => {
  const value: NftRule = { chain: chain(layout, name), statements }
  return { do: 'add rule', rule: value }
}

/** Everything that does not depend on Services. */
function skeleton(layout: Layout, clusterCidrs: readonly string[]): NftChange[] {
  const { table, source, destination } = layout
  const sets = [
    layout.services,
    layout.nodePorts,
    layout.endpoints,
    layout.nodePortEndpoints,
    layout.affinity,
    layout.empty,
    layout.emptyNodePorts,
    layout.allowed,
    layout.hairpin,
  ]
  const hooked = (
    name: string,
    type: 'nat' | 'filter',
    hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting',
    priority: number,
  ): NftChange => ({
    do: 'add chain',
    chain: { table, name, hook: { type, hook, priority } },
  })
  const plain = (name: string): NftChange => ({ do: 'add chain', chain: { table, name } })
  const dialled: readonly NftField[] = [destination, 'meta l4proto', 'th dport']
  const local: readonly NftField[] = ['meta l4proto', 'th dport']
  const isNode: readonly NftStatement[] = [
    { match: 'fib daddr type', value: ADDRESS_TYPE.local },
    { match: destination, op: '!=', value: layout.loopback },
  ]
  const marked: NftStatement = { match: 'meta mark', value: MASQUERADE_MARK, mask: MASQUERADE_MARK }
  const isNew: NftStatement = { match: 'ct state', value: CT_STATE.new, mask: CT_STATE.new }
  const filters = ['prerouting', 'input', 'forward', 'output'] as const
  return [
    ...sets.map((set): NftChange => ({ do: 'add set', set })),
    plain('services'),
    plain('check'),
    plain('refuse'),
    plain('check-ranges'),
    plain('mark-outside'),
    plain('mark'),
    hooked('nat-prerouting', 'nat', 'prerouting', PRIORITY.dstnat),
    hooked('nat-output', 'nat', 'output', PRIORITY.dstnat),
    hooked('nat-postrouting', 'nat', 'postrouting', PRIORITY.srcnat),
    // Before translation: what has endpoints is not in these maps, whatever the order of the rules.
    ...filters.map((hook) => hooked(`filter-${hook}`, 'filter', hook, PRIORITY.dstnat - 10)),
    rule(layout, 'nat-prerouting', { verdict: { jump: 'services' } }),
    rule(layout, 'nat-output', { verdict: { jump: 'services' } }),
    rule(layout, 'services', { vmap: { map: layout.services, key: dialled } }),
    rule(layout, 'services', ...isNode, { vmap: { map: layout.nodePorts, key: local } }),
    ...filters.map((hook) => rule(layout, `filter-${hook}`, isNew, { verdict: { jump: 'check' } })),
    rule(layout, 'check', { vmap: { map: layout.empty, key: dialled } }),
    rule(layout, 'check', ...isNode, { vmap: { map: layout.emptyNodePorts, key: local } }),
    rule(layout, 'refuse', { match: 'meta l4proto', value: 'tcp' }, { reject: 'tcp reset' }),
    rule(layout, 'refuse', { reject: 'port-unreachable' }),
    // Whoever may come in goes on to translation.
    rule(layout, 'check-ranges', { lookup: [destination, 'meta l4proto', 'th dport', source], set: layout.allowed }, { verdict: 'return' }),
    rule(layout, 'check-ranges', { verdict: 'drop' }),
    rule(layout, 'mark', { setMark: { value: MASQUERADE_MARK, mask: MASQUERADE_MARK } }),
    ...clusterCidrs
      .filter((range) => range.includes(':') === (layout.family === 'IPv6'))
      .map((range) => rule(layout, 'mark-outside', { match: source, value: range }, { verdict: 'return' })),
    rule(layout, 'mark-outside', { setMark: { value: MASQUERADE_MARK, mask: MASQUERADE_MARK } }),
    rule(layout, 'nat-postrouting', marked, { setMark: { value: 0, mask: MASQUERADE_MARK } }, { masquerade: { fullyRandom: true } }),
    rule(
      layout,
      'nat-postrouting',
      { match: 'ct status', value: CT_STATUS.dnat, mask: CT_STATUS.dnat },
      { lookup: [source, destination], set: layout.hairpin },
      { masquerade: { fullyRandom: true } },
    ),
  ]
}

const isNodePort = (frontend: Frontend): boolean => frontend.ip === undefined

/** The chain that serves frontends of this shape: number of endpoints, masquerading, affinity. */
export const shapeOf = (frontend: Frontend): string =>
  `${isNodePort(frontend) ? 'np' : 'ip'}-${frontend.endpoints.length}-${frontend.masquerade}${frontend.affinitySeconds === undefined ? '' : `-${frontend.affinitySeconds}s`}`

/** The rules of a shape's chain. */
function shapeChain(layout: Layout, frontend: Frontend): NftChange[] {
  const name = shapeOf(frontend)
  const { source, destination, affinity } = layout
  const slot: NftField = { numgen: 'random', modulus: frontend.endpoints.length }
  const endpoint = isNodePort(frontend)
    ? { map: layout.nodePortEndpoints, key: ['meta l4proto', 'th dport', slot] as const }
    : { map: layout.endpoints, key: [destination, 'meta l4proto', 'th dport', slot] as const }
  const changes: NftChange[] = [{ do: 'add chain', chain: chain(layout, name) }]
  const add = (...statements: readonly NftStatement[]): void => void changes.push(rule(layout, name, ...statements))
  if (frontend.masquerade !== 'never') add({ verdict: { jump: frontend.masquerade === 'always' ? 'mark' : 'mark-outside' } })
  if (frontend.affinitySeconds === undefined) {
    add({ dnat: endpoint })
    return changes
  }
  const client = [source, destination, 'meta l4proto', 'th dport'] as const
  const kept = { map: affinity, key: client }
  const timeoutMs = frontend.affinitySeconds * 1000
  // Known clients: their time starts anew. New ones: draw, remember, go.
  add({ update: affinity, key: client, op: 'update', data: kept, timeoutMs }, { dnat: kept })
  add({ update: affinity, key: client, op: 'add', data: endpoint, timeoutMs })
  add({ dnat: kept })
  return changes
}

const protocol = (frontend: Frontend): string => frontend.protocol.toLowerCase()

interface Elements {
  readonly set: NftSet
  readonly elements: readonly NftElement[]
}

/** The elements that make up one frontend. */
function elementsOf(layout: Layout, frontend: Frontend): Elements[] {
  const dialled = frontend.ip === undefined ? [protocol(frontend), frontend.port] : [frontend.ip, protocol(frontend), frontend.port]
  const empty = isNodePort(frontend) ? layout.emptyNodePorts : layout.empty
  const drop: NftElement = { key: dialled, data: 'drop' }
  if (frontend.endpoints.length === 0) {
    return [{ set: empty, elements: [frontend.whenEmpty === 'drop' ? drop : { key: dialled, data: { goto: 'refuse' } }] }]
  }
  return [
    {
      set: isNodePort(frontend) ? layout.nodePortEndpoints : layout.endpoints,
      elements: frontend.endpoints.map(({ ip, port }, slot) => ({ key: [...dialled, slot], data: [ip, port] })),
    },
    { set: isNodePort(frontend) ? layout.nodePorts : layout.services, elements: [{ key: dialled, data: { goto: shapeOf(frontend) } }] },
    ...(frontend.sourceRanges
      ? [
          { set: layout.allowed, elements: frontend.sourceRanges.map((range) => ({ key: [...dialled, range] })) },
          { set: empty, elements: [{ key: dialled, data: { goto: 'check-ranges' } }] },
        ]
      : []),
  ]
}

/** Elements of many frontends, set by set: one message then carries many. */
function gather(layout: Layout, frontends: readonly Frontend[]): Elements[] {
  const bySet = new Map<NftSet, NftElement[]>()
  for (const frontend of frontends) {
    for (const { set, elements } of elementsOf(layout, frontend)) {
      const known = bySet.get(set)
      if (known) known.push(...elements)
      else bySet.set(set, [...elements])
    }
  }
  return [...bySet].map(([set, elements]) => ({ set, elements }))
}

const localEndpoints = (frontends: readonly Frontend[]): Set<string> =>
  new Set(frontends.flatMap(({ endpoints }) => endpoints.filter(({ local }) => local).map(({ ip }) => ip)))

const hairpinElements = (ips: Iterable<string>): NftElement[] => [...ips].map((ip) => ({ key: [ip, ip] }))

/** The whole table of one family. Pure. */
export function nftablesRules(ruleset: Ruleset, family: Family, clusterCidrs: readonly string[]): NftChange[] {
  const layout = layoutOf(family)
  const frontends = ruleset.frontends.filter((frontend) => frontend.family === family)
  const shapes = new Map(frontends.filter(({ endpoints }) => endpoints.length > 0).map((frontend) => [shapeOf(frontend), frontend]))
  return [
    ...renewTable(layout.table),
    ...skeleton(layout, clusterCidrs),
    ...[...shapes.values()].flatMap((frontend) => shapeChain(layout, frontend)),
    ...gather(layout, frontends).map(({ set, elements }): NftChange => ({ do: 'add elements', set, elements })),
    { do: 'add elements', set: layout.hairpin, elements: hairpinElements(localEndpoints(frontends)) },
  ]
}

/** The way from one ruleset to the next in one family. `shapes`: chains that exist; new ones are added to it. */
function nftablesChange(
  layout: Layout,
  change: RulesetChange,
  shapes: Set<string>,
  hairpins: { readonly added: Iterable<string>; readonly removed: Iterable<string> },
): NftChange[] {
  const ours = (frontend: Frontend): boolean => frontend.family === layout.family
  const gone = [...change.removed, ...change.changed.map(({ before }) => before)].filter(ours)
  const come = [...change.added, ...change.changed.map(({ after }) => after)].filter(ours)
  const changes: NftChange[] = []
  for (const frontend of come) {
    if (frontend.endpoints.length === 0 || shapes.has(shapeOf(frontend))) continue
    shapes.add(shapeOf(frontend))
    changes.push(...shapeChain(layout, frontend))
  }
  for (const { set, elements } of gather(layout, gone))
    changes.push({ do: 'delete elements', set, elements: elements.map(({ key }) => ({ key })) })
  for (const { set, elements } of gather(layout, come)) changes.push({ do: 'add elements', set, elements })
  const [removed, added] = [hairpinElements(hairpins.removed), hairpinElements(hairpins.added)]
  if (removed.length > 0) changes.push({ do: 'delete elements', set: layout.hairpin, elements: removed })
  if (added.length > 0) changes.push({ do: 'add elements', set: layout.hairpin, elements: added })
  return changes
}

const endpointKey = ({ ip, port }: Pick<Endpoint, 'ip' | 'port'>): string => `${ip} ${port}`

export function nftablesApplier({ clusterCidrs, namespace }: NftablesOptions): Applier {
  interface Held {
    readonly layout: Layout
    readonly shapes: Set<string>
    hairpins: Set<string>
  }
  const held = new Map<Family, Held>()

  function rebuild(ruleset: Ruleset, family: Family): void {
    const frontends = ruleset.frontends.filter((frontend) => frontend.family === family)
    // A kernel without IPv6 is fine as long as nothing asks for it.
    if (frontends.length === 0 && family === 'IPv6' && !held.has(family)) return
    withNftables(namespace, (nft) => nft.apply(nftablesRules(ruleset, family, clusterCidrs)))
    const shapes = new Set(frontends.filter(({ endpoints }) => endpoints.length > 0).map(shapeOf))
    held.set(family, { layout: layoutOf(family), shapes, hairpins: localEndpoints(frontends) })
  }

  /** Clients must not stay with an endpoint that is gone. */
  function forgetAffinity(layout: Layout, change: RulesetChange): void {
    const gone = new Set<string>()
    for (const frontend of change.removed)
      if (frontend.affinitySeconds !== undefined) for (const each of frontend.endpoints) gone.add(endpointKey(each))
    for (const { before, after } of change.changed) {
      if (before.affinitySeconds === undefined) continue
      const kept = new Set(after.affinitySeconds === undefined ? [] : after.endpoints.map(endpointKey))
      for (const each of before.endpoints) if (!kept.has(endpointKey(each))) gone.add(endpointKey(each))
    }
    if (gone.size === 0) return
    withNftables(namespace, (nft) => {
      const stale = nft.elements(layout.affinity).filter(({ data }) => Array.isArray(data) && gone.has(`${data[0]} ${data[1]}`))
      if (stale.length > 0) nft.apply([{ do: 'delete elements', set: layout.affinity, elements: stale.map(({ key }) => ({ key })) }])
    })
  }

  return {
    name: 'nftables',
    async apply(ruleset, change) {
      for (const family of ['IPv4', 'IPv6'] as const) {
        const state = held.get(family)
        if (!change || !state) {
          rebuild(ruleset, family)
          continue
        }
        const hairpins = localEndpoints(ruleset.frontends.filter((frontend) => frontend.family === family))
        const changes = nftablesChange(state.layout, change, state.shapes, {
          added: [...hairpins].filter((ip) => !state.hairpins.has(ip)),
          removed: [...state.hairpins].filter((ip) => !hairpins.has(ip)),
        })
        withNftables(namespace, (nft) => nft.apply(changes))
        state.hairpins = hairpins
        forgetAffinity(state.layout, change)
      }
    },
    async intact() {
      return withNftables(namespace, (nft) =>
        [...held.values()].every(
          ({ layout }) =>
            nft.hasTable(layout.table) &&
            nft.rules(layout.table, 'services').length > 0 &&
            nft.rules(layout.table, 'nat-prerouting').length > 0,
        ),
      )
    },
    async remove() {
      withNftables(namespace, (nft) => {
        for (const family of ['IPv4', 'IPv6'] as const) {
          const { table } = layoutOf(family)
          if (nft.hasTable(table)) nft.apply(dropTable(table))
        }
      })
      held.clear()
    },
  }
}
