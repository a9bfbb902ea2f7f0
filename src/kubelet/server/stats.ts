// /stats/summary: what the node, its pods, their containers and volumes use.
import { promises as fs } from 'node:fs'
import { join } from 'node:path'
import type { Pod } from '../../api/index.js'
import type { ContainerStats, CpuUsage, IoUsage, MemoryUsage, NetworkInterfaceUsage, PodSandboxStats, SwapUsage } from '../../cri/index.js'
import { rfc3339 } from '../../lib/index.js'
import { nodeStats } from '../node/stats.js'
import { containersOf } from '../pod/containers.js'
import type { Pods } from '../pod/pods.js'
import type { PodServices } from '../pod/services.js'
import { logDirectoryOf } from '../sandbox/config.js'
import { type FolderUsage, filesystemSize, folderUsage, volumeUsage } from '../volume/usage.js'

/** Folders are walked file by file: not more often than this. */
const DISK_MS = 60_000

const cpu = (usage: CpuUsage | undefined) =>
  usage && {
    time: rfc3339(usage.timestamp),
    usageNanoCores: usage.usageNanoCores ?? 0,
    usageCoreNanoSeconds: usage.usageCoreNanoSeconds ?? 0,
    psi: usage.psi,
  }

function memory(usage: MemoryUsage | undefined) {
  if (!usage) return undefined
  const { timestamp, ...figures } = usage
  return { time: rfc3339(timestamp), ...figures }
}

function swap(usage: SwapUsage | undefined) {
  if (!usage) return undefined
  const { timestamp, ...figures } = usage
  return { time: rfc3339(timestamp), ...figures }
}

const io = (usage: IoUsage | undefined) => usage && { time: rfc3339(usage.timestamp), psi: usage.psi }

const counters = ({ name, rxBytes, rxErrors, txBytes, txErrors }: NetworkInterfaceUsage) => ({ name, rxBytes, rxErrors, txBytes, txErrors })

/** The figures of one interface stand for all; those of each follow. */
function network(time: string, first: NetworkInterfaceUsage | undefined, others: readonly NetworkInterfaceUsage[]) {
  if (!first) return undefined
  return { time, ...counters(first), interfaces: [first, ...others].map(counters) }
}

/** What a pod has on the node's disk. */
interface PodDisk {
  readonly at: number
  readonly logs: ReadonlyMap<string, FolderUsage>
  readonly volumes: readonly ({ readonly name: string } & NonNullable<Awaited<ReturnType<typeof volumeUsage>>>)[]
}

const list = (folder: string): Promise<readonly string[]> => fs.readdir(folder).catch(() => [])

async function diskOf(pod: Pod, { volumes, podLogs }: PodServices, at: number): Promise<PodDisk> {
  const logs = new Map<string, FolderUsage>()
  for (const { spec } of containersOf(pod)) logs.set(spec.name, await folderUsage(join(logDirectoryOf(pod, podLogs), spec.name)))
  const found: PodDisk['volumes'][number][] = []
  const folder = join(volumes.podFolder(pod.metadata.uid ?? ''), 'volumes')
  for (const plugin of await list(folder))
    for (const name of await list(join(folder, plugin))) {
      const usage = await volumeUsage(join(folder, plugin, name))
      if (usage) found.push({ name, ...usage })
    }
  return { at, logs, volumes: found }
}

