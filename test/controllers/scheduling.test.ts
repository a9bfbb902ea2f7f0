// The scheduler at work in virtual time: what it says, whom it makes leave, what wakes a pod that waits.
import t, { type Test } from 'tap'
import { Event, Node, PersistentVolume, PersistentVolumeClaim, Pod, PriorityClass, StorageClass } from '../../src/api/index.js'
import { defaultProfiles, profile } from '../../src/controlplane/scheduler/index.js'
import { virtualPlane } from './virtual-plane.js'

t.setTimeout(300_000)

const namespace = 'default'
const START = Date.UTC(2026, 0, 1)
const ONLY = ['serviceaccount', 'persistentvolume-binder', 'persistentvolume-reclaimer', 'nodelifecycle']

async function world(t: Test, more: Partial<Parameters<typeof virtualPlane>[1]> = {}) {
  const allocatable = { cpu: '4', memory: '8Gi', pods: '20' }
  const plane = await virtualPlane(t, {
    start: START,
    only: ONLY,
    ...more,
    hollow: { allocatable, stopMs: [3000, 3000], heartbeatMs: 30_000, ...more.hollow },
  })
  const { client, until } = plane
  const make = (name: string, cpu: string, spec: object = {}, metadata: object = {}) =>
    until(`${name} made`, () =>
      client
        .create(Pod, {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name, namespace, ...metadata },
          spec: {
            terminationGracePeriodSeconds: 10,
            containers: [{ name: 'main', image: 'x', resources: { requests: { cpu } } }],
            ...spec,
          },
        })
        .catch((error: { code?: number }) => {
          if (error.code === 403) return undefined
          throw error
        }),
    )
  const find = (name: string) => client.find(Pod, { namespace, name })
  const nodeOf = async (name: string) => (await find(name))?.spec?.nodeName
  const placed = (name: string, seconds = 60) => until(`${name} has a node`, () => nodeOf(name), seconds)
  const scheduled = async (name: string) => (await find(name))?.status?.conditions?.find((each) => each.type === 'PodScheduled')
  const classes = async () => {
    for (const [name, value] of [
      ['low', 10],
      ['high', 1000],
    ] as const) {
      await client.create(PriorityClass, { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name }, value } as never)
    }
    await client.create(PriorityClass, {
      apiVersion: 'scheduling.k8s.io/v1',
      kind: 'PriorityClass',
      metadata: { name: 'polite' },
      value: 500,
      preemptionPolicy: 'Never',
    } as never)
  }
  const says = async (name: string, words: string) => {
    await until(`${name}: ${words}`, async () => (await scheduled(name))?.message === words).catch(() => {})
    t.match(await scheduled(name), { status: 'False', reason: 'Unschedulable', message: words })
    t.ok((await plane.told(name)).includes(`FailedScheduling: ${words}`), 'and an event says so')
  }
  return { ...plane, make, find, nodeOf, placed, scheduled, classes, says }
}

t.test('words of a pod that fits nowhere, and of one that fits', async (t) => {
  const { make, says, client, told, placed, nodeOf, pass } = await world(t)
  await make('easy', '1')
  await placed('easy')
  t.ok((await told('easy')).includes(`Scheduled: Successfully assigned default/easy to ${await nodeOf('easy')}`))
  const { items } = await client.list(Event, { namespace })
  const event = items.find((each) => each.reason === 'Scheduled')
  t.match(event, { type: 'Normal', source: { component: 'default-scheduler' }, reportingComponent: 'default-scheduler' })
  const never = 'no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.'
  await make('big', '40')
  await says('big', `0/3 nodes are available: 3 Insufficient cpu. ${never}`)
  await client.patch(Node, { name: 'node-1' }, { spec: { unschedulable: true } }, { type: 'merge' })
  const taint = { key: 'dedicated', value: 'db', effect: 'NoSchedule' }
  await client.patch(Node, { name: 'node-2' }, { spec: { taints: [taint] } }, { type: 'merge' })
  await pass(2)
  await make('mixed', '40')
  await says(
    'mixed',
    `0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. ${never}`,
  )
  await make('elsewhere', '1', { nodeSelector: { disk: 'ssd' } })
  await says(
    'elsewhere',
    `0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. ${never}`,
  )
  await make('claims', '1', { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'absent' } }] })
  await says('claims', `0/3 nodes are available: persistentvolumeclaim "absent" not found. ${never}`)
})

