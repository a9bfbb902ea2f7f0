// The Container Runtime Interface as TypeScript: runtime.v1's messages in camelCase, with four liberties taken for callers in
// this process. Times are milliseconds since 1970 (the wire has nanoseconds); wrapped numbers (Int64Value, UInt64Value) are
// plain numbers that may be absent; enums are the wire's own names; streams are streams, not URLs.
// Everywhere `''`, `0`, `[]` and absent mean the same, as in proto3.
import type { Duplex, Readable, Writable } from 'node:stream'

export type StringMap = Readonly<Record<string, string>>

// ---- shared by sandboxes and containers

export type NamespaceMode = 'POD' | 'CONTAINER' | 'NODE' | 'TARGET'

export interface IdMapping {
  readonly hostId: number
  readonly containerId: number
  readonly length: number
}

export interface UserNamespace {
  /** `POD`: a user namespace of the pod's own with these maps; `NODE`: the host's. */
  readonly mode: NamespaceMode
  readonly uids?: readonly IdMapping[]
  readonly gids?: readonly IdMapping[]
}

export interface NamespaceOption {
  /** `POD` or `NODE`. */
  readonly network?: NamespaceMode
  /** `POD`, `CONTAINER`, `NODE`, or `TARGET` with `targetId`. */
  readonly pid?: NamespaceMode
  readonly ipc?: NamespaceMode
  /** Container whose process namespace is joined when `pid` is `TARGET`. */
  readonly targetId?: string
  readonly usernsOptions?: UserNamespace
}

export type SupplementalGroupsPolicy = 'Merge' | 'Strict'
export type ProfileType = 'RuntimeDefault' | 'Unconfined' | 'Localhost'

export interface SecurityProfile {
  readonly profileType: ProfileType
  /** Absolute path of a seccomp profile, or name of a loaded AppArmor profile. */
  readonly localhostRef?: string
}

export interface SELinuxOption {
  readonly user?: string
  readonly role?: string
  readonly type?: string
  readonly level?: string
}

export interface HugepageLimit {
  readonly pageSize: string
  readonly limit: number
}

export interface LinuxContainerResources {
  readonly cpuPeriod?: number
  readonly cpuQuota?: number
  readonly cpuShares?: number
  readonly memoryLimitInBytes?: number
  readonly oomScoreAdj?: number
  readonly cpusetCpus?: string
  readonly cpusetMems?: string
  readonly hugepageLimits?: readonly HugepageLimit[]
  /** cgroup v2 files and what to write into them. */
  readonly unified?: StringMap
  readonly memorySwapLimitInBytes?: number
}

// ---- pod sandboxes

export interface PodSandboxMetadata {
  readonly name: string
  readonly uid: string
  readonly namespace: string
  readonly attempt?: number
}

export interface DNSConfig {
  readonly servers?: readonly string[]
  readonly searches?: readonly string[]
  readonly options?: readonly string[]
}

export type Protocol = 'TCP' | 'UDP' | 'SCTP'

export interface PortMapping {
  readonly protocol?: Protocol
  readonly containerPort: number
  readonly hostPort?: number
  readonly hostIp?: string
}

export interface LinuxSandboxSecurityContext {
  readonly namespaceOptions?: NamespaceOption
  readonly selinuxOptions?: SELinuxOption
  readonly runAsUser?: number
  readonly runAsGroup?: number
  readonly readonlyRootfs?: boolean
  readonly supplementalGroups?: readonly number[]
  readonly supplementalGroupsPolicy?: SupplementalGroupsPolicy
  readonly privileged?: boolean
  readonly seccomp?: SecurityProfile
  readonly apparmor?: SecurityProfile
}

export interface LinuxPodSandboxConfig {
  /** cgroupfs path (`/kubepods/burstable/pod…`) that the caller made and limited. */
  readonly cgroupParent?: string
  readonly securityContext?: LinuxSandboxSecurityContext
  readonly sysctls?: StringMap
  readonly overhead?: LinuxContainerResources
  readonly resources?: LinuxContainerResources
}

export interface PodSandboxConfig {
  readonly metadata: PodSandboxMetadata
  readonly hostname?: string
  /** Where the containers' logs go; `logPath` of a container is relative to it. */
  readonly logDirectory?: string
  readonly dnsConfig?: DNSConfig
  readonly portMappings?: readonly PortMapping[]
  readonly labels?: StringMap
  readonly annotations?: StringMap
  readonly linux?: LinuxPodSandboxConfig
}

