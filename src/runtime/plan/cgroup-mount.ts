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
import type { MountSpec, Spec } from '../spec.js'
import type { ContainerFacts } from './facts.js'

const { attach, cloneTree, newFilesystem, openTarget, setAttributes } = mountSteps
const { text, value } = program

interface Hierarchy {
  /** Folder below the mount's destination: `cpu,cpuacct`. */
  readonly name: string
  readonly mount: string
  /** Options that select the hierarchy; none for v2. */
  readonly options: readonly string[]
  readonly type: 'cgroup' | 'cgroup2'
  /** Names that should point to it: `cpu` to `cpu,cpuacct`. */
  readonly aliases: readonly string[]
}

/** The hierarchies of a v1 or hybrid machine, v2 last as `unified`. */
export function hierarchies(layout: CgroupLayout): readonly Hierarchy[] {
  const byMount = new Map<string, string[]>()
  for (const [controller, mount] of Object.entries(layout.v1)) byMount.set(mount, [...(byMount.get(mount) ?? []), controller])
  const v1 = [...byMount].map(([mount, controllers]): Hierarchy => {
    const name = mount.split('/').at(-1) ?? controllers.join(',')
    return { name, mount, options: controllers, type: 'cgroup', aliases: controllers.filter((one) => one !== name) }
  })
  const named = Object.entries(layout.named).map(
    ([name, mount]): Hierarchy => ({
      name: mount.split('/').at(-1) ?? name,
      mount,
      options: [`name=${name}`, 'none'],
      type: 'cgroup',
      aliases: [],
    }),
  )
  const v2: Hierarchy[] = layout.v2 ? [{ name: 'unified', mount: layout.v2.mount, options: [], type: 'cgroup2', aliases: [] }] : []
  return [...v1, ...named, ...v2]
}

interface CgroupMountOptions {
  readonly spec: Spec
  readonly facts: ContainerFacts
  readonly mount: MountSpec
  readonly options: SplitOptions
}

export function cgroupMount(w: ProgramWriter, { spec, facts, mount, options }: CgroupMountOptions): void {
  const what = `mount ${mount.destination}`
  const { layout, path } = facts.cgroup
  const ownNamespace = (spec.linux?.namespaces ?? []).some(({ type }) => type === 'cgroup')
  const attributes = mountAttributes(options.flags)
  /** With a cgroup namespace a new mount shows the container's group as root; without, its folder is bound there. */
  const view = (hierarchy: Hierarchy, name: string): string => {
    if (ownNamespace) {
      const words = splitOptions(hierarchy.options)
      return newFilesystem(w, {
        what: name,
        type: hierarchy.type,
        source: hierarchy.type === 'cgroup2' ? 'cgroup' : hierarchy.name,
        options: words,
        attributes,
      })
    }
    const tree = w.fresh('cgroup-tree')
    cloneTree(w, { what: name, source: `${hierarchy.mount}${path}`, recursive: false, into: tree })
    setAttributes(w, `${name}: attributes`, tree, { set: attributes })
    return tree
  }
  const target = openTarget(w, { root: 'root', path: mount.destination, make: 'directory', what })
  const all = hierarchies(layout)
  if (layout.mode === 'v2') {
    for (const hierarchy of all) attach(w, what, view(hierarchy, what), target)
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
    const place = openTarget(w, { root: 'root', path: `${mount.destination}/${hierarchy.name}`, what: name })
    attach(w, name, view(hierarchy, name), place)
    for (const alias of hierarchy.aliases) w.step(`${what}/${alias}: link`, 'symlinkat', [text(hierarchy.name), value(tmpfs), text(alias)])
  }
  if (attributes & MOUNT_ATTR.RDONLY) setAttributes(w, `${what}: read-only`, tmpfs, { set: MOUNT_ATTR.RDONLY })
}
