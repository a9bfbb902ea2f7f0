// The CRI put together: one object for the kubelet in this process and for the gRPC server.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { pauseProgram } from '../runtime/index.js'
import {
  createContainer,
  removeContainer,
  reopenContainerLog,
  startContainer,
  stopContainer,
  updateContainerResources,
} from './containers.js'
import { type CriOptions, containerOf, containersOf, createEngine, type Engine, find, matches, pauseRoot, sandboxOf } from './engine.js'
import { CriError } from './errors.js'
import { imageService } from './images.js'
import { removePodSandbox, runPodSandbox, stopPodSandbox, updatePodSandboxResources } from './pods.js'
import { recover } from './recover.js'
import { statsService } from './stats.js'
import { streamService } from './streams.js'
import type { Cri, RuntimeCondition, StatusResponse } from './types.js'
import { container, containerState, containerStatus, podSandbox, podSandboxStatus, sandboxState } from './views.js'

export interface RunningCri extends Cri {
  /** Lets go of everything; pods and containers go on, and a later createCri finds them. */
  close(): void
}

const RUNTIME_NAME = 'knarr'

async function status(engine: Engine, verbose: boolean): Promise<StatusResponse> {
  const network = await engine.network?.status()
  const conditions: readonly RuntimeCondition[] = [
    { type: 'RuntimeReady', status: true, reason: '', message: '' },
    network
      ? { type: 'NetworkReady', status: network.ready, reason: network.reason, message: network.message }
      : { type: 'NetworkReady', status: false, reason: 'NetworkPluginNotReady', message: 'no pod network is configured' },
  ]
  const features = { recursiveReadOnlyMounts: true, userNamespaces: true }
  return {
    status: { conditions },
    info: verbose
      ? { config: JSON.stringify({ root: engine.root, runDir: engine.runDir, cgroupVersion: engine.machine.cgroupVersion }) }
      : {},
    runtimeHandlers: ['', ...(engine.handlers ?? [])].map((name) => ({ name, features })),
    features: { supplementalGroupsPolicy: true, userNamespacesHostNetwork: false },
  }
}

const queries = (engine: Engine) => ({
  async podSandboxStatus(id: string, { verbose = false } = {}) {
    const record = sandboxOf(engine, id)
    return {
      status: podSandboxStatus(engine, record),
      info: verbose ? { info: JSON.stringify({ pid: record.pausePid, netns: record.netns, config: record.config }) } : {},
      containersStatuses: containersOf(engine, record.id)
        .filter(({ phase }) => phase !== 'creating')
        .map((each) => containerStatus(engine, each)),
      timestamp: engine.clock.now(),
    }
  },
  async listPodSandbox(filter: Parameters<Cri['listPodSandbox']>[0] = {}) {
    return [...engine.sandboxes.all.values()]
      .filter(
        (record) =>
          record.phase !== 'creating' &&
          (!filter.id || record.id.startsWith(filter.id)) &&
          (!filter.state || sandboxState(engine, record) === filter.state) &&
          matches(record.config.labels, filter.labelSelector),
      )
      .map((record) => podSandbox(engine, record))
  },
  async containerStatus(id: string, { verbose = false } = {}) {
    const record = containerOf(engine, id)
    const info = verbose
      ? {
          info: JSON.stringify({
            sandboxID: record.sandboxId,
            pid: engine.live.get(record.id)?.pid ?? 0,
            config: record.config,
            runtimeSpec: await engine.runtime.spec(record.id).catch(() => null),
          }),
        }
      : {}
    return { status: containerStatus(engine, record), info }
  },
  async listContainers(filter: Parameters<Cri['listContainers']>[0] = {}) {
    const sandboxId = filter.podSandboxId && (find(engine.sandboxes, filter.podSandboxId)?.id ?? filter.podSandboxId)
    return [...engine.containers.all.values()]
      .filter(
        (record) =>
          record.phase !== 'creating' &&
          (!filter.id || record.id.startsWith(filter.id)) &&
          (!sandboxId || record.sandboxId === sandboxId) &&
          (!filter.state || containerState(engine, record) === filter.state) &&
          matches(record.config.labels, filter.labelSelector),
      )
      .map((record) => container(engine, record))
  },
})

/** Where pause processes have their root: nothing in it but the program. */
function placePause(engine: Engine): void {
  const dir = pauseRoot(engine)
  for (const folder of [dir, join(dir, 'proc'), join(dir, 'dev'), join(dir, 'sys')]) mkdirSync(folder, { recursive: true, mode: 0o755 })
  const program = pauseProgram()
  // A full disk must not keep the daemon from starting.
  if (existsSync(join(dir, 'pause')) && program.equals(readFileSync(join(dir, 'pause')))) return
  // Replaced as a whole: the old one may be running.
  writeFileSync(join(dir, 'pause.new'), program, { mode: 0o555 })
  renameSync(join(dir, 'pause.new'), join(dir, 'pause'))
}

/** Takes up what an earlier daemon left, then serves. */
export async function createCri(options: CriOptions): Promise<RunningCri> {
  for (const folder of ['sandboxes', 'containers', 'netns']) mkdirSync(join(options.runDir, folder), { recursive: true, mode: 0o711 })
  // Not 0o700: root of a user namespace must be able to pass to its volumes.
  mkdirSync(options.root, { recursive: true, mode: 0o711 })
  const engine = createEngine(options)
  placePause(engine)
  // Clocks and watches alone do not keep a process alive: without this, one that has nothing else to do yet would end midway.
  const { port1: alive } = new MessageChannel()
  alive.ref()
  try {
    await recover(engine)
  } finally {
    alive.close()
  }
  return {
    ...imageService(engine),
    ...queries(engine),
    ...statsService(engine),
    ...streamService(engine),
    async version() {
      return { version: '0.1.0', runtimeName: RUNTIME_NAME, runtimeVersion: engine.version, runtimeApiVersion: 'v1' }
    },
    status: ({ verbose = false } = {}) => status(engine, verbose),
    async runtimeConfig() {
      return { linux: { cgroupDriver: 'CGROUPFS' as const } }
    },
    async updateRuntimeConfig() {},
    runPodSandbox: (request) => runPodSandbox(engine, request),
    stopPodSandbox: (id) => stopPodSandbox(engine, id),
    removePodSandbox: (id) => removePodSandbox(engine, id),
    updatePodSandboxResources: (id, resources) => updatePodSandboxResources(engine, id, resources),
    createContainer: (request) => createContainer(engine, request),
    startContainer: (id) => startContainer(engine, id),
    stopContainer: (id, timeout) => stopContainer(engine, id, timeout),
    removeContainer: (id) => removeContainer(engine, id),
    updateContainerResources: (id, resources) => updateContainerResources(engine, id, resources),
    async reopenContainerLog(id) {
      reopenContainerLog(engine, id)
    },
    async checkpointContainer(id) {
      throw new CriError('UNIMPLEMENTED', `container ${id} cannot be checkpointed: this runtime does not write checkpoints`)
    },
    getContainerEvents: (signal) => engine.events.listen(signal),
    close() {
      engine.stopping.abort(new Error('the daemon stops'))
      for (const { pump } of engine.live.values()) pump?.close()
      engine.events.close()
    },
  }
}
