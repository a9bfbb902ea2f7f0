// Time as a value that is passed in, so that a simulation can own it.

/** A pending timer. */
export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Milliseconds since 1970 (wall time, may jump). */
  now(): number
  /** Milliseconds that never go back. */
  monotonic(): number
  /** Calls `run` once after `ms` milliseconds. A timer alone does not keep the process alive. */
  after(ms: number, run: () => void): Timer
}

const LONGEST_TIMEOUT = 2 ** 31 - 1

/** The machine's time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  // `performance` would load its module first.
  monotonic: () => Number(process.hrtime.bigint()) / 1e6,
  after(ms, run) {
    // Node fires at once when the delay does not fit into 31 bits: go there in legs.
    let timer: NodeJS.Timeout
    const leg = (left: number): void => {
      timer = setTimeout(() => (left > LONGEST_TIMEOUT ? leg(left - LONGEST_TIMEOUT) : run()), Math.min(left, LONGEST_TIMEOUT))
      timer.unref()
    }
    leg(Math.max(0, ms))
    return { cancel: () => clearTimeout(timer) }
  },
}

/** Resolves after `ms`; rejects with the signal's reason when it is aborted. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = (): void => {
      timer.cancel()
      reject(signal?.reason)
    }
    const timer = clock.after(ms, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** RFC 3339 in whole seconds, UTC: `2026-01-02T03:04:05Z` (metav1.Time). */
export function rfc3339(ms: number): string {
  const second = Math.floor(ms / 1000)
  if (second !== lastSecond.second) {
    lastSecond.text = `${new Date(ms).toISOString().slice(0, 19)}Z`
    lastSecond.second = second
  }
  return lastSecond.text
}
/** The present is asked for most, and many times a second. */
const lastSecond = { second: Number.NaN, text: '' }

/** RFC 3339 with six decimals: `2026-01-02T03:04:05.000000Z` (metav1.MicroTime). */
export const rfc3339Micro = (ms: number): string => {
  const micros = Math.floor((ms - Math.floor(ms)) * 1000)
  return `${new Date(ms).toISOString().slice(0, 23)}${String(micros).padStart(3, '0')}Z`
}
