// What a pod asks of a node: amounts of resources and host ports. Pure.
import { type Container, type Pod, quantityMillis, quantityValue } from '../../api/index.js'

const remembered = new Map<string, number>()

export type Amounts = Readonly<Record<string, number>>

/** In the unit that the scheduler counts in: thousandths for cpu, whole units for the rest, rounded up. */
export function units(resource: string, text: string | number | undefined): number {
  if (text === undefined) return 0
  const key = resource === 'cpu' ? `${text} cpu` : String(text)
  let value = remembered.get(key)
  if (value === undefined) {
    value = resource === 'cpu' ? quantityMillis(text) : quantityValue(text)
    // The same few texts come again and again.
    if (remembered.size > 10_000) remembered.clear()
    remembered.set(key, value)
  }
  return value
}

type Mutable = Record<string, number>

const add = (into: Mutable, more: Amounts): void => {
  for (const name in more) into[name] = (into[name] ?? 0) + (more[name] ?? 0)
}

const raise = (into: Mutable, other: Amounts): void => {
  for (const name in other) into[name] = Math.max(into[name] ?? 0, other[name] ?? 0)
}

const toUnits = (map: Readonly<Record<string, string | number>> | undefined): Mutable => {
  const amounts: Mutable = {}
  for (const name in map) amounts[name] = units(name, map[name])
  return amounts
}

/** While a pod is being resized, a container holds the larger of what it has and what it asks for. */
function containerRequests(container: Container, pod: Pod): Mutable {
  const asked = toUnits(container.resources?.requests)
  const status = pod.status?.containerStatuses?.find((each) => each.name === container.name)
  if (status?.resources?.requests && pod.status?.resize !== 'Infeasible') raise(asked, toUnits(status.resources.requests))
  return asked
}

/** Containers run together; init containers one after another, beside the sidecars started before them. */
function total(pod: Pod, of: (container: Container) => Mutable): Mutable {
  const together: Mutable = {}
  for (const container of pod.spec?.containers ?? []) add(together, of(container))
  const sidecars: Mutable = {}
  const highest: Mutable = {}
  for (const container of pod.spec?.initContainers ?? []) {
    const needs = of(container)
    if (container.restartPolicy === 'Always') {
      add(together, needs)
      add(sidecars, needs)
      raise(highest, sidecars)
    } else {
      add(needs, sidecars)
      raise(highest, needs)
    }
  }
  raise(together, highest)
  return together
}

/** What the pod's containers, and the pod itself, ask for. Names with amounts above zero only. */
export function podRequests(pod: Pod): Amounts {
  const amounts = total(pod, (container) => containerRequests(container, pod))
  Object.assign(amounts, toUnits(pod.spec?.resources?.requests))
  add(amounts, toUnits(pod.spec?.overhead))
  for (const name in amounts) if (amounts[name] === 0) delete amounts[name]
  return amounts
}

/** A container that asks for nothing still uses something: counted when nodes are compared, not when they are ruled out. */
const ASSUMED = { cpu: 100, memory: 200 * 2 ** 20 }

export function scoredRequests(pod: Pod): { readonly cpu: number; readonly memory: number } {
  const amounts = total(pod, (container) => {
    const { cpu, memory } = container.resources?.requests ?? {}
    return {
      cpu: cpu === undefined ? ASSUMED.cpu : units('cpu', cpu),
      memory: memory === undefined ? ASSUMED.memory : units('memory', memory),
    }
  })
  add(amounts, toUnits(pod.spec?.overhead))
  return { cpu: amounts.cpu ?? 0, memory: amounts.memory ?? 0 }
}

export interface HostPort {
  readonly ip: string
  readonly protocol: string
  readonly port: number
}

export function hostPorts(pod: Pod): readonly HostPort[] {
  const sidecars = (pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === 'Always')
  return [...(pod.spec?.containers ?? []), ...sidecars].flatMap((container) =>
    (container.ports ?? []).flatMap(({ hostPort, hostIP, protocol }) =>
      hostPort ? [{ ip: hostIP || '0.0.0.0', protocol: protocol || 'TCP', port: hostPort }] : [],
    ),
  )
}

export const portsClash = (a: HostPort, b: HostPort): boolean =>
  a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || a.ip === '0.0.0.0' || b.ip === '0.0.0.0')
