// What the store is asked, counted and timed under the names of an etcd client.
import type { Clock } from '../../../lib/index.js'
import type { Store } from '../../../store/index.js'
import { Counts, type Family, Histogram } from './families.js'

const SECONDS = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60]

type Operation = 'get' | 'list' | 'create' | 'update' | 'delete'

/** `/registry/pods/default/a` is of `pods`, `/registry/services/specs/…` of `services`, `/registry/example.com/widgets/…` of `widgets`. */
function resourceOf(key: string): { readonly group: string; readonly resource: string } {
  const [, , first = '', second = ''] = key.split('/')
  return first.includes('.') ? { group: first, resource: second } : { group: '', resource: first }
}

export function measuredStore(store: Store, clock: Clock): { readonly store: Store; readonly families: readonly Family[] } {
  const times = new Histogram('etcd_request_duration_seconds', 'Time that the store took, by operation and resource.', SECONDS)
  const counts = new Counts('etcd_requests_total', 'Requests to the store, by operation and resource.')
  const errors = new Counts('etcd_request_errors_total', 'Requests to the store that failed, by operation and resource.')
  const known = new Map<string, { readonly time: (seconds: number) => void; readonly failed: () => void }>()

  const seriesOf = (operation: Operation, key: string) => {
    const { group, resource } = resourceOf(key)
    const name = `${operation} ${group} ${resource}`
    let series = known.get(name)
    if (!series) {
      const labels = { group, operation, resource }
      const [time, count] = [times.of(labels), counts.of(labels)]
      series = {
        time(seconds) {
          time.observe(seconds)
          count.value++
        },
        failed: () => errors.of(labels).value++,
      }
      known.set(name, series)
    }
    return series
  }

  const measured = async <T>(operation: Operation, key: string, run: () => Promise<T>): Promise<T> => {
    const series = seriesOf(operation, key)
    const start = clock.monotonic()
    try {
      return await run()
    } catch (error) {
      series.failed()
      throw error
    } finally {
      series.time((clock.monotonic() - start) / 1000)
    }
  }
  const writes = (expect: number | undefined): Operation => (expect === 0 ? 'create' : 'update')

  const wrapped: Store = {
    revision: () => store.revision(),
    get: (key, options) => measured('get', key, () => store.get(key, options)),
    range: (prefix, options) => measured('list', prefix, () => store.range(prefix, options)),
    put: (key, value, options) => measured(writes(options?.expect), key, () => store.put(key, value, options)),
    delete: (key, options) => measured('delete', key, () => store.delete(key, options)),
    txn(txn) {
      const first = txn.operations[0]
      const expect = txn.compare.find(({ key }) => key === first?.key)?.modRevision
      return measured(first?.type === 'delete' ? 'delete' : writes(expect), first?.key ?? '', () => store.txn(txn))
    },
    watch: (prefix, options) => store.watch(prefix, options),
    requestProgress: (revision) => store.requestProgress(revision),
    compact: (revision) => store.compact(revision),
    compactRevision: () => store.compactRevision(),
    grantLease: (ttlSeconds) => store.grantLease(ttlSeconds),
    keepAlive: (id) => store.keepAlive(id),
    revokeLease: (id) => store.revokeLease(id),
    size: () => store.size(),
    close: () => store.close(),
  }
  return { store: wrapped, families: [times, counts, errors] }
}
