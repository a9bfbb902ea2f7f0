// So many Services with so many endpoints each. The endpoints of the first and the last one can really be dialled.
import type { EndpointSlice, Service } from '../../../src/api/index.js'

/** The first Service has a second port, for a second server: 81 leads to 8081. */
const SECOND = { name: 'stream', port: 81, protocol: 'TCP' }

export const clusterIp = (service: number): string => `10.96.${service >> 8}.${service & 255}`

export interface Many {
  readonly services: Service[]
  readonly slices: EndpointSlice[]
}

export function manyServices(count: number, endpoints: number, real?: string): Many {
  const name = (service: number): string => `s${service}`
  const meta = { namespace: 'bench', resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' }
  const address = (service: number, slot: number): string =>
    real && (service === 0 || service === count - 1) ? real : `10.${100 + slot}.${service >> 8}.${service & 255}`
  return {
    services: Array.from({ length: count }, (_, i) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { ...meta, name: name(i), uid: name(i) },
      spec: {
        clusterIP: clusterIp(i),
        clusterIPs: [clusterIp(i)],
        ports: [{ name: 'http', port: 80, protocol: 'TCP' }, ...(real && i === 0 ? [SECOND] : [])],
      },
    })),
    slices: Array.from({ length: count }, (_, i) =>
      sliceOf(
        i,
        name(i),
        Array.from({ length: endpoints }, (_, slot) => address(i, slot)),
      ),
    ),
  }
  function sliceOf(i: number, service: string, addresses: readonly string[]): EndpointSlice {
    return {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...meta, name: `${service}-1`, uid: `slice-${i}`, labels: { 'kubernetes.io/service-name': service } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }, ...(real && i === 0 ? [{ ...SECOND, port: 8081 }] : [])],
      endpoints: addresses.map((ip) => ({ addresses: [ip], nodeName: 'elsewhere', conditions: { ready: true } })),
    }
  }
}
