// What a person sees while something is being set up: one line a step, with its time.
import type { Clock, CommandIo } from '../lib/index.js'

export interface Checklist {
  /** Runs a step and ticks it off; the line says what was done, in the past tense. A failure is shown and thrown on. */
  step<T>(done: string, run: () => Promise<T>): Promise<T>
  note(text: string): void
}

const seconds = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`)

export function checklist(out: CommandIo['stdout'], clock: Clock): Checklist {
  const colored = out.isTTY === true
  const tick = colored ? '\x1b[32m✔\x1b[0m' : '✔'
  const cross = colored ? '\x1b[31m✘\x1b[0m' : '✘'
  return {
    async step(done, run) {
      const startedAt = clock.monotonic()
      try {
        const result = await run()
        out.write(`${tick} ${done} (${seconds(clock.monotonic() - startedAt)})\n`)
        return result
      } catch (error) {
        out.write(`${cross} ${done}: failed after ${seconds(clock.monotonic() - startedAt)}\n`)
        throw error
      }
    },
    note: (text) => void out.write(`${text}\n`),
  }
}
