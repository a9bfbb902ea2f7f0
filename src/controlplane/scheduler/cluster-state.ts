// The cluster as the scheduler sees it: a slot a node, a column an amount, and counters of pods by topology. Changed in place.
import type { Node, Pod } from '../../api/index.js'
import { type Amounts, type HostPort, hostPorts, podRequests, scoredRequests, units } from './requests.js'

export interface PodInfo {
  readonly key: string
  readonly uid: string
  readonly pod: Pod
  readonly requests: Amounts
  readonly scored: { readonly cpu: number; readonly memory: number }
  readonly ports: readonly HostPort[]
  readonly priority: number
}

export const podKey = (pod: Pod): string => `${pod.metadata.namespace}/${pod.metadata.name}`

export const podInfo = (pod: Pod): PodInfo => ({
  key: podKey(pod),
  uid: pod.metadata.uid ?? podKey(pod),
  pod,
  requests: podRequests(pod),
  scored: scoredRequests(pod),
  ports: hostPorts(pod),
  priority: pod.spec?.priority ?? 0,
})

export interface NodeInfo {
  readonly name: string
  /** Absent for a node that pods are bound to and that the cache has not seen (yet, or any more). */
  node: Node | undefined
  readonly pods: Map<string, PodInfo>
}

/** Counts pods by the value of a node label. */
export interface PodCounter {
  readonly topologyKey: string
  /** How much the pod counts; 0 for not at all. */
  readonly weigh: (pod: Pod) => number
  /** Which nodes count at all; undefined: all that have the label. */
  readonly eligible?: ((node: Node) => boolean) | undefined
}

/** A counter that is kept up to date while pods and nodes come and go. */
export class Tally {
  readonly counter: PodCounter
  readonly domains: Domains
  /** By domain. */
  counts = new Float64Array(8)
  /** Eligible nodes by domain. */
  nodes = new Int32Array(8)
  /** Sum of all counts. */
  total = 0
  /** Last schedule that asked for it. */
  usedAt = 0
  readonly #eligible = new Set<number>()

  constructor(counter: PodCounter, domains: Domains) {
    this.counter = counter
    this.domains = domains
  }

