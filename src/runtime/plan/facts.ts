// What a plan needs to know of the machine besides the spec. Gathered once per container, so that the plan itself is pure.
import type { CgroupLayout } from '../../sys/index.js'

export interface ContainerFacts {
  readonly id: string
  /** Folder of the container's state; holds the FIFOs `report` and `start`. */
  readonly stateDir: string
  /** Absolute, symlinks resolved. */
  readonly rootfs: string
  /** Mount point that the root file system lies on. */
  readonly rootfsParent: string
  /** By index in `spec.mounts`: what the source of a bind mount is. */
  readonly sources: ReadonlyMap<number, 'directory' | 'file'>
  /** By index in `spec.mounts`: the path within the root of a source that lies on an earlier mount of the same spec. */
  readonly innerSources: ReadonlyMap<number, string>
  /** By index in `spec.mounts`: where a destination leads that goes through links into nothing. */
  readonly targets: ReadonlyMap<number, string>
  /** By index in `spec.mounts`: the mode of the folder that a tmpfs without one of its own is mounted over. */
  readonly tmpfsModes: ReadonlyMap<number, number>
  /** The kernel copies mounts that are attached nowhere (6.15). */
  readonly cloneDetached: boolean
  /** SELinux label of new file systems, where the kernel has SELinux. */
  readonly mountLabel: string | undefined
  /** Indexes in `spec.mounts` that are idmapped; the regions `idmap-INDEX` hold descriptors of user namespaces. */
  readonly idmapped: ReadonlySet<number>
  readonly cgroup: {
    readonly layout: CgroupLayout
    readonly path: string
    /** Files into which the new process writes `0`. */
    readonly files: readonly string[]
    /** The v2 folder to be born in. */
    readonly directory: string | undefined
  }
  /**
   * `monitor`: a process of ours stays as parent and writes the exit status down.
   * `child`: the container becomes a child of whoever launches the program, as runc's callers expect.
   */
  readonly parent: 'monitor' | 'child'
  /** Stop before the root is changed, for what the caller does from outside: hooks, network devices. */
  readonly pauseForCaller: boolean
  /** Whether the regions `given-console` (the socket that gets the terminal's master) and `given-keeper` (its other end) are filled in. */
  readonly consoleSocket: boolean
  /** Output FIFOs whose last bytes the monitor saves: a FIFO that nobody has open any more is empty. */
  readonly tails?: readonly { readonly fd: number; readonly path: string }[]
  /** The environment of the program, as it is executed with. */
  readonly env: readonly string[]
  /** Where whole proc and sysfs mounts of the host lie, if the root is to be changed without pivot_root. */
  readonly hostTrees: readonly string[] | undefined
  readonly noNewKeyring: boolean
  readonly restrictOomScoreAdj: number | undefined
  /** Descriptors from 3 on that the process inherits. */
  readonly preserveFds: number
  /** The compiled filter and its flags. */
  readonly seccomp: { readonly filter: Uint8Array; readonly flags: number; readonly notify: boolean } | undefined
}

/** Tags of the records that a program writes into `report`: `[tag, value]`. A failure's first word is an address instead. */
export const REPORT = { pid: 1, created: 2, paused: 3, seccomp: 4 } as const
export const REPORT_BYTES = 16
