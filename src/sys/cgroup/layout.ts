// Where this machine keeps its cgroups: v1 controllers, the v2 tree, or both beside each other (hybrid).
import { existsSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { type MountLine, parseMountinfo } from '../mount/mountinfo.js'

/** v1 names; on v2 `cpuacct` is part of `cpu`, `blkio` is `io`, and `devices` and `freezer` are always there. */
export const V1_CONTROLLERS = [
  'cpu',
  'cpuacct',
  'cpuset',
  'memory',
  'devices',
  'freezer',
  'blkio',
  'pids',
  'hugetlb',
  'net_cls',
  'net_prio',
  'perf_event',
  'rdma',
  'misc',
] as const
export type V1Controller = (typeof V1_CONTROLLERS)[number]

export interface CgroupLayout {
  readonly mode: 'v1' | 'v2' | 'hybrid'
  /** Mount point by controller; controllers mounted together share one. */
  readonly v1: Readonly<Partial<Record<V1Controller, string>>>
  /** Named v1 hierarchies without controllers (`systemd`), by name. */
  readonly named: Readonly<Record<string, string>>
  readonly v2: { readonly mount: string; readonly controllers: readonly string[] } | undefined
}

/** Whether a mount is what its path leads to: mountinfo also lists those beneath a later mount of the same place or of one above it. */
function reachable(lines: readonly MountLine[]): (line: MountLine) => boolean {
  const ids = new Set(lines.map(({ id }) => id))
  const below = (parent: string, mount: string): string => `${parent} ${mount}`
  // The root's own parent is not listed, or is itself.
  const children = new Map(lines.map(({ id, parent, point }) => [below(parent !== id && ids.has(parent) ? parent : '', point), id]))
  return ({ id, point }) => {
    let at = ''
    const parts = point.split('/').filter(Boolean)
    for (let depth = 0; depth <= parts.length; depth++) {
      const place = `/${parts.slice(0, depth).join('/')}`
      for (let next = children.get(below(at, place)); next !== undefined; next = children.get(below(at, place))) at = next
    }
    return at === id
  }
}

/**
 * Reads /proc/self/mountinfo (proc(5)). The first mount of a hierarchy that its path leads to wins; `controllersOf` tells what a
 * v2 mount offers.
 */
export function parseCgroupMounts(mountinfo: string, controllersOf: (mount: string) => readonly string[]): CgroupLayout {
  const v1: Partial<Record<V1Controller, string>> = {}
  const named: Record<string, string> = {}
  let v2: CgroupLayout['v2']
  const lines = parseMountinfo(mountinfo)
  const visible = reachable(lines)
  for (const { point: mount, type, superOptions } of lines.filter((line) => line.type.startsWith('cgroup') && visible(line))) {
    if (type === 'cgroup2') v2 ??= { mount, controllers: controllersOf(mount) }
    if (type !== 'cgroup') continue
    for (const option of superOptions.split(',')) {
      if (option.startsWith('name=')) named[option.slice(5)] ??= mount
      else if ((V1_CONTROLLERS as readonly string[]).includes(option)) v1[option as V1Controller] ??= mount
    }
  }
  const hasV1 = Object.keys(v1).length > 0
  if (!hasV1 && !v2) throw new Error('no cgroup file system is mounted: mount one with "mount -t cgroup2 none /sys/fs/cgroup"')
  return { mode: hasV1 ? (v2 ? 'hybrid' : 'v1') : 'v2', v1, named, v2 }
}

let cached: CgroupLayout | undefined

/** The layout of this machine, read once: hierarchies do not move while a machine runs. */
export function cgroupLayout(): CgroupLayout {
  cached ??= parseCgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8'), (mount) => {
    const file = join(mount, 'cgroup.controllers')
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split(' ').filter(Boolean) : []
  })
  return cached
}

/** Folders of v1 hierarchies, each once. */
export const v1Mounts = (layout: CgroupLayout): readonly string[] => [
  ...new Set([...Object.values(layout.v1), ...Object.values(layout.named)].filter((mount): mount is string => mount !== undefined)),
]

/** The path as `/a/b`; throws for one that would leave the root or name the root itself. */
export function cgroupPath(path: string): string {
  if (path.includes('\0') || path.split('/').includes('..')) throw new Error(`cgroup path "${path}": ".." and NUL are not allowed`)
  const clean = posix.normalize(`/${path}`).replace(/\/$/, '')
  if (clean === '') throw new Error(`cgroup path "${path}" is the root: name a group beneath it`)
  return clean
}

/** `slice:prefix:name` as systemd would nest it: `/a.slice/a-b.slice/prefix-name.scope`. Slices hold their parents' names. */
export function systemdCgroupPath(value: string): string {
  const parts = value.split(':')
  const [slice = '', prefix = '', name = ''] = parts
  if (parts.length !== 3 || name === '') throw new Error(`cgroup path "${value}": with systemd it is written slice:prefix:name`)
  const parent = slice === '' ? 'system.slice' : slice
  if (parent !== '-.slice' && (!parent.endsWith('.slice') || parent.includes('/') || /--|^-|-\.slice$/.test(parent)))
    throw new Error(`cgroup path "${value}": "${parent}" is not the name of a slice`)
  const words = parent === '-.slice' ? [] : parent.slice(0, -'.slice'.length).split('-')
  const folders = words.map((_, i) => `${words.slice(0, i + 1).join('-')}.slice`)
  const unit = name.endsWith('.slice') ? name : `${prefix === '' ? name : `${prefix}-${name}`}.scope`
  return cgroupPath([...folders, unit].join('/'))
}
