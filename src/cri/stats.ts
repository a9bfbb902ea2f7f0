// How much pods and containers use: from their cgroups, their network interfaces and their writable layers.
import { readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { groupStats, RuntimeError, type ContainerStats as RuntimeStats } from '../runtime/index.js'
import { containerOf, containersOf, type Engine, find, matches, sandboxOf } from './engine.js'
import { processFacts } from './host-facts.js'
import { type ContainerFacts, containerMetrics, METRIC_DESCRIPTORS, podMetrics } from './metrics.js'
import { type InterfaceCounters, parseNetDev } from './net-dev.js'
import type { ContainerRecord, SandboxRecord } from './records.js'
import type {
  ContainerStats,
  ContainerStatsFilter,
  FilesystemUsage,
  IoUsage,
  NetworkUsage,
  PodSandboxMetrics,
  PodSandboxStats,
  PodSandboxStatsFilter,
  PsiData,
  PsiStats,
  RuntimeService,
} from './types.js'
import { containerState, sandboxState } from './views.js'

/** Rates need two samples; a younger one than this is not used as the first. */
const SHORTEST_INTERVAL_MS = 100
/** Writable layers are walked file by file: not more often than this. */
const LAYER_MS = 10_000

interface Sampler {
  /** CPU nanoseconds per second since the sample before. */
  rate(id: string, at: number, usageNs: number): number | undefined
  layer(id: string): Promise<FilesystemUsage | undefined>
}

function sampler(engine: Engine): Sampler {
  const last = new Map<string, { at: number; usageNs: number; rate: number | undefined }>()
  const layers = new Map<string, { at: number; usage: Promise<FilesystemUsage | undefined> }>()
  const forget = (map: Map<string, unknown>): void => {
    for (const id of map.keys()) if (!engine.containers.get(id) && !engine.sandboxes.get(id)) map.delete(id)
  }
  const measure = async (id: string): Promise<FilesystemUsage | undefined> => {
    const record = engine.containers.get(id)
    if (!record) return undefined
    const { bytes, inodes } = await engine.images.snapshot.usage(id)
    return { timestamp: engine.clock.now(), fsId: { mountpoint: engine.images.root }, usedBytes: bytes, inodesUsed: inodes }
  }
  return {
    rate(id, at, usageNs) {
      const before = last.get(id)
      if (before && at - before.at < SHORTEST_INTERVAL_MS) return before.rate
      const rate = before && usageNs >= before.usageNs ? Math.round(((usageNs - before.usageNs) / (at - before.at)) * 1000) : undefined
      if (!before) forget(last)
      last.set(id, { at, usageNs, rate })
      return rate
    },
    layer(id) {
      const before = layers.get(id)
      if (before && engine.clock.now() - before.at < LAYER_MS) return before.usage
      if (!before) forget(layers)
      const usage = measure(id).catch(() => undefined)
      layers.set(id, { at: engine.clock.now(), usage })
      return usage
    },
  }
}

type Pressure = NonNullable<RuntimeStats['pressure']['cpu']>

const psiData = (of: Pressure['some'] | undefined): PsiData => ({
  total: (of?.totalUsec ?? 0) * 1000,
  avg10: of?.avg10 ?? 0,
  avg60: of?.avg60 ?? 0,
  avg300: of?.avg300 ?? 0,
})

/** Absent when the kernel does not measure pressure. */
const psi = (of: Pressure | undefined): { readonly psi?: PsiStats } =>
  of ? { psi: { some: psiData(of.some), full: psiData(of.full) } } : {}

const ioUsage = ({ at, pressure }: RuntimeStats): { readonly io?: IoUsage } =>
  pressure.io ? { io: { timestamp: at, ...psi(pressure.io) } } : {}

function usage(stats: RuntimeStats, rate: number | undefined): Pick<ContainerStats, 'cpu' | 'memory' | 'swap' | 'io'> {
  const { at, cpu, memory, pressure } = stats
  return {
    cpu: {
      timestamp: at,
      usageCoreNanoSeconds: cpu.usageNsec,
      ...(rate === undefined ? {} : { usageNanoCores: rate }),
      ...psi(pressure.cpu),
    },
    memory: {
      timestamp: at,
      workingSetBytes: memory.workingSet,
      usageBytes: memory.usage,
      rssBytes: memory.rss,
      pageFaults: memory.pageFaults,
      majorPageFaults: memory.majorPageFaults,
      ...(memory.limit === undefined ? {} : { availableBytes: Math.max(0, memory.limit - memory.workingSet) }),
      ...psi(pressure.memory),
    },
    swap: {
      timestamp: at,
      swapUsageBytes: memory.swap,
      ...(memory.swapLimit === undefined ? {} : { swapAvailableBytes: Math.max(0, memory.swapLimit - memory.swap) }),
    },
    ...ioUsage(stats),
  }
}

/** The counters of a pod's own network namespace, through a process that lives in it. */
function interfacesOf(record: SandboxRecord): readonly InterfaceCounters[] | undefined {
  if (record.netns === undefined) return undefined
  let text: string
  try {
    text = readFileSync(`/proc/${record.pausePid}/net/dev`, 'utf8')
  } catch {
    // The pause process has ended since.
    return undefined
  }
  return parseNetDev(text).filter(({ name }) => name !== 'lo')
}

function networkUsage(engine: Engine, record: SandboxRecord): NetworkUsage | undefined {
  const interfaces = interfacesOf(record)
  if (!interfaces) return undefined
  const [first, ...others] = interfaces
  return { timestamp: engine.clock.now(), ...(first ? { defaultInterface: first } : {}), interfaces: others }
}

const attributes = ({ id, config }: ContainerRecord) => ({
  id,
  metadata: config.metadata,
  labels: config.labels ?? {},
  annotations: config.annotations ?? {},
})

async function statsOf(engine: Engine, samples: Sampler, record: ContainerRecord): Promise<{ shown: ContainerStats; pids: number }> {
  const layer = await samples.layer(record.id)
  const base = { attributes: attributes(record), ...(layer ? { writableLayer: layer } : {}) }
  if (containerState(engine, record) !== 'CONTAINER_RUNNING') return { shown: base, pids: 0 }
  try {
    const stats = await engine.runtime.stats(record.id)
    return { shown: { ...base, ...usage(stats, samples.rate(record.id, stats.at, stats.cpu.usageNsec)) }, pids: stats.pids.current }
  } catch (error) {
    // It has ended between the two looks.
    if (error instanceof RuntimeError) return { shown: base, pids: 0 }
    throw error
  }
}

/** The pod's own cgroup, when the caller made one: pressure is of it, for it cannot be summed up. */
function podGroup({ config }: SandboxRecord): ReturnType<typeof groupStats> | undefined {
  const parent = config.linux?.cgroupParent
  return parent ? groupStats(parent) : undefined
}

/** A pod is the sum of its containers and its pause process. */
async function podStats(engine: Engine, samples: Sampler, record: SandboxRecord): Promise<PodSandboxStats> {
  const members = containersOf(engine, record.id).filter((each) => containerState(engine, each) === 'CONTAINER_RUNNING')
  const parts = await Promise.all(members.map((each) => statsOf(engine, samples, each)))
  const pause = sandboxState(engine, record) === 'SANDBOX_READY' ? await engine.runtime.stats(record.id).catch(() => undefined) : undefined
  const now = engine.clock.now()
  const sum = (pick: (stats: ContainerStats) => number | undefined, own: number | undefined): number =>
    parts.reduce((total, { shown }) => total + (pick(shown) ?? 0), own ?? 0)
  const usageNs = sum(({ cpu }) => cpu?.usageCoreNanoSeconds, pause?.cpu.usageNsec)
  const rate = samples.rate(record.id, now, usageNs)
  const network = networkUsage(engine, record)
  const group = podGroup(record)
  const pressure = group?.pressure
  return {
    attributes: {
      id: record.id,
      metadata: record.config.metadata,
      labels: record.config.labels ?? {},
      annotations: record.config.annotations ?? {},
    },
    linux: {
      cpu: {
        timestamp: now,
        usageCoreNanoSeconds: usageNs,
        ...(rate === undefined ? {} : { usageNanoCores: rate }),
        ...psi(pressure?.cpu),
      },
      memory: {
        timestamp: now,
        workingSetBytes: sum(({ memory }) => memory?.workingSetBytes, pause?.memory.workingSet),
        usageBytes: sum(({ memory }) => memory?.usageBytes, pause?.memory.usage),
        rssBytes: sum(({ memory }) => memory?.rssBytes, pause?.memory.rss),
        pageFaults: sum(({ memory }) => memory?.pageFaults, pause?.memory.pageFaults),
        majorPageFaults: sum(({ memory }) => memory?.majorPageFaults, pause?.memory.majorPageFaults),
        ...psi(pressure?.memory),
      },
      ...(group ? ioUsage({ ...group, at: now }) : {}),
      ...(network ? { network } : {}),
      process: { timestamp: now, processCount: parts.reduce((total, { pids }) => total + pids, pause?.pids.current ?? 0) },
      containers: parts.map(({ shown }) => shown),
    },
  }
}

/** What the metrics of a running container are made of; undefined when it has ended meanwhile. */
async function metricFacts(engine: Engine, samples: Sampler, record: ContainerRecord): Promise<ContainerFacts | undefined> {
  try {
    const [layer, stats, pids, disk] = await Promise.all([
      samples.layer(record.id),
      engine.runtime.stats(record.id),
      engine.runtime.pids(record.id),
      statfs(engine.images.root),
    ])
    return {
      now: stats.at,
      startedAt: record.startedAt,
      stats,
      resources: record.resources,
      process: processFacts(pids),
      layerBytes: layer?.usedBytes,
      disk: { device: engine.images.root, bytes: disk.bsize * disk.blocks, inodes: disk.files, inodesFree: disk.ffree },
    }
  } catch (error) {
    if (error instanceof RuntimeError) return undefined
    throw error
  }
}

async function sandboxMetrics(engine: Engine, samples: Sampler, record: SandboxRecord): Promise<PodSandboxMetrics> {
  const { name: pod, namespace } = record.config.metadata
  const members = containersOf(engine, record.id).filter((each) => containerState(engine, each) === 'CONTAINER_RUNNING')
  const each = members.map(async (member) => {
    const facts = await metricFacts(engine, samples, member)
    const { name: container } = member.config.metadata
    const image = member.config.image.userSpecifiedImage || member.config.image.image
    return { containerId: member.id, metrics: facts ? containerMetrics(facts, { pod, namespace, container, id: member.id, image }) : [] }
  })
  const labels = { pod, namespace, container: '', id: record.id, image: '' }
  return {
    podSandboxId: record.id,
    metrics: podMetrics(interfacesOf(record) ?? [], labels, engine.clock.now()),
    containerMetrics: await Promise.all(each),
  }
}

export function statsService(
  engine: Engine,
): Pick<
  RuntimeService,
  'containerStats' | 'listContainerStats' | 'podSandboxStats' | 'listPodSandboxStats' | 'listMetricDescriptors' | 'listPodSandboxMetrics'
> {
  const samples = sampler(engine)
  const pods = (filter: PodSandboxStatsFilter): Promise<readonly PodSandboxStats[]> =>
    Promise.all(
      [...engine.sandboxes.all.values()]
        .filter(
          (record) =>
            sandboxState(engine, record) === 'SANDBOX_READY' &&
            (!filter.id || record.id.startsWith(filter.id)) &&
            matches(record.config.labels, filter.labelSelector),
        )
        .map((record) => podStats(engine, samples, record)),
    )
  return {
    containerStats: async (id) => (await statsOf(engine, samples, containerOf(engine, id))).shown,
    async listContainerStats(filter: ContainerStatsFilter = {}) {
      const sandbox = filter.podSandboxId && (find(engine.sandboxes, filter.podSandboxId)?.id ?? filter.podSandboxId)
      const wanted = [...engine.containers.all.values()].filter(
        (record) =>
          containerState(engine, record) === 'CONTAINER_RUNNING' &&
          (!filter.id || record.id.startsWith(filter.id)) &&
          (!sandbox || record.sandboxId === sandbox) &&
          matches(record.config.labels, filter.labelSelector),
      )
      return Promise.all(wanted.map(async (record) => (await statsOf(engine, samples, record)).shown))
    },
    podSandboxStats: (id) => podStats(engine, samples, sandboxOf(engine, id)),
    listPodSandboxStats: (filter = {}) => pods(filter),
    listMetricDescriptors: async () => METRIC_DESCRIPTORS,
    listPodSandboxMetrics: () =>
      Promise.all(
        [...engine.sandboxes.all.values()]
          .filter((record) => sandboxState(engine, record) === 'SANDBOX_READY')
          .map((record) => sandboxMetrics(engine, samples, record)),
      ),
  }
}
