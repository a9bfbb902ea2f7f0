import t from 'tap'
import type { Pod, Service } from '../../../api/index.js'
import { planSlices } from './endpoint-slices.js'

const pod = (name: string, nodeName: string, ready = true): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'shop', uid: name, labels: { app: 'web' } },
  spec: { nodeName, containers: [] },
  status: {
    phase: 'Running',
    podIP: '10.244.0.2',
    podIPs: [{ ip: '10.244.0.2' }],
    conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
  },
})
const hints = (trafficDistribution: string | undefined): unknown[] => {
  const service: Service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'shop', uid: 'web' },
    spec: { selector: { app: 'web' }, clusterIP: '10.96.0.7', ports: [{ port: 80 }], trafficDistribution },
  }
  const zoneOf = (node: string): string | undefined => (node === 'n1' ? 'east' : undefined)
  const plan = planSlices({ service, pods: [pod('a', 'n1'), pod('b', 'n2'), pod('c', 'n1', false)], slices: [], zoneOf })
  return plan.create.flatMap(({ endpoints }) => (endpoints ?? []).map((endpoint) => endpoint.hints))
}

t.test('ready endpoints carry the hints that the traffic distribution asks for', async (t) => {
  t.same(hints(undefined), [undefined, undefined, undefined])
  t.same(hints('PreferClose'), [{ forZones: [{ name: 'east' }] }, undefined, undefined])
  t.same(hints('PreferSameZone'), [{ forZones: [{ name: 'east' }] }, undefined, undefined])
  t.same(hints('PreferSameNode'), [{ forZones: [{ name: 'east' }], forNodes: [{ name: 'n1' }] }, { forNodes: [{ name: 'n2' }] }, undefined])
})
