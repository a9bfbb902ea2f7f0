// How long a container that keeps ending, or an image that cannot be pulled, waits before the next try. Pure but for its own table.

export interface BackOffEntry {
  readonly delayMs: number
  /** When the delay was last raised. */
  readonly at: number
}

export interface BackOffTable {
  /** Milliseconds that are still to wait, counted from `since`; 0 when it may be tried now. */
  remaining(key: string, since: number, now: number): number
  /** Notes a try after an end at `since`; the delay for the next one grows. */
  next(key: string, since: number, now: number): void
  /** The delay in force. */
  delay(key: string): number
  forget(key: string): void
}

export interface BackOffRules {
  readonly initialMs: number
  readonly maxMs: number
}

export const CRASH_BACK_OFF: BackOffRules = { initialMs: 10_000, maxMs: 300_000 }
export const IMAGE_BACK_OFF: BackOffRules = { initialMs: 10_000, maxMs: 300_000 }

/**
 * The first repetition is free, then 10 s, 20 s, … up to `maxMs`. A run that lasted longer than twice `maxMs`
 * after the delay was last raised counts as healthy, and the next failure starts from the beginning.
 */
export function backOffTable({ initialMs, maxMs }: BackOffRules): BackOffTable {
  const entries = new Map<string, BackOffEntry>()
  const fresh = (entry: BackOffEntry, since: number): boolean => since - entry.at <= 2 * maxMs
  return {
    remaining(key, since, now) {
      const entry = entries.get(key)
      if (!entry || !fresh(entry, since)) return 0
      return Math.max(0, since + entry.delayMs - now)
    },
    next(key, since, now) {
      const entry = entries.get(key)
      const delayMs = !entry || !fresh(entry, since) ? initialMs : Math.min(maxMs, entry.delayMs * 2)
      entries.set(key, { delayMs, at: now })
    },
    delay: (key) => entries.get(key)?.delayMs ?? initialMs,
    forget: (key) => void entries.delete(key),
  }
}

/** As Go prints a duration of whole seconds: `10s`, `2m40s`, `5m0s`. */
export function goSeconds(ms: number): string {
  const seconds = Math.round(ms / 1000)
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`
}

/** As Go prints a duration: `1.203s`, `412ms`, `1m2.5s`. */
export function goDuration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))}ms`
  const minutes = Math.floor(ms / 60_000)
  const seconds = Number(((ms % 60_000) / 1000).toFixed(3))
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`
}
