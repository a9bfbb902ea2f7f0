import t from 'tap'
import type { Node, Service } from '../../../api/index.js'
import { planTopology, wantsTopology, zoneShares } from './topology-hints.js'

const node = (zone: string | undefined, cpu: string, more: { labels?: object; ready?: boolean } = {}): Node =>
  ({
    metadata: { name: 'n', labels: { ...(zone ? { 'topology.kubernetes.io/zone': zone } : {}), ...more.labels } },
    status: { allocatable: { cpu }, conditions: [{ type: 'Ready', status: more.ready === false ? 'False' : 'True' }] },
  }) as unknown as Node

const at = (...zones: readonly (string | undefined)[]) => zones.map((zone) => ({ zone, before: undefined }))
const even = new Map([
  ['a', 0.5],
  ['b', 0.5],
])

t.test('the annotation, of today and before', async (t) => {
  const wants = (annotations: Record<string, string>) => wantsTopology({ metadata: { annotations } } as unknown as Service)
  t.equal(wants({ 'service.kubernetes.io/topology-mode': 'Auto' }), true)
  t.equal(wants({ 'service.kubernetes.io/topology-aware-hints': 'auto' }), true)
  t.equal(wants({ 'service.kubernetes.io/topology-mode': 'Disabled' }), false)
  t.equal(wants({}), false)
})

t.test('the share of each zone is its share of the cpus', async (t) => {
  t.same(zoneShares([node('a', '4'), node('b', '8'), node('a', '4')]), even)
  const apart = [node('c', '64', { labels: { 'node-role.kubernetes.io/control-plane': '' } }), node(undefined, '64', { ready: false })]
  t.same(zoneShares([node('a', '4'), node('b', '4000m'), ...apart]), even, 'control planes and sick nodes do not count')
  t.equal(zoneShares([node('a', '4'), node(undefined, '4'), node('b', '4')]), undefined, 'one node without a zone is one too many')
  t.equal(zoneShares([node('a', '4'), node('b', '0')]), undefined)
  t.equal(zoneShares([node('a', '4'), node('a', '4')]), undefined, 'a single zone')
})

t.test('why there are no hints', async (t) => {
  const words = (...[endpoints, shares]: Parameters<typeof planTopology>) => planTopology(endpoints, shares)
  t.same(words(at('a', 'b'), undefined), {
    disabled: 'Insufficient Node information: allocatable CPU or zone not specified on one or more nodes',
  })
  t.same(words(at('a'), even), { disabled: 'Insufficient number of endpoints (1 endpoints, 2 zones)' })
  t.same(words(at('a', 'a', 'b'), even), {
    disabled: 'Unable to allocate minimum required endpoints to each zone without exceeding overload threshold (3 endpoints, 2 zones)',
  })
  t.same(words(at('a', undefined), even), { disabled: 'One or more endpoints do not have a zone specified' })
})

t.test('endpoints stay in their zone as far as the shares allow it', async (t) => {
  t.same(planTopology(at('a', 'b', 'a', 'b'), even), { zones: ['a', 'b', 'a', 'b'] })
  t.same(planTopology(at('a', 'a', 'a', 'a'), even), { zones: ['b', 'b', 'a', 'a'] }, 'half of them is lent to the other')
  t.same(planTopology(at('a', 'a', 'a', 'b'), even), { zones: ['b', 'a', 'a', 'b'] })
  t.same(planTopology(at('a', 'a', 'c', 'b'), even), { zones: ['a', 'a', 'b', 'b'] }, 'a zone without nodes gets none')
})

t.test('what nodes were told before stays as long as it will do', async (t) => {
  const lent = [
    { zone: 'a', before: 'b' },
    { zone: 'a', before: 'a' },
    { zone: 'b', before: 'a' },
    { zone: 'b', before: 'b' },
  ]
  t.same(planTopology(lent, even), { zones: ['b', 'a', 'a', 'b'] })
  const six = [...lent, { zone: 'a', before: 'b' }, { zone: 'b', before: 'a' }]
  t.same(
    planTopology([...six, { zone: 'a', before: undefined }], even),
    { zones: ['b', 'a', 'a', 'b', 'b', 'a', 'a'] },
    'one more changes no other',
  )
  const shifted = new Map([
    ['a', 0.25],
    ['b', 0.75],
  ])
  t.same(planTopology(lent, shifted), { zones: ['b', 'a', 'b', 'b'] }, 'who was lent goes home first')
})
