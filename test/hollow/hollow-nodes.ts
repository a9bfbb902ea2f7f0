// Nodes without containers: they answer the API as kubelets do, in real or virtual time, with seeded start-up times and failures.
import { Lease, Node, Pod, type PodStatus } from '../../src/api/index.js'
import { type Client, informer } from '../../src/client/index.js'
import { type Clock, isStatus, keyedLock, type Logger, type Random, randomInt, rfc3339, rfc3339Micro, sleep } from '../../src/lib/index.js'

export interface HollowOptions {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly signal: AbortSignal
  /** Names of the nodes. */
  readonly nodes: readonly string[]
  readonly labels?: (node: string, index: number) => Readonly<Record<string, string>>
  readonly allocatable?: Readonly<Record<string, string>>
  /** Shortest and longest time from binding to Running and from deletion to gone. */
  readonly startMs?: readonly [number, number]
  readonly stopMs?: readonly [number, number]
  /** How often a node renews its lease; 0: never. */
  readonly heartbeatMs?: number
  /** Told when the containers of a pod begin or end to run, whether the API server hears of it or not. */
  readonly onContainers?: (pod: Pod, running: boolean) => void
  /** Share of starts that end with a failed pod. */
  readonly failureRate?: number
}

export interface HollowNodes {
  /** Stops answering for a node, as if its power was cut; `revive` ends that. */
  silence(node: string): void
  revive(node: string): void
  /** Resolves when every node is registered. */
  readonly registered: Promise<void>
  readonly stopped: Promise<void>
}

/** How a pod wishes to behave: annotations that the tests set. */
export const EXIT_AFTER_MS = 'hollow.knarr.io/exit-after-ms'
export const EXIT_CODE = 'hollow.knarr.io/exit-code'
/** Runs but never becomes ready. */
export const UNREADY = 'hollow.knarr.io/unready'

const LEASES = 'kube-node-lease'

const readyConditions = (now: number, heartbeat: number) =>
  [
    ['MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'],
    ['DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'],
    ['PIDPressure', 'False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'],
    ['Ready', 'True', 'KubeletReady', 'kubelet is posting ready status'],
  ].map(([type = '', status = '', reason, message]) => ({
    type,
    status,
    reason,
    message,
    lastHeartbeatTime: rfc3339(heartbeat),
    lastTransitionTime: rfc3339(now),
  }))

function nodeObject(name: string, index: number, { labels, allocatable, clock }: HollowOptions): Node {
  const resources = allocatable ?? { cpu: '32', memory: '64Gi', pods: '110', 'ephemeral-storage': '100Gi' }
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': 'amd64', ...labels?.(name, index) },
    },
    spec: {},
    status: {
      capacity: resources,
      allocatable: resources,
      conditions: readyConditions(clock.now(), clock.now()),
      addresses: [
        { type: 'InternalIP', address: `10.0.${index >> 8}.${index & 255}` },
        { type: 'Hostname', address: name },
      ],
      nodeInfo: {
        architecture: 'amd64',
        bootID: 'hollow',
        containerRuntimeVersion: 'hollow://1',
        kernelVersion: '6.1',
        kubeProxyVersion: '',
        kubeletVersion: 'v1.37.0',
        machineID: name,
        operatingSystem: 'linux',
        osImage: 'hollow',
        systemUUID: name,
      },
    },
  }
}

/** The status of a pod whose containers are all in one state. */
function statusOf(
  pod: Pod,
  state: 'running' | 'done',
  { now, ip, hostIP, code }: { now: number; ip: string; hostIP: string; code: number },
): PodStatus {
  const unready = pod.metadata.annotations?.[UNREADY] !== undefined
  const ready = state === 'running' && !unready
  const phase = state === 'running' ? 'Running' : code === 0 ? 'Succeeded' : 'Failed'
  const time = rfc3339(now)
  const condition = (type: string, status: boolean, reason?: string) => {
    const before = pod.status?.conditions?.find((each) => each.type === type)
    const text = status ? 'True' : 'False'
    return {
      type,
      status: text,
      lastTransitionTime: before?.status === text ? before.lastTransitionTime : time,
      ...(reason ? { reason } : {}),
    }
  }
  const kept = (pod.status?.conditions ?? []).filter((each) => ['PodScheduled', 'DisruptionTarget'].includes(each.type))
  const why = state === 'done' ? 'PodCompleted' : unready ? 'ContainersNotReady' : undefined
  return {
    ...pod.status,
    phase,
    hostIP,
    hostIPs: [{ ip: hostIP }],
    podIP: ip,
    podIPs: [{ ip }],
    startTime: pod.status?.startTime ?? time,
    conditions: [...kept, condition('Initialized', true), condition('Ready', ready, why), condition('ContainersReady', ready, why)],
    containerStatuses: (pod.spec?.containers ?? []).map((container) => ({
      name: container.name,
      image: container.image ?? '',
      imageID: '',
      ready,
      started: state === 'running',
      restartCount: 0,
      containerID: `hollow://${pod.metadata.uid}-${container.name}`,
      state:
        state === 'running'
          ? { running: { startedAt: time } }
          : { terminated: { exitCode: code, reason: code === 0 ? 'Completed' : 'Error', startedAt: time, finishedAt: time } },
    })),
  }
}

