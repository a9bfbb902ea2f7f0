// Runs inside a node's network namespace: the service proxy itself, over caches that are filled from lines of JSON instead of a server.
import { createInterface } from 'node:readline'
import type { EndpointSlice, Service } from '../../src/api/index.js'
import { ObjectCache } from '../../src/client/cache.js'
import { chooseApplier } from '../../src/cluster/applier.js'
import { type Deferred, deferred, type Logger, silentLog, systemClock, systemRandom } from '../../src/lib/index.js'
import { proxyStatus, runProxy } from '../../src/proxy/index.js'
import { CLUSTER_CIDRS, type Objects } from './network.js'

const [mode = '', nodeName = '', zone = ''] = process.argv.slice(2)
const tell = (answer: unknown): void => void process.stdout.write(`${JSON.stringify(answer)}\n`)

/** Resolves at the next application; rejects when one fails. */
let settled: Deferred<void> | undefined
const expect = (): Promise<void> => {
  settled = deferred<void>()
  return settled.promise
}
const log: Logger = {
  ...silentLog,
  child: () => log,
  error: (message, fields) => settled?.reject(new Error(message, { cause: fields?.err })),
}
const services = new ObjectCache<Service>()
const slices = new ObjectCache<EndpointSlice>({
  service: (slice) => [`${slice.metadata.namespace}/${slice.metadata.labels?.['kubernetes.io/service-name']}`],
})
const synced = Promise.resolve()
const watched = <T extends Service | EndpointSlice>(cache: ObjectCache<T>) => ({
  synced,
  get: (key: string) => cache.get(key),
  byIndex: (name: string, value: string) => cache.byIndex(name, value),
  subscribe: (listener: Parameters<ObjectCache<T>['subscribe']>[0]) => cache.subscribe(listener),
})

let version = 0
/** Makes the cache hold these objects; true when that changed something. */
function fill<T extends Service | EndpointSlice>(cache: ObjectCache<T>, objects: readonly T[]): boolean {
  const before = version
  const bare = (object: T): string => JSON.stringify({ ...object, metadata: { ...object.metadata, resourceVersion: '' } })
  for (const object of objects) {
    const known = cache.get(`${object.metadata.namespace}/${object.metadata.name}`)
    // A new one each time: the cache remembers whom it has buried.
    const uid = known?.metadata.uid ?? `${object.metadata.name} ${version + 1}`
    const next = { ...object, metadata: { ...object.metadata, uid, resourceVersion: String(version + 1) } }
    if (known && bare(known) === bare(next)) continue
    version++
    cache.put(next)
  }
  const names = new Set(objects.map(({ metadata }) => metadata.name))
  for (const object of cache.list()) {
    if (names.has(object.metadata.name)) continue
    version++
    cache.remove({ ...object, metadata: { ...object.metadata, resourceVersion: String(version) } })
  }
  return version !== before
}

const { applier, forgetUdp } = chooseApplier(
  mode as 'nftables',
  { clusterCidrs: CLUSTER_CIDRS },
  { clock: systemClock, random: systemRandom, log },
)
const status = proxyStatus({ mode, clock: systemClock, log, healthPort: 10256, metricsPort: 10249 })
const stop = new AbortController()
const first = expect()
const running = runProxy(
  {
    services: watched(services),
    slices: watched(slices),
    nodeName,
    applier,
    ...(forgetUdp ? { forgetUdp } : {}),
    clock: systemClock,
    log,
    status,
    zone: { read: () => zone, subscribe: () => () => {} },
    repairMs: 500,
    onApplied: () => settled?.resolve(),
  },
  stop.signal,
)
await first
tell('ready')
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const order = JSON.parse(line) as Objects | 'repaired' | 'remove'
    if (order === 'repaired') await expect()
    else if (order === 'remove') {
      stop.abort()
      await running
      await applier.remove()
    } else {
      const done = expect()
      done.catch(() => {})
      const changed = [fill(services, order.services), fill(slices, order.slices)].includes(true)
      if (changed) await done
    }
    tell('ok')
  } catch (error) {
    tell({ error: `${String(error)}: ${String((error as Error).cause)}` })
  }
}
process.exit(0)
