// One seeded life of a cluster: API server, controllers, scheduler and hollow nodes in one process, in virtual time, with faults.
import { setMaxListeners } from 'node:events'
import {
  DaemonSet,
  Deployment,
  Job,
  type Kind,
  Namespace,
  Node,
  Pod,
  PodDisruptionBudget,
  ReplicaSet,
  type Resource,
  StatefulSet,
} from '../../src/api/index.js'
import { type Client, createClient } from '../../src/client/index.js'
import { controllers, runControllers } from '../../src/controlplane/controllers/index.js'
import { runScheduler } from '../../src/controlplane/scheduler/index.js'
import { type HttpHandler, isStatus, type Logger, type Random, randomInt, seededRandom, silentLog } from '../../src/lib/index.js'
import { EXIT_AFTER_MS, type HollowNodes, hollowNodes } from '../hollow/hollow-nodes.js'
import { calm, type Faults, type Link, link } from './faults.js'
import { Invariants } from './invariants.js'
import { memoryStore } from './memory-store.js'
import { mortalServer } from './mortal-server.js'
import { type SimClock, simClock } from './sim-clock.js'

export interface Life {
  readonly violations: readonly string[]
  /** The store's last revision and virtual time: equal for equal seeds. */
  readonly fingerprint: string
  readonly crashes: number
  readonly serverCrashes: number
  /** How often a node fell silent. */
  readonly silences: number
}

export interface SimulateOptions {
  readonly log?: Logger
  readonly signingKey: string
}

const namespace = 'default'
const NODES = ['node-1', 'node-2', 'node-3', 'node-4']

interface Actor {
  readonly name: string
  start(client: Client, signal: AbortSignal): Promise<void>
}

/** Controllers of kinds that no life has anything of: they would only list them again and again. */
const IDLE =
  /^(csr|serviceaccount-token|nodeipam|token-cleaner|clusterrole-aggregation|persistentvolume|pv|local-path|ephemeral|cronjob|replication$)/

/** The groups that a life has to do with; the rest would only be listed again and again. */
const GROUPS = ['apps', 'batch', 'policy', 'discovery.k8s.io', 'apiextensions.k8s.io']

const fewerGroups =
  (server: HttpHandler): HttpHandler =>
  async (request) => {
    const response = await server(request)
    if (request.url !== '/apis' || !(response.body instanceof Uint8Array) || response.status !== 200) return response
    const all = JSON.parse(Buffer.from(response.body).toString('utf8')) as { groups: { name: string }[] }
    const groups = all.groups.filter((group) => GROUPS.includes(group.name))
    return { ...response, body: Buffer.from(JSON.stringify({ ...all, groups })) }
  }

/** A process that dies now and then, and comes back. */
function process_(actor: Actor, world: World): { calmDown(): void; crashes(): number; stop(): void } {
  const { clock, random, server, faults } = world
  let crashes = 0
  let settled = false
  let current: { link: Link; abort: AbortController } | undefined
  let stopped = false
  const start = (): void => {
    if (stopped) return
    const abort = new AbortController()
    setMaxListeners(0, abort.signal)
    const mine = link(server, `system:${actor.name}`, { clock, random, faults: settled ? calm : faults })
    current = { link: mine, abort }
    if (!settled && world.crashEvery > 0) {
      mine.killAt(20 + randomInt(random, world.crashEvery), () => {
        crashes++
        clock.after(0, () => abort.abort(new Error('crash')))
        clock.after(200 + randomInt(random, 4000), start)
      })
    }
    void actor.start(createClient(mine.handler, { userAgent: actor.name }), abort.signal).catch(() => {})
  }
  start()
  return {
    crashes: () => crashes,
    calmDown() {
      settled = true
      if (!current) return
      current.link.faults = calm
      current.link.killAt(Number.MAX_SAFE_INTEGER, () => {})
    },
    stop() {
      stopped = true
      current?.link.kill()
      current?.abort.abort(new Error('end'))
    },
  }
}

