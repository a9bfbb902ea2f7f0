// Pod sandboxes: made, stopped, removed.
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasErrno, randomInt } from '../lib/index.js'
import { createNetworkNamespace, mount, pinNamespace, RuntimeError, removeNetworkNamespace, unmount } from '../runtime/index.js'
import { removeContainer, stopContainer } from './containers.js'
import { containersOf, type Engine, find, newId, pauseRoot, sandboxDir, sandboxOf, Undo } from './engine.js'
import { CriError, criError, invalid } from './errors.js'
import type { SandboxRecord } from './records.js'
import { relabel } from './relabel.js'
import { hostsFile, resolvConf } from './sandbox-files.js'
import { hasUserNamespace } from './spec/namespaces.js'
import { ociResources } from './spec/resources.js'
import { cgroupsPath, sandboxSpec } from './spec/sandbox.js'
import { contextOption, isUnlabelled, labelsOf, newLevel } from './spec/selinux.js'
import type { LinuxContainerResources, PodSandboxConfig, RunPodSandboxRequest } from './types.js'
import { announce } from './views.js'

const SHM_BYTES = 64 * 1024 * 1024

export const isHostNetwork = (config: PodSandboxConfig): boolean => config.linux?.securityContext?.namespaceOptions?.network === 'NODE'
export const isHostIpc = (config: PodSandboxConfig): boolean => config.linux?.securityContext?.namespaceOptions?.ipc === 'NODE'

/** Where the namespace of a pod's network is kept. */
const netnsPath = (engine: Engine, id: string): string => join(engine.runDir, 'netns', id)

function check(engine: Engine, { config, runtimeHandler = '' }: RunPodSandboxRequest): void {
  if (!config?.metadata?.name || !config.metadata.namespace || !config.metadata.uid)
    throw invalid('pod sandbox: metadata must have a name, a namespace and a uid')
  if (runtimeHandler !== '' && !(engine.handlers ?? []).includes(runtimeHandler))
    throw invalid(
      `no runtime for ${JSON.stringify(runtimeHandler)} is configured: there is ${['the default', ...(engine.handlers ?? [])].join(', ')}`,
    )
  if (config.hostname && (config.hostname.length > 64 || !/^[A-Za-z0-9._-]+$/.test(config.hostname)))
    throw invalid(`hostname ${JSON.stringify(config.hostname)}: want at most 64 letters, digits, dots and dashes`)
  const { name, namespace, uid, attempt = 0 } = config.metadata
  for (const { id, config: other } of engine.sandboxes.all.values()) {
    const meta = other.metadata
    if (meta.name === name && meta.namespace === namespace && meta.uid === uid && (meta.attempt ?? 0) === attempt)
      throw new CriError('ALREADY_EXISTS', `pod sandbox ${namespace}/${name} (${uid}, attempt ${attempt}) exists already: ${id}`)
  }
}

/** The level that the pod's containers have in common: what the caller says, else one that no other pod has. */
function levelOf(engine: Engine, config: PodSandboxConfig): string {
  const taken = new Set([...engine.sandboxes.all.values()].map(({ selinuxLevel = '' }) => selinuxLevel))
  return config.linux?.securityContext?.selinuxOptions?.level || newLevel((below) => randomInt(engine.random, below), taken)
}

/** Of what the pod's containers share; '' for none. */
function mountLabelOf(engine: Engine, { config, selinuxLevel }: SandboxRecord): string {
  const security = config.linux?.securityContext
  if (!engine.machine.selinux || selinuxLevel === undefined || isUnlabelled(false, security?.namespaceOptions)) return ''
  return labelsOf(security?.selinuxOptions, engine.machine.selinux, selinuxLevel).mount
}

/** The files and the shared memory that the pod's containers will see. */
function makeFiles(engine: Engine, record: SandboxRecord, undo: Undo): void {
  const dir = sandboxDir(engine, record.id)
  const { config } = record
  undo.add('sandbox folder', () => rmSync(dir, { recursive: true, force: true }))
  mkdirSync(join(dir, 'shm'), { recursive: true, mode: 0o755 })
  writeFileSync(join(dir, 'hostname'), `${(isHostNetwork(config) ? '' : config.hostname) || engine.machine.hostname}\n`)
  const resolv = resolvConf(config.dnsConfig)
  if (resolv !== undefined) writeFileSync(join(dir, 'resolv.conf'), resolv)
  else copyOr(join(dir, 'resolv.conf'), '/etc/resolv.conf', '')
  if (isHostIpc(config)) return
  const target = join(dir, 'shm')
  const label = mountLabelOf(engine, record)
  undo.add('shared memory', () => unmountQuietly(target))
  mount({
    source: 'shm',
    target,
    type: 'tmpfs',
    options: ['nosuid', 'nodev', 'noexec', 'mode=1777', `size=${SHM_BYTES}`, ...(label ? contextOption(label) : [])],
  })
}

