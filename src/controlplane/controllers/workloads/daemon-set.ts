// DaemonSets: one pod on each node that should have one.
import { ControllerRevision, DaemonSet, isEmptySelector, Node, Pod, selects } from '../../../api/index.js'
import { explain } from '../../../lib/index.js'
import { isDeleting, keyOf, nameOf, sameJson, uidOf } from '../objects.js'
import { isReady, nextAvailability } from '../pods.js'
import type { Context, Controller, ObjectKey, Outcome } from '../types.js'
import { watch } from '../types.js'
import { claim } from './claim.js'
import {
  type DaemonInput,
  daemonTolerations,
  fitness,
  GENERATION_LABEL,
  HASH_LABEL,
  planDaemonStatus,
  planDaemons,
  planDaemonUpdate,
} from './daemon-set-plan.js'
import { podFromTemplate } from './pod-from-template.js'
import { adopters, isTerminatingNamespace } from './replicas.js'
import { byRevision, currentRevision, planTruncation, revisionsOf } from './revisions.js'
import { all, slowStart } from './slow-start.js'

const GENERATION = 'deprecated.daemonset.template.generation'

/** The pod for one node: it may go nowhere else. */
export function planDaemonPod(set: DaemonSet, nodeName: string, hash: string): Pod {
  const generation = set.metadata.annotations?.[GENERATION]
  const pod = podFromTemplate(set.spec?.template, DaemonSet, set, {
    labels: { [HASH_LABEL]: hash, ...(generation ? { [GENERATION_LABEL]: generation } : {}) },
  })
  const matchFields = [{ key: 'metadata.name', operator: 'In', values: [nodeName] }]
  const required = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
  // Terms are alternatives: each has to name the node.
  const nodeSelectorTerms = required ? required.nodeSelectorTerms.map((term) => ({ ...term, matchFields })) : [{ matchFields }]
  const nodeAffinity = { ...pod.spec?.affinity?.nodeAffinity, requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } }
  const spec = {
    ...(pod.spec ?? { containers: [] }),
    affinity: { ...pod.spec?.affinity, nodeAffinity },
    tolerations: daemonTolerations(set),
  }
  return { ...pod, spec }
}

const FIRST_BACKOFF_MS = 1_000
const LAST_BACKOFF_MS = 15 * 60_000

