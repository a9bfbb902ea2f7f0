// What must never happen, checked at every change of the store.
import { createHash } from 'node:crypto'
import type { Deployment, Pod, PodTemplateSpec, ReplicaSet, Resource, StatefulSet } from '../../src/api/index.js'
import type { StoreEvent } from '../../src/store/index.js'

const scaled = (value: number | string | undefined, total: number, up: boolean): number => {
  if (typeof value === 'number') return value
  const exact = (Number.parseInt(value ?? '25%', 10) * total) / 100
  return up ? Math.ceil(exact) : Math.floor(exact)
}

const isReady = (pod: Pod): boolean => pod.status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') ?? false
const isActive = (pod: Pod): boolean =>
  !pod.metadata.deletionTimestamp && pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed'
const ownerOf = (object: Resource): string | undefined => object.metadata.ownerReferences?.find((each) => each.controller)?.uid

/** What people change of workloads, whichever kind they are of. */
interface Changeable {
  readonly replicas?: number
  readonly paused?: boolean
  readonly suspend?: boolean
  readonly updateStrategy?: { readonly rollingUpdate?: { readonly partition?: number } }
  readonly template?: PodTemplateSpec
}

/** Where a pod of a DaemonSet is or has to go. */
const nodeOfDaemon = ({ spec }: Pod): string | undefined =>
  spec?.nodeName ??
  spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms[0]?.matchFields?.[0]?.values?.[0]

/** What a Deployment was allowed since its pods last were as wanted. */
interface Bounds {
  most: number
  least: number
  settled: boolean
}

export class Invariants {
  readonly violations: string[] = []
  /** How many changes were seen. */
  changes = 0
  /** How many pods ended in failure that nobody had asked to end. */
  failedPods = 0
  /** Of every change, in order. */
  readonly digest = createHash('sha256')
  readonly objects = new Map<string, Resource>()
  /** Names of Deployments whose pods nobody but the rollout takes away: availability is checked too. */
  readonly undisturbed = new Set<string>()
  /** Label value of `app` to the number of pods that evictions must leave healthy. */
  readonly protectedApps = new Map<string, number>()
  /** A StatefulSet of which ordinals below the partition stay of the revision that was current first. */
  canary: { readonly set: string; readonly partition: number; first?: string } | undefined
  /** How many pods of a DaemonSet a node may have, and whether a rollout may leave it without a ready one. */
  daemons: { readonly set: string; readonly perNode: number; neverBare: boolean } | undefined
  /** Which object a revision of the store wrote or deleted. */
  readonly #written = new Map<number, string>()
  /** What a person was told is done, by kind and name: the newest word on each. */
  readonly #acknowledged = new Map<string, Readonly<Record<string, unknown>>>()
  /** Uids of pods whose containers run, by the name that only one may have at a time. */
  readonly #running = new Map<string, Set<string>>()
  readonly #bounds = new Map<string, Bounds>()
  readonly #byKind = new Map<string, Map<string, Resource>>()
  readonly #jobSucceeded = new Map<string, number>()

