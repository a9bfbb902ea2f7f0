import t from 'tap'
import type { Node, Pod } from '../../api/index.js'
import { seededRandom } from '../../lib/index.js'
import { ClusterState, podInfo, podKey } from './cluster-state.js'
import { failureMessage, postFilterMessage } from './message.js'
import { placer } from './placement.js'
import { claimKeys } from './plugins/volume-binding.js'
import { planPreemption } from './preemption.js'
import { defaultProfiles, type Profile } from './profile.js'
import { noVolumes, type VolumeView } from './volumes.js'

const node = (name: string): Node =>
  ({ apiVersion: 'v1', kind: 'Node', metadata: { name }, status: { allocatable: { cpu: '8', memory: '8Gi', pods: '20' } } }) as Node

let counter = 0
const pod = (claims: readonly string[], spec: object = {}): Pod =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `p-${++counter}`, namespace: 'default', uid: `u-${counter}` },
    spec: {
      containers: [{ name: 'c', resources: { requests: { cpu: '1' } } }],
      volumes: claims.map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } })),
      ...spec,
    },
  }) as Pod

/** Nodes with these claims, volumes, classes and attach limits, as far as a test names them. */
function cluster(
  nodes: readonly string[],
  objects: { claims: Record<string, object>; volumes?: object; classes?: object; limits?: object },
) {
  const state = new ClusterState()
  for (const name of nodes) state.setNode(node(name))
  const named = (map: object | undefined, name: string) => (map as Record<string, object> | undefined)?.[name] as never
  const users = new Map<string, string[]>()
  const volumes: VolumeView = {
    ...noVolumes,
    claim: (key) => {
      const name = key.slice('default/'.length)
      const spec = objects.claims[name] as { volumeName?: string } | undefined
      const annotations = spec?.volumeName ? { 'pv.kubernetes.io/bind-completed': 'yes' } : {}
      return spec && ({ metadata: { name, namespace: 'default', annotations }, spec } as never)
    },
    volume: (name) => named(objects.volumes, name),
    storageClass: (name) => named(objects.classes, name),
    csiNode: (name) => named(objects.limits, name),
    usersOf: (key) => users.get(key) ?? [],
  }
  const random = seededRandom(3)
  const chooser = placer({ state, profile: defaultProfiles[0] as Profile, volumes, random })
  const at = (each: Pod, name: string): string => {
    for (const key of claimKeys(each)) users.set(key, [...(users.get(key) ?? []), podKey(each)])
    state.addPod(podInfo(each), name)
    return each.metadata.name
  }
  /** Where the pod goes, or what is said of it. */
  const put = (each: Pod): string => {
    const found = chooser.place(podInfo(each))
    if (!('failed' in found)) {
      at(each, found.nodeName)
      return found.nodeName
    }
    const plan = planPreemption({
      pod: podInfo(each),
      state,
      placer: chooser,
      diagnosis: found.failed,
      budgets: [],
      random,
      nominatedNode: undefined,
    })
    if ('victims' in plan) return `${plan.victims.pods.map((victim) => victim.pod.metadata.name).join(' ')} leaves ${plan.victims.nodeName}`
    return failureMessage(found.failed, postFilterMessage(plan.message))
  }
  return { put, at }
}

const IN_USE = 'node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode'
const NO_VICTIMS = 'no new claims to deallocate, preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod.'

t.test('ReadWriteOncePod: who is more important takes the claim from who has it, and nobody else has to leave', async (t) => {
  const single = { accessModes: ['ReadWriteOncePod'], volumeName: 'v' }
  const world = () =>
    cluster(['a', 'b', 'c'], {
      claims: { one: single, two: { ...single, volumeName: 'w' } },
      volumes: { v: { metadata: {}, spec: {} }, w: { metadata: {}, spec: {} } },
    })
  const { put, at } = world()
  at(pod([], { priority: 1 }), 'a')
  at(pod([], { priority: 1 }), 'c')
  const holder = at(pod(['one'], { priority: 5 }), 'b')
  at(pod([], { priority: 1 }), 'b')
  t.equal(put(pod(['one'], { priority: 5 })), `0/3 nodes are available: 3 ${IN_USE}. ${NO_VICTIMS}`, 'an equal waits')
  t.equal(put(pod(['one'], { priority: 10 })), `${holder} leaves b`)
  t.match(put(pod([], { priority: 0 })), /^[abc]$/, 'whoever does not use it goes anywhere')

  const twice = world()
  twice.at(pod(['one'], { priority: 1 }), 'a')
  twice.at(pod(['two'], { priority: 1 }), 'b')
  t.equal(
    twice.put(pod(['one', 'two'], { priority: 10 })),
    `0/3 nodes are available: 3 ${IN_USE}. ${NO_VICTIMS}`,
    'pods of one node are not enough when two nodes hold claims',
  )
  const together = world()
  const names = [together.at(pod(['one'], { priority: 1 }), 'a'), together.at(pod(['two'], { priority: 1 }), 'a')]
  t.match(together.put(pod(['one', 'two'], { priority: 10 })), new RegExp(`(?=.*${names[0]})(?=.*${names[1]}).* leaves a`))
})

t.test('attach limits: claims that are still to be provisioned by the driver count too', async (t) => {
  const claim = (storageClassName: string, volumeName?: string) => ({ storageClassName, ...(volumeName ? { volumeName } : {}) })
  const binding = 'WaitForFirstConsumer'
  const { put, at } = cluster(['a'], {
    claims: {
      bound: claim('fast', 'v'),
      coming: claim('fast'),
      next: claim('fast'),
      promised: { ...claim('fast', 'gone') },
      other: claim('slow'),
      classless: {},
    },
    volumes: { v: { metadata: {}, spec: { csi: { driver: 'csi.example.com' } } } },
    classes: {
      fast: { metadata: { name: 'fast' }, provisioner: 'csi.example.com', volumeBindingMode: binding },
      slow: { metadata: { name: 'slow' }, provisioner: 'other.example.com', volumeBindingMode: binding },
    },
    limits: { a: { spec: { drivers: [{ name: 'csi.example.com', nodeID: 'a', allocatable: { count: 2 } }] } } },
  })
  const FULL =
    '0/1 nodes are available: 1 node(s) exceed max volume count. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.'
  at(pod(['bound']), 'a')
  t.equal(put(pod(['coming', 'next'])), FULL, 'two more at once')
  t.equal(put(pod(['coming'])), 'a')
  t.equal(put(pod(['next'])), FULL, 'what is on its way is counted')
  t.equal(put(pod(['promised'])), FULL, 'and what names a volume that is not there yet')
  t.equal(put(pod(['coming', 'bound'])), 'a', 'what is there is not counted twice')
  at(pod(['next']), 'a')
  t.equal(put(pod(['coming'])), 'a', 'a node with too many takes who brings none')
  t.equal(put(pod(['other'])), 'a', 'another driver has no limit here')
})
