// nftables: rulesets as values, applied in transactions.
export {
  type ListedChain,
  type ListedRule,
  type ListedSet,
  Nftables,
  type NftablesOptions,
  watchNftables,
  withNftables,
} from './nftables.js'
export * from './vocabulary.js'
