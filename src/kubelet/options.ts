// What a kubelet is given: everything outside this folder comes in here.

import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Client } from '../client/index.js'
import type { Cri } from '../cri/index.js'
import type { Clock, HttpHandler, Logger, Random } from '../lib/index.js'

/** The mounts that volumes need. Bound to the kernel by the composition root. */
export interface VolumeHost {
  /** `mode` as in chmod, default 0o755. */
  mountTmpfs(target: string, options: { readonly sizeBytes?: number; readonly mode?: number }): void | Promise<void>
  /** `target` exists already: a folder for a folder, a file for a file. Mounts below `source` come along. */
  bind(source: string, target: string, options: { readonly readOnly?: boolean }): void | Promise<void>
  /** Lazily, and no error when nothing is mounted there. */
  unmount(target: string): void | Promise<void>
}

/** Limits of a cgroup that holds pods or one pod; absent fields are left alone. */
export interface CgroupLimits {
  readonly cpuShares?: number
  readonly cpuQuota?: number
  readonly cpuPeriod?: number
  readonly memoryLimitBytes?: number
  readonly pidsLimit?: number
}

/** The cgroups above the containers. Paths are cgroupfs paths: `/kubepods/burstable/pod…`. */
export interface CgroupHost {
  /** Makes it where it is missing. */
  apply(path: string, limits: CgroupLimits): void | Promise<void>
  /** With everything below it; no error when it is gone already. */
  remove(path: string): void | Promise<void>
  /** Names of the cgroups directly below, for finding what an earlier run left. */
  children?(path: string): readonly string[] | Promise<readonly string[]>
}

export interface NodeApiTls {
  /** PEM. */
  readonly cert: string
  readonly key: string
  /** PEM of the CA whose client certificates are believed. */
  readonly clientCa?: string
}

/** A fresh key for a pod, with the proof that it is here. */
export interface PodKey {
  /** PKCS#8, PEM. */
  readonly privateKey: string
  /** An empty certificate request (PKCS#10, DER) signed with it. */
  readonly request: Uint8Array
}

/** cpu, memory, … as quantities: `{ cpu: '100m', memory: '256Mi' }`. */
export type ResourceAmounts = Readonly<Record<string, string>>

export interface ImageGcPolicy {
  readonly highThresholdPercent: number
  readonly lowThresholdPercent: number
  readonly minimumAgeMs: number
}

/** Settings a person may change; the names are those of KubeletConfiguration where it has them. */
export interface KubeletSettings {
  readonly clusterDomain: string
  readonly clusterDNS: readonly string[]
  readonly maxPods: number
  readonly podPidsLimit: number
  /** Folder of static pods; '' for none. */
  readonly staticPodPath: string
  readonly nodeStatusUpdateFrequencyMs: number
  readonly nodeStatusReportFrequencyMs: number
  readonly nodeLeaseDurationSeconds: number
  readonly maxParallelImagePulls: number
  readonly containerLogMaxSizeBytes: number
  readonly containerLogMaxFiles: number
  readonly containerLogMonitorIntervalMs: number
  readonly kubeReserved: ResourceAmounts
  readonly systemReserved: ResourceAmounts
  readonly imageGc: ImageGcPolicy
  readonly shutdownGracePeriodSeconds: number
  readonly shutdownGracePeriodCriticalPodsSeconds: number
  /** Sysctls allowed beyond the safe ones; a trailing `*` matches a family. */
  readonly allowedUnsafeSysctls: readonly string[]
  readonly cgroupRoot: string
  readonly registerNode: boolean
  readonly nodeLabels: Readonly<Record<string, string>>
  readonly registerWithTaints: readonly { readonly key: string; readonly value?: string; readonly effect: string }[]
}

export const defaultSettings: KubeletSettings = {
  clusterDomain: 'cluster.local',
  clusterDNS: [],
  maxPods: 110,
  podPidsLimit: -1,
  staticPodPath: '',
  nodeStatusUpdateFrequencyMs: 10_000,
  nodeStatusReportFrequencyMs: 300_000,
  nodeLeaseDurationSeconds: 40,
  maxParallelImagePulls: 5,
  containerLogMaxSizeBytes: 10 * 1024 * 1024,
  containerLogMaxFiles: 5,
  containerLogMonitorIntervalMs: 10_000,
  kubeReserved: {},
  systemReserved: {},
  imageGc: { highThresholdPercent: 85, lowThresholdPercent: 80, minimumAgeMs: 120_000 },
  shutdownGracePeriodSeconds: 0,
  shutdownGracePeriodCriticalPodsSeconds: 0,
  allowedUnsafeSysctls: [],
  cgroupRoot: '/kubepods',
  registerNode: true,
  nodeLabels: {},
  registerWithTaints: [],
}

export interface KubeletOptions {
  readonly client: Client
  readonly cri: Cri
  readonly nodeName: string
  /** As the kubelet reports it: `v1.37.0+knarr`. */
  readonly version: string
  /** Default `/var/lib/kubelet`. */
  readonly root?: string
  /** Default `/var/log/pods`. */
  readonly podLogs?: string
  /** Default `/var/log/containers`; '' for no links. */
  readonly containerLogs?: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly volumeHost: VolumeHost
  /** Without it pods are limited only container by container. */
  readonly cgroups?: CgroupHost
  /** For `podCertificate` volumes; `keyType` is one of RSA3072, RSA4096, ECDSAP256, ECDSAP384, ECDSAP521, ED25519. */
  readonly newPodKey?: (keyType: string) => Promise<PodKey>
  /** Addresses the node reports; found from the machine when left out. */
  readonly nodeIps?: readonly string[]
  /** Port of the node API as reported in the Node's status. */
  readonly port?: number
  /** PEM of the CA whose client certificates the node API believes. */
  readonly clientCa?: string
  /** Where the node's own resolver is described. Default `/etc/resolv.conf`. */
  readonly resolvConf?: string
  readonly settings?: Partial<KubeletSettings>
}

export interface Kubelet {
  /** Works until aborted; pods go on running afterwards. */
  run(signal: AbortSignal): Promise<void>
  /** Resolves when the node is registered and what ran before is known again. */
  readonly ready: Promise<void>
  /** The node API, without TLS. */
  readonly handler: HttpHandler
  /** exec, attach and port-forward: what an HTTP server does with an `upgrade` event. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
  /** Ends pods as the machine's shutdown asks for: ordinary ones, then critical ones. */
  shutdown(): Promise<void>
}
