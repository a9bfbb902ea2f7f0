// The metrics of pods and containers under the names that dashboards know them by (cAdvisor's). Pure: a table over facts.
import type { ContainerStats as RuntimeStats } from '../runtime/index.js'
import type { InterfaceCounters } from './net-dev.js'
import type { LinuxContainerResources, Metric, MetricDescriptor } from './types.js'

export interface ProcessFacts {
  readonly processes: number
  readonly fileDescriptors: number
  readonly sockets: number
  /** Soft limit of open files of the first process. */
  readonly maxOpenFiles: number | undefined
}

export interface ContainerFacts {
  /** Milliseconds since 1970. */
  readonly now: number
  readonly startedAt: number
  readonly stats: RuntimeStats
  readonly resources: LinuxContainerResources
  readonly process: ProcessFacts
  /** Of the writable layer. */
  readonly layerBytes: number | undefined
  /** The file system that layers are on. */
  readonly disk: { readonly device: string; readonly bytes: number; readonly inodes: number; readonly inodesFree: number }
}

/** One value, or several that the row's own labels tell apart; undefined when the kernel does not say. */
type Values = number | undefined | readonly { readonly labels: readonly string[]; readonly value: number }[]

interface Row<Facts> {
  readonly name: string
  readonly help: string
  readonly type: Metric['metricType']
  readonly labels?: readonly string[]
  of(facts: Facts): Values
}

/** Of every metric; pod metrics leave `container` and `image` empty. */
const LABELS = ['pod', 'namespace', 'container', 'id', 'image'] as const
export type MetricLabels = Readonly<Record<(typeof LABELS)[number], string>>

const counter = <Facts>(name: string, help: string, of: Row<Facts>['of'], labels?: readonly string[]): Row<Facts> => ({
  name,
  help,
  type: 'COUNTER',
  of,
  ...(labels ? { labels } : {}),
})
const gauge = <Facts>(name: string, help: string, of: Row<Facts>['of'], labels?: readonly string[]): Row<Facts> => ({
  ...counter(name, help, of, labels),
  type: 'GAUGE',
})

/** With its fraction, which the wire (UInt64Value) cuts off. */
const seconds = (nanoseconds: number): number => nanoseconds / 1e9
/** cgroup v1 counts with the groups below under `total_…`. */
const stat = ({ memory }: RuntimeStats, ...keys: readonly string[]): number =>
  keys.map((key) => memory.stat[key]).find((value) => value !== undefined) ?? 0

type Io = 'readBytes' | 'writeBytes' | 'readOps' | 'writeOps'
const io =
  (what: Io) =>
  ({ stats }: ContainerFacts): Values =>
    stats.io.map((device) => ({ labels: [`${device.major}:${device.minor}`], value: device[what] }))

const pressure =
  (resource: 'cpu' | 'memory' | 'io', kind: 'some' | 'full') =>
  ({ stats }: ContainerFacts): Values => {
    const found = stats.pressure[resource]?.[kind]
    return found && found.totalUsec / 1e6
  }

const DEVICE = ['device']

