// Who the process is and what it may do: limits, labels, capabilities, ids, seccomp, the program itself. Shared by create and exec.
import {
  AT_FDCWD,
  CAPABILITIES,
  capabilityBits,
  capabilityData,
  capabilityHeader,
  mountSteps,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  O_WRONLY,
  type ProgramWriter,
  program,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RLIMITS,
  rlimitValue,
} from '../../sys/index.js'
import type { Process } from '../spec.js'
import type { ContainerFacts } from './facts.js'

const { bytes, strings, text, value, words } = program

const PR_SET_KEEPCAPS = 8
const PR_CAPBSET_DROP = 24
const PR_SET_NO_NEW_PRIVS = 38
const PR_CAP_AMBIENT = 47
const PR_CAP_AMBIENT_RAISE = 2
const PR_CAP_AMBIENT_CLEAR_ALL = 4
const SECCOMP_SET_MODE_FILTER = 1
const CLOSE_RANGE_CLOEXEC = 4
const SIGPIPE = 13
const SIGXFSZ = 25
const SIG_IGN = 1

/** A clean slate after the launch: no signal blocked or ignored, except SIGPIPE until the program is executed. */
export function cleanSignals(w: ProgramWriter): void {
  // Node gives every signal its default when it starts, except these two, and handlers of its own end with its program.
  w.step('SIGPIPE: ignore', 'rt_sigaction', [SIGPIPE, words(SIG_IGN, 0, 0, 0), 0, 8])
  w.step('SIGXFSZ as usual', 'rt_sigaction', [SIGXFSZ, words(0, 0, 0, 0), 0, 8])
  w.step('unblock signals', 'rt_sigprocmask', [2, words(0), 0, 8])
}

/** What must be written where the host's /proc is still in sight (CVE-2025-52881: never through the container's own). */
export function processFilesSteps(w: ProgramWriter, process: Process, facts: Pick<ContainerFacts, 'restrictOomScoreAdj'>): void {
  const { oomScoreAdj } = process
  if (oomScoreAdj !== undefined) {
    const least = facts.restrictOomScoreAdj
    writeFile(w, 'set oom_score_adj', '/proc/self/oom_score_adj', String(least === undefined ? oomScoreAdj : Math.max(least, oomScoreAdj)))
  }
  if (process.apparmorProfile) openLabel(w, 'apparmor-label', '/proc/thread-self/attr/apparmor/exec', '/proc/thread-self/attr/exec')
  if (process.selinuxLabel) openLabel(w, 'selinux-label', '/proc/thread-self/attr/exec')
}

function openLabel(w: ProgramWriter, region: string, path: string, fallback?: string): void {
  const resume = w.fresh('label')
  const detour = fallback && w.aside('label-old', resume, () => openLabelFile(w, region, fallback))
  openLabelFile(w, region, path, detour)
  w.block(resume)
}

function openLabelFile(w: ProgramWriter, region: string, path: string, onError?: string): void {
  w.step(`open ${path}`, 'openat', [AT_FDCWD, text(path), O_WRONLY | O_CLOEXEC, 0], { into: region, ...(onError ? { onError } : {}) })
}

/** Opens, writes at once, and lets the descriptor close later with all others. */
export function writeFile(w: ProgramWriter, what: string, path: string, content: string): void {
  const fd = w.fresh('file')
  w.step(`${what}: open ${path}`, 'openat', [AT_FDCWD, text(path), O_WRONLY | O_CLOEXEC, 0], { into: fd })
  w.step(`${what}: write "${content}"`, 'write', [value(fd), text(content), Buffer.byteLength(content)])
}

/** For this process, or for another one by its id. */
export function rlimitSteps(w: ProgramWriter, process: Process, pid: program.Argument = 0): void {
  for (const { type, soft, hard } of process.rlimits ?? []) {
    w.step(`limit ${type}`, 'prlimit64', [pid, RLIMITS[type] ?? -1, words(rlimitValue(soft), rlimitValue(hard)), 0])
  }
}

const schedulerPolicies: Readonly<Record<string, number>> = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
}
const schedulerFlags: Readonly<Record<string, number>> = {
  SCHED_FLAG_RESET_ON_FORK: 1,
  SCHED_FLAG_RECLAIM: 2,
  SCHED_FLAG_DL_OVERRUN: 4,
  SCHED_FLAG_KEEP_POLICY: 8,
  SCHED_FLAG_KEEP_PARAMS: 16,
  SCHED_FLAG_UTIL_CLAMP_MIN: 32,
  SCHED_FLAG_UTIL_CLAMP_MAX: 64,
}
const ioClasses = { IOPRIO_CLASS_RT: 1, IOPRIO_CLASS_BE: 2, IOPRIO_CLASS_IDLE: 3 } as const

