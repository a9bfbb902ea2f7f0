// Pod Security Standards: what a pod may ask of its node, at each level. Pure.
import type { Container, PodSecurityContext, PodSpec, SecurityContext, Volume } from '../../../api/index.js'

export type Level = 'privileged' | 'baseline' | 'restricted'

export interface PodFacts {
  readonly spec: PodSpec
  readonly annotations: Readonly<Record<string, string>>
}

/** A rule that does not hold: what it is called, and what breaks it. */
export interface Violation {
  readonly reason: string
  readonly detail: string
}

type Check = (pod: PodFacts) => Violation | undefined

type AnyContainer = Pick<
  Container,
  'name' | 'ports' | 'securityContext' | 'lifecycle' | 'livenessProbe' | 'readinessProbe' | 'startupProbe'
>

const containersOf = ({ spec }: PodFacts): readonly AnyContainer[] => [
  ...(spec.initContainers ?? []),
  ...(spec.containers ?? []),
  ...((spec.ephemeralContainers ?? []) as readonly AnyContainer[]),
]

const quote = (words: readonly string[]): string => words.map((word) => JSON.stringify(word)).join(', ')
const plural = (count: number, one: string, many: string): string => (count === 1 ? one : many)

/** `container "a"` or `containers "a", "b"`. */
const named = (containers: readonly AnyContainer[]): string =>
  `${plural(containers.length, 'container', 'containers')} ${quote(containers.map(({ name }) => name))}`

const bad = (pod: PodFacts, test: (context: SecurityContext, container: AnyContainer) => boolean): AnyContainer[] =>
  containersOf(pod).filter((container) => test(container.securityContext ?? {}, container))

const hostNamespaces: Check = ({ spec }) => {
  const used = (['hostNetwork', 'hostPID', 'hostIPC'] as const).filter((field) => spec[field])
  return used.length > 0 ? { reason: 'host namespaces', detail: used.map((field) => `${field}=true`).join(', ') } : undefined
}

const privileged: Check = (pod) => {
  const found = bad(pod, ({ privileged }) => privileged === true)
  return found.length > 0 ? { reason: 'privileged', detail: `${named(found)} must not set securityContext.privileged=true` } : undefined
}

const BASELINE_CAPABILITIES = new Set([
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
])

const addedCapabilities: Check = (pod) => {
  const excess = ({ capabilities }: SecurityContext): string[] =>
    (capabilities?.add ?? []).filter((name) => !BASELINE_CAPABILITIES.has(name))
  const found = bad(pod, (context) => excess(context).length > 0)
  const names = [...new Set(found.flatMap(({ securityContext }) => excess(securityContext ?? {})))].sort()
  return found.length > 0
    ? { reason: 'non-default capabilities', detail: `${named(found)} must not include ${quote(names)} in securityContext.capabilities.add` }
    : undefined
}

const hostPathVolumes: Check = ({ spec }) => {
  const found = (spec.volumes ?? []).filter(({ hostPath }) => hostPath)
  return found.length > 0
    ? { reason: 'hostPath volumes', detail: `${plural(found.length, 'volume', 'volumes')} ${quote(found.map(({ name }) => name))}` }
    : undefined
}

const hostPorts: Check = (pod) => {
  const found = containersOf(pod).filter(({ ports }) => ports?.some(({ hostPort }) => hostPort))
  const numbers = found.flatMap(({ ports }) => (ports ?? []).flatMap(({ hostPort }) => (hostPort ? [String(hostPort)] : [])))
  return found.length > 0
    ? {
        reason: 'hostPort',
        detail: `${named(found)} ${plural(found.length, 'uses', 'use')} ${plural(numbers.length, 'hostPort', 'hostPorts')} ${numbers.join(', ')}`,
      }
    : undefined
}

const procMount: Check = (pod) => {
  const found = bad(pod, ({ procMount }) => procMount !== undefined && procMount !== 'Default')
  return found.length > 0
    ? {
        reason: 'procMount',
        detail: `${named(found)} must not set securityContext.procMount to ${quote([...new Set(found.map(({ securityContext }) => securityContext?.procMount ?? ''))])}`,
      }
    : undefined
}

const SELINUX_TYPES = new Set(['', 'container_t', 'container_init_t', 'container_kvm_t', 'container_engine_t'])

