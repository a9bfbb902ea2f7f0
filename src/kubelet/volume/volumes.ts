// The volumes of a pod: made before its sandbox, kept up to date while it runs, gone after it.
import { promises as fs } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Pod, Volume } from '../../api/index.js'
import type { Client } from '../../client/index.js'
import { type Clock, explain, nameSuffix, type Random } from '../../lib/index.js'
import type { VolumeHost } from '../options.js'
import { containersOf } from '../pod/containers.js'
import { amount } from '../pod/quantity.js'
import { podLimit } from '../pod/resources.js'
import { isFilled, writeAtomically } from './atomic-writer.js'
import { claimedVolume, claimNameOf } from './claims.js'
import { prepareHostPath } from './host-path.js'
import { removeFolder } from './mounts.js'
import { groupMatches, setGroup } from './ownership.js'
import { type FileSources, filesOf } from './projected.js'

/** A volume that containers can mount. */
export type ReadyVolume =
  | { readonly kind: 'path'; readonly path: string; readonly readOnly: boolean; readonly isHost: boolean }
  | { readonly kind: 'device'; readonly path: string; readonly readOnly: boolean }
  | { readonly kind: 'image'; readonly reference: string; readonly pullPolicy: string | undefined }

/** A volume that cannot be mounted now; trying again may help. */
export class VolumeError extends Error {
  override readonly name = 'VolumeError'
}

export interface ReadyVolumes {
  readonly volumes: ReadonlyMap<string, ReadyVolume>
  /** Why one of them still holds what it held before. */
  readonly outdated?: VolumeError | undefined
}

export interface Volumes {
  /** Makes or refreshes all volumes of the pod. Safe to repeat. Throws VolumeError when one is missing. */
  setUp(pod: Pod): Promise<ReadyVolumes>
  /** When the content of a volume runs out, if any does. */
  renewAt(pod: Pod): number | undefined
  /** The pod asks for nothing of the API any more. */
  release(podUid: string): void
  /** Unmounts and removes the pod's folder. */
  tearDown(podUid: string): Promise<void>
  podFolder(podUid: string): string
}

export interface VolumesOptions {
  readonly root: string
  readonly host: VolumeHost
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly sources: FileSources
  readonly memoryCapacity: number
}

const isUsed = (pod: Pod, volume: Volume): boolean =>
  containersOf(pod).some(
    ({ spec }) =>
      spec.volumeMounts?.some(({ name }) => name === volume.name) ||
      spec.volumeDevices?.some(({ name }) => name === volume.name) ||
      spec.env?.some(({ valueFrom }) => valueFrom?.fileKeyRef?.volumeName === volume.name),
  )

/** A volume as it was, and why it could not be brought up to date. */
interface Outdated {
  readonly ready: ReadyVolume
  readonly cause: unknown
}

const failure = (volume: Volume, cause: unknown): VolumeError =>
  new VolumeError(`MountVolume.SetUp failed for volume "${volume.name}" : ${explain(cause)}`, { cause })

const plugins = {
  emptyDir: 'kubernetes.io~empty-dir',
  configMap: 'kubernetes.io~configmap',
  secret: 'kubernetes.io~secret',
  downwardAPI: 'kubernetes.io~downward-api',
  projected: 'kubernetes.io~projected',
} as const

type Plugin = keyof typeof plugins
const pluginOf = (volume: Volume): Plugin | undefined =>
  (Object.keys(plugins) as Plugin[]).find((name) => volume[name] !== undefined && volume[name] !== null)

