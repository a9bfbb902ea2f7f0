import t from 'tap'
import type { ContainerStats } from '../runtime/index.js'
import { type ContainerFacts, containerMetrics, METRIC_DESCRIPTORS, podMetrics } from './metrics.js'
import { parseNetDev } from './net-dev.js'

const pressure = { some: { avg10: 1, avg60: 1, avg300: 1, totalUsec: 2_500_000 }, full: undefined }

const stats: ContainerStats = {
  at: 5000,
  cpu: { usageNsec: 3_900_000_000, userNsec: 2e9, systemNsec: 1e9, periods: 7, throttledPeriods: 3, throttledNsec: 1.5e9 },
  memory: {
    usage: 100,
    maxUsage: 200,
    limit: 300,
    workingSet: 80,
    rss: 50,
    cache: 40,
    swap: 5,
    kernel: 6,
    swapLimit: undefined,
    pageFaults: 11,
    majorPageFaults: 12,
    failures: 13,
    oomKills: 1,
    stat: { total_mapped_file: 14, mapped_file: 1 },
  },
  pids: { current: 4, limit: undefined },
  io: [{ major: 8, minor: 1, readBytes: 1, writeBytes: 2, readOps: 3, writeOps: 4 }],
  hugetlb: { '2MB': { usage: 21, max: 22, failures: 0 } },
  pressure: { cpu: pressure },
}

const facts: ContainerFacts = {
  now: 5000,
  startedAt: 2000,
  stats,
  resources: { cpuPeriod: 100_000, cpuQuota: -1, memoryLimitInBytes: 300 },
  process: { processes: 2, fileDescriptors: 9, sockets: 1, maxOpenFiles: 1024 },
  layerBytes: 4096,
  disk: { device: '/var', bytes: 1000, inodes: 10, inodesFree: 9 },
}

const labels = { pod: 'p', namespace: 'n', container: 'c', id: 'i', image: 'm' }

t.test('every sample has the labels that its descriptor names', async (t) => {
  const keys = new Map(METRIC_DESCRIPTORS.map(({ name, labelKeys }) => [name, labelKeys]))
  t.equal(keys.size, METRIC_DESCRIPTORS.length, 'no name twice')
  const interfaces = parseNetDev('Inter-|\n face |\n  eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n')
  const samples = [...containerMetrics(facts, labels), ...podMetrics(interfaces, { ...labels, container: '', image: '' }, 5000)]
  for (const { name, labelValues } of samples) t.equal(labelValues.length, keys.get(name)?.length, name)
  const told = new Set(samples.map(({ name }) => name))
  const silent = [...keys.keys()].filter((name) => !told.has(name))
  t.strictSame(silent, [
    'container_pressure_cpu_stalled_seconds_total',
    'container_pressure_memory_waiting_seconds_total',
    'container_pressure_memory_stalled_seconds_total',
    'container_pressure_io_waiting_seconds_total',
    'container_pressure_io_stalled_seconds_total',
  ])
})

t.test('values', async (t) => {
  const of = (name: string) =>
    containerMetrics(facts, labels)
      .filter((metric) => metric.name === name)
      .map(({ labelValues, value }) => [...labelValues.slice(5), value])
  t.strictSame(of('container_cpu_usage_seconds_total'), [[3.9]])
  t.strictSame(of('container_memory_mapped_file'), [[14]], 'the groups below too')
  t.strictSame(of('container_memory_failures_total'), [
    ['pgfault', 'container', 11],
    ['pgmajfault', 'container', 12],
  ])
  t.strictSame(of('container_blkio_device_usage_total'), [
    ['', '8', '1', 'Read', 1],
    ['', '8', '1', 'Write', 2],
  ])
  t.strictSame(of('container_pressure_cpu_waiting_seconds_total'), [[2.5]])
  t.strictSame(of('container_spec_cpu_quota'), [[0]], 'no quota')
  t.strictSame(of('container_hugetlb_usage_bytes'), [['2MB', 21]])
  const [, received] = podMetrics(parseNetDev('eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0'), labels, 1)
  t.match(received, { name: 'container_network_receive_packets_total', value: 2, labelValues: ['p', 'n', 'c', 'i', 'm', 'eth0'] })
})
