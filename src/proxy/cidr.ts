// Address ranges, as far as Services need them.
import { BlockList, isIPv4 } from 'node:net'

/** True for addresses in any of the ranges (`10.0.0.0/8`, `2001:db8::/32`); ranges that cannot be read match nothing. */
export function rangeMatcher(ranges: readonly string[]): (ip: string) => boolean {
  const list = new BlockList()
  for (const range of ranges) {
    const [address = '', bits] = range.split('/')
    try {
      list.addSubnet(address, Number(bits ?? (isIPv4(address) ? 32 : 128)), isIPv4(address) ? 'ipv4' : 'ipv6')
    } catch {
      // The API has refused what is no range; nothing else can be done with one here.
    }
  }
  return (ip) => list.check(ip, isIPv4(ip) ? 'ipv4' : 'ipv6')
}
