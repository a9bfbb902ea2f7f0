// From a fresh mount namespace to the container's own root: the steps, in the order in which they must happen.
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  CLONE_NEWNS,
  MOUNT_ATTR,
  MS,
  mountAttributes,
  mountSteps,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  type ProgramWriter,
  program,
  S_IFREG,
  type SplitOptions,
  splitOptions,
} from '../../sys/index.js'
import type { MountSpec, Propagation, Spec } from '../spec.js'
import { cgroupMount } from './cgroup-mount.js'
import { deviceSteps } from './devices.js'
import type { ContainerFacts } from './facts.js'

const { attach, attachIn, classicMount, cloneDescriptor, cloneTree, newFilesystem, openTarget, setAttributes } = mountSteps
const { address, text, value } = program

const MNT_DETACH = 2

const propagationBits: Readonly<Record<Propagation, number>> = {
  shared: MS.SHARED,
  slave: MS.SLAVE,
  private: MS.PRIVATE,
  unbindable: MS.UNBINDABLE,
  rshared: MS.SHARED | MS.REC,
  rslave: MS.SLAVE | MS.REC,
  rprivate: MS.PRIVATE | MS.REC,
  runbindable: MS.UNBINDABLE | MS.REC,
}

/**
 * With a user namespace the container's root may not look at the host's paths, and what it mounts itself it may change as it
 * likes: somebody with the host's rights prepares what comes from the host.
 */
export const hostMountsAreStaged = (spec: Spec): boolean => {
  const namespaces = spec.linux?.namespaces ?? []
  return namespaces.some(({ type }) => type === 'user') && namespaces.some(({ type, path }) => type === 'mount' && !path)
}

export const isBind = (mount: MountSpec): boolean =>
  mount.type === 'bind' || (mount.options ?? []).some((word) => word === 'bind' || word === 'rbind')

const sourceRegion = (index: number): string => `source-${index}`

/** Names in the stage. */
const stagedRoot = 'root'
const stagedSource = (index: number): string => `mount-${index}`

/**
 * A mount namespace of the host's with the root file system and the sources of bind mounts on a tmpfs, which lies on the place of
 * the root and is the working folder. The container's namespace becomes a copy of it, and as it belongs to other rights the
 * kernel locks every flag of every mount and whatever is mounted on another, and cuts the way of new mounts back to the host.
 */
export function stageHostMounts(w: ProgramWriter, spec: Spec, facts: ContainerFacts): void {
  w.step('stage: new mount namespace', 'unshare', [CLONE_NEWNS])
  w.step('stage: receive mounts only', 'mount', [0, text('/'), 0, MS.SLAVE | MS.REC, 0])
  const staged: [what: string, fd: string, name: string, kind: 'directory' | 'file'][] = []
  cloneTree(w, { what: 'rootfs', source: facts.rootfs, recursive: true, into: 'staged-root' })
  staged.push(['rootfs', 'staged-root', stagedRoot, 'directory'])
  for (const [index, mount] of (spec.mounts ?? []).entries()) {
    if (!isBind(mount) || facts.innerSources.has(index)) continue
    const what = `mount ${mount.destination}`
    const source = sourceRegion(index)
    openSource(w, mount, index, facts)
    const { flags, recursive } = splitOptions(mount.options ?? [])
    const locked = mountAttributes(flags & LOCKABLE)
    if (locked) setAttributes(w, `${what}: attributes`, source, { set: locked })
    // Times of access are changed later, where the kernel says whether they may be.
    const lockedTree = recursive.set & ~(MOUNT_ATTR.ATIME | MOUNT_ATTR.NODIRATIME)
    if (lockedTree) setAttributes(w, `${what}: recursive attributes`, source, { set: lockedTree, recursive: true })
    staged.push([what, source, stagedSource(index), facts.sources.get(index) ?? 'directory'])
  }
  const stage = newFilesystem(w, { what: 'stage', type: 'tmpfs', source: 'tmpfs', options: splitOptions(['mode=755']), attributes: 0 })
  w.step('stage: open its place', 'openat', [AT_FDCWD, text(facts.rootfs), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0], {
    into: 'stage-place',
  })
  attach(w, 'stage: mount', stage, 'stage-place')
  for (const [what, fd, name, kind] of staged) {
    if (kind === 'directory') w.step(`stage: ${what}: make folder`, 'mkdirat', [value(stage), text(name), 0o755])
    else w.step(`stage: ${what}: make file`, 'mknodat', [value(stage), text(name), S_IFREG | 0o644, 0])
    attachIn(w, `stage: ${what}`, fd, stage, name)
  }
  w.step('stage: enter', 'fchdir', [value(stage)])
}