t.test('preemption: who leaves, who is promised the place, what is said', async (t) => {
  const { make, placed, classes, told, find, until, nodeOf, scheduled, pass } = await world(t, { hollow: { nodes: ['node-1', 'node-2'] } })
  await classes()
  for (const name of ['low-1', 'low-2']) await make(name, '3', { priorityClassName: 'low' })
  for (const name of ['low-1', 'low-2']) await placed(name)
  await make('polite', '3', { priorityClassName: 'polite' })
  await until('refused', async () => (await scheduled('polite'))?.message?.includes('preemption'))
  t.equal(
    (await scheduled('polite'))?.message,
    '0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.',
  )
  await make('equal', '3', { priorityClassName: 'low' })
  await until('refused', async () => (await scheduled('equal'))?.message?.includes('preemption'))
  t.equal(
    (await scheduled('equal'))?.message,
    '0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.',
  )
  const { metadata } = await make('high', '3', { priorityClassName: 'high' }).then(async () => (await find('high')) as Pod)
  await until('promised', async () => (await find('high'))?.status?.nominatedNodeName)
  const node = (await find('high'))?.status?.nominatedNodeName
  const victim = (await nodeOf('low-1')) === node ? 'low-1' : 'low-2'
  const leaving = await find(victim)
  t.ok(leaving?.metadata.deletionTimestamp, 'asked to leave')
  t.match(
    leaving?.status?.conditions?.find((each) => each.type === 'DisruptionTarget'),
    { status: 'True', reason: 'PreemptionByScheduler', message: 'default-scheduler: preempting to accommodate a higher priority pod' },
  )
  t.ok((await told(victim)).includes(`Preempted: Preempted by pod ${metadata.uid} on node ${node}`))
  t.equal(await nodeOf('high'), undefined, 'its place is not free yet')
  await make('small', '3', { priorityClassName: 'low' })
  await placed('high')
  t.equal(await nodeOf('high'), node)
  await pass(10)
  t.equal(await nodeOf('small'), undefined, 'nobody of less importance takes it meanwhile')
  t.equal(await nodeOf('polite'), undefined)
})

t.test('gates, and what wakes a pod that waits', async (t) => {
  const { make, placed, scheduled, nodeOf, client, until, pass } = await world(t, { hollow: { nodes: ['node-1'] } })
  await make('gated', '1', { schedulingGates: [{ name: 'a' }, { name: 'b' }] })
  await until('said', () => scheduled('gated'))
  t.match(await scheduled('gated'), { status: 'False', reason: 'SchedulingGated' })
  await client.patch(Pod, { namespace, name: 'gated' }, { spec: { schedulingGates: [{ name: 'b' }] } }, { type: 'merge' })
  await pass(5)
  t.equal(await nodeOf('gated'), undefined, 'one is left')
  await client.patch(Pod, { namespace, name: 'gated' }, { spec: { schedulingGates: [] } }, { type: 'merge' })
  t.ok((await placed('gated')) < 2)

  // Each waits for something else; only what concerns it wakes it, and then within the longest back-off.
  const WAKES = 11
  await make('label', '1', { nodeSelector: { disk: 'ssd' } })
  await make('taint', '1', { tolerations: [{ key: 'k', operator: 'Exists' }], nodeSelector: { kind: 'new' } })
  await make('room', '3500m')
  await make('port', '10m', { containers: [{ name: 'main', image: 'x', ports: [{ containerPort: 80, hostPort: 80 }] }] })
  await placed('port')
  await make('same-port', '10m', { containers: [{ name: 'main', image: 'x', ports: [{ containerPort: 80, hostPort: 80 }] }] })
  await make('gpu', '10m', { containers: [{ name: 'main', image: 'x', resources: { limits: { 'example.com/gpu': '1' } } }] })
  await pass(60)
  for (const name of ['label', 'taint', 'room', 'same-port', 'gpu']) t.equal(await nodeOf(name), undefined, `${name} waits`)
  const { items } = await client.list(Event, { namespace })
  const tries = items.filter((each) => each.involvedObject.name === 'label' && each.reason === 'FailedScheduling')
  t.same(
    tries.map(({ count, series }) => series?.count ?? count ?? 1),
    [1],
    'pods that come and go do not concern it',
  )
  await client.patch(Node, { name: 'node-1' }, { metadata: { labels: { disk: 'ssd' } } }, { type: 'merge' })
  t.ok((await placed('label', 300)) <= WAKES, 'a label')
  await client.delete(Pod, { namespace, name: 'port' })
  t.ok((await placed('same-port', 300)) <= WAKES, 'a port')
  const node = await client.get(Node, { name: 'node-1' })
  await client.updateStatus(Node, {
    ...node,
    status: { ...node.status, allocatable: { ...node.status?.allocatable, 'example.com/gpu': '1' } },
  })
  t.ok((await placed('gpu', 300)) <= WAKES, 'a device')
  for (const name of ['gated', 'label']) await client.delete(Pod, { namespace, name })
  t.ok((await placed('room', 300)) <= WAKES, 'room')
  await client.create(Node, {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'node-9', labels: { kind: 'new' } },
    spec: { taints: [{ key: 'k', effect: 'NoSchedule' }] },
  } as Node)
  const late = await client.get(Node, { name: 'node-9' })
  await client.updateStatus(Node, { ...late, status: node.status })
  t.ok((await placed('taint', 300)) <= WAKES, 'a node')
})

