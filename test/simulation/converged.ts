// What is still to be done until the cluster is as it was asked to be.
import type { Pod, Resource } from '../../src/api/index.js'
import type { Invariants } from './invariants.js'
import { NODES } from './plots.js'

const isDone = (object: Resource): string | undefined => {
  const { kind, metadata, spec, status } = object as Resource & { spec: Record<string, unknown>; status?: Record<string, unknown> }
  const wanted = (spec.replicas as number | undefined) ?? 1
  const count = (name: string): number => (status?.[name] as number | undefined) ?? 0
  const say = (what: string): string => `${kind} ${metadata.name}: ${what}`
  if (metadata.deletionTimestamp) return say('is still being deleted')
  if (kind === 'Job') {
    const conditions = (status?.conditions ?? []) as { type: string; status: string }[]
    if (spec.suspend && !conditions.some((each) => each.type === 'Complete')) {
      const stopped = conditions.some((each) => each.type === 'Suspended' && each.status === 'True')
      return stopped && count('active') === 0 ? undefined : say('is not suspended')
    }
    if (!conditions.some((each) => each.type === 'Complete')) return say('is not complete')
    return count('succeeded') === spec.completions ? undefined : say(`has ${count('succeeded')} of ${spec.completions} completions`)
  }
  if (status?.observedGeneration !== metadata.generation) return say('was not looked at')
  const { type = '', rollingUpdate } = (spec.updateStrategy ?? {}) as { type?: string; rollingUpdate?: { partition?: number } }
  if (kind === 'DaemonSet') {
    const ready = count('desiredNumberScheduled') === NODES.length && count('numberReady') === NODES.length
    const updated = type === 'OnDelete' || count('updatedNumberScheduled') === NODES.length
    return ready && updated ? undefined : say('is not on every node')
  }
  if (spec.paused) return undefined
  // Below the partition pods may be of either revision.
  const updated = count('updatedReplicas') >= Math.max(0, wanted - (rollingUpdate?.partition ?? 0))
  const all = ['replicas', 'readyReplicas'].every((name) => count(name) === wanted)
  return all && updated ? undefined : say(`has ${JSON.stringify(status)}, wanted are ${wanted}`)
}

export function unfinished(invariants: Invariants): string[] {
  const open = ['Deployment', 'StatefulSet', 'DaemonSet', 'Job'].flatMap((kind) =>
    invariants.kind(kind).flatMap((object) => isDone(object) ?? []),
  )
  const pods = invariants.kind<Pod>('Pod').filter((pod) => pod.metadata.deletionTimestamp || !pod.spec?.nodeName)
  return [
    ...open,
    ...pods.map((pod) => `Pod ${pod.metadata.name} is ${pod.spec?.nodeName ? 'terminating' : 'waiting'}`),
    ...invariants.orphans(),
  ]
}
