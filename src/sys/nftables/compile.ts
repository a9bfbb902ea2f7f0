// Statements as the kernel's expressions over registers. Each statement begins with empty registers.
import { networkOf, prefixOf } from '../netlink/ip.js'
import type { MessageWriter } from '../netlink/message.js'
import { encodeValues, FIELDS, fieldType, padded, TYPES, writeValue } from './types.js'
import type { NftFamily, NftField, NftMapLookup, NftRule, NftSet, NftStatement, NftType, NftVerdict } from './vocabulary.js'

/** NFT_REG32_00 and the fifteen behind it, 4 bytes each. */
const FIRST_REGISTER = 8
const OPERATORS = { '==': 0, '!=': 1, '<': 2, '<=': 3, '>': 4, '>=': 5 } as const
const VERDICTS = { drop: 0, accept: 1, continue: -1, jump: -3, goto: -4, return: -5 } as const
/** Codes of a refusal. Tables of one family take its own ICMP codes (type 0) only: the common ones (type 2) would drop the packet silently. */
const REJECTS = {
  ip: { 'no-route': 0, 'port-unreachable': 3, 'host-unreachable': 1, 'admin-prohibited': 13 },
  ip6: { 'no-route': 0, 'port-unreachable': 4, 'host-unreachable': 3, 'admin-prohibited': 1 },
  both: { 'no-route': 0, 'port-unreachable': 1, 'host-unreachable': 2, 'admin-prohibited': 3 },
} as const
const SET_UPDATES = { add: 0, update: 1, delete: 2 } as const
const NAT_SOURCE = 0
const NAT_DESTINATION = 1

/** One expression: its name and its attributes. */
function expression(w: MessageWriter, name: string, fill: (w: MessageWriter) => void = () => {}): void {
  const at = w.openNest(1)
  w.text(1, name)
  w.nest(2, fill)
  w.closeNest(at)
}

const data = (w: MessageWriter, attribute: number, bytes: Uint8Array): void => {
  w.nest(attribute, () => w.bytes(1, bytes))
}

export function writeVerdict(w: MessageWriter, attribute: number, verdict: NftVerdict): void {
  w.nest(attribute, () =>
    w.nest(2, () => {
      if (typeof verdict === 'string') w.be32(1, VERDICTS[verdict])
      else if ('jump' in verdict) w.be32(1, VERDICTS.jump).text(2, verdict.jump)
      else w.be32(1, VERDICTS.goto).text(2, verdict.goto)
    }),
  )
}

/** Loads a field; returns the first register behind it. */
function load(w: MessageWriter, field: NftField, register: number): number {
  if (typeof field !== 'string') {
    if ('numgen' in field)
      expression(w, 'numgen', () =>
        w
          .be32(1, register)
          .be32(2, field.modulus)
          .be32(3, field.numgen === 'random' ? 1 : 0)
          .be32(4, field.offset ?? 0),
      )
    else {
      const end = loadAll(w, field.jhash, register)
      const length = (end - register) * 4
      expression(w, 'hash', () => {
        w.be32(1, register).be32(2, register).be32(3, length).be32(4, field.modulus)
        if (field.seed !== undefined) w.be32(5, field.seed)
        w.be32(7, 0)
      })
    }
    return register + 1
  }
  const { type, source } = FIELDS[field]
  if (source.load === 'meta') expression(w, 'meta', () => w.be32(1, register).be32(2, source.key))
  else if (source.load === 'payload')
    expression(w, 'payload', () => w.be32(1, register).be32(2, source.base).be32(3, source.offset).be32(4, source.length))
  else if (source.load === 'ct')
    expression(w, 'ct', () => {
      w.be32(1, register).be32(2, source.key)
      if (source.direction !== undefined) w.u8(3, source.direction)
    })
  else expression(w, 'fib', () => w.be32(1, register).be32(2, source.result).be32(3, source.flags))
  return register + padded(TYPES[type].length) / 4
}

function loadAll(w: MessageWriter, fields: readonly NftField[], register: number): number {
  let next = register
  for (const field of fields) next = load(w, field, next)
  if (next > FIRST_REGISTER + 16) throw new Error(`nftables: the key ${JSON.stringify(fields)} is longer than 64 bytes`)
  return next
}

