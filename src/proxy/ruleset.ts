// The ruleset as a value: which addresses and ports lead to which endpoints, for one node. Every applier makes the same of it.

export type Protocol = 'TCP' | 'UDP' | 'SCTP'
export type Family = 'IPv4' | 'IPv6'

export interface Endpoint {
  readonly ip: string
  readonly port: number
  /** On this node. */
  readonly local: boolean
}

/** How source addresses are treated on the way to an endpoint. `outside`: hidden unless the client is a pod of the cluster. */
export type Masquerade = 'always' | 'outside' | 'never'

/** What happens when there is no endpoint: refused at once, or (local traffic policy) dropped, so that a load balancer looks elsewhere. */
export type WhenEmpty = 'reject' | 'drop'

export interface Frontend {
  /** `namespace/name:port`, for comments and logs. */
  readonly service: string
  readonly kind: 'ClusterIP' | 'ExternalIP' | 'LoadBalancer' | 'NodePort'
  readonly family: Family
  readonly protocol: Protocol
  /** The address that is dialled; undefined for node ports: every address of the node. */
  readonly ip?: string
  readonly port: number
  readonly endpoints: readonly Endpoint[]
  /** Seconds a client stays with its endpoint (session affinity ClientIP). */
  readonly affinitySeconds?: number
  readonly masquerade: Masquerade
  readonly whenEmpty: WhenEmpty
  /** Clients that may come in; everybody when absent. */
  readonly sourceRanges?: readonly string[]
}

/** Answers to a load balancer's question whether this node has endpoints of a Service. */
export interface HealthCheck {
  readonly port: number
  readonly service: { readonly namespace: string; readonly name: string }
  readonly localEndpoints: number
}

export interface Ruleset {
  /** Sorted by `frontendKey`; no two share one. */
  readonly frontends: readonly Frontend[]
  readonly healthChecks: readonly HealthCheck[]
}

/** Names what a frontend listens on. */
export const frontendKey = ({ family, protocol, ip, port }: Pick<Frontend, 'family' | 'protocol' | 'ip' | 'port'>): string =>
  `${family} ${protocol} ${ip ?? '*'} ${port}`

export interface RulesetChange {
  readonly added: readonly Frontend[]
  readonly removed: readonly Frontend[]
  readonly changed: readonly { readonly before: Frontend; readonly after: Frontend }[]
}

const sameEndpoints = (a: readonly Endpoint[], b: readonly Endpoint[]): boolean =>
  a.length === b.length && a.every((each, i) => each.ip === b[i]?.ip && each.port === b[i]?.port && each.local === b[i]?.local)

const sameFrontend = (a: Frontend, b: Frontend): boolean =>
  a.affinitySeconds === b.affinitySeconds &&
  a.masquerade === b.masquerade &&
  a.whenEmpty === b.whenEmpty &&
  (a.sourceRanges ?? []).join() === (b.sourceRanges ?? []).join() &&
  (a.sourceRanges === undefined) === (b.sourceRanges === undefined) &&
  sameEndpoints(a.endpoints, b.endpoints)

/** What has to be done to turn one ruleset into the other. */
export function compareRulesets(before: Ruleset, after: Ruleset): RulesetChange {
  const old = new Map(before.frontends.map((frontend) => [frontendKey(frontend), frontend]))
  const added: Frontend[] = []
  const changed: { before: Frontend; after: Frontend }[] = []
  for (const frontend of after.frontends) {
    const key = frontendKey(frontend)
    const known = old.get(key)
    old.delete(key)
    if (!known) added.push(frontend)
    else if (!sameFrontend(known, frontend)) changed.push({ before: known, after: frontend })
  }
  return { added, removed: [...old.values()], changed }
}

/** UDP endpoints that were dialled through a frontend and are gone: their conntrack entries would go on swallowing packets. */
export function staleUdp(change: RulesetChange): { readonly frontend: Frontend; readonly endpoint: Endpoint }[] {
  const stale: { frontend: Frontend; endpoint: Endpoint }[] = []
  const gone = (before: Frontend, after: readonly Endpoint[]): void => {
    if (before.protocol !== 'UDP') return
    const kept = new Set(after.map(({ ip, port }) => `${ip} ${port}`))
    for (const endpoint of before.endpoints) if (!kept.has(`${endpoint.ip} ${endpoint.port}`)) stale.push({ frontend: before, endpoint })
  }
  for (const frontend of change.removed) gone(frontend, [])
  for (const { before, after } of change.changed) gone(before, after.endpoints)
  return stale
}
