// OCI resources as writes to cgroup v1 files. Pure.
import {
  accessOf,
  type BlockIoResources,
  type CgroupResources,
  type CgroupWrite,
  type DeviceRule,
  type DeviceThrottle,
} from './resources.js'

/** `c 1:3 rwm`, as devices.allow and devices.deny want it; a rule for everything is `a`. */
export function deviceLine(rule: DeviceRule): string {
  const type = rule.type === undefined || rule.type === '' ? 'a' : rule.type
  if (!['a', 'b', 'c', 'u', 'p'].includes(type)) throw new Error(`device rule: type "${type}" is not one of a, b, c`)
  const access = accessOf(rule)
  const number = (value: number | undefined): string => (value === undefined || value === -1 ? '*' : String(value))
  if (type === 'a' && number(rule.major) === '*' && number(rule.minor) === '*') return 'a'
  return `${type === 'u' ? 'c' : type} ${number(rule.major)}:${number(rule.minor)} ${access}`
}

const throttles = (file: string, list: readonly DeviceThrottle[] | undefined): CgroupWrite[] =>
  (list ?? []).map(({ major, minor, rate }) => ({
    controller: 'blkio',
    file: `blkio.throttle.${file}`,
    value: `${major}:${minor} ${rate}`,
  }))

function blockIo(io: BlockIoResources): CgroupWrite[] {
  const writes: CgroupWrite[] = []
  // Weights live in the BFQ scheduler on today's kernels and in CFQ on old ones: whichever file is there takes the value.
  for (const scheduler of ['bfq.', ''])
    if (io.weight) writes.push({ controller: 'blkio', file: `blkio.${scheduler}weight`, value: String(io.weight), optional: true })
  if (io.leafWeight) writes.push({ controller: 'blkio', file: 'blkio.leaf_weight', value: String(io.leafWeight), optional: true })
  for (const { major, minor, weight, leafWeight } of io.weightDevice ?? []) {
    for (const scheduler of ['bfq.', ''])
      if (weight)
        writes.push({ controller: 'blkio', file: `blkio.${scheduler}weight_device`, value: `${major}:${minor} ${weight}`, optional: true })
    if (leafWeight)
      writes.push({ controller: 'blkio', file: 'blkio.leaf_weight_device', value: `${major}:${minor} ${leafWeight}`, optional: true })
  }
  return [
    ...writes,
    ...throttles('read_bps_device', io.throttleReadBpsDevice),
    ...throttles('write_bps_device', io.throttleWriteBpsDevice),
    ...throttles('read_iops_device', io.throttleReadIOPSDevice),
    ...throttles('write_iops_device', io.throttleWriteIOPSDevice),
  ]
}

/** What stands in the files now, where it decides the order of writes. */
export interface CurrentV1 {
  /** memory.memsw.limit_in_bytes; undefined when the kernel does not account swap. */
  readonly swapLimit?: bigint
}

function memory(wanted: NonNullable<CgroupResources['memory']>, current: CurrentV1): CgroupWrite[] {
  const write = (file: string, value: number, optional = false): CgroupWrite => ({
    controller: 'memory',
    file: `memory.${file}`,
    value: String(value),
    ...(optional ? { optional } : {}),
  })
  const writes: CgroupWrite[] = []
  const limit = wanted.limit ? [write('limit_in_bytes', wanted.limit)] : []
  // A kernel without swap accounting has no memsw file; a limit for swap means nothing there.
  const swapValue = wanted.swap || (wanted.limit === -1 ? -1 : undefined)
  const swap = swapValue ? [write('memsw.limit_in_bytes', swapValue, true)] : []
  // The kernel keeps limit <= limit with swap at every moment: going up, swap goes first.
  const raising =
    current.swapLimit !== undefined &&
    swapValue !== undefined &&
    (swapValue === -1 || (wanted.limit !== undefined && BigInt(wanted.limit) > current.swapLimit))
  writes.push(...(raising ? [...swap, ...limit] : [...limit, ...swap]))
  if (wanted.reservation) writes.push(write('soft_limit_in_bytes', wanted.reservation))
  if (wanted.kernelTCP) writes.push(write('kmem.tcp.limit_in_bytes', wanted.kernelTCP, true))
  if (wanted.disableOOMKiller) writes.push(write('oom_control', 1))
  if (wanted.swappiness !== undefined) {
    if (wanted.swappiness < 0 || wanted.swappiness > 100) throw new Error(`memory swappiness ${wanted.swappiness} is outside of 0 to 100`)
    writes.push(write('swappiness', wanted.swappiness))
  }
  return writes
}

