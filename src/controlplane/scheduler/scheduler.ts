// The loop of the scheduler: takes what the caches say into its state, places pods one by one, writes the decisions.
import { setMaxListeners } from 'node:events'
import {
  CSINode,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  type PodCondition,
  PodDisruptionBudget,
  StorageClass,
} from '../../api/index.js'
import { type Client, type EventRecorder, eventRecorder, type Informer, informer, leaderElection } from '../../client/index.js'
import { type Clock, explain, isStatus, type Logger, type Random, rfc3339, sleep } from '../../lib/index.js'
import { ClusterState, type PodInfo, podInfo, podKey } from './cluster-state.js'
import { failureMessage, postFilterMessage } from './message.js'
import { type Nominated, type Placer, placer } from './placement.js'
import { claimKeys } from './plugins/volume-binding.js'
import { planPreemption, type Victims } from './preemption.js'
import { defaultProfiles, type Profile } from './profile.js'
import { PodQueue, type Waiting } from './queue.js'
import type { VolumeView } from './volumes.js'

export interface RunSchedulerOptions {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly signal: AbortSignal
  /** Candidate's name for the lease `kube-scheduler`; without one there is no election. */
  readonly identity?: string
  /** Which pods are scheduled how; default one profile, `default-scheduler`. */
  readonly profiles?: readonly Profile[]
  /** Called whenever this process has begun to lead and every cache is in. */
  readonly onReady?: () => void
}

/** Gives each pod a node, until the signal is aborted. */
export async function runScheduler(run: RunSchedulerOptions): Promise<void> {
  const { client, clock, log, signal, identity } = run
  if (identity === undefined) return new Scheduler(run).run(signal)
  const lease = { namespace: 'kube-system', name: 'kube-scheduler' }
  await leaderElection({ client, clock, log, lease, identity }, signal, (leading) => new Scheduler(run).run(leading))
}

/** Bindings on their way at once. */
const IN_FLIGHT = 64
/** Pods placed before others get a turn. */
const SLICE = 16

const isFinished = (pod: Pod): boolean => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'

class Scheduler {
  readonly #client: Client
  readonly #clock: Clock
  readonly #log: Logger
  readonly #random: Random
  readonly #onReady: (() => void) | undefined
  readonly #state = new ClusterState()
  readonly #queue: PodQueue
  readonly #placers: ReadonlyMap<Profile, Placer>
  readonly #events: ReadonlyMap<Profile, EventRecorder>
  /** Pods whose binding is on its way: what the cache says of them is older than what we know. */
  readonly #assumed = new Map<string, string>()
  readonly #nominated = new Map<string, Nominated>()
  readonly #claimUsers = new Map<string, Set<string>>()
  readonly #pods: Informer<Pod>
  readonly #nodes: Informer<Node>
  readonly #namespaces: Informer<Namespace>
  readonly #budgets: Informer<PodDisruptionBudget>
  readonly #claims: Informer<PersistentVolumeClaim>
  readonly #volumes: Informer<PersistentVolume>
  readonly #storageClasses: Informer<StorageClass>
  readonly #csiNodes: Informer<CSINode>
  readonly #view: VolumeView
  #wake: (() => void) | undefined
  #inFlight = 0

  constructor({ client, clock, random, log, profiles = defaultProfiles, onReady }: RunSchedulerOptions) {
    this.#client = client
    this.#clock = clock
    this.#random = random
    this.#log = log
    this.#onReady = onReady
    this.#queue = new PodQueue({ clock, profiles, onReady: () => this.#wake?.() })
    const options = { clock, log }
    this.#pods = informer(client, Pod, options)
    this.#nodes = informer(client, Node, options)
    this.#namespaces = informer(client, Namespace, options)
    this.#budgets = informer(client, PodDisruptionBudget, options)
    this.#claims = informer(client, PersistentVolumeClaim, options)
    this.#volumes = informer(client, PersistentVolume, options)
    this.#storageClasses = informer(client, StorageClass, options)
    this.#csiNodes = informer(client, CSINode, options)
    this.#view = {
      claim: (key) => this.#claims.get(key),
      volume: (name) => this.#volumes.get(name),
      volumes: () => this.#volumes.list(),
      storageClass: (name) => this.#storageClasses.get(name),
      csiNode: (name) => this.#csiNodes.get(name),
      promised: new Map(),
      usersOf: (key) => [...(this.#claimUsers.get(key) ?? [])],
    }
    const state = this.#state
    this.#placers = new Map(profiles.map((profile) => [profile, placer({ state, profile, volumes: this.#view, random })]))
    this.#events = new Map(
      profiles.map((profile) => [profile, eventRecorder({ client, clock, random, log, component: profile.schedulerName })]),
    )
  }

