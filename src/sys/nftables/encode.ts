// Changes as messages of one batch (linux/netfilter/nfnetlink.h, nf_tables.h).
import { type MessageWriter, NLM_F_APPEND, NLM_F_CREATE } from '../netlink/message.js'
import { writeExpressions, writeVerdict } from './compile.js'
import { behind, bounds, encodeValues, lengthOf, TYPES, typeId, writeValues } from './types.js'
import type { NftChain, NftChange, NftElement, NftFamily, NftRule, NftSet, NftTable, NftType, NftVerdict } from './vocabulary.js'

const SUBSYSTEM = 10 << 8
export const NFT = {
  NEWTABLE: SUBSYSTEM | 0,
  GETTABLE: SUBSYSTEM | 1,
  DELTABLE: SUBSYSTEM | 2,
  NEWCHAIN: SUBSYSTEM | 3,
  GETCHAIN: SUBSYSTEM | 4,
  DELCHAIN: SUBSYSTEM | 5,
  NEWRULE: SUBSYSTEM | 6,
  GETRULE: SUBSYSTEM | 7,
  DELRULE: SUBSYSTEM | 8,
  NEWSET: SUBSYSTEM | 9,
  GETSET: SUBSYSTEM | 10,
  DELSET: SUBSYSTEM | 11,
  NEWSETELEM: SUBSYSTEM | 12,
  GETSETELEM: SUBSYSTEM | 13,
  DELSETELEM: SUBSYSTEM | 14,
  NEWGEN: SUBSYSTEM | 15,
  GETGEN: SUBSYSTEM | 16,
} as const

export const BATCH_BEGIN = 16
export const BATCH_END = 17

export const FAMILIES: Readonly<Record<NftFamily | 'unspec', number>> = { unspec: 0, inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 }

const HOOKS = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4, ingress: 5 } as const

const SET_FLAGS = { interval: 4, map: 8, timeout: 0x10, eval: 0x20, concat: 0x80 } as const
const VERDICT_DATA = 0xffff_ff00
const INTERVAL_END = 1

/** struct nfgenmsg. */
export const header = (family: number, resource = 0): Buffer => Buffer.from([family, 0, resource >> 8, resource & 255])

/** Writes one message; the callback fills it. */
export type WriteMessage = (type: number, flags: number, family: NftFamily, fill: (w: MessageWriter) => void) => void

function writeTable(message: WriteMessage, what: 'add table' | 'delete table' | 'flush table', table: NftTable) {
  if (what === 'add table') message(NFT.NEWTABLE, NLM_F_CREATE, table.family, (w) => w.text(1, table.name).be32(2, 0))
  else if (what === 'delete table') message(NFT.DELTABLE, 0, table.family, (w) => w.text(1, table.name))
  // A deletion of rules that names no chain means all of them.
  else message(NFT.DELRULE, 0, table.family, (w) => w.text(1, table.name))
}

function writeChain(message: WriteMessage, what: 'add chain' | 'delete chain' | 'flush chain', chain: NftChain) {
  const { table, name, hook } = chain
  if (what === 'flush chain') return message(NFT.DELRULE, 0, table.family, (w) => w.text(1, table.name).text(2, name))
  if (what === 'delete chain') return message(NFT.DELCHAIN, 0, table.family, (w) => w.text(1, table.name).text(3, name))
  message(NFT.NEWCHAIN, NLM_F_CREATE, table.family, (w) => {
    w.text(1, table.name).text(3, name)
    if (!hook) return
    w.nest(4, () => w.be32(1, HOOKS[hook.hook]).be32(2, hook.priority))
    w.be32(5, hook.policy === 'drop' ? 0 : 1).text(7, hook.type)
  })
}

