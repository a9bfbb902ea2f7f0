import t from 'tap'
import { systemClock } from '../lib/index.js'
import { progressView } from './command-progress.js'
import type { LayerPhase } from './types.js'

const digestOf = (letter: string) => `sha256:${letter.repeat(64)}` as const

/** A view with a clock of its own; `shown` is what a terminal shows in the end. */
function scene(options: { readonly terminal?: boolean; readonly columns?: number; readonly rows?: number } = {}) {
  let now = 0
  let written = ''
  const view = progressView({
    write: (text) => {
      written += text
    },
    terminal: true,
    columns: 100,
    rows: 24,
    clock: { ...systemClock, monotonic: () => now },
    words: { done: 'pulled', exists: 'already here' },
    ...options,
  })
  return {
    view,
    at(ms: number, letter: string, phase: LayerPhase, done: number, total = 40_000_000) {
      now = ms
      view.update({ digest: digestOf(letter), phase, done, total })
    },
    written: () => written,
    shown() {
      const lines: string[] = []
      let row = 0
      for (const [, up, text] of written.replaceAll('\u001b', '^').matchAll(/\^\[(\d+)A|\r([^^]*)\^\[K\n/g)) {
        if (up !== undefined) row -= Number(up)
        else lines[row++] = text ?? ''
      }
      return lines
    },
  }
}

t.test('on a terminal: one line per layer, with bytes and rate, redrawn in its place', async (t) => {
  const s = scene()
  s.at(0, 'a', 'waiting', 0)
  s.at(0, 'b', 'exists', 1_500_000, 1_500_000)
  s.at(1000, 'a', 'downloading', 1_000_000)
  s.at(1500, 'a', 'downloading', 11_000_000)
  t.same(s.shown(), ['aaaaaaaaaaaa  downloading    11.0 MB / 40.0 MB  20.0 MB/s', 'bbbbbbbbbbbb  already here   1.5 MB'])
  const before = s.written()
  s.at(1550, 'a', 'downloading', 12_000_000)
  t.equal(s.written(), before, 'not drawn more often than an eye can see')
  s.at(3000, 'a', 'unpacking', 39_000_000)
  t.match(s.shown()[0], /^a+ {2}unpacking {6}39\.0 MB \/ 40\.0 MB {2}20\.0 MB\/s$/)
  s.at(3100, 'a', 'done', 40_000_000)
  s.view.end()
  t.same(s.shown(), ['aaaaaaaaaaaa  pulled         40.0 MB  20.0 MB/s', 'bbbbbbbbbbbb  already here   1.5 MB'])
  t.notMatch(s.shown().join('\n'), /ing\b|will/, 'what is done is said as done')
})

t.test('a terminal that is too small: no line is broken, and none is left behind', async (t) => {
  const s = scene({ columns: 30, rows: 4 })
  for (const letter of 'abcdef') s.at(0, letter, 'downloading', 0)
  t.ok(Math.max(...s.shown().map((line) => line.length)) < 30)
  t.equal(s.shown().length, 3, 'what does not fit could not be drawn over')
  for (const letter of 'abcdef') s.at(1, letter, 'done', 40_000_000)
  s.view.end()
  t.equal(s.shown().length, 6, 'in the end all are there')
  t.ok(s.shown().every((line, i) => line.startsWith(`${'abcdef'[i]?.repeat(12)}  pulled`)))
})

t.test('into a pipe: one plain line for a layer, when it is over', async (t) => {
  const s = scene({ terminal: false })
  s.at(0, 'a', 'waiting', 0)
  s.at(0, 'a', 'downloading', 0)
  s.at(2000, 'a', 'done', 40_000_000)
  s.at(2000, 'b', 'exists', 999, 999)
  s.view.end()
  t.equal(s.written(), 'layer aaaaaaaaaaaa pulled 40.0 MB 20.0 MB/s\nlayer bbbbbbbbbbbb already here 999 B\n')
})
