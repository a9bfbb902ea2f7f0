// Which servers the `kubernetes` Service leads to: those that renew their Lease. One that is gone, or has another address now, is taken out.
import { EndpointSlice, Endpoints, Lease } from '../api/index.js'
import type { Client } from '../client/index.js'
import { asError, type Clock, isStatus, type Logger, rfc3339Micro, sleep } from '../lib/index.js'

const RENEW_MS = 5000
const GONE_MS = 15_000
const NAMESPACE = 'kube-system'
const SERVERS = { 'apiserver.kubernetes.io/identity': 'kube-apiserver' } as const
const KUBERNETES = { namespace: 'default', name: 'kubernetes' } as const

export interface EndpointOptions {
  readonly client: Client
  readonly address: string
  readonly port: number
  readonly clock: Clock
  readonly log: Logger
}

const leaseName = (address: string): string => `apiserver-${address.replace(/[.:]/g, '-')}`

async function renew({ client, address, clock }: EndpointOptions): Promise<void> {
  const now = rfc3339Micro(clock.now())
  const key = { namespace: NAMESPACE, name: leaseName(address) }
  const spec = { holderIdentity: address, leaseDurationSeconds: GONE_MS / 1000, renewTime: now }
  try {
    await client.patch(Lease, key, { spec }, { type: 'merge' })
  } catch (error) {
    if (!isStatus(error, 'NotFound')) throw error
    await client.create(Lease, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { ...key, labels: { ...SERVERS } }, spec })
  }
}

/** Writes the addresses into the Service's endpoints where they are others. */
async function publish({ client, port }: EndpointOptions, addresses: readonly string[]): Promise<void> {
  const wanted = JSON.stringify([...addresses].sort())
  const slice = await client.get(EndpointSlice, KUBERNETES)
  if (wanted === JSON.stringify((slice.endpoints ?? []).flatMap((endpoint) => endpoint.addresses).sort())) return
  const subsets = [{ addresses: addresses.map((ip) => ({ ip })), ports: [{ name: 'https', port, protocol: 'TCP' }] }]
  await client.patch(Endpoints, KUBERNETES, { subsets }, { type: 'merge' })
  const endpoints = addresses.map((ip) => ({ addresses: [ip], conditions: { ready: true } }))
  await client.patch(EndpointSlice, KUBERNETES, { endpoints }, { type: 'merge' })
}

/** Renews this server's Lease and looks after the others', until the signal. Other clocks are not believed: a Lease lives as long as it changes. */
export async function keepEndpoints(options: EndpointOptions, signal: AbortSignal): Promise<void> {
  const { client, clock, log } = options
  const seen = new Map<string, { renewTime: string | undefined; at: number }>()
  while (!signal.aborted) {
    try {
      await renew(options)
      const { items } = await client.list(Lease, { namespace: NAMESPACE, labelSelector: 'apiserver.kubernetes.io/identity=kube-apiserver' })
      const now = clock.monotonic()
      const alive: string[] = []
      for (const { metadata, spec } of items) {
        const known = seen.get(metadata.name)
        const at = known && known.renewTime === spec?.renewTime ? known.at : now
        seen.set(metadata.name, { renewTime: spec?.renewTime, at })
        if (now - at < GONE_MS && spec?.holderIdentity) alive.push(spec.holderIdentity)
        else await client.delete(Lease, metadata)
      }
      await publish(options, alive)
    } catch (error) {
      if (!signal.aborted && !isStatus(error, 'Conflict', 'NotFound'))
        log.warn('endpoints of the API server could not be kept', { err: asError(error) })
    }
    await sleep(clock, RENEW_MS, signal).catch(() => {})
  }
}
