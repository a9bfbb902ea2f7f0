// nftables through nfnetlink: transactions, listings, notifications. No `nft` program is needed.
import { hasErrno } from '../../lib/index.js'
import { Attributes, MessageWriter, type NetlinkMessage, NLM_F_ACK, NLM_F_REQUEST } from '../netlink/message.js'
import { NETLINK_NETFILTER, NetlinkSocket } from '../netlink/socket.js'
import { BATCH_BEGIN, BATCH_END, describeChange, FAMILIES, header, NFT, type WriteMessage, writeChange } from './encode.js'
import { decodeValues } from './types.js'
import type { NftChange, NftElement, NftFamily, NftSet, NftTable, NftVerdict } from './vocabulary.js'

export interface NftablesOptions {
  /** Path of a network namespace; absent: our own. */
  readonly namespace?: string | undefined
}

export interface ListedChain {
  readonly name: string
  readonly handle: bigint
  /** Present for base chains. */
  readonly hook:
    | { readonly type: string; readonly number: number; readonly priority: number; readonly policy: 'accept' | 'drop' }
    | undefined
}

export interface ListedRule {
  readonly chain: string
  readonly handle: bigint
  readonly comment: string | undefined
  /** Names of its expressions, in order. */
  readonly expressions: readonly string[]
  /** Of its counter, when it has one. */
  readonly packets: number | undefined
}

export interface ListedSet {
  readonly name: string
  readonly handle: bigint
  readonly isMap: boolean
}

const SUBSYSTEM = 10

export class Nftables {
  private readonly socket: NetlinkSocket

  constructor(options: NftablesOptions = {}) {
    this.socket = new NetlinkSocket(NETLINK_NETFILTER, options)
  }

