// What the runtime is told about a pod before its containers: names, namespaces, network, cgroup.
import type { Pod, SELinuxOptions } from '../../api/index.js'
import type {
  LinuxSandboxSecurityContext,
  NamespaceOption,
  PodSandboxConfig,
  PortMapping,
  Protocol,
  SELinuxOption,
} from '../../cri/index.js'
import { containersOf } from '../pod/containers.js'
import { amount } from '../pod/quantity.js'
import { cgroupPathOf, cpuShares, podLimit, podRequest } from '../pod/resources.js'
import { type DnsContext, dnsConfigOf } from './dns.js'
import { hostnameOf } from './hosts.js'

export interface SandboxContext {
  readonly dns: DnsContext
  /** `/var/log/pods`. */
  readonly podLogs: string
  readonly cgroupRoot: string
}

/** Where a pod's logs are: tools look for this name. */
export const logDirectoryOf = (pod: Pod, podLogs: string): string =>
  `${podLogs}/${pod.metadata.namespace}_${pod.metadata.name}_${pod.metadata.uid}`

export const LABELS = {
  podName: 'io.kubernetes.pod.name',
  podNamespace: 'io.kubernetes.pod.namespace',
  podUid: 'io.kubernetes.pod.uid',
  containerName: 'io.kubernetes.container.name',
} as const

export const identityLabels = (pod: Pod): Readonly<Record<string, string>> => ({
  [LABELS.podName]: pod.metadata.name,
  [LABELS.podNamespace]: pod.metadata.namespace ?? '',
  [LABELS.podUid]: pod.metadata.uid ?? '',
})

export function namespaceOptions(pod: Pod, targetId?: string): NamespaceOption {
  const { hostNetwork, hostPID, hostIPC, shareProcessNamespace } = pod.spec ?? {}
  return {
    network: hostNetwork ? 'NODE' : 'POD',
    ipc: hostIPC ? 'NODE' : 'POD',
    ...(hostPID ? { pid: 'NODE' } : shareProcessNamespace ? { pid: 'POD' } : targetId ? { pid: 'TARGET', targetId } : { pid: 'CONTAINER' }),
  }
}

function portMappings(pod: Pod): readonly PortMapping[] {
  return containersOf(pod).flatMap(({ spec }) =>
    (spec.ports ?? []).map(({ containerPort, hostPort, hostIP, protocol }) => ({
      containerPort,
      protocol: (protocol ?? 'TCP') as Protocol,
      ...(hostPort ? { hostPort } : {}),
      ...(hostIP ? { hostIp: hostIP } : {}),
    })),
  )
}

/** As the runtime takes it: what is not said is empty. */
export const selinuxOptions = ({ user = '', role = '', type = '', level = '' }: SELinuxOptions): SELinuxOption => ({
  user,
  role,
  type,
  level,
})

function securityContext(pod: Pod): LinuxSandboxSecurityContext {
  const context = pod.spec?.securityContext
  const groups = [...(context?.fsGroup === undefined ? [] : [context.fsGroup]), ...(context?.supplementalGroups ?? [])]
  return {
    namespaceOptions: namespaceOptions(pod),
    privileged: containersOf(pod).some(({ spec }) => spec.securityContext?.privileged === true),
    // The pause process is ours: it never needs more than the default profile.
    seccomp: { profileType: 'RuntimeDefault' },
    ...(context?.seLinuxOptions ? { selinuxOptions: selinuxOptions(context.seLinuxOptions) } : {}),
    ...(context?.runAsUser === undefined ? {} : { runAsUser: context.runAsUser }),
    ...(context?.runAsUser === undefined || context.runAsGroup === undefined ? {} : { runAsGroup: context.runAsGroup }),
    ...(groups.length > 0 ? { supplementalGroups: groups } : {}),
  }
}

export function sandboxConfig(pod: Pod, attempt: number, context: SandboxContext): PodSandboxConfig {
  const { metadata, spec } = pod
  const sysctls = Object.fromEntries((spec?.securityContext?.sysctls ?? []).map(({ name, value }) => [name.replaceAll('/', '.'), value]))
  const memory = podLimit(pod, 'memory')
  return {
    metadata: { name: metadata.name, namespace: metadata.namespace ?? '', uid: metadata.uid ?? '', attempt },
    hostname: spec?.hostNetwork ? '' : hostnameOf(pod, context.dns.clusterDomain),
    logDirectory: logDirectoryOf(pod, context.podLogs),
    dnsConfig: dnsConfigOf(pod, context.dns),
    portMappings: spec?.hostNetwork ? [] : portMappings(pod),
    labels: { ...metadata.labels, ...identityLabels(pod) },
    annotations: { 'kubernetes.io/config.source': 'api', ...metadata.annotations },
    linux: {
      cgroupParent: cgroupPathOf(pod, context.cgroupRoot),
      sysctls,
      securityContext: securityContext(pod),
      resources: {
        cpuShares: cpuShares(podRequest(pod, 'cpu')),
        ...(memory === undefined ? {} : { memoryLimitInBytes: memory }),
      },
      ...(spec?.overhead
        ? { overhead: { cpuShares: cpuShares(amount(spec.overhead.cpu)), memoryLimitInBytes: amount(spec.overhead.memory) } }
        : {}),
    },
  }
}
