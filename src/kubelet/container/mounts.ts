// What a container finds mounted: its volumes, /etc/hosts, and the file for its last words.
import { promises as fs } from 'node:fs'
import { join } from 'node:path'
import type { Pod, VolumeMount } from '../../api/index.js'
import type { Mount, MountPropagation } from '../../cri/index.js'
import type { VolumeHost } from '../options.js'
import { isRecursive } from '../pod/container-status.js'
import type { AnyContainer } from '../pod/services.js'
import { bindSubPath, checkSubPath } from '../volume/sub-path.js'
import type { ReadyVolume } from '../volume/volumes.js'
import { DEFAULT_MESSAGE_PATH } from './config.js'
import { expand, missingNames } from './expand.js'
import { ConfigError } from './fields.js'

export interface MountInput {
  readonly pod: Pod
  readonly container: AnyContainer
  readonly attempt: number
  readonly podFolder: string
  readonly volumes: ReadonlyMap<string, ReadyVolume>
  readonly environment: ReadonlyMap<string, string>
  readonly host: VolumeHost
  /** Undefined when the pod has no addresses yet. */
  readonly hosts: string | undefined
  readonly recursiveReadOnly: boolean
  /** Makes an image present and says what to mount. */
  readonly image: (reference: string, pullPolicy: string | undefined) => Promise<string>
}

const propagations: Readonly<Record<string, MountPropagation>> = {
  None: 'PROPAGATION_PRIVATE',
  HostToContainer: 'PROPAGATION_HOST_TO_CONTAINER',
  Bidirectional: 'PROPAGATION_BIDIRECTIONAL',
}

/** The host's file that holds a container's last words: found again by its attempt. */
export const messageFileOf = (podFolder: string, name: string, attempt: number): string =>
  join(podFolder, 'containers', name, `termination-${attempt}`)

function subPathOf(mount: VolumeMount, environment: ReadonlyMap<string, string>): string | undefined {
  if (!mount.subPathExpr) return mount.subPath || undefined
  const value = (name: string): string | undefined => environment.get(name)
  const [missing] = missingNames(mount.subPathExpr, value)
  if (missing !== undefined) throw new ConfigError(`missing value for "${missing}"`)
  return expand(mount.subPathExpr, value)
}

async function volumeMount(input: MountInput, mount: VolumeMount, index: number): Promise<Mount> {
  const { pod, container } = input
  const volume = input.volumes.get(mount.name)
  if (!volume || volume.kind === 'device')
    throw new ConfigError(`cannot find volume "${mount.name}" to mount into container "${container.name}"`)
  if (mount.recursiveReadOnly === 'Enabled' && !input.recursiveReadOnly)
    throw new ConfigError(
      `failed to resolve recursive read-only mode: volume "${mount.name}" requested recursive read-only mode, but it is not supported by the runtime`,
    )
  const subPath = subPathOf(mount, input.environment)
  const containerPath = mount.mountPath.startsWith('/') ? mount.mountPath : `/${mount.mountPath}`
  const common = {
    containerPath,
    propagation: propagations[mount.mountPropagation ?? 'None'] ?? 'PROPAGATION_PRIVATE',
    ...(isRecursive(mount.recursiveReadOnly, input.recursiveReadOnly) ? { recursiveReadOnly: true } : {}),
  } as const
  if (volume.kind === 'image') {
    if (subPath !== undefined) checkSubPath(subPath)
    const image = { image: await input.image(volume.reference, volume.pullPolicy) }
    return { ...common, readonly: true, image, ...(subPath ? { imageSubPath: subPath } : {}) }
  }
  const readonly = mount.readOnly === true || volume.readOnly
  // The node's own files keep their labels; what was made for the pod gets the pod's.
  const selinuxRelabel = !volume.isHost
  if (subPath === undefined) return { ...common, hostPath: volume.path, readonly, selinuxRelabel }
  try {
    const target = join(input.podFolder, 'volume-subpaths', mount.name, container.name, String(index))
    await input.host.unmount(target)
    await bindSubPath(input.host, { volumeRoot: volume.path, subPath, target })
    return { ...common, hostPath: target, readonly, selinuxRelabel }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    if (/SubPath/.test(why)) throw new ConfigError(why)
    throw new ConfigError(
      `failed to prepare subPath for volumeMount "${mount.name}" of container "${container.name}" of pod ${pod.metadata.name}: ${why}`,
    )
  }
}

async function hostsMount(input: MountInput): Promise<Mount | undefined> {
  if (input.hosts === undefined) return undefined
  if (input.container.volumeMounts?.some(({ mountPath }) => mountPath === '/etc/hosts')) return undefined
  const path = join(input.podFolder, 'etc-hosts')
  await fs.writeFile(path, input.hosts, { mode: 0o644 })
  return { containerPath: '/etc/hosts', hostPath: path, readonly: false, selinuxRelabel: true }
}

async function messageMount(input: MountInput): Promise<Mount> {
  const { container, podFolder, attempt } = input
  const path = messageFileOf(podFolder, container.name, attempt)
  await fs.mkdir(join(podFolder, 'containers', container.name), { recursive: true, mode: 0o750 })
  await fs.writeFile(path, '')
  // Whoever the container runs as has to be able to write it.
  await fs.chmod(path, 0o666)
  return { containerPath: container.terminationMessagePath || DEFAULT_MESSAGE_PATH, hostPath: path, readonly: false, selinuxRelabel: true }
}

export interface ContainerMounts {
  readonly mounts: readonly Mount[]
  readonly devices: readonly { readonly containerPath: string; readonly hostPath: string; readonly permissions: string }[]
}

export async function containerMounts(input: MountInput): Promise<ContainerMounts> {
  const mounts: Mount[] = []
  for (const [index, mount] of (input.container.volumeMounts ?? []).entries()) mounts.push(await volumeMount(input, mount, index))
  const hosts = await hostsMount(input)
  if (hosts) mounts.push(hosts)
  mounts.push(await messageMount(input))
  const devices = (input.container.volumeDevices ?? []).map(({ name, devicePath }) => {
    const volume = input.volumes.get(name)
    if (volume?.kind !== 'device') throw new ConfigError(`volume "${name}" of container "${input.container.name}" is no block device`)
    return { containerPath: devicePath, hostPath: volume.path, permissions: volume.readOnly ? 'r' : 'mrw' }
  })
  return { mounts, devices }
}
