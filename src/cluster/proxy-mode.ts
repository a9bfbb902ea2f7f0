// How Services are made on a node.
export type ProxyMode = 'auto' | 'nftables' | 'iptables' | 'userspace'
export const proxyModes: readonly ProxyMode[] = ['auto', 'nftables', 'iptables', 'userspace']
