// The process as Prometheus' client libraries show it, and which version it is.
import { readdir, readFile } from 'node:fs/promises'
import type { Clock } from '../../../lib/index.js'
import { VERSION } from '../version.js'
import { type Family, figures, type Sample } from './families.js'

const one = (value: number): readonly Sample[] => [{ labels: {}, value }]

/** -1 where /proc does not say. */
async function openFiles(): Promise<number> {
  const names = await readdir('/proc/self/fd').catch(() => undefined)
  return names ? names.length : -1
}

async function mostFiles(): Promise<number> {
  const text = await readFile('/proc/self/limits', 'utf8').catch(() => '')
  return Number(/^Max open files\s+(\d+)/m.exec(text)?.[1] ?? -1)
}

async function virtualBytes(): Promise<number> {
  const text = await readFile('/proc/self/status', 'utf8').catch(() => '')
  const kilobytes = /^VmSize:\s+(\d+) kB/m.exec(text)?.[1]
  return kilobytes ? Number(kilobytes) * 1024 : -1
}

export function processMetrics(clock: Clock): readonly Family[] {
  const started = Math.round(clock.now() / 1000 - process.uptime())
  return [
    figures('process_cpu_seconds_total', 'counter', 'CPU time, of user and system.', () => {
      const { user, system } = process.cpuUsage()
      return one((user + system) / 1e6)
    }),
    figures('process_resident_memory_bytes', 'gauge', 'Resident memory.', () => one(process.memoryUsage.rss())),
    figures('process_virtual_memory_bytes', 'gauge', 'Virtual memory.', async () => one(await virtualBytes())),
    figures('process_start_time_seconds', 'gauge', 'When the process was started.', () => one(started)),
    figures('process_open_fds', 'gauge', 'Open file descriptors.', async () => one(await openFiles())),
    figures('process_max_fds', 'gauge', 'File descriptors that may be open.', async () => one(await mostFiles())),
    figures('nodejs_heap_size_used_bytes', 'gauge', 'Heap in use.', () => one(process.memoryUsage().heapUsed)),
    figures('nodejs_heap_size_total_bytes', 'gauge', 'Heap that is taken from the system.', () => one(process.memoryUsage().heapTotal)),
    figures('kubernetes_build_info', 'gauge', 'Which version runs; always 1.', () => {
      const { major, minor, gitVersion, gitCommit, gitTreeState, buildDate, goVersion, compiler, platform } = VERSION
      const labels = {
        build_date: buildDate,
        compiler,
        git_commit: gitCommit,
        git_tree_state: gitTreeState,
        git_version: gitVersion,
        go_version: goVersion,
        major,
        minor,
        platform,
      }
      return [{ labels, value: 1 }]
    }),
  ]
}
