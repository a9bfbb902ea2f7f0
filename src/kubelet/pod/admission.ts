// Pods that were bound here and cannot run here. Pure.
import { type Node, type Pod, wantsNode } from '../../api/index.js'
import { containersOf } from './containers.js'
import { amount, milli } from './quantity.js'
import { podRequest } from './resources.js'

export interface Refusal {
  readonly reason: string
  readonly message: string
}

const rejected = (reason: string, why: string): Refusal => ({ reason, message: `Pod was rejected: ${why}` })

/** Sysctls that touch nothing outside their pod. */
const SAFE_SYSCTLS = [
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_wmem',
]

const matchesPattern = (name: string, pattern: string): boolean =>
  pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern

function sysctlRefusal(pod: Pod, unsafe: readonly string[]): Refusal | undefined {
  for (const { name: written } of pod.spec?.securityContext?.sysctls ?? []) {
    const name = written.replaceAll('/', '.')
    const allowed = [...SAFE_SYSCTLS, ...unsafe].some((pattern) => matchesPattern(name, pattern.replaceAll('/', '.')))
    if (!allowed) return { reason: 'SysctlForbidden', message: `Pod was rejected: forbidden sysctl: "${written}" not allowlisted` }
  }
  return undefined
}

/** Unconfined is had everywhere. */
const wantsProfile = (pod: Pod): boolean =>
  [pod.spec?.securityContext, ...containersOf(pod).map(({ spec }) => spec.securityContext)].some(
    (context) => context?.appArmorProfile && context.appArmorProfile.type !== 'Unconfined',
  )

interface HostPort {
  readonly port: number
  readonly protocol: string
  readonly ip: string
}

const hostPorts = (pod: Pod): readonly HostPort[] =>
  [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always')].flatMap(
    ({ ports = [] }) =>
      ports
        .filter(({ hostPort }) => hostPort)
        .map(({ hostPort = 0, protocol = 'TCP', hostIP }) => ({ port: hostPort, protocol, ip: hostIP || '0.0.0.0' })),
  )

const clash = (a: HostPort, b: HostPort): boolean =>
  a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || a.ip === '0.0.0.0' || b.ip === '0.0.0.0')

function resourceRefusal(pod: Pod, others: readonly Pod[], allocatable: Readonly<Record<string, string>>): Refusal | undefined {
  const podLimit = amount(allocatable.pods)
  if (podLimit > 0 && others.length + 1 > podLimit)
    return rejected('OutOfpods', `Node didn't have enough resource: pods, requested: 1, used: ${others.length}, capacity: ${podLimit}`)
  for (const [name, quantity] of Object.entries(allocatable)) {
    if (name === 'pods') continue
    const requested = podRequest(pod, name)
    if (requested === 0) continue
    const used = others.reduce((sum, other) => sum + podRequest(other, name), 0)
    if (requested + used <= amount(quantity)) continue
    const shown = (value: number): number => (name === 'cpu' ? milli(String(value)) : Math.ceil(value))
    const figures = `requested: ${shown(requested)}, used: ${shown(used)}, capacity: ${shown(amount(quantity))}`
    return rejected(`OutOf${name}`, `Node didn't have enough resource: ${name}, ${figures}`)
  }
  return undefined
}

export interface AdmissionInput {
  readonly pod: Pod
  /** Pods of this node that have not ended. */
  readonly others: readonly Pod[]
  readonly node: Node
  readonly allocatable: Readonly<Record<string, string>>
  /** The kernel confines by AppArmor profiles. */
  readonly apparmor: boolean
  readonly allowedUnsafeSysctls: readonly string[]
  readonly shuttingDown: boolean
}

/** Why the pod fails at once, or undefined. */
export function refusalOf({
  pod,
  others,
  node,
  allocatable,
  apparmor,
  allowedUnsafeSysctls,
  shuttingDown,
}: AdmissionInput): Refusal | undefined {
  if (shuttingDown) return { reason: 'NodeShutdown', message: 'Pod was rejected as the node is shutting down.' }
  if (pod.spec?.os?.name && pod.spec.os.name !== 'linux')
    return { reason: 'PodOSNotSupported', message: `Pod was rejected: Failed to admit pod as the OS field doesn't match node OS` }
  const isStatic = pod.metadata.annotations?.['kubernetes.io/config.source'] === 'file'
  if (!isStatic && !wantsNode(pod.spec, node)) return rejected('NodeAffinity', 'Predicate NodeAffinity failed')
  const wanted = hostPorts(pod)
  if (others.some((other) => hostPorts(other).some((taken) => wanted.some((port) => clash(port, taken)))))
    return rejected('NodePorts', 'Predicate NodePorts failed')
  if (!apparmor && wantsProfile(pod)) return rejected('AppArmor', 'Cannot enforce AppArmor: AppArmor is not enabled on the host')
  return resourceRefusal(pod, others, allocatable) ?? sysctlRefusal(pod, allowedUnsafeSysctls)
}
