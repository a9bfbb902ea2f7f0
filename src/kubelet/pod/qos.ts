// The cgroups above those of pods: what all pods of a class, and all pods of the node, have together.
import type { Pod } from '../../api/index.js'
import type { Logger } from '../../lib/index.js'
import type { CgroupHost, CgroupLimits } from '../options.js'
import { cpuShares, podRequest, qosClassOf } from './resources.js'

/** What the node gives to pods at all: capacity without what is reserved. */
export interface PodsShare {
  readonly cpus: number
  readonly memoryBytes: number
}

/** Limits by path, parents first. Guaranteed pods are directly below the root. Pure. */
export function qosGroups(pods: readonly Pod[], root: string, share: PodsShare): ReadonlyMap<string, CgroupLimits> {
  const burstable = pods.filter((pod) => qosClassOf(pod) === 'Burstable').reduce((sum, pod) => sum + podRequest(pod, 'cpu'), 0)
  return new Map<string, CgroupLimits>([
    [root, { cpuShares: cpuShares(share.cpus), memoryLimitBytes: share.memoryBytes }],
    [`${root}/burstable`, { cpuShares: cpuShares(burstable) }],
    [`${root}/besteffort`, { cpuShares: cpuShares(0) }],
  ])
}

export interface QosOptions {
  readonly cgroups: CgroupHost | undefined
  readonly root: string
  readonly share: PodsShare
  /** Pods that have, or are about to have, processes. */
  readonly pods: () => readonly Pod[]
  readonly log: Logger
}

export interface Qos {
  /** After a pod has come, or `gone` has ended: writes what has changed. */
  refresh(gone?: Pod): Promise<void>
}

export function createQos({ cgroups, root, share, pods, log }: QosOptions): Qos {
  const applied = new Map<string, string>()
  return {
    async refresh(gone) {
      if (!cgroups) return
      const left = pods().filter(({ metadata }) => metadata.uid !== gone?.metadata.uid)
      for (const [path, limits] of qosGroups(left, root, share)) {
        const text = JSON.stringify(limits)
        if (applied.get(path) === text) continue
        applied.set(path, text)
        try {
          await cgroups.apply(path, limits)
        } catch (error) {
          // More may be in use than is given now, after reservations were raised: the pods run on.
          applied.delete(path)
          log.warn('limits of a class of pods not set', { cgroup: path, err: error })
        }
      }
    },
  }
}
