// Runs something now and after each change of a resource, never twice at one time.
import { deferred } from '../../../lib/index.js'
import type { ResourceCache } from '../registry/cache.js'

/** Until `signal`. What `run` changes itself makes it run again, and so does `again`, whenever it is called. */
export async function eachChange(cache: ResourceCache, run: (again: () => void) => Promise<void>, signal: AbortSignal): Promise<void> {
  let wake = deferred()
  let dirty = true
  const note = (): void => {
    dirty = true
    wake.resolve()
  }
  const unsubscribe = cache.subscribe(note)
  signal.addEventListener('abort', note, { once: true })
  try {
    while (!signal.aborted) {
      if (dirty) {
        dirty = false
        await run(note)
        continue
      }
      wake = deferred()
      await wake.promise
    }
  } finally {
    unsubscribe()
    signal.removeEventListener('abort', note)
  }
}
