// Firewalls of others that let nothing through the machine (Docker sets such a policy, ufw too) are told to let pods through.
import { asError, type Clock, type Logger, type Timer } from '../lib/index.js'
import { type Nftables, type NftChain, type NftChange, watchNftables, withNftables } from '../sys/index.js'

const COMMENT = 'knarr: pods'
/** Many transactions may follow each other. */
const PATIENCE_MS = 500

/** The chain that iptables(8) knows as FORWARD, for IPv4 and IPv6. */
const chainOf = (family: 'ip' | 'ip6'): NftChain => ({ table: { family, name: 'filter' }, name: 'FORWARD' })

/** What has to be added so that packets from and to these networks pass; nothing where nobody would drop them. */
function missing(nft: Nftables, cidrs: readonly string[]): readonly NftChange[] {
  return cidrs.flatMap((cidr): readonly NftChange[] => {
    const family = cidr.includes(':') ? 'ip6' : 'ip'
    const chain = chainOf(family)
    if (!nft.hasTable(chain.table)) return []
    // The chains last: there are tens of thousands where the services are iptables'.
    if (nft.rules(chain.table, chain.name).some(({ comment }) => comment === COMMENT)) return []
    if (!nft.chains(chain.table).some(({ name, hook }) => name === chain.name && hook?.policy === 'drop')) return []
    return (['saddr', 'daddr'] as const).map((end) => ({
      do: 'add rule',
      first: true,
      rule: { chain, comment: COMMENT, statements: [{ match: `${family} ${end}`, value: cidr }, { verdict: 'accept' }] },
    }))
  })
}

/** Now, and whenever somebody changes the machine's rules; a kernel without nftables is none of our business here. */
export function letPodsThrough(
  cidrs: readonly string[],
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  signal: AbortSignal,
): void {
  let timer: Timer | undefined
  const look = (): void => {
    timer = undefined
    try {
      withNftables(undefined, (nft) => {
        const changes = missing(nft, cidrs)
        if (changes.length === 0) return
        nft.apply(changes)
        log.info('the firewall of this machine lets nothing through: pods are let through', { cidrs })
      })
    } catch (error) {
      log.warn('pods may not get through the firewall of this machine', { err: asError(error) })
    }
  }
  look()
  let stop = (): void => {}
  try {
    stop = watchNftables(() => {
      timer ??= clock.after(PATIENCE_MS, look)
    })
  } catch (error) {
    log.info('nobody watches the firewall of this machine', { err: asError(error) })
  }
  signal.addEventListener(
    'abort',
    () => {
      stop()
      timer?.cancel()
    },
    { once: true },
  )
}

/** Takes the rules away again. */
export const forgetForwarding = (): void =>
  withNftables(undefined, (nft) => {
    for (const family of ['ip', 'ip6'] as const) {
      const chain = chainOf(family)
      if (!nft.hasTable(chain.table)) continue
      const ours = nft.rules(chain.table, chain.name).filter(({ comment }) => comment === COMMENT)
      nft.apply(ours.map(({ handle }) => ({ do: 'delete rule', chain, handle })))
    }
  })