function copyOr(target: string, source: string, otherwise: string): void {
  try {
    copyFileSync(source, target)
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error
    writeFileSync(target, otherwise)
  }
}

/** Not mounted, or not there, is fine. */
export function unmountQuietly(target: string): void {
  try {
    unmount(target, { detach: true })
  } catch (error) {
    if (!hasErrno(error, 'EINVAL', 'ENOENT')) throw error
  }
}

async function connect(engine: Engine, record: SandboxRecord, netns: string, undo: Undo): Promise<readonly string[]> {
  if (!engine.network) throw new CriError('FAILED_PRECONDITION', 'no pod network is configured: only pods of the host network can run')
  const pod = { id: record.id, netns, config: record.config }
  undo.add('network', () => engine.network?.tearDown(pod))
  try {
    return (await engine.network.setUp(pod)).ips
  } catch (error) {
    throw criError('pod network', error)
  }
}

/** All of them must have settled before anything is undone: what one still makes, undoing would not see. */
async function together<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([first, second])
  if (a.status === 'rejected') throw a.reason
  if (b.status === 'rejected') throw b.reason
  return [a.value, b.value]
}

/**
 * Starts the pause process and connects the network. The namespace is made beforehand, so that both go on at once; with a
 * user namespace it must belong to that one, which only the process itself can make.
 */
async function bringUp(
  engine: Engine,
  record: SandboxRecord,
  undo: Undo,
): Promise<{ readonly ips: readonly string[]; readonly pid: number }> {
  const { id, config, netns } = record
  const owned = hasUserNamespace(config.linux?.securityContext?.namespaceOptions)
  const spec = sandboxSpec(config, {
    id,
    pauseRoot: pauseRoot(engine),
    netns: owned ? undefined : netns,
    cgroupsPath: cgroupsPath(config, id),
  })
  if (netns !== undefined) undo.add('network namespace', () => removeNetworkNamespace(netns))
  undo.add('pause process', () => engine.runtime.delete(id, { force: true }))
  const pause = async (): Promise<number> => {
    const { pid = 0 } = await engine.runtime.create({ id, bundle: sandboxDir(engine, id), spec })
    if (owned && netns !== undefined) pinNamespace(pid, 'net', netns)
    await engine.runtime.start(id)
    return pid
  }
  if (netns === undefined) return { ips: [], pid: await pause() }
  if (owned) {
    const pid = await pause()
    return { pid, ips: await connect(engine, record, netns, undo) }
  }
  createNetworkNamespace(netns)
  const [pid, ips] = await together(pause(), connect(engine, record, netns, undo))
  return { pid, ips }
}

export async function runPodSandbox(engine: Engine, request: RunPodSandboxRequest): Promise<{ readonly podSandboxId: string }> {
  check(engine, request)
  const { config } = request
  const id = newId(engine.random)
  const hostNetwork = isHostNetwork(config)
  const netns = hostNetwork ? undefined : netnsPath(engine, id)
  let record: SandboxRecord = engine.sandboxes.save({
    id,
    config,
    runtimeHandler: request.runtimeHandler ?? '',
    createdAt: engine.clock.now(),
    phase: 'creating',
    ...(netns === undefined ? {} : { netns }),
    ips: [],
    pausePid: 0,
    ...(engine.machine.selinux ? { selinuxLevel: levelOf(engine, config) } : {}),
    bootId: engine.machine.bootId,
  })
  const undo = new Undo(engine.log.child({ sandbox: id }))
  undo.add('record', () => engine.sandboxes.remove(id))
  try {
    makeFiles(engine, record, undo)
    const { ips, pid } = await bringUp(engine, record, undo)
    const hosts = join(sandboxDir(engine, id), 'hosts')
    if (hostNetwork) copyOr(hosts, '/etc/hosts', hostsFile(engine.machine.hostname, []))
    else writeFileSync(hosts, hostsFile(config.hostname || config.metadata.name, ips))
    const label = mountLabelOf(engine, record)
    if (label) for (const name of ['hosts', 'hostname', 'resolv.conf']) relabel(join(sandboxDir(engine, id), name), label)
    record = engine.sandboxes.save({ ...record, phase: 'ready', ips, pausePid: pid })
  } catch (error) {
    await undo.run()
    throw criError(`pod sandbox ${config.metadata.namespace}/${config.metadata.name}`, error)
  }
  watchPause(engine, id)
  announce(engine, 'CONTAINER_CREATED_EVENT', id, record)
  announce(engine, 'CONTAINER_STARTED_EVENT', id, record)
  return { podSandboxId: id }
}

