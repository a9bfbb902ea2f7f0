// A container as one program: the launcher, the monitor that outlives the daemon, and the container's first process.
import { posix } from 'node:path'
import {
  AT_FDCWD,
  CLONE_FILES,
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWTIME,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  CLONE_PARENT,
  CLONE_PIDFD,
  CLONE_VFORK,
  CLONE_VM,
  O_CLOEXEC,
  O_CREAT,
  O_NOFOLLOW,
  O_PATH,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  ProgramWriter,
  program,
} from '../../sys/index.js'
import type { NamespaceType, Spec } from '../spec.js'
import { type ContainerFacts, REPORT } from './facts.js'
import {
  affinityStep,
  cleanSignals,
  executeSteps,
  findExecutable,
  identitySteps,
  inheritedSteps,
  processFilesSteps,
  schedulingSteps,
  seccompSteps,
  type Talk,
  writeFile,
} from './process.js'
import { buildRoot, enterRoot, hostMountsAreStaged, stageHostMounts } from './rootfs.js'
import { mountConsole, openTerminal, useTerminal } from './terminal.js'
import { awaitMaps, becomeRoot, FIRST_PIDFD, joinsUserNamespace, newUserNamespace, prepareMaps, writeMaps } from './user-namespace.js'

const { address, bytes, text, value } = program

const SIGCHLD = 17
const P_PID = 1
const WEXITED = 4
const F_DUPFD_CLOEXEC = 1030
const PR_SET_NAME = 15
/** More than a pipe can be made to hold (pipe(7)). */
const MOST_PIPED = 2 ** 30
const SPLICE_F_NONBLOCK = 2
const CLONE_INTO_CGROUP = 0x200000000n

export const namespaceFlags: Readonly<Record<NamespaceType, number>> = {
  user: CLONE_NEWUSER,
  pid: CLONE_NEWPID,
  network: CLONE_NEWNET,
  mount: CLONE_NEWNS,
  ipc: CLONE_NEWIPC,
  uts: CLONE_NEWUTS,
  cgroup: CLONE_NEWCGROUP,
  time: CLONE_NEWTIME,
}

/** Descriptors of ours that survive until the program is executed; they lie behind those that are passed on. */
export const ownDescriptors = (preserveFds: number): { start: number; report: number; times: number; first: number } => ({
  start: 3 + preserveFds,
  report: 4 + preserveFds,
  times: 5 + preserveFds,
  first: 6 + preserveFds,
})

/** The monitor's end of the socket that holds the terminal's master. */
export const KEEPER_FD = 3

const created = (spec: Spec, type: NamespaceType): boolean => (spec.linux?.namespaces ?? []).some((one) => one.type === type && !one.path)

export function containerProgram(spec: Spec, facts: ContainerFacts): program.Program {
  const w = new ProgramWriter()
  launcher(w, spec, facts)
  firstProcess(w, spec, facts)
  monitor(w, facts)
  w.block('fail', { resident: true })
  w.step('report the failure', 'write', [ownDescriptors(facts.preserveFds).report, address('failure'), 16], { onError: 'ignore' })
  w.block('exit', { resident: true })
  w.step('exit', 'exit_group', [1], { onError: 'ignore' })
  w.region('given-report', [0])
  return w.program('launcher')
}

/** Opens a file of the state folder at a fixed number. */
function openAt(w: ProgramWriter, what: string, path: string, flags: number, number: number): void {
  const fd = w.fresh('fd')
  const copy = w.fresh('fd')
  w.step(`open ${what}`, 'openat', [AT_FDCWD, text(path), flags | O_CLOEXEC | O_NOFOLLOW, 0o600], { into: fd })
  // The kernel may have given it the very number that it shall get: then dup3 alone would fail.
  w.step(`move ${what} away`, 'fcntl', [value(fd), F_DUPFD_CLOEXEC, number + 4], { into: copy })
  w.step(`number ${what}`, 'dup3', [value(copy), number, O_CLOEXEC])
}