function cpu(wanted: NonNullable<CgroupResources['cpu']>): CgroupWrite[] {
  const write = (file: string, value: number | string | undefined, controller = 'cpu'): CgroupWrite[] =>
    value === undefined || value === 0 || value === '' ? [] : [{ controller, file: `${controller}.${file}`, value: String(value) }]
  /** The kernel compares their quotient, at each write, with the parent's: lower or higher, one of the two orders passes. */
  const pair = (period: readonly CgroupWrite[], runtime: readonly CgroupWrite[]): readonly CgroupWrite[] =>
    runtime.length === 0 ? period : [...period.map((one) => ({ ...one, afterNext: true })), ...runtime]
  return [
    ...pair(write('rt_period_us', wanted.realtimePeriod), write('rt_runtime_us', wanted.realtimeRuntime)),
    ...pair(write('cfs_period_us', wanted.period), write('cfs_quota_us', wanted.quota)),
    ...(wanted.burst === undefined ? [] : [{ controller: 'cpu', file: 'cpu.cfs_burst_us', value: String(wanted.burst) }]),
    ...write('shares', wanted.shares),
    ...(wanted.idle === undefined ? [] : [{ controller: 'cpu', file: 'cpu.idle', value: String(wanted.idle) }]),
    ...write('cpus', wanted.cpus, 'cpuset'),
    ...write('mems', wanted.mems, 'cpuset'),
  ]
}

/** The writes for a v1 group, in order. `unified` is for v2 and refused. */
export function planLimitsV1(resources: CgroupResources, current: CurrentV1 = {}): readonly CgroupWrite[] {
  if (resources.unified && Object.keys(resources.unified).length > 0)
    throw new Error(
      'invalid configuration: resources.unified needs cgroup v2, and this machine has v1: use the fields memory, cpu, pids and blockIO',
    )
  return [
    ...(resources.devices ?? []).map((rule) => ({
      controller: 'devices',
      file: rule.allow ? 'devices.allow' : 'devices.deny',
      value: deviceLine(rule),
    })),
    ...(resources.memory ? memory(resources.memory, current) : []),
    ...(resources.cpu ? cpu(resources.cpu) : []),
    ...pidsWrites(resources),
    ...(resources.blockIO ? blockIo(resources.blockIO) : []),
    ...(resources.hugepageLimits ?? []).map(({ pageSize, limit }) => ({
      controller: 'hugetlb',
      file: `hugetlb.${pageSize}.limit_in_bytes`,
      value: String(limit),
    })),
    ...(resources.network?.classID ? [{ controller: 'net_cls', file: 'net_cls.classid', value: String(resources.network.classID) }] : []),
    ...(resources.network?.priorities ?? []).map(({ name, priority }) => ({
      controller: 'net_prio',
      file: 'net_prio.ifpriomap',
      value: `${name} ${priority}`,
    })),
    ...rdmaWrites(resources),
  ]
}

/** A process cannot be in a group that allows none: 0 means 1. */
export function pidsWrites({ pids }: CgroupResources): CgroupWrite[] {
  if (pids?.limit === undefined) return []
  return [{ controller: 'pids', file: 'pids.max', value: pids.limit < 0 ? 'max' : String(Math.max(1, pids.limit)) }]
}

/** The same file and format in v1 and v2. */
export const rdmaWrites = (resources: CgroupResources): CgroupWrite[] =>
  Object.entries(resources.rdma ?? {}).map(([device, { hcaHandles, hcaObjects }]) => ({
    controller: 'rdma',
    file: 'rdma.max',
    value: [
      device,
      ...(hcaHandles === undefined ? [] : [`hca_handle=${hcaHandles}`]),
      ...(hcaObjects === undefined ? [] : [`hca_object=${hcaObjects}`]),
    ].join(' '),
  }))
