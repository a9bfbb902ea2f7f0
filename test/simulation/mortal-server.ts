// An API server that dies in the middle of what it does and comes back over what its store kept.
import { createApiServer } from '../../src/controlplane/apiserver/index.js'
import { type HttpHandler, type Logger, type Random, randomInt, seededRandom } from '../../src/lib/index.js'
import type { Store, WatchOptions } from '../../src/store/index.js'
import type { SimClock } from './sim-clock.js'

export interface MortalServer {
  readonly handler: HttpHandler
  readonly crashes: () => number
  /** From now on it dies after some of its writes; 0: it lives. */
  setMortality(writes: number): void
  close(): Promise<void>
}

export interface MortalServerOptions {
  readonly store: Store
  readonly clock: SimClock
  readonly random: Random
  readonly seed: number
  readonly log: Logger
  readonly signingKey: string
}

/** A promise of its own each time: one that all wait for would hold all of them in memory. */
const never = (): Promise<never> => new Promise(() => {})

/** One life of the server: after its end nothing of it reaches the store, and its callers see their connections break. */
interface Body {
  readonly store: Store
  readonly died: Promise<never>
  handler?: HttpHandler
  close?: () => Promise<void>
  die(): void
}

function body(store: Store, beforeWrite: (die: () => void) => boolean): Body {
  const end = new AbortController()
  let reject = (_: Error): void => {}
  const died = new Promise<never>((_, fail) => {
    reject = fail
  })
  died.catch(() => {})
  const die = (): void => {
    end.abort()
    reject(new Error('connection lost: the server died'))
  }
  const alive = <T>(run: () => Promise<T>): Promise<T> =>
    end.signal.aborted ? never() : run().then((value) => (end.signal.aborted ? never() : value))
  /** The last write of a life may have come through or not. */
  const write = <T>(run: () => Promise<T>): Promise<T> => {
    if (end.signal.aborted) return never()
    const through = beforeWrite(die)
    return through ? alive(run) : never()
  }
  return {
    died,
    die,
    store: {
      revision: () => alive(() => store.revision()),
      get: (key, options) => alive(() => store.get(key, options)),
      range: (prefix, options) => alive(() => store.range(prefix, options)),
      put: (key, value, options) => write(() => store.put(key, value, options)),
      delete: (key, options) => write(() => store.delete(key, options)),
      txn: (txn) => write(() => store.txn(txn)),
      watch: (prefix, options: WatchOptions = {}) =>
        store.watch(prefix, { ...options, signal: options.signal ? AbortSignal.any([options.signal, end.signal]) : end.signal }),
      requestProgress: (revision) => store.requestProgress(revision),
      compact: (revision) => alive(() => store.compact(revision)),
      compactRevision: () => alive(() => store.compactRevision()),
      grantLease: (ttl) => alive(() => store.grantLease(ttl)),
      keepAlive: (id) => alive(() => store.keepAlive(id)),
      revokeLease: (id) => alive(() => store.revokeLease(id)),
      size: () => alive(() => store.size()),
      close: async () => {},
    },
  }
}

/** What a caller reads until the server dies under it. */
async function* until(died: Promise<never>, source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const reader = source[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await Promise.race([reader.next(), died])
      if (next.done) return
      yield next.value
    }
  } finally {
    void reader.return?.()
  }
}

export async function mortalServer({ store, clock, random, seed, log, signingKey }: MortalServerOptions): Promise<MortalServer> {
  let crashes = 0
  let mortality = 0
  let left = Number.POSITIVE_INFINITY
  let current: Body
  let closed = false

  function beforeWrite(die: () => void): boolean {
    if (--left > 0) return true
    left = Number.POSITIVE_INFINITY
    crashes++
    const dying = current
    const through = random.next() < 0.5
    // The write itself, when it comes through, is over before the server is.
    queueMicrotask(() => {
      die()
      void dying.close?.().catch(() => {})
    })
    clock.after(100 + randomInt(random, 3000), () => {
      if (!closed) clock.hold(begin())
    })
    return through
  }

  async function begin(): Promise<void> {
    const life = body(store, beforeWrite)
    const api = await createApiServer({
      store: life.store,
      clock,
      random: seededRandom(seed + 1 + crashes),
      log,
      serviceAccounts: { issuer: 'https://sim', signingKey },
    })
    life.handler = api.handler
    life.close = () => api.close()
    current = life
    left = mortality > 0 ? 1 + randomInt(random, mortality) : Number.POSITIVE_INFINITY
  }

  await begin()
  return {
    crashes: () => crashes,
    setMortality(writes) {
      mortality = writes
      left = writes > 0 ? 1 + randomInt(random, writes) : Number.POSITIVE_INFINITY
    },
    async handler(request) {
      const { handler, died } = current
      if (!handler) throw new Error('connection refused')
      const response = await Promise.race([handler(request), died])
      return response.body instanceof Uint8Array ? response : { ...response, body: until(died, response.body) }
    },
    async close() {
      closed = true
      await current.close?.()
    },
  }
}
