// The files every container of a pod sees: /etc/hosts, /etc/hostname, /etc/resolv.conf. Their texts are pure.
import { invalid } from './errors.js'
import type { DNSConfig } from './types.js'

/** resolv.conf(5); undefined when nothing is asked for and the host's is to be used. */
export function resolvConf(dns: DNSConfig | undefined): string | undefined {
  const { servers = [], searches = [], options = [] } = dns ?? {}
  if (!dns || servers.length + searches.length + options.length === 0) return undefined
  for (const word of [...servers, ...searches, ...options])
    if (/\s/.test(word) || word === '') throw invalid(`dns configuration: ${JSON.stringify(word)} has a space in it or is empty`)
  const lines = [
    ...(searches.length > 0 ? [`search ${searches.join(' ')}`] : []),
    ...servers.map((server) => `nameserver ${server}`),
    ...(options.length > 0 ? [`options ${options.join(' ')}`] : []),
  ]
  return `${lines.join('\n')}\n`
}

/** hosts(5) of a pod with its own network. */
export function hostsFile(hostname: string, ips: readonly string[]): string {
  const lines = [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::0\tip6-localnet',
    'fe00::0\tip6-mcastprefix',
    'fe00::1\tip6-allnodes',
    'fe00::2\tip6-allrouters',
    ...ips.map((ip) => `${ip}\t${hostname}`),
  ]
  return `${lines.join('\n')}\n`
}
