// What people ask of a simulated cluster, and what they do to it: which of it, and when, says the seed.
import { DaemonSet, Deployment, Job, Node, Pod, PodDisruptionBudget, StatefulSet } from '../../src/api/index.js'
import type { Client } from '../../src/client/index.js'
import { isStatus, type Random, randomInt } from '../../src/lib/index.js'
import { EXIT_AFTER_MS } from '../hollow/hollow-nodes.js'
import type { Invariants } from './invariants.js'

export const namespace = 'default'
export const NODES = ['node-1', 'node-2', 'node-3', 'node-4']

const labels = (app: string) => ({ app })
const template = (app: string, version: number, annotations: Record<string, string> = {}) => ({
  metadata: { labels: labels(app), annotations },
  spec: {
    terminationGracePeriodSeconds: 1,
    containers: [{ name: 'main', image: `image:${version}`, resources: { requests: { cpu: '100m', memory: '64Mi' } } }],
  },
})

export const pick = <T>(random: Random, items: readonly T[]): T => items[randomInt(random, items.length)] as T

/** Something a person does; NotFound and Conflict are theirs to live with. */
export type Deed = (user: Client, random: Random) => Promise<void>

/** What a person may change of a workload. */
interface Change {
  readonly spec: {
    readonly replicas?: number
    readonly paused?: boolean
    readonly suspend?: boolean
    readonly updateStrategy?: { readonly rollingUpdate: { readonly partition: number } }
    readonly template?: { readonly spec: { readonly containers: readonly { readonly name: string; readonly image: string }[] } }
  }
}

export function plot(random: Random, invariants: Invariants): { readonly create: readonly Deed[]; readonly deeds: readonly Deed[] } {
  const create: Deed[] = []
  const deeds: Deed[] = []
  let version = 1
  const patch =
    (kind: Parameters<Client['patch']>[0], name: string, change: Change): Deed =>
    async (user) => {
      const { replicas, paused, suspend, updateStrategy, template: next } = change.spec
      const image = next?.spec.containers[0]?.image
      // Without an answer nobody knows what holds.
      invariants.onChange(kind.kind, name, undefined)
      await user.patch(kind, { namespace, name }, change, { type: 'strategic' })
      const wishes = { replicas, paused, suspend, image, partition: updateStrategy?.rollingUpdate.partition }
      invariants.onChange(kind.kind, name, Object.fromEntries(Object.entries(wishes).filter(([, value]) => value !== undefined)))
    }

  // A Deployment that only its rollouts disturb.
  const surge = pick(random, [0, 1, 2, '25%', '50%'] as const)
  const unavailable = surge === 0 ? pick(random, [1, 2, '50%'] as const) : pick(random, [0, 1, '25%'] as const)
  const size = 2 + randomInt(random, 6)
  invariants.undisturbed.add('web')
  create.push((user) =>
    user
      .create(Deployment, {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'web', namespace },
        spec: {
          replicas: size,
          selector: { matchLabels: labels('web') },
          strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: surge, maxUnavailable: unavailable } },
          revisionHistoryLimit: randomInt(random, 4),
          minReadySeconds: randomInt(random, 3),
          template: template('web', version),
        },
      })
      .then(() => {}),
  )
  const image = (): Change => ({ spec: { template: { spec: { containers: [{ name: 'main', image: `image:${++version}` }] } } } })
  deeds.push(
    (user, r) => patch(Deployment, 'web', image())(user, r),
    (user, r) => patch(Deployment, 'web', image())(user, r),
    (user, r) => patch(Deployment, 'web', { spec: { replicas: 1 + randomInt(r, 8) } })(user, r),
    (user, r) => patch(Deployment, 'web', { spec: { paused: true } })(user, r),
    (user, r) => patch(Deployment, 'web', { spec: { paused: false } })(user, r),
  )
  const others = [statefulPlot, jobPlot, daemonPlot, budgetPlot, chaosPlot]
  for (const other of others) if (random.next() < 0.5) other({ create, deeds, image, patch, random, invariants })
  return { create, deeds }
}

interface Plot {
  readonly create: Deed[]
  readonly deeds: Deed[]
  readonly image: () => Change
  readonly patch: (kind: Parameters<Client['patch']>[0], name: string, change: Change) => Deed
  readonly random: Random
  readonly invariants: Invariants
}

function statefulPlot({ create, deeds, image, patch, random, invariants }: Plot): void {
  /** A canary stays a canary in some lives; in others the partition moves. */
  const partition = pick(random, [0, 0, 1, 2, 3])
  const moves = random.next() < 0.4
  if (!moves && partition > 0) invariants.canary = { set: 'db', partition }
  create.push((user) =>
    user
      .create(StatefulSet, {
        apiVersion: 'apps/v1',
        kind: 'StatefulSet',
        metadata: { name: 'db', namespace },
        spec: {
          replicas: 1 + randomInt(random, 4),
          serviceName: 'db',
          podManagementPolicy: pick(random, ['OrderedReady', 'Parallel']),
          updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition } },
          selector: { matchLabels: labels('db') },
          template: template('db', 1),
        },
      })
      .then(() => {}),
  )
  deeds.push(
    (user, r) => patch(StatefulSet, 'db', image())(user, r),
    // Without a pod there is nothing left that is old: a canary needs some.
    (user, r) => patch(StatefulSet, 'db', { spec: { replicas: invariants.canary ? 1 + randomInt(r, 4) : randomInt(r, 5) } })(user, r),
    (user, r) => user.delete(Pod, { namespace, name: `db-${randomInt(r, 3)}` }).then(() => {}),
  )
  if (!moves) return
  deeds.push((user, r) =>
    patch(StatefulSet, 'db', { spec: { updateStrategy: { rollingUpdate: { partition: randomInt(r, 5) } } } })(user, r),
  )
}

