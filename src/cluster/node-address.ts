// Which of a machine's addresses other machines should use.
import { readFileSync } from 'node:fs'
import { hostname, networkInterfaces } from 'node:os'

/** The address of a machine without any network: a cluster of one node works all the same. On a link of our own (hosts.ts). */
export const LONE_ADDRESS = '10.254.254.1'

/** The interface of the default route with the lowest metric, from /proc/net/route. */
function defaultInterface(table: string): string | undefined {
  const routes = table
    .split('\n')
    .slice(1)
    .map((line) => line.split(/\s+/))
    .filter((fields) => fields[1] === '00000000' && fields[7] === '00000000')
    .sort((a, b) => Number(a[6]) - Number(b[6]))
  return routes[0]?.[0]
}

/** IPv4 of the default route's interface, else of the first interface that is up, else undefined (no network at all). */
export function nodeAddress(table = readFileSync('/proc/net/route', 'utf8'), interfaces = networkInterfaces()): string | undefined {
  const first = (name: string): string | undefined => interfaces[name]?.find((entry) => entry.family === 'IPv4' && !entry.internal)?.address
  const preferred = defaultInterface(table)
  if (preferred !== undefined && first(preferred) !== undefined) return first(preferred)
  return Object.keys(interfaces)
    .filter((name) => !name.startsWith('knarr')) // our own lead nowhere
    .map(first)
    .find((address) => address !== undefined)
}

/** The machine's name as Kubernetes wants it: lower case. */
export const defaultNodeName = (): string => hostname().toLowerCase()
