// Tells people what happened to an object: Events, with repetitions counted instead of written again.
import { Event, type ObjectReference, type Resource } from '../api/index.js'
import { ApiError, type Clock, isStatus, type Logger, nameSuffix, type Random, rfc3339, sleep } from '../lib/index.js'
import type { Client } from './client.js'
import { correlation, forgetOldest } from './event-correlation.js'

export interface EventRecorderOptions {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** `kubelet`, `deployment-controller`, … */
  readonly component: string
  readonly host?: string
}

export interface EventRecorder {
  /** Never throws and never waits: an event that cannot be written is logged and dropped, a flood about one object cut off. */
  record(about: Resource | ObjectReference, type: 'Normal' | 'Warning', reason: string, message: string): void
  /** Resolves when everything recorded so far has been sent. */
  flush(): Promise<void>
}

interface Folded {
  readonly name: string
  readonly namespace: string
  readonly firstTimestamp: string
  count: number
}

/** Events waiting to be written; what comes on top is dropped. */
const WAITING = 1000
const AT_ONCE = 8
/** While the server cannot be reached: again after this, so many times. */
const AGAIN_MS = 10_000
const TRIES = 12

/** The reference that stands for an object in events and owners. */
export function referenceTo(object: Resource): ObjectReference {
  const { name, namespace, uid, resourceVersion } = object.metadata
  return { apiVersion: object.apiVersion, kind: object.kind, name, namespace, uid, resourceVersion }
}

export function eventRecorder({ client, clock, random, log, component, host }: EventRecorderOptions): EventRecorder {
  const known = new Map<string, Folded>()
  const correlate = correlation(clock)
  /** The last write of each key: one follows the other. */
  const writing = new Map<string, Promise<void>>()
  const turns: (() => void)[] = []
  let active = 0

  async function create(about: ObjectReference, type: string, reason: string, message: string, folded: Folded): Promise<void> {
    await client.create(Event, {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: folded.name, namespace: folded.namespace },
      involvedObject: about,
      reason,
      message,
      type,
      source: host ? { component, host } : { component },
      reportingComponent: component,
      reportingInstance: host ?? '',
      firstTimestamp: folded.firstTimestamp,
      lastTimestamp: rfc3339(clock.now()),
      count: folded.count,
    })
  }

  async function write(key: string, about: ObjectReference, type: string, reason: string, message: string): Promise<void> {
    const now = clock.now()
    const before = known.get(key)
    if (before) {
      const count = before.count + 1
      const patch = { count, message, lastTimestamp: rfc3339(now) }
      try {
        await client.patch(Event, before, patch, { type: 'merge' })
        before.count = count
        return
      } catch (error) {
        if (!isStatus(error, 'NotFound')) throw error
      }
    }
    const folded: Folded = {
      // Kubernetes names events after the object and the time in nanoseconds, in hexadecimal.
      name: `${about.name ?? 'unknown'}.${(BigInt(Math.floor(now)) * 1_000_000n).toString(16)}${nameSuffix(random, 4)}`,
      namespace: about.namespace || 'default',
      firstTimestamp: rfc3339(now),
      count: 1,
    }
    await create(about, type, reason, message, folded)
    known.delete(key)
    known.set(key, folded)
    forgetOldest(known)
  }

  async function insist(work: () => Promise<void>): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await work()
      } catch (error) {
        // An answer is an answer; only silence is worth another try.
        if (error instanceof ApiError || tries >= TRIES) throw error
        await sleep(clock, AGAIN_MS)
      }
    }
  }

  async function turn(work: () => Promise<void>): Promise<void> {
    if (active >= AT_ONCE) await new Promise<void>((resolve) => turns.push(resolve))
    active++
    try {
      await insist(work)
    } finally {
      active--
      turns.shift()?.()
    }
  }

  return {
    record(about, type, reason, text) {
      const reference = 'metadata' in about ? referenceTo(about) : about
      const told = correlate(reference, type, reason, text)
      if (!told || writing.size >= WAITING) return
      const { key, message } = told
      const after = writing.get(key) ?? Promise.resolve()
      const mine = after
        .then(() => turn(() => write(key, reference, type, reason, message)))
        .catch((error: unknown) => log.warn('event not written', { reason, object: reference.name, err: error }))
        .then(() => {
          if (writing.get(key) === mine) writing.delete(key)
        })
      writing.set(key, mine)
    },
    flush: async () => void (await Promise.all(writing.values())),
  }
}
