// The stream of events: each listener has its own queue, bounded.
import { type Channel, channel } from '../lib/index.js'
import type { ContainerEvent } from './types.js'

/** A listener that is this far behind is cut off: it lists again and starts anew. */
const LONGEST_QUEUE = 10_000

export interface Events {
  emit(event: ContainerEvent): void
  /** There is somebody to tell. */
  readonly wanted: boolean
  listen(signal: AbortSignal): AsyncIterable<ContainerEvent>
  close(): void
}

export function createEvents(): Events {
  const queues = new Set<Channel<ContainerEvent>>()
  return {
    get wanted() {
      return queues.size > 0
    },
    emit(event) {
      for (const queue of queues) {
        if (queue.length < LONGEST_QUEUE) queue.push(event)
        else {
          queues.delete(queue)
          queue.end(new Error(`event listener is more than ${LONGEST_QUEUE} events behind`))
        }
      }
    },
    listen(signal) {
      const queue = channel<ContainerEvent>()
      queues.add(queue)
      const end = (): void => {
        queues.delete(queue)
        queue.end()
      }
      if (signal.aborted) end()
      else signal.addEventListener('abort', end, { once: true })
      return queue
    },
    close() {
      for (const queue of queues) queue.end()
      queues.clear()
    },
  }
}
