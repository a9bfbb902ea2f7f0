// IP addresses and CIDRs as text, without the parts of Node that do I/O.

export function isIPv4(text: string): boolean {
  const parts = text.split('.')
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)
}

export function isIPv6(text: string): boolean {
  if (!/^[0-9a-fA-F:.]+$/.test(text) || !text.includes(':')) return false
  const halves = text.split('::')
  if (halves.length > 2) return false
  let groups = 0
  const sides = halves.map((half) => (half === '' ? [] : half.split(':')))
  const last = sides.at(-1)
  const tail = last?.at(-1)
  if (tail?.includes('.')) {
    if (!isIPv4(tail)) return false
    last?.splice(-1, 1, '0', '0')
  }
  for (const side of sides)
    for (const group of side) {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return false
      groups++
    }
  return halves.length === 2 ? groups < 8 : groups === 8
}

export const isIP = (text: string): boolean => isIPv4(text) || isIPv6(text)

/** `10.0.0.0/8`, `fd00::/64`; host bits are not looked at. */
export function isCidr(text: string): boolean {
  const match = /^(.+)\/(0|[1-9]\d{0,2})$/.exec(text)
  if (!match?.[1]) return false
  const length = Number(match[2])
  return isIPv4(match[1]) ? length <= 32 : isIPv6(match[1]) && length <= 128
}

/** The address as a number, for comparing networks. */
export function addressBits(text: string): bigint | undefined {
  if (isIPv4(text)) return text.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n)
  if (!isIPv6(text)) return undefined
  const [head = '', tail] = text.split('::')
  const expand = (half: string): string[] =>
    half === ''
      ? []
      : half.split(':').flatMap((group) => {
          if (!group.includes('.')) return [group]
          const v4 = addressBits(group) ?? 0n
          return [(v4 >> 16n).toString(16), (v4 & 0xffffn).toString(16)]
        })
  const left = expand(head)
  const right = tail === undefined ? [] : expand(tail)
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0')
  return [...left, ...zeros, ...right].reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n)
}

/** `10.0.0.1/8` names more than a network. */
export function hasHostBits(cidr: string): boolean {
  const [network = '', length = ''] = cidr.split('/')
  const free = BigInt((isIPv4(network) ? 32 : 128) - Number(length))
  return ((addressBits(network) ?? 0n) & ((1n << free) - 1n)) !== 0n
}

/** True when the address lies in the network. */
export function inCidr(cidr: string, address: string): boolean {
  const [network = '', length = ''] = cidr.split('/')
  if (isIPv4(network) !== isIPv4(address)) return false
  const a = addressBits(network)
  const b = addressBits(address)
  if (a === undefined || b === undefined) return false
  const shift = BigInt((isIPv4(network) ? 32 : 128) - Number(length))
  return a >> shift === b >> shift
}
