// Everything a container needs before the runtime can make it: root file system, users, profiles, devices, volumes; and its spec.
import { mkdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { copyTree, type Image, type Mount as LayerMount } from '../image/index.js'
import { hasErrno } from '../lib/index.js'
import { type MountSpec, mount, type Seccomp, type Spec } from '../runtime/index.js'
import { ensureAppArmor } from './apparmor.js'
import { makeContainerDir } from './containers.js'
import { containerDir, type Engine, sandboxDir, spoolDir, volumesDir } from './engine.js'
import { CriError, invalid } from './errors.js'
import { makeFolders, makeFoldersBelow } from './folders.js'
import { deviceAt, devicesAt, readCdiFiles } from './host-facts.js'
import { layerFolders, readImageFile } from './image-files.js'
import { endInput } from './output.js'
import { isHostIpc, isHostNetwork, unmountQuietly } from './pods.js'
import type { ContainerRecord, SandboxRecord } from './records.js'
import { relabel } from './relabel.js'
import { shiftOwners } from './shift-owners.js'
import { applyCdi, cdiEdits } from './spec/cdi.js'
import { containerSpec } from './spec/container.js'
import { cleanPath } from './spec/mounts.js'
import { cgroupsPath } from './spec/sandbox.js'
import { parseSeccompProfile } from './spec/seccomp.js'
import { contextOption, isUnlabelled, labelsOf, relabelled, type SELinuxLabels } from './spec/selinux.js'
import { type ResolvedUser, resolveUser } from './spec/users.js'
import type { ContainerConfig, Mount } from './types.js'

/** /etc/passwd and /etc/group of images do not change: read once. */
const accountFiles = new Map<string, { readonly passwd: string; readonly group: string }>()
const MOST_ACCOUNT_FILES = 500

function userOf(config: ContainerConfig, image: Image, mounts: readonly LayerMount[]): ResolvedUser {
  let files = accountFiles.get(image.id)
  if (!files) {
    const layers = layerFolders(mounts)
    files = { passwd: readImageFile(layers, '/etc/passwd'), group: readImageFile(layers, '/etc/group') }
    if (accountFiles.size >= MOST_ACCOUNT_FILES) accountFiles.clear()
    accountFiles.set(image.id, files)
  }
  const security = config.linux?.securityContext
  return resolveUser(
    {
      imageUser: image.config.config?.User ?? '',
      runAsUser: security?.runAsUser,
      runAsUsername: security?.runAsUsername,
      runAsGroup: security?.runAsGroup,
      supplementalGroups: security?.supplementalGroups,
      policy: security?.supplementalGroupsPolicy,
    },
    files,
  )
}

function seccompProfile(config: ContainerConfig): Seccomp | undefined {
  const profile = config.linux?.securityContext?.seccomp
  if (profile?.profileType !== 'Localhost') return undefined
  const path = (profile.localhostRef ?? '').replace(/^localhost\//, '')
  if (!path.startsWith('/')) throw invalid(`seccomp profile ${JSON.stringify(profile.localhostRef ?? '')} is not an absolute path`)
  try {
    return parseSeccompProfile(readFileSync(path, 'utf8'), path)
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) throw invalid(`seccomp profile ${path} does not exist on this machine`)
    throw error
  }
}

/** As other runtimes do: a folder that is to be mounted and does not exist is made. */
function makeHostPaths(config: ContainerConfig): void {
  for (const { hostPath, containerPath } of config.mounts ?? []) {
    if (!hostPath || statSync(hostPath, { throwIfNoEntry: false })) continue
    try {
      makeFolders(hostPath)
    } catch (error) {
      throw new CriError('INVALID_ARGUMENT', `mount ${containerPath}: ${hostPath} does not exist and cannot be made`, { cause: error })
    }
  }
}

/**
 * Volumes that the image declares keep what is written to them outside the root file system, and begin with what the image has
 * there, owner and mode included.
 */
function imageVolumes(engine: Engine, id: string, config: ContainerConfig, image: Image, rootfs: string): ReadonlyMap<string, string> {
  const taken = new Set((config.mounts ?? []).map(({ containerPath }) => cleanPath(containerPath)))
  const volumes = new Map<string, string>()
  for (const [i, path] of Object.keys(image.config.config?.Volumes ?? {}).entries()) {
    const named = cleanPath(path)
    if (taken.has(named) || named === '/') continue
    const destination = makeFoldersBelow(rootfs, named)
    if (taken.has(destination) || volumes.has(destination)) continue
    const source = join(volumesDir(engine, id), String(i))
    mkdirSync(source, { recursive: true, mode: 0o755 })
    copyTree(join(rootfs, destination), source)
    volumes.set(destination, source)
  }
  return volumes
}

export const imageMountId = (id: string, i: number): string => `${id}-image-${i}`

/** Mounts that show other images' files. The snapshots behind them are remembered in the record before they are made. */
async function imageMounts(
  engine: Engine,
  record: ContainerRecord,
): Promise<{ record: ContainerRecord; mounts: Map<string, readonly MountSpec[]> }> {
  const wanted = (record.config.mounts ?? []).filter(({ image }) => image?.image)
  const mounts = new Map<string, readonly MountSpec[]>()
  if (wanted.length === 0) return { record, mounts }
  const saved = engine.containers.save({ ...record, imageMounts: wanted.map((_, i) => imageMountId(record.id, i)) })
  const shown = new Map<Mount, Mount>()
  for (const [i, mount] of wanted.entries()) {
    const { image, imageSubPath, containerPath, readonly } = mount
    if (!readonly) throw invalid(`mount ${containerPath}: image ${image?.image} can be mounted read-only alone`)
    const found = engine.images.resolve(image?.image ?? '')
    if (!found || !image)
      throw new CriError('NOT_FOUND', `mount ${containerPath}: image ${image?.image} is not on this machine: pull it first`)
    const view = await engine.images.snapshot.view(imageMountId(record.id, i), found)
    mounts.set(containerPath, subPathMounts(view, containerPath, imageSubPath ?? ''))
    shown.set(mount, { ...mount, image: { ...image, imageRef: found.id } })
  }
  const config = { ...record.config, mounts: record.config.mounts?.map((mount) => shown.get(mount) ?? mount) ?? [] }
  return { record: { ...saved, config }, mounts }
}

/** The mounts of a view at `destination`, or of one folder or file of it. */
function subPathMounts(view: readonly LayerMount[], destination: string, subPath: string): readonly MountSpec[] {
  if (!subPath) return view.map(({ type, source, options }) => ({ destination, type, source, options: [...(options ?? []), 'ro'] }))
  const path = cleanPath(subPath)
  if (subPath.startsWith('/') || subPath.split('/').includes('..'))
    throw invalid(`mount ${destination}: sub-path ${JSON.stringify(subPath)} must be relative and without ..`)
  const folders = layerFolders(view)
    .map((layer) => join(layer, path))
    .filter((folder) => statSync(folder, { throwIfNoEntry: false }))
  const [top] = folders
  if (!top) throw invalid(`mount ${destination}: the image has no ${subPath}`)
  if (folders.length === 1 || !statSync(top).isDirectory())
    return [{ destination, type: 'bind', source: top, options: ['rbind', 'rprivate', 'ro'] }]
  const lower = folders.map((folder) => folder.replace(/:/g, '\\:')).join(':')
  return [{ destination, type: 'overlay', source: 'overlay', options: ['ro', `lowerdir=${lower}`] }]
}

/** The container's own wishes over what its pod has. Empty where the kernel has no SELinux, and for whom it is not meant. */
function labelsIn(engine: Engine, config: ContainerConfig, sandbox: SandboxRecord): SELinuxLabels {
  const policy = engine.machine.selinux
  const security = config.linux?.securityContext
  if (!policy || isUnlabelled(security?.privileged ?? false, security?.namespaceOptions)) return { process: '', mount: '' }
  const want = security?.selinuxOptions ?? sandbox.config.linux?.securityContext?.selinuxOptions
  return labelsOf(want, policy, sandbox.selinuxLevel ?? 's0')
}

export interface Assembled {
  readonly spec: Spec
  readonly record: ContainerRecord
}

export async function assemble(engine: Engine, first: ContainerRecord, sandbox: SandboxRecord, image: Image): Promise<Assembled> {
  const { id, config } = first
  const dir = makeContainerDir(engine, id)
  const [layers, images] = await Promise.all([engine.images.snapshot.prepare(id, image), imageMounts(engine, first)])
  const user = userOf(config, image, layers)
  const apparmorProfile = await ensureAppArmor(config.linux?.securityContext, engine.machine.apparmor)
  makeHostPaths(config)
  const labels = labelsIn(engine, config, sandbox)
  if (labels.mount) for (const path of relabelled(config.mounts ?? [])) relabel(path, labels.mount)
  const security = config.linux?.securityContext
  const wanted = config.devices ?? []
  const devices = security?.privileged
    ? engine.machine.hostDevices().map((device) => ({ device, access: 'rwm' }))
    : wanted.flatMap(({ hostPath, containerPath, permissions = '' }) =>
        devicesAt(hostPath, containerPath).map((device) => ({ device, access: permissions })),
      )
  const rootfs = join(dir, 'rootfs')
  mkdirSync(rootfs, { recursive: true, mode: 0o711 })
  const userns = sandbox.config.linux?.securityContext?.namespaceOptions?.usernsOptions
  const shifted = userns?.mode === 'POD'
  const metadataOnly = (layer: LayerMount): readonly string[] => (shifted && layer.type === 'overlay' ? ['metacopy=on'] : [])
  const labelled = labels.mount ? contextOption(labels.mount) : []
  for (const layer of layers) mount({ ...layer, options: [...(layer.options ?? []), ...metadataOnly(layer), ...labelled], target: rootfs })
  makeFoldersBelow(rootfs, cleanPath(config.workingDir || image.config.config?.WorkingDir || '/'))
  if (shifted) await shiftOwners(rootfs, userns?.uids ?? [], userns?.gids ?? [])
  const hostNetwork = isHostNetwork(sandbox.config)
  const files = sandboxDir(engine, sandbox.id)
  const targetId = security?.namespaceOptions?.targetId
  const spec = containerSpec(config, {
    rootfs,
    image: image.config.config ?? {},
    user,
    hostname: (hostNetwork ? '' : sandbox.config.hostname) || engine.machine.hostname,
    capabilities: engine.machine.capabilities,
    apparmorProfile,
    selinuxLabel: labels.process,
    mountLabel: labels.mount,
    seccomp: engine.machine.seccomp,
    seccompProfile: seccompProfile(config),
    arch: engine.machine.arch,
    cgroupsPath: cgroupsPath(sandbox.config, id),
    paths: {
      hosts: join(files, 'hosts'),
      hostname: join(files, 'hostname'),
      resolvConf: join(files, 'resolv.conf'),
      shm: isHostIpc(sandbox.config) ? '/dev/shm' : join(files, 'shm'),
    },
    hostNetwork,
    hostIpc: isHostIpc(sandbox.config),
    images: images.mounts,
    volumes: imageVolumes(engine, id, config, image, rootfs),
    pausePid: sandbox.pausePid,
    netns: sandbox.netns,
    targetPid: targetId ? engine.live.get(targetId)?.pid : undefined,
    cgroupNamespace: engine.machine.cgroupVersion === 2,
    devices: devices.map(({ device }) => device),
    deviceAccess: devices.map(({ access }) => access),
    sandboxOptions: sandbox.config.linux?.securityContext?.namespaceOptions,
  })
  const wantedCdi = (config.cdiDevices ?? []).map(({ name }) => name)
  const edited = wantedCdi.length > 0 ? applyCdi(spec, cdiEdits(wantedCdi, readCdiFiles(engine.cdiDirs)), deviceAt) : spec
  const { uid, gid, additionalGids } = user
  return { spec: edited, record: { ...images.record, user: { uid, gid, supplementalGroups: additionalGids } } }
}

/** Takes away what assemble made. Anything may be missing. */
export async function dismantle(engine: Engine, record: ContainerRecord): Promise<void> {
  const dir = containerDir(engine, record.id)
  endInput(engine, record.id)
  unmountQuietly(join(dir, 'rootfs'))
  rmSync(dir, { recursive: true, force: true })
  rmSync(spoolDir(engine, record.id), { recursive: true, force: true })
  rmSync(volumesDir(engine, record.id), { recursive: true, force: true })
  await Promise.all([record.id, ...record.imageMounts].map((id) => engine.images.snapshot.remove(id)))
}
