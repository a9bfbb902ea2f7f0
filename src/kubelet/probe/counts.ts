// How often probes were answered how: what /metrics/probes tells.
import type { Pod } from '../../api/index.js'
import type { ProbeKind } from './machine.js'
import type { ProbeAnswer } from './run.js'

export interface ProbeCount {
  readonly labels: Readonly<Record<'probe_type' | 'result' | 'container' | 'pod' | 'namespace' | 'pod_uid', string>>
  readonly value: number
}

export interface ProbeCounts {
  add(pod: Pod, container: string, kind: ProbeKind, outcome: ProbeAnswer['outcome']): void
  /** The pod is gone. */
  forget(uid: string): void
  all(): readonly ProbeCount[]
}

const TYPES: Readonly<Record<ProbeKind, string>> = { startup: 'Startup', liveness: 'Liveness', readiness: 'Readiness' }
const RESULTS: Readonly<Record<ProbeAnswer['outcome'], string>> = { success: 'successful', failure: 'failed', error: 'unknown' }

export function probeCounts(): ProbeCounts {
  const counts = new Map<string, Map<string, ProbeCount>>()
  return {
    add({ metadata: { uid = '', name, namespace = '' } }, container, kind, outcome) {
      const ofPod = counts.get(uid) ?? new Map<string, ProbeCount>()
      counts.set(uid, ofPod)
      const key = `${container} ${kind} ${outcome}`
      const labels = { probe_type: TYPES[kind], result: RESULTS[outcome], container, pod: name, namespace, pod_uid: uid }
      ofPod.set(key, { labels, value: (ofPod.get(key)?.value ?? 0) + 1 })
    },
    forget: (uid) => void counts.delete(uid),
    all: () => [...counts.values()].flatMap((ofPod) => [...ofPod.values()]),
  }
}
