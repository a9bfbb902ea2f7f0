// DaemonSets in virtual time: where they run, how they are brought to a new template, what becomes of pods that fail.
import t from 'tap'
import { ControllerRevision, DaemonSet, Node, Pod } from '../../src/api/index.js'
import { type HollowOptions, UNREADY } from '../hollow/hollow-nodes.js'
import { virtualPlane } from './virtual-plane.js'

t.setTimeout(300_000)

const namespace = 'default'
const START = Date.UTC(2026, 0, 1)
const name = 'agent'
const template = (image: string, annotations: Record<string, string> = {}, spec: Partial<NonNullable<Pod['spec']>> = {}) => ({
  metadata: { labels: { app: name }, annotations },
  spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image }], ...spec },
})

async function world(
  t: Parameters<typeof virtualPlane>[0],
  count: number,
  spec: Record<string, unknown> = {},
  hollow: Partial<HollowOptions> = {},
) {
  const names = Array.from({ length: count }, (_, index) => `node-${index + 1}`)
  const plane = await virtualPlane(t, {
    start: START,
    hollow: { nodes: names, startMs: [1000, 1000], stopMs: [300, 300], heartbeatMs: 30_000, ...hollow },
  })
  const { client, until, clock } = plane
  await until('made', () =>
    client
      .create(DaemonSet, {
        apiVersion: 'apps/v1',
        kind: 'DaemonSet',
        metadata: { name, namespace },
        spec: { selector: { matchLabels: { app: name } }, template: template('one'), ...spec },
      })
      .catch(() => undefined),
  )
  const get = () => client.get(DaemonSet, { namespace, name })
  const patch = (change: unknown) => client.patch(DaemonSet, { namespace, name }, { spec: change }, { type: 'merge' })
  const pods = async () => (await client.list(Pod, { namespace, labelSelector: `app=${name}` })).items
  const shown = async () => (await pods()).map((pod) => `${pod.spec?.nodeName} ${pod.spec?.containers[0]?.image}`).sort()
  const isReady = (pod: Pod) =>
    !pod.metadata.deletionTimestamp && pod.status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True')
  const settled = (wanted = count) =>
    until('settled', async () => {
      const { status, metadata } = await get()
      const { desiredNumberScheduled, updatedNumberScheduled, numberAvailable, observedGeneration } = status ?? {}
      return (
        observedGeneration === metadata.generation &&
        [desiredNumberScheduled, updatedNumberScheduled, numberAvailable].every((each) => each === wanted) &&
        (await pods()).length === wanted
      )
    })
  /** Looks every 50 ms while the pods are replaced: fewest nodes with a ready pod, most nodes with two pods. */
  async function watchRollout(image: string, seconds = 60) {
    let fewest = count
    let doubled = 0
    for (let step = 0; step < seconds * 20; step++) {
      await clock.runUntil(50)
      const now = await pods()
      const alive = now.filter((pod) => !pod.metadata.deletionTimestamp)
      const ready = new Set(now.filter(isReady).map((pod) => pod.spec?.nodeName))
      const nodes = alive.map((pod) => pod.spec?.nodeName)
      fewest = Math.min(fewest, ready.size)
      doubled = Math.max(doubled, nodes.length - new Set(nodes).size)
      if (now.length === count && now.every((pod) => isReady(pod) && pod.spec?.containers[0]?.image === image)) break
    }
    return { fewest, doubled, shown: (await shown()).every((each) => each.endsWith(` ${image}`)) }
  }
  return { ...plane, get, patch, pods, shown, settled, watchRollout, isReady }
}

t.test('rolling: so many nodes may be without, or so many with two', async (t) => {
  const cases = [
    { rollingUpdate: undefined, fewest: 3, doubled: 0 },
    { rollingUpdate: { maxUnavailable: 2 }, fewest: 2, doubled: 0 },
    { rollingUpdate: { maxUnavailable: '50%' }, fewest: 2, doubled: 0 },
    { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 }, fewest: 4, doubled: 1 },
    { rollingUpdate: { maxUnavailable: 0, maxSurge: '50%' }, fewest: 4, doubled: 2 },
  ]
  for (const { rollingUpdate, ...wanted } of cases) {
    const { patch, settled, watchRollout } = await world(t, 4, { updateStrategy: { type: 'RollingUpdate', rollingUpdate } })
    await settled()
    await patch({ template: template('two') })
    t.same(await watchRollout('two'), { ...wanted, shown: true }, JSON.stringify(rollingUpdate ?? 'by default'))
  }
})

t.test('what does not run anyway is replaced at once', async (t) => {
  for (const rollingUpdate of [{ maxUnavailable: 1 }, { maxUnavailable: 0, maxSurge: 1 }]) {
    const { patch, until, pods, settled } = await world(t, 4, {
      template: template('bad', { [UNREADY]: '' }),
      updateStrategy: { rollingUpdate },
    })
    await until('all run', async () => (await pods()).length === 4 && (await pods()).every((pod) => pod.status?.phase === 'Running'))
    await patch({ template: template('good', { [UNREADY]: null as never }) })
    t.ok((await settled()) <= 3, JSON.stringify(rollingUpdate))
  }
})

