// Finds the best node for a pod. Equal pods share what depends on one node alone; only nodes that changed are looked at again.
import { type Random, randomInt } from '../../lib/index.js'
import type { ClusterState, NodeInfo, PodInfo } from './cluster-state.js'
import type { CycleInput, Plugin, Prepared, Rejection } from './plugin.js'
import type { Profile } from './profile.js'
import type { VolumeView } from './volumes.js'

export interface Diagnosis {
  readonly nodes: number
  /** Set when no node was looked at because of the pod itself. */
  readonly whole: Rejection | undefined
  /** How many nodes each reason ruled out. */
  readonly reasons: ReadonlyMap<string, number>
  /** Plugins that turned the pod away: their hints say when to try again. */
  readonly plugins: ReadonlySet<string>
  /** Nodes on which removing pods may help. */
  readonly helpable: readonly number[]
}

export type Placement = { readonly nodeName: string; readonly slot: number } | { readonly failed: Diagnosis }

/** Scores that are brought to 0..100 by looking at all nodes that will do. */
interface Raw {
  readonly weight: number
  readonly prepared: Prepared
  readonly values: Float64Array
}

/** What pods with equal wishes share. */
interface Shared {
  readonly epoch: number
  readonly filters: readonly NonNullable<Prepared['filter']>[]
  readonly scores: readonly { readonly weight: number; readonly score: NonNullable<Prepared['score']> }[]
  readonly raws: readonly Raw[]
  readonly whole: Rejection | undefined
  readonly rejections: (readonly Rejection[] | undefined)[]
  /** Sum of the scores; -1 for nodes that will not do. */
  readonly total: Float64Array
  /** How far into the state's changes this has read. */
  position: number
}

interface Global {
  readonly filter: NonNullable<Prepared['filter']>
}

const KEPT_CLASSES = 128

export interface PlacerOptions {
  readonly state: ClusterState
  readonly profile: Profile
  readonly volumes: VolumeView
  readonly random: Random
}

export interface Placer {
  place(pod: PodInfo, nominated?: readonly Nominated[]): Placement
  /** All filters on single nodes as they are when they are asked; undefined when the pod fits. */
  checker(pod: PodInfo): (slot: number) => readonly Rejection[] | undefined
}

/** A pod for which room was made on a node that it has not taken yet. */
export interface Nominated {
  readonly pod: PodInfo
  readonly nodeName: string
}

