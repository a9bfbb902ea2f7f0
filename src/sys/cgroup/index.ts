// Control groups of v1, v2 and hybrid machines behind one interface.

export { attachDeviceRules } from './bpf-devices.js'
export { Cgroup, type CgroupJoinPlan, type CgroupOptions, hugePageSizes, openCgroup } from './cgroup.js'
export { type CgroupLayout, cgroupLayout, cgroupPath, parseCgroupMounts, systemdCgroupPath } from './layout.js'
export { planLimitsV1 } from './limits-v1.js'
export { planLimitsV2, sharesToWeight } from './limits-v2.js'
export type * from './resources.js'
export type { CgroupStats, DeviceIo, Pressure } from './stats.js'
