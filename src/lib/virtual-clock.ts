// A clock that stands still until it is told to go: for tests and the simulator.
import type { Clock, Timer } from './clock.js'

interface Pending {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

export interface VirtualClock extends Clock {
  /** Runs what falls due in the next `ms`, in order; lets promises settle between timers. */
  advance(ms: number): Promise<void>
  /** When the next timer falls due (`monotonic` time), if there is one. */
  next(): number | undefined
  /** Moves wall time alone, as an administrator does. */
  jump(ms: number): void
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Starts at `start` milliseconds since 1970. */
export function virtualClock(start = Date.UTC(2026, 0, 1)): VirtualClock {
  let elapsed = 0
  let offset = start
  let order = 0
  const pending: Pending[] = []

  const due = (limit: number): Pending | undefined => {
    let best: Pending | undefined
    for (const timer of pending) {
      if (timer.at <= limit && (!best || timer.at < best.at || (timer.at === best.at && timer.order < best.order))) best = timer
    }
    return best
  }

  return {
    now: () => offset + elapsed,
    monotonic: () => elapsed,
    after(ms, run): Timer {
      const timer: Pending = { at: elapsed + Math.max(0, ms), order: order++, run }
      pending.push(timer)
      return {
        cancel() {
          const index = pending.indexOf(timer)
          if (index >= 0) pending.splice(index, 1)
        },
      }
    },
    async advance(ms) {
      const end = elapsed + ms
      await settle()
      for (let timer = due(end); timer; timer = due(end)) {
        pending.splice(pending.indexOf(timer), 1)
        elapsed = Math.max(elapsed, timer.at)
        timer.run()
        await settle()
      }
      elapsed = end
    },
    next: () => due(Number.POSITIVE_INFINITY)?.at,
    jump(ms) {
      offset += ms
    },
  }
}