function openSource(w: ProgramWriter, mount: MountSpec, index: number, facts: ContainerFacts): void {
  const { flags, idmap } = splitOptions(mount.options ?? [])
  const what = `mount ${mount.destination}`
  const recursive = (flags & MS.REC) !== 0 || !(mount.options ?? []).includes('bind')
  const source = mount.source ?? ''
  const inner = facts.innerSources.get(index)
  if (inner === undefined) cloneTree(w, { what, source, recursive, into: sourceRegion(index) })
  else {
    const fd = openTarget(w, { root: 'root', path: inner, what: `${what}: open ${source}` })
    cloneDescriptor(w, { what: `${what}: open ${source}`, fd, recursive, into: sourceRegion(index) })
  }
  if (!facts.idmapped.has(index)) return
  const attributes = w.region(`idmap-attributes-${index}`, [MOUNT_ATTR.IDMAP, 0, 0, 0])
  w.step(`${what}: note the id maps`, 'value', [value(`idmap-${index}`)], { into: `${attributes}[3]` })
  const flag = AT_EMPTY_PATH | (idmap === 'ridmap' ? AT_RECURSIVE : 0)
  w.step(`${what}: map ids`, 'mount_setattr', [value(sourceRegion(index)), text(''), flag, address(attributes), 32])
}

/** Everything up to, and without, the change of root. Returns the mounts that are filled first and become read-only then. */
export function buildRoot(w: ProgramWriter, spec: Spec, facts: ContainerFacts): readonly string[] {
  const closeLater: string[] = []
  const propagation = propagationBits[spec.linux?.rootfsPropagation ?? 'rslave']
  const staged = hostMountsAreStaged(spec)
  w.step('make / receive or share mounts', 'mount', [0, text('/'), 0, propagation | MS.REC, 0])
  if (propagation & MS.SHARED) {
    // pivot_root refuses a root whose parent mount is shared.
    const parent = staged ? '.' : facts.rootfsParent
    w.step(`make ${parent} private`, 'mount', [0, text(parent), 0, MS.PRIVATE, 0])
  }
  cloneTree(w, { what: 'rootfs', source: staged ? stagedRoot : facts.rootfs, recursive: true, into: 'root' })
  if (staged) setAttributes(w, 'rootfs: propagation', 'root', { propagation: propagation & ~MS.REC, recursive: true })
  const place = staged ? '.' : facts.rootfs
  w.step('rootfs: open the mount point', 'openat', [AT_FDCWD, text(place), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0], {
    into: 'root-place',
  })
  attach(w, 'rootfs: mount', 'root', 'root-place')
  for (const [index, mount] of (spec.mounts ?? []).entries()) oneMount(w, { facts, mount, index, staged, closeLater })
  deviceSteps(w, spec)
  // The host's own, opened before the root changes: a container cannot put something else in its place (CVE-2025-31133).
  const masked = new Set(spec.linux?.maskedPaths ?? [])
  if (masked.size > 0) {
    w.step('open /dev/null', 'openat', [AT_FDCWD, text('/dev/null'), O_PATH | O_CLOEXEC, 0], { into: 'host-null' })
    const empty = facts.cloneDetached ? emptyFolder(w, 'mask of folders') : undefined
    for (const path of masked) maskPath(w, path, empty)
  }
  for (const path of new Set(spec.linux?.readonlyPaths ?? [])) readonlyPath(w, path)
  return closeLater
}

/** A file system with nothing in it, detached. */
const emptyFolder = (w: ProgramWriter, what: string): string => {
  const options = splitOptions(['ro', 'nr_blocks=1', 'nr_inodes=1'])
  return newFilesystem(w, { what, type: 'tmpfs', source: 'tmpfs', options, attributes: mountAttributes(MS.RDONLY) })
}

