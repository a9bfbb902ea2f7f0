// Containers: made, started, stopped, removed, and what happens when they end.
import { mkdirSync, rmSync } from 'node:fs'
import { isAbsolute, join, normalize } from 'node:path'
import { type Clock, sleep } from '../lib/index.js'
import { type ExitStatus, RuntimeError, signalNumber } from '../runtime/index.js'
import { assemble, dismantle } from './assemble.js'
import { containerDir, containerOf, type Engine, find, newId, sandboxOf, spoolDir, Undo } from './engine.js'
import { CriError, criError, invalid, sentence } from './errors.js'
import { endInput, openOutput, prepareStdio } from './output.js'
import type { ContainerExit, ContainerRecord, SandboxRecord } from './records.js'
import { stopSignal } from './signals.js'
import { mergeResources, ociResources } from './spec/resources.js'
import type { CreateContainerRequest, LinuxContainerResources } from './types.js'
import { announce, containerState } from './views.js'

function check(engine: Engine, { config, podSandboxId, sandboxConfig }: CreateContainerRequest): SandboxRecord {
  const sandbox = sandboxOf(engine, podSandboxId)
  if (sandbox.phase !== 'ready' || !engine.pausing.has(sandbox.id))
    throw new CriError('FAILED_PRECONDITION', `pod sandbox ${sandbox.id} is not ready: containers can be added to a running one only`)
  if (!config?.metadata?.name) throw invalid('container: metadata must have a name')
  if (!config.image?.image) throw invalid(`container ${config.metadata.name}: no image`)
  // What the caller says of the pod now counts: it may have got a privileged container since it was made.
  if (config.linux?.securityContext?.privileged && !(sandboxConfig ?? sandbox.config).linux?.securityContext?.privileged)
    throw invalid(`container ${config.metadata.name} is privileged: no privileged container is allowed in pod sandbox ${sandbox.id}`)
  const { name, attempt = 0 } = config.metadata
  for (const other of engine.containers.all.values())
    if (other.sandboxId === sandbox.id && other.config.metadata.name === name && (other.config.metadata.attempt ?? 0) === attempt)
      throw new CriError(
        'ALREADY_EXISTS',
        `container ${name} (attempt ${attempt}) exists already in pod sandbox ${sandbox.id}: ${other.id}`,
      )
  return sandbox
}

/** Absolute; '' when the container has no log. */
function logPath({ config, sandboxConfig }: CreateContainerRequest, sandbox: SandboxRecord): string {
  const folder = sandboxConfig?.logDirectory || sandbox.config.logDirectory
  if (!config.logPath || !folder) return ''
  const path = normalize(join(folder, config.logPath))
  if (!isAbsolute(path) || !path.startsWith(normalize(`${folder}/`))) throw invalid(`log path ${config.logPath} leaves ${folder}`)
  return path
}

export async function createContainer(engine: Engine, request: CreateContainerRequest): Promise<{ readonly containerId: string }> {
  const sandbox = check(engine, request)
  const { config } = request
  const image = engine.images.resolve(config.image.image)
  if (!image) throw new CriError('NOT_FOUND', `image ${config.image.image} is not on this machine: pull it first`)
  const id = newId(engine.random)
  const record: ContainerRecord = engine.containers.save({
    id,
    sandboxId: sandbox.id,
    config,
    createdAt: engine.clock.now(),
    phase: 'creating',
    logPath: logPath(request, sandbox),
    imageId: image.id,
    imageRef: image.repoDigests[0] ?? image.id,
    user: { uid: 0, gid: 0, supplementalGroups: [] },
    stopSignal: stopSignal(config.stopSignal, image.config.config?.StopSignal),
    resources: config.linux?.resources ?? {},
    imageMounts: [],
    startedAt: 0,
    bootId: engine.machine.bootId,
  })
  const making = make(engine, record, sandbox, image)
  const set = engine.making.get(sandbox.id) ?? new Set()
  engine.making.set(sandbox.id, set.add(making))
  try {
    await making
  } finally {
    set.delete(making)
    if (set.size === 0) engine.making.delete(sandbox.id)
  }
  return { containerId: id }
}

