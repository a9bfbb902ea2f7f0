// Runs inside a network namespace: applies each ruleset that comes in on standard input as a line of JSON, and says when it is in force.
import { createInterface } from 'node:readline'
import { addressHost } from '../../src/cluster/hosts.js'
import { silentLog, systemClock, systemRandom } from '../../src/lib/index.js'
import { type Applier, compareRulesets, iptablesApplier, nftablesApplier, type Ruleset, userspaceApplier } from '../../src/proxy/index.js'

const clusterCidrs = ['10.244.0.0/16']
const appliers: Readonly<Record<string, () => Applier>> = {
  nftables: () => nftablesApplier({ clusterCidrs }),
  iptables: () => iptablesApplier({ clusterCidrs }),
  userspace: () => userspaceApplier({ clock: systemClock, random: systemRandom, log: silentLog, addresses: addressHost }),
}
const applier = appliers[process.argv[2] ?? '']?.()
if (!applier) throw new Error('usage: driver nftables|iptables|userspace')

let before: Ruleset | undefined
process.stdout.write('ready\n')
for await (const line of createInterface({ input: process.stdin })) {
  try {
    if (line === 'intact') process.stdout.write(`${await applier.intact()}\n`)
    else if (line === 'remove') {
      await applier.remove()
      before = undefined
      process.stdout.write('ok\n')
    } else {
      const next = JSON.parse(line) as Ruleset
      await applier.apply(next, before ? compareRulesets(before, next) : undefined)
      before = next
      process.stdout.write('ok\n')
    }
  } catch (error) {
    process.stdout.write(`error ${String(error)}\n`)
  }
}
process.exit(0)
