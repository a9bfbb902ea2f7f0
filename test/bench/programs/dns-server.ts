// Cluster DNS with so many Services, on loopback: the process whose answers are counted. `node dns-server.js PORT SERVICES`.
import type { EndpointSlice, Namespace, Service } from '../../../src/api/index.js'
import { ObjectCache } from '../../../src/client/cache.js'
import { clusterView, defaultCorefile, dnsIndexes, dnsListeners, newMetrics } from '../../../src/dns/index.js'
import { silentLog, systemClock, systemRandom } from '../../../src/lib/index.js'
import { manyServices } from './many-services.js'

const [port = '', count = ''] = process.argv.slice(2)
const services = new ObjectCache<Service>(dnsIndexes.services)
const slices = new ObjectCache<EndpointSlice>(dnsIndexes.slices)
const namespaces = new ObjectCache<Namespace>()
const objects = manyServices(Number(count), 2)
for (const service of objects.services) services.put(service)
for (const slice of objects.slices) slices.put(slice)
namespaces.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'bench' } })
// Only what is read: the caches without a server behind them.
const view = clusterView({ services, slices, namespaces } as unknown as Parameters<typeof clusterView>[0])
const listeners = dnsListeners(
  { view, clock: systemClock, random: systemRandom, log: silentLog, metrics: newMetrics() },
  { addresses: ['127.0.0.1'], isReady: () => true },
)
await listeners.use(
  defaultCorefile('cluster.local')
    .replace('.:53', `.:${port}`)
    .replace('forward . /etc/resolv.conf', 'forward . 192.0.2.1')
    .replace('loop', ''),
)
process.stdout.write('ready\n')
process.on('SIGUSR2', () => process.stdout.write(`${JSON.stringify(process.cpuUsage())}\n`))