const seLinux: Check = (pod) => {
  const wrong = ({ seLinuxOptions }: SecurityContext | PodSecurityContext): boolean =>
    seLinuxOptions !== undefined &&
    (!SELINUX_TYPES.has(seLinuxOptions.type ?? '') || Boolean(seLinuxOptions.user) || Boolean(seLinuxOptions.role))
  const found = bad(pod, wrong)
  const ofPod = wrong(pod.spec.securityContext ?? {})
  if (found.length === 0 && !ofPod) return undefined
  const who = [...(ofPod ? ['pod'] : []), ...(found.length > 0 ? [named(found)] : [])].join(' and ')
  return { reason: 'seLinuxOptions', detail: `${who} set forbidden securityContext.seLinuxOptions` }
}

const baselineSeccomp: Check = (pod) => {
  const wrong = ({ seccompProfile }: SecurityContext | PodSecurityContext): boolean => seccompProfile?.type === 'Unconfined'
  const found = bad(pod, wrong)
  const ofPod = wrong(pod.spec.securityContext ?? {})
  if (found.length === 0 && !ofPod) return undefined
  const who = [...(ofPod ? ['pod'] : []), ...(found.length > 0 ? [named(found)] : [])].join(' and ')
  return { reason: 'seccompProfile', detail: `${who} must not set securityContext.seccompProfile.type to "Unconfined"` }
}

const SAFE_SYSCTLS = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_wmem',
])

const sysctls: Check = ({ spec }) => {
  const found = (spec.securityContext?.sysctls ?? []).map(({ name }) => name).filter((name) => !SAFE_SYSCTLS.has(name))
  return found.length > 0 ? { reason: 'forbidden sysctls', detail: found.join(', ') } : undefined
}

const APPARMOR = 'container.apparmor.security.beta.kubernetes.io/'

const appArmor: Check = (pod) => {
  const wrongAnnotation = Object.entries(pod.annotations).filter(
    ([key, value]) => key.startsWith(APPARMOR) && value !== '' && value !== 'runtime/default' && !value.startsWith('localhost/'),
  )
  const wrong = ({ appArmorProfile }: SecurityContext | PodSecurityContext): boolean => appArmorProfile?.type === 'Unconfined'
  const found = bad(pod, wrong)
  if (wrongAnnotation.length === 0 && found.length === 0 && !wrong(pod.spec.securityContext ?? {})) return undefined
  const detail = [
    ...wrongAnnotation.map(([key, value]) => `annotation ${key}=${JSON.stringify(value)}`),
    ...(wrong(pod.spec.securityContext ?? {}) ? ['pod must not set AppArmor profile type to "Unconfined"'] : []),
    ...(found.length > 0 ? [`${named(found)} must not set AppArmor profile type to "Unconfined"`] : []),
  ]
  return { reason: 'forbidden AppArmor profile', detail: detail.join(', ') }
}

const hostProcess: Check = (pod) => {
  const wrong = ({ windowsOptions }: SecurityContext | PodSecurityContext): boolean => windowsOptions?.hostProcess === true
  const found = bad(pod, wrong)
  const ofPod = wrong(pod.spec.securityContext ?? {})
  if (found.length === 0 && !ofPod) return undefined
  const who = [...(ofPod ? ['pod'] : []), ...(found.length > 0 ? [named(found)] : [])].join(' and ')
  return { reason: 'hostProcess', detail: `${who} must not set securityContext.windowsOptions.hostProcess=true` }
}

const hostProbes: Check = (pod) => {
  const hosts = ({ livenessProbe, readinessProbe, startupProbe, lifecycle }: AnyContainer): boolean =>
    [livenessProbe, readinessProbe, startupProbe, lifecycle?.postStart, lifecycle?.preStop].some((one) =>
      Boolean(one?.httpGet?.host || one?.tcpSocket?.host),
    )
  const found = containersOf(pod).filter(hosts)
  return found.length > 0
    ? { reason: 'probe or lifecycle host', detail: `${named(found)} must not set host in probes or lifecycle hooks` }
    : undefined
}

const ALLOWED_VOLUMES = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'image',
  'persistentVolumeClaim',
  'projected',
  'secret',
]

const restrictedVolumes: Check = ({ spec }) => {
  const typeOf = (volume: Volume): string =>
    Object.keys(volume).find((field) => field !== 'name' && volume[field as keyof Volume] !== undefined) ?? 'emptyDir'
  const found = (spec.volumes ?? []).filter((volume) => !ALLOWED_VOLUMES.includes(typeOf(volume)))
  if (found.length === 0) return undefined
  const types = [...new Set(found.map(typeOf))].sort()
  return {
    reason: 'restricted volume types',
    detail: `${plural(found.length, 'volume', 'volumes')} ${quote(found.map(({ name }) => name))} ${plural(found.length, 'uses', 'use')} restricted volume ${plural(types.length, 'type', 'types')} ${quote(types)}`,
  }
}