function launcher(w: ProgramWriter, spec: Spec, facts: ContainerFacts): void {
  const { stateDir, cgroup, consoleSocket } = facts
  const fds = ownDescriptors(facts.preserveFds)
  w.block('launcher')
  // First of all a place to complain to; out of the way of the numbers that follow.
  const early = w.aside('early', 'exit', () => {
    w.step('report the failure', 'write', [value('given-report'), address('failure'), 16], { onError: 'ignore' })
  })
  const copy = (what: string, from: string, into: string): void => {
    w.step(what, 'fcntl', [value(from), F_DUPFD_CLOEXEC, fds.first], { into, onError: early })
  }
  copy('move the report away', 'given-report', 'report-copy')
  if (consoleSocket) copy('keep the console socket', 'given-console', 'console-socket')
  w.step('number report', 'dup3', [value('report-copy'), fds.report, O_CLOEXEC], { onError: early })
  cleanSignals(w)
  w.step('name the monitor', 'prctl', [PR_SET_NAME, text('knarr-monitor'), 0, 0, 0])
  w.step('new session', 'setsid', [], { onError: 'ignore' })
  openAt(w, 'start', posix.join(stateDir, 'start'), O_RDWR, fds.start)
  openAt(w, 'times', posix.join(stateDir, 'times'), O_WRONLY | O_CREAT | O_TRUNC, fds.times)
  for (const [i, file] of cgroup.files.entries()) {
    w.step(`cgroup: open ${file}`, 'openat', [AT_FDCWD, text(file), O_WRONLY | O_CLOEXEC, 0], { into: `cgroup-${i}` })
  }
  if (cgroup.directory) {
    w.step(`cgroup: open ${cgroup.directory}`, 'openat', [AT_FDCWD, text(cgroup.directory), O_PATH | O_CLOEXEC, 0], {
      into: 'clone-args[10]',
    })
  }
  openNamespaces(w, spec)
  timeNamespace(w, spec)
  if (newUserNamespace(spec) || joinsUserNamespace(spec)) cloneInUserNamespace(w, spec, facts)
  else {
    join(w, spec, ['pid', 'time'])
    cloneFirst(w, spec, facts, facts.parent === 'child')
  }
  w.goto('monitor')
}

/**
 * Namespaces are entered while we have the right to it: before the user namespace those that our own rights are enough for,
 * in a joined one the rest. A monitor stays outside: a process between does it, in our memory.
 */
function cloneInUserNamespace(w: ProgramWriter, spec: Spec, facts: ContainerFacts): void {
  const fresh = newUserNamespace(spec)
  const others = ['pid', 'network', 'ipc', 'uts', 'mount'] as const
  // Only a process with memory of its own may change its time namespace (EUSERS).
  if (fresh) join(w, spec, ['time'])
  else joinOutside(w, spec, ['time'])
  const enter = (): void => {
    if (hostMountsAreStaged(spec)) stageHostMounts(w, spec, facts)
    if (fresh) join(w, spec, others)
    else {
      joinOutside(w, spec, others)
      join(w, spec, ['user'])
      joinInside(w, spec, ['time', ...others])
    }
    if (fresh) prepareMaps(w)
    cloneFirst(w, spec, facts, true)
    if (fresh) writeMaps(w, spec)
  }
  if (facts.parent === 'child') {
    enter()
    return
  }
  w.step('clone a process between', 'clone', [CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0], { into: 'between', onZero: 'between' })
  w.step('wait for the process between', 'wait4', [value('between'), 0, 0, 0], { retry: true, onError: 'ignore' })
  w.step('is there a first process', 'value', [value('pid')], { onZero: 'stillborn' })
  w.goto('monitor')
  w.block('stillborn')
  w.step('exit', 'exit_group', [1])
  w.block('between')
  enter()
  w.step('done', 'exit_group', [0])
}

/** struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup. */
function cloneFirst(w: ProgramWriter, spec: Spec, facts: ContainerFacts, asSibling: boolean): void {
  const all = (spec.linux?.namespaces ?? []).filter(({ type, path }) => !path && type !== 'cgroup' && type !== 'time')
  const shared = newUserNamespace(spec) ? CLONE_FILES | CLONE_PIDFD : 0
  const flags = all.reduce((bits, { type }) => bits | namespaceFlags[type], 0) | (asSibling ? CLONE_PARENT : 0) | shared
  const into = facts.cgroup.directory ? CLONE_INTO_CGROUP : 0n
  w.region('clone-args', [BigInt(flags) | into, shared ? address(FIRST_PIDFD) : 0, 0, 0, asSibling ? 0 : SIGCHLD, 0, 0, 0, 0, 0, 0])
  w.step('clone the first process', 'clone3', [address('clone-args'), 88], { into: 'pid', onZero: 'first' })
}

function openNamespaces(w: ProgramWriter, spec: Spec): void {
  for (const { type, path } of spec.linux?.namespaces ?? []) {
    if (path) w.step(`${type} namespace: open ${path}`, 'openat', [AT_FDCWD, text(path), O_CLOEXEC, 0], { into: `namespace-${type}` })
  }
}

function timeNamespace(w: ProgramWriter, spec: Spec): void {
  if (!created(spec, 'time')) return
  w.step('new time namespace', 'unshare', [CLONE_NEWTIME])
  const lines = Object.entries(spec.linux?.timeOffsets ?? {}).map(([clock, { secs = 0, nanosecs = 0 }]) => `${clock} ${secs} ${nanosecs}\n`)
  if (lines.length > 0) writeFile(w, 'time offsets', '/proc/self/timens_offsets', lines.join(''))
}

