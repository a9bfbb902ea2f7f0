// Another process in a running container: enter its namespaces, then become a sibling of the launcher, that is a child of whoever launched it.
import { AT_FDCWD, CLONE_PARENT, mountSteps, O_CLOEXEC, O_PATH, O_WRONLY, ProgramWriter, program, splitOptions } from '../../sys/index.js'
import type { Process, Spec } from '../spec.js'
import { namespaceFlags } from './container.js'
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
} from './process.js'
import { openTerminal, useTerminal } from './terminal.js'

const { address, text, value } = program

const PR_SET_DUMPABLE = 4
const PR_SET_NAME = 15
const F_DUPFD_CLOEXEC = 1030
const CLONE_INTO_CGROUP = 0x200000000n

export interface ExecFacts {
  readonly process: Process
  /** Of the container. */
  readonly spec: Spec
  readonly cgroup: { readonly files: readonly string[]; readonly directory: string | undefined }
  readonly restrictOomScoreAdj: number | undefined
  readonly seccomp: ContainerFacts['seccomp']
  readonly env: readonly string[]
  readonly preserveFds: number
  readonly consoleSocket: boolean
}

/** Regions that the caller fills in: `given-report`, `given-pidfd`, `given-go` for a filter that asks a supervisor, `given-console`. */
export function execProgram(facts: ExecFacts): program.Program {
  const w = new ProgramWriter()
  const report = 3 + facts.preserveFds
  const talk: Talk = { report, go: report + 1 }
  const first = report + (facts.seccomp?.notify ? 2 : 1)
  const types = new Set((facts.spec.linux?.namespaces ?? []).map(({ type }) => type))
  const inUserNamespace = types.has('user')
  w.block('launcher')
  cleanSignals(w)
  w.step('name', 'prctl', [PR_SET_NAME, text('knarr-exec'), 0, 0, 0])
  // Nobody inside may trace us or look at our descriptors while we are on our way in.
  w.step('not dumpable', 'prctl', [PR_SET_DUMPABLE, 0, 0, 0, 0])
  w.step('move the report away', 'fcntl', [value('given-report'), F_DUPFD_CLOEXEC, first + 1], { into: 'report-copy' })
  w.step('move the container away', 'fcntl', [value('given-pidfd'), F_DUPFD_CLOEXEC, first + 1], { into: 'pidfd' })
  if (facts.consoleSocket) {
    w.step('keep the console socket', 'fcntl', [value('given-console'), F_DUPFD_CLOEXEC, first + 1], { into: 'console-socket' })
  }
  if (facts.seccomp?.notify)
    w.step('move the other pipe away', 'fcntl', [value('given-go'), F_DUPFD_CLOEXEC, first + 1], { into: 'go-copy' })
  w.step('number report', 'dup3', [value('report-copy'), report, O_CLOEXEC])
  if (facts.seccomp?.notify) w.step('number the other pipe', 'dup3', [value('go-copy'), talk.go, O_CLOEXEC])
  const { execCPUAffinity } = facts.process
  if (execCPUAffinity?.initial) affinityStep(w, execCPUAffinity.initial)
  for (const [i, file] of facts.cgroup.files.entries()) {
    w.step(`cgroup: open ${file}`, 'openat', [AT_FDCWD, text(file), O_WRONLY | O_CLOEXEC, 0], { into: `cgroup-${i}` })
  }
  const birth = facts.cgroup.directory && !inUserNamespace ? facts.cgroup.directory : undefined
  if (birth) w.step(`cgroup: open ${birth}`, 'openat', [AT_FDCWD, text(birth), O_PATH | O_CLOEXEC, 0], { into: 'clone-args[10]' })
  else if (facts.cgroup.directory) {
    const file = `${facts.cgroup.directory}/cgroup.procs`
    w.step(`cgroup: open ${file}`, 'openat', [AT_FDCWD, text(file), O_WRONLY | O_CLOEXEC, 0], { into: 'cgroup-v2' })
    w.step('cgroup: join', 'write', [value('cgroup-v2'), text('0'), 1])
  }
  if (inUserNamespace) joinFiles(w, facts)
  processFilesSteps(w, { ...facts.process, apparmorProfile: '', selinuxLabel: '' }, facts)
  // With `nsdelegate`, as systemd mounts v2, nobody who sees the container's tree alone may be born into it from outside: ENOENT.
  const seen = birth && types.delete('cgroup')
  const flags = [...types].reduce((bits, type) => bits | namespaceFlags[type], 0)
  if (flags) w.step('enter the namespaces', 'setns', [value('pidfd'), flags])
  w.region('clone-args', [BigInt(CLONE_PARENT) | (birth ? CLONE_INTO_CGROUP : 0n), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
  w.step('clone the process', 'clone3', [address('clone-args'), 88], { into: 'record[1]', onZero: 'first' })
  w.region('record', [REPORT.pid, 0])
  w.step('report', 'write', [report, address('record'), 16])
  w.step('done', 'exit_group', [0])

  w.block('first')
  if (seen) w.step('enter the cgroup namespace', 'setns', [value('pidfd'), namespaceFlags.cgroup])
  if (!inUserNamespace) joinFiles(w, facts)
  w.step('new session', 'setsid', [], { onError: 'ignore' })
  labels(w, facts.process)
  if (facts.process.terminal) {
    openTerminal(w, undefined)
    useTerminal(w, facts.process)
  }
  affinityStep(w, execCPUAffinity?.final)
  schedulingSteps(w, facts.process)
  inheritedSteps(w, facts.spec.linux ?? {})
  identitySteps(w, { process: facts.process, facts, talk, keep: first })
  findExecutable(w, facts.process, facts.env)
  seccompSteps(w, 'before the start', { process: facts.process, seccomp: facts.seccomp, talk })
  executeSteps(w, facts.process, { facts, talk })
  w.step('exit', 'exit_group', [255])

  w.block('fail')
  w.step('report the failure', 'write', [report, address('failure'), 16], { onError: 'ignore' })
  w.step('exit', 'exit_group', [255], { onError: 'ignore' })
  return w.program('launcher')
}

function joinFiles(w: ProgramWriter, facts: ExecFacts): void {
  for (const [i, file] of facts.cgroup.files.entries())
    w.step(`cgroup: join ${file}`, 'write', [value(`cgroup-${i}`), text('0'), 1], { retry: true })
}

/** Labels go through a /proc that nobody inside has mounted anything over: a new one (CVE-2025-52881). */
function labels(w: ProgramWriter, { apparmorProfile, selinuxLabel }: Process): void {
  if (!apparmorProfile && !selinuxLabel) return
  const proc = mountSteps.newFilesystem(w, { what: 'labels', type: 'proc', source: 'proc', options: splitOptions([]), attributes: 0 })
  const open = (region: string, path: string): void => {
    w.step(`open ${path}`, 'openat', [value(proc), text(path), O_WRONLY | O_CLOEXEC, 0], { into: region })
  }
  if (apparmorProfile) open('apparmor-label', 'thread-self/attr/apparmor/exec')
  if (selinuxLabel) open('selinux-label', 'thread-self/attr/exec')
}
