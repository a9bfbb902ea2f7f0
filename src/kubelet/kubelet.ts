// Puts the parts together and feeds the workers: pods from the API and from files, events from the runtime.
import { setMaxListeners } from 'node:events'
import { promises as fs, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Node, Pod, Service } from '../api/index.js'
import { eventRecorder, informer } from '../client/index.js'
import { abortable, deferred, explain, limiter, sleep } from '../lib/index.js'
import { runRotation } from './container/rotate-logs.js'
import { fieldContext } from './container/start.js'
import { runCollector } from './image/collect.js'
import { createPuller } from './image/puller.js'
import { nodeFacts } from './node/facts.js'
import { createHeartbeat } from './node/heartbeat.js'
import { networkWatch } from './node/network.js'
import { allocatableOf, podsShare } from './node/status.js'
import { defaultSettings, type Kubelet, type KubeletOptions } from './options.js'
import { refusalOf } from './pod/admission.js'
import { backOffTable, CRASH_BACK_OFF } from './pod/back-off.js'
import { loadCheckpoint } from './pod/checkpoint.js'
import { podEvent } from './pod/events.js'
import { followEvents } from './pod/follow.js'
import { createPods, findRunning, type Pods } from './pod/pods.js'
import { createQos } from './pod/qos.js'
import type { PodServices } from './pod/services.js'
import { stopForShutdown } from './pod/shutdown.js'
import { statusWriter } from './pod/status-writer.js'
import { probeCounts } from './probe/counts.js'
import { parseResolvConf } from './sandbox/dns.js'
import { createNodeApi } from './server/node-api.js'
import { createMirrors } from './source/mirrors.js'
import { followStaticPods, isMirror, SOURCE } from './source/static-pods.js'
import { referencedObjects } from './volume/objects.js'
import { podCertificates } from './volume/pod-certificates.js'
import { tokenSource } from './volume/tokens.js'
import { trustBundles } from './volume/trust-bundle.js'
import { createVolumes } from './volume/volumes.js'

/** How long the API server is waited for before pods that ran before are looked after without it. */
const API_PATIENCE_MS = 2_000

const PARALLEL_SANDBOXES = 8

