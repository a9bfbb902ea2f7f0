// Prometheus text: /metrics about the kubelet, /metrics/resource and /metrics/cadvisor about what runs.
import { type ContainerStats, CriError, type MetricDescriptor, type NetworkInterfaceUsage, type PodSandboxStats } from '../../cri/index.js'
import type { Pods } from '../pod/pods.js'
import type { PodServices } from '../pod/services.js'

type Labels = Readonly<Record<string, string>>
type FamilyType = 'counter' | 'gauge'

interface Sample {
  readonly labels?: Labels
  readonly value: number
  readonly at?: number | undefined
}

const escapeLabel = (value: string): string => value.replace(/[\\"\n]/g, (char) => (char === '\n' ? '\\n' : `\\${char}`))

/** One family in the text format (prometheus.io/docs/instrumenting/exposition_formats). */
export function family(name: string, type: FamilyType, help: string, samples: readonly Sample[]): string {
  const lines = samples.map(({ labels = {}, value, at }) => {
    const names = Object.entries(labels).map(([key, of]) => `${key}="${escapeLabel(of)}"`)
    return `${name}${names.length > 0 ? `{${names.join(',')}}` : ''} ${value}${at === undefined ? '' : ` ${Math.floor(at)}`}`
  })
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ''].join('\n')
}

export async function resourceMetrics({ cri, node }: PodServices): Promise<string> {
  const pods = await cri.listPodSandboxStats()
  const cpu: Sample[] = []
  const memory: Sample[] = []
  const podCpu: Sample[] = []
  const podMemory: Sample[] = []
  for (const { attributes, linux } of pods) {
    const { name: pod, namespace } = attributes.metadata
    podCpu.push({ labels: { namespace, pod }, value: (linux.cpu?.usageCoreNanoSeconds ?? 0) / 1e9, at: linux.cpu?.timestamp })
    podMemory.push({ labels: { namespace, pod }, value: linux.memory?.workingSetBytes ?? 0, at: linux.memory?.timestamp })
    for (const container of linux.containers) {
      const labels = { container: container.attributes.metadata.name, namespace, pod }
      cpu.push({ labels, value: (container.cpu?.usageCoreNanoSeconds ?? 0) / 1e9, at: container.cpu?.timestamp })
      memory.push({ labels, value: container.memory?.workingSetBytes ?? 0, at: container.memory?.timestamp })
    }
  }
  return [
    family('container_cpu_usage_seconds_total', 'counter', 'CPU time of the container in seconds', cpu),
    family('container_memory_working_set_bytes', 'gauge', 'Memory of the container that cannot be given up', memory),
    family('pod_cpu_usage_seconds_total', 'counter', 'CPU time of the pod in seconds', podCpu),
    family('pod_memory_working_set_bytes', 'gauge', 'Memory of the pod that cannot be given up', podMemory),
    family('node_memory_capacity_bytes', 'gauge', 'Memory of the machine', [{ value: node.memoryCapacity }]),
    family('resource_scrape_error', 'gauge', '1 if these figures could not be read', [{ value: 0 }]),
  ].join('')
}

/** All that the runtime measures, under cAdvisor's names. */
export async function cadvisorMetrics({ cri }: PodServices): Promise<string> {
  let descriptors: readonly MetricDescriptor[]
  try {
    descriptors = await cri.listMetricDescriptors()
  } catch (error) {
    if (error instanceof CriError && error.code === 'UNIMPLEMENTED') return metricsOfStats(await cri.listPodSandboxStats())
    throw error
  }
  const samples = new Map<string, { readonly type: FamilyType; readonly samples: Sample[] }>()
  const keys = new Map(descriptors.map(({ name, labelKeys }) => [name, labelKeys]))
  for (const { metrics, containerMetrics } of await cri.listPodSandboxMetrics()) {
    for (const { name, metricType, labelValues, value = 0, timestamp } of [...metrics, ...containerMetrics.flatMap((of) => of.metrics)]) {
      const labels = Object.fromEntries((keys.get(name) ?? []).map((key, i) => [key, labelValues[i] ?? '']))
      const found = samples.get(name) ?? { type: metricType === 'COUNTER' ? 'counter' : 'gauge', samples: [] }
      samples.set(name, found)
      found.samples.push({ labels, value, at: timestamp })
    }
  }
  return descriptors
    .map(({ name, help }) => family(name, samples.get(name)?.type ?? 'gauge', help, samples.get(name)?.samples ?? []))
    .join('')
}

type Row<Of> = readonly [name: string, type: FamilyType, help: string, of: (stats: Of) => number | undefined]

const OF_CONTAINERS: readonly Row<ContainerStats>[] = [
  ['container_cpu_usage_seconds_total', 'counter', 'CPU time used, in seconds.', ({ cpu }) => cpu && (cpu.usageCoreNanoSeconds ?? 0) / 1e9],
  ['container_memory_usage_bytes', 'gauge', 'Memory in use, page cache included.', ({ memory }) => memory?.usageBytes],
  ['container_memory_working_set_bytes', 'gauge', 'Memory that cannot be had back at once.', ({ memory }) => memory?.workingSetBytes],
  ['container_memory_rss', 'gauge', 'Anonymous memory.', ({ memory }) => memory?.rssBytes],
  ['container_fs_usage_bytes', 'gauge', 'Written by the container.', ({ writableLayer }) => writableLayer?.usedBytes],
  ['container_fs_inodes_used', 'gauge', 'Inodes of what it has written.', ({ writableLayer }) => writableLayer?.inodesUsed],
]

const OF_INTERFACES: readonly Row<NetworkInterfaceUsage>[] = [
  ['container_network_receive_bytes_total', 'counter', 'Bytes received.', ({ rxBytes }) => rxBytes],
  ['container_network_receive_errors_total', 'counter', 'Errors while receiving.', ({ rxErrors }) => rxErrors],
  ['container_network_transmit_bytes_total', 'counter', 'Bytes sent.', ({ txBytes }) => txBytes],
  ['container_network_transmit_errors_total', 'counter', 'Errors while sending.', ({ txErrors }) => txErrors],
]

/** Of a runtime that measures no more than the CRI's statistics (before Kubernetes 1.26). */
function metricsOfStats(pods: readonly PodSandboxStats[]): string {
  const measure = <Of>(rows: readonly Row<Of>[], measured: readonly { readonly labels: Labels; readonly stats: Of }[]): string =>
    rows
      .map(([name, type, help, of]) => {
        const samples = measured.map(({ labels, stats }) => ({ labels, value: of(stats) }))
        return family(
          name,
          type,
          help,
          samples.filter((sample): sample is { labels: Labels; value: number } => sample.value !== undefined),
        )
      })
      .join('')
  const labelsOf = ({ attributes: { metadata } }: PodSandboxStats): Labels => ({ pod: metadata.name, namespace: metadata.namespace })
  const containers = pods.flatMap((pod) =>
    pod.linux.containers.map((stats) => ({ labels: { ...labelsOf(pod), container: stats.attributes.metadata.name }, stats })),
  )
  const interfaces = pods.flatMap((pod) =>
    [pod.linux.network?.defaultInterface, ...(pod.linux.network?.interfaces ?? [])].flatMap((stats) =>
      stats ? [{ labels: { ...labelsOf(pod), interface: stats.name }, stats }] : [],
    ),
  )
  return measure(OF_CONTAINERS, containers) + measure(OF_INTERFACES, interfaces)
}

export const probeMetrics = ({ probeCounts }: PodServices): string =>
  family('prober_probe_total', 'counter', 'Probes by what was probed and how it was answered', probeCounts.all())

export function kubeletMetrics(services: PodServices, pods: Pods | undefined): string {
  const workers = pods?.all() ?? []
  const containers = new Map<string, number>()
  for (const { observed } of workers) for (const { phase } of observed.containers) containers.set(phase, (containers.get(phase) ?? 0) + 1)
  const { rss, heapUsed } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  return [
    family('kubelet_node_name', 'gauge', 'The name of the node', [{ labels: { node: services.node.name }, value: 1 }]),
    family('kubelet_running_pods', 'gauge', 'Pods with a sandbox that runs', [
      { value: workers.filter(({ observed }) => observed.sandboxes[0]?.ready).length },
    ]),
    family(
      'kubelet_running_containers',
      'gauge',
      'Containers by state',
      [...containers].map(([state, value]) => ({ labels: { container_state: state }, value })),
    ),
    family('process_resident_memory_bytes', 'gauge', 'Resident memory of this process', [{ value: rss }]),
    family('nodejs_heap_used_bytes', 'gauge', 'JavaScript heap in use', [{ value: heapUsed }]),
    family('process_cpu_seconds_total', 'counter', 'CPU time of this process', [{ value: (user + system) / 1e6 }]),
  ].join('')
}
