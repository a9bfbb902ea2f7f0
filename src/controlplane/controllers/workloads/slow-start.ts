// Many equal writes: few at first, more as they succeed, none after one failed. A wrong template then costs one request, not hundreds.

export interface Batch<T> {
  readonly done: readonly T[]
  /** The first failure, if any. */
  readonly error?: unknown
  /** How many were never tried. */
  readonly skipped: number
}

export async function slowStart<T>(count: number, write: (index: number) => Promise<T>, first = 1): Promise<Batch<T>> {
  const done: T[] = []
  let next = 0
  for (let size = Math.min(first, count); size > 0; size = Math.min(size * 2, count - next)) {
    const start = next
    next += size
    const results = await Promise.allSettled(Array.from({ length: size }, (_, index) => write(start + index)))
    const failed: PromiseRejectedResult[] = []
    for (const result of results) {
      if (result.status === 'fulfilled') done.push(result.value)
      else failed.push(result)
    }
    if (failed[0]) return { done, error: failed[0].reason, skipped: count - next }
  }
  return { done, skipped: 0 }
}

/** Everything at once, a limited number at a time; throws the first failure after all have ended. */
export async function all<T>(items: readonly T[], write: (item: T) => Promise<unknown>): Promise<void> {
  const width = 32
  let failure: { readonly error: unknown } | undefined
  for (let start = 0; start < items.length; start += width) {
    for (const result of await Promise.allSettled(items.slice(start, start + width).map(write))) {
      if (result.status === 'rejected') failure ??= { error: result.reason }
    }
  }
  if (failure) throw failure.error
}
