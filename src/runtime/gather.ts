// Looks at the machine for what a plan needs to know.
import { closeSync, constants, existsSync, fstatSync, lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import { release } from 'node:os'
import { isAbsolute, join, posix } from 'node:path'
import { hasErrno } from '../lib/index.js'
import { cgroupPath, O_PATH, openBeneath, readMountinfo, systemdCgroupPath } from '../sys/index.js'
import { isBind } from './plan/rootfs.js'
import type { MountSpec, Spec } from './spec.js'
import { RuntimeError } from './types.js'

/** The root file system's absolute path, symlinks resolved. */
export function rootfsOf(spec: Spec, bundle: string): string {
  const path = spec.root?.path ?? ''
  const absolute = isAbsolute(path) ? path : join(bundle, path)
  try {
    const real = realpathSync(absolute)
    if (!statSync(real).isDirectory()) throw new RuntimeError('InvalidSpec', `root.path: ${absolute} is not a folder`)
    return real
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) throw new RuntimeError('InvalidSpec', `root.path: no such folder: ${absolute}`)
    throw error
  }
}

const below = (path: string, folder: string): string | undefined =>
  path === folder || path.startsWith(`${folder}/`) ? path.slice(folder.length) : undefined

/** Destination within the root, without a trailing slash; older engines write the host's path of it. */
const placeOf = ({ destination }: MountSpec, rootfs: string): string =>
  posix.join('/', below(destination, rootfs) ?? destination).replace(/\/$/, '')

/** Sources that lie on an earlier mount of the same spec, within the root: they are there when their turn comes. */
export function innerSources(spec: Spec, rootfs: string): ReadonlyMap<number, string> {
  const found = new Map<number, string>()
  const mounts = spec.mounts ?? []
  for (const [index, mount] of mounts.entries()) {
    const inner = isBind(mount) ? below(mount.source ?? '', rootfs) : undefined
    if (inner && mounts.slice(0, index).some((earlier) => below(inner, placeOf(earlier, rootfs)) !== undefined)) found.set(index, inner)
  }
  return found
}

/** The path that a source has before anything is mounted. */
function originOf(source: string, earlier: readonly MountSpec[], rootfs: string): string {
  const inner = below(source, rootfs)
  if (inner === undefined) return source
  for (const [index, mount] of [...earlier.entries()].reverse()) {
    const rest = below(inner, placeOf(mount, rootfs))
    if (rest !== undefined && isBind(mount)) return originOf(`${mount.source ?? ''}${rest}`, earlier.slice(0, index), rootfs)
  }
  return source
}

/** What each bind mount's source is; a missing one is the user's mistake. */
export function sourceKinds(spec: Spec, rootfs: string): ReadonlyMap<number, 'directory' | 'file'> {
  const kinds = new Map<number, 'directory' | 'file'>()
  for (const [index, mount] of (spec.mounts ?? []).entries()) {
    if (!isBind(mount)) continue
    try {
      const origin = originOf(mount.source ?? '', (spec.mounts ?? []).slice(0, index), rootfs)
      kinds.set(index, statSync(origin).isDirectory() ? 'directory' : 'file')
    } catch (error) {
      if (!hasErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP')) throw error
      throw new RuntimeError('InvalidSpec', `mounts[${index}].source: cannot use ${mount.source}: ${(error as NodeJS.ErrnoException).code}`)
    }
  }
  return kinds
}

/** Destinations of bind mounts that lead through links to what is not there yet: it is made where the links point, within the root. */
export function danglingTargets(spec: Spec, rootfs: string): ReadonlyMap<number, string> {
  const targets = new Map<number, string>()
  for (const [index, mount] of (spec.mounts ?? []).entries()) {
    if (!isBind(mount)) continue
    // Older engines write the host's path of the destination.
    const destination = mount.destination.startsWith(`${rootfs}/`) ? mount.destination.slice(rootfs.length) : mount.destination
    const found = lstatSync(`${rootfs}/${destination}`, { throwIfNoEntry: false })
    const target = found && !found.isSymbolicLink() ? destination : followLinks(rootfs, destination)
    if (target !== mount.destination) targets.set(index, target)
  }
  return targets
}

const MOST_LINKS = 40

/** The path without links, as if `root` were /. What is not there stands for itself. Only names: opening it is still done beneath the root. */
function followLinks(root: string, path: string): string {
  const parts = path.split('/')
  let at = ''
  let links = 0
  for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
    if (part === '' || part === '.') continue
    if (part === '..') {
      at = posix.dirname(at === '' ? '/' : at).replace(/^\/$/, '')
      continue
    }
    const found = lstatSync(`${root}${at}/${part}`, { throwIfNoEntry: false })
    if (!found?.isSymbolicLink() || ++links > MOST_LINKS) at = `${at}/${part}`
    else {
      const target = readlinkSync(`${root}${at}/${part}`)
      if (target.startsWith('/')) at = ''
      parts.unshift(...target.split('/'))
    }
  }
  return at === '' ? '/' : at
}

/** What a tmpfs takes over from the folder that it hides, unless the spec says a mode. */
export function tmpfsModes(spec: Spec, rootfs: string): ReadonlyMap<number, number> {
  const modes = new Map<number, number>()
  for (const [index, { type, destination, options = [] }] of (spec.mounts ?? []).entries()) {
    if (type !== 'tmpfs' || options.some((word) => word.startsWith('mode='))) continue
    const fd = openBeneath(rootfs, destination, O_PATH | constants.O_DIRECTORY)
    if (fd === undefined) continue
    modes.set(index, fstatSync(fd).mode & 0o7777)
    closeSync(fd)
  }
  return modes
}

/** Whether the running kernel is at least this version. */
export function kernelAtLeast(major: number, minor: number): boolean {
  const [ours = 0, theirs = 0] = release().split('.').map(Number)
  return ours > major || (ours === major && theirs >= minor)
}

/** Where the container's control group is: below the root of each hierarchy. */
export function cgroupOf(spec: Spec, id: string, systemd: boolean): string {
  const wanted = spec.linux?.cgroupsPath ?? ''
  if (systemd && !existsSync('/run/systemd/system'))
    throw new RuntimeError('Failed', '--systemd-cgroup: systemd does not run on this machine: leave the flag out')
  try {
    if (systemd) return systemdCgroupPath(wanted === '' ? `system.slice:knarr:${id}` : wanted)
    return cgroupPath(wanted === '' ? `/${id}` : wanted)
  } catch (error) {
    throw new RuntimeError('InvalidSpec', `linux.cgroupsPath: ${(error as Error).message}`)
  }
}

/** The longest mount point that a path lies on. */
export const mountPointOf = (path: string): string =>
  readMountinfo()
    .map(({ point }) => point)
    .filter((point) => below(path, point) !== undefined)
    .reduce((best, point) => (point.length > best.length ? point : best), '/')

/** Mounts of a whole proc or sysfs outside of the root. What lies on one of them goes with it. */
export function wholeTrees(rootfs: string): readonly string[] {
  const found = readMountinfo().filter(
    ({ type, root, point }) => (type === 'proc' || type === 'sysfs') && root === '/' && below(point, rootfs) === undefined,
  )
  return found.map(({ point }) => point).filter((point) => !found.some((other) => other.point !== point && below(point, other.point)))
}