const fromFile = (pod: Pod): boolean => pod.metadata.annotations?.[SOURCE] === 'file'

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
  // Every loop, watch and retry of the node listens to it.
  setMaxListeners(0, stopping.signal)
  const ready = deferred()
  let down = false
  let pods: Pods | undefined
  const made = deferred<Pods>()

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
    event: (reason, message) => nodeEvent('Normal', reason, message),
  })
  const allocatable = (): Readonly<Record<string, string>> =>
    currentNode()?.status?.allocatable ?? heartbeat.status?.allocatable ?? allocatableOf({ facts, settings, diskBytes: 0 })

  const objects = referencedObjects({ client, clock, log, changed: (uid) => pods?.refresh(uid) })
  const tokens = tokenSource(client, clock, random)
  const bundles = trustBundles({ client, clock, log, signal: stopping.signal, changed: (uid) => pods?.refresh(uid) })
  const certificates = podCertificates({
    client,
    clock,
    random,
    log,
    node: currentNode,
    nodeName,
    newKey: options.newPodKey,
    signal: stopping.signal,
    changed: (uid) => pods?.refresh(uid),
    event: (pod, reason, message) => podEvent(recorder, pod, 'Warning', reason, message),
  })
  const recorder = eventRecorder({ client, clock, random, log, component: 'kubelet', host: nodeName })
  function nodeEvent(type: 'Normal' | 'Warning', reason: string, message: string): void {
    recorder.record({ apiVersion: 'v1', kind: 'Node', name: nodeName, uid: nodeName }, type, reason, message)
  }
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
      sources: { objects, tokens, bundles, certificates, fields: (pod) => fieldContext(services, pod, []) },
    }),
    volumeHost,
    cgroups: options.cgroups,
    qos: createQos({
      cgroups: options.cgroups,
      root: settings.cgroupRoot,
      share: podsShare(facts, settings),
      pods: () => (pods?.all() ?? []).filter(({ stage }) => stage === 'sync' || stage === 'stopping').map(({ pod }) => pod),
      log,
    }),
    objects,
    status: statusWriter({ client, clock, log, signal: stopping.signal }),
    crashes: backOffTable(CRASH_BACK_OFF),
    probeCounts: probeCounts(),
    node: {
      name: nodeName,
      hostIps: () => addresses,
      allocatable,
      memoryCapacity: facts.memoryBytes,
      pidMax: facts.pidMax,
      runtime: () => heartbeat.runtime?.runtimeName ?? 'knarr',
      networkProblem: networkWatch({ cri, clock }),
      recursiveReadOnly: () =>
        (heartbeat.status ?? currentNode()?.status)?.runtimeHandlers?.some(({ features }) => features?.recursiveReadOnlyMounts) ?? false,
    },
    settings,
    sandboxSlots: limiter(PARALLEL_SANDBOXES),
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
    // A pod that is gone from the API gives its place back, though its processes may still be ending here.
    const isKnown = ({ metadata: { namespace, name, uid } }: Pod): boolean => podCache.get(`${namespace}/${name}`)?.metadata.uid === uid
    const others = (pods?.all() ?? [])
      .filter(({ stage, pod: other }) => stage === 'sync' || (stage === 'stopping' && isKnown(other)))
      .filter(({ pod: other }) => other.metadata.uid !== pod.metadata.uid)
      .map(({ pod: other }) => other)
    return refusalOf({
      pod,
      others,
      node: currentNode() ?? { apiVersion: 'v1', kind: 'Node', metadata: { name: nodeName } },
      allocatable: allocatable(),
      apparmor: facts.apparmor,
      allowedUnsafeSysctls: settings.allowedUnsafeSysctls,
      shuttingDown: down,
    })
  }

  const mirrors = createMirrors({
    client,
    clock,
    log,
    signal: stopping.signal,
    node: currentNode,
    ready: (uid) => pods?.get(uid)?.publish(),
  })

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
    made.resolve(live)
    const staticRead = deferred()
    if (settings.staticPodPath) void followStatic(live, signal, staticRead.resolve)
    else staticRead.resolve()
    const synced = Promise.all([podCache.synced, serviceCache.synced, nodeCache.synced])
    const patience = new AbortController()
    const late = sleep(clock, API_PATIENCE_MS, AbortSignal.any([signal, patience.signal])).then(
      () => true,
      () => false,
    )
    if (await Promise.race([synced.then(() => false), late])) await resumeWithoutApi(live, found.keys())
    patience.abort()
    await abortable(synced, signal)
    podCache.subscribe({
      added: (pod) => take(live, pod),
      updated: (pod) => take(live, pod),
      deleted: (pod) => (isMirror(pod) ? mirrors.lost(pod) : live.drop(pod.metadata.uid ?? '', pod)),
    })
    for (const pod of podCache.list()) take(live, pod)
    const inApi = new Set(podCache.list().map(({ metadata }) => metadata.uid))
    for (const { pod } of live.all()) if (!fromFile(pod) && !inApi.has(pod.metadata.uid)) live.drop(pod.metadata.uid ?? '')
    await abortable(staticRead.promise, signal)
    live.stopOrphans()
    await removeForgotten(live)
    ready.resolve()
  }

  /** Pods that ran before go on under the rules they were started with, until the API can be asked. */
  async function resumeWithoutApi(live: Pods, uids: Iterable<string>): Promise<void> {
    for (const uid of uids) {
      const pod = await loadCheckpoint(services.volumes.podFolder(uid))
      if (pod && !fromFile(pod) && !live.get(uid)) live.put(pod)
    }
  }

  /** Folders and cgroups of pods that are nobody's: of a daemon that was cut off. */
  async function removeForgotten(live: Pods): Promise<void> {
    for (const uid of await fs.readdir(join(root, 'pods')).catch(() => []))
      if (!live.get(uid))
        await services.volumes.tearDown(uid).catch((error: unknown) => log.warn('pod folder not removed', { uid, err: error }))
    for (const name of await fs.readdir(podLogs).catch(() => [])) {
      const uid = name.split('_')[2] ?? ''
      if (uid && !live.get(uid)) await fs.rm(join(podLogs, name), { recursive: true, force: true })
    }
    for (const parent of ['', '/burstable', '/besteffort']) {
      const path = `${settings.cgroupRoot}${parent}`
      for (const child of (await options.cgroups?.children?.(path)) ?? [])
        if (child.startsWith('pod') && !live.get(child.slice(3))) await options.cgroups?.remove(`${path}/${child}`)
    }
  }

  function take(live: Pods, pod: Pod): void {
    if (isMirror(pod)) mirrors.seen(pod)
    else live.put(pod)
  }

  async function followStatic(live: Pods, signal: AbortSignal, settled: () => void): Promise<void> {
    const known = new Map<string, Pod>()
    const put = (pod: Pod): void => {
      known.set(pod.metadata.uid ?? '', pod)
      live.put(pod, () => mirrors.of(pod))
      mirrors.show(pod)
    }
    const drop = (uid: string): void => {
      const pod = known.get(uid)
      known.delete(uid)
      live.drop(uid, undefined, pod?.spec?.terminationGracePeriodSeconds)
      if (pod) mirrors.hide(pod)
    }
    try {
      await followStaticPods({ folder: settings.staticPodPath, nodeName, log, put, drop, settled }, signal)
    } catch (error) {
      log.error('static pods are not followed', { folder: settings.staticPodPath, err: error })
      settled()
    }
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

  const runningLogs = (): readonly { id: string; logPath: string }[] =>
    (pods?.all() ?? []).flatMap(({ observed }) => observed.containers.filter(({ phase }) => phase === 'running'))

  const api = createNodeApi({ services, settings, client, clock, log, nodeName, clientCa: () => options.clientCa, pods: () => pods })

  return {
    ready: ready.promise,
    handler: api.handler,
    upgrade: api.upgrade,
    async run(signal) {
      signal.addEventListener('abort', () => stopping.abort(signal.reason), { once: true })
      if (signal.aborted) stopping.abort(signal.reason)
      const { signal: ends } = stopping
      nodeEvent('Normal', 'Starting', 'Starting kubelet.')
      const loops = [
        podCache.run(ends),
        serviceCache.run(ends),
        nodeCache.run(ends),
        followEvents(
          {
            cri,
            clock,
            log,
            resync: async () => (await abortable(made.promise, ends)).relist(),
            observe: (event) => pods?.observe(event),
          },
          ends,
        ),
        runCollector(
          {
            cri,
            clock,
            log,
            policy: settings.imageGc,
            lastUsed: services.puller.lastUsed,
            event: (reason, message) => nodeEvent('Warning', reason, message),
          },
          ends,
        ),
        runRotation(
          {
            cri,
            clock,
            log,
            maxBytes: settings.containerLogMaxSizeBytes,
            maxFiles: settings.containerLogMaxFiles,
            periodMs: settings.containerLogMonitorIntervalMs,
            running: runningLogs,
          },
          ends,
        ),
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
      // An API server that is away is not waited for.
      await Promise.race([recorder.flush(), sleep(clock, 1_000)])
    },
    async shutdown() {
      down = true
      heartbeat.shuttingDown()
      await heartbeat.report().catch((error: unknown) => log.warn('shutdown not reported', { err: error }))
      await stopForShutdown(pods?.all() ?? [], settings)
      for (const { pod } of pods?.all() ?? []) await services.status.flush(pod.metadata.uid ?? '')
    },
  }
}
