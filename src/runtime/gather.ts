// Looks at the machine for what a plan needs to know.
import { readFileSync, realpathSync, statSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { hasErrno } from '../lib/index.js'
import { cgroupPath, systemdCgroupPath } from '../sys/index.js'
import { isBind } from './plan/rootfs.js'
import type { Spec } from './spec.js'
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

/** What each bind mount's source is; a missing one is the user's mistake. */
export function sourceKinds(spec: Spec): ReadonlyMap<number, 'directory' | 'file'> {
  const kinds = new Map<number, 'directory' | 'file'>()
  for (const [index, mount] of (spec.mounts ?? []).entries()) {
    if (!isBind(mount)) continue
    try {
      kinds.set(index, statSync(mount.source ?? '').isDirectory() ? 'directory' : 'file')
    } catch (error) {
      if (!hasErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP')) throw error
      throw new RuntimeError('InvalidSpec', `mounts[${index}].source: cannot use ${mount.source}: ${(error as NodeJS.ErrnoException).code}`)
    }
  }
  return kinds
}

/** Where the container's control group is: below the root of each hierarchy. */
export function cgroupOf(spec: Spec, id: string, systemd: boolean): string {
  const wanted = spec.linux?.cgroupsPath ?? ''
  try {
    if (systemd) return systemdCgroupPath(wanted === '' ? `system.slice:knarr:${id}` : wanted)
    return cgroupPath(wanted === '' ? `/${id}` : wanted)
  } catch (error) {
    throw new RuntimeError('InvalidSpec', `linux.cgroupsPath: ${(error as Error).message}`)
  }
}

/** The longest mount point that a path lies on. */
export function mountPointOf(path: string): string {
  let best = '/'
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const point = (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
    if (point.length > best.length && (path === point || path.startsWith(`${point}/`))) best = point
  }
  return best
}
