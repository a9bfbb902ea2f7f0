// What is asked of the machine while a container is put together: device nodes, profiles, CDI files.
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { parse as parseYaml } from 'yaml'
import type { Device } from '../runtime/index.js'
import type { Machine } from './engine.js'
import { invalid } from './errors.js'
import type { ProcessFacts } from './metrics.js'
import { ALL_CAPABILITIES } from './spec/capabilities.js'
import type { CdiFile } from './spec/cdi.js'
import { parseContexts, type SELinuxPolicy } from './spec/selinux.js'

const major = (rdev: number): number => Number(((BigInt(rdev) >> 8n) & 0xfffn) | ((BigInt(rdev) >> 32n) & ~0xfffn))
const minor = (rdev: number): number => Number((BigInt(rdev) & 0xffn) | ((BigInt(rdev) >> 12n) & ~0xffn))

/** The device node at `hostPath`, to appear at `containerPath`; undefined when it is none. */
export function deviceAt(hostPath: string, containerPath: string): Device | undefined {
  const stat = statSync(hostPath, { throwIfNoEntry: false })
  if (!stat || !(stat.isCharacterDevice() || stat.isBlockDevice())) return undefined
  return {
    type: stat.isBlockDevice() ? 'b' : 'c',
    path: containerPath,
    major: major(stat.rdev),
    minor: minor(stat.rdev),
    fileMode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
  }
}

/** The devices of a folder and all below it: what is asked for may be a folder such as /dev/snd. */
export function devicesAt(hostPath: string, containerPath: string): readonly Device[] {
  const one = deviceAt(hostPath, containerPath)
  if (one) return [one]
  const stat = statSync(hostPath, { throwIfNoEntry: false })
  if (!stat?.isDirectory()) throw invalid(`device ${hostPath} is not a device of this machine`)
  return readdirSync(hostPath, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() || entry.isCharacterDevice() || entry.isBlockDevice()
      ? devicesAt(join(hostPath, entry.name), join(containerPath, entry.name))
      : [],
  )
}

/** Devices that vendors describe; a file that cannot be read is as if it were not there, for others must go on working. */
export function readCdiFiles(dirs: readonly string[] = ['/etc/cdi', '/var/run/cdi']): readonly CdiFile[] {
  return dirs.flatMap((dir) => {
    if (!statSync(dir, { throwIfNoEntry: false })?.isDirectory()) return []
    return readdirSync(dir)
      .filter((name) => /\.(json|ya?ml)$/.test(name))
      .sort()
      .flatMap((name) => {
        try {
          const file = parseYaml(readFileSync(join(dir, name), 'utf8')) as CdiFile | null
          return file && typeof file.kind === 'string' ? [file] : []
        } catch {
          return []
        }
      })
  })
}

/** Made afresh for every container. */
const OWN = new Set(['pts', 'shm', 'fd', 'mqueue', 'console', 'ptmx', 'null', 'zero', 'full', 'random', 'urandom', 'tty'])

function hostDevices(): readonly Device[] {
  return readdirSync('/dev', { withFileTypes: true })
    .filter((entry) => !OWN.has(entry.name) && !entry.isSymbolicLink())
    .flatMap((entry) => {
      const path = join('/dev', entry.name)
      return entry.isDirectory() || entry.isCharacterDevice() || entry.isBlockDevice() ? devicesAt(path, path) : []
    })
}

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** Of the policy that /etc/selinux/config names. */
function selinuxPolicy(): SELinuxPolicy {
  const name = /^SELINUXTYPE=(\S+)/m.exec(read('/etc/selinux/config'))?.[1] ?? 'targeted'
  return parseContexts(read(`/etc/selinux/${name}/contexts/lxc_contexts`))
}

/** The machine we run on. */
export function thisMachine(): Machine {
  const lastCapability = Number(read('/proc/sys/kernel/cap_last_cap') || 40)
  const bounding = BigInt(`0x${/CapBnd:\s*([0-9a-f]+)/.exec(read('/proc/self/status'))?.[1] ?? 'ffffffffffffffff'}`)
  return {
    cgroupVersion: read('/sys/fs/cgroup/cgroup.controllers') ? 2 : 1,
    bootId: read('/proc/sys/kernel/random/boot_id').trim(),
    hostname: hostname(),
    arch: process.arch,
    capabilities: ALL_CAPABILITIES.filter((_, i) => i <= lastCapability && (bounding & (1n << BigInt(i))) !== 0n),
    seccomp: /^Seccomp:/m.test(read('/proc/self/status')),
    apparmor: read('/sys/module/apparmor/parameters/enabled').startsWith('Y'),
    selinux: read('/sys/fs/selinux/enforce') === '' ? undefined : selinuxPolicy(),
    hostDevices,
  }
}

/** Processes that end while they are looked at are left out. */
export function processFacts(pids: readonly number[]): ProcessFacts {
  let fileDescriptors = 0
  let sockets = 0
  for (const pid of pids) {
    try {
      const dir = `/proc/${pid}/fd`
      const targets = readdirSync(dir).map((fd) => readlinkSync(join(dir, fd)))
      fileDescriptors += targets.length
      sockets += targets.filter((target) => target.startsWith('socket:')).length
    } catch {
      // Gone.
    }
  }
  const limit = /^Max open files\s+(\d+)/m.exec(pids[0] === undefined ? '' : read(`/proc/${pids[0]}/limits`))?.[1]
  return { processes: pids.length, fileDescriptors, sockets, maxOpenFiles: limit === undefined ? undefined : Number(limit) }
}
