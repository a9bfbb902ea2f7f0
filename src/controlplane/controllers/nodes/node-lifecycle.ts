// Watches over nodes: silent ones become NotReady, sick ones get taints.
import { Lease, Node, Pod } from '../../../api/index.js'
import { isStatus, rfc3339 } from '../../../lib/index.js'
import { isDeleting, nameOf, uidOf } from '../objects.js'
import { isFinished, isReady } from '../pods.js'
import type { Context, Controller, Outcome } from '../types.js'
import { watch } from '../types.js'
import { planPace, zoneOf } from './eviction-pace.js'
import { isEmptied, isNodeReady, nodeCondition, planTaints, silentConditions } from './node-health.js'

const LEASES = 'kube-node-lease'
const GRACE_MS = 40_000
/** A node that was just made may take longer to say its first word. */
const STARTUP_MS = 60_000
/** A zone in trouble is looked at again after this. */
const LOOK_AGAIN_MS = 5_000

/** When we last saw a node say something new. Its own clock is not asked. */
interface Heard {
  readonly uid: string
  readonly word: string
  readonly at: number
}

function lastWord({ cache }: Context, node: Node): string {
  const lease = cache.get(Lease, `${LEASES}/${node.metadata.name}`)
  return `${lease?.spec?.renewTime ?? ''} ${nodeCondition(node, 'Ready')?.lastHeartbeatTime ?? ''}`
}

async function markPods({ cache, client, events, clock, log }: Context, node: Node): Promise<void> {
  const pods = cache.list(Pod).filter((pod) => pod.spec?.nodeName === node.metadata.name && !isFinished(pod) && isReady(pod))
  for (const pod of pods) {
    const conditions = (pod.status?.conditions ?? []).map((condition) =>
      condition.type === 'Ready' ? { ...condition, status: 'False', lastTransitionTime: rfc3339(clock.now()) } : condition,
    )
    try {
      await client.updateStatus(Pod, { ...pod, status: { ...pod.status, conditions } })
    } catch (error) {
      if (!isStatus(error, 'NotFound', 'Conflict')) throw error
      log.debug('pod changed while its node went away', { pod: pod.metadata.name, err: error })
      continue
    }
    events.warning(pod, 'NodeNotReady', 'Node is not ready')
  }
}

function nodeLifecycle(): Controller {
  const heard = new Map<string, Heard>()
  /** By zone: when the next node may be emptied. */
  const nextEviction = new Map<string, number>()

  /** Milliseconds that the node may still be silent; zero or less: too late. */
  function patience(context: Context, node: Node): number {
    const now = context.clock.monotonic()
    const word = lastWord(context, node)
    const before = heard.get(node.metadata.name)
    if (before?.uid !== uidOf(node)) tell(context, node.metadata.name, uidOf(node), 'RegisteredNode', 'Registered Node', 'in Controller')
    if (before?.uid !== uidOf(node) || before.word !== word) {
      heard.set(node.metadata.name, { uid: uidOf(node), word, at: now })
    }
    const at = heard.get(node.metadata.name)?.at ?? now
    const grace = nodeCondition(node, 'Ready') ? (context.options.nodeGraceMs ?? GRACE_MS) : STARTUP_MS
    return at + grace - now
  }

  function tell({ events }: Context, name: string, uid: string, reason: string, what: string, where: string): void {
    events.normal({ apiVersion: 'v1', kind: 'Node', name, uid }, reason, `Node ${name} event: ${what} ${name} ${where}`)
  }

  /** Whether the pods of the node are to leave; a number of milliseconds when the turn of the node comes later. */
  function eviction({ cache, clock }: Context, node: Node): boolean | number {
    // Most nodes are well: they are not worth a look at all the others.
    if (isNodeReady(node)) return false
    const zone = zoneOf(node)
    const rate = planPace(cache.list(Node)).get(zone)
    if (rate === undefined) return false
    if (isEmptied(node)) return true
    if (rate === 0) return LOOK_AGAIN_MS
    const left = (nextEviction.get(zone) ?? 0) - clock.monotonic()
    if (left > 0) return left
    nextEviction.set(zone, clock.monotonic() + 1000 / rate)
    return true
  }

  async function reconcile(key: string, context: Context): Promise<Outcome | undefined> {
    const { cache, client, clock, events } = context
    let node = cache.get(Node, key)
    if (!node) {
      const known = heard.get(key)
      if (known) tell(context, key, known.uid, 'RemovingNode', 'Removing Node', 'from Controller')
      heard.delete(key)
      return undefined
    }
    if (isDeleting(node)) return undefined
    const left = patience(context, node)
    if (left <= 0) {
      const conditions = silentConditions(node, clock.now())
      if (conditions) {
        node = await client.updateStatus(Node, { ...node, status: { ...node.status, conditions } })
        events.normal(node, 'NodeNotReady', `Node ${key} status is now: NodeNotReady`)
      }
    }
    const evict = nodeCondition(node, 'Ready') ? eviction(context, node) : false
    const taints = planTaints(node, { evict: evict === true, now: clock.now() })
    if (taints) {
      const metadata = { resourceVersion: node.metadata.resourceVersion }
      await client.patch(Node, nameOf(node), { metadata, spec: { taints } }, { type: 'merge' })
    }
    // A node that says itself that it is not ready also says how its pods are.
    if (nodeCondition(node, 'Ready')?.status === 'Unknown') await markPods(context, node)
    const waits = [...(left > 0 ? [left + 1] : []), ...(typeof evict === 'number' ? [evict] : [])]
    return waits.length > 0 ? { requeueAfterMs: Math.min(...waits) } : undefined
  }

  return {
    name: 'nodelifecycle',
    component: 'node-controller',
    for: Node,
    reads: [Pod],
    watches: [
      watch(Lease, (lease) => (lease.metadata.namespace === LEASES ? [lease.metadata.name] : [])),
      // Whether pods may be evicted from one node depends on whether any other is ready.
      watch(Node, (node, cache, previous) => {
        const changed = previous ? isNodeReady(node) !== isNodeReady(previous) : !isNodeReady(node)
        return changed
          ? cache
              .list(Node)
              .filter((other) => !isNodeReady(other))
              .map((other) => other.metadata.name)
          : []
      }),
    ],
    reconcile,
  }
}

/** A new one for each run: it remembers when it heard of each node. */
export const makeNodeLifecycle = nodeLifecycle