const CONTAINER_ROWS: readonly Row<ContainerFacts>[] = [
  gauge('container_last_seen', 'When the container was last looked at, in seconds since 1970.', ({ now }) => Math.floor(now / 1000)),
  gauge('container_start_time_seconds', 'When the container was started, in seconds since 1970.', ({ startedAt }) =>
    Math.floor(startedAt / 1000),
  ),

  counter('container_cpu_usage_seconds_total', 'CPU time used, in seconds.', ({ stats }) => seconds(stats.cpu.usageNsec)),
  counter('container_cpu_user_seconds_total', 'CPU time in user mode, in seconds.', ({ stats }) => seconds(stats.cpu.userNsec)),
  counter('container_cpu_system_seconds_total', 'CPU time in the kernel, in seconds.', ({ stats }) => seconds(stats.cpu.systemNsec)),
  counter('container_cpu_cfs_periods_total', 'Periods of the CPU quota that have passed.', ({ stats }) => stats.cpu.periods),
  counter(
    'container_cpu_cfs_throttled_periods_total',
    'Periods in which the quota was used up.',
    ({ stats }) => stats.cpu.throttledPeriods,
  ),
  counter('container_cpu_cfs_throttled_seconds_total', 'Time spent waiting for quota, in seconds.', ({ stats }) =>
    seconds(stats.cpu.throttledNsec),
  ),

  gauge('container_memory_usage_bytes', 'Memory in use, page cache included.', ({ stats }) => stats.memory.usage),
  gauge('container_memory_max_usage_bytes', 'Highest memory use so far.', ({ stats }) => stats.memory.maxUsage),
  gauge('container_memory_working_set_bytes', 'Memory that cannot be had back at once.', ({ stats }) => stats.memory.workingSet),
  gauge('container_memory_rss', 'Anonymous memory.', ({ stats }) => stats.memory.rss),
  gauge('container_memory_cache', 'Page cache.', ({ stats }) => stats.memory.cache),
  gauge('container_memory_mapped_file', 'Mapped files.', ({ stats }) => stat(stats, 'total_mapped_file', 'file_mapped', 'mapped_file')),
  gauge('container_memory_total_active_file_bytes', 'File pages in use.', ({ stats }) => stat(stats, 'total_active_file', 'active_file')),
  gauge('container_memory_total_inactive_file_bytes', 'File pages not touched for long.', ({ stats }) =>
    stat(stats, 'total_inactive_file', 'inactive_file'),
  ),
  gauge('container_memory_kernel_usage', 'Memory of the kernel for the container.', ({ stats }) => stats.memory.kernel),
  gauge('container_memory_swap', 'Swap in use.', ({ stats }) => stats.memory.swap),
  counter('container_memory_failcnt', 'How often the memory limit was hit.', ({ stats }) => stats.memory.failures),
  counter(
    'container_memory_failures_total',
    'Page faults.',
    ({ stats: { memory } }) => [
      { labels: ['pgfault', 'container'], value: memory.pageFaults },
      { labels: ['pgmajfault', 'container'], value: memory.majorPageFaults },
    ],
    ['failure_type', 'scope'],
  ),
  counter('container_oom_events_total', 'Processes killed for want of memory.', ({ stats }) => stats.memory.oomKills),

  gauge(
    'container_fs_inodes_total',
    'Inodes of the file system of the writable layer.',
    ({ disk }) => own(disk.device, disk.inodes),
    DEVICE,
  ),
  gauge('container_fs_inodes_free', 'Free inodes of it.', ({ disk }) => own(disk.device, disk.inodesFree), DEVICE),
  gauge('container_fs_limit_bytes', 'Its size in bytes.', ({ disk }) => own(disk.device, disk.bytes), DEVICE),
  gauge(
    'container_fs_usage_bytes',
    'What the writable layer takes of it.',
    ({ disk, layerBytes = 0 }) => own(disk.device, layerBytes),
    DEVICE,
  ),
  counter('container_fs_reads_bytes_total', 'Bytes read from devices.', io('readBytes'), DEVICE),
  counter('container_fs_reads_total', 'Reads from devices.', io('readOps'), DEVICE),
  counter('container_fs_writes_bytes_total', 'Bytes written to devices.', io('writeBytes'), DEVICE),
  counter('container_fs_writes_total', 'Writes to devices.', io('writeOps'), DEVICE),
  counter(
    'container_blkio_device_usage_total',
    'Bytes moved to and from devices.',
    ({ stats }) =>
      stats.io.flatMap(({ major, minor, readBytes, writeBytes }) => [
        { labels: ['', String(major), String(minor), 'Read'], value: readBytes },
        { labels: ['', String(major), String(minor), 'Write'], value: writeBytes },
      ]),
    ['device', 'major', 'minor', 'operation'],
  ),

  gauge(
    'container_hugetlb_usage_bytes',
    'Huge pages in use.',
    ({ stats }) => Object.entries(stats.hugetlb).map(([size, { usage }]) => ({ labels: [size], value: usage })),
    ['pagesize'],
  ),
  gauge(
    'container_hugetlb_max_usage_bytes',
    'Highest use of huge pages so far.',
    ({ stats }) => Object.entries(stats.hugetlb).map(([size, { max }]) => ({ labels: [size], value: max })),
    ['pagesize'],
  ),

  counter('container_pressure_cpu_waiting_seconds_total', 'Time in which some task waited for a CPU.', pressure('cpu', 'some')),
  counter('container_pressure_cpu_stalled_seconds_total', 'Time in which all tasks waited for a CPU.', pressure('cpu', 'full')),
  counter('container_pressure_memory_waiting_seconds_total', 'Time in which some task waited for memory.', pressure('memory', 'some')),
  counter('container_pressure_memory_stalled_seconds_total', 'Time in which all tasks waited for memory.', pressure('memory', 'full')),
  counter('container_pressure_io_waiting_seconds_total', 'Time in which some task waited for a device.', pressure('io', 'some')),
  counter('container_pressure_io_stalled_seconds_total', 'Time in which all tasks waited for a device.', pressure('io', 'full')),

  gauge('container_processes', 'Processes.', ({ process }) => process.processes),
  gauge('container_file_descriptors', 'Open file descriptors.', ({ process }) => process.fileDescriptors),
  gauge('container_sockets', 'Open sockets.', ({ process }) => process.sockets),
  gauge('container_threads', 'Threads.', ({ stats }) => stats.pids.current),
  gauge('container_threads_max', 'Most threads allowed; 0 for no limit.', ({ stats }) => stats.pids.limit ?? 0),
  gauge(
    'container_ulimits_soft',
    'Soft limits of the first process.',
    ({ process: { maxOpenFiles } }) => (maxOpenFiles === undefined ? undefined : own('max_open_files', maxOpenFiles)),
    ['ulimit'],
  ),

  gauge('container_spec_cpu_period', 'Period of the CPU quota, in microseconds.', ({ resources }) => resources.cpuPeriod ?? 0),
  gauge('container_spec_cpu_quota', 'CPU quota per period, in microseconds.', ({ resources }) => Math.max(0, resources.cpuQuota ?? 0)),
  gauge('container_spec_cpu_shares', 'Share of the CPUs.', ({ resources }) => resources.cpuShares ?? 0),
  gauge('container_spec_memory_limit_bytes', 'Memory limit; 0 for none.', ({ resources }) => resources.memoryLimitInBytes ?? 0),
  gauge('container_spec_memory_reservation_limit_bytes', 'Memory reservation; 0 for none.', () => 0),
  gauge('container_spec_memory_swap_limit_bytes', 'Limit of memory and swap; 0 for none.', ({ resources }) =>
    Math.max(0, resources.memorySwapLimitInBytes ?? 0),
  ),
]

