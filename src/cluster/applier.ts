// Which applier makes the service ruleset real: as asked, or as the kernel allows.
import { spawnSync } from 'node:child_process'
import { type Endpoint, type Frontend, iptablesApplier, nftablesApplier, type ProxyOptions, userspaceApplier } from '../proxy/index.js'
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
  if (chosen === 'userspace') return { applier: userspaceApplier({ clock, random, log, addresses: addressHost }) }
  return { applier: chosen === 'nftables' ? nftablesApplier({ clusterCidrs }) : iptablesApplier({ clusterCidrs }), forgetUdp }
}

/** nftables where the kernel has them, else iptables where the programs are, else relays of our own. */
function best(): Exclude<ProxyMode, 'auto'> {
  try {
    withNftables(undefined, (nft) => nft.tables())
    return 'nftables'
  } catch {
    return spawnSync('iptables-restore', ['--version']).status === 0 ? 'iptables' : 'userspace'
  }
}

const UDP = 17

/** Connection tracking remembers where packets of a UDP client go: entries to an endpoint that is gone are removed, so that the next packet finds another. */
function forgetUdp(frontend: Frontend, endpoint: Endpoint): void {
  withConntrack(undefined, (conntrack) =>
    conntrack.delete(
      frontend.family === 'IPv4' ? 4 : 6,
      ({ protocol, original, reply }) =>
        protocol === UDP &&
        original.destinationPort === frontend.port &&
        (frontend.ip === undefined || original.destination === frontend.ip) &&
        reply.source === endpoint.ip,
    ),
  )
}