async function make(
  engine: Engine,
  first: ContainerRecord,
  sandbox: SandboxRecord,
  image: NonNullable<ReturnType<Engine['images']['resolve']>>,
): Promise<void> {
  const { id } = first
  const undo = new Undo(engine.log.child({ container: id }))
  undo.add('record', () => engine.containers.remove(id))
  undo.add('files and snapshots', () => dismantle(engine, engine.containers.get(id) ?? first))
  try {
    const { spec, record } = await assemble(engine, first, sandbox, image)
    const prepared = prepareStdio(engine, record)
    undo.add('container', () => engine.runtime.delete(id, { force: true }))
    const create = engine.runtime.create({ id, bundle: containerDir(engine, id), spec, stdio: prepared.stdio })
    const state = await create.finally(() => prepared.release()).catch((error: unknown) => unstartable(error))
    if (typeof state === 'string') {
      engine.containers.save({ ...prepared.record, phase: 'ready', unstartable: state })
      return announce(engine, 'CONTAINER_CREATED_EVENT', id, engine.sandboxes.get(sandbox.id))
    }
    if (engine.sandboxes.get(sandbox.id)?.phase !== 'ready')
      throw new CriError('FAILED_PRECONDITION', `pod sandbox ${sandbox.id} was stopped meanwhile`)
    await watchContainer(engine, engine.containers.save({ ...prepared.record, phase: 'ready' }), state.pid ?? 0)
  } catch (error) {
    await undo.run()
    throw criError(`container ${first.config.metadata.name}`, error)
  }
  announce(engine, 'CONTAINER_CREATED_EVENT', id, engine.sandboxes.get(sandbox.id))
}

/** A program that is not there is a failure of the start, as clients of the CRI expect; everything else is thrown. */
function unstartable(error: unknown): string {
  const { step = '', code = '' } = error as { step?: string; code?: string }
  if (error instanceof RuntimeError && error.code === 'NotExecutable') return error.message
  if (!/^exec:? /.test(step)) throw error
  const reason = { ENOENT: 'no such file or directory', EACCES: 'permission denied', ENOTDIR: 'not a directory' }[code] ?? code
  return `${step}: ${code === 'ENOENT' && !step.includes('/') ? 'executable file not found in $PATH' : reason}`
}

/** From now on the container's output is carried to its log and its end is noticed. */
export async function watchContainer(engine: Engine, record: ContainerRecord, pid: number): Promise<void> {
  const { id } = record
  const abandon = new AbortController()
  const signal = AbortSignal.any([engine.stopping.signal, abandon.signal])
  const pump = await openOutput(engine, record)
  const ended = engine.runtime.wait(id, { signal }).then(
    (exit) => end(engine, id, exit),
    (err) => {
      if (signal.aborted) return undefined
      if (!(err instanceof RuntimeError && err.code === 'NotFound')) engine.log.error('waiting for a container', { container: id, err })
      return end(engine, id, undefined)
    },
  )
  engine.live.set(id, { pid, ended, abandon, pump })
}

/** What an exit looks like to the kubelet. `undefined`: nobody saw it. */
export function exitOf(exit: ExitStatus | undefined, clock: Clock): ContainerExit {
  if (!exit)
    return {
      exitCode: 255,
      startedAt: 0,
      finishedAt: clock.now(),
      reason: 'ContainerStatusUnknown',
      message: 'the end of the container was not seen',
    }
  const { exitCode, startedAt, finishedAt, oomKilled } = exit
  const reason = oomKilled ? 'OOMKilled' : exitCode === 0 ? 'Completed' : 'Error'
  return { exitCode, startedAt, finishedAt, reason, message: '' }
}

/** Processes that share the pod's or the host's process namespace do not die with the container's first. */
const outlivesFirst = (record: ContainerRecord): boolean =>
  (record.config.linux?.securityContext?.namespaceOptions?.pid ?? 'POD') !== 'CONTAINER'

async function end(engine: Engine, id: string, exit: ExitStatus | undefined): Promise<void> {
  const record = engine.containers.get(id)
  const live = engine.live.get(id)
  if (!record) return
  if (outlivesFirst(record)) await engine.runtime.kill(id, 'SIGKILL', { all: true }).catch(() => {})
  await live?.pump?.finish()
  endInput(engine, id)
  engine.live.delete(id)
  const now = engine.containers.get(id)
  if (!now || now.exit) return
  engine.containers.note({ ...now, exit: exitOf(exit, engine.clock), startedAt: now.startedAt || exit?.startedAt || 0 })
  rmSync(spoolDir(engine, id), { recursive: true, force: true })
  announce(engine, 'CONTAINER_STOPPED_EVENT', id, engine.sandboxes.get(now.sandboxId))
}