  #room(domain: number): void {
    if (domain < this.counts.length) return
    const size = Math.max(domain + 1, this.counts.length * 2)
    const counts = new Float64Array(size)
    counts.set(this.counts)
    this.counts = counts
    const nodes = new Int32Array(size)
    nodes.set(this.nodes)
    this.nodes = nodes
  }

  change(slot: number, pod: Pod, sign: 1 | -1): void {
    if (!this.#eligible.has(slot)) return
    const weight = this.counter.weigh(pod)
    if (weight === 0) return
    const domain = this.domains.of[slot] ?? -1
    this.counts[domain] = (this.counts[domain] ?? 0) + sign * weight
    this.total += sign * weight
  }

  addNode(slot: number, info: NodeInfo): void {
    const domain = this.domains.of[slot] ?? -1
    if (domain < 0 || !info.node || (this.counter.eligible && !this.counter.eligible(info.node))) return
    this.#room(domain)
    this.#eligible.add(slot)
    this.nodes[domain] = (this.nodes[domain] ?? 0) + 1
    for (const pod of info.pods.values()) this.change(slot, pod.pod, 1)
  }

  removeNode(slot: number, info: NodeInfo): void {
    if (!this.#eligible.has(slot)) return
    for (const pod of info.pods.values()) this.change(slot, pod.pod, -1)
    const domain = this.domains.of[slot] ?? -1
    this.nodes[domain] = (this.nodes[domain] ?? 0) - 1
    this.#eligible.delete(slot)
  }

  /** Pods in the domain of this node; undefined when the node has no such label or does not count. */
  at(slot: number): number | undefined {
    const domain = this.domains.of[slot] ?? -1
    return domain < 0 ? undefined : (this.counts[domain] ?? 0)
  }

  counted(slot: number): boolean {
    return this.#eligible.has(slot)
  }

  /** The smallest count among the domains that exist, and how many there are. */
  smallest(): { readonly count: number; readonly domains: number } {
    let count = Number.POSITIVE_INFINITY
    let domains = 0
    const size = Math.min(this.counts.length, this.domains.size)
    for (let domain = 0; domain < size; domain++) {
      if ((this.nodes[domain] ?? 0) === 0) continue
      domains++
      if ((this.counts[domain] ?? 0) < count) count = this.counts[domain] ?? 0
    }
    return { count: domains === 0 ? 0 : count, domains }
  }
}

/** The values of one node label, numbered. */
export interface Domains {
  readonly ids: Map<string, number>
  /** By slot; -1 for nodes without the label. */
  of: Int32Array
  readonly size: number
}

interface MutableDomains extends Domains {
  size: number
}

const grow = (array: Float64Array<ArrayBufferLike>, size: number): Float64Array<ArrayBuffer> => {
  const larger = new Float64Array(size)
  larger.set(array)
  return larger
}

const prefersOthers = (node: Node | undefined): boolean => node?.spec?.taints?.some((taint) => taint.effect === 'PreferNoSchedule') ?? false
const hasImages = (node: Node | undefined): boolean => (node?.status?.images ?? []).length > 0

export class ClusterState {
  readonly slots = new Map<string, number>()
  readonly infos: (NodeInfo | undefined)[] = []
  /** Amounts by resource and slot. `cpu` in thousandths. */
  readonly allocatable = new Map<string, Float64Array>()
  readonly requested = new Map<string, Float64Array>()
  /** Including what is assumed for containers that ask for nothing. */
  scoredCpu = new Float64Array(16)
  scoredMemory = new Float64Array(16)
  podCount = new Float64Array(16)
  podLimit = new Float64Array(16)
  /** Raised when what plugins worked out about all nodes may no longer hold. */
  epoch = 0
  /** Slots that changed, in order: readers remember how far they have read. */
  readonly changes: number[] = []
  changesDropped = 0
  /** Nodes with a PreferNoSchedule taint, and nodes that say which images they have. */
  preferringNodes = 0
  imageNodes = 0
  /** Labels of namespaces, for terms that select namespaces. */
  readonly namespaces = new Map<string, Readonly<Record<string, string>>>()
  /** Told of every pod that comes or goes. */
  readonly podListeners: ((info: PodInfo, sign: 1 | -1) => void)[] = []
  readonly pods = new Map<string, { readonly info: PodInfo; readonly slot: number }>()
  readonly #domains = new Map<string, MutableDomains>()
  readonly #tallies = new Map<string, Tally>()
  readonly #free: number[] = []
  #size = 16

  get nodeCount(): number {
    let count = 0
    for (const info of this.infos) if (info?.node) count++
    return count
  }

  get capacity(): number {
    return this.infos.length
  }

  #touch(slot: number): void {
    this.changes.push(slot)
    if (this.changes.length > 100_000) {
      this.changesDropped += 50_000
      this.changes.splice(0, 50_000)
    }
  }

  #slotOf(name: string): number {
    const known = this.slots.get(name)
    if (known !== undefined) return known
    const slot = this.#free.pop() ?? this.infos.length
    if (slot >= this.#size) this.#grow(Math.max(slot + 1, this.#size * 2))
    this.slots.set(name, slot)
    this.infos[slot] = { name, node: undefined, pods: new Map() }
    return slot
  }

  #grow(size: number): void {
    this.#size = size
    this.epoch++
    for (const map of [this.allocatable, this.requested]) for (const [name, array] of map) map.set(name, grow(array, size))
    this.scoredCpu = grow(this.scoredCpu, size)
    this.scoredMemory = grow(this.scoredMemory, size)
    this.podCount = grow(this.podCount, size)
    this.podLimit = grow(this.podLimit, size)
    for (const domains of this.#domains.values()) {
      const of = new Int32Array(size).fill(-1)
      of.set(domains.of)
      domains.of = of
    }
  }

  column(map: Map<string, Float64Array>, resource: string): Float64Array {
    let array = map.get(resource)
    if (!array) {
      array = new Float64Array(this.#size)
      map.set(resource, array)
    }
    return array
  }

  setNode(node: Node): void {
    const slot = this.#slotOf(node.metadata.name)
    const info = this.infos[slot] as NodeInfo
    for (const tally of this.#tallies.values()) tally.removeNode(slot, info)
    this.#feature(info.node, node)
    info.node = node
    for (const column of this.allocatable.values()) column[slot] = 0
    const { allocatable = node.status?.capacity ?? {} } = node.status ?? {}
    for (const resource in allocatable) this.column(this.allocatable, resource)[slot] = units(resource, allocatable[resource])
    this.podLimit[slot] = units('pods', allocatable.pods)
    for (const [key, domains] of this.#domains) this.#assign(key, domains, slot, node)
    for (const tally of this.#tallies.values()) tally.addNode(slot, info)
    this.#touch(slot)
  }

  /** Counts what plugins would otherwise look for on all nodes. */
  #feature(before: Node | undefined, after: Node | undefined): void {
    const preferring = Number(prefersOthers(after)) - Number(prefersOthers(before))
    const images = Number(hasImages(after)) - Number(hasImages(before))
    if (preferring === 0 && images === 0) return
    this.preferringNodes += preferring
    this.imageNodes += images
    this.epoch++
  }

  #assign(key: string, domains: MutableDomains, slot: number, node: Node | undefined): void {
    const value = node?.metadata.labels?.[key]
    if (value === undefined) {
      domains.of[slot] = -1
      return
    }
    let id = domains.ids.get(value)
    if (id === undefined) {
      id = domains.size++
      domains.ids.set(value, id)
    }
    domains.of[slot] = id
  }

  removeNode(name: string): void {
    const slot = this.slots.get(name)
    const info = slot === undefined ? undefined : this.infos[slot]
    if (slot === undefined || !info) return
    for (const tally of this.#tallies.values()) tally.removeNode(slot, info)
    this.#feature(info.node, undefined)
    info.node = undefined
    for (const column of this.allocatable.values()) column[slot] = 0
    this.podLimit[slot] = 0
    for (const domains of this.#domains.values()) domains.of[slot] = -1
    this.#touch(slot)
    this.#release(slot, info)
  }

  #release(slot: number, info: NodeInfo): void {
    if (info.node || info.pods.size > 0) return
    this.slots.delete(info.name)
    this.infos[slot] = undefined
    this.#free.push(slot)
  }

  addPod(info: PodInfo, nodeName: string): void {
    this.removePod(info.key)
    const slot = this.#slotOf(nodeName)
    const node = this.infos[slot] as NodeInfo
    node.pods.set(info.key, info)
    this.pods.set(info.key, { info, slot })
    this.#count(slot, info, 1)
  }

  removePod(key: string): void {
    const known = this.pods.get(key)
    if (!known) return
    const node = this.infos[known.slot] as NodeInfo
    this.#count(known.slot, known.info, -1)
    node.pods.delete(key)
    this.pods.delete(key)
    this.#release(known.slot, node)
  }

  #count(slot: number, info: PodInfo, sign: 1 | -1): void {
    for (const resource in info.requests) {
      const column = this.column(this.requested, resource)
      column[slot] = (column[slot] ?? 0) + sign * (info.requests[resource] ?? 0)
    }
    this.scoredCpu[slot] = (this.scoredCpu[slot] ?? 0) + sign * info.scored.cpu
    this.scoredMemory[slot] = (this.scoredMemory[slot] ?? 0) + sign * info.scored.memory
    this.podCount[slot] = (this.podCount[slot] ?? 0) + sign
    for (const tally of this.#tallies.values()) tally.change(slot, info.pod, sign)
    for (const listener of this.podListeners) listener(info, sign)
    this.#touch(slot)
  }

  domains(topologyKey: string): Domains {
    let domains = this.#domains.get(topologyKey)
    if (!domains) {
      domains = { ids: new Map(), of: new Int32Array(this.#size).fill(-1), size: 0 }
      this.#domains.set(topologyKey, domains)
      for (const [slot, info] of this.infos.entries()) if (info?.node) this.#assign(topologyKey, domains, slot, info.node)
    }
    return domains
  }

  /** The tally with this id, made from `make` and all pods there are if it is new. Unused ones are forgotten. */
  tally(id: string, make: () => PodCounter): Tally {
    let tally = this.#tallies.get(id)
    if (!tally) {
      const counter = make()
      tally = new Tally(counter, this.domains(counter.topologyKey))
      for (const [slot, info] of this.infos.entries()) if (info) tally.addNode(slot, info)
      this.#tallies.set(id, tally)
      if (this.#tallies.size > 256) this.#forgetTallies()
    }
    tally.usedAt = ++this.#tick
    return tally
  }

  /** A namespace's labels changed: what was counted by them has to be counted again. */
  setNamespace(name: string, labels: Readonly<Record<string, string>> | undefined): void {
    if (labels) this.namespaces.set(name, labels)
    else this.namespaces.delete(name)
    for (const id of this.#tallies.keys()) if (id.includes('namespaceSelector')) this.#tallies.delete(id)
  }

  #tick = 0

  #forgetTallies(): void {
    const byUse = [...this.#tallies.entries()].sort(([, a], [, b]) => a.usedAt - b.usedAt)
    for (const [id] of byUse.slice(0, 64)) this.#tallies.delete(id)
  }
}
