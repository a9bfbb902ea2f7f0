// Virtual time with many timers: a heap, and a turn of the event loop between any two of them.
import type { Clock, Timer } from '../../src/lib/index.js'

interface Pending {
  readonly at: number
  readonly order: number
  run: (() => void) | undefined
}

export interface SimClock extends Clock {
  /** Runs timers until `check` says so or `ms` have passed; true when it said so. */
  runUntil(ms: number, check?: () => boolean): Promise<boolean>
  /** Time stands still until the work is over: for what takes no virtual time but real one. */
  hold(work: Promise<void>): void
  /** Moves wall time alone. */
  jump(ms: number): void
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export function simClock(start = Date.UTC(2026, 0, 1)): SimClock {
  const heap: Pending[] = []
  let elapsed = 0
  let offset = start
  let order = 0
  const held: Promise<void>[] = []
  const less = (a: Pending, b: Pending): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)
  function push(item: Pending): void {
    let at = heap.push(item) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!less(heap[at] as Pending, heap[parent] as Pending)) break
      ;[heap[at], heap[parent]] = [heap[parent] as Pending, heap[at] as Pending]
      at = parent
    }
  }
  function pop(): Pending | undefined {
    const top = heap[0]
    const last = heap.pop()
    if (heap.length > 0 && last) {
      heap[0] = last
      for (let at = 0; ; ) {
        let least = at
        for (const child of [2 * at + 1, 2 * at + 2]) {
          if (child < heap.length && less(heap[child] as Pending, heap[least] as Pending)) least = child
        }
        if (least === at) break
        ;[heap[at], heap[least]] = [heap[least] as Pending, heap[at] as Pending]
        at = least
      }
    }
    return top
  }
  return {
    now: () => offset + elapsed,
    monotonic: () => elapsed,
    after(ms, run): Timer {
      const timer: Pending = { at: elapsed + Math.max(0, ms), order: order++, run }
      push(timer)
      return {
        cancel() {
          timer.run = undefined
        },
      }
    },
    hold: (work) => void held.push(work),
    jump(ms) {
      offset += ms
    },
    async runUntil(ms, check) {
      const end = elapsed + ms
      await turn()
      for (;;) {
        if (check?.()) return true
        const next = heap[0]
        if (!next || next.at > end) break
        pop()
        if (!next.run) continue
        elapsed = Math.max(elapsed, next.at)
        next.run()
        while (held.length > 0) await held.shift()
        await turn()
        await turn()
      }
      elapsed = end
      return check?.() ?? false
    },
  }
}
