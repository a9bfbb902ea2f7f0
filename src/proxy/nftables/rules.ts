// The ruleset in nftables maps: lookups take the same time for ten Services and ten thousand, and a change touches only its own elements.
//
// A packet's address, protocol and port are looked up once and lead to a chain that knows only how many endpoints there are; that chain
// draws a slot and looks up the endpoint under address, protocol, port and slot. There are as many chains as there are different shapes.
import {
  ADDRESS_TYPE,
  type NftChange,
  type NftElement,
  type NftField,
  type NftSet,
  type NftStatement,
  renewTable,
} from '../../sys/index.js'
import type { Family, Frontend, Ruleset, RulesetChange } from '../ruleset.js'
import { chain, type Layout, layoutOf, ofFamily, rule, skeleton } from './layout.js'

const isNodePort = (frontend: Frontend): boolean => frontend.ip === undefined

/** Slots of `inside` lie behind those of `endpoints`, whatever their number. */
const INSIDE = 1 << 16

const affinityOf = ({ affinitySeconds }: Frontend): string => (affinitySeconds === undefined ? '' : `-${affinitySeconds}s`)

/** The chain that serves frontends of this shape: number of endpoints, masquerading, affinity. */
export const shapeOf = (frontend: Frontend): string =>
  `${isNodePort(frontend) ? 'np' : 'ip'}-${frontend.endpoints.length}${frontend.inside ? `-in${frontend.inside.length}` : ''}-${frontend.masquerade}${affinityOf(frontend)}`

export const isServed = ({ endpoints, inside }: Frontend): boolean => endpoints.length > 0 || (inside?.length ?? 0) > 0

/** The rules of a shape's chains. */
function shapeChain(layout: Layout, frontend: Frontend, clusterCidrs: readonly string[]): NftChange[] {
  const { source, destination, affinity } = layout
  const changes: NftChange[] = []
  /** A chain that draws one of so many slots. */
  const draw = (name: string, modulus: number, offset: number, ...first: readonly (readonly NftStatement[])[]): void => {
    changes.push({ do: 'add chain', chain: chain(layout, name) })
    const add = (...statements: readonly NftStatement[]): void => void changes.push(rule(layout, name, ...statements))
    for (const statements of first) add(...statements)
    if (modulus === 0) return
    const slot: NftField = { numgen: 'random', modulus, offset }
    const endpoint = isNodePort(frontend)
      ? { map: layout.nodePortEndpoints, key: ['meta l4proto', 'th dport', slot] as const }
      : { map: layout.endpoints, key: [destination, 'meta l4proto', 'th dport', slot] as const }
    if (frontend.affinitySeconds !== undefined) {
      const client = [source, destination, 'meta l4proto', 'th dport'] as const
      const kept = { map: affinity, key: client }
      const timeoutMs = frontend.affinitySeconds * 1000
      // Known clients: their time starts anew. New ones: draw, remember, go.
      add({ update: affinity, key: client, op: 'update', data: kept, timeoutMs }, { dnat: kept })
      add({ update: affinity, key: client, op: 'add', data: endpoint, timeoutMs })
      add({ dnat: kept })
    }
    // With affinity: when there is no room to remember one more client.
    add({ dnat: endpoint })
  }
  const name = shapeOf(frontend)
  const mark: readonly NftStatement[][] =
    frontend.masquerade === 'never' ? [] : [[{ verdict: { jump: frontend.masquerade === 'always' ? 'mark' : 'mark-outside' } }]]
  const inside = `${name}-inside`
  const fromNode: NftStatement = { match: 'fib saddr type', value: ADDRESS_TYPE.local }
  if (frontend.inside) draw(inside, frontend.inside.length, INSIDE)
  const ways: readonly NftStatement[][] = frontend.inside
    ? [
        ...ofFamily(layout, clusterCidrs).map((range): NftStatement[] => [{ match: source, value: range }, { verdict: { goto: inside } }]),
        // A jump ends its rule.
        [fromNode, { verdict: { jump: 'mark' } }],
        [fromNode, { verdict: { goto: inside } }],
      ]
    : []
  draw(name, frontend.endpoints.length, 0, ...ways, ...mark)
  return changes
}

const protocol = (frontend: Frontend): string => frontend.protocol.toLowerCase()

interface Elements {
  readonly set: NftSet
  readonly elements: readonly NftElement[]
}

/** Adds the elements that make up one frontend. */
function addElements(
  layout: Layout,
  frontend: Frontend,
  add: (set: NftSet, key: NftElement['key'], data?: NftElement['data']) => void,
): void {
  const { endpoints, inside, sourceRanges } = frontend
  const dialled = frontend.ip === undefined ? [protocol(frontend), frontend.port] : [frontend.ip, protocol(frontend), frontend.port]
  const empty = isNodePort(frontend) ? layout.emptyNodePorts : layout.empty
  if (!isServed(frontend)) {
    add(empty, dialled, frontend.whenEmpty === 'drop' ? 'drop' : { goto: 'refuse' })
    return
  }
  const slots = isNodePort(frontend) ? layout.nodePortEndpoints : layout.endpoints
  for (const [slot, { ip, port }] of endpoints.entries()) add(slots, [...dialled, slot], [ip, port])
  for (const [slot, { ip, port }] of (inside ?? []).entries()) add(slots, [...dialled, INSIDE + slot], [ip, port])
  add(isNodePort(frontend) ? layout.nodePorts : layout.services, dialled, { goto: shapeOf(frontend) })
  /** Nobody is here for clients from outside, somebody elsewhere for those inside. */
  const onlyInside = endpoints.length === 0
  for (const range of sourceRanges ?? []) add(layout.allowed, [...dialled, range])
  if (sourceRanges) add(empty, dialled, { goto: onlyInside ? 'check-ranges-inside' : 'check-ranges' })
  else if (onlyInside) add(empty, dialled, { goto: 'only-inside' })
}