t.test('several profiles; a scheduler that is not ours is left alone', async (t) => {
  const { make, placed, nodeOf, client, pass, told } = await world(t, {
    profiles: [...defaultProfiles, profile('packer', 'MostAllocated')],
  })
  for (let index = 0; index < 3; index++) {
    await make(`packed-${index}`, '1', { schedulerName: 'packer' })
    await placed(`packed-${index}`)
    await make(`spread-${index}`, '500m')
    await placed(`spread-${index}`)
  }
  const nodes = async (prefix: string) => new Set(await Promise.all([0, 1, 2].map((index) => nodeOf(`${prefix}-${index}`)))).size
  t.equal(await nodes('packed'), 1)
  t.ok((await nodes('spread')) > 1)
  const { items } = await client.list(Event, { namespace })
  t.ok(items.some((each) => each.involvedObject.name === 'packed-0' && each.source?.component === 'packer'))
  await make('foreign', '1', { schedulerName: 'example.com-other' })
  await pass(10)
  t.equal(await nodeOf('foreign'), undefined)
  t.same(await told('foreign'), [])
})

t.test('WaitForFirstConsumer: volumes that exist are taken where the pod can go, and not twice', async (t) => {
  const { make, placed, nodeOf, client, says, until } = await world(t)
  await client.create(StorageClass, {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: 'local' },
    provisioner: 'kubernetes.io/no-provisioner',
    volumeBindingMode: 'WaitForFirstConsumer',
  })
  const volume = (name: string, node: string) =>
    client.create(PersistentVolume, {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        storageClassName: 'local',
        local: { path: '/x' },
        nodeAffinity: {
          required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node] }] }] },
        },
      },
    })
  const claim = (name: string) =>
    client.create(PersistentVolumeClaim, {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name, namespace },
      spec: { storageClassName: 'local', accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    })
  const use = (claimName: string) => ({ volumes: [{ name: 'v', persistentVolumeClaim: { claimName } }] })
  await volume('v2', 'node-2')
  await volume('v3', 'node-3')
  for (const name of ['one', 'two', 'three']) await claim(name)
  await Promise.all(['one', 'two', 'three'].map((name) => make(name, '1', use(name))))
  await until('two of three', async () => (await Promise.all(['one', 'two', 'three'].map(nodeOf))).filter(Boolean).length === 2)
  const nodes = await Promise.all(['one', 'two', 'three'].map(nodeOf))
  t.same(nodes.filter(Boolean).sort(), ['node-2', 'node-3'])
  const last = ['one', 'two', 'three'][nodes.indexOf(undefined)] ?? ''
  await says(
    last,
    "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
  )
  await volume('v1', 'node-1')
  await placed(last)
  t.equal(await nodeOf(last), 'node-1')
  for (const [index, name] of ['one', 'two', 'three'].entries()) {
    const bound = await client.get(PersistentVolumeClaim, { namespace, name })
    t.equal(bound.spec?.volumeName, `v${(nodes[index] ?? 'node-1').slice(-1)}`)
  }
})
