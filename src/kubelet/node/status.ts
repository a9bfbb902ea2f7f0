// The Node object as this kubelet writes it. Pure but for what it is given.
import type { ContainerImage, Node, NodeCondition, NodeStatus } from '../../api/index.js'
import type { Image, StatusResponse, VersionResponse } from '../../cri/index.js'
import type { KubeletSettings } from '../options.js'
import type { PodsShare } from '../pod/qos.js'
import { bytesQuantity, cpuQuantity } from '../pod/quantity.js'
import { addAmounts } from '../pod/resources.js'
import type { NodeFacts } from './facts.js'
import { inWords } from './network.js'

export interface NodeInput {
  readonly name: string
  readonly version: string
  readonly facts: NodeFacts
  readonly settings: KubeletSettings
  readonly addresses: readonly string[]
  readonly port: number
  readonly runtime: VersionResponse | undefined
  readonly runtimeStatus: StatusResponse | undefined
  /** Why the runtime could not be asked. */
  readonly runtimeError: string | undefined
  readonly images: readonly Image[]
  readonly diskBytes: number
  readonly diskAvailable: number
  readonly memoryAvailable: number
  readonly processes: number
  readonly now: string
  readonly known: NodeStatus | undefined
  readonly shuttingDown: boolean
}

type Amounts = Readonly<Record<string, string>>

export function capacityOf({ facts, settings, diskBytes }: Pick<NodeInput, 'facts' | 'settings' | 'diskBytes'>): Amounts {
  return {
    cpu: String(facts.cpus),
    memory: `${Math.floor(facts.memoryBytes / 1024)}Ki`,
    pods: String(settings.maxPods),
    ...(diskBytes > 0 ? { 'ephemeral-storage': `${Math.floor(diskBytes / 1024)}Ki` } : {}),
    ...Object.fromEntries(Object.entries(facts.hugePages).map(([name, bytes]) => [name, bytesQuantity(bytes)])),
  }
}

/** What is left for pods when the machine and the daemons have had theirs. */
export function podsShare({ cpus, memoryBytes }: NodeFacts, { kubeReserved, systemReserved }: KubeletSettings): PodsShare {
  const reserved = addAmounts(kubeReserved, systemReserved)
  return {
    cpus: Math.max(0, cpus - (reserved.get('cpu') ?? 0)),
    memoryBytes: Math.max(0, memoryBytes - (reserved.get('memory') ?? 0)),
  }
}

/** Memory that is never promised: below it the kubelet would have to evict. */
const EVICTION_MEMORY = 100 * 2 ** 20
const EVICTION_DISK = 0.1

export function allocatableOf(input: Pick<NodeInput, 'facts' | 'settings' | 'diskBytes'>): Amounts {
  const reserved = addAmounts(input.settings.kubeReserved, input.settings.systemReserved)
  const capacity = capacityOf(input)
  const share = podsShare(input.facts, input.settings)
  const huge = Object.values(input.facts.hugePages).reduce((sum, bytes) => sum + bytes, 0)
  const memory = Math.max(0, share.memoryBytes - EVICTION_MEMORY - huge)
  const cpu = Math.floor(share.cpus * 1000)
  const disk = Math.max(0, input.diskBytes * (1 - EVICTION_DISK) - (reserved.get('ephemeral-storage') ?? 0))
  return {
    ...capacity,
    cpu: cpuQuantity(cpu),
    memory: `${Math.floor(memory / 1024)}Ki`,
    ...(input.diskBytes > 0 ? { 'ephemeral-storage': bytesQuantity(Math.floor(disk)) } : {}),
  }
}

const IMAGES_SHOWN = 50

const imageRows = (images: readonly Image[]): readonly ContainerImage[] =>
  [...images]
    .sort((a, b) => b.size - a.size)
    .slice(0, IMAGES_SHOWN)
    .map(({ repoTags, repoDigests, size }) => ({ names: [...repoDigests, ...repoTags].slice(0, 5), sizeBytes: size }))

/** Why the node takes no pods, or undefined. */
export function notReadyReason(input: NodeInput): string | undefined {
  if (input.runtimeError !== undefined) return `container runtime is down: ${input.runtimeError}`
  const problems = (input.runtimeStatus?.status.conditions ?? []).filter(({ status }) => !status).map(inWords)
  if (input.shuttingDown) problems.push('node is shutting down')
  return problems.length > 0 ? problems.join(', ') : undefined
}

