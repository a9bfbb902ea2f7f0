// Leases for objects that the store forgets by itself; objects of the same minute share one.
import type { Clock } from '../../../lib/index.js'
import type { Store } from '../../../store/index.js'

const SHARED_MS = 60_000

/** Gives the lease to write an object with that shall live `ttlSeconds`. */
export function leaseProvider(store: Store, clock: Clock): (ttlSeconds: number) => Promise<number> {
  const current = new Map<number, { readonly until: number; readonly lease: Promise<number> }>()
  return (ttlSeconds) => {
    const found = current.get(ttlSeconds)
    if (found && clock.now() < found.until) return found.lease
    const lease = store.grantLease(ttlSeconds + SHARED_MS / 1000).then(({ id }) => id)
    current.set(ttlSeconds, { until: clock.now() + SHARED_MS, lease })
    lease.catch(() => current.delete(ttlSeconds))
    return lease
  }
}