function own(label: string, value: number): Values {
  return [{ labels: [label], value }]
}

const INTERFACE = ['interface']
const network =
  (what: Exclude<keyof InterfaceCounters, 'name'>) =>
  (interfaces: readonly InterfaceCounters[]): Values =>
    interfaces.map((each) => ({ labels: [each.name], value: each[what] }))

const POD_ROWS: readonly Row<readonly InterfaceCounters[]>[] = [
  counter('container_network_receive_bytes_total', 'Bytes received.', network('rxBytes'), INTERFACE),
  counter('container_network_receive_packets_total', 'Packets received.', network('rxPackets'), INTERFACE),
  counter('container_network_receive_packets_dropped_total', 'Packets dropped on receipt.', network('rxDropped'), INTERFACE),
  counter('container_network_receive_errors_total', 'Errors on receipt.', network('rxErrors'), INTERFACE),
  counter('container_network_transmit_bytes_total', 'Bytes sent.', network('txBytes'), INTERFACE),
  counter('container_network_transmit_packets_total', 'Packets sent.', network('txPackets'), INTERFACE),
  counter('container_network_transmit_packets_dropped_total', 'Packets dropped on sending.', network('txDropped'), INTERFACE),
  counter('container_network_transmit_errors_total', 'Errors on sending.', network('txErrors'), INTERFACE),
]

export const METRIC_DESCRIPTORS: readonly MetricDescriptor[] = [...CONTAINER_ROWS, ...POD_ROWS].map(({ name, help, labels = [] }) => ({
  name,
  help,
  labelKeys: [...LABELS, ...labels],
}))

function fill<Facts>(rows: readonly Row<Facts>[], facts: Facts, base: MetricLabels, timestamp: number): readonly Metric[] {
  const common = LABELS.map((key) => base[key])
  return rows.flatMap(({ name, type, of }) => {
    const values = of(facts)
    if (values === undefined) return []
    const list = typeof values === 'number' ? [{ labels: [], value: values }] : values
    return list.map(({ labels, value }) => ({ name, timestamp, metricType: type, labelValues: [...common, ...labels], value }))
  })
}

export const containerMetrics = (facts: ContainerFacts, labels: MetricLabels): readonly Metric[] =>
  fill(CONTAINER_ROWS, facts, labels, facts.now)

export const podMetrics = (interfaces: readonly InterfaceCounters[], labels: MetricLabels, now: number): readonly Metric[] =>
  fill(POD_ROWS, interfaces, labels, now)
