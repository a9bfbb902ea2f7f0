import t from 'tap'
import type { Node, Pod } from '../../api/index.js'
import { seededRandom } from '../../lib/index.js'
import { ClusterState, podInfo } from './cluster-state.js'
import { failureMessage, postFilterMessage, preemptionMessage } from './message.js'
import { placer } from './placement.js'
import { defaultProfiles, type Profile, profile } from './profile.js'
import { podRequests, scoredRequests } from './requests.js'
import { noVolumes } from './volumes.js'

const HOST = 'kubernetes.io/hostname'
const node = (
  name: string,
  labels: Record<string, string> = {},
  more: { taints?: readonly unknown[]; images?: readonly unknown[] } = {},
): Node =>
  ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { [HOST]: name, ...labels } },
    spec: more.taints ? { taints: more.taints } : {},
    status: { allocatable: { cpu: '100', memory: '100Gi', pods: '200' }, ...(more.images ? { images: more.images } : {}) },
  }) as Node

let counter = 0
const pod = (spec: object = {}, labels: Record<string, string> = {}, namespace = 'default'): Pod =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `p-${++counter}`, namespace, uid: `u-${counter}`, labels },
    spec: { containers: [{ name: 'c', image: 'app', resources: { requests: { cpu: '1', memory: '1Gi' } } }], ...spec },
  }) as Pod

function cluster(nodes: readonly Node[], use: Profile = defaultProfiles[0] as Profile) {
  const state = new ClusterState()
  for (const each of nodes) state.setNode(each)
  const chooser = placer({ state, profile: use, volumes: noVolumes, random: seededRandom(3) })
  const put = (each: Pod): string => {
    const found = chooser.place(podInfo(each))
    if ('failed' in found) return failureMessage(found.failed)
    state.addPod(podInfo(each), found.nodeName)
    return found.nodeName
  }
  return { state, put, at: (each: Pod, name: string) => state.addPod(podInfo(each), name) }
}
const spread = (more: object = {}) => ({
  topologySpreadConstraints: [
    { maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: { app: 'x' } }, ...more },
  ],
})
const UNEVEN = "node(s) didn't match pod topology spread constraints"

t.test('minDomains: zones that are missing count as empty', async (t) => {
  const { put } = cluster([node('a', { zone: '1' }), node('b', { zone: '2' })])
  const x = () => pod(spread({ minDomains: 3 }), { app: 'x' })
  t.same(new Set([put(x()), put(x())]), new Set(['a', 'b']))
  t.equal(put(x()), `0/2 nodes are available: 2 ${UNEVEN}.`)
  t.match(put(pod(spread({ minDomains: 2 }), { app: 'x' })), /^[ab]$/)
})

t.test('matchLabelKeys: each revision is spread by itself', async (t) => {
  const { put, at } = cluster([node('a', { zone: '1' }), node('b', { zone: '2' })])
  for (let i = 0; i < 3; i++) at(pod({}, { app: 'x', hash: 'old' }), 'a')
  t.equal(put(pod(spread(), { app: 'x', hash: 'new' })), 'b', 'all count')
  const byHash = () => pod(spread({ matchLabelKeys: ['hash'] }), { app: 'x', hash: 'new' })
  t.equal(put(byHash()), 'a', 'only its own count')
  t.match(put(byHash()), /^[ab]$/)
})