function daemonSets(): Controller {
  /** By set and node: when a failed pod may be replaced again, and how often it was. */
  const failures = new Map<string, { readonly until: number; readonly wait: number }>()

  async function removeFailed(
    { client, events, clock }: Context,
    set: DaemonSet,
    { pod, node }: { pod: Pod; node: string },
  ): Promise<void> {
    const id = `${uidOf(set)} ${node}`
    const before = failures.get(id)
    const wait = Math.min(LAST_BACKOFF_MS, before ? before.wait * 2 : FIRST_BACKOFF_MS)
    failures.set(id, { until: clock.monotonic() + wait, wait })
    if (pod.status?.phase === 'Failed') {
      events.warning(set, 'FailedDaemonPod', `Found failed daemon pod ${keyOf(pod)} on node ${node}, will try to kill it`)
    } else events.normal(set, 'SucceededDaemonPod', `Found succeeded daemon pod ${keyOf(pod)} on node ${node}, will try to delete it`)
    await client.delete(Pod, nameOf(pod), { preconditions: { uid: uidOf(pod) } })
  }

  async function apply(
    context: Context,
    set: DaemonSet,
    { create, remove }: { create: readonly string[]; remove: readonly Pod[] },
    hash: string,
  ) {
    const { client, events } = context
    await all(remove, async (pod) => {
      // One that seems not to be ready may be by now, and the only one on its node: what was seen of it has to hold still.
      const { resourceVersion } = pod.metadata
      const preconditions = { uid: uidOf(pod), ...(isReady(pod) || !resourceVersion ? {} : { resourceVersion }) }
      await client.delete(Pod, nameOf(pod), { preconditions })
      events.normal(set, 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`)
    })
    const { error } = await slowStart(create.length, async (index) => {
      const made = await client.create(Pod, planDaemonPod(set, create[index] ?? '', hash))
      events.normal(set, 'SuccessfulCreate', `Created pod: ${made.metadata.name}`)
    })
    if (error === undefined || isTerminatingNamespace(error)) return
    events.warning(set, 'FailedCreate', `Error creating: ${explain(error)}`)
    throw error
  }

  async function reconcile(key: ObjectKey, context: Context): Promise<Outcome | undefined> {
    const { cache, client, clock, events } = context
    const set = cache.get(DaemonSet, key)
    if (!set) return undefined
    if (isEmptySelector(set.spec?.selector)) {
      events.warning(set, 'SelectingAll', 'This daemon set is selecting all pods. A non-empty selector is required.')
      return undefined
    }
    const ownerKind = DaemonSet
    const matches = (object: Pod | ControllerRevision): boolean => selects(set.spec?.selector, object.metadata.labels)
    const revisions = await claim(context, { kind: ControllerRevision, ownerKind, owner: set, matches })
    const pods = await claim(context, { kind: Pod, ownerKind, owner: set, matches })
    if (isDeleting(set)) return undefined
    const made = await currentRevision(context, { ownerKind, owner: set, hashLabel: HASH_LABEL }, revisions)
    if ('collision' in made) {
      const status = { currentNumberScheduled: 0, desiredNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0, ...set.status }
      await client.updateStatus(DaemonSet, { ...set, status: { ...status, collisionCount: (status.collisionCount ?? 0) + 1 } })
      return undefined
    }
    const hash = made.revision.metadata.labels?.[HASH_LABEL] ?? ''
    const nodes = cache.list(Node)
    const backingOff = (node: string): boolean => (failures.get(`${uidOf(set)} ${node}`)?.until ?? 0) > clock.monotonic()
    const input: DaemonInput = { set, nodes, pods, hash, now: clock.now(), backingOff }
    const plan = planDaemons(input)
    let failure: { readonly error: unknown } | undefined
    try {
      await all(plan.failed, (each) => removeFailed(context, set, each))
      await apply(context, set, plan, hash)
      if (plan.create.length === 0 && plan.remove.length === 0) await apply(context, set, planDaemonUpdate(input), hash)
    } catch (error) {
      failure = { error }
    }
    const current = { ...input, pods: cache.ownedBy(Pod, uidOf(set)), now: clock.now() }
    for (const pod of current.pods) if (isReady(pod)) failures.delete(`${uidOf(set)} ${pod.spec?.nodeName}`)
    const status = planDaemonStatus(current)
    if (!sameJson(status, set.status)) await client.updateStatus(DaemonSet, { ...set, status })
    if (failure) throw failure.error
    const live = new Set(
      revisionsOf(cache, set)
        .filter((each) => current.pods.some((pod) => pod.metadata.labels?.[HASH_LABEL] === each.metadata.labels?.[HASH_LABEL]))
        .map((each) => each.metadata.name),
    )
    live.add(made.revision.metadata.name)
    for (const old of planTruncation([...revisionsOf(cache, set)].sort(byRevision), live, set.spec?.revisionHistoryLimit ?? 10)) {
      await client.delete(ControllerRevision, nameOf(old))
    }
    const waits = [nextAvailability(current.pods, set.spec?.minReadySeconds ?? 0, clock.now())]
    for (const node of nodes) {
      const until = failures.get(`${uidOf(set)} ${node.metadata.name}`)?.until
      if (until !== undefined && until > clock.monotonic()) waits.push(until - clock.monotonic())
    }
    const next = Math.min(...waits.flatMap((wait) => wait ?? []))
    return Number.isFinite(next) ? { requeueAfterMs: next } : undefined
  }

  return {
    name: 'daemonset',
    for: DaemonSet,
    owns: [Pod, ControllerRevision],
    watches: [
      watch(
        Pod,
        adopters(DaemonSet, (set) => set.spec?.selector),
      ),
      watch(Node, (node, cache, previous) => {
        const gone = cache.get(Node, node.metadata.name) === undefined
        return cache
          .list(DaemonSet)
          .filter((set) => gone || !previous || !sameJson(fitness(set, node), fitness(set, previous)))
          .map(keyOf)
      }),
    ],
    reconcile,
  }
}

/** A new one for each run: it remembers which nodes its pods fail on. */
export const makeDaemonSets = daemonSets