function writeRule(message: WriteMessage, rule: NftRule, first: boolean): void {
  const { table, name } = rule.chain
  message(NFT.NEWRULE, NLM_F_CREATE | (first ? 0 : NLM_F_APPEND), table.family, (w) => {
    w.text(1, table.name).text(2, name)
    w.nest(4, () => writeExpressions(w, rule))
    if (rule.comment !== undefined) w.bytes(7, comment(rule.comment))
  })
}

/** nft(8) keeps comments in user data: type 0, length, text with NUL. */
function comment(text: string): Buffer {
  const bytes = Buffer.from(`${text}\0`)
  if (bytes.length > 128) throw new Error(`nftables: comment "${text}" is longer than 127 bytes`)
  return Buffer.concat([Buffer.from([0, bytes.length]), bytes])
}

const flagsOf = (set: NftSet): number =>
  (set.interval ? SET_FLAGS.interval | (set.key.length > 1 ? SET_FLAGS.concat : 0) : 0) |
  (set.data === undefined ? 0 : SET_FLAGS.map) |
  (set.timeoutMs === undefined && !set.hasTimeout ? 0 : SET_FLAGS.timeout) |
  (set.dynamic ? SET_FLAGS.eval : 0)

/** User data 0 and 1: the byte order of key and data, for nft(8) to list them right. */
const byteOrder = (kind: number, types: readonly NftType[]): Buffer =>
  Buffer.from([kind, 4, types.some((type) => TYPES[type].hostOrder) && types.length === 1 ? 1 : 2, 0, 0, 0])

function writeSet(message: WriteMessage, what: 'add set' | 'delete set' | 'flush set', set: NftSet, id: number) {
  const { table, name } = set
  if (what === 'delete set') return message(NFT.DELSET, 0, table.family, (w) => w.text(1, table.name).text(2, name))
  if (what === 'flush set') return message(NFT.DELSETELEM, 0, table.family, (w) => w.text(1, table.name).text(2, name))
  message(NFT.NEWSET, NLM_F_CREATE, table.family, (w) => {
    w.text(1, table.name).text(2, name)
    w.be32(3, flagsOf(set)).be32(4, typeId(set.key)).be32(5, lengthOf(set.key))
    if (set.data === 'verdict') w.be32(6, VERDICT_DATA).be32(7, 0)
    else if (set.data) w.be32(6, typeId(set.data)).be32(7, lengthOf(set.data))
    w.nest(9, () => {
      if (set.size !== undefined) w.be32(1, set.size)
      if (set.interval && set.key.length > 1)
        w.nest(2, () => {
          for (const type of set.key) w.nest(1, () => w.be32(1, TYPES[type].length))
        })
    })
    w.be32(10, id)
    if (set.timeoutMs !== undefined) w.be64(11, set.timeoutMs)
    const orders = [byteOrder(0, set.key), ...(Array.isArray(set.data) ? [byteOrder(1, set.data)] : [])]
    w.bytes(13, Buffer.concat(orders))
  })
}

/** Attributes hold at most 64 KiB: a long list goes into several messages. */
const MOST_BYTES = 60_000

function writeElements(message: WriteMessage, type: number, flags: number, set: NftSet, elements: readonly NftElement[]): void {
  const { table, name } = set
  for (let next = 0; next < elements.length; ) {
    message(type, flags, table.family, (w) => {
      w.text(1, table.name).text(2, name)
      const at = w.openNest(3)
      const begin = w.length
      while (next < elements.length && w.length - begin < MOST_BYTES) writeElement(w, set, elements[next++] as NftElement)
      w.closeNest(at)
    })
  }
}

