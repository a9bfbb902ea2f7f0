// From a spec to a container that waits for its start. Whatever fails, nothing stays behind.
import { closeSync, constants, existsSync, openSync, readFileSync } from 'node:fs'
import { isAbsolute, join, resolve } from 'node:path'
import { type Clock, hasErrno } from '../lib/index.js'
import {
  type Cgroup,
  cgroupLayout,
  type ElfProgram,
  elfProgram,
  type Image,
  type Launched,
  launch,
  memoryFile,
  openCgroup,
  type program,
  reap,
  STEP_BYTES,
  StepError,
  socketPair,
  thisArchitecture,
} from '../sys/index.js'
import { copyUp, hasCopyUp } from './copy-up.js'
import { environmentOf } from './environment.js'
import { failedStep } from './failed-step.js'
import { filterOf } from './filters.js'
import {
  cgroupOf,
  danglingTargets,
  innerSources,
  kernelAtLeast,
  mountPointOf,
  rootfsOf,
  sourceKinds,
  tmpfsModes,
  wholeTrees,
} from './gather.js'
import { hasHooks, runHooks } from './hooks.js'
import { idmappedMounts, userNamespaceOf } from './idmap.js'
import { checkLabels, mountLabelOf } from './labels.js'
import { hasNetDevices, moveNetDevices } from './net-devices.js'
import { containerProgram } from './plan/container.js'
import { type ContainerFacts, REPORT } from './plan/facts.js'
import { executeStep } from './plan/process.js'
import { isBind } from './plan/rootfs.js'
import { namesIn, ReportReader } from './report.js'
import { resourcesOf } from './resources.js'
import { passListener } from './seccomp-listener.js'
import { OCI_VERSION, type OciState, type Spec } from './spec.js'
import { checkId, type StateFile, type StateFiles } from './state-files.js'
import { openStdio } from './stdio.js'
import { type CreateOptions, RuntimeError, type Stdio } from './types.js'
import { problemText, validateSpec } from './validate.js'
import { warningsOf } from './warnings.js'

/** What a creation depends on besides its options. */
export interface CreateContext {
  readonly files: StateFiles
  readonly clock: Clock
  readonly owner: string
  readonly parent: 'monitor' | 'child'
  readonly systemdCgroup: boolean
  readonly noPivot: boolean
  readonly noNewKeyring: boolean
  readonly preserveFds: number
  readonly consoleSocket: number | undefined
  readonly restrictOomScoreAdj: number | undefined
  /** Told of what a person may want to know and no program branches on. */
  readonly note: (level: 'warning' | 'debug', message: string) => void
  /** Changes the program before it is written down: how tests make each of its steps fail. */
  readonly edit: (planned: program.Program) => program.Program
}

export interface Created {
  readonly state: StateFile
  /** The process launched: the monitor, or a launcher that has ended. */
  readonly launched: Launched
  readonly firstPid: number
  readonly report: ReportReader
  /** The end of the socket from which the terminal's master can be taken, if we made the socket. The caller closes it. */
  readonly keeper: number | undefined
}

export function readSpec(bundle: string): Spec {
  const path = join(bundle, 'config.json')
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) throw new RuntimeError('InvalidSpec', `no specification: ${path} not found`)
    throw error
  }
  try {
    return JSON.parse(text) as Spec
  } catch (error) {
    throw new RuntimeError('InvalidSpec', `${path} is not JSON: ${(error as Error).message}`)
  }
}

/** Relative sources of bind mounts start at the bundle. */
const absoluteSources = (spec: Spec, bundle: string): Spec => ({
  ...spec,
  ...(spec.mounts
    ? {
        mounts: spec.mounts.map((mount) =>
          isBind(mount) && mount.source && !isAbsolute(mount.source) ? { ...mount, source: resolve(bundle, mount.source) } : mount,
        ),
      }
    : {}),
})

