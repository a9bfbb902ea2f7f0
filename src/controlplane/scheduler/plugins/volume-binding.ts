// Claims: bound ones tie a pod to where their volume is; unbound ones are bound or provisioned where the pod goes.
import {
  type Node,
  nodeSelectorMatches,
  PersistentVolume,
  PersistentVolumeClaim,
  type Pod,
  quantityValue,
  selects,
} from '../../../api/index.js'
import { ApiError, sleep } from '../../../lib/index.js'
import type { NodeInfo } from '../cluster-state.js'
import { type BindInput, type CycleInput, type Plugin, rejection } from '../plugin.js'
import type { VolumeView } from '../volumes.js'

const name = 'VolumeBinding'
const elsewhere = rejection(name, 'node(s) had volume node affinity conflict', true)
const noVolume = rejection(name, "node(s) didn't find available persistent volumes to bind", true)
const missingVolume = rejection(name, 'node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)', true)

export const SELECTED_NODE = 'volume.kubernetes.io/selected-node'
const NO_PROVISIONER = 'kubernetes.io/no-provisioner'

/** Keys of the claims that a pod's volumes name, with those made for it from a template in the pod. */
export function claimKeys(pod: Pod): readonly string[] {
  return (pod.spec?.volumes ?? []).flatMap((volume) => {
    if (volume.persistentVolumeClaim) return [`${pod.metadata.namespace}/${volume.persistentVolumeClaim.claimName}`]
    return volume.ephemeral ? [`${pod.metadata.namespace}/${pod.metadata.name}-${volume.name}`] : []
  })
}

const isBound = (claim: PersistentVolumeClaim): boolean =>
  Boolean(claim.spec?.volumeName) && claim.metadata.annotations?.['pv.kubernetes.io/bind-completed'] !== undefined

export const volumeReaches = (volume: PersistentVolume, node: Node): boolean => {
  const required = volume.spec?.nodeAffinity?.required
  return !required || nodeSelectorMatches(required, node)
}

/** Whether an unbound volume would do for a claim. */
export function volumeSuits(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  const { spec } = volume
  if (
    volume.metadata.deletionTimestamp ||
    (volume.status?.phase !== undefined && !['Available', 'Pending', ''].includes(volume.status.phase))
  ) {
    return false
  }
  const reference = spec?.claimRef
  if (reference && (reference.name !== claim.metadata.name || reference.namespace !== claim.metadata.namespace)) return false
  if (reference?.uid && reference.uid !== claim.metadata.uid) return false
  if ((spec?.storageClassName ?? '') !== (claim.spec?.storageClassName ?? '')) return false
  if ((spec?.volumeMode ?? 'Filesystem') !== (claim.spec?.volumeMode ?? 'Filesystem')) return false
  if (claim.spec?.selector && !selects(claim.spec.selector, volume.metadata.labels)) return false
  if (!(claim.spec?.accessModes ?? []).every((mode) => spec?.accessModes?.includes(mode))) return false
  return quantityValue(spec?.capacity?.storage) >= quantityValue(claim.spec?.resources?.requests?.storage)
}

export type ClaimPlan = { readonly volume: PersistentVolume } | { readonly provision: true }

/** How each unbound claim would be met on this node; undefined when one cannot be. The smallest volume that will do is taken. */
export function planClaims(
  claims: readonly PersistentVolumeClaim[],
  node: Node,
  volumes: VolumeView,
): ReadonlyMap<PersistentVolumeClaim, ClaimPlan> | undefined {
  const plans = new Map<PersistentVolumeClaim, ClaimPlan>()
  const taken = new Set<string>()
  const bySize = [...volumes.volumes()].sort((a, b) => quantityValue(a.spec?.capacity?.storage) - quantityValue(b.spec?.capacity?.storage))
  for (const claim of claims) {
    const key = `${claim.metadata.namespace}/${claim.metadata.name}`
    const free = (volume: PersistentVolume): boolean => {
      const promised = volumes.promised.get(volume.metadata.name)
      return !taken.has(volume.metadata.name) && (promised === undefined || promised === key)
    }
    const volume = bySize.find((each) => free(each) && volumeSuits(each, claim) && volumeReaches(each, node))
    if (volume) {
      taken.add(volume.metadata.name)
      plans.set(claim, { volume })
      continue
    }
    const storageClass = volumes.storageClass(claim.spec?.storageClassName ?? '')
    if (!storageClass || storageClass.provisioner === NO_PROVISIONER) return undefined
    const allowed = storageClass.allowedTopologies ?? []
    const inTopology = allowed.some((term) =>
      (term.matchLabelExpressions ?? []).every(({ key: label, values }) => values.includes(node.metadata.labels?.[label] ?? '')),
    )
    if (allowed.length > 0 && !inTopology) return undefined
    plans.set(claim, { provision: true })
  }
  return plans
}

interface Sorted {
  readonly bound: readonly PersistentVolumeClaim[]
  readonly waiting: readonly PersistentVolumeClaim[]
}

