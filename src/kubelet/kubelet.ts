// Puts the parts together and feeds the workers: pods from the API and from files, events from the runtime.
import { promises as fs, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Node, Pod, Service } from '../api/index.js'
import { eventRecorder, informer } from '../client/index.js'
import { abortable, deferred, explain, sleep } from '../lib/index.js'
import { fieldContext } from './container/start.js'
import { createPuller } from './image/puller.js'
import { nodeFacts } from './node/facts.js'
import { createHeartbeat } from './node/heartbeat.js'
import { allocatableOf } from './node/status.js'
import { defaultSettings, type Kubelet, type KubeletOptions } from './options.js'
import { refusalOf } from './pod/admission.js'
import { backOffTable, CRASH_BACK_OFF } from './pod/back-off.js'
import { createPods, findRunning, type Pods } from './pod/pods.js'
import type { PodServices } from './pod/services.js'
import { statusWriter } from './pod/status-writer.js'
import { parseResolvConf } from './sandbox/dns.js'
import { createNodeApi } from './server/node-api.js'
import { referencedObjects } from './volume/objects.js'
import { tokenSource } from './volume/tokens.js'
import { trustBundles } from './volume/trust-bundle.js'
import { createVolumes } from './volume/volumes.js'

const readOr = (path: string, otherwise: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return otherwise
  }
}

