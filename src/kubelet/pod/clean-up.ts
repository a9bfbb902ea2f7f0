// What is left when nothing of a pod runs any more: first what costs something, at the end every trace.
import { promises as fs } from 'node:fs'
import { join } from 'node:path'
import { logDirectoryOf } from '../sandbox/config.js'
import { removeFolder } from '../volume/mounts.js'
import type { PodRecord } from './record.js'
import { cgroupPathOf } from './resources.js'
import type { PodServices } from './services.js'

/** Volumes and the cgroup go at once; containers stay, because their logs and states are still asked for. */
export async function cleanUp(record: PodRecord, services: PodServices): Promise<void> {
  const uid = record.pod.metadata.uid ?? ''
  const folder = services.volumes.podFolder(uid)
  for (const part of ['volume-subpaths', 'volumes', 'plugins']) await removeFolder(services.volumeHost, join(folder, part))
  await services.cgroups?.remove(cgroupPathOf(record.pod, services.settings.cgroupRoot))
  await services.qos.refresh(record.pod)
  services.volumes.release(uid)
}

/** Also of runs that the runtime has forgotten: a link is the pod's when it points into the pod's logs. */
async function removeLogLinks(record: PodRecord, services: PodServices): Promise<void> {
  if (services.containerLogs === '') return
  const { name, namespace } = record.pod.metadata
  const logs = logDirectoryOf(record.pod, services.podLogs)
  for (const entry of await fs.readdir(services.containerLogs)) {
    if (!entry.startsWith(`${name}_${namespace}_`)) continue
    const link = join(services.containerLogs, entry)
    const target = await fs.readlink(link).catch(() => '')
    if (target.startsWith(`${logs}/`)) await fs.rm(link, { force: true })
  }
}

export async function removeTraces(record: PodRecord, services: PodServices): Promise<void> {
  await removeLogLinks(record, services)
  for (const { id } of record.observed.sandboxes) await services.cri.removePodSandbox(id)
  await services.volumes.tearDown(record.pod.metadata.uid ?? '')
  await fs.rm(logDirectoryOf(record.pod, services.podLogs), { recursive: true, force: true })
}
