import t from 'tap'
import type { Deployment, ReplicaSet } from '../../../api/index.js'
import type { Cache } from '../types.js'
import { oldPodsRun, planCleanup, planNewSet, splitSets } from './deployment.js'
import { HISTORY, newSetAnnotations, nextRevision, REVISION } from './deployment-annotations.js'
import { bounds, newSetReplicas, planRolling, planScale } from './deployment-scaling.js'
import { deploymentCondition, rolloutStatus } from './deployment-status.js'

const deployment = (replicas: number, spec: Record<string, unknown> = {}, image = 'a'): Deployment =>
  ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'ns', uid: 'd', generation: 2, annotations: { 'kubernetes.io/change-cause': 'because' } },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'web' } },
      progressDeadlineSeconds: 600,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image }] } },
      ...spec,
    },
  }) as unknown as Deployment

let age = 0
const set = (name: string, replicas: number, available = replicas, annotations: Record<string, string> = {}): ReplicaSet =>
  ({
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name, namespace: 'ns', uid: name, generation: 1, creationTimestamp: new Date(++age * 1000).toISOString(), annotations },
    spec: { replicas, selector: {}, template: {} },
    status: { replicas, availableReplicas: available, observedGeneration: 1 },
  }) as ReplicaSet

const sizes = (plan: readonly { set: ReplicaSet; replicas: number }[]) =>
  Object.fromEntries(plan.map((each) => [each.set.metadata.name, each.replicas]))

t.test('percentages round surge up and unavailability down; both zero would stand still', async (t) => {
  const of = (maxSurge: unknown, maxUnavailable: unknown, replicas = 10) =>
    bounds(deployment(replicas, { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } } }))
  t.same(of('25%', '25%'), { surge: 3, unavailable: 2 })
  t.same(of(0, '5%'), { surge: 0, unavailable: 1 })
  t.same(of(2, 30), { surge: 2, unavailable: 10 })
})

t.test('a rolling update goes up by the surge and down by what is available', async (t) => {
  const d = deployment(3)
  t.same(sizes(planRolling(d, set('new', 0), [set('old', 3)])), { new: 1 })
  t.same(planRolling(d, set('new', 1, 0), [set('old', 3)]), [])
  t.same(sizes(planRolling(d, set('new', 1, 1), [set('old', 3)])), { old: 2 })
  t.same(sizes(planRolling(d, set('new', 5, 5), [])), { new: 3 })
  // What does not work goes first and costs nothing.
  t.same(sizes(planRolling(d, set('new', 1, 0), [set('broken', 1, 0), set('old', 3)])), { broken: 0 })
})

t.test('a set that still has pods to lose takes room until it has lost them', async (t) => {
  const d = deployment(3)
  const old = set('old', 2)
  t.equal(newSetReplicas(d, [set('new', 1), old], 1), 2)
  t.equal(
    newSetReplicas(d, [set('new', 1), old], 1, (each) => (each === old ? 3 : 1)),
    1,
  )
})

t.test('scaling in the middle of a rollout keeps the proportions', async (t) => {
  const noted = { 'deployment.kubernetes.io/desired-replicas': '10', 'deployment.kubernetes.io/max-replicas': '13' }
  const d = deployment(15, { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } } })
  t.same(sizes(planScale(d, set('new', 5, 0, noted), [set('old', 8, 8, noted)])), { old: 11, new: 7 })
  t.same(sizes(planScale(deployment(4), set('new', 2), [])), { new: 4 })
})

t.test('the new set is named by its template, and found again by it', async (t) => {
  const d = deployment(3)
  const first = planNewSet(d, [])
  t.match(first.metadata.name, /^web-[bcdfghjklmnpqrstvwxz2456789]+$/)
  t.equal(first.spec?.replicas, 3)
  t.equal(first.metadata.annotations?.['kubernetes.io/change-cause'], 'because')
  t.equal(first.metadata.annotations?.[REVISION], '1')
  t.equal(planNewSet(d, []).metadata.name, first.metadata.name)
  t.not(planNewSet(deployment(3, {}, 'b'), []).metadata.name, first.metadata.name)
  t.equal(splitSets(d, [set('other', 1), first]).newSet, first)
  t.equal(splitSets(deployment(3, {}, 'b'), [first]).newSet, undefined)
})

t.test('going back gives an old set a new revision and notes the old one', async (t) => {
  const annotations = newSetAnnotations(deployment(1), { [REVISION]: '1' }, 3n)
  t.equal(annotations[REVISION], '3')
  t.equal(annotations[HISTORY], '1')
})

t.test('revisions are counted in 64 bits', async (t) => {
  const old = [set('a', 1, 1, { [REVISION]: '3546343826724305832' }), set('b', 0, 0, { [REVISION]: '3546343826724305831' })]
  t.equal(newSetAnnotations(deployment(1), {}, nextRevision(old))[REVISION], '3546343826724305833')
  t.equal(nextRevision([set('c', 0, 0, { [REVISION]: 'none' })]), 1n)
})

t.test('only empty sets beyond the limit are cleaned up, oldest revisions first', async (t) => {
  const at = (revision: string, replicas = 0) => set(`r${revision}`, replicas, replicas, { [REVISION]: revision })
  const d = deployment(1, { revisionHistoryLimit: 2 })
  t.same(
    planCleanup(d, [at('3'), at('1'), at('2'), at('4')]).map((each) => each.metadata.name),
    ['r1', 'r2'],
  )
  t.same(planCleanup(d, [at('1', 2), at('2'), at('3')]), [])
})

t.test('progress, completion and the deadline show in the conditions', async (t) => {
  const now = Date.UTC(2026, 0, 1)
  const d = deployment(3)
  const done = rolloutStatus({ deployment: d, newSet: set('new', 3), old: [], now })
  t.match(deploymentCondition(done.conditions, 'Progressing'), {
    status: 'True',
    reason: 'NewReplicaSetAvailable',
    message: 'ReplicaSet "new" has successfully progressed.',
  })
  t.match(deploymentCondition(done.conditions, 'Available'), { status: 'True', message: 'Deployment has minimum availability.' })
  const begun = rolloutStatus({ deployment: d, newSet: set('new', 3, 0), old: [], now })
  t.match(deploymentCondition(begun.conditions, 'Progressing'), { reason: 'ReplicaSetUpdated' })
  const later = rolloutStatus({ deployment: { ...d, status: begun }, newSet: set('new', 3, 0), old: [], now: now + 601_000 })
  t.match(deploymentCondition(later.conditions, 'Progressing'), {
    status: 'False',
    reason: 'ProgressDeadlineExceeded',
    message: 'ReplicaSet "new" has timed out progressing.',
  })
})

t.test('Recreate waits for the old pods, and for sets that may still be making some', async (t) => {
  const phases: string[] = []
  const cache = { ownedBy: () => phases.map((phase) => ({ status: { phase } })) } as unknown as Cache
  const old = set('old', 0)
  t.equal(oldPodsRun(cache, [old]), false)
  phases.push('Failed', 'Running')
  t.equal(oldPodsRun(cache, [old]), true, 'one runs')
  phases.pop()
  t.equal(oldPodsRun(cache, [old]), false, 'one that has ended is no obstacle')
  const resized = { ...old, metadata: { ...old.metadata, generation: 2 } }
  t.equal(oldPodsRun(cache, [resized]), true, 'its controller has not seen the new size')
})