export const isSchedulerPolicy = (name: string): boolean => Object.hasOwn(schedulerPolicies, name)
export const isSchedulerFlag = (name: string): boolean => Object.hasOwn(schedulerFlags, name)

/** `0-2,4` as a bit mask for sched_setaffinity. */
export function cpuMask(list: string): Buffer {
  const mask = Buffer.alloc(128)
  for (const range of list.split(',')) {
    const [first = '', last = first] = range.trim().split('-')
    for (let cpu = Number(first); cpu <= Number(last) && cpu < 1024; cpu++) mask[cpu >> 3] = (mask[cpu >> 3] ?? 0) | (1 << (cpu & 7))
  }
  return mask
}

export function schedulingSteps(w: ProgramWriter, process: Process): void {
  const { scheduler, ioPriority, execCPUAffinity } = process
  if (execCPUAffinity?.final) {
    w.step(`run on processors ${execCPUAffinity.final}`, 'sched_setaffinity', [0, 128, bytes(cpuMask(execCPUAffinity.final))])
  }
  if (scheduler) {
    const attributes = Buffer.alloc(48)
    attributes.writeUInt32LE(48, 0)
    attributes.writeUInt32LE(schedulerPolicies[scheduler.policy] ?? 0, 4)
    attributes.writeBigUInt64LE(BigInt((scheduler.flags ?? []).reduce((bits, flag) => bits | (schedulerFlags[flag] ?? 0), 0)), 8)
    attributes.writeInt32LE(scheduler.nice ?? 0, 16)
    attributes.writeUInt32LE(scheduler.priority ?? 0, 20)
    attributes.writeBigUInt64LE(BigInt(scheduler.runtime ?? 0), 24)
    attributes.writeBigUInt64LE(BigInt(scheduler.deadline ?? 0), 32)
    attributes.writeBigUInt64LE(BigInt(scheduler.period ?? 0), 40)
    w.step(`scheduler ${scheduler.policy}`, 'sched_setattr', [0, bytes(attributes), 0])
  }
  if (ioPriority) w.step('I/O priority', 'ioprio_set', [1, 0, (ioClasses[ioPriority.class] << 13) | ioPriority.priority])
}

function seccompStep(w: ProgramWriter, seccomp: NonNullable<ContainerFacts['seccomp']>): void {
  const { filter, flags } = seccomp
  w.step('seccomp filter', 'seccomp', [SECCOMP_SET_MODE_FILTER, flags, words(filter.length / 8, bytes(filter))], {
    into: 'seccomp-listener',
  })
}

export interface IdentityOptions {
  readonly process: Process
  readonly facts: Pick<ContainerFacts, 'seccomp' | 'preserveFds'>
  /** Descriptors below stay until the program is executed. */
  readonly keep: number
  /** Somebody else has set the limits. */
  readonly limitsAreSet?: boolean
}

/**
 * Gives up what the process shall not have. Folders of the host are closed before the working folder is entered, and it is
 * entered without magic links, so no /proc/self/fd/N leads out (CVE-2024-21626).
 */
