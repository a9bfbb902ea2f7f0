// One control group, the same on v1, v2 and both: create, join, limit, measure, freeze, kill, delete.
import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Clock, ERRNO, hasErrno, SysError, sleep, systemClock } from '../../lib/index.js'
import { attachDeviceRules } from './bpf-devices.js'
import { groupTree, readGroupFile, writeGroupFile } from './files.js'
import { type CgroupLayout, cgroupLayout, cgroupPath, type V1Controller, v1Mounts } from './layout.js'
import { planLimitsV1 } from './limits-v1.js'
import { planLimitsV2 } from './limits-v2.js'
import { watchOom } from './oom.js'
import type { CgroupResources, CgroupWrite } from './resources.js'
import { type CgroupStats, parseFlat, parseLimit, parseNumber, statsV1, statsV2 } from './stats.js'

/** How a new, still single-threaded process enters a group without waiting for anybody. */
export interface CgroupJoinPlan {
  /** The process writes `0` to each: v1 `tasks` files, which move one thread and take no machine-wide lock. */
  readonly files: readonly string[]
  /** v2: open it O_PATH and give the descriptor to clone3(CLONE_INTO_CGROUP), or write `0` to its `cgroup.procs`. */
  readonly directory: string | undefined
}

export interface CgroupOptions {
  readonly layout?: CgroupLayout
  readonly clock?: Clock
}

/** Controllers that a v2 group turns on for its children, where the kernel has them. */
const V2_CONTROLLERS = ['cpu', 'cpuset', 'io', 'memory', 'pids', 'hugetlb', 'rdma', 'misc']
const V2_NAMES: Readonly<Record<string, string>> = { cpuacct: 'cpu', blkio: 'io' }

export class Cgroup {
  /** `/knarr/a`: beneath the root of every hierarchy. */
  readonly path: string
  readonly layout: CgroupLayout
  private readonly clock: Clock

  constructor(path: string, options: CgroupOptions = {}) {
    this.path = cgroupPath(path)
    this.layout = options.layout ?? cgroupLayout()
    this.clock = options.clock ?? systemClock
  }

  /** The group's folder in each hierarchy: v1 first, v2 last. */
  get folders(): readonly string[] {
    return [...v1Mounts(this.layout), ...(this.layout.v2 ? [this.layout.v2.mount] : [])].map((mount) => `${mount}${this.path}`)
  }

  private get v2Folder(): string | undefined {
    return this.layout.v2 && `${this.layout.v2.mount}${this.path}`
  }

  /** Where a controller's files are; `''` means files of the group itself on v2. Undefined: this machine has no such controller. */
  folder(controller: string): string | undefined {
    const v1 = this.layout.v1[controller as V1Controller]
    if (v1 !== undefined) return `${v1}${this.path}`
    const v2 = this.layout.v2
    if (!v2) return undefined
    const builtin = controller === '' || controller === 'cgroup'
    return builtin || v2.controllers.includes(V2_NAMES[controller] ?? controller) ? `${v2.mount}${this.path}` : undefined
  }

  exists(): boolean {
    return this.folders.some((folder) => existsSync(folder))
  }

  /**
   * Makes the group and its parents in every hierarchy; false when it was there already, in any of them. A failure leaves
   * nothing new behind.
   */
  create(): boolean {
    const made: string[] = []
    try {
      for (const mount of v1Mounts(this.layout)) makeFolders(mount, this.path, made)
      if (this.layout.v2) {
        makeFolders(this.layout.v2.mount, this.path, made)
        if (this.layout.mode === 'v2') this.enable(V2_CONTROLLERS)
      }
      if (this.layout.v1.cpuset) {
        for (const file of ['cpuset.cpus', 'cpuset.mems']) inheritCpuset(this.layout.v1.cpuset, this.path, file)
      }
      return this.folders.every((folder) => made.includes(folder))
    } catch (error) {
      for (const folder of made.reverse())
        try {
          rmdirSync(folder)
        } catch {
          // Somebody else is in it by now: it is theirs.
        }
      throw error
    }
  }

