// A mount of type cgroup: the container's view of its control groups, v1, v2 or both.
import {
  type CgroupLayout,
  MOUNT_ATTR,
  mountAttributes,
  mountSteps,
  type ProgramWriter,
  program,
  type SplitOptions,
  splitOptions,
} from '../../sys/index.js'
import type { MountSpec } from '../spec.js'
import type { ContainerFacts } from './facts.js'

const { attach, attachIn, cloneTree, newFilesystem, openTarget, setAttributes } = mountSteps
const { text, value } = program

interface Hierarchy {
  /** Folder below the mount's destination: `cpu,cpuacct`. */
  readonly name: string
  readonly mount: string
  /** Names that should point to it: `cpu` to `cpu,cpuacct`. */
  readonly aliases: readonly string[]
}

/** The hierarchies of a v1 or hybrid machine, v2 last as `unified`. */
export function hierarchies(layout: CgroupLayout): readonly Hierarchy[] {
  const byMount = new Map<string, string[]>()
  for (const [controller, mount] of Object.entries(layout.v1)) byMount.set(mount, [...(byMount.get(mount) ?? []), controller])
  for (const [name, mount] of Object.entries(layout.named)) byMount.set(mount, [name])
  const v1 = [...byMount].map(([mount, controllers]): Hierarchy => {
    const name = mount.split('/').at(-1) ?? controllers.join(',')
    return { name, mount, aliases: controllers.filter((one) => one !== name) }
  })
  return layout.v2 ? [...v1, { name: 'unified', mount: layout.v2.mount, aliases: [] }] : v1
}

interface CgroupMountOptions {
  readonly facts: ContainerFacts
  readonly mount: MountSpec
  readonly options: SplitOptions
}

/**
 * Binds the folders of the container's group. A cgroup namespace sees such a mount's root as `/`, as it would a mount of its
 * own, and a superblock for each hierarchy would cost more than everything else that is mounted.
 */
export function cgroupMount(w: ProgramWriter, { facts, mount, options }: CgroupMountOptions): void {
  const what = `mount ${mount.destination}`
  const { layout, path } = facts.cgroup
  const attributes = mountAttributes(options.flags)
  const view = (hierarchy: Hierarchy, name: string): string => {
    const tree = w.fresh('cgroup-tree')
    cloneTree(w, { what: name, source: `${hierarchy.mount}${path}`, recursive: false, into: tree })
    return tree
  }
  const target = openTarget(w, { root: 'root', path: mount.destination, make: 'directory', what })
  const all = hierarchies(layout)
  if (layout.mode === 'v2') {
    for (const hierarchy of all) {
      const tree = view(hierarchy, what)
      setAttributes(w, `${what}: attributes`, tree, { set: attributes })
      attach(w, what, tree, target)
    }
    return
  }
  const tmpfs = newFilesystem(w, {
    what,
    type: 'tmpfs',
    source: 'tmpfs',
    options: splitOptions(['mode=755']),
    attributes: attributes & ~MOUNT_ATTR.RDONLY,
  })
  attach(w, what, tmpfs, target)
  for (const hierarchy of all) {
    const name = `${what}/${hierarchy.name}`
    w.step(`${name}: make folder`, 'mkdirat', [value(tmpfs), text(hierarchy.name), 0o755])
    attachIn(w, name, view(hierarchy, name), tmpfs, hierarchy.name)
    for (const alias of hierarchy.aliases) w.step(`${what}/${alias}: link`, 'symlinkat', [text(hierarchy.name), value(tmpfs), text(alias)])
  }
  setAttributes(w, `${what}: attributes`, tmpfs, { set: attributes, recursive: true })
}