/** Elements of many frontends, set by set: one message then carries many. */
function gather(layout: Layout, frontends: readonly Frontend[]): Elements[] {
  const bySet = new Map<NftSet, NftElement[]>()
  for (const frontend of frontends) {
    addElements(layout, frontend, (set, key, data) => {
      const element: NftElement = data === undefined ? { key } : { key, data }
      const known = bySet.get(set)
      if (known) known.push(element)
      else bySet.set(set, [element])
    })
  }
  return Array.from(bySet, ([set, elements]) => ({ set, elements }))
}

/** Endpoints of this node with themselves: the source must be hidden when a pod is led to itself. */
export const hairpins = (frontends: readonly Frontend[]): string[] =>
  frontends.flatMap(({ endpoints, inside = [] }) => [...endpoints, ...inside].flatMap(({ ip, local }) => (local ? [ip] : [])))

const hairpinElements = (ips: Iterable<string>): NftElement[] => [...ips].map((ip) => ({ key: [ip, ip] }))

/** The whole table of one family. Pure. */
export function nftablesRules(ruleset: Ruleset, family: Family, clusterCidrs: readonly string[]): NftChange[] {
  const layout = layoutOf(family)
  const frontends = ruleset.frontends.filter((frontend) => frontend.family === family)
  const shapes = new Map(frontends.filter(isServed).map((frontend) => [shapeOf(frontend), frontend]))
  return [
    ...renewTable(layout.table),
    ...skeleton(layout, clusterCidrs),
    ...[...shapes.values()].flatMap((frontend) => shapeChain(layout, frontend, clusterCidrs)),
    ...gather(layout, frontends).map(({ set, elements }): NftChange => ({ do: 'add elements', set, elements })),
    { do: 'add elements', set: layout.hairpin, elements: hairpinElements(new Set(hairpins(frontends))) },
  ]
}

/** What is in the kernel for one family. */
export interface Held {
  readonly layout: Layout
  /** Chains that exist. */
  readonly shapes: Set<string>
  /** How many frontends lead to each endpoint of this node. */
  readonly hairpins: Map<string, number>
  /** Elements in each set. */
  readonly sizes: Map<string, number>
}

export const tally = (ips: readonly string[], into: Map<string, number>, step: 1 | -1): void => {
  for (const ip of ips) into.set(ip, (into.get(ip) ?? 0) + step)
}

/** The way from one ruleset to the next in one family; `held` is brought up to date. */
export function nftablesChange(held: Held, change: RulesetChange, clusterCidrs: readonly string[]): NftChange[] {
  const { layout, shapes } = held
  const ours = (frontend: Frontend): boolean => frontend.family === layout.family
  const gone = [...change.removed, ...change.changed.map(({ before }) => before)].filter(ours)
  const come = [...change.added, ...change.changed.map(({ after }) => after)].filter(ours)
  const changes: NftChange[] = []
  for (const frontend of come) {
    if (!isServed(frontend) || shapes.has(shapeOf(frontend))) continue
    shapes.add(shapeOf(frontend))
    changes.push(...shapeChain(layout, frontend, clusterCidrs))
  }
  const [old, young] = [gather(layout, gone), gather(layout, come)]
  const identity = (element: NftElement): string => JSON.stringify([element.key, element.data])
  /** Elements of `from` that `other` has not. */
  const without = (from: readonly Elements[], other: readonly Elements[]): Elements[] =>
    from.map(({ set, elements }) => {
      const known = new Set(other.find((each) => each.set === set)?.elements.map(identity))
      return { set, elements: elements.filter((element) => !known.has(identity(element))) }
    })
  for (const { set, elements } of without(old, young))
    if (elements.length > 0) changes.push({ do: 'delete elements', set, elements: elements.map(({ key }) => ({ key })) })
  for (const { set, elements } of without(young, old)) if (elements.length > 0) changes.push({ do: 'add elements', set, elements })

  const before = [...gone, ...come].flatMap((frontend) => hairpins([frontend])).map((ip) => [ip, held.hairpins.get(ip) ?? 0] as const)
  tally(hairpins(gone), held.hairpins, -1)
  tally(hairpins(come), held.hairpins, 1)
  const counts = new Map(before)
  const now = (ip: string): number => held.hairpins.get(ip) ?? 0
  const [removed, added] = [
    [...counts].flatMap(([ip, count]) => (count > 0 && now(ip) === 0 ? [ip] : [])),
    [...counts].flatMap(([ip, count]) => (count === 0 && now(ip) > 0 ? [ip] : [])),
  ]
  for (const ip of removed) held.hairpins.delete(ip)
  if (removed.length > 0) changes.push({ do: 'delete elements', set: layout.hairpin, elements: hairpinElements(removed) })
  if (added.length > 0) changes.push({ do: 'add elements', set: layout.hairpin, elements: hairpinElements(added) })
  return changes
}
