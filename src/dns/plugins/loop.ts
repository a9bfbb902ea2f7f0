// Notices that forwarding leads back to ourselves.
import type { Clock } from '../../lib/index.js'
import { type DnsPlugin, foldName, type Resolve } from '../types.js'

/** HINFO: the type nobody asks for in earnest. */
const PROBE_TYPE = 13

export interface LoopOptions {
  /** A name that nobody else asks for. */
  readonly probe: string
  /** The whole chain: the probe goes through it as any question would. */
  readonly ask: Resolve
  readonly clock: Clock
  readonly onLoop: () => void
  readonly signal?: AbortSignal
}

/**
 * Sends a probe once the server listens. Our own sending is seen once; when it comes in again, some upstream server asks us. Nothing is
 * forwarded from then on: each question would go round until it is dropped.
 */
export function loop({ probe, ask, clock, onLoop, signal }: LoopOptions): DnsPlugin {
  let seen = 0
  let looping = false
  const question = { name: probe, type: PROBE_TYPE, class: 1 }
  const timer = clock.after(1000, () => {
    if (signal?.aborted) return
    const query = { id: 0, opcode: 0, recursionDesired: true, checkingDisabled: false, question, client: '', transport: 'udp' as const }
    void ask(query).catch(() => {})
  })
  signal?.addEventListener('abort', () => timer.cancel(), { once: true })
  return async (query, next) => {
    if (query.question.type === PROBE_TYPE && foldName(query.question.name) === probe && ++seen > 1 && !looping) {
      looping = true
      onLoop()
    }
    return looping ? { rcode: 'SERVFAIL' } : next(query)
  }
}
