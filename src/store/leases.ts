// Keys that live only as long as their lease is kept alive.
import type { Clock, Timer } from '../lib/index.js'
import type { Lease, StoreEvent } from './store.js'

export interface LeaseStorage {
  readonly clock: Clock
  /** Leases of earlier runs and their seconds. */
  load(): ReadonlyMap<number, number>
  /** Keeps a lease; forgets it when `ttl` is undefined. */
  save(id: number, ttl: number | undefined): Promise<void>
  /** Every key that has a lease. */
  keys(): Iterable<readonly [key: string, lease: number]>
  remove(keys: readonly string[]): Promise<void>
  leaseOf(key: string): number
}

interface Held {
  readonly ttlSeconds: number
  readonly keys: Set<string>
  timer: Timer
}

export interface Leases {
  start(): void
  stop(): void
  grant(ttlSeconds: number): Promise<Lease>
  keepAlive(id: number): void
  revoke(id: number): Promise<void>
  /** Throws when there is no such lease. */
  require(id: number): void
  /** Learns from writes which keys a lease has. */
  note(events: readonly StoreEvent[]): void
}

export function createLeases(storage: LeaseStorage): Leases {
  const leases = new Map<number, Held>()
  let lastId = 0

  const expire = (id: number): void => {
    void revoke(id).catch(() => {}) // a store that fails tells its writers; the lease is loaded again at the next start
  }
  const arm = (id: number, ttlSeconds: number): Timer => storage.clock.after(ttlSeconds * 1000, () => expire(id))
  const find = (id: number): Held => {
    const held = leases.get(id)
    if (!held) throw new Error(`lease ${id} is not there`)
    return held
  }
  const revoke = async (id: number): Promise<void> => {
    const held = find(id)
    held.timer.cancel()
    leases.delete(id)
    await storage.remove([...held.keys].filter((key) => storage.leaseOf(key) === id))
    await storage.save(id, undefined)
  }

  return {
    start() {
      // After a restart every lease gets its whole time again, as in etcd after a change of leader.
      for (const [id, ttlSeconds] of storage.load()) {
        leases.set(id, { ttlSeconds, keys: new Set(), timer: arm(id, ttlSeconds) })
        lastId = Math.max(lastId, id)
      }
      if (leases.size > 0) for (const [key, id] of storage.keys()) leases.get(id)?.keys.add(key)
    },
    stop() {
      for (const { timer } of leases.values()) timer.cancel()
    },
    async grant(ttlSeconds) {
      const id = Math.max(lastId + 1, storage.clock.now())
      lastId = id
      await storage.save(id, ttlSeconds)
      leases.set(id, { ttlSeconds, keys: new Set(), timer: arm(id, ttlSeconds) })
      return { id, ttlSeconds }
    },
    keepAlive(id) {
      const held = find(id)
      held.timer.cancel()
      held.timer = arm(id, held.ttlSeconds)
    },
    revoke,
    require: (id) => void find(id),
    note(events) {
      for (const { type, kv, previous } of events) {
        if (previous?.lease) leases.get(previous.lease)?.keys.delete(kv.key)
        if (type === 'put' && kv.lease) leases.get(kv.lease)?.keys.add(kv.key)
      }
    },
  }
}
