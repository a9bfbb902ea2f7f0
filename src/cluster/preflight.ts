// What must be true of a machine before a cluster is built on it, each said in one sentence with its mend.
import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import { paths } from './paths.js'

export interface Finding {
  readonly severity: 'error' | 'warning'
  readonly message: string
}

const error = (message: string): Finding => ({ severity: 'error', message })
const warning = (message: string): Finding => ({ severity: 'warning', message })

export interface Facts {
  readonly uid: number
  /** `uname -r`. */
  readonly kernel: string
  readonly filesystems: string
  readonly swaps: string
  readonly hasCgroups: boolean
  readonly freeBytes: number
  readonly memoryBytes: number
  readonly nodeName: string
  readonly busyPorts: readonly number[]
  readonly now: number
}

const OLDEST_KERNEL = [5, 4] as const
const FREE_BYTES = 200 * 2 ** 20
const MEMORY_BYTES = 400 * 2 ** 20
/** A clock before this is one that was never set. */
const CLOCK_FLOOR = Date.UTC(2026, 0, 1)

/** Pure: facts in, findings out. */
export function preflight(facts: Facts): Finding[] {
  const findings: Finding[] = []
  if (facts.uid !== 0) findings.push(error('this needs root: run it with sudo'))
  const [major = 0, minor = 0] = facts.kernel.split('.').map((part) => Number.parseInt(part, 10))
  if (major < OLDEST_KERNEL[0] || (major === OLDEST_KERNEL[0] && minor < OLDEST_KERNEL[1])) {
    findings.push(error(`the kernel is ${facts.kernel}: version ${OLDEST_KERNEL.join('.')} or newer is needed; upgrade the kernel`))
  }
  if (!facts.hasCgroups) findings.push(error('no control groups are mounted: mount them with "mount -t cgroup2 none /sys/fs/cgroup"'))
  if (!/\boverlay\b/.test(facts.filesystems))
    findings.push(warning('the kernel has no overlayfs: images are copied for each container; "modprobe overlay" would help'))
  if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(facts.nodeName) || facts.nodeName.length > 253) {
    findings.push(error(`"${facts.nodeName}" is no node name: use lower-case letters, digits, "-" and "." (--node-name, or hostname(1))`))
  }
  for (const port of facts.busyPorts) findings.push(error(`port ${port} is taken by another program: stop it, or choose another port`))
  if (facts.freeBytes < FREE_BYTES) {
    findings.push(error(`${paths.state} has ${Math.floor(facts.freeBytes / 2 ** 20)} MiB left: free at least ${FREE_BYTES / 2 ** 20} MiB`))
  }
  if (facts.memoryBytes < MEMORY_BYTES)
    findings.push(warning(`the machine has ${Math.floor(facts.memoryBytes / 2 ** 20)} MiB of memory; pods will have little room`))
  if (facts.swaps.trim().split('\n').length > 1) {
    findings.push(warning('swap is on: memory limits of pods are softer than they say; "swapoff -a" turns it off'))
  }
  if (facts.now < CLOCK_FLOOR)
    findings.push(error('the clock stands before 2026: certificates would not be valid; set it with date(1) or a time service'))
  return findings
}

/** True when nobody listens on a TCP port of this machine. */
const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '0.0.0.0', exclusive: true }, () => server.close(() => resolve(true)))
  })

/** The deepest folder of a path that exists. */
function existing(path: string): string {
  let folder = path
  while (!existsSync(folder)) folder = dirname(folder)
  return folder
}

/** Looks at this machine. `ports` are those that will be listened on. */
export async function gatherFacts(options: {
  readonly ports: readonly number[]
  readonly nodeName: string
  readonly now: number
}): Promise<Facts> {
  const free = statfsSync(existing(paths.state))
  const busy = await Promise.all(options.ports.map(async (port) => ((await isFree(port)) ? [] : [port])))
  return {
    uid: process.getuid?.() ?? -1,
    kernel: readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim(),
    filesystems: readFileSync('/proc/filesystems', 'utf8'),
    swaps: readFileSync('/proc/swaps', 'utf8'),
    hasCgroups: existsSync('/sys/fs/cgroup/cgroup.controllers') || existsSync('/sys/fs/cgroup/memory') || existsSync('/sys/fs/cgroup/pids'),
    freeBytes: free.bavail * free.bsize,
    memoryBytes: Number(/MemTotal:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) * 1024,
    nodeName: options.nodeName,
    busyPorts: busy.flat(),
    now: options.now,
  }
}