export function conditionsOf(input: NodeInput): readonly NodeCondition[] {
  const { now, known } = input
  const why = notReadyReason(input)
  const lowMemory = input.memoryAvailable < EVICTION_MEMORY
  const lowDisk = input.diskBytes > 0 && input.diskAvailable < input.diskBytes * EVICTION_DISK
  const lowPids = input.processes > input.facts.pidMax * 0.95
  const verdicts: readonly Omit<NodeCondition, 'lastHeartbeatTime' | 'lastTransitionTime'>[] = [
    lowMemory
      ? {
          type: 'MemoryPressure',
          status: 'True',
          reason: 'KubeletHasInsufficientMemory',
          message: 'kubelet has insufficient memory available',
        }
      : {
          type: 'MemoryPressure',
          status: 'False',
          reason: 'KubeletHasSufficientMemory',
          message: 'kubelet has sufficient memory available',
        },
    lowDisk
      ? { type: 'DiskPressure', status: 'True', reason: 'KubeletHasDiskPressure', message: 'kubelet has disk pressure' }
      : { type: 'DiskPressure', status: 'False', reason: 'KubeletHasNoDiskPressure', message: 'kubelet has no disk pressure' },
    lowPids
      ? { type: 'PIDPressure', status: 'True', reason: 'KubeletHasInsufficientPID', message: 'kubelet has insufficient PID available' }
      : { type: 'PIDPressure', status: 'False', reason: 'KubeletHasSufficientPID', message: 'kubelet has sufficient PID available' },
    why === undefined
      ? { type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'kubelet is posting ready status' }
      : { type: 'Ready', status: 'False', reason: 'KubeletNotReady', message: why },
  ]
  return verdicts.map((verdict) => {
    const old = known?.conditions?.find(({ type }) => type === verdict.type)
    const same = old?.status === verdict.status
    return { ...verdict, lastHeartbeatTime: now, lastTransitionTime: (same ? old?.lastTransitionTime : undefined) ?? now }
  })
}

export function nodeStatus(input: NodeInput): NodeStatus {
  const { facts, runtime } = input
  return {
    capacity: capacityOf(input),
    allocatable: allocatableOf(input),
    conditions: conditionsOf(input),
    addresses: [...input.addresses.map((address) => ({ type: 'InternalIP', address })), { type: 'Hostname', address: input.name }],
    daemonEndpoints: { kubeletEndpoint: { Port: input.port } },
    nodeInfo: {
      machineID: facts.machineId,
      systemUUID: facts.systemUuid,
      bootID: facts.bootId,
      kernelVersion: facts.kernel,
      osImage: facts.osImage,
      containerRuntimeVersion: runtime ? `${runtime.runtimeName}://${runtime.runtimeVersion}` : '',
      kubeletVersion: input.version,
      kubeProxyVersion: '',
      operatingSystem: 'linux',
      architecture: facts.architecture,
      ...(facts.swapBytes > 0 ? { swap: { capacity: facts.swapBytes } } : {}),
    },
    images: imageRows(input.images),
    ...(input.runtimeStatus
      ? {
          runtimeHandlers: input.runtimeStatus.runtimeHandlers.map(({ name, features }) => ({ name, features })),
          features: { supplementalGroupsPolicy: input.runtimeStatus.features.supplementalGroupsPolicy },
        }
      : {}),
  }
}

/** Labels that every node carries. */
export const standardLabels = (name: string, facts: NodeFacts): Readonly<Record<string, string>> => ({
  'kubernetes.io/hostname': name,
  'kubernetes.io/os': 'linux',
  'kubernetes.io/arch': facts.architecture,
  'beta.kubernetes.io/os': 'linux',
  'beta.kubernetes.io/arch': facts.architecture,
})

export const newNode = (input: NodeInput): Node => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: {
    name: input.name,
    labels: { ...standardLabels(input.name, input.facts), ...input.settings.nodeLabels },
    annotations: { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' },
  },
  ...(input.settings.registerWithTaints.length > 0 ? { spec: { taints: input.settings.registerWithTaints } } : {}),
  status: nodeStatus(input),
})