export async function startContainer(engine: Engine, containerId: string): Promise<void> {
  const { id } = containerOf(engine, containerId)
  await engine.lock(id, async () => {
    const record = containerOf(engine, id)
    const state = containerState(engine, record)
    if (state !== 'CONTAINER_CREATED' || record.phase !== 'ready')
      throw new CriError('FAILED_PRECONDITION', `container ${id} is in state ${state}: only a created one can be started`)
    if (record.unstartable !== undefined) {
      const exit = { exitCode: 128, startedAt: 0, finishedAt: engine.clock.now(), reason: 'StartError', message: record.unstartable }
      engine.containers.note({ ...record, exit })
      announce(engine, 'CONTAINER_STOPPED_EVENT', id, engine.sandboxes.get(record.sandboxId))
      throw new CriError('UNKNOWN', `starting container ${record.config.metadata.name}: ${record.unstartable}`)
    }
    // Not later than the process itself: it may have ended before we are back here.
    const startedAt = engine.clock.now()
    try {
      await engine.runtime.start(id)
    } catch (error) {
      const exit = { exitCode: 128, startedAt: 0, finishedAt: engine.clock.now(), reason: 'StartError', message: sentence(error) }
      const now = engine.containers.get(id)
      if (now && !now.exit) engine.containers.note({ ...now, exit })
      await engine.runtime.kill(id, 'SIGKILL').catch(() => {})
      await engine.live.get(id)?.ended
      announce(engine, 'CONTAINER_STOPPED_EVENT', id, engine.sandboxes.get(record.sandboxId))
      throw criError(`starting container ${record.config.metadata.name}`, error)
    }
    const now = engine.containers.get(id)
    if (now && now.startedAt === 0) engine.containers.note({ ...now, startedAt })
    announce(engine, 'CONTAINER_STARTED_EVENT', id, engine.sandboxes.get(record.sandboxId))
  })
}

export async function stopContainer(engine: Engine, containerId: string, timeout = 0): Promise<void> {
  const record = find(engine.containers, containerId)
  const live = record && engine.live.get(record.id)
  if (!record || !live || record.exit) return
  const { id } = record
  const send = async (signal: string): Promise<void> => {
    try {
      await engine.runtime.kill(id, signal)
    } catch (error) {
      // It has ended just now: that is what was wanted.
      if (!(error instanceof RuntimeError && (error.code === 'WrongStatus' || error.code === 'NotFound')))
        throw criError(`stopping container ${id}`, error)
    }
  }
  if (timeout > 0 && record.startedAt > 0) {
    await send(signalNumber(record.stopSignal) === undefined ? 'SIGTERM' : record.stopSignal)
    const gaveUp = new AbortController()
    const patience = sleep(engine.clock, timeout * 1000, gaveUp.signal).catch(() => {})
    await Promise.race([live.ended, patience])
    gaveUp.abort()
    if (!engine.live.has(id)) return
  }
  await send('SIGKILL')
  await live.ended
}

export async function removeContainer(engine: Engine, containerId: string): Promise<void> {
  const found = find(engine.containers, containerId)
  if (!found) return
  const { id } = found
  await engine.lock(id, async () => {
    const record = engine.containers.get(id)
    if (!record || record.phase === 'creating') return
    await stopContainer(engine, id, 0)
    await demolish(engine, engine.containers.get(id) ?? record)
    announce(engine, 'CONTAINER_DELETED_EVENT', id, engine.sandboxes.get(record.sandboxId))
  })
}

/** Takes away everything of a container that runs no more, its record last. May be called again after a crash in between. */
export async function demolish(engine: Engine, record: ContainerRecord): Promise<void> {
  const { id } = record
  engine.containers.note({ ...record, phase: 'removing' })
  try {
    await engine.runtime.delete(id, { force: true })
    const live = engine.live.get(id)
    live?.abandon.abort(new Error('removed'))
    live?.pump?.close()
    engine.live.delete(id)
    await dismantle(engine, record)
  } catch (error) {
    throw criError(`removing container ${id}`, error)
  }
  engine.containers.remove(id)
}

export async function updateContainerResources(engine: Engine, containerId: string, change: LinuxContainerResources): Promise<void> {
  const { id } = containerOf(engine, containerId)
  await engine.lock(id, async () => {
    const record = containerOf(engine, id)
    if (record.exit) throw new CriError('FAILED_PRECONDITION', `container ${id} has ended: it has no resources to update`)
    try {
      await engine.runtime.update(id, ociResources(change))
    } catch (error) {
      throw criError(`updating container ${id}`, error)
    }
    engine.containers.save({ ...record, resources: mergeResources(record.resources, change) })
  })
}

export function reopenContainerLog(engine: Engine, containerId: string): void {
  const record = containerOf(engine, containerId)
  const live = engine.live.get(record.id)
  if (!live || containerState(engine, record) !== 'CONTAINER_RUNNING')
    throw new CriError('FAILED_PRECONDITION', `container ${record.id} is not running: its log is closed`)
  live.pump?.reopen()
}

/** The folder of a container, made for its files. */
export function makeContainerDir(engine: Engine, id: string): string {
  const dir = containerDir(engine, id)
  mkdirSync(dir, { recursive: true, mode: 0o711 })
  return dir
}
