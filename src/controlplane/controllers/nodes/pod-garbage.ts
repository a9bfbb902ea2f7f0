// Removes pods that nobody else will: those of vanished nodes, unscheduled ones on their way out, the oldest of too many finished.
import { Node, Pod } from '../../../api/index.js'
import { isStatus, sleep } from '../../../lib/index.js'
import { byAge, isDeleting, nameOf, uidOf } from '../objects.js'
import { isFinished } from '../pods.js'
import type { Context, Controller } from '../types.js'
import { disrupted } from './disruption.js'
import { isNodeReady } from './node-health.js'

export interface PodGarbage {
  readonly pod: Pod
  /** Set when the pod has to be marked as failed first: nobody runs it any more, and nobody will say so. */
  readonly fail?: { readonly reason: string; readonly message: string }
}

export interface PodGarbageInput {
  readonly pods: readonly Pod[]
  readonly nodes: ReadonlyMap<string, Node>
  /** Nodes that have been missing for long enough. */
  readonly vanished: ReadonlySet<string>
  /** Finished pods to keep. */
  readonly keep: number
}

export function planPodGarbage({ pods, nodes, vanished, keep }: PodGarbageInput): readonly PodGarbage[] {
  const garbage: PodGarbage[] = []
  const finished: Pod[] = []
  for (const pod of pods) {
    const node = pod.spec?.nodeName
    if (!node) {
      if (isDeleting(pod)) garbage.push({ pod, fail: { reason: 'DeletionByPodGC', message: 'PodGC: unscheduled terminating pod' } })
      else if (isFinished(pod)) finished.push(pod)
      continue
    }
    if (vanished.has(node)) garbage.push({ pod, fail: { reason: 'DeletionByPodGC', message: 'PodGC: node no longer exists' } })
    else if (isDeleting(pod) && isOutOfService(nodes.get(node))) {
      garbage.push({ pod, fail: { reason: 'DeletionByPodGC', message: 'PodGC: node is out of service' } })
    } else if (isFinished(pod)) finished.push(pod)
  }
  const surplus = finished.length - keep
  if (surplus > 0)
    garbage.push(
      ...finished
        .sort(byAge)
        .slice(0, surplus)
        .map((pod) => ({ pod })),
    )
  return garbage
}

const isOutOfService = (node: Node | undefined): boolean =>
  node !== undefined && !isNodeReady(node) && (node.spec?.taints ?? []).some((taint) => taint.key === 'node.kubernetes.io/out-of-service')

const EVERY_MS = 20_000
/** How long a node has to be missing before its pods are given up. */
const QUARANTINE_MS = 40_000
const KEEP = 12_500

async function sweep(context: Context, missing: Map<string, number>): Promise<void> {
  const { cache, client, clock, options, log } = context
  const nodes = new Map(cache.list(Node).map((node) => [node.metadata.name, node]))
  const pods = cache.list(Pod)
  const used = new Set(pods.flatMap((pod) => pod.spec?.nodeName ?? []))
  for (const name of [...missing.keys()]) if (nodes.has(name) || !used.has(name)) missing.delete(name)
  const vanished = new Set<string>()
  for (const name of used) {
    if (nodes.has(name)) continue
    const since = missing.get(name)
    if (since === undefined) missing.set(name, clock.monotonic())
    else if (clock.monotonic() - since >= QUARANTINE_MS && !(await client.find(Node, { name }))) vanished.add(name)
  }
  const plan = planPodGarbage({ pods, nodes, vanished, keep: options.terminatedPods ?? KEEP })
  for (const { pod, fail } of plan) {
    try {
      if (fail && !isFinished(pod)) {
        const status = { ...disrupted(pod, fail.reason, fail.message, clock.now()), phase: 'Failed' }
        await client.updateStatus(Pod, { ...pod, status })
      }
      await client.delete(Pod, nameOf(pod), { gracePeriodSeconds: 0, preconditions: { uid: uidOf(pod) } })
    } catch (error) {
      if (!isStatus(error, 'Conflict', 'NotFound')) log.warn('pod not collected', { pod: pod.metadata.name, err: error })
    }
  }
}

export const podGarbage: Controller = {
  name: 'pod-garbage-collector',
  for: Pod,
  reads: [Node],
  workers: 1,
  // The sweep looks at all pods together; single changes do not concern it.
  reconcile: async () => undefined,
  async background(context, signal) {
    const missing = new Map<string, number>()
    while (!signal.aborted) {
      await sweep(context, missing).catch((error: unknown) => context.log.warn('pod garbage not collected', { err: error }))
      await sleep(context.clock, EVERY_MS, signal).catch(() => {})
    }
  },
}
