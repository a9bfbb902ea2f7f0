// Keys waiting to be worked on: each once at a time, however often it is asked for.
import { type Clock, type Deferred, deferred, type Timer } from '../lib/index.js'

export interface WorkQueueOptions {
  readonly clock: Clock
  /** First wait after a failure; doubled each time. Default 5 ms, as client-go's. */
  readonly initialMs?: number
  /** Default 1,000 s. */
  readonly maxMs?: number
}

export interface WorkQueue {
  /** Asks for a key. While it is being worked on, it is worked on once more afterwards. */
  add(key: string): void
  /** Asks for a key in `ms`; the earliest of several wishes counts. */
  addAfter(key: string, ms: number): void
  /** Asks again after a failure, later each time. */
  retry(key: string): void
  /** The key went well: its back-off starts anew. */
  forget(key: string): void
  /** How often the key failed since it last went well. */
  failures(key: string): number
  /** The next key, when there is one; undefined after `stop`. Every key must be given back with `done`. */
  next(): Promise<string | undefined>
  done(key: string): void
  stop(): void
  readonly length: number
}

interface Delayed {
  readonly at: number
  readonly timer: Timer
}

/** A queue in the manner of client-go's workqueue. */
export function workQueue({ clock, initialMs = 5, maxMs = 1_000_000 }: WorkQueueOptions): WorkQueue {
  /** Insertion order is the order of work. */
  const waiting = new Set<string>()
  const working = new Set<string>()
  const again = new Set<string>()
  const delayed = new Map<string, Delayed>()
  const failed = new Map<string, number>()
  const readers: Deferred<string | undefined>[] = []
  let stopped = false

  const take = (): string | undefined => {
    const [key] = waiting
    if (key === undefined) return undefined
    waiting.delete(key)
    working.add(key)
    return key
  }

  const queue: WorkQueue = {
    add(key) {
      if (stopped) return
      if (working.has(key)) {
        again.add(key)
        return
      }
      waiting.add(key)
      const reader = readers.shift()
      if (reader) reader.resolve(take())
    },
    addAfter(key, ms) {
      if (stopped) return
      if (ms <= 0) return queue.add(key)
      const at = clock.monotonic() + ms
      const known = delayed.get(key)
      if (known) {
        if (known.at <= at) return
        known.timer.cancel()
      }
      const timer = clock.after(ms, () => {
        delayed.delete(key)
        queue.add(key)
      })
      delayed.set(key, { at, timer })
    },
    retry(key) {
      const failures = failed.get(key) ?? 0
      failed.set(key, failures + 1)
      queue.addAfter(key, Math.min(maxMs, initialMs * 2 ** Math.min(failures, 60)))
    },
    forget(key) {
      failed.delete(key)
    },
    failures: (key) => failed.get(key) ?? 0,
    next() {
      if (stopped) return Promise.resolve(undefined)
      const key = take()
      if (key !== undefined) return Promise.resolve(key)
      const reader = deferred<string | undefined>()
      readers.push(reader)
      return reader.promise
    },
    done(key) {
      working.delete(key)
      if (again.delete(key)) queue.add(key)
    },
    stop() {
      stopped = true
      waiting.clear()
      for (const { timer } of delayed.values()) timer.cancel()
      delayed.clear()
      for (const reader of readers.splice(0)) reader.resolve(undefined)
    },
    get length() {
      return waiting.size
    },
  }
  return queue
}
