// Which addresses host-local may hand out. Pure.
import {
  addToIp,
  compareIp,
  formatIp,
  formatPrefix,
  type IpBytes,
  lastOf,
  networkOf,
  type Prefix,
  parseIp,
  parsePrefix,
  prefixContains,
} from '../../sys/index.js'
import { CNI_ERRORS, CniError } from '../types.js'

export interface RangeConfig {
  readonly subnet: string
  readonly rangeStart?: string
  readonly rangeEnd?: string
  readonly gateway?: string
}

export interface AddressRange {
  readonly subnet: Prefix
  readonly start: IpBytes
  readonly end: IpBytes
  readonly gateway: IpBytes
}

/** Ranges of one family of which one address is taken. */
export type RangeSet = readonly AddressRange[]

const wrong = (message: string): CniError => new CniError(CNI_ERRORS.invalidConfig, message)

function addressIn(subnet: Prefix, text: string | undefined, what: string): IpBytes | undefined {
  if (text === undefined || text === '') return undefined
  const ip = parseIp(text)
  if (!ip) throw wrong(`${what} "${text}" is not an IP address`)
  if (!prefixContains(subnet, ip)) throw wrong(`${what} ${text} is not in the subnet ${formatPrefix(subnet)}`)
  return ip
}

export function parseRange(config: RangeConfig): AddressRange {
  const subnet = typeof config?.subnet === 'string' ? parsePrefix(config.subnet) : undefined
  if (!subnet || !config.subnet.includes('/')) throw wrong(`ipam: subnet "${config?.subnet}" is not a prefix such as 10.1.0.0/24`)
  const network = networkOf(subnet)
  if (compareIp(network.ip, subnet.ip) !== 0) throw wrong(`ipam: subnet ${config.subnet} has host bits set: write ${formatPrefix(network)}`)
  const bits = subnet.ip.length * 8
  if (subnet.length > bits - 2) throw wrong(`ipam: subnet ${config.subnet} is too small to hand out addresses`)
  // The first address is the network's name, and with IPv4 the last its broadcast.
  const first = addToIp(network.ip, 1)
  const last = subnet.ip.length === 4 ? addToIp(lastOf(network), -1) : lastOf(network)
  const start = addressIn(subnet, config.rangeStart, 'ipam: rangeStart') ?? first
  const end = addressIn(subnet, config.rangeEnd, 'ipam: rangeEnd') ?? last
  if (compareIp(start, end) > 0) throw wrong(`ipam: rangeStart ${formatIp(start)} is after rangeEnd ${formatIp(end)}`)
  const gateway = config.gateway ? parseIp(config.gateway) : first
  if (!gateway) throw wrong(`ipam: gateway "${config.gateway}" is not an IP address`)
  return { subnet, start, end, gateway }
}

export function parseRangeSets(sets: readonly (readonly RangeConfig[])[]): readonly RangeSet[] {
  const parsed = sets.map((set, i) => {
    if (!Array.isArray(set) || set.length === 0) throw wrong(`ipam: ranges[${i}] is a list of at least one range`)
    const ranges = set.map(parseRange)
    if (new Set(ranges.map((range) => range.start.length)).size > 1) throw wrong(`ipam: ranges[${i}] mixes IPv4 and IPv6`)
    return ranges
  })
  const all = parsed.flat()
  for (const [i, one] of all.entries())
    for (const other of all.slice(i + 1))
      if (one.start.length === other.start.length && compareIp(one.start, other.end) <= 0 && compareIp(other.start, one.end) <= 0)
        throw wrong(`ipam: the ranges ${describeRange(one)} and ${describeRange(other)} overlap`)
  return parsed
}

export const describeRange = ({ start, end }: AddressRange): string => `${formatIp(start)}-${formatIp(end)}`

export const rangeContains = ({ start, end }: AddressRange, ip: IpBytes): boolean =>
  ip.length === start.length && compareIp(start, ip) <= 0 && compareIp(ip, end) <= 0

export const rangeOf = (set: RangeSet, ip: IpBytes): AddressRange | undefined => set.find((range) => rangeContains(range, ip))

/** Every address of the set once, beginning behind `last`, without gateways. */
export function* candidates(set: RangeSet, last: IpBytes | undefined): Generator<{ readonly ip: IpBytes; readonly range: AddressRange }> {
  const [firstRange] = set
  if (!firstRange) return
  const at = last === undefined ? -1 : set.findIndex((range) => rangeContains(range, last))
  const startRange = Math.max(at, 0)
  const begin = at < 0 || !last ? firstRange.start : last
  // The range of `last` is walked twice: from behind it to the end, and at the end from its start to it.
  for (let step = 0; step <= set.length; step++) {
    const range = set[(startRange + step) % set.length] as AddressRange
    const from = step === 0 ? (at < 0 ? begin : next(begin, range)) : range.start
    const until = step === set.length ? (at < 0 ? undefined : begin) : range.end
    if (!from || !until) continue
    for (let ip: IpBytes | undefined = from; ip && compareIp(ip, until) <= 0; ip = next(ip, range))
      if (compareIp(ip, range.gateway) !== 0) yield { ip, range }
  }
}

const next = (ip: IpBytes, range: AddressRange): IpBytes | undefined => (compareIp(ip, range.end) < 0 ? addToIp(ip, 1) : undefined)
