// The `linux.resources` object of an OCI runtime spec (runtime-spec config-linux.md), as far as cgroups carry it out.

export interface DeviceRule {
  readonly allow: boolean
  /** `a` all, `c` character, `b` block. Absent: all. */
  readonly type?: string
  /** Absent or -1: every number. */
  readonly major?: number
  readonly minor?: number
  /** Letters of `rwm`; absent: all of them. An `a` among them says nothing, as with runc. */
  readonly access?: string
}

/** The letters of a rule's access. */
export function accessOf({ access }: DeviceRule): string {
  if (access === undefined || access === '') return 'rwm'
  if (!/^[rwma]+$/.test(access)) throw new Error(`device rule: access "${access}" may hold r, w and m only`)
  return access.replaceAll('a', '') || 'rwm'
}

export interface MemoryResources {
  readonly limit?: number
  readonly reservation?: number
  /** Memory plus swap. -1: unlimited. */
  readonly swap?: number
  readonly kernel?: number
  readonly kernelTCP?: number
  readonly swappiness?: number
  readonly disableOOMKiller?: boolean
  readonly useHierarchy?: boolean
  readonly checkBeforeUpdate?: boolean
}

export interface CpuResources {
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

export interface DeviceWeight {
  readonly major: number
  readonly minor: number
  readonly weight?: number
  readonly leafWeight?: number
}

export interface DeviceThrottle {
  readonly major: number
  readonly minor: number
  readonly rate: number
}

export interface BlockIoResources {
  readonly weight?: number
  readonly leafWeight?: number
  readonly weightDevice?: readonly DeviceWeight[]
  readonly throttleReadBpsDevice?: readonly DeviceThrottle[]
  readonly throttleWriteBpsDevice?: readonly DeviceThrottle[]
  readonly throttleReadIOPSDevice?: readonly DeviceThrottle[]
  readonly throttleWriteIOPSDevice?: readonly DeviceThrottle[]
}

export interface CgroupResources {
  readonly devices?: readonly DeviceRule[]
  readonly memory?: MemoryResources
  readonly cpu?: CpuResources
  readonly pids?: { readonly limit?: number }
  readonly blockIO?: BlockIoResources
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: number }[]
  readonly network?: { readonly classID?: number; readonly priorities?: readonly { readonly name: string; readonly priority: number }[] }
  readonly rdma?: Readonly<Record<string, { readonly hcaHandles?: number; readonly hcaObjects?: number }>>
  /** cgroup v2 files and their content, written last. */
  readonly unified?: Readonly<Record<string, string>>
}

/** One file to write in a group, beneath the hierarchy of `controller`. */
export interface CgroupWrite {
  readonly controller: string
  readonly file: string
  readonly value: string
  /** Absent files are passed over: kernels differ in what they were built with, and the setting is only a wish. */
  readonly optional?: boolean
  /** Refused with EINVAL it is tried again behind the next one: the kernel checks the two against each other. */
  readonly afterNext?: boolean
}
