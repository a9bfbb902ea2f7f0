// Which pods of a Service can be reached, where, and in which state. Pure.
import { mapSelector, type Pod, type Service, type ServicePort } from '../../../api/index.js'
import { isDeleting } from '../objects.js'
import { isFinished, isReady } from '../pods.js'

export interface PodEndpoint {
  readonly pod: Pod
  readonly addresses: readonly string[]
  readonly ready: boolean
  readonly serving: boolean
  readonly terminating: boolean
  readonly hostname: string | undefined
}

export interface ResolvedPort {
  readonly name: string
  readonly port: number
  readonly protocol: string
  readonly appProtocol?: string | undefined
}

export const familyOf = (address: string): 'IPv4' | 'IPv6' => (address.includes(':') ? 'IPv6' : 'IPv4')

export const addressesOf = (pod: Pod, family: string): readonly string[] => {
  const all = pod.status?.podIPs?.map((entry) => entry.ip) ?? (pod.status?.podIP ? [pod.status.podIP] : [])
  return all.filter((address) => familyOf(address) === family)
}

/** A terminating pod still serves while it is ready; one that has ended serves nobody. */
export function podEndpoint(service: Service, pod: Pod, family: string): PodEndpoint | undefined {
  const addresses = addressesOf(pod, family)
  if (addresses.length === 0 || isFinished(pod)) return undefined
  const serving = isReady(pod)
  const terminating = isDeleting(pod)
  const publishes = service.spec?.publishNotReadyAddresses === true
  const { hostname, subdomain } = pod.spec ?? {}
  return {
    pod,
    addresses,
    serving,
    terminating,
    ready: publishes || (serving && !terminating),
    hostname: hostname && subdomain === service.metadata.name ? hostname : undefined,
  }
}

/** A named target port is looked up in the pod's containers; undefined when the pod has no such port. */
export function resolvePort(port: ServicePort, pod: Pod): ResolvedPort | undefined {
  const target = port.targetPort ?? port.port
  const protocol = port.protocol ?? 'TCP'
  const rest = { name: port.name ?? '', protocol, ...(port.appProtocol ? { appProtocol: port.appProtocol } : {}) }
  if (typeof target === 'number') return { ...rest, port: target === 0 ? port.port : target }
  const sidecars = (pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === 'Always')
  for (const container of [...(pod.spec?.containers ?? []), ...sidecars]) {
    const found = container.ports?.find((candidate) => candidate.name === target && (candidate.protocol ?? 'TCP') === protocol)
    if (found) return { ...rest, port: found.containerPort }
  }
  return undefined
}

export function resolvePorts(service: Service, pod: Pod): readonly ResolvedPort[] {
  return (service.spec?.ports ?? []).flatMap((port) => resolvePort(port, pod) ?? [])
}

/** A Service without a selector, or with an empty one, chooses no pods. */
export function serves(service: Service, pod: Pod): boolean {
  const { requirements, matches } = mapSelector(service.spec?.selector)
  return requirements.length > 0 && matches(pod.metadata.labels)
}

/** Keys of the Services that a change of this pod concerns: those that select its labels, now or before. */
export function servicesOf(services: readonly Service[], pod: Pod, previous: Pod | undefined): string[] {
  return services
    .filter((service) => serves(service, pod) || (previous !== undefined && serves(service, previous)))
    .map((service) => `${service.metadata.namespace}/${service.metadata.name}`)
}