  /** Turns on v2 controllers in every parent. One that the machine lacks, or a parent refuses, stays off: a limit for it then fails with its name. */
  private enable(controllers: readonly string[]): void {
    const v2 = this.layout.v2
    if (!v2) return
    const wanted = controllers.filter((name) => v2.controllers.includes(name))
    const parents = [v2.mount]
    for (const part of this.path.split('/').slice(1, -1)) parents.push(`${parents.at(-1)}/${part}`)
    for (const parent of parents) {
      const on = (readGroupFile(`${parent}/cgroup.subtree_control`) ?? '').trim().split(' ')
      for (const name of wanted.filter((one) => !on.includes(one)))
        try {
          writeGroupFile(`${parent}/cgroup.subtree_control`, `+${name}`)
        } catch (error) {
          if (!hasErrno(error, 'EBUSY', 'ENOENT', 'EOPNOTSUPP', 'EINVAL', 'EACCES', 'EPERM')) throw error
        }
    }
  }

  /** `below`: paths beneath the group by controller; `''` stands for all that are not named. */
  joinPlan(below: Readonly<Record<string, string>> = {}): CgroupJoinPlan {
    const { '': rest = '', ...named } = below
    const places = new Map([...v1Mounts(this.layout), ...(this.layout.v2 ? [this.layout.v2.mount] : [])].map((mount) => [mount, rest]))
    for (const [controller, path] of Object.entries(named)) {
      const mount = this.layout.v1[controller as V1Controller] ?? this.layout.named[controller.replace(/^name=/, '')]
      if (mount === undefined) throw new Error(`unknown controller "${controller}"`)
      places.set(mount, path)
    }
    const place = (mount: string): string => `${mount}${this.path}${places.get(mount) ?? ''}`
    const v2 = this.layout.v2 && place(this.layout.v2.mount)
    return { files: v1Mounts(this.layout).map((mount) => `${place(mount)}/tasks`), directory: v2 }
  }

  /**
   * For a further process beside `first`: with v2 nobody enters a group that gives controllers to groups of its own (a container in which
   * an init system runs), and then the place is where `first` has gone.
   */
  joinPlanBeside(first: number): CgroupJoinPlan {
    if (this.layout.mode !== 'v2' || (this.read('', 'cgroup.subtree_control') ?? '').trim() === '') return this.joinPlan()
    const own = /^0::(.*)$/m.exec(readGroupFile(`/proc/${first}/cgroup`) ?? '')?.[1] ?? ''
    return this.joinPlan(own.startsWith(`${this.path}/`) ? { '': own.slice(this.path.length) } : {})
  }

  /** Moves a running process with all its threads. Slow by nature (the kernel stops every fork meanwhile): new processes use the plan. */
  join(pid: number): void {
    for (const folder of this.folders) writeGroupFile(`${folder}/cgroup.procs`, String(pid))
  }

  /** Sets what `resources` names and leaves the rest. Devices: the whole list is put in force. */
  limit(resources: CgroupResources): void {
    const { mode } = this.layout
    if (mode === 'hybrid' && resources.hugepageLimits?.length && !this.layout.v1.hugetlb) this.enable(['hugetlb'])
    this.checkMemory(resources)
    if (mode === 'v2') {
      const { cpu } = resources
      // Both stand in one file: a new period alone leaves the quota as it is.
      const quota = cpu?.period && cpu.quota === undefined ? Number.parseInt(this.read('cpu', 'cpu.max') ?? '', 10) : Number.NaN
      this.writeAll(planLimitsV2(Number.isNaN(quota) ? resources : { ...resources, cpu: { ...cpu, quota } }))
      if (resources.devices && resources.devices.length > 0) attachDeviceRules(this.v2Folder ?? '', resources.devices)
      return
    }
    const { memory } = resources
    const swapLimit = memory && (memory.swap || memory.limit === -1) ? this.read('memory', 'memory.memsw.limit_in_bytes') : undefined
    const { hugepageLimits, ...rest } = resources
    this.writeAll(planLimitsV1(rest, swapLimit ? { swapLimit: BigInt(swapLimit.trim()) } : {}))
    const huge = hugepageLimits ? { hugepageLimits } : {}
    this.writeAll(this.layout.v1.hugetlb ? planLimitsV1(huge) : planLimitsV2(huge))
  }

  /** `checkBeforeUpdate`: refuse a limit below what is used now, instead of letting the kernel kill for it. */
  private checkMemory({ memory }: CgroupResources): void {
    if (!memory?.checkBeforeUpdate || !memory.limit || memory.limit < 0) return
    const usage = parseNumber(this.read('memory', 'memory.current') ?? this.read('memory', 'memory.usage_in_bytes'))
    if (usage > memory.limit) throw new Error(`rejecting memory limit ${memory.limit}: ${usage} bytes are in use`)
  }