  async run(signal: AbortSignal): Promise<void> {
    setMaxListeners(0, signal)
    const stopped = new Promise<void>((resolve) => {
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
    const informers = [
      this.#namespaces,
      this.#nodes,
      this.#budgets,
      this.#claims,
      this.#volumes,
      this.#storageClasses,
      this.#csiNodes,
      this.#pods,
    ] as const
    const running = informers.map((each) => each.run(signal))
    await Promise.race([Promise.all(informers.map((each) => each.synced)), stopped])
    if (!signal.aborted) {
      this.#subscribe()
      this.#onReady?.()
      await this.#loop(signal)
    }
    this.#queue.close()
    await Promise.all(running)
    await Promise.race([Promise.all([...this.#events.values()].map((events) => events.flush())), sleep(this.#clock, 1000)])
  }

  #subscribe(): void {
    this.#namespaces.subscribe({
      added: (namespace) => this.#onNamespace(namespace),
      updated: (namespace, previous) => {
        if (JSON.stringify(namespace.metadata.labels) !== JSON.stringify(previous.metadata.labels)) this.#onNamespace(namespace)
      },
      deleted: (namespace) => this.#state.setNamespace(namespace.metadata.name, undefined),
    })
    this.#nodes.subscribe({
      added: (node) => {
        this.#state.setNode(node)
        this.#queue.event({ type: 'node added', node })
      },
      updated: (node, previous) => {
        if (!nodeChanged(node, previous)) return
        this.#state.setNode(node)
        this.#queue.event({ type: 'node updated', node, previous })
      },
      deleted: (node) => this.#state.removeNode(node.metadata.name),
    })
    const volumes = { added: () => this.#volumesChanged(), updated: () => this.#volumesChanged(), deleted: () => this.#volumesChanged() }
    for (const each of [this.#claims, this.#volumes, this.#storageClasses, this.#csiNodes]) each.subscribe(volumes)
    this.#pods.subscribe({
      added: (pod) => this.#onPod(pod, undefined),
      updated: (pod, previous) => this.#onPod(pod, previous),
      deleted: (pod) => this.#onPodGone(pod),
    })
  }

  #onNamespace(namespace: Namespace): void {
    this.#state.setNamespace(namespace.metadata.name, namespace.metadata.labels ?? {})
    this.#queue.event({ type: 'namespace changed' })
  }

  #volumesChanged(): void {
    for (const [volume, claim] of this.#view.promised) {
      const bound = this.#volumes.get(volume)?.spec?.claimRef
      if (bound && `${bound.namespace}/${bound.name}` === claim) this.#view.promised.delete(volume)
    }
    this.#queue.event({ type: 'volumes changed' })
  }

  #onPod(pod: Pod, previous: Pod | undefined): void {
    const key = podKey(pod)
    for (const claim of claimKeys(pod)) {
      const users = this.#claimUsers.get(claim) ?? new Set()
      this.#claimUsers.set(claim, users.add(key))
    }
    if (isFinished(pod)) {
      this.#leave(pod)
      return
    }
    const nodeName = pod.spec?.nodeName
    if (nodeName) {
      this.#assumed.delete(key)
      this.#nominated.delete(key)
      this.#queue.remove(key)
      this.#state.addPod(podInfo(pod), nodeName)
      this.#queue.event(previous?.spec?.nodeName ? { type: 'pod updated', pod, previous } : { type: 'pod added', pod })
      return
    }
    // A pod that is being bound counts on its node, whatever late news say.
    if (this.#assumed.get(key) === pod.metadata.uid) return
    if (!this.#queue.profileOf(pod)) return
    if (pod.metadata.deletionTimestamp) {
      this.#queue.remove(key)
      this.#nominated.delete(key)
      return
    }
    const nominated = pod.status?.nominatedNodeName
    if (nominated) this.#nominated.set(key, { pod: podInfo(pod), nodeName: nominated })
    this.#queue.put(pod)
    const gate = this.#queue.gate(pod)
    if (gate) void this.#setCondition(pod, 'SchedulingGated', gate)
  }

  #onPodGone(pod: Pod): void {
    for (const claim of claimKeys(pod)) {
      const users = this.#claimUsers.get(claim)
      users?.delete(podKey(pod))
      if (users?.size === 0) this.#claimUsers.delete(claim)
    }
    this.#leave(pod)
  }

