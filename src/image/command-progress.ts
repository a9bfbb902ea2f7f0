// How far a pull or push is: one line per layer that is redrawn on a terminal, plain lines for a pipe.
import type { Clock } from '../lib/index.js'
import { formatBytes } from './command-print.js'
import type { LayerPhase, Progress } from './types.js'

interface Row {
  readonly progress: Progress
  /** When its first bytes moved, for the rate. */
  readonly since: number
  readonly from: number
}

const running: Readonly<Record<LayerPhase, string>> = {
  waiting: 'waiting',
  downloading: 'downloading',
  unpacking: 'unpacking',
  uploading: 'uploading',
  done: 'done',
  exists: 'already here',
}

export interface ProgressView {
  update(progress: Progress): void
  /** The last state stays on the terminal. */
  end(): void
}

const short = (digest: string): string => digest.replace(/^sha\d+:/, '').slice(0, 12)

/** `0123456789ab  downloading  12.1 MB / 40.3 MB  80.2 MB/s` */
export function progressLine({ progress, since, from }: Row, now: number): string {
  const { digest, phase, done, total } = progress
  const label = `${short(digest)}  ${running[phase].padEnd(12)}`
  if (phase === 'done' || phase === 'exists') return `${label}  ${formatBytes(total)}`
  if (phase === 'waiting') return label.trimEnd()
  const rate = now > since ? `  ${formatBytes(((done - from) * 1000) / (now - since))}/s` : ''
  return `${label}  ${formatBytes(done)} / ${formatBytes(total)}${rate}`
}

interface Options {
  readonly write: (text: string) => void
  readonly terminal: boolean
  readonly columns: number
  readonly clock: Clock
  /** What stands for a layer that was there: `already here`, `already there`. */
  readonly finished: string
}

const REDRAW_MS = 100

export function progressView({ write, terminal, columns, clock, finished }: Options): ProgressView {
  const rows = new Map<string, Row>()
  let drawn = 0
  let lastDraw = Number.NEGATIVE_INFINITY
  const draw = (): void => {
    const now = clock.monotonic()
    lastDraw = now
    const lines = [...rows.values()].map((row) => progressLine(row, now).slice(0, Math.max(20, columns - 1)))
    // Up over what was drawn, then each line fresh to its end.
    write(`${drawn > 0 ? `\x1b[${drawn}A` : ''}${lines.map((line) => `\r${line}\x1b[K\n`).join('')}`)
    drawn = lines.length
  }
  return {
    update(progress) {
      const before = rows.get(progress.digest)
      const fresh = before === undefined || before.progress.phase !== progress.phase
      rows.set(progress.digest, fresh ? { progress, since: clock.monotonic(), from: progress.done } : { ...before, progress })
      if (terminal) {
        if (fresh || clock.monotonic() - lastDraw >= REDRAW_MS) draw()
      } else if (fresh && progress.phase === 'done') write(`layer ${short(progress.digest)} ${finished} ${formatBytes(progress.total)}\n`)
      else if (fresh && progress.phase === 'exists') write(`layer ${short(progress.digest)} was already there\n`)
    },
    end() {
      if (terminal && rows.size > 0) draw()
    },
  }
}
