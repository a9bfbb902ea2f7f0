// How far a pull or push is: one line per layer that is redrawn on a terminal, plain lines for a pipe.
import type { Clock } from '../lib/index.js'
import { formatBytes } from './command-print.js'
import type { LayerPhase, Progress } from './types.js'

/** What has become of a layer: `pulled` or `pushed`, `already here` or `already there`. */
export type ProgressWords = Readonly<Record<'done' | 'exists', string>>

interface Row {
  readonly progress: Progress
  /** When the first bytes of this phase moved, and how many were there before: for the rate. */
  readonly since: number
  readonly from: number
  /** As it was when its last bytes had been moved over the network. */
  readonly rate: string
}

export interface ProgressView {
  update(progress: Progress): void
  /** The last state stays on the terminal. */
  end(): void
}

interface Options {
  readonly write: (text: string) => void
  readonly terminal: boolean
  readonly columns: number
  readonly rows: number
  readonly clock: Clock
  readonly words: ProgressWords
}

const REDRAW_MS = 100

const short = (digest: string): string => digest.replace(/^sha\d+:/, '').slice(0, 12)

const isOver = (phase: LayerPhase): phase is 'done' | 'exists' => phase === 'done' || phase === 'exists'

const isTransfer = (phase: LayerPhase): boolean => phase === 'downloading' || phase === 'uploading'

/** `0123456789ab  downloading    12.1 MB / 40.3 MB  80.2 MB/s`, and in the end `0123456789ab  pulled  40.3 MB  79.8 MB/s`. */
export function progressLine({ progress, rate }: Pick<Row, 'progress' | 'rate'>, words: ProgressWords): string {
  const { digest, phase, done, total } = progress
  const label = `${short(digest)}  ${(isOver(phase) ? words[phase] : phase).padEnd(13)}`
  if (phase === 'waiting') return label.trimEnd()
  const bytes = isOver(phase) ? formatBytes(total) : `${formatBytes(done)} / ${formatBytes(total)}`
  return `${label}  ${bytes}${rate === '' ? '' : `  ${rate}`}`
}

/** A row after more has come in. The rate is that of the network: unpacking shows the one that the download had. */
function next(before: Row | undefined, progress: Progress, now: number): Row {
  const fresh = before === undefined || before.progress.phase !== progress.phase
  if (fresh && !isOver(progress.phase)) return { progress, since: now, from: progress.done, rate: before?.rate ?? '' }
  if (before === undefined || progress.phase === 'exists') return { progress, since: now, from: progress.done, rate: '' }
  const moving = isTransfer(before.progress.phase) && now > before.since
  const rate = moving ? `${formatBytes(((progress.done - before.from) * 1000) / (now - before.since))}/s` : before.rate
  return { ...before, progress, rate }
}

export function progressView({ write, terminal, columns, rows: height, clock, words }: Options): ProgressView {
  const rows = new Map<string, Row>()
  let drawn = 0
  let lastDraw = Number.NEGATIVE_INFINITY
  /** What does not fit onto the terminal cannot be drawn over: of more layers than lines only the last are shown until the end. */
  const draw = (most: number): void => {
    lastDraw = clock.monotonic()
    const lines = [...rows.values()].map((row) => progressLine(row, words).slice(0, Math.max(20, columns - 1))).slice(-most)
    // Up over what was drawn, then each line fresh to its end.
    write(`${drawn > 0 ? `\x1b[${drawn}A` : ''}${lines.map((line) => `\r${line}\x1b[K\n`).join('')}`)
    drawn = lines.length
  }
  return {
    update(progress) {
      const before = rows.get(progress.digest)
      const now = clock.monotonic()
      const fresh = before?.progress.phase !== progress.phase
      const row = next(before, progress, now)
      rows.set(progress.digest, row)
      if (terminal) {
        if (fresh || now - lastDraw >= REDRAW_MS) draw(Math.max(1, height - 1))
      } else if (fresh && isOver(progress.phase)) write(`layer ${progressLine(row, words).replace(/ +/g, ' ')}\n`)
    },
    end() {
      if (terminal && rows.size > 0) draw(rows.size)
    },
  }
}
