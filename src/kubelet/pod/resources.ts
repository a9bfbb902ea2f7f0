// What pods ask for, in numbers: quality of service, cgroups, OOM scores.
import type { Container, Pod, ResourceRequirements } from '../../api/index.js'
import type { LinuxContainerResources } from '../../cri/index.js'
import type { CgroupLimits } from '../options.js'
import { isSidecar } from './containers.js'
import { amount, milli, whole } from './quantity.js'

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort'
type Amounts = Readonly<Record<string, string>>

const computes = ['cpu', 'memory'] as const
const positive = (quantity: string | undefined): boolean => quantity !== undefined && amount(quantity) > 0

/** Guaranteed: every container limits cpu and memory and asks for just that. BestEffort: nobody asks for anything. */
export function qosClassOf(pod: Pod): QosClass {
  const podLevel = pod.spec?.resources
  const all: readonly (ResourceRequirements | undefined)[] =
    podLevel && (podLevel.requests || podLevel.limits)
      ? [podLevel]
      : [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].map(({ resources }) => resources)
  const asks = all.some((resources) =>
    computes.some((name) => positive(resources?.requests?.[name]) || positive(resources?.limits?.[name])),
  )
  if (!asks) return 'BestEffort'
  const guaranteed = all.every((resources) =>
    computes.every((name) => {
      const limit = resources?.limits?.[name]
      const request = resources?.requests?.[name] ?? limit
      return positive(limit) && amount(limit) === amount(request)
    }),
  )
  return guaranteed ? 'Guaranteed' : 'Burstable'
}

/** A request that is not given is the limit. */
const requestOf = (resources: ResourceRequirements | undefined, name: string): number =>
  amount(resources?.requests?.[name] ?? resources?.limits?.[name])

type AmountOf = (resources: ResourceRequirements | undefined, name: string) => number

/** Sum over what runs together: all containers with all sidecars, or one init container with the sidecars before it. */
function effective(pod: Pod, name: string, of: AmountOf): number {
  let sidecars = 0
  let initPeak = 0
  for (const container of pod.spec?.initContainers ?? []) {
    const own = of(container.resources, name)
    if (isSidecar(container)) sidecars += own
    initPeak = Math.max(initPeak, isSidecar(container) ? sidecars : sidecars + own)
  }
  const mains = (pod.spec?.containers ?? []).reduce((sum, { resources }) => sum + of(resources, name), 0)
  return Math.max(initPeak, mains + sidecars)
}

/** What the scheduler counts for the pod, overhead included. */
export function podRequest(pod: Pod, name: string): number {
  const podLevel = pod.spec?.resources
  const own = podLevel?.requests?.[name] ?? podLevel?.limits?.[name]
  return (own === undefined ? effective(pod, name, requestOf) : amount(own)) + amount(pod.spec?.overhead?.[name])
}

/** The pod's limit, or undefined as soon as one container has none. */
export function podLimit(pod: Pod, name: string): number | undefined {
  const podLevel = pod.spec?.resources?.limits?.[name]
  const overhead = amount(pod.spec?.overhead?.[name])
  if (podLevel !== undefined) return amount(podLevel) + overhead
  const all = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])]
  if (all.some((container: Container) => !positive(container.resources?.limits?.[name]))) return undefined
  return effective(pod, name, (resources) => amount(resources?.limits?.[name])) + overhead
}

const CPU_PERIOD = 100_000
const MIN_SHARES = 2
const MIN_QUOTA = 1_000

/** cgroup v1 shares: 1024 for a whole CPU. */
export const cpuShares = (cpus: number): number => (cpus <= 0 ? MIN_SHARES : Math.max(MIN_SHARES, Math.floor(cpus * 1024)))

const cpuQuota = (cpus: number): number => Math.max(MIN_QUOTA, Math.floor((Math.ceil(cpus * 1000) * CPU_PERIOD) / 1000))

export function cgroupPathOf(pod: Pod, root: string): string {
  const qos = qosClassOf(pod)
  const parent = qos === 'Guaranteed' ? root : `${root}/${qos.toLowerCase()}`
  return `${parent}/pod${pod.metadata.uid}`
}

/** Limits of the cgroup that holds the whole pod. */
export function podCgroup(pod: Pod, pidsLimit: number): CgroupLimits {
  const cpu = podLimit(pod, 'cpu')
  const memory = podLimit(pod, 'memory')
  return {
    cpuShares: cpuShares(podRequest(pod, 'cpu')),
    ...(cpu === undefined ? {} : { cpuPeriod: CPU_PERIOD, cpuQuota: cpuQuota(cpu) }),
    ...(memory === undefined ? {} : { memoryLimitBytes: memory }),
    ...(pidsLimit > 0 ? { pidsLimit } : {}),
  }
}

const CRITICAL_PRIORITY = 2_000_000_000

/** Who dies first when memory runs out: 1000 goes first, -997 last. */
export function oomScoreAdj(pod: Pod, container: Container, memoryCapacity: number): number {
  if ((pod.spec?.priority ?? 0) >= CRITICAL_PRIORITY) return -997
  const qos = qosClassOf(pod)
  if (qos === 'Guaranteed') return -997
  if (qos === 'BestEffort') return 1000
  const request = requestOf(container.resources, 'memory')
  const score = 1000 - Math.floor((1000 * request) / Math.max(1, memoryCapacity))
  // Between the two others, whatever is asked for.
  return score < 1000 - 997 + 1 ? 3 : score === 1000 ? 999 : score
}

/** What the runtime is told for one container. */
export function containerResources(pod: Pod, container: Container, memoryCapacity: number): LinuxContainerResources {
  const { limits, requests } = container.resources ?? {}
  const cpuRequest = requests?.cpu ?? limits?.cpu
  const memory = whole(limits?.memory)
  const cpuLimit = milli(limits?.cpu) / 1000
  const huge = Object.entries(limits ?? {})
    .filter(([name]) => name.startsWith('hugepages-'))
    .map(([name, quantity]) => ({ pageSize: `${name.slice('hugepages-'.length).replace(/i$/, '')}B`, limit: whole(quantity) }))
  return {
    cpuShares: cpuShares(milli(cpuRequest) / 1000),
    ...(cpuLimit > 0 ? { cpuPeriod: CPU_PERIOD, cpuQuota: cpuQuota(cpuLimit) } : {}),
    ...(memory > 0 ? { memoryLimitInBytes: memory } : {}),
    oomScoreAdj: oomScoreAdj(pod, container, memoryCapacity),
    ...(huge.length > 0 ? { hugepageLimits: huge } : {}),
  }
}

/** The sum of amounts, name by name. */
export function addAmounts(...all: readonly (Amounts | undefined)[]): Map<string, number> {
  const sum = new Map<string, number>()
  for (const amounts of all)
    for (const [name, quantity] of Object.entries(amounts ?? {})) sum.set(name, (sum.get(name) ?? 0) + amount(quantity))
  return sum
}