t.test('minReadySeconds counts for the next node', async (t) => {
  const { patch, settled, pods, pass, get } = await world(t, 3, { minReadySeconds: 20 })
  await settled()
  await patch({ template: template('two') })
  await pass(15)
  t.equal((await pods()).filter((pod) => pod.spec?.containers[0]?.image === 'two').length, 1)
  t.match((await get()).status, { numberReady: 3, numberAvailable: 2, numberUnavailable: 1, updatedNumberScheduled: 1 })
  t.ok((await settled()) > 40, 'twice more')
})

t.test('OnDelete waits for a person; history is kept as far as it says', async (t) => {
  const { patch, settled, shown, pass, pods, client, until } = await world(t, 2, {
    updateStrategy: { type: 'OnDelete' },
    revisionHistoryLimit: 1,
  })
  await settled()
  await patch({ template: template('two') })
  await pass(20)
  t.same(await shown(), ['node-1 one', 'node-2 one'])
  const first = (await pods()).find((pod) => pod.spec?.nodeName === 'node-1')
  await client.delete(Pod, { namespace, name: first?.metadata.name ?? '' })
  await until('one is new', async () => JSON.stringify(await shown()) === '["node-1 two","node-2 one"]')
  await patch({ updateStrategy: { type: 'RollingUpdate' } })
  await settled()
  for (const image of ['three', 'four']) {
    await patch({ template: template(image) })
    await settled()
  }
  await pass(1)
  t.equal((await client.list(ControllerRevision, { namespace })).items.length, 2, 'one old, and the one in use')
})

t.test('nodes come, go, are tainted, cordoned and labelled', async (t) => {
  const { client, settled, shown, until, get, pass, patch } = await world(t, 3, {
    template: template('one', {}, { nodeSelector: { kind: 'work' } }),
  })
  const label = (node: string, kind: string | null) =>
    client.patch(Node, { name: node }, { metadata: { labels: { kind } } }, { type: 'merge' })
  const is = (...wanted: string[]) =>
    until(wanted.join() || 'nowhere', async () => JSON.stringify(await shown()) === JSON.stringify(wanted.map((node) => `${node} one`)))
  await pass(2)
  t.match((await get()).status, { desiredNumberScheduled: 0, currentNumberScheduled: 0 })
  await label('node-1', 'work')
  await label('node-2', 'work')
  await is('node-1', 'node-2')
  await settled(2)
  await client.patch(Node, { name: 'node-2' }, { spec: { unschedulable: true } }, { type: 'merge' })
  await pass(10)
  await is('node-1', 'node-2')
  const taint = (node: string, effect: string) =>
    client.patch(Node, { name: node }, { spec: { taints: [{ key: 'k', effect }] } }, { type: 'merge' })
  await taint('node-1', 'NoSchedule')
  await pass(10)
  await is('node-1', 'node-2')
  t.match(
    (await get()).status,
    { desiredNumberScheduled: 1, currentNumberScheduled: 1, numberMisscheduled: 1 },
    'it may stay, but is too much',
  )
  await taint('node-1', 'NoExecute')
  await is('node-2')
  await label('node-3', 'work')
  await is('node-2', 'node-3')
  await label('node-2', null)
  await is('node-3')
  await client.delete(Node, { name: 'node-3' })
  await is()
  await patch({ template: template('one', {}, { nodeSelector: null as never, tolerations: [{ key: 'k', operator: 'Exists' }] }) })
  await is('node-1', 'node-2')
  const [pod] = (await client.list(Pod, { namespace })).items
  t.same(
    pod?.spec?.tolerations?.map(({ key, effect }) => `${key?.replace('node.kubernetes.io/', '')}:${effect ?? ''}`),
    [
      'k:',
      'not-ready:NoExecute',
      'unreachable:NoExecute',
      'disk-pressure:NoSchedule',
      'memory-pressure:NoSchedule',
      'pid-pressure:NoSchedule',
      'unschedulable:NoSchedule',
    ],
  )
})

t.test('a pod that fails is replaced, later each time, and that is said', async (t) => {
  const { clock, pods, told } = await world(t, 1, {}, { failureRate: 1, startMs: [50, 50] })
  const seen = new Map<string, number>()
  for (let step = 0; step < 1200; step++) {
    await clock.runUntil(50)
    for (const { metadata } of await pods()) if (!seen.has(metadata.uid ?? '')) seen.set(metadata.uid ?? '', clock.monotonic() / 1000)
  }
  const times = [...seen.values()]
  const waits = times.slice(1).map((time, index) => Math.round(time - (times[index] ?? 0)))
  t.same(waits.slice(-3), [4, 8, 16], 'twice as long each time')
  t.ok(
    (await told(name)).some((each) =>
      /^FailedDaemonPod: Found failed daemon pod default\/agent-\w+ on node node-1, will try to kill it$/.test(each),
    ),
  )
})
