// What a group used, read from v1 or v2 files into one shape. Parsers are pure; absent files give absent fields.

export interface Pressure {
  /** Averages in percent over 10, 60 and 300 seconds, and the total in microseconds (kernel documentation: PSI). */
  readonly some: { readonly avg10: number; readonly avg60: number; readonly avg300: number; readonly totalUsec: number }
  readonly full: { readonly avg10: number; readonly avg60: number; readonly avg300: number; readonly totalUsec: number } | undefined
}

export interface DeviceIo {
  readonly major: number
  readonly minor: number
  readonly readBytes: number
  readonly writeBytes: number
  readonly readOps: number
  readonly writeOps: number
}

export interface CgroupStats {
  readonly cpu: {
    readonly usageNsec: number
    readonly userNsec: number
    readonly systemNsec: number
    readonly periods: number
    readonly throttledPeriods: number
    readonly throttledNsec: number
  }
  readonly memory: {
    readonly usage: number
    /** Highest usage so far; 0 when the kernel does not say. */
    readonly maxUsage: number
    /** undefined: unlimited. */
    readonly limit: number | undefined
    /** Usage without file pages that were not touched for long: what the kubelet calls working set. */
    readonly workingSet: number
    readonly rss: number
    readonly cache: number
    readonly swap: number
    /** Of the kernel itself for the group. */
    readonly kernel: number
    /** undefined: unlimited. Swap alone, in v1 too. */
    readonly swapLimit: number | undefined
    readonly pageFaults: number
    readonly majorPageFaults: number
    readonly failures: number
    /** Processes killed by the kernel for want of memory. */
    readonly oomKills: number
    readonly stat: Readonly<Record<string, number>>
  }
  readonly pids: { readonly current: number; readonly limit: number | undefined }
  readonly io: readonly DeviceIo[]
  readonly hugetlb: Readonly<Record<string, { readonly usage: number; readonly max: number; readonly failures: number }>>
  readonly pressure: { readonly cpu?: Pressure; readonly memory?: Pressure; readonly io?: Pressure }
}

/** Reads a file of the group; undefined when it is not there. */
export type ReadGroupFile = (controller: string, file: string) => string | undefined

/** `key value` lines. */
export function parseFlat(text: string | undefined): Readonly<Record<string, number>> {
  const values: Record<string, number> = {}
  for (const line of (text ?? '').split('\n')) {
    const space = line.lastIndexOf(' ')
    if (space > 0) values[line.slice(0, space)] = Number(line.slice(space + 1))
  }
  return values
}

/** v1 says "unlimited" with a number next to 2^63, rounded to pages. */
const NO_LIMIT = 2 ** 62

export const parseNumber = (text: string | undefined): number => (text === undefined ? 0 : Number(text.trim()) || 0)

export function parseLimit(text: string | undefined): number | undefined {
  if (text === undefined || text.trim() === 'max') return undefined
  const value = Number(text.trim())
  return Number.isFinite(value) && value < NO_LIMIT ? value : undefined
}

export function parsePressure(text: string | undefined): Pressure | undefined {
  if (text === undefined) return undefined
  const lines = new Map(
    text
      .trim()
      .split('\n')
      .map((line) => {
        const [kind = '', ...pairs] = line.split(' ')
        const of = Object.fromEntries(pairs.map((pair) => pair.split('=') as [string, string]))
        const average = { avg10: Number(of.avg10), avg60: Number(of.avg60), avg300: Number(of.avg300), totalUsec: Number(of.total) }
        return [kind, average] as const
      }),
  )
  const some = lines.get('some')
  return some && { some, full: lines.get('full') }
}

/** v2 io.stat: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`. */
export function parseIoStat(text: string | undefined): readonly DeviceIo[] {
  return (text ?? '').split('\n').flatMap((line) => {
    const [device = '', ...pairs] = line.split(' ')
    const numbers = /^(\d+):(\d+)$/.exec(device)
    if (!numbers) return []
    const of = Object.fromEntries(pairs.map((pair) => pair.split('=') as [string, string]))
    return [
      {
        major: Number(numbers[1]),
        minor: Number(numbers[2]),
        readBytes: Number(of.rbytes ?? 0),
        writeBytes: Number(of.wbytes ?? 0),
        readOps: Number(of.rios ?? 0),
        writeOps: Number(of.wios ?? 0),
      },
    ]
  })
}

/** v1 blkio: `8:0 Read 1` lines, bytes in one file and operations in another. */
export function parseBlkio(bytes: string | undefined, operations: string | undefined): readonly DeviceIo[] {
  const devices = new Map<string, { readBytes: number; writeBytes: number; readOps: number; writeOps: number }>()
  const add = (text: string | undefined, read: 'readBytes' | 'readOps', write: 'writeBytes' | 'writeOps'): void => {
    for (const line of (text ?? '').split('\n')) {
      const [device = '', what = '', value = ''] = line.split(' ')
      if (!/^\d+:\d+$/.test(device)) continue
      const entry = devices.get(device) ?? { readBytes: 0, writeBytes: 0, readOps: 0, writeOps: 0 }
      if (what === 'Read') entry[read] = Number(value)
      if (what === 'Write') entry[write] = Number(value)
      devices.set(device, entry)
    }
  }
  add(bytes, 'readBytes', 'writeBytes')
  add(operations, 'readOps', 'writeOps')
  return [...devices].map(([device, entry]) => {
    const [major = '0', minor = '0'] = device.split(':')
    return { major: Number(major), minor: Number(minor), ...entry }
  })
}

