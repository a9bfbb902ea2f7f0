// What makes a ruleset real on a node.
import type { Ruleset, RulesetChange } from './ruleset.js'

export interface Applier {
  readonly name: 'nftables' | 'iptables' | 'userspace'
  /** Makes the kernel (or our own sockets) hold exactly `ruleset`. `change` is the way from the last one applied; absent the first time. */
  apply(ruleset: Ruleset, change?: RulesetChange): Promise<void>
  /** False when somebody else removed what we had put there: then everything is applied anew. `thorough`: a look that may cost. */
  intact(thorough: boolean): Promise<boolean>
  /** Calls back when somebody changes rules, us included: time to look whether ours are intact. Returns how to stop. */
  watch?(changed: () => void): () => void
  /** Lets go of what it holds open towards the kernel. The rules stay. */
  close?(): void
  /** Takes everything away. */
  remove(): Promise<void>
}
