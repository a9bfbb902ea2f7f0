// The machine goes down: ordinary pods first, then those the node needs.
import type { KubeletSettings } from '../options.js'
import type { PodWorker } from './worker.js'

const CRITICAL_PRIORITY = 2_000_000_000
const VERDICT = { reason: 'Terminated', message: 'Pod was terminated in response to imminent node shutdown.' }
const DISRUPTION = { reason: 'TerminationByKubelet', message: VERDICT.message }

const isCritical = ({ pod }: PodWorker): boolean =>
  (pod.spec?.priority ?? 0) >= CRITICAL_PRIORITY || pod.metadata.annotations?.['kubernetes.io/config.source'] === 'file'

/** Resolves when nothing runs any more. */
export async function stopForShutdown(workers: readonly PodWorker[], settings: KubeletSettings): Promise<void> {
  const critical = settings.shutdownGracePeriodCriticalPodsSeconds
  const ordinary = Math.max(0, settings.shutdownGracePeriodSeconds - critical)
  for (const [which, limit] of [
    [workers.filter((worker) => !isCritical(worker)), ordinary],
    [workers.filter(isCritical), critical],
  ] as const) {
    for (const worker of which) {
      const own = worker.pod.spec?.terminationGracePeriodSeconds ?? 30
      worker.evict(VERDICT, { graceSeconds: Math.min(own, limit), disruption: DISRUPTION })
    }
    await Promise.all(which.filter(({ stage }) => stage !== 'gone').map(({ stopped }) => stopped))
  }
}
