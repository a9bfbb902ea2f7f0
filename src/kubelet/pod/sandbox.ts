// The sandbox of a pod: made anew when there is none that works.
import { promises as fs } from 'node:fs'
import { RuntimeClass } from '../../api/index.js'
import { sentence } from '../../cri/index.js'
import { logDirectoryOf, sandboxConfig } from '../sandbox/config.js'
import { saveCheckpoint } from './checkpoint.js'
import { podEvent } from './events.js'
import { running, withSandbox } from './observed.js'
import { type PodRecord, refreshContainer, refreshSandbox } from './record.js'
import { cgroupPathOf, podCgroup } from './resources.js'
import type { PodServices } from './services.js'

async function handlerOf(record: PodRecord, { client }: PodServices): Promise<string> {
  const name = record.pod.spec?.runtimeClassName
  if (!name) return ''
  const found = await client.find(RuntimeClass, { name })
  if (!found) throw new Error(`failed to get sandbox runtime: RuntimeClass "${name}" not found`)
  return found.handler
}

/** What is left of earlier sandboxes is stopped; all but the newest of them are forgotten. */
async function retireOld(record: PodRecord, services: PodServices): Promise<void> {
  const { pod, observed } = record
  if (observed.sandboxes.length === 0) return
  podEvent(services.recorder, pod, 'Normal', 'SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.')
  for (const { id, sandboxId } of running(observed)) {
    await services.cri.stopContainer(id, 2)
    await refreshContainer(record, services, id, sandboxId)
  }
  for (const [age, sandbox] of observed.sandboxes.entries()) {
    await services.cri.stopPodSandbox(sandbox.id)
    record.observed = withSandbox(record.observed, { ...sandbox, ready: false })
    if (age > 0) await services.cri.removePodSandbox(sandbox.id)
  }
}

/** There is no pod network yet: one is waited for, and nothing has failed. */
export class NetworkNotReady extends Error {
  override readonly name = 'NetworkNotReady'
}

/** Throws when it cannot be made; the runtime has then cleaned up after itself. */
export async function makeSandbox(record: PodRecord, services: PodServices, attempt: number, signal: AbortSignal): Promise<void> {
  const { pod } = record
  const problem = pod.spec?.hostNetwork ? undefined : await services.node.networkProblem()
  if (problem !== undefined) throw new NetworkNotReady(`network is not ready: ${problem}`)
  await retireOld(record, services)
  const config = sandboxConfig(pod, attempt, {
    dns: services.dns(),
    podLogs: services.podLogs,
    cgroupRoot: services.settings.cgroupRoot,
  })
  const runtimeHandler = await handlerOf(record, services)
  await services.qos.refresh()
  await services.cgroups?.apply(cgroupPathOf(pod, services.settings.cgroupRoot), podCgroup(pod, services.settings.podPidsLimit))
  await fs.mkdir(logDirectoryOf(pod, services.podLogs), { recursive: true, mode: 0o755 })
  await fs.mkdir(services.volumes.podFolder(pod.metadata.uid ?? ''), { recursive: true, mode: 0o750 })
  await saveCheckpoint(services.volumes.podFolder(pod.metadata.uid ?? ''), pod)
  const { podSandboxId } = await services.sandboxSlots(() => services.cri.runPodSandbox({ config, runtimeHandler }, { signal }))
  await refreshSandbox(record, services, podSandboxId)
}

/** The configuration of the current sandbox as the pod is now: ephemeral containers may have come since it was made. */
export const currentSandboxConfig = ({ pod, observed }: PodRecord, services: PodServices) =>
  sandboxConfig(pod, observed.sandboxes[0]?.attempt ?? 0, {
    dns: services.dns(),
    podLogs: services.podLogs,
    cgroupRoot: services.settings.cgroupRoot,
  })

export function reportSandboxFailure(record: PodRecord, services: PodServices, error: unknown): void {
  if (error instanceof NetworkNotReady) podEvent(services.recorder, record.pod, 'Warning', error.name, error.message)
  else podEvent(services.recorder, record.pod, 'Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${sentence(error)}`)
}
