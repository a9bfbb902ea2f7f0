// How fast pods are made to leave sick nodes: a node at a time, more slowly when much of a zone is sick, not at all when everything is. Pure.
import type { Node } from '../../../api/index.js'
import { isNodeReady } from './node-health.js'

/** Nodes a second. */
const RATE = 0.1
const REDUCED_RATE = 0.01
/** Share of a zone's nodes whose silence looks like trouble with the zone. */
const UNHEALTHY = 0.55
/** Zones with no more nodes than this have nowhere to move so many pods to. */
const SMALL = 50

export const zoneOf = ({ metadata: { labels } }: Node): string =>
  `${labels?.['topology.kubernetes.io/region'] ?? ''}:${labels?.['topology.kubernetes.io/zone'] ?? ''}`

export type ZoneState = 'normal' | 'partly' | 'fully'

export function zoneState(ready: number, notReady: number): ZoneState {
  if (ready === 0 && notReady > 0) return 'fully'
  return notReady > 2 && notReady / (ready + notReady) >= UNHEALTHY ? 'partly' : 'normal'
}

/**
 * Nodes a second that may be emptied, by zone. Empty when no node is ready: leaving would help nobody, more likely it is us who are cut off.
 * A zone that is gone as a whole is emptied at the full rate as long as there is another.
 */
export function planPace(nodes: readonly Node[]): ReadonlyMap<string, number> {
  const zones = new Map<string, { ready: number; notReady: number }>()
  for (const node of nodes) {
    const zone = zones.get(zoneOf(node)) ?? { ready: 0, notReady: 0 }
    if (isNodeReady(node)) zone.ready++
    else zone.notReady++
    zones.set(zoneOf(node), zone)
  }
  if ([...zones.values()].every(({ ready }) => ready === 0)) return new Map()
  return new Map(
    [...zones].map(([name, { ready, notReady }]) => {
      if (zoneState(ready, notReady) !== 'partly') return [name, RATE]
      return [name, ready + notReady > SMALL ? REDUCED_RATE : 0]
    }),
  )
}
