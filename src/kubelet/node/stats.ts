// How much the machine itself uses, read from /proc whenever somebody asks.
import { promises as fs } from 'node:fs'
import { type PsiStats, parseNetDev } from '../../cri/index.js'
import { defaultInterface, processCount } from './facts.js'

export interface NodeStats {
  /** Nanoseconds of all processors since the machine was started, and per second since the last reading. */
  readonly cpu: { readonly usageCoreNanoSeconds: number; readonly usageNanoCores: number; readonly psi?: PsiStats | undefined }
  readonly memory: {
    readonly availableBytes: number
    readonly usageBytes: number
    readonly workingSetBytes: number
    readonly rssBytes: number
    readonly pageFaults: number
    readonly majorPageFaults: number
    readonly psi?: PsiStats | undefined
  }
  readonly io: { readonly psi: PsiStats } | undefined
  readonly swap: { readonly swapAvailableBytes: number; readonly swapUsageBytes: number }
  readonly interfaces: ReturnType<typeof parseNetDev>
  /** Of the default route. */
  readonly defaultInterface: string | undefined
  readonly processes: number
}

const read = (path: string): Promise<string> => fs.readFile(path, 'utf8').catch(() => '')

const field = (text: string, name: string): number => Number(new RegExp(`^${name}:?\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0)

/** /proc/pressure/…; absent when the kernel does not measure it. Totals are nanoseconds. */
function pressure(text: string): PsiStats | undefined {
  const of = (kind: 'some' | 'full') => {
    const [, avg10 = 0, avg60 = 0, avg300 = 0, total = 0] = (
      new RegExp(`^${kind} avg10=([\\d.]+) avg60=([\\d.]+) avg300=([\\d.]+) total=(\\d+)`, 'm').exec(text) ?? []
    ).map(Number)
    return { avg10, avg60, avg300, total: total * 1000 }
  }
  return text === '' ? undefined : { some: of('some'), full: of('full') }
}

/** `now` in milliseconds. */
export function nodeStats(memoryBytes: number): (now: number) => Promise<NodeStats> {
  let before: { readonly at: number; readonly nanos: number } | undefined
  return async (now) => {
    const [stat, meminfo, vmstat, netDev, ...pressures] = await Promise.all(
      ['stat', 'meminfo', 'vmstat', 'net/dev', 'pressure/cpu', 'pressure/memory', 'pressure/io'].map((name) => read(`/proc/${name}`)),
    )
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] =
      (stat ?? '').split('\n', 1)[0]?.split(/\s+/).slice(1).map(Number) ?? []
    // A tick is a hundredth of a second on every Linux that matters (USER_HZ).
    const nanos = (user + nice + system + irq + softirq) * 10_000_000
    const rate = before && now > before.at ? ((nanos - before.nanos) / (now - before.at)) * 1000 : 0
    before = { at: now, nanos }
    const bytes = (name: string): number => field(meminfo ?? '', name) * 1024
    const available = bytes('MemAvailable')
    const [cpuPsi, memoryPsi, ioPsi] = pressures.map(pressure)
    return {
      cpu: { usageCoreNanoSeconds: nanos, usageNanoCores: Math.max(0, Math.round(rate)), psi: cpuPsi },
      memory: {
        availableBytes: available,
        usageBytes: memoryBytes - bytes('MemFree'),
        workingSetBytes: memoryBytes - available,
        rssBytes: bytes('AnonPages'),
        pageFaults: field(vmstat ?? '', 'pgfault'),
        majorPageFaults: field(vmstat ?? '', 'pgmajfault'),
        psi: memoryPsi,
      },
      io: ioPsi ? { psi: ioPsi } : undefined,
      swap: { swapAvailableBytes: bytes('SwapFree'), swapUsageBytes: bytes('SwapTotal') - bytes('SwapFree') },
      interfaces: parseNetDev(netDev ?? '').filter(({ name }) => name !== 'lo'),
      defaultInterface: defaultInterface(),
      processes: processCount(),
    }
  }
}