export function createVolumes(options: VolumesOptions): Volumes {
  const { root, host, client, clock, random, sources } = options
  const podFolder = (uid: string): string => join(root, 'pods', uid)
  const folderOf = (pod: Pod, volume: Volume, plugin: Plugin): string =>
    join(podFolder(pod.metadata.uid ?? ''), 'volumes', plugins[plugin], volume.name)

  /** A file system of its own: cheaper to see than to look for in a long list of mounts. */
  const isMounted = async (path: string): Promise<boolean> => (await fs.stat(path)).dev !== (await fs.stat(dirname(path))).dev

  async function applyGroup(pod: Pod, path: string): Promise<void> {
    const gid = pod.spec?.securityContext?.fsGroup
    if (gid === undefined) return
    if (pod.spec?.securityContext?.fsGroupChangePolicy === 'OnRootMismatch' && (await groupMatches(path, gid))) return
    await setGroup(path, gid)
  }

  function memorySize(pod: Pod, volume: Volume): number | undefined {
    const wanted = amount(volume.emptyDir?.sizeLimit)
    const limits = [wanted, podLimit(pod, 'memory') ?? 0, options.memoryCapacity].filter((size) => size > 0)
    return limits.length > 0 ? Math.min(...limits) : undefined
  }

  async function emptyDir(pod: Pod, volume: Volume): Promise<ReadyVolume> {
    const path = folderOf(pod, volume, 'emptyDir')
    const medium = volume.emptyDir?.medium ?? ''
    if (medium !== '' && medium !== 'Memory') throw new Error(`emptyDir medium ${medium} is not supported on this node`)
    const marker = join(podFolder(pod.metadata.uid ?? ''), 'plugins', plugins.emptyDir, volume.name)
    // Set up once: afterwards modes and owners are the pod's own business.
    const done = await fs.stat(marker).then(
      () => true,
      () => false,
    )
    if (done && (medium !== 'Memory' || (await isMounted(path)))) return { kind: 'path', path, readOnly: false, isHost: false }
    await fs.mkdir(path, { recursive: true, mode: 0o750 })
    if (medium === 'Memory' && !(await isMounted(path))) {
      const sizeBytes = memorySize(pod, volume)
      await host.mountTmpfs(path, { mode: 0o777, ...(sizeBytes === undefined ? {} : { sizeBytes }) })
    }
    await fs.chmod(path, 0o777)
    await applyGroup(pod, path)
    await fs.mkdir(marker, { recursive: true, mode: 0o750 })
    return { kind: 'path', path, readOnly: false, isHost: false }
  }

  async function fromApi(pod: Pod, volume: Volume, plugin: Plugin): Promise<ReadyVolume | Outdated> {
    const path = folderOf(pod, volume, plugin)
    const ready: ReadyVolume = { kind: 'path', path, readOnly: true, isHost: false }
    let files: Awaited<ReturnType<typeof filesOf>>
    try {
      files = await filesOf(pod, volume, sources)
    } catch (cause) {
      // What was whole once serves on: a pod is not held up because the API server cannot be asked.
      if (await isFilled(path)) return { ready, cause }
      throw cause
    }
    await fs.mkdir(path, { recursive: true, mode: 0o755 })
    // What is secret stays in memory.
    if ((plugin === 'secret' || plugin === 'projected') && !(await isMounted(path))) await host.mountTmpfs(path, { mode: 0o755 })
    const group = pod.spec?.securityContext?.fsGroup
    const shared = new Map(
      [...(files ?? [])].map(([name, file]) => [name, { ...file, mode: group === undefined ? file.mode : file.mode | 0o440 }]),
    )
    await fs.chmod(path, group === undefined ? 0o777 : 0o2775)
    if (group !== undefined) await fs.chown(path, 0, group)
    await writeAtomically(path, shared, { now: clock.now(), unique: nameSuffix(random, 9), group })
    return ready
  }

  async function fromClaim(pod: Pod, volume: Volume): Promise<ReadyVolume> {
    const claimed = await claimedVolume(client, pod, volume)
    if (claimed.block) return { kind: 'device', path: claimed.path, readOnly: claimed.readOnly }
    if (claimed.takesGroup) {
      const found = await fs.stat(claimed.path).catch(() => undefined)
      if (!found) throw new Error(`path "${claimed.path}" does not exist`)
      if (!claimed.readOnly) await applyGroup(pod, claimed.path)
    } else await prepareHostPath(claimed.path, claimed.hostPathType)
    return { kind: 'path', path: claimed.path, readOnly: claimed.readOnly, isHost: true }
  }

  async function one(pod: Pod, volume: Volume): Promise<ReadyVolume | Outdated> {
    if (volume.hostPath) {
      await prepareHostPath(volume.hostPath.path, volume.hostPath.type)
      return { kind: 'path', path: volume.hostPath.path, readOnly: false, isHost: true }
    }
    if (volume.image) return { kind: 'image', reference: volume.image.reference ?? '', pullPolicy: volume.image.pullPolicy }
    if (claimNameOf(pod, volume)) return await fromClaim(pod, volume)
    const plugin = pluginOf(volume)
    if (plugin === 'emptyDir') return await emptyDir(pod, volume)
    if (plugin) return await fromApi(pod, volume, plugin)
    throw new Error('no volume plugin matched')
  }

  return {
    podFolder,
    async setUp(pod) {
      const wanted = (pod.spec?.volumes ?? []).filter((volume) => isUsed(pod, volume))
      const ready = new Map<string, ReadyVolume>()
      const results = await Promise.allSettled(wanted.map((volume) => one(pod, volume)))
      let outdated: VolumeError | undefined
      for (const [i, result] of results.entries()) {
        const volume = wanted[i] as Volume
        if (result.status === 'rejected') throw failure(volume, result.reason)
        if ('ready' in result.value) outdated ??= failure(volume, result.value.cause)
        ready.set(volume.name, 'ready' in result.value ? result.value.ready : result.value)
      }
      return { volumes: ready, outdated }
    },
    renewAt(pod) {
      const times = [sources.tokens.renewAt(pod), sources.certificates.renewAt(pod)].filter((time) => time !== undefined)
      return times.length > 0 ? Math.min(...times) : undefined
    },
    release(podUid) {
      sources.objects.release(podUid)
      for (const source of [sources.tokens, sources.certificates, sources.bundles]) source.forget(podUid)
    },
    async tearDown(podUid) {
      if (podUid === '' || podUid.includes('/')) throw new Error(`not a pod's uid: ${podUid}`)
      await removeFolder(host, podFolder(podUid))
    },
  }
}