interface OneMount {
  readonly facts: ContainerFacts
  readonly mount: MountSpec
  readonly index: number
  readonly staged: boolean
  readonly closeLater: string[]
}

function oneMount(w: ProgramWriter, { facts, mount: given, index, staged, closeLater }: OneMount): void {
  const mount = { ...given, destination: facts.targets.get(index) ?? given.destination }
  const what = `mount ${mount.destination}`
  const type = mount.type ?? (isBind(mount) ? 'bind' : 'none')
  const mode = facts.tmpfsModes.get(index)
  const kernelTree = type === 'proc' || type === 'sysfs'
  const label = kernelTree || type === 'mqueue' || isBind(mount) ? undefined : facts.mountLabel
  const options = splitOptions([
    ...(mount.options ?? []),
    ...(mode === undefined ? [] : [`mode=${mode.toString(8)}`]),
    ...(label ? [`context=${label}`] : []),
  ])
  if (isBind(mount)) {
    const source = sourceRegion(index)
    if (!staged || facts.innerSources.has(index)) openSource(w, mount, index, facts)
    else cloneTree(w, { what, source: stagedSource(index), recursive: true, into: source })
    const target = openTarget(w, { root: 'root', path: mount.destination, make: facts.sources.get(index) ?? 'directory', what })
    const change = bindChange(options, staged)
    if (change) setAttributes(w, `${what}: attributes`, source, change)
    treeAttributes(w, what, source, options)
    attach(w, what, source, target)
    return
  }
  if (type === 'cgroup' || type === 'cgroup2') {
    cgroupMount(w, { facts, mount, options })
    return
  }
  // A container that chose where /proc and /sys lie could have another program write into them (CVE-2019-19921, CVE-2023-27561).
  const target = openTarget(w, { root: 'root', path: mount.destination, make: 'directory', noSymlinks: kernelTree, what })
  const late = type === 'tmpfs' && (options.flags & MS.RDONLY) !== 0
  const attributes = mountAttributes(late ? options.flags & ~MS.RDONLY : options.flags)
  const filesystem = newFilesystem(w, { what, type, source: mount.source ?? type, options, attributes })
  if (late) closeLater.push(filesystem)
  treeAttributes(w, what, filesystem, options)
  attach(w, what, filesystem, target)
}

const LOCKABLE = MS.RDONLY | MS.NOSUID | MS.NODEV | MS.NOEXEC
const ACCESS_TIMES = MS.NOATIME | MS.NODIRATIME | MS.RELATIME | MS.STRICTATIME

/**
 * What the words of a bind mount change. Without any it stays as its source is; with one, those that no word names are cleared,
 * but in a user namespace kept: there the kernel lets nobody take them from the host's mount. Times of access change by a word for them alone.
 */
function bindChange({ flags, cleared }: SplitOptions, inUserNamespace: boolean): { set: number; clear: number } | undefined {
  if ((flags & ~(MS.BIND | MS.REC | MS.REMOUNT)) === 0 && cleared === 0) return undefined
  const times = flags & ACCESS_TIMES ? MOUNT_ATTR.ATIME | MOUNT_ATTR.NODIRATIME : 0
  const plain = mountAttributes(inUserNamespace ? cleared & LOCKABLE : LOCKABLE)
  return { set: mountAttributes(flags), clear: plain | times | MOUNT_ATTR.NOSYMFOLLOW }
}

/** What words such as `rro` and `rshared` change at a detached tree. */
function treeAttributes(w: ProgramWriter, what: string, mount: string, options: SplitOptions): void {
  const { recursive } = options
  if (recursive.set || recursive.clear) setAttributes(w, `${what}: recursive attributes`, mount, { ...recursive, recursive: true })
  for (const bits of options.propagation) {
    setAttributes(w, `${what}: propagation`, mount, { propagation: bits & ~MS.REC, recursive: (bits & MS.REC) !== 0 })
  }
}

