// Pods from files of a folder: what runs before, and without, an API server.
import { createHash } from 'node:crypto'
import { promises as fs, watch } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import type { Pod } from '../../api/index.js'
import { explain, hasErrno, type Logger } from '../../lib/index.js'

export const SOURCE = 'kubernetes.io/config.source'
export const HASH = 'kubernetes.io/config.hash'
export const MIRROR = 'kubernetes.io/config.mirror'

/** Longest file that can be a pod. */
const LIMIT = 10 * 1024 * 1024

/** The pod of one file as this node runs it. Throws with a sentence when it is none. */
export function staticPod(text: string, nodeName: string): Pod {
  const read = parse(text, { version: '1.1', uniqueKeys: false, maxAliasCount: 100 }) as Partial<Pod> | null
  if (!read || typeof read !== 'object' || read.kind !== 'Pod')
    throw new Error(`not a Pod but ${JSON.stringify(read?.kind ?? typeof read)}`)
  const { metadata, spec } = read
  if (!metadata?.name) throw new Error('the pod has no metadata.name')
  if (!spec || !Array.isArray(spec.containers) || spec.containers.length === 0) throw new Error(`pod ${metadata.name} has no containers`)
  for (const container of spec.containers)
    if (!container?.name || !container.image) throw new Error(`a container of pod ${metadata.name} has no name or no image`)
  const hash = createHash('md5').update(nodeName).update('\0').update(text).digest('hex')
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...metadata,
      name: `${metadata.name}-${nodeName}`.toLowerCase(),
      namespace: metadata.namespace || 'default',
      uid: hash,
      annotations: { ...metadata.annotations, [SOURCE]: 'file', [HASH]: hash },
    },
    spec: {
      restartPolicy: 'Always',
      dnsPolicy: 'ClusterFirst',
      terminationGracePeriodSeconds: 30,
      enableServiceLinks: true,
      securityContext: {},
      schedulerName: 'default-scheduler',
      ...spec,
      nodeName,
      tolerations: [...(spec.tolerations ?? []), { operator: 'Exists', effect: 'NoExecute' }],
    },
  }
}

/** What the API is to show of it. */
export function mirrorOf(pod: Pod, nodeUid: string | undefined): Pod {
  const { uid, ...metadata } = pod.metadata
  const nodeName = pod.spec?.nodeName ?? ''
  return {
    ...pod,
    metadata: {
      ...metadata,
      annotations: { ...metadata.annotations, [MIRROR]: uid ?? '' },
      ...(nodeUid ? { ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: nodeName, uid: nodeUid, controller: true }] } : {}),
    },
  }
}

export const isMirror = (pod: Pod): boolean => pod.metadata.annotations?.[MIRROR] !== undefined

async function readFolder(folder: string, nodeName: string, log: Logger): Promise<ReadonlyMap<string, Pod>> {
  const pods = new Map<string, Pod>()
  let names: string[]
  try {
    names = await fs.readdir(folder)
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return pods
    throw error
  }
  for (const name of names.sort()) {
    if (name.startsWith('.') || !/\.(ya?ml|json)$/.test(name)) continue
    try {
      const path = join(folder, name)
      if ((await fs.stat(path)).size > LIMIT) throw new Error('the file is too long')
      const pod = staticPod(await fs.readFile(path, 'utf8'), nodeName)
      pods.set(pod.metadata.uid ?? '', pod)
    } catch (error) {
      log.warn('static pod not read', { file: name, err: explain(error) })
    }
  }
  return pods
}

export interface StaticPodsOptions {
  readonly folder: string
  readonly nodeName: string
  readonly log: Logger
  readonly put: (pod: Pod) => void
  readonly drop: (uid: string) => void
  /** The folder has been read for the first time. */
  readonly settled: () => void
}

/** Follows the folder until aborted. A file that changed is another pod: the old one goes, the new one comes. */
export async function followStaticPods(
  { folder, nodeName, log, put, drop, settled }: StaticPodsOptions,
  signal: AbortSignal,
): Promise<void> {
  await fs.mkdir(folder, { recursive: true, mode: 0o755 })
  let known: ReadonlyMap<string, Pod> = new Map()
  let wake: (() => void) | undefined
  let pending = true
  const notify = (): void => {
    pending = true
    wake?.()
  }
  const watcher = watch(folder, notify)
  watcher.on('error', notify)
  signal.addEventListener('abort', notify, { once: true })
  try {
    while (!signal.aborted) {
      if (!pending)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      pending = false
      if (signal.aborted) return
      const now = await readFolder(folder, nodeName, log)
      for (const uid of known.keys()) if (!now.has(uid)) drop(uid)
      for (const [uid, pod] of now) if (!known.has(uid)) put(pod)
      known = now
      settled()
    }
  } finally {
    watcher.close()
  }
}
