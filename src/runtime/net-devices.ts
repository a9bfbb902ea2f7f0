// Links of the host's that the spec gives to a container (runtime-spec config-linux.md, network devices).
import { withNetwork } from '../sys/index.js'
import type { Spec } from './spec.js'

/** Moves each into the network namespace of `pid`, under its new name, with the addresses that are good everywhere, and up. */
export function moveNetDevices(spec: Spec, pid: number): void {
  for (const [name, { name: renamed }] of Object.entries(spec.linux?.netDevices ?? {})) moveNetDevice(name, renamed || name, pid)
}

function moveNetDevice(name: string, inside: string, pid: number): void {
  const namespace = `/proc/${pid}/ns/net`
  const addresses = withNetwork(undefined, (host) => {
    const { index } = host.link(name)
    // The kernel takes them away with the move, IPv6 ones already when the link goes down.
    const kept = host.addresses(index).filter(({ link, scope, permanent }) => link === index && permanent && scope === 'universe')
    host.setLink(index, { up: false })
    host.setLink(index, { namespace, name: inside })
    return kept
  })
  withNetwork(namespace, (container) => {
    const { index } = container.link(inside)
    for (const { address } of addresses) container.addAddress({ link: index, address })
    container.setLink(index, { up: true })
  })
}

export const hasNetDevices = (spec: Spec): boolean => Object.keys(spec.linux?.netDevices ?? {}).length > 0
