// Cluster DNS: names of Services and endpoints, answered on every node, everything else forwarded.
export { buildChain, type ChainContext } from './chain.js'
export { type ClusterView, clusterRecords } from './cluster-records.js'
export { CorefileError, defaultCorefile, parseCorefile, type ServerBlock } from './corefile.js'
export { type DnsListeners, dnsListeners } from './listeners.js'
export { type DnsMetrics, newMetrics } from './plugins/metrics.js'
export { type ClusterDnsOptions, COREFILE_CONFIGMAP, CUSTOM_CONFIGMAP, clusterView, dnsIndexes, runClusterDns } from './run.js'
export { answer, type DnsServer, serveDns } from './server.js'
export * from './types.js'