export type PodSandboxState = 'SANDBOX_READY' | 'SANDBOX_NOTREADY'

export interface PodSandbox {
  readonly id: string
  readonly metadata: PodSandboxMetadata
  readonly state: PodSandboxState
  readonly createdAt: number
  readonly labels: StringMap
  readonly annotations: StringMap
  readonly runtimeHandler: string
}

export interface PodSandboxNetworkStatus {
  /** Empty for pods of the host's network. */
  readonly ip: string
  readonly additionalIps: readonly { readonly ip: string }[]
}

export interface PodSandboxStatus extends PodSandbox {
  readonly network: PodSandboxNetworkStatus
  readonly linux: { readonly namespaces: { readonly options: NamespaceOption } }
}

export interface PodSandboxFilter {
  /** May be the beginning of an id. */
  readonly id?: string
  readonly state?: PodSandboxState
  readonly labelSelector?: StringMap
}

export interface RunPodSandboxRequest {
  readonly config: PodSandboxConfig
  readonly runtimeHandler?: string
}

export interface PodSandboxStatusResponse {
  readonly status: PodSandboxStatus
  readonly info: StringMap
  readonly containersStatuses: readonly ContainerStatus[]
  readonly timestamp: number
}

// ---- containers

export interface ImageSpec {
  readonly image: string
  readonly annotations?: StringMap
  readonly userSpecifiedImage?: string
  readonly runtimeHandler?: string
  /** Of a mount, in the status: the image that is shown. */
  readonly imageRef?: string
}

export interface KeyValue {
  readonly key: string
  readonly value: string
}

export type MountPropagation = 'PROPAGATION_PRIVATE' | 'PROPAGATION_HOST_TO_CONTAINER' | 'PROPAGATION_BIDIRECTIONAL'

export interface Mount {
  readonly containerPath: string
  readonly hostPath?: string
  readonly readonly?: boolean
  readonly selinuxRelabel?: boolean
  readonly propagation?: MountPropagation
  readonly uidMappings?: readonly IdMapping[]
  readonly gidMappings?: readonly IdMapping[]
  readonly recursiveReadOnly?: boolean
  /** Mounts this image's files instead of `hostPath`. */
  readonly image?: ImageSpec
  readonly imageSubPath?: string
}

export interface Device {
  readonly containerPath: string
  readonly hostPath: string
  /** Some of `rwm`. */
  readonly permissions?: string
}

export interface Capability {
  readonly addCapabilities?: readonly string[]
  readonly dropCapabilities?: readonly string[]
  readonly addAmbientCapabilities?: readonly string[]
}

export interface LinuxContainerSecurityContext {
  readonly capabilities?: Capability
  readonly privileged?: boolean
  readonly namespaceOptions?: NamespaceOption
  readonly selinuxOptions?: SELinuxOption
  readonly runAsUser?: number
  readonly runAsGroup?: number
  readonly runAsUsername?: string
  readonly readonlyRootfs?: boolean
  readonly supplementalGroups?: readonly number[]
  readonly supplementalGroupsPolicy?: SupplementalGroupsPolicy
  readonly noNewPrivs?: boolean
  /** Absent for privileged containers; else what the caller wants masked. */
  readonly maskedPaths?: readonly string[]
  readonly readonlyPaths?: readonly string[]
  readonly seccomp?: SecurityProfile
  readonly apparmor?: SecurityProfile
}

export interface LinuxContainerConfig {
  readonly resources?: LinuxContainerResources
  readonly securityContext?: LinuxContainerSecurityContext
}

export interface ContainerMetadata {
  readonly name: string
  readonly attempt?: number
}

export interface ContainerConfig {
  readonly metadata: ContainerMetadata
  readonly image: ImageSpec
  /** Replaces the image's entrypoint (and, then, its cmd). */
  readonly command?: readonly string[]
  readonly args?: readonly string[]
  readonly workingDir?: string
  readonly envs?: readonly KeyValue[]
  readonly mounts?: readonly Mount[]
  readonly devices?: readonly Device[]
  readonly labels?: StringMap
  readonly annotations?: StringMap
  /** Relative to the sandbox's `logDirectory`. */
  readonly logPath?: string
  readonly stdin?: boolean
  readonly stdinOnce?: boolean
  readonly tty?: boolean
  readonly linux?: LinuxContainerConfig
  /** Fully qualified names of CDI devices: `vendor.com/class=name`. */
  readonly cdiDevices?: readonly { readonly name: string }[]
  /** `SIGTERM`, … , `SIGRTMINPLUS1`; `RUNTIME_DEFAULT` or absent leaves it to the image. */
  readonly stopSignal?: string
}

