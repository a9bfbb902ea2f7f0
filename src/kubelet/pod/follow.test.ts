import t from 'tap'
import type { ContainerEvent } from '../../cri/index.js'
import { type Clock, channel, silentLog, systemClock } from '../../lib/index.js'
import { followEvents } from './follow.js'

const event = (containerId: string): ContainerEvent => ({
  containerId,
  containerEventType: 'CONTAINER_STOPPED_EVENT',
  createdAt: 0,
  containersStatuses: [],
})

t.test('nothing is missed between two streams, nor when the runtime cannot be listed', async (t) => {
  const said: string[] = []
  const abort = new AbortController()
  const ended: number[] = []
  const streams = [channel<ContainerEvent>(), channel<ContainerEvent>(), channel<ContainerEvent>()]
  let asked = 0
  let listed = 0
  const clock: Clock = {
    ...systemClock,
    after(_ms, run) {
      const soon = setImmediate(run)
      return { cancel: () => clearImmediate(soon) }
    },
  }
  await followEvents(
    {
      cri: {
        getContainerEvents(signal) {
          const number = asked + 1
          signal.addEventListener('abort', () => ended.push(number), { once: true })
          said.push(`stream ${++asked}`)
          const stream = streams[asked - 1]
          if (stream) return stream
          abort.abort()
          const none = channel<ContainerEvent>()
          none.end()
          return none
        },
      },
      clock,
      log: silentLog,
      async resync() {
        said.push(`list ${++listed}`)
        if (listed === 2) throw new Error('not now')
        // Something ends while the lists are read.
        streams[asked - 1]?.push(event(`during ${listed}`))
        if (asked < 4) streams[asked - 1]?.end(asked === 1 ? new Error('broken') : undefined)
      },
      observe: ({ containerId }) => void said.push(containerId),
    },
    abort.signal,
  )
  t.same(said.slice(0, 9), ['stream 1', 'list 1', 'during 1', 'stream 2', 'list 2', 'stream 3', 'list 3', 'during 3', 'stream 4'])
  t.same(ended.slice(0, 3), [1, 2, 3], 'each was ended before the next was asked for, also the one whose list failed')
})