/** Hides a file behind /dev/null, a folder behind an empty file system: one for all where the kernel copies detached mounts. What is not there needs no mask. */
function maskPath(w: ProgramWriter, path: string, empty: string | undefined): void {
  const what = `mask ${path}`
  const done = w.fresh('masked')
  const target = w.fresh('target')
  w.step(what, 'openat2', [value('root'), text(path.replace(/^\/+/, '')), mountSteps.openHow(O_PATH | O_CLOEXEC, 16), 24], {
    into: target,
    retry: true,
    onError: done,
  })
  const folder = w.aside('mask-folder', done, () => {
    if (empty === undefined) {
      classicMount(w, { what, source: 'tmpfs', type: 'tmpfs', target, flags: MS.RDONLY, data: 'nr_blocks=1,nr_inodes=1' })
      return
    }
    const copy = w.fresh('mask')
    cloneDescriptor(w, { what, fd: empty, recursive: false, into: copy })
    attach(w, what, copy, target)
  })
  const mask = w.fresh('mask')
  cloneDescriptor(w, { what, fd: 'host-null', recursive: false, into: mask })
  attach(w, what, mask, target, folder)
  w.block(done)
}

function readonlyPath(w: ProgramWriter, path: string): void {
  const what = `read-only ${path}`
  const done = w.fresh('readonly')
  const target = w.fresh('target')
  const tree = w.fresh('tree')
  w.step(what, 'openat2', [value('root'), text(path.replace(/^\/+/, '')), mountSteps.openHow(O_PATH | O_CLOEXEC, 16), 24], {
    into: target,
    retry: true,
    onError: done,
  })
  cloneDescriptor(w, { what, fd: target, recursive: true, into: tree })
  setAttributes(w, what, tree, { set: MOUNT_ATTR.RDONLY, recursive: true })
  attach(w, what, tree, target)
  w.block(done)
}

/** Without pivot_root the host's mounts stay in reach: a whole proc or sysfs would let a nested user namespace mount its own. */
function hideTree(w: ProgramWriter, path: string): void {
  const hidden = w.fresh('hidden')
  w.step(`${path}: stop propagation`, 'mount', [0, text(path), 0, MS.SLAVE | MS.REC, 0])
  // In a user namespace it is locked to what is below it.
  const cover = w.aside('cover', hidden, () => {
    w.step(`cover ${path}`, 'mount', [text('tmpfs'), text(path), text('tmpfs'), MS.RDONLY, 0])
  })
  w.step(`unmount ${path}`, 'umount2', [text(path), MNT_DETACH], { onError: cover })
  w.block(hidden)
}

/** The change of root. After it the host's paths are gone. */
export function enterRoot(w: ProgramWriter, spec: Spec, facts: ContainerFacts, closeLater: readonly string[]): void {
  for (const mount of closeLater) setAttributes(w, 'make a tmpfs read-only', mount, { set: MOUNT_ATTR.RDONLY })
  if (spec.root?.readonly) setAttributes(w, 'make the root read-only', 'root', { set: MOUNT_ATTR.RDONLY })
  w.step('enter the root', 'fchdir', [value('root')])
  if (facts.hostTrees) {
    for (const path of facts.hostTrees) hideTree(w, path)
    w.step('move the root', 'mount', [text('.'), text('/'), 0, MS.MOVE, 0])
    w.step('change root', 'chroot', [text('.')])
  } else {
    w.step('old root: open', 'openat', [AT_FDCWD, text('/'), O_PATH | O_DIRECTORY | O_CLOEXEC, 0], { into: 'old-root' })
    w.step('pivot root', 'pivot_root', [text('.'), text('.')])
    // The old root lies on top now, but `.` is still the new one. Letting go of the old must not reach the host.
    w.step('old root: enter', 'fchdir', [value('old-root')])
    w.step('old root: stop propagation', 'mount', [0, text('.'), 0, MS.SLAVE | MS.REC, 0])
    w.step('old root: unmount', 'umount2', [text('.'), MNT_DETACH])
  }
  w.step('go to /', 'chdir', [text('/')])
  const propagation = spec.linux?.rootfsPropagation
  if (propagation) w.step(`make / ${propagation}`, 'mount', [0, text('/'), 0, propagationBits[propagation], 0])
}
