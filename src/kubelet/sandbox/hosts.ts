// The pod's names, and the /etc/hosts that its containers share.
import type { Pod } from '../../api/index.js'

const LONGEST_HOSTNAME = 63

/** `spec.hostname` or the pod's name, cut to what the kernel and DNS take. */
export function shortHostname(pod: Pod): string {
  const wanted = pod.spec?.hostname || pod.metadata.name
  return wanted.length <= LONGEST_HOSTNAME ? wanted : wanted.slice(0, LONGEST_HOSTNAME).replace(/[-.]+$/, '')
}

/** `host.subdomain.namespace.svc.domain`, or '' for a pod without subdomain. */
export const domainOf = (pod: Pod, clusterDomain: string): string =>
  pod.spec?.subdomain ? `${pod.spec.subdomain}.${pod.metadata.namespace}.svc.${clusterDomain}` : ''

/** What uname tells inside. Throws when a name that was asked for does not fit. */
export function hostnameOf(pod: Pod, clusterDomain: string): string {
  if (pod.spec?.hostnameOverride) return pod.spec.hostnameOverride
  const short = shortHostname(pod)
  const domain = domainOf(pod, clusterDomain)
  if (!pod.spec?.setHostnameAsFQDN || !domain) return short
  const fqdn = `${short}.${domain}`
  if (fqdn.length > 64)
    throw new Error(
      `failed to construct FQDN from pod hostname and cluster domain, FQDN ${fqdn} is too long (64 characters is the max, ${fqdn.length} characters requested)`,
    )
  return fqdn
}

const aliases = (pod: Pod): string => {
  const list = pod.spec?.hostAliases ?? []
  if (list.length === 0) return ''
  return `\n# Entries added by HostAliases.\n${list.map(({ ip, hostnames = [] }) => `${[ip, ...hostnames].join('\t')}\n`).join('')}`
}

/** The file of a pod with a network of its own. */
export function hostsFile(pod: Pod, ips: readonly string[], clusterDomain: string): string {
  const lines = [
    '# Kubernetes-managed hosts file.',
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::0\tip6-localnet',
    'fe00::0\tip6-mcastprefix',
    'fe00::1\tip6-allnodes',
    'fe00::2\tip6-allrouters',
  ]
  const host = pod.spec?.hostnameOverride ?? shortHostname(pod)
  const domain = pod.spec?.hostnameOverride ? '' : domainOf(pod, clusterDomain)
  for (const ip of ips) lines.push(domain ? `${ip}\t${host}.${domain}\t${host}` : `${ip}\t${host}`)
  return `${lines.join('\n')}\n${aliases(pod)}`
}

/** The file of a pod in the node's network: the node's own, marked. */
export const nodeHostsFile = (pod: Pod, ofNode: string): string =>
  `# Kubernetes-managed hosts file (host network).\n${ofNode}${aliases(pod)}`
