// Whom the endpoints of a Service are meant for: by zone in proportion, by zone, by node, or anybody.
import t from 'tap'
import { Deployment, EndpointSlice, Node, Service } from '../../src/api/index.js'
import { virtualPlane } from './virtual-plane.js'

t.setTimeout(300_000)

const namespace = 'default'
const MODE = 'service.kubernetes.io/topology-mode'
const ZONE = 'topology.kubernetes.io/zone'

t.test('topology-mode Auto, trafficDistribution, and back', async (t) => {
  const { client, until, told } = await virtualPlane(t, {
    start: Date.UTC(2026, 0, 1),
    hollow: { nodes: ['n-1', 'n-2', 'n-3', 'n-4'], labels: (_, index) => ({ [ZONE]: index % 2 ? 'b' : 'a' }), heartbeatMs: 30_000 },
  })
  const labels = { app: 'web' }
  const service = { namespace, name: 'web' }
  await client.create(Service, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { ...service, annotations: { [MODE]: 'Auto' } },
    spec: { selector: labels, ports: [{ port: 80 }] },
  })
  const deployment: Deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: service,
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          containers: [{ name: 'main', image: 'x' }],
          nodeSelector: { [ZONE]: 'a' },
          terminationGracePeriodSeconds: 0,
        },
      },
    },
  }
  await until('made', () => client.create(Deployment, deployment).catch(() => undefined))
  const endpoints = async () =>
    (await client.list(EndpointSlice, { namespace, labelSelector: 'kubernetes.io/service-name=web' })).items.flatMap(
      (slice) => slice.endpoints ?? [],
    )
  /** Zones that the ready endpoints are meant for, sorted; `-` for anybody. */
  const meant = async () =>
    (await endpoints())
      .filter((each) => each.conditions?.ready)
      .map(({ hints }) => hints?.forZones?.map(({ name }) => name).join() ?? '-')
      .sort()
      .join(' ')
  const become = (zones: string) => until(zones, async () => (await meant()) === zones)
  const says = async (words: string) => t.ok((await told('web')).includes(words), words)

  await become('-')
  await says('TopologyAwareHintsDisabled: Insufficient number of endpoints (1 endpoints, 2 zones), addressType: IPv4')
  await client.patch(Deployment, service, { spec: { replicas: 4 } }, { type: 'merge' })
  await become('a a b b')
  await says('TopologyAwareHintsEnabled: Topology Aware Hints has been enabled, addressType: IPv4')

  // A node of which nothing is known: nobody can say what would be fair.
  await client.patch(Node, { name: 'n-4' }, { metadata: { labels: { [ZONE]: null } } }, { type: 'merge' })
  await become('- - - -')
  await says(
    'TopologyAwareHintsDisabled: Insufficient Node information: allocatable CPU or zone not specified on one or more nodes, addressType: IPv4',
  )
  await client.patch(Node, { name: 'n-4' }, { metadata: { labels: { [ZONE]: 'b' } } }, { type: 'merge' })
  await become('a a b b')

  await client.patch(Service, service, { spec: { trafficDistribution: 'PreferSameZone' } }, { type: 'merge' })
  await client.patch(Deployment, service, { spec: { replicas: 6 } }, { type: 'merge' })
  await become('a a a b b b')
  await client.patch(Service, service, { metadata: { annotations: { [MODE]: null } } }, { type: 'merge' })
  await become('a a a a a a')
  await says('TopologyAwareHintsDisabled: Topology Aware Hints has been disabled, addressType: IPv4')

  await client.patch(Service, service, { spec: { trafficDistribution: 'PreferSameNode' } }, { type: 'merge' })
  await until('by node', async () => (await endpoints()).every(({ hints, nodeName }) => hints?.forNodes?.[0]?.name === nodeName))
  await client.patch(Service, service, { spec: { trafficDistribution: null } }, { type: 'merge' })
  await become('- - - - - -')
})
