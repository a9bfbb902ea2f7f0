// Asks under another name or type, and answers as if nothing had been changed; changes times and codes of answers.
import { type DnsPlugin, type DnsRecord, foldName, type Query, RCODES, type Rcode, type Reply } from '../types.js'

/** Which names are meant; for `regex`, `{1}` in what they become stands for the first group. */
export interface NameMatch {
  readonly match: 'exact' | 'prefix' | 'suffix' | 'substring' | 'regex'
  readonly from: string
}

/** Names or values in answers turned back: a regular expression and what it becomes. */
export interface TurnBack {
  readonly of: 'name' | 'value'
  readonly from: string
  readonly to: string
}

export type RewriteRule = { readonly goOn: boolean } & (
  | ({
      readonly field: 'name'
      readonly to: string
      readonly answers: readonly TurnBack[]
      /** Every name in the answer below what was asked is turned back. */
      readonly auto: boolean
    } & NameMatch)
  | { readonly field: 'type'; readonly from: number; readonly to: number }
  | ({ readonly field: 'ttl'; readonly atLeast: number; readonly atMost: number } & NameMatch)
  | ({ readonly field: 'rcode'; readonly fromCode: Rcode; readonly toCode: Rcode } & NameMatch)
)

const groups = (to: string, found: RegExpExecArray): string => to.replace(/\{(\d+)\}/g, (_, group: string) => found[Number(group)] ?? '')

/** What a name becomes; undefined when it is not meant. */
function become(name: string, { match, from }: NameMatch, to: string): string | undefined {
  if (match === 'exact') return name === from ? to : undefined
  if (match === 'prefix') return name.startsWith(from) ? to + name.slice(from.length) : undefined
  if (match === 'suffix') return name.endsWith(from) ? name.slice(0, -from.length) + to : undefined
  if (match === 'substring') return name.includes(from) ? name.replace(from, to) : undefined
  const found = new RegExp(from).exec(name)
  return found ? groups(to, found) : undefined
}

const targetOf = ({ data }: DnsRecord): string | undefined => ('target' in data ? data.target : undefined)

const withTarget = (record: DnsRecord, target: string): DnsRecord =>
  'target' in record.data ? { ...record, data: { ...record.data, target } } : record

const mapRecords = (reply: Reply, change: (record: DnsRecord) => DnsRecord): Reply => ({
  ...reply,
  ...(reply.answers ? { answers: reply.answers.map(change) } : {}),
  ...(reply.additional ? { additional: reply.additional.map(change) } : {}),
})

interface Rewritten {
  readonly query: Query
  readonly back: (reply: Reply) => Reply
}

function rewriteName(query: Query, rule: Extract<RewriteRule, { field: 'name' }>): Rewritten | undefined {
  const asked = query.question.name
  const target = become(foldName(asked), rule, rule.to)?.replace(/\.$/, '')
  if (target === undefined) return undefined
  const folded = foldName(target)
  const turn = (of: TurnBack['of'], name: string): string => {
    if (of === 'name' && foldName(name) === folded) return asked
    for (const { from, to } of rule.answers.filter((each) => each.of === of)) {
      const found = new RegExp(from).exec(name)
      if (found) return groups(to, found).replace(/\.$/, '')
    }
    if (!rule.auto) return name
    if (foldName(name) === folded) return asked
    // With `suffix`, whatever is below the new suffix is below the old one.
    return rule.match === 'suffix' && foldName(name).endsWith(foldName(rule.to)) ? name.slice(0, -rule.to.length) + rule.from : name
  }
  const back = (record: DnsRecord): DnsRecord => {
    const named = { ...record, name: turn('name', record.name) }
    const value = targetOf(named)
    return value === undefined ? named : withTarget(named, turn('value', value))
  }
  return { query: { ...query, question: { ...query.question, name: target } }, back: (reply) => mapRecords(reply, back) }
}

function apply(query: Query, rule: RewriteRule): Rewritten | undefined {
  if (rule.field === 'name') return rewriteName(query, rule)
  if (rule.field === 'type') {
    if (query.question.type !== rule.from) return undefined
    return { query: { ...query, question: { ...query.question, type: rule.to } }, back: (reply) => reply }
  }
  if (become(foldName(query.question.name), rule, '') === undefined) return undefined
  if (rule.field === 'ttl') {
    const { atLeast, atMost } = rule
    return { query, back: (reply) => mapRecords(reply, (record) => ({ ...record, ttl: Math.min(atMost, Math.max(atLeast, record.ttl)) })) }
  }
  return { query, back: (reply) => (RCODES[reply.rcode] === RCODES[rule.fromCode] ? { ...reply, rcode: rule.toCode } : reply) }
}

/** The first rule that fits counts, and those after it that say `continue` before. */
export function rewrite(rules: readonly RewriteRule[]): DnsPlugin {
  return async (query, next) => {
    let current = query
    const backs: Rewritten['back'][] = []
    for (const rule of rules) {
      const done = apply(current, rule)
      if (!done) continue
      current = done.query
      backs.unshift(done.back)
      if (!rule.goOn) break
    }
    if (backs.length === 0) return next(query)
    return backs.reduce((reply, back) => back(reply), await next(current))
  }
}