/** v1 cpuacct.stat counts in ticks of 10 ms (USER_HZ is 100 on both of our architectures). */
const NSEC_PER_TICK = 10_000_000

export function statsV1(read: ReadGroupFile, pageSizes: readonly string[]): CgroupStats {
  const cpu = parseFlat(read('cpu', 'cpu.stat'))
  const ticks = parseFlat(read('cpuacct', 'cpuacct.stat'))
  const stat = parseFlat(read('memory', 'memory.stat'))
  const usage = parseNumber(read('memory', 'memory.usage_in_bytes'))
  const both = read('memory', 'memory.memsw.limit_in_bytes')
  const limit = parseLimit(read('memory', 'memory.limit_in_bytes'))
  const bothLimit = parseLimit(both)
  const total = (key: string): number => stat[`total_${key}`] ?? stat[key] ?? 0
  const bytes = read('blkio', 'blkio.throttle.io_service_bytes_recursive')
  const operations = read('blkio', 'blkio.throttle.io_serviced_recursive')
  return {
    cpu: {
      usageNsec: parseNumber(read('cpuacct', 'cpuacct.usage')),
      userNsec: (ticks.user ?? 0) * NSEC_PER_TICK,
      systemNsec: (ticks.system ?? 0) * NSEC_PER_TICK,
      periods: cpu.nr_periods ?? 0,
      throttledPeriods: cpu.nr_throttled ?? 0,
      throttledNsec: cpu.throttled_time ?? 0,
    },
    memory: {
      usage,
      maxUsage: parseNumber(read('memory', 'memory.max_usage_in_bytes')),
      limit,
      workingSet: Math.max(0, usage - total('inactive_file')),
      rss: total('rss'),
      cache: total('cache'),
      swap: total('swap'),
      kernel: parseNumber(read('memory', 'memory.kmem.usage_in_bytes')),
      swapLimit: bothLimit === undefined || limit === undefined ? undefined : Math.max(0, bothLimit - limit),
      pageFaults: total('pgfault'),
      majorPageFaults: total('pgmajfault'),
      failures: parseNumber(read('memory', 'memory.failcnt')),
      oomKills: parseFlat(read('memory', 'memory.oom_control')).oom_kill ?? 0,
      stat,
    },
    pids: { current: parseNumber(read('pids', 'pids.current')), limit: parseLimit(read('pids', 'pids.max')) },
    io: parseBlkio(bytes, operations),
    hugetlb: Object.fromEntries(
      pageSizes.map((size) => [
        size,
        {
          usage: parseNumber(read('hugetlb', `hugetlb.${size}.usage_in_bytes`)),
          max: parseNumber(read('hugetlb', `hugetlb.${size}.max_usage_in_bytes`)),
          failures: parseNumber(read('hugetlb', `hugetlb.${size}.failcnt`)),
        },
      ]),
    ),
    pressure: {},
  }
}

export function statsV2(read: ReadGroupFile, pageSizes: readonly string[]): CgroupStats {
  const cpu = parseFlat(read('cpu', 'cpu.stat'))
  const stat = parseFlat(read('memory', 'memory.stat'))
  const events = parseFlat(read('memory', 'memory.events'))
  const usage = parseNumber(read('memory', 'memory.current'))
  const pressure = (name: string): Pressure | undefined => parsePressure(read('', `${name}.pressure`))
  const [cpuPressure, memoryPressure, ioPressure] = [pressure('cpu'), pressure('memory'), pressure('io')]
  return {
    cpu: {
      usageNsec: (cpu.usage_usec ?? 0) * 1000,
      userNsec: (cpu.user_usec ?? 0) * 1000,
      systemNsec: (cpu.system_usec ?? 0) * 1000,
      periods: cpu.nr_periods ?? 0,
      throttledPeriods: cpu.nr_throttled ?? 0,
      throttledNsec: (cpu.throttled_usec ?? 0) * 1000,
    },
    memory: {
      usage,
      maxUsage: parseNumber(read('memory', 'memory.peak')),
      limit: parseLimit(read('memory', 'memory.max')),
      workingSet: Math.max(0, usage - (stat.inactive_file ?? 0)),
      rss: stat.anon ?? 0,
      cache: stat.file ?? 0,
      swap: parseNumber(read('memory', 'memory.swap.current')),
      // Before Linux 5.18 the parts alone are told.
      kernel: stat.kernel ?? (stat.kernel_stack ?? 0) + (stat.slab ?? 0),
      swapLimit: parseLimit(read('memory', 'memory.swap.max')),
      pageFaults: stat.pgfault ?? 0,
      majorPageFaults: stat.pgmajfault ?? 0,
      failures: events.max ?? 0,
      oomKills: events.oom_kill ?? 0,
      stat,
    },
    pids: { current: parseNumber(read('pids', 'pids.current')), limit: parseLimit(read('pids', 'pids.max')) },
    io: parseIoStat(read('io', 'io.stat')),
    hugetlb: Object.fromEntries(
      pageSizes.map((size) => [
        size,
        {
          usage: parseNumber(read('hugetlb', `hugetlb.${size}.current`)),
          max: 0,
          failures: parseFlat(read('hugetlb', `hugetlb.${size}.events`)).max ?? 0,
        },
      ]),
    ),
    pressure: {
      ...(cpuPressure ? { cpu: cpuPressure } : {}),
      ...(memoryPressure ? { memory: memoryPressure } : {}),
      ...(ioPressure ? { io: ioPressure } : {}),
    },
  }
}
