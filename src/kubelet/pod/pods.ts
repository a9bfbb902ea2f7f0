// All pods of this node: one worker each, fed by the API, by files, and by the runtime's events.
import type { Pod } from '../../api/index.js'
import type { ContainerEvent, ContainerStatus, Cri } from '../../cri/index.js'
import { explain, type Logger } from '../../lib/index.js'
import { messageFileOf } from '../container/mounts.js'
import { LABELS } from '../sandbox/config.js'
import { podKey } from './containers.js'
import { observedContainer, observedSandbox } from './observe.js'
import { nothingObserved, type ObservedPod, withContainer, withSandbox } from './observed.js'
import type { PodServices } from './services.js'
import { createPodWorker, type PodWorker } from './worker.js'

export interface FoundPod {
  readonly uid: string
  readonly name: string
  readonly namespace: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly observed: ObservedPod
}

/** Everything the runtime has, by pod uid. */
export async function findRunning(cri: Cri, podFolder: (uid: string) => string): Promise<ReadonlyMap<string, FoundPod>> {
  const found = new Map<string, FoundPod>()
  const uidOfSandbox = new Map<string, string>()
  for (const { id, metadata, labels, annotations } of await cri.listPodSandbox()) {
    const { uid, name, namespace } = metadata
    const { status } = await cri.podSandboxStatus(id)
    const before = found.get(uid)
    uidOfSandbox.set(id, uid)
    found.set(uid, {
      uid,
      name,
      namespace,
      labels,
      annotations,
      observed: withSandbox(before?.observed ?? nothingObserved, observedSandbox(status)),
    })
  }
  for (const { id, podSandboxId } of await cri.listContainers()) {
    const entry = found.get(uidOfSandbox.get(podSandboxId) ?? '')
    if (!entry) continue
    const { status } = await cri.containerStatus(id)
    const file = messageFileOf(podFolder(entry.uid), status.metadata.name, status.metadata.attempt ?? 0)
    found.set(entry.uid, { ...entry, observed: withContainer(entry.observed, observedContainer(status, podSandboxId, file)) })
  }
  return found
}

const ORPHAN_GRACE_SECONDS = 30

/** A pod that nobody asks for, as far as its containers tell: enough to stop it. */
const orphanOf = ({ uid, name, namespace, labels, annotations, observed }: FoundPod): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, uid, labels, annotations },
  spec: { containers: [...new Set(observed.containers.map((container) => container.name))].map((of) => ({ name: of })) },
})

export interface Pods {
  /** A pod of the sources, new or changed. */
  put(pod: Pod, inApi?: () => Pod | undefined): void
  /** The sources have lost it. */
  drop(uid: string, last?: Pod, graceSeconds?: number): void
  observe(event: ContainerEvent): void
  /** Reads all that the runtime has, after events may have been missed. */
  relist(): Promise<void>
  /** What was running when the daemon started, and is nobody's pod, is stopped. */
  stopOrphans(): void
  refresh(uid: string): void
  get(uid: string): PodWorker | undefined
  all(): readonly PodWorker[]
  close(): Promise<void>
}

const uidOf = (status: ContainerStatus | undefined): string | undefined => status?.labels[LABELS.podUid]

export function createPods(services: PodServices, found: ReadonlyMap<string, FoundPod>): Pods {
  const workers = new Map<string, PodWorker>()
  const unclaimed = new Map(found)
  /** What has happened to them since they were looked at. */
  const sinceFound = new Map<string, ContainerEvent[]>()
  /** Pods of files, by name, whose predecessor of that name is still ending: two of them would be at the same ports and folders. */
  const waiting = new Map<string, { readonly pod: Pod; readonly inApi: () => Pod | undefined }>()
  const leaving = new Set<PodWorker>()
  const log: Logger = services.log

  function start(pod: Pod, inApi?: () => Pod | undefined): PodWorker {
    const uid = pod.metadata.uid ?? ''
    const before = unclaimed.get(uid)
    unclaimed.delete(uid)
    const worker = createPodWorker({ services, pod, ...(before ? { observed: before.observed } : {}), ...(inApi ? { inApi } : {}) })
    workers.set(uid, worker)
    for (const event of sinceFound.get(uid) ?? []) worker.observe(event)
    sinceFound.delete(uid)
    return worker
  }

  function stopOrphan(orphan: FoundPod): void {
    log.info('stopping a pod that is nobody’s any more', { pod: `${orphan.namespace}/${orphan.name}`, uid: orphan.uid })
    try {
      start(orphanOf(orphan))
      pods.drop(orphan.uid, undefined, ORPHAN_GRACE_SECONDS)
    } catch (error) {
      log.warn('orphaned pod not stopped', { uid: orphan.uid, err: explain(error) })
    }
  }

  /** One of that name is ending, or must. */
  function mustWait({ metadata: { namespace = '', name, uid } }: Pod): boolean {
    for (const orphan of unclaimed.values())
      if (orphan.name === name && orphan.namespace === namespace && orphan.uid !== uid) stopOrphan(orphan)
    return [...leaving].some(({ pod: { metadata } }) => metadata.name === name && metadata.namespace === namespace)
  }

  const pods: Pods = {
    put(pod, inApi) {
      const worker = workers.get(pod.metadata.uid ?? '')
      if (inApi && mustWait(pod)) waiting.set(podKey(pod), { pod, inApi })
      else if (worker) worker.update(pod)
      else start(pod, inApi)
    },
    drop(uid, last, graceSeconds) {
      for (const [key, { pod }] of waiting) if (pod.metadata.uid === uid) waiting.delete(key)
      const worker = workers.get(uid)
      if (!worker) return
      worker.remove(last, graceSeconds)
      leaving.add(worker)
      void worker.gone.then(() => {
        workers.delete(uid)
        leaving.delete(worker)
        const next = waiting.get(podKey(worker.pod))
        if (!next) return
        waiting.delete(podKey(worker.pod))
        pods.put(next.pod, next.inApi)
      })
    },
    observe(event) {
      const uid = event.podSandboxStatus?.metadata.uid ?? uidOf(event.containersStatuses[0])
      if (!uid) return
      const worker = workers.get(uid)
      if (worker) worker.observe(event)
      else if (unclaimed.has(uid)) sinceFound.set(uid, [...(sinceFound.get(uid) ?? []), event])
    },
    async relist() {
      const before = [...workers].map(([uid, worker]) => ({ uid, worker, observed: worker.observed }))
      const now = await findRunning(services.cri, services.volumes.podFolder)
      for (const { uid, worker, observed } of before) worker.observeAll(now.get(uid)?.observed ?? nothingObserved, observed)
      for (const uid of unclaimed.keys()) {
        const found = now.get(uid)
        if (found) unclaimed.set(uid, found)
        else unclaimed.delete(uid)
      }
    },
    stopOrphans() {
      for (const orphan of [...unclaimed.values()]) stopOrphan(orphan)
    },
    refresh: (uid) => workers.get(uid)?.refresh(),
    get: (uid) => workers.get(uid),
    all: () => [...workers.values()],
    async close() {
      await Promise.all([...workers.values()].map((worker) => worker.close()))
    },
  }
  return pods
}
