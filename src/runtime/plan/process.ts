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
import type { Process, Rlimit, Spec } from '../spec.js'
import { type ContainerFacts, REPORT } from './facts.js'

const { address, bytes, strings, text, value, words } = program

const PR_SET_KEEPCAPS = 8
const PR_CAPBSET_DROP = 24
const PR_SET_NO_NEW_PRIVS = 38
const PR_CAP_AMBIENT = 47
const PR_CAP_AMBIENT_RAISE = 2
const PR_CAP_AMBIENT_CLEAR_ALL = 4
const SECCOMP_SET_MODE_FILTER = 1
export const CLOSE_RANGE_CLOEXEC = 4
const SIGPIPE = 13
const SIGXFSZ = 25
const SIG_IGN = 1
const AT_EACCESS = 0x200

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

const rlimitStep = (w: ProgramWriter, { type, soft, hard }: Rlimit, pid: program.Argument): void => {
  w.step(`limit ${type}`, 'prlimit64', [pid, RLIMITS[type] ?? -1, words(rlimitValue(soft), rlimitValue(hard)), 0])
}

/** How many descriptors the set-up may need. */
const ENOUGH_DESCRIPTORS = 4096

/** For a process in a user namespace, by one outside who may raise limits. Descriptors stay plentiful until the set-up is done. */
export function rlimitStepsFor(w: ProgramWriter, process: Process, pid: program.Argument): void {
  for (const limit of process.rlimits ?? []) {
    if (limit.type !== 'RLIMIT_NOFILE') rlimitStep(w, limit, pid)
    else if (limit.hard < 0 || limit.hard >= ENOUGH_DESCRIPTORS) rlimitStep(w, { ...limit, soft: limit.hard }, pid)
  }
}