export type ContainerState = 'CONTAINER_CREATED' | 'CONTAINER_RUNNING' | 'CONTAINER_EXITED' | 'CONTAINER_UNKNOWN'

export interface Container {
  readonly id: string
  readonly podSandboxId: string
  readonly metadata: ContainerMetadata
  readonly image: ImageSpec
  readonly imageRef: string
  readonly imageId: string
  readonly state: ContainerState
  readonly createdAt: number
  readonly labels: StringMap
  readonly annotations: StringMap
}

export interface ContainerFilter {
  /** May be the beginning of an id. */
  readonly id?: string
  readonly state?: ContainerState
  readonly podSandboxId?: string
  readonly labelSelector?: StringMap
}

export interface ContainerUser {
  readonly linux: { readonly uid: number; readonly gid: number; readonly supplementalGroups: readonly number[] }
}

export interface ContainerStatus {
  readonly id: string
  readonly metadata: ContainerMetadata
  readonly state: ContainerState
  readonly createdAt: number
  /** 0 until started. */
  readonly startedAt: number
  /** 0 until exited. */
  readonly finishedAt: number
  readonly exitCode: number
  readonly image: ImageSpec
  readonly imageRef: string
  readonly imageId: string
  /** Of an exited container: `Completed`, `Error`, `OOMKilled`, `StartError`, `ContainerStatusUnknown`. */
  readonly reason: string
  readonly message: string
  readonly labels: StringMap
  readonly annotations: StringMap
  readonly mounts: readonly Mount[]
  /** Absolute. */
  readonly logPath: string
  readonly resources?: { readonly linux: LinuxContainerResources }
  readonly user?: ContainerUser
  readonly stopSignal: string
}

export interface CreateContainerRequest {
  readonly podSandboxId: string
  readonly config: ContainerConfig
  readonly sandboxConfig: PodSandboxConfig
}

export interface ContainerStatusResponse {
  readonly status: ContainerStatus
  readonly info: StringMap
}

// ---- exec, attach, port-forward

export interface ExecSyncResponse {
  /** At most 16 MiB are kept of each. */
  readonly stdout: Uint8Array
  readonly stderr: Uint8Array
  readonly exitCode: number
}

export interface TerminalSize {
  readonly width: number
  readonly height: number
}

export interface ExecRequest {
  readonly containerId: string
  readonly cmd: readonly string[]
  readonly tty?: boolean
  readonly stdin?: boolean
  readonly stdout?: boolean
  readonly stderr?: boolean
}

export interface AttachRequest {
  readonly containerId: string
  readonly stdin?: boolean
  readonly tty?: boolean
  readonly stdout?: boolean
  readonly stderr?: boolean
}

/** The near end of a process's standard streams. Streams that were not asked for are absent; with a terminal all output is `stdout`. */
export interface StdioSession {
  /** Ending it closes the process's standard input. */
  readonly stdin?: Writable
  readonly stdout?: Readable
  readonly stderr?: Readable
  /** Does nothing without a terminal. */
  resize(size: TerminalSize): void
  /** Lets go of the streams. A process of `exec` is killed when it still runs; one that was attached to goes on. */
  close(): void
}

export interface ExecSession extends StdioSession {
  /** Settles when the process has ended; everything it wrote can still be read. */
  readonly exit: Promise<{ readonly exitCode: number }>
}

export interface AttachSession extends StdioSession {
  /** Settles when the container has ended or the session is closed. */
  readonly done: Promise<void>
}

// ---- stats

export interface CpuUsage {
  readonly timestamp: number
  readonly usageCoreNanoSeconds?: number
  readonly usageNanoCores?: number
  readonly psi?: PsiStats
}

export interface MemoryUsage {
  readonly timestamp: number
  readonly workingSetBytes?: number
  readonly availableBytes?: number
  readonly usageBytes?: number
  readonly rssBytes?: number
  readonly pageFaults?: number
  readonly majorPageFaults?: number
  readonly psi?: PsiStats
}

export interface SwapUsage {
  readonly timestamp: number
  readonly swapAvailableBytes?: number
  readonly swapUsageBytes?: number
}

export interface IoUsage {
  readonly timestamp: number
  readonly psi?: PsiStats
}

export interface PsiData {
  readonly total: number
  readonly avg10: number
  readonly avg60: number
  readonly avg300: number
}