export function createStats(services: PodServices, pods: () => Pods | undefined) {
  const { cri, clock, node, root } = services
  const readNode = nodeStats(node.memoryCapacity)
  const startTime = rfc3339(clock.now() - process.uptime() * 1000)
  const disks = new Map<string, PodDisk>()

  async function disk(pod: Pod, now: number): Promise<PodDisk> {
    const { uid = '' } = pod.metadata
    const known = disks.get(uid)
    if (known && now - known.at < DISK_MS) return known
    const fresh = await diskOf(pod, services, now)
    disks.set(uid, fresh)
    return fresh
  }

  type Size = Awaited<ReturnType<typeof filesystemSize>>
  const filesystem = (now: number, size: Size, usage?: Partial<FolderUsage>) => size && { time: rfc3339(now), ...size, ...usage }

  async function podSummary({ attributes, linux }: PodSandboxStats, now: number, size: Size) {
    const { name, namespace, uid } = attributes.metadata
    const worker = pods()?.get(uid)
    const onDisk = worker && (await disk(worker.pod, now))
    const container = (stats: ContainerStats) => ({
      name: stats.attributes.metadata.name,
      startTime: startOf(worker?.observed.containers.find(({ id }) => id === stats.attributes.id)?.startedAt),
      cpu: cpu(stats.cpu),
      memory: memory(stats.memory),
      swap: swap(stats.swap),
      io: io(stats.io),
      rootfs: stats.writableLayer && filesystem(stats.writableLayer.timestamp, size, layerOf(stats)),
      logs: onDisk && filesystem(onDisk.at, size, onDisk.logs.get(stats.attributes.metadata.name)),
    })
    // Volumes in memory and of file systems of their own are not on the node's disk.
    const parts = [
      ...linux.containers.map(layerOf),
      ...(onDisk ? [...onDisk.logs.values(), ...onDisk.volumes.filter(({ capacityBytes }) => capacityBytes === size?.capacityBytes)] : []),
    ]
    const sum = (what: keyof FolderUsage): number => parts.reduce((total, part) => total + (part[what] ?? 0), 0)
    return {
      podRef: { name, namespace, uid },
      startTime: worker?.status?.startTime,
      containers: linux.containers.map(container),
      cpu: cpu(linux.cpu),
      memory: memory(linux.memory),
      io: io(linux.io),
      network: linux.network && network(rfc3339(linux.network.timestamp), linux.network.defaultInterface, linux.network.interfaces),
      volume: onDisk?.volumes.map((volume) => ({ time: rfc3339(onDisk.at), ...volume })),
      'ephemeral-storage': filesystem(now, size, { usedBytes: sum('usedBytes'), inodesUsed: sum('inodesUsed') }),
      process_stats: linux.process && { process_count: linux.process.processCount },
    }
  }

  return async function summary(): Promise<unknown> {
    const now = clock.now()
    const time = rfc3339(now)
    const [sandboxes, machine, size, { imageFilesystems, containerFilesystems }] = await Promise.all([
      cri.listPodSandboxStats(),
      readNode(now),
      filesystemSize(root),
      cri.imageFsInfo(),
    ])
    const [images, containers] = await Promise.all(
      [imageFilesystems?.[0], containerFilesystems?.[0] ?? imageFilesystems?.[0]].map(
        async (usage) => usage && filesystem(now, await filesystemSize(usage.fsId.mountpoint), layerOf({ writableLayer: usage })),
      ),
    )
    for (const uid of disks.keys()) if (!pods()?.get(uid)) disks.delete(uid)
    const { interfaces } = machine
    const first = interfaces.find(({ name }) => name === machine.defaultInterface)
    return {
      node: {
        nodeName: node.name,
        startTime,
        cpu: { time, ...machine.cpu },
        memory: { time, ...machine.memory },
        io: machine.io && { time, ...machine.io },
        swap: { time, ...machine.swap },
        network: network(
          time,
          first,
          interfaces.filter((each) => each !== first),
        ),
        fs: filesystem(now, size),
        runtime: { imageFs: images, containerFs: containers },
        rlimit: { time, maxpid: node.pidMax, curproc: machine.processes },
      },
      pods: await Promise.all(sandboxes.map((each) => podSummary(each, now, size))),
    }
  }
}

const startOf = (ms: number | undefined): string | undefined => (ms ? rfc3339(ms) : undefined)

const layerOf = ({ writableLayer }: Pick<ContainerStats, 'writableLayer'>): Partial<FolderUsage> => ({
  ...(writableLayer?.usedBytes === undefined ? {} : { usedBytes: writableLayer.usedBytes }),
  ...(writableLayer?.inodesUsed === undefined ? {} : { inodesUsed: writableLayer.inodesUsed }),
})
