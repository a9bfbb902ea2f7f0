// Topology aware routing (KEP-2433): every zone gets endpoints in proportion to the cpus of its nodes. Pure.
import { type Node, quantityMillis, type Service } from '../../../api/index.js'

const ZONE = 'topology.kubernetes.io/zone'

export const zoneOfNode = (node: Node | undefined): string | undefined => node?.metadata.labels?.[ZONE] || undefined

/** The annotation of today, or the one before it. It wins over `trafficDistribution`. */
export function wantsTopology({ metadata: { annotations } }: Service): boolean {
  const mode = annotations?.['service.kubernetes.io/topology-aware-hints'] ?? annotations?.['service.kubernetes.io/topology-mode']
  return mode === 'Auto' || mode === 'auto'
}

/** Each zone's share of all cpus, of the nodes that are ready and may run any pod; undefined when that cannot be said of all of them. */
export function zoneShares(nodes: readonly Node[]): ReadonlyMap<string, number> | undefined {
  const cpus = new Map<string, number>()
  for (const node of nodes) {
    const { labels = {} } = node.metadata
    if ('node-role.kubernetes.io/control-plane' in labels || 'node-role.kubernetes.io/master' in labels) continue
    if (!node.status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True')) continue
    const zone = zoneOfNode(node)
    const cpu = quantityMillis(node.status.allocatable?.cpu ?? 0)
    if (!zone || cpu === 0) return undefined
    cpus.set(zone, (cpus.get(zone) ?? 0) + cpu)
  }
  if (cpus.size < 2) return undefined
  const total = [...cpus.values()].reduce((sum, each) => sum + each, 0)
  return new Map([...cpus].map(([zone, cpu]) => [zone, cpu / total]))
}

export interface Located {
  /** Where a ready endpoint is, and for which zone it was meant so far. */
  readonly zone: string | undefined
  readonly before: string | undefined
}

/** The zone that each endpoint is meant for, or why there are no hints: then everybody talks to everybody. */
export type Topology = { readonly zones: readonly string[] } | { readonly disabled: string }

/** How much more than its share an endpoint may have to bear. */
const OVERLOAD = 0.2

export function planTopology(endpoints: readonly Located[], shares: ReadonlyMap<string, number> | undefined): Topology {
  const count = endpoints.length
  if (!shares) return { disabled: 'Insufficient Node information: allocatable CPU or zone not specified on one or more nodes' }
  const counts = `(${count} endpoints, ${shares.size} zones)`
  if (shares.size > count) return { disabled: `Insufficient number of endpoints ${counts}` }
  const least = new Map([...shares].map(([zone, share]) => [zone, Math.ceil(share * count * (1 / (1 + OVERLOAD)))]))
  const spare = count - [...least.values()].reduce((sum, each) => sum + each, 0)
  if (spare < 0) {
    const words = 'Unable to allocate minimum required endpoints to each zone without exceeding overload threshold'
    return { disabled: `${words} ${counts}` }
  }
  if (endpoints.some(({ zone }) => zone === undefined)) return { disabled: 'One or more endpoints do not have a zone specified' }

  // What was told to the nodes before is left as it is for as long as it will do.
  const kept = endpoints.map(({ before }) => (before !== undefined && shares.has(before) ? before : undefined))
  const zones = kept.map((zone, index) => zone ?? endpoints[index]?.zone ?? '')
  const held = new Map<string, number>()
  for (const zone of zones) held.set(zone, (held.get(zone) ?? 0) + 1)
  const willDo = [...least].every(([zone, minimum]) => (held.get(zone) ?? 0) >= minimum && (held.get(zone) ?? 0) <= minimum + spare)
  if (!kept.includes(undefined) && willDo) return { zones }

  /** How many endpoints a zone has above what it should have. */
  const above = (zone: string): number => {
    const share = shares.get(zone)
    return (held.get(zone) ?? 0) - (share === undefined ? 0 : Math.max(share * count, least.get(zone) ?? 0))
  }
  const all = [...new Set([...shares.keys(), ...held.keys()])].sort()
  for (;;) {
    const giving = all.reduce((best, zone) => (above(zone) > above(best) ? zone : best))
    const receiving = all.reduce((best, zone) => (above(zone) < above(best) ? zone : best))
    const give = above(giving)
    const receive = -above(receiving)
    if (give < 0.5 || receive < 0.5 || (give < 1 && receive < 1)) break
    // Best one that goes home.
    const home = zones.findIndex((zone, index) => zone === giving && endpoints[index]?.zone === receiving)
    zones[home >= 0 ? home : zones.indexOf(giving)] = receiving
    held.set(giving, (held.get(giving) ?? 0) - 1)
    held.set(receiving, (held.get(receiving) ?? 0) + 1)
  }
  return { zones }
}
