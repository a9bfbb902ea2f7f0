// A user namespace of the container's own: who writes its id maps, and when.
//
//   launcher (or, beneath a monitor, a process between)      first process
//   clone, sharing descriptors ----------------------------> joins its cgroup, opens /proc/self at PROC_FD
//   <------------------------------------------------------- "opened"
//   writes uid_map and gid_map through PROC_FD
//   "mapped" ----------------------------------------------> goes on alone, becomes root of its namespace
import {
  AT_FDCWD,
  CLONE_FILES,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NONBLOCK,
  O_PATH,
  O_WRONLY,
  type ProgramWriter,
  program,
} from '../../sys/index.js'
import type { IdMapping, Spec } from '../spec.js'
import { rlimitStepsFor } from './process.js'

const { address, text, value, words } = program

const PR_SET_DUMPABLE = 4
/** A number that nothing else of the launcher has. */
const PROC_FD = 500
const EPOLL_CTL_ADD = 1
const EPOLLIN = 1
/** Region of the descriptor that clone3 gives of the first process. */
export const FIRST_PIDFD = 'first-pidfd'

export const newUserNamespace = (spec: Spec): boolean => (spec.linux?.namespaces ?? []).some(({ type, path }) => type === 'user' && !path)
export const joinsUserNamespace = (spec: Spec): boolean => (spec.linux?.namespaces ?? []).some(({ type, path }) => type === 'user' && path)

/** `0 100000 65536` lines, as uid_map takes them. */
export const mapText = (mappings: readonly IdMapping[]): string =>
  mappings.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join('')

/** Before the clone: two counters to wait on. */
export function prepareMaps(w: ProgramWriter): void {
  w.region('one', [1])
  w.step('counter "opened"', 'eventfd2', [0, O_CLOEXEC | O_NONBLOCK], { into: 'opened' })
  w.step('counter "mapped"', 'eventfd2', [0, O_CLOEXEC], { into: 'mapped' })
}

/** The parent's part, after the clone. */
export function writeMaps(w: ProgramWriter, spec: Spec): void {
  // It may fail, or be killed, before it comes to that.
  w.step('user namespace: events', 'epoll_create1', [O_CLOEXEC], { into: 'events' })
  for (const fd of ['opened', FIRST_PIDFD])
    w.step(`user namespace: watch ${fd}`, 'epoll_ctl', [value('events'), EPOLL_CTL_ADD, value(fd), words(EPOLLIN, 0)])
  w.step('user namespace: wait for the first process', 'epoll_pwait', [value('events'), address('event'), 1, -1, 0, 8], { retry: true })
  w.step('user namespace: is the first process there', 'read', [value('opened'), address('count'), 8])
  for (const [file, mappings] of [
    ['uid_map', spec.linux?.uidMappings ?? []],
    ['gid_map', spec.linux?.gidMappings ?? []],
  ] as const) {
    const fd = w.fresh('map')
    const content = mapText(mappings)
    w.step(`user namespace: open ${file}`, 'openat', [PROC_FD, text(file), O_WRONLY | O_CLOEXEC, 0], { into: fd })
    w.step(`user namespace: write ${file}`, 'write', [value(fd), text(content), Buffer.byteLength(content)])
  }
  // Limits above our own need a capability of the host.
  if (spec.process) rlimitStepsFor(w, spec.process, value('pid'))
  w.step('user namespace: let the first process go on', 'write', [value('mapped'), address('one'), 8])
}

/** The first process's part. */
export function awaitMaps(w: ProgramWriter): void {
  w.step('user namespace: open /proc/self', 'openat', [AT_FDCWD, text('/proc/self'), O_PATH | O_DIRECTORY | O_CLOEXEC, 0], {
    into: 'proc-self',
  })
  w.step('user namespace: number /proc/self', 'dup3', [value('proc-self'), PROC_FD, O_CLOEXEC])
  w.step('user namespace: tell the parent', 'write', [value('opened'), address('one'), 8])
  w.step('user namespace: wait for the maps', 'read', [value('mapped'), address('count'), 8], { retry: true })
  w.step('descriptors of its own', 'unshare', [CLONE_FILES])
}

/** Root of the namespace; where 0 is not mapped the process stays who it is. */
export function becomeRoot(w: ProgramWriter): void {
  w.step('group id 0 in the user namespace', 'setresgid', [0, 0, 0], { onError: 'ignore' })
  w.step('user id 0 in the user namespace', 'setresuid', [0, 0, 0], { onError: 'ignore' })
  // Its files in /proc belong to it again.
  w.step('dumpable', 'prctl', [PR_SET_DUMPABLE, 1, 0, 0, 0])
}