/** Those of the types that the spec joins, in their order. */
const joinedNamespaces = (spec: Spec, types: readonly NamespaceType[]): readonly { type: NamespaceType; path?: string }[] =>
  types.flatMap((type) => (spec.linux?.namespaces ?? []).filter((one) => one.type === type && one.path))

/** Enters those of the namespaces that the spec joins. */
function join(w: ProgramWriter, spec: Spec, types: readonly NamespaceType[]): void {
  for (const { type, path } of joinedNamespaces(spec, types)) {
    w.step(`join ${type} namespace ${path}`, 'setns', [value(`namespace-${type}`), namespaceFlags[type]])
  }
}

/** Enters those of the namespaces that our own rights are enough for, and notes which. */
function joinOutside(w: ProgramWriter, spec: Spec, types: readonly NamespaceType[]): void {
  for (const { type, path } of joinedNamespaces(spec, types)) {
    w.step(`join ${type} namespace ${path}`, 'setns', [value(`namespace-${type}`), namespaceFlags[type]], {
      into: `outside-${type}`,
      onError: 'ignore',
    })
  }
}

/** Enters those that were not entered outside. */
function joinInside(w: ProgramWriter, spec: Spec, types: readonly NamespaceType[]): void {
  for (const { type } of joinedNamespaces(spec, types)) {
    const done = w.fresh('joined')
    w.step(`is the ${type} namespace joined`, 'value', [value(`outside-${type}`)], { onZero: done, onError: 'ignore' })
    join(w, spec, [type])
    w.block(done)
  }
}

function firstProcess(w: ProgramWriter, spec: Spec, facts: ContainerFacts): void {
  const { process } = spec
  const { report: reportFd, start } = ownDescriptors(facts.preserveFds)
  const talk: Talk = { report: reportFd, go: start }
  w.block('first')
  joinCgroup(w, facts)
  if (newUserNamespace(spec)) awaitMaps(w)
  w.step('new session', 'setsid', [], { onError: 'ignore' })
  if (newUserNamespace(spec) || joinsUserNamespace(spec)) {
    becomeRoot(w)
    join(w, spec, ['cgroup'])
  } else join(w, spec, ['network', 'ipc', 'uts', 'cgroup', 'mount'])
  if (created(spec, 'cgroup')) w.step('new cgroup namespace', 'unshare', [CLONE_NEWCGROUP])
  if (!facts.noNewKeyring) w.step('new session keyring', 'keyctl', [1, text(`_ses.${facts.id}`), 0, 0, 0], { onError: 'ignore' })
  if (process) processFilesSteps(w, process, facts)
  for (const [key, content] of Object.entries(spec.linux?.sysctl ?? {})) {
    writeFile(w, `sysctl ${key}`, `/proc/sys/${key.includes('/') ? key : key.replaceAll('.', '/')}`, content)
  }
  if (spec.hostname)
    w.step(`hostname ${spec.hostname}`, 'sethostname', [bytes(Buffer.from(spec.hostname)), Buffer.byteLength(spec.hostname)])
  if (spec.domainname) {
    w.step(`domain name ${spec.domainname}`, 'setdomainname', [bytes(Buffer.from(spec.domainname)), Buffer.byteLength(spec.domainname)])
  }
  if (created(spec, 'mount')) {
    const closeLater = buildRoot(w, spec, facts)
    if (process?.terminal) {
      openTerminal(w, 'root')
      mountConsole(w)
    }
    if (facts.pauseForCaller) pause(w, facts)
    enterRoot(w, spec, facts, closeLater)
  } else {
    if (process?.terminal) {
      // Nobody has mounted a devpts for the container alone.
      w.step('terminal: open /', 'openat', [AT_FDCWD, text('/'), O_PATH | O_CLOEXEC, 0], { into: 'host-root' })
      openTerminal(w, 'host-root')
    }
    w.step('rootfs: open', 'openat', [AT_FDCWD, text(facts.rootfs), O_PATH | O_CLOEXEC, 0], { into: 'root' })
    if (facts.pauseForCaller) pause(w, facts)
    w.step('enter the root', 'fchdir', [value('root')])
    w.step('change root', 'chroot', [text('.')])
    w.step('go to /', 'chdir', [text('/')])
  }
  if (process) {
    if (process.terminal) {
      useTerminal(w, process)
    }
    affinityStep(w, undefined)
    schedulingSteps(w, process)
    inheritedSteps(w, spec.linux ?? {})
    identitySteps(w, { process, facts, talk, keep: ownDescriptors(facts.preserveFds).first, limitsAreRaised: newUserNamespace(spec) })
    findExecutable(w, process, facts.env)
    seccompSteps(w, 'before the start', { process, seccomp: facts.seccomp, talk })
  }
  markTime(w, facts, 'created')
  report(w, facts, REPORT.created, 0)
  w.step('wait for start', 'read', [ownDescriptors(facts.preserveFds).start, address('byte'), 1], { retry: true })
  markTime(w, facts, 'started')
  if (process) executeSteps(w, process, { facts, talk })
  w.step('exit', 'exit_group', [0])
}

