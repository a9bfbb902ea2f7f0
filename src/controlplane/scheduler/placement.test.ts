import t from 'tap'
import type { Node, Pod } from '../../api/index.js'
import { seededRandom } from '../../lib/index.js'
import { ClusterState, podInfo } from './cluster-state.js'
import { failureMessage } from './message.js'
import { type Placement, placer } from './placement.js'
import { planPreemption } from './preemption.js'
import { defaultProfiles, type Profile } from './profile.js'
import { noVolumes, type VolumeView } from './volumes.js'

export const node = (
  name: string,
  options: { cpu?: string; labels?: Record<string, string>; taints?: readonly unknown[]; pods?: string } = {},
): Node =>
  ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...options.labels } },
    spec: options.taints ? { taints: options.taints } : {},
    status: { allocatable: { cpu: options.cpu ?? '4', memory: '8Gi', pods: options.pods ?? '110' } },
  }) as Node

let counter = 0
const pod = (spec: Partial<Pod['spec'] & object> = {}, labels: Record<string, string> = {}, cpu = '1'): Pod =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `pod-${++counter}`, namespace: 'default', uid: `uid-${counter}`, labels },
    spec: { containers: [{ name: 'c', resources: { requests: { cpu, memory: '100Mi' } } }], ...spec },
  }) as Pod

function cluster(...nodes: Node[]) {
  return clusterWith(noVolumes, ...nodes)
}

function clusterWith(volumes: VolumeView, ...nodes: Node[]) {
  const state = new ClusterState()
  for (const each of nodes) state.setNode(each)
  const random = seededRandom(1)
  const profile = defaultProfiles[0] as Profile
  const chooser = placer({ state, profile, volumes, random })
  const put = (p: Pod): string => {
    const found = chooser.place(podInfo(p))
    if ('failed' in found) return failureMessage(found.failed)
    state.addPod(podInfo(p), found.nodeName)
    return found.nodeName
  }
  return { state, chooser, put, random }
}

const failedOf = (found: Placement) => ('failed' in found ? found.failed : undefined)

t.test('the emptier node is better, and a full one will not do', async (t) => {
  const { put } = cluster(node('a', { cpu: '2' }), node('b', { cpu: '2' }))
  const first = put(pod())
  const second = put(pod())
  t.not(first, second)
  put(pod())
  put(pod())
  t.equal(put(pod()), '0/2 nodes are available: 2 Insufficient cpu.')
})

t.test('reasons are counted and sorted', async (t) => {
  const taints = [{ key: 'dedicated', value: 'gpu', effect: 'NoSchedule' }]
  const { put } = cluster(node('a', { cpu: '500m' }), node('b', { taints }), node('c', { taints }))
  t.equal(put(pod()), '0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).')
  t.equal(cluster().put(pod()), 'no nodes available to schedule pods')
  t.match(put(pod({ tolerations: [{ key: 'dedicated', operator: 'Exists' }] })), /^[bc]$/)
})

t.test('selectors, affinity, ports, names', async (t) => {
  const { put } = cluster(node('a', { labels: { disk: 'ssd' } }), node('b', { labels: { disk: 'hdd' } }))
  t.equal(put(pod({ nodeSelector: { disk: 'hdd' } })), 'b')
  t.equal(put(pod({ nodeSelector: { disk: 'tape' } })), "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.")
  const term = { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['a'] }] }
  t.equal(put(pod({ affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] } } } })), 'a')
  const port = (hostPort: number, hostIP?: string) =>
    ({ containers: [{ name: 'c', ports: [{ containerPort: 80, hostPort, hostIP }] }] }) as never
  t.not(put(pod(port(80))), put(pod(port(80))))
  t.equal(put(pod(port(80))), "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports.")
})

t.test('a daemon names its node, and the message says so of the others', async (t) => {
  const taints = [{ key: 'dedicated', effect: 'NoSchedule' }]
  const { put } = cluster(node('a', { cpu: '1' }), node('b', { taints }), node('c'))
  const term = { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['a'] }] }
  const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] } } }
  t.equal(
    put(pod({ affinity }, {}, '2')),
    "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity].",
  )
})

t.test('overhead and extended resources count', async (t) => {
  const gpu = node('a', { cpu: '2' })
  Object.assign(gpu.status?.allocatable as object, { 'example.com/gpu': '1' })
  const { put } = cluster(gpu)
  t.equal(put(pod({ overhead: { cpu: '1500m' } })), '0/1 nodes are available: 1 Insufficient cpu.')
  const wants = { containers: [{ name: 'c', resources: { requests: { 'example.com/gpu': '1' }, limits: { 'example.com/gpu': '1' } } }] }
  t.equal(put(pod(wants as never)), 'a')
  t.equal(put(pod(wants as never)), '0/1 nodes are available: 1 Insufficient example.com/gpu.')
})

