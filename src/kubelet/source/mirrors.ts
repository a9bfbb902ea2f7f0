// Mirror pods: what the API shows of static pods, kept equal to them whatever people do to them there.
import { type Node, Pod } from '../../api/index.js'
import type { Client } from '../../client/index.js'
import { type Clock, exponentialBackoff, isStatus, keyedLock, type Logger, sleep } from '../../lib/index.js'
import { podKey } from '../pod/containers.js'
import { MIRROR, mirrorOf } from './static-pods.js'

export interface Mirrors {
  /** The static pod is to be seen in the API. */
  show(pod: Pod): void
  hide(pod: Pod): void
  /** The API has, or has lost, a mirror. */
  seen(mirror: Pod): void
  lost(mirror: Pod): void
  /** The mirror of a static pod, if the API has it. */
  of(pod: Pod): Pod | undefined
}

export interface MirrorsOptions {
  readonly client: Client
  readonly clock: Clock
  readonly log: Logger
  readonly signal: AbortSignal
  readonly node: () => Node | undefined
  /** A mirror has come: its status can be written. */
  readonly ready: (staticUid: string) => void
}

export function createMirrors({ client, clock, log, signal, node, ready }: MirrorsOptions): Mirrors {
  const wanted = new Map<string, Pod>()
  const present = new Map<string, Pod>()
  const lock = keyedLock()

  async function remove(mirror: Pod): Promise<void> {
    const { name, namespace, uid } = mirror.metadata
    try {
      await client.delete(Pod, { name, namespace }, { gracePeriodSeconds: 0, preconditions: { uid } })
    } catch (error) {
      if (!isStatus(error, 'NotFound', 'Conflict')) throw error
    }
  }

  async function settle(key: string): Promise<void> {
    const pod = wanted.get(key)
    const mirror = present.get(key)
    const fits = pod !== undefined && mirror?.metadata.annotations?.[MIRROR] === pod.metadata.uid
    if (mirror && (!fits || mirror.metadata.deletionTimestamp)) {
      await remove(mirror)
      present.delete(key)
    }
    if (!pod || present.has(key)) return
    try {
      present.set(key, await client.create(Pod, mirrorOf(pod, node()?.metadata.uid)))
    } catch (error) {
      if (!isStatus(error, 'AlreadyExists')) throw error
      const existing = await client.find(Pod, pod.metadata)
      if (existing) present.set(key, existing)
    }
    ready(pod.metadata.uid ?? '')
  }

  /** Tries until the API agrees. */
  function work(key: string): void {
    void lock(key, async () => {
      const backOff = exponentialBackoff({ initialMs: 200, maxMs: 10_000 })
      while (!signal.aborted) {
        try {
          await settle(key)
          return
        } catch (error) {
          if (signal.aborted) return
          log.warn('mirror pod not in order, trying again', { pod: key, err: error })
          await sleep(clock, backOff.next(), signal).catch(() => {})
        }
      }
    })
  }

  return {
    show(pod) {
      wanted.set(podKey(pod), pod)
      work(podKey(pod))
    },
    hide(pod) {
      const key = podKey(pod)
      if (wanted.get(key)?.metadata.uid === pod.metadata.uid) wanted.delete(key)
      work(key)
    },
    seen(mirror) {
      const key = podKey(mirror)
      present.set(key, mirror)
      const pod = wanted.get(key)
      const fits = mirror.metadata.annotations?.[MIRROR] === pod?.metadata.uid && !mirror.metadata.deletionTimestamp
      if (!fits) work(key)
    },
    lost(mirror) {
      const key = podKey(mirror)
      if (present.get(key)?.metadata.uid === mirror.metadata.uid) present.delete(key)
      if (wanted.has(key)) work(key)
    },
    of(pod) {
      const mirror = present.get(podKey(pod))
      return mirror?.metadata.annotations?.[MIRROR] === pod.metadata.uid ? mirror : undefined
    },
  }
}
