// Registers the node, keeps its status and its Lease fresh.
import { promises as fs } from 'node:fs'
import { Lease, Node, type NodeCondition, type NodeStatus } from '../../api/index.js'
import type { Client } from '../../client/index.js'
import type { Cri, StatusResponse, VersionResponse } from '../../cri/index.js'
import { type Clock, explain, isStatus, type Logger, rfc3339, rfc3339Micro, sleep } from '../../lib/index.js'
import type { KubeletSettings } from '../options.js'
import { memoryAvailable, type NodeFacts, processCount } from './facts.js'
import { type NodeInput, newNode, nodeStatus, standardLabels } from './status.js'

export interface HeartbeatOptions {
  readonly client: Client
  readonly cri: Cri
  readonly clock: Clock
  readonly log: Logger
  readonly name: string
  readonly version: string
  readonly facts: NodeFacts
  readonly settings: KubeletSettings
  readonly addresses: readonly string[]
  readonly port: () => number
  readonly root: string
  /** The node as the API has it, when known. */
  readonly current: () => Node | undefined
  readonly changed: (node: Node) => void
  /** For people who describe the node. */
  readonly event: (reason: string, message: string) => void
}

export interface Heartbeat {
  /** Asks runtime and machine; registers or updates the Node. Throws when the API server cannot be reached. */
  report(): Promise<void>
  /** Status and lease, until aborted. */
  run(signal: AbortSignal): Promise<void>
  shuttingDown(): void
  readonly runtime: VersionResponse | undefined
  /** What a pod may count on, also before the first report. */
  readonly status: NodeStatus | undefined
}

const LEASE_NAMESPACE = 'kube-node-lease'
/** Between looks at a node that is not Ready. */
const NOT_READY_MS = 250

/** What has to be told at once, as opposed to times and free space. */
const substance = ({ conditions, ...rest }: NodeStatus): string =>
  JSON.stringify([rest, conditions?.map(({ type, status, reason, message }) => [type, status, reason, message])])

/** `KubeletHasSufficientMemory` is told as `NodeHasSufficientMemory`. */
const conditionEvent = ({ type, status, reason = '' }: NodeCondition): string =>
  type === 'Ready' ? (status === 'True' ? 'NodeReady' : 'NodeNotReady') : reason.replace(/^Kubelet/, 'Node')

export function createHeartbeat(options: HeartbeatOptions): Heartbeat {
  const { client, cri, clock, log, name, settings, facts } = options
  let runtime: VersionResponse | undefined
  let last: NodeStatus | undefined
  let lastReport = Number.NEGATIVE_INFINITY
  let closing = false
  let lease: Lease | undefined

  async function gather(): Promise<NodeInput> {
    let runtimeStatus: StatusResponse | undefined
    let runtimeError: string | undefined
    try {
      runtime ??= await cri.version()
      runtimeStatus = await cri.status()
    } catch (error) {
      runtimeError = explain(error)
    }
    const images = await cri.listImages().catch(() => [])
    const disk = await fs.statfs(options.root).catch(() => undefined)
    return {
      name,
      version: options.version,
      facts,
      settings,
      addresses: options.addresses,
      port: options.port(),
      runtime,
      runtimeStatus,
      runtimeError,
      images,
      diskBytes: disk ? disk.blocks * disk.bsize : 0,
      diskAvailable: disk ? disk.bavail * disk.bsize : 0,
      memoryAvailable: memoryAvailable(),
      processes: processCount(),
      now: rfc3339(clock.now()),
      known: options.current()?.status ?? last,
      shuttingDown: closing,
    }
  }

  /** With its status: nobody sees a node of which nothing is known. `before`: what was known of it. */
  async function register(input: NodeInput): Promise<{ readonly node: Node; readonly before: NodeStatus | undefined }> {
    try {
      return { node: await client.create(Node, newNode(input)), before: undefined }
    } catch (error) {
      if (!isStatus(error, 'AlreadyExists')) throw error
    }
    const existing = await client.get(Node, { name })
    const wanted = { ...standardLabels(name, facts), ...settings.nodeLabels }
    const missing = Object.entries(wanted).some(([key, value]) => existing.metadata.labels?.[key] !== value)
    const node = missing ? await client.patch(Node, { name }, { metadata: { labels: wanted } }, { type: 'merge' }) : existing
    return { node, before: node.status }
  }

  async function find(input: NodeInput): Promise<{ readonly node: Node; readonly before: NodeStatus | undefined }> {
    const current = options.current()
    if (!current && settings.registerNode) return register(input)
    const node = current ?? (await client.get(Node, { name }))
    return { node, before: node.status }
  }

  function announce(before: NodeStatus | undefined, now: NodeStatus): void {
    const boot = before?.nodeInfo?.bootID
    if (boot && boot !== facts.bootId) options.event('Rebooted', `Node ${name} has been rebooted, boot id: ${facts.bootId}`)
    for (const condition of now.conditions ?? []) {
      if (before?.conditions?.find(({ type }) => type === condition.type)?.status === condition.status) continue
      const reason = conditionEvent(condition)
      options.event(reason, `Node ${name} status is now: ${reason}`)
    }
  }

  async function report(): Promise<void> {
    const input = await gather()
    const { node, before } = await find(input)
    const status = nodeStatus({ ...input, known: node.status ?? input.known })
    const due = clock.monotonic() - lastReport >= settings.nodeStatusReportFrequencyMs
    if (!due && last && substance(last) === substance(status)) return
    const addresses = [{ $patch: 'replace' }, ...(status.addresses ?? [])]
    const patched = await client.patch(Node, { name }, { status: { ...status, addresses } }, { type: 'strategic', subresource: 'status' })
    announce(last ?? before, status)
    last = status
    lastReport = clock.monotonic()
    options.changed(patched)
  }

  async function renew(): Promise<void> {
    const renewTime = rfc3339Micro(clock.now())
    const node = options.current()
    const spec = { holderIdentity: name, leaseDurationSeconds: settings.nodeLeaseDurationSeconds, renewTime }
    const owner = node?.metadata.uid
    const metadata = {
      name,
      namespace: LEASE_NAMESPACE,
      ...(owner ? { ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid: owner }] } : {}),
    }
    try {
      lease ??= await client.find(Lease, { namespace: LEASE_NAMESPACE, name })
      lease = lease
        ? await client.update(Lease, { ...lease, metadata: { ...lease.metadata, ...metadata }, spec: { ...lease.spec, ...spec } })
        : await client.create(Lease, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec })
    } catch (error) {
      lease = undefined
      throw error
    }
  }

  /** What a node lacks may come at any moment. */
  const statusMs = (): number => {
    const ready = last?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True')
    return ready ? settings.nodeStatusUpdateFrequencyMs : Math.min(settings.nodeStatusUpdateFrequencyMs, NOT_READY_MS)
  }

  async function repeat(what: string, pauseMs: () => number, task: () => Promise<void>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let wait: number
      try {
        await task()
        wait = pauseMs()
      } catch (error) {
        if (signal.aborted) return
        log.warn('heartbeat failed', { what, err: error })
        wait = Math.min(pauseMs(), 1_000)
      }
      await sleep(clock, wait, signal).catch(() => {})
    }
  }

  return {
    report,
    async run(signal) {
      const leaseMs = (settings.nodeLeaseDurationSeconds * 1000) / 4
      await Promise.all([repeat('status', statusMs, report, signal), repeat('lease', () => leaseMs, renew, signal)])
    },
    shuttingDown() {
      closing = true
    },
    get runtime() {
      return runtime
    },
    get status() {
      return last
    },
  }
}