function writeElement(w: MessageWriter, set: NftSet, element: NftElement): void {
  if (element.key.length !== set.key.length)
    throw new Error(`nftables: a key of ${element.key.length} values for set ${set.name} of ${set.key.join(' . ')}`)
  if (!set.interval) {
    const at = w.openNest(1)
    writeConcatenation(w, 1, set.key, element.key as readonly (string | number)[])
    writeRest(w, set, element)
    w.closeNest(at)
    return
  }
  const ends = element.key.map((value, i) => bounds(set.key[i] as NftType, value))
  const from = encodeValues(
    set.key,
    ends.map(([first]) => first),
  )
  const to = encodeValues(
    set.key,
    ends.map(([, last]) => last),
  )
  const at = w.openNest(1)
  writeKey(w, 1, from)
  if (set.key.length > 1) writeKey(w, 10, to)
  writeRest(w, set, element)
  w.closeNest(at)
  if (set.key.length > 1) return
  // A single interval ends with an element of its own: the first value behind it.
  const next = behind(to)
  if (!next) return
  const end = w.openNest(1)
  writeKey(w, 1, next)
  w.be32(3, INTERVAL_END)
  w.closeNest(end)
}

function writeKey(w: MessageWriter, attribute: number, bytes: Buffer): void {
  const at = w.openNest(attribute)
  w.bytes(1, bytes)
  w.closeNest(at)
}

/** Into its place at once: there may be tens of thousands. */
function writeConcatenation(w: MessageWriter, attribute: number, types: readonly NftType[], values: readonly (string | number)[]): void {
  const at = w.openNest(attribute)
  const length = lengthOf(types)
  const place = w.room(1, length)
  writeValues(w.target.fill(0, place, place + length), place, types, values)
  w.closeNest(at)
}

function writeRest(w: MessageWriter, set: NftSet, element: NftElement): void {
  if (element.data !== undefined) {
    if (set.data === 'verdict') writeVerdict(w, 2, element.data as NftVerdict)
    else if (set.data && Array.isArray(element.data)) writeConcatenation(w, 2, set.data, element.data as readonly (string | number)[])
    else throw new Error(`nftables: an element of ${set.name} has data that does not fit`)
  }
  if (element.timeoutMs !== undefined) w.be64(4, element.timeoutMs)
  if (element.comment !== undefined) w.bytes(6, comment(element.comment))
}

/** Writes one change; may take several messages. */
export function writeChange(message: WriteMessage, change: NftChange, id: number) {
  switch (change.do) {
    case 'add table':
    case 'delete table':
    case 'flush table':
      return writeTable(message, change.do, change.table)
    case 'add chain':
    case 'delete chain':
    case 'flush chain':
      return writeChain(message, change.do, change.chain)
    case 'add rule':
      return writeRule(message, change.rule, change.first ?? false)
    case 'delete rule': {
      const { table, name } = change.chain
      return message(NFT.DELRULE, 0, table.family, (w) => w.text(1, table.name).text(2, name).be64(3, change.handle))
    }
    case 'add set':
    case 'delete set':
    case 'flush set':
      return writeSet(message, change.do, change.set, id)
    case 'add elements':
      return writeElements(message, NFT.NEWSETELEM, NLM_F_CREATE, change.set, change.elements)
    case 'delete elements':
      return writeElements(message, NFT.DELSETELEM, 0, change.set, change.elements)
  }
}

/** For errors: what the change was about. */
export function describeChange(change: NftChange): string {
  const where = (table: NftTable, name?: string): string => `${table.family} ${table.name}${name === undefined ? '' : ` ${name}`}`
  switch (change.do) {
    case 'add table':
    case 'delete table':
    case 'flush table':
      return where(change.table)
    case 'add chain':
    case 'delete chain':
    case 'flush chain':
      return where(change.chain.table, change.chain.name)
    case 'add rule':
      return `${where(change.rule.chain.table, change.rule.chain.name)} ${JSON.stringify(change.rule.statements).slice(0, 200)}`
    case 'delete rule':
      return `${where(change.chain.table, change.chain.name)} handle ${change.handle}`
    case 'add set':
    case 'delete set':
    case 'flush set':
      return where(change.set.table, change.set.name)
    case 'add elements':
    case 'delete elements':
      return `${where(change.set.table, change.set.name)} (${change.elements.length} elements)`
  }
}