/** Notices the end of a sandbox's pause process. */
export function watchPause(engine: Engine, id: string): void {
  engine.pausing.add(id)
  const gone = (): void => {
    if (!engine.pausing.delete(id) || engine.stopping.signal.aborted) return
    announce(engine, 'CONTAINER_STOPPED_EVENT', id, engine.sandboxes.get(id))
  }
  engine.runtime.wait(id, { signal: engine.stopping.signal }).then(gone, (err) => {
    if (engine.stopping.signal.aborted) return
    if (!(err instanceof RuntimeError && err.code === 'NotFound')) engine.log.warn('waiting for a pause process', { sandbox: id, err })
    gone()
  })
}

/** Everything of a sandbox but its record. May be called on what is half there, and again. */
async function takeDown(engine: Engine, record: SandboxRecord): Promise<void> {
  const { id, netns } = record
  if (netns !== undefined) {
    await engine.network?.tearDown({ id, netns, config: record.config })
    removeNetworkNamespace(netns)
  }
  await engine.runtime.delete(id, { force: true })
  unmountQuietly(join(sandboxDir(engine, id), 'shm'))
  rmSync(sandboxDir(engine, id), { recursive: true, force: true })
}

/** Finishes off a sandbox that a killed daemon left half-made or half-removed. */
export async function sweepSandbox(engine: Engine, record: SandboxRecord): Promise<void> {
  await takeDown(engine, record)
  engine.sandboxes.remove(record.id)
}

export async function stopPodSandbox(engine: Engine, podSandboxId: string): Promise<void> {
  const found = find(engine.sandboxes, podSandboxId)
  if (!found) return
  await engine.lock(found.id, async () => {
    const record = engine.sandboxes.get(found.id)
    if (record?.phase !== 'ready') return
    await stopLocked(engine, record)
  })
}

/** Goes on with a stop that was cut off: the last thing that it does is to remove the sandbox's folder. */
export async function finishStop(engine: Engine, record: SandboxRecord): Promise<void> {
  if (existsSync(sandboxDir(engine, record.id))) await stopLocked(engine, record)
}

async function stopLocked(engine: Engine, record: SandboxRecord): Promise<void> {
  // From here on no container can be added to it.
  const wasReady = record.phase === 'ready'
  engine.sandboxes.note({ ...record, phase: 'stopped' })
  try {
    await Promise.allSettled(engine.making.get(record.id) ?? [])
    await Promise.all(containersOf(engine, record.id).map(({ id }) => stopContainer(engine, id, 0)))
    await takeDown(engine, record)
  } catch (error) {
    // To be tried again by the next call.
    engine.sandboxes.note(record)
    throw criError(`stopping pod sandbox ${record.id}`, error)
  }
  if (engine.pausing.delete(record.id) && wasReady) announce(engine, 'CONTAINER_STOPPED_EVENT', record.id, engine.sandboxes.get(record.id))
}

export async function removePodSandbox(engine: Engine, podSandboxId: string): Promise<void> {
  const found = find(engine.sandboxes, podSandboxId)
  if (!found) return
  await engine.lock(found.id, async () => {
    const record = engine.sandboxes.get(found.id)
    if (!record) return
    if (record.phase !== 'removing') await stopLocked(engine, record)
    engine.sandboxes.note({ ...record, phase: 'removing' })
    await Promise.all(containersOf(engine, record.id).map(({ id }) => removeContainer(engine, id)))
    await takeDown(engine, record)
    engine.sandboxes.remove(record.id)
    announce(engine, 'CONTAINER_DELETED_EVENT', record.id, undefined)
  })
}

/** The pod's own cgroup is the caller's; what the caller says of it is remembered. */
export async function updatePodSandboxResources(
  engine: Engine,
  podSandboxId: string,
  { overhead, resources }: { readonly overhead?: LinuxContainerResources; readonly resources?: LinuxContainerResources },
): Promise<void> {
  const record = sandboxOf(engine, podSandboxId)
  // Refuses what could not be meant.
  ociResources(overhead)
  ociResources(resources)
  engine.sandboxes.save({
    ...record,
    config: { ...record.config, linux: { ...record.config.linux, ...(overhead ? { overhead } : {}), ...(resources ? { resources } : {}) } },
  })
}