  /** In order; neighbours for one file (rules for devices) go through one descriptor. */
  private writeAll(writes: readonly CgroupWrite[]): void {
    for (let i = 0; i < writes.length; ) {
      const first = writes[i] as CgroupWrite
      if (first.afterNext) {
        this.writePair(first, writes[i + 1] as CgroupWrite)
        i += 2
        continue
      }
      const values: string[] = []
      for (; writes[i]?.file === first.file && writes[i]?.controller === first.controller; i++)
        values.push((writes[i] as CgroupWrite).value)
      this.write(first, values)
    }
  }

  private writePair(first: CgroupWrite, second: CgroupWrite): void {
    try {
      this.write(first, [first.value])
    } catch (error) {
      if (!hasErrno(error, 'EINVAL')) throw error
      this.write(second, [second.value])
      this.write(first, [first.value])
      return
    }
    this.write(second, [second.value])
  }

  private write({ controller, file, optional }: CgroupWrite, values: readonly string[]): void {
    const folder = this.folder(controller)
    if (folder === undefined) {
      if (optional) return
      throw new Error(`cannot set ${file} to "${values.join(' ')}": this machine has no cgroup controller "${controller}"`)
    }
    try {
      writeGroupFile(`${folder}/${file}`, ...values)
    } catch (error) {
      if (optional && hasErrno(error, 'ENOENT', 'EOPNOTSUPP', 'EACCES')) return
      if (error instanceof SysError && error.errno === ERRNO.EBUSY && /^memory\.(limit_in_bytes|memsw)/.test(file))
        throw new Error(
          `cannot lower ${file} to ${values.join(' ')}: ${parseNumber(this.read('memory', 'memory.usage_in_bytes'))} bytes are in use`,
          {
            cause: error,
          },
        )
      throw error
    }
  }

  private read(controller: string, file: string): string | undefined {
    const folder = this.folder(controller)
    return folder === undefined ? undefined : readGroupFile(`${folder}/${file}`)
  }

  stats(): CgroupStats {
    const sizes = hugePageSizes()
    const inV2 = (_: string, file: string): string | undefined => (this.v2Folder ? readGroupFile(`${this.v2Folder}/${file}`) : undefined)
    if (this.layout.mode === 'v2') return statsV2(inV2, sizes)
    const v1 = statsV1((controller, file) => this.read(controller, file), sizes)
    if (this.layout.mode === 'v1') return v1
    const v2 = statsV2(inV2, this.layout.v1.hugetlb ? [] : sizes)
    return { ...v1, pressure: v2.pressure, hugetlb: this.layout.v1.hugetlb ? v1.hugetlb : v2.hugetlb }
  }

  /** Processes killed by the kernel for want of memory since the group was made. */
  oomKills(): number {
    return parseFlat(this.read('memory', 'memory.events') ?? this.read('memory', 'memory.oom_control')).oom_kill ?? 0
  }

  /** Calls back at each OOM in the group with the number of kills so far, until the returned function is called. */
  onOom(report: (kills: number) => void): () => void {
    const folder = this.folder('memory')
    if (folder === undefined) return () => {}
    return watchOom(folder, this.layout.v1.memory === undefined ? 'v2' : 'v1', this.clock, report)
  }

  /** memory and pids as they stand, for `state`-like answers. */
  limits(): { readonly memory: number | undefined; readonly pids: number | undefined } {
    return {
      memory: parseLimit(this.read('memory', 'memory.max') ?? this.read('memory', 'memory.limit_in_bytes')),
      pids: parseLimit(this.read('pids', 'pids.max')),
    }
  }

  /** Ids of the processes in the group and the groups beneath it. */
  processes(): readonly number[] {
    const mount = this.processHierarchy()
    const pids = groupTree(`${mount}${this.path}`).flatMap((folder) =>
      (readGroupFile(`${folder}/cgroup.procs`) ?? '').split('\n').filter(Boolean).map(Number),
    )
    return [...new Set(pids)]
  }

  private processHierarchy(): string {
    const { v1, v2 } = this.layout
    const mount = v1.freezer ?? v1.pids ?? v1.memory ?? v2?.mount ?? v1Mounts(this.layout)[0]
    if (mount === undefined) throw new Error('no cgroup hierarchy to list processes in')
    return mount
  }

  get frozen(): boolean {
    if (this.layout.v1.freezer) return (this.read('freezer', 'freezer.state') ?? '').trim() === 'FROZEN'
    return parseFlat(this.read('', 'cgroup.events')).frozen === 1
  }