t.test('nodeAffinityPolicy and nodeTaintsPolicy: which nodes count', async (t) => {
  const nodes = [
    node('a', { zone: '1', disk: 'ssd' }),
    node('b', { zone: '2' }),
    node('c', { zone: '3' }, { taints: [{ key: 'k', effect: 'NoSchedule' }] }),
  ]
  const fill = (more: object, selector: object = {}) => {
    const { put } = cluster(nodes)
    const each = () => put(pod({ ...spread(more), ...selector }, { app: 'x' }))
    each()
    each()
    return each()
  }
  const ssd = { nodeSelector: { disk: 'ssd' } }
  t.equal(fill({}, ssd), 'a', 'nodes it cannot go to do not count')
  t.match(fill({ nodeAffinityPolicy: 'Ignore' }, ssd), /1 node\(s\) didn't match pod topology spread constraints/)
  t.match(fill({}), /2 node\(s\) didn't match pod topology spread constraints/, 'tainted nodes count')
  t.match(fill({ nodeTaintsPolicy: 'Honor' }), /^[ab]$/, 'unless they are not to')
})

t.test('a node without the label; ScheduleAnyway', async (t) => {
  const { put } = cluster([node('a')])
  t.equal(put(pod(spread(), { app: 'x' })), `0/1 nodes are available: 1 ${UNEVEN} (missing required label).`)
  const soft = cluster([node('a', { zone: '1' }), node('b', { zone: '2' })])
  soft.at(pod({}, { app: 'x' }), 'a')
  t.equal(soft.put(pod(spread({ whenUnsatisfiable: 'ScheduleAnyway' }), { app: 'x' })), 'b')
})

t.test('affinity across namespaces: by name, by selector, by all', async (t) => {
  const friend = (more: object) => ({
    affinity: {
      podAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [{ labelSelector: { matchLabels: { app: 'db' } }, topologyKey: HOST, ...more }],
      },
    },
  })
  const build = () => {
    const found = cluster([node('a'), node('b')])
    found.state.setNamespace('shop', { team: 'blue' })
    found.at(pod({}, { app: 'db' }, 'shop'), 'b')
    return found.put
  }
  const NONE = "0/2 nodes are available: 2 node(s) didn't match pod affinity rules."
  t.equal(build()(pod(friend({}))), NONE, 'its own alone')
  t.equal(build()(pod(friend({ namespaces: ['shop'] }))), 'b')
  t.equal(build()(pod(friend({ namespaceSelector: { matchLabels: { team: 'blue' } } }))), 'b')
  t.equal(build()(pod(friend({ namespaceSelector: { matchLabels: { team: 'red' } } }))), NONE)
  t.equal(build()(pod(friend({ namespaceSelector: {} }))), 'b', 'an empty one means all')
  const { put, at, state } = cluster([node('a'), node('b')])
  at(pod({}, { app: 'db' }, 'shop'), 'a')
  const selected = () => pod(friend({ namespaceSelector: { matchLabels: { team: 'blue' } } }))
  t.equal(put(selected()), NONE)
  state.setNamespace('shop', { team: 'blue' })
  t.equal(put(selected()), 'a', 'labels of a namespace may change')
})

t.test('mismatchLabelKeys, preferred affinity, and the affinity of those who are there', async (t) => {
  const { put, at } = cluster([node('a'), node('b')])
  at(pod({}, { app: 'db', tenant: 'one' }), 'a')
  at(pod({}, { app: 'db', tenant: 'two' }), 'b')
  const away = {
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { labelSelector: { matchLabels: { app: 'db' } }, topologyKey: HOST, mismatchLabelKeys: ['tenant'] },
        ],
      },
    },
  }
  t.equal(put(pod(away, { app: 'db', tenant: 'two' })), 'b', 'away from other tenants')
  const near = (podAffinityTerm: object, kind = 'podAffinity') => ({
    affinity: {
      [kind]: {
        preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm: { topologyKey: HOST, ...podAffinityTerm } }],
      },
    },
  })
  const likes = cluster([node('a'), node('b'), node('c')])
  likes.at(pod({}, { app: 'cache' }), 'c')
  t.equal(likes.put(pod(near({ labelSelector: { matchLabels: { app: 'cache' } } }))), 'c')
  const liked = cluster([node('a'), node('b')])
  liked.at(pod(near({ labelSelector: { matchLabels: { app: 'web' } } }, 'podAntiAffinity')), 'a')
  t.equal(liked.put(pod({}, { app: 'web' })), 'b', 'disliked by one who is there')
})

