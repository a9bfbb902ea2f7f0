// The OCI spec of a container. Pure: everything about the machine comes in as facts.
import { type Device, type DeviceRule, type MountSpec, OCI_VERSION, type Seccomp, type Spec } from '../../runtime/index.js'
import type { ContainerConfig, NamespaceOption } from '../types.js'
import { planCapabilities } from './capabilities.js'
import { containerMounts, type MountFacts } from './mounts.js'
import { type ContainerNamespaceFacts, containerNamespaces, hasUserNamespace, ociMappings } from './namespaces.js'
import { MASKED_PATHS, READONLY_PATHS } from './paths.js'
import { type ProcessFacts, processSpec } from './process.js'
import { ociResources } from './resources.js'
import { defaultSeccomp } from './seccomp.js'

export interface ContainerFacts extends ProcessFacts, Omit<MountFacts, 'userNamespace'>, ContainerNamespaceFacts {
  readonly rootfs: string
  /** SELinux label of what is mounted; '' for none. */
  readonly mountLabel: string
  readonly cgroupsPath: string
  /** `x64`, `arm64`. */
  readonly arch: string
  /** The kernel filters system calls. */
  readonly seccomp: boolean
  /** What a `Localhost` profile's file says. */
  readonly seccompProfile: Seccomp | undefined
  /** The configuration's devices, looked up; of a privileged container all of the host's. */
  readonly devices: readonly Device[]
  /** How the configuration's devices may be used, in the order of `devices`. */
  readonly deviceAccess: readonly string[]
  /** The user namespace's maps are the sandbox's. */
  readonly sandboxOptions: NamespaceOption | undefined
}

/** Devices of every container: null, zero, full, random, urandom, tty, ptmx and terminals; any may be made, not used. */
const DEVICE_RULES: readonly DeviceRule[] = [
  { allow: false, access: 'rwm' },
  { allow: true, type: 'c', access: 'm' },
  { allow: true, type: 'b', access: 'm' },
  ...[
    [1, 3],
    [1, 5],
    [1, 7],
    [1, 8],
    [1, 9],
    [5, 0],
    [5, 2],
  ].map(([major = 0, minor = 0]) => ({ allow: true, type: 'c', major, minor, access: 'rwm' })),
  { allow: true, type: 'c', major: 136, access: 'rwm' },
]

function deviceRules(facts: ContainerFacts, privileged: boolean): readonly DeviceRule[] {
  if (privileged) return [{ allow: true, access: 'rwm' }]
  return [
    ...DEVICE_RULES,
    ...facts.devices.map(({ type, major = 0, minor = 0 }, i) => ({
      allow: true,
      type: type === 'b' ? 'b' : 'c',
      major,
      minor,
      access: facts.deviceAccess[i] || 'rwm',
    })),
  ]
}

function seccompOf(config: ContainerConfig, facts: ContainerFacts, capabilities: readonly string[]): Seccomp | undefined {
  const security = config.linux?.securityContext
  // A privileged container is unconfined whatever else is said, as with every other runtime.
  if (!facts.seccomp || security?.privileged) return undefined
  switch (security?.seccomp?.profileType ?? 'RuntimeDefault') {
    case 'Unconfined':
      return undefined
    case 'Localhost':
      return facts.seccompProfile
    default:
      return defaultSeccomp(capabilities, facts.arch)
  }
}

/** A privileged container sees the host's own /sys and cgroups in writing; what the caller mounts shared must be reachable as shared. */
function rootPropagation(mounts: readonly MountSpec[]): 'rshared' | 'rslave' | undefined {
  const options = new Set(mounts.flatMap((mount) => mount.options ?? []))
  if (options.has('rshared')) return 'rshared'
  return options.has('rslave') ? 'rslave' : undefined
}

export function containerSpec(config: ContainerConfig, facts: ContainerFacts): Spec {
  const security = config.linux?.securityContext
  const privileged = security?.privileged ?? false
  const options = { ...security?.namespaceOptions, usernsOptions: facts.sandboxOptions?.usernsOptions ?? { mode: 'NODE' as const } }
  const userNamespace = hasUserNamespace(options)
  const { permitted } = planCapabilities(security?.capabilities, { privileged, known: facts.capabilities })
  const mounts = containerMounts(config, { ...facts, userNamespace })
  const seccomp = seccompOf(config, facts, permitted)
  const propagation = rootPropagation(mounts)
  return {
    ociVersion: OCI_VERSION,
    root: { path: facts.rootfs, readonly: security?.readonlyRootfs ?? false },
    process: processSpec(config, facts),
    mounts,
    annotations: { ...config.annotations },
    linux: {
      namespaces: containerNamespaces(options, { ...facts, cgroupNamespace: facts.cgroupNamespace && !privileged }),
      ...(userNamespace
        ? { uidMappings: ociMappings(options.usernsOptions.uids), gidMappings: ociMappings(options.usernsOptions.gids) }
        : {}),
      cgroupsPath: facts.cgroupsPath,
      resources: { ...ociResources(config.linux?.resources), devices: deviceRules(facts, privileged) },
      devices: facts.devices,
      ...(privileged
        ? {}
        : {
            maskedPaths: masked(security?.maskedPaths, MASKED_PATHS),
            readonlyPaths: masked(security?.readonlyPaths, READONLY_PATHS),
          }),
      ...(seccomp ? { seccomp } : {}),
      ...(propagation ? { rootfsPropagation: propagation } : {}),
      ...(facts.mountLabel ? { mountLabel: facts.mountLabel } : {}),
    },
  }
}

/** The caller's list counts when it gives one (the kubelet does, also to unmask). */
const masked = (given: readonly string[] | undefined, otherwise: readonly string[]): readonly string[] => given ?? otherwise
