// Which events are told, and which are told as one: by the rules that client-go's correlator has.
import type { ObjectReference } from '../api/index.js'
import type { Clock } from '../lib/index.js'

/** Distinct events remembered for counting; the oldest are forgotten. */
const REMEMBERED = 4096
/** About one object: so many at once, then one every five minutes. */
const BURST = 25
const REFILL_MS = 300_000
/** Different messages for one reason within ten minutes, after which they are told as one. */
const SIMILAR = 10
const SIMILAR_MS = 600_000
/** The map without its oldest entries. */
export function forgetOldest(map: Map<string, unknown>): void {
  while (map.size > REMEMBERED) map.delete(map.keys().next().value as string)
}

/** How much is told: floods about one object are cut off, and what differs in the message alone becomes one event. Changes with each call. */
export function correlation(
  clock: Clock,
): (about: ObjectReference, type: string, reason: string, message: string) => { key: string; message: string } | undefined {
  const budgets = new Map<string, { left: number; at: number }>()
  const groups = new Map<string, { readonly messages: Set<string>; at: number }>()
  return (about, type, reason, message) => {
    // Each container has a share of its own: a pod of many is not silenced by one.
    const object = [about.uid, about.kind, about.namespace, about.name, about.fieldPath].join('\0')
    const now = clock.monotonic()
    const budget = budgets.get(object) ?? { left: BURST, at: now }
    budget.left = Math.min(BURST, budget.left + (now - budget.at) / REFILL_MS)
    budget.at = now
    budgets.delete(object)
    budgets.set(object, budget)
    forgetOldest(budgets)
    if (budget.left < 1) return undefined
    budget.left--
    const id = [object, type, reason].join('\0')
    const known = groups.get(id)
    const group = known && now - known.at < SIMILAR_MS ? known : { messages: new Set<string>(), at: now }
    group.at = now
    group.messages.add(message)
    groups.delete(id)
    groups.set(id, group)
    forgetOldest(groups)
    if (group.messages.size <= SIMILAR) return { key: `${id}\0${message}`, message }
    group.messages.delete(group.messages.values().next().value as string)
    return { key: id, message: `(combined from similar events): ${message}` }
  }
}