t.test('requests: init containers, sidecars, pod-level resources, overhead, resizes', async (t) => {
  const c = (cpu: string | undefined, more: object = {}) => ({ name: 'c', resources: cpu ? { requests: { cpu } } : {}, ...more })
  const cpu = (spec: object, status: object = {}) => podRequests({ ...pod(spec), status } as Pod).cpu
  t.equal(cpu({ containers: [c('1'), c('2')] }), 3000)
  t.equal(cpu({ containers: [c('1')], initContainers: [c('3'), c('2')] }), 3000, 'one after the other')
  const sidecar = c('500m', { restartPolicy: 'Always' })
  t.equal(cpu({ containers: [c('1')], initContainers: [sidecar] }), 1500, 'beside the containers')
  t.equal(cpu({ containers: [c('1')], initContainers: [sidecar, c('3')] }), 3500, 'and beside those that come after it')
  t.equal(cpu({ containers: [c('1')], initContainers: [c('3'), sidecar] }), 3000)
  t.equal(cpu({ containers: [c('1'), c('1')], resources: { requests: { cpu: '5' } } }), 5000, 'what the pod says counts')
  t.equal(cpu({ containers: [c('1')], overhead: { cpu: '250m' } }), 1250)
  const status = { containerStatuses: [{ name: 'c', resources: { requests: { cpu: '4' } } }] }
  t.equal(cpu({ containers: [c('1')] }, status), 4000, 'until the resize is done')
  t.same(scoredRequests(pod({ containers: [c(undefined)] })), { cpu: 100, memory: 200 * 2 ** 20 })
  t.same(podRequests(pod({ containers: [c(undefined)] })), {})
})

t.test('image locality, and nodes that are preferred less', async (t) => {
  const images = [{ names: ['docker.io/library/app:latest'], sizeBytes: 900 * 2 ** 20 }]
  const { put } = cluster([node('a'), node('b', {}, { images }), node('c')])
  t.equal(put(pod()), 'b', 'it has the image')
  const preferring = cluster([node('a', {}, { taints: [{ key: 'k', effect: 'PreferNoSchedule' }] }), node('b')])
  for (let i = 0; i < 3; i++) t.equal(preferring.put(pod()), 'b')
  t.equal(preferring.put(pod({ tolerations: [{ key: 'k', operator: 'Exists' }] })), 'a')
})

t.test('most allocated fills nodes, least allocated spares them', async (t) => {
  const fill = (use: Profile) => {
    const { put } = cluster([node('a'), node('b')], use)
    return new Set([put(pod()), put(pod()), put(pod()), put(pod())]).size
  }
  t.equal(fill(profile('default-scheduler', 'LeastAllocated')), 2)
  t.equal(fill(profile('default-scheduler', 'MostAllocated')), 1)
})

t.test('a place that was made for someone is kept from those of less importance', async (t) => {
  const state = new ClusterState()
  for (const name of ['a', 'b']) state.setNode(node(name))
  const chooser = placer({ state, profile: defaultProfiles[0] as Profile, volumes: noVolumes, random: seededRandom(3) })
  const most = (priority: number) => podInfo(pod({ priority, containers: [{ name: 'c', resources: { requests: { cpu: '90' } } }] }))
  const nominated = [{ pod: most(100), nodeName: 'a' }]
  for (let i = 0; i < 5; i++) t.match(chooser.place(most(10), nominated), { nodeName: 'b' })
  t.match(chooser.place(nominated[0]?.pod as ReturnType<typeof most>, nominated), { nodeName: 'a' }, 'whose it is goes there')
  state.addPod(most(10), 'b')
  t.match(chooser.place(most(10), nominated), { failed: { reasons: new Map([['Insufficient cpu', 2]]) } })
  t.match(chooser.place(most(1000), nominated), { nodeName: 'a' }, 'who is more important may take it')
  t.equal(state.pods.size, 1, 'and nothing is left behind')
})

t.test('the sentence about making room', async (t) => {
  const words = (nodes: number, helpable: number) => postFilterMessage(preemptionMessage(nodes, helpable))
  const begin = 'no new claims to deallocate, preemption: 0/3 nodes are available:'
  t.equal(
    words(3, 2),
    `${begin} 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.`,
    'in the order of the numbers',
  )
  t.equal(words(3, 1), `${begin} 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.`)
  t.equal(words(3, 0), `${begin} 3 Preemption is not helpful for scheduling.`)
})
