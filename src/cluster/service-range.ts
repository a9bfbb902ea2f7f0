// Addresses with a meaning inside the Service range: the first is the API server's, the tenth the cluster DNS's.
import { BlockList, isIPv4 } from 'node:net'
import { isCidr } from '../api/index.js'

/** The address `index` places behind the start of an IPv4 range such as `10.96.0.0/12`; throws for what is no range. */
export function addressInRange(cidr: string, index: number): string {
  const [address = '', bits = ''] = cidr.split('/')
  const prefix = Number(bits)
  if (!isIPv4(address) || !Number.isInteger(prefix) || prefix < 8 || prefix > 28)
    throw new Error(`"${cidr}" is no usable IPv4 range: write it as 10.96.0.0/16`)
  const number = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
  const size = 2 ** (32 - prefix)
  const start = number - (number % size)
  if (index >= size) throw new Error(`${cidr} has no address number ${index}`)
  const found = start + index
  return [24, 16, 8, 0].map((shift) => Math.floor(found / 2 ** shift) % 256).join('.')
}

/** The range of the cluster's own family; with two families the other one stands behind a comma. */
function ownRange(serviceCidr: string): string {
  const [own = '', other, more] = serviceCidr.split(',')
  if (more !== undefined || (other !== undefined && !(isCidr(other) && other.includes(':'))))
    throw new Error(`"${serviceCidr}" is no range, and no pair of ranges: write it as 10.96.0.0/16 or 10.96.0.0/16,fd96::/112`)
  return own
}
export const kubernetesServiceIp = (serviceCidr: string): string => addressInRange(ownRange(serviceCidr), 1)
export const clusterDnsIp = (serviceCidr: string): string => addressInRange(ownRange(serviceCidr), 10)

/** The ranges of the pod network, `10.244.0.0/16` or one of each family behind a comma; none for `''`. Throws when they are none. */
export function podRanges(clusterCidr: string, serviceCidr: string): readonly string[] {
  const ranges = clusterCidr === '' ? [] : clusterCidr.split(',')
  const families = new Set(ranges.map((range) => range.includes(':')))
  if (!ranges.every((range) => isCidr(range)) || families.size < ranges.length)
    throw new Error(
      `--cluster-cidr: "${clusterCidr}" is no range, and no pair of ranges: write it as 10.244.0.0/16 or 10.244.0.0/16,fd10:244::/56`,
    )
  for (const range of ranges)
    for (const other of serviceCidr.split(','))
      if (overlap(range, other))
        throw new Error(`--cluster-cidr ${range} and --service-cidr ${other} share addresses: choose another range for one of them`)
  return ranges
}

/** True when two ranges share addresses. */
function overlap(a: string, b: string): boolean {
  const contains = (outer: string, inner: string): boolean => {
    const [network = '', bits] = outer.split('/')
    const list = new BlockList()
    list.addSubnet(network, Number(bits), isIPv4(network) ? 'ipv4' : 'ipv6')
    const [address = ''] = inner.split('/')
    return list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')
  }
  return contains(a, b) || contains(b, a)
}
