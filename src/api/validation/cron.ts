// The five fields of a cron schedule.

interface Range {
  readonly name: string
  readonly min: number
  readonly max: number
  readonly words: readonly string[]
}

const ranges: readonly Range[] = [
  { name: 'minute', min: 0, max: 59, words: [] },
  { name: 'hour', min: 0, max: 23, words: [] },
  { name: 'day of month', min: 1, max: 31, words: [] },
  { name: 'month', min: 1, max: 12, words: ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'] },
  { name: 'day of week', min: 0, max: 6, words: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] },
]
const names = new Set(['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly'])

function numberOf(text: string, range: Range): number | undefined {
  const word = range.words.indexOf(text.toLowerCase())
  if (word >= 0) return word + range.min
  return /^\d+$/.test(text) ? Number(text) : undefined
}

function termError(term: string, range: Range): string | undefined {
  const [span = '', step, ...more] = term.split('/')
  if (more.length > 0) return `too many slashes: ${term}`
  const [low = '', high, ...rest] = span.split('-')
  if (rest.length > 0) return `too many hyphens: ${term}`
  if (low === '*' || low === '?') {
    if (high !== undefined) return `failed to parse int from ${term}`
  } else {
    const start = numberOf(low, range)
    const end = high === undefined ? start : numberOf(high, range)
    if (start === undefined || end === undefined) return `failed to parse int from ${start === undefined ? low : high}`
    if (start < range.min) return `beginning of range (${start}) below minimum (${range.min}): ${term}`
    if (end > range.max) return `end of range (${end}) above maximum (${range.max}): ${term}`
    if (start > end) return `beginning of range (${start}) beyond end of range (${end}): ${term}`
  }
  if (step !== undefined && (!/^\d+$/.test(step) || Number(step) === 0)) return `step of range should be a positive number: ${term}`
  return undefined
}

/** What is wrong with a schedule; undefined when it is right. */
export function cronErrors(schedule: string): string | undefined {
  const text = schedule.replace(/^(TZ|CRON_TZ)=\S+\s+/, '').trim()
  if (text.startsWith('@')) {
    if (names.has(text) || /^@every (\d+(\.\d+)?(ns|us|ms|s|m|h))+$/.test(text)) return undefined
    return `unrecognized descriptor: ${text}`
  }
  const fields = text.split(/\s+/)
  if (fields.length !== 5) return `expected exactly 5 fields, found ${fields.length}: [${fields.join(' ')}]`
  for (const [index, field] of fields.entries())
    for (const term of field.split(',')) {
      const error = termError(term, ranges[index] as Range)
      if (error) return error
    }
  return undefined
}