type Phase = 'starting' | 'running' | 'ended' | 'stopping'

/** One set of nodes behind one watch, so that thousands cost little. */
export function hollowNodes(options: HollowOptions): HollowNodes {
  const { client, clock, random, log, signal, nodes } = options
  const silent = new Set<string>()
  const mine = new Map(nodes.map((name, index) => [name, index]))
  const phases = new Map<string, Phase>()
  /** What is due when a silent node speaks again. */
  const postponed = new Map<string, (() => void)[]>()
  let addresses = 0

  const between = ([low, high]: readonly [number, number]): number => low + randomInt(random, Math.max(1, high - low + 1))
  const later = (node: string, ms: number, run: () => Promise<void>): void => {
    clock.after(ms, () => {
      if (signal.aborted) return
      if (silent.has(node)) {
        postponed.set(node, [...(postponed.get(node) ?? []), () => later(node, 0, run)])
        return
      }
      run().catch((error: unknown) => {
        if (signal.aborted || isStatus(error, 'NotFound')) return
        log.debug('hollow node tries again', { node, err: error })
        later(node, 500, run)
      })
    })
  }

  const pods = informer(client, Pod, { clock, log, fieldSelector: 'spec.nodeName!=' })
  const current = (uid: string, key: string): Pod | undefined => {
    const pod = pods.get(key)
    return pod?.metadata.uid === uid ? pod : undefined
  }

  async function setStatus(uid: string, key: string, state: 'running' | 'done', code = 0): Promise<void> {
    const cached = current(uid, key)
    if (!cached) return
    const pod = await client.find(Pod, cached.metadata)
    if (!pod || pod.metadata.uid !== uid) return
    const hostIP = `10.0.${(mine.get(pod.spec?.nodeName ?? '') ?? 0) >> 8}.${(mine.get(pod.spec?.nodeName ?? '') ?? 0) & 255}`
    const ip = pod.status?.podIP ?? `10.244.${(++addresses >> 8) & 255}.${addresses & 255}`
    const status = statusOf(pod, state, { now: clock.now(), ip, hostIP, code })
    pods.observe(await client.updateStatus(Pod, { ...pod, status }))
  }

  const running = new Map<string, Pod>()
  function runs(pod: Pod, now: boolean): void {
    const uid = pod.metadata.uid ?? ''
    if (running.has(uid) === now) return
    if (now) running.set(uid, pod)
    else running.delete(uid)
    options.onContainers?.(pod, now)
  }

  /** A kubelet does one thing after the other with a pod. */
  const inOrder = keyedLock()
  const start = (uid: string, key: string, fails: boolean): Promise<void> => inOrder(uid, () => startNow(uid, key, fails))
  const stop = (uid: string, key: string): Promise<void> => inOrder(uid, () => stopNow(uid, key))

  async function startNow(uid: string, key: string, fails: boolean): Promise<void> {
    const pod = current(uid, key)
    if (!pod || pod.metadata.deletionTimestamp || phases.get(uid) !== 'starting') return
    const node = pod.spec?.nodeName ?? ''
    if (fails) {
      await setStatus(uid, key, 'done', 137)
      phases.set(uid, 'ended')
      return
    }
    runs(pod, true)
    await setStatus(uid, key, 'running')
    if (phases.get(uid) === 'starting') phases.set(uid, 'running')
    const exitAfter = pod.metadata.annotations?.[EXIT_AFTER_MS]
    if (exitAfter === undefined) return
    later(node, Number(exitAfter), () =>
      inOrder(uid, async () => {
        if (phases.get(uid) !== 'running') return
        runs(pod, false)
        await setStatus(uid, key, 'done', Number(pod.metadata.annotations?.[EXIT_CODE] ?? 0))
        phases.set(uid, 'ended')
      }),
    )
  }

  async function stopNow(uid: string, key: string): Promise<void> {
    const pod = current(uid, key)
    if (!pod) return
    const { name, namespace } = pod.metadata
    runs(pod, false)
    // A kubelet says how the containers ended before it lets the pod go.
    const live = await client.find(Pod, { name, namespace })
    if (live?.metadata.uid === uid && live.status?.phase === 'Running') await setStatus(uid, key, 'done', 143)
    await client.delete(Pod, { name, namespace }, { gracePeriodSeconds: 0, preconditions: { uid } })
  }

  /** Pods that others have said to be unready while their containers run: their node knows better, and says so. */
  const contradicting = new Set<string>()
  function contradict(pod: Pod, uid: string, key: string): void {
    const ready = pod.status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True')
    if (ready || pod.metadata.annotations?.[UNREADY] !== undefined || contradicting.has(uid)) return
    contradicting.add(uid)
    later(pod.spec?.nodeName ?? '', between(options.startMs ?? [10, 50]), async () => {
      contradicting.delete(uid)
      await inOrder(uid, async () => {
        if (phases.get(uid) === 'running') await setStatus(uid, key, 'running')
      })
    })
  }

  function onPod(pod: Pod): void {
    const node = pod.spec?.nodeName ?? ''
    const uid = pod.metadata.uid ?? ''
    if (!mine.has(node)) return
    const key = `${pod.metadata.namespace}/${pod.metadata.name}`
    const phase = phases.get(uid)
    if (pod.metadata.deletionTimestamp) {
      if (phase === 'stopping') return
      phases.set(uid, 'stopping')
      later(node, between(options.stopMs ?? [10, 50]), () => stop(uid, key))
    } else if (phase === undefined) {
      const ended = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
      phases.set(uid, ended ? 'ended' : 'starting')
      // Decided once: whoever has to say again that it runs has not failed meanwhile.
      const fails = random.next() < (options.failureRate ?? 0)
      if (!ended) later(node, between(options.startMs ?? [10, 50]), () => start(uid, key, fails))
    } else if (phase === 'running') contradict(pod, uid, key)
  }

  async function register(name: string, index: number): Promise<void> {
    for (let wait = 100; !signal.aborted; wait = Math.min(5000, wait * 2)) {
      try {
        const object = nodeObject(name, index, options)
        try {
          await client.create(Node, object)
        } catch (error) {
          if (!isStatus(error, 'AlreadyExists')) throw error
        }
        const made = await client.get(Node, { name })
        await client.updateStatus(Node, { ...made, status: object.status })
        return
      } catch (error) {
        log.debug('hollow node not registered yet', { node: name, err: error })
        await sleep(clock, wait, signal).catch(() => {})
      }
    }
  }

  async function beat(name: string): Promise<void> {
    const key = { namespace: LEASES, name }
    const spec = { holderIdentity: name, leaseDurationSeconds: 40, renewTime: rfc3339Micro(clock.now()) }
    const lease = await client.find(Lease, key)
    if (lease) await client.update(Lease, { ...lease, spec })
    else await client.create(Lease, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: key, spec })
    // A node that was given up says that it is back.
    const node = await client.find(Node, { name })
    if (!node || node.status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True')) return
    await client.updateStatus(Node, { ...node, status: { ...node.status, conditions: readyConditions(clock.now(), clock.now()) } })
  }

  async function heartbeats(name: string): Promise<void> {
    const every = options.heartbeatMs ?? 10_000
    while (every > 0 && !signal.aborted) {
      if (!silent.has(name)) await beat(name).catch((error: unknown) => log.debug('no heartbeat', { node: name, err: error }))
      await sleep(clock, every, signal).catch(() => {})
    }
  }

  async function run(): Promise<void> {
    const watching = pods.run(signal)
    await registered
    pods.subscribe({
      added: onPod,
      updated: onPod,
      deleted: (pod) => {
        phases.delete(pod.metadata.uid ?? '')
        // Gone from the API: a node that hears of it stops what still runs; a silent one does not hear of it.
        later(pod.spec?.nodeName ?? '', 0, async () => runs(pod, false))
      },
    })
    await Promise.all([watching, ...nodes.map(heartbeats)])
  }

  const registered = (async () => {
    for (let start = 0; start < nodes.length; start += 50) {
      await Promise.all(nodes.slice(start, start + 50).map((name, index) => register(name, start + index)))
    }
  })()
  return {
    registered,
    stopped: run(),
    silence: (node) => void silent.add(node),
    revive(node) {
      silent.delete(node)
      for (const again of postponed.get(node) ?? []) again()
      postponed.delete(node)
    },
  }
}