interface World {
  readonly clock: SimClock
  readonly random: Random
  readonly server: Parameters<typeof link>[0]
  readonly faults: Faults
  readonly crashEvery: number
}

const labels = (app: string) => ({ app })
const template = (app: string, version: number, annotations: Record<string, string> = {}) => ({
  metadata: { labels: labels(app), annotations },
  spec: {
    terminationGracePeriodSeconds: 1,
    containers: [{ name: 'main', image: `image:${version}`, resources: { requests: { cpu: '100m', memory: '64Mi' } } }],
  },
})

const pick = <T>(random: Random, items: readonly T[]): T => items[randomInt(random, items.length)] as T

/** Something a person does; NotFound and Conflict are theirs to live with. */
type Deed = (user: Client, random: Random) => Promise<void>

/** What a person may change of a workload. */
interface Change {
  readonly spec: {
    readonly replicas?: number
    readonly paused?: boolean
    readonly template?: { readonly spec: { readonly containers: readonly { readonly name: string; readonly image: string }[] } }
  }
}

function plot(random: Random, invariants: Invariants): { readonly create: readonly Deed[]; readonly deeds: readonly Deed[] } {
  const create: Deed[] = []
  const deeds: Deed[] = []
  let version = 1
  const patch =
    (kind: Parameters<Client['patch']>[0], name: string, change: Change): Deed =>
    async (user) => {
      const { replicas, paused, template: next } = change.spec
      const image = next?.spec.containers[0]?.image
      // Without an answer nobody knows what holds.
      invariants.onChange(kind.kind, name, undefined)
      await user.patch(kind, { namespace, name }, change, { type: 'strategic' })
      const wishes = { replicas, paused, image }
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

function statefulPlot({ create, deeds, image, patch, random }: Plot): void {
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
          selector: { matchLabels: labels('db') },
          template: template('db', 1),
        },
      })
      .then(() => {}),
  )
  deeds.push(
    (user, r) => patch(StatefulSet, 'db', image())(user, r),
    (user, r) => patch(StatefulSet, 'db', { spec: { replicas: randomInt(r, 5) } })(user, r),
    (user, r) => user.delete(Pod, { namespace, name: `db-${randomInt(r, 3)}` }).then(() => {}),
  )
}

function jobPlot({ create, random }: Plot): void {
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
          completionMode: pick(random, ['Indexed', 'NonIndexed']),
          template: {
            ...template('work', 1, { [EXIT_AFTER_MS]: String(200 + randomInt(random, 8000)) }),
            spec: { ...template('work', 1).spec, restartPolicy: 'Never' },
          },
        },
      })
      .then(() => {}),
  )
}

