// Gives each node a range of pod addresses out of the cluster's.
import { Node } from '../../../api/index.js'
import { explain } from '../../../lib/index.js'
import { isDeleting, nameOf } from '../objects.js'
import type { Context, Controller } from '../types.js'

export interface Range {
  readonly base: bigint
  readonly prefix: number
  readonly bits: 32 | 128
}

function parseAddress(text: string): { readonly value: bigint; readonly bits: 32 | 128 } {
  if (!text.includes(':')) {
    const parts = text.split('.').map(Number)
    if (parts.length !== 4 || parts.some((part) => !Number.isInteger(part) || part < 0 || part > 255))
      throw new Error(`invalid address ${text}`)
    return { value: parts.reduce((value, part) => value * 256n + BigInt(part), 0n), bits: 32 }
  }
  const [head = '', tail] = text.split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const before = groups(head)
  const after = groups(tail ?? '')
  const middle = tail === undefined ? [] : Array.from({ length: 8 - before.length - after.length }, () => '0')
  const all = [...before, ...middle, ...after]
  if (all.length !== 8 || all.some((group) => !/^[0-9a-fA-F]{1,4}$/.test(group))) throw new Error(`invalid address ${text}`)
  return { value: all.reduce((value, group) => value * 65536n + BigInt(`0x${group}`), 0n), bits: 128 }
}

export function parseRange(text: string): Range {
  const [address = '', prefix = ''] = text.split('/')
  const { value, bits } = parseAddress(address)
  const length = Number(prefix)
  if (!/^\d+$/.test(prefix) || length > bits) throw new Error(`invalid range ${text}`)
  const size = 1n << BigInt(bits - length)
  return { base: value - (value % size), prefix: length, bits }
}

export function formatRange({ base, prefix, bits }: Range): string {
  if (bits === 32) return `${[24n, 16n, 8n, 0n].map((shift) => (base >> shift) & 255n).join('.')}/${prefix}`
  const groups = Array.from({ length: 8 }, (_, index) => ((base >> BigInt(112 - index * 16)) & 0xffffn).toString(16))
  // The longest run of zeroes is left out (RFC 5952).
  const runs = [...groups.join(':').matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)].sort((a, b) => b[0].length - a[0].length)
  const longest = runs[0]
  if (!longest) return `${groups.join(':')}/${prefix}`
  const text = groups.join(':')
  const before = text.slice(0, longest.index)
  const after = text.slice(longest.index + longest[0].length)
  return `${before}::${after.replace(/^:/, '')}/${prefix}`
}

const overlaps = (a: Range, b: Range): boolean => {
  if (a.bits !== b.bits) return false
  const end = (range: Range): bigint => range.base + (1n << BigInt(range.bits - range.prefix))
  return a.base < end(b) && b.base < end(a)
}

/** The first range of this size that no other overlaps; undefined when the cluster's range is used up. */
export function planRange(cluster: Range, prefix: number, taken: readonly Range[]): Range | undefined {
  const step = 1n << BigInt(cluster.bits - prefix)
  const end = cluster.base + (1n << BigInt(cluster.bits - cluster.prefix))
  const used = taken.filter((range) => overlaps(range, cluster))
  const exact = new Set(used.filter((range) => range.prefix === prefix).map((range) => range.base))
  const odd = used.filter((range) => range.prefix !== prefix)
  for (let base = cluster.base; base < end; base += step) {
    const range = { base, prefix, bits: cluster.bits }
    if (!exact.has(base) && !odd.some((other) => overlaps(other, range))) return range
  }
  return undefined
}

const DEFAULT_MASK = { ipv4: 24, ipv6: 64 } as const

function allocate({ cache, options, log }: Context, node: Node): string[] | undefined {
  const taken = cache
    .list(Node)
    .flatMap((other) => (other.metadata.name === node.metadata.name ? [] : (other.spec?.podCIDRs ?? [])).map(parseRange))
  const ranges: string[] = []
  for (const text of options.clusterCidrs ?? []) {
    const cluster = parseRange(text)
    const mask =
      cluster.bits === 32 ? (options.nodeMaskSizes?.ipv4 ?? DEFAULT_MASK.ipv4) : (options.nodeMaskSizes?.ipv6 ?? DEFAULT_MASK.ipv6)
    const found = planRange(cluster, Math.max(mask, cluster.prefix), taken)
    if (!found) {
      log.warn('no range left for node', { node: node.metadata.name, cluster: text })
      return undefined
    }
    ranges.push(formatRange(found))
  }
  return ranges
}

export const nodeIpam: Controller = {
  name: 'nodeipam',
  component: 'cidrAllocator',
  for: Node,
  // One at a time: two nodes must not get the same range.
  workers: 1,
  async reconcile(key, context) {
    const { cache, client, events, options } = context
    const node = cache.get(Node, key)
    if (!node || isDeleting(node) || node.spec?.podCIDR || !options.clusterCidrs?.length) return undefined
    const podCIDRs = allocate(context, node)
    if (!podCIDRs) {
      events.warning(node, 'CIDRNotAvailable', `Node ${key} status is now: CIDRNotAvailable`)
      return { requeueAfterMs: 30_000 }
    }
    try {
      await client.patch(Node, nameOf(node), { spec: { podCIDR: podCIDRs[0], podCIDRs } }, { type: 'merge' })
    } catch (error) {
      events.warning(node, 'CIDRAssignmentFailed', `Node ${key} status is now: CIDRAssignmentFailed: ${explain(error)}`)
      throw error
    }
    return undefined
  },
}
