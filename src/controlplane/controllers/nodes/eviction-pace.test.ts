import t from 'tap'
import type { Node } from '../../../api/index.js'
import { planPace, zoneState } from './eviction-pace.js'

const nodes = (zone: string, ready: number, notReady: number): Node[] =>
  Array.from({ length: ready + notReady }, (_, index) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: `${zone}-${index}`, labels: { 'topology.kubernetes.io/zone': zone } },
    status: { conditions: [{ type: 'Ready', status: index < ready ? 'True' : 'Unknown' }] },
  }))
const pace = (...zones: Node[][]): Record<string, number> => Object.fromEntries(planPace(zones.flat()))

t.test('a zone is in trouble when more than two nodes and more than half of it are silent', async (t) => {
  t.equal(zoneState(10, 0), 'normal')
  t.equal(zoneState(1, 2), 'normal', 'two may happen to anyone')
  t.equal(zoneState(4, 5), 'partly')
  t.equal(zoneState(5, 4), 'normal')
  t.equal(zoneState(0, 3), 'fully')
  t.equal(zoneState(0, 0), 'normal')
})

t.test('how many nodes a second are emptied', async (t) => {
  t.same(pace(nodes('a', 9, 1), nodes('b', 3, 0)), { ':a': 0.1, ':b': 0.1 })
  t.same(pace(nodes('a', 2, 8), nodes('b', 3, 0)), { ':a': 0, ':b': 0.1 }, 'a small zone in trouble is left alone')
  t.same(pace(nodes('a', 20, 80), nodes('b', 3, 0)), { ':a': 0.01, ':b': 0.1 }, 'a large one is emptied slowly')
  t.same(pace(nodes('a', 0, 5), nodes('b', 3, 0)), { ':a': 0.1, ':b': 0.1 }, 'a zone that is gone is emptied into the others')
  t.same(pace(nodes('a', 0, 5), nodes('b', 0, 2)), {}, 'when all is silent nothing is emptied')
})