function daemonPlot({ create, deeds, image, patch }: Plot): void {
  create.push((user) =>
    user
      .create(DaemonSet, {
        apiVersion: 'apps/v1',
        kind: 'DaemonSet',
        metadata: { name: 'agent', namespace },
        spec: { selector: { matchLabels: labels('agent') }, template: template('agent', 1) },
      })
      .then(() => {}),
  )
  deeds.push(
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
  const least = 1 + randomInt(random, replicas - 1)
  invariants.protectedApps.set('guarded', least)
  create.push(async (user) => {
    await user.create(PodDisruptionBudget, {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'guarded', namespace },
      spec: { minAvailable: least, selector: { matchLabels: labels('guarded') } },
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

const isDone = (object: Resource): string | undefined => {
  const { kind, metadata, spec, status } = object as Resource & { spec: Record<string, unknown>; status?: Record<string, unknown> }
  const wanted = (spec.replicas as number | undefined) ?? 1
  const count = (name: string): number => (status?.[name] as number | undefined) ?? 0
  const say = (what: string): string => `${kind} ${metadata.name}: ${what}`
  if (metadata.deletionTimestamp) return say('is still being deleted')
  if (kind === 'Job') {
    const conditions = (status?.conditions ?? []) as { type: string }[]
    if (!conditions.some((each) => each.type === 'Complete')) return say('is not complete')
    return count('succeeded') === spec.completions ? undefined : say(`has ${count('succeeded')} of ${spec.completions} completions`)
  }
  if (status?.observedGeneration !== metadata.generation) return say('was not looked at')
  if (kind === 'DaemonSet') {
    const ready = count('desiredNumberScheduled') === NODES.length && count('numberReady') === NODES.length
    return ready && count('updatedNumberScheduled') === NODES.length ? undefined : say('is not on every node')
  }
  if (spec.paused) return undefined
  const all = ['replicas', 'readyReplicas', 'updatedReplicas'].every((name) => count(name) === wanted)
  return all ? undefined : say(`has ${JSON.stringify(status)}, wanted are ${wanted}`)
}

function unfinished(invariants: Invariants): string[] {
  const open = ['Deployment', 'StatefulSet', 'DaemonSet', 'Job'].flatMap((kind) =>
    invariants.kind(kind).flatMap((object) => isDone(object) ?? []),
  )
  const pods = invariants.kind<Pod>('Pod').filter((pod) => pod.metadata.deletionTimestamp || !pod.spec?.nodeName)
  return [
    ...open,
    ...pods.map((pod) => `Pod ${pod.metadata.name} is ${pod.spec?.nodeName ? 'terminating' : 'waiting'}`),
    ...invariants.orphans(),
  ]
}

/** Lives one seed from its first node to its last pod. */
export async function simulate(seed: number, { log = silentLog, signingKey }: SimulateOptions): Promise<Life> {
  const random = seededRandom(seed)
  const clock = simClock()
  const store = memoryStore()
  const invariants = new Invariants()
  store.onEvent = (event) => invariants.onEvent(event)
  const api = await mortalServer({ store, clock, random, seed, log, signingKey })
  const server: HttpHandler = async (request) => {
    const response = await api.handler(request)
    const wrote = request.method !== 'GET' && response.status < 300 && response.body instanceof Uint8Array
    if (wrote) invariants.onAnswer(JSON.parse(Buffer.from(response.body as Uint8Array).toString('utf8')) as Resource)
    return response
  }
  const end = new AbortController()
  setMaxListeners(0, end.signal)
  const rough = random.next() < 0.8
  const faults: Faults = rough
    ? {
        loss: random.next() * 0.03,
        delayMs: pick(random, [2, 20, 300, 2000]),
        repeat: random.next() * 0.1,
        reorder: random.next() * 0.1,
        cut: random.next() * 0.01,
      }
    : calm
  const crashEvery = random.next() < 0.7 ? pick(random, [100, 300, 1000]) : 0
  const world: World = { clock, random, server: fewerGroups(server), faults, crashEvery }
  const user = createClient(link(server, 'user', { clock, random, faults: calm }).handler)
  /** As the clock's, looking only after something has changed in the store. */
  const runUntil = (ms: number, check?: () => boolean): Promise<boolean> => {
    if (!check) return clock.runUntil(ms)
    let seen = -1
    return clock.runUntil(ms, () => {
      if (seen === invariants.changes) return false
      seen = invariants.changes
      return check()
    })
  }

  /** Work that needs virtual time to pass. */
  async function during<T>(work: Promise<T>, ms = 600_000): Promise<T> {
    let over = false
    const done = work.finally(() => {
      over = true
    })
    done.catch(() => {})
    await clock.runUntil(ms, () => over)
    if (!over) throw new Error(`seed ${seed}: the work of a person took longer than ${ms} ms`)
    return done
  }

  for (const name of ['kube-system', 'kube-node-lease']) {
    if (await during(user.find(Namespace, { name }))) continue
    await during(user.create(Namespace, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }))
  }
  const nodeLink = link(server, 'nodes', { clock, random, faults: { ...faults, cut: 0 } })
  const nodes: HollowNodes = hollowNodes({
    client: createClient(nodeLink.handler),
    clock,
    random,
    log,
    signal: end.signal,
    nodes: NODES,
    startMs: [50, 1500],
    stopMs: [50, 900],
    onContainers: (pod, running) => invariants.onContainers(pod, running),
  })
  const common = { clock, random, log }
  const processes = [
    process_(
      {
        name: 'kube-controller-manager',
        start: (client, signal) =>
          runControllers({
            ...common,
            client,
            signal,
            options: { rootCa: 'CA' },
            controllers: controllers().filter(({ name }) => !IDLE.test(name)),
          }),
      },
      world,
    ),
    process_({ name: 'kube-scheduler', start: (client, signal) => runScheduler({ ...common, client, signal }) }, world),
  ]
  await during(nodes.registered)
  const { create, deeds } = plot(random, invariants)
  /** What a server answers that dies, or is not there. A person then looks again, or leaves it. */
  const wasCut = (error: unknown): boolean => error instanceof Error && /connection (lost|refused)/.test(`${error.message} ${error.cause}`)
  const attempt = async (deed: Deed): Promise<boolean> => {
    try {
      await during(deed(user, random))
      return true
    } catch (error) {
      if (wasCut(error)) return false
      if (!isStatus(error, 'NotFound', 'Conflict', 'AlreadyExists', 'Forbidden')) throw error
      return true
    }
  }
  const insist = async (deed: Deed): Promise<void> => {
    while (!(await attempt(deed))) await runUntil(1000)
  }
  // The service account that pods need comes from a controller.
  await runUntil(120_000, () => invariants.kind('ServiceAccount').some((each) => each.metadata.namespace === namespace))
  if (random.next() < 0.4) api.setMortality(pick(random, [50, 200, 600]))
  for (const deed of create) await insist(deed)
  let silences = 0
  let silent: string | undefined
  /** A node without power: shorter than anyone notices, until it is NotReady, or until its pods are moved. */
  const fallSilent = async (): Promise<void> => {
    silences++
    silent = pick(random, NODES)
    nodes.silence(silent)
    // Pods now go away by themselves.
    invariants.undisturbed.clear()
    await runUntil(pick(random, [20_000, 60_000, 60_000, 360_000]))
  }
  for (let round = 2 + randomInt(random, 5); round > 0; round--) {
    await runUntil(randomInt(random, 8000))
    await attempt(pick(random, deeds))
    if (random.next() < 0.1) clock.jump(randomInt(random, 240_000) - 120_000)
    if (!silent && random.next() < 0.08) await fallSilent()
  }

  // The weather clears: what was asked for has to come true.
  for (const each of processes) each.calmDown()
  api.setMortality(0)
  if (silent) nodes.revive(silent)
  nodeLink.faults = calm
  await insist((client) =>
    client.patch(Deployment, { namespace, name: 'web' }, { spec: { paused: false } }, { type: 'merge' }).then(() => {}),
  )
  invariants.onChange('Deployment', 'web', { paused: false })
  const violations = invariants.violations
  if (!(await runUntil(1_800_000, () => unfinished(invariants).length === 0)))
    violations.push(`did not converge: ${unfinished(invariants).join('; ')}`)

  violations.push(...invariants.lost())
  invariants.protectedApps.clear()
  // And when it is taken back, nothing of it may stay.
  const kinds: readonly Kind[] = [Deployment, ReplicaSet, StatefulSet, DaemonSet, Job] as never
  for (const kind of kinds) await during(user.deleteCollection(kind, { namespace }, { propagationPolicy: 'Background' }))
  const owned = (): number => invariants.kind<Pod>('Pod').filter((pod) => pod.metadata.ownerReferences?.length).length
  if (!(await runUntil(600_000, () => owned() === 0 && invariants.orphans().length === 0))) {
    violations.push(`left behind: ${owned()} pods; ${invariants.orphans().join('; ')}`)
  }
  const fingerprint = `${await store.revision()} ${clock.monotonic()}`
  for (const each of processes) each.stop()
  nodeLink.kill()
  end.abort(new Error('end'))
  await Promise.race([api.close(), runUntil(1000)])
  await store.close()
  const crashes = processes.reduce((sum, each) => sum + each.crashes(), 0)
  return { violations, fingerprint, crashes, serverCrashes: api.crashes(), silences }
}
