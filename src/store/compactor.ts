// Keeps the history that watches need and forgets what is older.
import { type Clock, explain, type Logger, sleep } from '../lib/index.js'
import { CompactedError, type Store } from './store.js'

export interface CompactionOptions {
  readonly clock: Clock
  readonly log: Logger
  /** How long a version that was replaced can still be read. */
  readonly historyMs: number
  readonly signal: AbortSignal
}

/** Looks this often within `historyMs`. */
const STEPS = 5

/** Runs until `signal`: what was replaced longer than `historyMs` ago goes. */
export async function compactEvery(store: Store, { clock, log, historyMs, signal }: CompactionOptions): Promise<void> {
  /** Revisions of the last looks, oldest first. */
  const seen: number[] = []
  while (!signal.aborted) {
    try {
      await sleep(clock, historyMs / STEPS, signal)
    } catch {
      return
    }
    try {
      seen.push(await store.revision())
      if (seen.length <= STEPS) continue
      const revision = seen.shift() as number
      if (revision > (await store.compactRevision())) await store.compact(revision)
    } catch (error) {
      // Another server of the same store was faster, or the store is away: there is a next time.
      if (!(error instanceof CompactedError) && !signal.aborted) log.warn('compaction failed', { err: explain(error) })
    }
  }
}