const isWindows = ({ spec }: PodFacts): boolean => spec.os?.name === 'windows'

const escalation: Check = (pod) => {
  if (isWindows(pod)) return undefined
  const found = bad(pod, ({ allowPrivilegeEscalation }) => allowPrivilegeEscalation !== false)
  return found.length > 0
    ? { reason: 'allowPrivilegeEscalation != false', detail: `${named(found)} must set securityContext.allowPrivilegeEscalation=false` }
    : undefined
}

const runAsNonRoot: Check = (pod) => {
  const ofPod = pod.spec.securityContext?.runAsNonRoot
  const found = bad(pod, ({ runAsNonRoot }) => runAsNonRoot === false || (runAsNonRoot === undefined && ofPod !== true))
  if (found.length === 0) return undefined
  const explicit = found.filter(({ securityContext }) => securityContext?.runAsNonRoot === false)
  if (ofPod === true && explicit.length > 0)
    return { reason: 'runAsNonRoot != true', detail: `${named(explicit)} must not set securityContext.runAsNonRoot=false` }
  return { reason: 'runAsNonRoot != true', detail: `pod or ${named(found)} must set securityContext.runAsNonRoot=true` }
}

const runAsUser: Check = (pod) => {
  const ofPod = pod.spec.securityContext?.runAsUser === 0
  const found = bad(pod, ({ runAsUser: user }) => user === 0)
  if (!ofPod && found.length === 0) return undefined
  const who = [...(ofPod ? ['pod'] : []), ...(found.length > 0 ? [named(found)] : [])].join(' and ')
  return { reason: 'runAsUser=0', detail: `${who} must not set runAsUser=0` }
}

const restrictedSeccomp: Check = (pod) => {
  if (isWindows(pod)) return undefined
  const good = (type: string | undefined): boolean => type === 'RuntimeDefault' || type === 'Localhost'
  const ofPod = pod.spec.securityContext?.seccompProfile?.type
  const found = bad(pod, ({ seccompProfile }) => (seccompProfile ? !good(seccompProfile.type) : !good(ofPod)))
  return found.length > 0
    ? {
        reason: 'seccompProfile',
        detail: `pod or ${named(found)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`,
      }
    : undefined
}

const restrictedCapabilities: Check = (pod) => {
  if (isWindows(pod)) return undefined
  const keeps = bad(pod, ({ capabilities }) => !capabilities?.drop?.includes('ALL'))
  const excess = ({ capabilities }: SecurityContext): string[] => (capabilities?.add ?? []).filter((name) => name !== 'NET_BIND_SERVICE')
  const adds = bad(pod, (context) => excess(context).length > 0)
  const details = [
    ...(keeps.length > 0 ? [`${named(keeps)} must set securityContext.capabilities.drop=["ALL"]`] : []),
    ...(adds.length > 0
      ? [
          `${named(adds)} must not include ${quote([...new Set(adds.flatMap(({ securityContext }) => excess(securityContext ?? {})))].sort())} in securityContext.capabilities.add`,
        ]
      : []),
  ]
  return details.length > 0 ? { reason: 'unrestricted capabilities', detail: details.join('; ') } : undefined
}

const BASELINE: readonly Check[] = [
  appArmor,
  addedCapabilities,
  hostNamespaces,
  hostPathVolumes,
  hostPorts,
  hostProbes,
  privileged,
  procMount,
  seLinux,
  baselineSeccomp,
  sysctls,
  hostProcess,
]
/** In place of the baseline checks that they are stricter than. */
const RESTRICTED: readonly Check[] = [
  ...BASELINE.filter((check) => check !== addedCapabilities && check !== baselineSeccomp && check !== hostPathVolumes),
  escalation,
  restrictedCapabilities,
  restrictedVolumes,
  runAsNonRoot,
  runAsUser,
  restrictedSeccomp,
]

export function podViolations(pod: PodFacts, level: Level): Violation[] {
  const checks = level === 'privileged' ? [] : level === 'baseline' ? BASELINE : RESTRICTED
  return checks.map((check) => check(pod)).filter((violation) => violation !== undefined)
}

/** `privileged (container "a" must not …), host namespaces (hostPID=true)` */
export const describeViolations = (violations: readonly Violation[]): string =>
  violations.map(({ reason, detail }) => `${reason} (${detail})`).join(', ')