export function placer({ state, profile, volumes, random }: PlacerOptions): Placer {
  const classes = new Map<string, Shared>()
  const localPlugins = profile.filter.filter((plugin) => plugin.local)
  const globalPlugins = profile.filter.filter((plugin) => !plugin.local)
  const localScores = profile.score.filter(({ plugin }) => plugin.local)
  const globalScores = profile.score.filter(({ plugin }) => !plugin.local)
  const signers = [...new Set([...localPlugins, ...localScores.map(({ plugin }) => plugin)])].filter((plugin) => plugin.signature)
  const signatures = new WeakMap<PodInfo, string>()

  function signatureOf(pod: PodInfo): string {
    let signature = signatures.get(pod)
    if (signature === undefined) {
      signature = JSON.stringify(signers.map((plugin) => plugin.signature?.(pod) ?? null))
      signatures.set(pod, signature)
    }
    return signature
  }

  function build(input: CycleInput): Shared {
    const prepared = new Map<Plugin, Prepared>()
    let whole: Rejection | undefined
    for (const plugin of signers) {
      const answer = plugin.prepare?.(input)
      if (!answer) continue
      if ('reject' in answer) whole ??= answer.reject
      else prepared.set(plugin, answer)
    }
    const scored = localScores.flatMap(({ plugin, weight }) => {
      const found = prepared.get(plugin)
      return found?.score ? [{ weight, prepared: found, score: found.score }] : []
    })
    const size = Math.max(16, state.capacity * 2)
    return {
      epoch: state.epoch,
      whole,
      filters: localPlugins.flatMap((plugin) => prepared.get(plugin)?.filter ?? []),
      scores: scored.filter((each) => !each.prepared.normalize),
      raws: scored
        .filter((each) => each.prepared.normalize)
        .map((each) => ({ weight: each.weight, prepared: each.prepared, values: new Float64Array(size) })),
      rejections: [],
      total: new Float64Array(size).fill(-1),
      position: -1,
    }
  }

  function look(shared: Shared, slot: number): void {
    const node = state.infos[slot]
    shared.total[slot] = -1
    shared.rejections[slot] = undefined
    if (!node?.node) return
    for (const filter of shared.filters) {
      const rejected = filter(slot, node)
      if (!rejected) continue
      shared.rejections[slot] = rejected
      return
    }
    let total = 0
    for (const { weight, score } of shared.scores) total += weight * score(slot, node)
    shared.total[slot] = total
  }

  /** The class of the pod, up to date with every change of the state. */
  function sharedOf(input: CycleInput): Shared {
    const id = signatureOf(input.pod)
    let shared = classes.get(id)
    const end = state.changesDropped + state.changes.length
    if (!shared || shared.epoch !== state.epoch || shared.position < state.changesDropped || shared.total.length < state.capacity) {
      shared = build(input)
      for (let slot = 0; slot < state.capacity; slot++) look(shared, slot)
    } else {
      // Late changes first: each node once.
      const from = shared.position - state.changesDropped
      if (state.changes.length - from > 32) {
        for (const slot of new Set(state.changes.slice(from))) look(shared, slot)
      } else for (let index = from; index < state.changes.length; index++) look(shared, state.changes[index] as number)
    }
    shared.position = end
    classes.delete(id)
    classes.set(id, shared)
    if (classes.size > KEPT_CLASSES) classes.delete(classes.keys().next().value as string)
    return shared
  }

  function globals(input: CycleInput): { filters: Global[]; raws: Raw[]; whole: Rejection | undefined } {
    const filters: Global[] = []
    const prepared = new Map<Plugin, Prepared>()
    for (const plugin of globalPlugins) {
      const answer = plugin.prepare?.(input)
      if (!answer) continue
      if ('reject' in answer) return { filters, raws: [], whole: answer.reject }
      prepared.set(plugin, answer)
      if (answer.filter) filters.push({ filter: answer.filter })
    }
    const raws = globalScores.flatMap(({ plugin, weight }) => {
      const found = prepared.get(plugin)
      return found?.score ? [{ weight, prepared: found, values: new Float64Array(state.capacity) }] : []
    })
    return { filters, raws, whole: undefined }
  }

  function rejectedBy(filters: readonly Global[], slot: number, node: NodeInfo): readonly Rejection[] | undefined {
    for (const { filter } of filters) {
      const rejected = filter(slot, node)
      if (rejected) return rejected
    }
    return undefined
  }

  function checker(pod: PodInfo): (slot: number) => readonly Rejection[] | undefined {
    const input = { pod, state, volumes }
    // What depends on one node alone holds for as long as the state's columns do; the rest is worked out anew for each question.
    const local = localPlugins.map((plugin) => plugin.prepare?.(input))
    return (slot) => {
      const node = state.infos[slot]
      if (!node?.node) return [{ plugin: 'NodeName', reason: 'node(s) are gone', final: true }]
      const ask = (prepared: Answer): readonly Rejection[] | undefined =>
        prepared && ('reject' in prepared ? [prepared.reject] : prepared.filter?.(slot, node))
      return firstOf(local, ask) ?? firstOf(globalPlugins, (plugin) => ask(plugin.prepare?.(input)))
    }
  }

  /** Nodes on which room was made for someone at least as important count that pod as there. */
  function heldBack(pod: PodInfo, nominated: readonly Nominated[]): Map<number, readonly Rejection[]> {
    const held = new Map<number, readonly Rejection[]>()
    const byNode = new Map<string, PodInfo[]>()
    for (const other of nominated) {
      if (other.pod.key === pod.key || other.pod.priority < pod.priority || state.pods.has(other.pod.key)) continue
      byNode.set(other.nodeName, [...(byNode.get(other.nodeName) ?? []), other.pod])
    }
    const check = byNode.size > 0 ? checker(pod) : () => undefined
    for (const [name, pods] of byNode) {
      const slot = state.slots.get(name)
      if (slot === undefined) continue
      for (const other of pods) state.addPod(other, name)
      const rejected = check(slot)
      for (const other of pods) state.removePod(other.key)
      if (rejected) held.set(slot, rejected)
    }
    return held
  }

  function diagnose(shared: Shared, filters: readonly Global[], held: ReadonlyMap<number, readonly Rejection[]>): Diagnosis {
    const reasons = new Map<string, number>()
    const plugins = new Set<string>()
    const helpable: number[] = []
    let nodes = 0
    for (let slot = 0; slot < state.capacity; slot++) {
      const node = state.infos[slot]
      if (!node?.node) continue
      nodes++
      const rejected = shared.rejections[slot] ?? rejectedBy(filters, slot, node) ?? held.get(slot) ?? []
      for (const { plugin, reason } of rejected) {
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
        plugins.add(plugin)
      }
      if (rejected.length > 0 && rejected.every((each) => !each.final)) helpable.push(slot)
    }
    return { nodes, whole: undefined, reasons, plugins, helpable }
  }

  const wholeDiagnosis = (whole: Rejection): Diagnosis => ({
    nodes: state.nodeCount,
    whole,
    reasons: new Map(),
    plugins: new Set([whole.plugin]),
    helpable: [],
  })

  /** The best of those that will do; chance decides among equals. */
  function best(slots: readonly number[], score: (slot: number) => number): number {
    let found = -1
    let highest = Number.NEGATIVE_INFINITY
    let equals = 0
    for (const slot of slots) {
      const mine = score(slot)
      if (mine > highest) {
        highest = mine
        found = slot
        equals = 1
      } else if (mine === highest && randomInt(random, ++equals) === 0) found = slot
    }
    return found
  }

  function candidates(shared: Shared, filters: readonly Global[], held: ReadonlyMap<number, readonly Rejection[]>): number[] {
    const slots: number[] = []
    const { total } = shared
    const size = state.capacity
    for (let slot = 0; slot < size; slot++) {
      if ((total[slot] as number) < 0 || held.has(slot)) continue
      if (filters.length > 0 && rejectedBy(filters, slot, state.infos[slot] as NodeInfo)) continue
      slots.push(slot)
    }
    return slots
  }

  /**
   * Without scores that look at other nodes, the highest total that passes the filters is the answer: only nodes better than the best so
   * far are asked. The scan begins anywhere, so that chance decides among equals.
   */
  function highest(shared: Shared, filters: readonly Global[], held: ReadonlyMap<number, readonly Rejection[]>): number {
    const { total } = shared
    const size = state.capacity
    const start = size > 0 ? randomInt(random, size) : 0
    let found = -1
    let top = -1
    const scan = (from: number, to: number): void => {
      for (let slot = from; slot < to; slot++) {
        const mine = total[slot] as number
        if (mine <= top) continue
        if (held.size > 0 && held.has(slot)) continue
        if (filters.length > 0 && rejectedBy(filters, slot, state.infos[slot] as NodeInfo)) continue
        top = mine
        found = slot
      }
    }
    scan(start, size)
    scan(0, start)
    return found
  }

  function place(pod: PodInfo, nominated: readonly Nominated[] = []): Placement {
    const input = { pod, state, volumes }
    const shared = sharedOf(input)
    if (shared.whole) return { failed: wholeDiagnosis(shared.whole) }
    const { filters, raws, whole } = globals(input)
    if (whole) return { failed: wholeDiagnosis(whole) }
    const held = nominated.length > 0 ? heldBack(pod, nominated) : none
    const own = nominated.find((each) => each.pod.key === pod.key)
    const ownSlot = own ? state.slots.get(own.nodeName) : undefined
    if (ownSlot !== undefined && !held.has(ownSlot) && !checker(pod)(ownSlot)) return { nodeName: own?.nodeName ?? '', slot: ownSlot }
    let slot: number
    if (raws.length === 0 && shared.raws.length === 0) slot = highest(shared, filters, held)
    else {
      const slots = candidates(shared, filters, held)
      const all = [...shared.raws, ...raws]
      for (const { prepared, values } of all) {
        for (const each of slots) values[each] = prepared.score?.(each, state.infos[each] as NodeInfo) ?? 0
        prepared.normalize?.(values, slots)
      }
      slot = best(slots, (each) => all.reduce((sum, { weight, values }) => sum + weight * (values[each] ?? 0), shared.total[each] ?? 0))
    }
    const node = state.infos[slot]
    return node ? { nodeName: node.name, slot } : { failed: diagnose(shared, filters, held) }
  }

  return { place, checker }
}

type Answer = ReturnType<NonNullable<Plugin['prepare']>>

/** The first answer that is one. */
function firstOf<T, R>(items: readonly T[], ask: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const answer = ask(item)
    if (answer !== undefined) return answer
  }
  return undefined
}

const none: ReadonlyMap<number, readonly Rejection[]> = new Map()