function checkKey(set: NftSet, fields: readonly NftField[]): void {
  const types = fields.map(fieldType)
  const fits = types.length === set.key.length && types.every((type, i) => TYPES[type].length === TYPES[set.key[i] as NftType].length)
  if (!fits) throw new Error(`nftables: the fields ${types.join(' . ')} do not fit set ${set.name} of ${set.key.join(' . ')}`)
}

/** Looks data up into registers, behind the key unless told otherwise; returns the first of them. */
function lookup(w: MessageWriter, { map, key }: NftMapLookup, register: number, into?: number): number {
  if (map.data === undefined) throw new Error(`nftables: ${map.name} is a set, a map is wanted`)
  checkKey(map, key)
  const target = into ?? loadAll(w, key, register)
  if (into !== undefined) loadAll(w, key, register)
  expression(w, 'lookup', () => w.text(1, map.name).be32(2, register).be32(3, target))
  return target
}

/** Type and bytes of a constant for the field it is compared with. */
function constant(field: NftField, value: string | number): Buffer {
  const type = fieldType(field)
  const bytes = Buffer.alloc(TYPES[type].length)
  writeValue(bytes, 0, type, value)
  return bytes
}

function match(w: MessageWriter, statement: Extract<NftStatement, { match: NftField; value: string | number }>): void {
  const { match: field, value, op = '==', mask } = statement
  load(w, field, FIRST_REGISTER)
  const compare = (bytes: Uint8Array): void =>
    expression(w, 'cmp', () => {
      w.be32(1, FIRST_REGISTER).be32(2, OPERATORS[op])
      data(w, 3, bytes)
    })
  const isPrefix = typeof value === 'string' && value.includes('/')
  if (isPrefix || mask !== undefined) {
    const prefix = isPrefix ? prefixOf(value) : undefined
    const length = TYPES[fieldType(field)].length
    if (prefix && prefix.ip.length !== length) throw new Error(`nftables: ${value} is no prefix for ${JSON.stringify(field)}`)
    const bits = prefix ? prefixMask(prefix.length, length) : constant(field, mask ?? 0)
    expression(w, 'bitwise', () => {
      w.be32(1, FIRST_REGISTER).be32(2, FIRST_REGISTER).be32(3, length)
      data(w, 4, bits)
      data(w, 5, Buffer.alloc(length))
    })
    compare(prefix ? networkOf(prefix).ip : constant(field, value))
  } else compare(constant(field, value))
}

function prefixMask(length: number, bytes: number): Buffer {
  const all = { ip: new Uint8Array(bytes).fill(255), length }
  return Buffer.from(networkOf(all).ip)
}

/** mark = (old & ~mask) | value, through `meta` or `ct`. */
function setMark(w: MessageWriter, name: 'meta' | 'ct', source: number, { value, mask }: { value: number; mask?: number }): void {
  const word = (number: number): Buffer => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(number >>> 0)
    return bytes
  }
  if (mask === undefined)
    expression(w, 'immediate', () => {
      w.be32(1, FIRST_REGISTER)
      data(w, 2, word(value))
    })
  else {
    expression(w, name, () => w.be32(1, FIRST_REGISTER).be32(2, 3))
    expression(w, 'bitwise', () => {
      w.be32(1, FIRST_REGISTER).be32(2, FIRST_REGISTER).be32(3, 4)
      data(w, 4, word(~mask))
      data(w, 5, word(value & mask))
    })
  }
  expression(w, name, () => w.be32(2, 3).be32(source, FIRST_REGISTER))
}

const META_SOURCE = 3
const CT_SOURCE = 4

