// Hands committed events to those who watch, in order.
import { type Deferred, deferred } from '../lib/index.js'
import { type StoreEvent, StoreUnavailableError, type WatchBatch } from './store.js'

/** A watcher this far behind is cut off rather than buffered for. */
const MOST_BEHIND = 200_000

interface Watcher {
  readonly prefix: string
  readonly from: number
  queue: WatchBatch[]
  queued: number
  /** Progress to report when nothing else is queued. */
  progress: number
  ended: { readonly error?: Error } | undefined
  wake: Deferred<void> | undefined
}

export interface Watchers {
  /** Called at each commit, with everything up to `revision`. */
  dispatch(revision: number, events: readonly StoreEvent[]): void
  /** Reports `revision` to all, also to those nothing happened to. */
  progress(revision: number): void
  /** `history` yields what happened before this call; `upTo` is the last revision it covers. */
  watch(options: {
    readonly prefix: string
    readonly from: number
    readonly upTo: number
    readonly history: () => Iterable<WatchBatch>
    readonly signal?: AbortSignal | undefined
  }): AsyncIterable<WatchBatch>
  end(error?: Error): void
}

export function createWatchers(): Watchers {
  const watchers = new Set<Watcher>()

  const wake = (watcher: Watcher): void => {
    watcher.wake?.resolve()
    watcher.wake = undefined
  }
  const end = (watcher: Watcher, error?: Error): void => {
    watchers.delete(watcher)
    watcher.ended ??= error ? { error } : {}
    wake(watcher)
  }

  async function* run(watcher: Watcher, history: () => Iterable<WatchBatch>, signal?: AbortSignal): AsyncGenerator<WatchBatch> {
    const onAbort = (): void => end(watcher)
    if (signal?.aborted) return
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      yield* history()
      for (;;) {
        const queue = watcher.queue
        watcher.queue = []
        watcher.queued = 0
        yield* queue
        if (watcher.queue.length > 0) continue
        if (watcher.progress > 0) {
          const revision = watcher.progress
          watcher.progress = 0
          yield { revision, events: [] }
          continue
        }
        if (watcher.ended?.error) throw watcher.ended.error
        if (watcher.ended) return
        watcher.wake = deferred()
        await watcher.wake.promise
      }
    } finally {
      watchers.delete(watcher)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  return {
    dispatch(revision, events) {
      for (const watcher of watchers) {
        const mine = events.filter(({ kv }) => kv.modRevision >= watcher.from && kv.key.startsWith(watcher.prefix))
        if (mine.length === 0) continue
        watcher.queue.push({ revision, events: mine.length === events.length ? events : mine })
        watcher.progress = 0
        watcher.queued += mine.length
        if (watcher.queued > MOST_BEHIND)
          end(watcher, new StoreUnavailableError(`watch of ${watcher.prefix} fell ${watcher.queued} events behind`))
        else wake(watcher)
      }
    },
    progress(revision) {
      for (const watcher of watchers) {
        watcher.progress = revision
        wake(watcher)
      }
    },
    watch({ prefix, from, history, signal }) {
      const watcher: Watcher = { prefix, from, queue: [], queued: 0, progress: 0, ended: undefined, wake: undefined }
      watchers.add(watcher) // now, not at the first next(): nothing may fall between history and here
      return { [Symbol.asyncIterator]: () => run(watcher, history, signal) }
    },
    end(error) {
      for (const watcher of [...watchers]) end(watcher, error)
    },
  }
}
