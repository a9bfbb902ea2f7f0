// Small tools for promises: what is running, in which order, and how it ends.

/** A promise with its two ends in hand. */
export interface Deferred<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(error: unknown): void
}

export function deferred<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

/** Runs at most `limit` tasks at once, in the order of the calls. */
export function limiter(limit: number): <T>(task: () => Promise<T>) => Promise<T> {
  let running = 0
  const waiting: (() => void)[] = []
  return async (task) => {
    if (running >= limit) await new Promise<void>((resolve) => waiting.push(resolve))
    else running++
    try {
      return await task()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else running--
    }
  }
}

/** One task at a time for each key; different keys do not wait for each other. */
export function keyedLock(): <T>(key: string, task: () => Promise<T>) => Promise<T> {
  const tails = new Map<string, Promise<unknown>>()
  return (key, task) => {
    const before = tails.get(key) ?? Promise.resolve()
    const mine = before.then(task, task)
    const tail = mine.then(
      () => {},
      () => {},
    )
    tails.set(key, tail)
    void tail.then(() => {
      if (tails.get(key) === tail) tails.delete(key)
    })
    return mine
  }
}

/** Callers who ask for the same key while it is being made share one making. */
export function singleFlight<T>(): (key: string, make: () => Promise<T>) => Promise<T> {
  const flights = new Map<string, Promise<T>>()
  return (key, make) => {
    const running = flights.get(key)
    if (running) return running
    const flight = make().finally(() => flights.delete(key))
    flights.set(key, flight)
    return flight
  }
}

/** Settles as `promise` does, or rejects with the signal's reason if that comes first. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** A stream with many writers and one reader: `push` never waits, iteration ends after `end`. */
export interface Channel<T> extends AsyncIterable<T> {
  push(value: T): void
  end(error?: Error): void
  readonly length: number
}

export function channel<T>(): Channel<T> {
  const values: T[] = []
  let ended: { error?: Error } | undefined
  let wake: Deferred<void> | undefined
  return {
    push(value) {
      if (ended) return
      values.push(value)
      wake?.resolve()
    },
    end(error) {
      ended ??= error ? { error } : {}
      wake?.resolve()
    },
    get length() {
      return values.length
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        while (values.length > 0) yield values.shift() as T
        if (ended?.error) throw ended.error
        if (ended) return
        wake = deferred()
        await wake.promise
        wake = undefined
      }
    },
  }
}
