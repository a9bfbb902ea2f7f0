// The fixed parts of the nftables table: sets, chains, and the rules that do not depend on Services.
import {
  ADDRESS_TYPE,
  CT_STATE,
  CT_STATUS,
  type NftChain,
  type NftChange,
  type NftField,
  type NftRule,
  type NftSet,
  type NftStatement,
  type NftTable,
  PRIORITY,
} from '../../sys/index.js'
import type { Family } from '../ruleset.js'

/** Marks packets whose source is to be hidden; the bit is Kubernetes'. */
const MASQUERADE_MARK = 0x4000

/** The fixed parts of one family's table. */
export interface Layout {
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
      size: 1 << 18,
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

export const chain = ({ table }: Layout, name: string): NftChain => ({ table, name })
export const rule = (layout: Layout, name: string, ...statements: readonly NftStatement[]): NftChange => {
  const value: NftRule = { chain: chain(layout, name), statements }
  return { do: 'add rule', rule: value }
}

export const ofFamily = ({ family }: Layout, ranges: readonly string[]): string[] =>
  ranges.filter((range) => range.includes(':') === (family === 'IPv6'))

/** Everything that does not depend on Services. */
export function skeleton(layout: Layout, clusterCidrs: readonly string[]): NftChange[] {
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
  const inRanges: NftStatement = { lookup: [destination, 'meta l4proto', 'th dport', source], set: layout.allowed }
  const cidrs = ofFamily(layout, clusterCidrs)
  const marked: NftStatement = { match: 'meta mark', value: MASQUERADE_MARK, mask: MASQUERADE_MARK }
  const isNew: NftStatement = { match: 'ct state', value: CT_STATE.new, mask: CT_STATE.new }
  const filters = ['prerouting', 'input', 'forward', 'output'] as const
  return [
    ...sets.map((set): NftChange => ({ do: 'add set', set })),
    plain('services'),
    plain('check'),
    plain('refuse'),
    plain('only-inside'),
    plain('check-ranges'),
    plain('check-ranges-inside'),
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
    rule(layout, 'check-ranges', inRanges, { verdict: 'return' }),
    rule(layout, 'check-ranges', { verdict: 'drop' }),
    rule(layout, 'check-ranges-inside', inRanges, { verdict: { goto: 'only-inside' } }),
    rule(layout, 'check-ranges-inside', { verdict: 'drop' }),
    ...cidrs.map((range) => rule(layout, 'only-inside', { match: source, value: range }, { verdict: 'return' })),
    rule(layout, 'only-inside', { match: 'fib saddr type', value: ADDRESS_TYPE.local }, { verdict: 'return' }),
    rule(layout, 'only-inside', { verdict: 'drop' }),
    rule(layout, 'mark', { setMark: { value: MASQUERADE_MARK, mask: MASQUERADE_MARK } }),
    ...cidrs.map((range) => rule(layout, 'mark-outside', { match: source, value: range }, { verdict: 'return' })),
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
