// The class of a pod: who goes first when memory is short.
import type { Pod } from './generated/kinds.js'

const computed = new Set(['cpu', 'memory'])

/** Guaranteed, Burstable or BestEffort: from requests and limits of cpu and memory. */
export function qosClass(pod: Pod): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const asked = (list: Readonly<Record<string, string>> | undefined): [string, string][] =>
    Object.entries(list ?? {}).filter(([name, amount]) => computed.has(name) && amount !== '0')
  const podLevel = pod.spec?.resources
  const all = podLevel ? [podLevel] : [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].map((c) => c.resources ?? {})
  if (all.every((r) => asked(r.requests).length === 0 && asked(r.limits).length === 0)) return 'BestEffort'
  const guaranteed = all.every((r) => {
    const limits = new Map(asked(r.limits))
    return limits.size === computed.size && asked(r.requests).every(([name, amount]) => limits.get(name) === amount)
  })
  return guaranteed ? 'Guaranteed' : 'Burstable'
}
