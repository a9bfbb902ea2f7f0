// OCI resources as writes to cgroup v2 files. Pure. Devices are not files there: see device-filter.ts.
import { pidsWrites, rdmaWrites } from './limits-v1.js'
import type { BlockIoResources, CgroupResources, CgroupWrite } from './resources.js'

/** cpu.shares (2 to 262144, usual 1024) as cpu.weight (1 to 10000, usual 100), so that 2, 1024 and 262144 become 1, 100 and 10000. */
export function sharesToWeight(shares: number): number {
  if (shares <= 2) return 1
  if (shares >= 262_144) return 10_000
  const log = Math.log2(shares)
  return Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))
}

/** blkio.weight (10 to 1000) as io.weight (1 to 10000). */
export const blkioToIoWeight = (weight: number): number => 1 + Math.floor(((weight - 10) * 9999) / 990)

const orMax = (value: number): string => (value < 0 ? 'max' : String(value))

function blockIo(io: BlockIoResources): CgroupWrite[] {
  const writes: CgroupWrite[] = []
  if (io.weight) {
    writes.push({ controller: 'io', file: 'io.bfq.weight', value: String(io.weight), optional: true })
    writes.push({ controller: 'io', file: 'io.weight', value: String(blkioToIoWeight(io.weight)), optional: true })
  }
  for (const { major, minor, weight } of io.weightDevice ?? [])
    if (weight) writes.push({ controller: 'io', file: 'io.bfq.weight', value: `${major}:${minor} ${weight}`, optional: true })
  const lists = [
    ['rbps', io.throttleReadBpsDevice],
    ['wbps', io.throttleWriteBpsDevice],
    ['riops', io.throttleReadIOPSDevice],
    ['wiops', io.throttleWriteIOPSDevice],
  ] as const
  for (const [key, list] of lists)
    for (const { major, minor, rate } of list ?? [])
      writes.push({ controller: 'io', file: 'io.max', value: `${major}:${minor} ${key}=${rate === 0 ? 'max' : rate}` })
  return writes
}

function memory(wanted: NonNullable<CgroupResources['memory']>): CgroupWrite[] {
  const write = (file: string, value: string, optional = false): CgroupWrite => ({
    controller: 'memory',
    file,
    value,
    ...(optional ? { optional } : {}),
  })
  const writes: CgroupWrite[] = []
  if (wanted.swap !== undefined && wanted.swap !== 0) {
    const { limit, swap } = wanted
    if (swap > 0 && (limit === undefined || limit <= 0)) throw new Error('memory.swap is memory plus swap: set memory.limit beside it')
    if (swap > 0 && limit !== undefined && swap < limit)
      throw new Error(`memory.swap ${swap} is memory plus swap and may not be below memory.limit ${limit}`)
    writes.push(write('memory.swap.max', swap < 0 ? 'max' : String(swap - (limit ?? 0)), true))
  } else if (wanted.limit === -1) writes.push(write('memory.swap.max', 'max', true))
  if (wanted.limit) writes.push(write('memory.max', orMax(wanted.limit)))
  if (wanted.reservation) writes.push(write('memory.low', orMax(wanted.reservation)))
  return writes
}

function cpu(wanted: NonNullable<CgroupResources['cpu']>): CgroupWrite[] {
  const writes: CgroupWrite[] = []
  const write = (file: string, value: string | number, controller = 'cpu'): void => {
    writes.push({ controller, file, value: String(value) })
  }
  if (wanted.idle !== undefined) write('cpu.idle', wanted.idle)
  // A group that is idle has no weight: the kernel answers EINVAL.
  if (wanted.shares && !wanted.idle) write('cpu.weight', sharesToWeight(wanted.shares))
  // The burst may not exceed the quota: lower it before, raise it after.
  if (wanted.quota || wanted.period) {
    const quota = wanted.quota && wanted.quota > 0 ? String(wanted.quota) : 'max'
    write('cpu.max', wanted.period ? `${quota} ${wanted.period}` : quota)
  }
  if (wanted.burst !== undefined) write('cpu.max.burst', wanted.burst)
  if (wanted.cpus) write('cpuset.cpus', wanted.cpus, 'cpuset')
  if (wanted.mems) write('cpuset.mems', wanted.mems, 'cpuset')
  return writes
}

function unified(files: Readonly<Record<string, string>>): CgroupWrite[] {
  return Object.entries(files).flatMap(([file, value]) => {
    if (file === '' || file.includes('/')) throw new Error(`resources.unified["${file}"]: a file name without "/" is wanted`)
    if (!file.includes('.')) throw new Error(`resources.unified["${file}"]: cgroup files are named CONTROLLER.SETTING`)
    // The kernel takes one line with each write.
    const lines = value.split('\n').filter((line, i) => line !== '' || i === 0)
    return lines.map((line) => ({ controller: file.split('.')[0] ?? '', file, value: line }))
  })
}

/** The writes for a v2 group, in order. */
export function planLimitsV2(resources: CgroupResources): readonly CgroupWrite[] {
  return [
    ...(resources.memory ? memory(resources.memory) : []),
    ...(resources.cpu ? cpu(resources.cpu) : []),
    ...pidsWrites(resources),
    ...(resources.blockIO ? blockIo(resources.blockIO) : []),
    ...(resources.hugepageLimits ?? []).flatMap(({ pageSize, limit }) => [
      { controller: 'hugetlb', file: `hugetlb.${pageSize}.max`, value: String(limit) },
      // Reservations count as well, or a process could reserve what it may not touch. Kernels before 5.7 lack the file.
      { controller: 'hugetlb', file: `hugetlb.${pageSize}.rsvd.max`, value: String(limit), optional: true },
    ]),
    ...rdmaWrites(resources),
    ...unified(resources.unified ?? {}),
  ]
}
