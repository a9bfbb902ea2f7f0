// Services and EndpointSlices as the API server would hand them out, in few words.
import type { Endpoint, EndpointSlice, Service } from '../../src/api/index.js'
import { PODS, type Pod } from './network.js'

type Spec = NonNullable<Service['spec']>

export const VIP = { v4: '10.96.0.7', v6: 'fd96::7' } as const
export const EXTERNAL = { v4: '203.0.113.7', v6: 'fd0b::7' } as const
export const BALANCER = { v4: '203.0.113.9', v6: 'fd0b::9' } as const

export function service(name: string, spec: Spec, status: Service['status'] = {}): Service {
  const clusterIPs = spec.clusterIPs ?? [VIP.v4, VIP.v6]
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { type: 'ClusterIP', clusterIP: clusterIPs[0], ...spec, clusterIPs },
    status,
  }
}

/** A LoadBalancer Service reachable in every way: cluster IP, node port, external and balancer addresses, both families. */
export const everywhere = (
  more: Partial<Spec> = {},
  ports: Spec['ports'] = [{ name: 'http', port: 80, nodePort: 30_080, protocol: 'TCP' }],
): Service =>
  service(
    'web',
    { type: 'LoadBalancer', ports, externalIPs: [EXTERNAL.v4, EXTERNAL.v6], ...more },
    { loadBalancer: { ingress: [{ ip: BALANCER.v4 }, { ip: BALANCER.v6 }] } },
  )

export type Member = Pod | (Partial<Endpoint> & { readonly pod: Pod })

/** The slices of a Service, one for each family: these pods behind these ports. */
export function slices(name: string, members: readonly Member[], ports: EndpointSlice['ports'], suffix = ''): EndpointSlice[] {
  return (['v4', 'v6'] as const).map((family) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-${family}${suffix}`, namespace: 'shop', labels: { 'kubernetes.io/service-name': name } },
    addressType: family === 'v4' ? 'IPv4' : 'IPv6',
    ports,
    endpoints: members.map((member): Endpoint => {
      const { pod, ...more } = typeof member === 'string' ? { pod: member } : member
      return { addresses: [PODS[pod][family]], nodeName: PODS[pod].node, conditions: { ready: true }, ...more }
    }),
  }))
}

export const http = (port = 8080): EndpointSlice['ports'] => [{ name: 'http', port, protocol: 'TCP' }]
