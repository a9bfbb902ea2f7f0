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
  /** Endpoints of this node only: a local traffic policy. */
  readonly local: boolean
  /** With an external traffic policy Local: where pods and the node itself are led, who must not suffer from it. */
  readonly inside?: readonly Endpoint[]
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
  /** No two share a `frontendKey`. */
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
  a === b || (a.length === b.length && a.every((each, i) => each.ip === b[i]?.ip && each.port === b[i]?.port && each.local === b[i]?.local))

export const sameFrontend = (a: Frontend, b: Frontend): boolean =>
  a.affinitySeconds === b.affinitySeconds &&
  a.masquerade === b.masquerade &&
  a.whenEmpty === b.whenEmpty &&
  a.sourceRanges?.join() === b.sourceRanges?.join() &&
  a.local === b.local &&
  sameEndpoints(a.endpoints, b.endpoints) &&
  sameEndpoints(a.inside ?? [], b.inside ?? [])

/** UDP frontends whose flows may lead to an endpoint that is not theirs any more, as they are now: without endpoints when gone. */
export const disturbedUdp = ({ added, removed, changed }: RulesetChange): Frontend[] =>
  [...added, ...changed.map(({ after }) => after), ...removed.map((frontend) => ({ ...frontend, endpoints: [], inside: [] }))].filter(
    ({ protocol }) => protocol === 'UDP',
  )
