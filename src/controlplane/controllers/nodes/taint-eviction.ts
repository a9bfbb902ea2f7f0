// Evicts pods from nodes whose NoExecute taints they do not tolerate, or no longer.
import { Node, Pod, type Taint, tolerates } from '../../../api/index.js'
import { rfc3339 } from '../../../lib/index.js'
import { isDeleting, keyOf, millis, nameOf, sameJson, uidOf } from '../objects.js'
import { isFinished } from '../pods.js'
import type { Context, Controller, Outcome } from '../types.js'
import { watch } from '../types.js'
import { disrupted } from './disruption.js'

export type Eviction = { readonly evict: 'never' } | { readonly evict: 'at'; readonly at: number }

/** When the pod has to leave: at once for a taint it does not tolerate, else after the shortest of its tolerations. */
export function planEviction(pod: Pod, taints: readonly Taint[], now: number): Eviction {
  let at: number | undefined
  for (const taint of taints.filter((each) => each.effect === 'NoExecute')) {
    const matching = (pod.spec?.tolerations ?? []).filter((toleration) => tolerates(toleration, taint))
    if (matching.length === 0) return { evict: 'at', at: now }
    const seconds = matching.flatMap((toleration) => toleration.tolerationSeconds ?? [])
    if (seconds.length < matching.length && seconds.length === 0) continue
    const start = taint.timeAdded ? Math.min(now, millis(taint.timeAdded)) : now
    const end = start + Math.max(0, Math.min(...seconds)) * 1000
    if (at === undefined || end < at) at = end
  }
  return at === undefined ? { evict: 'never' } : { evict: 'at', at }
}

function taintEviction(): Controller {
  /** Pods that were told to leave later, and since when a taint without a time is known. */
  const waiting = new Map<string, { readonly uid: string; readonly since: number }>()

  async function reconcile(key: string, { cache, client, clock, events }: Context): Promise<Outcome | undefined> {
    const pod = cache.get(Pod, key)
    if (!pod || isDeleting(pod) || isFinished(pod) || !pod.spec?.nodeName) {
      waiting.delete(key)
      return undefined
    }
    const node = cache.get(Node, pod.spec.nodeName)
    const known = waiting.get(key)
    const since = known?.uid === uidOf(pod) ? known.since : clock.now()
    const dated = (node?.spec?.taints ?? []).map((taint) => (taint.timeAdded ? taint : { ...taint, timeAdded: rfc3339(since) }))
    const plan = planEviction(pod, dated, clock.now())
    if (plan.evict === 'never') {
      if (waiting.delete(key)) events.normal(pod, 'TaintManagerEviction', `Cancelling deletion of Pod ${key}`)
      return undefined
    }
    const wait = plan.at - clock.now()
    if (wait > 0) {
      waiting.set(key, { uid: uidOf(pod), since })
      return { requeueAfterMs: wait }
    }
    waiting.delete(key)
    events.normal(pod, 'TaintManagerEviction', `Marking for deletion Pod ${key}`)
    const status = disrupted(pod, 'DeletionByTaintManager', 'Taint manager: deleting due to NoExecute taint', clock.now())
    if (!sameJson(status, pod.status)) await client.updateStatus(Pod, { ...pod, status })
    await client.delete(Pod, nameOf(pod), { preconditions: { uid: uidOf(pod) } })
    return undefined
  }

  const noExecute = (node: Node): readonly Taint[] => (node.spec?.taints ?? []).filter((taint) => taint.effect === 'NoExecute')

  return {
    name: 'taint-eviction-controller',
    component: 'taint-eviction-controller',
    for: Pod,
    watches: [
      watch(Node, (node, cache, previous) => {
        if (previous ? sameJson(noExecute(node), noExecute(previous)) : noExecute(node).length === 0) return []
        return cache
          .list(Pod)
          .filter((pod) => pod.spec?.nodeName === node.metadata.name)
          .map(keyOf)
      }),
    ],
    reconcile,
  }
}

/** A new one for each run: it remembers whom it has told to leave. */
export const makeTaintEviction = taintEviction
