// What this machine is, read from /proc, /sys and /etc once at start.
import { readdirSync, readFileSync } from 'node:fs'
import { arch, availableParallelism, hostname, networkInterfaces, release, totalmem } from 'node:os'
import { bytesQuantity } from '../pod/quantity.js'

export interface NodeFacts {
  readonly hostname: string
  readonly machineId: string
  readonly systemUuid: string
  readonly bootId: string
  readonly kernel: string
  readonly osImage: string
  /** As Go names it: `amd64`. */
  readonly architecture: string
  readonly cpus: number
  readonly memoryBytes: number
  readonly swapBytes: number
  /** Bytes set aside for huge pages, by their resource: `hugepages-2Mi`. */
  readonly hugePages: Readonly<Record<string, number>>
  readonly addresses: readonly string[]
  readonly pidMax: number
  /** The kernel confines by AppArmor profiles. */
  readonly apparmor: boolean
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return ''
  }
}

const field = (text: string, name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1]?.replace(/^["']|["']$/g, '') ?? ''

/** The interface of the default route in /proc/net/route. */
export const defaultInterface = (routes = read('/proc/net/route')): string | undefined =>
  routes
    .split('\n')
    .slice(1)
    .map((line) => line.split(/\s+/))
    .find(([, destination, , flags]) => destination === '00000000' && (Number.parseInt(flags ?? '0', 16) & 1) === 1)?.[0]

/** The address that packets to elsewhere carry: of the interface with the default route, else the first that is not local. */
export function nodeAddresses(routes = read('/proc/net/route'), interfaces = networkInterfaces()): readonly string[] {
  const preferred = defaultInterface(routes)
  const names = Object.keys(interfaces).sort((a, b) => Number(b === preferred) - Number(a === preferred))
  const usable = names.flatMap((name) =>
    (interfaces[name] ?? []).filter(({ internal, address }) => !internal && !address.startsWith('fe80:')),
  )
  const v4 = usable.find(({ family }) => family === 'IPv4')?.address
  const v6 = preferred
    ? interfaces[preferred]?.find(({ family, internal, address }) => family === 'IPv6' && !internal && !address.startsWith('fe80:'))
        ?.address
    : undefined
  const found = [v4, v6].filter((address) => address !== undefined)
  return found.length > 0 ? found : ['127.0.0.1']
}

const memoryField = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(read('/proc/meminfo'))?.[1] ?? 0) * 1024

function hugePages(folder = '/sys/kernel/mm/hugepages'): Readonly<Record<string, number>> {
  let names: readonly string[]
  try {
    names = readdirSync(folder)
  } catch {
    return {}
  }
  return Object.fromEntries(
    names.flatMap((name) => {
      const size = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1]) * 1024
      return size > 0 ? [[`hugepages-${bytesQuantity(size)}`, size * Number(read(`${folder}/${name}/nr_hugepages`) || 0)]] : []
    }),
  )
}

/** cgroup limits of a container that we run in ourselves do not count: pods get cgroups of the machine. */
export function nodeFacts(): NodeFacts {
  const release_ = read('/etc/os-release')
  const machineId = read('/etc/machine-id') || read('/var/lib/dbus/machine-id')
  const architectures: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' }
  return {
    hostname: hostname(),
    machineId,
    systemUuid: read('/sys/class/dmi/id/product_uuid') || machineId,
    bootId: read('/proc/sys/kernel/random/boot_id'),
    kernel: release(),
    osImage: field(release_, 'PRETTY_NAME') || 'Linux',
    architecture: architectures[arch()] ?? arch(),
    cpus: availableParallelism(),
    memoryBytes: memoryField('MemTotal') || totalmem(),
    swapBytes: memoryField('SwapTotal'),
    hugePages: hugePages(),
    addresses: nodeAddresses(),
    pidMax: Number(read('/proc/sys/kernel/pid_max')) || 32_768,
    apparmor: read('/sys/module/apparmor/parameters/enabled') === 'Y',
  }
}

/** Bytes that a new process could have: free, and what the kernel would give up. */
export const memoryAvailable = (): number => memoryField('MemAvailable')

export const processCount = (): number => Number(read('/proc/loadavg').split(' ')[3]?.split('/')[1] ?? 0)
