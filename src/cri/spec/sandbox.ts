// The OCI spec of a pod sandbox: the pause process, which makes the pod's namespaces and keeps them.
import { OCI_VERSION, type Spec } from '../../runtime/index.js'
import { invalid } from '../errors.js'
import type { PodSandboxConfig } from '../types.js'
import { checkUserNamespace, hasUserNamespace, ociMappings, sandboxNamespaces } from './namespaces.js'
import { MASKED_PATHS, READONLY_PATHS } from './paths.js'

/** So low that the kernel kills whole pods last by their pause process. */
const PAUSE_OOM_SCORE = -998

export interface SandboxFacts {
  readonly id: string
  /** Folder that holds nothing but the pause program. */
  readonly pauseRoot: string
  /** A network namespace made beforehand. */
  readonly netns: string | undefined
  readonly cgroupsPath: string
  /** What the sandbox may lower its score to when we are not privileged enough for PAUSE_OOM_SCORE. */
  readonly oomScoreAdj?: number
}

/** Where the cgroup of a container or sandbox goes: below the pod's, which the caller made. */
export const cgroupsPath = (config: PodSandboxConfig, id: string): string =>
  `${config.linux?.cgroupParent || '/knarr-cri'}/${id}`.replace(/\/+/g, '/')

/** `pause` on the pod's own root; the pod's sysctls; no capabilities. Throws a sentence for what cannot be. */
export function sandboxSpec(config: PodSandboxConfig, facts: SandboxFacts): Spec {
  const security = config.linux?.securityContext
  const options = security?.namespaceOptions
  checkUserNamespace(options)
  const hostNetwork = options?.network === 'NODE'
  const sysctl = { ...config.linux?.sysctls }
  for (const name of Object.keys(sysctl)) {
    if (hostNetwork && name.startsWith('net.')) throw invalid(`sysctl ${name}: the pod has the host's network, where pods set nothing`)
    if (options?.ipc === 'NODE' && /^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/.test(name))
      throw invalid(`sysctl ${name}: the pod has the host's IPC namespace, where pods set nothing`)
  }
  // What containers without the capability for it may do since Docker 20: ping, and ports below 1024.
  if (!hostNetwork && !hasUserNamespace(options)) {
    sysctl['net.ipv4.ping_group_range'] ??= '0 2147483647'
    sysctl['net.ipv4.ip_unprivileged_port_start'] ??= '0'
  }
  const none: readonly string[] = []
  return {
    ociVersion: OCI_VERSION,
    root: { path: facts.pauseRoot, readonly: true },
    ...(hostNetwork || !config.hostname ? {} : { hostname: config.hostname }),
    process: {
      args: ['/pause'],
      cwd: '/',
      env: [],
      user: {
        uid: security?.runAsUser ?? 65535,
        gid: security?.runAsGroup ?? 65535,
        additionalGids: [...(security?.supplementalGroups ?? [])],
      },
      capabilities: { bounding: none, effective: none, permitted: none, inheritable: none, ambient: none },
      noNewPrivileges: true,
      oomScoreAdj: facts.oomScoreAdj ?? PAUSE_OOM_SCORE,
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
    ],
    linux: {
      namespaces: sandboxNamespaces(options, facts.netns),
      ...(hasUserNamespace(options)
        ? { uidMappings: ociMappings(options?.usernsOptions?.uids), gidMappings: ociMappings(options?.usernsOptions?.gids) }
        : {}),
      sysctl,
      cgroupsPath: facts.cgroupsPath,
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READONLY_PATHS,
    },
  }
}
