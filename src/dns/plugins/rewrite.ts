// Asks under another name, and answers under the name that was asked.
import { type DnsPlugin, type DnsRecord, foldName } from '../types.js'

export interface RewriteRule {
  readonly match: 'exact' | 'prefix' | 'suffix' | 'substring' | 'regex'
  readonly from: string
  /** For `regex`: `{1}` stands for the first group. */
  readonly to: string
  /** How names in the answer are turned back: a regular expression and what it becomes. The asked name comes back without it. */
  readonly answer?: { readonly from: string; readonly to: string }
}

/** Asks under another name, and answers under the name that was asked. The first rule that fits counts. */
export function rewrite(rules: readonly RewriteRule[]): DnsPlugin {
  const groups = (to: string, found: RegExpExecArray): string => to.replace(/\{(\d+)\}/g, (_, group: string) => found[Number(group)] ?? '')
  const apply = (name: string, { match, from, to }: RewriteRule): string | undefined => {
    if (match === 'exact') return name === from ? to : undefined
    if (match === 'prefix') return name.startsWith(from) ? to + name.slice(from.length) : undefined
    if (match === 'suffix') return name.endsWith(from) ? name.slice(0, -from.length) + to : undefined
    if (match === 'substring') return name.includes(from) ? name.replace(from, to) : undefined
    const found = new RegExp(from).exec(name)
    return found ? groups(to, found) : undefined
  }
  return async (query, next) => {
    for (const rule of rules) {
      const target = apply(foldName(query.question.name), rule)?.replace(/\.$/, '')
      if (target === undefined) continue
      const reply = await next({ ...query, question: { ...query.question, name: target } })
      const back = (record: DnsRecord): DnsRecord => {
        if (foldName(record.name) === foldName(target)) return { ...record, name: query.question.name }
        const found = rule.answer && new RegExp(rule.answer.from).exec(record.name)
        return found && rule.answer ? { ...record, name: groups(rule.answer.to, found).replace(/\.$/, '') } : record
      }
      return reply.answers ? { ...reply, answers: reply.answers.map(back) } : reply
    }
    return next(query)
  }
}
