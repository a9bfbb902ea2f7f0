// Waiting longer after each failure.

export interface Backoff {
  /** Milliseconds to wait before the next try; each call counts as one more failure. */
  next(): number
  /** Back to the beginning, after a success. */
  reset(): void
}

export interface BackoffOptions {
  readonly initialMs: number
  readonly maxMs: number
  /** Default 2. */
  readonly factor?: number
}

/** `initialMs`, then `factor` times as long each time, never more than `maxMs`. */
export function exponentialBackoff({ initialMs, maxMs, factor = 2 }: BackoffOptions): Backoff {
  let failures = 0
  return {
    next: () => Math.min(maxMs, initialMs * factor ** Math.min(failures++, 1000)),
    reset() {
      failures = 0
    },
  }
}