function nat(w: MessageWriter, kind: number, target: { address: string; port?: number } | NftMapLookup): void {
  let [address, port]: [number, number | undefined] = [FIRST_REGISTER, undefined]
  let family = 2
  if ('map' in target) {
    const types = target.map.data
    if (!Array.isArray(types)) throw new Error(`nftables: map ${target.map.name} must hold addresses`)
    address = lookup(w, target, FIRST_REGISTER)
    family = types[0] === 'ipv6_addr' ? 10 : 2
    if (types[1] === 'inet_service') port = address + (family === 10 ? 4 : 1)
  } else {
    const type: NftType = target.address.includes(':') ? 'ipv6_addr' : 'ipv4_addr'
    family = type === 'ipv6_addr' ? 10 : 2
    immediate(w, FIRST_REGISTER, [type], [target.address])
    if (target.port !== undefined) {
      port = FIRST_REGISTER + TYPES[type].length / 4
      immediate(w, port, ['inet_service'], [target.port])
    }
  }
  expression(w, 'nat', () => {
    w.be32(1, kind).be32(2, family).be32(3, address)
    if (port !== undefined) w.be32(5, port)
  })
}

function immediate(w: MessageWriter, register: number, types: readonly NftType[], values: readonly (string | number)[]): void {
  expression(w, 'immediate', () => {
    w.be32(1, register)
    data(w, 2, encodeValues(types, values))
  })
}

/** Not `'map' in`: lists have a function of that name. */
const isLookup = (data: readonly NftField[] | NftMapLookup): data is NftMapLookup => !Array.isArray(data)

function update(w: MessageWriter, statement: Extract<NftStatement, { update: NftSet }>): void {
  const { update: set, key, op = 'update', data: from, timeoutMs } = statement
  checkKey(set, key)
  // Data first, over the key it was looked up by: two keys of IPv6 addresses do not fit side by side.
  let keyRegister = FIRST_REGISTER
  if (from !== undefined && isLookup(from)) {
    lookup(w, from, FIRST_REGISTER, FIRST_REGISTER)
    const types = Array.isArray(from.map.data) ? (from.map.data as readonly NftType[]) : []
    keyRegister += types.reduce((sum, type) => sum + padded(TYPES[type].length) / 4, 0)
  } else if (from !== undefined) keyRegister = loadAll(w, from, FIRST_REGISTER)
  loadAll(w, key, keyRegister)
  expression(w, 'dynset', () => {
    w.text(1, set.name).be32(3, SET_UPDATES[op]).be32(4, keyRegister)
    if (from !== undefined) w.be32(5, FIRST_REGISTER)
    if (timeoutMs !== undefined) w.be64(6, timeoutMs)
  })
}

function statement(w: MessageWriter, one: NftStatement, family: NftFamily) {
  if ('match' in one) {
    if ('value' in one) return match(w, one)
    load(w, one.match, FIRST_REGISTER)
    return expression(w, 'range', () => {
      w.be32(1, FIRST_REGISTER).be32(2, one.invert ? 1 : 0)
      data(w, 3, constant(one.match, one.from))
      data(w, 4, constant(one.match, one.to))
    })
  }
  if ('lookup' in one) {
    checkKey(one.set, one.lookup)
    loadAll(w, one.lookup, FIRST_REGISTER)
    return expression(w, 'lookup', () => {
      w.text(1, one.set.name).be32(2, FIRST_REGISTER)
      if (one.invert) w.be32(5, 1)
    })
  }
  if ('vmap' in one) {
    if (one.vmap.map.data !== 'verdict') throw new Error(`nftables: ${one.vmap.map.name} is no verdict map`)
    checkKey(one.vmap.map, one.vmap.key)
    loadAll(w, one.vmap.key, FIRST_REGISTER)
    // The verdict register is number 0.
    return expression(w, 'lookup', () => w.text(1, one.vmap.map.name).be32(2, FIRST_REGISTER).be32(3, 0))
  }
  if ('dnat' in one) return nat(w, NAT_DESTINATION, one.dnat)
  if ('snat' in one) return nat(w, NAT_SOURCE, one.snat)
  if ('masquerade' in one) return expression(w, 'masq', () => one.masquerade.fullyRandom && w.be32(1, 16))
  if ('redirect' in one) {
    immediate(w, FIRST_REGISTER, ['inet_service'], [one.redirect.port])
    return expression(w, 'redir', () => w.be32(1, FIRST_REGISTER))
  }
  if ('setMark' in one) return setMark(w, 'meta', META_SOURCE, one.setMark)
  if ('setCtMark' in one) return setMark(w, 'ct', CT_SOURCE, one.setCtMark)
  if ('restoreMark' in one) {
    expression(w, 'ct', () => w.be32(1, FIRST_REGISTER).be32(2, 3))
    return expression(w, 'meta', () => w.be32(2, 3).be32(META_SOURCE, FIRST_REGISTER))
  }
  if ('saveMark' in one) {
    expression(w, 'meta', () => w.be32(1, FIRST_REGISTER).be32(2, 3))
    return expression(w, 'ct', () => w.be32(2, 3).be32(CT_SOURCE, FIRST_REGISTER))
  }
  if ('update' in one) return update(w, one)
  if ('reject' in one) {
    if (one.reject === 'tcp reset') return expression(w, 'reject', () => w.be32(1, 1))
    const { reject } = one
    const single = family === 'ip' || family === 'ip6'
    return expression(w, 'reject', () => w.be32(1, single ? 0 : 2).u8(2, REJECTS[single ? family : 'both'][reject]))
  }
  if ('verdict' in one)
    return expression(w, 'immediate', () => {
      w.be32(1, 0)
      writeVerdict(w, 2, one.verdict)
    })
  if ('counter' in one) return expression(w, 'counter')
  if ('notrack' in one) return expression(w, 'notrack')
  if ('log' in one) return expression(w, 'log', () => w.text(2, one.log.prefix))
  return expression(w, 'limit', () =>
    w
      .be64(1, one.limit.perSecond)
      .be64(2, 1)
      .be32(3, one.limit.burst ?? 5)
      .be32(4, 0),
  )
}