  kind<T extends Resource>(kind: string): T[] {
    return [...(this.#byKind.get(kind)?.values() ?? [])] as T[]
  }

  onEvent(event: StoreEvent): void {
    const bytes = event.type === 'put' ? event.kv.value : event.previous?.value
    this.changes++
    this.digest.update(`${event.kv.key} ${event.kv.modRevision} `)
    if (event.type === 'put') this.digest.update(event.kv.value)
    if (!bytes || bytes.length === 0 || bytes[0] !== 0x7b) return
    const object = JSON.parse(Buffer.from(bytes).toString('utf8')) as Resource
    if (!object.kind) return
    // A patch that takes the last finalizer away is answered with the revision of the deletion.
    this.#written.set(event.kv.modRevision, object.metadata.uid ?? '')
    const map = this.#byKind.get(object.kind) ?? new Map<string, Resource>()
    this.#byKind.set(object.kind, map)
    if (event.type === 'put') map.set(event.kv.key, object)
    else {
      map.delete(event.kv.key)
      // Who changes what is being deleted already is told that it was changed, and knows how it ends.
      if (object.metadata.deletionTimestamp) this.#acknowledged.delete(`${object.kind} ${object.metadata.name}`)
    }
    if (object.kind === 'Pod') this.#onPod(object as Pod, event)
    if (object.kind === 'Deployment') this.#onDeployment(object as Deployment, event.type === 'delete')
    if (object.kind === 'Job' && event.type === 'put') this.#onJob(object)
  }

  #podsOf(deployment: Deployment): Pod[] {
    const sets = new Set(
      this.kind<ReplicaSet>('ReplicaSet')
        .filter((set) => ownerOf(set) === deployment.metadata.uid)
        .map((set) => set.metadata.uid),
    )
    return this.kind<Pod>('Pod').filter((pod) => sets.has(ownerOf(pod)))
  }

  #allowed({ spec }: Deployment): { most: number; least: number } {
    const replicas = spec?.replicas ?? 1
    if (spec?.strategy?.type === 'Recreate') return { most: replicas, least: 0 }
    const rolling = spec?.strategy?.rollingUpdate
    const surge = scaled(rolling?.maxSurge, replicas, true)
    const unavailable = scaled(rolling?.maxUnavailable, replicas, false)
    return { most: replicas + surge, least: replicas - (surge === 0 && unavailable === 0 ? 1 : unavailable) }
  }

