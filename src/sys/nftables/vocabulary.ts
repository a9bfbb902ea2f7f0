// The words of nftables rulesets as values: tables, chains, sets and maps, rules, and the changes of one transaction.
// Everything here is plain data: a ruleset can be compared, printed and tested without a kernel.

export type NftFamily = 'inet' | 'ip' | 'ip6' | 'arp' | 'bridge' | 'netdev'

export interface NftTable {
  readonly family: NftFamily
  readonly name: string
}

export interface NftHook {
  readonly type: 'filter' | 'nat' | 'route'
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting' | 'ingress'
  /** `raw` -300, `mangle` -150, `dstnat` -100, `filter` 0, `security` 50, `srcnat` 100, or a number. */
  readonly priority: number
  readonly policy?: 'accept' | 'drop'
}

export const PRIORITY = { raw: -300, mangle: -150, dstnat: -100, filter: 0, security: 50, srcnat: 100 } as const

export interface NftChain {
  readonly table: NftTable
  readonly name: string
  /** Absent: a chain that others jump to. */
  readonly hook?: NftHook
}

/** Types of values in keys and data. `mark` is any 32-bit number of the machine: marks, slots of numgen and hashes. */
export type NftType = 'ipv4_addr' | 'ipv6_addr' | 'inet_proto' | 'inet_service' | 'mark' | 'ifname' | 'ether_addr' | 'nf_proto'

/** A set, or with `data` a map. Several types make a concatenation. */
export interface NftSet {
  readonly table: NftTable
  readonly name: string
  readonly key: readonly NftType[]
  readonly data?: readonly NftType[] | 'verdict'
  /** Keys are ranges or prefixes. */
  readonly interval?: boolean
  /** Rules may add elements. */
  readonly dynamic?: boolean
  /** Elements may expire; those without a time of their own after this. */
  readonly timeoutMs?: number
  readonly hasTimeout?: boolean
  /** Most elements; needed for dynamic sets. */
  readonly size?: number
}

/** `10.0.0.1`, `tcp` or 6, 80, `eth0`; in interval sets also `10.0.0.0/8` and `{from, to}`. */
export type NftValue = string | number | { readonly from: string | number; readonly to: string | number }

export type NftVerdict = 'accept' | 'drop' | 'return' | 'continue' | { readonly jump: string } | { readonly goto: string }

export interface NftElement {
  readonly key: readonly NftValue[]
  readonly data?: readonly (string | number)[] | NftVerdict
  readonly timeoutMs?: number
  /** Up to 127 bytes, kept by the kernel and listed again. */
  readonly comment?: string
}

/** Where a value comes from. */
export type NftField =
  | 'meta l4proto'
  | 'meta nfproto'
  | 'meta mark'
  | 'meta iifname'
  | 'meta oifname'
  | 'ip saddr'
  | 'ip daddr'
  | 'ip6 saddr'
  | 'ip6 daddr'
  | 'th sport'
  | 'th dport'
  | 'ct state'
  | 'ct status'
  | 'ct mark'
  | 'ct direction'
  /** Addresses and port of the connection's first packet, before any translation. */
  | 'ct original ip saddr'
  | 'ct original ip daddr'
  | 'ct original ip6 saddr'
  | 'ct original ip6 daddr'
  | 'ct original proto-dst'
  | 'fib daddr type'
  | 'fib saddr type'
  /** Slot of a load balancer: `offset` (0) to offset + modulus - 1. */
  | { readonly numgen: 'random' | 'inc'; readonly modulus: number; readonly offset?: number }
  | { readonly jhash: readonly NftField[]; readonly modulus: number; readonly seed?: number }

/** Numbers of `ct state`, `ct status` and address types, for masks. */
export const CT_STATE = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const
export const CT_STATUS = { snat: 16, dnat: 32 } as const
export const ADDRESS_TYPE = { unicast: 1, local: 2, broadcast: 3, multicast: 5 } as const

export type NftOperator = '==' | '!=' | '<' | '<=' | '>' | '>='

/** A place that looks data up: a map with the fields of its key. */
export interface NftMapLookup {
  readonly map: NftSet
  readonly key: readonly NftField[]
}

/** One step of a rule. A match that fails ends the rule. */
export type NftStatement =
  /** `value` of an address may be a prefix. With `mask` the field is masked first. */
  | { readonly match: NftField; readonly op?: NftOperator; readonly value: string | number; readonly mask?: number }
  | { readonly match: NftField; readonly from: string | number; readonly to: string | number; readonly invert?: boolean }
  | { readonly lookup: readonly NftField[]; readonly set: NftSet; readonly invert?: boolean }
  | { readonly vmap: NftMapLookup }
  /** To an address and port, or to what a map of `[address]` or `[address, inet_service]` says. */
  | { readonly dnat: { readonly address: string; readonly port?: number } | NftMapLookup }
  | { readonly snat: { readonly address: string } | NftMapLookup }
  | { readonly masquerade: { readonly fullyRandom?: boolean } }
  | { readonly redirect: { readonly port: number } }
  /** mark = (mark & ~mask) | value; without `mask` the whole mark. */
  | { readonly setMark: { readonly value: number; readonly mask?: number } }
  | { readonly setCtMark: { readonly value: number; readonly mask?: number } }
  /** The packet's mark taken from, or saved to, its connection. */
  | { readonly restoreMark: true }
  | { readonly saveMark: true }
  /** Adds the key, or starts its time anew (`update`); with `data` into a map: fields, or what a map says. */
  | {
      readonly update: NftSet
      readonly key: readonly NftField[]
      readonly op?: 'add' | 'update' | 'delete'
      readonly data?: readonly NftField[] | NftMapLookup
      readonly timeoutMs?: number
    }
  | { readonly reject: 'tcp reset' | 'port-unreachable' | 'host-unreachable' | 'no-route' | 'admin-prohibited' }
  | { readonly verdict: NftVerdict }
  | { readonly counter: true }
  | { readonly notrack: true }
  | { readonly limit: { readonly perSecond: number; readonly burst?: number } }
  | { readonly log: { readonly prefix: string } }

export interface NftRule {
  readonly chain: NftChain
  readonly statements: readonly NftStatement[]
  readonly comment?: string
}

/** One change; a list of them is a transaction: all or nothing. */
export type NftChange =
  | { readonly do: 'add table' | 'delete table' | 'flush table'; readonly table: NftTable }
  | { readonly do: 'add chain' | 'delete chain' | 'flush chain'; readonly chain: NftChain }
  | { readonly do: 'add rule'; readonly rule: NftRule; readonly first?: boolean }
  | { readonly do: 'delete rule'; readonly chain: NftChain; readonly handle: bigint }
  | { readonly do: 'add set' | 'delete set' | 'flush set'; readonly set: NftSet }
  | { readonly do: 'add elements' | 'delete elements'; readonly set: NftSet; readonly elements: readonly NftElement[] }

/** The table made anew: what was in it goes, also when it was not there. */
export const renewTable = (table: NftTable): readonly NftChange[] => [
  { do: 'add table', table },
  { do: 'delete table', table },
  { do: 'add table', table },
]

/** The table away, also when it was not there. */
export const dropTable = (table: NftTable): readonly NftChange[] => [
  { do: 'add table', table },
  { do: 'delete table', table },
]