function joinCgroup(w: ProgramWriter, facts: ContainerFacts): void {
  for (const [i, file] of facts.cgroup.files.entries()) {
    w.step(`cgroup: join ${file}`, 'write', [value(`cgroup-${i}`), text('0'), 1], { retry: true })
  }
}

function report(w: ProgramWriter, facts: ContainerFacts, tag: number, content: program.Argument): void {
  const record = w.region(w.fresh('record'), [tag, typeof content === 'number' ? content : 0])
  if (typeof content === 'object') w.step('note', 'value', [content], { into: `${record}[1]` })
  w.step('report', 'write', [ownDescriptors(facts.preserveFds).report, address(record), 16], { onError: 'ignore' })
}

/** Tells whoever launched us and waits for a byte. */
function pause(w: ProgramWriter, facts: ContainerFacts): void {
  report(w, facts, REPORT.paused, 0)
  w.step('wait for hooks', 'read', [ownDescriptors(facts.preserveFds).start, address('byte'), 1], { retry: true })
}

/** Appends the time to `times`: one stamp means created, two mean started. */
function markTime(w: ProgramWriter, facts: ContainerFacts, what: string): void {
  w.step(`${what}: time`, 'clock_gettime', [0, address('now')])
  w.step(`${what}: note the time`, 'write', [ownDescriptors(facts.preserveFds).times, address('now'), 16])
}

/** siginfo (128 bytes) and the time: what the file `exit` holds. */
export const EXIT_BYTES = 144

function monitor(w: ProgramWriter, facts: ContainerFacts): void {
  w.region('now', [0, 0])
  w.region('pid', [0, 0])
  if (facts.consoleSocket) w.region('given-keeper', [0])
  w.region('exit', new Array(EXIT_BYTES / 8).fill(0))
  w.block('monitor', { resident: true })
  const pidFile = posix.join(facts.stateDir, 'pid')
  w.step('open pid file', 'openat', [AT_FDCWD, text(pidFile), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600], { into: 'pid-file' })
  w.step('own id', 'getpid', [], { into: 'pid[1]' })
  w.step('write pid file', 'write', [value('pid-file'), address('pid'), 16])
  report(w, facts, REPORT.pid, value('pid'))
  if (facts.parent === 'child') {
    w.step('done', 'exit_group', [0])
    return
  }
  if (facts.consoleSocket) {
    // The message with the terminal's master is never read from this socket: as long as it is open, so is the terminal.
    w.step('keep the terminal', 'dup3', [value('given-keeper'), KEEPER_FD, 0], { onError: 'ignore' })
  }
  w.step('close everything', 'close_range', [facts.consoleSocket ? KEEPER_FD + 1 : 3, 0xffffffff, 0])
  w.step('give back memory', 'munmap', [
    { kind: 'transient', what: 'start' },
    { kind: 'transient', what: 'length' },
  ])
  w.step('wait for the first process', 'waitid', [P_PID, value('pid'), address('exit'), WEXITED, 0], { retry: true, onError: 'gone' })
  w.step('time', 'clock_gettime', [0, address('exit', 16)])
  for (const { fd, path } of facts.tails ?? []) {
    const what = `save output ${fd}`
    w.step(`${what}: open`, 'openat', [AT_FDCWD, text(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600], {
      into: 'tail-file',
      onError: 'ignore',
    })
    // One call takes all there is: it ends when the pipe is empty.
    w.step(what, 'splice', [fd, 0, value('tail-file'), 0, MOST_PIPED, SPLICE_F_NONBLOCK], { onError: 'ignore' })
  }
  const file = posix.join(facts.stateDir, 'exit')
  w.step('open exit file', 'openat', [AT_FDCWD, text(`${file}.new`), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600], {
    into: 'exit-file',
    onError: 'gone',
  })
  w.step('write exit file', 'write', [value('exit-file'), address('exit'), EXIT_BYTES], { onError: 'gone' })
  w.step('name exit file', 'renameat', [AT_FDCWD, text(`${file}.new`), AT_FDCWD, text(file)], { onError: 'gone' })
  w.block('gone', { resident: true })
  w.step('end', 'exit_group', [0])
}

export const START_BYTE = Buffer.from([1])