export function createKubelet(options: KubeletOptions): Kubelet {
  const { client, cri, clock, random, log, nodeName, volumeHost } = options
  const settings = { ...defaultSettings, ...options.settings }
  const root = options.root ?? '/var/lib/kubelet'
  const podLogs = options.podLogs ?? '/var/log/pods'
  const containerLogs = options.containerLogs ?? '/var/log/containers'
  const facts = nodeFacts()
  const addresses = options.nodeIps ?? facts.addresses
  const stopping = new AbortController()
  const ready = deferred()
  let down = false
  let pods: Pods | undefined

  const podCache = informer(client, Pod, { fieldSelector: `spec.nodeName=${nodeName}`, clock, log })
  const nodeCache = informer(client, Node, { fieldSelector: `metadata.name=${nodeName}`, clock, log })
  const serviceCache = informer(client, Service, { clock, log })
  const currentNode = (): Node | undefined => nodeCache.get(nodeName)
  const heartbeat = createHeartbeat({
    client,
    cri,
    clock,
    log,
    name: nodeName,
    version: options.version,
    facts,
    settings,
    addresses,
    port: () => options.port ?? 10250,
    root,
    current: currentNode,
    changed: (node) => nodeCache.observe(node),
  })
  const allocatable = (): Readonly<Record<string, string>> =>
    currentNode()?.status?.allocatable ?? heartbeat.status?.allocatable ?? allocatableOf({ facts, settings, diskBytes: 0 })

  const objects = referencedObjects({ client, clock, log, changed: (uid) => pods?.refresh(uid) })
  const tokens = tokenSource(client, clock, random)
  const recorder = eventRecorder({ client, clock, random, log, component: 'kubelet', host: nodeName })
  const resolvConf = options.resolvConf ?? '/etc/resolv.conf'
  const services: PodServices = {
    client,
    cri,
    clock,
    random,
    log,
    recorder,
    puller: createPuller({ cri, clock, parallel: settings.maxParallelImagePulls }),
    volumes: createVolumes({
      root,
      host: volumeHost,
      client,
      clock,
      random,
      memoryCapacity: facts.memoryBytes,
      sources: { objects, tokens, bundles: trustBundles(client), fields: (pod) => fieldContext(services, pod, []) },
    }),
    volumeHost,
    cgroups: options.cgroups,
    objects,
    tokens,
    status: statusWriter({ client, clock, log, signal: stopping.signal }),
    crashes: backOffTable(CRASH_BACK_OFF),
    node: {
      name: nodeName,
      hostIps: () => addresses,
      allocatable,
      memoryCapacity: facts.memoryBytes,
      runtime: () => heartbeat.runtime?.runtimeName ?? 'knarr',
    },
    settings,
    root,
    podLogs,
    containerLogs,
    dns: () => ({
      host: parseResolvConf(readOr(resolvConf, '')),
      clusterDns: settings.clusterDNS,
      clusterDomain: settings.clusterDomain,
    }),
    services: () => serviceCache.list(),
    admit: (pod) => admit(pod),
  }

  function admit(pod: Pod): ReturnType<typeof refusalOf> {
    // What has a status was admitted before.
    if (pod.status?.startTime || pod.metadata.deletionTimestamp) return undefined
    const others = (pods?.all() ?? [])
      .filter(({ stage, pod: other }) => (stage === 'sync' || stage === 'stopping') && other.metadata.uid !== pod.metadata.uid)
      .map(({ pod: other }) => other)
    const node = { name: nodeName, labels: currentNode()?.metadata.labels ?? {}, allocatable: allocatable() }
    return refusalOf({ pod, others, node, allowedUnsafeSysctls: settings.allowedUnsafeSysctls, shuttingDown: down })
  }

  /** The runtime's events; when the stream breaks, what was missed is read from the runtime's lists. */
  async function followRuntime(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const event of cri.getContainerEvents(signal)) pods?.observe(event)
      } catch (error) {
        if (signal.aborted) return
        log.warn('the runtime’s events ended, asking again', { err: explain(error) })
      }
      await sleep(clock, 1_000, signal).catch(() => {})
      if (!signal.aborted) await resync().catch((error: unknown) => log.warn('runtime not listed', { err: error }))
    }
  }

  async function resync(): Promise<void> {
    const found = await findRunning(cri, services.volumes.podFolder)
    for (const worker of pods?.all() ?? []) {
      const now = found.get(worker.pod.metadata.uid ?? '')
      worker.replaceObserved(now?.observed)
    }
  }

  async function makeFolders(): Promise<void> {
    await fs.mkdir(join(root, 'pods'), { recursive: true, mode: 0o750 })
    await fs.mkdir(podLogs, { recursive: true, mode: 0o755 })
    if (containerLogs !== '') await fs.mkdir(containerLogs, { recursive: true, mode: 0o755 })
  }

  async function start(signal: AbortSignal): Promise<void> {
    await makeFolders()
    const found = await untilAnswered('runtime', signal, () => findRunning(cri, services.volumes.podFolder))
    pods = createPods(services, found)
    const live = pods
    await abortable(Promise.all([podCache.synced, serviceCache.synced, nodeCache.synced]), signal)
    podCache.subscribe({
      added: (pod) => live.put(pod),
      updated: (pod) => live.put(pod),
      deleted: (pod) => live.drop(pod.metadata.uid ?? '', pod),
    })
    for (const pod of podCache.list()) live.put(pod)
    live.stopOrphans()
    ready.resolve()
  }

  async function untilAnswered<T>(what: string, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await task()
      } catch (error) {
        if (signal.aborted) throw error
        log.warn('waiting', { for: what, err: explain(error) })
        await sleep(clock, 500, signal)
      }
    }
  }

  const api = createNodeApi({ services, settings, client, clock, log, nodeName, clientCa: () => options.clientCa, pods: () => pods })

  return {
    ready: ready.promise,
    handler: api.handler,
    upgrade: api.upgrade,
    async run(signal) {
      signal.addEventListener('abort', () => stopping.abort(signal.reason), { once: true })
      if (signal.aborted) stopping.abort(signal.reason)
      const { signal: ends } = stopping
      const loops = [
        podCache.run(ends),
        serviceCache.run(ends),
        nodeCache.run(ends),
        followRuntime(ends),
        untilAnswered('registration', ends, () => heartbeat.report()).then(() => heartbeat.run(ends)),
      ]
      const settled = Promise.allSettled(loops)
      try {
        await start(ends)
      } catch (error) {
        if (!ends.aborted) throw error
      }
      await settled
      objects.close()
      await pods?.close()
      await recorder.flush()
    },
    async shutdown() {
      down = true
      heartbeat.shuttingDown()
      await heartbeat.report().catch(() => {})
    },
  }
}
