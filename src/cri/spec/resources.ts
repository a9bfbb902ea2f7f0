// Limits in CRI's words become limits in OCI's words.
import type { Resources } from '../../runtime/index.js'
import { invalid } from '../errors.js'
import type { LinuxContainerResources } from '../types.js'

/** `undefined` leaves a limit as the kernel has it. Zero means "not set", as in proto3. */
export function ociResources(want: LinuxContainerResources | undefined): Resources {
  if (!want) return {}
  if ((want.memoryLimitInBytes ?? 0) < 0) throw invalid(`memory limit ${want.memoryLimitInBytes} is negative: want bytes, or 0 for none`)
  for (const { pageSize } of want.hugepageLimits ?? [])
    if (!/^\d+[KMG]B$/.test(pageSize)) throw invalid(`hugepage size ${JSON.stringify(pageSize)} is not understood: want 2MB, 1GB, …`)
  const cpu = {
    ...(want.cpuShares ? { shares: want.cpuShares } : {}),
    ...(want.cpuQuota ? { quota: want.cpuQuota } : {}),
    ...(want.cpuPeriod ? { period: want.cpuPeriod } : {}),
    ...(want.cpusetCpus ? { cpus: want.cpusetCpus } : {}),
    ...(want.cpusetMems ? { mems: want.cpusetMems } : {}),
  }
  const memory = {
    ...(want.memoryLimitInBytes ? { limit: want.memoryLimitInBytes } : {}),
    ...(want.memorySwapLimitInBytes ? { swap: want.memorySwapLimitInBytes } : {}),
  }
  return {
    ...(Object.keys(cpu).length > 0 ? { cpu } : {}),
    ...(Object.keys(memory).length > 0 ? { memory } : {}),
    ...(want.hugepageLimits && want.hugepageLimits.length > 0 ? { hugepageLimits: want.hugepageLimits } : {}),
    ...(want.unified && Object.keys(want.unified).length > 0 ? { unified: want.unified } : {}),
  }
}

/** The limits in force after an update: what `change` does not mention stays. */
export function mergeResources(before: LinuxContainerResources, change: LinuxContainerResources): LinuxContainerResources {
  const given = Object.entries(change).filter(
    ([, value]) => value !== undefined && value !== 0 && value !== '' && !(Array.isArray(value) && value.length === 0),
  )
  return { ...before, ...Object.fromEntries(given), unified: { ...before.unified, ...change.unified } }
}
