// The kernel's network through netlink: links, addresses, routes, neighbours, rules, namespaces.
export * from './ip.js'
export type { BridgePortSettings, BridgeVlan, Link, LinkSettings, LinkStatistics, MacvlanMode, NewLink } from './links.js'
export { createNetworkNamespace, inNetworkNamespace, removeNetworkNamespace } from './namespace.js'
export type {
  Address,
  ForwardingEntry,
  ListedAddress,
  ListedForwarding,
  ListedNeighbour,
  ListedRoute,
  Neighbour,
  NeighbourState,
  Route,
  RouteType,
  RoutingRule,
  Scope,
} from './routes.js'
export { TABLE_MAIN } from './routes.js'
export { Network, type NetworkChange, type NetworkOptions, watchNetwork, withNetwork } from './rtnetlink.js'
export { NetlinkError } from './socket.js'