  #onDeployment(deployment: Deployment, gone: boolean): void {
    const uid = deployment.metadata.uid ?? ''
    if (gone) {
      this.#bounds.delete(uid)
      return
    }
    const now = this.#allowed(deployment)
    const before = this.#bounds.get(uid)
    this.#bounds.set(uid, {
      most: Math.max(now.most, before?.most ?? 0),
      least: Math.min(now.least, before?.least ?? now.least),
      settled: before?.settled ?? false,
    })
  }

  #onPod(pod: Pod, event: StoreEvent): void {
    if (event.type === 'delete' && pod.status?.phase === 'Running') {
      this.violations.push(
        `pod ${pod.metadata.name} was removed while its containers ran (deletion ${pod.metadata.deletionTimestamp}, grace ${pod.metadata.deletionGracePeriodSeconds})`,
      )
    }
    const set = this.kind<ReplicaSet>('ReplicaSet').find((each) => each.metadata.uid === ownerOf(pod))
    const deployment = set && this.kind<Deployment>('Deployment').find((each) => each.metadata.uid === ownerOf(set))
    if (deployment) this.#checkRollout(deployment, event.type === 'put' && !event.previous ? pod.metadata.uid : undefined)
    this.#checkEviction(pod, event)
    const before =
      event.type === 'put' && event.previous ? (JSON.parse(Buffer.from(event.previous.value).toString('utf8')) as Pod) : undefined
    if (pod.status?.phase === 'Failed' && before?.status?.phase !== 'Failed' && !pod.metadata.deletionTimestamp) this.failedPods++
    this.#checkDaemon(pod, before, event.type === 'put' && !event.previous)
    if (event.type === 'put' && !event.previous) this.#checkCanary(pod)
  }

  /** Until its status names a current revision a set has none: the newest is. */
  #checkCanary({ metadata: { name, labels } }: Pod): void {
    const { canary } = this
    if (!canary || !name.startsWith(`${canary.set}-`)) return
    const set = this.kind<StatefulSet>('StatefulSet').find((each) => each.metadata.name === canary.set)
    const current = set?.status?.currentRevision
    if (current === undefined) return
    canary.first ??= current
    if (current !== canary.first) this.violations.push(`${canary.set} went on to ${current}, below the partition it is ${canary.first}`)
    const revision = labels?.['controller-revision-hash']
    if (Number(name.slice(canary.set.length + 1)) < canary.partition && revision !== canary.first) {
      this.violations.push(`${name} was made of ${revision}, below the partition it is ${canary.first}`)
    }
  }

  #checkDaemon(pod: Pod, before: Pod | undefined, created: boolean): void {
    const owner = pod.metadata.ownerReferences?.find((each) => each.controller)
    if (!this.daemons || owner?.kind !== 'DaemonSet' || owner.name !== this.daemons.set) return
    const node = nodeOfDaemon(pod)
    const others = this.kind<Pod>('Pod').filter((each) => ownerOf(each) === owner.uid && nodeOfDaemon(each) === node && isActive(each))
    if (created && others.length > this.daemons.perNode) {
      this.violations.push(`${others.length} pods of ${owner.name} on ${node}, allowed are ${this.daemons.perNode}`)
    }
    const taken = before && !before.metadata.deletionTimestamp && pod.metadata.deletionTimestamp && isReady(before)
    if (this.daemons.neverBare && taken && !others.some((each) => isReady(each))) {
      this.violations.push(`${pod.metadata.name} was taken from ${node} before another was ready`)
    }
  }

  #checkRollout(deployment: Deployment, created: string | undefined): void {
    const bounds = this.#bounds.get(deployment.metadata.uid ?? '')
    if (!bounds || deployment.metadata.deletionTimestamp) return
    const pods = this.#podsOf(deployment)
    const active = pods.filter(isActive).length
    const available = pods.filter((pod) => isActive(pod) && isReady(pod)).length
    const { name } = deployment.metadata
    if (created !== undefined && active > bounds.most) {
      const sets = this.kind<ReplicaSet>('ReplicaSet')
        .filter((set) => ownerOf(set) === deployment.metadata.uid)
        .map(
          (set) =>
            `${set.metadata.name} ${set.spec?.replicas}/${pods.filter((pod) => isActive(pod) && ownerOf(pod) === set.metadata.uid).length}`,
        )
      this.violations.push(`deployment ${name} has ${active} pods, allowed are ${bounds.most} (${sets.join(', ')})`)
    }
    const made = pods.find((pod) => pod.metadata.uid === created)
    const others = pods.filter(
      (pod) => ownerOf(pod) !== ownerOf(made ?? pod) && pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed',
    )
    if (deployment.spec?.strategy?.type === 'Recreate' && others.length > 0) {
      this.violations.push(`deployment ${name} made ${made?.metadata.name} while ${others.length} pods of before were there`)
    }
    if (bounds.settled && this.undisturbed.has(name) && available < bounds.least) {
      this.violations.push(`deployment ${name} has ${available} available pods, at least ${bounds.least} are wanted`)
    }
    // Whoever has not seen the newest wish may be at work on the one before.
    const seen = [deployment, ...this.kind<ReplicaSet>('ReplicaSet').filter((set) => ownerOf(set) === deployment.metadata.uid)].every(
      ({ metadata, status }) => status?.observedGeneration === metadata.generation,
    )
    if (seen && pods.length === active && active === available && active === (deployment.spec?.replicas ?? 1)) {
      this.#bounds.set(deployment.metadata.uid ?? '', { ...this.#allowed(deployment), settled: true })
    }
  }

  /** An eviction that was granted leaves as many healthy pods as the budget asks for. */
  #checkEviction(pod: Pod, event: StoreEvent): void {
    const app = pod.metadata.labels?.app ?? ''
    const least = this.protectedApps.get(app)
    const before =
      event.type === 'put' && event.previous ? (JSON.parse(Buffer.from(event.previous.value).toString('utf8')) as Pod) : undefined
    if (least === undefined || !before || before.metadata.deletionTimestamp || !pod.metadata.deletionTimestamp) return
    if (!pod.status?.conditions?.some((each) => each.reason === 'EvictionByEvictionAPI') || !isReady(before)) return
    const healthy = this.kind<Pod>('Pod').filter((each) => each.metadata.labels?.app === app && isActive(each) && isReady(each)).length
    if (healthy < least) this.violations.push(`budget of ${app}: an eviction left ${healthy} healthy pods, at least ${least} are wanted`)
  }

  /** Called by the nodes: two pods of one ordinal must never run at the same time, whatever the API says. */
  onContainers(pod: Pod, running: boolean): void {
    if (pod.metadata.ownerReferences?.find((each) => each.controller)?.kind !== 'StatefulSet') return
    const uids = this.#running.get(pod.metadata.name) ?? new Set<string>()
    this.#running.set(pod.metadata.name, uids)
    if (!running) uids.delete(pod.metadata.uid ?? '')
    else if (uids.add(pod.metadata.uid ?? '').size > 1) this.violations.push(`${uids.size} pods run as ${pod.metadata.name}`)
  }

  /** Called for every answer of the server: what it says was written has to be in the store. */
  onAnswer(answer: Resource): void {
    const { uid, resourceVersion, name } = answer.metadata ?? {}
    if (!uid || !resourceVersion) return
    if (this.#written.get(Number(resourceVersion)) !== uid) {
      this.violations.push(`${answer.kind} ${name} was acknowledged at revision ${resourceVersion} and is not in the store`)
    }
  }

  /** A person's change: acknowledged, or (without an answer) nobody knows. */
  onChange(kind: string, name: string, change: Readonly<Record<string, unknown>> | undefined): void {
    const key = `${kind} ${name}`
    if (change) this.#acknowledged.set(key, { ...this.#acknowledged.get(key), ...change })
    else this.#acknowledged.delete(key)
  }

  /** Acknowledged wishes that are gone again. */
  lost(): string[] {
    return [...this.#acknowledged].flatMap(([key, change]) => {
      const [kind = '', name] = key.split(' ')
      const object = this.kind<Resource & { readonly spec?: Changeable }>(kind).find((each) => each.metadata.name === name)
      const { replicas, paused, suspend, updateStrategy, template } = object?.spec ?? {}
      const now: Record<string, unknown> = {
        replicas,
        paused: paused ?? false,
        suspend: suspend ?? false,
        image: template?.spec?.containers[0]?.image,
        partition: updateStrategy?.rollingUpdate?.partition ?? 0,
      }
      return Object.entries(change).flatMap(([field, value]) =>
        now[field] === value ? [] : [`${key}: ${field} was set to ${value} and is ${now[field]}`],
      )
    })
  }

  #onJob(
    job: Resource & {
      readonly status?: { readonly succeeded?: number; readonly uncountedTerminatedPods?: { succeeded?: string[] } }
      readonly spec?: { completions?: number }
    },
  ): void {
    const uid = job.metadata.uid ?? ''
    const succeeded = (job.status?.succeeded ?? 0) + (job.status?.uncountedTerminatedPods?.succeeded?.length ?? 0)
    const before = this.#jobSucceeded.get(uid) ?? 0
    if (succeeded < before) this.violations.push(`job ${job.metadata.name} forgot ${before - succeeded} of its ${before} completions`)
    if (succeeded > (job.spec?.completions ?? 1))
      this.violations.push(`job ${job.metadata.name} counted ${succeeded} completions of ${job.spec?.completions}`)
    this.#jobSucceeded.set(uid, succeeded)
  }

  /** Objects whose controlling owner does not exist. */
  orphans(): string[] {
    const uids = new Set([...this.#byKind.values()].flatMap((map) => [...map.values()]).map((object) => object.metadata.uid))
    const lost: string[] = []
    for (const kind of ['Pod', 'ReplicaSet', 'ControllerRevision', 'EndpointSlice', 'Job']) {
      for (const object of this.kind(kind)) {
        const owner = ownerOf(object)
        if (owner !== undefined && !uids.has(owner)) lost.push(`${kind} ${object.metadata.name}`)
      }
    }
    return lost
  }
}