/** Everything decided, nothing done. */
export function planContainer(
  spec: Spec,
  options: CreateOptions,
  context: CreateContext,
): { readonly facts: ContainerFacts; readonly spec: Spec } {
  if (spec.process) checkLabels(spec.process)
  const bundle = resolve(options.bundle)
  const planned = absoluteSources(spec, bundle)
  const rootfs = rootfsOf(planned, bundle)
  const cgroup = openCgroup(cgroupOf(planned, options.id, context.systemdCgroup))
  const plan = cgroup.joinPlan()
  // A group in which cgroup.kill was ever used kills whoever is born into it from another group (seen with 6.18): enter an old one by its file.
  const old = plan.directory !== undefined && existsSync(plan.directory)
  const files = old ? [...plan.files, `${plan.directory}/cgroup.procs`] : plan.files
  const directory = old ? undefined : plan.directory
  const sources = sourceKinds(planned, rootfs)
  const inner = innerSources(planned, rootfs)
  const shared = planned.linux?.rootfsPropagation?.endsWith('shared') ?? false
  return {
    spec: planned,
    facts: {
      id: options.id,
      stateDir: context.files.folder(options.id),
      rootfs,
      rootfsParent: shared ? mountPointOf(rootfs) : '/',
      sources,
      innerSources: inner,
      targets: danglingTargets(planned, rootfs),
      tmpfsModes: tmpfsModes(planned, rootfs),
      cloneDetached: kernelAtLeast(6, 15),
      mountLabel: mountLabelOf(planned),
      idmapped: new Set(idmappedMounts(planned).keys()),
      cgroup: { layout: cgroupLayout(), path: cgroup.path, files, directory },
      parent: context.parent,
      pauseForCaller: hasNetDevices(planned) || hasCopyUp(planned) || hasHooks(planned, 'prestart', 'createRuntime', 'createContainer'),
      consoleSocket: planned.process?.terminal ?? false,
      tails: planned.process?.terminal ? [] : tailsOf(options.stdio),
      env: planned.process ? environmentOf(planned.process, { root: rootfs, ...(planned.mounts ? { mounts: planned.mounts } : {}) }) : [],
      hostTrees: context.noPivot ? wholeTrees(rootfs) : undefined,
      noNewKeyring: context.noNewKeyring,
      restrictOomScoreAdj: context.restrictOomScoreAdj,
      preserveFds: context.preserveFds,
      seccomp: filterOf(planned.linux?.seccomp),
    },
  }
}

function tailsOf({ stdout, stderr }: Stdio = {}): NonNullable<ContainerFacts['tails']> {
  return [stdout, stderr].flatMap((target, i) =>
    typeof target === 'object' && 'path' in target && target.tail !== undefined ? [{ fd: i + 1, path: target.tail }] : [],
  )
}

/** Steps that can fail after `created`, as the state file keeps them. */
function lateSteps({ blocks }: Image, args0: string): StateFile['lateSteps'] {
  const execute = executeStep(args0)
  const late: Record<string, readonly [string, string]> = {}
  for (const { address, steps } of blocks) {
    for (const [i, { name, call }] of steps.entries()) {
      if (name === execute || name === 'seccomp filter' || name === 'wait for start') late[address + i * STEP_BYTES] = [name, call]
    }
  }
  return late
}

export async function createContainer(options: CreateOptions, context: CreateContext): Promise<Created> {
  const { files, clock } = context
  checkId(options.id)
  const given = options.spec ?? readSpec(options.bundle)
  const problems = validateSpec(given)
  if (problems.length > 0) throw new RuntimeError('InvalidSpec', `config.json: ${problemText(problems)}`)
  for (const warning of warningsOf(given)) context.note('warning', warning)
  const { spec, facts } = planContainer(given, options, context)
  if (facts.seccomp) context.note('debug', `seccomp filter flags: ${facts.seccomp.flags}`)
  const elf = elfProgram(context.edit(containerProgram(spec, facts)), thisArchitecture)
  const { image } = elf
  const state: StateFile = {
    version: 1,
    id: options.id,
    bundle: resolve(options.bundle),
    rootfs: facts.rootfs,
    createdAt: clock.now(),
    owner: context.owner,
    parent: context.parent,
    cgroupPath: facts.cgroup.path,
    systemdCgroup: context.systemdCgroup,
    lateSteps: lateSteps(image, spec.process?.args?.[0] ?? ''),
    spec,
  }
  const undo: (() => Promise<void> | void)[] = []
  try {
    files.reserve(state)
    undo.push(() => files.remove(options.id))
    const cgroup = openCgroup(facts.cgroup.path)
    if (cgroup.create()) undo.push(() => cgroup.delete())
    else refuseBusyGroup(cgroup)
    const resources = resourcesOf(spec)
    if (resources) cgroup.limit(resources)
    const report = new ReportReader(files.openReport(options.id), namesIn(image))
    undo.push(() => report.close())
    const { launched, keeper } = launchContainer({ options, context, elf, terminal: facts.consoleSocket, spec })
    undo.push(async () => {
      if (keeper !== undefined) closeSync(keeper)
      await cgroup.kill()
      reap(launched.pid)
      closeSync(launched.pidfd)
    })
    const firstPid = await untilCreated(report, {
      paused: (pid) => beforeRoot(state, pid, context),
      listener: async (pid, fd) => {
        passListener({ pid, fd, seccomp: spec.linux?.seccomp, state: hookState(state, 'creating', pid) })
        letGoOn(state, context)
      },
    })
    return { state, launched, firstPid, report, keeper }
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error instanceof StepError ? failedStep(error, 'container init') : error
  }
}

