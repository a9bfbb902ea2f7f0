// The OCI runtime specification 1.3 as types: what a config.json may hold on Linux (github.com/opencontainers/runtime-spec).

export const OCI_VERSION = '1.3.0'

export interface Spec {
  readonly ociVersion: string
  readonly process?: Process
  readonly root?: Root
  readonly hostname?: string
  readonly domainname?: string
  readonly mounts?: readonly MountSpec[]
  readonly hooks?: Hooks
  readonly annotations?: Readonly<Record<string, string>>
  readonly linux?: Linux
}

export interface Root {
  readonly path: string
  readonly readonly?: boolean
}

export interface Process {
  readonly terminal?: boolean
  readonly consoleSize?: { readonly height: number; readonly width: number }
  readonly user?: User
  readonly args?: readonly string[]
  readonly commandLine?: string
  readonly env?: readonly string[]
  readonly cwd: string
  readonly capabilities?: Capabilities
  readonly rlimits?: readonly Rlimit[]
  readonly noNewPrivileges?: boolean
  readonly apparmorProfile?: string
  readonly oomScoreAdj?: number
  readonly scheduler?: Scheduler
  readonly selinuxLabel?: string
  readonly ioPriority?: { readonly class: 'IOPRIO_CLASS_RT' | 'IOPRIO_CLASS_BE' | 'IOPRIO_CLASS_IDLE'; readonly priority?: number }
  readonly execCPUAffinity?: { readonly initial?: string; readonly final?: string }
}

export interface User {
  readonly uid: number
  readonly gid: number
  readonly umask?: number
  readonly additionalGids?: readonly number[]
  readonly username?: string
}

/** Names such as `CAP_CHOWN`. */
export interface Capabilities {
  readonly bounding?: readonly string[]
  readonly effective?: readonly string[]
  readonly inheritable?: readonly string[]
  readonly permitted?: readonly string[]
  readonly ambient?: readonly string[]
}

export interface Rlimit {
  readonly type: string
  readonly hard: number
  readonly soft: number
}

export interface Scheduler {
  readonly policy: string
  readonly nice?: number
  readonly priority?: number
  readonly flags?: readonly string[]
  readonly runtime?: number
  readonly deadline?: number
  readonly period?: number
}

export interface MountSpec {
  readonly destination: string
  readonly type?: string
  readonly source?: string
  readonly options?: readonly string[]
  readonly uidMappings?: readonly IdMapping[]
  readonly gidMappings?: readonly IdMapping[]
}

export interface IdMapping {
  readonly containerID: number
  readonly hostID: number
  readonly size: number
}

export interface Hook {
  readonly path: string
  readonly args?: readonly string[]
  readonly env?: readonly string[]
  /** Seconds. */
  readonly timeout?: number
}

export const HOOK_KINDS = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'] as const
export type HookKind = (typeof HOOK_KINDS)[number]
export type Hooks = { readonly [K in HookKind]?: readonly Hook[] }

export const NAMESPACE_TYPES = ['user', 'pid', 'network', 'mount', 'ipc', 'uts', 'cgroup', 'time'] as const
export type NamespaceType = (typeof NAMESPACE_TYPES)[number]

export interface Namespace {
  readonly type: NamespaceType
  /** Join this one; without it a new one is made. */
  readonly path?: string
}

export interface Device {
  readonly type: 'c' | 'b' | 'u' | 'p'
  readonly path: string
  readonly major?: number
  readonly minor?: number
  readonly fileMode?: number
  readonly uid?: number
  readonly gid?: number
}

/** A link of the host's that moves into the container, with its addresses; `name` is what it is called there. */
export interface NetDevice {
  readonly name?: string
}

/** set_mempolicy(2) by name. */
export interface MemoryPolicy {
  readonly mode: string
  /** Node numbers such as `0-2,4`. */
  readonly nodes?: string
  readonly flags?: readonly string[]
}

export type Propagation = 'shared' | 'slave' | 'private' | 'unbindable' | 'rshared' | 'rslave' | 'rprivate' | 'runbindable'

