// Device nodes and the links in /dev that every container has (runtime-spec config-linux.md, default devices).
import { posix } from 'node:path'
import { mountSteps, O_CLOEXEC, O_NOFOLLOW, O_PATH, type ProgramWriter, program } from '../../sys/index.js'
import type { Device, Spec } from '../spec.js'

const { attach, cloneTree, openTarget } = mountSteps
const { text, value } = program

const S_IFIFO = 0o010000
const S_IFCHR = 0o020000
const S_IFBLK = 0o060000

export const DEFAULT_DEVICES: readonly Device[] = [
  { type: 'c', path: '/dev/null', major: 1, minor: 3, fileMode: 0o666 },
  { type: 'c', path: '/dev/zero', major: 1, minor: 5, fileMode: 0o666 },
  { type: 'c', path: '/dev/full', major: 1, minor: 7, fileMode: 0o666 },
  { type: 'c', path: '/dev/random', major: 1, minor: 8, fileMode: 0o666 },
  { type: 'c', path: '/dev/urandom', major: 1, minor: 9, fileMode: 0o666 },
  { type: 'c', path: '/dev/tty', major: 5, minor: 0, fileMode: 0o666 },
]

const LINKS: readonly (readonly [target: string, name: string])[] = [
  ['/proc/self/fd', 'fd'],
  ['/proc/self/fd/0', 'stdin'],
  ['/proc/self/fd/1', 'stdout'],
  ['/proc/self/fd/2', 'stderr'],
]

/** As the kernel packs a device number for mknod (new_encode_dev). */
export const deviceNumber = (major: number, minor: number): number => (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)

/** A /dev that comes from the host as a bind mount is left as it is. */
const ownDev = (spec: Spec): boolean =>
  !(spec.mounts ?? []).some(
    (mount) =>
      posix.normalize(mount.destination).replace(/(.)\/$/, '$1') === '/dev' &&
      (mount.type === 'bind' || (mount.options ?? []).some((word) => word === 'bind' || word === 'rbind')),
  )

/** The default devices, unless the spec names the same path. */
export function devicesOf(spec: Spec): readonly Device[] {
  const own = spec.linux?.devices ?? []
  const named = new Set(own.map(({ path }) => path))
  return [...DEFAULT_DEVICES.filter(({ path }) => !named.has(path)), ...own]
}

export function deviceSteps(w: ProgramWriter, spec: Spec): void {
  if (!ownDev(spec)) return
  const inUserNamespace = (spec.linux?.namespaces ?? []).some(({ type }) => type === 'user')
  const dev = openTarget(w, { root: 'root', path: '/dev', make: 'directory', what: 'open /dev' })
  if (!inUserNamespace) w.step('clear the umask', 'umask', [0])
  const folders = new Map([['/dev', dev]])
  for (const device of devicesOf(spec)) {
    const folder = posix.dirname(device.path)
    let parent = folders.get(folder)
    if (parent === undefined) {
      parent = openTarget(w, { root: 'root', path: folder, make: 'directory', what: `device ${device.path}: folder` })
      folders.set(folder, parent)
    }
    if (inUserNamespace) bindDevice(w, device)
    else makeDevice(w, device, parent)
  }
  if (!inUserNamespace) w.step('set the umask', 'umask', [0o022])
  for (const [target, name] of LINKS) {
    w.step(`link /dev/${name}`, 'symlinkat', [text(target), value(dev), text(name)], { onError: 'ignore' })
  }
  w.step('remove an old /dev/ptmx', 'unlinkat', [value(dev), text('ptmx'), 0], { onError: 'ignore' })
  w.step('link /dev/ptmx', 'symlinkat', [text('pts/ptmx'), value(dev), text('ptmx')], { onError: 'ignore' })
}

function makeDevice(w: ProgramWriter, device: Device, parent: string): void {
  const name = posix.basename(device.path)
  const kind = device.type === 'p' ? S_IFIFO : device.type === 'b' ? S_IFBLK : S_IFCHR
  const mode = kind | (device.fileMode ?? 0o666)
  const number = deviceNumber(device.major ?? 0, device.minor ?? 0)
  const done = w.fresh('device')
  // What the image has there already stays, whatever it is.
  const exists = w.aside('device-exists', done, () => {
    w.step(`device ${device.path}`, 'openat', [value(parent), text(name), O_PATH | O_NOFOLLOW | O_CLOEXEC, 0])
  })
  w.step(`device ${device.path}`, 'mknodat', [value(parent), text(name), mode, number], { onError: exists })
  if (device.uid || device.gid) {
    w.step(`device ${device.path}: owner`, 'fchownat', [value(parent), text(name), device.uid ?? 0, device.gid ?? 0, 0x100])
  }
  w.block(done)
}

/** mknod is not allowed in a user namespace: the host's node is bound instead. */
function bindDevice(w: ProgramWriter, device: Device): void {
  const what = `device ${device.path}`
  const source = w.fresh('device')
  const target = openTarget(w, { root: 'root', path: device.path, make: 'file', what })
  cloneTree(w, { what, source: device.path, recursive: false, into: source })
  attach(w, what, source, target)
}
