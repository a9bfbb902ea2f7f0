import t from 'tap'
import { formatLog, LONGEST_LINE, parseLogLine } from './log-format.js'

const time = Date.UTC(2026, 0, 2, 3, 4, 5, 6)
const lines = (text: Buffer): string[] => text.toString('latin1').split('\n').slice(0, -1)

/** What a reader of the log sees: contents joined as kubelet joins them. */
function replay(text: Buffer): string {
  return lines(text)
    .map((line) => {
      const parsed = parseLogLine(Buffer.from(line, 'latin1'))
      if (!parsed) throw new Error(`not a log line: ${line}`)
      return parsed.content.toString('latin1') + (parsed.partial ? '' : '\n')
    })
    .join('')
}

t.test('whole lines are full lines, the rest waits', async (t) => {
  const { text, consumed } = formatLog(Buffer.from('one\n\ntwo\nthr'), { stream: 'stdout', time })
  t.strictSame(lines(text), [
    '2026-01-02T03:04:05.006000000Z stdout F one',
    '2026-01-02T03:04:05.006000000Z stdout F ',
    '2026-01-02T03:04:05.006000000Z stdout F two',
  ])
  t.equal(consumed, 9)
})

t.test('the end of a stream writes what waits as a partial line', async (t) => {
  const { text, consumed } = formatLog(Buffer.from('DONE'), { stream: 'stderr', time, final: true })
  t.strictSame(lines(text), ['2026-01-02T03:04:05.006000000Z stderr P DONE'])
  t.equal(consumed, 4)
  t.equal(replay(text), 'DONE')
})

t.test('long lines are cut, and reading gives the same bytes back', async (t) => {
  const input = `${'x'.repeat(LONGEST_LINE)}\n${'y'.repeat(2 * LONGEST_LINE + 5)}\nz\n`
  const { text, consumed } = formatLog(Buffer.from(input), { stream: 'stdout', time })
  t.equal(consumed, input.length)
  t.equal(replay(text), input)
  t.strictSame(
    lines(text).map((line) => line.split(' ')[2]),
    ['F', 'P', 'P', 'F', 'F'],
  )
})

t.test('a long line without end is written as far as it goes', async (t) => {
  const { text, consumed } = formatLog(Buffer.alloc(LONGEST_LINE + 10, 0x61), { stream: 'stdout', time })
  t.equal(consumed, LONGEST_LINE)
  t.equal(lines(text).length, 1)
})

t.test('lines that are not in the format are told', async (t) => {
  for (const line of ['', 'x', 'time stdout', 'time stdlog F x', 'time stdout Q x']) t.equal(parseLogLine(Buffer.from(line)), undefined)
  t.match(parseLogLine(Buffer.from('2026-01-02T03:04:05Z stderr P:x hi there')), { stream: 'stderr', partial: true })
})
