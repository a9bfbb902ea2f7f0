// Pods that wait for a node: those to try now, those backing off, those that only a change of the cluster can help.

import type { Pod } from '../../api/index.js'
import type { Clock, Timer } from '../../lib/index.js'
import { type PodInfo, podInfo } from './cluster-state.js'
import type { ClusterEvent, Plugin } from './plugin.js'
import type { Profile, QueueOrder } from './profile.js'

export interface Waiting extends QueueOrder {
  pod: PodInfo
  priority: number
  readonly since: number
  attempts: number
  /** Plugins that turned it away the last time. */
  rejectedBy: ReadonlySet<string>
  place: 'active' | 'backoff' | 'unschedulable' | 'gated' | 'trying'
  backoffUntil: number
  unschedulableSince: number
  /** The pod itself changed since its try began. */
  changed: boolean
  /** What happened since its try began: it may have come too late for it. */
  missed: ClusterEvent[]
}

/** A heap whose smallest element comes first. */
class Heap<T> {
  readonly #items: T[] = []
  readonly #less: (a: T, b: T) => boolean

  constructor(less: (a: T, b: T) => boolean) {
    this.#less = less
  }

  get size(): number {
    return this.#items.length
  }

  push(item: T): void {
    const items = this.#items
    let at = items.push(item) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.#less(items[at] as T, items[parent] as T)) break
      ;[items[at], items[parent]] = [items[parent] as T, items[at] as T]
      at = parent
    }
  }

  pop(): T | undefined {
    const items = this.#items
    const top = items[0]
    const last = items.pop()
    if (items.length > 0 && last !== undefined) {
      items[0] = last
      let at = 0
      for (;;) {
        const left = 2 * at + 1
        const right = left + 1
        let least = at
        if (left < items.length && this.#less(items[left] as T, items[least] as T)) least = left
        if (right < items.length && this.#less(items[right] as T, items[least] as T)) least = right
        if (least === at) break
        ;[items[at], items[least]] = [items[least] as T, items[at] as T]
        at = least
      }
    }
    return top
  }
}

export interface PodQueueOptions {
  readonly clock: Clock
  readonly profiles: readonly Profile[]
  /** Called when there may be something to pop. */
  readonly onReady: () => void
}

const FIRST_BACKOFF_MS = 1_000
const LAST_BACKOFF_MS = 10_000
/** A pod that nothing woke for so long is tried anyway: hints may be wrong. */
const FORGOTTEN_MS = 300_000

export class PodQueue {
  readonly #clock: Clock
  readonly #profiles: Map<string, Profile>
  readonly #plugins: ReadonlyMap<string, Plugin>
  readonly #onReady: () => void
  readonly #entries = new Map<string, Waiting>()
  readonly #active: Heap<Waiting>
  readonly #unschedulable = new Set<Waiting>()
  readonly #timers = new Map<Waiting, Timer>()

  constructor({ clock, profiles, onReady }: PodQueueOptions) {
    this.#clock = clock
    this.#onReady = onReady
    this.#profiles = new Map(profiles.map((profile) => [profile.schedulerName, profile]))
    this.#plugins = new Map(profiles.flatMap((profile) => profile.filter.map((plugin) => [plugin.name, plugin] as const)))
    const sort = profiles[0]?.queueSort ?? (() => 0)
    this.#active = new Heap((a, b) => sort(a, b) < 0)
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string): Waiting | undefined {
    return this.#entries.get(key)
  }

  profileOf(pod: Pod): Profile | undefined {
    return this.#profiles.get(pod.spec?.schedulerName || 'default-scheduler')
  }

  /** Why the pod must not be tried yet. */
  gate(pod: Pod): string | undefined {
    for (const plugin of this.profileOf(pod)?.preEnqueue ?? []) {
      const reason = plugin.preEnqueue?.(pod)
      if (reason) return reason
    }
    return undefined
  }

  /** A pod without a node was made or changed. */
  put(pod: Pod): void {
    const info = podInfo(pod)
    const known = this.#entries.get(info.key)
    if (known && known.pod.uid === info.uid) {
      const changed = JSON.stringify(relevant(known.pod.pod)) !== JSON.stringify(relevant(pod))
      known.pod = info
      known.priority = info.priority
      if (known.place === 'gated' && !this.gate(pod)) this.#activate(known)
      else if (changed && known.place === 'unschedulable') this.#wake(known)
      else if (changed && known.place === 'trying') known.changed = true
      return
    }
    if (known) this.remove(info.key)
    const entry: Waiting = {
      pod: info,
      priority: info.priority,
      since: this.#clock.monotonic(),
      attempts: 0,
      rejectedBy: new Set(),
      place: 'gated',
      backoffUntil: 0,
      unschedulableSince: 0,
      changed: false,
      missed: [],
    }
    this.#entries.set(info.key, entry)
    if (!this.gate(pod)) this.#activate(entry)
  }

  remove(key: string): void {
    const entry = this.#entries.get(key)
    if (!entry) return
    this.#entries.delete(key)
    this.#unschedulable.delete(entry)
    this.#timers.get(entry)?.cancel()
    this.#timers.delete(entry)
  }

  /** The next pod to try. Give it back with `done` or `failed`. */
  pop(): Waiting | undefined {
    for (let entry = this.#active.pop(); entry; entry = this.#active.pop()) {
      if (entry.place !== 'active' || this.#entries.get(entry.pod.key) !== entry) continue
      entry.place = 'trying'
      entry.changed = false
      entry.missed = []
      entry.attempts++
      return entry
    }
    return undefined
  }

  /** The pod has its node. */
  done(entry: Waiting): void {
    if (this.#entries.get(entry.pod.key) === entry) this.remove(entry.pod.key)
  }

  /** The pod fits nowhere (`rejectedBy`), or the try went wrong (none): it comes again. */
  failed(entry: Waiting, rejectedBy: ReadonlySet<string>): void {
    if (this.#entries.get(entry.pod.key) !== entry) return
    const wait = Math.min(LAST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (entry.attempts - 1))
    entry.rejectedBy = rejectedBy
    entry.backoffUntil = this.#clock.monotonic() + wait
    entry.unschedulableSince = this.#clock.monotonic()
    entry.place = 'unschedulable'
    this.#unschedulable.add(entry)
    if (rejectedBy.size === 0 || entry.changed || entry.missed.some((event) => this.#helps(entry, event))) this.#wake(entry)
    else this.#after(entry, FORGOTTEN_MS)
  }

  /** Something happened: wakes the pods that it may help. */
  event(event: ClusterEvent): void {
    for (const entry of [...this.#unschedulable]) if (this.#helps(entry, event)) this.#wake(entry)
    for (const entry of this.#inFlight) entry.missed.push(event)
  }

  readonly #inFlight = new Set<Waiting>()

  /** Marks a pod as being tried across an await: events meanwhile are looked at when it has failed. */
  hold(entry: Waiting): () => void {
    this.#inFlight.add(entry)
    return () => this.#inFlight.delete(entry)
  }

  #helps(entry: Waiting, event: ClusterEvent): boolean {
    for (const name of entry.rejectedBy) {
      const hint = this.#plugins.get(name)?.hint
      if (!hint || hint(entry.pod.pod, event)) return true
    }
    return false
  }

  #wake(entry: Waiting): void {
    if (entry.place !== 'unschedulable') return
    this.#unschedulable.delete(entry)
    const wait = entry.backoffUntil - this.#clock.monotonic()
    if (wait <= 0) {
      this.#activate(entry)
      return
    }
    entry.place = 'backoff'
    this.#after(entry, wait)
  }

  #after(entry: Waiting, ms: number): void {
    this.#timers.get(entry)?.cancel()
    const timer = this.#clock.after(ms, () => {
      this.#timers.delete(entry)
      this.#unschedulable.delete(entry)
      if (this.#entries.get(entry.pod.key) === entry) this.#activate(entry)
    })
    this.#timers.set(entry, timer)
  }

  #activate(entry: Waiting): void {
    this.#timers.get(entry)?.cancel()
    this.#timers.delete(entry)
    entry.place = 'active'
    this.#active.push(entry)
    this.#onReady()
  }

  close(): void {
    for (const timer of this.#timers.values()) timer.cancel()
    this.#timers.clear()
    this.#entries.clear()
  }
}

/** What of a pod, when changed, may make it schedulable. */
const relevant = (pod: Pod): unknown => [
  pod.spec?.containers.map((container) => container.resources),
  pod.spec?.nodeSelector,
  pod.spec?.affinity,
  pod.spec?.tolerations,
  pod.spec?.schedulingGates,
  pod.metadata.labels,
  pod.spec?.priority,
]