/** Fields of a statement, wherever they stand. */
function fieldsOf(one: NftStatement): readonly NftField[] {
  const nested = (fields: readonly NftField[]): readonly NftField[] =>
    fields.flatMap((field) => (typeof field === 'object' && 'jhash' in field ? nested(field.jhash) : [field]))
  const lookupKey = (value: object): readonly NftField[] => ('key' in value ? (value as NftMapLookup).key : [])
  if ('match' in one) return nested([one.match])
  if ('lookup' in one) return nested(one.lookup)
  if ('vmap' in one) return nested(one.vmap.key)
  if ('dnat' in one) return nested(lookupKey(one.dnat))
  if ('snat' in one) return nested(lookupKey(one.snat))
  if ('update' in one) return nested([...one.key, ...(one.data === undefined ? [] : isLookup(one.data) ? one.data.key : one.data)])
  return []
}

/** Translation to a constant address fits packets of its family only. */
const constantFamily = (one: NftStatement): 'ipv4' | 'ipv6' | undefined => {
  const target = 'dnat' in one ? one.dnat : 'snat' in one ? one.snat : undefined
  if (target === undefined || !('address' in target)) return undefined
  return target.address.includes(':') ? 'ipv6' : 'ipv4'
}

/**
 * The expressions of a rule. In a table of both families, a field of one family is preceded by a test for it:
 * in a packet of the other, its place holds something else.
 */
export function writeExpressions(w: MessageWriter, rule: NftRule): void {
  const { family } = rule.chain.table
  const needed = new Set(
    rule.statements.flatMap((one) => [
      constantFamily(one),
      ...fieldsOf(one).map((field) => (typeof field === 'string' ? FIELDS[field].family : undefined)),
    ]),
  )
  needed.delete(undefined)
  if (needed.size > 1)
    throw new Error(`nftables: a rule of chain ${rule.chain.name} asks for IPv4 and IPv6 fields at once: no packet has both`)
  const [wanted] = needed
  if (wanted && family === (wanted === 'ipv4' ? 'ip6' : 'ip'))
    throw new Error(`nftables: a rule of ${family} table ${rule.chain.table.name} asks for ${wanted} fields`)
  if (wanted && (family === 'inet' || family === 'bridge' || family === 'netdev')) match(w, { match: 'meta nfproto', value: wanted })
  for (const one of rule.statements) statement(w, one, family)
}