/** `raised`: somebody outside has done what needs rights; the number of descriptors may be lowered by everybody. */
function rlimitSteps(w: ProgramWriter, process: Process, raised: boolean): void {
  for (const limit of process.rlimits ?? []) if (!raised || limit.type === 'RLIMIT_NOFILE') rlimitStep(w, limit, 0)
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

const EVERY_CPU = Buffer.alloc(128, 0xff)

/** Where it may run: on these processors, or on all that its cpuset lets it, whatever those of our caller are. */
export function affinityStep(w: ProgramWriter, list: string | undefined): void {
  if (list) w.step(`run on processors ${list}`, 'sched_setaffinity', [0, 128, bytes(cpuMask(list))])
  else w.step('run on every processor', 'sched_setaffinity', [0, 128, bytes(EVERY_CPU)], { onError: 'ignore' })
}

export const memoryPolicyModes = {
  MPOL_DEFAULT: 0,
  MPOL_PREFERRED: 1,
  MPOL_BIND: 2,
  MPOL_INTERLEAVE: 3,
  MPOL_LOCAL: 4,
  MPOL_PREFERRED_MANY: 5,
  MPOL_WEIGHTED_INTERLEAVE: 6,
} as const satisfies Readonly<Record<string, number>>
export const memoryPolicyFlags = {
  MPOL_F_STATIC_NODES: 1 << 15,
  MPOL_F_RELATIVE_NODES: 1 << 14,
  MPOL_F_NUMA_BALANCING: 1 << 13,
} as const satisfies Readonly<Record<string, number>>

const numberOf = (table: Readonly<Record<string, number>>, name: string): number => table[name] ?? 0

/** What every process of the container has of the spec's own: personality(2), set_mempolicy(2). */
export function inheritedSteps(w: ProgramWriter, { personality, memoryPolicy }: NonNullable<Spec['linux']>): void {
  if (personality) w.step(`personality ${personality.domain}`, 'personality', [personality.domain === 'LINUX32' ? 8 : 0])
  if (memoryPolicy) {
    const { mode, nodes, flags = [] } = memoryPolicy
    const bits = flags.reduce((sum, flag) => sum | numberOf(memoryPolicyFlags, flag), numberOf(memoryPolicyModes, mode))
    const mask = nodes ? [bytes(cpuMask(nodes)), 1024] : [0, 0]
    w.step(`memory policy ${mode}`, 'set_mempolicy', [bits, ...mask])
  }
}

export function schedulingSteps(w: ProgramWriter, process: Process): void {
  const { scheduler, ioPriority } = process
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
  if (ioPriority) w.step('I/O priority', 'ioprio_set', [1, 0, (ioClasses[ioPriority.class] << 13) | (ioPriority.priority ?? 0)])
}

/** Descriptors below `first` are those of the program itself: `report` takes records, from `go` comes a byte. */
export interface Talk {
  readonly report: number
  readonly go: number
}

/**
 * When the filter comes into force. Without no_new_privs it needs a capability; with it as late as can be. A filter that asks
 * a supervisor is loaded before the program waits for its start: whoever launched it must have passed the listener on by then.
 */
type SeccompPlace = 'while privileged' | 'before the start' | 'at exec'

const seccompPlace = (process: Process, { notify }: NonNullable<ContainerFacts['seccomp']>): SeccompPlace =>
  !process.noNewPrivileges ? 'while privileged' : notify ? 'before the start' : 'at exec'

export function loadFilter(w: ProgramWriter, { filter, flags }: NonNullable<ContainerFacts['seccomp']>): void {
  w.step('seccomp filter', 'seccomp', [SECCOMP_SET_MODE_FILTER, flags, words(filter.length / 8, bytes(filter))], {
    into: 'seccomp-record[1]',
  })
}

/** Loads the filter if this is its place. */
export function seccompSteps(
  w: ProgramWriter,
  place: SeccompPlace,
  { process, seccomp, talk }: { readonly process: Process; readonly seccomp: ContainerFacts['seccomp']; readonly talk: Talk },
): void {
  if (!seccomp || place !== seccompPlace(process, seccomp)) return
  w.region('seccomp-record', [REPORT.seccomp, 0])
  loadFilter(w, seccomp)
  if (!seccomp.notify) return
  // The listener is fetched from here (pidfd_getfd): a call that the filter asks about would wait for nobody.
  w.step('report the seccomp listener', 'write', [talk.report, address('seccomp-record'), 16])
  w.step('wait until the seccomp listener is passed on', 'read', [talk.go, address('byte'), 1], { retry: true })
  w.step('close the seccomp listener', 'close', [value('seccomp-record', 1)])
}

export interface IdentityOptions {
  readonly process: Process
  readonly facts: Pick<ContainerFacts, 'seccomp' | 'preserveFds'>
  /** Descriptors below stay until the program is executed. */
  readonly keep: number
  readonly talk: Talk
  /** Somebody outside has raised the limits. */
  readonly limitsAreRaised?: boolean
}

/**
 * Gives up what the process shall not have. Folders of the host are closed before the working folder is entered, and it is
 * entered without magic links, so no /proc/self/fd/N leads out (CVE-2024-21626).
 */
export function identitySteps(w: ProgramWriter, { process, facts, keep, talk, limitsAreRaised = false }: IdentityOptions): void {
  const caps = process.capabilities
  if (process.noNewPrivileges) w.step('no new privileges', 'prctl', [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0])
  if (process.apparmorProfile) writeLabel(w, 'apparmor-label', `exec ${process.apparmorProfile}`)
  if (process.selinuxLabel) writeLabel(w, 'selinux-label', process.selinuxLabel)
  rlimitSteps(w, process, limitsAreRaised)
  w.step('close what is not passed on', 'close_range', [keep, 0xffffffff, 0])
  // Behind the filter only what every profile has to allow.
  w.step('close the rest at exec', 'close_range', [3 + facts.preserveFds, 0xffffffff, CLOSE_RANGE_CLOEXEC])
  enterWorkingFolderEarly(w, process.cwd)
  seccompSteps(w, 'while privileged', { process, seccomp: facts.seccomp, talk })
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

const openWorkingFolder = (w: ProgramWriter, cwd: string, onError: string): void => {
  const how = mountSteps.openHow(O_PATH | O_DIRECTORY | O_CLOEXEC, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
  w.step(`working folder ${cwd}`, 'openat2', [AT_FDCWD, text(cwd), how, 24], { into: 'cwd', retry: true, onError })
}

/** With our own rights: the user need not have any on the way there. */
function enterWorkingFolderEarly(w: ProgramWriter, cwd: string): void {
  openWorkingFolder(w, cwd, 'ignore')
  w.step(`working folder ${cwd}`, 'fchdir', [value('cwd')], { into: 'no-cwd', onError: 'ignore' })
  w.step(`working folder ${cwd}`, 'close', [value('cwd')], { onError: 'ignore' })
}

/** As the user, where only that one may (a network file system that does not trust our root). */
function enterWorkingFolder(w: ProgramWriter, cwd: string): void {
  const entered = w.fresh('entered')
  w.step('is the working folder entered', 'value', [value('no-cwd')], { onZero: entered, onError: 'ignore' })
  openWorkingFolder(w, cwd, 'fail')
  w.step(`working folder ${cwd}`, 'fchdir', [value('cwd')])
  w.step(`working folder ${cwd}`, 'close', [value('cwd')])
  w.block(entered)
}

/** Paths to try for a program, as execvp does. */
export function candidates(args0: string, env: readonly string[]): readonly string[] {
  if (args0.includes('/')) return [args0]
  const path = env.findLast((word) => word.startsWith('PATH='))?.slice(5) ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  return path.split(':').map((folder) => `${folder === '' ? '.' : folder.replace(/(.)\/$/, '$1')}/${args0}`)
}

export const notFoundStep = (args0: string): string => `exec: "${args0}"`
export const executeStep = (args0: string): string => `exec ${args0}`

/** Finds the program; `executable` then holds the address of its path. Fails with ENOENT, or EACCES when there is one that may not be executed. */
export function findExecutable(w: ProgramWriter, process: Process, env: readonly string[]): void {
  const [args0 = ''] = process.args ?? []
  const paths = candidates(args0, env)
  const found = w.fresh('found')
  for (const path of paths) {
    const yes = w.aside('executable', found, () => {
      w.step(`use ${path}`, 'value', [text(path)], { into: 'executable' })
    })
    // With the rights that count for execve(2): CAP_DAC_OVERRIDE among them. A filter may not let this call pass.
    w.step(`look for ${path}`, 'faccessat2', [AT_FDCWD, text(path), 1, AT_EACCESS], { onZero: yes, onError: 'ignore' })
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

/** Last: every descriptor of ours closes by itself when the program is executed. */
export function executeSteps(
  w: ProgramWriter,
  process: Process,
  { facts, talk }: { readonly facts: Pick<ContainerFacts, 'seccomp' | 'preserveFds' | 'env'>; readonly talk: Talk },
): void {
  w.step('SIGPIPE as usual', 'rt_sigaction', [SIGPIPE, words(0, 0, 0, 0), 0, 8])
  seccompSteps(w, 'at exec', { process, seccomp: facts.seccomp, talk })
  const args = process.args ?? []
  w.step(executeStep(args[0] ?? ''), 'execve', [value('executable'), strings(args), strings(facts.env)])
}
