// What must be true of a machine before a cluster is built on it, each said in one sentence with its mend.
import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { release } from 'node:os'
import { dirname } from 'node:path'
import { hasErrno } from '../lib/index.js'
import { appArmorParser, cgroupLayout, withNetwork } from '../sys/index.js'
import { readFileIfPresent } from './files.js'
import { loadModules } from './hosts.js'
import { paths } from './paths.js'
import { listeners } from './ports.js'

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
  /** Namespaces and seccomp: what a container cannot do without and this kernel lacks. */
  readonly missing: readonly string[]
  /** Kinds of links that cannot be made. */
  readonly missingLinks: readonly string[]
  readonly controllers: readonly string[]
  /** The kernel has AppArmor, and nothing here can give it a profile. */
  readonly appArmorWithoutParser: boolean
  readonly freeBytes: number
  readonly memoryBytes: number
  readonly nodeName: string
  readonly busyPorts: readonly { readonly port: number; readonly program?: string }[]
  readonly now: number
}

/** mount_setattr(2), with which volumes become read-only to their depths. */
const OLDEST_KERNEL = [5, 12] as const
const CONTROLLERS = ['cpu', 'memory', 'pids'] as const
const NAMESPACES = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'uts'] as const
const LINKS = ['bridge', 'veth', 'vxlan'] as const
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
  for (const what of facts.missing)
    findings.push(
      error(`the kernel has no ${what}, without which there are no containers: boot one that has (every distribution's own does)`),
    )
  for (const kind of facts.missingLinks)
    findings.push(
      (kind === 'vxlan' ? warning : error)(
        `the kernel makes no ${kind} links${kind === 'vxlan' ? ': only nodes on one network can be joined' : ', which pods need'}; "modprobe ${kind}" would help, or the package of all kernel modules`,
      ),
    )
  const lacking = CONTROLLERS.filter((name) => !facts.controllers.includes(name))
  if (facts.controllers.length === 0)
    findings.push(error('no control groups are mounted: mount them with "mount -t cgroup2 none /sys/fs/cgroup"'))
  else if (lacking.length > 0)
    findings.push(
      error(
        `control groups lack ${lacking.join(' and ')}: boot with "${lacking.map((name) => `cgroup_enable=${name}`).join(' ')}" on the kernel's command line`,
      ),
    )
  if (!/\boverlay\b/.test(facts.filesystems))
    findings.push(warning('the kernel has no overlayfs: images are copied for each container; "modprobe overlay" would help'))
  if (facts.appArmorWithoutParser)
    findings.push(
      warning('the kernel has AppArmor and apparmor_parser is missing: containers have no default profile; install the package apparmor'),
    )
  if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(facts.nodeName) || facts.nodeName.length > 253) {
    findings.push(error(`"${facts.nodeName}" is no node name: use lower-case letters, digits, "-" and "." (--node-name, or hostname(1))`))
  }
  for (const { port, program = 'another program' } of facts.busyPorts)
    findings.push(error(`port ${port} is taken by ${program}: stop it, or choose another port (--help lists the flags)`))
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

/** Kinds of links that the kernel refuses; tried for real, because a module is loaded when it is asked for. */
function missingLinks(): string[] {
  if (process.getuid?.() !== 0) return []
  return LINKS.filter((kind) =>
    withNetwork(undefined, (network) => {
      const name = 'knarr-try'
      network.deleteLink(name) // of an earlier look that was cut off
      try {
        if (kind === 'veth') network.addLink({ kind, name, peer: { name: 'knarr-try2' } })
        else if (kind === 'vxlan') network.addLink({ kind, name, id: 4095, port: 4788 })
        else network.addLink({ kind, name })
        network.deleteLink(name)
        return false
      } catch (error) {
        if (!hasErrno(error, 'EOPNOTSUPP')) throw error
        return true
      }
    }),
  )
}

function controllers(): string[] {
  try {
    const { v1, v2 } = cgroupLayout()
    return [...Object.keys(v1), ...(v2?.controllers ?? [])]
  } catch {
    return [] // none is mounted
  }
}

/** The deepest folder of a path that exists. */
function existing(path: string): string {
  let folder = path
  while (!existsSync(folder)) folder = dirname(folder)
  return folder
}

/** Looks at this machine. `ports` are those that will be listened on. */
export function gatherFacts(options: { readonly ports: readonly number[]; readonly nodeName: string; readonly now: number }): Facts {
  const free = statfsSync(existing(paths.state))
  loadModules()
  const taken = listeners()
  return {
    uid: process.getuid?.() ?? -1,
    kernel: release(),
    filesystems: readFileSync('/proc/filesystems', 'utf8'),
    swaps: readFileSync('/proc/swaps', 'utf8'),
    missing: [
      ...NAMESPACES.filter((name) => !existsSync(`/proc/self/ns/${name}`)).map((name) => `${name} namespaces`),
      ...(/^Seccomp:/m.test(readFileIfPresent('/proc/self/status') ?? '') ? [] : ['seccomp']),
    ],
    missingLinks: missingLinks(),
    controllers: controllers(),
    appArmorWithoutParser:
      (readFileIfPresent('/sys/module/apparmor/parameters/enabled') ?? '').startsWith('Y') && appArmorParser() === undefined,
    freeBytes: free.bavail * free.bsize,
    memoryBytes: Number(/MemTotal:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) * 1024,
    nodeName: options.nodeName,
    busyPorts: options.ports.flatMap((port) => taken.get(port) ?? []),
    now: options.now,
  }
}
