// Tells people what happened to an object: Events, with repetitions counted instead of written again.
import { Event, type ObjectReference, type Resource } from '../api/index.js'
import { type Clock, isStatus, type Logger, nameSuffix, type Random, rfc3339 } from '../lib/index.js'
import type { Client } from './client.js'

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
  /** Never throws and never waits: an event that cannot be written is logged and dropped. */
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

/** Distinct events remembered for counting; the oldest are forgotten. */
const REMEMBERED = 4096

/** The reference that stands for an object in events and owners. */
export function referenceTo(object: Resource): ObjectReference {
  const { name, namespace, uid, resourceVersion } = object.metadata
  return { apiVersion: object.apiVersion, kind: object.kind, name, namespace, uid, resourceVersion }
}

export function eventRecorder({ client, clock, random, log, component, host }: EventRecorderOptions): EventRecorder {
  const known = new Map<string, Folded>()
  let queue: Promise<void> = Promise.resolve()

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

  async function write(about: ObjectReference, type: string, reason: string, message: string): Promise<void> {
    const key = [about.uid, about.kind, about.namespace, about.name, about.fieldPath, type, reason, message].join('\0')
    const now = clock.now()
    const before = known.get(key)
    if (before) {
      before.count++
      const patch = { count: before.count, lastTimestamp: rfc3339(now) }
      try {
        await client.patch(Event, before, patch, { type: 'merge' })
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
    known.delete(key)
    known.set(key, folded)
    if (known.size > REMEMBERED) known.delete(known.keys().next().value as string)
    await create(about, type, reason, message, folded)
  }

  return {
    record(about, type, reason, message) {
      const reference = 'metadata' in about ? referenceTo(about) : about
      queue = queue
        .then(() => write(reference, type, reason, message))
        .catch((error: unknown) => log.warn('event not written', { reason, object: reference.name, err: error }))
    },
    flush: () => queue,
  }
}