export interface PsiStats {
  readonly full: PsiData
  readonly some: PsiData
}

export interface FilesystemUsage {
  readonly timestamp: number
  readonly fsId: { readonly mountpoint: string }
  readonly usedBytes?: number
  readonly inodesUsed?: number
}

export interface NetworkInterfaceUsage {
  readonly name: string
  readonly rxBytes?: number
  readonly rxErrors?: number
  readonly txBytes?: number
  readonly txErrors?: number
}

export interface NetworkUsage {
  readonly timestamp: number
  readonly defaultInterface?: NetworkInterfaceUsage
  readonly interfaces: readonly NetworkInterfaceUsage[]
}

export interface ContainerAttributes {
  readonly id: string
  readonly metadata: ContainerMetadata
  readonly labels: StringMap
  readonly annotations: StringMap
}

export interface ContainerStats {
  readonly attributes: ContainerAttributes
  readonly cpu?: CpuUsage
  readonly memory?: MemoryUsage
  readonly writableLayer?: FilesystemUsage
  readonly swap?: SwapUsage
  readonly io?: IoUsage
}

export interface ContainerStatsFilter {
  readonly id?: string
  readonly podSandboxId?: string
  readonly labelSelector?: StringMap
}

export interface PodSandboxStats {
  readonly attributes: {
    readonly id: string
    readonly metadata: PodSandboxMetadata
    readonly labels: StringMap
    readonly annotations: StringMap
  }
  readonly linux: {
    readonly cpu?: CpuUsage
    readonly memory?: MemoryUsage
    readonly network?: NetworkUsage
    readonly process?: { readonly timestamp: number; readonly processCount?: number }
    readonly containers: readonly ContainerStats[]
    readonly io?: IoUsage
  }
}

export interface PodSandboxStatsFilter {
  readonly id?: string
  readonly labelSelector?: StringMap
}

export interface MetricDescriptor {
  readonly name: string
  readonly help: string
  readonly labelKeys: readonly string[]
}

export interface Metric {
  readonly name: string
  readonly timestamp: number
  readonly metricType: 'COUNTER' | 'GAUGE'
  readonly labelValues: readonly string[]
  readonly value?: number
}

export interface PodSandboxMetrics {
  readonly podSandboxId: string
  readonly metrics: readonly Metric[]
  readonly containerMetrics: readonly { readonly containerId: string; readonly metrics: readonly Metric[] }[]
}

// ---- events, status

export type ContainerEventType =
  | 'CONTAINER_CREATED_EVENT'
  | 'CONTAINER_STARTED_EVENT'
  | 'CONTAINER_STOPPED_EVENT'
  | 'CONTAINER_DELETED_EVENT'

/** `containerId` is the sandbox's own id for the life of a sandbox. */
export interface ContainerEvent {
  readonly containerId: string
  readonly containerEventType: ContainerEventType
  readonly createdAt: number
  readonly podSandboxStatus?: PodSandboxStatus
  readonly containersStatuses: readonly ContainerStatus[]
}

export interface RuntimeCondition {
  /** `RuntimeReady`, `NetworkReady`. */
  readonly type: string
  readonly status: boolean
  readonly reason: string
  readonly message: string
}

export interface RuntimeHandler {
  /** Empty for the default. */
  readonly name: string
  readonly features: { readonly recursiveReadOnlyMounts: boolean; readonly userNamespaces: boolean }
}

export interface StatusResponse {
  readonly status: { readonly conditions: readonly RuntimeCondition[] }
  readonly info: StringMap
  readonly runtimeHandlers: readonly RuntimeHandler[]
  readonly features: { readonly supplementalGroupsPolicy: boolean; readonly userNamespacesHostNetwork: boolean }
}

export interface VersionResponse {
  readonly version: string
  readonly runtimeName: string
  readonly runtimeVersion: string
  readonly runtimeApiVersion: string
}

// ---- images

export interface Image {
  /** Digest of the image's configuration: `sha256:…`. */
  readonly id: string
  readonly repoTags: readonly string[]
  readonly repoDigests: readonly string[]
  readonly size: number
  /** The image's user when it is a number. */
  readonly uid?: number
  /** The image's user when it is a name. */
  readonly username: string
  readonly spec: ImageSpec
  readonly pinned: boolean
}

export interface AuthConfig {
  readonly username?: string
  readonly password?: string
  /** base64 of `username:password`. */
  readonly auth?: string
  readonly serverAddress?: string
  readonly identityToken?: string
  readonly registryToken?: string
}