  #leave(pod: Pod): void {
    const key = podKey(pod)
    this.#assumed.delete(key)
    this.#queue.remove(key)
    this.#nominated.delete(key)
    const held = this.#state.pods.has(key)
    this.#state.removePod(key)
    if (held) this.#queue.event({ type: 'pod removed', pod })
  }

  async #loop(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#wake?.(), { once: true })
    while (!signal.aborted) {
      let placed = 0
      while (placed < SLICE && this.#inFlight < IN_FLIGHT && !signal.aborted) {
        const entry = this.#queue.pop()
        if (!entry) break
        placed++
        this.#one(entry, signal)
      }
      if (signal.aborted) break
      // Yield, so that answers and watch events come in; sleep only when nothing is left to do.
      if (placed > 0 && this.#inFlight < IN_FLIGHT) await new Promise<void>((resolve) => setImmediate(resolve))
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
          if (signal.aborted) resolve()
        })
      }
      this.#wake = undefined
    }
  }

  #one(entry: Waiting, signal: AbortSignal): void {
    const { pod } = entry
    const profile = this.#queue.profileOf(pod.pod)
    const chooser = profile && this.#placers.get(profile)
    if (!profile || !chooser) {
      this.#queue.done(entry)
      return
    }
    const found = chooser.place(pod, [...this.#nominated.values()])
    this.#inFlight++
    const work =
      'failed' in found ? this.#unplaced(entry, profile, chooser, found.failed) : this.#bind(entry, profile, found.nodeName, signal)
    void work
      .catch((error: unknown) => this.#log.warn('pod not scheduled', { pod: pod.key, err: error }))
      .finally(() => {
        this.#inFlight--
        this.#wake?.()
      })
  }

  async #bind(entry: Waiting, profile: Profile, nodeName: string, signal: AbortSignal): Promise<void> {
    const { pod } = entry
    const input = { pod, state: this.#state, volumes: this.#view, nodeName }
    this.#assumed.set(pod.key, pod.uid)
    this.#state.addPod(pod, nodeName)
    const undo = profile.reserve.flatMap((plugin) => plugin.reserve?.(input) ?? [])
    try {
      for (const plugin of profile.permit) {
        const refused = plugin.permit?.(input)
        if (refused) throw new Error(refused)
      }
      const call = { ...input, client: this.#client, clock: this.#clock, signal }
      for (const plugin of profile.preBind) await plugin.preBind?.(call)
      for (const plugin of profile.bind) await plugin.bind?.(call)
      this.#queue.done(entry)
      this.#nominated.delete(pod.key)
      this.#events.get(profile)?.record(pod.pod, 'Normal', 'Scheduled', `Successfully assigned ${pod.key} to ${nodeName}`)
    } catch (error) {
      for (const back of undo) back()
      await this.#unbound(entry, profile, error)
    }
  }

  /** The binding failed, or we do not know: the server says which. */
  async #unbound(entry: Waiting, profile: Profile, error: unknown): Promise<void> {
    const { pod } = entry
    const current = await this.#client.find(Pod, pod.pod.metadata).catch(() => pod.pod)
    if (this.#assumed.get(pod.key) === pod.uid) {
      this.#assumed.delete(pod.key)
      this.#state.removePod(pod.key)
    }
    if (!current || current.metadata.uid !== pod.uid) {
      this.#queue.done(entry)
      return
    }
    if (current.spec?.nodeName) {
      this.#queue.done(entry)
      this.#pods.observe(current)
      if (!this.#state.pods.has(pod.key)) this.#state.addPod(podInfo(current), current.spec.nodeName)
      return
    }
    this.#queue.event({ type: 'pod removed', pod: pod.pod })
    this.#queue.failed(entry, new Set())
    if (isStatus(error, 'NotFound', 'Conflict')) return
    const message = `binding rejected: ${explain(error)}`
    this.#events.get(profile)?.record(pod.pod, 'Warning', 'FailedScheduling', message)
    await this.#setCondition(current, 'SchedulerError', message)
  }

  async #unplaced(entry: Waiting, profile: Profile, chooser: Placer, diagnosis: Parameters<typeof failureMessage>[0]): Promise<void> {
    const { pod } = entry
    const release = this.#queue.hold(entry)
    try {
      let postFilter = ''
      let nominatedNode: string | undefined
      if (profile.postFilter.includes('DefaultPreemption') && diagnosis.nodes > 0) {
        const plan = planPreemption({
          pod,
          state: this.#state,
          placer: chooser,
          diagnosis,
          budgets: this.#budgets.list(),
          random: this.#random,
          nominatedNode: this.#nominated.get(pod.key)?.nodeName,
        })
        if ('victims' in plan) {
          nominatedNode = plan.victims.nodeName
          this.#nominated.set(pod.key, { pod, nodeName: nominatedNode })
        } else postFilter = postFilterMessage(plan.message)
        if ('victims' in plan) await this.#evict(pod, plan.victims, profile)
      }
      const message = failureMessage(diagnosis, postFilter)
      this.#events.get(profile)?.record(pod.pod, 'Warning', 'FailedScheduling', message)
      const current = this.#pods.get(pod.key) ?? pod.pod
      await this.#setCondition(current, 'Unschedulable', message, nominatedNode)
    } finally {
      release()
      this.#queue.failed(entry, diagnosis.plugins)
    }
  }

  async #evict(pod: PodInfo, victims: Victims, profile: Profile): Promise<void> {
    await Promise.all(
      victims.pods.map(async (victim) => {
        const current = this.#pods.get(victim.key) ?? victim.pod
        const { name, namespace, uid } = current.metadata
        if (current.metadata.deletionTimestamp) return
        const condition = {
          type: 'DisruptionTarget',
          status: 'True',
          reason: 'PreemptionByScheduler',
          message: `${profile.schedulerName}: preempting to accommodate a higher priority pod`,
          lastTransitionTime: rfc3339(this.#clock.now()),
        }
        try {
          await this.#client.patch(
            Pod,
            { name, namespace },
            { metadata: { uid }, status: { conditions: [condition] } },
            { type: 'strategic', subresource: 'status' },
          )
          await this.#client.delete(Pod, { name, namespace }, { preconditions: { uid } })
        } catch (error) {
          if (isStatus(error, 'NotFound', 'Conflict')) return
          throw error
        }
        this.#events.get(profile)?.record(current, 'Normal', 'Preempted', `Preempted by pod ${pod.uid} on node ${victims.nodeName}`)
      }),
    )
    // Less important pods that were promised the node have to look again.
    for (const [key, other] of this.#nominated) {
      if (other.nodeName === victims.nodeName && other.pod.priority < pod.priority) {
        this.#nominated.delete(key)
        const current = this.#pods.get(key)
        if (current) await this.#writeStatus(current, { nominatedNodeName: null })
      }
    }
  }

  async #setCondition(pod: Pod, reason: string, message: string, nominatedNodeName?: string): Promise<void> {
    const old = pod.status?.conditions?.find((condition) => condition.type === 'PodScheduled')
    const same = old?.status === 'False' && old.reason === reason && old.message === message
    if (same && (nominatedNodeName === undefined || pod.status?.nominatedNodeName === nominatedNodeName)) return
    const condition: PodCondition = {
      type: 'PodScheduled',
      status: 'False',
      reason,
      message,
      lastTransitionTime: old?.status === 'False' ? old.lastTransitionTime : rfc3339(this.#clock.now()),
    }
    await this.#writeStatus(pod, { conditions: [condition], ...(nominatedNodeName ? { nominatedNodeName } : {}) })
  }

  async #writeStatus(pod: Pod, status: unknown): Promise<void> {
    const { name, namespace, uid } = pod.metadata
    try {
      const written = await this.#client.patch(
        Pod,
        { name, namespace },
        { metadata: { uid }, status },
        { type: 'strategic', subresource: 'status' },
      )
      this.#pods.observe(written)
    } catch (error) {
      if (!isStatus(error, 'NotFound', 'Conflict')) throw error
    }
  }
}

/** Heartbeats change a node every few seconds and matter to nobody here. */
function nodeChanged(node: Node, previous: Node): boolean {
  const relevant = ({ metadata, spec, status }: Node): string =>
    JSON.stringify([
      metadata.labels,
      metadata.deletionTimestamp,
      spec,
      status?.allocatable,
      status?.images,
      status?.conditions?.map((each) => [each.type, each.status]),
    ])
  return relevant(node) !== relevant(previous)
}
