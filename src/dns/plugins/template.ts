// Answers made from the question by a pattern: `template IN A example.com { answer "{{ .Name }} 60 IN A 192.0.2.1" }`.
import { isIPv4, isIPv6 } from 'node:net'
import { type DnsPlugin, type DnsRecord, foldName, isWithin, type Query, type Rcode, type RecordData, type Reply } from '../types.js'

/** A record in zone-file form with `{{ .Name }}`, `{{ .Group.NAME }}` and `{{ index .Match N }}` in it. */
export interface TemplateRecord {
  readonly text: string
}

export interface TemplateOptions {
  /** Undefined: every type. */
  readonly type?: number
  readonly zones: readonly string[]
  /** One of them must fit; without any, every name of the zones does. */
  readonly patterns: readonly RegExp[]
  readonly answer: readonly TemplateRecord[]
  readonly additional: readonly TemplateRecord[]
  readonly authority: readonly TemplateRecord[]
  readonly rcode: Rcode
  readonly fallthrough: readonly string[]
}

/** `name TTL IN TYPE data`; throws RangeError for what is no record. */
function parseRecord(text: string): DnsRecord {
  const [name = '', ttl = '', zoneClass = '', type = '', ...words] = text.trim().split(/\s+/)
  const target = (word = ''): string => word.replace(/\.$/, '')
  const numbers = words.map(Number)
  const data = ((): RecordData | undefined => {
    const [first = '', second = ''] = words
    if (type === 'A' && isIPv4(first)) return { type, address: first }
    if (type === 'AAAA' && isIPv6(first)) return { type, address: first }
    if (type === 'CNAME' || type === 'NS' || type === 'PTR') return { type, target: target(first) }
    if (type === 'TXT') return { type, texts: [words.join(' ').replace(/^"|"$/g, '')] }
    if (type === 'MX') return { type, preference: numbers[0] ?? 0, target: target(second) }
    if (type === 'SRV') return { type, priority: numbers[0] ?? 0, weight: numbers[1] ?? 0, port: numbers[2] ?? 0, target: target(words[3]) }
    if (type !== 'SOA') return undefined
    const [serial = 0, refresh = 0, retry = 0, expire = 0, minimum = 0] = numbers.slice(2)
    return { type, primary: target(first), mailbox: target(second), serial, refresh, retry, expire, minimum }
  })()
  if (!data || !/^\d+$/.test(ttl) || zoneClass !== 'IN') throw new RangeError(`"${text}" is no record`)
  return { name: target(name), ttl: Number(ttl), data }
}

function fill({ text }: TemplateRecord, { question }: Query, found: RegExpExecArray | undefined): DnsRecord {
  const filled = text
    .replace(/\{\{\s*\.(?:Name|Zone)\s*\}\}/g, `${question.name}.`)
    .replace(/\{\{\s*\.Group\.(\w+)\s*\}\}/g, (_, name: string) => found?.groups?.[name] ?? '')
    .replace(/\{\{\s*index\s+\.Match\s+(\d+)\s*\}\}/g, (_, index: string) => found?.[Number(index)] ?? '')
  return parseRecord(filled)
}

export function template(options: TemplateOptions): DnsPlugin {
  const { type, zones, patterns, rcode, fallthrough } = options
  return async (query, next) => {
    const name = foldName(query.question.name)
    if (!zones.some((zone) => isWithin(name, zone)) || (type !== undefined && type !== query.question.type)) return next(query)
    const found = patterns.map((pattern) => pattern.exec(`${name}.`)).find((each) => each !== null)
    if (patterns.length > 0 && !found) return fallthrough.some((zone) => isWithin(name, zone)) ? next(query) : { rcode: 'SERVFAIL' }
    const section = (records: readonly TemplateRecord[]): DnsRecord[] => records.map((each) => fill(each, query, found ?? undefined))
    const reply: Reply = {
      rcode,
      authoritative: true,
      answers: section(options.answer),
      authority: section(options.authority),
      additional: section(options.additional),
    }
    return reply
  }
}
