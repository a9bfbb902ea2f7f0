import t from 'tap'
import type { Pod } from '../../api/index.js'
import { deletionOrder } from './pods.js'
import { slowStart } from './workloads/slow-start.js'

const now = Date.UTC(2026, 0, 2)
const ago = (seconds: number): string => new Date(now - seconds * 1000).toISOString()
const pod = (
  name: string,
  more: { phase?: string; readyFor?: number; restarts?: number; age?: number; node?: string; cost?: string } = {},
): Pod =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      uid: name,
      creationTimestamp: ago(more.age ?? 3600),
      annotations: more.cost === undefined ? {} : { 'controller.kubernetes.io/pod-deletion-cost': more.cost },
    },
    spec: { nodeName: more.node ?? name, containers: [] },
    status: {
      phase: more.phase ?? 'Running',
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: ago(more.readyFor ?? 1800) }],
      containerStatuses: [{ name: 'c', restartCount: more.restarts ?? 0 }],
    },
  }) as unknown as Pod
const order = (...pods: Pod[]): string[] => deletionOrder([...pods].reverse(), pods, now).map((each) => each.metadata.name)

t.test('each rank of the order in which pods are given up', async (t) => {
  t.same(order(pod('z-unassigned', { node: '' }), pod('a-assigned', { phase: 'Pending' })), ['z-unassigned', 'a-assigned'])
  t.same(order(pod('z-pending', { phase: 'Pending' }), pod('m-unknown', { phase: 'Unknown' }), pod('a-running')), [
    'z-pending',
    'm-unknown',
    'a-running',
  ])
  t.same(order(pod('z-cheap', { cost: '-10' }), pod('m-usual'), pod('a-dear', { cost: '10' })), ['z-cheap', 'm-usual', 'a-dear'])
  t.same(order(pod('a', { cost: 'much' }), pod('b', { cost: '1.5' })), ['a', 'b'], 'a cost that is no number is none')
  t.same(order(pod('one', { node: 'n' }), pod('two', { node: 'n' }), pod('alone')).at(-1), 'alone')
  t.same(order(pod('z-fresh', { readyFor: 10 }), pod('a-settled', { readyFor: 10_000 })), ['z-fresh', 'a-settled'])
  t.same(order(pod('z-restless', { restarts: 5 }), pod('a-steady', { restarts: 1 })), ['z-restless', 'a-steady'])
  t.same(order(pod('z-young', { age: 2000 }), pod('a-old', { age: 90_000 })), ['z-young', 'a-old'])
  t.same(order(pod('a', { age: 3000 }), pod('b', { age: 3001 })), ['a', 'b'], 'a second says nothing: the uid decides')
})

t.test('slow start: one, two, four at a time, and no more after a failure', async (t) => {
  let running = 0
  const widths: number[] = []
  const write = (fails: (index: number) => boolean) => async (index: number) => {
    widths[running === 0 ? widths.length : widths.length - 1] = ++running
    await new Promise((resolve) => setImmediate(resolve))
    running--
    if (fails(index)) throw new Error(`no ${index}`)
    return index
  }
  const whole = await slowStart(
    10,
    write(() => false),
  )
  t.same([whole.done.length, whole.error, whole.skipped], [10, undefined, 0])
  t.same(widths, [1, 2, 4, 3])
  const broken = await slowStart(
    500,
    write((index) => index >= 3),
  )
  t.match(broken, { done: [0, 1, 2], error: { message: 'no 3' }, skipped: 500 - 7 })
  t.same(
    await slowStart(
      0,
      write(() => true),
    ),
    { done: [], skipped: 0 },
  )
})