export interface PullImageRequest {
  readonly image: ImageSpec
  readonly auth?: AuthConfig
  readonly sandboxConfig?: PodSandboxConfig
}

export interface ImageFsInfoResponse {
  readonly imageFilesystems: readonly FilesystemUsage[]
  readonly containerFilesystems: readonly FilesystemUsage[]
}

// ---- the interface

/** Options of calls that may take long. */
export interface CallOptions {
  readonly signal?: AbortSignal
}

/** Pods and containers. Errors are CriError; removing or stopping what is gone already is no error. */
export interface RuntimeService {
  version(): Promise<VersionResponse>
  status(options?: { readonly verbose?: boolean }): Promise<StatusResponse>
  runtimeConfig(): Promise<{ readonly linux: { readonly cgroupDriver: 'SYSTEMD' | 'CGROUPFS' } }>
  updateRuntimeConfig(config: { readonly podCidr?: string }): Promise<void>

  /** When it returns, the pod's network is up and its pause process runs. */
  runPodSandbox(request: RunPodSandboxRequest, options?: CallOptions): Promise<{ readonly podSandboxId: string }>
  /** Kills what runs in it and gives its network back. */
  stopPodSandbox(podSandboxId: string): Promise<void>
  /** Stops and removes it with all its containers. */
  removePodSandbox(podSandboxId: string): Promise<void>
  podSandboxStatus(podSandboxId: string, options?: { readonly verbose?: boolean }): Promise<PodSandboxStatusResponse>
  listPodSandbox(filter?: PodSandboxFilter): Promise<readonly PodSandbox[]>
  updatePodSandboxResources(
    podSandboxId: string,
    resources: { readonly overhead?: LinuxContainerResources; readonly resources?: LinuxContainerResources },
  ): Promise<void>

  createContainer(request: CreateContainerRequest, options?: CallOptions): Promise<{ readonly containerId: string }>
  startContainer(containerId: string): Promise<void>
  /** Sends the stop signal, and SIGKILL after `timeout` seconds (at once when 0). Returns when the container has ended. */
  stopContainer(containerId: string, timeout?: number): Promise<void>
  /** Kills it first when it runs. */
  removeContainer(containerId: string): Promise<void>
  containerStatus(containerId: string, options?: { readonly verbose?: boolean }): Promise<ContainerStatusResponse>
  listContainers(filter?: ContainerFilter): Promise<readonly Container[]>
  updateContainerResources(containerId: string, resources: LinuxContainerResources): Promise<void>
  /** After the log file was moved away: new lines go to a new file at the same path. */
  reopenContainerLog(containerId: string): Promise<void>
  checkpointContainer(containerId: string, location: string): Promise<void>

  /** `timeout` in seconds, 0 for none; running out of it is the error `DEADLINE_EXCEEDED`, and the process is killed. */
  execSync(containerId: string, cmd: readonly string[], timeout?: number, options?: CallOptions): Promise<ExecSyncResponse>
  exec(request: ExecRequest): Promise<ExecSession>
  attach(request: AttachRequest): Promise<AttachSession>
  /** A connection to `port` on the pod's own loopback. */
  portForward(podSandboxId: string, port: number): Promise<Duplex>

  containerStats(containerId: string): Promise<ContainerStats>
  listContainerStats(filter?: ContainerStatsFilter): Promise<readonly ContainerStats[]>
  podSandboxStats(podSandboxId: string): Promise<PodSandboxStats>
  listPodSandboxStats(filter?: PodSandboxStatsFilter): Promise<readonly PodSandboxStats[]>
  listMetricDescriptors(): Promise<readonly MetricDescriptor[]>
  listPodSandboxMetrics(): Promise<readonly PodSandboxMetrics[]>
  /** From now on, until `signal` is aborted. */
  getContainerEvents(signal: AbortSignal): AsyncIterable<ContainerEvent>
}

export interface ImageService {
  listImages(filter?: { readonly image?: ImageSpec }): Promise<readonly Image[]>
  /** Undefined when there is no such image. */
  imageStatus(image: ImageSpec): Promise<Image | undefined>
  /** Returns what `createContainer` may name as its image. */
  pullImage(request: PullImageRequest, options?: CallOptions): Promise<{ readonly imageRef: string }>
  removeImage(image: ImageSpec): Promise<void>
  imageFsInfo(): Promise<ImageFsInfoResponse>
}

export interface Cri extends RuntimeService, ImageService {}
