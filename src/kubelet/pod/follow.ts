// What happens in the runtime, without a gap: when its stream of events breaks, all that it has is read again.
import type { ContainerEvent, Cri } from '../../cri/index.js'
import { type Clock, explain, type Logger, sleep } from '../../lib/index.js'

export interface FollowOptions {
  readonly cri: Pick<Cri, 'getContainerEvents'>
  readonly clock: Clock
  readonly log: Logger
  /** Reads all that the runtime has. Events that come meanwhile are observed after it. */
  readonly resync: () => Promise<void>
  readonly observe: (event: ContainerEvent) => void
}

const AGAIN_MS = 1_000

export async function followEvents({ cri, clock, log, resync, observe }: FollowOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const ends = new AbortController()
    const events = cri.getContainerEvents(AbortSignal.any([signal, ends.signal]))[Symbol.asyncIterator]()
    try {
      // Asked for before the lists are read: what happens in between is in one of both.
      let next = events.next()
      next.catch(() => {})
      await resync()
      for (let event = await next; !event.done; event = await next) {
        observe(event.value)
        next = events.next()
      }
    } catch (error) {
      if (!signal.aborted) log.warn('the runtime’s events ended, asking again', { err: explain(error) })
    } finally {
      ends.abort()
    }
    await sleep(clock, AGAIN_MS, signal).catch(() => {})
  }
}
