// Addresses and ranges, as far as Services need them.
import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { inCidr } from '../api/index.js'

/** The one spelling of an address, or undefined for what cannot be dialled as one: names, zones (`fe80::1%eth0`), mapped IPv4. */
export function plainIp(text: string): string | undefined {
  if (isIPv4(text)) return text
  if (!isIPv6(text) || text.includes('%') || /^::ffff:/i.test(text)) return undefined
  return new URL(`http://[${text}]`).hostname.slice(1, -1)
}

/** Ranges without those that lie in another: a set of the kernel takes none twice. What is no range is left out. */
export function distinctRanges(ranges: readonly string[]): string[] {
  const sized = ranges.flatMap((text) => {
    const [address = '', bits = '', more] = text.trim().split('/')
    const ip = plainIp(address)
    const length = ip === undefined ? -1 : bits === '' ? (isIPv4(ip) ? 32 : 128) : Number(bits)
    if (ip === undefined || more !== undefined || !Number.isInteger(length) || length < 0 || length > (isIPv4(ip) ? 32 : 128)) return []
    return [{ ip, length }]
  })
  sized.sort((a, b) => a.length - b.length)
  const kept: string[] = []
  for (const { ip, length } of sized) if (!kept.some((range) => inCidr(range, ip))) kept.push(`${ip}/${length}`)
  return kept
}

/** True for addresses in any of the ranges (`10.0.0.0/8`, `2001:db8::/32`); ranges that cannot be read match nothing. */
export function rangeMatcher(ranges: readonly string[]): (ip: string) => boolean {
  const list = new BlockList()
  for (const range of distinctRanges(ranges)) {
    const [address = '', bits] = range.split('/')
    list.addSubnet(address, Number(bits), isIPv4(address) ? 'ipv4' : 'ipv6')
  }
  return (ip) => list.check(ip, isIPv4(ip) ? 'ipv4' : 'ipv6')
}