export function identitySteps(w: ProgramWriter, { process, facts, keep, limitsAreSet }: IdentityOptions): void {
  const { seccomp } = facts
  const caps = process.capabilities
  if (process.noNewPrivileges) w.step('no new privileges', 'prctl', [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0])
  if (process.apparmorProfile) writeLabel(w, 'apparmor-label', `exec ${process.apparmorProfile}`)
  if (process.selinuxLabel) writeLabel(w, 'selinux-label', process.selinuxLabel)
  if (!limitsAreSet) rlimitSteps(w, process)
  w.step('close what is not passed on', 'close_range', [keep, 0xffffffff, 0])
  if (seccomp && !process.noNewPrivileges) seccompStep(w, seccomp)
  const bounding = capabilityBits(caps?.bounding ?? [])
  for (const [number, name] of CAPABILITIES.entries()) {
    // A kernel that does not know the capability has nothing to drop.
    if (!(bounding & (1n << BigInt(number))))
      w.step(`drop ${name}`, 'prctl', [PR_CAPBSET_DROP, number, 0, 0, 0], number > 37 ? { onError: 'ignore' } : {})
  }
  w.step('keep capabilities across setuid', 'prctl', [PR_SET_KEEPCAPS, 1, 0, 0, 0])
  const groups = process.user?.additionalGids ?? []
  const gids = Buffer.alloc(Math.max(8, 4 * groups.length))
  for (const [i, gid] of groups.entries()) gids.writeUInt32LE(gid, 4 * i)
  w.step(`groups ${groups.join(' ') || '(none)'}`, 'setgroups', [groups.length, bytes(gids)])
  const { uid = 0, gid = 0 } = process.user ?? {}
  w.step(`group id ${gid}`, 'setresgid', [gid, gid, gid])
  w.step(`user id ${uid}`, 'setresuid', [uid, uid, uid])
  w.step('forget to keep capabilities', 'prctl', [PR_SET_KEEPCAPS, 0, 0, 0, 0])
  enterWorkingFolder(w, process.cwd)
  const sets = {
    effective: capabilityBits(caps?.effective ?? []),
    permitted: capabilityBits(caps?.permitted ?? []),
    inheritable: capabilityBits(caps?.inheritable ?? []),
  }
  w.step('set capabilities', 'capset', [bytes(capabilityHeader()), bytes(capabilityData(sets))])
  w.step('clear ambient capabilities', 'prctl', [PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0], { onError: 'ignore' })
  const ambient = capabilityBits(caps?.ambient ?? []) & sets.permitted & sets.inheritable
  for (const [number, name] of CAPABILITIES.entries()) {
    if (ambient & (1n << BigInt(number))) w.step(`ambient ${name}`, 'prctl', [PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0])
  }
  w.step('umask', 'umask', [process.user?.umask ?? 0o022])
}

function writeLabel(w: ProgramWriter, region: string, label: string): void {
  w.step(`label "${label}"`, 'write', [value(region), text(label), Buffer.byteLength(label)])
}

function enterWorkingFolder(w: ProgramWriter, cwd: string): void {
  const what = `working folder ${cwd}`
  w.step(
    what,
    'openat2',
    [AT_FDCWD, text(cwd), mountSteps.openHow(O_PATH | O_DIRECTORY | O_CLOEXEC, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS), 24],
    {
      into: 'cwd',
      retry: true,
    },
  )
  w.step(what, 'fchdir', [value('cwd')])
  w.step(what, 'close', [value('cwd')])
}

/** Paths to try for a program, as execvp does. */
export function candidates(args0: string, env: readonly string[]): readonly string[] {
  if (args0.includes('/')) return [args0]
  const path = env.findLast((word) => word.startsWith('PATH='))?.slice(5) ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  return path.split(':').map((folder) => `${folder === '' ? '.' : folder.replace(/(.)\/$/, '$1')}/${args0}`)
}

export const notFoundStep = (args0: string): string => `exec: "${args0}"`

/** Finds the program; `executable` then holds the address of its path. Fails with ENOENT, or EACCES when there is one that may not be executed. */
export function findExecutable(w: ProgramWriter, process: Process): void {
  const [args0 = ''] = process.args ?? []
  const paths = candidates(args0, process.env ?? [])
  const found = w.fresh('found')
  for (const path of paths) {
    const yes = w.aside('executable', found, () => {
      w.step(`use ${path}`, 'value', [text(path)], { into: 'executable' })
    })
    w.step(`look for ${path}`, 'faccessat', [AT_FDCWD, text(path), 1, 0], { onZero: yes, onError: 'ignore' })
  }
  // None: let the kernel say why, on the likeliest.
  for (const path of paths) {
    const denied = w.aside('denied', found, () => {
      w.step(notFoundStep(args0), 'faccessat', [AT_FDCWD, text(path), 1, 0])
    })
    w.step(`is there ${path}`, 'faccessat', [AT_FDCWD, text(path), 0, 0], { onZero: denied, onError: 'ignore' })
  }
  w.step(notFoundStep(args0), 'faccessat', [AT_FDCWD, text(paths.at(-1) ?? args0), 1, 0])
  w.block(found)
}

/** Last: every descriptor of ours closes by itself when the program starts. */
export function executeSteps(w: ProgramWriter, process: Process, facts: Pick<ContainerFacts, 'seccomp' | 'preserveFds'>): void {
  w.step('close at exec', 'close_range', [3 + facts.preserveFds, 0xffffffff, CLOSE_RANGE_CLOEXEC])
  w.step('SIGPIPE as usual', 'rt_sigaction', [SIGPIPE, words(0, 0, 0, 0), 0, 8])
  if (facts.seccomp && process.noNewPrivileges) seccompStep(w, facts.seccomp)
  const args = process.args ?? []
  w.step(notFoundStep(args[0] ?? ''), 'execve', [value('executable'), strings(args), strings(process.env ?? [])])
}
