// Who a container runs as and what it may: the pod's securityContext and the container's own, joined.
import type { Container, Pod, SeccompProfile } from '../../api/index.js'
import type { Image, LinuxContainerSecurityContext, SecurityProfile } from '../../cri/index.js'
import { namespaceOptions, selinuxOptions } from '../sandbox/config.js'
import { ConfigError } from './fields.js'

/** Shown as empty inside, whatever the kernel would tell. */
const MASKED = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
]
const READ_ONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']

function profile(of: SeccompProfile | undefined, root: string, fallback: SecurityProfile): SecurityProfile {
  if (!of) return fallback
  if (of.type === 'Localhost') return { profileType: 'Localhost', localhostRef: `${root}/seccomp/${of.localhostProfile ?? ''}` }
  return { profileType: of.type === 'Unconfined' ? 'Unconfined' : 'RuntimeDefault' }
}

/** Refuses a container that would run as root though the pod forbids it. */
export function checkNonRoot(pod: Pod, container: Container, image: Pick<Image, 'uid' | 'username'> | undefined): void {
  const own = container.securityContext
  const shared = pod.spec?.securityContext
  if (!(own?.runAsNonRoot ?? shared?.runAsNonRoot)) return
  const at = `(pod: "${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})", container: ${container.name})`
  const user = own?.runAsUser ?? shared?.runAsUser
  if (user !== undefined) {
    if (user === 0) throw new ConfigError(`container's runAsUser breaks non-root policy ${at}`)
    return
  }
  if (image?.username)
    throw new ConfigError(
      `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root ${at}`,
    )
  if (!image?.uid) throw new ConfigError(`container has runAsNonRoot and image will run as root ${at}`)
}

export interface SecurityInput {
  readonly pod: Pod
  readonly container: Container
  /** The kubelet's folder: localhost profiles live below it. */
  readonly root: string
  /** Groups that own mounted volumes. */
  readonly volumeGroups: readonly number[]
  /** Container whose processes an ephemeral container wants to see. */
  readonly targetId?: string | undefined
}

export function securityContextOf({ pod, container, root, volumeGroups, targetId }: SecurityInput): LinuxContainerSecurityContext {
  const own = container.securityContext
  const shared = pod.spec?.securityContext
  const privileged = own?.privileged === true
  const user = own?.runAsUser ?? shared?.runAsUser
  const group = own?.runAsGroup ?? shared?.runAsGroup
  const groups = [
    ...new Set([...(shared?.supplementalGroups ?? []), ...(shared?.fsGroup === undefined ? [] : [shared.fsGroup]), ...volumeGroups]),
  ]
  const unmasked = own?.procMount === 'Unmasked'
  const apparmor = own?.appArmorProfile ?? shared?.appArmorProfile
  const selinux = own?.seLinuxOptions ?? shared?.seLinuxOptions
  return {
    namespaceOptions: namespaceOptions(pod, targetId),
    privileged,
    ...(own?.capabilities
      ? { capabilities: { addCapabilities: own.capabilities.add ?? [], dropCapabilities: own.capabilities.drop ?? [] } }
      : {}),
    ...(user === undefined ? {} : { runAsUser: user }),
    ...(group === undefined ? {} : { runAsGroup: group }),
    readonlyRootfs: own?.readOnlyRootFilesystem === true,
    supplementalGroups: groups,
    ...(shared?.supplementalGroupsPolicy === 'Strict' ? { supplementalGroupsPolicy: 'Strict' as const } : {}),
    noNewPrivs: own?.allowPrivilegeEscalation === false,
    ...(privileged ? {} : unmasked ? { maskedPaths: [], readonlyPaths: [] } : { maskedPaths: MASKED, readonlyPaths: READ_ONLY }),
    seccomp: privileged
      ? { profileType: 'Unconfined' }
      : profile(own?.seccompProfile ?? shared?.seccompProfile, root, { profileType: 'RuntimeDefault' }),
    ...(apparmor
      ? {
          apparmor: {
            profileType: apparmor.type === 'Localhost' ? 'Localhost' : apparmor.type === 'Unconfined' ? 'Unconfined' : 'RuntimeDefault',
            ...(apparmor.localhostProfile ? { localhostRef: apparmor.localhostProfile } : {}),
          } as const,
        }
      : {}),
    ...(selinux ? { selinuxOptions: selinuxOptions(selinux) } : {}),
  }
}
