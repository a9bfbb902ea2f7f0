// What must never happen, checked at every change of the store.
import type { Deployment, Pod, ReplicaSet, Resource } from '../../src/api/index.js'
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
  readonly objects = new Map<string, Resource>()
  /** Names of Deployments whose pods nobody but the rollout takes away: availability is checked too. */
  readonly undisturbed = new Set<string>()
  /** Label value of `app` to the number of pods that evictions must leave healthy. */
  readonly protectedApps = new Map<string, number>()
  readonly #protecting = new Set<string>()
  readonly #bounds = new Map<string, Bounds>()
  readonly #byKind = new Map<string, Map<string, Resource>>()
  readonly #jobSucceeded = new Map<string, number>()

  kind<T extends Resource>(kind: string): T[] {
    return [...(this.#byKind.get(kind)?.values() ?? [])] as T[]
  }

  onEvent(event: StoreEvent): void {
    const bytes = event.type === 'put' ? event.kv.value : event.previous?.value
    this.changes++
    if (!bytes || bytes.length === 0 || bytes[0] !== 0x7b) return
    const object = JSON.parse(Buffer.from(bytes).toString('utf8')) as Resource
    if (!object.kind) return
    const map = this.#byKind.get(object.kind) ?? new Map<string, Resource>()
    this.#byKind.set(object.kind, map)
    if (event.type === 'put') map.set(event.kv.key, object)
    else map.delete(event.kv.key)
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
    if (deployment) this.#checkRollout(deployment, event.type === 'put' && !event.previous)
    this.#checkProtected(pod)
  }

  #checkRollout(deployment: Deployment, created: boolean): void {
    const bounds = this.#bounds.get(deployment.metadata.uid ?? '')
    if (!bounds || deployment.metadata.deletionTimestamp) return
    const pods = this.#podsOf(deployment)
    const active = pods.filter(isActive).length
    const available = pods.filter((pod) => isActive(pod) && isReady(pod)).length
    const { name } = deployment.metadata
    if (created && active > bounds.most) {
      const sets = this.kind<ReplicaSet>('ReplicaSet')
        .filter((set) => ownerOf(set) === deployment.metadata.uid)
        .map(
          (set) =>
            `${set.metadata.name} ${set.spec?.replicas}/${pods.filter((pod) => isActive(pod) && ownerOf(pod) === set.metadata.uid).length}`,
        )
      this.violations.push(`deployment ${name} has ${active} pods, allowed are ${bounds.most} (${sets.join(', ')})`)
    }
    if (bounds.settled && this.undisturbed.has(name) && available < bounds.least) {
      this.violations.push(`deployment ${name} has ${available} available pods, at least ${bounds.least} are wanted`)
    }
    if (pods.length === active && active === available && active === (deployment.spec?.replicas ?? 1)) {
      this.#bounds.set(deployment.metadata.uid ?? '', { ...this.#allowed(deployment), settled: true })
    }
  }

  #checkProtected(pod: Pod): void {
    const app = pod.metadata.labels?.app ?? ''
    const least = this.protectedApps.get(app)
    if (least === undefined) return
    const healthy = this.kind<Pod>('Pod').filter((each) => each.metadata.labels?.app === app && isActive(each) && isReady(each)).length
    if (healthy >= least + 1) this.#protecting.add(app)
    if (this.#protecting.has(app) && healthy < least)
      this.violations.push(`budget of ${app}: ${healthy} healthy pods, at least ${least} are wanted`)
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
