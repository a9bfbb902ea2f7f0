// A network between a client and the API server that loses, delays, repeats and reorders, as its seed says.
import { channel, type HttpHandler, type HttpResponse, type Random, randomInt } from '../../src/lib/index.js'
import type { SimClock } from './sim-clock.js'

export interface Faults {
  /** Share of requests that are lost on the way there, or whose answer is lost on the way back. */
  readonly loss: number
  /** Longest delay of a request or a watch event. */
  readonly delayMs: number
  /** Share of watch events that come twice, or in the wrong order, or with which the connection breaks. */
  readonly repeat: number
  readonly reorder: number
  readonly cut: number
}

export const calm: Faults = { loss: 0, delayMs: 2, repeat: 0, reorder: 0, cut: 0 }

/** What happened to the messages of a life, or of many: a kind of fault that never happens proves nothing. */
export interface FaultCounts {
  lostRequests: number
  lostAnswers: number
  delayed: number
  repeated: number
  reordered: number
  cut: number
}

export const noFaults = (): FaultCounts => ({ lostRequests: 0, lostAnswers: 0, delayed: 0, repeated: 0, reordered: 0, cut: 0 })

/** One end of the network: a process. A dead one gets no answer any more, not even an error. */
export interface Link {
  readonly handler: HttpHandler
  faults: Faults
  /** Requests sent so far. */
  sent: number
  /** From now on nothing is sent and nothing arrives. */
  kill(): void
  /** Kills the process at its n-th request from now: before or after the server has seen it. */
  killAt(request: number, onDeath: () => void): void
}

/** A promise of its own each time: one that all wait for would hold all of them in memory. */
const never = (): Promise<never> => new Promise(() => {})

export function link(
  server: HttpHandler,
  name: string,
  { clock, random, faults, counts = noFaults() }: { clock: SimClock; random: Random; faults: Faults; counts?: FaultCounts },
): Link {
  let dead = false
  let deadly: { at: number; onDeath: () => void } | undefined
  const wait = (): Promise<void> => {
    const ms = randomInt(random, self.faults.delayMs + 1)
    if (ms > calm.delayMs) counts.delayed++
    return new Promise((resolve) => void clock.after(ms, resolve))
  }

  /** Lines of a watch, each on its own way to the reader. */
  async function* watched(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    const lines = channel<string>()
    let held: string | undefined
    let rest = ''
    const pump = async (): Promise<void> => {
      for await (const chunk of body) {
        rest += Buffer.from(chunk).toString('utf8')
        const parts = rest.split('\n')
        rest = parts.pop() ?? ''
        for (const line of parts) {
          if (line === '') continue
          await wait()
          if (random.next() < self.faults.cut) {
            counts.cut++
            throw new Error('connection lost')
          }
          // A held line follows the next one at once: nothing may come between that loses it.
          if (held === undefined && random.next() < self.faults.reorder) {
            held = line
            clock.after(50, () => {
              if (held !== line) return
              lines.push(line)
              held = undefined
            })
            continue
          }
          lines.push(line)
          if (random.next() < self.faults.repeat) {
            counts.repeated++
            lines.push(line)
          }
          if (held !== undefined) {
            counts.reordered++
            lines.push(held)
            held = undefined
          }
        }
      }
    }
    void pump().then(
      () => lines.end(),
      (error: Error) => lines.end(error),
    )
    for await (const line of lines) {
      if (dead) await never()
      yield Buffer.from(`${line}\n`)
    }
  }

  const self: Link = {
    faults,
    sent: 0,
    kill() {
      dead = true
    },
    killAt(request, onDeath) {
      deadly = { at: self.sent + request, onDeath }
    },
    async handler(request): Promise<HttpResponse> {
      if (dead) return never()
      self.sent++
      const dies = deadly !== undefined && self.sent >= deadly.at
      const onDeath = deadly?.onDeath
      if (dies) {
        deadly = undefined
        dead = true
        onDeath?.()
        if (random.next() < 0.5) return never()
        await server({ ...request, peer: { inProcessUser: { name, groups: ['system:masters'] } } }).catch(() => undefined)
        return never()
      }
      await wait()
      if (dead) return never()
      if (random.next() < self.faults.loss) {
        counts.lostRequests++
        throw new Error('connection lost')
      }
      const response = await server({ ...request, peer: { inProcessUser: { name, groups: ['system:masters'] } } })
      if (dead) return never()
      if (response.body instanceof Uint8Array) {
        if (random.next() < self.faults.loss) {
          counts.lostAnswers++
          throw new Error('answer lost')
        }
        await wait()
        return dead ? never() : response
      }
      return { ...response, body: watched(response.body) }
    },
  }
  return self
}
