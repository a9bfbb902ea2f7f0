// Whether pods can have a network of their own now: asked before each sandbox, and of the runtime once a second at most.
import type { Cri, RuntimeCondition } from '../../cri/index.js'
import { type Clock, singleFlight } from '../../lib/index.js'

const FRESH_MS = 1_000

/** A condition of the runtime that does not hold, in the words that nodes and events use. */
export const inWords = ({ type, reason, message }: RuntimeCondition): string =>
  `${type === 'NetworkReady' ? 'container runtime network not ready' : 'container runtime not ready'}: ${type}=false reason:${reason} message:${message}`

/** Why there is no network, or undefined. A runtime that does not answer will say so itself when it is asked for a sandbox. */
export function networkWatch({ cri, clock }: { readonly cri: Cri; readonly clock: Clock }): () => Promise<string | undefined> {
  const flights = singleFlight<string | undefined>()
  let known: { readonly at: number; readonly problem: string | undefined } | undefined
  return () =>
    flights('', async () => {
      if (known && clock.monotonic() - known.at < FRESH_MS) return known.problem
      const status = await cri.status().catch(() => undefined)
      const condition = status?.status.conditions.find(({ type }) => type === 'NetworkReady')
      known = { at: clock.monotonic(), problem: condition && !condition.status ? inWords(condition) : undefined }
      return known.problem
    })
}