t.test('volumes keep their pods in their zone', async (t) => {
  const zone = (name: string) => node(name, { labels: { 'topology.kubernetes.io/zone': name } })
  const meta = { name: 'data', namespace: 'default', annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } }
  const view = (zones: string): VolumeView => ({
    ...noVolumes,
    claim: () => ({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: meta, spec: { volumeName: 'v' } }) as never,
    volume: () => ({ metadata: { name: 'v', labels: { 'topology.kubernetes.io/zone': zones } }, spec: {} }) as never,
  })
  const user = () => pod({ volumes: [{ name: 'd', persistentVolumeClaim: { claimName: 'data' } }] })
  t.equal(clusterWith(view('b'), zone('a'), zone('b')).put(user()), 'b')
  t.equal(clusterWith(view('x__a'), zone('a'), zone('b')).put(user()), 'a', 'a volume may be in several zones')
  t.equal(clusterWith(view('x'), zone('a'), zone('b')).put(user()), '0/2 nodes are available: 2 node(s) had no available volume zone.')
  t.equal(clusterWith(view('x'), node('plain')).put(user()), 'plain', 'a cluster without zones has one')
})

t.test('required anti-affinity, both ways', async (t) => {
  const { put } = cluster(node('a'), node('b'))
  const apart = {
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { labelSelector: { matchLabels: { app: 'x' } }, topologyKey: 'kubernetes.io/hostname' },
        ],
      },
    },
  }
  const nodes = new Set([put(pod(apart, { app: 'x' })), put(pod(apart, { app: 'x' }))])
  t.same(nodes, new Set(['a', 'b']))
  t.equal(put(pod(apart, { app: 'x' })), "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.")
  t.equal(put(pod({}, { app: 'x' })), "0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules.")
})

t.test('required affinity: the first of a group may go anywhere, the rest follow', async (t) => {
  const zone = (name: string, value: string): Node => node(name, { cpu: '100', labels: { zone: value } })
  const { put } = cluster(zone('a', '1'), zone('b', '2'), zone('c', '3'))
  const together = {
    affinity: {
      podAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [{ labelSelector: { matchLabels: { app: 'y' } }, topologyKey: 'zone' }],
      },
    },
  }
  const first = put(pod(together, { app: 'y' }))
  for (let i = 0; i < 3; i++) t.equal(put(pod(together, { app: 'y' })), first)
  t.equal(
    put(
      pod({
        affinity: {
          podAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [{ labelSelector: { matchLabels: { app: 'none' } }, topologyKey: 'zone' }],
          },
        },
      }),
    ),
    "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.",
  )
})

t.test('hard spread keeps the skew', async (t) => {
  const { put, state } = cluster(node('a', { cpu: '100' }), node('b', { cpu: '100' }), node('c', { cpu: '3' }))
  const spread = {
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'DoNotSchedule',
        labelSelector: { matchLabels: { app: 'z' } },
      },
    ],
  }
  for (let i = 0; i < 11; i++) put(pod(spread, { app: 'z' }))
  t.same([...state.infos].map((info) => info?.pods.size).sort(), [3, 4, 4])
  t.equal(
    put(pod(spread, { app: 'z' })),
    "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match pod topology spread constraints.",
  )
})

t.test('what was worked out for equal pods follows changes of the nodes', async (t) => {
  const { put, state } = cluster(node('a'), node('b', { cpu: '1' }))
  t.equal(put(pod({}, {}, '3')), 'a')
  t.equal(put(pod({}, {}, '3')), '0/2 nodes are available: 2 Insufficient cpu.')
  state.setNode(node('b', { cpu: '8' }))
  t.equal(put(pod({}, {}, '3')), 'b')
  state.removeNode('b')
  state.setNode(node('d'))
  t.equal(put(pod({}, {}, '3')), 'd')
})

t.test('preemption takes the least important, spares budgets, and leaves the state as it was', async (t) => {
  const { put, state, chooser, random } = cluster(node('a', { cpu: '2' }), node('b', { cpu: '2' }))
  for (let i = 0; i < 4; i++) put(pod({ priority: i < 2 ? 10 : 5 }, { app: i < 2 ? 'high' : 'low' }))
  const important = podInfo(pod({ priority: 100 }))
  const diagnosis = failedOf(chooser.place(important))
  if (!diagnosis) throw new Error('should not fit')
  const input = { pod: important, state, placer: chooser, diagnosis, random, nominatedNode: undefined }
  const plan = planPreemption({ ...input, budgets: [] })
  if (!('victims' in plan)) throw new Error('should find victims')
  t.same(
    plan.victims.pods.map((info) => info.pod.metadata.labels?.app),
    ['low'],
  )
  t.equal(state.pods.size, 4)
  t.same(
    [...state.infos].map((info) => info?.pods.size),
    [2, 2],
  )
  const budgets = [
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'b', namespace: 'default' },
      spec: { selector: { matchLabels: { app: 'low' } } },
      status: { disruptionsAllowed: 0 },
    },
  ] as const
  const spared = planPreemption({ ...input, budgets })
  if (!('victims' in spared)) throw new Error('should find victims')
  t.same(
    spared.victims.pods.map((info) => info.pod.metadata.labels?.app),
    ['high'],
  )
  const never = podInfo(pod({ priority: 100, preemptionPolicy: 'Never' }))
  t.match(planPreemption({ ...input, pod: never, budgets: [] }), { message: 'preemption: not eligible due to preemptionPolicy=Never.' })
  const equal = podInfo(pod({ priority: 5 }))
  t.match(planPreemption({ ...input, pod: equal, budgets: [] }), {
    message: 'preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.',
  })
})