  /** Stops every process; resolves when the last one stands. */
  async freeze(): Promise<void> {
    if (this.layout.v1.freezer) {
      // A process that is just being forked can slip through: the kernel says FREEZING until another write catches it.
      await this.until(() => {
        writeGroupFile(`${this.folder('freezer')}/freezer.state`, 'FROZEN')
        return this.frozen
      }, 'freeze')
    } else {
      writeGroupFile(`${this.v2Folder}/cgroup.freeze`, '1')
      await this.until(() => this.frozen, 'freeze')
    }
  }

  async thaw(): Promise<void> {
    if (this.layout.v1.freezer) writeGroupFile(`${this.folder('freezer')}/freezer.state`, 'THAWED')
    else writeGroupFile(`${this.v2Folder}/cgroup.freeze`, '0')
    await this.until(() => !this.frozen, 'thaw')
  }

  /** Sends a signal to every process now in the group. */
  signal(signal: NodeJS.Signals | number): void {
    for (const pid of this.processes())
      try {
        process.kill(pid, signal)
      } catch (error) {
        if (!hasErrno(error, 'ESRCH')) throw error
      }
  }

  /** Kills everything in the group, forks in flight included; resolves when it is empty. */
  async kill(): Promise<void> {
    const killFile = this.v2Folder && `${this.v2Folder}/cgroup.kill`
    await this.until(() => {
      if (killFile && existsSync(killFile)) writeGroupFile(killFile, '1')
      const left = this.processes()
      if (left.length === 0) return true
      // A fork bomb outruns single kills. Frozen processes of a v1 freezer die when thawed; v2 lets them die at once.
      const freezer = this.layout.v1.freezer && `${this.folder('freezer')}/freezer.state`
      if (freezer) writeGroupFile(freezer, 'FROZEN')
      this.signal('SIGKILL')
      if (freezer) writeGroupFile(freezer, 'THAWED')
      return false
    }, 'kill')
  }

  /** Removes the group and those beneath it, in every hierarchy. An absent group is fine; one with processes is an error. */
  async delete(): Promise<void> {
    // As a rule there are none beneath it.
    for (const folder of this.folders) await this.until(() => removeFolder(folder) || groupTree(folder).every(removeFolder), 'delete')
  }

  /** The kernel finishes these on its own time and tells nobody on v1: ask again, less and less often. */
  private async until(done: () => boolean, what: string): Promise<void> {
    const deadline = this.clock.monotonic() + 10_000
    for (let pause = 1; !done(); pause = Math.min(pause * 2, 100)) {
      if (this.clock.monotonic() > deadline)
        throw new Error(`cgroup ${this.path}: ${what} did not finish in 10 s; processes left: ${this.processes().join(' ') || 'none'}`)
      await sleep(this.clock, pause)
    }
  }
}

export const openCgroup = (path: string, options?: CgroupOptions): Cgroup => new Cgroup(path, options)

function makeFolders(mount: string, path: string, made: string[]): void {
  const folder = `${mount}${path}`
  try {
    mkdirSync(folder)
    made.push(folder)
  } catch (error) {
    if (hasErrno(error, 'EEXIST')) return
    if (!hasErrno(error, 'ENOENT') || dirname(path) === '/') throw error
    makeFolders(mount, dirname(path), made)
    mkdirSync(folder)
    made.push(folder)
  }
}

/** False while somebody is in the group. */
function removeFolder(folder: string): boolean {
  try {
    rmdirSync(folder)
    return true
  } catch (error) {
    if (hasErrno(error, 'EBUSY')) return false
    if (hasErrno(error, 'ENOENT')) return true
    throw error
  }
}

/** A new v1 cpuset has no processors and accepts nobody: it takes what its parent has, which is returned. */
function inheritCpuset(mount: string, path: string, file: string): string {
  const place = path === '/' ? `${mount}/${file}` : `${mount}${path}/${file}`
  const own = (readGroupFile(place) ?? '').trim()
  if (own !== '' || path === '/') return own
  const inherited = inheritCpuset(mount, dirname(path), file)
  writeGroupFile(place, inherited)
  return inherited
}

let pageSizes: readonly string[] | undefined

/** Sizes of huge pages as cgroup files name them: `2MB`, `1GB`. */
export function hugePageSizes(): readonly string[] {
  pageSizes ??= ((): readonly string[] => {
    try {
      return readdirSync('/sys/kernel/mm/hugepages').map((name) => {
        const kib = Number(/\d+/.exec(name)?.[0] ?? 0)
        return kib >= 1 << 20 ? `${kib >> 20}GB` : kib >= 1024 ? `${kib >> 10}MB` : `${kib}KB`
      })
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return []
      throw error
    }
  })()
  return pageSizes
}