/** Its processes would count as the container's, and end with it. */
function refuseBusyGroup(cgroup: Cgroup): void {
  const { length } = cgroup.processes()
  if (length > 0) throw new RuntimeError('Failed', `container's cgroup is not empty: ${length} process(es) found in ${cgroup.path}`)
  if (cgroup.frozen) throw new RuntimeError('Failed', `container's cgroup unexpectedly frozen: ${cgroup.path}`)
}

interface LaunchContainerOptions {
  readonly options: CreateOptions
  readonly context: CreateContext
  readonly elf: ElfProgram
  readonly terminal: boolean
  readonly spec: Spec
}

function launchContainer({ options, context, elf, terminal, spec }: LaunchContainerOptions): {
  launched: Launched
  keeper: number | undefined
} {
  const toClose: number[] = []
  const stdio = openStdio(options.stdio)
  let keeper: number | undefined
  try {
    // Given to the program instead of opened by it: as long as nobody writes, a reader could not tell "not yet" from "gone".
    const report = openSync(join(context.files.folder(options.id), 'report'), constants.O_WRONLY)
    toClose.push(report)
    elf.setWord('given-report', report)
    const keep = [...Array.from({ length: context.preserveFds }, (_, i) => 3 + i), report]
    for (const [index, maps] of idmappedMounts(spec)) {
      const fd = userNamespaceOf(maps)
      toClose.push(fd)
      keep.push(fd)
      elf.setWord(`idmap-${index}`, fd)
    }
    if (terminal) {
      let socket = context.consoleSocket
      if (socket === undefined) {
        const pair = socketPair()
        socket = pair[0]
        keeper = pair[1]
        toClose.push(socket)
        elf.setWord('given-keeper', keeper)
        keep.push(keeper)
      }
      elf.setWord('given-console', socket)
      keep.push(socket)
    }
    const executable = memoryFile('knarr-container', elf.file)
    toClose.push(executable)
    const launched = launch({ executable, argv: ['knarr-monitor', options.id], stdio: stdio.fds, keep })
    return { launched, keeper }
  } catch (error) {
    if (keeper !== undefined) closeSync(keeper)
    throw error
  } finally {
    stdio.close()
    for (const fd of toClose) closeSync(fd)
  }
}

/** What hooks read on their standard input. */
export const hookState = (state: StateFile, status: OciState['status'], pid?: number): OciState => ({
  ociVersion: OCI_VERSION,
  id: state.id,
  status,
  ...(pid === undefined ? {} : { pid }),
  bundle: state.bundle,
  ...(state.spec.annotations ? { annotations: state.spec.annotations } : {}),
})

/** The namespaces are there, the root is not yet changed. */
async function beforeRoot(state: StateFile, pid: number, context: CreateContext): Promise<void> {
  moveNetDevices(state.spec, pid)
  copyUp(state.spec, state.rootfs, pid)
  const hooks = { spec: state.spec, rootfs: state.rootfs, state: hookState(state, 'creating', pid), clock: context.clock }
  for (const kind of ['prestart', 'createRuntime', 'createContainer'] as const) await runHooks(kind, hooks)
  letGoOn(state, context)
}

function letGoOn({ id }: StateFile, { files }: CreateContext): void {
  if (!files.release(id)) throw new RuntimeError('Failed', 'container init: the first process ended while it waited for its caller')
}

/** What the first process stops for on its way. */
interface Stops {
  paused(pid: number): Promise<void>
  listener(pid: number, fd: number): Promise<void>
}

async function untilCreated(report: ReportReader, stops: Stops): Promise<number> {
  let pid = 0
  let stop: ((pid: number) => Promise<void>) | undefined
  let created = false
  // The monitor's record and the first process's may come in either order.
  while (!created || pid === 0) {
    const record = await report.next()
    if (record === 'end') throw new RuntimeError('Failed', 'container init: the first process ended before it was set up')
    if (record.tag === REPORT.pid) pid = record.value
    else if (record.tag === REPORT.paused) stop = stops.paused
    else if (record.tag === REPORT.seccomp) stop = (owner) => stops.listener(owner, record.value)
    else if (record.tag === REPORT.created) created = true
    if (stop && pid !== 0) {
      await stop(pid)
      stop = undefined
    }
  }
  return pid
}
