// Steps of a program that build a root file system: every path is resolved beneath the root's descriptor, so no symlink leads out.
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  O_CLOEXEC,
  O_CREAT,
  O_NOFOLLOW,
  O_PATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_SYMLINKS,
} from '../libc/constants.js'
import { type Argument, text, value, words } from '../program/program.js'
import type { ProgramWriter } from '../program/writer.js'
import { MS, type SplitOptions } from './options.js'

const OPEN_TREE_CLONE = 1
const MOVE_EMPTY_FROM = 0x4
const MOVE_EMPTY_BOTH = MOVE_EMPTY_FROM | 0x40
const FSCONFIG_SET_FLAG = 0
const FSCONFIG_SET_STRING = 1
const FSCONFIG_CMD_CREATE = 6

/** struct open_how. */
export const openHow = (flags: number, resolve: number, mode = 0): Argument => words(flags, mode, resolve)

/** struct mount_attr. `userns` is the word that holds the descriptor of a user namespace. */
const mountAttr = (set: number, clear: number, propagation: number): readonly Argument[] => [set, clear, propagation, 0]

export interface TargetOptions {
  /** Name of the region that holds the root's descriptor. */
  readonly root: string
  readonly path: string
  /** Makes what is missing: folders, and at the end a folder or an empty file. */
  readonly make?: 'directory' | 'file'
  /** No component may be a symlink: for /proc and /sys, whose place a container must not choose (CVE-2019-19921). */
  readonly noSymlinks?: boolean
  readonly what: string
}

const beneath = (path: string): string => path.replace(/^\/+/, '') || '.'

/** Opens a path beneath the root; the region that holds the descriptor. */
export function openTarget(w: ProgramWriter, { root, path, make, noSymlinks, what }: TargetOptions): string {
  const target = w.fresh('target')
  const resolve = RESOLVE_IN_ROOT | (noSymlinks ? RESOLVE_NO_SYMLINKS : 0)
  const open = (name: string, relative: string, into: string, onError?: string): void => {
    w.step(name, 'openat2', [value(root), text(relative), openHow(O_PATH | O_CLOEXEC, resolve), 24], {
      into,
      retry: true,
      ...(onError ? { onError } : {}),
    })
  }
  if (!make) {
    open(what, beneath(path), target)
    return target
  }
  const resume = w.fresh('made')
  const detour = w.aside('make', resume, () => {
    const parts = beneath(path)
      .split('/')
      .filter((part) => part !== '' && part !== '.')
    let parent = root
    for (const [i, part] of parts.entries()) {
      const last = i === parts.length - 1
      if (last && make === 'file') {
        w.step(`${what}: make the file`, 'openat', [value(parent), text(part), O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644], {
          onError: 'ignore',
        })
      } else w.step(`${what}: make folder ${part}`, 'mkdirat', [value(parent), text(part), 0o755], { onError: 'ignore' })
      const next = last ? target : w.fresh('folder')
      open(`${what}: open the mount point`, parts.slice(0, i + 1).join('/'), next)
      parent = next
    }
  })
  open(what, beneath(path), target, detour)
  w.block(resume)
  return target
}

/** Sets attributes and propagation of a mount or, recursively, of a tree. */
export function setAttributes(
  w: ProgramWriter,
  what: string,
  mount: string,
  change: { readonly set?: number; readonly clear?: number; readonly propagation?: number; readonly recursive?: boolean },
  onError?: string,
): void {
  const { set = 0, clear = 0, propagation = 0, recursive = false } = change
  w.step(
    what,
    'mount_setattr',
    [value(mount), text(''), AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), words(...mountAttr(set, clear, propagation)), 32],
    onError ? { onError } : {},
  )
}

/** A detached copy of what is mounted at a path, symlinks followed: the source of a bind mount. */
export function cloneTree(
  w: ProgramWriter,
  { what, source, recursive, into }: { what: string; source: string; recursive: boolean; into: string },
): void {
  const flags = OPEN_TREE_CLONE | O_CLOEXEC | (recursive ? AT_RECURSIVE : 0)
  w.step(`${what}: open ${source}`, 'open_tree', [AT_FDCWD, text(source), flags], { into })
}

/** A detached copy of the mount that a descriptor points into. */
export function cloneDescriptor(
  w: ProgramWriter,
  { what, fd, recursive, into, onError }: { what: string; fd: string; recursive: boolean; into: string; onError?: string },
): void {
  const flags = OPEN_TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0)
  w.step(what, 'open_tree', [value(fd), text(''), flags], { into, ...(onError ? { onError } : {}) })
}

/** Attaches a detached mount at an opened target. */
export function attach(w: ProgramWriter, what: string, mount: string, target: string, onError?: string): void {
  w.step(what, 'move_mount', [value(mount), text(''), value(target), text(''), MOVE_EMPTY_BOTH], onError ? { onError } : {})
}

/** Attaches a detached mount at a name in the root folder of a mount that is ours alone. */
export function attachIn(w: ProgramWriter, what: string, mount: string, parent: string, name: string): void {
  w.step(what, 'move_mount', [value(mount), text(''), value(parent), text(name), MOVE_EMPTY_FROM])
}

/** A new file system, configured and detached: the region that holds it. */
export function newFilesystem(
  w: ProgramWriter,
  { what, type, source, options, attributes }: { what: string; type: string; source: string; options: SplitOptions; attributes: number },
): string {
  const context = w.fresh('fs')
  const mount = w.fresh('mount')
  w.step(`${what}: open file system ${type}`, 'fsopen', [text(type), 1], { into: context })
  const set = (key: string, content: string | undefined): void => {
    const command = content === undefined ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING
    w.step(`${what}: option ${content === undefined ? key : `${key}=${content}`}`, 'fsconfig', [
      value(context),
      command,
      text(key),
      content === undefined ? 0 : text(content),
      0,
    ])
  }
  if (source !== '') set('source', source)
  for (const word of options.own) {
    const equals = word.indexOf('=')
    if (equals < 0) set(word, undefined)
    else set(word.slice(0, equals), word.slice(equals + 1))
  }
  for (const [bit, key] of [
    [MS.SYNCHRONOUS, 'sync'],
    [MS.DIRSYNC, 'dirsync'],
    [MS.LAZYTIME, 'lazytime'],
    [MS.MANDLOCK, 'mand'],
  ] as const) {
    if (options.flags & bit) set(key, undefined)
  }
  w.step(`${what}: create`, 'fsconfig', [value(context), FSCONFIG_CMD_CREATE, 0, 0, 0])
  w.step(`${what}: mount`, 'fsmount', [value(context), 1, attributes], { into: mount })
  return mount
}

/** mount(2) at an opened folder, for what the new calls cannot do (options beyond 255 bytes) and for old kernels. */
export function classicMount(
  w: ProgramWriter,
  { what, source, type, target, flags, data }: { what: string; source: string; type: string; target: string; flags: number; data: string },
): void {
  w.step(`${what}: enter the mount point`, 'fchdir', [value(target)])
  w.step(what, 'mount', [text(source), text('.'), text(type), flags, text(data)])
}
