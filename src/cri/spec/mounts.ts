// The mount table of a container: what every container has, then what its configuration asks for.
import type { MountSpec } from '../../runtime/index.js'
import { invalid } from '../errors.js'
import type { ContainerConfig, IdMapping, Mount } from '../types.js'

/** Files and folders of the sandbox that its containers see. */
export interface SandboxPaths {
  readonly hosts: string
  readonly hostname: string
  readonly resolvConf: string
  /** The pod's shared memory; the host's for pods of the host's IPC namespace. */
  readonly shm: string
}

export interface MountFacts {
  readonly paths: SandboxPaths
  /** The container has the host's network namespace: /sys cannot be a fresh one in a user namespace then. */
  readonly hostNetwork: boolean
  readonly hostIpc: boolean
  readonly userNamespace: boolean
  /** Image mounts by container path: the mounts that show the image's files. */
  readonly images: ReadonlyMap<string, readonly MountSpec[]>
  /** Volumes that the image declares and nothing is mounted on: folder on the host by container path. */
  readonly volumes: ReadonlyMap<string, string>
}

const PROPAGATION = {
  PROPAGATION_PRIVATE: 'rprivate',
  PROPAGATION_HOST_TO_CONTAINER: 'rslave',
  PROPAGATION_BIDIRECTIONAL: 'rshared',
} as const

/** `/a//b/../c/` to `/a/c`. */
export function cleanPath(path: string): string {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return `/${parts.join('/')}`
}

function defaults(config: ContainerConfig, facts: MountFacts): MountSpec[] {
  const privileged = config.linux?.securityContext?.privileged ?? false
  const access = privileged ? 'rw' : 'ro'
  const sysfs: MountSpec =
    facts.userNamespace && facts.hostNetwork
      ? { destination: '/sys', type: 'bind', source: '/sys', options: ['rbind', 'nosuid', 'noexec', 'nodev', 'ro'] }
      : { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', access] }
  const mqueue: MountSpec =
    facts.userNamespace && facts.hostIpc
      ? { destination: '/dev/mqueue', type: 'bind', source: '/dev/mqueue', options: ['rbind', 'nosuid', 'noexec', 'nodev'] }
      : { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] }
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    mqueue,
    sysfs,
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['nosuid', 'noexec', 'nodev', 'relatime', access] },
  ]
}

function fromSandbox(config: ContainerConfig, facts: MountFacts): MountSpec[] {
  const access = config.linux?.securityContext?.readonlyRootfs ? 'ro' : 'rw'
  const file = (destination: string, source: string): MountSpec => ({
    destination,
    type: 'bind',
    source,
    options: ['rbind', 'rprivate', access],
  })
  return [
    file('/etc/hostname', facts.paths.hostname),
    file('/etc/hosts', facts.paths.hosts),
    file('/etc/resolv.conf', facts.paths.resolvConf),
    { destination: '/dev/shm', type: 'bind', source: facts.paths.shm, options: ['rbind', 'rprivate', 'nosuid', 'noexec', 'nodev', 'rw'] },
  ]
}

const mappings = (list: readonly IdMapping[] | undefined) =>
  (list ?? []).map(({ containerId, hostId, length }) => ({ containerID: containerId, hostID: hostId, size: length }))

function bind(mount: Mount): MountSpec {
  const propagation = PROPAGATION[mount.propagation ?? 'PROPAGATION_PRIVATE']
  if (!propagation) throw invalid(`mount ${mount.containerPath}: propagation ${mount.propagation} is not known`)
  if (mount.recursiveReadOnly && (!mount.readonly || propagation !== 'rprivate'))
    throw invalid(`mount ${mount.containerPath}: recursiveReadOnly needs readonly and private propagation`)
  const uidMappings = mappings(mount.uidMappings)
  const gidMappings = mappings(mount.gidMappings)
  return {
    destination: mount.containerPath,
    type: 'bind',
    source: mount.hostPath ?? '',
    options: ['rbind', propagation, ...(mount.readonly ? ['ro'] : ['rw']), ...(mount.recursiveReadOnly ? ['rro'] : [])],
    ...(uidMappings.length > 0 ? { uidMappings, gidMappings } : {}),
  }
}

/** The container's mounts in order. A mount of the configuration takes the place of a default one at the same path. */
export function containerMounts(config: ContainerConfig, facts: MountFacts): readonly MountSpec[] {
  const asked: MountSpec[] = []
  for (const mount of config.mounts ?? []) {
    if (!mount.containerPath) throw invalid('a mount has no container path')
    if (mount.image?.image) {
      const found = facts.images.get(mount.containerPath)
      if (!found) throw invalid(`mount ${mount.containerPath}: image ${mount.image.image} was not prepared`)
      asked.push(...found)
    } else {
      if (!mount.hostPath) throw invalid(`mount ${mount.containerPath} has neither a host path nor an image`)
      asked.push(bind(mount))
    }
  }
  for (const [destination, source] of facts.volumes) asked.push({ destination, type: 'bind', source, options: ['rbind', 'rprivate', 'rw'] })
  // Outer folders first, else they would hide what is mounted within them.
  const depth = (mount: MountSpec): number => cleanPath(mount.destination).split('/').length
  const ordered = asked.map((mount) => ({ ...mount, destination: cleanPath(mount.destination) })).sort((a, b) => depth(a) - depth(b))
  const taken = new Set(ordered.map(({ destination }) => destination))
  return [...[...defaults(config, facts), ...fromSandbox(config, facts)].filter(({ destination }) => !taken.has(destination)), ...ordered]
}
