// The service proxy: cluster IPs, node ports and external addresses of Services lead to their endpoints.
export type { Applier } from './applier.js'
export { type IptablesOptions, iptablesApplier, iptablesRules } from './iptables.js'
export { type NftablesOptions, nftablesApplier, nftablesRules } from './nftables.js'
export { planRuleset } from './plan.js'
export * from './ruleset.js'
export { type ProxyOptions, runProxy } from './run.js'
export { type AddressHost, type UserspaceOptions, userspaceApplier } from './userspace.js'