export interface Linux {
  readonly namespaces?: readonly Namespace[]
  readonly uidMappings?: readonly IdMapping[]
  readonly gidMappings?: readonly IdMapping[]
  readonly timeOffsets?: Readonly<Record<string, { readonly secs?: number; readonly nanosecs?: number }>>
  readonly devices?: readonly Device[]
  readonly netDevices?: Readonly<Record<string, NetDevice>>
  readonly memoryPolicy?: MemoryPolicy
  readonly cgroupsPath?: string
  readonly rootfsPropagation?: Propagation
  readonly maskedPaths?: readonly string[]
  readonly readonlyPaths?: readonly string[]
  readonly mountLabel?: string
  readonly personality?: { readonly domain: 'LINUX' | 'LINUX32'; readonly flags?: readonly string[] }
  readonly resources?: Resources
  readonly seccomp?: Seccomp
  readonly sysctl?: Readonly<Record<string, string>>
  readonly intelRdt?: {
    readonly closID?: string
    readonly l3CacheSchema?: string
    readonly memBwSchema?: string
    readonly enableCMT?: boolean
    readonly enableMBM?: boolean
  }
}

export interface DeviceRule {
  readonly allow: boolean
  readonly type?: string
  readonly major?: number
  readonly minor?: number
  readonly access?: string
}

export interface WeightDevice {
  readonly major: number
  readonly minor: number
  readonly weight?: number
  readonly leafWeight?: number
}

export interface ThrottleDevice {
  readonly major: number
  readonly minor: number
  readonly rate: number
}

export interface Resources {
  readonly devices?: readonly DeviceRule[]
  readonly memory?: {
    readonly limit?: number
    readonly reservation?: number
    readonly swap?: number
    readonly kernel?: number
    readonly kernelTCP?: number
    readonly swappiness?: number
    readonly disableOOMKiller?: boolean
    readonly useHierarchy?: boolean
    readonly checkBeforeUpdate?: boolean
  }
  readonly cpu?: {
    readonly shares?: number
    readonly quota?: number
    readonly burst?: number
    readonly period?: number
    readonly realtimeRuntime?: number
    readonly realtimePeriod?: number
    readonly cpus?: string
    readonly mems?: string
    readonly idle?: number
  }
  readonly pids?: { readonly limit?: number }
  readonly blockIO?: {
    readonly weight?: number
    readonly leafWeight?: number
    readonly weightDevice?: readonly WeightDevice[]
    readonly throttleReadBpsDevice?: readonly ThrottleDevice[]
    readonly throttleWriteBpsDevice?: readonly ThrottleDevice[]
    readonly throttleReadIOPSDevice?: readonly ThrottleDevice[]
    readonly throttleWriteIOPSDevice?: readonly ThrottleDevice[]
  }
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: number }[]
  readonly network?: { readonly classID?: number; readonly priorities?: readonly { readonly name: string; readonly priority: number }[] }
  readonly rdma?: Readonly<Record<string, { readonly hcaHandles?: number; readonly hcaObjects?: number }>>
  /** cgroup v2 file name: what to write into it. */
  readonly unified?: Readonly<Record<string, string>>
}

export interface Seccomp {
  readonly defaultAction: string
  readonly defaultErrnoRet?: number
  readonly architectures?: readonly string[]
  readonly flags?: readonly string[]
  readonly listenerPath?: string
  readonly listenerMetadata?: string
  readonly syscalls?: readonly SeccompRule[]
}

export interface SeccompRule {
  readonly names: readonly string[]
  readonly action: string
  readonly errnoRet?: number
  readonly args?: readonly { readonly index: number; readonly value: number; readonly valueTwo?: number; readonly op: string }[]
}

export type OciStatus = 'creating' | 'created' | 'running' | 'paused' | 'stopped'

/** The state that hooks read on stdin and `state` prints. */
export interface OciState {
  readonly ociVersion: string
  readonly id: string
  readonly status: OciStatus
  readonly pid?: number
  readonly bundle: string
  readonly annotations?: Readonly<Record<string, string>>
}
