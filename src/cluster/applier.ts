// Which applier makes the service ruleset real: as asked, or as the kernel allows.
import { spawnSync } from 'node:child_process'
import { type Frontend, iptablesApplier, nftablesApplier, type ProxyOptions, userspaceApplier } from '../proxy/index.js'
import { withConntrack, withNftables } from '../sys/index.js'
import { addressHost } from './hosts.js'
import type { ProxyMode } from './proxy-mode.js'
import type { ProcessContext } from './server.js'

export function chooseApplier(
  mode: ProxyMode,
  { clusterCidrs }: { readonly clusterCidrs: readonly string[] },
  { clock, random, log }: ProcessContext,
): Pick<ProxyOptions, 'applier' | 'forgetUdp'> {
  const chosen = mode === 'auto' ? best() : mode
  log.info('service proxy', { mode: chosen })
  if (chosen === 'userspace') return { applier: userspaceApplier({ clock, random, log, clusterCidrs, addresses: addressHost }) }
  return { applier: chosen === 'nftables' ? nftablesApplier({ clusterCidrs }) : iptablesApplier({ clusterCidrs }), forgetUdp }
}

/** nftables where the kernel has them, else iptables where program and kernel do, else relays of our own. */
function best(): Exclude<ProxyMode, 'auto'> {
  try {
    withNftables(undefined, (nft) => nft.tables())
    return 'nftables'
  } catch {
    return spawnSync('iptables-save', ['-t', 'nat']).status === 0 ? 'iptables' : 'userspace'
  }
}

/**
 * Takes away what an agent in another mode left behind: rules would go on leading to endpoints that are gone, and addresses of the userspace
 * mode would be answered by this machine itself. `kept`: addresses that are ours in every mode.
 */
export async function removeOtherRules(chosen: string, kept: readonly string[]): Promise<void> {
  const isOther = (mode: ProxyMode): boolean => mode !== chosen
  if (isOther('nftables') && best() === 'nftables') await nftablesApplier({ clusterCidrs: [] }).remove()
  // Only where somebody asked for the iptables mode is there something to remove, and the programs for it.
  if (isOther('iptables') && spawnSync('iptables-save', ['-t', 'nat'], { encoding: 'utf8' }).stdout?.includes('KUBE-SERVICES'))
    await iptablesApplier({ clusterCidrs: [] }).remove()
  if (isOther('userspace')) for (const ip of addressHost.list()) if (!kept.includes(ip) && !/^fe80:/i.test(ip)) await addressHost.remove(ip)
}

const UDP = 17

/**
 * Connection tracking remembers where packets of a UDP client go. Entries that lead elsewhere than a frontend does now are removed, so
 * that the next packet finds its way: to an endpoint that is gone, or to nowhere from before there was a Service.
 */
function forgetUdp(frontends: readonly Frontend[]): void {
  for (const family of ['IPv4', 'IPv6'] as const) {
    const wanted = new Map(
      frontends
        .filter((frontend) => frontend.family === family)
        .map(({ ip = '*', port, endpoints, inside = [] }) => [
          `${ip} ${port}`,
          new Set([...endpoints, ...inside].map((endpoint) => `${endpoint.ip} ${endpoint.port}`)),
        ]),
    )
    if (wanted.size === 0) continue
    withConntrack(undefined, (conntrack) =>
      conntrack.delete(family === 'IPv4' ? 4 : 6, ({ protocol, original, reply }) => {
        if (protocol !== UDP) return false
        const target = `${reply.source} ${reply.sourcePort}`
        const endpoints = wanted.get(`${original.destination} ${original.destinationPort}`)
        if (endpoints) return !endpoints.has(target)
        // A node port: what others translate on the way (outgoing connections to such a port) is not ours to cut.
        const ofNode = wanted.get(`* ${original.destinationPort}`)
        const translated = reply.source !== original.destination
        return ofNode !== undefined && !ofNode.has(target) && (translated || reply.destination === original.source)
      }),
    )
  }
}
