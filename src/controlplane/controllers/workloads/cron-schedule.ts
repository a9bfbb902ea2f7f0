// Cron schedules in a time zone: minute, hour, day of month, month, day of week. Pure.

interface Field {
  readonly min: number
  readonly max: number
  readonly names?: readonly string[]
}

const FIELDS: readonly Field[] = [
  { min: 0, max: 59 },
  { min: 0, max: 23 },
  { min: 1, max: 31 },
  { min: 1, max: 12, names: ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'] },
  { min: 0, max: 7, names: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] },
]

const MACROS: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}

export interface Schedule {
  readonly minutes: ReadonlySet<number>
  readonly hours: ReadonlySet<number>
  readonly days: ReadonlySet<number>
  readonly months: ReadonlySet<number>
  readonly weekdays: ReadonlySet<number>
  /** `*` in one of the two day fields leaves the other alone in charge; else either will do. */
  readonly anyDay: boolean
  readonly anyWeekday: boolean
  /** `@every 90s`. */
  readonly everyMs?: number
}

function parseField(text: string, { min, max, names }: Field): Set<number> {
  const values = new Set<number>()
  const number = (word: string): number => {
    const named = names?.indexOf(word.toLowerCase()) ?? -1
    const value = named >= 0 ? named + min : /^\d+$/.test(word) ? Number(word) : Number.NaN
    if (!(value >= min && value <= max)) throw new Error(`${JSON.stringify(word)} is not between ${min} and ${max}`)
    return value
  }
  for (const part of text.split(',')) {
    const [range = '', step = '1', ...rest] = part.split('/')
    if (rest.length > 0 || !/^\d+$/.test(step) || Number(step) === 0) throw new Error(`${JSON.stringify(part)} is not a range with a step`)
    const [from = '', to] = range.split('-')
    const first = from === '*' || from === '?' ? min : number(from)
    const last = from === '*' || from === '?' ? max : to !== undefined ? number(to) : part.includes('/') ? max : first
    if (first > last) throw new Error(`${JSON.stringify(range)} begins after its end`)
    for (let value = first; value <= last; value += Number(step)) values.add(value)
  }
  return values
}

const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000 }

/** Throws Error with what is wrong with the schedule. */
export function parseSchedule(text: string): Schedule {
  const every = /^@every\s+((?:\d+[hms])+)$/.exec(text.trim())
  const all = new Set<number>()
  if (every) {
    let ms = 0
    for (const [, amount, unit] of (every[1] ?? '').matchAll(/(\d+)([hms])/g)) ms += Number(amount) * (UNITS[unit ?? ''] ?? 0)
    return { minutes: all, hours: all, days: all, months: all, weekdays: all, anyDay: true, anyWeekday: true, everyMs: Math.max(1000, ms) }
  }
  const words = (MACROS[text.trim()] ?? text).trim().split(/\s+/)
  if (words.length !== 5) throw new Error(`expected exactly 5 fields, found ${words.length}: [${text}]`)
  const [minutes, hours, days, months, weekdays] = words.map((word, index) => parseField(word, FIELDS[index] as Field)) as [
    Set<number>,
    Set<number>,
    Set<number>,
    Set<number>,
    Set<number>,
  ]
  if (weekdays.has(7)) weekdays.add(0)
  const isAny = (word: string | undefined): boolean => word?.startsWith('*') === true || word === '?'
  return { minutes, hours, days, months, weekdays, anyDay: isAny(words[2]), anyWeekday: isAny(words[4]) }
}

interface WallTime {
  readonly year: number
  readonly month: number
  readonly day: number
  readonly hour: number
  readonly minute: number
  readonly weekday: number
}

const MINUTE = 60_000

const formats = new Map<string, Intl.DateTimeFormat>()

/** Throws RangeError for a zone that does not exist. */
function formatOf(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone)
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
    })
    formats.set(zone, format)
  }
  return format
}

export function isTimeZone(zone: string): boolean {
  try {
    formatOf(zone)
    return true
  } catch {
    return false
  }
}

export function wallTime(ms: number, zone: string): WallTime {
  const part = new Map(
    formatOf(zone)
      .formatToParts(ms)
      .map(({ type, value }) => [type, Number(value)]),
  )
  const get = (type: Intl.DateTimeFormatPartTypes): number => part.get(type) ?? 0
  const [year, month, day] = [get('year'), get('month'), get('day')]
  const weekday = new Date(Date.UTC(year, month - 1, day)).getUTCDay()
  return { year, month, day, hour: get('hour'), minute: get('minute'), weekday }
}

/** RFC 3339 with the offset that the zone has at that time; `Z` for UTC. */
export function zonedTime(ms: number, zone = 'UTC'): string {
  const { year, month, day, hour, minute } = wallTime(ms, zone)
  const local = Date.UTC(year, month - 1, day, hour, minute, Math.floor((ms / 1000) % 60))
  const offset = Math.round((local - ms) / MINUTE)
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0')
  const suffix = offset === 0 ? 'Z' : `${offset < 0 ? '-' : '+'}${two(Math.abs(offset) / 60)}:${two(Math.abs(offset) % 60)}`
  return `${new Date(local).toISOString().slice(0, 19)}${suffix}`
}

function dayMatches(schedule: Schedule, { month, day, weekday }: WallTime): boolean {
  if (!schedule.months.has(month)) return false
  const byDay = schedule.days.has(day)
  const byWeekday = schedule.weekdays.has(weekday)
  return schedule.anyDay || schedule.anyWeekday ? byDay && byWeekday : byDay || byWeekday
}

const HOUR = 60 * MINUTE
const HORIZON = 5 * 366 * 24 * HOUR

/** The first time after `after` that the schedule names; undefined when there is none within five years. */
export function nextTime(schedule: Schedule, after: number, zone = 'UTC'): number | undefined {
  if (schedule.everyMs !== undefined) return Math.floor(after / 1000) * 1000 + schedule.everyMs
  let at = Math.floor(after / MINUTE) * MINUTE + MINUTE
  const end = after + HORIZON
  while (at < end) {
    const wall = wallTime(at, zone)
    if (!dayMatches(schedule, wall)) {
      // Towards midnight, some hours short of it: days have 23 or 25 hours where clocks are changed.
      const left = 24 - wall.hour
      at += left > 3 ? (left - 3) * HOUR : MINUTE * (60 - wall.minute)
      continue
    }
    if (!schedule.hours.has(wall.hour)) {
      at += MINUTE * (60 - wall.minute)
      continue
    }
    if (schedule.minutes.has(wall.minute)) return at
    at += MINUTE
  }
  return undefined
}