function jobPlot({ create, deeds, patch, random }: Plot): void {
  create.push((user) =>
    user
      .create(Job, {
        apiVersion: 'batch/v1',
        kind: 'Job',
        metadata: { name: 'work', namespace },
        spec: {
          completions: 2 + randomInt(random, 6),
          parallelism: 1 + randomInt(random, 4),
          backoffLimit: 1000,
          suspend: random.next() < 0.3,
          completionMode: pick(random, ['Indexed', 'NonIndexed']),
          template: {
            ...template('work', 1, { [EXIT_AFTER_MS]: String(200 + randomInt(random, 8000)) }),
            spec: { ...template('work', 1).spec, restartPolicy: 'Never' },
          },
        },
      })
      .then(() => {}),
  )
  const suspend = (value: boolean): Deed => patch(Job, 'work', { spec: { suspend: value } })
  deeds.push(suspend(true), suspend(false), suspend(false))
}

function daemonPlot({ create, deeds, image, patch, random, invariants }: Plot): void {
  const rolling = pick(random, [
    { maxUnavailable: 1 },
    { maxUnavailable: '50%' },
    { maxSurge: 1, maxUnavailable: 0 },
    { maxSurge: '50%', maxUnavailable: 0 },
  ] as const)
  const onDelete = random.next() < 0.15
  const surges = !onDelete && 'maxSurge' in rolling
  invariants.daemons = { set: 'agent', perNode: surges ? 2 : 1, neverBare: surges }
  create.push((user) =>
    user
      .create(DaemonSet, {
        apiVersion: 'apps/v1',
        kind: 'DaemonSet',
        metadata: { name: 'agent', namespace },
        spec: {
          selector: { matchLabels: labels('agent') },
          template: template('agent', 1),
          updateStrategy: onDelete ? { type: 'OnDelete' } : { type: 'RollingUpdate', rollingUpdate: rolling },
        },
      })
      .then(() => {}),
  )
  deeds.push(
    (user, r) => patch(DaemonSet, 'agent', image())(user, r),
    (user, r) => patch(DaemonSet, 'agent', image())(user, r),
    (user, r) =>
      user
        .patch(Node, { name: pick(r, NODES) }, { metadata: { labels: { round: String(randomInt(r, 9)) } } }, { type: 'merge' })
        .then(() => {}),
  )
}

/** Evictions may take pods only as far as the budget lets them. */
function budgetPlot({ create, deeds, random, invariants }: Plot): void {
  const replicas = 3 + randomInt(random, 3)
  const share = (percent: number): number => Math.ceil((percent * replicas) / 100)
  const percent = pick(random, [20, 25, 34, 50, 67, 80])
  const number = 1 + randomInt(random, replicas - 1)
  const { spec, least } = pick(random, [
    { spec: { minAvailable: number }, least: number },
    { spec: { minAvailable: `${percent}%` }, least: share(percent) },
    { spec: { maxUnavailable: number }, least: replicas - number },
    { spec: { maxUnavailable: `${percent}%` }, least: replicas - share(percent) },
  ])
  invariants.protectedApps.set('guarded', least)
  create.push(async (user) => {
    await user.create(PodDisruptionBudget, {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'guarded', namespace },
      spec: { ...spec, selector: { matchLabels: labels('guarded') } },
    })
    await user.create(Deployment, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'guarded', namespace },
      spec: { replicas, selector: { matchLabels: labels('guarded') }, template: template('guarded', 1) },
    })
  })
  const evict: Deed = async (user) => {
    const { items } = await user.list(Pod, { namespace, labelSelector: 'app=guarded' })
    for (const pod of items.slice(0, 2)) {
      const { name } = pod.metadata
      const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace } }
      await user.createSubresource(Pod, { namespace, name }, 'eviction', eviction).catch((error: unknown) => {
        if (!isStatus(error, 'TooManyRequests', 'NotFound', 'Conflict', 'InternalError')) throw error
      })
    }
  }
  deeds.push(evict, evict, evict)
}

/** A Deployment whose pods are shot at, and that is deleted in one way or another. */
function chaosPlot({ create, deeds, image, patch, random, invariants }: Plot): void {
  /** What was wished for before does not outlive the object. */
  const forget = (): void => invariants.onChange('Deployment', 'shop', undefined)
  const make: Deed = (user) => {
    forget()
    return user
      .create(Deployment, {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'shop', namespace },
        spec: {
          replicas: 3,
          selector: { matchLabels: labels('shop') },
          strategy: { type: pick(random, ['RollingUpdate', 'Recreate']) },
          template: template('shop', 1),
        },
      })
      .then(() => {})
  }
  create.push(make)
  deeds.push(
    (user, r) => patch(Deployment, 'shop', image())(user, r),
    async (user, r) => {
      const { items } = await user.list(Pod, { namespace, labelSelector: 'app=shop' })
      const victim = items[randomInt(r, Math.max(1, items.length))]
      if (victim) await user.delete(Pod, victim.metadata)
    },
    async (user, r) => {
      const { items } = await user.list(Pod, { namespace, labelSelector: 'app=shop' })
      const stray = items[0]
      if (stray) await user.patch(Pod, stray.metadata, { metadata: { labels: { app: `stray-${randomInt(r, 99)}` } } }, { type: 'merge' })
    },
    (user, r) => {
      forget()
      return user
        .delete(Deployment, { namespace, name: 'shop' }, { propagationPolicy: pick(r, ['Background', 'Foreground', 'Orphan'] as const) })
        .then(() => {})
    },
    make,
  )
}
