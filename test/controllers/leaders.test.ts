// Several control planes at once: one leads, another takes over, nobody works without the lease.
import t from 'tap'
import { Lease, Pod, ReplicaSet } from '../../src/api/index.js'
import { runControllers } from '../../src/controlplane/controllers/index.js'
import { runScheduler } from '../../src/controlplane/scheduler/index.js'
import { seededRandom, silentLog } from '../../src/lib/index.js'
import { virtualPlane } from './virtual-plane.js'

t.setTimeout(300_000)

const namespace = 'default'

t.test('the leases kube-controller-manager and kube-scheduler', async (t) => {
  // What runs by itself here is one controller that is of no use to a ReplicaSet.
  const { clientOf, client, clock, until, pass } = await virtualPlane(t, { start: Date.UTC(2026, 0, 1), only: ['serviceaccount'] })
  const running: Promise<void>[] = []
  const candidate = (identity: string) => {
    const stop = new AbortController()
    const common = { clock, random: seededRandom(9), log: silentLog, signal: stop.signal, identity }
    let led = 0
    const wire = (name: string) => clientOf(name, ['system:masters'])
    running.push(
      runControllers({ ...common, client: wire('system:kube-controller-manager'), options: {}, onReady: () => void led++ }),
      runScheduler({ ...common, client: wire('system:kube-scheduler') }),
    )
    return { stop: () => stop.abort(new Error('stopped')), led: () => led }
  }
  t.teardown(async () => {
    await Promise.race([Promise.allSettled(running), clock.runUntil(30_000)])
  })
  const lease = async (name: string) => (await client.find(Lease, { namespace: 'kube-system', name }))?.spec
  const one = candidate('one')
  await until('one leads', async () => (await lease('kube-scheduler'))?.holderIdentity === 'one' && one.led() === 1)
  const two = candidate('two')
  await pass(60)
  for (const name of ['kube-controller-manager', 'kube-scheduler']) {
    t.match(await lease(name), { holderIdentity: 'one', leaseDurationSeconds: 15, leaseTransitions: 0 }, name)
    t.ok(Date.parse((await lease(name))?.renewTime ?? '') > clock.now() - 3000, 'renewed every two seconds')
  }
  t.equal(two.led(), 0)
  const labels = { app: 'x' }
  await client.create(ReplicaSet, {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name: 'x', namespace },
    spec: {
      replicas: 2,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'main', image: 'x' }] } },
    },
  })
  const ready = async (count: number) => (await client.get(ReplicaSet, { namespace, name: 'x' })).status?.readyReplicas === count
  await until('two ready', () => ready(2))
  one.stop()
  t.ok((await until('two leads', async () => two.led() === 1)) < 5, 'given up, so nobody has to wait')
  await until('both leases', async () => (await lease('kube-scheduler'))?.holderIdentity === 'two')
  t.equal((await lease('kube-controller-manager'))?.leaseTransitions, 1)
  await client.patch(ReplicaSet, { namespace, name: 'x' }, { spec: { replicas: 3 } }, { type: 'merge' })
  await until('three ready', () => ready(3))
  t.equal((await client.list(Pod, { namespace })).items.length, 3, 'no more than were asked for')
  // Somebody else takes the lease by force: the leader stops.
  const stolen = await client.get(Lease, { namespace: 'kube-system', name: 'kube-controller-manager' })
  await client.update(Lease, { ...stolen, spec: { ...stolen.spec, holderIdentity: 'thief', renewTime: '2026-01-01T01:00:00.000000Z' } })
  await pass(12)
  await client.patch(ReplicaSet, { namespace, name: 'x' }, { spec: { replicas: 4 } }, { type: 'merge' })
  await pass(1)
  t.equal((await client.list(Pod, { namespace })).items.length, 3, 'without the lease nothing is done')
  await until('the thief is silent, so it leads again', () => ready(4), 30)
  two.stop()
})
