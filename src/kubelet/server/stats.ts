// /stats/summary: what `kubectl top` and metrics-server read.
import { promises as fs } from 'node:fs'
import type { ContainerStats, CpuUsage, MemoryUsage, PodSandboxStats } from '../../cri/index.js'
import { rfc3339 } from '../../lib/index.js'
import { memoryAvailable } from '../node/facts.js'
import type { PodServices } from '../pod/services.js'

const cpu = (usage: CpuUsage | undefined) =>
  usage
    ? { time: rfc3339(usage.timestamp), usageNanoCores: usage.usageNanoCores ?? 0, usageCoreNanoSeconds: usage.usageCoreNanoSeconds ?? 0 }
    : undefined

const memory = (usage: MemoryUsage | undefined) =>
  usage
    ? {
        time: rfc3339(usage.timestamp),
        availableBytes: usage.availableBytes,
        usageBytes: usage.usageBytes,
        workingSetBytes: usage.workingSetBytes,
        rssBytes: usage.rssBytes,
        pageFaults: usage.pageFaults,
        majorPageFaults: usage.majorPageFaults,
      }
    : undefined

const containerSummary = ({ attributes, cpu: ofCpu, memory: ofMemory, writableLayer }: ContainerStats, startTime: string | undefined) => ({
  name: attributes.metadata.name,
  startTime,
  cpu: cpu(ofCpu),
  memory: memory(ofMemory),
  rootfs: writableLayer
    ? { time: rfc3339(writableLayer.timestamp), usedBytes: writableLayer.usedBytes, inodesUsed: writableLayer.inodesUsed }
    : undefined,
})

/** Two readings of /proc/stat make a rate. */
function nodeCpu() {
  let before: { readonly at: number; readonly nanos: number } | undefined
  return async (now: number) => {
    const [line = ''] = (await fs.readFile('/proc/stat', 'utf8')).split('\n')
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.split(/\s+/).slice(1).map(Number)
    // A tick is a hundredth of a second on every Linux that matters (USER_HZ).
    const nanos = (user + nice + system + irq + softirq) * 10_000_000
    const rate = before && now > before.at ? ((nanos - before.nanos) / (now - before.at)) * 1000 : 0
    before = { at: now, nanos }
    return { time: rfc3339(now), usageNanoCores: Math.max(0, Math.round(rate)), usageCoreNanoSeconds: nanos }
  }
}

export function createStats(services: PodServices) {
  const readCpu = nodeCpu()
  const { cri, clock, node, root } = services
  const startedAt = rfc3339(clock.now())

  async function filesystem(path: string, now: number) {
    const stats = await fs.statfs(path).catch(() => undefined)
    if (!stats) return undefined
    return {
      time: rfc3339(now),
      availableBytes: stats.bavail * stats.bsize,
      capacityBytes: stats.blocks * stats.bsize,
      usedBytes: (stats.blocks - stats.bfree) * stats.bsize,
      inodesFree: stats.ffree,
      inodes: stats.files,
      inodesUsed: stats.files - stats.ffree,
    }
  }

  function podSummary({ attributes, linux }: PodSandboxStats) {
    const { name, namespace, uid } = attributes.metadata
    const network = linux.network?.defaultInterface
    return {
      podRef: { name, namespace, uid },
      containers: linux.containers.map((container) => containerSummary(container, undefined)),
      cpu: cpu(linux.cpu),
      memory: memory(linux.memory),
      network: network
        ? { time: rfc3339(linux.network?.timestamp ?? 0), name: network.name, rxBytes: network.rxBytes, txBytes: network.txBytes }
        : undefined,
      process_stats: linux.process ? { process_count: linux.process.processCount } : undefined,
    }
  }

  return async function summary(): Promise<unknown> {
    const now = clock.now()
    const pods = await cri.listPodSandboxStats()
    const available = memoryAvailable()
    const fsInfo = await filesystem(root, now)
    return {
      node: {
        nodeName: node.name,
        startTime: startedAt,
        cpu: await readCpu(now),
        memory: {
          time: rfc3339(now),
          availableBytes: available,
          usageBytes: node.memoryCapacity - available,
          workingSetBytes: node.memoryCapacity - available,
        },
        fs: fsInfo,
        runtime: { imageFs: fsInfo, containerFs: fsInfo },
      },
      pods: pods.map(podSummary),
    }
  }
}
