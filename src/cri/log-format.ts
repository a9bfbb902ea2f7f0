// The CRI's log format, both ways: `<RFC 3339 time> <stdout|stderr> <P|F> <content>\n` (design of kubelet's container logs).

export type LogStream = 'stdout' | 'stderr'

/** Longer lines are cut into partial ones. */
export const LONGEST_LINE = 16 * 1024

/** `2026-01-02T03:04:05.006000000Z`. */
export const logTime = (ms: number): string => `${new Date(ms).toISOString().slice(0, 23)}000000Z`

const NEWLINE = 0x0a

export interface Formatted {
  /** What to append to the log. */
  readonly text: Buffer
  /** How much of the input that accounts for; the rest is a line whose end has not come. */
  readonly consumed: number
}

/**
 * Log lines for the bytes of one stream. Whole lines become full (`F`) lines; a line longer than LONGEST_LINE becomes partial
 * (`P`) ones. With `final`, a last line without newline is written as a partial one, so that reading gives back the same bytes.
 */
export function formatLog(input: Buffer, options: { stream: LogStream; time: number; final?: boolean }): Formatted {
  const head = `${logTime(options.time)} ${options.stream}`
  const full = Buffer.from(`${head} F `)
  const partial = Buffer.from(`${head} P `)
  const pieces: { readonly tag: Buffer; readonly start: number; readonly end: number }[] = []
  let size = 0
  let at = 0
  const add = (tag: Buffer, end: number): void => {
    pieces.push({ tag, start: at, end })
    size += tag.length + (end - at) + 1
  }
  while (at < input.length) {
    const newline = input.indexOf(NEWLINE, at)
    const end = newline < 0 ? input.length : newline
    if (end - at > LONGEST_LINE) {
      add(partial, at + LONGEST_LINE)
      at += LONGEST_LINE
    } else if (newline >= 0) {
      add(full, newline)
      at = newline + 1
    } else if (options.final) {
      add(partial, end)
      at = end
    } else break
  }
  const text = Buffer.allocUnsafe(size)
  let to = 0
  for (const { tag, start, end } of pieces) {
    to += tag.copy(text, to)
    to += input.copy(text, to, start, end)
    text[to++] = NEWLINE
  }
  return { text, consumed: at }
}

export interface LogLine {
  /** As written: nanoseconds and all. */
  readonly time: string
  readonly stream: LogStream
  /** More of the same line follows. */
  readonly partial: boolean
  readonly content: Buffer
}

/** One line of a log without its newline; undefined when it is not in the format. */
export function parseLogLine(line: Buffer): LogLine | undefined {
  const first = line.indexOf(0x20)
  const second = first < 0 ? -1 : line.indexOf(0x20, first + 1)
  if (second < 0) return undefined
  const third = line.indexOf(0x20, second + 1)
  const tagEnd = third < 0 ? line.length : third
  const stream = line.toString('latin1', first + 1, second)
  // Tags are separated by colons; the first says whether the line is whole.
  const tag = line.toString('latin1', second + 1, tagEnd).split(':')[0]
  if ((stream !== 'stdout' && stream !== 'stderr') || (tag !== 'P' && tag !== 'F')) return undefined
  return {
    time: line.toString('latin1', 0, first),
    stream,
    partial: tag === 'P',
    content: third < 0 ? Buffer.alloc(0) : line.subarray(third + 1),
  }
}
