// The resolv.conf of a pod, from its dnsPolicy and dnsConfig.
import type { Pod } from '../../api/index.js'
import type { DNSConfig } from '../../cri/index.js'

export interface ResolverConfig {
  readonly servers: readonly string[]
  readonly searches: readonly string[]
  readonly options: readonly string[]
}

/** resolv.conf(5). The last `search` line counts; `#` and `;` begin comments. */
export function parseResolvConf(text: string): ResolverConfig {
  const servers: string[] = []
  let searches: readonly string[] = []
  const options: string[] = []
  for (const line of text.split('\n')) {
    const [word, ...rest] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/)
    if (word === 'nameserver' && rest[0]) servers.push(rest[0])
    else if (word === 'search') searches = rest.map((name) => (name === '.' ? name : name.replace(/\.$/, '')))
    else if (word === 'options') options.push(...rest)
  }
  return { servers, searches, options }
}

export interface DnsContext {
  readonly host: ResolverConfig
  readonly clusterDns: readonly string[]
  readonly clusterDomain: string
}

const unique = (list: readonly string[]): readonly string[] => [...new Set(list)]

/** Limits of resolvers and of Kubernetes. */
const MAX_SERVERS = 3
const MAX_SEARCHES = 32

function base(pod: Pod, { host, clusterDns, clusterDomain }: DnsContext): ResolverConfig {
  const policy = pod.spec?.dnsPolicy ?? 'ClusterFirst'
  if (policy === 'None') return { servers: [], searches: [], options: [] }
  const usesCluster = policy === 'ClusterFirstWithHostNet' || (policy === 'ClusterFirst' && !pod.spec?.hostNetwork)
  // Without a cluster resolver the pod gets the node's, rather than none.
  if (!usesCluster || clusterDns.length === 0) return host
  const own = clusterDomain ? [`${pod.metadata.namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain] : []
  return { servers: clusterDns, searches: unique([...own, ...host.searches]), options: ['ndots:5'] }
}

export function dnsConfigOf(pod: Pod, context: DnsContext): DNSConfig {
  const { servers, searches, options } = base(pod, context)
  const own = pod.spec?.dnsConfig
  const merged = new Map(options.map((option) => [option.split(':')[0] ?? option, option]))
  for (const { name = '', value } of own?.options ?? []) merged.set(name, value ? `${name}:${value}` : name)
  return {
    servers: unique([...servers, ...(own?.nameservers ?? [])]).slice(0, MAX_SERVERS),
    searches: unique([...searches, ...(own?.searches ?? [])]).slice(0, MAX_SEARCHES),
    options: [...merged.values()],
  }
}