function sortClaims({ pod: { pod }, volumes }: CycleInput): Sorted | string {
  const bound: PersistentVolumeClaim[] = []
  const waiting: PersistentVolumeClaim[] = []
  for (const key of claimKeys(pod)) {
    const claim = volumes.claim(key)
    const claimName = key.slice(key.indexOf('/') + 1)
    if (!claim) {
      return pod.spec?.volumes?.some((volume) => volume.ephemeral && `${pod.metadata.name}-${volume.name}` === claimName)
        ? `waiting for ephemeral volume controller to create the persistentvolumeclaim "${claimName}"`
        : `persistentvolumeclaim "${claimName}" not found`
    }
    if (claim.metadata.deletionTimestamp) return `persistentvolumeclaim "${claimName}" is being deleted`
    if (claim.status?.phase === 'Lost')
      return `persistentvolumeclaim "${claimName}" bound to non-existent persistentvolume "${claim.spec?.volumeName}"`
    if (isBound(claim)) bound.push(claim)
    else if (claim.spec?.volumeName) return 'pod has unbound immediate PersistentVolumeClaims'
    else {
      const storageClass = volumes.storageClass(claim.spec?.storageClassName ?? '')
      if (storageClass?.volumeBindingMode !== 'WaitForFirstConsumer') return 'pod has unbound immediate PersistentVolumeClaims'
      waiting.push(claim)
    }
  }
  return { bound, waiting }
}

function prepare(input: CycleInput): ReturnType<NonNullable<Plugin['prepare']>> {
  if (claimKeys(input.pod.pod).length === 0) return undefined
  const sorted = sortClaims(input)
  if (typeof sorted === 'string') return { reject: { plugin: name, reason: sorted, final: true } }
  const { volumes } = input
  const boundVolumes = sorted.bound.map((claim) => volumes.volume(claim.spec?.volumeName ?? ''))
  return {
    filter(_, { node }: NodeInfo) {
      if (!node) return elsewhere
      for (const volume of boundVolumes) {
        if (!volume) return missingVolume
        if (!volumeReaches(volume, node)) return elsewhere
      }
      return sorted.waiting.length > 0 && !planClaims(sorted.waiting, node, volumes) ? noVolume : undefined
    },
  }
}

function reserve(input: CycleInput & { readonly nodeName: string }): (() => void) | undefined {
  if (claimKeys(input.pod.pod).length === 0) return undefined
  const sorted = sortClaims(input)
  const slot = input.state.slots.get(input.nodeName)
  const node = slot === undefined ? undefined : input.state.infos[slot]?.node
  if (typeof sorted === 'string' || !node) return undefined
  const promised: string[] = []
  for (const [claim, plan] of planClaims(sorted.waiting, node, input.volumes) ?? []) {
    if (!('volume' in plan)) continue
    input.volumes.promised.set(plan.volume.metadata.name, `${claim.metadata.namespace}/${claim.metadata.name}`)
    promised.push(plan.volume.metadata.name)
  }
  return () => {
    for (const volume of promised) input.volumes.promised.delete(volume)
  }
}

const PATIENCE_MS = 600_000
const LOOK_MS = 100

/** Asks for the volumes, then waits until the claims are bound. */
async function preBind(input: BindInput): Promise<void> {
  const { pod, client, volumes, nodeName, state, clock, signal } = input
  const keys = claimKeys(pod.pod)
  if (keys.length === 0) return
  const sorted = sortClaims(input)
  if (typeof sorted === 'string') throw new Error(sorted)
  const node = state.infos[state.slots.get(nodeName) ?? -1]?.node
  const plans = node && planClaims(sorted.waiting, node, volumes)
  if (!plans) throw new Error('the volumes that were there are gone')
  for (const [claim, plan] of plans) {
    if ('volume' in plan) {
      const { name: claimName, namespace, uid, resourceVersion } = claim.metadata
      const claimRef = { kind: 'PersistentVolumeClaim', apiVersion: 'v1', name: claimName, namespace, uid, resourceVersion }
      await client.update(PersistentVolume, {
        ...plan.volume,
        metadata: {
          ...plan.volume.metadata,
          annotations: { ...plan.volume.metadata.annotations, 'pv.kubernetes.io/bound-by-controller': 'yes' },
        },
        spec: { ...plan.volume.spec, claimRef },
      })
    } else {
      const metadata = { resourceVersion: claim.metadata.resourceVersion, annotations: { [SELECTED_NODE]: nodeName } }
      await client.patch(PersistentVolumeClaim, claim.metadata, { metadata }, { type: 'merge' })
    }
  }
  const start = clock.monotonic()
  for (;;) {
    const claims = keys.map((key) => volumes.claim(key))
    if (claims.every((claim) => claim && isBound(claim))) return
    const refused = claims.find((claim) => plans.size > 0 && claim && !isBound(claim) && wasGivenUp(claim, plans))
    if (refused) throw new Error(`provisioning of claim ${refused.metadata.name} was given up on node ${nodeName}`)
    if (clock.monotonic() - start > PATIENCE_MS) throw new ApiError('Timeout', `binding volumes: timed out waiting for the condition`)
    await sleep(clock, LOOK_MS, signal)
  }
}

/** A provisioner that cannot serve the node takes the annotation away: another node has to be found. */
function wasGivenUp(claim: PersistentVolumeClaim, plans: ReadonlyMap<PersistentVolumeClaim, ClaimPlan>): boolean {
  const before = [...plans.entries()].find(([each]) => each.metadata.uid === claim.metadata.uid)
  if (!before || 'volume' in before[1]) return false
  const seenOurs = claim.metadata.resourceVersion !== before[0].metadata.resourceVersion
  return seenOurs && claim.metadata.annotations?.[SELECTED_NODE] === undefined
}

export const volumeBinding: Plugin = {
  name,
  local: false,
  prepare,
  reserve,
  preBind,
  hint: (pod, event) =>
    claimKeys(pod).length > 0 && (event.type === 'volumes changed' || event.type === 'node added' || event.type === 'node updated'),
}