  close(): void {
    this.socket.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** Makes all changes or none. A refusal names the change. */
  apply(changes: readonly NftChange[]): void {
    if (changes.length === 0) return
    const batch = encodeBatch(changes, (count) => this.socket.takeSequences(count))
    this.socket.sendBatch(batch.bytes, batch.first, batch.acknowledged, (sequence) => {
      const change = batch.changeOf(sequence)
      return change ? { call: `nftables: ${change.do}`, subject: describeChange(change) } : { call: 'nftables', subject: 'commit' }
    })
  }

  private dump(type: number, family: NftFamily | 'unspec', what: string, fill: (w: MessageWriter) => void): readonly NetlinkMessage[] {
    return this.socket.dump(type, { call: 'nftables: list', subject: what }, (w) => {
      w.raw(header(FAMILIES[family]))
      fill(w)
    })
  }

  /** Grows with every transaction of anybody. */
  generation(): number {
    const [message] = this.socket.request(NFT.GETGEN, 0, { call: 'nftables: get', subject: 'generation' }, (w) => w.raw(header(0)))
    return (message && new Attributes(message.payload.subarray(4)).be32(1)) ?? 0
  }

  tables(): readonly NftTable[] {
    const names = Object.keys(FAMILIES) as NftFamily[]
    return this.dump(NFT.GETTABLE, 'unspec', 'tables', () => {}).map(({ payload }) => ({
      family: names.find((name) => FAMILIES[name] === payload.readUInt8(0)) ?? 'inet',
      name: new Attributes(payload.subarray(4)).text(1) ?? '',
    }))
  }

  hasTable(table: NftTable): boolean {
    try {
      this.socket.request(NFT.GETTABLE, 0, { call: 'nftables: get table', subject: table.name }, (w) =>
        w.raw(header(FAMILIES[table.family])).text(1, table.name),
      )
      return true
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return false
      throw error
    }
  }

  chains(table: NftTable): readonly ListedChain[] {
    return this.dump(NFT.GETCHAIN, table.family, `chains of ${table.name}`, () => {}).flatMap(({ payload }) => {
      const attributes = new Attributes(payload.subarray(4))
      if (attributes.text(1) !== table.name) return []
      const hook = attributes.nested(4)
      const number = hook.be32(1)
      return [
        {
          name: attributes.text(3) ?? '',
          handle: attributes.be64(2) ?? 0n,
          hook:
            number === undefined
              ? undefined
              : {
                  type: attributes.text(7) ?? '',
                  number,
                  priority: (hook.be32(2) ?? 0) | 0,
                  policy: attributes.be32(5) === 0 ? 'drop' : 'accept',
                },
        },
      ]
    })
  }

  rules(table: NftTable, chain?: string): readonly ListedRule[] {
    const messages = this.dump(NFT.GETRULE, table.family, `rules of ${table.name}`, (w) => {
      w.text(1, table.name)
      if (chain !== undefined) w.text(2, chain)
    })
    return messages.flatMap(({ payload }) => {
      const attributes = new Attributes(payload.subarray(4))
      if (attributes.text(1) !== table.name || (chain !== undefined && attributes.text(2) !== chain)) return []
      const parts = attributes.list(4).map(([, value]) => new Attributes(value))
      const counter = parts.find((part) => part.text(1) === 'counter')
      return [
        {
          chain: attributes.text(2) ?? '',
          handle: attributes.be64(3) ?? 0n,
          comment: readComment(attributes.bytes(7)),
          expressions: parts.map((part) => part.text(1) ?? ''),
          packets: counter && Number(counter.nested(2).be64(2) ?? 0n),
        },
      ]
    })
  }

  sets(table: NftTable): readonly ListedSet[] {
    return this.dump(NFT.GETSET, table.family, `sets of ${table.name}`, (w) => w.text(1, table.name)).map(({ payload }) => {
      const attributes = new Attributes(payload.subarray(4))
      return { name: attributes.text(2) ?? '', handle: attributes.be64(16) ?? 0n, isMap: ((attributes.be32(3) ?? 0) & 8) !== 0 }
    })
  }

  /**
   * Elements of a set or map; of intervals the ends are left out, and `key` is the first value. While the kernel's hash table grows
   * after many additions, a listing may have one element twice and another not at all.
   */
  elements(set: NftSet): readonly NftElement[] {
    const messages = this.dump(NFT.GETSETELEM, set.table.family, `elements of ${set.name}`, (w) =>
      w.text(1, set.table.name).text(2, set.name),
    )
    return messages.flatMap(({ payload }) =>
      new Attributes(payload.subarray(4)).list(3).flatMap(([, value]) => {
        const element = new Attributes(value)
        if ((element.be32(3) ?? 0) & 1) return []
        const key = decodeValues(set.key, element.nested(1).bytes(1) ?? Buffer.alloc(64))
        const words = readComment(element.bytes(6))
        const listed: NftElement = words === undefined ? { key } : { key, comment: words }
        if (set.data === undefined) return [listed]
        const data = element.nested(2)
        const held = set.data === 'verdict' ? readVerdict(data.nested(2)) : decodeValues(set.data, data.bytes(1) ?? Buffer.alloc(64))
        return [{ ...listed, data: held }]
      }),
    )
  }
}

function readComment(userData: Buffer | undefined): string | undefined {
  if (!userData || userData.length < 3 || userData.readUInt8(0) !== 0) return undefined
  return userData.toString('utf8', 2, 1 + userData.readUInt8(1))
}

const VERDICT_NAMES: Readonly<Record<number, 'drop' | 'accept' | 'continue' | 'return'>> = {
  0: 'drop',
  1: 'accept',
  [-1]: 'continue',
  [-5]: 'return',
}

function readVerdict(attributes: Attributes): NftVerdict {
  const code = (attributes.be32(1) ?? 0) | 0
  const chain = attributes.text(2) ?? ''
  return code === -3 ? { jump: chain } : code === -4 ? { goto: chain } : (VERDICT_NAMES[code] ?? 'continue')
}

export interface EncodedBatch {
  readonly bytes: Buffer
  readonly first: number
  /** Number of the message whose acknowledgement ends the transaction. */
  readonly acknowledged: number
  readonly changeOf: (sequence: number) => NftChange | undefined
}

/** A transaction as bytes. The last change asks for an acknowledgement, which the kernel sends after the commit. */
export function encodeBatch(changes: readonly NftChange[], take: (count: number) => number): EncodedBatch {
  const writer = new MessageWriter(1 << 16)
  const first = take(1)
  writer.begin(BATCH_BEGIN, NLM_F_REQUEST, first).raw(header(0, SUBSYSTEM)).end()
  // Messages of a change that needs several are consecutive: the first number is enough to find it.
  const begins: number[] = []
  let last = first
  let lastStart = 0
  const message: WriteMessage = (type, flags, family, fill) => {
    last = take(1)
    lastStart = writer.length
    writer.begin(type, NLM_F_REQUEST | flags, last).raw(header(FAMILIES[family]))
    fill(writer)
    writer.end()
  }
  for (const [i, change] of changes.entries()) {
    begins.push(last + 1)
    writeChange(message, change, i + 1)
  }
  if (last === first) throw new Error('nftables: the transaction holds no message')
  const flags = writer.done().readUInt16LE(lastStart + 6)
  writer.done().writeUInt16LE(flags | NLM_F_ACK, lastStart + 6)
  writer.begin(BATCH_END, NLM_F_REQUEST, take(1)).raw(header(0, SUBSYSTEM)).end()
  return {
    bytes: writer.done(),
    first,
    acknowledged: last,
    changeOf: (sequence) => (sequence <= first ? undefined : changes[begins.findLastIndex((begin) => begin <= sequence)]),
  }
}

/** Runs `work` with a connection to the namespace's nftables and closes it. */
export function withNftables<T>(namespace: string | undefined, work: (nft: Nftables) => T): T {
  const nft = new Nftables({ namespace })
  try {
    return work(nft)
  } finally {
    nft.close()
  }
}

/** Calls back after transactions of anybody, until the returned function is called. */
export function watchNftables(changed: () => void, options: NftablesOptions = {}): () => void {
  const GROUP_NFTABLES = 7
  const socket = new NetlinkSocket(NETLINK_NETFILTER, { namespace: options.namespace, groups: [GROUP_NFTABLES] })
  // Every transaction ends with a new generation.
  return socket.listen((message) => {
    if (message.type === NFT.NEWGEN) changed()
  }, changed)
}
